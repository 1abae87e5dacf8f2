#include "base/bytes.h"

#include <array>
#include <cstring>

namespace sio::base {
namespace {

constexpr std::string_view base64_digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::uint8_t base64_skipped = 64;
constexpr std::uint8_t base64_padding = 65;
constexpr std::uint8_t base64_invalid = 66;

constexpr auto base64_values = [] {
    std::array<std::uint8_t, 256> table{};
    table.fill(base64_invalid);
    for (std::size_t i = 0; i < base64_digits.size(); ++i) {
        table[static_cast<unsigned char>(base64_digits[i])] = static_cast<std::uint8_t>(i);
    }
    table['-'] = 62;
    table['_'] = 63;
    for (const unsigned blank : {9U, 10U, 13U, 32U}) table[blank] = base64_skipped;
    table['='] = base64_padding;
    return table;
}();

constexpr std::uint8_t byte_at(std::string_view text, std::size_t i) noexcept {
    return static_cast<std::uint8_t>(text[i]);
}

std::uint64_t load8(const char* from) noexcept {
    std::uint64_t word;
    std::memcpy(&word, from, sizeof word);
    return word;
}

constexpr std::uint64_t high_bits = 0x8080808080808080U;

// UTF-8 as an automaton whose states are shift counts: the row of a byte holds, at the bit
// position of each state, the position of the next one. One shift a byte, no branch.
namespace utf8 {

constexpr unsigned bits = 6;  // nine states of six bits fit a 64-bit row
enum State : unsigned {
    accept = 0 * bits,
    reject = 1 * bits,
    need1 = 2 * bits,
    need2 = 3 * bits,
    need3 = 4 * bits,
    after_e0 = 5 * bits,  // next at least A0, or the form is overlong
    after_ed = 6 * bits,  // next at most 9F, or it is a surrogate
    after_f0 = 7 * bits,  // next at least 90, or the form is overlong
    after_f4 = 8 * bits,  // next at most 8F, or it is above U+10FFFF
};

constexpr State step(State from, unsigned byte) {
    const bool tail = byte >= 0x80 && byte <= 0xBF;
    switch (from) {
        case accept:
            if (byte <= 0x7F) return accept;
            if (byte >= 0xC2 && byte <= 0xDF) return need1;
            if (byte == 0xE0) return after_e0;
            if (byte == 0xED) return after_ed;
            if (byte >= 0xE1 && byte <= 0xEF) return need2;
            if (byte == 0xF0) return after_f0;
            if (byte == 0xF4) return after_f4;
            if (byte >= 0xF1 && byte <= 0xF3) return need3;
            return reject;
        case need1: return tail ? accept : reject;
        case need2: return tail ? need1 : reject;
        case need3: return tail ? need2 : reject;
        case after_e0: return tail && byte >= 0xA0 ? need1 : reject;
        case after_ed: return tail && byte <= 0x9F ? need1 : reject;
        case after_f0: return tail && byte >= 0x90 ? need2 : reject;
        case after_f4: return tail && byte <= 0x8F ? need2 : reject;
        case reject: return reject;
    }
    return reject;
}

constexpr auto rows = [] {
    std::array<std::uint64_t, 256> table{};
    for (unsigned byte = 0; byte < 256; ++byte) {
        for (unsigned state = accept; state <= after_f4; state += bits) {
            table[byte] |= std::uint64_t{step(static_cast<State>(state), byte)} << state;
        }
    }
    return table;
}();

/// Runs the automaton over `text` from `state`; `reject` is final.
std::uint32_t run(std::uint32_t state, std::string_view text) noexcept {
    const char* p = text.data();
    const char* const end = p + text.size();
    std::uint64_t s = state;
    while (p != end) {
        if ((s & 63U) == accept) {
            while (end - p >= 8 && (load8(p) & high_bits) == 0) p += 8;
            if (p == end) return accept;
        }
        const char* const stop = end - p >= 16 ? p + 16 : end;
        for (; p != stop; ++p) s = rows[static_cast<unsigned char>(*p)] >> (s & 63U);
        if ((s & 63U) == reject) return reject;
    }
    return static_cast<std::uint32_t>(s & 63U);
}

}  // namespace utf8

constexpr int hex_value(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

constexpr char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

}  // namespace

void append_base64(std::string& out, std::string_view data) {
    const std::size_t start = out.size();
    out.resize(start + (data.size() + 2) / 3 * 4);
    char* to = out.data() + start;
    std::size_t i = 0;
    for (; i + 3 <= data.size(); i += 3) {
        const std::uint32_t group =
            std::uint32_t{byte_at(data, i)} << 16U | std::uint32_t{byte_at(data, i + 1)} << 8U | byte_at(data, i + 2);
        *to++ = base64_digits[group >> 18U];
        *to++ = base64_digits[group >> 12U & 63U];
        *to++ = base64_digits[group >> 6U & 63U];
        *to++ = base64_digits[group & 63U];
    }
    const std::size_t rest = data.size() - i;
    if (rest == 0) return;
    const std::uint32_t group =
        std::uint32_t{byte_at(data, i)} << 16U | (rest == 2 ? std::uint32_t{byte_at(data, i + 1)} << 8U : 0U);
    *to++ = base64_digits[group >> 18U];
    *to++ = base64_digits[group >> 12U & 63U];
    *to++ = rest == 2 ? base64_digits[group >> 6U & 63U] : '=';
    *to++ = '=';
}

std::optional<std::string> decode_base64(std::string_view text) {
    std::string out(text.size() / 4 * 3 + 3, '\0');
    char* to = out.data();
    std::uint32_t group = 0;
    unsigned digits = 0;
    std::size_t i = 0;
    while (i < text.size()) {
        if (digits == 0 && text.size() - i >= 4) {
            const std::uint32_t a = base64_values[byte_at(text, i)];
            const std::uint32_t b = base64_values[byte_at(text, i + 1)];
            const std::uint32_t c = base64_values[byte_at(text, i + 2)];
            const std::uint32_t d = base64_values[byte_at(text, i + 3)];
            if ((a | b | c | d) < 64) {
                *to++ = static_cast<char>(a << 2U | b >> 4U);
                *to++ = static_cast<char>((b << 4U | c >> 2U) & 255U);
                *to++ = static_cast<char>((c << 6U | d) & 255U);
                i += 4;
                continue;
            }
        }
        const std::uint8_t value = base64_values[byte_at(text, i++)];
        if (value == base64_skipped) continue;
        if (value == base64_padding) break;
        if (value == base64_invalid) return std::nullopt;
        group = group << 6U | value;
        if (++digits == 4) {
            *to++ = static_cast<char>(group >> 16U & 255U);
            *to++ = static_cast<char>(group >> 8U & 255U);
            *to++ = static_cast<char>(group & 255U);
            group = 0;
            digits = 0;
        }
    }
    // Two digits hold one byte, three hold two; a single one holds none and is dropped, as in Node.
    if (digits >= 2) *to++ = static_cast<char>(group >> (digits == 2 ? 4U : 10U) & 255U);
    if (digits == 3) *to++ = static_cast<char>(group >> 2U & 255U);
    out.resize(static_cast<std::size_t>(to - out.data()));
    return out;
}

bool Utf8Validator::feed(std::string_view bytes) noexcept {
    state_ = utf8::run(state_, bytes);
    return state_ != utf8::reject;
}

bool is_utf8(std::string_view text) noexcept { return utf8::run(utf8::accept, text) == utf8::accept; }

namespace {

/// The length of the character at the front of `text`, which is not empty; `is_valid` says whether it is one, or only
/// the longest beginning of one, or a byte that begins none.
std::size_t character_length(std::string_view text, bool& is_valid) noexcept {
    const auto byte_at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned lead = byte_at(0);
    is_valid = lead < 0x80;
    if (lead < 0xC2 || lead > 0xF4) return 1;
    const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;  // what the second byte may be
    unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    for (std::size_t i = 1; i < length; ++i) {
        if (i == text.size() || byte_at(i) < low || byte_at(i) > high) return i;
        low = 0x80;
        high = 0xBF;
    }
    is_valid = true;
    return length;
}

}  // namespace

std::string valid_utf8(std::string text) {
    if (is_utf8(text)) return text;
    std::string out;
    out.reserve(text.size() + 16);
    for (std::string_view rest = text; !rest.empty();) {
        bool is_valid = false;
        const std::size_t length = character_length(rest, is_valid);
        out.append(is_valid ? rest.substr(0, length) : "\xEF\xBF\xBD");
        rest.remove_prefix(length);
    }
    return out;
}

std::string latin1_to_utf8(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x80) {
            out.push_back(c);
        } else {
            out.push_back(static_cast<char>(0xC0U | byte >> 6U));
            out.push_back(static_cast<char>(0x80U | (byte & 0x3FU)));
        }
    }
    return out;
}

std::string percent_decode(std::string_view text, bool plus_is_space) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '%' && text.size() - i > 2) {
            const int high = hex_value(text[i + 1]);
            const int low = hex_value(text[i + 2]);
            if (high >= 0 && low >= 0) {
                out.push_back(static_cast<char>(high * 16 + low));
                i += 2;
                continue;
            }
        }
        out.push_back(c == '+' && plus_is_space ? ' ' : c);
    }
    return out;
}

std::optional<std::uint64_t> parse_decimal(std::string_view digits, std::uint64_t max) noexcept {
    if (digits.empty()) return std::nullopt;
    std::uint64_t value = 0;
    for (const char c : digits) {
        if (c < '0' || c > '9') return std::nullopt;
        const auto digit = static_cast<std::uint64_t>(c - '0');
        if (value > (UINT64_MAX - digit) / 10) return std::nullopt;
        value = value * 10 + digit;
    }
    if (value > max) return std::nullopt;
    return value;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (lower(a[i]) != lower(b[i])) return false;
    }
    return true;
}

std::string_view trim(std::string_view text) noexcept {
    const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return text;
}

bool matches_glob(std::string_view pattern, std::string_view text, std::string_view barred) noexcept {
    std::size_t p = 0;
    std::size_t t = 0;
    std::size_t star = std::string_view::npos;  // the last star met, and where what it stands for ends
    std::size_t covered = 0;
    while (t < text.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            covered = t;
        } else if (p < pattern.size() && pattern[p] == text[t]) {
            ++p;
            ++t;
        } else if (star != std::string_view::npos && barred.find(text[covered]) == std::string_view::npos) {
            p = star + 1;
            t = ++covered;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*') ++p;
    return p == pattern.size();
}

void append_hex(std::string& out, std::string_view data) {
    constexpr std::string_view digits = "0123456789abcdef";
    for (const char c : data) {
        const auto byte = static_cast<unsigned char>(c);
        out += digits[byte >> 4U];
        out += digits[byte & 15U];
    }
}

std::string one_line(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const auto code = static_cast<unsigned char>(c);
        if (code >= 0x20 && code != 0x7f) {
            out += c;
        } else {
            out += "\\u00";
            append_hex(out, {&c, 1});
        }
    }
    return out;
}

}  // namespace sio::base
