#include "gateway/cluster.h"

#include <sys/random.h>

#include <algorithm>
#include <cstdlib>

#include "base/bytes.h"
#include "base/json.h"
#include "base/log.h"
#include "cluster/names.h"
#include "gateway/cluster_parts.h"

namespace sio::gateway {

using cluster::Outgoing;
using redis::Reply;

namespace {

constexpr Millis tick_interval = 1'000;
constexpr Millis block_time = 1'000;
constexpr Millis session_refresh = 30'000;
constexpr std::size_t refreshed_per_turn = 50;  // sessions
constexpr Millis starting_time = 1'000;         // for which clients wait for Redis when this process has just started
constexpr std::uint64_t gap_check_ticks = 3;
constexpr Millis complaint_pause = 30'000;
constexpr const char* dropped_suffix = ":dropped";  // of the key that keeps where the stream began then
constexpr std::size_t entry_overhead = 64;          // bytes of an entry beside its longest field, about
constexpr std::string_view read_count = "500";
constexpr std::size_t max_seen = 10'000;  // nodes whose numbers are remembered

redis::ConnectionOptions named(const std::string& node, std::string_view what) {
    redis::ConnectionOptions options;
    options.name = "sio-gateway:" + node + ':' + std::string(what);
    std::ranges::replace(options.name, ' ', '_');
    return options;
}

std::size_t bytes_of(const Reply& fields) noexcept {
    std::size_t sum = 0;
    for (const Reply& word : fields.items) sum += word.text.size();
    return sum;
}

bool is_no_such_key(const Reply& error) noexcept { return error.is_error() && error.text == "ERR no such key"; }

}  // namespace

std::string random_hex() {
    std::uint64_t number = 0;
    if (getrandom(&number, sizeof number, 0) != static_cast<ssize_t>(sizeof number)) std::abort();
    static constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    for (unsigned shift = 0; shift < 64; shift += 4) text += digits[(number >> shift) & 15U];
    return text;
}

struct Cluster::Tick final : base::Timer {
    explicit Tick(Cluster& c) : cluster(c) {}
    Cluster& cluster;

private:
    void expire(Millis now) override {
        cluster.on_tick();
        cluster.loop_.timers().arm(*this, now + tick_interval);
    }
};

struct Cluster::SessionTimer final : base::Timer {
    explicit SessionTimer(Cluster& c) : cluster(c) {}
    Cluster& cluster;

private:
    void expire(Millis) override { cluster.on_session_timer(); }
};

struct Cluster::SweepTimer final : base::Timer {
    explicit SweepTimer(Cluster& c) : cluster(c) {}
    Cluster& cluster;

private:
    void expire(Millis) override { cluster.on_sweep_timer(); }
};

Cluster::Cluster(net::Loop& loop, Hub& hub, ClusterOptions options)
    : loop_(loop),
      hub_(hub),
      options_(std::move(options)),
      commands_(loop, options_.redis, named(options_.node, "commands"), *this),
      reader_(loop, options_.redis, named(options_.node, "reader"), *this),
      subscriber_(loop, options_.redis, named(options_.node, "subscriber"), *this),
      node_uid_(random_hex()),
      owner_text_(cluster::owner_text(node_uid_)),
      tick_(std::make_unique<Tick>(*this)),
      session_timer_(std::make_unique<SessionTimer>(*this)),
      sweep_timer_(std::make_unique<SweepTimer>(*this)),
      incoming_timer_(std::make_unique<Later>(*this, &Cluster::answer_requests)),
      counting_timer_(std::make_unique<Later>(*this, &Cluster::send_counts)),
      held_timer_(std::make_unique<Later>(*this, &Cluster::take_held)) {
    for (std::string& key : cluster::streams_to_read(options_.stream, options_.stream_count)) {
        stream_index_.emplace(key, streams_.size());
        streams_.emplace_back().key = std::move(key);
    }
}

Cluster::~Cluster() = default;

void Cluster::start() {
    started_ = loop_.wall_clock();
    away_since_ = loop_.now();
    commands_.start();
    reader_.start();
    subscriber_.start();
    loop_.timers().arm(*tick_, loop_.now() + tick_interval);
}

std::string Cluster::trouble() const {
    for (const redis::Connection* connection : {&commands_, &reader_, &subscriber_}) {
        if (connection->is_up()) continue;
        return connection->down_reason().empty() ? "connecting to " + options_.redis.to_string()
                                                 : connection->down_reason();
    }
    for (const std::string& refusal : refused_) {
        if (!refusal.empty()) return refusal;
    }
    return live_ ? std::string(refusal()) : "reading what was missed";
}

std::string_view Cluster::refusal() const noexcept {
    for (const redis::Connection* connection : {&commands_, &reader_, &subscriber_}) {
        if (!connection->refusal().empty()) return connection->refusal();
    }
    return {};
}

std::uint64_t Cluster::refusals() const noexcept {
    return commands_.stats().refused + reader_.stats().refused + subscriber_.stats().refused;
}

Cluster::Stream* Cluster::stream_of(std::string_view nsp) {
    const auto found = stream_index_.find(cluster::stream_for(options_.stream, options_.stream_count, nsp));
    return found == stream_index_.end() ? nullptr : &streams_[found->second];
}
const Cluster::Stream* Cluster::stream_of(std::string_view nsp) const {
    return const_cast<Cluster*>(this)->stream_of(nsp);
}

std::size_t Cluster::stream_of_namespace(std::string_view nsp) const {
    const Stream* stream = stream_of(nsp);
    return stream == nullptr ? 0 : static_cast<std::size_t>(stream - streams_.data());
}

std::uint64_t Cluster::last_early(std::string_view nsp) const {
    const Stream* stream = stream_of(nsp);
    return stream == nullptr ? 0 : stream->last_early;
}

bool Cluster::is_filling() const noexcept {
    return std::ranges::any_of(streams_, [](const Stream& stream) { return stream.fill == Fill::under_way; });
}

Position Cluster::position(std::string_view nsp) const {
    const Stream* stream = stream_of(nsp);
    if (stream != nullptr && stream->last) return *stream->last;
    return {static_cast<std::uint64_t>(loop_.wall_clock()), 0};
}

bool Cluster::is_starting() const noexcept {
    return !tails_known_ && !is_refused(Need::tails) &&
           (reader_.is_up() || (!start_failed_ && loop_.now() - away_since_ < starting_time));
}

// --- coming and going -----------------------------------------------------------------------------------------------

void Cluster::on_up(redis::Connection& connection) {
    if (&connection == &commands_) {
        // What an old connection has sent may still wait in a server that was frozen: it must not come after the check.
        if (last_client_id_ != 0) {
            const auto ignore = [](const Reply*) {};  // it has ended by itself, mostly
            commands_.send({"CLIENT", "KILL", "ID", std::to_string(last_client_id_)}, ignore);
        }
        last_client_id_ = commands_.client_id();
        load_scripts();
        if (on_commands_) on_commands_(true);
        for (std::size_t i = 0; i < streams_.size(); ++i) {
            fill_on(i);
            want_sweep(streams_[i]);
        }
        go_on_resuming();
    } else if (&connection == &subscriber_) {
        subscribe();
    } else {
        reading_ = false;
        if (tails_known_) {
            for (std::size_t i = 0; i < streams_.size(); ++i) check_gap(i);
            read_on();
        } else {
            find_tails();
        }
    }
    catch_up();
}

/// Subscribes to all channels. Without them the other half of the cluster would not be seen.
void Cluster::subscribe() {
    granted(Need::subscribe);
    for (const auto& [nsp, uid] : uids_) subscribe_to(nsp, uid);
    subscriber_.send({"SUBSCRIBE", options_.session_prefix + "taken", nodes_channel()}, [this](const Reply* reply) {
        if (reply == nullptr) return;
        if (reply->is_error()) return refused(Need::subscribe, *reply);
        if (is_refused(Need::subscribe)) return;  // one of those before
        is_subscribed_ = true;
        say_hello(true);
        catch_up();
    });
}

void Cluster::subscribe_to(std::string_view nsp, std::string_view uid) {
    const auto on_reply = [this](const Reply* reply) {
        if (reply != nullptr && reply->is_error()) refused(Need::subscribe, *reply);
    };
    subscriber_.send({"SUBSCRIBE", cluster::public_channel(options_.channel_prefix, nsp),
                      cluster::private_channel(options_.channel_prefix, nsp, uid)},
                     on_reply);
    subscriber_.send({"PSUBSCRIBE", cluster::classic_pattern(options_.channel_prefix, nsp),
                      cluster::classic_request_pattern(options_.channel_prefix, nsp)},
                     on_reply);
}

/// Redis has refused what this gateway cannot be a member without: it is none until that is granted.
void Cluster::refused(Need need, const Reply& reply) {
    static constexpr std::string_view words[] = {"subscribe to its channels", "find the end of the stream",
                                                 "see the end of the stream", "read the stream", "write to the stream"};
    std::string& text = refused_[static_cast<std::size_t>(need)];
    const bool is_new = text.empty();
    text = "cannot " + std::string(words[static_cast<std::size_t>(need)]) + ": " + std::string(reply.text);
    if (need == Need::subscribe) is_subscribed_ = false;
    if (need == Need::tails && !tails_known_) hub_.release_held();
    if (is_new && !reply.is_denial()) {  // of denials the connection has told
        log::error("redis", "cluster_refused",
                   {{"reason", text}, {"remedy", "see what Redis says of itself: INFO, its log"}});
    }
    if (live_) log::warn("redis", "cluster_away", {{"reason", text}});
    go_away();
}

void Cluster::try_again() {
    if (subscriber_.is_up() && is_refused(Need::subscribe)) subscribe();
    if (reader_.is_up() && is_refused(Need::tails)) {
        granted(Need::tails);
        find_tails();
    }
    if (is_refused(Need::read)) read_on();
    if (are_scripts_missed_) load_scripts();
    if (is_refused(Need::write) && commands_.is_up()) write_again();
    if (!live_) catch_up();
}

void Cluster::on_down(redis::Connection& connection, std::string_view reason) {
    start_failed_ = true;
    if (!tails_known_) hub_.release_held();
    if (&connection == &reader_) {
        reading_ = false;
        held_.clear();  // read again
        held_timer_->disarm();
    }
    if (&connection == &subscriber_) is_subscribed_ = false;
    if (&connection == &commands_) {
        away_since_ = loop_.now();
        if (on_commands_) on_commands_(false);
    }
    if (live_) log::warn("redis", "cluster_away", {{"reason", reason}});
    go_away();
}

void Cluster::go_away() {
    catching_up_ = false;
    if (!std::exchange(live_, false)) return;
    // Whether these have reached the stream is not known; our own clients need not wait until it is.
    // In the order in which they were emitted. Copies: a disconnect among them may lead to more, and to a full spool.
    std::vector<Own> late;
    for (Stream& stream : streams_) {
        for (Own& own : stream.own) {
            if (!std::exchange(own.is_delivered, true)) late.push_back(own);
        }
    }
    std::ranges::sort(late, {}, &Own::number);
    for (const Own& own : late) deliver_here(own);
    for (auto& [id, request] : requests_) loop_.timers().arm(*request, loop_.now());
    fail_counts();
}

// Everything of ours that the stream has must be read before the rest is sent again: then the numbers tell.
void Cluster::catch_up() {
    if (!tails_known_ || live_ || catching_up_ || !is_connected()) return;
    if (is_refused(Need::read) || is_refused(Need::write)) return;
    catching_up_ = true;
    granted(Need::end);
    for (std::size_t i = 0; i < streams_.size(); ++i) {
        commands_.send({"XREVRANGE", streams_[i].key, "+", "-", "COUNT", "1"}, [this, i](const Reply* reply) {
            if (reply == nullptr || !catching_up_) return;
            if (reply->is_error()) return refused(Need::end, *reply);
            streams_[i].target = {};
            if (reply->is_array() && !reply->items.empty() && !reply->items[0].items.empty()) {
                if (const auto id = Position::parse(reply->items[0].items[0].text)) streams_[i].target = *id;
            }
            if (i + 1 == streams_.size()) go_live();
        });
    }
}

void Cluster::go_live() {
    if (!catching_up_) return;
    for (const Stream& stream : streams_) {
        if (!stream.last || *stream.last < stream.target) return;  // asked again after the next read
    }
    catching_up_ = false;
    live_ = true;
    log::info("redis", "cluster_live", {{"stream", options_.stream}, {"spooled", own_count_}});
    for (Stream& stream : streams_) {
        for (std::size_t i = 0; live_ && i < stream.own.size(); ++i) write(stream.own[i]);
    }
    refresh_sessions();
}

void Cluster::on_tick() {
    ++ticks_;
    if (live_ && loop_.now() - last_refresh_ >= session_refresh) refresh_sessions();
    on_session_timer();
    try_again();
    if (!is_starting()) hub_.release_held();
    for (Stream& stream : streams_) {
        if (live_) note_growth(stream, 0, 0);
    }
    if (ticks_ % 2 == 0) say_hello(false);
    if (live_ && ticks_ % 2 == 1) look_for_classic_servers();
    forget_silent_nodes();
    finished_.clear();
}

void Cluster::on_session_timer() {
    write_sessions(stale_, refreshed_per_turn);
    if (!stale_.empty()) loop_.timers().arm(*session_timer_, loop_.now() + 1);
    tell_lost_fetches();
}

// --- reading --------------------------------------------------------------------------------------------------------

void Cluster::find_tails() {
    redis_ahead_ = loop_.wall_clock() - loop_.now();
    reader_.send({"TIME"}, [this](const Reply* reply) {
        if (reply == nullptr || reply->items.size() != 2) return;
        redis_ahead_ = reply->items[0].to_integer() * 1000 + reply->items[1].to_integer() / 1000 - loop_.now();
    });
    for (std::size_t i = 0; i < streams_.size(); ++i) {
        ask_dropped(i, reader_);
        reader_.send({"XINFO", "STREAM", streams_[i].key}, [this, i](const Reply* reply) { take_tail(i, reply); });
    }
}

/// What XINFO STREAM says. Redis before 7.0 does not count what was added.
struct Cluster::Info {
    explicit Info(const Reply& reply)
        : length(number_field(reply, "length")),
          last(Position::parse(text_field(reply, "last-generated-id")).value_or(Position{})) {
        if (const Reply* count = field(reply, "entries-added")) {
            added = static_cast<std::uint64_t>(count->to_integer());
            trimmed = *added - std::min(*added, length);
        }
        if (length > 0) first = Position::parse(text_field(reply, "recorded-first-entry-id"));
    }
    std::uint64_t length;
    Position last;
    std::optional<std::uint64_t> added;
    std::uint64_t trimmed = 0;
    std::optional<Position> first;
};

// The end of the stream is asked for once: reading from `$` again and again would lose what comes in between.
void Cluster::take_tail(std::size_t index, const Reply* reply) {
    if (reply == nullptr || is_refused(Need::tails)) return;
    if (reply->is_error() && !is_no_such_key(*reply)) return refused(Need::tails, *reply);
    Stream& stream = streams_[index];
    stream.last = Position{};
    stream.read = 0;
    if (!reply->is_error()) {
        const Info info(*reply);
        stream.last = info.last;
        stream.read = info.added.value_or(0);
        stream.first = info.first;
        stream.trimmed = info.trimmed;
        stream.highest = info.last;
        stream.begins_after = std::max(beginning(*reply), stream.dropped);
    }
    hub_.log(index).begin_at(*stream.last, loop_.now());
    if (index + 1 < streams_.size()) return;
    tails_known_ = true;
    const Millis ahead = redis_ahead_ - (loop_.wall_clock() - loop_.now());
    for (std::size_t i = 0; i < streams_.size(); ++i) {
        begin_fill(i);
        hub_.place_sockets(i, *streams_[i].last, ahead);
    }
    hub_.release_held();
    go_on_resuming();
    read_on();
    catch_up();
}

void Cluster::check_gap(std::size_t index) {
    reader_.send({"XINFO", "STREAM", streams_[index].key}, [this, index](const Reply* reply) {
        if (reply == nullptr || !streams_[index].last) return;
        if (!reply->is_error()) return check_info(index, Info(*reply));
        const Stream& stream = streams_[index];
        if (!is_no_such_key(*reply) || *stream.last == Position{}) return;
        lose_stream(index, "was deleted or evicted");
        read_anew(index);
    });
}

void Cluster::check_info(std::size_t index, const Info& info) {
    Stream& stream = streams_[index];
    const bool is_at_end = info.last == *stream.last;
    const bool has_gone_back = info.last < *stream.last || (info.added && *info.added < stream.read) ||
                               (info.first && stream.first && *info.first < *stream.first) ||
                               (info.added && info.trimmed < stream.trimmed);
    const auto first = std::exchange(stream.first, info.first ? info.first : stream.first);
    const std::uint64_t trimmed = std::exchange(stream.trimmed, info.trimmed);
    if (info.trimmed > trimmed) ask_dropped(index, reader_);
    if (has_gone_back) {
        // An earlier state of the same stream (a replica that did not have all took over) begins where ours did. What
        // of it is still there has been read, and what was behind it will not come again.
        const bool is_same = first && info.first && *info.first <= *first && info.trimmed <= trimmed &&
                             (info.trimmed > 0 || trimmed == 0) && (info.trimmed != trimmed || *info.first == *first);
        lose_stream(index, is_same ? "is older than what was read of it" : "was replaced by another");
        if (is_same) {
            stream.last = std::min(*stream.last, info.last);
            ++reads_void_;
        } else if (!info.first || *info.first <= *stream.last) {
            return read_anew(index);
        }
        stream.read = info.added.value_or(0);
        stream.is_counted = info.last == *stream.last;
        return;
    }
    if (!info.added) return;
    // At the end everything that was not read is missing; before it, what was trimmed beyond what was read.
    const std::uint64_t lost_through = is_at_end ? *info.added : info.trimmed;
    const std::uint64_t missed = stream.is_counted && lost_through > stream.read ? lost_through - stream.read : 0;
    if (is_at_end) stream.read = *info.added;
    stream.is_counted = is_at_end || (stream.is_counted && missed == 0);
    if (missed == 0) return;
    ++stats_.gaps;
    stats_.entries_missed += missed;
    gap_at_ = loop_.now();
    gap_ = std::to_string(stats_.entries_missed) + " entries were trimmed before they were read";
    log::error("redis", "stream_gap",
               {{"stream", stream.key},
                {"before", stream.last->text()},
                {"entries", missed},
                {"remedy", "the stream is trimmed faster than this gateway reads: raise maxLen of the Node servers"}});
    hub_.log(index).lose_through(*stream.last, loop_.now());
}

/// The stream is not the one that was read. Whether all of that had been read is not known.
void Cluster::lose_stream(std::size_t index, std::string_view how) {
    const Stream& stream = streams_[index];
    ++stats_.gaps;
    ++stats_.streams_replaced;
    gap_at_ = loop_.now();
    gap_ = "the stream " + stream.key + ' ' + std::string(how);
    log::error("redis", "stream_replaced",
               {{"stream", stream.key},
                {"what", how},
                {"read_through", stream.last->text()},
                {"remedy",
                 "what was not read of it is lost: keep others from deleting it, give Redis a maxmemory-policy of "
                 "noeviction or volatile-*, and let it keep its data over a restart"}});
    hub_.log(index).lose_through(*stream.last, loop_.now());
}

/// Reads the stream that is there now from its beginning. What has been taken of it already is not taken again.
void Cluster::read_anew(std::size_t index) {
    Stream& stream = streams_[index];
    stream.had = trace_.ids(static_cast<std::uint32_t>(index));
    std::ranges::sort(stream.had);
    stream.last = Position{};
    stream.read = 0;
    stream.is_counted = true;
    stream.first.reset();
    stream.trimmed = 0;
    stream.begins_after = stream.dropped = {};
    ++reads_void_;
}

/// An entry has a lower place than one that was read before: all that is remembered under such places is of a stream
/// that is no more.
void Cluster::step_back(std::size_t index, Position id) {
    hub_.log(index).begin_at(id.previous(), loop_.now());
    hub_.move_back(index, id.previous());
    if (streams_[index].fill == Fill::under_way) end_fill(index, "replaced");
}

void Cluster::read_on() {
    if (reading_ || !held_.empty() || !reader_.is_up() || !tails_known_) return;
    std::vector<std::string> ids;
    std::vector<std::string_view> args{"XREAD", "COUNT", read_count, "BLOCK", "1000", "STREAMS"};
    for (const Stream& stream : streams_) args.emplace_back(stream.key);
    for (const Stream& stream : streams_) ids.push_back(stream.last->text());
    for (const std::string& id : ids) args.emplace_back(id);
    reading_ = reader_.send_blocking(args, block_time, [this, voided = reads_void_](const Reply* reply) {
        reading_ = false;
        if (reply == nullptr) return;
        if (reply->is_error()) return refused(Need::read, *reply);
        granted(Need::read);
        if (voided != reads_void_) return read_on();
        take_entries(*reply);
        if (held_.empty()) end_read();
    });
}

void Cluster::end_read() {
    if (catching_up_) go_live();
    for (Stream& stream : streams_) wake_ahead(stream);
    if (ticks_ - gap_tick_ >= gap_check_ticks) {
        gap_tick_ = ticks_;
        for (std::size_t i = 0; i < streams_.size(); ++i) check_gap(i);
    }
    read_on();
}

void Cluster::take_entries(const Reply& reply) {
    if (!reply.is_array()) return;  // nothing came in time
    const std::uint64_t before = hub_.stats().deliveries;
    for (const Reply& one : reply.items) {
        if (one.items.size() != 2) continue;
        const auto found = stream_index_.find(std::string(one.items[0].text));
        if (found == stream_index_.end()) continue;
        for (const Reply& entry : one.items[1].items) {
            const auto id = entry.items.size() == 2 ? Position::parse(entry.items[0].text) : std::nullopt;
            if (!id) continue;
            if (!held_.empty() || hub_.stats().deliveries - before >= Hub::deliveries_per_turn) {
                held_.push_back({found->second, *id});
                for (const Reply& word : entry.items[1].items) held_.back().words.emplace_back(word.text);
                continue;
            }
            take_read(found->second, *id, entry.items[1]);
        }
    }
    if (!held_.empty()) loop_.timers().arm(*held_timer_, loop_.now());
}

/// The next entry of a stream.
void Cluster::take_read(std::size_t index, Position id, const Reply& fields) {
    Stream& stream = streams_[index];
    stream.last = id;
    ++stream.read;
    ++stats_.entries_read;
    note_growth(stream, 1, bytes_of(fields));
    if (!stream.had.empty()) {
        if (std::ranges::binary_search(stream.had, id)) return;
        if (id > stream.had.back()) stream.had = {};
    }
    if (id < stream.highest) step_back(index, id);
    stream.highest = id;
    take_entry(index, id, fields);
}

/// What many clients are to get is delivered over several turns; what was read with it waits, and so does the next
/// read.
void Cluster::take_held() {
    const std::uint64_t before = hub_.stats().deliveries;
    while (!held_.empty() && hub_.stats().deliveries - before < Hub::deliveries_per_turn) {
        const Held held = std::move(held_.front());
        held_.pop_front();
        std::vector<Reply> words;
        for (const std::string& word : held.words) words.push_back({Reply::Kind::bulk, word, 0, {}});
        take_read(held.stream, held.id, {Reply::Kind::array, {}, 0, words});
    }
    if (held_.empty()) {
        end_read();
    } else {
        loop_.timers().arm(*held_timer_, loop_.now());
    }
}

void Cluster::take_entry(std::size_t stream, Position id, const Reply& fields) {
    TraceRing::Entry& traced = trace_.add(id, static_cast<std::uint32_t>(stream), loop_.wall_clock());
    const std::string_view uid = text_field(fields, "uid");
    const std::string_view nsp = text_field(fields, "nsp");
    const std::string_view number = text_field(fields, "n");
    bool is_done = false;
    if (!number.empty()) {
        const auto n = base::parse_decimal(number);
        if (!n) return;
        const std::string_view node = text_field(fields, "node");
        Stream& from = streams_[stream];
        auto known = from.seen.find(node);
        if (known == from.seen.end()) {
            if (from.seen.size() > max_seen) from.seen.clear();
            known = from.seen.emplace(node, 0).first;
        }
        std::uint64_t& last = known->second;
        if (*n <= last) {
            ++stats_.entries_repeated;
            return;
        }
        last = *n;
        if (node == node_uid_) {
            while (!from.own.empty() && from.own.front().number <= *n) {
                if (from.own.front().number == *n) is_done = from.own.front().is_delivered;
                forget_own(from);
            }
        }
    }
    if (!hub_.serves(nsp)) return;
    const auto message = decoder_.stream_entry(uid, nsp, text_field(fields, "type"), text_field(fields, "data"));
    if (!message) {
        ++stats_.entries_malformed;
        log::warn("redis", "entry_malformed",
                  {{"id", id.text()}, {"uid", uid}, {"namespace", nsp}, {"reason", message.error().what}});
        return;
    }
    traced.is_delivered = is_done;
    apply(**message, id, is_done, &traced);
}

void Cluster::apply(const cluster::Message& message, std::optional<Position> id, bool is_done,
                    TraceRing::Entry* traced) {
    using cluster::Type;
    selection_.rooms.assign(message.rooms.begin(), message.rooms.end());
    selection_.except.assign(message.except.begin(), message.except.end());
    const auto found = hub_.namespaces().find(message.nsp);
    if (found == hub_.namespaces().end()) {
        // Nobody of it is here; the log has it for those who may come.
        if (id && message.type == Type::broadcast && !message.has_request_id) {
            const Event event{message.event, message.arguments, message.attachments};
            hub_.deliver(message.nsp, selection_, event, message.flags.is_volatile || message.packet_has_id, *id,
                         is_done);
        }
        return;
    }
    Namespace& nsp = *found->second;
    if (cluster::is_response(message.type)) {
        on_response(message);
        return;
    }
    switch (message.type) {
        case Type::broadcast: {
            if (message.has_request_id) {
                on_request(message);
                return;
            }
            const Event event{message.event, message.arguments, message.attachments};
            if (id) {
                const Reached reached = hub_.deliver(nsp.name, selection_, event,
                                                     message.flags.is_volatile || message.packet_has_id, *id, is_done);
                if (traced != nullptr) note(*traced, nsp, reached);
            } else {
                hub_.emit(nsp, selection_, event, message.flags.is_volatile, true);
            }
            return;
        }
        case Type::sockets_join:
        case Type::sockets_leave:
        case Type::disconnect_sockets: {
            if (is_done) return;
            // By id: ending one may end others of the list.
            std::vector<Id> ids;
            for (const Socket* socket : hub_.select(nsp, selection_)) ids.push_back(socket->id);
            if (traced != nullptr) {
                traced->sockets = static_cast<std::uint32_t>(ids.size());
                traced->named = static_cast<std::uint32_t>(std::min(ids.size(), TraceRing::max_sids));
                std::copy_n(ids.begin(), traced->named, traced->sids.begin());
            }
            for (const Id& sid : ids) {
                Socket* socket = hub_.find_socket(nsp, sid);
                if (socket == nullptr) continue;
                if (message.type == Type::disconnect_sockets) {
                    hub_.disconnect(*socket, message.close);
                    continue;
                }
                for (const std::string& room : message.joined_rooms) {
                    if (message.type == Type::sockets_join) {
                        hub_.join(*socket, room);
                    } else {
                        hub_.leave(*socket, room);
                    }
                }
            }
            return;
        }
        case Type::fetch_sockets:
        case Type::server_side_emit: on_request(message); return;
        default: return;  // heartbeats of older members
    }
}

void Cluster::on_push(redis::Connection&, const Reply& push) {
    const auto& items = push.items;
    if (items.size() == 4 && items[0].text == "pmessage") {
        // The classic adapter and emitter. A map is one of ours, which has come as a message already.
        const std::string_view channel = items[2].text;
        const std::string_view bytes = items[3].text;
        const std::string requests = options_.channel_prefix + "-request#";
        if (channel.starts_with(requests) && channel.ends_with('#')) {
            const std::string_view nsp = channel.substr(requests.size(), channel.size() - requests.size() - 1);
            if (const auto request = decoder_.classic_request(bytes)) on_classic(**request, nsp);
            return;
        }
        if (bytes.empty() || (static_cast<unsigned char>(bytes[0]) & 0xF0U) != 0x90U) return;
        const auto message = decoder_.classic_broadcast(bytes);
        if (!message) {
            ++stats_.entries_malformed;
            log::warn("redis", "classic_malformed", {{"channel", channel}, {"reason", message.error().what}});
        } else if (items[1].text == cluster::classic_pattern(options_.channel_prefix, (*message)->nsp)) {
            apply(**message, std::nullopt, false);
        }
        return;
    }
    if (items.size() != 3 || items[0].text != "message") return;
    const std::string_view channel = items[1].text;
    const std::string_view bytes = items[2].text;
    if (channel == nodes_channel()) {
        hear_node(bytes);
        return;
    }
    if (channel.starts_with(options_.session_prefix)) {
        on_taken(bytes);
        return;
    }
    if (!bytes.empty() && (static_cast<unsigned char>(bytes[0]) & 0xF0U) == 0x90U) return;  // the classic adapter's
    const auto message = decoder_.payload(bytes);
    if (!message) {
        ++stats_.entries_malformed;
        log::warn("redis", "message_malformed", {{"channel", channel}, {"reason", message.error().what}});
        return;
    }
    const auto mine = uids_.find((*message)->nsp);
    if (mine == uids_.end() || mine->second == (*message)->uid) return;
    apply(**message, std::nullopt, false);
}

void Cluster::on_classic(const cluster::ClassicRequest& request, std::string_view nsp) {
    // Only emitters ask without an answer; servers of the classic adapter count their members, and this is none.
    using cluster::ClassicType;
    if (request.message == nullptr || (!request.message->uid.empty() && request.message->uid != cluster::emitter_uid)) {
        return;
    }
    if (request.type != ClassicType::remote_join && request.type != ClassicType::remote_leave &&
        request.type != ClassicType::remote_disconnect && request.type != ClassicType::server_side_emit) {
        return;
    }
    const auto found = hub_.namespaces().find(nsp);
    if (found == hub_.namespaces().end()) return;
    cluster::Message message = *request.message;
    message.nsp = nsp;
    apply(message, std::nullopt, false);
}

// --- writing --------------------------------------------------------------------------------------------------------

void Cluster::opened(Namespace& nsp) {
    nsp.uid = node_uid_.substr(0, node_in_uid) + random_hex().substr(node_in_uid);
    uids_.insert_or_assign(nsp.name, nsp.uid);
    if (subscriber_.is_up()) subscribe_to(nsp.name, nsp.uid);
}

void Cluster::closing(Namespace& nsp) {
    uids_.erase(nsp.name);
    if (!subscriber_.is_up()) return;
    subscriber_.send({"UNSUBSCRIBE", cluster::public_channel(options_.channel_prefix, nsp.name),
                      cluster::private_channel(options_.channel_prefix, nsp.name, nsp.uid)});
    subscriber_.send({"PUNSUBSCRIBE", cluster::classic_pattern(options_.channel_prefix, nsp.name),
                      cluster::classic_request_pattern(options_.channel_prefix, nsp.name)});
}

std::vector<std::string> Cluster::selection_rooms(const Selection& selection) {
    std::vector<std::string> rooms = selection.rooms;
    rooms.insert(rooms.end(), selection.users.begin(), selection.users.end());
    rooms.insert(rooms.end(), selection.sockets.begin(), selection.sockets.end());
    return rooms;
}

std::vector<std::string> Cluster::selection_except(const Selection& selection) {
    std::vector<std::string> except = selection.except;
    if (selection.except_socket != nullptr) except.emplace_back(selection.except_socket->id.view());
    return except;
}

std::optional<std::uint64_t> Cluster::broadcast(const Namespace& nsp, const Selection& selection, const Event& event,
                                                bool is_volatile) {
    return broadcast_in(nsp.name, selection, event, is_volatile);
}

std::optional<std::uint64_t> Cluster::broadcast_in(const std::string& nsp, const Selection& selection,
                                                   const Event& event, bool is_volatile) {
    if (is_volatile && !live_) return 0;  // nobody waits for these
    Own own;
    own.type = cluster::Type::broadcast;
    own.nsp = nsp;
    own.rooms = selection_rooms(selection);
    own.except = selection_except(selection);
    own.is_volatile = is_volatile;
    own.event = event.name;
    own.arguments = event.arguments;
    own.attachments.assign(event.attachments.begin(), event.attachments.end());
    own.is_delivered = !live_;
    const std::uint64_t number = next_number_;
    if (!live_) stream_of(nsp)->last_early = number;
    append(std::move(own));
    return live_ ? std::nullopt : std::optional(number);
}

void Cluster::change(const std::string& nsp, Change what, const Selection& selection, std::vector<std::string> rooms,
                     bool close) {
    Own own;
    own.type = what == Change::join    ? cluster::Type::sockets_join
               : what == Change::leave ? cluster::Type::sockets_leave
                                       : cluster::Type::disconnect_sockets;
    own.nsp = nsp;
    own.rooms = selection_rooms(selection);
    own.except = selection_except(selection);
    own.joined_rooms = std::move(rooms);
    own.close = close;
    own.is_delivered = !live_;
    if (!live_) deliver_here(own);
    append(std::move(own));
}

void Cluster::append(Own own) {
    own.number = next_number_++;
    own.bytes = sizeof(Own) + own.event.size() + own.arguments.size() + own.nsp.size();
    for (const auto* list : {&own.rooms, &own.except, &own.joined_rooms, &own.attachments}) {
        for (const std::string& one : *list) own.bytes += sizeof(std::string) + one.size();
    }
    own_bytes_ += own.bytes;
    ++own_count_;
    Stream& stream = *stream_of(own.nsp);
    stream.own.push_back(std::move(own));
    if (live_) write(stream.own.back());
    while (!live_ && own_bytes_ > options_.spool_bytes && own_count_ > 0) {
        ++stats_.spool_dropped;
        forget_own(*stream_of_oldest());
    }
}

Cluster::Stream* Cluster::stream_of_oldest() {
    Stream* oldest = nullptr;
    for (Stream& stream : streams_) {
        if (stream.own.empty()) continue;
        if (oldest == nullptr || stream.own.front().number < oldest->own.front().number) oldest = &stream;
    }
    return oldest;
}

void Cluster::forget_own(Stream& stream) {
    own_bytes_ -= stream.own.front().bytes;
    --own_count_;
    if (stream.own.front().number == stream.last_early) stream.last_early = 0;
    stream.own.pop_front();
}

void Cluster::write(Own& own) {
    const Stream* stream = stream_of(own.nsp);
    const auto uid = uids_.find(own.nsp);
    Outgoing out;
    out.type = own.type;
    out.rooms = own.rooms;
    out.except = own.except;
    out.flags.is_volatile = own.is_volatile;
    out.event = own.event;
    out.arguments = own.arguments;
    out.attachments = own.attachments;
    out.joined_rooms = own.joined_rooms;
    out.close = own.close;
    scratch_.clear();
    cluster::append_stream_data(scratch_, out);
    // Kept by age: a count would be used up by traffic that has nothing to do with the clients that are away.
    const std::string oldest = std::to_string(std::max<Millis>(0, loop_.wall_clock() - options_.retention));
    const std::string type = std::to_string(static_cast<int>(own.type));
    const std::string number = std::to_string(own.number);
    const std::string key =
        stream != nullptr ? stream->key : cluster::stream_for(options_.stream, options_.stream_count, own.nsp);
    const bool taken = commands_.send(
        {"XADD", key, "MINID", "~", oldest, "*", "uid", uid == uids_.end() ? std::string_view(node_uid_) : uid->second,
         "nsp", own.nsp, "type", type, "data", scratch_, "node", node_uid_, "n", number},
        [this](const Reply* reply) {
            if (reply == nullptr) return;
            if (reply->is_error()) return refused(Need::write, *reply);
            if (!is_refused(Need::write)) return;
            granted(Need::write);
            catch_up();
        });
    if (taken) {
        ++stats_.entries_written;
        if (Stream* grown = stream_of(own.nsp)) note_growth(*grown, 1, scratch_.size() + entry_overhead);
    } else {
        commands_.reconnect("too much waits for Redis");
    }
}

/// Has Redis measure the stream, and drop the oldest where it is over its bounds, each time that enough was read of it
/// or written to it. Every gateway sees all that grows, whoever writes it.
void Cluster::note_growth(Stream& stream, std::size_t entries, std::size_t bytes) {
    const cluster::StreamBounds bounds = options_.bounds.share(streams_.size());
    if (!stream.growth.add(entries, bytes, bounds)) return;
    const std::string entries_text = std::to_string(bounds.entries);
    const std::string bytes_text = std::to_string(bounds.bytes);
    const std::string looked = stream.key + ":looked";
    const std::string dropped = stream.key + dropped_suffix;
    commands_.send({"EVALSHA", scripts_.trim.sha(), "3", stream.key, looked, dropped, entries_text, bytes_text},
                   [this, index = static_cast<std::size_t>(&stream - streams_.data())](const Reply* reply) {
                       if (reply != nullptr) on_measured(index, *reply);
                   });
}

void Cluster::on_measured(std::size_t index, const Reply& reply) {
    if (reply.is_error("NOSCRIPT")) return miss_scripts();
    if (reply.is_error()) return commands_.note_refusal(reply);
    Stream& measured = streams_[index];
    if (reply.items.size() != 4) return measured.growth.again();  // another has looked just now; a tick goes on
    measured.entries = static_cast<std::uint64_t>(reply.items[1].to_integer());
    measured.bytes = static_cast<std::uint64_t>(reply.items[2].to_integer());
    stats_.stream_entries = stats_.stream_bytes = 0;
    for (const Stream& stream : streams_) {
        stats_.stream_entries += stream.entries;
        stats_.stream_bytes += stream.bytes;
    }
    const std::int64_t dropped = reply.items[0].to_integer();
    if (dropped <= 0) return;
    note_dropped(index, reply.items[3].text);
    stats_.entries_dropped += static_cast<std::uint64_t>(dropped);
    if (told_dropped_at_ && loop_.now() - *told_dropped_at_ < complaint_pause) return;
    told_dropped_at_ = loop_.now();
    log::warn("redis", "stream_full",
              {{"stream", measured.key},
               {"dropped", dropped},
               {"entries", measured.entries},
               {"bytes", measured.bytes},
               {"remedy",
                "clients that were away since before the oldest entry begin again: raise redis-stream-bytes and "
                "redis-stream-entries, or have less emitted"}});
}

/// What others had Redis drop. `connection` is the one on which what depends on it is asked next.
void Cluster::ask_dropped(std::size_t index, redis::Connection& connection) {
    const std::string key = streams_[index].key + dropped_suffix;
    connection.send({"GET", key}, [this, index](const Reply* reply) {
        if (reply != nullptr && !reply->is_error()) note_dropped(index, reply->text);
    });
}

/// What lies before `first` is not in the stream any more, and nobody may be told that he has it.
void Cluster::note_dropped(std::size_t index, std::string_view first) {
    const auto id = Position::parse(first);
    if (!id || id->previous() <= streams_[index].dropped) return;
    Stream& stream = streams_[index];
    stream.dropped = id->previous();
    stream.begins_after = std::max(stream.begins_after, stream.dropped);
    hub_.log(index).lose_source_through(stream.dropped);
}

/// Whether Redis takes entries again is seen by the oldest that waits.
void Cluster::write_again() {
    if (Stream* oldest = stream_of_oldest()) {
        write(oldest->own.front());
    } else {
        granted(Need::write);
    }
}

std::vector<std::string> Cluster::entry(const std::string& nsp, const std::vector<std::string>& rooms,
                                        const std::vector<std::string>& except, const Event& event,
                                        std::string& stream) {
    Outgoing out;
    out.type = cluster::Type::broadcast;
    out.rooms = rooms;
    out.except = except;
    out.event = event.name;
    out.arguments = event.arguments;
    out.attachments = event.attachments;
    std::string data;
    cluster::append_stream_data(data, out);
    stream = cluster::stream_for(options_.stream, options_.stream_count, nsp);
    return {"uid", std::string(cluster::emitter_uid), "nsp", nsp, "type", "3", "data", std::move(data)};
}

void Cluster::deliver_here(const Own& own) {
    const auto found = hub_.namespaces().find(own.nsp);
    if (found == hub_.namespaces().end()) return;
    Selection selection;
    selection.rooms = own.rooms;
    selection.except = own.except;
    if (own.type == cluster::Type::broadcast) {
        Stream& stream = *stream_of(own.nsp);
        stream.last_early = std::max(stream.last_early, own.number);
        hub_.emit_early(*found->second, selection, {own.event, own.arguments, own.attachments}, own.is_volatile,
                        own.number);
        return;
    }
    cluster::Message message;
    message.nsp = own.nsp;
    message.type = own.type;
    for (const std::string& room : own.rooms) message.rooms.add() = room;
    for (const std::string& room : own.except) message.except.add() = room;
    for (const std::string& room : own.joined_rooms) message.joined_rooms.add() = room;
    message.close = own.close;
    apply(message, std::nullopt, false);
}

void Cluster::publish(const std::string& channel, std::string_view uid, std::string_view nsp, const Outgoing& message) {
    scratch_.clear();
    cluster::append_payload(scratch_, uid, nsp, message);
    commands_.send({"PUBLISH", channel, scratch_});
}

}  // namespace sio::gateway
