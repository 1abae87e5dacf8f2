// A Socket.IO client over one WebSocket: sends and receives packets, answers pings. No reconnection.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "proto/sio_packet.h"
#include "proto/ws_frame.h"
#include "sioctl/control.h"
#include "sioctl/exit_code.h"

namespace sio::sioctl {

/// Where a server is.
struct Url {
    std::string host;
    std::string port;
    std::string query;  ///< after `?`, undecoded
    std::string nsp;    ///< the path, as stock clients understand it; `/` when there is none
    bool is_ipv6_literal = false;
};

/// Reads `http://HOST[:PORT][/NSP][?QUERY]`, the same with `ws`, or `HOST:PORT`. Failure: 64; for https and wss, whose
/// encryption this client does not have, with a way out.
Outcome<Url> parse_url(std::string_view text);

struct Handshake {
    std::string path = "/socket.io/";
    std::vector<std::string> headers;  ///< `Name: value`
};

/// A packet that came, with memory of its own.
struct Received {
    proto::SioType type;
    std::string nsp;
    std::optional<std::uint64_t> id;
    std::string json;
    std::vector<std::string> attachments;

    [[nodiscard]] bool is_event() const noexcept {
        return type == proto::SioType::event || type == proto::SioType::binary_event;
    }
    [[nodiscard]] bool is_ack() const noexcept {
        return type == proto::SioType::ack || type == proto::SioType::binary_ack;
    }
};

class SocketClient {
public:
    /// The largest message this client takes, bytes.
    static constexpr std::size_t max_message = std::size_t{64} << 20;

    /// Connects, and upgrades to WebSocket. Failure: 69 when the server cannot be reached, 75 when it does not answer
    /// in time, 77 when it refuses (401, 403), 70 when it is no Engine.IO server.
    static Outcome<SocketClient> open(const Url& url, const Handshake& handshake, const Deadline& deadline);

    /// Queues a packet without attachments. `json` may be empty.
    void send(proto::SioType type, std::string_view nsp, std::optional<std::uint64_t> id, std::string_view json);

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    [[nodiscard]] short events() const noexcept;
    /// By when the server must have pinged again; check with Clock::now().
    [[nodiscard]] const Deadline& heartbeat() const noexcept { return heartbeat_; }

    /// Sends and reads what is possible. Failure: 69 when the connection has ended, 70 when the server breaks the
    /// protocol. Packets that came before are still given by next().
    Outcome<void> on_ready(short revents);
    std::optional<Received> next();

    /// Leaves the namespace, says goodbye and waits up to a second for what is queued to go out.
    void close(std::string_view nsp);

private:
    explicit SocketClient(base::UniqueFd fd);
    Outcome<void> upgrade(const Url& url, const Handshake& handshake, const Deadline& deadline);
    Outcome<void> flush();
    Outcome<void> read_messages();
    Outcome<void> take_text(std::string_view text);
    Outcome<void> take_packet(const proto::SioPacket& packet);
    void queue_frame(proto::WsOpcode opcode, std::string_view payload);
    void restart_heartbeat();

    base::UniqueFd fd_;
    proto::WsReader reader_{proto::WsReader::Role::client, max_message};
    proto::SioDecoder decoder_{max_message};
    std::string in_;  // read, not yet taken by the reader
    std::string out_;
    std::vector<Received> received_;
    std::size_t taken_ = 0;                     // of received_
    std::chrono::milliseconds ping_period_{0};  // interval and timeout; 0 before the open packet
    Deadline heartbeat_;
    bool shut_ = false;
};

}  // namespace sio::sioctl
