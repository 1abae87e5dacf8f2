// Networks of IP addresses, as they are written in a list: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`, `unix`.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/address.h"

namespace sio::net {

class Networks {
public:
    /// Adds one. An address without a length is a network of one; `unix` is the peers of Unix sockets. Errors:
    /// `malformed`, a sentence that begins with the text in quotes.
    Result<void> add(std::string_view text);

    [[nodiscard]] bool contains(const Address& address) const noexcept;
    [[nodiscard]] bool is_empty() const noexcept { return networks_.empty() && !has_unix_; }

    /// Loopback, private and link-local addresses and Unix sockets: RFC 1918, RFC 4193, RFC 3927, RFC 4291.
    static Networks near();

private:
    struct Network {
        Address address;
        std::uint8_t bits;  // of all 128
    };
    std::vector<Network> networks_;
    bool has_unix_ = false;
};

}  // namespace sio::net
