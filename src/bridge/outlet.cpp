#include "bridge/outlet.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/bytes.h"
#include "base/json.h"
#include "base/log.h"

namespace sio::bridge {

namespace {

constexpr std::size_t max_page = 500;                            // entries asked for at a time
constexpr std::size_t max_reply_bytes = std::size_t{16} << 20U;  // of such a page; fewer are asked for when it is more
constexpr base::Millis block = 1'000;
constexpr base::Millis short_block = 20;          // while entries wait for a report, to be looked at again
constexpr base::Millis lease_margin = 500;        // the lease counts as over so long before Redis says so
constexpr base::Millis look_again_pause = 5'000;  // at a topic that was refused
constexpr base::Millis topic_patience = 60'000;   // for a topic that was refused; then its entries are dead letters
constexpr base::Millis memory = 60'000;           // of what was refused for good
constexpr base::Millis remake_pause = 20;         // of the producer
constexpr std::size_t window_share = 4;           // of those refused together are sent together next
constexpr std::size_t found_window = 64;          // once the one has been found
constexpr std::size_t max_topics = 1'024;         // remembered
constexpr base::Millis complaint_pause = 10'000;
constexpr std::size_t max_acks = 500;  // in one command

/// KEYS: the lease. ARGV: who asks, for how long in ms. Gives who has it now.
constexpr std::string_view lease_text = R"lua(
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return holder end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
)lua";

constexpr std::string_view release_text = R"lua(
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
)lua";

std::string random_suffix() {
    std::array<unsigned char, 8> bytes{};
    static_cast<void>(!getrandom(bytes.data(), bytes.size(), 0));
    return base::to_hex(bytes.data(), bytes.size());
}

redis::ConnectionOptions reader_options() {
    redis::ConnectionOptions options;
    options.name = "sio-bridge-out";
    options.max_reply_bytes = max_reply_bytes;
    return options;
}

/// A lifecycle entry as a record's value: what all have, and the members of its `data`.
std::string lifecycle_value(std::string_view kind, std::string_view nsp, std::string_view sid, std::string_view user,
                            std::string_view seq, std::string_view time, std::string_view node, std::string_view data) {
    std::string out = "{\"kind\":";
    json::append_string(out, kind);
    out += ",\"nsp\":";
    json::append_string(out, nsp);
    out += ",\"sid\":";
    json::append_string(out, sid);
    out += ",\"user\":";
    json::append_string(out, user);
    out.append(",\"seq\":").append(seq).append(",\"time\":").append(time).append(",\"node\":");
    json::append_string(out, node);
    for (json::Walker member{data}; member.next();) {
        if (member.key().empty()) break;
        out.append(",").append(member.key()).append(":").append(member.value());
    }
    return out += '}';
}

/// Why an entry is refused, as the header `sio-error` says it.
std::string_view word_of(Errc code) noexcept {
    switch (code) {
        case Errc::too_large: return to_string(Poison::too_large);
        case Errc::denied: return "denied";
        case Errc::not_found: return "no_topic";
        default: return "refused";
    }
}

constexpr std::string_view lone_placeholder = R"({"_placeholder":true,"num":0})";

}  // namespace

struct Outlet::Fields {
    std::string_view kind, topic, key, nsp, sid, user, seq = "0", time = "0", node, data, attachments;
    bool has_key = false;

    void set(std::string_view name, std::string_view value) {
        if (name == "kind") kind = value;
        if (name == "topic") topic = value;
        if (name == "nsp") nsp = value;
        if (name == "sid") sid = value;
        if (name == "user") user = value;
        if (name == "seq") seq = value;
        if (name == "time") time = value;
        if (name == "node") node = value;
        if (name == "data") data = value;
        if (name == "attachments") attachments = value;
        if (name == "key") {
            key = value;
            has_key = true;
        }
    }
    [[nodiscard]] bool is_sound() const {
        return !kind.empty() && !data.empty() && (kind != "event" || !topic.empty()) && base::parse_decimal(seq) &&
               base::parse_decimal(time) && base::is_utf8(data) && json::is_valid(data);
    }
};

/// A record that outlives the call it came with.
struct Outlet::Letter {
    explicit Letter(const kafka::Outgoing& of) : topic(of.topic) {
        if (of.key) key.emplace(*of.key);
        if (of.value) value.emplace(*of.value);
        for (const kafka::Header& header : of.headers) {
            headers.emplace_back(header.name, std::string(header.value.value_or("")));
        }
    }
    std::string topic;
    std::optional<std::string> key, value;
    std::vector<std::pair<std::string, std::string>> headers;
};

struct Outlet::Go final : base::Timer {
    explicit Go(Outlet& of) : outlet(of) {}
    Outlet& outlet;

private:
    void expire(base::Millis) override {
        outlet.flush_acks();
        outlet.go_on();
    }
};

Outlet::Outlet(net::Loop& loop, OutletOptions options, const redis::Endpoint& redis, redis::Connection& commands,
               kafka::Producer& producer, DeadLetters& dead_letters)
    : loop_(loop),
      options_(std::move(options)),
      commands_(commands),
      producer_(producer),
      dead_letters_(dead_letters),
      reader_(loop, redis, reader_options(), *this),
      lease_script_(lease_text),
      release_script_(release_text),
      me_(options_.node + '#' + random_suffix()),
      lease_key_(options_.stream + ":lease:" + options_.group),
      page_(max_page),
      go_(std::make_unique<Go>(*this)),
      complained_at_(loop.now() - complaint_pause) {}

Outlet::~Outlet() { producer_.forget(*this); }

void Outlet::start() { reader_.start(); }

bool Outlet::is_leader() const noexcept { return stage_ != Stage::idle; }

// --- the lease ------------------------------------------------------------------------------------------------------

void Outlet::redis_up() {
    ask_lease();
    flush_acks();
}

void Outlet::tick() {
    if (stage_ != Stage::idle && loop_.now() >= leased_until_) step_down("the lease could not be renewed in time");
    if (is_released_) return;
    ask_lease();
    flush_acks();
    go_on();
}

void Outlet::ask_lease() {
    if (is_draining_ && stage_ == Stage::idle) return;
    const base::Millis asked_at = loop_.now();
    commands_.send({"EVAL", lease_script_.text(), "1", lease_key_, me_, std::to_string(lease)},
                   [this, alive = std::weak_ptr<char>(alive_), asked_at](const redis::Reply* reply) {
                       if (!alive.expired()) on_lease(asked_at, reply);
                   });
}

void Outlet::on_lease(base::Millis asked_at, const redis::Reply* reply) {
    if (reply == nullptr) return;
    if (!reply->is_text()) {
        if (reply->is_error()) complain("lease_refused", reply->text);
        return;
    }
    const std::string_view holder = reply->text;
    leader_ = std::string(holder.substr(0, holder.rfind('#')));
    if (holder != me_) {
        if (stage_ != Stage::idle) step_down("another bridge has the lease");
        return;
    }
    leased_until_ = asked_at + lease - lease_margin;
    if (loop_.now() >= leased_until_) return;  // the answer was too slow to be worth anything
    if (stage_ == Stage::idle && !is_draining_) begin();
}

void Outlet::begin() {
    ++stats_.leases;
    log::info("outlet", "leads", {{"stream", options_.stream}, {"group", options_.group}});
    stage_ = Stage::grouping;
    ++term_;
    is_reading_ = false;
    waiting_.clear();
    take_up(true);
    go_on();
}

void Outlet::step_down(std::string_view why) {
    log::warn("outlet", "leads_no_more", {{"reason", why}});
    stage_ = Stage::idle;
    ++term_;
    waiting_.clear();  // pending in Redis; whoever leads next has them
}

void Outlet::drain() {
    is_draining_ = true;
    ++term_;  // what a read under way brings is pending for the next who leads
    waiting_.clear();
    go_on();
}

// --- reading --------------------------------------------------------------------------------------------------------

void Outlet::on_up(redis::Connection&) {
    is_reading_ = false;
    go_on();
}

void Outlet::on_down(redis::Connection&, std::string_view) { is_reading_ = false; }

/// The connection went before the answer came. It may have been too much at once.
void Outlet::on_lost_answer() {
    page_ = std::max<std::size_t>(page_ / 8, 1);
    read_again();
}

/// What Redis has given us with an answer that was lost, or not taken, is pending, before all that is new.
void Outlet::read_again() {
    if (stage_ != Stage::fresh) return;
    stage_ = Stage::old;
    cursor_ = "0-0";
    take_up(true);
}

void Outlet::go_on_soon() {
    if (!go_->is_armed()) loop_.timers().arm(*go_, loop_.now());
}

/// Whatever is next.
void Outlet::go_on() {
    if (stage_ == Stage::idle || loop_.now() >= leased_until_) return;
    if (is_draining_) {
        if (is_idle() && commands_.is_up() && !std::exchange(is_released_, true)) {
            stage_ = Stage::idle;
            commands_.send({"EVAL", release_script_.text(), "1", lease_key_, me_});
        }
        return;
    }
    while (!waiting_.empty()) {
        Fields fields;
        for (const auto& [name, value] : waiting_.front().fields) fields.set(name, value);
        if (!carry(waiting_.front().id, fields)) return;
        waiting_.pop_front();
    }
    if (is_reading_) return;
    if (stage_ == Stage::fresh && take_up(false)) {
        stage_ = Stage::old;
        cursor_ = "0-0";
    }
    if (open_count_ + page_ > options_.max_open || !reader_.is_up()) return;
    switch (stage_) {
        case Stage::idle: return;
        case Stage::grouping: return make_group();
        case Stage::old: return read_old();
        case Stage::fresh: return read_fresh();
    }
}

void Outlet::make_group() {
    is_reading_ = reader_.send({"XGROUP", "CREATE", options_.stream, options_.group, "0", "MKSTREAM"},
                               [this, alive = std::weak_ptr<char>(alive_), term = term_](const redis::Reply* reply) {
                                   if (alive.expired() || term != term_) return;
                                   is_reading_ = false;
                                   if (reply == nullptr) return;
                                   if (reply->is_error() && !reply->is_error("BUSYGROUP")) {
                                       return complain("group_refused", reply->text);
                                   }
                                   stage_ = Stage::old;
                                   cursor_ = "0-0";
                                   go_on_soon();
                               });
}

void Outlet::read_old() {
    is_reading_ = reader_.send(
        {"XAUTOCLAIM", options_.stream, options_.group, options_.node, "0", cursor_, "COUNT", std::to_string(page_)},
        [this, alive = std::weak_ptr<char>(alive_), term = term_](const redis::Reply* reply) {
            if (!alive.expired()) on_old(term, reply);
        });
}

void Outlet::on_old(std::uint64_t term, const redis::Reply* reply) {
    if (term != term_) return;
    is_reading_ = false;
    if (reply == nullptr) return on_lost_answer();
    if (reply->is_error("NOGROUP")) stage_ = Stage::grouping;
    if (!reply->is_array() || reply->items.size() < 2) return complain("claim_refused", reply->text);
    if (loop_.now() >= leased_until_) return;  // frozen meanwhile, perhaps; tick() steps down
    page_ = std::min(page_ * 2, max_page);
    cursor_ = std::string(reply->items[0].text);
    if (reply->items.size() > 2) stats_.trimmed += reply->items[2].items.size();
    stats_.taken_over += reply->items[1].items.size();
    take_entries(reply->items[1].items);
    if (cursor_ == "0-0") stage_ = Stage::fresh;
    go_on_soon();
}

void Outlet::read_fresh() {
    const std::string count = std::to_string(page_);
    const bool waits = put_off_ > refused_topics();
    const std::string patience = std::to_string(waits ? short_block : block);
    is_reading_ = reader_.send_blocking(
        {"XREADGROUP", "GROUP", options_.group, options_.node, "COUNT", count, "BLOCK", patience, "STREAMS",
         options_.stream, ">"},
        block, [this, alive = std::weak_ptr<char>(alive_), term = term_](const redis::Reply* reply) {
            if (!alive.expired()) on_fresh(term, reply);
        });
}

void Outlet::on_fresh(std::uint64_t term, const redis::Reply* reply) {
    if (term != term_) return;  // what it has is pending for the next who leads
    is_reading_ = false;
    if (reply == nullptr) return on_lost_answer();
    if (reply->is_error("NOGROUP")) stage_ = Stage::grouping;
    if (reply->is_error()) return complain("read_refused", reply->text);
    // Frozen meanwhile, perhaps: tick() steps down, or Redis was away, and the lease is ours again before that.
    if (loop_.now() >= leased_until_) return read_again();
    if (reply->is_array() && !reply->items.empty() && reply->items[0].items.size() == 2) {
        const auto entries = reply->items[0].items[1].items;
        stats_.read += entries.size();
        page_ = std::min(page_ * 2, max_page);
        take_entries(entries);
    }
    go_on_soon();
}

void Outlet::take_entries(std::span<const redis::Reply> entries) {
    for (const redis::Reply& entry : entries) {
        if (entry.items.size() != 2) continue;
        const std::string_view id = entry.items[0].text;
        const auto words = entry.items[1].items;
        if (stage_ == Stage::old && under_way_.contains(std::string(id))) continue;
        if (words.empty()) {  // trimmed, as Redis before 7.0 tells it
            ++stats_.trimmed;
            settle(id);
            continue;
        }
        if (waiting_.empty()) {
            Fields fields;
            for (std::size_t i = 0; i + 1 < words.size(); i += 2) fields.set(words[i].text, words[i + 1].text);
            if (carry(id, fields)) continue;
        }
        Waiting waiting{std::string(id), {}};
        for (std::size_t i = 0; i + 1 < words.size(); i += 2)
            waiting.fields.emplace_back(words[i].text, words[i + 1].text);
        waiting_.push_back(std::move(waiting));
    }
    flush_acks();
}

// --- carrying -------------------------------------------------------------------------------------------------------

bool Outlet::carry(std::string_view id, const Fields& fields) {
    if (!fields.is_sound()) {
        ++stats_.malformed;
        complain("entry_malformed", id);
        settle(id);
        return true;
    }
    const bool is_event = fields.kind == "event";
    if (!is_event && options_.lifecycle_topic.empty()) {
        ++stats_.passed;
        settle(id);
        return true;
    }
    std::string value;
    kafka::Outgoing record;
    std::string_view content_type = "application/json";
    if (is_event) {
        record.topic = fields.topic;
        record.value = fields.data;
        if (fields.data == lone_placeholder && !fields.attachments.empty()) {
            // Nothing but one binary value: its bytes are the record.
            if (const auto first = json::element(fields.attachments, 0)) {
                if (auto bytes = base::decode_base64(json::decode_string(*first))) {
                    value = std::move(*bytes);
                    record.value = value;
                    content_type = "application/octet-stream";
                }
            }
        }
    } else {
        value = lifecycle_value(fields.kind, fields.nsp, fields.sid, fields.user, fields.seq, fields.time, fields.node,
                                fields.data);
        record.topic = options_.lifecycle_topic;
        record.value = value;
    }
    if (fields.has_key) {
        record.key = fields.key;
    } else if (!fields.user.empty()) {
        record.key = fields.user;
    }
    std::vector<kafka::Header> headers = {
        {"sio-id", id},          {"sio-kind", fields.kind}, {"sio-user", fields.user},
        {"sio-seq", fields.seq}, {"sio-time", fields.time}, {"sio-sid", fields.sid},
        {"sio-nsp", fields.nsp}, {"sio-node", fields.node}, {"content-type", content_type}};
    if (!fields.attachments.empty() && content_type == "application/json") {
        headers.push_back({"sio-attachments", fields.attachments});
    }
    record.headers = headers;
    return give(id, record);
}

bool Outlet::give(std::string_view id, const kafka::Outgoing& record) {
    Topic& to = topic(record.topic);
    if (to.is_put_off || pass_over(to, id, record)) return true;  // pending, with those before it; or dealt with
    if (open_count_ >= options_.max_open) return false;
    if (to.window != 0 && to.open == 0 && cluster::StreamId::parse(id).value_or(to.window_end) > to.window_end) {
        to.window = 0;
    }
    if (to.window != 0 && to.open >= to.window) return false;
    const bool is_first = to.generation != producer_.generation();
    if (to.open > 0 && (is_first || to.is_refused)) {
        put_off(to, 0);  // until the one under way is reported
        return true;
    }
    const std::uint64_t tag = first_tag_ + open_.size();
    const auto taken = producer_.produce(record, *this, tag);
    if (taken) {
        Open open{std::string(id), &to, is_first || to.window == 1 || to.is_refused, false, nullptr};
        if (open.is_alone) open.letter = std::make_unique<Letter>(record);
        open_.push_back(std::move(open));
        under_way_.insert(std::string(id));
        ++open_count_;
        ++to.open;
        return true;
    }
    switch (taken.error().code) {
        case Errc::unavailable:
            // Its queue is full, and a report will come; or it is being made anew.
            if (producer_.open() == 0 && producer_.trouble().empty() && !go_->is_armed()) {
                loop_.timers().arm(*go_, loop_.now() + remake_pause);
            }
            return false;
        case Errc::too_large:
        case Errc::malformed:
            log::error("outlet", "entry_refused", {{"topic", to.name}, {"entry", id}, {"reason", taken.error().what}});
            bury(to, id, record, word_of(taken.error().code), taken.error().what);
            return true;
        default: refuse(to, taken.error()); return true;
    }
}

// --- what Kafka refuses ---------------------------------------------------------------------------------------------

Outlet::Topic& Outlet::topic(std::string_view name) {
    if (const auto found = topics_.find(std::string(name)); found != topics_.end()) return found->second;
    if (topics_.size() >= max_topics) {
        std::erase_if(topics_, [](const auto& one) {
            const Topic& topic = one.second;
            return topic.open == 0 && !topic.is_put_off && !topic.is_refused && topic.window == 0;
        });
    }
    Topic& made = topics_[std::string(name)];
    made.name = name;
    return made;
}

/// Its entries stay where they are until the next look at what is old, which is not before `pause`.
void Outlet::put_off(Topic& topic, base::Millis pause) {
    if (!std::exchange(topic.is_put_off, true)) ++put_off_;
    topic.look_again_at = loop_.now() + pause;
}

/// Has entries of topics that were put off looked at again: of those that are due, or of all. Not while one is open: if
/// it came back, it would be behind them. Returns whether there are such.
bool Outlet::take_up(bool all) {
    if (put_off_ == 0) return false;
    bool has_some = false;
    for (auto& [name, topic] : topics_) {
        if (!topic.is_put_off || topic.open > 0 || (!all && loop_.now() < topic.look_again_at)) continue;
        topic.is_put_off = false;
        --put_off_;
        has_some = true;
        if (topic.suspects == 0) continue;
        const std::size_t together = topic.window == 0 ? topic.suspects : std::min(topic.window, topic.suspects);
        topic.window = std::max<std::size_t>(together / window_share, 1);
        topic.suspects = 0;
    }
    return has_some;
}

bool Outlet::pass_over(Topic& topic, std::string_view id, const kafka::Outgoing& record) {
    const base::Millis now = loop_.now();
    std::string_view word;
    std::string_view reason = topic.reason;
    if (topic.is_refused) {
        if (topic.open == 0 && now >= topic.ask_at) {
            topic.ask_at = now + look_again_pause;
            return false;
        }
        if (topic.open > 0) return false;
        if (now - topic.refused_at < topic_patience) {
            put_off(topic, std::max<base::Millis>(topic.ask_at - now, 0));
            return true;
        }
        word = topic.word;
    } else if (!record.key && now < topic.keyless_until) {
        word = word_of(Errc::malformed);
    } else if (now < topic.size_until && record.value && record.value->size() >= topic.size) {
        word = word_of(Errc::too_large);
    }
    if (word.empty()) return false;
    bury(topic, id, record, word, reason);
    return true;
}

void Outlet::bury(Topic& topic, std::string_view id, const kafka::Outgoing& record, std::string_view word,
                  std::string_view reason) {
    if (dead_letters_.is_full()) return put_off(topic, look_again_pause);
    ++stats_.refused;
    under_way_.insert(std::string(id));
    dead_letters_.bury_event(record, id, word, reason,
                             [this, alive = std::weak_ptr<char>(alive_), id = std::string(id)] {
                                 if (!alive.expired()) settle(id);
                             });
}

/// Kafka has refused a request for one of its records. Whether for this one shows when it stands alone.
void Outlet::on_refusal(Open& open, const Error& error) {
    Topic& topic = *open.topic;
    under_way_.erase(open.id);
    if (!open.is_alone) {
        const auto id = cluster::StreamId::parse(open.id).value_or(cluster::StreamId{});
        topic.window_end = topic.suspects == 0 && topic.window == 0 ? id : std::max(topic.window_end, id);
        ++topic.suspects;
        return put_off(topic, 0);
    }
    if (topic.window != 0) topic.window = found_window;
    const Letter& letter = *open.letter;
    log::error("outlet", "entry_refused", {{"topic", topic.name}, {"entry", open.id}, {"reason", error.what}});
    topic.reason = error.what;
    if (error.code == Errc::too_large) {
        topic.size = letter.value ? letter.value->size() : 0;
        topic.size_until = loop_.now() + memory;
    } else if (!letter.key) {
        topic.keyless_until = loop_.now() + memory;
    }
    std::vector<kafka::Header> headers;
    for (const auto& [name, value] : letter.headers) headers.push_back({name, value});
    kafka::Outgoing record;
    record.topic = letter.topic;
    if (letter.key) record.key = *letter.key;
    if (letter.value) record.value = *letter.value;
    record.headers = headers;
    bury(topic, open.id, record, word_of(error.code), error.what);
}

/// The topic is not there, or we may not write it.
void Outlet::refuse(Topic& topic, const Error& error) {
    topic.reason = error.what;
    topic.word = word_of(error.code);
    topic.ask_at = loop_.now() + look_again_pause;
    if (!std::exchange(topic.is_refused, true)) {
        topic.refused_at = loop_.now();
        log::error("outlet", "topic_refused",
                   {{"topic", topic.name},
                    {"reason", error.what},
                    {"remedy", error.code == Errc::denied ? "let the user write it" : "make the topic"},
                    {"dead_letters_after_s", topic_patience / 1000}});
    }
    const bool is_over = loop_.now() - topic.refused_at >= topic_patience;
    put_off(topic, is_over ? 0 : look_again_pause);  // to be dead letters, or to wait
}

std::string Outlet::refusals() const {
    std::string all;
    for (const auto& [name, topic] : topics_) {
        if (topic.is_refused) all += (all.empty() ? "" : "; ") + topic.reason;
    }
    return all;
}

std::size_t Outlet::refused_topics() const noexcept {
    return static_cast<std::size_t>(
        std::ranges::count_if(topics_, [](const auto& one) { return one.second.is_refused; }));
}

void Outlet::on_report(std::uint64_t tag, const Error* error) {
    Open& open = open_[tag - first_tag_];
    Topic& topic = *open.topic;
    open.is_done = true;
    --open_count_;
    --topic.open;
    if (error == nullptr) {
        ++stats_.produced;
        topic.generation = producer_.generation();
        if (std::exchange(topic.is_refused, false)) log::info("outlet", "topic_taken", {{"topic", topic.name}});
        settle(open.id);
    } else if (error->code == Errc::too_large || error->code == Errc::malformed) {
        on_refusal(open, *error);
    } else {
        ++stats_.failed;
        under_way_.erase(open.id);
        if (error->code == Errc::unavailable) {
            put_off(topic, 0);
        } else {
            refuse(topic, *error);
        }
    }
    open.letter.reset();
    while (!open_.empty() && open_.front().is_done) {
        open_.pop_front();
        ++first_tag_;
    }
    go_on_soon();
}

void Outlet::settle(std::string_view id) {
    under_way_.insert(std::string(id));
    acks_.emplace_back(id);
    go_on_soon();
    if (acks_.size() >= max_acks) flush_acks();
}

/// One command at a time, so that what a lost connection leaves in doubt is known, and sent again.
void Outlet::flush_acks() {
    if (acks_.empty() || is_acking_ || !commands_.is_up()) return;
    const std::size_t count = std::min(acks_.size(), max_acks);
    std::vector<std::string_view> words = {"XACK", options_.stream, options_.group};
    for (std::size_t i = 0; i < count; ++i) words.emplace_back(acks_[i]);
    const bool is_sent =
        commands_.send(words, [this, alive = std::weak_ptr<char>(alive_), count](const redis::Reply* reply) {
            if (alive.expired()) return;
            is_acking_ = false;
            if (reply == nullptr) return;
            if (reply->is_error()) return complain("ack_refused", reply->text);
            const auto end = acks_.begin() + static_cast<std::ptrdiff_t>(count);
            for (auto id = acks_.begin(); id != end; ++id) under_way_.erase(*id);
            acks_.erase(acks_.begin(), end);
            flush_acks();
            go_on_soon();
        });
    is_acking_ = is_sent;
}

void Outlet::complain(std::string_view event, std::string_view why) {
    if (loop_.now() - complained_at_ < complaint_pause) return;
    complained_at_ = loop_.now();
    log::error("outlet", event, {{"stream", options_.stream}, {"reason", why}});
}

}  // namespace sio::bridge
