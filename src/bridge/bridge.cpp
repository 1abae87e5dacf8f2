#include "bridge/bridge.h"

#include <signal.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <utility>

#include "base/bytes.h"
#include "base/json.h"
#include "base/log.h"
#include "daemon/exit_code.h"
#include "daemon/limits.h"
#include "daemon/notify.h"
#include "wire/admin.h"

namespace sio::bridge {

namespace {

constexpr base::Millis tick_pause = 1'000;
constexpr base::Millis drain_tick = 20;
constexpr std::string_view bridges_key = "sio:bridges";
constexpr std::int64_t letters_timeout = 10'000;
constexpr std::size_t max_letters = 10'000;    // looked at to replay all
constexpr std::size_t max_shown_bytes = 1024;  // of a letter's value
constexpr std::size_t max_products = 10'000;   // of sioctl, without a report

/// KEYS: the hash of bridges. ARGV: our name, whether Kafka answers, `first` the first time. Names that were not heard
/// for a day are forgotten then.
constexpr std::string_view heartbeat_script = R"lua(
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if ARGV[3] == 'first' then
  local all = redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    local at = tonumber(string.match(all[i + 1], '"at":(%d+)') or '0')
    if now - at > 86400000 then redis.call('HDEL', KEYS[1], all[i]) end
  end
end
return redis.call('HSET', KEYS[1], ARGV[1], string.format('{"at":%d,"kafka":%s}', now, ARGV[2]))
)lua";

redis::ConnectionOptions commands_options() {
    redis::ConnectionOptions options;
    options.name = "sio-bridge";
    return options;
}

InletOptions inlet_options(const Config& config) {
    InletOptions options;
    options.group = config.group;
    options.instance = config.node;
    options.assignor = config.assignor;
    options.session_timeout_ms = config.session_timeout.count();
    options.from_beginning = config.from_beginning;
    options.max_record_bytes = config.max_record_bytes;
    options.in_flight_bytes = config.in_flight_bytes;
    options.read_ahead_bytes = config.read_ahead_bytes;
    options.stream = config.stream;
    options.stream_count = config.stream_count;
    options.retention_ms = config.retention.count();
    options.bounds = {.entries = config.stream_entries, .bytes = config.stream_bytes};
    return options;
}

std::string id_of(std::int32_t partition, std::int64_t offset) {
    return std::to_string(partition) + '/' + std::to_string(offset);
}

std::string or_null(std::int64_t value) { return value < 0 ? "null" : std::to_string(value); }

/// Bytes as a member of an answer: text when it is UTF-8, else base64; cut.
void add_bytes(wire::ObjectWriter& out, std::string_view name, std::string_view bytes) {
    if (base::is_utf8(bytes)) {
        std::size_t end = std::min(bytes.size(), max_shown_bytes);
        while (end > 0 && end < bytes.size() && (static_cast<unsigned char>(bytes[end]) & 0xC0U) == 0x80U) --end;
        out.text(name, bytes.substr(0, end));
        return;
    }
    std::string base64;
    base::append_base64(base64, bytes.substr(0, max_shown_bytes));
    out.text(std::string(name) + "_base64", base64);
}

std::string_view header_of(const kafka::OwnedRecord& record, std::string_view name) {
    for (auto one = record.headers.rbegin(); one != record.headers.rend(); ++one) {
        if (one->first == name) return one->second ? std::string_view(*one->second) : std::string_view{};
    }
    return {};
}

std::int64_t number_of(std::string_view text) {
    const auto number = base::parse_decimal(text, INT64_MAX);
    return number ? static_cast<std::int64_t>(*number) : -1;
}

std::string counted(std::int64_t count, std::string_view what) {
    return std::to_string(count) + ' ' + std::string(what) + (count == 1 ? "" : "s");
}

Error away(std::string what) { return Error{Errc::unavailable, std::move(what)}; }

}  // namespace

struct Bridge::Tick final : base::Timer {
    explicit Tick(Bridge& of) : bridge(of) {}
    Bridge& bridge;

private:
    void expire(base::Millis) override { bridge.on_tick(); }
};

/// Letters that are replayed one after the other.
struct Replay {
    std::vector<kafka::OwnedRecord> letters;
    std::vector<std::string> missing;  // ids that are not there
    std::size_t at = 0;
    bool again = false;
    bool is_going = false;  // in go_on_replaying()
    bool is_due = false;    // the next one
    std::string results;
    Answer answer;

    void add(std::string_view id, const Result<std::uint64_t>& done) {
        wire::ObjectWriter one;
        one.text("id", id).boolean("ok", done.has_value());
        if (done) {
            one.number("entries", static_cast<std::int64_t>(*done));
        } else {
            one.text("error", done.error().what);
        }
        if (!results.empty()) results += ',';
        results += one.object();
    }
};

// --- Making ---------------------------------------------------------------------------------------------------------

Bridge::Bridge(net::Loop& loop, const Config& config)
    : loop_(loop),
      config_(config),
      started_(loop.now()),
      commands_(loop, *config.redis_endpoint, commands_options(), *this),
      claim_(loop, config.node, commands_, *this),
      control_(loop, *this, config.node),
      http_(loop, *this),
      tick_(std::make_unique<Tick>(*this)) {}

Bridge::~Bridge() {
    alive_.reset();
    if (producer_ != nullptr) producer_->forget(*this);
}

Result<std::unique_ptr<Bridge>> Bridge::create(net::Loop& loop, const Config& config) {
    std::unique_ptr<Bridge> bridge(new Bridge(loop, config));
    Config& own = bridge->config_;
    if (own.embedded_broker) {
        auto broker = kafka::DevBroker::create();
        if (!broker) return tl::unexpected(broker.error());
        bridge->dev_broker_ = std::move(*broker);
        own.kafka.brokers = bridge->dev_broker_->brokers();
        own.kafka.consumer_properties.emplace_back("fetch.wait.max.ms", "10");  // its fetches are not woken
        own.from_beginning = true;                                              // all it has came after us
    }
    kafka::ProducerOptions producing;
    producing.queue_bytes = own.out_bytes;
    producing.asks_at_once = !own.events_stream.empty();
    auto producer = kafka::Producer::create(loop, own.kafka, producing);
    if (!producer) return tl::unexpected(producer.error());
    bridge->producer_ = std::move(*producer);
    auto probe = kafka::Probe::create(loop, own.kafka, [raw = bridge.get()](bool reachable, const std::string& reason) {
        raw->on_probe(reachable, reason);
    });
    if (!probe) return tl::unexpected(probe.error());
    bridge->probe_ = std::move(*probe);
    bridge->dead_letters_ = std::make_unique<DeadLetters>(loop, *bridge->producer_, own.dead_letter_topic);
    if (!own.routes.empty()) {
        Inlet::Owner& owner = *bridge;
        bridge->inlet_ = std::make_unique<Inlet>(loop, own.kafka, inlet_options(own), bridge->commands_,
                                                 *bridge->dead_letters_, bridge->ring_, owner);
    }
    if (!own.events_stream.empty()) {
        OutletOptions options;
        options.node = own.node;
        options.stream = own.events_stream;
        options.group = own.events_group;
        options.lifecycle_topic = own.lifecycle_topic;
        bridge->outlet_ = std::make_unique<Outlet>(loop, std::move(options), *own.redis_endpoint, bridge->commands_,
                                                   *bridge->producer_, *bridge->dead_letters_);
    }
    for (const std::string& warning : own.warnings) log::warn("bridge", "config_warning", {{"what", warning}});
    return bridge;
}

Result<void> Bridge::start() {
    static_cast<void>(daemon::raise_descriptor_limit());
    if (auto listening = control_.listen(config_.control); !listening) return listening;
    if (config_.listen != "off") {
        if (auto listening = http_.listen(config_.listen); !listening) return listening;
    }
    if (inlet_ != nullptr) {
        auto routes = read_routes();
        if (!routes) return tl::unexpected(routes.error());
        if (auto done = inlet_->set_routes(std::move(*routes)); !done) return done;
    }
    commands_.start();
    loop_.timers().arm(*tick_, loop_.now() + tick_pause);
    log::info("bridge", "listening",
              {{"path", config_.control},
               {"http", config_.listen},
               {"node", config_.node},
               {"brokers", config_.kafka.brokers},
               {"topics", inlet_ != nullptr ? inlet_->routes()->topics().size() : 0}});
    if (dev_broker_ != nullptr) {
        log::info("bridge", "embedded_broker", {{"brokers", config_.kafka.brokers}});
    }
    return {};
}

Result<std::shared_ptr<const routes::Routes>> Bridge::read_routes() const {
    std::ifstream file(config_.routes, std::ios::binary);
    std::ostringstream text;
    if (!file || !(text << file.rdbuf())) {
        return fail(Errc::config, "cannot read the routes file " + config_.routes);
    }
    auto routes = routes::parse_routes(text.str(), config_.routes);
    if (!routes) return tl::unexpected(routes.error());
    if (auto done = check_topics(*routes, config_); !done) return tl::unexpected(done.error());
    for (const std::string& warning : routes->warnings()) log::warn("routes", "warning", {{"what", warning}});
    return std::make_shared<const routes::Routes>(std::move(*routes));
}

Result<void> Bridge::reload() {
    if (inlet_ == nullptr) return {};
    auto routes = read_routes();
    if (!routes) return tl::unexpected(routes.error());
    auto done = inlet_->set_routes(std::move(*routes));
    if (done) log::info("bridge", "routes_loaded", {{"topics", inlet_->routes()->topics().size()}});
    return done;
}

// --- Running --------------------------------------------------------------------------------------------------------

void Bridge::on_signal(int number) {
    if (number == SIGHUP) {
        daemon::notify_reloading();
        if (auto opened = log::reopen(); !opened) log::error("bridge", "log_lost", {{"reason", opened.error().what}});
        if (auto done = reload(); !done) log::error("bridge", "reload_refused", {{"what", done.error().what}});
        daemon::notify_ready();
        return;
    }
    if (is_draining_) return loop_.stop();  // the second time means now
    drain();
}

void Bridge::drain() {
    is_draining_ = true;
    drain_until_ = loop_.now() + config_.drain.count();
    daemon::notify_stopping();
    log::info("bridge", "stopping",
              {{"in_flight_bytes", inlet_ != nullptr ? inlet_->bytes_in_flight() : 0}, {"open", producer_->open()}});
    control_.stop_listening();
    if (inlet_ != nullptr) inlet_->drain();
    if (outlet_ != nullptr) outlet_->drain();
    loop_.timers().arm(*tick_, loop_.now());
}

void Bridge::end_if_drained() {
    const bool is_done = (inlet_ == nullptr || inlet_->is_idle()) && (outlet_ == nullptr || outlet_->is_idle()) &&
                         dead_letters_->waiting() == 0 && producer_->open() == 0;
    const bool is_late = loop_.now() >= drain_until_;
    if (!is_done && !is_late) return;
    if (!is_done) {
        // Nothing is lost by it: offsets and acknowledgements say how far we are.
        log::warn(
            "bridge", "drain_too_slow",
            {{"in_flight_bytes", inlet_ != nullptr ? inlet_->bytes_in_flight() : 0}, {"open", producer_->open()}});
    }
    if (inlet_ != nullptr) inlet_->close();
    if (commands_.is_up() && claim_.is_ours()) commands_.send({"HDEL", bridges_key, config_.node});
    claim_.release();
    loop_.stop();
}

void Bridge::on_tick() {
    claim_.renew(is_draining_);
    if (!is_draining_ || loop_.now() + tick_pause < drain_until_) say_alive();
    if (outlet_ != nullptr && has_begun_) outlet_->tick();
    if (is_draining_) {
        end_if_drained();
        loop_.timers().arm(*tick_, loop_.now() + drain_tick);
        return;
    }
    if (inlet_ != nullptr) inlet_->tick();
    tell_unreachable();
    std::string status = is_well() ? "carrying" : "degraded";
    if (status != told_status_) {
        daemon::notify_status(status);
        told_status_ = std::move(status);
    }
    loop_.timers().arm(*tick_, loop_.now() + tick_pause);
}

void Bridge::say_alive(std::string_view how) {
    if (!commands_.is_up() || is_draining_ || !claim_.is_ours()) return;
    commands_.send(
        {"EVAL", heartbeat_script, "1", bridges_key, config_.node, probe_->is_reachable() ? "true" : "false", how});
}

void Bridge::on_probe(bool reachable, const std::string& reason) {
    if (reachable) {
        log::info("bridge", "kafka_up", {{"brokers", probe_->brokers()}});
    } else {
        log::error("bridge", "kafka_away", {{"brokers", config_.kafka.brokers}, {"reason", reason}});
    }
    say_alive();
}

/// Of several brokers some cannot be reached: what they lead is stuck.
void Bridge::tell_unreachable() {
    const std::string& now = probe_->unreachable();
    if (now == told_unreachable_) return;
    if (!now.empty()) {
        log::warn("bridge", "brokers_unreachable",
                  {{"brokers", now}, {"remedy", "their advertised.listeners must be reachable from here"}});
    } else {
        log::info("bridge", "brokers_reached", {{"brokers", told_unreachable_}});
    }
    told_unreachable_ = now;
}

void Bridge::on_up(redis::Connection&) {
    log::info("bridge", "redis_up", {{"redis", commands_.endpoint().to_string()}});
    claim_.renew(is_draining_);
    if (inlet_ != nullptr) inlet_->redis_up();
    if (outlet_ != nullptr && has_begun_) outlet_->redis_up();
}

void Bridge::on_claimed() {
    say_alive("first");
    if (inlet_ != nullptr) inlet_->join();
    if (std::exchange(has_begun_, true) || outlet_ == nullptr) return;
    outlet_->start();
    outlet_->redis_up();
}

void Bridge::on_name_taken() {
    if (inlet_ != nullptr) inlet_->close();
    end_for_name("another bridge works under it");
}

void Bridge::on_down(redis::Connection&, std::string_view) {
    // What was under way is answered with null, and done again by redis_up(). The lease lasts its time: Redis may be
    // back.
}

void Bridge::on_inlet_lost(const Error& error) { end_for_name(error.what); }

/// Only a change of the configuration helps; a supervisor should not go on trying.
void Bridge::end_for_name(std::string_view reason) {
    if (exit_code_ != 0) return;
    log::fatal("bridge", "name_in_use",
               {{"node", config_.node},
                {"reason", reason},
                {"remedy", "give each bridge a node of its own, or end the other one first"}});
    exit_code_ = daemon::exit_config;
    if (!is_draining_) drain();
}

// --- Asked ----------------------------------------------------------------------------------------------------------

bool Bridge::is_well() const {
    return probe_->is_reachable() && commands_.is_up() && redis_refusal().empty() && claim_.is_ours() &&
           (inlet_ == nullptr || !inlet_->is_wanted() || (inlet_->is_reading() && inlet_->denied_topics() == 0)) &&
           (outlet_ == nullptr || outlet_->is_leader() || !outlet_->leader().empty()) && producer_->trouble().empty() &&
           dead_letters_->trouble().empty() && (outlet_ == nullptr || outlet_->refused_topics() == 0);
}

bool Bridge::is_ready() { return is_well() && !is_draining_; }

/// What Redis refuses, in its words; empty: nothing.
std::string_view Bridge::redis_refusal() const {
    return !commands_.refusal().empty() || outlet_ == nullptr ? commands_.refusal() : outlet_->reader().refusal();
}

std::string Bridge::checks() const {
    wire::ObjectWriter out;
    const auto check = [&out](std::string_view name, bool ok, std::string_view detail) {
        out.raw(name, wire::ObjectWriter().boolean("ok", ok).text("detail", detail).object());
    };
    check("kafka", probe_->is_reachable(),
          probe_->is_reachable() ? counted(probe_->brokers(), "broker") +
                                       (probe_->unreachable().empty() ? "" : ", not reached: " + probe_->unreachable())
          : probe_->reason().empty() ? "not reached yet"
                                     : probe_->reason());
    check("redis", commands_.is_up() && redis_refusal().empty(),
          !redis_refusal().empty()          ? redis_refusal()
          : commands_.is_up()               ? commands_.endpoint().to_string()
          : commands_.down_reason().empty() ? "not reached yet"
                                            : commands_.down_reason());
    check("name", claim_.is_ours(),
          claim_.is_ours()      ? config_.node
          : claim_.is_foreign() ? "another bridge has, or had until a moment ago, the name " + config_.node
                                : "Redis has not been asked yet");
    if (inlet_ == nullptr || !inlet_->is_wanted()) {
        check("group", true, "nothing to consume");
    } else {
        std::string detail = inlet_->is_reading()
                                 ? counted(static_cast<std::int64_t>(inlet_->partitions().size()), "partition")
                                 : "no partitions are assigned yet";
        if (inlet_->denied_topics() > 0) detail += "; " + inlet_->denials();
        if (const auto lost = static_cast<std::int64_t>(inlet_->stats().lost); lost > 0) {
            detail += "; " + counted(lost, "record") + " lost: deleted from the topic before they were read";
        }
        check("group", inlet_->is_reading() && inlet_->denied_topics() == 0, detail);
    }
    if (outlet_ == nullptr) {
        check("out", true, "off");
    } else {
        check("out", outlet_->is_leader() || !outlet_->leader().empty(),
              outlet_->is_leader()        ? "this bridge"
              : outlet_->leader().empty() ? "nobody carries events to Kafka"
                                          : outlet_->leader());
    }
    check("producer", producer_->trouble().empty(),
          producer_->trouble().empty() ? "nothing is known against it" : producer_->trouble());
    const std::string refusals = outlet_ == nullptr ? std::string() : outlet_->refusals();
    check("topics", refusals.empty(), refusals.empty() ? "none is refused" : refusals);
    check("dead_letters", dead_letters_->trouble().empty(),
          dead_letters_->trouble().empty()
              ? counted(static_cast<std::int64_t>(dead_letters_->waiting()), "letter") + " waiting"
              : dead_letters_->trouble());
    return out.object();
}

std::string Bridge::health_members() const {
    return wire::ObjectWriter()
        .text("status", is_draining_ ? "draining"
                        : is_well()  ? "ok"
                                     : "degraded")
        .text("version", SIO_VERSION)
        .raw("uptime_s", std::to_string((loop_.now() - started_) / 1000))
        .text("node", config_.node)
        .text("brokers", config_.kafka.brokers)
        .boolean("embedded", dev_broker_ != nullptr)
        .raw("checks", checks())
        .members();
}

void Bridge::on_health(Answer answer) { answer(health_members()); }

std::string Bridge::health_json() { return "{" + health_members() + "}"; }

void Bridge::on_reload(Answer answer) {
    const auto done = reload();
    if (!done) return answer(tl::unexpected(done.error()));
    answer(std::string());
}

void Bridge::on_partitions(Answer answer) {
    std::string list;
    if (inlet_ != nullptr) {
        for (const PartitionView& view : inlet_->partitions()) {
            if (!list.empty()) list += ',';
            list += wire::ObjectWriter()
                        .text("topic", view.topic)
                        .number("partition", view.number)
                        .raw("next", or_null(view.next))
                        .raw("end", or_null(view.end))
                        .raw("lag", or_null(view.lag))
                        .number("in_flight", static_cast<std::int64_t>(view.in_flight))
                        .text("state", view.state)
                        .object();
        }
    }
    answer(wire::ObjectWriter().raw("partitions", "[" + list + "]").members());
}

void Bridge::on_produce(ProduceRequest request, Answer answer) {
    if (products_.size() >= max_products) return answer(tl::unexpected(away("10,000 records wait for Kafka already")));
    std::vector<kafka::Header> headers;
    for (const auto& [name, value] : request.headers) headers.push_back({name, std::string_view(value)});
    kafka::Outgoing record;
    record.topic = request.topic;
    record.partition = request.partition;
    if (request.key) record.key = *request.key;
    if (request.value) record.value = *request.value;
    record.headers = headers;
    const std::uint64_t tag = next_product_++;
    if (auto taken = producer_->produce(record, *this, tag); !taken) return answer(tl::unexpected(taken.error()));
    products_.emplace(tag, std::move(answer));
}

void Bridge::on_report(std::uint64_t tag, const Error* error) {
    const auto found = products_.find(tag);
    if (found == products_.end()) return;
    const Answer answer = std::move(found->second);
    products_.erase(found);
    if (error != nullptr) return answer(tl::unexpected(*error));
    const kafka::Producer::Place place = producer_->place();
    answer(wire::ObjectWriter().number("partition", place.partition).number("offset", place.offset).members());
}

void Bridge::on_trace(RecordName record, Answer answer) {
    wire::ObjectWriter out;
    out.text("record", record.topic + '/' + id_of(record.partition, record.offset)).text("node", config_.node);
    const auto found = ring_.find(record.topic, record.partition, record.offset);
    const auto waiting =
        inlet_ == nullptr ? std::nullopt : inlet_->in_flight(record.topic, record.partition, record.offset);
    if (waiting && !found) {
        out.raw("time_ms", or_null(waiting->time_ms))
            .number("consumed_ms", waiting->consumed_ms)
            .text("outcome", to_string(Outcome::pending))
            .raw("entries", "[]");
        return answer(out.members());
    }
    if (!found) {
        const auto next = inlet_ == nullptr ? std::nullopt : inlet_->next_of(record.topic, record.partition);
        if (!next) {
            return answer(fail(Errc::not_found, "this bridge (" + config_.node + ") does not have the partition " +
                                                    record.topic + '/' + std::to_string(record.partition)));
        }
        out.text("outcome", record.offset >= *next ? "ahead" : "passed").number("next", *next);
        return answer(out.members());
    }
    out.raw("time_ms", or_null(found->note.time_ms))
        .number("consumed_ms", found->note.consumed_ms)
        .number("written_ms", found->written_ms)
        .text("outcome", to_string(found->note.outcome));
    if (!found->reason.empty()) out.text("reason", found->reason);
    std::string entries;
    if (found->first && found->note.outcome == Outcome::written) {
        cluster::StreamId id = *found->first;
        for (std::uint32_t i = 0; i < found->note.entries; ++i, ++id.seq) {
            if (!entries.empty()) entries += ',';
            entries += wire::ObjectWriter()
                           .text("stream", inlet_->stream_key(found->note.stream))
                           .text("id", id.text())
                           .object();
        }
    }
    out.raw("entries", "[" + entries + "]");
    answer(out.members());
}

// --- Dead letters ---------------------------------------------------------------------------------------------------

void Bridge::on_dlq_list(std::size_t limit, Answer answer) {
    if (config_.dead_letter_topic.empty()) {
        return answer(fail(Errc::not_found, "this bridge keeps no dead letters: dead-letter-topic is empty"));
    }
    kafka::read_newest(
        loop_, config_.kafka, config_.dead_letter_topic, limit, letters_timeout,
        [this, alive = std::weak_ptr<char>(alive_), answer](Result<std::vector<kafka::OwnedRecord>> read) {
            if (alive.expired()) return;
            if (!read && read.error().code != Errc::not_found) return answer(tl::unexpected(read.error()));
            auto records = std::make_shared<std::vector<kafka::OwnedRecord>>();
            if (read) *records = std::move(*read);
            const auto finish = [this, records, answer](const redis::Reply* replayed) {
                std::string list;
                for (std::size_t i = 0; i < records->size(); ++i) {
                    const kafka::OwnedRecord& record = (*records)[i];
                    wire::ObjectWriter one;
                    one.text("id", id_of(record.partition, record.offset))
                        .raw("time_ms", or_null(record.time_ms))
                        .text("reason", header_of(record, "sio-reason"))
                        .text("error", header_of(record, "sio-error"));
                    if (const auto entry = header_of(record, "sio-id"); !entry.empty()) {
                        one.text("source", std::string(header_of(record, "sio-topic"))).text("entry", entry);
                    } else {
                        one.text("source", std::string(header_of(record, "sio-topic")) + '/' +
                                               std::string(header_of(record, "sio-partition")) + '/' +
                                               std::string(header_of(record, "sio-offset")));
                    }
                    one.raw("source_time_ms", or_null(number_of(header_of(record, "sio-time"))));
                    if (record.key) add_bytes(one, "key", *record.key);
                    if (record.value) add_bytes(one, "value", *record.value);
                    one.number("bytes", record.value ? static_cast<std::int64_t>(record.value->size()) : 0);
                    const bool is_replayed = replayed != nullptr && replayed->is_array() &&
                                             i < replayed->items.size() && replayed->items[i].to_integer() == 1;
                    one.boolean("replayed", is_replayed);
                    if (!list.empty()) list += ',';
                    list += one.object();
                }
                answer(wire::ObjectWriter()
                           .text("topic", config_.dead_letter_topic)
                           .raw("records", "[" + list + "]")
                           .members());
            };
            if (records->empty() || inlet_ == nullptr) return finish(nullptr);
            std::vector<std::string> names;
            for (const kafka::OwnedRecord& record : *records) names.push_back(id_of(record.partition, record.offset));
            const std::string key = inlet_->replayed_key();
            std::vector<std::string_view> words = {"SMISMEMBER", key};
            words.insert(words.end(), names.begin(), names.end());
            const bool is_sent = commands_.send(words, [alive, finish](const redis::Reply* reply) {
                if (!alive.expired()) finish(reply);
            });
            if (!is_sent) finish(nullptr);
        });
}

void Bridge::on_dlq_replay(std::vector<std::pair<std::int32_t, std::int64_t>> records, bool again, Answer answer) {
    if (inlet_ == nullptr) return answer(fail(Errc::not_found, "this bridge has no routes"));
    if (!commands_.is_up()) return answer(tl::unexpected(away("Redis is away")));
    auto replay = std::make_shared<Replay>();
    replay->again = again;
    replay->answer = std::move(answer);
    const bool is_all = records.empty();
    std::vector<kafka::Position> positions;
    for (const auto& [partition, offset] : records) {
        positions.push_back({{config_.dead_letter_topic, partition}, offset});
        replay->missing.push_back(id_of(partition, offset));
    }
    const auto done = [this, alive = std::weak_ptr<char>(alive_), replay,
                       is_all](Result<std::vector<kafka::OwnedRecord>> read) {
        if (alive.expired()) return;
        if (!read) return replay->answer(tl::unexpected(read.error()));
        replay->letters = std::move(*read);
        for (const kafka::OwnedRecord& letter : replay->letters) {
            std::erase(replay->missing, id_of(letter.partition, letter.offset));
        }
        for (const std::string& id : replay->missing) {
            replay->add(id, fail(Errc::not_found, "no such dead letter; sioctl dlq list shows those there are"));
        }
        if (!is_all || replay->letters.empty()) return go_on_replaying(replay);
        // Of all, those that have not been replayed.
        std::vector<std::string> names;
        for (const kafka::OwnedRecord& letter : replay->letters)
            names.push_back(id_of(letter.partition, letter.offset));
        const std::string key = inlet_->replayed_key();
        std::vector<std::string_view> words = {"SMISMEMBER", key};
        words.insert(words.end(), names.begin(), names.end());
        const bool is_sent = commands_.send(words, [this, alive, replay](const redis::Reply* reply) {
            if (alive.expired()) return;
            if (reply != nullptr && reply->is_array() && !replay->again) {
                std::vector<kafka::OwnedRecord> left;
                for (std::size_t i = 0; i < replay->letters.size(); ++i) {
                    if (i < reply->items.size() && reply->items[i].to_integer() == 1) continue;
                    left.push_back(std::move(replay->letters[i]));
                }
                replay->letters = std::move(left);
            }
            go_on_replaying(replay);
        });
        if (!is_sent) go_on_replaying(replay);
    };
    if (is_all) {
        kafka::read_newest(loop_, config_.kafka, config_.dead_letter_topic, max_letters, letters_timeout, done);
    } else {
        kafka::read_at(loop_, config_.kafka, config_.dead_letter_topic, std::move(positions), letters_timeout, done);
    }
}

/// A loop, since many may be answered at once.
void Bridge::go_on_replaying(const std::shared_ptr<Replay>& replay) {
    replay->is_due = true;
    if (replay->is_going) return;
    replay->is_going = true;
    while (std::exchange(replay->is_due, false)) replay_next(replay);
    replay->is_going = false;
}

void Bridge::replay_next(const std::shared_ptr<Replay>& replay) {
    if (replay->at == replay->letters.size()) {
        replay->answer(wire::ObjectWriter().raw("results", "[" + replay->results + "]").members());
        return;
    }
    const kafka::OwnedRecord& letter = replay->letters[replay->at++];
    const std::string id = id_of(letter.partition, letter.offset);
    const auto next = [this, alive = std::weak_ptr<char>(alive_), replay, id](const Result<std::uint64_t>& done) {
        if (alive.expired()) return;
        replay->add(id, done);
        go_on_replaying(replay);
    };
    if (!header_of(letter, "sio-bytes").empty()) {
        return next(
            fail(Errc::not_found, "its value was too large to be kept; it is still where it came from, perhaps"));
    }
    if (!header_of(letter, "sio-id").empty()) {
        return next(fail(Errc::not_found, "it is an event on its way to Kafka: once " +
                                              std::string(header_of(letter, "sio-topic")) +
                                              " takes it, produce it there"));
    }
    std::vector<kafka::Header> headers;
    for (const auto& [name, value] : letter.headers) {
        if (name.starts_with("sio-")) continue;
        headers.push_back({name, value ? std::optional<std::string_view>(*value) : std::nullopt});
    }
    kafka::Record record;
    record.topic = header_of(letter, "sio-topic");
    record.partition = static_cast<std::int32_t>(number_of(header_of(letter, "sio-partition")));
    record.offset = number_of(header_of(letter, "sio-offset"));
    record.time_ms = number_of(header_of(letter, "sio-time"));
    if (letter.key) record.key = *letter.key;
    if (letter.value) record.value = *letter.value;
    record.headers = headers;
    inlet_->replay(record, id, replay->again, next);
}

}  // namespace sio::bridge
