#include "kafka/producer.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/keyed_hash.h"
#include "base/log.h"
#include "base/timer_wheel.h"
#include "kafka/client.h"

namespace sio::kafka {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto max_turn = std::chrono::milliseconds(4);
constexpr std::size_t max_turn_reports = 1'000;
constexpr std::size_t reports_per_clock = 16;
constexpr std::size_t max_topics = 1'024;       // whose handles are kept
constexpr base::Millis first_pause = 1'000;     // after the second failure in a row, doubled with each
constexpr base::Millis longest_pause = 10'000;  // up to this
constexpr base::Millis winding_time = 2'000;    // for the answers of brokers that are due
constexpr base::Millis settling_time = 3'000;   // whoever is not refused for so long is let in
constexpr std::string_view denied_remedy =
    "let the user write the topics of events, of the lifecycle and of dead letters (before Kafka 3 IDEMPOTENT_WRITE on "
    "the cluster, too), or, when nothing is to be written, set events-stream and dead-letter-topic to nothing";

struct TopicDeleter {
    void operator()(rd_kafka_topic_t* topic) const noexcept { rd_kafka_topic_destroy(topic); }
};
using Topic = std::unique_ptr<rd_kafka_topic_t, TopicDeleter>;

struct EventDeleter {
    void operator()(rd_kafka_event_t* event) const noexcept { rd_kafka_event_destroy(event); }
};
using Event = std::unique_ptr<rd_kafka_event_t, EventDeleter>;

/// Null stays null, and empty stays empty.
const void* data_of(const std::optional<std::string_view>& bytes) noexcept {
    if (!bytes) return nullptr;
    return bytes->data() != nullptr ? bytes->data() : "";
}

std::size_t size_of(const std::optional<std::string_view>& bytes) noexcept { return bytes ? bytes->size() : 0; }

Properties properties_of(const ProducerOptions& options) {
    constexpr std::size_t most_kilobytes = 2'097'151;
    const std::size_t kilobytes = std::clamp<std::size_t>((options.queue_bytes + 1023) / 1024, 1, most_kilobytes);
    return {
        {"enable.idempotence", "true"},
        {"enable.gapless.guarantee", "true"},  // else what follows a refused request overtakes what is sent again of it
        {"acks", "all"},
        {"message.timeout.ms", "0"},
        {"partitioner", "murmur2_random"},
        {"linger.ms", std::to_string(options.linger_ms)},
        {"queue.buffering.max.kbytes", std::to_string(kilobytes)},
        {"queue.buffering.max.messages", std::to_string(std::max<std::size_t>(options.queue_records, 1))},
        {"message.max.bytes", std::to_string(std::clamp<std::size_t>(options.max_record_bytes, 1'000, 1'000'000'000))},
    };
}

}  // namespace

// --- What there is --------------------------------------------------------------------------------------------------

struct Producer::Parts final : net::Handler {
    /// A record that is not reported yet. In a ring of its own kind when it is open, in a list when it is spare.
    struct Node {
        Sink* sink = nullptr;  // null: nobody asks any more
        std::uint64_t tag = 0;
        Node* prev = this;
        Node* next = this;
    };

    struct Retry final : base::Timer {
        explicit Retry(Parts& of) : parts(of) {}
        void expire(base::Millis) override { parts.on_retry(); }
        Parts& parts;
    };

    Parts(net::Loop& on, const Settings& with, const ProducerOptions& how) : loop(on), settings(with), options(how) {}
    ~Parts() override { end(true); }

    Result<void> open();
    void end(bool waits);
    void wind_down(bool is_empty);
    void remake();
    bool reopen();
    void on_retry();
    void tell_refusal(rd_kafka_resp_err_t code, std::string_view reason);
    void tell_success();

    void on_ready(std::uint32_t) override;
    void turn();
    bool serve(int wait_ms, std::size_t most, Clock::time_point until);
    void report(const rd_kafka_message_t& message);
    void report_open_as_lost();
    rd_kafka_topic_t* topic(std::string_view name);
    Node* take_node();
    void give_node(Node* node) noexcept;
    void delink(Node* node) noexcept;

    net::Loop& loop;
    Settings settings;
    ProducerOptions options;
    std::shared_ptr<base::UniqueFd> bell;  // the instance's: it may live longer than we
    rd_kafka_t* client = nullptr;
    rd_kafka_queue_t* queue = nullptr;
    Event at_hand;  // reports not given yet
    Retry retry{*this};
    bool is_fatal = false;    // useless: to be made anew
    bool is_winding = false;  // useless, and the last answers are waited for
    base::Millis winding_until = 0;
    std::uint64_t generation = 0;
    bool is_wanted = false;         // somebody has asked since it went
    unsigned failures = 0;          // times it became useless since a record got through
    base::Millis closed_until = 0;  // the pause
    std::string trouble;
    std::unordered_map<std::string, Topic, base::KeyedHash, std::equal_to<>> topics;
    Node open_ring;
    Node* spare = nullptr;
    std::vector<std::unique_ptr<Node>> nodes;
    std::size_t open_count = 0;
    Place place;
    Stats stats;
};

Producer::Parts::Node* Producer::Parts::take_node() {
    if (spare == nullptr) {
        nodes.push_back(std::make_unique<Node>());
        return nodes.back().get();
    }
    return std::exchange(spare, spare->next);
}

void Producer::Parts::give_node(Node* node) noexcept {
    node->sink = nullptr;
    node->next = spare;
    spare = node;
}

void Producer::Parts::delink(Node* node) noexcept {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    --open_count;
}

// --- Life -----------------------------------------------------------------------------------------------------------

Result<void> Producer::Parts::open() {
    auto fresh = make_bell();
    if (!fresh) return tl::unexpected(fresh.error());
    auto conf = make_conf(settings, Kind::producer, properties_of(options));
    if (!conf) return tl::unexpected(conf.error());
    // Reports as events: a callback that yields gets those of later requests before the rest of this one's.
    rd_kafka_conf_set_events(conf->get(), RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
    auto made = make_client(std::move(*conf), Kind::producer);
    if (!made) return tl::unexpected(made.error());
    client = *made;
    bell = std::make_shared<base::UniqueFd>(std::move(*fresh));
    queue = rd_kafka_queue_get_main(client);
    if (auto watched = loop.watch(bell->get(), *this); !watched) {
        end(true);
        return watched;
    }
    ring_for(queue, bell->get());
    ring_bell(bell->get());
    is_fatal = is_winding = false;
    ++generation;
    return {};
}

void Producer::Parts::end(bool waits) {
    retry.disarm();
    if (client == nullptr) return;
    ring_for(queue, -1);
    loop.unwatch(bell->get(), *this);
    topics.clear();
    at_hand.reset();
    rd_kafka_queue_destroy(std::exchange(queue, nullptr));
    rd_kafka_purge(client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    const auto ending = Ending::begin(std::exchange(client, nullptr), false, std::exchange(bell, nullptr));
    if (waits) ending->wait_until_gone(ending_patience_ms);
}

/// What brokers have got is waited for, so that nothing is repeated that they took; what they have not got is given
/// back.
void Producer::Parts::wind_down(bool is_empty) {
    if (!std::exchange(is_winding, true)) {
        rd_kafka_purge(client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_NON_BLOCKING);
        winding_until = loop.now() + winding_time;
        loop.timers().arm(retry, winding_until);
    }
    if (open_count == 0 || loop.now() >= winding_until) return remake();
    if (!is_empty) ring_bell(bell->get());
}

void Producer::Parts::remake() {
    std::array<char, 512> reason{};
    const auto code = rd_kafka_fatal_error(client, reason.data(), reason.size());
    ++stats.recreated;
    if (code == RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE) {
        // A record was refused, which its sink hears; the producer is as good as ever.
        log::debug("kafka", "producer_made_anew", {{"reason", reason.data()}, {"open", open_count}});
    } else {
        ++failures;
        tell_refusal(code, reason.data());
    }
    // Reports that are there already are true.
    serve(0, open_count, Clock::time_point::max());
    end(false);
    is_fatal = is_winding = false;
    is_wanted = options.asks_at_once || open_count > 0;
    const base::Millis pause = failures <= 1 ? 0 : std::min(first_pause << std::min(failures - 2, 10U), longest_pause);
    closed_until = loop.now() + pause;
    if (pause > 0) {
        loop.timers().arm(retry, closed_until);
    } else if (is_wanted) {
        reopen();
    }
    report_open_as_lost();
}

/// Whether there is an instance now.
bool Producer::Parts::reopen() {
    is_wanted = false;
    if (auto opened = open(); !opened) {
        if (trouble.empty()) log::error("kafka", "producer_refused", {{"reason", opened.error().what}});
        trouble = opened.error().what;
        is_wanted = true;
        closed_until = loop.now() + longest_pause;
        loop.timers().arm(retry, closed_until);
        return false;
    }
    if (failures > 0) loop.timers().arm(retry, loop.now() + settling_time);
    return true;
}

void Producer::Parts::on_retry() {
    if (is_fatal) return turn();
    if (client != nullptr) return tell_success();
    if (is_wanted) {
        reopen();
    } else {
        trouble.clear();  // nobody asks any more
    }
}

void Producer::Parts::tell_refusal(rd_kafka_resp_err_t code, std::string_view reason) {
    const bool is_denied = code_of(code) == Errc::denied;
    if (!is_denied && failures == 1) {  // a producer may become useless by what happened on the way
        log::warn("kafka", "producer_made_anew", {{"reason", reason}, {"open", open_count}});
        return;
    }
    const std::string_view remedy = is_denied ? denied_remedy : "the brokers' log may say more";
    if (trouble.empty()) {
        log::error("kafka", "producer_refused", {{"reason", reason}, {"remedy", remedy}});
    } else {
        log::debug("kafka", "producer_made_anew", {{"reason", reason}, {"open", open_count}});
    }
    trouble = std::string(reason) + ": " + std::string(remedy);
}

void Producer::Parts::tell_success() {
    failures = 0;
    if (trouble.empty()) return;
    trouble.clear();
    log::info("kafka", "producer_taken");
}

void Producer::Parts::report_open_as_lost() {
    const Error error{Errc::unavailable, "cannot tell whether Kafka has the record: the producer was made anew"};
    // What a sink produces meanwhile belongs to the new instance.
    Node* const last = open_ring.prev;
    if (last == &open_ring) return;
    place = {};
    bool is_last = false;
    while (!is_last) {
        Node* const node = open_ring.next;
        is_last = node == last;
        Sink* const sink = node->sink;
        const std::uint64_t tag = node->tag;
        delink(node);
        give_node(node);
        ++stats.failed;
        if (sink != nullptr) sink->on_report(tag, &error);
    }
}

// --- Turns ----------------------------------------------------------------------------------------------------------

void Producer::Parts::on_ready(std::uint32_t) {
    if (bell != nullptr && clear_bell(bell->get())) turn();
}

void Producer::Parts::turn() {
    if (client == nullptr) return;
    const bool is_empty = serve(0, max_turn_reports, Clock::now() + max_turn);
    if (is_fatal) return wind_down(is_empty);
    // The bell rings only for the first entry of an empty queue.
    if (!is_empty) ring_bell(bell->get());
}

/// Gives at most so many reports until then, waiting for the first. Returns whether there are no more.
bool Producer::Parts::serve(int wait_ms, std::size_t most, Clock::time_point until) {
    std::size_t given = 0;
    while (true) {
        if (at_hand == nullptr) at_hand.reset(rd_kafka_queue_poll(queue, std::exchange(wait_ms, 0)));
        if (at_hand == nullptr) return true;
        if (rd_kafka_event_type(at_hand.get()) == RD_KAFKA_EVENT_DR) {
            while (const rd_kafka_message_t* const message = rd_kafka_event_message_next(at_hand.get())) {
                report(*message);
                ++given;
                if (given >= most || (given % reports_per_clock == 0 && Clock::now() >= until)) return false;
            }
        } else if (rd_kafka_event_type(at_hand.get()) == RD_KAFKA_EVENT_ERROR) {
            if (rd_kafka_event_error_is_fatal(at_hand.get()) != 0) is_fatal = true;
            log::debug("kafka", "producer_trouble", {{"reason", rd_kafka_event_error_string(at_hand.get())}});
        }
        at_hand.reset();
    }
}

void Producer::Parts::report(const rd_kafka_message_t& message) {
    auto* const node = static_cast<Node*>(message._private);
    Sink* const sink = node->sink;
    const std::uint64_t tag = node->tag;
    delink(node);
    give_node(node);
    place = {message.partition, message.offset};
    if (message.err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        ++stats.produced;
        if (failures > 0) tell_success();
        stats.bytes += message.len + message.key_len;
        if (sink != nullptr) sink->on_report(tag, nullptr);
        return;
    }
    ++stats.failed;
    if (sink == nullptr) return;
    // Not rd_kafka_message_errstr(), which gives the payload.
    const Error error{code_of(message.err), std::string("cannot write to topic ") +
                                                (message.rkt != nullptr ? rd_kafka_topic_name(message.rkt) : "-") +
                                                ": " + rd_kafka_err2str(message.err)};
    sink->on_report(tag, &error);
}

// --- Asked ----------------------------------------------------------------------------------------------------------

Producer::Producer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Producer::~Producer() = default;

Result<std::unique_ptr<Producer>> Producer::create(net::Loop& loop, const Settings& settings,
                                                   const ProducerOptions& options) {
    auto parts = std::make_unique<Parts>(loop, settings, options);
    if (options.asks_at_once) {
        if (auto opened = parts->open(); !opened) return tl::unexpected(opened.error());
    } else if (auto conf = make_conf(settings, Kind::producer, properties_of(options)); !conf) {
        return tl::unexpected(conf.error());
    }
    return std::unique_ptr<Producer>(new Producer(std::move(parts)));
}

rd_kafka_topic_t* Producer::Parts::topic(std::string_view name) {
    if (const auto found = topics.find(name); found != topics.end()) return found->second.get();
    if (topics.size() >= max_topics) topics.clear();
    std::string text(name);
    Topic made(rd_kafka_topic_new(client, text.c_str(), nullptr));
    rd_kafka_topic_t* const topic = made.get();
    if (topic != nullptr) topics.emplace(std::move(text), std::move(made));
    return topic;
}

Result<void> Producer::produce(const Outgoing& record, Sink& sink, std::uint64_t tag) {
    Parts& parts = *parts_;
    const auto refuse = [&](Errc code, const std::string& reason) {
        ++parts.stats.refused;
        return fail(code,
                    "cannot write to topic " + std::string(record.topic.substr(0, max_topic_bytes)) + ": " + reason);
    };
    if (!is_topic_name(record.topic)) return refuse(Errc::malformed, "it is no name of a topic");
    if (parts.client == nullptr) {
        parts.is_wanted = true;
        const bool is_open = parts.loop.now() >= parts.closed_until && parts.reopen();
        if (!is_open && !parts.trouble.empty()) return refuse(Errc::unavailable, parts.trouble);
    }
    if (parts.client == nullptr || parts.is_fatal) return refuse(Errc::unavailable, "the producer is being made anew");
    rd_kafka_topic_t* const topic = parts.topic(record.topic);
    if (topic == nullptr) return refuse(Errc::unavailable, rd_kafka_err2str(rd_kafka_last_error()));

    std::array<rd_kafka_vu_t, 7> arguments{};
    std::size_t count = 0;
    const auto add = [&](rd_kafka_vtype_t type) -> auto& {
        arguments[count].vtype = type;
        return arguments[count++].u;
    };
    add(RD_KAFKA_VTYPE_RKT).rkt = topic;
    add(RD_KAFKA_VTYPE_PARTITION).i32 = record.partition.value_or(RD_KAFKA_PARTITION_UA);
    add(RD_KAFKA_VTYPE_MSGFLAGS).i = RD_KAFKA_MSG_F_COPY;
    // Not written to: it is copied.
    add(RD_KAFKA_VTYPE_VALUE).mem = {const_cast<void*>(data_of(record.value)), size_of(record.value)};
    add(RD_KAFKA_VTYPE_KEY).mem = {const_cast<void*>(data_of(record.key)), size_of(record.key)};
    rd_kafka_headers_t* headers = nullptr;
    if (!record.headers.empty()) {
        headers = rd_kafka_headers_new(record.headers.size());
        for (const Header& header : record.headers) {
            rd_kafka_header_add(headers, header.name.data(), static_cast<ssize_t>(header.name.size()),
                                data_of(header.value), static_cast<ssize_t>(size_of(header.value)));
        }
        add(RD_KAFKA_VTYPE_HEADERS).headers = headers;
    }
    Parts::Node* const node = parts.take_node();
    add(RD_KAFKA_VTYPE_OPAQUE).ptr = node;
    rd_kafka_error_t* const error = rd_kafka_produceva(parts.client, arguments.data(), count);
    if (error != nullptr) {
        const rd_kafka_resp_err_t code = rd_kafka_error_code(error);
        rd_kafka_error_destroy(error);
        if (headers != nullptr) rd_kafka_headers_destroy(headers);
        parts.give_node(node);
        if (code == RD_KAFKA_RESP_ERR__FATAL && !std::exchange(parts.is_fatal, true)) {
            ring_bell(parts.bell->get());
        }
        return refuse(code_of(code), rd_kafka_err2str(code));
    }
    node->sink = &sink;
    node->tag = tag;
    node->prev = parts.open_ring.prev;
    node->next = &parts.open_ring;
    node->prev->next = node;
    parts.open_ring.prev = node;
    ++parts.open_count;
    return {};
}

void Producer::forget(Sink& sink) {
    for (Parts::Node* node = parts_->open_ring.next; node != &parts_->open_ring; node = node->next) {
        if (node->sink == &sink) node->sink = nullptr;
    }
}

std::size_t Producer::flush(std::int64_t timeout_ms) {
    const auto until = Clock::now() + std::chrono::milliseconds(timeout_ms);
    while (parts_->open_count > 0 && parts_->client != nullptr && !parts_->is_fatal) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
        parts_->serve(static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000)), max_turn_reports, until);
        if (left <= 0) break;
    }
    return parts_->open_count;
}

Producer::Place Producer::place() const noexcept { return parts_->place; }
const std::string& Producer::trouble() const noexcept { return parts_->trouble; }
std::size_t Producer::open() const noexcept { return parts_->open_count; }
std::uint64_t Producer::generation() const noexcept { return parts_->generation; }
const Producer::Stats& Producer::stats() const noexcept { return parts_->stats; }

}  // namespace sio::kafka
