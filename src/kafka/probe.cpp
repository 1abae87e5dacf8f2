#include "kafka/probe.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "kafka/client.h"

namespace sio::kafka {

namespace {

constexpr auto pause = std::chrono::milliseconds(200);
constexpr int patience_ms = 1'000;

struct Finding {
    bool is_reachable = false;
    std::string reason;
    int brokers = 0;
};

/// What the thread and the loop share; the thread may outlive the probe.
struct Shared {
    base::UniqueFd bell;
    rd_kafka_t* client = nullptr;  // the thread's
    std::string trouble;           // the thread's: what librdkafka said last

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

Finding ask(Shared& shared) {
    Finding finding;
    const struct rd_kafka_metadata* facts = nullptr;
    const auto code = rd_kafka_metadata(shared.client, 0, nullptr, &facts, patience_ms);
    rd_kafka_poll(shared.client, 0);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        finding.brokers = facts->broker_cnt;
        rd_kafka_metadata_destroy(facts);
    }
    finding.is_reachable = finding.brokers > 0;
    if (finding.is_reachable) {
        shared.trouble.clear();
    } else if (!shared.trouble.empty()) {
        finding.reason = shared.trouble;
    } else {
        finding.reason = code == RD_KAFKA_RESP_ERR_NO_ERROR ? "it names no broker" : rd_kafka_err2str(code);
    }
    return finding;
}

void run(const std::shared_ptr<Shared>& shared) {
    bool is_ending = false;
    while (!is_ending) {
        Finding finding = ask(*shared);
        std::unique_lock lock(shared->mutex);
        shared->finding = std::move(finding);
        ring_bell(shared->bell.get());
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
    auto conf = make_conf(settings, Kind::producer, {{"log.connection.close", "true"}});
    if (!conf) return tl::unexpected(conf.error());
    rd_kafka_conf_set_opaque(conf->get(), parts->shared.get());
    rd_kafka_conf_set_error_cb(conf->get(), on_error);
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
int Probe::brokers() const noexcept { return parts_->told.brokers; }

}  // namespace sio::kafka
