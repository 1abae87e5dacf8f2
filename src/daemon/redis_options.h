// The options that say where a daemon's Redis is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "daemon/options.h"
#include "redis/endpoint.h"

namespace sio::daemon {

struct RedisConfig {
    std::string url;
    std::string host;  ///< counts when there is no URL; empty: no Redis
    std::uint16_t port = 6379;
    std::string password;  ///< shown to nobody
    std::uint16_t database = 0;

    /// What they come to; nothing: no Redis. Errors: `config`.
    [[nodiscard]] Result<std::optional<redis::Endpoint>> endpoint() const;
};

/// Adds `redis` (of which `help` says what it is for, and what is without it), `redis-host`, `redis-port`,
/// `redis-password` and `redis-database` below the heading `group`.
void add_redis_options(std::vector<Option>& table, std::string_view group, RedisConfig& config, std::string help);

/// Puts what `config` comes to into `endpoint`, and what is wrong or ignored into `findings`.
void settle_redis(const RedisConfig& config, std::optional<redis::Endpoint>& endpoint, Findings& findings);

}  // namespace sio::daemon
