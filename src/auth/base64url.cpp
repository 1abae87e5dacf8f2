#include "auth/base64url.h"

#include <array>
#include <cstdint>

namespace sio::auth {
namespace {

constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::uint8_t invalid = 0x80;

constexpr auto values = [] {
    std::array<std::uint8_t, 256> table{};
    table.fill(invalid);
    for (std::size_t i = 0; i < digits.size(); ++i) {
        table[static_cast<unsigned char>(digits[i])] = static_cast<std::uint8_t>(i);
    }
    return table;
}();

constexpr std::uint32_t value_of(char c) noexcept { return values[static_cast<unsigned char>(c)]; }

}  // namespace

bool is_base64url(std::string_view text) noexcept {
    std::uint32_t seen = 0;
    for (const char c : text) seen |= value_of(c);
    if ((seen & invalid) != 0) return false;
    switch (text.size() % 4) {
        case 0: return true;
        case 2: return (value_of(text.back()) & 15U) == 0;
        case 3: return (value_of(text.back()) & 3U) == 0;
        default: return false;
    }
}

std::optional<std::string> decode_base64url(std::string_view text) {
    if (!is_base64url(text)) return std::nullopt;
    std::string out;
    out.reserve(decoded_size(text));
    std::uint32_t bits = 0;
    unsigned count = 0;
    for (const char c : text) {
        bits = bits << 6U | value_of(c);
        count += 6;
        if (count < 8) continue;
        count -= 8;
        out.push_back(static_cast<char>(static_cast<unsigned char>(bits >> count & 0xFFU)));
    }
    return out;
}

void append_base64url(std::string& out, std::string_view bytes) {
    std::uint32_t bits = 0;
    unsigned count = 0;
    for (const char c : bytes) {
        bits = bits << 8U | static_cast<unsigned char>(c);
        count += 8;
        while (count >= 6) {
            count -= 6;
            out.push_back(digits[bits >> count & 63U]);
        }
    }
    if (count != 0) out.push_back(digits[bits << (6 - count) & 63U]);
}

std::string base64url(std::string_view bytes) {
    std::string out;
    out.reserve((bytes.size() * 4 + 2) / 3);
    append_base64url(out, bytes);
    return out;
}

}  // namespace sio::auth
