#include "bridge/listen_address.h"

#include <arpa/inet.h>

#include <algorithm>

#include "base/bytes.h"

namespace sio::bridge {

Result<ListenAddress> parse_listen_address(std::string_view text) {
    const std::size_t colon = std::min(text.rfind(':'), text.size());
    std::string host(text.substr(0, colon));
    const bool has_brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (has_brackets) host = host.substr(1, host.size() - 2);
    unsigned char parsed[16];
    const auto port = base::parse_decimal(text.substr(std::min(colon + 1, text.size())), UINT16_MAX);
    if (!port || inet_pton(has_brackets ? AF_INET6 : AF_INET, host.c_str(), parsed) != 1) {
        return fail(Errc::config, "'" + std::string(text) + "' is not like 127.0.0.1:3002 or [::1]:3002");
    }
    return ListenAddress{std::move(host), static_cast<std::uint16_t>(*port)};
}

}  // namespace sio::bridge
