// The floor of the bench: bare epoll, one send() per socket and message, no checks, no heartbeat.
//
// It says just enough of HTTP, WebSocket, Engine.IO and Socket.IO for bench-load to drive it, so a
// server that does the whole job can be compared with what the kernel alone costs. A broadcast
// is one frame, made once and sent to each socket by itself; nothing is coalesced.
//
// Usage: bench-floor PORT    (IPv4 loopback, plain TCP; SIGTERM ends it)

#include "websocket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

using namespace sio::bench;

constexpr std::string_view open_rest =
    R"(","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000})";

[[noreturn]] void fail(const char* what) {
    std::perror(what);
    std::_Exit(1);
}

/// What is kept per connection; index is the descriptor. A connection in the WebSocket state
/// without an unfinished frame owns no heap memory.
struct Connection {
    std::unique_ptr<std::string> unread;  ///< the beginning of a request or frame, if any
    bool is_open = false;
    bool is_websocket = false;
};

/// One long-polling session: a held GET and what waits for the next one.
struct PollSession {
    int held_get = -1;
    std::string waiting;  ///< packets, joined by 0x1e
};

class Floor {
public:
    explicit Floor(std::uint16_t port) {
        listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        const int one = 1;
        ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        // The two casts are what the socket API asks for.
        if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
            fail("bench-floor: bind");
        }
        if (::listen(listener_, 4096) != 0) {
            fail("bench-floor: listen");
        }
        epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
        watch(listener_);
    }

    [[noreturn]] void run() {
        std::vector<epoll_event> events(512);
        for (;;) {
            const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
            for (int i = 0; i < count; ++i) {
                const int fd = events[static_cast<std::size_t>(i)].data.fd;
                if (fd == listener_) {
                    accept_all();
                } else if (at(fd).is_open) {
                    read_from(fd);
                }
            }
        }
    }

private:
    Connection& at(int fd) { return connections_[static_cast<std::size_t>(fd)]; }

    void watch(int fd) const {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) {
            fail("bench-floor: epoll_ctl");
        }
    }

    void accept_all() {
        for (;;) {
            const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd < 0) {
                return;
            }
            const int one = 1;
            ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            if (static_cast<std::size_t>(fd) >= connections_.size()) {
                connections_.resize(static_cast<std::size_t>(fd) + 1);
            }
            at(fd).is_open = true;
            watch(fd);
        }
    }

    void drop(int fd) {
        at(fd) = Connection{};
        std::erase(sockets_, fd);
        ::close(fd);
    }

    /// One send(). The bench keeps far less in flight than a socket buffer holds, so a short write
    /// means that the comparison no longer stands, and ends the process.
    void send_bytes(int fd, std::string_view bytes) {
        const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) {
            return;
        }
        if (sent != static_cast<ssize_t>(bytes.size())) {
            fail("bench-floor: send");
        }
    }

    void send_packet(int fd, std::string_view packet) {
        frame_.clear();
        append_frame(frame_, opcode_text, packet);
        send_bytes(fd, frame_);
    }

    void read_from(int fd) {
        const ssize_t got = ::recv(fd, buffer_.data(), buffer_.size(), 0);
        if (got < 0 && errno == EAGAIN) {
            return;
        }
        if (got <= 0) {
            drop(fd);
            return;
        }
        char* data = buffer_.data();
        auto size = static_cast<std::size_t>(got);
        std::string joined;
        if (at(fd).unread) {
            joined = *at(fd).unread;
            joined.append(data, size);
            data = joined.data();
            size = joined.size();
            at(fd).unread.reset();
        }
        std::size_t used = 0;
        while (used < size && at(fd).is_open) {
            const std::size_t step = at(fd).is_websocket ? take_frame(fd, data + used, size - used)
                                                         : take_request(fd, data + used, size - used);
            if (step == 0) {
                break;
            }
            used += step;
        }
        if (used < size && at(fd).is_open) {
            at(fd).unread = std::make_unique<std::string>(data + used, size - used);
        }
    }

    /// Both take_ functions return the bytes they used up, 0 when more are needed.
    std::size_t take_frame(int fd, char* data, std::size_t size) {
        FrameHeader header;
        if (!read_frame_header({data, size}, header) || size < header.header_size + header.payload_size) {
            return 0;
        }
        char* payload = data + header.header_size;
        apply_mask(payload, header.payload_size, header.mask);
        const std::string_view packet{payload, header.payload_size};
        if (header.opcode == opcode_close) {
            drop(fd);
        } else if (header.opcode == opcode_ping) {
            frame_.clear();
            append_frame(frame_, opcode_pong, packet);
            send_bytes(fd, frame_);
        } else if (packet.starts_with(R"(42["broadcast")")) {
            frame_.clear();
            append_frame(frame_, opcode_text, packet);
            for (const int socket : sockets_) {
                send_bytes(socket, frame_);
            }
        } else if (const auto answer = answer_to(packet, fd); !answer.empty()) {
            if (packet == "40") {
                sockets_.push_back(fd);
            }
            send_packet(fd, answer);
        }
        return header.header_size + header.payload_size;
    }

    /// The Socket.IO answer to a packet that concerns its sender only; empty when there is none.
    std::string_view answer_to(std::string_view packet, int fd) {
        constexpr std::string_view ack_event = R"(["message-with-ack")";
        if (packet == "40") {
            answer_ = R"(40{"sid":"floor-)" + std::to_string(fd) + R"("})";
        } else if (packet.starts_with(R"(42["message")")) {
            answer_ = packet;
        } else if (const auto at_event = packet.find(ack_event);
                   packet.starts_with("42") && at_event != std::string_view::npos) {
            auto args = packet.substr(at_event + ack_event.size());
            if (args.starts_with(',')) {
                args.remove_prefix(1);
            }
            answer_ = "43";
            answer_.append(packet.substr(2, at_event - 2)).append("[").append(args);
        } else {
            answer_.clear();
        }
        return answer_;
    }

    std::size_t take_request(int fd, char* data, std::size_t size) {
        const std::string_view in{data, size};
        const auto head_end = in.find("\r\n\r\n");
        if (head_end == std::string_view::npos) {
            return 0;
        }
        const auto head = in.substr(0, head_end + 2);
        if (const auto key = header_value(head, "\r\nSec-WebSocket-Key: "); !key.empty()) {
            send_bytes(fd,
                       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Accept: " +
                           accept_key(key) + "\r\n\r\n");
            at(fd).is_websocket = true;
            send_packet(fd, R"(0{"sid":"floor-)" + std::to_string(fd) + std::string{open_rest});
            return head_end + 4;
        }
        std::size_t body_size = 0;
        if (const auto text = header_value(head, "\r\nContent-Length: "); !text.empty()) {
            std::from_chars(text.data(), text.data() + text.size(), body_size);
        }
        if (size < head_end + 4 + body_size) {
            return 0;
        }
        serve_poll(fd, head, in.substr(head_end + 4, body_size));
        return head_end + 4 + body_size;
    }

    static std::string_view header_value(std::string_view head, std::string_view name) {
        const auto at_name = head.find(name);
        if (at_name == std::string_view::npos) {
            return {};
        }
        const auto start = at_name + name.size();
        return head.substr(start, head.find("\r\n", start) - start);
    }

    void serve_poll(int fd, std::string_view head, std::string_view body) {
        const auto target = head.substr(0, head.find("\r\n"));
        const auto at_sid = target.find("&sid=");
        if (at_sid == std::string_view::npos) {
            const std::string sid = "poll-" + std::to_string(next_poll_++);
            polls_.emplace(sid, PollSession{});
            respond(fd, R"(0{"sid":")" + sid + std::string{open_rest});
            return;
        }
        const auto sid = target.substr(at_sid + 5, target.find_first_of("& ", at_sid + 1) - at_sid - 5);
        PollSession& session = polls_[std::string{sid}];
        if (!head.starts_with("POST")) {
            session.held_get = fd;
            flush(session);
            return;
        }
        while (!body.empty()) {
            const auto end = std::min(body.find('\x1e'), body.size());
            if (const auto answer = answer_to(body.substr(0, end), fd); !answer.empty()) {
                if (!session.waiting.empty()) {
                    session.waiting.push_back('\x1e');
                }
                session.waiting.append(answer);
            }
            body.remove_prefix(std::min(end + 1, body.size()));
        }
        respond(fd, "ok");
        flush(session);
    }

    void flush(PollSession& session) {
        if (session.held_get >= 0 && !session.waiting.empty()) {
            respond(session.held_get, session.waiting);
            session.held_get = -1;
            session.waiting.clear();
        }
    }

    void respond(int fd, std::string_view body) {
        std::string response =
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\n"
            "Content-Length: " +
            std::to_string(body.size()) + "\r\n\r\n";
        response.append(body);
        send_bytes(fd, response);
    }

    int listener_ = -1;
    int epoll_ = -1;
    std::vector<Connection> connections_;
    std::vector<int> sockets_;  ///< descriptors of the joined sockets, in the order of joining
    std::unordered_map<std::string, PollSession> polls_;
    std::uint64_t next_poll_ = 0;
    std::string frame_;
    std::string answer_;
    std::vector<char> buffer_ = std::vector<char>(65536);
};

}  // namespace

int main(int argc, char** argv) {
    std::uint16_t port = 0;
    const std::string_view text = argc == 2 ? argv[1] : "";
    const auto end = text.data() + text.size();
    if (std::from_chars(text.data(), end, port).ptr != end || port == 0) {
        std::fputs("usage: bench-floor PORT\n", stderr);
        return 64;
    }
    std::signal(SIGPIPE, SIG_IGN);
    Floor{port}.run();
}
