#include "gateway/outbound.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/bytes.h"
#include "base/json.h"
#include "base/log.h"
#include "gateway/hub.h"
#include "gateway/stream_room.h"
#include "redis/script.h"

namespace sio::gateway {

namespace {

constexpr Millis complaint_pause = 30'000;
constexpr std::string_view away = "Redis is away";
constexpr std::string_view full = "the stream of events is full";
constexpr std::string_view no_answer = "Redis does not answer; it may have the event";

/// Errors that pass by themselves.
bool is_passing(const redis::Reply& error) {
    static constexpr std::array<std::string_view, 7> codes = {"LOADING", "READONLY",   "MASTERDOWN", "OOM",
                                                              "MISCONF", "NOREPLICAS", "BUSY"};
    return std::ranges::any_of(codes, [&](std::string_view code) { return error.is_error(code); });
}

std::string with_rooms(std::string data, const Socket& socket) {
    data += ",\"rooms\":[";
    for (const Socket::Seat& seat : socket.seats) {
        if (data.back() != '[') data += ',';
        json::append_string(data, seat.room->name);
    }
    return data += "]}";
}

/// What the bytes of an entry's attachments are as base64.
std::size_t base64_bytes(std::span<const std::string> attachments) {
    std::size_t sum = 0;
    for (const std::string& one : attachments) sum += (one.size() + 2) / 3 * 4 + 3;  // quotes and a comma
    return sum;
}

/// KEYS: stream, sequence numbers, the estimate of its size. ARGV: retention in ms, most entries, most bytes, user or
/// nothing, fields and values. Returns the entry's id, its number, and how many entries and bytes there are. An entry
/// that the stream refuses takes no number. Error FULL: there is no room, and why. Needs Redis 6.2.
constexpr std::string_view append_text = R"lua(
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local cost, fields = 0, {}
for i = 5, #ARGV do
  cost = cost + #ARGV[i]
  fields[#fields + 1] = ARGV[i]
end
local full, entries, bytes = room_for(KEYS[1], KEYS[3], cost, tonumber(ARGV[2]), tonumber(ARGV[3]), now)
if full ~= '' then return redis.error_reply(full) end
local seq = 0
if ARGV[4] ~= '' then seq = redis.call('HINCRBY', KEYS[2], ARGV[4], 1) end
local oldest = now - ARGV[1]
if oldest < 0 then oldest = 0 end
fields[#fields + 1] = 'seq'
fields[#fields + 1] = seq
local id = redis.pcall('XADD', KEYS[1], 'MINID', '~', oldest, '*', unpack(fields))
if type(id) == 'table' and id.err then
  if ARGV[4] ~= '' then redis.call('HINCRBY', KEYS[2], ARGV[4], -1) end
  return id
end
return {id, seq, entries + 1, bytes}
)lua";

}  // namespace

const std::string& Outbound::script() {
    static const std::string text = std::string(room_text).append(append_text);
    return text;
}

/// An entry under way.
struct Outbound::Call final : base::Timer {
    std::vector<std::string> words;  // after the name of the script
    std::uint64_t epoch = 0;
    Done done;
    bool is_sent_again = false;

private:
    void expire(Millis) override { finish(*this, Outcome::timed_out, {}); }
};

std::vector<std::string> outbound_fields(const OutboundEntry& entry, std::string_view node) {
    std::vector<std::string> words;
    const auto add = [&words](std::string_view name, std::string_view value) {
        words.emplace_back(name);
        words.emplace_back(value);
    };
    add("v", "1");
    add("kind", entry.kind);
    if (!entry.topic.empty()) add("topic", entry.topic);
    if (entry.key) add("key", *entry.key);
    add("nsp", entry.nsp);
    add("sid", entry.sid);
    add("user", entry.user);
    add("time", std::to_string(entry.time));
    add("node", node);
    add("data", entry.data);
    if (!entry.attachments.empty()) {
        std::string list = "[";
        for (const std::string& attachment : entry.attachments) {
            list += list.size() > 1 ? ",\"" : "\"";
            base::append_base64(list, attachment);
            list += '"';
        }
        add("attachments", list + ']');
    }
    return words;
}

Outbound::Outbound(net::Loop& loop, OutboundOptions options, Link link)
    : loop_(loop),
      options_(std::move(options)),
      link_(std::move(link)),
      sequences_(options_.stream + ":seq"),
      retention_(std::to_string(options_.retention)),
      most_entries_(std::to_string(options_.bounds.entries)),
      most_bytes_(std::to_string(options_.bounds.bytes)),
      sha_(redis::Script(script()).sha()),
      complained_at_(loop.now() - complaint_pause),
      told_full_at_(loop.now() - complaint_pause) {
    if (!options_.lifecycle) return;
    PresenceOptions rooms;
    rooms.node = options_.node_id;
    rooms.prefix = options_.stream + ":rooms:";
    rooms.grace = 0;
    rooms.retention = options_.retention;
    rooms.bounds = options_.bounds;
    Presence::Owner& owner = *this;
    rooms_ = std::make_unique<Presence>(loop, std::move(rooms), owner, link_.send);
}

Outbound::~Outbound() = default;

void Outbound::redis_up() {
    if (rooms_ != nullptr) rooms_->redis_up();
}

void Outbound::redis_down() {
    if (rooms_ != nullptr) rooms_->redis_down();
}

void Outbound::leave() {
    if (rooms_ != nullptr) rooms_->leave();
}

std::optional<Outbound::Refusal> Outbound::append(const OutboundEntry& entry, Millis timeout, Done done) {
    if (waiting_ >= max_waiting) {
        ++stats_.refused;
        return Refusal{Outcome::unavailable, "too many events wait for Redis already"};
    }
    const std::size_t bytes =
        entry.data.size() + entry.key.value_or(std::string_view()).size() + base64_bytes(entry.attachments);
    if (entry.kind == "event" && bytes > options_.value_bytes) {
        ++stats_.large;
        return Refusal{Outcome::failed, "the value has " + std::to_string(bytes) + " bytes, and at most " +
                                            std::to_string(options_.value_bytes) + " are published"};
    }
    if (loop_.now() < full_until_) {
        ++stats_.full;
        return Refusal{Outcome::unavailable, std::string(full)};
    }
    auto call = std::make_shared<Call>();
    call->words = {"3",        options_.stream, sequences_,  options_.stream + ":size",
                   retention_, most_entries_,   most_bytes_, std::string(entry.user)};
    for (std::string& word : outbound_fields(entry, options_.node)) call->words.push_back(std::move(word));
    call->done = std::move(done);
    if (!send(call, loaded_in_ != link_.epoch())) {
        ++stats_.failed;
        return Refusal{Outcome::unavailable, std::string(away)};
    }
    ++waiting_;
    if (call->done && timeout > 0) loop_.timers().arm(*call, loop_.now() + timeout);
    return std::nullopt;
}

bool Outbound::send(const std::shared_ptr<Call>& call, bool with_text) {
    call->epoch = link_.epoch();
    if (with_text) loaded_in_ = call->epoch;  // what follows on this connection finds it
    std::vector<std::string_view> command = {with_text ? "EVAL" : "EVALSHA",
                                             with_text ? std::string_view(script()) : sha_};
    command.insert(command.end(), call->words.begin(), call->words.end());
    return link_.send(command, [this, alive = std::weak_ptr<char>(alive_), call](const redis::Reply* reply) {
        if (!alive.expired()) on_reply(call, reply);
    });
}

void Outbound::on_reply(const std::shared_ptr<Call>& call, const redis::Reply* reply) {
    if (reply != nullptr && reply->is_error("NOSCRIPT") && !std::exchange(call->is_sent_again, true)) {
        loaded_in_ = UINT64_MAX;
        if (send(call, true)) return;
        reply = nullptr;
    }
    --waiting_;
    if (reply == nullptr) {
        ++stats_.failed;
        return finish(*call, Outcome::unavailable, no_answer);
    }
    if (reply->is_error("FULL")) {
        loaded_in_ = call->epoch;
        on_full(reply->text);
        return finish(*call, Outcome::unavailable, full);
    }
    if (reply->is_error()) {
        ++stats_.failed;
        complain(reply->text);
        return finish(*call, is_passing(*reply) ? Outcome::unavailable : Outcome::failed,
                      "Redis refused it: " + std::string(reply->text));
    }
    ++stats_.written;
    loaded_in_ = call->epoch;
    if (reply->items.size() >= 4) {
        stats_.stream_entries = static_cast<std::uint64_t>(reply->items[2].to_integer());
        stats_.stream_bytes = static_cast<std::uint64_t>(reply->items[3].to_integer());
    }
    finish(*call, Outcome::written, {});
}

void Outbound::finish(Call& call, Outcome outcome, std::string_view reason) {
    call.disarm();
    if (const Done done = std::exchange(call.done, {})) done(outcome, reason);
}

void Outbound::complain(std::string_view what) {
    if (loop_.now() - complained_at_ < complaint_pause) return;
    complained_at_ = loop_.now();
    log::error("events", "redis_refused", {{"stream", options_.stream}, {"reason", what}});
}

void Outbound::on_full(std::string_view what) {
    ++stats_.full;
    full_until_ = loop_.now() + full_pause;
    if (loop_.now() - told_full_at_ < complaint_pause) return;
    told_full_at_ = loop_.now();
    log::error("events", "stream_full",
               {{"stream", options_.stream},
                {"reason", what},
                {"remedy",
                 "nothing is published until its readers acknowledge what they read: see to them, delete groups that "
                 "nobody uses (XGROUP DESTROY), or raise events-bytes and events-entries"}});
}

// --- what happens to sockets ----------------------------------------------------------------------------------------

void Outbound::tell(const Socket& socket, std::string_view kind, std::string_view data) {
    OutboundEntry entry;
    entry.kind = kind;
    entry.nsp = socket.nsp->name;
    entry.sid = socket.id.view();
    entry.user = socket.user;
    entry.data = data;
    entry.time = loop_.wall_clock();
    static_cast<void>(append(entry));
}

void Outbound::connected(const Socket& socket) {
    if (!options_.lifecycle) return;
    tell(socket, "connect", with_rooms(socket.recovered ? R"({"recovered":true)" : R"({"recovered":false)", socket));
}

void Outbound::disconnected(const Socket& socket, std::string_view reason) {
    if (!options_.lifecycle) return;
    tell(socket, "disconnect", with_rooms(R"({"reason":)" + json::quote(reason), socket));
}

void Outbound::joined(const Socket& socket, std::string_view room) {
    if (!options_.lifecycle) return;
    if (socket.is_known) tell(socket, "join", R"({"room":)" + json::quote(room) + '}');
    rooms_->socket_opened(room_key(socket, room));
}

void Outbound::left(const Socket& socket, std::string_view room) {
    if (!options_.lifecycle) return;
    if (!socket.leaving) tell(socket, "leave", R"({"room":)" + json::quote(room) + '}');
    rooms_->socket_closed(room_key(socket, room));
}

// A namespace has no comma in its name.
std::string Outbound::room_key(const Socket& socket, std::string_view room) {
    std::string key = socket.nsp->name;
    key += ',';
    key += room;
    return key;
}

std::vector<Presence::Entry> Outbound::render(std::string_view room, bool occupied) {
    const std::size_t comma = room.find(',');
    const std::string data = R"({"room":)" + json::quote(room.substr(comma + 1)) + '}';
    OutboundEntry entry;
    entry.kind = occupied ? "occupied" : "vacated";
    entry.nsp = room.substr(0, comma);
    entry.data = data;
    entry.time = loop_.wall_clock();
    std::vector<std::string> words = outbound_fields(entry, options_.node);
    words.insert(words.end(), {"seq", "0"});
    return {{options_.stream, std::move(words)}};
}

void Outbound::announce(std::string_view, bool, bool published) {
    if (published) ++stats_.written;
}

}  // namespace sio::gateway
