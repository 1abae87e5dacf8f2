#include "net/networks.h"

#include <string>

#include "base/bytes.h"

namespace sio::net {

Result<void> Networks::add(std::string_view text) {
    if (text == "unix") {
        has_unix_ = true;
        return {};
    }
    const auto wrong = [text](std::string_view why) {
        return fail(Errc::malformed, '\'' + std::string(text) + "' " + std::string(why));
    };
    const std::size_t slash = text.find('/');
    const std::string_view host = text.substr(0, slash);
    const Address address = Address::from(host);
    if (address == Address{} && host != "::") {
        return wrong("is no IP address or network; write it like 10.0.0.0/8, 2001:db8::/32, 192.0.2.7 or unix");
    }
    const std::uint64_t most = host.find(':') == std::string_view::npos ? 32 : 128;
    std::uint64_t bits = most;
    if (slash != std::string_view::npos) {
        const auto given = base::parse_decimal(text.substr(slash + 1));
        if (!given || *given > most) return wrong("has a length that is not from 0 to " + std::to_string(most));
        bits = *given;
    }
    networks_.push_back({address, static_cast<std::uint8_t>(bits + 128 - most)});
    return {};
}

bool Networks::contains(const Address& address) const noexcept {
    if (address == Address{}) return has_unix_;
    for (const Network& network : networks_) {
        bool is_equal = true;
        for (std::size_t bit = 0; is_equal && bit < network.bits; bit += 8) {
            const std::size_t left = network.bits - bit;
            const unsigned mask = left >= 8 ? 0xFFU : 0xFFU << (8 - left) & 0xFFU;
            is_equal = ((network.address.bytes[bit / 8] ^ address.bytes[bit / 8]) & mask) == 0;
        }
        if (is_equal) return true;
    }
    return false;
}

Networks Networks::near() {
    Networks networks;
    for (const std::string_view one : {"unix", "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
                                       "169.254.0.0/16", "::1", "fc00::/7", "fe80::/10"}) {
        static_cast<void>(networks.add(one));
    }
    return networks;
}

}  // namespace sio::net
