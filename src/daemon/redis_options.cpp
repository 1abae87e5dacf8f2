#include "daemon/redis_options.h"

#include "daemon/common.h"

namespace sio::daemon {

namespace {

/// A Redis URL, shown without its password.
Option url_option(Option option, std::string& target) {
    option.holds_secret = [](std::string_view given) {
        const auto parsed = redis::parse_url(given);
        return parsed && (!parsed->password.empty() || !parsed->sentinel_password.empty());
    };
    option.set = [&target](std::string_view given) -> Result<void> {
        if (!given.empty()) {
            if (const auto parsed = redis::parse_url(given); !parsed) return fail(Errc::malformed, parsed.error().what);
        }
        target = given;
        return {};
    };
    option.show = [&target]() -> std::vector<std::string> {
        const auto parsed = redis::parse_url(target);
        return {parsed ? parsed->to_string() : ""};
    };
    return option;
}

/// A host by itself. What is wrong is not repeated: a URL may hold a password.
Option host_option(Option option, std::string& target) {
    option.set = [&target](std::string_view given) -> Result<void> {
        if (const auto fine = redis::check_host(given); !fine) return fail(Errc::malformed, fine.error().what);
        target = given;
        return {};
    };
    option.show = [&target]() -> std::vector<std::string> { return {target}; };
    return option;
}

}  // namespace

Result<std::optional<redis::Endpoint>> RedisConfig::endpoint() const {
    if (!url.empty()) {
        auto parsed = redis::parse_url(url);
        if (!parsed) return fail(Errc::config, "redis: " + parsed.error().what);
        return std::move(*parsed);
    }
    if (host.empty()) return std::nullopt;
    redis::Endpoint endpoint;
    endpoint.host = host;
    endpoint.port = port;
    endpoint.password = password;
    endpoint.database = database;
    return endpoint;
}

void add_redis_options(std::vector<Option>& table, std::string_view group, RedisConfig& config, std::string help) {
    const auto add = [&](Option option) {
        option.group = group;
        table.push_back(std::move(option));
    };
    add(url_option({.name = "redis", .value = "URL", .help = std::move(help), .env = {"REDIS_URL"}}, config.url));
    add(host_option({.name = "redis-host",
                     .value = "HOST",
                     .help = "The same by its parts, when there is no URL.",
                     .env = {"REDIS_HOST"}},
                    config.host));
    add(number({.name = "redis-port", .value = "PORT", .help = "Port of redis-host.", .env = {"REDIS_PORT"}},
               config.port, 1, 65535));
    add(secret(
        {.name = "redis-password",
         .value = "PASSWORD",
         .help = "Password of redis-host; better by its variable or a file, where no list of processes shows it.",
         .env = {"REDIS_PASSWORD"}},
        config.password));
    add(number({.name = "redis-database", .value = "N", .help = "Database of redis-host.", .env = {"REDIS_DB"}},
               config.database, 0, 65535));
}

void settle_redis(const RedisConfig& config, std::optional<redis::Endpoint>& endpoint, Findings& findings) {
    auto come_to = config.endpoint();
    if (!findings.check(come_to)) return;
    endpoint = std::move(*come_to);
    if (!endpoint) return;
    for (const std::string& warning : endpoint->warnings) findings.warn("redis: " + warning);
}

}  // namespace sio::daemon
