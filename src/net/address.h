// The IP address of a peer: 16 bytes, IPv4 mapped into IPv6.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

struct sockaddr;

namespace sio::net {

struct Address {
    std::array<unsigned char, 16> bytes{};

    bool operator==(const Address&) const noexcept = default;
    /// From what accept(2) filled in; a Unix socket's peer is all zeros.
    static Address from(const sockaddr* address) noexcept;
    /// From text; all zeros when it is no IP address.
    static Address from(std::string_view text);
    /// `127.0.0.1`, `2001:db8::1`; `unix` for all zeros.
    [[nodiscard]] std::string to_string() const;
};

struct AddressHash {
    std::size_t operator()(const Address& address) const noexcept;
};

}  // namespace sio::net
