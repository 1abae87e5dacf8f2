// WebSocket frames (RFC 6455): a reader that is strict and copies only what is cut, and header writers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace sio::proto {

enum class WsOpcode : std::uint8_t { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

/// Close codes we send. Source: RFC 6455 section 7.4.1 and the IANA registry.
namespace ws_close {
inline constexpr std::uint16_t none = 0;  ///< a close frame without a code, as Node sends it
inline constexpr std::uint16_t normal = 1000;
inline constexpr std::uint16_t going_away = 1001;
inline constexpr std::uint16_t protocol_error = 1002;
inline constexpr std::uint16_t bad_data = 1007;
inline constexpr std::uint16_t policy = 1008;
inline constexpr std::uint16_t too_big = 1009;
inline constexpr std::uint16_t service_restart = 1012;
inline constexpr std::uint16_t try_again_later = 1013;
}  // namespace ws_close

/// What WsReader::next() found.
struct WsEvent {
    enum class Kind {
        need_more,  ///< all input is consumed
        text,       ///< a whole message, valid UTF-8
        binary,     ///< a whole message
        ping,
        pong,
        close,  ///< `close_code` is the peer's, or none; `data` its reason
        error,  ///< the connection must be closed with `close_code`; the reader stays in this state
    };
    Kind kind;
    std::string_view data;  ///< valid until the next call, and only while the input buffer is
    std::uint16_t close_code = ws_close::none;
    std::uint64_t size = 0;  ///< with ws_close::too_big: bytes of the message, as far as its frames have said
};

/// Reads the frames of one connection.
///
/// A message that lies in the input whole is unmasked in place and returned as a view; only what straddles reads or
/// fragments is copied into memory of the reader, which grows with the bytes that have come, never with the length a
/// header claims, and is given back when the message is done. A header whose message would exceed `max_message` is
/// answered 1009 before any of its payload is kept. Idle state is small (a few dozen bytes).
///
/// Strict as Autobahn wants it: reserved bits and opcodes, control frames above 125 bytes or fragmented, wrong
/// continuation, masks (a server demands them, a client refuses them), 64-bit lengths with the top bit set: 1002; text
/// that can no longer become UTF-8: 1007 at the first such byte, also inside a fragment; bad close payloads: 1002 (or
/// 1007 for their text).
class WsReader {
public:
    enum class Role { server, client };

    WsReader(Role role, std::size_t max_message) noexcept;
    ~WsReader();
    WsReader(WsReader&&) noexcept;
    WsReader& operator=(WsReader&&) noexcept;

    /// Takes bytes from the front of `in` (advancing it) until an event is complete. Call until `need_more`.
    WsEvent next(std::span<char>& in);

    /// Bytes of memory held for the unfinished message.
    [[nodiscard]] std::size_t bytes_held() const noexcept;

private:
    struct State;
    std::unique_ptr<State> state_;  // only while something is unfinished
    std::size_t max_message_;
    Role role_;
    bool failed_ = false;
    std::uint16_t error_code_ = 0;
};

/// The most bytes a frame header takes (without a mask, which servers do not send).
inline constexpr std::size_t ws_max_header = 10;

/// Writes a final, unmasked frame's header to `out` (ws_max_header bytes of room); returns its length.
std::size_t write_ws_header(char* out, WsOpcode opcode, std::size_t payload_bytes) noexcept;

/// Appends a whole unmasked control or data frame.
void append_ws_frame(std::string& out, WsOpcode opcode, std::string_view payload);

/// Appends a masked frame, as clients must send it. `mask` comes from the caller's random source.
void append_masked_ws_frame(std::string& out, WsOpcode opcode, std::string_view payload, std::uint32_t mask);

/// Appends a close frame; without payload for ws_close::none.
void append_ws_close(std::string& out, std::uint16_t code, std::string_view reason);

/// The Sec-WebSocket-Accept for a key (SHA-1, base64). Source: RFC 6455 section 4.2.2.
std::string websocket_accept(std::string_view key);

/// The first of the protocols that a client offers in Sec-WebSocket-Protocol, which is the one that ws takes. Nothing
/// when the list is malformed: no token (RFC 9110), an empty element, one that is repeated.
std::optional<std::string_view> first_websocket_protocol(std::string_view offered);

/// Whether a Sec-WebSocket-Key is 16 bytes in base64 (24 characters), as ws checks it.
bool is_websocket_key(std::string_view key) noexcept;

}  // namespace sio::proto
