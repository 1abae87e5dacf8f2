// Failed attempts of each address: a bucket that fills up evenly. Pure: time is an argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>

#include "net/address.h"

namespace sio::authd {

/// The network of a client: an IPv4 address, or the first 64 bits of an IPv6 one, since who has one of these has all.
net::Address network_of(std::string_view address);

class FailureLimiter {
public:
    static constexpr std::size_t max_addresses = 65'536;

    /// `burst` at once, then `rate` per second; a rate of 0 sets no limit.
    FailureLimiter(std::uint32_t burst, std::uint32_t rate) noexcept : burst_(burst), rate_(rate) {}

    /// Whether this address has failed too often. Absent addresses, and those of this host (a proxy's, which says
    /// nothing of who is behind it), never have.
    [[nodiscard]] bool is_limited(std::string_view address, std::int64_t now_ms) const;

    /// Counts a failure.
    void failed(std::string_view address, std::int64_t now_ms);

    [[nodiscard]] std::size_t size() const noexcept { return buckets_.size(); }

private:
    struct Bucket {
        double left = 0;
        std::int64_t at = 0;
    };
    [[nodiscard]] double left_of(const Bucket& bucket, std::int64_t now_ms) const noexcept;
    void make_room(std::int64_t now_ms);

    std::uint32_t burst_;
    std::uint32_t rate_;
    std::unordered_map<net::Address, Bucket, net::AddressHash> buckets_;
};

}  // namespace sio::authd
