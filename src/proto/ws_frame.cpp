#include "proto/ws_frame.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>
#include <utility>

namespace sio::proto {
namespace {

constexpr std::size_t max_header = 14;  // two bytes, eight of length, four of mask
constexpr std::size_t max_control = 125;

struct Header {
    bool fin = false;
    WsOpcode opcode = WsOpcode::continuation;
    bool masked = false;
    std::array<char, 4> mask{};
    std::uint64_t payload = 0;

    [[nodiscard]] bool is_control() const noexcept { return static_cast<std::uint8_t>(opcode) >= 8; }
};

/// Exclusive-ors `data` with the mask, of which `offset` bytes have been used before.
void unmask(std::span<char> data, const std::array<char, 4>& mask, std::uint64_t offset) noexcept {
    std::array<char, 8> turned{};
    for (std::size_t i = 0; i < 8; ++i) turned[i] = mask[(offset + i) % 4];
    std::uint64_t key;
    std::memcpy(&key, turned.data(), sizeof key);
    if (key == 0) return;
    char* p = data.data();
    std::size_t left = data.size();
    for (; left >= 8; left -= 8, p += 8) {
        std::uint64_t word;
        std::memcpy(&word, p, sizeof word);
        word ^= key;
        std::memcpy(p, &word, sizeof word);
    }
    for (std::size_t i = 0; i < left; ++i) p[i] = static_cast<char>(p[i] ^ turned[i]);
}

constexpr std::string_view as_text(std::span<const char> bytes) noexcept { return {bytes.data(), bytes.size()}; }

/// Whether a peer may send this code. Source: RFC 6455 section 7.4 and the IANA registry (1012-1014).
constexpr bool is_close_code(unsigned code) noexcept {
    if (code >= 3000) return code <= 4999;
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

WsEvent failure(std::uint16_t code) noexcept { return {WsEvent::Kind::error, {}, code}; }

/// The event of a whole control frame; an error for a close payload that RFC 6455 forbids.
WsEvent control_event(WsOpcode opcode, std::string_view payload) noexcept {
    if (opcode == WsOpcode::ping) return {WsEvent::Kind::ping, payload, ws_close::none};
    if (opcode == WsOpcode::pong) return {WsEvent::Kind::pong, payload, ws_close::none};
    if (payload.empty()) return {WsEvent::Kind::close, {}, ws_close::none};
    if (payload.size() == 1) return failure(ws_close::protocol_error);
    const unsigned code =
        static_cast<unsigned>(static_cast<unsigned char>(payload[0])) << 8U | static_cast<unsigned char>(payload[1]);
    if (!is_close_code(code)) return failure(ws_close::protocol_error);
    const std::string_view reason = payload.substr(2);
    if (!base::is_utf8(reason)) return failure(ws_close::bad_data);
    return {WsEvent::Kind::close, reason, static_cast<std::uint16_t>(code)};
}

}  // namespace

struct WsReader::State {
    // The header being collected.
    std::array<char, max_header> header_bytes{};
    std::size_t header_have = 0;

    // The frame whose payload is being read; `left` may be 0 only between frames.
    bool in_frame = false;
    Header frame;
    std::uint64_t left = 0;

    // The data message being collected: `opcode` is continuation when there is none.
    WsOpcode opcode = WsOpcode::continuation;
    std::string message;
    base::Utf8Validator utf8;

    // A control frame that straddles reads.
    std::array<char, max_control> control{};
    std::size_t control_have = 0;

    // The last event's data lies here: it goes away at the next call.
    bool message_delivered = false;
};

WsReader::WsReader(Role role, std::size_t max_message) noexcept : max_message_(max_message), role_(role) {}
WsReader::~WsReader() = default;
WsReader::WsReader(WsReader&&) noexcept = default;
WsReader& WsReader::operator=(WsReader&&) noexcept = default;

std::size_t WsReader::bytes_held() const noexcept {
    return state_ == nullptr ? 0 : sizeof(State) + state_->message.capacity();
}

namespace {

constexpr std::uint64_t most_claimed = std::uint64_t{1} << 62U;

struct Parsed {
    enum class Outcome { incomplete, complete, error };
    Outcome outcome = Outcome::incomplete;
    std::size_t length = 0;  ///< of the header, when complete
    std::uint16_t code = 0;  ///< when error
};

/// Parses a header as far as `bytes` reach, refusing what is wrong at the byte that makes it wrong.
Parsed parse_header(std::span<const char> bytes, bool expect_mask, bool in_message, std::uint64_t message_room,
                    Header& out) noexcept {
    constexpr Parsed incomplete{};
    constexpr Parsed wrong{Parsed::Outcome::error, 0, ws_close::protocol_error};
    const auto byte = [&](std::size_t i) { return std::uint64_t{static_cast<unsigned char>(bytes[i])}; };

    if (bytes.empty()) return incomplete;
    if ((byte(0) & 0x70U) != 0) return wrong;  // nothing was negotiated that gives RSV bits a meaning
    const auto opcode = static_cast<std::uint8_t>(byte(0) & 0x0FU);
    if (opcode > 10 || (opcode > 2 && opcode < 8)) return wrong;
    out.opcode = static_cast<WsOpcode>(opcode);
    out.fin = (byte(0) & 0x80U) != 0;
    if (out.is_control()) {
        if (!out.fin) return wrong;
    } else if ((out.opcode == WsOpcode::continuation) != in_message) {
        return wrong;
    }

    if (bytes.size() < 2) return incomplete;
    out.masked = (byte(1) & 0x80U) != 0;
    if (out.masked != expect_mask) return wrong;
    out.payload = byte(1) & 0x7FU;
    std::size_t length = 2;
    if (out.payload > max_control) {
        if (out.is_control()) return wrong;
        // A length in more bytes than it needs is let pass, as Node does: it can mean only one thing.
        const std::size_t wide = out.payload == 126 ? 2 : 8;
        if (wide == 8 && bytes.size() > 2 && (byte(2) & 0x80U) != 0) return wrong;
        length += wide;
        if (bytes.size() < length) return incomplete;
        out.payload = 0;
        for (std::size_t i = 2; i < length; ++i) out.payload = out.payload << 8U | byte(i);
    }
    if (!out.is_control() && out.payload > message_room) {
        return {Parsed::Outcome::error, 0, ws_close::too_big};
    }
    if (out.masked) {
        if (bytes.size() < length + 4) return incomplete;
        std::memcpy(out.mask.data(), bytes.data() + length, 4);
        length += 4;
    }
    return {Parsed::Outcome::complete, length, 0};
}

}  // namespace

WsEvent WsReader::next(std::span<char>& in) {
    const auto fail_with = [this](std::uint16_t code, std::uint64_t size = 0) {
        failed_ = true;
        error_code_ = code;
        state_.reset();
        WsEvent event = failure(code);
        event.size = size;
        return event;
    };
    // A state is kept only while a message, a frame or a header is unfinished.
    const auto release_if_idle = [this] {
        if (state_ && !state_->in_frame && state_->header_have == 0 && state_->opcode == WsOpcode::continuation) {
            state_.reset();
        }
    };

    if (failed_) return failure(error_code_);
    if (state_ && state_->message_delivered) {
        state_->message_delivered = false;
        state_->opcode = WsOpcode::continuation;
        state_->message = std::string{};
        state_->utf8.reset();
    }
    release_if_idle();

    for (;;) {
        if (!state_ || !state_->in_frame) {
            if (in.empty()) return {WsEvent::Kind::need_more, {}, ws_close::none};
            const bool in_message = state_ && state_->opcode != WsOpcode::continuation;
            const std::uint64_t collected = state_ ? state_->message.size() : 0;
            const std::uint64_t room = max_message_ - collected;
            const bool expect_mask = role_ == Role::server;
            Header header;
            Parsed parsed;
            const auto claimed = [&](const Parsed& wrong) {  // added up only where it is no nonsense
                return wrong.code == ws_close::too_big ? collected + std::min(header.payload, most_claimed) : 0;
            };
            if (!state_ || state_->header_have == 0) {
                parsed = parse_header(in, expect_mask, in_message, room, header);
                if (parsed.outcome == Parsed::Outcome::error) return fail_with(parsed.code, claimed(parsed));
                if (parsed.outcome == Parsed::Outcome::complete) {
                    const std::span<char> body = in.subspan(parsed.length);
                    const bool whole = body.size() >= header.payload;
                    if (whole && (header.is_control() || (header.fin && !in_message))) {
                        // The common case: nothing is copied.
                        const auto payload = body.first(static_cast<std::size_t>(header.payload));
                        in = body.subspan(payload.size());
                        if (header.masked) unmask(payload, header.mask, 0);
                        const std::string_view data = as_text(payload);
                        if (header.is_control()) {
                            const WsEvent event = control_event(header.opcode, data);
                            return event.kind == WsEvent::Kind::error ? fail_with(event.close_code) : event;
                        }
                        if (header.opcode == WsOpcode::binary) {
                            return {WsEvent::Kind::binary, data, ws_close::none};
                        }
                        if (!base::is_utf8(data)) return fail_with(ws_close::bad_data);
                        return {WsEvent::Kind::text, data, ws_close::none};
                    }
                    in = body;
                } else {
                    if (!state_) state_ = std::make_unique<State>();
                    std::memcpy(state_->header_bytes.data(), in.data(), in.size());
                    state_->header_have = in.size();
                    in = in.last(0);
                    return {WsEvent::Kind::need_more, {}, ws_close::none};
                }
            } else {
                State& state = *state_;
                const std::size_t had = state.header_have;
                const std::size_t taken = std::min(in.size(), max_header - had);
                std::memcpy(state.header_bytes.data() + had, in.data(), taken);
                const std::span<const char> bytes{state.header_bytes.data(), had + taken};
                parsed = parse_header(bytes, expect_mask, in_message, room, header);
                if (parsed.outcome == Parsed::Outcome::error) return fail_with(parsed.code, claimed(parsed));
                if (parsed.outcome == Parsed::Outcome::incomplete) {
                    state.header_have += taken;
                    in = in.subspan(taken);
                    return {WsEvent::Kind::need_more, {}, ws_close::none};
                }
                in = in.subspan(parsed.length - had);
                state.header_have = 0;
            }
            if (!state_) state_ = std::make_unique<State>();
            state_->in_frame = true;
            state_->frame = header;
            state_->left = header.payload;
            state_->control_have = 0;
            if (!header.is_control() && !in_message) state_->opcode = header.opcode;
        }

        State& state = *state_;
        const auto taken = static_cast<std::size_t>(std::min<std::uint64_t>(in.size(), state.left));
        const std::span<char> piece = in.first(taken);
        in = in.subspan(taken);
        if (state.frame.masked) unmask(piece, state.frame.mask, state.frame.payload - state.left);
        state.left -= taken;
        const bool ended = state.left == 0;
        if (state.frame.is_control()) {
            if (taken != 0) std::memcpy(state.control.data() + state.control_have, piece.data(), taken);
            state.control_have += taken;
            if (!ended) return {WsEvent::Kind::need_more, {}, ws_close::none};
            state.in_frame = false;
            const WsEvent event = control_event(state.frame.opcode, {state.control.data(), state.control_have});
            return event.kind == WsEvent::Kind::error ? fail_with(event.close_code) : event;
        }

        if (state.opcode == WsOpcode::text && !state.utf8.feed(as_text(piece))) {
            return fail_with(ws_close::bad_data);
        }
        state.message.append(piece.data(), piece.size());
        if (!ended) return {WsEvent::Kind::need_more, {}, ws_close::none};
        state.in_frame = false;
        if (!state.frame.fin) continue;
        if (!state.utf8.at_boundary()) return fail_with(ws_close::bad_data);
        state.message_delivered = true;
        const auto kind = state.opcode == WsOpcode::text ? WsEvent::Kind::text : WsEvent::Kind::binary;
        return {kind, state.message, ws_close::none};
    }
}

std::size_t write_ws_header(char* out, WsOpcode opcode, std::size_t payload_bytes) noexcept {
    const std::uint64_t size = payload_bytes;
    out[0] = static_cast<char>(0x80U | static_cast<unsigned>(opcode));
    if (size <= 125) {
        out[1] = static_cast<char>(size);
        return 2;
    }
    const std::size_t wide = size <= 0xFFFF ? 2 : 8;
    out[1] = static_cast<char>(wide == 2 ? 126 : 127);
    for (std::size_t i = 0; i < wide; ++i) {
        out[2 + i] = static_cast<char>(size >> (8 * (wide - 1 - i)) & 255U);
    }
    return 2 + wide;
}

void append_ws_frame(std::string& out, WsOpcode opcode, std::string_view payload) {
    std::array<char, ws_max_header> header;
    out.append(header.data(), write_ws_header(header.data(), opcode, payload.size()));
    out.append(payload);
}

void append_masked_ws_frame(std::string& out, WsOpcode opcode, std::string_view payload, std::uint32_t mask) {
    std::array<char, ws_max_header> header;
    const std::size_t length = write_ws_header(header.data(), opcode, payload.size());
    header[1] = static_cast<char>(static_cast<unsigned char>(header[1]) | 0x80U);
    std::array<char, 4> mask_bytes{};
    for (unsigned i = 0; i < 4; ++i) mask_bytes[i] = static_cast<char>(mask >> (24U - 8U * i) & 255U);
    out.append(header.data(), length);
    out.append(mask_bytes.data(), mask_bytes.size());
    const std::size_t start = out.size();
    out.append(payload);
    unmask({out.data() + start, payload.size()}, mask_bytes, 0);
}

void append_ws_close(std::string& out, std::uint16_t code, std::string_view reason) {
    if (code == ws_close::none) {
        append_ws_frame(out, WsOpcode::close, {});
        return;
    }
    std::array<char, max_control> payload;
    payload[0] = static_cast<char>(code >> 8U);
    payload[1] = static_cast<char>(code & 255U);
    std::size_t kept = std::min(reason.size(), max_control - 2);
    // A reason that is cut must not be cut inside a character.
    while (kept != 0 && kept < reason.size() && (static_cast<unsigned char>(reason[kept]) & 0xC0U) == 0x80U) {
        --kept;
    }
    if (kept != 0) std::memcpy(payload.data() + 2, reason.data(), kept);
    append_ws_frame(out, WsOpcode::close, {payload.data(), kept + 2});
}

namespace {

/// SHA-1 (FIPS 180-4), for the handshake alone: here it is an identifier, not a protection.
std::array<std::uint8_t, 20> sha1(std::string_view data) {
    std::array<std::uint32_t, 5> h{0x67452301U, 0xEFCDAB89U, 0x98BADCFEU, 0x10325476U, 0xC3D2E1F0U};
    std::string padded{data};
    padded.push_back('\x80');
    while (padded.size() % 64 != 56) padded.push_back('\0');
    const std::uint64_t bits = std::uint64_t{data.size()} * 8;
    for (unsigned i = 0; i < 8; ++i) padded.push_back(static_cast<char>(bits >> (56U - 8U * i) & 255U));

    for (std::size_t block = 0; block < padded.size(); block += 64) {
        std::array<std::uint32_t, 80> w{};
        for (std::size_t i = 0; i < 64; ++i) {
            w[i / 4] = w[i / 4] << 8U | static_cast<unsigned char>(padded[block + i]);
        }
        for (std::size_t i = 16; i < 80; ++i) {
            w[i] = std::rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        }
        auto [a, b, c, d, e] = h;
        for (std::size_t i = 0; i < 80; ++i) {
            std::uint32_t f = b ^ c ^ d;
            std::uint32_t k = 0x6ED9EBA1U;
            if (i < 20) {
                f = (b & c) | (~b & d);
                k = 0x5A827999U;
            } else if (i >= 40 && i < 60) {
                f = (b & c) | (b & d) | (c & d);
                k = 0x8F1BBCDCU;
            } else if (i >= 60) {
                k = 0xCA62C1D6U;
            }
            const std::uint32_t turned = std::rotl(a, 5) + f + e + k + w[i];
            e = std::exchange(d, std::exchange(c, std::rotl(std::exchange(b, a), 30)));
            a = turned;
        }
        h = {h[0] + a, h[1] + b, h[2] + c, h[3] + d, h[4] + e};
    }
    std::array<std::uint8_t, 20> digest{};
    for (unsigned i = 0; i < 20; ++i) {
        digest[i] = static_cast<std::uint8_t>(h[i / 4] >> (24U - 8U * (i % 4)) & 255U);
    }
    return digest;
}

}  // namespace

std::string websocket_accept(std::string_view key) {
    const auto digest = sha1(std::string{key} + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    std::string bytes;
    for (const std::uint8_t byte : digest) bytes.push_back(static_cast<char>(byte));
    std::string accept;
    base::append_base64(accept, bytes);
    return accept;
}

std::optional<std::string_view> first_websocket_protocol(std::string_view offered) {
    constexpr std::size_t most = 64;  // each is compared with those before it
    const auto is_token = [](std::string_view text) {
        return !text.empty() && std::ranges::all_of(text, [](char c) {
            const bool is_alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
            return is_alphanumeric || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
        });
    };
    std::array<std::string_view, most> seen;
    std::size_t count = 0;
    for (bool is_last = false; !is_last;) {
        const std::size_t comma = offered.find(',');
        is_last = comma == std::string_view::npos;
        const std::string_view one = base::trim(offered.substr(0, comma));
        if (!is_last) offered.remove_prefix(comma + 1);
        const auto end = seen.begin() + static_cast<std::ptrdiff_t>(count);
        if (count == most || !is_token(one) || std::find(seen.begin(), end, one) != end) return std::nullopt;
        seen[count++] = one;
    }
    return seen.front();
}

bool is_websocket_key(std::string_view key) noexcept {
    constexpr std::size_t digits = 22;
    if (key.size() != digits + 2 || key.substr(digits) != "==") return false;
    return std::all_of(key.begin(), key.begin() + digits, [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
    });
}

}  // namespace sio::proto
