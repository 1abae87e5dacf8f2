#include "bridge/inlet.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/bytes.h"
#include "base/log.h"
#include "cluster/message.h"
#include "cluster/names.h"

namespace sio::bridge {

namespace {

constexpr std::size_t max_batch_records = 256;
constexpr std::size_t max_batch_bytes = 256U << 10U;
constexpr std::size_t max_spare_batches = 32;               // kept for their memory
constexpr std::size_t record_overhead = sizeof(Note) + 24;  // what a record costs beside its text
constexpr base::Millis retry_pause = 500;
constexpr base::Millis retake_pause = 1'000;
constexpr base::Millis resolve_pause = 200;
constexpr base::Millis refusal_memory = 5'000;
constexpr base::Millis complaint_pause = 10'000;
constexpr std::uint64_t commit_ticks = 5;
constexpr std::uint64_t denied_ticks = 10;  // between looks at topics that were denied
constexpr std::int64_t denied_patience = 3'000;

/// KEYS: the stream, the hash of offsets. ARGV: field, epoch, from, to, retention in ms; then for each entry its
/// record's offset, nsp, type, data. Gives the number written, the ids of the first and the last, and the offset that
/// was stored before. Entries of records before that are passed over. Redis keeps its clock still within a script, so
/// the ids follow one another.
constexpr std::string_view write_script = R"lua(
local at = redis.call('HGET', KEYS[2], ARGV[1])
if not at then return redis.error_reply('FENCED nobody has it') end
local epoch, next = string.match(at, '^(%d+) (%d+)$')
if epoch ~= ARGV[2] then return redis.error_reply('FENCED by epoch ' .. at) end
next = tonumber(next)
if tonumber(ARGV[3]) > next then return redis.error_reply('GAP after ' .. at) end
if tonumber(ARGV[4]) <= next then return {0, '', '', next} end
local call, stream, args = redis.call, KEYS[1], ARGV
local begin = 6
while begin <= #args and tonumber(args[begin]) < next do begin = begin + 4 end
local first, last, n = '', '', (#args + 1 - begin) / 4
for i = begin, #args, 4 do
  if args[i + 3] == '' then
    last = call('XADD', stream, '*', 'uid', 'emitter', 'nsp', args[i + 1], 'type', args[i + 2])
  else
    last = call('XADD', stream, '*', 'uid', 'emitter', 'nsp', args[i + 1], 'type', args[i + 2], 'data', args[i + 3])
  end
  if i == begin then first = last end
end
call('HSET', KEYS[2], ARGV[1], epoch .. ' ' .. ARGV[4])
if n > 0 then
  local clock = redis.call('TIME')
  local oldest = clock[1] * 1000 + math.floor(clock[2] / 1000) - ARGV[5]
  if oldest > 0 then redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%d', oldest)) end
end
return {n, first, last, next}
)lua";

/// KEYS: the hash. ARGV: field, and the offset to begin at when nothing is stored (or nothing). Whoever took the
/// partition before can write no more. Gives the new epoch and the next offset; false when nothing is stored.
constexpr std::string_view take_script = R"lua(
local at = redis.call('HGET', KEYS[1], ARGV[1])
local epoch, next
if at then epoch, next = string.match(at, '^(%d+) (%d+)$') end
if not next then
  if ARGV[2] == '' then return false end
  epoch, next = 0, ARGV[2]
end
epoch = string.format('%d', epoch + 1)
redis.call('HSET', KEYS[1], ARGV[1], epoch .. ' ' .. next)
return {epoch, next}
)lua";

/// KEYS: the hash. ARGV: field, epoch, offset: the log has begun anew.
constexpr std::string_view anew_script = R"lua(
local at = redis.call('HGET', KEYS[1], ARGV[1])
if not at or string.match(at, '^(%d+) ') ~= ARGV[2] then return redis.error_reply('FENCED by epoch ' .. (at or '-')) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
return 1
)lua";

/// KEYS: the set of names, the stream. ARGV: name, `again` or nothing, then for each entry nsp, type, data. Gives the
/// number written, -1 when the name is in the set.
constexpr std::string_view replay_script = R"lua(
if ARGV[2] == '' and redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1 then return -1 end
local n = 0
for i = 3, #ARGV, 3 do
  if ARGV[i + 2] == '' then
    redis.call('XADD', KEYS[2], '*', 'uid', 'emitter', 'nsp', ARGV[i], 'type', ARGV[i + 1])
  else
    redis.call('XADD', KEYS[2], '*', 'uid', 'emitter', 'nsp', ARGV[i], 'type', ARGV[i + 1], 'data', ARGV[i + 2])
  end
  n = n + 1
end
redis.call('SADD', KEYS[1], ARGV[1])
return n
)lua";

cluster::Type type_of(routes::RecordAction::Kind kind) noexcept {
    switch (kind) {
        case routes::RecordAction::Kind::emit: return cluster::Type::broadcast;
        case routes::RecordAction::Kind::join: return cluster::Type::sockets_join;
        case routes::RecordAction::Kind::leave: return cluster::Type::sockets_leave;
        case routes::RecordAction::Kind::disconnect: return cluster::Type::disconnect_sockets;
    }
    return cluster::Type::broadcast;
}

std::string_view state_name(bool waits, bool is_fenced, bool is_reading) noexcept {
    if (is_fenced) return "fenced";
    if (!is_reading) return "taking";
    return waits ? "waiting" : "reading";
}

}  // namespace

struct Inlet::Retry final : base::Timer {
    explicit Retry(Inlet& of) : inlet(of) {}
    Inlet& inlet;

private:
    void expire(base::Millis) override { inlet.on_retry(); }
};

Inlet::Inlet(net::Loop& loop, kafka::Settings settings, InletOptions options, redis::Connection& commands,
             DeadLetters& dead_letters, TraceRing& ring, Owner& owner)
    : loop_(loop),
      settings_(std::move(settings)),
      options_(std::move(options)),
      commands_(commands),
      dead_letters_(dead_letters),
      ring_(ring),
      owner_(owner),
      write_(write_script),
      take_(take_script),
      anew_(anew_script),
      replay_(replay_script),
      trim_(cluster::trim_text),
      retention_(std::to_string(options_.retention_ms)),
      started_(loop.wall_clock()),
      complained_at_(loop.now() - complaint_pause),
      retry_(std::make_unique<Retry>(*this)) {
    for (const std::string& key : cluster::streams_to_read(options_.stream, options_.stream_count)) {
        streams_.push_back({key, "sio:offsets:{" + key + "}"});
    }
}

Inlet::~Inlet() = default;

// --- the consumer ---------------------------------------------------------------------------------------------------

Result<void> Inlet::set_routes(std::shared_ptr<const routes::Routes> routes) {
    routes_ = std::move(routes);
    for (const auto& lane : lanes_) lane->route = routes_->topic(lane->partition.topic);
    std::erase_if(denied_, [&](const auto& one) { return routes_->topic(one.first) == nullptr; });
    auto wanted = routes_->subscription();
    if (wanted == subscription_) return {};
    subscription_ = std::move(wanted);
    if (consumer_ != nullptr) {
        restart("the routes name other topics");
        return {};
    }
    if (!owner_.may_join()) is_restarting_ = !subscription_.empty();  // join() goes on
    return is_restarting_ ? Result<void>() : open_consumer();
}

Result<void> Inlet::open_consumer() {
    if (subscription_.empty()) return {};
    kafka::ConsumerOptions options;
    options.group = options_.group;
    options.instance = options_.instance;
    options.assignor = options_.assignor;
    options.session_timeout_ms = options_.session_timeout_ms;
    options.topics = subscription_;
    options.never = {"__consumer_offsets", "__transaction_state"};
    if (!dead_letters_.topic().empty()) options.never.push_back(dead_letters_.topic());
    options.buffer_bytes = options_.read_ahead_bytes;
    auto consumer = kafka::Consumer::create(loop_, settings_, options, *this);
    if (!consumer) return tl::unexpected(consumer.error());
    consumer_ = std::move(*consumer);
    is_pressed_ = false;
    return consumer_->subscribe();
}

/// Not at once: the consumer may be calling us.
void Inlet::restart(std::string_view reason) {
    if (is_restarting_ || is_lost_) return;
    is_restarting_ = true;
    ++stats_.restarts;
    log::warn("inlet", "consumer_restarts", {{"reason", reason}});
    consumer_->set_reading(false);
    drop_lanes();
    retry_soon(0);
}

void Inlet::retry_soon(base::Millis pause) {
    if (!retry_->is_armed() || retry_->deadline() > loop_.now() + pause) {
        loop_.timers().arm(*retry_, loop_.now() + pause);
    }
}

void Inlet::on_retry() {
    if (is_lost_) return;
    if (is_restarting_) {
        if (consumer_ != nullptr) {
            consumer_->close();
            consumer_.reset();
        }
        if (is_draining_) {
            is_restarting_ = false;
            return;
        }
        if (!owner_.may_join()) return retry_soon(retake_pause);
        if (auto opened = open_consumer(); !opened) {
            log::error("inlet", "consumer_refused", {{"reason", opened.error().what}});
            consumer_.reset();
            return retry_soon(retake_pause);
        }
        is_restarting_ = false;
        return;
    }
    if (!commands_.is_up()) return;  // redis_up() goes on
    for (const auto& lane : lanes_) {
        if (lane->state == State::fenced && loop_.now() - lane->fenced_at >= retake_pause) {
            // Still ours, as far as Kafka says: somebody took it who had it no longer.
            take(*lane, {});
        } else {
            send_lane(*lane);
        }
    }
    resolve_unknown();
    find_beginnings();
}

void Inlet::on_error(const Error& error, bool fatal) {
    if (!fatal) {
        if (loop_.now() - complained_at_ < complaint_pause) return;
        complained_at_ = loop_.now();
        log::warn("inlet", "kafka_trouble", {{"reason", error.what}});
        return;
    }
    log::error("inlet", "consumer_lost", {{"reason", error.what}});
    // Kafka also says so when a commit of ours overtakes our own coming back; then a new consumer is let in. Two
    // processes of one name push each other out by turns.
    const bool is_named_twice = error.code == Errc::denied && refused_at_ &&
                                loop_.now() - *refused_at_ < options_.session_timeout_ms + refusal_memory;
    if (error.code == Errc::denied) refused_at_ = loop_.now();
    if (!is_named_twice) return restart("Kafka will not have it any more");
    is_lost_ = true;
    drop_lanes();
    owner_.on_inlet_lost(error);
}

void Inlet::drain() {
    is_draining_ = true;
    if (consumer_ != nullptr) consumer_->set_reading(false);
}

bool Inlet::is_idle() const noexcept {
    return std::ranges::all_of(lanes_, [](const auto& lane) { return lane->batches.empty(); });
}

void Inlet::close() {
    if (consumer_ == nullptr) return;
    std::vector<kafka::Position> positions;
    for (const auto& lane : lanes_) {
        if (lane->state == State::reading) positions.push_back({lane->partition, lane->done});
    }
    if (!positions.empty() && !is_lost_) consumer_->commit(positions);
    drop_lanes();
    is_lost_ = true;
    consumer_->close();
    consumer_.reset();
}

void Inlet::tick() {
    ++ticks_;
    if (consumer_ == nullptr || is_lost_) return;
    if (ticks_ % commit_ticks == 0 && is_started_) {
        std::vector<kafka::Position> positions;
        for (const auto& lane : lanes_) {
            if (lane->state == State::reading) positions.push_back({lane->partition, lane->done});
        }
        if (!positions.empty()) consumer_->commit(positions);
    }
    if (ticks_ % denied_ticks == 0) look_at_denied();
    if (commands_.is_up()) {
        for (const auto& lane : lanes_) send_lane(*lane);
        resolve_unknown();
        find_beginnings();
    }
}

// --- taking partitions ----------------------------------------------------------------------------------------------

void Inlet::drop_lanes() {
    ++generation_;
    lanes_.clear();
    dirty_.clear();
    last_lane_ = nullptr;
    batch_ = nullptr;
    held_ = 0;
    is_started_ = false;
    is_resolving_ = is_finding_ = false;
    set_pressure();
}

void Inlet::on_assigned(std::span<const kafka::Partition> partitions) {
    drop_lanes();
    ++stats_.rebalances;
    for (const kafka::Partition& partition : partitions) {
        auto lane = std::make_unique<Lane>();
        lane->index = lanes_.size();
        lane->partition = partition;
        lane->field = options_.group + '/' + partition.topic + '/' + std::to_string(partition.number);
        lane->trace = ring_.lane_of(partition.topic, partition.number);
        lane->route = routes_->topic(partition.topic);
        lanes_.push_back(std::move(lane));
    }
    log::info("inlet", "assigned", {{"partitions", lanes_.size()}});
    for (const auto& lane : lanes_) take(*lane, {});
    start_if_taken();  // there may be none
}

void Inlet::on_revoked(std::span<const kafka::Partition> partitions, bool lost) {
    log::info("inlet", "revoked", {{"partitions", partitions.size()}, {"lost", lost}});
    drop_lanes();
}

void Inlet::take(Lane& lane, std::string_view hint) {
    lane.state = State::taking;
    lane.is_unknown = false;
    ++lane.attempt;
    lane.sent = 0;
    lane.answers_due = 0;
    lane.next.assign(streams_.size(), std::nullopt);
    lane.epochs.assign(streams_.size(), {});
    for (std::size_t i = 0; i < streams_.size(); ++i) take_stream(lane, i, hint);
}

void Inlet::take_stream(Lane& lane, std::size_t stream, std::string_view hint) {
    const bool is_sent =
        commands_.send({"EVALSHA", take_.sha(), "1", streams_[stream].offsets, lane.field, hint},
                       [this, alive = std::weak_ptr<char>(alive_), generation = generation_, index = lane.index,
                        attempt = lane.attempt, stream](const redis::Reply* reply) {
                           if (!alive.expired()) on_taken(generation, index, attempt, stream, reply);
                       });
    if (is_sent) ++lane.answers_due;
}

void Inlet::on_taken(std::uint64_t generation, std::size_t index, std::uint64_t attempt, std::size_t stream,
                     const redis::Reply* reply) {
    if (generation != generation_) return;
    Lane& lane = *lanes_[index];
    if (attempt != lane.attempt) return;
    if (reply == nullptr) return;  // redis_up() asks again
    if (reply->is_error()) {
        if (loop_.now() - complained_at_ >= complaint_pause) {
            complained_at_ = loop_.now();
            log::error("inlet", "take_refused", {{"partition", lane.field}, {"reason", reply->text}});
        }
        if (reply->is_error("NOSCRIPT")) load_scripts();
        lane.state = State::fenced;  // taken again after a while
        lane.fenced_at = loop_.now();
        return retry_soon(retake_pause);
    }
    if (reply->is_array() && reply->items.size() == 2) {
        lane.epochs[stream] = std::string(reply->items[0].text);
        lane.next[stream] = reply->items[1].to_integer();
    }
    if (--lane.answers_due == 0) finish_take(lane);
}

void Inlet::finish_take(Lane& lane) {
    std::optional<std::int64_t> least;
    bool is_whole = true;
    for (const auto& next : lane.next) {
        if (!next) is_whole = false;
        if (next && (!least || *next < *least)) least = next;
    }
    if (!is_whole) {
        // A stream that is new; or Redis has lost its data, and what we have written is all there is to know.
        if (!least && lane.has_begun) least = lane.done;
        if (!least) {
            lane.is_unknown = true;
            return resolve_unknown();
        }
        const std::string hint = std::to_string(*least);
        for (std::size_t i = 0; i < streams_.size(); ++i) {
            if (!lane.next[i]) take_stream(lane, i, hint);
        }
        return;
    }
    if (lane.has_begun) {
        if (*least < lane.done) {
            // Redis knows less than it did: a replica took over that lacked the end.
            return restart("Redis has an older offset than it had");
        }
        lane.state = State::reading;
        send_lane(lane);
        return;
    }
    lane.state = State::taken;
    lane.chain = lane.expected = lane.done = *least;
    start_if_taken();
}

/// Partitions that Redis knows nothing of: Kafka is asked.
void Inlet::resolve_unknown() {
    if (is_resolving_ || is_started_ || consumer_ == nullptr) return;
    std::vector<kafka::Partition> unknown;
    for (const auto& lane : lanes_) {
        if (lane->is_unknown) unknown.push_back(lane->partition);
    }
    if (unknown.empty() || !commands_.is_up()) return;
    is_resolving_ = true;
    consumer_->resolve(std::move(unknown), options_.from_beginning ? std::nullopt : std::optional(started_),
                       [this, alive = std::weak_ptr<char>(alive_),
                        generation = generation_](const Result<std::vector<kafka::Position>>& positions) {
                           if (alive.expired() || generation != generation_) return;
                           is_resolving_ = false;
                           if (!positions) {
                               log::debug("inlet", "begin_unknown", {{"reason", positions.error().what}});
                               return retry_soon(resolve_pause);
                           }
                           for (const kafka::Position& position : *positions) {
                               Lane* const lane = find_lane(position.partition.topic, position.partition.number);
                               if (lane != nullptr) take(*lane, std::to_string(position.next));
                           }
                           retry_soon(resolve_pause);  // those that could not be told
                       });
}

void Inlet::start_if_taken() {
    if (is_started_) return;
    if (!std::ranges::all_of(lanes_, [](const auto& lane) { return lane->state == State::taken; })) return;
    std::vector<kafka::Position> positions;
    for (const auto& lane : lanes_) {
        lane->state = State::reading;
        lane->has_begun = true;
        positions.push_back({lane->partition, lane->chain});
        log::debug("inlet", "begins", {{"partition", lane->field}, {"offset", lane->chain}});
    }
    is_started_ = true;
    consumer_->start(positions);
}

void Inlet::load_scripts() {
    for (const redis::Script* const script : {&write_, &take_, &anew_, &replay_, &trim_}) {
        commands_.send({"SCRIPT", "LOAD", script->text()});
    }
}

void Inlet::redis_up() {
    load_scripts();
    if (is_lost_) return;
    for (const auto& lane : lanes_) {
        if (lane->state == State::taking || lane->state == State::fenced) {
            take(*lane, {});
        } else if (lane->state == State::reading) {
            if (lane->sent > 0) stats_.batches_again += lane->sent;
            lane->sent = 0;
            ++lane->attempt;
            for (const auto& batch : lane->batches) batch->due = 0;
            send_lane(*lane);
        }
    }
}

// --- records --------------------------------------------------------------------------------------------------------

Inlet::Lane* Inlet::find_lane(std::string_view topic, std::int32_t partition) noexcept {
    const auto is_it = [&](const Lane& lane) {
        return lane.partition.number == partition && lane.partition.topic == topic;
    };
    if (last_lane_ != nullptr && is_it(*last_lane_)) return last_lane_;
    for (const auto& lane : lanes_) {
        if (is_it(*lane)) return last_lane_ = lane.get();
    }
    return nullptr;
}

void Inlet::Batch::clear() noexcept {
    text.clear();
    entries.clear();
    notes.clear();
    waits = due = extra = held = 0;
    passed = 0;
    is_closed = false;
}

Inlet::Batch& Inlet::open_batch(Lane& lane) {
    if (!lane.batches.empty() && !lane.batches.back()->is_closed) return *lane.batches.back();
    std::unique_ptr<Batch> batch;
    if (spare_.empty()) {
        batch = std::make_unique<Batch>();
    } else {
        batch = std::move(spare_.back());
        spare_.pop_back();
    }
    batch->number = next_batch_++;
    batch->from = lane.chain;
    lane.batches.push_back(std::move(batch));
    return *lane.batches.back();
}

void Inlet::on_record(const kafka::Record& record) {
    Lane* const lane = find_lane(record.topic, record.partition);
    if (lane == nullptr || is_restarting_ || is_lost_) return;
    if (record.offset < lane->expected) return begin_anew(*lane, record.offset);
    ++stats_.consumed;
    stats_.consumed_bytes += (record.value ? record.value->size() : 0) + (record.key ? record.key->size() : 0);

    if (!std::exchange(lane->is_dirty, true)) dirty_.push_back(lane);
    Batch& batch = open_batch(*lane);
    lane->expected = record.offset + 1;
    batch.to = lane->expected;
    Note note;
    note.offset = record.offset;
    note.time_ms = record.time_ms;
    note.consumed_ms = loop_.wall_clock();
    if (lane->route != nullptr) {
        const std::size_t text_before = batch.text.size();
        const std::size_t entries_before = batch.entries.size();
        batch_ = &batch;
        record_entries_ = 0;
        record_stream_ = 0;
        Poison kind = Poison::malformed;
        const auto done = become_entries(*lane->route, record, kind);
        if (!done) {
            batch.text.resize(text_before);
            batch.entries.resize(entries_before);
            note.outcome = Outcome::dead_letter;
            ++stats_.dead[static_cast<std::size_t>(kind)];
            ++batch.waits;
            ring_.add_reason(lane->trace, record.offset, done.error().what);
            batch.extra += dead_letters_.bury(record, kind, done.error().what,
                                              [this, alive = std::weak_ptr<char>(alive_), generation = generation_,
                                               index = lane->index, number = batch.number] {
                                                  if (alive.expired() || generation != generation_) return;
                                                  Lane& of = *lanes_[index];
                                                  for (const auto& one : of.batches) {
                                                      if (one->number == number) --one->waits;
                                                  }
                                                  send_lane(of);
                                              });
        } else {
            note.entries = record_entries_;
            note.stream = record_stream_;
        }
    }
    batch.notes.push_back(note);
    account(batch);
    if (batch.notes.size() >= max_batch_records || batch.text.size() >= max_batch_bytes) {
        close_batch(*lane);
        send_lane(*lane);
    }
}

Result<void> Inlet::become_entries(const routes::TopicRoute& route, const kafka::Record& record, Poison& kind) {
    if (record.value && record.value->size() > options_.max_record_bytes) {
        kind = Poison::too_large;
        return fail(Errc::too_large, "the value has " + std::to_string(record.value->size()) +
                                         " bytes; --max-record-bytes is " + std::to_string(options_.max_record_bytes));
    }
    facts_.topic = record.topic;
    facts_.partition = record.partition;
    facts_.offset = record.offset;
    facts_.time_ms = record.time_ms;
    facts_.key = record.key && base::is_utf8(*record.key) ? record.key : std::nullopt;
    headers_.clear();
    for (const kafka::Header& header : record.headers) {
        headers_.push_back({header.name, header.value.value_or(std::string_view{})});
    }
    facts_.headers = headers_;
    if (auto read = routes::read_record(route, record.value, facts_); !read) {
        kind = Poison::malformed;
        return read;
    }
    routes::Context context;
    context.record = &facts_;
    context.now_ms = loop_.wall_clock();
    char digits[24];
    const char* const end = std::to_chars(digits, digits + sizeof digits, record.offset).ptr;
    offset_text_ = {digits, static_cast<std::size_t>(end - digits)};
    kind = Poison::no_value;
    return run_.run(route, context, *this);
}

void Inlet::on_action(const routes::RecordAction& action) {
    const std::size_t stream = stream_of(action.nsp);
    cluster::Outgoing out;
    out.type = type_of(action.kind);
    out.rooms = action.rooms;
    out.except = action.except;
    out.flags.is_volatile = action.is_volatile;
    out.event = action.event;
    out.arguments = action.args;
    out.attachments = action.attachments;
    out.joined_rooms = action.joined_rooms;
    out.close = action.close;
    out.emitter_nsp = action.nsp;

    Entry entry{};
    std::string& text = batch_->text;
    entry.stream = static_cast<std::uint32_t>(stream);
    entry.type = static_cast<char>('0' + static_cast<int>(out.type));
    entry.offset_at = static_cast<std::uint32_t>(text.size());
    text += offset_text_;
    entry.nsp_at = static_cast<std::uint32_t>(text.size());
    text += action.nsp;
    entry.data_at = static_cast<std::uint32_t>(text.size());
    cluster::append_stream_data(text, out);
    entry.end = static_cast<std::uint32_t>(text.size());
    batch_->entries.push_back(entry);
    if (record_entries_++ == 0) record_stream_ = static_cast<std::uint16_t>(stream);
}

std::size_t Inlet::stream_of(std::string_view nsp) {
    if (streams_.size() == 1) return 0;
    const std::string key = cluster::stream_for(options_.stream, options_.stream_count, nsp);
    const auto found = std::ranges::find_if(streams_, [&](const Stream& one) { return one.key == key; });
    return found == streams_.end() ? 0 : static_cast<std::size_t>(found - streams_.begin());
}

/// The topic was deleted and made again: what Redis knows is about another log.
void Inlet::begin_anew(Lane& lane, std::int64_t offset) {
    ++stats_.anew;
    log::warn("inlet", "log_begins_anew", {{"partition", lane.field}, {"expected", lane.expected}, {"offset", offset}});
    move_to(lane, offset);
    restart("a topic was made anew");
}

/// Retention has passed what Redis has: what is between is gone.
void Inlet::skip_lost(Lane& lane, std::int64_t offset) {
    const std::int64_t count = offset - lane.expected;
    stats_.lost += static_cast<std::uint64_t>(count);
    log::error("inlet", "records_lost",
               {{"partition", lane.field},
                {"records", count},
                {"from", lane.expected},
                {"to", offset - 1},
                {"reason", "they were deleted from the topic before they were read"},
                {"remedy",
                 "have the topic keep records for longer (retention.ms, retention.bytes) than a bridge may be away"}});
    move_to(lane, offset);
}

void Inlet::move_to(Lane& lane, std::int64_t offset) {
    const std::string text = std::to_string(offset);
    for (std::size_t i = 0; i < streams_.size(); ++i) {
        commands_.send({"EVALSHA", anew_.sha(), "1", streams_[i].offsets, lane.field, lane.epochs[i], text});
    }
}

void Inlet::on_end(const kafka::Partition& partition, std::int64_t next) {
    Lane* const lane = find_lane(partition.topic, partition.number);
    if (lane == nullptr) return;
    lane->read_to = next;
    if (!denied_.empty()) allow(partition.topic);
}

void Inlet::on_out_of_range(const kafka::Partition& partition) {
    Lane* const lane = find_lane(partition.topic, partition.number);
    if (lane == nullptr) return;
    lane->is_out_of_range = true;
    retry_soon(resolve_pause);  // there may be more
}

/// Of logs that do not have what comes next: where they begin says what became of it.
void Inlet::find_beginnings() {
    if (is_finding_ || is_restarting_ || consumer_ == nullptr || !commands_.is_up()) return;
    std::vector<kafka::Partition> partitions;
    for (const auto& lane : lanes_) {
        if (!lane->is_out_of_range) continue;
        if (!lane->batches.empty()) return retry_soon(resolve_pause);  // read before, and not in Redis yet
        partitions.push_back(lane->partition);
    }
    if (partitions.empty()) return;
    is_finding_ = true;
    consumer_->ask_first_offsets(std::move(partitions), [this, alive = std::weak_ptr<char>(alive_),
                                                         generation = generation_](const auto& positions) {
        if (alive.expired() || generation != generation_) return;
        is_finding_ = false;
        if (is_restarting_) return;
        if (!positions) {
            log::debug("inlet", "beginning_unknown", {{"reason", positions.error().what}});
            return retry_soon(retake_pause);
        }
        bool has_moved = false;
        for (const kafka::Position& position : *positions) {
            Lane* const lane = find_lane(position.partition.topic, position.partition.number);
            if (lane == nullptr || !lane->is_out_of_range) continue;
            if (position.next < lane->expected) return begin_anew(*lane, position.next);
            if (position.next > lane->expected) skip_lost(*lane, position.next);
            has_moved = true;
        }
        if (has_moved) return restart("records were deleted before they were read");
        retry_soon(retake_pause);
    });
}

void Inlet::on_topic_denied(const std::string& topic, const Error& error) {
    if (!denied_.insert_or_assign(topic, error.what).second) return;
    log::error(
        "inlet", "topic_denied",
        {{"topic", topic}, {"reason", error.what}, {"remedy", "let the user read it, or take it from the routes"}});
}

void Inlet::allow(const std::string& topic) {
    if (denied_.erase(topic) > 0) log::info("inlet", "topic_allowed", {{"topic", topic}});
}

std::string Inlet::denials() const {
    std::string all;
    for (const auto& [topic, reason] : denied_) all += (all.empty() ? "" : "; ") + reason;
    return all;
}

/// librdkafka tells a denial once, and its end not at all; and its partitions may be others' then.
void Inlet::look_at_denied() {
    for (const auto& [topic, reason] : denied_) {
        kafka::read_newest(loop_, settings_, topic, 1, denied_patience,
                           [this, alive = std::weak_ptr<char>(alive_), name = topic](const auto& read) {
                               if (alive.expired() || (!read && read.error().code != Errc::not_found)) return;
                               allow(name);
                           });
    }
}

void Inlet::account(Batch& batch) {
    const std::size_t now = sizeof(Batch) + batch.text.size() + batch.extra + batch.notes.size() * record_overhead;
    held_ += now - batch.held;
    batch.held = now;
    set_pressure();
}

void Inlet::set_pressure() {
    if (consumer_ == nullptr || is_draining_ || is_restarting_) return;
    if (!is_pressed_ && held_ >= options_.in_flight_bytes) {
        is_pressed_ = true;
        ++stats_.pauses;
        consumer_->set_reading(false);
    } else if (is_pressed_ && held_ <= options_.in_flight_bytes / 2) {
        is_pressed_ = false;
        consumer_->set_reading(true);
    }
}

void Inlet::on_pause() {
    for (Lane* const lane : dirty_) {
        lane->is_dirty = false;
        send_lane(*lane);
    }
    dirty_.clear();
}

// --- batches --------------------------------------------------------------------------------------------------------

void Inlet::close_batch(Lane& lane) {
    if (lane.batches.empty() || lane.batches.back()->is_closed) return;
    Batch& batch = *lane.batches.back();
    batch.is_closed = true;
    batch.from_text = std::to_string(batch.from);
    batch.to_text = std::to_string(batch.to);
    lane.chain = batch.to;
}

void Inlet::send_lane(Lane& lane) {
    if (lane.state != State::reading || !commands_.is_up()) return;
    while (lane.sent < lane.batches.size()) {
        Batch& batch = *lane.batches[lane.sent];
        if (batch.waits != 0) return;
        if (!batch.is_closed) close_batch(lane);  // what cannot be sent yet goes on growing instead
        if (!send_batch(lane, batch)) return retry_soon(retry_pause);
        ++lane.sent;
    }
}

bool Inlet::send_batch(Lane& lane, Batch& batch) {
    batch.due = streams_.size();
    batch.ids.assign(streams_.size(), {});
    batch.passed = 0;
    ++stats_.batches;
    const std::string_view text = batch.text;
    std::vector<std::string_view> words;
    words.reserve(10 + batch.entries.size() * 4);
    for (std::size_t stream = 0; stream < streams_.size(); ++stream) {
        words = {"EVALSHA",
                 write_.sha(),
                 "2",
                 streams_[stream].key,
                 streams_[stream].offsets,
                 lane.field,
                 lane.epochs[stream],
                 batch.from_text,
                 batch.to_text,
                 retention_};
        for (const Entry& entry : batch.entries) {
            if (entry.stream != stream) continue;
            words.push_back(text.substr(entry.offset_at, entry.nsp_at - entry.offset_at));
            words.push_back(text.substr(entry.nsp_at, entry.data_at - entry.nsp_at));
            words.emplace_back(&entry.type, 1);
            words.push_back(text.substr(entry.data_at, entry.end - entry.data_at));
        }
        const bool is_sent = commands_.send(
            words, [this, alive = std::weak_ptr<char>(alive_), generation = generation_, index = lane.index,
                    attempt = lane.attempt, number = batch.number, stream](const redis::Reply* reply) {
                if (!alive.expired()) on_answer(generation, index, attempt, number, stream, reply);
            });
        if (!is_sent) {
            if (stream > 0) {  // a part of it is under way: all that is goes again
                ++lane.attempt;
                lane.sent = 0;
            }
            return false;
        }
        note_growth(streams_[stream], (words.size() - 10) / 4, text.size());
    }
    return true;
}

/// Has Redis drop the oldest of a stream that is over its bounds, behind what was just sent to it.
void Inlet::note_growth(Stream& stream, std::size_t entries, std::size_t bytes) {
    const cluster::StreamBounds bounds = options_.bounds.share(streams_.size());
    if (!stream.growth.add(entries, bytes, bounds)) return;
    const std::string entries_text = std::to_string(bounds.entries);
    const std::string bytes_text = std::to_string(bounds.bytes);
    const std::string looked = stream.key + ":looked";
    const std::string dropped = stream.key + ":dropped";
    commands_.send({"EVALSHA", trim_.sha(), "3", stream.key, looked, dropped, entries_text, bytes_text},
                   [this, &stream, alive = std::weak_ptr<char>(alive_)](const redis::Reply* reply) {
                       if (alive.expired() || reply == nullptr) return;
                       if (reply->is_error()) return commands_.note_refusal(*reply);
                       if (reply->items.empty()) return stream.growth.again();  // another has looked just now
                       if (reply->items[0].to_integer() > 0) {
                           stats_.dropped += static_cast<std::uint64_t>(reply->items[0].to_integer());
                       }
                   });
}

void Inlet::on_answer(std::uint64_t generation, std::size_t index, std::uint64_t attempt, std::uint64_t number,
                      std::size_t stream, const redis::Reply* reply) {
    if (generation != generation_ || reply == nullptr) return;
    Lane& lane = *lanes_[index];
    if (attempt != lane.attempt || lane.state != State::reading) return;
    if (reply->is_error() || !reply->is_array() || reply->items.size() != 4) return on_refused(lane, *reply);
    if (lane.batches.empty() || lane.batches.front()->number != number) return;  // answers come in order
    Batch& batch = *lane.batches.front();
    const auto written = static_cast<std::uint64_t>(reply->items[0].to_integer());
    stats_.emitted += written;
    const auto first = cluster::StreamId::parse(reply->items[1].text);
    const auto last = cluster::StreamId::parse(reply->items[2].text);
    if (first && last && first->ms == last->ms && last->seq - first->seq == written - 1)
        batch.ids[stream].first = first;
    const std::int64_t passed = reply->items[3].to_integer();
    if (stream == 0 || passed < batch.passed) batch.passed = passed;
    if (--batch.due == 0) finish_front(lane);
}

void Inlet::on_refused(Lane& lane, const redis::Reply& reply) {
    ++lane.attempt;
    stats_.batches_again += lane.sent;
    lane.sent = 0;
    if (reply.is_error("FENCED")) {
        ++stats_.fenced;
        log::warn("inlet", "fenced", {{"partition", lane.field}, {"reason", reply.text}});
        lane.state = State::fenced;
        lane.fenced_at = loop_.now();
        return retry_soon(retake_pause);
    }
    if (reply.is_error("GAP")) return restart("Redis has an older offset than it had");
    if (reply.is_error("NOSCRIPT")) load_scripts();
    if (loop_.now() - complained_at_ >= complaint_pause) {
        complained_at_ = loop_.now();
        log::error("inlet", "redis_refused", {{"partition", lane.field}, {"reason", reply.text}});
    }
    retry_soon(retry_pause);
}

void Inlet::finish_front(Lane& lane) {
    std::unique_ptr<Batch> batch = std::move(lane.batches.front());
    lane.batches.pop_front();
    --lane.sent;
    lane.done = batch->to;
    held_ -= batch->held;
    const base::Millis now = loop_.wall_clock();
    for (Note& note : batch->notes) {
        std::optional<cluster::StreamId> first;
        if (note.outcome != Outcome::dead_letter) {
            if (note.offset < batch->passed) {
                note.outcome = Outcome::repeat;
                ++stats_.repeats;
            } else if (note.entries == 0) {
                note.outcome = Outcome::nothing;
                ++stats_.nothing;
            } else {
                note.outcome = Outcome::written;
                ++stats_.written;
                auto& id = batch->ids[note.stream].first;
                first = id;
                if (id) id->seq += note.entries;
                if (note.time_ms >= 0) latency_.add(now - note.time_ms);
            }
        }
        ring_.add(lane.trace, note, now, first);
    }
    if (spare_.size() < max_spare_batches) {
        batch->clear();
        spare_.push_back(std::move(batch));
    }
    set_pressure();
}

// --- asked for ------------------------------------------------------------------------------------------------------

std::vector<PartitionView> Inlet::partitions() const {
    std::vector<PartitionView> views;
    for (const auto& lane : lanes_) {
        PartitionView view;
        view.topic = lane->partition.topic;
        view.number = lane->partition.number;
        if (lane->has_begun) view.next = lane->done;
        if (consumer_ != nullptr) view.end = consumer_->high_watermark(lane->partition);
        for (const auto& batch : lane->batches) view.in_flight += batch->notes.size();
        if (view.end >= 0 && view.next >= 0) {
            const std::int64_t read = lane->batches.empty() ? std::max(lane->done, lane->read_to) : lane->done;
            view.lag = std::max<std::int64_t>(view.end - read, 0);
        }
        const bool waits = !lane->batches.empty() && lane->batches.front()->waits != 0;
        view.state = state_name(waits, lane->state == State::fenced, lane->state == State::reading);
        views.push_back(view);
    }
    std::ranges::sort(views, [](const PartitionView& a, const PartitionView& b) {
        return std::pair(a.topic, a.number) < std::pair(b.topic, b.number);
    });
    return views;
}

std::optional<Note> Inlet::in_flight(std::string_view topic, std::int32_t partition, std::int64_t offset) const {
    for (const auto& lane : lanes_) {
        if (lane->partition.number != partition || lane->partition.topic != topic) continue;
        for (const auto& batch : lane->batches) {
            const auto found = std::ranges::find(batch->notes, offset, &Note::offset);
            if (found != batch->notes.end()) return *found;
        }
    }
    return std::nullopt;
}

std::optional<std::int64_t> Inlet::next_of(std::string_view topic, std::int32_t partition) const {
    for (const auto& lane : lanes_) {
        if (lane->partition.topic == topic && lane->partition.number == partition && lane->has_begun) {
            return lane->done;
        }
    }
    return std::nullopt;
}

void Inlet::replay(const kafka::Record& record, const std::string& name, bool again,
                   std::function<void(Result<std::uint64_t>)> done) {
    const routes::TopicRoute* const route = routes_ == nullptr ? nullptr : routes_->topic(record.topic);
    if (route == nullptr) {
        return done(fail(Errc::not_found, "no route for the topic " + std::string(record.topic)));
    }
    Batch batch;
    batch_ = &batch;
    record_entries_ = 0;
    Poison kind = Poison::malformed;
    const auto became = become_entries(*route, record, kind);
    batch_ = nullptr;
    if (!became) return done(tl::unexpected(became.error()));
    // A step for each stream that gets some.
    struct Sum {
        std::size_t due = 0;
        std::uint64_t entries = 0;
        bool is_failed = false;
        std::string reason;
    };
    auto sum = std::make_shared<Sum>();
    auto finish = std::make_shared<std::function<void(Result<std::uint64_t>)>>(std::move(done));
    const std::string_view text = batch.text;
    for (std::size_t stream = 0; stream < streams_.size(); ++stream) {
        const bool has_some =
            std::ranges::any_of(batch.entries, [&](const Entry& entry) { return entry.stream == stream; });
        if (!has_some && stream != 0) continue;  // the first one's set has all names
        const std::string set = "sio:replayed:{" + streams_[stream].key + "}";
        std::vector<std::string_view> words = {"EVALSHA", replay_.sha(),       "2", set, streams_[stream].key,
                                               name,      again ? "again" : ""};
        for (const Entry& entry : batch.entries) {
            if (entry.stream != stream) continue;
            words.push_back(text.substr(entry.nsp_at, entry.data_at - entry.nsp_at));
            words.emplace_back(&entry.type, 1);
            words.push_back(text.substr(entry.data_at, entry.end - entry.data_at));
        }
        ++sum->due;
        const bool is_sent = commands_.send(words, [sum, finish](const redis::Reply* reply) {
            if (reply == nullptr || reply->is_error()) {
                sum->is_failed = true;
                sum->reason = reply == nullptr ? "Redis does not answer" : std::string(reply->text);
            } else if (reply->to_integer() < 0) {
                sum->is_failed = true;
                sum->reason = "it has been replayed; --again does it once more";
            } else {
                sum->entries += static_cast<std::uint64_t>(reply->to_integer());
            }
            if (--sum->due != 0) return;
            if (sum->is_failed) return (*finish)(fail(Errc::unavailable, sum->reason));
            (*finish)(sum->entries);
        });
        if (!is_sent) {
            --sum->due;
            if (sum->due == 0) return (*finish)(fail(Errc::unavailable, "Redis is away"));
            sum->is_failed = true;
            sum->reason = "Redis is away";
        }
    }
}

}  // namespace sio::bridge
