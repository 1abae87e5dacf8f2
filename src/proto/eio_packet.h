// One Engine.IO v4 packet to and from bytes, and the payload of a long-polling body.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace sio::proto {

/// The type digit of a packet. Source: Engine.IO protocol revision 4.
enum class EioType : char {
    open = '0',
    close = '1',
    ping = '2',
    pong = '3',
    message = '4',
    upgrade = '5',
    noop = '6',
};

/// One packet as it arrived, without copying.
struct EioPacket {
    EioType type;
    bool base64;            ///< a binary message written as text (`b…`); body is still base64
    std::string_view body;  ///< points into the frame given to decode_eio()
};

/// Decodes one text frame. Nothing for an empty frame or a first character outside `0`–`6` and `b`.
std::optional<EioPacket> decode_eio(std::string_view frame) noexcept;

/// Separates the packets of a polling body (joined with 0x1E). An empty body holds one empty, hence invalid, packet.
///
///     for (EioPayload p{body}; auto frame = p.next();) …
class EioPayload {
public:
    static constexpr char separator = '\x1e';

    explicit EioPayload(std::string_view body) noexcept : rest_(body) {}
    std::optional<std::string_view> next() noexcept;

private:
    std::string_view rest_;
    bool done_ = false;
};

/// What the open packet tells the client. Times in milliseconds.
struct EioHandshake {
    std::string_view sid;
    bool offers_websocket;
    long long ping_interval_ms;
    long long ping_timeout_ms;
    std::size_t max_payload;
};

/// Appends `0{"sid":…}` with the five keys in the order clients know.
void append_open_packet(std::string& out, const EioHandshake& handshake);

}  // namespace sio::proto
