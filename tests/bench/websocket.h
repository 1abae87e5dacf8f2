// The little of WebSocket that a bench needs on both ends: the handshake's answer, frame headers,
// masking. It checks nothing that a well-behaved peer would not send; the gateway has its own code.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace sio::bench {

inline constexpr std::uint8_t opcode_text = 1;
inline constexpr std::uint8_t opcode_close = 8;
inline constexpr std::uint8_t opcode_ping = 9;
inline constexpr std::uint8_t opcode_pong = 10;

/// The 20 bytes of SHA-1 over `data`.
///
/// Source: FIPS 180-4, section 6.1.
inline std::array<std::uint8_t, 20> sha1(std::string_view data) {
    std::array<std::uint32_t, 5> h{0x67452301U, 0xEFCDAB89U, 0x98BADCFEU, 0x10325476U, 0xC3D2E1F0U};
    std::string padded{data};
    padded.push_back('\x80');
    padded.append((120 - padded.size() % 64) % 64, '\0');
    const std::uint64_t bits = std::uint64_t{data.size()} * 8;
    for (unsigned shift = 64; shift != 0;) {
        shift -= 8;
        padded.push_back(static_cast<char>((bits >> shift) & 0xFFU));
    }
    for (std::size_t block = 0; block < padded.size(); block += 64) {
        std::array<std::uint32_t, 80> w{};
        for (std::size_t i = 0; i < 64; ++i) {
            w[i / 4] = (w[i / 4] << 8U) | static_cast<std::uint8_t>(padded[block + i]);
        }
        for (std::size_t i = 16; i < 80; ++i) {
            w[i] = std::rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        }
        auto [a, b, c, d, e] = h;
        for (std::size_t i = 0; i < 80; ++i) {
            std::uint32_t f = 0;
            std::uint32_t k = 0;
            if (i < 20) {
                f = (b & c) | (~b & d);
                k = 0x5A827999U;
            } else if (i < 40) {
                f = b ^ c ^ d;
                k = 0x6ED9EBA1U;
            } else if (i < 60) {
                f = (b & c) | (b & d) | (c & d);
                k = 0x8F1BBCDCU;
            } else {
                f = b ^ c ^ d;
                k = 0xCA62C1D6U;
            }
            const std::uint32_t next = std::rotl(a, 5) + f + e + k + w[i];
            e = d;
            d = c;
            c = std::rotl(b, 30);
            b = a;
            a = next;
        }
        h[0] += a;
        h[1] += b;
        h[2] += c;
        h[3] += d;
        h[4] += e;
    }
    std::array<std::uint8_t, 20> digest{};
    for (std::size_t i = 0; i < digest.size(); ++i) {
        digest[i] = static_cast<std::uint8_t>(h[i / 4] >> (24 - 8 * (i % 4)));
    }
    return digest;
}

/// Standard base64 with padding.
inline std::string base64(const std::uint8_t* data, std::size_t size) {
    constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (std::size_t i = 0; i < size; i += 3) {
        std::uint32_t group = 0;
        for (std::size_t j = 0; j < 3; ++j) {
            group = (group << 8U) | (i + j < size ? data[i + j] : 0U);
        }
        for (std::size_t j = 0; j < 4; ++j) {
            const bool is_data = i + j <= size;
            text.push_back(is_data ? alphabet[(group >> (18 - 6 * j)) & 63U] : '=');
        }
    }
    return text;
}

/// What `Sec-WebSocket-Accept` must say to the given `Sec-WebSocket-Key`.
///
/// Source: RFC 6455, section 4.2.2, point 5.4.
inline std::string accept_key(std::string_view key) {
    std::string text{key};
    text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    const auto digest = sha1(text);
    return base64(digest.data(), digest.size());
}

/// One frame's header, read from the front of a buffer.
struct FrameHeader {
    std::uint8_t opcode = 0;
    std::size_t header_size = 0;   ///< bytes before the payload, mask included
    std::size_t payload_size = 0;  ///< bytes
    std::uint32_t mask = 0;        ///< as it lies in memory; 0 leaves the payload as it is
};

/// Reads a header. False means: more bytes are needed.
inline bool read_frame_header(std::string_view in, FrameHeader& header) {
    if (in.size() < 2) {
        return false;
    }
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(in[i]); };
    header.opcode = byte(0) & 15U;
    const bool is_masked = (byte(1) & 128U) != 0;
    std::size_t size = byte(1) & 127U;
    std::size_t at = 2;
    const std::size_t size_bytes = size == 126 ? 2U : size == 127 ? 8U : 0U;
    if (in.size() < at + size_bytes + (is_masked ? 4U : 0U)) {
        return false;
    }
    if (size_bytes != 0) {
        size = 0;
        for (std::size_t i = 0; i < size_bytes; ++i) {
            size = (size << 8U) | byte(at + i);
        }
        at += size_bytes;
    }
    header.mask = 0;
    if (is_masked) {
        std::memcpy(&header.mask, in.data() + at, 4);
        at += 4;
    }
    header.header_size = at;
    header.payload_size = size;
    return true;
}

/// Masks or unmasks `size` bytes in place.
inline void apply_mask(char* data, std::size_t size, std::uint32_t mask) {
    std::array<char, 4> key{};
    std::memcpy(key.data(), &mask, 4);
    const std::uint64_t wide = (std::uint64_t{mask} << 32U) | mask;
    std::size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, data + i, 8);
        word ^= wide;
        std::memcpy(data + i, &word, 8);
    }
    for (; i < size; ++i) {
        data[i] = static_cast<char>(data[i] ^ key[i % 4]);
    }
}

/// Appends a whole frame to `out`. A mask other than 0 makes it a client's frame. Payloads of
/// 64 KiB and more are not meant for this function.
inline void append_frame(std::string& out, std::uint8_t opcode, std::string_view payload, std::uint32_t mask = 0) {
    const unsigned mask_bit = mask != 0 ? 128U : 0U;
    out.push_back(static_cast<char>(128U | opcode));
    if (payload.size() < 126) {
        out.push_back(static_cast<char>(mask_bit | payload.size()));
    } else {
        out.push_back(static_cast<char>(mask_bit | 126U));
        out.push_back(static_cast<char>((payload.size() >> 8U) & 255U));
        out.push_back(static_cast<char>(payload.size() & 255U));
    }
    if (mask != 0) {
        std::array<char, 4> key{};
        std::memcpy(key.data(), &mask, 4);
        out.append(key.data(), key.size());
    }
    const std::size_t start = out.size();
    out.append(payload);
    if (mask != 0) {
        apply_mask(out.data() + start, payload.size(), mask);
    }
}

}  // namespace sio::bench
