#include "cluster/text.h"

#include <array>
#include <charconv>
#include <cmath>

#include "base/bytes.h"
#include "base/json.h"

namespace sio::cluster {
namespace {

constexpr std::uint32_t replacement = 0xFFFD;

}  // namespace

std::uint32_t next_code_point(std::string_view text, std::size_t& pos) noexcept {
    const auto byte_at = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
    const std::uint32_t lead = byte_at(pos++);
    if (lead < 0x80) return lead;
    std::uint32_t low = 0x80;  // what the second byte may be
    std::uint32_t high = 0xBF;
    std::uint32_t code = 0;
    int more = 0;
    if (lead >= 0xC2 && lead <= 0xDF) {
        more = 1;
        code = lead & 0x1FU;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        more = 2;
        code = lead & 0x0FU;
        if (lead == 0xE0) low = 0xA0;
        if (lead == 0xED) high = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        more = 3;
        code = lead & 0x07U;
        if (lead == 0xF0) low = 0x90;
        if (lead == 0xF4) high = 0x8F;
    } else {
        return replacement;
    }
    for (; more > 0; --more) {
        if (pos == text.size()) return replacement;
        const std::uint32_t next = byte_at(pos);
        if (next < low || next > high) return replacement;
        low = 0x80;
        high = 0xBF;
        code = code << 6U | (next & 0x3FU);
        ++pos;
    }
    return code;
}

void append_json_string(std::string& out, std::string_view text) {
    if (base::is_utf8(text)) {
        json::append_string(out, text);
    } else {
        json::append_string(out, base::valid_utf8(std::string(text)));
    }
}

// Source: ECMA-262, Number::toString with radix 10.
void append_json_number(std::string& out, double number) {
    if (!std::isfinite(number)) {
        out.append("null");
        return;
    }
    if (number == 0) {
        out.push_back('0');
        return;
    }
    std::array<char, 32> text;  // -d.dddddddddddddddde-ddd
    const auto [stop, error] =
        std::to_chars(text.data(), text.data() + text.size(), number, std::chars_format::scientific);
    static_cast<void>(error);  // seventeen digits and an exponent fit
    const char* p = text.data();
    if (*p == '-') {
        out.push_back('-');
        ++p;
    }
    std::array<char, 20> digits;
    std::size_t count = 0;
    for (; p != stop && *p != 'e'; ++p) {
        if (*p != '.') digits[count++] = *p;
    }
    int exponent = 0;
    ++p;  // past the e
    if (p != stop && *p == '+') ++p;
    std::from_chars(p, stop, exponent);

    const int k = static_cast<int>(count);
    const int n = exponent + 1;  // digits before the point
    const std::string_view all{digits.data(), count};
    if (n >= k && n <= 21) {
        out.append(all).append(static_cast<std::size_t>(n - k), '0');
    } else if (n > 0 && n <= 21) {
        out.append(all.substr(0, static_cast<std::size_t>(n)));
        out.push_back('.');
        out.append(all.substr(static_cast<std::size_t>(n)));
    } else if (n > -6 && n <= 0) {
        out.append("0.").append(static_cast<std::size_t>(-n), '0').append(all);
    } else {
        out.push_back(digits[0]);
        if (k > 1) {
            out.push_back('.');
            out.append(all.substr(1));
        }
        out.push_back('e');
        out.push_back(n > 0 ? '+' : '-');
        out.append(std::to_string(n > 0 ? n - 1 : 1 - n));
    }
}

}  // namespace sio::cluster
