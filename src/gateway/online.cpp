#include "gateway/online.h"

#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/timer_wheel.h"
#include "cluster/names.h"
#include "daemon/trials.h"
#include "gateway/authority.h"
#include "gateway/presence.h"
#include "net/unix_client.h"

namespace sio::gateway {

namespace {

using daemon::RedisCommand;
using daemon::RedisCommands;

constexpr base::Millis look_interval = 20;
constexpr base::Millis health_patience = 1'000;  // for what the daemon says of its own services

/// Each that presence and its scripts use. SADD and HSETNX alone cannot be made to fail; what they make goes at once.
void add_presence(RedisCommands& commands) {
    const std::string prefix = PresenceOptions().prefix;
    const std::string key = prefix + "check";
    commands.at("~" + prefix + "*");
    commands.add({"EXISTS", key}).add({"PTTL", key}).add({"PEXPIRE", key, "x"});
    commands.add({"HGET", key, "f"}).add({"HMGET", key, "f"}).add({"HVALS", key}).add({"HLEN", key});
    commands.add({"HSCAN", key, "0"}).add({"HDEL", key, "f"}).add({"HINCRBY", key, "f", "x"});
    commands.add({"HSET", key, "f", "v", "odd"}).add({"HSETNX", key, "f", "v"}).add({"DEL", key});
    commands.add({"SADD", key, "m"}).add({"SREM", key, "m"}).add({"SPOP", key}).add({"DEL", key});
    commands.add({"ZADD", key, "x", "m"}).add({"ZREM", key, "m"}).add({"ZCARD", key}).add({"ZSCORE", key, "m"});
    commands.add({"ZRANGE", key, "0", "0"}).add({"ZREVRANGE", key, "0", "0"});
    commands.add({"ZRANGEBYSCORE", key, "0", "0"}).add({"ZREMRANGEBYSCORE", key, "0", "0"});
}

void add_sessions(RedisCommands& commands, const Config& config) {
    const std::string key = config.redis_session_prefix + "check";
    commands.at("~" + config.redis_session_prefix + "*");
    commands.add({"GET", key}).add({"SET", key, "v", "x"}).add({"SETRANGE", key, "-1", "v"});
    commands.add({"DEL", key}).add({"RENAME", key, key + ":to"});
}

void add_streams(RedisCommands& commands, const Config& config) {
    commands.at("~" + config.redis_stream + "*");
    for (const std::string& key : cluster::streams_to_read(config.redis_stream, config.redis_stream_count)) {
        commands.add({"XADD", key, "x", "f", "v"}).add({"XREAD", "COUNT", "1", "STREAMS", key, "$"});
        commands.add({"XRANGE", key, "0-1", "0-1"}).add({"XREVRANGE", key, "0-1", "0-1"}).add({"XINFO", "STREAM", key});
        commands.add({"XLEN", key}).add({"MEMORY", "USAGE", key}).add({"XTRIM", key, "MAXLEN", "x"});
    }
    if (config.events_stream.empty()) return;
    commands.at("~" + config.events_stream + "*").add({"XADD", config.events_stream, "x", "f", "v"});
    commands.add({"HGET", config.events_stream + ":seq", "f"});
    const std::string absent = config.events_stream + ":check";
    commands.add({"XINFO", "GROUPS", absent}).add({"XPENDING", absent, "check"});
}

/// Exactly as a gateway subscribes: Redis compares a pattern with those of a user sign by sign.
void add_channels(RedisCommands& commands, const Config& config, const routes::Routes& routes) {
    const std::string& prefix = config.redis_channel_prefix;
    const std::string nodes = config.redis_session_prefix + "nodes";
    const std::string own = config.redis_session_prefix + "check";  // whom nobody hears
    commands.at("").add({"PUBSUB", "NUMSUB", nodes});
    commands.at("&" + config.redis_session_prefix + "*").add({"PUBLISH", own, ""});
    commands.add({"SUBSCRIBE", config.redis_session_prefix + "taken", nodes}).add({"UNSUBSCRIBE", own});
    commands.at("&" + prefix + "#*").add({"PUBLISH", cluster::public_channel(prefix, "/sio-check"), ""});
    std::vector<std::string> names{"/"};
    for (const auto& nsp : routes.namespaces()) {
        if (!nsp->is_pattern && nsp->name != "/") names.push_back(nsp->name);
    }
    for (const std::string& name : names) {
        commands.at("&" + prefix + "#*");
        commands.add(
            {"SUBSCRIBE", cluster::public_channel(prefix, name), cluster::private_channel(prefix, name, "check")});
        for (const std::string& pattern :
             {cluster::classic_pattern(prefix, name), cluster::classic_request_pattern(prefix, name)}) {
            commands.at("&" + pattern).add({"PSUBSCRIBE", pattern}).add({"PUNSUBSCRIBE", pattern});
        }
    }
}

routes::Routes read_routes(const Config& config) {
    std::ifstream file(config.routes, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    auto routes = routes::parse_routes(text.str(), config.routes);
    return config.routes.empty() || !routes ? routes::Routes() : std::move(*routes);  // the judge has said it
}

/// Whether sio-authd answers, and what it says of its own PostgreSQL, Redis and keys.
class AuthdTrial final : base::Timer, Authority::Owner {
public:
    AuthdTrial(net::Loop& loop, const Config& config, daemon::Trials& trials)
        : loop_(loop),
          trials_(trials),
          path_(config.authd),
          authority_(loop, {.path = config.authd}, *this),
          trial_(trials.open("authd " + path_, [this] { return trouble("authd"); })) {
        if (const auto client = net::UnixClient::connect(path_); !client) {
            trials.fault("authd: cannot connect to " + path_ + ": " + client.error().what + ": " +
                         std::string(remedy_of(client.error().code)));
            trials.close(trial_);
            return;
        }
        authority_.start();
        loop_.timers().arm(*this, loop_.now() + look_interval);
    }

private:
    static std::string_view remedy_of(Errc code) {
        switch (code) {
            case Errc::not_found: return "start sio-authd, or give its --control as --authd";
            case Errc::denied: return "run both as the same user";
            default: return "nobody answers there: start sio-authd";
        }
    }

    /// What `part` of the daemon's health says is wrong with it; empty: nothing is.
    [[nodiscard]] std::string trouble(std::string_view part) const {
        const std::string checks = '{' + authority_.checks() + '}';
        const auto check = json::member(checks, part);
        const auto detail = check ? json::member(*check, "detail") : std::nullopt;
        if (!detail || json::member(*check, "ok") == "true") return {};
        return json::decode_string(*detail);
    }

    void expire(base::Millis now) override {
        if (authority_.is_up() && !up_since_) up_since_ = now;
        const bool is_told = authority_.is_ready() || (up_since_ && now - *up_since_ >= health_patience);
        if (!is_told) return loop_.timers().arm(*this, now + look_interval);
        for (const std::string_view part : {"postgresql", "redis", "jwks"}) {
            const std::string what = trouble(part);
            if (!what.empty()) {
                trials_.warn("authd: its " + std::string(part) + " is not well: " + what +
                             ": sio-authd --check-config --online says more");
            }
        }
        trials_.close(trial_);
    }

    void on_revoked_user(std::string_view) override {}
    void on_revoked_session(std::string_view) override {}
    void on_revoked_key(std::string_view) override {}
    void on_recheck_rights() override {}
    void on_recheck_sessions() override {}

    net::Loop& loop_;
    daemon::Trials& trials_;
    std::string path_;
    Authority authority_;
    std::size_t trial_;
    std::optional<base::Millis> up_since_;
};

struct Parts {
    std::optional<daemon::RedisTrial> redis;
    std::optional<AuthdTrial> authd;
};

}  // namespace

std::vector<RedisCommand> redis_commands(const Config& config, const routes::Routes& routes) {
    RedisCommands commands;
    commands.add({"TIME"}).add({"CLIENT", "ID"}).add({"CLIENT", "KILL", "ID", "0"});
    commands.add({"SCRIPT", "LOAD", "return 1"}).add({"EVAL", "return 1", "0"});
    commands.add({"EVALSHA", std::string(40, '0'), "0"});
    add_presence(commands);
    add_sessions(commands, config);
    add_streams(commands, config);
    commands.at("~sio:bridges").add({"HLEN", "sio:bridges"});
    if (!config.api_keys_file.empty()) commands.at("~sio:idempotency:*").add({"GET", "sio:idempotency:check"});
    add_channels(commands, config, routes);
    return std::move(commands).all();
}

void try_online(const Config& config, std::chrono::milliseconds limit, daemon::Findings& findings) {
    daemon::run_trials(limit, findings, [&config](net::Loop& loop, daemon::Trials& trials) {
        auto parts = std::make_unique<Parts>();
        if (config.redis_endpoint) {
            parts->redis.emplace(loop, *config.redis_endpoint, redis_commands(config, read_routes(config)), trials);
        }
        if (config.auth == AuthMode::authd) parts->authd.emplace(loop, config, trials);
        return parts;
    });
}

}  // namespace sio::gateway
