// The conversation with a daemon over its control socket.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "net/unix_client.h"
#include "sioctl/exit_code.h"
#include "wire/admin.h"

namespace sio::sioctl {

/// Takes the users of SIO_SOCKET_USERS, divided at commas, for trusted. Failure: 64 when one of them is no user.
Outcome<void> trust_socket_users();

using Clock = std::chrono::steady_clock;
using Deadline = std::optional<Clock::time_point>;  ///< nothing: for ever

/// The moment `wait` from now.
inline Deadline deadline_in(std::chrono::milliseconds wait) { return Clock::now() + wait; }

/// What poll(2) wants to hear about a deadline: milliseconds, at least 0; -1 for none.
int poll_timeout(const Deadline& deadline);

/// Whom a command talks to, for its messages.
struct Peer {
    std::string_view name;     ///< "the gateway"
    std::string_view program;  ///< "sio-gateway"
    std::string_view option;   ///< that names its socket
    bool is_exclusive;         ///< another program's commands do not help here
};

/// The gateway's commands are asked of any daemon: `health` and its like are the same for all.
inline constexpr Peer gateway_peer{"the gateway", "sio-gateway", "--control", false};
inline constexpr Peer authd_peer{"sio-authd", "sio-authd", "--authd", true};
inline constexpr Peer bridge_peer{"sio-bridge", "sio-bridge", "--bridge", true};

class Control {
public:
    /// Connects and exchanges greetings. Failure: 69 when nobody is there, 77 when we may not, 75 when the greeting
    /// does not come in time, 70 when it is none, of another major version, or another program's.
    static Outcome<Control> open(const std::string& path, const Deadline& deadline, const Peer& peer = gateway_peer);

    [[nodiscard]] const wire::AdminGreeting& greeting() const noexcept { return greeting_; }

    /// Queues a request and returns its id: 1, 2, 3 …
    std::uint64_t send(std::string_view cmd, const wire::ObjectWriter& members);

    // For a loop of one's own: poll fd() for events(), then on_ready(), then next() until it has nothing.
    [[nodiscard]] int fd() const noexcept { return socket_.fd(); }
    [[nodiscard]] short events() const noexcept { return socket_.events(); }
    [[nodiscard]] std::size_t queued_bytes() const noexcept { return socket_.queued_bytes(); }
    /// Failure: 69 when the daemon has gone. Lines that came before its end are still given by next().
    Outcome<void> on_ready(short revents);
    /// The next line; its views live until the next on_ready(). Failure: 70.
    Outcome<std::optional<wire::AdminReply>> next();

    /// Waits for the next line. Failure: 75 when none comes in time; 69; 70.
    Outcome<wire::AdminReply> receive(const Deadline& deadline);

    /// One request and its answer, as the text of the object. Failure: as receive(), and the refusal's own.
    Outcome<std::string> ask(std::string_view cmd, const wire::ObjectWriter& members, const Deadline& deadline);

    /// The Failure that a refusal amounts to.
    static Failure refusal(const wire::AdminReply& reply, const Peer& peer = gateway_peer);

private:
    Control(net::UnixClient socket, std::string path, const Peer& peer)
        : socket_(std::move(socket)), path_(std::move(path)), peer_(&peer) {}
    /// `the gateway at PATH`
    [[nodiscard]] std::string whom() const { return std::string(peer_->name) + " at " + path_; }
    Outcome<std::optional<std::string_view>> next_line();
    Outcome<std::string_view> receive_line(const Deadline& deadline);

    net::UnixClient socket_;
    std::string path_;
    const Peer* peer_;
    wire::LineSplitter lines_;
    wire::AdminGreeting greeting_;
    std::uint64_t last_id_ = 0;
    std::optional<Failure> ended_;  // why nothing more will come
};

}  // namespace sio::sioctl
