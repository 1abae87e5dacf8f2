#include "cluster/names.h"

#include <cstddef>

#include "cluster/text.h"

namespace sio::cluster {
namespace {

std::string joined(std::string_view prefix, std::string_view between, std::string_view nsp) {
    std::string out;
    out.reserve(prefix.size() + between.size() + nsp.size() + 2);
    out.append(prefix).append(between).append(nsp).push_back('#');
    return out;
}

/// The pattern that only this text matches. Source: Redis, PSUBSCRIBE.
std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '*' || c == '?' || c == '[' || c == ']' || c == '\\') out.push_back('\\');
        out.push_back(c);
    }
    return out;
}

}  // namespace

std::string public_channel(std::string_view prefix, std::string_view nsp) { return joined(prefix, "#", nsp); }

std::string private_channel(std::string_view prefix, std::string_view nsp, std::string_view uid) {
    std::string out = joined(prefix, "#", nsp);
    out.append(uid).push_back('#');
    return out;
}

std::int32_t namespace_hash(std::string_view nsp) noexcept {
    std::uint32_t hash = 0;  // unsigned wraps where JavaScript's `|0` does
    for (std::size_t pos = 0; pos < nsp.size();) {
        const std::uint32_t code = next_code_point(nsp, pos);
        if (code >= 0x10000) {
            hash = hash * 31U + (0xD800U + ((code - 0x10000U) >> 10U));
            hash = hash * 31U + (0xDC00U + ((code - 0x10000U) & 0x3FFU));
        } else {
            hash = hash * 31U + code;
        }
    }
    return static_cast<std::int32_t>(hash);
}

std::string stream_for(std::string_view name, std::uint32_t count, std::string_view nsp) {
    std::string out{name};
    if (count <= 1) return out;
    const std::int64_t index = std::int64_t{namespace_hash(nsp)} % std::int64_t{count};
    out.push_back('-');
    out.append(std::to_string(index));
    return out;
}

std::vector<std::string> streams_to_read(std::string_view name, std::uint32_t count) {
    std::vector<std::string> out;
    if (count <= 1) {
        out.emplace_back(name);
        return out;
    }
    out.reserve(std::size_t{count} * 2 - 1);
    const std::string stem = std::string{name} + '-';
    for (std::uint32_t i = 0; i < count; ++i) out.push_back(stem + std::to_string(i));
    for (std::uint32_t i = 1; i < count; ++i) out.push_back(stem + '-' + std::to_string(i));
    return out;
}

std::string classic_pattern(std::string_view prefix, std::string_view nsp) {
    return escaped(joined(prefix, "#", nsp)) + '*';
}

std::string classic_request_channel(std::string_view prefix, std::string_view nsp) {
    return joined(prefix, "-request#", nsp);
}

std::string classic_request_pattern(std::string_view prefix, std::string_view nsp) {
    return escaped(classic_request_channel(prefix, nsp));
}

}  // namespace sio::cluster
