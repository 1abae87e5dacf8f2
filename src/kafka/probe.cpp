#include "kafka/probe.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "base/json.h"
#include "kafka/client.h"

namespace sio::kafka {

namespace {

constexpr auto pause = std::chrono::milliseconds(200);
constexpr int patience_ms = 1'000;

constexpr std::string_view statistics_interval = "200";
constexpr auto connecting_patience = std::chrono::milliseconds(1'000);  // for a connection to some broker
constexpr auto partial_patience = std::chrono::milliseconds(3'000);     // to one of several

using Clock = std::chrono::steady_clock;

struct Finding {
    bool is_reachable = false;
    std::string reason;
    std::string unreachable;
    int brokers = 0;
};

/// What the thread and the loop share; the thread may outlive the probe.
struct Shared {
    base::UniqueFd bell;
    rd_kafka_t* client = nullptr;  // the thread's
    std::string trouble;           // the thread's: what librdkafka said last
    std::string bootstrap;
    // The thread's: brokers by their advertised address, since when each is not reached; none: it is.
    std::map<std::string, std::optional<Clock::time_point>> advertised;
    std::optional<Clock::time_point> unreached_since;  // the thread's: metadata comes, and no broker is reached

    std::mutex mutex;  // of what follows
    std::condition_variable changed;
    bool is_ending = false;
    bool has_ended = false;
    Finding finding;
};

void on_error(rd_kafka_t*, int code, const char* text, void* opaque) {
    // That all brokers are down says less than what was said of each.
    if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) static_cast<Shared*>(opaque)->trouble = text;
}

/// What librdkafka says of its connections, for nothing else tells: an object `brokers`, of which those with an id have
/// been learnt from metadata.
int on_statistics(rd_kafka_t*, char* text, std::size_t size, void* opaque) {
    auto& known = static_cast<Shared*>(opaque)->advertised;
    std::map<std::string, std::optional<Clock::time_point>> now;
    const auto brokers = json::member(std::string_view(text, size), "brokers");
    if (!brokers) return 0;
    for (json::Walker each{*brokers}; each.next();) {
        const auto id = json::member(each.value(), "nodeid");
        const auto name = json::member(each.value(), "nodename");
        const auto state = json::member(each.value(), "state");
        if (!id || id->starts_with('-') || !name || !state) continue;
        std::string address = json::decode_string(*name);
        if (*state == "\"UP\"" || *state == "\"UPDATE\"") {
            now[address] = std::nullopt;
            continue;
        }
        const auto before = known.find(address);
        const bool was_away = before != known.end() && before->second;
        now.try_emplace(std::move(address), was_away ? before->second : std::optional(Clock::now()));
    }
    known = std::move(now);
    return 0;  // librdkafka frees the text
}

/// Names of those that are not reached for so long.
std::string names_away(const Shared& shared, Clock::duration patience) {
    std::string names;
    for (const auto& [address, since] : shared.advertised) {
        if (since && Clock::now() - *since >= patience) names += (names.empty() ? "" : ",") + address;
    }
    return names;
}

/// Metadata has come from where we were told to begin. Nothing while a connection to a broker may yet come about.
std::optional<Finding> look_at_brokers(Shared& shared, Finding finding) {
    const bool has_some =
        std::ranges::any_of(shared.advertised, [](const auto& broker) { return !broker.second.has_value(); });
    if (has_some) {
        shared.unreached_since.reset();
        shared.trouble.clear();
        finding.unreachable = names_away(shared, partial_patience);
        return finding;
    }
    if (!shared.unreached_since) shared.unreached_since = Clock::now();
    if (Clock::now() - *shared.unreached_since < connecting_patience) return std::nullopt;
    finding.is_reachable = false;
    const std::string names = names_away(shared, Clock::duration::zero());
    finding.reason = shared.bootstrap + " answers, but the brokers advertise " + (names.empty() ? "none" : names) +
                     ", which cannot be reached: " + shared.trouble + (shared.trouble.empty() ? "" : ": ") +
                     "set their advertised.listeners to what is reached from here";
    return finding;
}

std::optional<Finding> ask(Shared& shared) {
    Finding finding;
    const struct rd_kafka_metadata* facts = nullptr;
    const auto code = rd_kafka_metadata(shared.client, 0, nullptr, &facts, patience_ms);
    rd_kafka_poll(shared.client, 0);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        finding.brokers = facts->broker_cnt;
        rd_kafka_metadata_destroy(facts);
    }
    finding.is_reachable = finding.brokers > 0;
    if (finding.is_reachable) return look_at_brokers(shared, std::move(finding));
    shared.unreached_since.reset();
    if (!shared.trouble.empty()) {
        finding.reason = shared.trouble;
    } else {
        finding.reason = code == RD_KAFKA_RESP_ERR_NO_ERROR ? "it names no broker" : rd_kafka_err2str(code);
    }
    return finding;
}

void run(const std::shared_ptr<Shared>& shared) {
    bool is_ending = false;
    while (!is_ending) {
        std::optional<Finding> finding = ask(*shared);
        std::unique_lock lock(shared->mutex);
        if (finding) {
            shared->finding = std::move(*finding);
            ring_bell(shared->bell.get());
        }
        is_ending = shared->changed.wait_for(lock, pause, [&] { return shared->is_ending; });
    }
    rd_kafka_destroy(shared->client);
    const std::lock_guard lock(shared->mutex);
    shared->has_ended = true;
    shared->changed.notify_all();
}

}  // namespace

struct Probe::Parts final : net::Handler {
    Parts(net::Loop& on, std::function<void(bool, const std::string&)> tell) : loop(on), changed(std::move(tell)) {}
    ~Parts() override;

    void on_ready(std::uint32_t) override;

    net::Loop& loop;
    std::function<void(bool, const std::string&)> changed;
    std::shared_ptr<Shared> shared = std::make_shared<Shared>();
    bool is_running = false;
    bool is_known = false;
    Finding told;
};

void Probe::Parts::on_ready(std::uint32_t) {
    if (!clear_bell(shared->bell.get())) return;
    const bool was_reachable = told.is_reachable;
    {
        const std::lock_guard lock(shared->mutex);
        told = shared->finding;
    }
    if (std::exchange(is_known, true) && told.is_reachable == was_reachable) return;
    changed(told.is_reachable, told.reason);
}

Probe::Parts::~Parts() {
    if (!is_running) return;
    loop.unwatch(shared->bell.get(), *this);
    std::unique_lock lock(shared->mutex);
    shared->is_ending = true;
    shared->changed.notify_all();
    // Only that nothing is left behind at the end of the program.
    shared->changed.wait_for(lock, std::chrono::milliseconds(patience_ms) + pause, [&] { return shared->has_ended; });
}

Probe::Probe(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Probe::~Probe() = default;

Result<std::unique_ptr<Probe>> Probe::create(net::Loop& loop, const Settings& settings,
                                             std::function<void(bool reachable, const std::string& reason)> changed) {
    auto parts = std::make_unique<Parts>(loop, std::move(changed));
    auto bell = make_bell();
    if (!bell) return tl::unexpected(bell.error());
    parts->shared->bell = std::move(*bell);
    // Without it nothing is said of a listener that closes the connection, one that wants TLS for instance.
    auto conf = make_conf(settings, Kind::producer,
                          {{"log.connection.close", "true"},
                           {"enable.sparse.connections", "false"},
                           {"statistics.interval.ms", std::string(statistics_interval)}});
    if (!conf) return tl::unexpected(conf.error());
    rd_kafka_conf_set_opaque(conf->get(), parts->shared.get());
    rd_kafka_conf_set_error_cb(conf->get(), on_error);
    rd_kafka_conf_set_stats_cb(conf->get(), on_statistics);
    parts->shared->bootstrap = settings.brokers;
    auto client = make_client(std::move(*conf), Kind::producer);
    if (!client) return tl::unexpected(client.error());
    parts->shared->client = *client;
    if (auto watched = loop.watch(parts->shared->bell.get(), *parts); !watched) {
        Ending::begin(*client, false, parts->shared);
        return tl::unexpected(watched.error());
    }
    try {
        std::thread([shared = parts->shared] { run(shared); }).detach();
    } catch (const std::system_error& error) {
        loop.unwatch(parts->shared->bell.get(), *parts);
        Ending::begin(*client, false, parts->shared);
        return fail(Errc::io, std::string("cannot start a thread: ") + error.what());
    }
    parts->is_running = true;
    return std::unique_ptr<Probe>(new Probe(std::move(parts)));
}

bool Probe::is_reachable() const noexcept { return parts_->told.is_reachable; }
const std::string& Probe::reason() const noexcept { return parts_->told.reason; }
const std::string& Probe::unreachable() const noexcept { return parts_->told.unreachable; }
int Probe::brokers() const noexcept { return parts_->told.brokers; }

}  // namespace sio::kafka
