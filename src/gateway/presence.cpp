#include "gateway/presence.h"

#include <algorithm>
#include <optional>

#include "base/bytes.h"
#include "base/json.h"
#include "base/log.h"
#include "gateway/presence_scripts.h"
#include "gateway/stream_room.h"
#include "wire/admin.h"

namespace sio::gateway {

namespace {

/// After grace or calm by Redis's clock, which is not read here.
constexpr Millis slack = 10;
constexpr Millis retry_pause = 1000;
constexpr Millis complaint_pause = 30'000;

std::string text_of(std::int64_t number) { return std::to_string(number); }

/// The item of an array reply; a nil when there is none.
const redis::Reply& item(const redis::Reply& reply, std::size_t index) {
    static const redis::Reply nil;
    return index < reply.items.size() ? reply.items[index] : nil;
}

/// The place, counted from 1, that an item names; nothing when it is none of `count`.
std::optional<std::size_t> place_in(const redis::Reply& reply, std::size_t count) {
    const std::int64_t place = reply.to_integer();
    if (place < 1 || static_cast<std::uint64_t>(place) > count) return std::nullopt;
    return static_cast<std::size_t>(place - 1);
}

tl::unexpected<Error> no_answer() {
    return fail(Errc::unavailable, "cannot tell who is online: Redis does not answer");
}

}  // namespace

/// A batch of changes under way. Its users stay in the table until it is answered.
struct Presence::Change {
    std::uint64_t seq = 0;
    std::vector<std::pair<Node*, char>> users;  // and what was said of them
};

struct Presence::Query {
    std::vector<std::string> users;
    std::vector<bool> online;
    std::size_t left = 0;
    bool failed = false;
    std::function<void(Result<std::vector<bool>>)> done;
};

struct Presence::Scan {
    std::size_t limit = 0;
    std::string cursor = "0";
    PresenceList list;
    std::function<void(Result<PresenceList>)> done;
};

Presence::Presence(net::Loop& loop, PresenceOptions options, Owner& owner, Send send)
    : loop_(loop),
      options_(std::move(options)),
      owner_(owner),
      send_(std::move(send)),
      seq_(static_cast<std::uint64_t>(loop.wall_clock())),
      complained_at_(loop.now() - complaint_pause),
      limits_(text_of(options_.retention) + ' ' + std::to_string(options_.bounds.entries) + ' ' +
              std::to_string(options_.bounds.bytes)) {}

Presence::~Presence() = default;

// --- what the hub tells ---------------------------------------------------------------------------------------------

void Presence::socket_opened(std::string_view user) {
    if (user.empty() || left_) return;
    auto found = users_.find(user);
    if (found == users_.end()) found = users_.emplace(std::string(user), User{}).first;
    if (found->second.sockets++ > 0) return;
    ++here_;
    touch(*found);
}

void Presence::socket_closed(std::string_view user) {
    if (user.empty() || left_) return;
    const auto found = users_.find(user);
    if (found == users_.end() || found->second.sockets == 0) return;
    if (--found->second.sockets > 0) return;
    --here_;
    touch(*found);
}

void Presence::touch(Node& node) {
    if (is_alone()) {
        // Nothing to be told, but to the owner, and that not before the turn is over.
        if (node.second.sockets == 0) node.second.grace_ends = loop_.now() + options_.grace;
        if (!node.second.queued) {
            node.second.queued = true;
            queue_.push_back(&node);
        }
    } else {
        queue(node);
    }
    if (!queue_.empty() && !flush_alarm_.is_armed() && (is_alone() || joined_)) arm(flush_alarm_, options_.collect);
}

/// Whether there is something to tell Redis.
bool Presence::is_due(const User& user) noexcept {
    if (user.told == Told::unsure) return true;
    return (user.sockets > 0) != (user.told == Told::present) || (user.quiet && user.sockets == 0);
}

void Presence::queue(Node& node) {
    if (node.second.queued || !is_due(node.second)) return;
    node.second.queued = true;
    queue_.push_back(&node);
}

void Presence::forget_if_gone(Node& node) {
    const User& user = node.second;
    if (user.sockets > 0 || user.calls > 0 || user.queued || user.told != Told::absent || user.quiet) return;
    users_.erase(users_.find(node.first));
}

void Presence::arm(Alarm& alarm, Millis delay) { loop_.timers().arm(alarm, loop_.now() + delay); }

// --- without Redis --------------------------------------------------------------------------------------------------

void Presence::flush_alone() {
    std::vector<Node*> queued;
    queued.swap(queue_);
    for (Node* node : queued) {
        User& user = node->second;
        user.queued = false;
        if (user.sockets > 0 && user.told == Told::absent) {
            user.told = Told::present;
            ++stats_.came_online;
            owner_.announce(node->first, true, false);
        } else if (user.sockets == 0 && user.told == Told::present) {
            grace_.emplace(user.grace_ends, node->first);
        } else {
            forget_if_gone(*node);
        }
    }
    arm_sweep();
}

void Presence::sweep_alone() {
    const Millis now = loop_.now();
    while (!grace_.empty() && grace_.begin()->first <= now) {
        const std::string name = std::move(grace_.begin()->second);
        grace_.erase(grace_.begin());
        const auto found = users_.find(name);
        if (found == users_.end()) continue;
        User& user = found->second;
        if (user.sockets > 0 || user.told != Told::present || user.grace_ends > now) continue;
        user.told = Told::absent;
        forget_if_gone(*found);
        ++stats_.went_offline;
        owner_.announce(name, false, false);
    }
    arm_sweep();
}

// --- calls ----------------------------------------------------------------------------------------------------------

bool Presence::send(std::span<const std::string_view> words, Done done) {
    const std::weak_ptr<char> alive = alive_;
    const bool sent = send_(words, [alive, done = std::move(done)](const redis::Reply* reply) {
        if (!alive.expired()) done(reply);
    });
    if (sent) ++stats_.round_trips;
    return sent;
}

bool Presence::call(Script script, std::vector<std::string> words, Done done) {
    std::vector<std::string_view> command{"EVALSHA", sha_[script], "0", options_.prefix};
    command.insert(command.end(), words.begin(), words.end());
    return send(command, std::move(done));
}

/// Whether a reply is missing or an error, which is then dealt with but for what was asked.
bool Presence::went_wrong(const redis::Reply* reply) {
    if (reply != nullptr && !reply->is_error()) return false;
    ++stats_.failures;
    if (reply == nullptr) return true;
    if (reply->is_error("NOSCRIPT")) {
        if (up_ && loading_ == 0) redis_up();
    } else {
        complain(reply->text);
    }
    return true;
}

void Presence::complain(std::string_view what) {
    if (loop_.now() - complained_at_ < complaint_pause) return;
    complained_at_ = loop_.now();
    log::error("presence", "redis_refused", {{"reason", what}});
}

void Presence::redis_up() {
    if (is_alone() || left_) return;
    up_ = true;
    joined_ = false;
    if (!generation_.empty()) settle_from_ = loop_.now() + options_.reunion;
    namespace scripts = presence_scripts;
    const std::string_view texts[script_count] = {scripts::beat, scripts::change, scripts::settle, scripts::leave};
    loading_ = script_count;
    for (std::size_t i = 0; i < script_count; ++i) {
        const std::string text = std::string(room_text).append(scripts::prelude).append(texts[i]);
        const std::string_view command[] = {"SCRIPT", "LOAD", text};
        const bool sent = send(command, [this, i](const redis::Reply* reply) {
            if (loading_ == 0) return;
            if (went_wrong(reply)) {
                loading_ = 0;
                if (up_) arm(beat_alarm_, retry_pause);
                return;
            }
            sha_[i] = reply->text;
            if (--loading_ == 0) tick();
        });
        if (!sent) {
            loading_ = 0;
            arm(beat_alarm_, retry_pause);
            return;
        }
    }
}

void Presence::redis_down() {
    up_ = false;
    joined_ = false;
    beating_ = false;
    loading_ = 0;
    beat_alarm_.disarm();
    flush_alarm_.disarm();
    sweep_alarm_.disarm();
}

// --- heartbeats -----------------------------------------------------------------------------------------------------

void Presence::tick() {
    if (!up_ || left_) return;
    arm(beat_alarm_, options_.heartbeat);
    if (loading_ > 0) return;
    if (sha_[script_count - 1].empty()) return redis_up();  // loading went wrong
    beat();
}

void Presence::beat() {
    if (!up_ || beating_ || left_) return;
    beating_ = call(beat_script,
                    {options_.node, std::to_string(++seq_), fresh_ ? "1" : "0", text_of(options_.heartbeat),
                     text_of(options_.timeout), text_of(options_.grace), text_of(max_batch), generation_},
                    [this](const redis::Reply* reply) {
                        beating_ = false;
                        on_beat(reply);
                    });
}

void Presence::on_beat(const redis::Reply* reply) {
    if (went_wrong(reply) || left_) return;
    if (item(*reply, 0).to_integer() < 0) {  // a process of the same name, whose clock was ahead
        seq_ = std::max(seq_, static_cast<std::uint64_t>(item(*reply, 2).to_integer()));
        fresh_ = true;
        return beat();
    }
    const bool known = item(*reply, 0).to_integer() == 1;
    const std::string_view generation = item(*reply, 1).text;
    const bool forgot = !generation_.empty() && generation != generation_;
    generation_ = generation;
    if (!known || forgot) {
        fresh_ = false;
        rejoin(forgot);
    } else if (static_cast<std::uint64_t>(item(*reply, 2).to_integer()) < acked_seq_) {
        // A replica that did not have all took over, or Redis came back with an older state.
        fresh_ = true;
        joined_ = false;
        beat();
        return;
    }
    joined_ = true;
    stats_.buried += static_cast<std::uint64_t>(std::max<std::int64_t>(0, item(*reply, 3).to_integer()));
    const redis::Reply& graced = item(*reply, 5);
    for (std::size_t i = 0; i + 1 < graced.items.size(); i += 2)
        grace_.emplace(loop_.now() + graced.items[i + 1].to_integer() + slack, graced.items[i].text);
    const redis::Reply& forgotten = item(*reply, 6);
    for (const redis::Reply& user : forgotten.items) grace_.emplace(loop_.now(), user.text);
    const Millis calm = item(*reply, 7).to_integer();
    if (calm > 0) settle_from_ = std::max(settle_from_, loop_.now() + calm + slack);
    if (item(*reply, 4).to_integer() > 0 || forgotten.items.size() == max_batch) beat();
    flush();
    sweep();
}

/// Redis knows nothing of this gateway's users (any more).
void Presence::rejoin(bool forgot) {
    acked_seq_ = 0;
    ++stats_.rejoins;
    if (forgot) {
        // Those in grace would be forgotten by all.
        for (const auto& [due, name] : grace_) {
            User& user = users_.try_emplace(name).first->second;
            user.remembered = true;
        }
        grace_.clear();
    }
    std::vector<Node*> gone;
    for (Node& node : users_) {
        User& user = node.second;
        user.told = Told::absent;
        user.quiet = forgot && user.remembered;
        queue(node);
        if (user.sockets == 0) gone.push_back(&node);
    }
    for (Node* node : gone) forget_if_gone(*node);
    log::info("presence", forgot ? "redis_forgot" : "joined", {{"node", options_.node}, {"users", here_}});
}

// --- changes --------------------------------------------------------------------------------------------------------

void Presence::add_entries(std::vector<std::string>& words, std::string_view user, bool online) {
    std::vector<Entry> entries = owner_.render(user, online);
    std::erase_if(entries, [](const Entry& entry) {
        return entry.words.empty() || entry.words.size() % 2 != 0 || entry.words.size() > max_words;
    });
    words.push_back(std::to_string(entries.size()));
    for (Entry& entry : entries) {
        words.push_back(std::move(entry.stream));
        words.push_back(std::to_string(entry.words.size()));
        std::move(entry.words.begin(), entry.words.end(), std::back_inserter(words));
    }
}

void Presence::flush() {
    if (is_alone()) return flush_alone();
    while (joined_ && calls_ < max_calls && queue_head_ < queue_.size()) {
        if (!send_change()) break;
    }
    if (queue_head_ == queue_.size()) {
        queue_.clear();
        queue_head_ = 0;
    }
}

/// Sends the first batch of the queue. False when it could not be sent.
bool Presence::send_change() {
    auto change = std::make_shared<Change>();
    change->seq = ++seq_;
    std::vector<std::string> words{
        options_.node, std::to_string(change->seq), text_of(options_.grace), text_of(options_.timeout), limits_, ""};
    const std::size_t count_at = words.size() - 1;
    std::size_t bytes = 0;
    std::size_t measured = words.size();
    while (queue_head_ < queue_.size() && change->users.size() < max_batch && bytes < max_batch_bytes) {
        Node& node = *queue_[queue_head_++];
        User& user = node.second;
        user.queued = false;
        if (!is_due(user)) {
            forget_if_gone(node);
            continue;
        }
        const bool here = user.sockets > 0;
        const char what = here ? (user.quiet ? '=' : '+') : (user.quiet ? '!' : '-');
        words.emplace_back(1, what);
        words.push_back(node.first);
        if (here)
            add_entries(words, node.first, true);
        else
            words.emplace_back("0");
        user.told = here ? Told::present : Told::absent;
        ++user.calls;
        change->users.emplace_back(&node, what);
        for (; measured < words.size(); ++measured) bytes += words[measured].size();
    }
    if (change->users.empty()) return true;
    words[count_at] = std::to_string(change->users.size());
    ++calls_;
    const bool sent = call(change_script, std::move(words), [this, change](const redis::Reply* reply) {
        --calls_;
        on_change(*change, reply);
    });
    if (sent) return true;
    --calls_;
    ++stats_.failures;
    fail(*change);
    arm(flush_alarm_, retry_pause);
    return false;
}

/// It is unknown what Redis made of it. Saying it again does no harm.
void Presence::fail(Change& change) {
    for (const auto& [node, what] : change.users) {
        --node->second.calls;
        node->second.told = Told::unsure;
        queue(*node);
    }
}

void Presence::on_change(Change& change, const redis::Reply* reply) {
    if (went_wrong(reply)) {
        fail(change);
        if (joined_) arm(flush_alarm_, retry_pause);
        return sweep();
    }
    if (item(*reply, 0).to_integer() != 1) {  // buried, or everything was deleted
        joined_ = false;
        fail(change);
        beat();
        return;
    }
    acked_seq_ = change.seq;
    for (const auto& [node, what] : change.users) {
        User& user = node->second;
        user.remembered = what == '+' || what == '=';
        if (what == '=' || what == '!') user.quiet = false;
    }
    for (const redis::Reply& one : item(*reply, 1).items) {
        const auto place = place_in(one, change.users.size());
        if (!place) continue;
        ++stats_.came_online;
        owner_.announce(change.users[*place].first->first, true, true);
    }
    const redis::Reply& graced = item(*reply, 2);
    for (std::size_t i = 0; i + 1 < graced.items.size(); i += 2) {
        const auto place = place_in(graced.items[i], change.users.size());
        if (!place) continue;
        grace_.emplace(loop_.now() + graced.items[i + 1].to_integer() + slack, change.users[*place].first->first);
    }
    if (const std::string_view problem = item(*reply, 3).text; !problem.empty()) {
        ++stats_.failures;
        complain(problem);
    }
    for (const auto& [node, what] : change.users) {
        --node->second.calls;
        queue(*node);
        forget_if_gone(*node);
    }
    flush();
    sweep();
}

// --- the end of grace -----------------------------------------------------------------------------------------------

void Presence::arm_sweep() {
    // With all calls taken, the next answer sweeps.
    if (grace_.empty() || (!is_alone() && (!joined_ || calls_ >= max_calls))) return;
    loop_.timers().arm(sweep_alarm_, std::max(grace_.begin()->first, settle_from_));
}

void Presence::sweep() {
    if (is_alone()) return sweep_alone();
    const Millis now = loop_.now();
    while (joined_ && now >= settle_from_ && calls_ < max_calls && !grace_.empty() && grace_.begin()->first <= now) {
        auto users = std::make_shared<std::vector<std::string>>();
        std::vector<std::string> words{limits_, ""};
        std::size_t bytes = 0;
        std::size_t measured = words.size();
        while (!grace_.empty() && grace_.begin()->first <= now && users->size() < max_batch &&
               bytes < max_batch_bytes) {
            std::string name = std::move(grace_.begin()->second);
            grace_.erase(grace_.begin());
            if (const auto found = users_.find(name); found != users_.end() && found->second.sockets > 0) continue;
            words.push_back(name);
            add_entries(words, name, false);
            users->push_back(std::move(name));
            for (; measured < words.size(); ++measured) bytes += words[measured].size();
        }
        if (users->empty()) continue;
        words[1] = std::to_string(users->size());
        ++calls_;
        const bool sent = call(settle_script, std::move(words), [this, users](const redis::Reply* reply) {
            --calls_;
            on_settled(*users, reply);
        });
        if (!sent) {
            // As when the answer is lost: a heartbeat will find them.
            --calls_;
            ++stats_.failures;
        }
    }
    arm_sweep();
}

void Presence::on_settled(const std::vector<std::string>& users, const redis::Reply* reply) {
    if (went_wrong(reply)) return sweep();  // a heartbeat, maybe another gateway's, will find these
    const redis::Reply& results = item(*reply, 0);
    for (std::size_t i = 0; i < results.items.size() && i < users.size(); ++i) {
        const std::int64_t result = results.items[i].to_integer();
        if (result == 1) {
            ++stats_.went_offline;
            owner_.announce(users[i], false, true);
        } else if (result < 0) {
            grace_.emplace(loop_.now() - result + slack, users[i]);
        }
    }
    if (const std::string_view problem = item(*reply, 1).text; !problem.empty()) {
        ++stats_.failures;
        complain(problem);
    }
    flush();
    sweep();
}

// --- the end --------------------------------------------------------------------------------------------------------

void Presence::leave() {
    if (left_) return;
    if (!is_alone() && joined_) {
        // Their number is bounded by the connection's pending bytes; what does not fit is buried with the rest.
        while (queue_head_ < queue_.size() && send_change()) continue;
        static_cast<void>(call(leave_script, {options_.node, text_of(options_.grace)}, [](const redis::Reply*) {}));
    }
    left_ = true;
    joined_ = false;
    beat_alarm_.disarm();
    flush_alarm_.disarm();
    sweep_alarm_.disarm();
}

// --- questions ------------------------------------------------------------------------------------------------------

void Presence::query(std::vector<std::string> users, std::function<void(Result<std::vector<bool>>)> done) {
    auto query = std::make_shared<Query>();
    query->users = std::move(users);
    query->online.resize(query->users.size());
    query->done = std::move(done);
    for (std::size_t i = 0; i < query->users.size(); ++i) {
        const auto found = users_.find(query->users[i]);
        if (found == users_.end()) continue;
        query->online[i] = found->second.sockets > 0 || (is_alone() && found->second.told == Told::present);
    }
    if (is_alone() || query->users.empty()) return query->done(std::move(query->online));
    const auto give_up = [](Query& of) {
        if (!std::exchange(of.failed, true)) of.done(no_answer());
    };
    const std::string key = options_.prefix + "presence";
    query->left = (query->users.size() + max_asked - 1) / max_asked;
    for (std::size_t from = 0; from < query->users.size() && !query->failed; from += max_asked) {
        const std::size_t to = std::min(from + max_asked, query->users.size());
        std::vector<std::string_view> command{"HMGET", key};
        command.insert(command.end(), query->users.begin() + static_cast<std::ptrdiff_t>(from),
                       query->users.begin() + static_cast<std::ptrdiff_t>(to));
        const bool sent = joined_ && send(command, [this, query, from, to, give_up](const redis::Reply* reply) {
                              if (query->failed) return;
                              if (went_wrong(reply) || reply->items.size() != to - from) return give_up(*query);
                              for (std::size_t i = from; i < to; ++i) {
                                  if (!reply->items[i - from].is_nil()) query->online[i] = true;
                              }
                              if (--query->left == 0) query->done(std::move(query->online));
                          });
        if (!sent) give_up(*query);
    }
}

void Presence::list(std::size_t limit, std::function<void(Result<PresenceList>)> done) {
    auto scan_of = std::make_shared<Scan>();
    scan_of->limit = limit;
    scan_of->done = std::move(done);
    PresenceList& list = scan_of->list;
    if (is_alone()) {
        for (const auto& [name, user] : users_) {
            if (user.sockets == 0 && user.told != Told::present) continue;
            ++list.count;
            if (list.users.size() < limit) list.users.push_back(name);
        }
        std::sort(list.users.begin(), list.users.end());
        return scan_of->done(std::move(list));
    }
    const std::string key = options_.prefix + "presence";
    const std::string_view command[] = {"HLEN", key};
    const bool sent = joined_ && send(command, [this, scan_of](const redis::Reply* reply) {
                          if (went_wrong(reply)) return scan_of->done(no_answer());
                          scan_of->list.count = static_cast<std::uint64_t>(reply->to_integer());
                          if (scan_of->limit == 0) return scan_of->done(std::move(scan_of->list));
                          scan(scan_of);
                      });
    if (!sent) scan_of->done(no_answer());
}

/// Goes on with a list, a bounded part of the hash at a time.
void Presence::scan(const std::shared_ptr<Scan>& scan_of) {
    const std::string key = options_.prefix + "presence";
    const std::string count = std::to_string(std::clamp<std::size_t>(scan_of->limit, 10, max_asked));
    const std::string_view command[] = {"HSCAN", key, scan_of->cursor, "COUNT", count};
    const bool sent = send(command, [this, scan_of](const redis::Reply* reply) {
        if (went_wrong(reply)) return scan_of->done(no_answer());
        auto& users = scan_of->list.users;
        scan_of->cursor = item(*reply, 0).text;
        const redis::Reply& pairs = item(*reply, 1);
        for (std::size_t i = 0; i < pairs.items.size(); i += 2) users.emplace_back(pairs.items[i].text);
        // A scan may give a user twice while the hash is rebuilt.
        std::sort(users.begin(), users.end());
        users.erase(std::unique(users.begin(), users.end()), users.end());
        if (scan_of->cursor != "0" && users.size() < scan_of->limit) return scan(scan_of);
        if (users.size() > scan_of->limit) users.resize(scan_of->limit);
        scan_of->done(std::move(scan_of->list));
    });
    if (!sent) scan_of->done(no_answer());
}

void Presence::answer(std::string_view request, std::function<void(Result<std::string>)> done) {
    if (json::member(request, "users")) {
        auto users = wire::parse_texts(request, "users");
        if (!users) return done(tl::unexpected(users.error()));
        if (users->size() > max_listed) return done(::sio::fail(Errc::too_large, "more than 100000 users"));
        auto names = std::make_shared<std::vector<std::string>>(*users);
        return query(std::move(*users), [names, done = std::move(done)](Result<std::vector<bool>> online) {
            if (!online) return done(tl::unexpected(online.error()));
            wire::ObjectWriter members;
            for (std::size_t i = 0; i < names->size(); ++i) members.boolean((*names)[i], (*online)[i]);
            done("\"online\":" + members.object());
        });
    }
    const auto limit = base::parse_decimal(json::member(request, "limit").value_or("1000"), max_listed);
    if (!limit) return done(::sio::fail(Errc::malformed, "limit must be a whole number up to 100000"));
    list(static_cast<std::size_t>(*limit), [done = std::move(done)](Result<PresenceList> list) {
        if (!list) return done(tl::unexpected(list.error()));
        wire::ObjectWriter members;
        members.number("count", static_cast<std::int64_t>(list->count)).texts("users", list->users);
        done(members.members());
    });
}

PresenceStats Presence::stats() const {
    PresenceStats stats = stats_;
    stats.users = here_;
    stats.waiting = queue_.size() - queue_head_;
    return stats;
}

}  // namespace sio::gateway
