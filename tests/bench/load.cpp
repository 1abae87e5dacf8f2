// Drives one Socket.IO server and measures it. One process, one thread, epoll.
//
// The clients look like stock ones on the wire: WebSocket only (or long polling in `poll`), the
// handshake headers of the ws package, CONNECT after the open packet, pings answered. Every message
// that arrives is compared with the one that must arrive next; what is lost, repeated, reordered or
// altered is counted and makes the run fail.
//
//   connect   opens --clients connections; CPU per opened one, resident bytes per idle one
//   echo      each client keeps one `message-with-ack` in flight
//   fanout    one client keeps --in-flight `broadcast` events in flight; the next is sent
//             when all clients have received one
//   mixed     `fanout`, while three of the clients also wait for an acknowledgement, for the
//             return of a `message` and for a WebSocket pong; how long they wait at most
//   poll      `echo` by long polling, a GET and a POST connection per client
//
// Prints one JSON object. Exit status: 0 measured and all deliveries right, 1 not, 64 usage.

#include "measure.h"
#include "websocket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace sio::bench;

constexpr std::int64_t second_ns = 1'000'000'000;
constexpr std::int64_t stall_ns = 10 * second_ns;  ///< no progress for so long ends a run
constexpr std::size_t text_size = 128;             ///< characters in a message's argument
constexpr std::size_t sequence_digits = 10;

struct Options {
    std::string_view mode;
    std::uint16_t port = 0;
    pid_t server = 0;
    std::size_t clients = 1000;
    std::size_t in_flight = 1;
    double warm_seconds = 1.5;
    double seconds = 4;
};

[[noreturn]] void give_up(const std::string& why) {
    std::printf("{\"ok\":false,\"error\":\"%s\"}\n", why.c_str());
    std::fflush(stdout);
    std::_Exit(1);
}

std::string format(const char* pattern, ...) __attribute__((format(printf, 1, 2)));
std::string format(const char* pattern, ...) {
    std::array<char, 1024> text{};
    va_list args;
    va_start(args, pattern);
    const int size = std::vsnprintf(text.data(), text.size(), pattern, args);
    va_end(args);
    return {text.data(), static_cast<std::size_t>(std::clamp(size, 0, 1023))};
}

/// Faults in what was delivered. All zero in a good run.
struct Faults {
    std::uint64_t lost = 0;
    std::uint64_t repeated = 0;
    std::uint64_t reordered = 0;
    std::uint64_t altered = 0;   ///< a message that is none of those expected
    std::uint64_t failures = 0;  ///< connections that were refused, closed or spoke nonsense

    bool any() const { return (lost | repeated | reordered | altered | failures) != 0; }
    std::string json() const {
        return format(R"("lost":%llu,"repeated":%llu,"reordered":%llu,"altered":%llu,"failures":%llu)",
                      static_cast<unsigned long long>(lost), static_cast<unsigned long long>(repeated),
                      static_cast<unsigned long long>(reordered), static_cast<unsigned long long>(altered),
                      static_cast<unsigned long long>(failures));
    }
};

/// Checks that the numbers of one stream arrive once each and in order; remembers the last 64.
class SequenceCheck {
public:
    void take(std::uint64_t number, Faults& faults) {
        if (number == next_) {
            recent_ = (recent_ << 1U) | 1U;
            ++next_;
        } else if (number > next_) {
            const std::uint64_t gap = number - next_;
            faults.lost += gap;
            recent_ = gap < 63 ? (recent_ << (gap + 1)) | 1U : 1U;
            next_ = number + 1;
        } else {
            const std::uint64_t age = next_ - 1 - number;
            const std::uint64_t bit = age < 64 ? std::uint64_t{1} << age : 0;
            if (bit != 0 && (recent_ & bit) == 0) {
                recent_ |= bit;
                ++faults.reordered;
                --faults.lost;
            } else {
                ++faults.repeated;
            }
        }
    }
    std::uint64_t next() const { return next_; }

private:
    std::uint64_t next_ = 0;
    std::uint64_t recent_ = ~std::uint64_t{0};
};

/// A packet with a number in it, made and recognised without formatting: only the digits change.
class NumberedPacket {
public:
    NumberedPacket(std::string_view before, std::string_view after) : number_at_{before.size()} {
        packet_.append(before).append(sequence_digits, '0');
        for (std::size_t i = sequence_digits; i < text_size; ++i) {
            packet_.push_back(static_cast<char>('a' + i % 26));
        }
        packet_.append(after);
    }
    std::string_view with(std::uint64_t number) {
        for (std::size_t i = sequence_digits; i > 0; --i) {
            packet_[number_at_ + i - 1] = static_cast<char>('0' + number % 10);
            number /= 10;
        }
        return packet_;
    }
    /// Reads the number; false if anything else differs from what with() makes.
    bool read(std::string_view packet, std::uint64_t& number) const {
        const std::size_t rest = number_at_ + sequence_digits;
        if (packet.size() != packet_.size() || std::memcmp(packet.data(), packet_.data(), number_at_) != 0 ||
            std::memcmp(packet.data() + rest, packet_.data() + rest, packet_.size() - rest) != 0) {
            return false;
        }
        const char* digits = packet.data() + number_at_;
        const auto result = std::from_chars(digits, digits + sequence_digits, number);
        return result.ptr == digits + sequence_digits;
    }

private:
    std::string packet_;
    std::size_t number_at_;
};

/// A connecting, non-blocking TCP socket to 127.0.0.1. Clients are spread over source addresses,
/// 250 each, so that no address runs out of ports however often a bench is repeated.
int open_socket(std::uint16_t port, std::size_t index) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        give_up(format("socket: %s", std::strerror(errno)));
    }
    const int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(0x7F000101U + static_cast<std::uint32_t>(index / 250 % 200));
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        give_up(format("bind: %s", std::strerror(errno)));
    }
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 && errno != EINPROGRESS) {
        give_up(format("connect: %s", std::strerror(errno)));
    }
    return fd;
}

/// One end of a TCP connection with what could not be used or written yet.
struct Connection {
    int fd = -1;
    bool is_writing = false;  ///< EPOLLOUT is asked for
    std::string unread;
    std::string unsent;
};

/// The epoll loop: connections are known by their index. Subclasses say what the bytes mean.
class Loop {
public:
    explicit Loop(const Options& options) : options_{options}, meter_{options.server} {
        epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
        last_progress_ = now_ns();
    }
    virtual ~Loop() = default;
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

protected:
    /// Takes bytes of connection `index` that start where a message starts; returns how many of
    /// them made whole messages.
    virtual std::size_t take(std::size_t index, char* data, std::size_t size) = 0;
    /// The TCP connection of `index` stands.
    virtual void connected(std::size_t index) = 0;
    /// Called once per turn and, in a busy turn, after every 16 reads.
    virtual void between_reads() {}

    void open(std::size_t index) {
        if (index >= connections_.size()) {
            connections_.resize(index + 1);
        }
        Connection& connection = connections_[index];
        connection.fd = open_socket(options_.port, index);
        connection.is_writing = true;
        is_connecting_.resize(connections_.size());
        is_connecting_[index] = true;
        epoll_event event{};
        event.events = EPOLLIN | EPOLLOUT;
        event.data.u64 = index;
        ::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event);
    }

    /// Bytes to be written after the current read; see flush().
    std::string& output(std::size_t index) {
        Connection& connection = connections_[index];
        if (connection.unsent.empty()) {
            dirty_.push_back(index);
        }
        return connection.unsent;
    }

    /// Writes what was queued since the last call, one send() per connection.
    void flush() {
        for (const std::size_t index : dirty_) {
            write(index);
        }
        dirty_.clear();
    }

    void close_all() {
        for (Connection& connection : connections_) {
            if (connection.fd >= 0) {
                ::close(connection.fd);
                connection.fd = -1;
            }
        }
    }

    /// Runs until `done` says so (asked once per turn), a stall, or a connection's end.
    void run_until(const std::function<bool()>& done) {
        std::array<epoll_event, 512> events{};
        last_progress_ = now_ns();
        while (!done()) {
            const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 1);
            turn_start_ = now_ns();
            for (int i = 0; i < count; ++i) {
                const epoll_event& event = events[static_cast<std::size_t>(i)];
                handle(static_cast<std::size_t>(event.data.u64), event.events);
                if (i % 16 == 15) {
                    between_reads();
                }
            }
            between_reads();
            if (now_ns() - last_progress_ > stall_ns) {
                is_stalled_ = true;
                return;
            }
        }
    }

    /// Runs for a time, in seconds.
    void run_for(double seconds) {
        const auto end = now_ns() + static_cast<std::int64_t>(seconds * 1e9);
        run_until([&] {
            last_progress_ = now_ns();
            return last_progress_ >= end;
        });
    }

    /// Opens connections 0 to count-1, at most 128 unfinished at a time; `ready` counts finished
    /// ones.
    void open_all(std::size_t count, const std::size_t& ready) {
        std::size_t opened = 0;
        run_until([&] {
            while (opened < count && opened - ready < 128) {
                open(opened++);
            }
            return ready >= count;
        });
        if (is_stalled_) {
            give_up(format("only %zu of %zu clients connected", ready, count));
        }
    }

    void read_from(std::size_t index) {
        Connection& connection = connections_[index];
        const ssize_t got = ::recv(connection.fd, buffer_.data(), buffer_.size(), 0);
        now_ = now_ns();
        if (got < 0 && errno == EAGAIN) {
            return;
        }
        if (got <= 0) {
            give_up(format("connection %zu: %s", index, got == 0 ? "closed by the server" : std::strerror(errno)));
        }
        const auto size = static_cast<std::size_t>(got);
        if (connection.unread.empty()) {
            const std::size_t used = take(index, buffer_.data(), size);
            connections_[index].unread.assign(buffer_.data() + used, size - used);
        } else {
            std::string joined;
            joined.swap(connection.unread);
            joined.append(buffer_.data(), size);
            const std::size_t used = take(index, joined.data(), joined.size());
            connections_[index].unread.assign(joined, used);
        }
        flush();
    }

    /// What every result starts with; `messages` were counted while the meter ran.
    std::string result_json(std::uint64_t messages) const {
        const auto count = static_cast<double>(messages);
        return format(R"("mode":"%.*s","clients":%zu,"in_flight":%zu,"seconds":%.3f,"messages":%llu,)"
                      R"("per_second":%.0f,"cpu_us":%.4f,"server_share":%.3f,"load_share":%.3f,)"
                      R"("other_share":%.3f,"stolen_share":%.3f)",
                      static_cast<int>(options_.mode.size()), options_.mode.data(), options_.clients,
                      options_.in_flight, meter_.seconds(), static_cast<unsigned long long>(messages),
                      count / meter_.seconds(), messages > 0 ? meter_.server_us() / count : 0, meter_.server_share(),
                      meter_.load_share(), meter_.other_share(), meter_.stolen_share());
    }

    std::string latency_json() const {
        return format(R"("p50_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f)", latency_.quantile_ms(0.5),
                      latency_.quantile_ms(0.99), latency_.largest_ms());
    }

    int print(const std::string& fields) const {
        const bool ok = !faults_.any() && !is_stalled_;
        std::printf("{\"ok\":%s,%s,%s}\n", ok ? "true" : "false", fields.c_str(), faults_.json().c_str());
        return ok ? 0 : 1;
    }

    const Options& options_;
    Meter meter_;
    Faults faults_;
    Histogram latency_;
    std::vector<Connection> connections_;
    std::int64_t now_ = 0;         ///< when the bytes at hand arrived
    std::int64_t turn_start_ = 0;  ///< when epoll_wait last returned
    std::int64_t last_progress_ = 0;
    bool is_stalled_ = false;

private:
    void handle(std::size_t index, std::uint32_t events) {
        Connection& connection = connections_[index];
        if (is_connecting_[index] && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
            int error = 0;
            socklen_t size = sizeof error;
            ::getsockopt(connection.fd, SOL_SOCKET, SO_ERROR, &error, &size);
            if (error != 0) {
                give_up(format("connection %zu: %s", index, std::strerror(error)));
            }
            is_connecting_[index] = false;
            connected(index);
            flush();
            write(index);
            return;
        }
        if ((events & EPOLLOUT) != 0) {
            write(index);
        }
        if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) {
            read_from(index);
        }
    }

    void write(std::size_t index) {
        Connection& connection = connections_[index];
        if (!connection.unsent.empty()) {
            const ssize_t sent =
                ::send(connection.fd, connection.unsent.data(), connection.unsent.size(), MSG_NOSIGNAL);
            if (sent < 0 && errno != EAGAIN) {
                give_up(format("connection %zu: %s", index, std::strerror(errno)));
            }
            connection.unsent.erase(0, static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
        }
        const bool wants_more = !connection.unsent.empty();
        if (wants_more != connection.is_writing) {
            connection.is_writing = wants_more;
            epoll_event event{};
            event.events = EPOLLIN | (wants_more ? static_cast<std::uint32_t>(EPOLLOUT) : 0U);
            event.data.u64 = index;
            ::epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event);
        }
    }

    int epoll_ = -1;
    std::vector<bool> is_connecting_;
    std::vector<std::size_t> dirty_;
    std::vector<char> buffer_ = std::vector<char>(std::size_t{256} * 1024);
};

/// The common part of all modes over WebSocket: handshake, CONNECT, heartbeat.
class WebSocketLoop : public Loop {
public:
    using Loop::Loop;

protected:
    /// A Socket.IO packet, with the leading '4' of Engine.IO, that is not the answer to CONNECT.
    virtual void packet(std::size_t index, std::string_view text) = 0;
    virtual void pong(std::size_t /*index*/, std::string_view /*text*/) {}

    void send_packet(std::size_t index, std::string_view text) {
        append_frame(output(index), opcode_text, text, next_mask());
    }
    void send_ping(std::size_t index, std::string_view text) {
        append_frame(output(index), opcode_ping, text, next_mask());
    }

    void connected(std::size_t index) override {
        phases_.resize(std::max(phases_.size(), index + 1));
        phases_[index] = Phase::upgrading;
        output(index) += format(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
            "Sec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: %s\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Extensions: permessage-deflate; "
            "client_max_window_bits\r\nHost: 127.0.0.1:%u\r\n\r\n",
            key_of(index).c_str(), unsigned{options_.port});
    }

    std::size_t take(std::size_t index, char* data, std::size_t size) override {
        std::size_t used = 0;
        if (phases_[index] == Phase::upgrading) {
            used = take_handshake(index, {data, size});
            if (used == 0) {
                return 0;
            }
        }
        FrameHeader header;
        while (read_frame_header({data + used, size - used}, header) &&
               size - used >= header.header_size + header.payload_size) {
            take_frame(index, header.opcode, {data + used + header.header_size, header.payload_size});
            used += header.header_size + header.payload_size;
        }
        return used;
    }

    std::size_t joined_ = 0;

private:
    enum class Phase : std::uint8_t { upgrading, opening, joining, joined };

    static std::string key_of(std::size_t index) {
        std::array<std::uint8_t, 16> bytes{};
        std::memcpy(bytes.data(), &index, sizeof index);
        return base64(bytes.data(), bytes.size());
    }

    std::uint32_t next_mask() {
        mask_ = mask_ * 1664525U + 1013904223U;
        return mask_ | 1U;
    }

    std::size_t take_handshake(std::size_t index, std::string_view in) {
        const auto end = in.find("\r\n\r\n");
        if (end == std::string_view::npos) {
            return 0;
        }
        std::string head{in.substr(0, end)};
        const bool accepted =
            head.starts_with("HTTP/1.1 101") && head.find(accept_key(key_of(index))) != std::string::npos;
        std::transform(head.begin(), head.end(), head.begin(),
                       [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
        if (!accepted || head.find("sec-websocket-extensions") != std::string::npos) {
            give_up(format("connection %zu: handshake refused or with an extension", index));
        }
        phases_[index] = Phase::opening;
        return end + 4;
    }

    void take_frame(std::size_t index, std::uint8_t opcode, std::string_view text) {
        if (opcode == opcode_pong) {
            pong(index, text);
        } else if (opcode == opcode_ping) {
            append_frame(output(index), opcode_pong, text, next_mask());
        } else if (opcode != opcode_text || text.empty()) {
            give_up(format("connection %zu: frame with opcode %u", index, unsigned{opcode}));
        } else if (text == "2") {
            send_packet(index, "3");
        } else if (phases_[index] == Phase::joined && text[0] == '4') {
            packet(index, text);
        } else if (phases_[index] == Phase::opening && text.starts_with("0{")) {
            phases_[index] = Phase::joining;
            send_packet(index, "40");
        } else if (phases_[index] == Phase::joining && text.starts_with("40{")) {
            phases_[index] = Phase::joined;
            ++joined_;
            last_progress_ = now_;
        } else {
            ++faults_.failures;
        }
    }

    std::vector<Phase> phases_;
    std::uint32_t mask_ = 2463534242U;
};

/// `connect`: what opening, keeping and closing connections costs.
class Connect : public WebSocketLoop {
public:
    using WebSocketLoop::WebSocketLoop;

    int run() {
        const auto before = resident_bytes(options_.server);
        meter_.begin();
        open_all(options_.clients, joined_);
        meter_.end();
        run_for(std::max(options_.seconds / 2, 1.0));
        const auto after = resident_bytes(options_.server);
        const auto cpu_before_close = process_cpu_ns(options_.server);
        close_all();
        // The server is done with the last connection when it has used no CPU for a while.
        auto cpu = cpu_before_close;
        for (int i = 0; i < 50; ++i) {
            ::usleep(200'000);
            const auto now = process_cpu_ns(options_.server);
            if (now - cpu < 2'000'000) {
                break;
            }
            cpu = now;
        }
        const auto clients = static_cast<double>(options_.clients);
        return print(result_json(options_.clients) +
                     format(R"(,"bytes_per_connection":%.0f,"resident_before":%lld,"close_cpu_us":%.2f)",
                            static_cast<double>(after - before) / clients, static_cast<long long>(before),
                            static_cast<double>(cpu - cpu_before_close) / 1e3 / clients));
    }

private:
    void packet(std::size_t, std::string_view) override { ++faults_.altered; }
};

/// `echo`: one acknowledged event in flight per client.
class Echo : public WebSocketLoop {
public:
    using WebSocketLoop::WebSocketLoop;

    int run() {
        open_all(options_.clients, joined_);
        streams_.resize(options_.clients);
        for (std::size_t i = 0; i < options_.clients; ++i) {
            emit(i);
        }
        flush();
        run_for(options_.warm_seconds);
        latency_.clear();
        const auto start = received_;
        meter_.begin();
        run_for(options_.seconds);
        meter_.end();
        const auto messages = received_ - start;
        is_stopping_ = true;
        run_until([&] { return waiting_ == 0; });
        faults_.lost += waiting_;
        run_for(0.1);  // a repeated answer would come now
        return print(result_json(messages) + "," + latency_json());
    }

private:
    struct Stream {
        std::uint64_t number = 0;  ///< of the event in flight, or of the next one
        std::int64_t sent = 0;
        bool is_waiting = false;
    };

    void emit(std::size_t index) {
        Stream& stream = streams_[index];
        // The event's number also tells clients apart: an answer to somebody else is noticed.
        text_ = "42" + std::to_string(stream.number);
        text_.append(event_.with(number_of(index)));
        stream.sent = now_ns();
        stream.is_waiting = true;
        ++waiting_;
        send_packet(index, text_);
    }

    std::uint64_t number_of(std::size_t index) const { return index * 100'000 + streams_[index].number % 100'000; }

    void packet(std::size_t index, std::string_view text) override {
        Stream& stream = streams_[index];
        std::uint64_t id = 0;
        const char* end = text.data() + text.size();
        const auto id_end = std::from_chars(text.data() + std::min<std::size_t>(2, text.size()), end, id).ptr;
        const std::string_view args{id_end, static_cast<std::size_t>(end - id_end)};
        if (stream.is_waiting && text.starts_with("43") && id == stream.number &&
            args == answer_.with(number_of(index))) {
            latency_.add(now_ - stream.sent);
            last_progress_ = now_;
            stream.is_waiting = false;
            --waiting_;
            ++stream.number;
            ++received_;
            if (!is_stopping_) {
                emit(index);
            }
        } else if (text.starts_with("43") && id < stream.number) {
            ++faults_.repeated;
        } else {
            ++faults_.altered;
        }
    }

    std::vector<Stream> streams_;
    NumberedPacket event_{R"(["message-with-ack",")", R"("])"};
    NumberedPacket answer_{R"([")", R"("])"};
    std::string text_;
    std::uint64_t received_ = 0;
    std::uint64_t waiting_ = 0;
    bool is_stopping_ = false;
};

/// `fanout` and `mixed`: client 0 broadcasts to everybody, itself included.
class Fanout : public WebSocketLoop {
public:
    Fanout(const Options& options, bool with_probes) : WebSocketLoop{options}, probes_(with_probes ? 3 : 0) {}

    int run() {
        const std::size_t clients = options_.clients;
        open_all(clients, joined_);
        checks_.resize(clients);
        broadcasts_.resize(options_.in_flight);
        for (std::size_t i = 0; i < options_.in_flight; ++i) {
            broadcast();
        }
        flush();
        measure();
        is_stopping_ = true;
        run_until([&] { return delivered_ >= sent_ * clients; });
        run_for(0.1);  // repeated messages would come now
        for (const SequenceCheck& check : checks_) {
            faults_.lost += sent_ - check.next();
        }
        return print(result_json(measured_) + "," + latency_json() + probes_json());
    }

private:
    struct Broadcast {
        std::int64_t sent = 0;
        std::size_t missing = 0;  ///< clients that have not received it
    };
    /// A client that asks for something small again and again while the broadcasts go on.
    struct Probe {
        std::uint64_t number = 0;
        std::int64_t sent = 0;
        std::int64_t due = 0;  ///< when to send the next one
        bool is_waiting = false;
        Histogram waits;
        std::int64_t own_delay = 0;    ///< the longest time we did not look while this one waited
        std::int64_t longest_net = 0;  ///< the longest wait without that
    };
    enum ProbeKind : std::size_t { by_ack, by_message, by_ping };

    /// Between two broadcasts if there is one in flight: then the messages that are counted and the
    /// CPU that is counted belong together exactly.
    void measure() {
        run_for(options_.warm_seconds);
        run_until([&] { return options_.in_flight > 1 || is_boundary(); });
        latency_.clear();
        for (Probe& probe : probes_) {
            probe.waits.clear();
            probe.longest_net = 0;
        }
        probe_delay_ = 0;
        const auto start = delivered_;
        meter_.begin();
        run_for(options_.seconds);
        run_until([&] { return options_.in_flight > 1 || is_boundary(); });
        meter_.end();
        measured_ = delivered_ - start;
    }

    bool is_boundary() const { return broadcasts_[0].missing == options_.clients; }

    void broadcast() {
        Broadcast& next = broadcasts_[sent_ % broadcasts_.size()];
        next.sent = now_ns();
        next.missing = options_.clients;
        send_packet(0, event_.with(sent_));
        ++sent_;
    }

    void packet(std::size_t index, std::string_view text) override {
        std::uint64_t number = 0;
        if (!event_.read(text, number) || number >= sent_) {
            if (!take_answer(index, text)) {
                ++faults_.altered;
            }
            return;
        }
        checks_[index].take(number, faults_);
        ++delivered_;
        last_progress_ = now_;
        if (sent_ - number > broadcasts_.size()) {
            return;
        }
        Broadcast& one = broadcasts_[number % broadcasts_.size()];
        latency_.add(now_ - one.sent);
        if (--one.missing == 0 && !is_stopping_) {
            // Numbers are given in order, so a slot is free only when its turn has come.
            while (sent_ < first_unfinished() + broadcasts_.size()) {
                broadcast();
            }
        }
    }

    /// The number of the oldest broadcast that somebody still waits for.
    std::uint64_t first_unfinished() const {
        std::uint64_t number = sent_ > broadcasts_.size() ? sent_ - broadcasts_.size() : 0;
        while (number < sent_ && broadcasts_[number % broadcasts_.size()].missing == 0) {
            ++number;
        }
        return number;
    }

    std::size_t client_of(std::size_t kind) const { return options_.clients - 1 - kind; }

    void between_reads() override {
        if (probes_.empty() || checks_.empty() || is_stopping_) {
            return;
        }
        const auto start = now_ns();
        const auto unseen = start - std::max(last_probing_, turn_start_);
        for (std::size_t kind = 0; kind < probes_.size(); ++kind) {
            Probe& probe = probes_[kind];
            if (probe.is_waiting) {
                probe.own_delay = std::max(probe.own_delay, std::min(unseen, start - probe.sent));
                read_from(client_of(kind));
            } else if (start >= probe.due) {
                send_probe(kind);
            }
        }
        flush();
        // How long this process itself kept an answer from being seen.
        probe_delay_ = std::max(probe_delay_, unseen);
        last_probing_ = now_ns();
    }

    void send_probe(std::size_t kind) {
        Probe& probe = probes_[kind];
        probe.is_waiting = true;
        probe.own_delay = 0;
        probe.sent = now_ns();
        const std::string number = std::to_string(probe.number);
        if (kind == by_ack) {
            send_packet(client_of(kind), "42" + number + R"(["message-with-ack",)" + number + "]");
        } else if (kind == by_message) {
            send_packet(client_of(kind), R"(42["message",)" + number + "]");
        } else {
            send_ping(client_of(kind), number);
        }
    }

    bool take_answer(std::size_t index, std::string_view text) {
        const std::size_t kind = options_.clients - 1 - index;
        if (kind >= probes_.size() || !probes_[kind].is_waiting) {
            return false;
        }
        Probe& probe = probes_[kind];
        const std::string number = std::to_string(probe.number);
        const bool is_right = kind == by_ack       ? text == "43" + number + "[" + number + "]"
                              : kind == by_message ? text == R"(42["message",)" + number + "]"
                                                   : text == number;
        if (is_right) {
            probe.waits.add(now_ - probe.sent);
            probe.longest_net = std::max(probe.longest_net, now_ - probe.sent - probe.own_delay);
            probe.is_waiting = false;
            ++probe.number;
            // 0.5 to 2.5 ms later, so that the probes meet every phase of a broadcast.
            probe.due = now_ + 500'000 + static_cast<std::int64_t>(probe.number * 617'213 % 2'000'000);
        }
        return is_right;
    }

    void pong(std::size_t index, std::string_view text) override {
        if (!take_answer(index, text)) {
            ++faults_.altered;
        }
    }

    std::string probes_json() const {
        if (probes_.empty()) {
            return "";
        }
        std::string json;
        constexpr std::array names{"ack", "message", "ping"};
        for (std::size_t kind = 0; kind < probes_.size(); ++kind) {
            const Histogram& waits = probes_[kind].waits;
            json += format(R"(,"%s_probes":%llu,"%s_wait_p50_ms":%.3f,"%s_wait_p99_ms":%.3f,)"
                           R"("%s_wait_max_ms":%.3f,"%s_net_wait_max_ms":%.3f)",
                           names[kind], static_cast<unsigned long long>(waits.count()), names[kind],
                           waits.quantile_ms(0.5), names[kind], waits.quantile_ms(0.99), names[kind],
                           waits.largest_ms(), names[kind], static_cast<double>(probes_[kind].longest_net) / 1e6);
        }
        return json + format(R"(,"probe_delay_ms":%.3f)", static_cast<double>(probe_delay_) / 1e6);
    }

    NumberedPacket event_{R"(42["broadcast",")", R"("])"};
    std::vector<SequenceCheck> checks_;
    std::vector<Broadcast> broadcasts_;  ///< slot: number modulo --in-flight
    std::vector<Probe> probes_;
    std::uint64_t sent_ = 0;
    std::uint64_t delivered_ = 0;
    std::uint64_t measured_ = 0;
    std::int64_t last_probing_ = 0;
    std::int64_t probe_delay_ = 0;
    bool is_stopping_ = false;
};

/// `poll`: as `echo`, by HTTP long polling. Client i has connection 2i for GET, 2i+1 for POST.
class Poll : public Loop {
public:
    using Loop::Loop;

    int run() {
        clients_.resize(options_.clients);
        open_all(2 * options_.clients, connected_);
        run_until([&] { return joined_ >= options_.clients; });
        if (is_stalled_) {
            give_up(format("only %zu of %zu clients joined", joined_, options_.clients));
        }
        for (std::size_t i = 0; i < clients_.size(); ++i) {
            emit(i);
        }
        flush();
        run_for(options_.warm_seconds);
        latency_.clear();
        const auto start = received_;
        meter_.begin();
        run_for(options_.seconds);
        meter_.end();
        const auto messages = received_ - start;
        is_stopping_ = true;
        run_until([&] { return waiting_ == 0; });
        faults_.lost += waiting_;
        return print(result_json(messages) + "," + latency_json());
    }

private:
    struct Client {
        std::string sid;
        std::string unposted;  ///< packets that wait for the POST under way, joined by 0x1e
        bool is_posting = false;
        bool is_joined = false;
        bool is_waiting = false;
        std::uint64_t number = 0;
        std::int64_t sent = 0;
    };

    void connected(std::size_t index) override {
        ++connected_;
        last_progress_ = now_ns();
        if (index % 2 == 0) {
            get(index / 2);
        }
    }

    std::string request_head(const char* method, std::size_t index) {
        const Client& client = clients_[index];
        return format(
            "%s /socket.io/?EIO=4&transport=polling&t=%llx%s%s HTTP/1.1\r\n"
            "Accept: */*\r\nHost: 127.0.0.1:%u\r\nConnection: keep-alive\r\n",
            method, static_cast<unsigned long long>(++request_count_),
            client.sid.empty() ? "" : "&sid=", client.sid.c_str(), unsigned{options_.port});
    }

    void get(std::size_t index) { output(2 * index) += request_head("GET", index) + "\r\n"; }

    void post(std::size_t index, std::string_view packet) {
        Client& client = clients_[index];
        if (!client.unposted.empty()) {
            client.unposted.push_back('\x1e');
        }
        client.unposted.append(packet);
        if (!client.is_posting) {
            client.is_posting = true;
            output(2 * index + 1) += request_head("POST", index) +
                                     format(
                                         "Content-type: text/plain;charset=UTF-8\r\n"
                                         "Content-Length: %zu\r\n\r\n",
                                         client.unposted.size()) +
                                     client.unposted;
            client.unposted.clear();
        }
    }

    void emit(std::size_t index) {
        Client& client = clients_[index];
        client.sent = now_ns();
        client.is_waiting = true;
        ++waiting_;
        post(index, "42" + std::to_string(client.number) + std::string{event_.with(number_of(index))});
    }

    std::uint64_t number_of(std::size_t index) const { return index * 100'000 + clients_[index].number % 100'000; }

    std::size_t take(std::size_t connection, char* data, std::size_t size) override {
        const std::string_view in{data, size};
        const auto head_end = in.find("\r\n\r\n");
        if (head_end == std::string_view::npos) {
            return 0;
        }
        std::string head{in.substr(0, head_end + 2)};
        std::transform(head.begin(), head.end(), head.begin(),
                       [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
        constexpr std::string_view length_name = "\r\ncontent-length:";
        const auto at_length = head.find(length_name);
        if (!head.starts_with("http/1.1 200 ") || at_length == std::string::npos) {
            give_up(format("connection %zu: not a 200 with a Content-Length", connection));
        }
        std::size_t body_size = 0;
        const auto at_digits = head.find_first_not_of(' ', at_length + length_name.size());
        std::from_chars(head.data() + at_digits, head.data() + head.size(), body_size);
        if (size < head_end + 4 + body_size) {
            return 0;
        }
        const std::size_t index = connection / 2;
        std::string_view body = in.substr(head_end + 4, body_size);
        if (connection % 2 == 1) {
            posted(index, body);
        } else {
            while (!body.empty()) {
                const auto end = std::min(body.find('\x1e'), body.size());
                packet(index, body.substr(0, end));
                body.remove_prefix(std::min(end + 1, body.size()));
            }
            get(index);
        }
        return head_end + 4 + body_size;
    }

    void posted(std::size_t index, std::string_view body) {
        Client& client = clients_[index];
        client.is_posting = false;
        if (body != "ok") {
            ++faults_.failures;
        }
        if (!client.unposted.empty()) {
            std::string packets;
            packets.swap(client.unposted);
            post(index, packets);
        }
    }

    void packet(std::size_t index, std::string_view text) {
        Client& client = clients_[index];
        constexpr std::string_view sid_name = R"("sid":")";
        if (client.sid.empty()) {
            const auto at_sid = text.find(sid_name) + sid_name.size();
            if (!text.starts_with("0{") || at_sid < sid_name.size()) {
                give_up(format("client %zu: no open packet", index));
            }
            client.sid = text.substr(at_sid, text.find('"', at_sid) - at_sid);
            post(index, "40");
        } else if (text == "2") {
            post(index, "3");
        } else if (!client.is_joined && text.starts_with("40{")) {
            client.is_joined = true;
            ++joined_;
            last_progress_ = now_;
        } else if (client.is_waiting && text == expected_answer(index)) {
            latency_.add(now_ - client.sent);
            last_progress_ = now_;
            client.is_waiting = false;
            --waiting_;
            ++client.number;
            ++received_;
            if (!is_stopping_) {
                emit(index);
            }
        } else if (client.is_joined && text.starts_with("43")) {
            ++faults_.repeated;
        } else {
            ++faults_.altered;
        }
    }

    std::string expected_answer(std::size_t index) {
        return "43" + std::to_string(clients_[index].number) + std::string{answer_.with(number_of(index))};
    }

    std::vector<Client> clients_;
    NumberedPacket event_{R"(["message-with-ack",")", R"("])"};
    NumberedPacket answer_{R"([")", R"("])"};
    std::size_t connected_ = 0;
    std::size_t joined_ = 0;
    std::uint64_t request_count_ = 0;
    std::uint64_t received_ = 0;
    std::uint64_t waiting_ = 0;
    bool is_stopping_ = false;
};

template <typename Number>
bool read_number(std::string_view text, Number& number) {
    const char* end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, number);
    return result.ptr == end && result.ec == std::errc{};
}

bool read_options(int argc, char** argv, Options& options) {
    if (argc < 2) {
        return false;
    }
    options.mode = argv[1];
    for (int i = 2; i + 1 < argc; i += 2) {
        const std::string_view name = argv[i];
        const std::string_view value = argv[i + 1];
        const bool is_good = name == "--port"        ? read_number(value, options.port)
                             : name == "--pid"       ? read_number(value, options.server)
                             : name == "--clients"   ? read_number(value, options.clients)
                             : name == "--in-flight" ? read_number(value, options.in_flight)
                             : name == "--warm"      ? read_number(value, options.warm_seconds)
                             : name == "--seconds"   ? read_number(value, options.seconds)
                                                     : false;
        if (!is_good) {
            return false;
        }
    }
    return argc % 2 == 0 && options.port != 0 && options.server > 0 && options.clients >= 4 && options.in_flight >= 1;
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    if (read_options(argc, argv, options)) {
        std::signal(SIGPIPE, SIG_IGN);
        if (options.mode == "connect") {
            return Connect{options}.run();
        }
        if (options.mode == "echo") {
            return Echo{options}.run();
        }
        if (options.mode == "fanout" || options.mode == "mixed") {
            return Fanout{options, options.mode == "mixed"}.run();
        }
        if (options.mode == "poll") {
            return Poll{options}.run();
        }
    }
    std::fputs(
        "usage: bench-load connect|echo|fanout|mixed|poll --port N --pid N [--clients N]\n"
        "                  [--in-flight N] [--warm SECONDS] [--seconds SECONDS]\n",
        stderr);
    return 64;
}
