#include "sioctl/control.h"

#include <poll.h>

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "net/socket_path.h"

namespace sio::sioctl {

int poll_timeout(const Deadline& deadline) {
    if (!deadline) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now()).count();
    return static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000));
}

Outcome<void> trust_socket_users() {
    const char* const variable = std::getenv("SIO_SOCKET_USERS");
    std::vector<std::string> names;
    std::string_view rest = variable == nullptr ? "" : variable;
    while (!rest.empty()) {
        const std::size_t comma = std::min(rest.find(','), rest.size());
        std::string name(rest.substr(0, comma));
        std::erase(name, ' ');
        if (!name.empty()) names.push_back(std::move(name));
        rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
    if (const auto known = net::trust_users(names); !known) {
        return give_up(exit_code::usage, "SIO_SOCKET_USERS: " + known.error().what);
    }
    return {};
}

Outcome<Control> Control::open(const std::string& path, const Deadline& deadline, const Peer& peer) {
    auto socket = net::UnixClient::connect(path);
    if (!socket) {
        const bool denied = socket.error().code == Errc::denied;
        const bool usage = socket.error().code == Errc::usage;
        return give_up(denied  ? exit_code::denied
                       : usage ? exit_code::usage
                               : exit_code::unavailable,
                       "cannot reach " + std::string(peer.name) + " at " + path + ": " + socket.error().what +
                           (denied  ? std::string(socket.error().what == "permission denied"
                                                      ? "; its socket is for the user who runs it"
                                                      : "")
                            : usage ? std::string()
                                    : "; is " + std::string(peer.program) + " running?") +
                           " (" + std::string(peer.option) + " PATH)");
    }
    Control control{std::move(*socket), path, peer};
    control.socket_.queue(wire::admin_client_greeting());
    const auto line = control.receive_line(deadline);
    if (!line) return tl::unexpected(line.error());
    auto greeting = wire::parse_admin_greeting(*line);
    if (!greeting) return give_up(exit_code::protocol, "cannot talk to " + path + ": " + greeting.error().what);
    if (peer.is_exclusive && greeting->program != peer.program) {
        return give_up(exit_code::protocol, "cannot talk to " + path + ": that is " + greeting->program + ", not " +
                                                std::string(peer.program));
    }
    control.greeting_ = std::move(*greeting);
    return control;
}

std::uint64_t Control::send(std::string_view cmd, const wire::ObjectWriter& members) {
    wire::ObjectWriter request;
    request.number("id", static_cast<std::int64_t>(++last_id_)).text("cmd", cmd);
    std::string line = "{" + request.members();
    if (!members.members().empty()) line += "," + members.members();
    line += "}\n";
    socket_.queue(line);
    return last_id_;
}

Outcome<void> Control::on_ready(short revents) {
    if (ended_) return tl::unexpected(*ended_);
    const auto bytes = socket_.on_ready(revents);
    if (!bytes) {
        ended_ = Failure{exit_code::unavailable, whom() + " has gone: " + bytes.error().what};
        return tl::unexpected(*ended_);
    }
    lines_.feed(*bytes);
    return {};
}

Outcome<std::optional<std::string_view>> Control::next_line() {
    const auto line = lines_.next();
    if (line) return line;
    if (lines_.too_long()) return give_up(exit_code::protocol, whom() + " sent a line of more than 8 MiB");
    return std::optional<std::string_view>{};
}

Outcome<std::optional<wire::AdminReply>> Control::next() {
    const auto line = next_line();
    if (!line) return tl::unexpected(line.error());
    if (!*line) return std::optional<wire::AdminReply>{};
    auto reply = wire::parse_admin_reply(**line);
    if (!reply) return give_up(exit_code::protocol, whom() + " does not keep to the protocol: " + reply.error().what);
    return std::optional<wire::AdminReply>{std::move(*reply)};
}

Outcome<std::string_view> Control::receive_line(const Deadline& deadline) {
    for (;;) {
        const auto line = next_line();
        if (!line) return tl::unexpected(line.error());
        if (*line) return **line;
        if (ended_) return tl::unexpected(*ended_);
        pollfd wait{fd(), events(), 0};
        const int ready = ::poll(&wait, 1, poll_timeout(deadline));
        if (ready > 0) {
            // An end is told once all lines before it are read.
            static_cast<void>(on_ready(wait.revents));
        } else if (ready == 0 && deadline && Clock::now() >= *deadline) {
            return give_up(exit_code::timeout, whom() + " does not answer in time");
        }
    }
}

Outcome<wire::AdminReply> Control::receive(const Deadline& deadline) {
    const auto line = receive_line(deadline);
    if (!line) return tl::unexpected(line.error());
    auto reply = wire::parse_admin_reply(*line);
    if (!reply) return give_up(exit_code::protocol, whom() + " does not keep to the protocol: " + reply.error().what);
    return std::move(*reply);
}

Outcome<std::string> Control::ask(std::string_view cmd, const wire::ObjectWriter& members, const Deadline& deadline) {
    const std::uint64_t id = send(cmd, members);
    for (;;) {
        const auto reply = receive(deadline);
        if (!reply) return tl::unexpected(reply.error());
        if (reply->kind == wire::AdminReply::Kind::error && (!reply->id || *reply->id == id))
            return tl::unexpected(refusal(*reply, *peer_));
        if (reply->kind == wire::AdminReply::Kind::ok && reply->id == id) return std::string(reply->text);
    }
}

Failure Control::refusal(const wire::AdminReply& reply, const Peer& peer) {
    if (reply.code == wire::admin_error::unknown_command) {
        return {exit_code::protocol,
                std::string(peer.name) + " does not know this command; it is older than this sioctl"};
    }
    return {exit_code_for(reply.code), reply.message};
}

}  // namespace sio::sioctl
