#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "base/keyed_hash.h"

namespace sio::net {

namespace {

constexpr std::array<unsigned char, 12> v4_prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

}  // namespace

Address Address::from(const sockaddr* address) noexcept {
    Address result;
    if (address->sa_family == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, address, sizeof v4);
        std::memcpy(result.bytes.data(), v4_prefix.data(), v4_prefix.size());
        std::memcpy(result.bytes.data() + 12, &v4.sin_addr, 4);
    } else if (address->sa_family == AF_INET6) {
        sockaddr_in6 v6{};
        std::memcpy(&v6, address, sizeof v6);
        std::memcpy(result.bytes.data(), &v6.sin6_addr, 16);
    }
    return result;
}

Address Address::from(std::string_view text) {
    Address result;
    const std::string terminated(text);
    if (inet_pton(AF_INET6, terminated.c_str(), result.bytes.data()) == 1) return result;
    if (inet_pton(AF_INET, terminated.c_str(), result.bytes.data() + 12) == 1) {
        std::memcpy(result.bytes.data(), v4_prefix.data(), v4_prefix.size());
        return result;
    }
    return {};
}

std::string Address::to_string() const {
    if (*this == Address{}) return "unix";
    char text[INET6_ADDRSTRLEN];
    const bool v4 = std::memcmp(bytes.data(), v4_prefix.data(), v4_prefix.size()) == 0;
    inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? bytes.data() + 12 : bytes.data(), text, sizeof text);
    return text;
}

std::size_t AddressHash::operator()(const Address& address) const noexcept {
    return base::keyed_hash(address.bytes.data(), address.bytes.size());
}

}  // namespace sio::net
