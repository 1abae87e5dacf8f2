#include "sioctl/socket_client.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "base/bytes.h"
#include "base/json.h"
#include "proto/eio_packet.h"

namespace sio::sioctl {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t max_head = 32768;

/// Waits until `fd` is ready for `events`. False when the deadline has come.
bool wait_for(int fd, short events, const Deadline& deadline) {
    for (;;) {
        pollfd wait{fd, events, 0};
        const int ready = ::poll(&wait, 1, poll_timeout(deadline));
        if (ready > 0) return true;
        if (deadline && Clock::now() >= *deadline) return false;
    }
}

std::uint32_t random_number() {
    std::uint32_t number = 0;
    while (getrandom(&number, sizeof number, 0) != static_cast<ssize_t>(sizeof number)) {
    }
    return number;
}

Outcome<base::UniqueFd> connect_tcp(const Url& url, const Deadline& deadline) {
    const std::string where = url.host + " port " + url.port;
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int error = getaddrinfo(url.host.c_str(), url.port.c_str(), &hints, &found); error != 0)
        return give_up(exit_code::unavailable, "cannot reach " + where + ": " + gai_strerror(error));
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner{found, &freeaddrinfo};
    std::string reason = "no address";
    for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
        base::UniqueFd fd{socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
        if (!fd) continue;
        int error = ::connect(fd.get(), address->ai_addr, address->ai_addrlen) == 0 ? 0 : errno;
        if (error == EINPROGRESS) {
            if (!wait_for(fd.get(), POLLOUT, deadline))
                return give_up(exit_code::timeout, "cannot reach " + where + " in time");
            socklen_t size = sizeof error;
            getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
        }
        if (error == 0) {
            const int on = 1;
            setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            return fd;
        }
        reason = std::strerror(error);
    }
    return give_up(exit_code::unavailable, "cannot reach " + where + ": " + reason);
}

/// The value of a header in a raw response head; empty when it is absent.
std::string_view header_value(std::string_view head, std::string_view name) {
    for (std::size_t begin = head.find("\r\n"); begin != std::string_view::npos; begin = head.find("\r\n", begin)) {
        begin += 2;
        const std::string_view line = head.substr(begin, head.find("\r\n", begin) - begin);
        const std::size_t colon = line.find(':');
        if (colon != std::string_view::npos && base::equal_ignoring_case(line.substr(0, colon), name))
            return base::trim(line.substr(colon + 1));
    }
    return {};
}

/// Why the server did not upgrade: its status, and what its body says.
Failure refusal(std::string_view status_line, std::string_view body) {
    const std::string_view status = status_line.size() >= 12 ? status_line.substr(9) : status_line;
    std::string reason{base::trim(body.substr(0, 200))};
    if (json::is_valid(reason)) {
        const auto message = json::member(reason, "message");
        if (message && json::kind_of(*message) == json::Kind::string) reason = json::decode_string(*message);
    }
    const bool denied = status.starts_with("401") || status.starts_with("403");
    const bool unavailable = status.starts_with('5') || status.starts_with("429");
    return {denied        ? exit_code::denied
            : unavailable ? exit_code::unavailable
                          : exit_code::protocol,
            "the server refused the connection: " + std::string(status) + (reason.empty() ? "" : ": " + reason)};
}

Failure ended() { return {exit_code::unavailable, "the server closed the connection"}; }

}  // namespace

SocketClient::SocketClient(base::UniqueFd fd) : fd_(std::move(fd)) {}

Outcome<SocketClient> SocketClient::open(const Url& url, const Handshake& handshake, const Deadline& deadline) {
    auto fd = connect_tcp(url, deadline);
    if (!fd) return tl::unexpected(fd.error());
    SocketClient client{std::move(*fd)};
    if (const auto upgraded = client.upgrade(url, handshake, deadline); !upgraded)
        return tl::unexpected(upgraded.error());
    while (client.ping_period_ == 0ms) {  // until the open packet
        if (!wait_for(client.fd(), client.events(), deadline))
            return give_up(exit_code::timeout, "the server does not answer in time");
        if (const auto ready = client.on_ready(POLLIN); !ready) return tl::unexpected(ready.error());
    }
    return client;
}

Outcome<void> SocketClient::upgrade(const Url& url, const Handshake& handshake, const Deadline& deadline) {
    std::string nonce;
    for (int i = 0; i < 4; ++i) {
        const std::uint32_t number = random_number();
        nonce.append(reinterpret_cast<const char*>(&number), sizeof number);
    }
    std::string key;
    base::append_base64(key, nonce);
    out_ = "GET " + handshake.path + "?EIO=4&transport=websocket" + (url.query.empty() ? "" : "&" + url.query) +
           " HTTP/1.1\r\nHost: " + (url.is_ipv6_literal ? "[" + url.host + "]" : url.host) + ":" + url.port +
           "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key +
           "\r\nUser-Agent: sioctl\r\n";
    for (const std::string& header : handshake.headers) out_ += header + "\r\n";
    out_ += "\r\n";

    std::size_t head_end = std::string::npos;
    bool peer_ended = false;
    while (!peer_ended && (head_end = in_.find("\r\n\r\n")) == std::string::npos) {
        if (in_.size() > max_head) return give_up(exit_code::protocol, "the server's answer has no end");
        if (!wait_for(fd(), events(), deadline))
            return give_up(exit_code::timeout, "the server does not answer in time");
        if (const auto flushed = flush(); !flushed) return flushed;
        std::array<char, 4096> buffer;
        const ssize_t n = recv(fd(), buffer.data(), buffer.size(), 0);
        if (n > 0) in_.append(buffer.data(), static_cast<std::size_t>(n));
        peer_ended = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    }
    if (head_end == std::string::npos) return tl::unexpected(ended());
    const std::string head = in_.substr(0, head_end + 2);
    in_.erase(0, head_end + 4);
    const std::string_view status_line = std::string_view(head).substr(0, head.find("\r\n"));
    if (!status_line.starts_with("HTTP/1.1 ")) return give_up(exit_code::protocol, "the server does not speak HTTP");
    if (!status_line.starts_with("HTTP/1.1 101")) {
        const std::uint64_t length = base::parse_decimal(header_value(head, "content-length"), 4096).value_or(4096);
        const Deadline patience = deadline_in(500ms);
        while (in_.size() < length && wait_for(fd(), POLLIN, patience)) {
            std::array<char, 4096> buffer;
            const ssize_t n = recv(fd(), buffer.data(), buffer.size(), 0);
            if (n <= 0) break;
            in_.append(buffer.data(), static_cast<std::size_t>(n));
        }
        const bool chunked = !header_value(head, "transfer-encoding").empty();
        return tl::unexpected(refusal(status_line, chunked ? std::string_view{} : std::string_view(in_)));
    }
    if (header_value(head, "sec-websocket-accept") != proto::websocket_accept(key))
        return give_up(exit_code::protocol, "the server's WebSocket handshake is wrong");
    return read_messages();  // what came in one piece with the head
}

short SocketClient::events() const noexcept { return static_cast<short>(out_.empty() ? POLLIN : POLLIN | POLLOUT); }

Outcome<void> SocketClient::flush() {
    std::size_t sent = 0;
    while (sent < out_.size()) {
        const ssize_t n = ::send(fd(), out_.data() + sent, out_.size() - sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN) break;
            out_.clear();
            return tl::unexpected(ended());
        }
        sent += static_cast<std::size_t>(n);
    }
    out_.erase(0, sent);
    return {};
}

Outcome<void> SocketClient::on_ready(short revents) {
    const auto flushed = flush();
    if ((revents & (POLLIN | POLLHUP | POLLERR)) == 0) return flushed;
    std::array<char, 65536> buffer;
    const ssize_t n = recv(fd(), buffer.data(), buffer.size(), 0);
    if (n > 0) {
        in_.append(buffer.data(), static_cast<std::size_t>(n));
        if (const auto read = read_messages(); !read) return read;
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        return tl::unexpected(ended());
    }
    return flushed;
}

Outcome<void> SocketClient::read_messages() {
    std::span<char> rest{in_};
    Outcome<void> outcome;
    while (outcome) {
        const proto::WsEvent event = reader_.next(rest);
        using Kind = proto::WsEvent::Kind;
        if (event.kind == Kind::need_more) break;
        switch (event.kind) {
            case Kind::text: outcome = take_text(event.data); break;
            case Kind::binary: {
                const auto packet = decoder_.binary(event.data);
                if (!packet)
                    outcome = give_up(exit_code::protocol, "the server sent nonsense: " + packet.error().what);
                else if (*packet)
                    outcome = take_packet(**packet);
                break;
            }
            case Kind::ping: queue_frame(proto::WsOpcode::pong, event.data); break;
            case Kind::close: outcome = tl::unexpected(ended()); break;
            case Kind::error: outcome = give_up(exit_code::protocol, "the server sent a wrong WebSocket frame"); break;
            case Kind::pong:
            case Kind::need_more: break;
        }
    }
    in_.erase(0, in_.size() - rest.size());
    return outcome;
}

Outcome<void> SocketClient::take_text(std::string_view text) {
    const auto packet = proto::decode_eio(text);
    if (!packet) return give_up(exit_code::protocol, "the server sent a packet of unknown type");
    switch (packet->type) {
        case proto::EioType::open: {
            const auto period = [&](std::string_view key) {
                const auto raw = json::is_valid(packet->body) ? json::member(packet->body, key) : std::nullopt;
                return std::chrono::milliseconds{raw ? base::parse_decimal(*raw, 86'400'000).value_or(0) : 0};
            };
            ping_period_ = period("pingInterval") + period("pingTimeout");
            if (ping_period_ == 0ms) return give_up(exit_code::protocol, "the server's open packet is wrong");
            restart_heartbeat();
            return {};
        }
        case proto::EioType::ping:
            restart_heartbeat();
            queue_frame(proto::WsOpcode::text, "3" + std::string(packet->body));
            return {};
        case proto::EioType::close: return tl::unexpected(ended());
        case proto::EioType::message: {
            const auto decoded = decoder_.text(packet->body);
            if (!decoded) return give_up(exit_code::protocol, "the server sent nonsense: " + decoded.error().what);
            return *decoded ? take_packet(**decoded) : Outcome<void>{};
        }
        case proto::EioType::pong:
        case proto::EioType::upgrade:
        case proto::EioType::noop: return {};
    }
    return {};
}

Outcome<void> SocketClient::take_packet(const proto::SioPacket& packet) {
    Received received{packet.type, std::string(packet.nsp), packet.id, std::string(packet.json), {}};
    if (packet.attachments != nullptr) received.attachments = *packet.attachments;
    received_.push_back(std::move(received));
    return {};
}

std::optional<Received> SocketClient::next() {
    if (taken_ == received_.size()) {
        received_.clear();
        taken_ = 0;
        return std::nullopt;
    }
    return std::move(received_[taken_++]);
}

void SocketClient::send(proto::SioType type, std::string_view nsp, std::optional<std::uint64_t> id,
                        std::string_view json) {
    std::string text = "4";
    proto::append_sio_header(text, type, 0, nsp, id);
    text += json;
    queue_frame(proto::WsOpcode::text, text);
}

void SocketClient::queue_frame(proto::WsOpcode opcode, std::string_view payload) {
    proto::append_masked_ws_frame(out_, opcode, payload, random_number());
}

void SocketClient::restart_heartbeat() { heartbeat_ = deadline_in(ping_period_); }

void SocketClient::close(std::string_view nsp) {
    send(proto::SioType::disconnect, nsp, std::nullopt, "");
    queue_frame(proto::WsOpcode::close, std::string_view("\x03\xE8", 2));  // 1000
    // Closing with unread bytes would reset the connection, and with it what we said last: read to its end.
    const Deadline patience = deadline_in(1s);
    while (Clock::now() < *patience && wait_for(fd(), events(), patience)) {
        if (!flush()) return;
        if (out_.empty() && !std::exchange(shut_, true)) shutdown(fd(), SHUT_WR);
        std::array<char, 65536> buffer;
        const ssize_t n = recv(fd(), buffer.data(), buffer.size(), 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return;
    }
}

}  // namespace sio::sioctl
