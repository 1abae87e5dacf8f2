// TLS over a non-blocking socket, by OpenSSL; the only file pair that includes its headers.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "redis/endpoint.h"

namespace sio::redis {

class Tls {
public:
    enum class Io : std::uint8_t { done, again, closed, failed };

    /// Reads the certificate files that `endpoint` names. `host` is what the server's certificate must be for, unless
    /// the endpoint names another; a name, not an address, is also sent (SNI). The socket stays the caller's.
    ///
    /// Errors: `config`, naming the file and the reason.
    static Result<std::unique_ptr<Tls>> create(const Endpoint& endpoint, const std::string& host, int fd);
    ~Tls();
    Tls(const Tls&) = delete;
    Tls& operator=(const Tls&) = delete;

    /// Goes on with the handshake. `again`: when the socket is ready next, for whatever. `failed`: error() says why.
    Io handshake();
    /// Reads or writes some; `bytes` says how many, when it is `done`.
    Io read(char* to, std::size_t room, std::size_t& bytes);
    Io write(std::string_view from, std::size_t& bytes);
    [[nodiscard]] const std::string& error() const noexcept { return error_; }

private:
    struct Parts;
    explicit Tls(std::unique_ptr<Parts> parts);
    Io judge(int result, std::string_view doing);

    std::unique_ptr<Parts> parts_;
    std::string error_;
};

}  // namespace sio::redis
