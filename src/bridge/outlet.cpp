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
constexpr std::string_view block_text = "1000";
constexpr base::Millis lease_margin = 500;  // the lease counts as over so long before Redis says so
constexpr base::Millis look_again_pause = 5'000;
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
    put_off_.clear();
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

/// The connection went before the answer came. It may have been too much at once; and what Redis has given us with an
/// answer that we never saw is pending, before all that is new.
void Outlet::on_lost_answer() {
    page_ = std::max<std::size_t>(page_ / 8, 1);
    if (stage_ != Stage::fresh) return;
    stage_ = Stage::old;
    cursor_ = "0-0";
    put_off_.clear();
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
    if (stage_ == Stage::fresh && !put_off_.empty() && loop_.now() >= look_again_at_) {
        if (open_count_ != 0 || !acks_.empty()) return;  // else what is under way would be carried twice
        stage_ = Stage::old;
        cursor_ = "0-0";
        put_off_.clear();
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
    // What is under way of an earlier term is pending still.
    if (cursor_ == "0-0" && (open_count_ != 0 || !acks_.empty())) return;
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
    if (cursor_ == "0-0") {
        stage_ = Stage::fresh;
        look_again_at_ = loop_.now() + look_again_pause;
    }
    go_on_soon();
}

void Outlet::read_fresh() {
    const std::string count = std::to_string(page_);
    is_reading_ = reader_.send_blocking(
        {"XREADGROUP", "GROUP", options_.group, options_.node, "COUNT", count, "BLOCK", block_text, "STREAMS",
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
    if (loop_.now() >= leased_until_) return;  // frozen meanwhile, perhaps; tick() steps down
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
    const std::string topic(record.topic);
    if (put_off_.contains(topic)) return true;  // pending, with those before it
    if (open_count_ >= options_.max_open) return false;
    const std::uint64_t tag = first_tag_ + open_.size();
    const auto taken = producer_.produce(record, *this, tag);
    if (taken) {
        open_.push_back({std::string(id), topic, false});
        ++open_count_;
        return true;
    }
    if (taken.error().code == Errc::unavailable) return false;
    if (taken.error().code == Errc::too_large || taken.error().code == Errc::malformed) {
        // Kafka will never have it. Its value stays in the stream of events until that is trimmed.
        ++stats_.refused;
        dead_letters_.bury_entry(topic, id, taken.error().what,
                                 [this, alive = std::weak_ptr<char>(alive_), id = std::string(id)] {
                                     if (!alive.expired()) settle(id);
                                 });
        return true;
    }
    put_off(topic, taken.error());
    return true;
}

void Outlet::put_off(const std::string& topic, const Error& error) {
    if (put_off_.empty()) look_again_at_ = loop_.now() + look_again_pause;
    if (put_off_.emplace(topic, error.what).second) {
        log::error("outlet", "topic_refused", {{"topic", topic}, {"reason", error.what}});
    }
}

void Outlet::on_report(std::uint64_t tag, const Error* error) {
    Open& open = open_[tag - first_tag_];
    open.is_done = true;
    --open_count_;
    if (error == nullptr) {
        ++stats_.produced;
        settle(open.id);
    } else if (error->code == Errc::too_large) {
        ++stats_.refused;
        dead_letters_.bury_entry(open.topic, open.id, error->what,
                                 [this, alive = std::weak_ptr<char>(alive_), id = open.id] {
                                     if (!alive.expired()) settle(id);
                                 });
    } else {
        ++stats_.failed;
        put_off(open.topic, *error);
    }
    while (!open_.empty() && open_.front().is_done) {
        open_.pop_front();
        ++first_tag_;
    }
    go_on_soon();
}

void Outlet::settle(std::string_view id) {
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
            acks_.erase(acks_.begin(), acks_.begin() + static_cast<std::ptrdiff_t>(count));
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
