// The PROXY protocol: what a proxy says of a client before the first byte of its connection.
//
// Source: "The PROXY protocol, versions 1 & 2" (HAProxy's proxy-protocol.txt), sections 2.1 and 2.2.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sio::proto {

/// Bytes of a head, inclusive. Version 1 has 107 at most; the largest of version 2 that proxies write (with the names
/// of a client's certificate) have some hundred.
inline constexpr std::size_t max_proxy_head = 4096;

struct ProxyHead {
    enum class State : std::uint8_t {
        more,       ///< what is there may be the beginning of one
        complete,   ///< `length` bytes are the head
        missing,    ///< the bytes do not begin as one does
        malformed,  ///< they do, and it is broken: `reason`
    };
    enum class Family : std::uint8_t {
        none,  ///< nothing is said of a client: the proxy's own connection (LOCAL), or one it knows nothing of
               ///< (UNKNOWN)
        ip,
        unix_socket,  ///< the client came to the proxy by a Unix socket
    };

    State state = State::more;
    Family family = Family::none;
    std::size_t length = 0;
    std::array<unsigned char, 16> source{};  ///< the client's address, IPv4 mapped into IPv6; Family::ip only
    std::string_view reason;
};

/// Reads the head at the beginning of a connection's bytes, of either version. To be called again with all of them
/// while it says `more`, which it never does for max_proxy_head bytes.
///
/// Type-length-values of version 2 are skipped; those that do not fit, and a CRC32C that is another, make it
/// malformed. Of LOCAL and UNKNOWN nothing but the length is looked at. The address `::` is nobody's: Family::none.
ProxyHead parse_proxy_head(std::string_view bytes) noexcept;

/// Whether the bytes, which are the first of a connection, begin with a head of either version.
bool begins_with_proxy_head(std::string_view bytes) noexcept;

}  // namespace sio::proto
