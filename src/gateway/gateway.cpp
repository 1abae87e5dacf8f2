#include "gateway/gateway.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/heap.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/exit_code.h"
#include "daemon/exposition.h"
#include "daemon/limits.h"
#include "daemon/notify.h"
#include "gateway/judge.h"
#include "net/listener.h"
#include "wire/admin.h"

namespace sio::gateway {

namespace {

constexpr Millis drain_tick = 50;
constexpr Millis gap_shown = 300'000;           // a gap in the stream stands in /ready for so long
constexpr std::size_t descriptor_reserve = 64;  // for listeners, logs, the control socket

HubOptions hub_options(const Config& config) {
    HubOptions options;
    options.recovery = config.recovery;
    options.recovery_window = config.recovery_window.count();
    options.recovery_bytes = config.recovery_bytes;
    options.connect_timeout = config.connect_timeout.count();
    options.attachment_timeout = config.body_timeout.count();
    options.rate_limit = config.rate_limit ? config.rate_limit->events : 0;
    options.rate_window = config.rate_limit ? config.rate_limit->per.count() : 60'000;
    options.auth = config.auth;
    options.max_payload = config.max_payload;
    options.max_namespaces = config.max_namespaces;
    options.max_rooms = config.max_rooms_per_socket;
    options.max_joined = config.max_namespaces_per_connection;
    options.max_json_depth = config.max_json_depth;
    return options;
}

EngineOptions with_descriptor_limit(EngineOptions options) {
    const std::size_t descriptors = daemon::raise_descriptor_limit();
    const std::size_t most = descriptors > 2 * descriptor_reserve ? descriptors - descriptor_reserve : descriptors / 2;
    if (options.max_connections == 0 || options.max_connections > most) options.max_connections = most;
    return options;
}

std::string node_name() {
    char host[256] = "localhost";
    gethostname(host, sizeof host - 1);
    return std::string(host) + '#' + std::to_string(getpid());
}

}  // namespace

struct Gateway::DrainTimer final : base::Timer {
    explicit DrainTimer(Gateway& g) : gateway(g) {}
    Gateway& gateway;

private:
    void expire(Millis) override { gateway.drain_step(); }
};

Gateway::Gateway(net::Loop& loop, const Config& config, Cors cors)
    : loop_(loop),
      config_(config),
      hub_(hub_options(config), *this),
      engine_(loop, with_descriptor_limit(engine_options(config)), std::move(cors), hub_),
      relay_(loop, engine_),
      hops_(loop, engine_),
      admin_(loop, hub_, *this, config.node.empty() ? node_name() : config.node),
      bundle_(config.serve_client ? config.client_dir : std::string(), config.path),
      started_(loop.now()) {
    if (config.redis_endpoint) {
        ClusterOptions options;
        options.redis = *config.redis_endpoint;
        options.node = config.node.empty() ? node_name() : config.node;
        options.owns_name = !config.node.empty();
        options.stream = config.redis_stream;
        options.stream_count = config.redis_stream_count;
        options.channel_prefix = config.redis_channel_prefix;
        options.session_prefix = config.redis_session_prefix;
        options.session_window = config.recovery_window.count();
        options.retention = config.redis_retention.count();
        options.spool_bytes = config.redis_spool_bytes;
        options.bounds = {.entries = config.redis_stream_entries, .bytes = config.redis_stream_bytes};
        options.recovery_wait = config.recovery_wait.count();
        cluster_ = std::make_unique<Cluster>(loop, hub_, std::move(options));
        cluster_->on_server_event([this](const std::string& nsp, std::string_view event, std::string_view arguments,
                                         const std::function<void(std::string)>& answer) {
            admin_.on_server_event(nsp, event, arguments, answer);
        });
        cluster_->on_name_in_use([this](const std::string& why) { leave_name(why); });
        hub_.set_backbone(*cluster_);
        set_directory(*cluster_);
        admin_.set_cluster(*cluster_);
    }
    if (config.auth == AuthMode::authd) {
        PassOptions passes;
        passes.warning = config.auth_warning.count();
        passes.grace = config.auth_grace.count();
        passes.query_token = config.auth_query;
        passes.recovery_window = config.recovery_window.count();
        passes_ = std::make_unique<Passes>(loop, passes, hub_);
        AuthorityOptions authority;
        authority.path = config.authd;
        authority.timeout = config.authd_timeout.count();
        Authority::Owner& told = *passes_;
        authority_ = std::make_unique<Authority>(loop, std::move(authority), told);
        passes_->start(*authority_);
        hub_.set_passes(*passes_);
        runner_.set_authority(*authority_);
    }
    PresenceOptions presence;
    presence.grace = config.presence_grace.count();
    presence.retention = config.redis_retention.count();
    Presence::Send send;
    if (cluster_ != nullptr) {
        presence.node = cluster_->node_uid();
        send = [this](std::span<const std::string_view> command, Presence::Done done) {
            return cluster_->commands().send(command, std::move(done));
        };
        cluster_->on_commands([this](bool up) {
            if (up) {
                presence_->redis_up();
                if (outbound_ != nullptr) outbound_->redis_up();
                if (api_ != nullptr) api_->redis_up();
            } else {
                presence_->redis_down();
                if (outbound_ != nullptr) outbound_->redis_down();
            }
        });
        bridges_ = std::make_unique<BridgeWatch>(loop, telling(send));
    } else {
        presence.node = node_name();
    }
    if (cluster_ != nullptr && !config.events_stream.empty()) {
        OutboundOptions outbound;
        outbound.stream = config.events_stream;
        outbound.node = config.node.empty() ? node_name() : config.node;
        outbound.node_id = cluster_->node_uid();
        outbound.retention = config.events_retention.count();
        outbound.lifecycle = config.events_lifecycle;
        outbound.bounds = {.entries = config.events_entries, .bytes = config.events_bytes};
        outbound.value_bytes = config.publish_bytes;
        outbound_ = std::make_unique<Outbound>(
            loop, std::move(outbound), Outbound::Link{send, [this] { return cluster_->commands().stats().connects; }});
        runner_.set_outbound(*outbound_);
    }
    if (config.user_rate_limit) {
        user_limits_ = std::make_unique<UserLimits>(
            loop, *config.user_rate_limit, presence.prefix + "limit:", cluster_ != nullptr ? telling(send) : send);
    }
    Presence::Owner& owner = *this;
    presence_ = std::make_unique<Presence>(loop, std::move(presence), owner, std::move(send));
    admin_.set_presence(*presence_);
    if (!config.api_keys_file.empty()) {
        ApiOptions options;
        options.keys_file = config.api_keys_file;
        options.max_body = config.api_max_body;
        options.rate = config.api_rate;
        Api::Owner& host = *this;
        api_ = std::make_unique<Api>(engine_, hub_, *presence_, cluster_.get(), host, std::move(options));
        engine_.set_service(*api_);
    }
    hub_.start(engine_);
    runner_.start(hub_, admin_);
}

Gateway::~Gateway() = default;

/// The same for those who take an error reply for no answer: it is told here.
Presence::Send Gateway::telling(const Presence::Send& send) {
    return [this, send](std::span<const std::string_view> command, Presence::Done done) {
        return send(command, [this, done = std::move(done)](const redis::Reply* reply) {
            if (reply != nullptr && reply->is_error()) cluster_->commands().note_refusal(*reply);
            done(reply);
        });
    };
}

Result<void> Gateway::start() {
    if (auto loaded = reload_routes(); !loaded) return loaded;
    if (api_ != nullptr) {
        if (auto loaded = api_->load_keys(); !loaded) return loaded;
    }
    if (config_.demo) {
        auto page = read_file(config_.demo_dir + "/index.html");
        if (!page) return fail(Errc::config, "cannot read " + config_.demo_dir + "/index.html");
        demo_page_ = std::move(*page);
        demo_tokens_ = read_file(config_.demo_dir + "/tokens.json").value_or("null");
    }
    if (!config_.relay_dir.empty()) {
        if (auto relaying = relay_.start(config_.relay_dir); !relaying) return relaying;
    }
    if (!config_.hop_listen.empty()) {
        if (directory_ == nullptr) return fail(Errc::config, "hop-listen: the other gateways are met in Redis only");
        auto secret = HopSecret::read(config_.hop_secret_file);
        if (!secret) return tl::unexpected(secret.error());
        const auto endpoint = HopEndpoint::parse(config_.hop_listen);  // load_config() has seen that it is one
        if (auto hopping = hops_.start(*endpoint, std::move(*secret), *directory_); !hopping) return hopping;
    }
    port_ = config_.port;
    for (const std::string& host : config_.hosts) {
        auto fd = net::listen_tcp(host, port_, config_.share_port);
        if (!fd) return tl::unexpected(fd.error());
        if (port_ == 0) port_ = net::local_port(fd->get());
        if (auto listening = engine_.listen(fd->release()); !listening) return listening;
        log::info("gateway", "listening", {{"host", host}, {"port", port_}});
    }
    // What is named in the routes is served from the start, also before the first client: other nodes count this one.
    for (const auto& nsp : runner_.routes().namespaces()) {
        if (!nsp->is_pattern) static_cast<void>(hub_.find_namespace(nsp->name));
    }
    static_cast<void>(hub_.find_namespace("/"));
    if (cluster_ != nullptr) {
        cluster_->set_home(tag().view(), hop_address());
        cluster_->start();
        bridges_->start();
    }
    if (authority_ != nullptr) authority_->start();
    if (auto limited = limit_memory(); !limited) return limited;
    return admin_.listen(config_.control);
}

/// Sets the ceiling: what is resident already is not there for clients, and the allocator needs room between blocks.
Result<void> Gateway::limit_memory() {
    const auto found = memory_limit_of(config_);
    if (!found) return tl::unexpected(found.error());
    const std::size_t limit = *found;
    const std::size_t resident = daemon::memory_in_use().resident;
    memory_limit_ = limit;
    const std::size_t of_clients = (limit - resident) / 5 * 4;
    engine_.limit_memory(base::heap::bytes_in_use() + of_clients);
    log::info("gateway", "memory_limit",
              {{"limit", limit},
               {"source", config_.memory_limit != 0 ? "memory-limit" : "four fifths of what the system allows"},
               {"resident", resident},
               {"client_bytes", engine_.accounts().limits().client},
               {"address_bytes", engine_.accounts().limits().address}});
    return {};
}

Result<void> Gateway::reload_routes() {
    if (config_.routes.empty()) return {};
    auto text = read_file(config_.routes);
    if (!text) return fail(Errc::config, "cannot read the routes file " + config_.routes);
    auto routes = routes::parse_routes(*text, config_.routes);
    if (!routes) return fail(Errc::config, routes.error().what);
    for (const std::string& warning : routes->warnings()) log::warn("routes", "routes_warning", {{"what", warning}});
    runner_.set_routes(std::make_shared<const routes::Routes>(std::move(*routes)));
    hub_.forget_admissions();
    routes_loaded_ = loop_.wall_clock();
    log::info("routes", "routes_loaded", {{"file", config_.routes}, {"events", runner_.routes().event_count()}});
    return {};
}

Admission Gateway::admit(std::string_view nsp, const Session* session, std::string_view auth, std::string_view user) {
    return runner_.admit(nsp, session, auth, user);
}

// --- presence ---

// What the routes say of a change, as entries that the change itself appends to the stream.
std::vector<Presence::Entry> Gateway::render(std::string_view user, bool online) {
    std::vector<Presence::Entry> entries;
    if (cluster_ == nullptr) return entries;
    runner_.presence_events(user, online, [&](const std::string& nsp, const Selection& selection, const Event& event) {
        Presence::Entry entry;
        entry.words = cluster_->entry(nsp, selection.rooms, selection.except, event, entry.stream);
        entries.push_back(std::move(entry));
    });
    return entries;
}

void Gateway::announce(std::string_view user, bool online, bool published) {
    log::debug("presence", online ? "user_online" : "user_offline", {{"user", user}});
    if (published) return;
    runner_.presence_events(user, online, [&](const std::string& nsp, const Selection& selection, const Event& event) {
        if (Namespace* found = hub_.find_namespace(nsp)) hub_.emit(*found, selection, event);
    });
}

// --- signals and the drain ------------------------------------------------------------------------------------------

void Gateway::on_signal(int number) {
    if (number == SIGHUP) {
        daemon::notify_reloading();
        if (auto opened = log::reopen(); !opened) log::error("gateway", "log_lost", {{"reason", opened.error().what}});
        if (auto loaded = reload_routes(); !loaded) {
            log::error("routes", "routes_refused", {{"what", loaded.error().what}});
        }
        if (api_ != nullptr) {
            if (auto loaded = api_->load_keys(); !loaded) {
                log::error("api", "keys_refused", {{"what", loaded.error().what}});
            }
        }
        daemon::notify_ready();
        return;
    }
    if (draining_) {
        log::warn("gateway", "left_at_once", {{"connections", engine_.connection_count()}});
        loop_.stop();
        return;
    }
    begin_drain();
}

/// Only another name helps; a supervisor should not go on trying.
void Gateway::leave_name(const std::string& why) {
    log::fatal("gateway", "name_in_use",
               {{"node", config_.node}, {"reason", why}, {"remedy", "give each gateway a --node of its own"}});
    exit_code_ = daemon::exit_config;
    loop_.stop();
}

void Gateway::begin_drain() {
    draining_ = true;
    if (cluster_ != nullptr) cluster_->release_name();
    daemon::notify_stopping();
    drain_until_ = loop_.now() + config_.drain_deadline.count();
    log::info("gateway", "draining",
              {{"sessions", engine_.session_count()}, {"deadline_ms", config_.drain_deadline.count()}});
    engine_.refuse_new_sessions();
    if (api_ != nullptr) api_->begin_drain();
    // At the configured rate, or evenly over four fifths of the time.
    drain_per_tick_ = config_.drain_rate > 0
                          ? static_cast<double>(config_.drain_rate) * drain_tick / 1000.0
                          : static_cast<double>(engine_.session_count()) * drain_tick /
                                std::max(1.0, 0.8 * static_cast<double>(config_.drain_deadline.count()));
    drain_timer_ = std::make_unique<DrainTimer>(*this);
    loop_.timers().arm(*drain_timer_, loop_.now());
}

void Gateway::drain_step() {
    const Millis now = loop_.now();
    const std::size_t sessions = engine_.session_count();
    if (now >= drain_until_ || sessions == 0) {
        // Those that are left are only lingering; nobody is waiting for them.
        hub_.drain(sessions);
        admin_.stop_listening();
        engine_.stop_listening();
        presence_->leave();
        if (outbound_ != nullptr) outbound_->leave();
        log::info("gateway", "drained", {{"sessions_left", engine_.session_count()}});
        loop_.stop();
        return;
    }
    drain_due_ += drain_per_tick_;
    const double whole = std::floor(drain_due_);
    drain_due_ -= whole;
    if (whole > 0) hub_.drain(static_cast<std::size_t>(whole));
    loop_.timers().arm(*drain_timer_, now + drain_tick);
}

// --- endpoints ------------------------------------------------------------------------------------------------------

bool Gateway::on_http(const proto::HttpHead& head, HttpAnswer& answer) {
    if (bundle_.serve(head, answer)) return true;
    if (head.path.starts_with(config_.path)) return false;
    const bool reads = head.method == "GET" || head.method == "HEAD";
    const bool known =
        head.path == "/health" || head.path == "/live" || head.path == "/ready" || head.path == "/metrics" ||
        (config_.demo && (head.path == "/" || head.path == "/index.html" || head.path == "/tokens.json"));
    if (!known) return false;
    if (!reads) {
        answer.status = 405;
        answer.headers = "Allow: GET, HEAD\r\n";
        return true;
    }
    answer.headers = "Cache-Control: no-store\r\n";
    answer.content_type = "application/json";
    answer.status = 200;
    if (head.path == "/live") {
        answer.body = R"({"status":"ok"})";
    } else if (head.path == "/ready" || head.path == "/health") {
        answer.status = head.path == "/ready" && (draining_ || !is_ready()) ? 503 : 200;
        answer.body = '{' + health() + '}';
    } else if (head.path == "/metrics") {
        static constexpr std::array<std::string_view, 3> types = {"application/json", "text/plain",
                                                                  "application/openmetrics-text"};
        const auto chosen = proto::choose_media_type(proto::header_text(head, "accept").value_or(""), types);
        if (chosen.value_or(0) != 0) {  // who asks for OpenMetrics can read the older format, too
            answer.content_type = "text/plain; version=0.0.4; charset=utf-8";
            answer.body = prometheus();
        } else {
            answer.body = metrics();
        }
    } else if (head.path == "/tokens.json") {
        answer.body = demo_tokens_;
    } else {
        answer.content_type = "text/html; charset=utf-8";
        answer.body = demo_page_;
    }
    return true;
}

std::string Gateway::health() {
    wire::ObjectWriter out;
    std::string checks = R"({"loop":{"ok":true,"detail":"turning"})";
    if (cluster_ != nullptr) {
        checks += ",\"redis\":" + wire::ObjectWriter()
                                      .boolean("ok", cluster_->is_ready())
                                      .text("detail", cluster_->is_ready() ? "all read" : cluster_->trouble())
                                      .number("waiting", static_cast<std::int64_t>(cluster_->spooled()))
                                      .object();
    }
    if (cluster_ != nullptr && cluster_->gap_age().value_or(gap_shown) < gap_shown) {
        checks += ",\"stream\":" + wire::ObjectWriter().boolean("ok", false).text("detail", cluster_->gap()).object();
    }
    if (bridges_ != nullptr && bridges_->has_heard()) {
        const bool is_connected = bridges_->is_kafka_connected();
        checks += ",\"kafka\":" + wire::ObjectWriter()
                                      .boolean("ok", is_connected)
                                      .text("detail", is_connected          ? "a bridge reaches Kafka"
                                                      : cluster_->is_live() ? "no bridge says it reaches Kafka"
                                                                            : "Redis is away, where bridges say it")
                                      .object();
    }
    if (authority_ != nullptr) checks += ',' + authority_->checks();
    if (engine_.is_memory_short()) {
        checks += ",\"memory\":" +
                  wire::ObjectWriter()
                      .boolean("ok", false)
                      .text("detail", "memory-limit is nearly reached: no new clients, the most expensive go")
                      .object();
    }
    out.text("status", draining_    ? "draining"
                       : is_ready() ? "ok"
                                    : "degraded")
        .text("version", SIO_VERSION)
        .raw("uptime_s", std::to_string((loop_.now() - started_) / 1000))
        .number("connections", static_cast<std::int64_t>(engine_.connection_count()))
        .number("sockets", static_cast<std::int64_t>(hub_.socket_count()))
        .raw("checks", checks + '}');
    return out.members();
}

std::string Gateway::metrics() {
    const daemon::Memory memory = daemon::memory_in_use();
    const EngineStats& engine = engine_.stats();
    const OutboxStats& outbox = engine_.outbox().stats();
    const HubStats& hub = hub_.stats();
    const Authority::Stats auth = authority_ != nullptr ? authority_->stats() : Authority::Stats{};
    const PassStats passes = passes_ != nullptr ? passes_->stats() : PassStats{};
    const auto n = [](std::uint64_t value) { return static_cast<std::int64_t>(value); };
    wire::ObjectWriter rest;
    rest.number("sockets", n(hub_.socket_count()))
        .number("connections", n(engine_.connection_count()))
        .raw("longestTurnMs", std::to_string(static_cast<double>(loop_.longest_turn()) / 1000.0))
        .number("slowTurns", n(loop_.slow_turns()))
        .number("connectionsRefused", n(engine.connections_refused))
        .number("limitsPassed", n(std::accumulate(std::begin(engine.limits_passed), std::end(engine.limits_passed),
                                                  std::uint64_t{0})))
        .number("sessionsRefused", n(std::accumulate(std::begin(engine.sessions_refused),
                                                     std::end(engine.sessions_refused), std::uint64_t{0})))
        .number("placesGivenToOthers",
                n(std::accumulate(std::begin(engine.displaced), std::end(engine.displaced), std::uint64_t{0})))
        .number("strangers", n(engine_.places().count(Rank::stranger)))
        .number("relayedOut", n(relay_.stats().out))
        .number("relayedIn", n(relay_.stats().in))
        .number("relaysFailed", n(relay_.stats().failures))
        .number("relaysFull", n(relay_.stats().full))
        .number("hopsOut", n(hops_.stats().out))
        .number("hopsIn", n(hops_.stats().in))
        .number("hopsFailed", n(hops_.stats().failures))
        .number("hopsRefused", n(hops_.stats().refused))
        .number("hopsOpen", n(hops_.open()))
        .number("upgrades", n(engine.upgrades))
        .number("httpRequests", n(engine.requests))
        .number("httpRequestsRefused", n(engine.requests_refused))
        .number("originsRefused", n(engine.origins_refused))
        .number("proxyHeads", n(engine.proxy_heads))
        .number("proxyHeadsRefused",
                n(std::accumulate(std::begin(engine.proxy_faults), std::end(engine.proxy_faults), std::uint64_t{0})))
        .number("timeouts", n(engine.timeouts))
        .number("messagesIn", n(engine.messages_in))
        .number("bytesIn", n(engine.bytes_in))
        .number("framesOut", n(outbox.frames_sent))
        .number("bytesOut", n(outbox.bytes_sent))
        .number("bytesWaiting", n(engine_.outbox().bytes_waiting()))
        .number("clientBytes", n(engine_.accounts().total()))
        .number("heapBytes", n(base::heap::bytes_in_use()))
        .number("memoryLimit", n(memory_limit_))
        .number("clientsOverLimit",
                n(std::accumulate(std::begin(engine.over_limit), std::end(engine.over_limit), std::uint64_t{0})))
        .number("framesDropped", n(outbox.frames_dropped))
        .number("clientsTooSlow", n(engine.queue_overflows))
        .number("events", n(hub.events_in))
        .number("eventsLimited", n(hub.events_limited))
        .number("protocolErrors", n(hub.protocol_errors))
        .number("namespacesRefused", n(hub.namespaces_refused))
        .number("joinsRefused", n(hub.joins_refused))
        .number("broadcasts", n(hub.broadcasts))
        .number("deliveries", n(hub.deliveries))
        .number("volatileDropped", n(hub.volatile_dropped))
        .number("acksTimedOut", n(hub.acks_timed_out))
        .number("answersDropped", n(hub.answers_dropped))
        .number("socketsRefused", n(hub.sockets_refused))
        .number("recovered", n(hub.sockets_recovered))
        .number("recoveriesFailed",
                n(std::accumulate(std::begin(hub.resumes_failed), std::end(hub.resumes_failed), std::uint64_t{0})))
        .number("recoveriesWaiting", n(cluster_ != nullptr ? cluster_->resuming() : 0))
        .number("recoveryBytes", n(hub_.recovery_budget().used))
        .number("socketsBehind", n(hub_.sockets_behind()))
        .number("questions", n(hub_.questions()))
        .number("routesWaiting", n(runner_.lists_waiting()))
        .number("routesStopped", n(runner_.lists_stopped()))
        .number("routesRefused", n(runner_.lists_refused()))
        .number("handedOver", n(admin_.calls_waiting()))
        .number("handsRefused", n(admin_.calls_refused()))
        .number("eventsPublished", n(outbound_ != nullptr ? outbound_->stats().written : 0))
        .number("eventsNotPublished", n(outbound_ != nullptr ? outbound_->stats().failed : 0))
        .number("eventsOverLimit", n(outbound_ != nullptr ? outbound_->stats().refused : 0))
        .number("eventsFull", n(outbound_ != nullptr ? outbound_->stats().full : 0))
        .number("eventsTooLarge", n(outbound_ != nullptr ? outbound_->stats().large : 0))
        .number("bridges", n(bridges_ != nullptr ? bridges_->bridges() : 0))
        .number("eventsWaiting", n(outbound_ != nullptr ? outbound_->waiting() : 0))
        .number("authRequestsGranted", n(auth.granted))
        .number("authRequestsDenied", n(auth.denied))
        .number("authRequestsUnavailable", n(auth.unavailable))
        .number("authRequestsOpen", n(auth.open))
        .number("authRequestsRefused", n(auth.refused))
        .number("authRightsAsked", n(auth.rights_asked))
        .number("authRightsKnown", n(auth.rights_known))
        .number("authRightsKept", n(auth.rights_kept))
        .number("authConnects", n(auth.connects))
        .number("authRechecks", n(passes.rechecked))
        .number("sessionsRefreshed", n(passes.refreshed))
        .number("sessionsNotRefreshed", n(passes.refresh_denied))
        .number("sessionsExpired", n(passes.expired))
        .number("sessionsRevoked", n(passes.revoked))
        .number("roomsRevoked", n(passes.rooms_left))
        .number("connectsPutOff", n(hub.put_off))
        .number("handshakesPutOff", n(engine.handshakes_put_off))
        .boolean("draining", draining_);
    if (api_ != nullptr) api_->append_metrics(rest);
    wire::ObjectWriter out;
    out.number("socketConnections", n(engine_.session_count()))
        .boolean("redisConnected", cluster_ != nullptr && cluster_->is_live())
        .boolean("kafkaConnected", bridges_ != nullptr && bridges_->is_kafka_connected())
        .number("totalConnections", n(engine.sessions_opened))
        .number("rooms", n(hub_.room_count()))
        .raw("uptime", std::to_string(static_cast<double>(loop_.now() - started_) / 1000.0))
        .raw("memory", wire::ObjectWriter()
                           .number("rss", n(memory.resident))
                           .number("virtual", n(memory.virtual_size))
                           .number("frames", n(FrameRef::alive_bytes()))
                           .object());
    return '{' + out.members() + ',' + rest.members() + '}';
}

std::string Gateway::prometheus() {
    daemon::Exposition out;
    const EngineStats& engine = engine_.stats();
    const OutboxStats& outbox = engine_.outbox().stats();
    const HubStats& hub = hub_.stats();
    out.gauge("sio_connections", "TCP connections open now.", engine_.connection_count());
    out.gauge("sio_sessions", "Engine.IO sessions open now.", engine_.session_count());
    out.gauge("sio_sockets", "Sockets in all namespaces now.", hub_.socket_count());
    out.gauge("sio_rooms", "Rooms with members now.", hub_.room_count());
    out.gauge("sio_redis_connected", "Whether Redis answers and all it has is read.",
              cluster_ != nullptr && cluster_->is_live() ? 1 : 0);
    if (cluster_ != nullptr) {
        const ClusterStats& cluster = cluster_->stats();
        out.counter("sio_stream_entries_read_total", "Entries read from the stream.", cluster.entries_read);
        out.counter("sio_stream_entries_written_total", "Entries written to the stream.", cluster.entries_written);
        out.counter("sio_stream_entries_malformed_total", "Entries and messages of other nodes that make no sense.",
                    cluster.entries_malformed);
        out.counter("sio_stream_entries_repeated_total", "Entries that were written twice, and dropped.",
                    cluster.entries_repeated);
        out.counter("sio_stream_entries_dropped_total", "Entries that this gateway had Redis drop at a bound.",
                    cluster.entries_dropped);
        out.gauge("sio_stream_entries", "Entries of the cluster's streams, as last measured.", cluster.stream_entries);
        out.gauge("sio_stream_bytes", "What the cluster's streams take in Redis, as last measured.",
                  cluster.stream_bytes);
        out.counter("sio_stream_entries_missed_total", "Entries trimmed before they were read.",
                    cluster.entries_missed);
        out.counter("sio_redis_refused_total", "Commands that Redis refused, for want of a right or another reason.",
                    cluster_->refusals());
        out.counter("sio_stream_gaps_total", "Times the stream was trimmed past this gateway, or replaced.",
                    cluster.gaps);
        out.counter("sio_stream_replaced_total",
                    "Times the stream was deleted or evicted, or another was found in its place.",
                    cluster.streams_replaced);
        out.gauge("sio_spool", "Events that have not come back from the stream yet.", cluster_->spooled());
        out.counter("sio_spool_dropped_total", "Events that waited for Redis and did not fit.", cluster.spool_dropped);
        out.counter("sio_cluster_requests_out_total", "Questions to other nodes.", cluster.requests_out);
        out.counter("sio_cluster_requests_in_total", "Questions of other nodes.", cluster.requests_in);
        out.counter("sio_cluster_requests_timed_out_total", "Questions that not all nodes answered.",
                    cluster.requests_timed_out);
        out.counter("sio_cluster_requests_refused_total", "Questions of other nodes that found too many waiting.",
                    cluster.requests_refused);
        out.gauge("sio_cluster_requests_waiting", "Questions of other nodes that wait for their turn.",
                  cluster_->requests_waiting());
        out.counter("sio_cluster_counts_total", "Numbers other nodes were asked for, many in one question.",
                    cluster.counts_asked);
        out.counter("sio_cluster_requests_withheld_total",
                    "Questions not asked because servers of the classic adapter would fail on them.",
                    cluster.requests_withheld);
        out.counter("sio_sessions_restored_total", "Clients that resumed with the help of Redis.",
                    cluster.sessions_restored);
        out.counter("sio_sessions_lost_total", "Clients that asked Redis, and could not resume.",
                    cluster.sessions_lost);
        out.gauge("sio_log_filling", "Whether the log is still being filled from the stream.",
                  cluster_->is_filling() ? 1 : 0);
        out.counter("sio_stream_entries_backfilled_total", "Entries read once to fill the log.",
                    cluster.entries_backfilled);
        out.counter("sio_stream_sweeps_total", "Times the stream was read further back for clients that returned.",
                    cluster.sweeps);
        out.counter("sio_stream_entries_swept_total", "Entries read in these.", cluster.entries_swept);
        out.counter("sio_stream_entries_fetched_total", "Entries read one by one for clients that missed them.",
                    cluster.entries_fetched);
    }
    out.gauge("sio_kafka_connected", "Whether a bridge says that it reaches Kafka.",
              bridges_ != nullptr && bridges_->is_kafka_connected() ? 1 : 0);
    out.gauge("sio_bridges", "Bridges that were heard lately.", bridges_ != nullptr ? bridges_->bridges() : 0);
    out.gauge("sio_draining", "Whether the gateway is draining.", draining_ ? 1 : 0);
    out.gauge("sio_loop_longest_turn_seconds", "The longest anything has waited for the event loop.",
              static_cast<double>(loop_.longest_turn()) / 1e6);
    out.counter("sio_loop_slow_turns_total", "Turns of the event loop that took 10 ms or more.", loop_.slow_turns());
    out.counter("sio_sessions_total", "Engine.IO sessions opened.", engine.sessions_opened);
    out.counter("sio_connections_accepted_total", "TCP connections accepted.", engine.connections_accepted);
    out.counter("sio_connections_refused_total", "TCP connections over a cap.", engine.connections_refused);
    out.gauge("sio_strangers", "Sessions that have joined nothing.", engine_.places().count(Rank::stranger));
    out.family("sio_limits_passed_total", "counter", "Times clients passed a limit, and were refused or ended for it.");
    for (std::size_t i = 0; i < limit_count; ++i) {
        out.sample("sio_limits_passed_total", engine.limits_passed[i],
                   "{limit=\"" + std::string(to_string(static_cast<Limit>(i))) + "\"}");
    }
    out.family("sio_sessions_refused_total", "counter", "Handshakes that found no place, by reason.");
    for (std::size_t i = 0; i < std::size(engine.sessions_refused); ++i) {
        out.sample("sio_sessions_refused_total", engine.sessions_refused[i],
                   "{reason=\"" + std::string(to_string(static_cast<NoSession>(i))) + "\"}");
    }
    out.family("sio_places_given_to_others_total", "counter",
               "Connections (bare) and sessions that went because places ran short, by how little they had joined.");
    for (std::size_t i = 0; i < std::size(engine.displaced); ++i) {
        out.sample("sio_places_given_to_others_total", engine.displaced[i],
                   "{rank=\"" + std::string(to_string(static_cast<Rank>(i))) + "\"}");
    }
    out.counter("sio_upgrades_total", "Sessions that went from polling to WebSocket.", engine.upgrades);
    out.counter("sio_http_requests_total", "HTTP requests.", engine.requests);
    out.counter("sio_http_requests_refused_total", "HTTP requests answered with an error.", engine.requests_refused);
    out.counter("sio_http_timeouts_total", "HTTP connections that were too slow.", engine.timeouts);
    out.counter("sio_origins_refused_total", "WebSockets of an origin that is not listed.", engine.origins_refused);
    out.counter("sio_proxy_heads_total", "Heads of the PROXY protocol that were read.", engine.proxy_heads);
    out.family("sio_proxy_heads_refused_total", "counter",
               "Connections refused for how they begin, where the PROXY protocol is or could be spoken.");
    for (std::size_t i = 0; i < std::size(engine.proxy_faults); ++i) {
        out.sample("sio_proxy_heads_refused_total", engine.proxy_faults[i],
                   "{fault=\"" + std::string(to_string(static_cast<ProxyFault>(i))) + "\"}");
    }
    out.counter("sio_messages_in_total", "Engine.IO messages received.", engine.messages_in);
    out.counter("sio_bytes_in_total", "Bytes of messages received.", engine.bytes_in);
    out.counter("sio_frames_out_total", "Packets sent.", outbox.frames_sent);
    out.counter("sio_bytes_out_total", "Bytes sent on WebSockets.", outbox.bytes_sent);
    out.counter("sio_writes_total", "Writes to WebSockets.", outbox.writes);
    out.counter("sio_writes_blocked_total", "Writes that found a full socket.", outbox.writes_blocked);
    out.gauge("sio_bytes_waiting", "Bytes queued for clients.", engine_.outbox().bytes_waiting());
    out.gauge("sio_client_bytes", "Memory held because of clients, without what many share.",
              engine_.accounts().total());
    out.gauge("sio_heap_bytes", "Memory that the program has allocated.", base::heap::bytes_in_use());
    out.gauge("sio_memory_limit_bytes", "What memory-limit comes to.", memory_limit_);
    out.gauge("sio_memory_short", "Whether memory is short: new clients are refused.",
              engine_.is_memory_short() ? 1 : 0);
    out.family("sio_clients_over_limit_total", "counter", "Clients ended for what they held, by the limit.");
    for (std::size_t i = 0; i < std::size(engine.over_limit); ++i) {
        out.sample("sio_clients_over_limit_total", engine.over_limit[i],
                   "{limit=\"" + std::string(to_string(static_cast<Account>(i))) + "\"}");
    }
    out.counter("sio_relayed_out_total", "Connections handed to gateways of this host.", relay_.stats().out);
    out.counter("sio_relayed_in_total", "Connections taken from gateways of this host.", relay_.stats().in);
    out.counter("sio_relays_failed_total", "Connections that could not be handed over.", relay_.stats().failures);
    out.counter("sio_relays_full_total", "Requests refused because too much waited for their gateway.",
                relay_.stats().full);
    out.counter("sio_hops_out_total", "Connections passed on to gateways of other hosts.", hops_.stats().out);
    out.counter("sio_hops_in_total", "Requests taken from gateways of other hosts.", hops_.stats().in);
    out.counter("sio_hops_failed_total", "Requests whose gateway on another host did not answer.",
                hops_.stats().failures);
    out.counter("sio_hops_refused_total", "Requests at the hop listener without a valid proof.", hops_.stats().refused);
    out.counter("sio_hops_replayed_total", "Of these, requests whose proof had been used before.",
                hops_.stats().replayed);
    out.gauge("sio_hop_numbers_bytes", "Memory for the proofs that were used lately.", hops_.numbers().bytes());
    out.gauge("sio_hops", "Connections passed on just now.", hops_.open());
    out.counter("sio_frames_dropped_total", "Packets dropped by the queue policy.", outbox.frames_dropped);
    out.counter("sio_frames_refused_total", "Packets for clients that were ended for a full queue.",
                outbox.frames_refused);
    out.counter("sio_clients_too_slow_total", "Clients disconnected for a full queue.", engine.queue_overflows);
    out.counter("sio_events_total", "Client events received.", hub.events_in);
    out.counter("sio_events_limited_total", "Client events over the rate limit.", hub.events_limited);
    out.counter("sio_namespaces_refused_total", "CONNECTs for more namespaces of patterns than max-namespaces.",
                hub.namespaces_refused);
    out.counter("sio_joins_refused_total", "Joins of sockets that were in max-rooms-per-socket rooms.",
                hub.joins_refused);
    out.counter("sio_protocol_errors_total", "Connections closed for a protocol violation.", hub.protocol_errors);
    out.counter("sio_waiting_overflows_total", "Connections closed for what they sent before a CONNECT was answered.",
                hub.waiting_too_long);
    out.counter("sio_broadcasts_total", "Events emitted to rooms.", hub.broadcasts);
    out.counter("sio_deliveries_total", "Events queued for sockets.", hub.deliveries);
    out.counter("sio_volatile_dropped_total", "Volatile events dropped.", hub.volatile_dropped);
    out.counter("sio_acks_timed_out_total", "Acknowledgements that did not come.", hub.acks_timed_out);
    out.counter("sio_answers_dropped_total", "Acknowledgements that were too large beside those of others.",
                hub.answers_dropped);
    out.counter("sio_sockets_refused_total", "CONNECTs refused.", hub.sockets_refused);
    out.counter("sio_recovered_total", "Clients that returned and missed nothing.", hub.sockets_recovered);
    out.family("sio_recoveries_failed_total", "counter", "Clients that returned and began again, by reason.");
    for (std::size_t i = 1; i < std::size(hub.resumes_failed); ++i) {
        out.sample("sio_recoveries_failed_total", hub.resumes_failed[i],
                   "{reason=\"" + std::string(to_string(static_cast<ResumeFailure>(i))) + "\"}");
    }
    out.gauge("sio_recoveries_waiting", "Clients that returned and wait for what they missed.",
              cluster_ != nullptr ? cluster_->resuming() : 0);
    out.gauge("sio_recovery_bytes", "Memory of recovery: packets, their index, and sockets that left.",
              hub_.recovery_budget().used);
    out.gauge("sio_recovery_limit_bytes", "What recovery-bytes allows.", hub_.recovery_budget().limit);
    out.gauge("sio_sockets_behind", "Sockets that get from the log what they missed.", hub_.sockets_behind());
    out.counter("sio_sockets_fell_behind_total", "Sockets whose queue was full, and that read on from the log.",
                hub.fell_behind);
    out.counter("sio_replays_lost_total", "Sockets closed because the log did not reach back to where they were.",
                hub.replays_ended);
    out.counter("sio_events_replayed_total", "Events sent from the log.", hub.replayed);
    out.gauge("sio_questions", "Emits that wait for acknowledgements.", hub_.questions());
    out.gauge("sio_routes_waiting", "Action lists that wait for a delay or an answer.", runner_.lists_waiting());
    out.counter("sio_routes_stopped_total", "Action lists that ended early.", runner_.lists_stopped());
    out.counter("sio_routes_refused_total", "Action lists that ended because too many waited.",
                runner_.lists_refused());
    out.counter("sio_events_without_route_total", "Client events that no route and no handler wanted.",
                runner_.events_without_route());
    out.counter("sio_tokens_malformed_total", "Tokens of clients that are null, empty or no string.",
                hub.tokens_malformed);
    out.gauge("sio_handed_over", "Events that wait for a handler's answer.", admin_.calls_waiting());
    out.counter("sio_hands_refused_total", "Events not handed over because too many waited.", admin_.calls_refused());
    if (outbound_ != nullptr) {
        out.counter("sio_events_published_total", "Entries that the stream of events has.", outbound_->stats().written);
        out.counter("sio_events_not_published_total", "Entries that Redis refused, or was away for.",
                    outbound_->stats().failed);
        out.counter("sio_events_over_limit_total", "Entries not tried because too many waited.",
                    outbound_->stats().refused);
        out.counter("sio_events_full_total", "Entries not appended because the stream of events was full.",
                    outbound_->stats().full);
        out.counter("sio_events_too_large_total", "Events not published because of publish-bytes.",
                    outbound_->stats().large);
        out.gauge("sio_events_stream_entries", "Entries of the stream of events, as last heard.",
                  outbound_->stats().stream_entries);
        out.gauge("sio_events_stream_bytes", "What the stream of events takes in Redis, as last heard.",
                  outbound_->stats().stream_bytes);
        out.gauge("sio_events_waiting", "Entries that Redis has not answered yet.", outbound_->waiting());
    }
    if (user_limits_ != nullptr) {
        out.counter("sio_events_user_limited_total", "Client events over the limit of their user.",
                    user_limits_->limited());
    }
    if (authority_ != nullptr) {
        const Authority::Stats& auth = authority_->stats();
        const PassStats& passes = passes_->stats();
        out.gauge("sio_authd_connected", "Whether sio-authd answers.", authority_->is_up() ? 1 : 0);
        out.counter("sio_auth_requests_granted_total", "Clients that sio-authd let in.", auth.granted);
        out.counter("sio_auth_requests_denied_total", "Clients that sio-authd refused.", auth.denied);
        out.counter("sio_auth_requests_unavailable_total", "Clients that nobody could judge.", auth.unavailable);
        out.gauge("sio_auth_requests_open", "Questions that sio-authd has not answered yet.", auth.open);
        out.counter("sio_auth_requests_refused_total", "Questions not asked because too many were open.", auth.refused);
        out.counter("sio_auth_rights_asked_total", "Questions about a room.", auth.rights_asked);
        out.counter("sio_auth_rights_known_total", "Questions about a room whose answer was known.", auth.rights_known);
        out.gauge("sio_auth_rights_kept", "Answers about rooms that are known.", auth.rights_kept);
        out.counter("sio_auth_connects_total", "Connections to sio-authd.", auth.connects);
        out.counter("sio_auth_rechecks_total", "Questions about sockets and rooms that were asked again.",
                    passes.rechecked);
        out.counter("sio_sessions_refreshed_total", "Sessions that clients put off the end of.", passes.refreshed);
        out.counter("sio_sessions_not_refreshed_total", "Tokens that were not taken for it.", passes.refresh_denied);
        out.counter("sio_sessions_expired_total", "Sockets closed at the end of their session.", passes.expired);
        out.counter("sio_sessions_revoked_total", "Sockets closed because their session was revoked.", passes.revoked);
        out.counter("sio_rooms_revoked_total", "Rooms that sockets had to leave.", passes.rooms_left);
        out.counter("sio_connects_put_off_total", "CONNECTs that nobody could judge.", hub.put_off);
        out.counter("sio_handshakes_put_off_total", "Handshakes answered 503 while sio-authd was away.",
                    engine.handshakes_put_off);
    }
    const PresenceStats presence = presence_->stats();
    out.gauge("sio_presence_users", "Users with a socket on this gateway.", presence.users);
    out.counter("sio_presence_online_total", "Users that came online, as this gateway saw first.",
                presence.came_online);
    out.counter("sio_presence_offline_total", "Users that went offline, as this gateway saw first.",
                presence.went_offline);
    out.counter("sio_presence_buried_total", "Gateways that this one found dead.", presence.buried);
    out.counter("sio_presence_failures_total", "Steps of presence that Redis lost or refused.", presence.failures);
    if (api_ != nullptr) api_->append_metrics(out);
    out.family("sio_sessions_closed_total", "counter", "Sessions closed.");
    for (std::size_t i = 0; i < std::size(engine.closed) - 1; ++i) {
        const std::string labels =
            "{reason=\"" + std::string(proto::to_string(static_cast<proto::CloseReason>(i))) + "\"}";
        out.sample("sio_sessions_closed_total", engine.closed[i], labels);
    }
    out.gauge("process_resident_memory_bytes", "Resident memory.", daemon::memory_in_use().resident);
    out.gauge("process_uptime_seconds", "Time since the start.", static_cast<double>(loop_.now() - started_) / 1000.0);
    return out.take();
}

std::string Gateway::routes() {
    return wire::ObjectWriter()
        .text("file", config_.routes)
        .number("loaded_ms", routes_loaded_)
        .number("namespaces", static_cast<std::int64_t>(runner_.routes().namespaces().size()))
        .number("events", static_cast<std::int64_t>(runner_.routes().event_count()))
        .object();
}

}  // namespace sio::gateway
