#include "proto/proxy_head.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "base/bytes.h"

namespace sio::proto {
namespace {

using namespace std::string_view_literals;
using State = ProxyHead::State;
using Family = ProxyHead::Family;

constexpr std::string_view word = "PROXY ";  // of version 1
constexpr std::string_view signature = "\r\n\r\n\0\r\nQUIT\n"sv;
constexpr std::size_t max_line = 107;     // of version 1, CRLF included
constexpr std::size_t fixed_bytes = 16;   // of version 2: signature, command, family, length
constexpr unsigned char crc32c_type = 3;  // PP2_TYPE_CRC32C

/// Whether `bytes` begin with `whole`, or may when there are more of them.
bool may_begin(std::string_view bytes, std::string_view whole) noexcept {
    const std::size_t size = std::min(bytes.size(), whole.size());
    return bytes.substr(0, size) == whole.substr(0, size);
}

ProxyHead malformed(std::string_view reason) noexcept {
    ProxyHead head;
    head.state = State::malformed;
    head.reason = reason;
    return head;
}

ProxyHead complete(std::size_t length) noexcept {
    ProxyHead head;
    head.state = State::complete;
    head.length = length;
    return head;
}

void set_ipv4(ProxyHead& head, const void* address) noexcept {
    head.family = Family::ip;
    head.source[10] = head.source[11] = 0xff;
    std::memcpy(head.source.data() + 12, address, 4);
}

void set_ipv6(ProxyHead& head, const void* address) noexcept {
    std::memcpy(head.source.data(), address, head.source.size());
    const bool is_somebody = std::ranges::any_of(head.source, [](unsigned char byte) { return byte != 0; });
    if (is_somebody) head.family = Family::ip;
}

// --- version 1 ---

/// Takes what is before the next blank off the front of `text`.
std::string_view take_word(std::string_view& text) noexcept {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view taken = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return taken;
}

bool read_address(int family, std::string_view text, void* out) noexcept {
    std::array<char, INET6_ADDRSTRLEN> terminated{};
    if (text.size() >= terminated.size()) return false;
    std::ranges::copy(text, terminated.begin());
    return inet_pton(family, terminated.data(), out) == 1;
}

ProxyHead parse_line(std::string_view bytes) noexcept {
    const std::size_t end = bytes.substr(0, max_line).find("\r\n");
    if (end == std::string_view::npos) {
        return bytes.size() < max_line ? ProxyHead{} : malformed("version 1 has no end of line in 107 bytes");
    }
    ProxyHead head = complete(end + 2);
    std::string_view rest = bytes.substr(word.size(), end - word.size());
    const std::string_view protocol = take_word(rest);
    if (protocol == "UNKNOWN") return head;
    if (protocol != "TCP4" && protocol != "TCP6") return malformed("version 1 is neither TCP4, TCP6 nor UNKNOWN");
    const int family = protocol == "TCP4" ? AF_INET : AF_INET6;
    std::array<unsigned char, 16> source{};
    std::array<unsigned char, 16> destination{};
    if (!read_address(family, take_word(rest), source.data()) ||
        !read_address(family, take_word(rest), destination.data())) {
        return malformed("version 1 has no two addresses of its family");
    }
    if (!base::parse_decimal(take_word(rest), 65535) || !base::parse_decimal(rest, 65535)) {
        return malformed("version 1 does not end with two ports");
    }
    if (family == AF_INET) {
        set_ipv4(head, source.data());
    } else {
        set_ipv6(head, source.data());
    }
    return head;
}

// --- version 2 ---

constexpr auto crc32c_table = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
        std::uint32_t crc = byte;
        for (int bit = 0; bit < 8; ++bit) crc = (crc & 1U) != 0 ? crc >> 1U ^ 0x82F63B78U : crc >> 1U;
        table[byte] = crc;
    }
    return table;
}();

std::size_t be16(std::string_view bytes, std::size_t at) noexcept {
    return static_cast<std::size_t>(static_cast<unsigned char>(bytes[at])) << 8U |
           static_cast<unsigned char>(bytes[at + 1]);
}

/// Whether the four bytes at `at` are the CRC32C of the head, they themselves taken as zeros (RFC 4960, appendix B).
bool is_crc32c(std::string_view head, std::size_t at) noexcept {
    std::uint32_t crc = 0xFFFFFFFFU;
    std::uint32_t given = 0;
    for (std::size_t i = 0; i < head.size(); ++i) {
        auto byte = static_cast<unsigned char>(head[i]);
        if (i >= at && i < at + 4) {
            given = given << 8U | byte;
            byte = 0;
        }
        crc = crc >> 8U ^ crc32c_table[(crc ^ byte) & 0xFFU];
    }
    return (crc ^ 0xFFFFFFFFU) == given;
}

/// What is wrong with the type-length-values from `at` on; empty: nothing.
std::string_view look_through_values(std::string_view head, std::size_t at) noexcept {
    while (at < head.size()) {
        if (head.size() - at < 3) return "version 2 ends in the midst of a value";
        const std::size_t size = be16(head, at + 1);
        if (head.size() - at - 3 < size) return "version 2 ends in the midst of a value";
        if (static_cast<unsigned char>(head[at]) == crc32c_type && (size != 4 || !is_crc32c(head, at + 3))) {
            return "the CRC32C of version 2 is another";
        }
        at += 3 + size;
    }
    return {};
}

/// Bytes of both addresses and ports; nothing for what the document does not name.
std::optional<std::size_t> address_bytes(unsigned char family) noexcept {
    switch (family) {
        case 0x11:              // TCP over IPv4
        case 0x12: return 12;   // UDP
        case 0x21:              // over IPv6
        case 0x22: return 36;   //
        case 0x31:              // a Unix socket
        case 0x32: return 216;  //
        default: return std::nullopt;
    }
}

ProxyHead parse_binary(std::string_view bytes) noexcept {
    if (bytes.size() < fixed_bytes) return {};
    const auto command = static_cast<unsigned char>(bytes[12]);
    const auto family = static_cast<unsigned char>(bytes[13]);
    const std::size_t length = fixed_bytes + be16(bytes, 14);
    if (command >> 4U != 2) return malformed("it is neither version 1 nor 2");
    if ((command & 0xFU) > 1) return malformed("version 2 has a command that is neither LOCAL nor PROXY");
    if (length > max_proxy_head) return malformed("version 2 is longer than 4096 bytes");
    if (bytes.size() < length) return {};
    const std::string_view whole = bytes.substr(0, length);
    ProxyHead head = complete(length);
    if ((command & 0xFU) == 0 || family == 0) return head;
    const auto addresses = address_bytes(family);
    if (!addresses) return malformed("version 2 has an unknown family");
    if (length < fixed_bytes + *addresses) return malformed("version 2 is too short for its addresses");
    if (const auto wrong = look_through_values(whole, fixed_bytes + *addresses); !wrong.empty()) {
        return malformed(wrong);
    }
    switch (family >> 4U) {
        case 1: set_ipv4(head, whole.data() + fixed_bytes); break;
        case 2: set_ipv6(head, whole.data() + fixed_bytes); break;
        default: head.family = Family::unix_socket; break;
    }
    return head;
}

}  // namespace

ProxyHead parse_proxy_head(std::string_view bytes) noexcept {
    if (bytes.empty()) return {};
    if (may_begin(bytes, signature)) return parse_binary(bytes);
    if (may_begin(bytes, word)) return parse_line(bytes);
    ProxyHead head;
    head.state = State::missing;
    return head;
}

bool begins_with_proxy_head(std::string_view bytes) noexcept {
    return bytes.starts_with(word) || bytes.starts_with(signature);
}

}  // namespace sio::proto
