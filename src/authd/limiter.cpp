#include "authd/limiter.h"

#include <algorithm>

namespace sio::authd {

namespace {

constexpr std::array<unsigned char, 12> v4_prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_v4(const net::Address& address) noexcept {
    return std::equal(v4_prefix.begin(), v4_prefix.end(), address.bytes.begin());
}

/// No address, a loopback one, or none at all.
bool is_exempt(const net::Address& network) noexcept {
    if (is_v4(network)) return network.bytes[12] == 127;
    return network == net::Address{};  // `::1` too: its first 64 bits are zeros
}

}  // namespace

net::Address network_of(std::string_view address) {
    net::Address network = net::Address::from(address);
    if (!is_v4(network)) std::fill(network.bytes.begin() + 8, network.bytes.end(), static_cast<unsigned char>(0));
    return network;
}

double FailureLimiter::left_of(const Bucket& bucket, std::int64_t now_ms) const noexcept {
    const double elapsed = static_cast<double>(std::max<std::int64_t>(now_ms - bucket.at, 0)) / 1000.0;
    return std::min(static_cast<double>(burst_), bucket.left + elapsed * static_cast<double>(rate_));
}

bool FailureLimiter::is_limited(std::string_view address, std::int64_t now_ms) const {
    if (rate_ == 0) return false;
    const auto found = buckets_.find(network_of(address));
    return found != buckets_.end() && left_of(found->second, now_ms) < 1;
}

void FailureLimiter::failed(std::string_view address, std::int64_t now_ms) {
    if (rate_ == 0) return;
    const net::Address network = network_of(address);
    if (is_exempt(network)) return;
    auto found = buckets_.find(network);
    if (found == buckets_.end()) {
        if (buckets_.size() >= max_addresses) make_room(now_ms);
        found = buckets_.emplace(network, Bucket{static_cast<double>(burst_), now_ms}).first;
    }
    Bucket& bucket = found->second;
    bucket.left = std::max(left_of(bucket, now_ms) - 1, 0.0);
    bucket.at = now_ms;
}

void FailureLimiter::make_room(std::int64_t now_ms) {
    std::erase_if(buckets_, [&](const auto& entry) { return left_of(entry.second, now_ms) >= burst_; });
    // All of them are at it: any one goes, which forgives it what it did.
    if (buckets_.size() >= max_addresses) buckets_.erase(buckets_.begin());
}

}  // namespace sio::authd
