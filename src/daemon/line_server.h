// A Unix socket on which a daemon is asked: listening, greetings both ways, lines, and their bounds. The lines' meaning
// is the owner's. The framing is that of doc/protocol/admin.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "net/loop.h"
#include "wire/admin.h"

namespace sio::daemon {

/// The loop and the owner outlive it.
class LineServer final : net::Handler, net::Loop::TurnEnd {
public:
    class Owner {
    public:
        virtual ~Owner() = default;
        /// A line of a client that has greeted, without its line feed. The view lasts for the call.
        virtual void on_line(std::uint64_t client, std::string_view line) = 0;
        /// A client has gone, by itself or cut off. What is sent to it from now on is dropped. Not called for clients
        /// that are there when the server is destroyed.
        virtual void on_gone(std::uint64_t client) = 0;
    };

    struct Options {
        std::string_view component;    ///< in the log; a literal
        wire::AdminGreeting greeting;  ///< `pid` is filled in
        std::size_t max_line =
            wire::admin_max_line;  ///< of a client, bytes without the line feed; longer: an error, and cut off
        std::size_t max_backlog = 4U << 20U;          ///< unread bytes of one client, beyond which it is cut off
        std::size_t max_read_per_turn = 256U << 10U;  ///< of one client, so that the others have their turn
        std::size_t max_clients = std::numeric_limits<std::size_t>::max();  ///< the next is told `busy` and cut off
    };

    LineServer(net::Loop& loop, Owner& owner, Options options);
    LineServer(const LineServer&) = delete;
    LineServer& operator=(const LineServer&) = delete;
    ~LineServer() override;

    /// Listens at `path`. Errors: `io`.
    Result<void> listen(const std::string& path);
    /// Removes the socket file; connections go on.
    void stop_listening();

    /// Says `text`, whole lines, at the end of the turn. May call on_gone() when the client does not read.
    void send(std::uint64_t client, std::string_view text);

    /// A client is there; its number was never another's.
    [[nodiscard]] bool has(std::uint64_t client) const { return clients_.contains(client); }
    [[nodiscard]] std::size_t client_count() const noexcept { return clients_.size(); }
    struct Stats {
        std::uint64_t connections = 0, cut_off = 0;
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
    Owner& owner_;
    Options options_;
    std::string path_;
    base::UniqueFd listener_;
    std::unordered_map<std::uint64_t, Client*> clients_;
    std::vector<std::uint64_t> unsent_;  // clients that have something to be written at the turn's end
    std::uint64_t next_client_ = 1;
    Stats stats_;
};

}  // namespace sio::daemon
