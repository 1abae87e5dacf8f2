// `host:port`, where the bridge answers HTTP.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sio::bridge {

struct ListenAddress {
    std::string host;  ///< an IP address
    std::uint16_t port = 0;
};

/// Reads `127.0.0.1:3002` or `[::1]:3002`; no names. Errors: `config`.
Result<ListenAddress> parse_listen_address(std::string_view text);

}  // namespace sio::bridge
