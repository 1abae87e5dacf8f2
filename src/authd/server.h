// The daemon's socket (doc/protocol/auth.md): connections, lines, answers by id, and what is said unasked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "authd/request.h"
#include "base/result.h"
#include "daemon/line_server.h"
#include "net/loop.h"

namespace sio::authd {

class Server final : daemon::LineServer::Owner {
public:
    class Host {
    public:
        virtual ~Host() = default;
        /// A request. It is open until answer(), refuse() or close() has been called for it, now or later.
        virtual void on_request(std::uint64_t client, std::uint64_t id, Command command) = 0;
        /// The client's first `authenticate` is about to come: from here on it hears what is said unasked.
        virtual void on_gateway(std::uint64_t client) = 0;
        /// A client has gone. Answers to it are dropped from now on.
        virtual void on_gone(std::uint64_t client) = 0;
    };

    static constexpr std::size_t max_open = 10'000;  ///< requests of one client; the next is refused

    Server(net::Loop& loop, Host& host);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// Listens at `path`. Errors: `io`.
    Result<void> listen(const std::string& path) { return lines_.listen(path); }
    /// Removes the socket file; connections go on.
    void stop_listening() { lines_.stop_listening(); }

    /// Answers `id` with `{"id":N,"ok":true,…}`. `members` as JSON, without braces.
    void answer(std::uint64_t client, std::uint64_t id, std::string_view members);
    void refuse(std::uint64_t client, std::uint64_t id, std::string_view code, std::string_view message);
    /// The request needs no answer.
    void close(std::uint64_t client);

    /// Says a line (with its line feed) to all gateways; returns how many were told.
    std::size_t tell(std::string_view line);
    void tell(std::uint64_t client, std::string_view line);

    [[nodiscard]] std::size_t client_count() const noexcept { return lines_.client_count(); }
    struct Stats {
        std::uint64_t connections = 0, requests = 0, refused = 0, cut_off = 0;
    };
    [[nodiscard]] Stats stats() const noexcept {
        return {lines_.stats().connections, requests_, refused_, lines_.stats().cut_off};
    }

private:
    struct Client {
        bool is_gateway = false;
        std::size_t open = 0;
    };

    void on_line(std::uint64_t client, std::string_view line) override;
    void on_gone(std::uint64_t client) override;

    Host& host_;
    std::unordered_map<std::uint64_t, Client> clients_;  // those that have asked something
    std::uint64_t requests_ = 0;
    std::uint64_t refused_ = 0;
    daemon::LineServer lines_;
};

}  // namespace sio::authd
