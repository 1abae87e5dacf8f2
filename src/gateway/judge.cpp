#include "gateway/judge.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <variant>

#include "daemon/exposition.h"
#include "daemon/judge.h"
#include "daemon/limits.h"
#include "gateway/api_keys.h"
#include "gateway/hop.h"
#include "routes/routes.h"

namespace sio::gateway {

namespace {

/// What the lists of a routes file ask of others.
struct Needs {
    bool granted = false;
    bool publish = false;
};

void add_needs(const routes::ActionList& list, Needs& needs) {
    const auto asks = [](const std::vector<routes::Rule>& rules) {
        return std::ranges::any_of(rules, [](const auto& rule) { return rule.kind == routes::Rule::Kind::granted; });
    };
    needs.granted = needs.granted || asks(list.allow);
    for (const routes::Action& action : list.actions) {
        needs.granted = needs.granted || (action.allow && asks(*action.allow));
        needs.publish = needs.publish || std::holds_alternative<routes::Publish>(action.verb);
    }
}

Needs needs_of(const routes::Routes& routes) {
    Needs needs;
    for (const auto& nsp : routes.namespaces()) {
        for (const auto* list : {&nsp->on_connect, &nsp->on_disconnect, &nsp->on_online, &nsp->on_offline}) {
            add_needs(*list, needs);
        }
        for (const routes::EventRoute& event : nsp->events) add_needs(event.list, needs);
    }
    return needs;
}

class Judge {
public:
    Judge(daemon::Action action, const Config& config, daemon::Findings& findings)
        : is_check_(action == daemon::Action::check_config), config_(config), findings_(findings) {}

    void run() {
        routes();
        keys();
        hop();
        if (config_.redis_endpoint) daemon::judge_redis(*config_.redis_endpoint, findings_);
        findings_.check(daemon::check_log_file(config_.log.file));
        findings_.check(daemon::check_socket_path("control", config_.control));
        if (!config_.demo_dir.empty() && config_.demo)
            findings_.check(daemon::check_file("demo", config_.demo_dir + "/index.html"));
        origins();
        who_may_come();
        findings_.check(memory_limit_of(config_));
    }

private:
    void wrong(std::string what) { findings_.add({Errc::config, std::move(what)}); }

    void routes() {
        if (config_.routes.empty()) return;
        if (!findings_.check(daemon::check_file("routes", config_.routes))) return;
        std::ifstream file(config_.routes, std::ios::binary);
        std::ostringstream text;
        text << file.rdbuf();
        const auto routes = routes::parse_routes(text.str(), config_.routes);
        if (!findings_.check(routes)) return;
        if (is_check_) {
            for (const std::string& warning : routes->warnings()) findings_.warn(warning);
        }
        const bool is_demo = config_.demo && config_.routes == config_.demo_dir + "/routes.json";
        if (is_demo) return;  // it shows what it can
        const Needs needs = needs_of(*routes);
        if (needs.granted && config_.auth != AuthMode::authd) {
            findings_.warn("routes: " + config_.routes +
                           " has rules with granted, which nobody passes without sio-authd: give --auth authd");
        }
        if (needs.publish && !config_.redis_endpoint) {
            findings_.warn("routes: " + config_.routes +
                           " publishes, which fails each time without a Redis: give --redis redis://host");
        }
        if (needs.publish && config_.redis_endpoint && config_.events_stream.empty()) {
            findings_.warn("routes: " + config_.routes +
                           " publishes, which fails each time without an events-stream: give it a key");
        }
    }

    void keys() {
        if (config_.api_keys_file.empty()) return;
        const auto keys = ApiKeys::read(config_.api_keys_file);
        if (!findings_.check(keys)) return;
        if (is_check_) daemon::warn_of_mode("api-keys-file", config_.api_keys_file, findings_);
    }

    void hop() {
        if (config_.hop_listen.empty()) {
            if (!config_.hop_secret_file.empty()) {
                findings_.warn("hop-secret-file: it is used with hop-listen only, which is not given");
            }
            return;
        }
        if (!config_.redis_endpoint) wrong("hop-listen: the other gateways are met in Redis only: give --redis");
        if (config_.hop_secret_file.empty()) return;  // said already
        const auto secret = HopSecret::read(config_.hop_secret_file);
        if (!findings_.check(secret)) return;
        daemon::warn_of_mode("hop-secret-file", config_.hop_secret_file, findings_);
        daemon::warn_of_length("hop-secret-file", secret->size(), findings_);
    }

    void origins() {
        const auto& cors = config_.cors;
        const auto has = [&cors](std::string_view word) { return std::ranges::count(cors.origins, word) > 0; };
        if (!cors.credentials) return;
        if (cors.origins.empty()) {
            findings_.warn("cors-credentials: it does nothing without a cors-origin");
        } else if (has("*")) {
            wrong("cors-credentials: browsers refuse cookies from the cors-origin *: name the origins");
        } else if (has("true")) {
            findings_.warn(
                "cors-origin: true with cors-credentials lets every page of the web act with a user's "
                "cookies: name the origins");
        }
        for (const std::string& origin : cors.origins) judge_expression(origin);
    }

    /// Of an origin that is an expression, with cookies.
    void judge_expression(const std::string& origin) {
        if (origin.size() < 3 || !origin.starts_with('/') || !origin.ends_with('/')) return;
        const auto matches = [&origin](std::string_view page) {
            CorsOptions options;
            options.origins.push_back(origin);
            const auto one = Cors::create(std::move(options));
            return one && one->admits(page, "");
        };
        if (matches("https://a-stranger.invalid") || matches("http://a-stranger.invalid")) {
            findings_.warn("cors-origin: " + origin +
                           " with cors-credentials lets every page of the web act with a user's cookies: name the "
                           "origins");
        } else if (!origin.ends_with("$/") || !origin.starts_with("/^")) {
            findings_.warn("cors-origin: " + origin +
                           " also matches origins that only hold it, such as https://example.org.a-stranger.invalid: "
                           "begin it with ^ and end it with $");
        }
    }

    void who_may_come() {
        const bool is_local = std::ranges::all_of(config_.hosts, daemon::is_of_this_host);
        if (config_.auth == AuthMode::dev) {
            findings_.warn(
                "auth: dev believes every token, so that anybody is whom he says he is: give --auth authd "
                "before others reach it");
        } else if (config_.auth == AuthMode::none && !is_local) {
            findings_.warn(
                "auth: none lets everybody in, on an address that others reach: give --auth authd, or host "
                "127.0.0.1 behind a proxy that asks who comes");
        }
        if (is_local && config_.trust_proxy == "off" && config_.max_connections_per_address > 0) {
            findings_.warn(
                "max-connections-per-address: behind a proxy of this host all clients have one address: "
                "give --trust-proxy when there is one");
        }
        if (config_.events_lifecycle && !config_.redis_endpoint) {
            findings_.warn("events-lifecycle: it needs a Redis to write to: give --redis");
        }
    }

    bool is_check_;
    const Config& config_;
    daemon::Findings& findings_;
};

}  // namespace

Result<std::size_t> memory_limit_of(const Config& config) {
    constexpr std::size_t least = std::size_t{16} << 20U;  // for clients
    const std::size_t limit = memory_for_all(config);
    const std::size_t resident = daemon::memory_in_use().resident;
    if (limit >= resident + least) return limit;
    return fail(Errc::config, "memory-limit: " + std::to_string(limit) + " bytes are too few; this process has " +
                                  std::to_string(resident) + " resident before its first client, and needs " +
                                  std::to_string(least) + " more");
}

void judge(daemon::Action action, const Config& config, daemon::Findings& findings) {
    Judge(action, config, findings).run();
}

}  // namespace sio::gateway
