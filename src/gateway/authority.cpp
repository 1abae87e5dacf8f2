#include "gateway/authority.h"

#include <openssl/sha.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/json.h"
#include "base/keyed_hash.h"
#include "base/log.h"
#include "base/log_throttle.h"
#include "net/unix_client.h"
#include "wire/admin.h"

namespace sio::gateway {

namespace {

constexpr std::size_t max_line = 64U << 10U;              // of the daemon's socket, both ways
constexpr std::size_t max_credential_bytes = 16U << 10U;  // what the daemon refuses by its length alone
constexpr Millis tick_interval = 500;
constexpr Millis silence_limit = 1'400;  // a daemon that says nothing for so long hangs; seen at the third tick
constexpr Millis longest_ttl = 3'600'000;
constexpr std::size_t sweep_per_tick = 4096;
constexpr std::size_t sessions_per_line = 500;         // 67 bytes each
constexpr std::int64_t last_moment = 253'402'300'799;  // the end of the year 9999

using Digest = std::array<unsigned char, SHA256_DIGEST_LENGTH>;
struct DigestHash {
    std::size_t operator()(const Digest& digest) const noexcept {
        // Who makes tokens can make many whose digests begin alike.
        return base::keyed_hash(digest.data(), sizeof(Digest));
    }
};

/// One name for whose right to what is meant, shown which room token. A length before each text keeps them apart.
Digest digest_of(const Holder& holder, std::string_view room, std::string_view room_token) {
    std::string text;
    for (const std::string_view part : {holder.user, holder.session, holder.claims, room, room_token}) {
        text += std::to_string(part.size());
        text += ':';
        text += part;
    }
    Digest digest;
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
    return digest;
}

/// A header's value as a line of JSON may hold it. Credentials are ASCII; what else stands in a cookie does not matter.
std::string clean(std::string_view value) {
    std::string text(value);
    if (!base::is_utf8(text)) {
        for (char& c : text) {
            if (static_cast<unsigned char>(c) >= 0x80) c = '?';
        }
    }
    return text;
}

std::string text_of(std::string_view object, std::string_view name) {
    const auto raw = json::member(object, name);
    return raw && json::kind_of(*raw) == json::Kind::string ? json::decode_string(*raw) : std::string();
}

/// The whole part of a JSON number, from 0 to `most`.
std::optional<std::int64_t> number_of(std::string_view object, std::string_view name, std::int64_t most) {
    const auto raw = json::member(object, name);
    if (!raw || json::kind_of(*raw) != json::Kind::number) return std::nullopt;
    if (raw->front() == '-') return 0;
    const std::string_view whole = raw->substr(0, raw->find_first_of(".eE"));
    const bool has_exponent = raw->find_first_of("eE") != std::string_view::npos;
    const auto value = base::parse_decimal(whole, static_cast<std::uint64_t>(most));
    return value && !has_exponent ? static_cast<std::int64_t>(*value) : most;
}

Right worse(Right a, Right b) noexcept {
    if (a == Right::denied || b == Right::denied) return Right::denied;
    return a == Right::unavailable || b == Right::unavailable ? Right::unavailable : Right::granted;
}

class Alarm final : public base::Timer {
public:
    explicit Alarm(std::function<void(Millis)> act) : act_(std::move(act)) {}

private:
    void expire(Millis now) override { act_(now); }
    std::function<void(Millis)> act_;
};

}  // namespace

class Authority::Parts final : private net::Handler, private net::Loop::TurnEnd {
public:
    Parts(net::Loop& loop, AuthorityOptions options, Owner& owner)
        : loop_(loop), options_(std::move(options)), owner_(owner), down_since_(loop.now()) {
        loop_.add_turn_end(*this);
    }
    ~Parts() override {
        loop_.remove_turn_end(*this);
        if (client_) loop_.unwatch(client_->fd(), *this);
    }
    Parts(const Parts&) = delete;
    Parts& operator=(const Parts&) = delete;

    void start() {
        loop_.timers().arm(tick_, loop_.now() + tick_interval);
        connect(loop_.now());
    }

    void authenticate(const Credentials& credentials, std::string_view must_be_user,
                      std::function<void(Decision)> done) {
        wire::ObjectWriter line;
        const std::uint64_t id = begin(line, "authenticate");
        std::string_view too_long;
        const auto add = [&](std::string_view name, const std::optional<std::string_view>& value) {
            if (!value) return;
            if (value->size() > max_credential_bytes) {
                too_long = name;
            } else {
                line.text(name, clean(*value));
            }
        };
        add("token", credentials.token);
        add("authorization", credentials.authorization);
        add("cookie", credentials.cookie);
        add("query_token", credentials.query_token);
        add("origin", credentials.origin);
        if (credentials.same_origin) line.boolean("same_origin", true);
        line.text("address", credentials.address);
        if (!must_be_user.empty()) line.text("user", must_be_user);
        Question question;
        question.decide = std::move(done);
        question.asker = "address ";
        question.asker += credentials.address;
        question.line = line.line();
        if (too_long.empty() && question.line.size() > max_line) too_long = "line";
        if (!too_long.empty()) {
            Decision decision;
            decision.kind = Decision::Kind::denied;
            decision.code = "unauthorized";
            decision.reason = "the " + std::string(too_long) + " is too long";
            later([this, decide = std::move(question.decide), decision] { tell(decide, decision); });
            return;
        }
        ask(id, std::move(question));
    }

    std::optional<Right> known(const Digest& digest) {
        const auto found = rights_.find(digest);
        if (found == rights_.end() || found->second.until <= loop_.now()) return std::nullopt;
        ++stats_.rights_known;
        return found->second.right;
    }

    void may_join(const Holder& holder, std::span<const std::string> rooms, std::string_view room_token,
                  std::function<void(Right, std::string)> done) {
        struct Group {
            Right worst = Right::granted;
            std::string room;
            std::size_t open = 1;
            std::function<void(Right, std::string)> done;
        };
        const auto group = std::make_shared<Group>();
        group->done = std::move(done);
        const auto one = [group](Right right, const std::string& room) {
            const Right worst = worse(group->worst, right);
            if (worst != group->worst) {
                group->worst = worst;
                group->room = room;
            }
            if (--group->open == 0) group->done(group->worst, std::move(group->room));
        };
        for (const std::string& room : rooms) {
            const Digest plain = digest_of(holder, room, {});
            std::optional<Right> right = known(plain);
            if (!room_token.empty() && right != Right::granted) right = known(digest_of(holder, room, room_token));
            ++group->open;
            if (right) {
                later([one, right = *right, room] { one(right, room); });
                continue;
            }
            ask_right(holder, room, room_token, [one, room](Right answer) { one(answer, room); });
        }
        later([one] { one(Right::granted, {}); });
    }

    void closed(std::string_view session) {
        if (is_up() && !session.empty()) closed_.emplace_back(session);
    }

    [[nodiscard]] bool is_up() const noexcept { return greeted_; }
    [[nodiscard]] std::optional<Millis> away_for() const noexcept {
        if (greeted_) return std::nullopt;
        return loop_.now() - down_since_;
    }
    [[nodiscard]] std::string checks() const {
        const std::string detail = !greeted_ ? trouble_ : checks_known_ ? "answers" : "connected";
        std::string all = "\"authd\":" + wire::ObjectWriter().boolean("ok", greeted_).text("detail", detail).object();
        if (greeted_) all += checks_;
        return all;
    }
    [[nodiscard]] bool is_ready() const noexcept { return greeted_ && checks_known_ && checks_ok_; }
    [[nodiscard]] const Stats& stats() noexcept {
        stats_.open = open_.size();
        stats_.rights_kept = rights_.size();
        return stats_;
    }
    [[nodiscard]] static Digest digest(const Holder& holder, std::string_view room) {
        return digest_of(holder, room, {});
    }

private:
    struct Question {
        std::string line;
        std::string asker;                               // whose share it is of
        std::function<void(Decision)> decide;            // of authenticate
        std::vector<std::function<void(Right)>> rights;  // of may_join: all who ask the same
        Digest digest{};
        std::uint64_t epoch = 0;  // of the rights when it was asked
    };
    struct Kept {
        Right right;
        Millis until;
    };
    struct Share {
        std::size_t questions = 0;
        std::size_t bytes = 0;
    };

    // --- questions ---

    std::uint64_t begin(wire::ObjectWriter& line, std::string_view cmd) {
        line.number("id", static_cast<std::int64_t>(++ids_)).text("cmd", cmd);
        return ids_;
    }

    void later(std::function<void()> act) {
        later_.push_back(std::move(act));
        if (!soon_.is_armed()) loop_.timers().arm(soon_, loop_.now());
    }

    /// Whether one question more may be open.
    bool has_room(const Question& question) {
        const std::size_t bytes = open_bytes_ + question.line.size();
        if (open_.size() < options_.max_open && bytes <= options_.max_open_bytes) return true;
        const auto found = shares_.find(question.asker);
        const Share share = found == shares_.end() ? Share{} : found->second;
        if (share.questions < options_.share_of_asker &&
            share.bytes + question.line.size() <= options_.share_of_asker_bytes &&
            open_.size() < options_.max_open_in_shares && bytes <= 2 * options_.max_open_bytes) {
            return true;
        }
        ++stats_.refused;
        if (const auto held_back = refused_log_.pass(loop_.now())) {
            log::warn("auth", "too_many_questions",
                      {{"asker", question.asker},
                       {"of_asker", share.questions},
                       {"open", open_.size()},
                       {"bytes", open_bytes_},
                       {"remedy", "see why sio-authd is slow or away, and whether the asker floods"},
                       {"held_back", *held_back}});
        }
        return false;
    }

    void ask(std::uint64_t id, Question question) {
        if (!has_room(question)) {
            later([this, asked = std::make_shared<Question>(std::move(question))] {
                give_up(std::move(*asked), "too many questions are open");
            });
            return;
        }
        if (greeted_) client_->queue(question.line);
        deadlines_.emplace_back(loop_.now() + options_.timeout, id);
        if (!overdue_.is_armed()) loop_.timers().arm(overdue_, deadlines_.front().first);
        keep(id, std::move(question));
    }

    void keep(std::uint64_t id, Question question) {
        open_bytes_ += question.line.size();
        Share& share = shares_[question.asker];
        ++share.questions;
        share.bytes += question.line.size();
        open_.emplace(id, std::move(question));
    }

    void ask_right(const Holder& holder, std::string_view room, std::string_view room_token,
                   std::function<void(Right)> done) {
        const Digest digest = digest_of(holder, room, room_token);
        if (const auto same = asking_.find(digest); same != asking_.end()) {
            open_.at(same->second).rights.push_back(std::move(done));
            return;
        }
        ++stats_.rights_asked;
        wire::ObjectWriter line;
        const std::uint64_t id = begin(line, "may_join");
        line.text("user", holder.user).text("room", room).text("session", holder.session);
        line.raw("claims", holder.claims.empty() ? "{}" : holder.claims);
        if (!room_token.empty()) line.text("room_token", room_token);
        Question question;
        question.line = line.line();
        question.asker = holder.user.empty() ? "session " : "user ";
        question.asker += holder.user.empty() ? holder.session : holder.user;
        question.digest = digest;
        question.epoch = rights_epoch_;
        if (room_token.size() > max_credential_bytes || question.line.size() > max_line) {
            later([done = std::move(done)] { done(Right::denied); });
            return;
        }
        question.rights.push_back(std::move(done));
        ask(id, std::move(question));
        if (open_.contains(id)) asking_.emplace(digest, id);
    }

    std::optional<Question> take(std::uint64_t id) {
        const auto found = open_.find(id);
        if (found == open_.end()) return std::nullopt;
        Question question = std::move(found->second);
        open_.erase(found);
        open_bytes_ -= question.line.size();
        const auto share = shares_.find(question.asker);
        SIO_CHECK(share != shares_.end());
        share->second.bytes -= question.line.size();
        if (--share->second.questions == 0) shares_.erase(share);
        if (!question.decide) {
            if (const auto same = asking_.find(question.digest); same != asking_.end() && same->second == id) {
                asking_.erase(same);
            }
        }
        return question;
    }

    void tell(const std::function<void(Decision)>& decide, Decision decision) {
        switch (decision.kind) {
            case Decision::Kind::granted: ++stats_.granted; break;
            case Decision::Kind::denied: ++stats_.denied; break;
            case Decision::Kind::unavailable: ++stats_.unavailable; break;
        }
        decide(std::move(decision));
    }

    void give_up(Question question, std::string_view reason) {
        if (question.decide) {
            Decision decision;
            decision.reason = reason;
            tell(question.decide, std::move(decision));
        }
        for (const auto& done : question.rights) done(Right::unavailable);
    }

    void end_overdue(Millis now) {
        while (!deadlines_.empty() && deadlines_.front().first <= now) {
            const std::uint64_t id = deadlines_.front().second;
            deadlines_.pop_front();
            auto question = take(id);
            if (question) give_up(std::move(*question), greeted_ ? "sio-authd did not answer in time" : trouble_);
        }
        if (!deadlines_.empty()) loop_.timers().arm(overdue_, deadlines_.front().first);
    }

    void run_later() {
        std::vector<std::function<void()>> due;
        due.swap(later_);
        for (const auto& act : due) act();
    }

    // --- the connection ---

    void connect(Millis now) {
        auto connected = net::UnixClient::connect(options_.path);
        if (!connected) {
            drop(now, connected.error().what);
            return;
        }
        client_ = std::move(*connected);
        connected_at_ = heard_ = now;
        lines_ = wire::LineSplitter(max_line);
        client_->queue(wire::admin_client_greeting());
        if (auto watched = loop_.watch(client_->fd(), *this); !watched) drop(now, watched.error().what);
    }

    void drop(Millis now, std::string_view reason) {
        if (client_) {
            loop_.unwatch(client_->fd(), *this);
            client_.reset();
        }
        if (greeted_) {
            greeted_ = false;
            down_since_ = now;
        }
        // Once for each time it goes: what follows is told by health.
        if (!complained_) log::warn("auth", "authd_away", {{"path", options_.path}, {"reason", reason}});
        complained_ = true;
        trouble_ = reason;
        checks_.clear();
        checks_known_ = checks_ok_ = false;
        health_asked_.reset();
        closed_.clear();
        backoff_ = std::clamp(backoff_ * 2, options_.backoff_min, options_.backoff_max);
        loop_.timers().arm(retry_, now + backoff_);
    }

    void greet(std::string_view line) {
        const auto greeting = wire::parse_admin_greeting(line);
        if (!greeting || greeting->program != "sio-authd") {
            drop(loop_.now(),
                 greeting ? "the peer is " + greeting->program + ", not sio-authd" : greeting.error().what);
            return;
        }
        greeted_ = true;
        complained_ = false;
        ++stats_.connects;
        log::info("auth", "authd_connected", {{"version", greeting->version}, {"pid", greeting->pid}});
        ask_health(loop_.now());
        // In the order in which they were asked; those that are overdue are gone already.
        for (const auto& [deadline, id] : deadlines_) {
            if (const auto waiting = open_.find(id); waiting != open_.end()) client_->queue(waiting->second.line);
        }
        if (stats_.connects > 1) {
            forget_rights();
            owner_.on_recheck_sessions();
            owner_.on_recheck_rights();
        }
    }

    void ask_health(Millis now) {
        wire::ObjectWriter line;
        health_id_ = begin(line, "health");
        client_->queue(line.line());
        health_asked_ = now;
    }

    // Health is asked for all the time: a daemon that is stopped keeps its connection, and says so by nothing else.
    void tick(Millis now) {
        loop_.timers().arm(tick_, now + tick_interval);
        sweep(now);
        if (!client_) return;
        if (!greeted_) {
            if (now - connected_at_ >= silence_limit) drop(now, "no greeting");
        } else if (!health_asked_) {
            ask_health(now);
        } else if (now - std::max(*health_asked_, heard_) >= silence_limit) {
            drop(now, "does not answer");
        }
    }

    void on_ready(std::uint32_t) override {
        while (client_) {
            const auto bytes = client_->on_ready(POLLIN | POLLOUT);
            if (!bytes) {
                drop(loop_.now(), bytes.error().what);
                return;
            }
            if (bytes->empty()) return;
            heard_ = loop_.now();
            lines_.feed(*bytes);
            while (client_) {
                const auto line = lines_.next();
                if (!line) break;
                if (!greeted_) {
                    greet(*line);
                } else if (const std::string text(*line); !handle(text)) {
                    drop(loop_.now(), "a malformed line");
                }
            }
            if (client_ && lines_.too_long()) drop(loop_.now(), "a line above 64 KiB");
        }
    }

    bool end_turn() override {
        if (!greeted_) {
            closed_.clear();
        } else {
            for (std::size_t at = 0; at < closed_.size(); at += sessions_per_line) {
                const std::size_t end = std::min(closed_.size(), at + sessions_per_line);
                const auto first = closed_.begin() + static_cast<std::ptrdiff_t>(at);
                wire::ObjectWriter line;
                begin(line, "closed");
                line.texts("sessions", {first, closed_.begin() + static_cast<std::ptrdiff_t>(end)});
                client_->queue(line.line());
            }
            closed_.clear();
        }
        if (client_ && client_->queued_bytes() > 0) {
            if (auto sent = client_->on_ready(POLLOUT); !sent) drop(loop_.now(), sent.error().what);
        }
        return false;
    }

    // --- what it says. False: the line makes no sense, and the connection is not trusted any further. ---

    bool handle(std::string_view line) {
        if (!base::is_utf8(line) || !json::is_valid(line) || base::trim(line).front() != '{') return false;
        line = base::trim(line);
        if (!json::member(line, "id")) return hear(line);
        const auto reply = wire::parse_admin_reply(line);
        if (!reply || !reply->id) return false;
        backoff_ = 0;
        if (*reply->id == health_id_) {
            health_asked_.reset();
            const auto checks = json::member(line, "checks");
            if (checks && json::kind_of(*checks) == json::Kind::object) set_checks(*checks);
            return reply->kind == wire::AdminReply::Kind::ok;
        }
        auto question = take(*reply->id);
        if (!question) return true;  // it came too late, or needs none
        if (reply->kind == wire::AdminReply::Kind::error) {
            log::warn("auth", "authd_refused", {{"code", reply->code}, {"reason", reply->message}});
            give_up(std::move(*question), reply->message);
            return true;
        }
        if (question->decide) return decide(std::move(*question), line);
        if (question->epoch != rights_epoch_) {
            // Rights have changed since; this may be what they were. It is asked again, and has its old deadline.
            question->epoch = rights_epoch_;
            client_->queue(question->line);
            keep(*reply->id, std::move(*question));
            return true;
        }
        return settle(std::move(*question), line);
    }

    bool decide(Question question, std::string_view line) {
        const std::string result = text_of(line, "result");
        Decision decision;
        decision.reason = text_of(line, "reason");
        if (result == "granted") {
            decision.kind = Decision::Kind::granted;
            decision.user = text_of(line, "user");
            decision.session = text_of(line, "session");
            decision.token_kind = text_of(line, "kind");
            decision.key = text_of(line, "key");
            decision.renews = json::member(line, "renews") == "true";
            if (const auto claims = json::member(line, "claims"); claims && *claims != "null") {
                if (json::kind_of(*claims) != json::Kind::object) return misunderstood(std::move(question));
                decision.claims = *claims;
            }
            if (const auto expires = json::member(line, "expires"); expires && *expires != "null") {
                decision.expires = number_of(line, "expires", last_moment);
                if (!decision.expires) return misunderstood(std::move(question));
            }
            // A member of the wrong kind is no member that is absent: nobody becomes anonymous by it.
            for (const std::string_view name : {"user", "session"}) {
                const auto raw = json::member(line, name);
                if (raw && *raw != "null" && json::kind_of(*raw) != json::Kind::string) {
                    return misunderstood(std::move(question));
                }
            }
        } else if (result == "denied") {
            decision.kind = Decision::Kind::denied;
            decision.code = text_of(line, "code");
            if (decision.code.empty()) decision.code = "unauthorized";
        } else if (result != "unavailable") {
            return misunderstood(std::move(question));
        }
        tell(question.decide, std::move(decision));
        return true;
    }

    bool settle(Question question, std::string_view line) {
        const std::string result = text_of(line, "result");
        Right right = Right::unavailable;
        if (result == "granted") {
            right = Right::granted;
        } else if (result == "denied") {
            right = Right::denied;
        } else if (result != "unavailable") {
            return misunderstood(std::move(question));
        }
        const Millis ttl = number_of(line, "ttl_ms", longest_ttl).value_or(0);
        if (right != Right::unavailable && ttl > 0) keep(question.digest, {right, loop_.now() + ttl});
        log::debug("auth", "right", {{"result", result}, {"rule", text_of(line, "rule")}});
        for (const auto& done : question.rights) done(right);
        return true;
    }

    bool misunderstood(Question question) {
        give_up(std::move(question), "the answer makes no sense");
        return false;
    }

    bool hear(std::string_view line) {
        const std::string event = text_of(line, "event");
        if (event == "status") {
            const auto checks = json::member(line, "checks");
            if (!checks || json::kind_of(*checks) != json::Kind::object) return false;
            set_checks(*checks);
        } else if (event == "recheck") {
            const std::string what = text_of(line, "what");
            if (what == "rights") {
                forget_rights();
                owner_.on_recheck_rights();
            } else if (what == "sessions") {
                owner_.on_recheck_sessions();
            }
        } else if (event == "revoked") {
            if (const std::string user = text_of(line, "user"); !user.empty()) {
                owner_.on_revoked_user(user);
            } else if (const std::string session = text_of(line, "session"); !session.empty()) {
                owner_.on_revoked_session(session);
            } else if (const std::string key = text_of(line, "key"); !key.empty()) {
                owner_.on_revoked_key(key);
            } else {
                return false;
            }
        } else {
            // A newer daemon may say more; without an event it is an error about no request.
            return !event.empty();
        }
        return true;
    }

    void set_checks(std::string_view checks) {
        std::string members;
        bool ok = true;
        for (json::Walker check(checks); check.next();) {
            const std::string name = json::decode_string(check.key());
            if (json::kind_of(check.value()) != json::Kind::object || name == "loop" || name == "authd") continue;
            // The gateway has checks of its own by these names.
            const bool is_ours = name == "redis" || name == "stream";
            members += ',' + json::quote(is_ours ? "authd_" + name : name) + ':';
            members += check.value();
            ok = ok && json::member(check.value(), "ok") == "true";
        }
        if (checks_known_ && ok != checks_ok_) {
            log::line(ok ? log::Level::info : log::Level::warn, "auth", ok ? "authd_well" : "authd_ill",
                      {{"checks", members.empty() ? members : members.substr(1)}});
        }
        checks_ = std::move(members);
        checks_known_ = true;
        checks_ok_ = ok;
    }

    // --- rights ---

    void keep(const Digest& digest, Kept kept) {
        const auto [entry, is_new] = rights_.insert_or_assign(digest, kept);
        if (!is_new) return;
        rights_order_.push_back(digest);
        while (rights_order_.size() > options_.max_rights) {
            rights_.erase(rights_order_.front());
            rights_order_.pop_front();
        }
    }

    void forget_rights() {
        ++rights_epoch_;
        rights_.clear();
        rights_order_.clear();
        asking_.clear();  // who asks from now on is not content with an answer that is on its way
    }

    // A part at a time, so that no turn is long: those that are good go to the end.
    void sweep(Millis now) {
        for (std::size_t i = std::min(sweep_per_tick, rights_order_.size()); i > 0; --i) {
            const Digest digest = rights_order_.front();
            rights_order_.pop_front();
            const auto found = rights_.find(digest);
            if (found->second.until <= now) {
                rights_.erase(found);
            } else {
                rights_order_.push_back(digest);
            }
        }
    }

    net::Loop& loop_;
    AuthorityOptions options_;
    Owner& owner_;
    Stats stats_;

    std::optional<net::UnixClient> client_;
    wire::LineSplitter lines_{max_line};
    bool greeted_ = false;
    bool complained_ = false;
    Millis down_since_;
    Millis connected_at_ = 0;
    Millis heard_ = 0;
    Millis backoff_ = 0;
    std::string trouble_ = "not connected yet";
    std::optional<Millis> health_asked_;
    std::uint64_t health_id_ = 0;
    std::string checks_;  // the daemon's, each after a comma
    bool checks_known_ = false;
    bool checks_ok_ = false;

    std::uint64_t ids_ = 0;
    std::unordered_map<std::uint64_t, Question> open_;
    std::size_t open_bytes_ = 0;
    std::unordered_map<std::string, Share, base::KeyedHash, std::equal_to<>> shares_;  // of who has questions open
    base::LogThrottle refused_log_;
    std::deque<std::pair<Millis, std::uint64_t>> deadlines_;  // in order: each has the same time
    std::vector<std::function<void()>> later_;
    std::vector<std::string> closed_;

    std::unordered_map<Digest, Kept, DigestHash> rights_;
    std::deque<Digest> rights_order_;  // each of rights_ once
    std::unordered_map<Digest, std::uint64_t, DigestHash> asking_;
    std::uint64_t rights_epoch_ = 0;

    Alarm retry_{[this](Millis now) { connect(now); }};
    Alarm tick_{[this](Millis now) { tick(now); }};
    Alarm overdue_{[this](Millis now) { end_overdue(now); }};
    Alarm soon_{[this](Millis) { run_later(); }};
};

Authority::Authority(net::Loop& loop, AuthorityOptions options, Owner& owner)
    : parts_(std::make_unique<Parts>(loop, std::move(options), owner)) {}

Authority::~Authority() = default;

void Authority::start() { parts_->start(); }

void Authority::authenticate(const Credentials& credentials, std::string_view must_be_user,
                             std::function<void(Decision)> done) {
    parts_->authenticate(credentials, must_be_user, std::move(done));
}

std::optional<Right> Authority::known(const Holder& holder, std::string_view room) {
    return parts_->known(Parts::digest(holder, room));
}

void Authority::may_join(const Holder& holder, std::span<const std::string> rooms, std::string_view room_token,
                         std::function<void(Right, std::string room)> done) {
    parts_->may_join(holder, rooms, room_token, std::move(done));
}

void Authority::closed(std::string_view session) { parts_->closed(session); }

bool Authority::is_up() const noexcept { return parts_->is_up(); }

std::optional<Millis> Authority::away_for() const noexcept { return parts_->away_for(); }

std::string Authority::checks() const { return parts_->checks(); }

bool Authority::is_ready() const noexcept { return parts_->is_ready(); }

const Authority::Stats& Authority::stats() const noexcept { return parts_->stats(); }

}  // namespace sio::gateway
