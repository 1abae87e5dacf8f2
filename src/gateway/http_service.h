// What the engine asks of whoever answers requests with bodies, now or later: the HTTP API.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace sio::proto {
struct HttpHead;
}

namespace sio::gateway {

struct HttpAnswer;

class HttpService {
public:
    enum class Wish : std::uint8_t {
        nothing,  ///< the request is somebody else's
        answer,   ///< `answer` is final; a body is not read
        body,     ///< on_request() is called when the body is there
    };

    virtual ~HttpService() = default;
    /// A head has come. `number` names the request in what follows, and is never used twice.
    virtual Wish on_head(std::uint64_t number, const proto::HttpHead& head, HttpAnswer& answer) = 0;
    /// Bytes of a body.
    [[nodiscard]] virtual std::size_t max_body() const = 0;
    /// What a body above max_body() is answered, whose head did not tell.
    virtual void too_large(std::uint64_t number, HttpAnswer& answer) = 0;
    /// The body is there. Engine::answer() is to be called once with `number`, in this call or later.
    virtual void on_request(std::uint64_t number, std::string body) = 0;
    /// The connection ended before it was answered: by its peer, or because the body came too slowly or was too large.
    virtual void on_gone(std::uint64_t number) = 0;
};

}  // namespace sio::gateway
