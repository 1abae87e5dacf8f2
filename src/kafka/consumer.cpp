#include "kafka/consumer.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "base/log.h"
#include "kafka/client.h"
#include "kafka/errand.h"
#include "kafka/nudge.h"
#include "kafka/offsets.h"

namespace sio::kafka {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int max_turn_records = 1'000;
constexpr auto max_turn = std::chrono::milliseconds(4);
constexpr int records_per_clock = 16;
/// Without records nothing wakes us, and who does not poll for max.poll.interval.ms is taken for dead.
constexpr base::Millis idle_poll = 500;
constexpr std::int64_t resolve_patience_ms = 5'000;
/// queued.min.messages as it is by default, the other limit of librdkafka's queue.
constexpr double max_queued_records = 100'000;
constexpr double nearly_full = 0.75;

/// An expression that matches this name only.
std::string exactly(std::string_view name) {
    std::string expression = "^";
    for (const char c : name) {
        const bool is_plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
        if (!is_plain) expression += '\\';
        expression += c;
    }
    return expression + '$';
}

Properties properties_of(const ConsumerOptions& options) {
    const std::size_t kilobytes = std::max<std::size_t>(options.buffer_bytes / 1024, 1);
    const std::size_t fetch_bytes = std::clamp<std::size_t>(options.buffer_bytes, 1U << 20U, 50U << 20U);
    Properties ours = {
        {"group.id", options.group},
        {"partition.assignment.strategy", options.assignor},
        {"session.timeout.ms", std::to_string(options.session_timeout_ms)},
        {"heartbeat.interval.ms", std::to_string(std::max<std::int64_t>(options.session_timeout_ms / 3, 1))},
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"auto.offset.reset", "error"},
        {"enable.partition.eof", "true"},
        {"allow.auto.create.topics", "false"},
        {"queued.max.messages.kbytes", std::to_string(kilobytes)},
        {"fetch.max.bytes", std::to_string(fetch_bytes)},
    };
    if (!options.instance.empty()) ours.emplace_back("group.instance.id", options.instance);
    std::string never;
    for (const std::string& name : options.never) {
        // The list is separated by commas, and no topic has one.
        if (!name.empty() && name.find(',') == std::string::npos) never += (never.empty() ? "" : ",") + exactly(name);
    }
    if (!never.empty()) ours.emplace_back("topic.blacklist", never);
    return ours;
}

std::optional<std::string_view> bytes_of(const void* data, std::size_t size) noexcept {
    if (data == nullptr) return std::nullopt;
    return std::string_view(static_cast<const char*>(data), size);
}

}  // namespace

// --- What there is --------------------------------------------------------------------------------------------------

struct Consumer::Parts final : net::Handler {
    /// What librdkafka's callbacks see. It lives as long as the instance, which may be longer than the consumer.
    struct Link {
        base::UniqueFd bell;
        Parts* consumer = nullptr;  // null once it is being ended, before another thread calls back
    };
    struct Idle final : base::Timer {
        explicit Idle(Parts& of) : parts(of) {}
        void expire(base::Millis) override { parts.turn(); }
        Parts& parts;
    };

    Parts(net::Loop& on, const Settings& with, const ConsumerOptions& how, Owner& of)
        : loop(on), settings(with), options(how), owner(of) {}
    ~Parts() override { end(false); }

    static void rebalance_callback(rd_kafka_t* client, rd_kafka_resp_err_t what,
                                   rd_kafka_topic_partition_list_t* partitions, void* opaque);
    static void error_callback(rd_kafka_t* client, int code, const char* text, void* opaque);

    Result<void> open();
    void end(bool leaves);

    void on_ready(std::uint32_t) override;
    void turn();
    bool take(const rd_kafka_message_t& message);
    void take_error(const rd_kafka_message_t& message);
    void on_rebalance(rd_kafka_resp_err_t what, const rd_kafka_topic_partition_list_t* partitions);
    void complain(rd_kafka_resp_err_t code, const char* text);
    [[nodiscard]] double buffer_share() const;
    void watch_buffer(std::uint64_t records, std::uint64_t bytes, bool is_empty);

    net::Loop& loop;
    Settings settings;
    ConsumerOptions options;
    Owner& owner;
    std::shared_ptr<Link> link = std::make_shared<Link>();
    rd_kafka_t* client = nullptr;
    rd_kafka_queue_t* queue = nullptr;
    std::shared_ptr<Nudge> nudge;
    double record_bytes = 0;       // the mean of late
    double taken_share = 0;        // of a buffer, since the last nudge
    bool buffer_was_full = false;  // and nobody fetches until the nudge
    std::shared_ptr<Ending> ending;
    Clock::time_point ended_at;
    Idle idle{*this};
    bool is_reading = true;
    bool awaits_start = false;  // assigned, and start() has not been called
    bool is_started = false;
    bool is_fatal = false;
    std::vector<Partition> assigned;
    std::vector<Header> headers;  // of the record at hand
    Stats stats;
    std::shared_ptr<char> alive = std::make_shared<char>();
};

// --- Callbacks ------------------------------------------------------------------------------------------------------

void Consumer::Parts::rebalance_callback(rd_kafka_t* client, rd_kafka_resp_err_t what,
                                         rd_kafka_topic_partition_list_t* partitions, void* opaque) {
    Parts* const consumer = static_cast<Link*>(opaque)->consumer;
    if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && consumer != nullptr) {
        // Accepted at once, with nothing to read yet: a member that has not answered holds up the whole group.
        rd_kafka_assign(client, new_list(0).get());
    } else {
        rd_kafka_assign(client, nullptr);
    }
    if (consumer != nullptr) consumer->on_rebalance(what, partitions);
}

void Consumer::Parts::error_callback(rd_kafka_t*, int code, const char* text, void* opaque) {
    Parts* const consumer = static_cast<Link*>(opaque)->consumer;
    if (consumer != nullptr) consumer->complain(static_cast<rd_kafka_resp_err_t>(code), text);
}

// --- Life -----------------------------------------------------------------------------------------------------------

Result<void> Consumer::Parts::open() {
    auto bell = make_bell();
    if (!bell) return tl::unexpected(bell.error());
    link->bell = std::move(*bell);
    link->consumer = this;
    auto conf = make_conf(settings, Kind::consumer, properties_of(options));
    if (!conf) return tl::unexpected(conf.error());
    rd_kafka_conf_set_opaque(conf->get(), link.get());
    rd_kafka_conf_set_rebalance_cb(conf->get(), rebalance_callback);
    rd_kafka_conf_set_error_cb(conf->get(), error_callback);
    auto made = make_client(std::move(*conf), Kind::consumer);
    if (!made) return tl::unexpected(made.error());
    client = *made;
    rd_kafka_poll_set_consumer(client);
    queue = rd_kafka_queue_get_consumer(client);
    nudge = std::make_shared<Nudge>(client);
    if (auto watched = loop.watch(link->bell.get(), *this); !watched) return watched;
    ring_for(queue, link->bell.get());
    ring_bell(link->bell.get());
    return {};
}

void Consumer::Parts::end(bool leaves) {
    if (client == nullptr) {
        if (ending == nullptr) return;
        const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - ended_at).count();
        ending->wait_until_gone(std::max<std::int64_t>(ending_patience_ms - passed, 0));
        return;
    }
    alive.reset();
    idle.disarm();
    link->consumer = nullptr;
    ring_for(queue, -1);
    loop.unwatch(link->bell.get(), *this);
    rd_kafka_queue_destroy(queue);
    queue = nullptr;
    ended_at = Clock::now();
    ending = Ending::begin(std::exchange(client, nullptr), leaves, link, [asks = std::move(nudge)] { asks->end(); });
    is_started = awaits_start = false;
    if (leaves) {
        ending->wait_until_left(ending_patience_ms);
    } else {
        ending->wait_until_gone(ending_patience_ms);
    }
}

// --- Turns ----------------------------------------------------------------------------------------------------------

void Consumer::Parts::on_ready(std::uint32_t) {
    if (clear_bell(link->bell.get())) turn();
}

void Consumer::Parts::turn() {
    if (!is_reading || client == nullptr) return;
    const auto begin = Clock::now();
    const Stats before = stats;
    buffer_was_full = buffer_was_full || buffer_share() >= nearly_full;
    bool has_read = false;
    bool is_empty = false;
    for (int n = 0; n < max_turn_records; ++n) {
        const Message message(rd_kafka_consumer_poll(client, 0));
        if (message == nullptr) {
            is_empty = true;
            break;
        }
        has_read = take(*message) || has_read;
        if (!is_reading || client == nullptr) break;
        if (n % records_per_clock == records_per_clock - 1 && Clock::now() - begin >= max_turn) break;
    }
    if (client != nullptr && has_read) {
        watch_buffer(stats.records - before.records, stats.bytes - before.bytes, is_empty);
    }
    if (has_read) owner.on_pause();
    if (!is_reading || client == nullptr) return;
    // The bell rings only for the first entry of an empty queue.
    if (!is_empty) ring_bell(link->bell.get());
    loop.timers().arm(idle, loop.now() + idle_poll);
}

/// How full librdkafka's queue is, as it counts.
double Consumer::Parts::buffer_share() const {
    const auto queued = static_cast<double>(rd_kafka_queue_length(queue));
    return std::max(queued / max_queued_records, queued * record_bytes / static_cast<double>(options.buffer_bytes));
}

/// Has the fetching go on when half of a full buffer has been taken. `records` and `bytes` are what this turn took.
void Consumer::Parts::watch_buffer(std::uint64_t records, std::uint64_t bytes, bool is_empty) {
    const double mean = static_cast<double>(bytes) / static_cast<double>(records);
    record_bytes = record_bytes == 0 ? mean : record_bytes * 0.9 + mean * 0.1;
    taken_share += std::max(static_cast<double>(records) / max_queued_records,
                            static_cast<double>(bytes) / static_cast<double>(options.buffer_bytes));
    const double share = is_empty ? 0 : buffer_share();
    // It may have been full between two looks of ours, too.
    if (share > nearly_full / 2 || (!buffer_was_full && !(is_empty && taken_share >= nearly_full / 2))) return;
    buffer_was_full = false;
    taken_share = 0;
    nudge->ask(assigned);
}

/// Whether it was a record for the owner.
bool Consumer::Parts::take(const rd_kafka_message_t& message) {
    if (message.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        take_error(message);
        return false;
    }
    if (!is_started || message.rkt == nullptr) return false;  // of an assignment that is over
    Record record;
    record.topic = rd_kafka_topic_name(message.rkt);
    record.partition = message.partition;
    record.offset = message.offset;
    rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    const std::int64_t time = rd_kafka_message_timestamp(&message, &type);
    if (type != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE) record.time_ms = time;
    record.key = bytes_of(message.key, message.key_len);
    record.value = bytes_of(message.payload, message.len);
    rd_kafka_headers_t* all = nullptr;
    if (rd_kafka_message_headers(&message, &all) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        headers.clear();
        const char* name = nullptr;
        const void* value = nullptr;
        std::size_t size = 0;
        for (std::size_t i = 0; rd_kafka_header_get_all(all, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
             ++i) {
            headers.push_back({name, bytes_of(value, size)});
        }
        record.headers = headers;
    }
    ++stats.records;
    stats.bytes += message.len + message.key_len;
    owner.on_record(record);
    return true;
}

void Consumer::Parts::take_error(const rd_kafka_message_t& message) {
    const bool has_place = message.rkt != nullptr;
    const std::string topic = has_place ? rd_kafka_topic_name(message.rkt) : "";
    if (message.err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (is_started && has_place) owner.on_end({topic, message.partition}, message.offset);
    } else if (message.err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET && has_place) {
        if (is_started) owner.on_out_of_range({topic, message.partition});
    } else if (message.err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED && has_place) {
        ++stats.errors;
        owner.on_topic_denied(topic,
                              {Errc::denied, "cannot read topic " + topic + ": " + rd_kafka_err2str(message.err)});
    } else {
        complain(message.err, rd_kafka_message_errstr(&message));
    }
}

void Consumer::Parts::on_rebalance(rd_kafka_resp_err_t what, const rd_kafka_topic_partition_list_t* partitions) {
    if (what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        ++stats.rebalances;
        assigned = partitions_of(partitions);
        awaits_start = true;
        is_started = false;
        return owner.on_assigned(assigned);
    }
    const bool is_lost = rd_kafka_assignment_lost(client) != 0;
    assigned.clear();
    awaits_start = is_started = false;
    if (what != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS) complain(what, rd_kafka_err2str(what));
    owner.on_revoked(partitions_of(partitions), is_lost);
}

void Consumer::Parts::complain(rd_kafka_resp_err_t code, const char* text) {
    std::array<char, 512> reason{};
    const rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(client, reason.data(), reason.size());
    if (fatal != RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (std::exchange(is_fatal, true)) return;
        code = fatal;
        text = reason.data();
    }
    ++stats.errors;
    Error error{code_of(code), std::string("cannot read from Kafka: ")};
    error.what += text != nullptr ? text : rd_kafka_err2str(code);
    if (code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID) {
        if (error.what.find("OffsetCommit") != std::string::npos) {
            // A commit under way when the broker went is sent again with the name the broker gave us before we joined
            // again: it is us who fenced it. Another process would have been told by a heartbeat.
            error.code = Errc::unavailable;
        } else {
            error.what +=
                " (another process is member '" + options.instance + "' of the group '" + options.group + "')";
        }
    }
    owner.on_error(error, is_fatal);
}

// --- Asked by the owner ---------------------------------------------------------------------------------------------

Consumer::Consumer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Consumer::~Consumer() = default;

Result<std::unique_ptr<Consumer>> Consumer::create(net::Loop& loop, const Settings& settings,
                                                   const ConsumerOptions& options, Owner& owner) {
    auto parts = std::make_unique<Parts>(loop, settings, options, owner);
    if (auto opened = parts->open(); !opened) return tl::unexpected(opened.error());
    return std::unique_ptr<Consumer>(new Consumer(std::move(parts)));
}

Result<void> Consumer::subscribe() {
    const List list = new_list(parts_->options.topics.size());
    for (const std::string& topic : parts_->options.topics) {
        rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
    }
    const auto code =
        parts_->client == nullptr ? RD_KAFKA_RESP_ERR__STATE : rd_kafka_subscribe(parts_->client, list.get());
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
    std::string what = "cannot subscribe to ";
    for (const std::string& topic : parts_->options.topics) what += topic + ", ";
    what.replace(what.size() - 2, 2, ": ");
    return fail(Errc::config, what + rd_kafka_err2str(code));
}

void Consumer::start(std::span<const Position> positions) {
    if (!parts_->awaits_start || parts_->client == nullptr) return;
    std::vector<Position> ours;
    for (const Position& position : positions) {
        const auto& assigned = parts_->assigned;
        if (std::ranges::find(assigned, position.partition) != assigned.end()) ours.push_back(position);
    }
    parts_->awaits_start = false;
    parts_->is_started = true;
    if (ours.empty()) return;
    const auto code = rd_kafka_assign(parts_->client, list_of(ours).get());
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) parts_->complain(code, rd_kafka_err2str(code));
}

void Consumer::set_reading(bool reading) {
    if (std::exchange(parts_->is_reading, reading) == reading || parts_->client == nullptr) return;
    if (reading) {
        ring_bell(parts_->link->bell.get());
    } else {
        parts_->idle.disarm();
    }
}

void Consumer::resolve(std::vector<Partition> partitions, std::optional<std::int64_t> since_ms,
                       std::function<void(Result<std::vector<Position>>)> done) {
    // By an instance of its own: this one may go while the question is under way.
    ask_apart<std::vector<Position>>(
        parts_->loop, resolve_patience_ms + ending_patience_ms,
        [settings = parts_->settings, group = parts_->options.group, partitions = std::move(partitions), since_ms] {
            return find_beginnings(settings, group, partitions, since_ms, resolve_patience_ms);
        },
        [alive = std::weak_ptr<char>(parts_->alive), done = std::move(done)](Result<std::vector<Position>> positions) {
            if (!alive.expired()) done(std::move(positions));
        });
}

void Consumer::ask_first_offsets(std::vector<Partition> partitions,
                                 std::function<void(Result<std::vector<Position>>)> done) {
    ask_apart<std::vector<Position>>(
        parts_->loop, resolve_patience_ms + ending_patience_ms,
        [settings = parts_->settings, partitions = std::move(partitions)] {
            return find_first_offsets(settings, partitions, resolve_patience_ms);
        },
        [alive = std::weak_ptr<char>(parts_->alive), done = std::move(done)](Result<std::vector<Position>> positions) {
            if (!alive.expired()) done(std::move(positions));
        });
}

void Consumer::commit(std::span<const Position> positions) {
    if (parts_->client == nullptr || positions.empty()) return;
    const auto code = rd_kafka_commit(parts_->client, list_of(positions).get(), 1);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        log::debug("kafka", "commit_refused", {{"reason", rd_kafka_err2str(code)}});
    }
}

std::int64_t Consumer::high_watermark(const Partition& partition) const {
    if (parts_->client == nullptr) return -1;
    std::int64_t low = -1;
    std::int64_t high = -1;
    const auto code =
        rd_kafka_get_watermark_offsets(parts_->client, partition.topic.c_str(), partition.number, &low, &high);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0 ? high : -1;
}

void Consumer::close() { parts_->end(true); }

const Consumer::Stats& Consumer::stats() const noexcept { return parts_->stats; }

}  // namespace sio::kafka
