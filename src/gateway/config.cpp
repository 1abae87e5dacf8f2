#include "gateway/config.h"

#include <sys/un.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/bytes.h"
#include "daemon/common.h"
#include "daemon/exit_code.h"
#include "daemon/judge.h"
#include "daemon/limits.h"
#include "daemon/socket_options.h"
#include "daemon/wrapping.h"
#include "gateway/engine.h"
#include "gateway/hop.h"
#include "net/resolver.h"
#include "wire/admin.h"

namespace sio::gateway {
namespace {

using namespace std::chrono_literals;
using daemon::Option;
namespace fs = std::filesystem;

constexpr std::string_view program = "sio-gateway";
constexpr std::string_view about =
    "Serves Socket.IO clients over WebSocket and HTTP long polling, and puts on their screens what sioctl and the "
    "routes "
    "file say. See sio-gateway(8).";
constexpr auto longest = 24h;
constexpr std::uint32_t most_events = 1'000'000'000;  // of a rate
constexpr std::size_t recovery_part = 8;              // recovery takes one part in so many of all memory, by default
constexpr std::uint32_t tabs = 10;                    // that a user may have busy at a time, by default

/// `/`, then visible ASCII but `?`, `#` and quotes; a slash is added at the end.
Option url_path(Option option, std::string& target) {
    option.value = "PATH";
    option.set = [&target](std::string_view given) -> Result<void> {
        const bool clean = std::all_of(given.begin(), given.end(), [](char c) {
            return c > ' ' && c <= '~' && c != '?' && c != '#' && c != '"' && c != '%';
        });
        if (!given.starts_with('/') || !clean) {
            return fail(Errc::malformed, "'" + std::string(given) + "' is not a path such as /socket.io/");
        }
        target = given;
        if (target.back() != '/') target += '/';
        return {};
    };
    option.show = [&target]() -> std::vector<std::string> { return {target}; };
    return option;
}

Option transports(Option option, bool& polling, bool& websocket) {
    option.value = "LIST";
    option.set = [&polling, &websocket](std::string_view given) -> Result<void> {
        bool with_polling = false;
        bool with_websocket = false;
        for (std::string_view rest = given; !rest.empty();) {
            const std::size_t end = std::min(rest.find(','), rest.size());
            const std::string_view word = base::trim(rest.substr(0, end));
            rest.remove_prefix(std::min(end + 1, rest.size()));
            if (word != "polling" && word != "websocket") {
                return fail(Errc::malformed, "'" + std::string(word) + "' is neither polling nor websocket");
            }
            (word == "polling" ? with_polling : with_websocket) = true;
        }
        if (!with_polling && !with_websocket) return fail(Errc::malformed, "no transport is left");
        polling = with_polling;
        websocket = with_websocket;
        return {};
    };
    option.show = [&polling, &websocket]() -> std::vector<std::string> {
        if (polling && websocket) return {"polling,websocket"};
        return {polling ? "polling" : "websocket"};
    };
    return option;
}

/// `EVENTS/DURATION` or `off`.
Option rate(Option option, std::optional<RateLimit>& target) {
    option.value = "EVENTS/DURATION|off";
    option.set = [&target](std::string_view given) -> Result<void> {
        if (given == "off") {
            target.reset();
            return {};
        }
        const std::size_t slash = std::min(given.find('/'), given.size());
        const auto events = daemon::parse_number(given.substr(0, slash), 1, most_events);
        if (!events) return tl::unexpected(events.error());
        if (slash == given.size()) return fail(Errc::malformed, "'" + std::string(given) + "' is not like 100/60s");
        const auto per = daemon::parse_duration(given.substr(slash + 1), 1ms, longest);
        if (!per) return tl::unexpected(per.error());
        target = RateLimit{static_cast<std::uint32_t>(*events), *per};
        return {};
    };
    option.show = [&target]() -> std::vector<std::string> {
        if (!target) return {"off"};
        return {std::to_string(target->events) + "/" + daemon::show_duration(target->per)};
    };
    return option;
}

/// Origins, `*`, `true` and expressions.
Option origins(Option option, std::vector<std::string>& target) {
    option = daemon::list(std::move(option), target);
    option.set = [&target](std::string_view given) -> Result<void> {
        const bool is_expression = given.size() > 2 && given.starts_with('/') && given.ends_with('/');
        if (given != "*" && given != "true" && !is_expression) {
            if (auto fine = daemon::check_origin(given); !fine) return fine;
        }
        target.emplace_back(given);
        return {};
    };
    return option;
}

/// Text that goes into a header as it is: no control characters. `valid` may ask for more.
Option header_text(Option option, std::string& target, const std::function<bool(std::string_view)>& valid = {}) {
    option.set = [&target, valid](std::string_view given) -> Result<void> {
        const bool clean = std::all_of(given.begin(), given.end(), [](char c) { return c >= ' ' && c <= '~'; });
        if (!clean || (valid && !valid(given))) {
            return fail(Errc::malformed, "'" + std::string(given) + "' cannot stand in this header");
        }
        target = given;
        return {};
    };
    option.show = [&target]() -> std::vector<std::string> { return {target}; };
    return option;
}

/// Proxies that are believed; a switch that may have a value.
Option proxies(Option option, std::string& target) {
    option.is_switch = true;
    option.may_have_value = true;
    option.set = [&target](std::string_view given) -> Result<void> {
        if (const auto parsed = parse_trusted_proxies(given); !parsed) return tl::unexpected(parsed.error());
        target = given;
        return {};
    };
    option.show = [&target]() -> std::vector<std::string> { return {target}; };
    return option;
}

/// `name` or `name; attributes`, the name a token (RFC 6265, section 4.1.1).
bool is_cookie(std::string_view text) {
    const std::string_view name = text.substr(0, text.find(';'));
    return text.empty() || (!name.empty() && name.find_first_of(" \t=,\"()<>@:\\/[]?{}") == std::string_view::npos);
}

bool is_seconds(std::string_view text) { return text.empty() || base::parse_decimal(text, UINT32_MAX).has_value(); }

fs::path program_folder() {
    std::error_code error;
    const fs::path self = fs::read_symlink("/proc/self/exe", error);
    return error ? fs::path{} : self.parent_path();
}

/// The first folder that holds `file`; empty when none does.
std::string first_with(std::initializer_list<fs::path> folders, const char* file) {
    std::error_code ignored;
    for (const auto& folder : folders) {
        if (fs::exists(folder / file, ignored)) return folder.lexically_normal().string();
    }
    return {};
}

/// Whether NODE_ENV says so, however it is written: a guard must not be off because of a quote.
bool is_production(const daemon::Environment& environment, daemon::Findings& findings) {
    const std::string given = environment("NODE_ENV").value_or("");
    const daemon::Unwrapped found = daemon::unwrap(given);
    if (!base::equal_ignoring_case(found.inner, "production")) return false;
    if (!found.around.empty()) {
        findings.warn("NODE_ENV: what stands around the value (" + found.around + ") is not taken for a part of it");
    }
    return true;
}

/// Fills in what depends on other options or on where the program lies, and refuses what cannot work.
void complete(Config& config, const daemon::Environment& environment, daemon::Findings& findings) {
    const auto wrong = [&](std::string what) { findings.add({Errc::config, std::move(what)}); };
    config.production = is_production(environment, findings);
    if (config.production && config.auth == AuthMode::dev) {
        wrong("auth 'dev' believes every token; it is refused while NODE_ENV is production");
    }
    if (config.proxy_protocol) {
        const auto proxies = parse_trusted_proxies(config.trust_proxy);
        if (proxies && proxies->networks.is_empty()) {
            wrong(
                "proxy-protocol: nobody may speak it; name the proxies with trust-proxy, as in trust-proxy = 10.0.0.5");
        }
    }
    if (config.hosts.empty() && !findings.has_mistakes()) wrong("host: there is no address to listen on");
    for (const std::string& host : config.hosts) {
        if (!net::is_numeric(host)) {
            wrong("host: '" + host + "' is not an IPv4 or IPv6 address, such as 127.0.0.1 or ::1");
        }
    }
    findings.check(Cors::create(config.cors));
    if (!config.websocket_origin_check) config.websocket_origin_check = !config.cors.origins.empty();
    if (config.control.empty()) config.control = wire::default_control_path();
    if (config.control.size() >= sizeof(sockaddr_un::sun_path)) {
        wrong("control: '" + config.control + "' is longer than the path of a socket may be");
    }
    if (config.authd.empty()) {
        config.authd = (fs::path(wire::default_control_path()).parent_path() / "authd.sock").string();
    }
    if (config.authd.size() >= sizeof(sockaddr_un::sun_path)) {
        wrong("authd: '" + config.authd + "' is longer than the path of a socket may be");
    }
    if (!config.hop_listen.empty()) {
        const auto endpoint = HopEndpoint::parse(config.hop_listen);
        if (!endpoint || endpoint->host == "0.0.0.0" || endpoint->host == "::") {
            wrong("hop-listen: '" + config.hop_listen +
                  "' is not an address at which others reach this host, with a port");
        }
        if (config.hop_secret_file.empty()) wrong("hop-listen asks for a hop-secret-file");
    }
    if (config.relay_dir.empty() && config.share_port) {
        const fs::path folder = fs::path(config.control).parent_path();
        config.relay_dir = folder.empty() ? "." : folder.string();
    }
    daemon::settle_redis(config.redis, config.redis_endpoint, findings);
    const auto least_retention = config.recovery_window + 180s;
    if (config.redis_retention < least_retention) config.redis_retention = least_retention;
    const fs::path here = program_folder();
    if (config.serve_client) {
        if (config.client_dir.empty()) {
            config.client_dir = first_with({here / "client", here / "../share/sio/client"}, "socket.io.js");
        } else if (first_with({config.client_dir}, "socket.io.js").empty()) {
            wrong("client-dir: there is no socket.io.js in '" + config.client_dir + "'");
        }
    }
    if (config.demo) {
        if (config.demo_dir.empty()) {
            config.demo_dir = first_with(
                {here / "../share/sio/demo", here / "../share/demo", here / "../../share/demo"}, "index.html");
        }
        if (config.demo_dir.empty()) wrong("demo: there is no share/sio/demo/index.html");
        if (config.routes.empty() && !config.demo_dir.empty()) config.routes = config.demo_dir + "/routes.json";
    }
}

base::Millis millis(std::chrono::milliseconds value) { return static_cast<base::Millis>(value.count()); }

}  // namespace

std::vector<Option> options_of(Config& c) {
    using daemon::bytes;
    using daemon::choice;
    using daemon::duration;
    using daemon::number;
    std::vector<Option> table;
    std::string group;
    const auto add = [&](Option option) {
        option.group = group;
        table.push_back(std::move(option));
    };

    group = "Listening";
    add(daemon::list(
        {.name = "host", .value = "ADDRESS", .help = "Address to listen on, IPv4 or IPv6.", .env = {"SOCKET_IO_HOST"}},
        c.hosts));
    add(number({.name = "port", .value = "PORT", .help = "TCP port; 0 takes any free one.", .env = {"SOCKET_IO_PORT"}},
               c.port, 0, 65535));
    add(daemon::on_off({.name = "share-port", .help = "Let several gateways of one user listen on the same port."},
                       c.share_port));
    add(url_path({.name = "path", .help = "Where Socket.IO answers."}, c.path));
    add(proxies(
        {.name = "trust-proxy",
         .value = "ADDRESSES",
         .help = "Proxies whose X-Forwarded-For or Forwarded says whose request it is: addresses and networks, or "
                 "unix; on: any that is private or of this host."},
        c.trust_proxy));
    add(daemon::on_off({.name = "proxy-protocol",
                        .help = "The proxies of trust-proxy begin each connection with a head of the PROXY protocol, "
                                "version 1 or 2, which says whose it is."},
                       c.proxy_protocol));
    add(daemon::text(
        {.name = "relay-dir",
         .value = "FOLDER",
         .help = "Where the gateways of this host and user hand clients to one another; empty: the control "
                 "socket's folder with share-port, else nowhere."},
        c.relay_dir));
    add(daemon::text(
        {.name = "hop-listen",
         .value = "ADDRESS:PORT",
         .help = "Where gateways of other hosts reach this one with clients of its own; a private address, "
                 "since bytes pass as they are; empty: nowhere."},
        c.hop_listen));
    add(daemon::text({.name = "hop-secret-file",
                      .value = "FILE",
                      .help = "File with the secret by which gateways know one another, 16 bytes or more; the same on "
                              "each."},
                     c.hop_secret_file));

    group = "Protocol";
    add(transports({.name = "transports", .help = "Transports that clients may use."}, c.polling, c.websocket));
    add(daemon::on_off({.name = "upgrades", .help = "Offer WebSocket to clients that began with polling."},
                       c.upgrades));
    add(duration({.name = "ping-interval",
                  .help = "Time between two pings to a client.",
                  .cost = "A larger value saves traffic and finds dead connections later."},
                 c.ping_interval, 10ms, longest));
    add(duration({.name = "ping-timeout",
                  .help = "How long a client may take to answer a ping.",
                  .cost = "A larger value finds dead connections later."},
                 c.ping_timeout, 10ms, longest));
    add(duration({.name = "upgrade-timeout",
                  .help = "How long an upgrade from polling to WebSocket may take.",
                  .cost = "A larger value keeps abandoned upgrades longer."},
                 c.upgrade_timeout, 10ms, longest));
    add(duration({.name = "connect-timeout",
                  .help = "How long a client may stay without joining a namespace.",
                  .cost = "A larger value keeps silent strangers longer."},
                 c.connect_timeout, 10ms, longest));
    add(bytes({.name = "max-payload",
               .help = "Largest message or POST body from a client.",
               .cost = "A larger value lets each client take that much memory."},
              c.max_payload, 64, std::size_t{1} << 30U));
    add(daemon::bytes_or_off({.name = "http-compression-threshold",
                              .help = "Compress answers to polls from this size on, up to 128 KB.",
                              .cost = "A larger value saves processor time and costs traffic."},
                             c.http_compression_threshold, 0, std::size_t{1} << 30U));
    add(header_text({.name = "cookie",
                     .value = "COOKIE",
                     .help = "Cookie set at the handshake by polling, such as 'io; Path=/; HttpOnly; SameSite=Lax'."},
                    c.cookie, is_cookie));
    add(choice({.name = "recovery",
                .help = "Give clients that were away a short time what they missed; auto leaves out clients that an "
                        "offset in their events would harm."},
               c.recovery, {{"off", RecoveryMode::off}, {"auto", RecoveryMode::automatic}, {"on", RecoveryMode::on}}));
    add(duration({.name = "recovery-window",
                  .help = "How long a client may be away and still get what it missed.",
                  .cost = "A larger value keeps more packets in memory."},
                 c.recovery_window, 0ms, longest));
    add(bytes({.name = "recovery-bytes",
               .help = "Most memory for packets that clients may have missed, and for who may return; the oldest go "
                       "first. The default is at most an eighth of memory-limit.",
               .cost = "A larger value costs that memory."},
              c.recovery_bytes, 0, std::size_t{1} << 40U));
    add(duration({.name = "recovery-wait",
                  .help = "How long a client that returns may wait for Redis and for what it missed before it begins "
                          "again.",
                  .cost = "A larger value keeps clients waiting longer while Redis is unreachable."},
                 c.recovery_wait, 0ms, 600s));

    group = "Presence";
    add(duration({.name = "presence-grace",
                  .help = "How long a user may have no socket anywhere before he is offline; the same on all gateways.",
                  .cost = "A larger value hides longer absences."},
                 c.presence_grace, 0ms, 600s));

    group = "Redis";
    daemon::add_redis_options(table, group, c.redis,
                              "The Redis this gateway shares with others: redis://, rediss:// (TLS), unix:// or "
                              "redis+sentinel://; without, it works alone.");
    add(daemon::text({.name = "node",
                      .value = "NAME",
                      .help = "This gateway's name in the cluster and in answers; default: host and process id."},
                     c.node));
    add(daemon::text({.name = "redis-stream",
                      .value = "KEY",
                      .help = "Stream that all members share; streamName of Node's adapter."},
                     c.redis_stream));
    add(number(
        {.name = "redis-stream-count", .value = "N", .help = "Number of streams; streamCount of Node's adapter."},
        c.redis_stream_count, 1, 64));
    add(daemon::text({.name = "redis-channel-prefix",
                      .value = "PREFIX",
                      .help = "Beginning of the channels; channelPrefix of Node's adapter."},
                     c.redis_channel_prefix));
    add(daemon::text(
        {.name = "redis-session-prefix",
         .value = "PREFIX",
         .help = "Beginning of the keys of clients that may come back; sessionKeyPrefix of Node's adapter."},
        c.redis_session_prefix));
    add(duration({.name = "redis-retention",
                  .help = "How long entries stay in the stream; at least the recovery window and three minutes.",
                  .cost = "A larger value costs memory of Redis."},
                 c.redis_retention, 1s, longest));
    add(bytes({.name = "redis-stream-bytes",
               .help = "Most memory that these streams take in Redis, in all; then the oldest entries go, and clients "
                       "that were away for longer begin again; the same on all gateways.",
               .cost = "A larger value costs memory of Redis."},
              c.redis_stream_bytes, 64U << 10U, std::size_t{1} << 40U));
    add(number({.name = "redis-stream-entries",
                .value = "N",
                .help = "Most entries of these streams, in all; then likewise.",
                .cost = "A larger value costs memory of Redis."},
               c.redis_stream_entries, 100, std::size_t{1} << 40U));
    add(bytes({.name = "redis-spool-bytes",
               .help = "Most memory for events that wait while Redis is away; the oldest go first.",
               .cost = "A larger value costs that memory."},
              c.redis_spool_bytes, 0, std::size_t{1} << 40U));

    group = "Cross-origin requests";
    add(origins({.name = "cors-origin",
                 .value = "ORIGIN",
                 .help = "Origin whose pages may connect: an origin such as https://example.org, * for all, true "
                         "to mirror the caller's, or /regular expression/. None: no CORS headers.",
                 .env = {"SOCKET_IO_CORS_ORIGIN"},
                 .keep_commas = true},
                c.cors.origins));
    add(daemon::on_off({.name = "cors-credentials", .help = "Allow cookies in requests of these origins."},
                       c.cors.credentials));
    add(header_text({.name = "cors-methods", .value = "LIST", .help = "Access-Control-Allow-Methods of a preflight."},
                    c.cors.methods));
    add(header_text({.name = "cors-headers",
                     .value = "LIST",
                     .help = "Access-Control-Allow-Headers of a preflight; empty mirrors what is asked for."},
                    c.cors.allowed_headers));
    add(header_text({.name = "cors-expose", .value = "LIST", .help = "Access-Control-Expose-Headers."},
                    c.cors.exposed_headers));
    add(header_text({.name = "cors-max-age",
                     .value = "SECONDS",
                     .help = "Access-Control-Max-Age of a preflight, in seconds; empty sends none."},
                    c.cors.max_age, is_seconds));
    add(choice(
        {.name = "websocket-origin-check",
         .help = "Refuse WebSockets of pages whose origin is neither listed nor our own; auto does when origins "
                 "are listed."},
        c.websocket_origin_check,
        {{"auto", std::optional<bool>{}}, {"on", std::optional<bool>{true}}, {"off", std::optional<bool>{false}}}));

    group = "Outbound events";
    add(daemon::text({.name = "events-stream",
                      .value = "KEY",
                      .help = "Stream in Redis for what routes publish, the same on all gateways; empty: none."},
                     c.events_stream));
    add(duration({.name = "events-retention",
                  .help = "How long entries stay in it, read or not.",
                  .cost = "A larger value costs memory of Redis."},
                 c.events_retention, 1s, 30 * longest));
    add(bytes({.name = "events-bytes",
               .help = "Most memory that this stream takes in Redis; what all groups have acknowledged goes before its "
                       "time, and then a publish is refused.",
               .cost = "A larger value costs memory of Redis."},
              c.events_bytes, 64U << 10U, std::size_t{1} << 40U));
    add(number({.name = "events-entries",
                .value = "N",
                .help = "Most entries of it; then likewise.",
                .cost = "A larger value costs memory of Redis."},
               c.events_entries, 1, std::size_t{1} << 40U));
    add(bytes({.name = "publish-bytes",
               .help = "Largest value of one publish, with its key and its attachments as base64.",
               .cost = "A larger value fills the stream with fewer events, and Kafka may refuse it."},
              c.publish_bytes, 1, std::size_t{64} << 20U));
    add(choice({.name = "events-lifecycle",
                .help = "Whether connects, disconnects, joins, leaves and rooms that fill or empty are written, too.",
                .cost = "On costs Redis a command for each."},
               c.events_lifecycle, {{"off", false}, {"on", true}}));

    group = "HTTP API";
    add(daemon::text({.name = "api-keys-file",
                      .value = "FILE",
                      .help = "File with a line NAME KEY for each server that may use the API; read again on SIGHUP; "
                              "empty: there is no API."},
                     c.api_keys_file));
    add(bytes({.name = "api-max-body",
               .help = "Largest body of a request to the API.",
               .cost = "A larger value lets each of up to 256 requests at a time take that much memory."},
              c.api_max_body, 64, std::size_t{64} << 20U));
    add(number({.name = "api-rate",
                .help = "Requests to the API per second and name, on this gateway; 0 sets no limit.",
                .cost = "A larger value lets one server use more of the processor."},
               c.api_rate, 0, 1'000'000));

    group = "Application";
    add(daemon::text({.name = "routes",
                      .value = "FILE",
                      .help = "What happens on connect, on disconnect and on each event; read again on SIGHUP."},
                     c.routes));
    add(choice({.name = "auth",
                .help = "Who a socket is: none, everybody is anonymous; dev, the token is the user id, unproved, and "
                        "refused while NODE_ENV is production; authd, sio-authd says it."},
               c.auth, {{"none", AuthMode::none}, {"dev", AuthMode::dev}, {"authd", AuthMode::authd}}));
    add(daemon::text({.name = "authd",
                      .value = "PATH",
                      .help = "Socket of sio-authd; given, auth is authd unless it says otherwise; empty: "
                              "/run/sio/authd.sock for root, else sio/authd.sock in XDG_RUNTIME_DIR, else "
                              "/tmp/sio-UID/authd.sock.",
                      .env = {"SIO_AUTHD"}},
                     c.authd));
    add(duration({.name = "authd-timeout",
                  .help = "How long sio-authd may take for an answer; then the client is told to try again.",
                  .cost = "A larger value keeps clients waiting longer while something is away."},
                 c.authd_timeout, 100ms, 60s));
    add(duration({.name = "auth-warning",
                  .help = "How long before the end of a session its client is warned.",
                  .cost = "A larger value gives it more time to get a new token, and asks for one sooner."},
                 c.auth_warning, 0ms, longest));
    add(duration({.name = "auth-grace",
                  .help = "How long a socket stays after the end of its session; no less than sio-authd's leeway.",
                  .cost = "A larger value keeps those longer who do not come with a new token."},
                 c.auth_grace, 0ms, longest));
    add(daemon::on_off({.name = "auth-query",
                        .help = "Take token= in the query of the handshake for a credential; it then stands in the "
                                "logs of proxies."},
                       c.auth_query));
    add(daemon::on_off({.name = "serve-client", .help = "Serve the browser's client below the path, as Node does."},
                       c.serve_client));
    add(daemon::text({.name = "client-dir",
                      .value = "FOLDER",
                      .help = "Folder of socket.io.js and its kin; empty: client/ beside the program, else "
                              "../share/sio/client."},
                     c.client_dir));
    add(daemon::on_off({.name = "demo", .help = "Serve the demo page at / and use its routes unless others are given."},
                       c.demo));
    add(daemon::text(
        {.name = "demo-dir",
         .value = "DIR",
         .help = "Its folder, with index.html, routes.json and perhaps tokens.json; found beside the program."},
        c.demo_dir));

    group = "Limits";
    add(rate({.name = "rate-limit",
              .help = "Most events from one socket in a span of time.",
              .cost = "A larger value lets one client use more of the processor."},
             c.rate_limit));
    add(rate(
        {.name = "user-rate-limit",
         .help = "Events a user may send in that time, all tabs and gateways together; they may come in one burst; "
                 "unless given, ten times rate-limit.",
         .cost = "A larger value lets one user with many tabs use more of the processor."},
        c.user_rate_limit));
    add(number({.name = "max-connections",
                .help = "Most connections in all, and as many sessions; 0 is the descriptor limit less a reserve.",
                .cost = "A larger value costs memory and descriptors for each connection."},
               c.max_connections, 0, 100'000'000));
    add(number({.name = "max-connections-per-address",
                .help = "Most connections from one address, and as many sessions; 0 sets no limit.",
                .cost = "A larger value lets one address take more of the connections."},
               c.max_connections_per_address, 0, 100'000'000));
    add(number({.name = "max-namespaces",
                .help = "Most namespaces that match a pattern of the routes and have somebody in them, in all.",
                .cost = "A larger value lets clients take that much memory, 3 KB each."},
               c.max_namespaces, 1, 100'000'000));
    add(number({.name = "max-namespaces-per-connection",
                .help = "Most namespaces that one connection may join.",
                .cost = "A larger value lets each client take that much memory, 2 KB each and its auth."},
               c.max_namespaces_per_connection, 1, 10'000));
    add(number({.name = "max-rooms-per-socket",
                .help = "Most rooms that one socket may be in, beside its own and its user's.",
                .cost = "A larger value lets each client take that much memory, a kilobyte each."},
               c.max_rooms_per_socket, 1, 1'000'000));
    add(number({.name = "max-json-depth",
                .help = "How deep arrays and objects of what clients send may nest.",
                .cost = "A larger value can end other clients that read it: Python's give up near 1,000."},
               c.max_json_depth, 4, json::max_depth - 16));
    add(bytes({.name = "queue-bytes",
               .help = "Most unsent bytes kept for one client.",
               .cost = "A larger value lets each slow client take that much memory."},
              c.queue_bytes, 1024, std::size_t{1} << 32U));
    add(choice({.name = "queue-policy", .help = "What happens when a client's queue is full."}, c.queue_policy,
               {{"disconnect", QueuePolicy::disconnect},
                {"drop-newest", QueuePolicy::drop_newest},
                {"drop-oldest", QueuePolicy::drop_oldest}}));
    add(bytes({.name = "client-bytes",
               .help = "Most memory kept because of one client; 0: queue-bytes and twelve times max-payload.",
               .cost = "A larger value lets each hostile client take that much memory."},
              c.client_bytes, 0, std::size_t{1} << 36U));
    add(bytes({.name = "address-bytes",
               .help = "Most memory kept because of all clients of one address; 0: three times client-bytes.",
               .cost = "A larger value lets one address take that much memory."},
              c.address_bytes, 0, std::size_t{1} << 40U));
    add(bytes(
        {.name = "memory-limit",
         .help = "Most memory of this process; 0: four fifths of what the cgroup, RLIMIT_AS or the machine allows.",
         .cost = "A larger value than the system allows lets the system kill this process."},
        c.memory_limit, 0, std::size_t{1} << 44U));
    add(bytes({.name = "max-header-bytes",
               .help = "Largest request line with headers.",
               .cost = "A larger value lets each connection take that much memory."},
              c.max_header_bytes, 512, std::size_t{1} << 20U));
    add(duration({.name = "header-timeout",
                  .help = "How long a request's headers may take.",
                  .cost = "A larger value lets slow senders hold connections longer."},
                 c.header_timeout, 10ms, longest));
    add(duration({.name = "body-timeout",
                  .help = "How long a request's body may take.",
                  .cost = "A larger value lets slow senders hold connections longer."},
                 c.body_timeout, 10ms, longest));
    add(duration({.name = "handshake-timeout",
                  .help = "How long a new connection may take to send its first request.",
                  .cost = "A larger value lets silent connections stay longer."},
                 c.handshake_timeout, 10ms, longest));
    add(duration({.name = "idle-timeout",
                  .help = "How long a kept connection may wait for its next request.",
                  .cost = "A larger value saves new connections and holds more descriptors."},
                 c.idle_timeout, 10ms, longest));

    group = "Operation";
    add(daemon::text(
        {.name = "control",
         .value = "PATH",
         .help = "Socket that sioctl talks to; empty: /run/sio/gateway.sock for root, else sio/gateway.sock "
                 "in XDG_RUNTIME_DIR, else /tmp/sio-UID/gateway.sock.",
         .env = {"SIO_CONTROL"}},
        c.control));
    daemon::add_socket_options(table, group);
    add(duration({.name = "drain-deadline",
                  .help = "How long clients are told to leave after SIGTERM before the program ends.",
                  .cost = "A larger value spreads their return wider and ends later."},
                 c.drain_deadline, 0ms, longest));
    add(number({.name = "drain-rate",
                .help = "Clients told to leave per second; 0 spreads them evenly over the deadline.",
                .cost = "A larger value brings more of them back to the others at once."},
               c.drain_rate, 0, 1'000'000));
    daemon::add_log_options(table, group, c.log, "sio:*,-sio:ws");
    return table;
}

namespace {

daemon::Loaded settle(Config& config, std::span<Option> options, std::span<const char* const> arguments,
                      const daemon::Environment& environment, daemon::Findings& findings) {
    daemon::Loaded loaded = daemon::read(options, arguments, environment, findings);
    const auto named = [options](std::string_view name) { return std::ranges::find(options, name, &Option::name); };
    if (const auto auth = named("auth"), authd = named("authd");
        auth->source == "default" && authd->source != "default" && !config.authd.empty()) {
        config.auth = AuthMode::authd;
        auth->source = authd->source;
    }
    if (const auto user = named("user-rate-limit"); user->source == "default") {
        config.user_rate_limit = config.rate_limit;
        if (config.user_rate_limit)
            config.user_rate_limit->events = std::min(most_events / tabs, config.rate_limit->events) * tabs;
        user->source = named("rate-limit")->source;
    }
    if (named("recovery-bytes")->source == "default") {
        config.recovery_bytes = std::min(config.recovery_bytes, memory_for_all(config) / recovery_part);
    }
    if (daemon::wants_config(loaded.action)) complete(config, environment, findings);
    return loaded;
}

}  // namespace

Result<daemon::Action> load_config(Config& config, std::span<Option> options, std::span<const char* const> arguments,
                                   const daemon::Environment& environment) {
    return daemon::settled(config, options, arguments, environment, settle);
}

Start start(std::span<const char* const> arguments, const daemon::Environment& environment,
            const daemon::Judge<Config>& judge) {
    return daemon::start<Config>({program, about, SIO_VERSION}, arguments, environment, options_of, settle, judge);
}

std::size_t memory_for_all(const Config& config) {
    return config.memory_limit != 0 ? config.memory_limit : daemon::memory_allowed() / 5 * 4;
}

EngineOptions engine_options(const Config& config) {
    EngineOptions options;
    options.path = config.path;
    options.times = {millis(config.ping_interval), millis(config.ping_timeout), millis(config.upgrade_timeout)};
    options.max_payload = config.max_payload;
    options.polling = config.polling;
    options.websocket = config.websocket;
    options.upgrades = config.upgrades;
    options.cookie = config.cookie;
    options.compression_threshold = config.http_compression_threshold;
    options.queue_bytes = config.queue_bytes;
    options.queue_policy = config.queue_policy;
    options.max_connections = config.max_connections;
    options.max_connections_per_address = config.max_connections_per_address;
    constexpr std::size_t message_parts = 12;  // text, as many attachments as a message may have, and auth
    options.accounts.client =
        config.client_bytes != 0 ? config.client_bytes : config.queue_bytes + message_parts * config.max_payload;
    options.accounts.address = config.address_bytes != 0 ? config.address_bytes : 3 * options.accounts.client;
    options.max_header_bytes = config.max_header_bytes;
    options.handshake_timeout = millis(config.handshake_timeout);
    options.header_timeout = millis(config.header_timeout);
    options.body_timeout = millis(config.body_timeout);
    options.idle_timeout = millis(config.idle_timeout);
    options.websocket_origin_check = config.websocket_origin_check.value_or(!config.cors.origins.empty());
    options.proxy_protocol = config.proxy_protocol;
    options.proxies = parse_trusted_proxies(config.trust_proxy).value_or(TrustedProxies{});
    return options;
}

}  // namespace sio::gateway
