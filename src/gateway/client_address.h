// Whose request it is when a proxy passes it on: X-Forwarded-For, and Forwarded (RFC 7239).
#pragma once

#include <optional>
#include <string_view>

#include "base/result.h"
#include "net/address.h"
#include "net/networks.h"
#include "proto/http_head.h"

namespace sio::gateway {

/// Whose word counts about who a client is.
struct TrustedProxies {
    net::Networks networks;
    bool are_listed = false;  ///< one by one, so that several in a row can be told from clients

    [[nodiscard]] bool contains(const net::Address& address) const noexcept { return networks.contains(address); }
};

/// `off`: nobody's. `on`: that of any near address (net::Networks::near()). Else addresses and networks, divided by
/// commas. Errors: `malformed`, a sentence that begins with the wrong part in quotes.
Result<TrustedProxies> parse_trusted_proxies(std::string_view text);

/// The address of the client that sent this request, which came from `peer`.
///
/// Of a proxy that is trusted the last element of the last line counts, which it has written itself; what stands before
/// it may be the client's own invention. When that is a listed proxy, too, the one before it counts, and so on. Where
/// an element cannot be read, the client is whoever passed it on. X-Forwarded-For comes first; Forwarded counts when
/// there is none.
net::Address client_address(const proto::HttpHead& head, const net::Address& peer, const TrustedProxies& proxies);

/// An element of X-Forwarded-For, or what follows `for=` in one of Forwarded: an address, perhaps in quotes, in
/// brackets, with a port or a zone. Nothing for anything else, `unknown` and obfuscated names included.
std::optional<net::Address> parse_forwarded_address(std::string_view text);

}  // namespace sio::gateway
