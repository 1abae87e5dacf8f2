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
#include "base/unique_fd.h"
#include "net/loop.h"

namespace sio::authd {

class Server final : net::Handler, net::Loop::TurnEnd {
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

    static constexpr std::size_t max_open = 10'000;        ///< requests of one client; the next is refused
    static constexpr std::size_t max_backlog = 4U << 20U;  ///< unread bytes of one client, beyond which it is cut off
    static constexpr std::size_t max_read_per_turn = 256U
                                                     << 10U;  ///< of one client, so that the others have their turn

    Server(net::Loop& loop, Host& host);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server() override;

    /// Listens at `path`. Errors: `io`.
    Result<void> listen(const std::string& path);
    /// Removes the socket file; connections go on.
    void stop_listening();

    /// Answers `id` with `{"id":N,"ok":true,…}`. `members` as JSON, without braces.
    void answer(std::uint64_t client, std::uint64_t id, std::string_view members);
    void refuse(std::uint64_t client, std::uint64_t id, std::string_view code, std::string_view message);
    /// The request needs no answer.
    void close(std::uint64_t client);

    /// Says a line (with its line feed) to all gateways; returns how many were told.
    std::size_t tell(std::string_view line);
    void tell(std::uint64_t client, std::string_view line);

    [[nodiscard]] std::size_t client_count() const noexcept { return clients_.size(); }
    struct Stats {
        std::uint64_t connections = 0, requests = 0, refused = 0, cut_off = 0;
    };
    [[nodiscard]] const Stats& stats() const noexcept { return stats_; }

private:
    class Client;

    void on_ready(std::uint32_t events) override;
    bool end_turn() override;
    void take_line(Client& client, std::string_view line);
    void forget(Client& client);
    [[nodiscard]] Client* find(std::uint64_t client) const;

    net::Loop& loop_;
    Host& host_;
    std::string path_;
    base::UniqueFd listener_;
    std::unordered_map<std::uint64_t, Client*> clients_;
    std::vector<std::uint64_t> unsent_;  // clients that have something to be written at the turn's end
    std::uint64_t next_client_ = 1;
    Stats stats_;
};

}  // namespace sio::authd
