#include "gateway/passes.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/json.h"
#include "base/log.h"
#include "proto/http_head.h"
#include "wire/admin.h"

namespace sio::gateway {

namespace {

constexpr Millis away_limit = 1'000;        // the daemon may restart without a handshake noticing
constexpr Millis longest_wait = 3'600'000;  // then the clock is read again: it may have been set
constexpr Millis look_again = 1'000;        // at what cannot be decided at the deadline
constexpr Millis retry_interval = 2'000;
constexpr Millis retry_anyway = 30'000;  // although the daemon says that something is away
constexpr Millis remembered = 30'000;    // longer than any question takes
constexpr std::size_t max_remembered = 100'000;

constexpr std::string_view refresh_name = "\"sio:refresh\"";

}  // namespace

struct Passes::Life final : base::Timer {
    Life(Passes& o, std::uint64_t n) : owner(o), number(n) {}
    Passes& owner;
    std::uint64_t number;

private:
    void expire(Millis now) override { owner.due(number, now); }
};

class Passes::RetryTimer final : public base::Timer {
public:
    explicit RetryTimer(Passes& owner) : owner_(owner) {}

private:
    void expire(Millis now) override { owner_.retry(now); }
    Passes& owner_;
};

Passes::Passes(net::Loop& loop, PassOptions options, Hub& hub)
    : loop_(loop), options_(options), hub_(hub), retry_timer_(std::make_unique<RetryTimer>(*this)) {}

Passes::~Passes() = default;

// --- words ----------------------------------------------------------------------------------------------------------

std::string_view Passes::message(std::string_view code) noexcept {
    if (code == "token_expired") return "expired";
    if (code == "no_credentials") return "no credentials";
    if (code == "origin") return "origin not allowed";
    if (code == "revoked") return "revoked";
    if (code == "unavailable") return "try again";
    return "unauthorized";
}

std::string Passes::data(std::string_view code) { return wire::ObjectWriter().text("code", code).object(); }

std::string Passes::without_token(std::string_view auth) {
    std::string rest = "{";
    for (json::Walker member(auth); member.next();) {
        if (json::decode_string(member.key()) == "token") continue;
        if (rest.size() > 1) rest += ',';
        rest.append(member.key()).append(":").append(member.value());
    }
    return rest + '}';
}

bool Passes::is_refresh(const proto::SioPacket& packet) {
    const std::string_view name = proto::event_name_token(packet.json);
    if (name == refresh_name) return true;
    // However it is written: else a token would go on to the routes.
    return name.find('\\') != std::string_view::npos && json::quote(json::decode_string(name)) == refresh_name;
}

// --- asking ---------------------------------------------------------------------------------------------------------

bool Passes::can_ask() const noexcept { return authority_->away_for().value_or(0) <= away_limit; }

void Passes::ask(const Session& session, const std::optional<std::string>& token, std::string_view must_be_user,
                 std::function<void(Decision)> done) {
    Credentials credentials;
    proto::HttpHead head;
    const bool has_head = !proto::parse_http_head(session.head, head);
    std::string cookies;
    std::optional<std::string> query_token;
    if (has_head) credentials.origin = head.header("origin");
    credentials.same_origin = has_head && !credentials.origin && head.header("sec-fetch-site") == "same-origin";
    if (token) {
        credentials.token = *token;
    } else if (has_head) {
        credentials.authorization = head.header("authorization");
        // Proxies that came from HTTP/2 may give a cookie a header each.
        for (std::size_t i = 0; !credentials.authorization && i < head.header_count; ++i) {
            if (!base::equal_ignoring_case(head.headers[i].name, "cookie")) continue;
            if (!cookies.empty()) cookies += "; ";
            cookies += head.headers[i].value;
            credentials.cookie = cookies;
        }
        if (options_.query_token && !credentials.authorization) {
            query_token = proto::query_parameter(head.query, "token");
            if (query_token) credentials.query_token = *query_token;
        }
    }
    const std::string address = session.address.to_string();
    credentials.address = address;
    authority_->authenticate(credentials, must_be_user, std::move(done));
}

std::unique_ptr<Pass> Passes::make(Decision decision, std::optional<std::string> token) const {
    auto pass = std::make_unique<Pass>();
    pass->session = std::move(decision.session);
    pass->kind = std::move(decision.token_kind);
    pass->key = std::move(decision.key);
    pass->claims = std::move(decision.claims);
    pass->expires = decision.expires;
    pass->renews = decision.renews;
    pass->token = std::move(token);
    return pass;
}

// --- who is here ----------------------------------------------------------------------------------------------------

Socket* Passes::find(std::uint64_t number) const {
    const auto found = sockets_.find(number);
    return found == sockets_.end() ? nullptr : found->second;
}

void Passes::index(Socket& socket) {
    if (!socket.pass->session.empty()) by_session_[socket.pass->session].push_back(&socket);
    if (!socket.user.empty()) by_user_[socket.user].push_back(&socket);
}

void Passes::unindex(const Socket& socket) {
    const auto take_from = [&socket](StringMap<std::vector<Socket*>>& map, const std::string& name) {
        const auto found = map.find(name);
        if (found == map.end()) return;
        std::erase(found->second, &socket);
        if (found->second.empty()) map.erase(found);
    };
    take_from(by_session_, socket.pass->session);
    take_from(by_user_, socket.user);
}

void Passes::admitted(Socket& socket, Millis asked_at, Millis decided_at) {
    Pass& pass = *socket.pass;
    const Millis now = loop_.now();
    pass.number = ++numbers_;
    pass.granted_at = loop_.wall_clock();
    pass.life = std::make_unique<Life>(*this, pass.number);
    sockets_.emplace(pass.number, &socket);
    index(socket);
    plan(socket, now);
    if (socket.recovered) {
        // The rooms he was let into are his again; whether he may still be there is asked.
        if (const auto back = away_.find(socket.secret); back != away_.end()) {
            if (back->second.until > now) pass.rooms = std::move(back->second.rooms);
            away_.erase(back);
        }
        if (!pass.rooms.empty()) recheck_rooms(socket);
    }
    // What the daemon has forgotten, or said to everybody, since it answered.
    const auto closed = closed_at_.find(pass.session);
    if (decided_at < rechecked_at_ || (closed != closed_at_.end() && asked_at <= closed->second)) {
        rechecks_.push_back({pass.number, {}});
    }
    pump();
}

void Passes::left(Socket& socket, bool comes_back) {
    Pass& pass = *socket.pass;
    pass.life.reset();
    sockets_.erase(pass.number);
    unindex(socket);
    forget_session(pass.session);
    if (!comes_back || pass.rooms.empty()) return;
    const Millis until = loop_.now() + options_.recovery_window;
    away_.insert_or_assign(socket.secret, Away{std::move(pass.rooms), until});
    away_order_.emplace_back(until, socket.secret);
    forget_old();
}

void Passes::unused(std::string_view session) { forget_session(std::string(session)); }

void Passes::forget_session(const std::string& session) {
    if (session.empty() || by_session_.contains(session)) return;
    authority_->closed(session);
    // A question about it that is under way may be answered before the daemon reads this, and be forgotten by it.
    closed_at_.insert_or_assign(session, loop_.now());
    closed_lately_.emplace_back(loop_.now(), session);
    forget_old();
}

void Passes::forget_old() {
    const Millis now = loop_.now();
    while (!closed_lately_.empty() &&
           (closed_lately_.front().first < now - remembered || closed_lately_.size() > max_remembered)) {
        const auto found = closed_at_.find(closed_lately_.front().second);
        if (found != closed_at_.end() && found->second == closed_lately_.front().first) closed_at_.erase(found);
        closed_lately_.pop_front();
    }
    while (!revoked_lately_.empty() &&
           (revoked_lately_.front().at < now - remembered || revoked_lately_.size() > max_remembered)) {
        revoked_lately_.pop_front();
    }
    while (!away_order_.empty() && (away_order_.front().first < now || away_order_.size() > max_remembered)) {
        const auto found = away_.find(away_order_.front().second);
        if (found != away_.end() && found->second.until == away_order_.front().first) away_.erase(found);
        away_order_.pop_front();
    }
}

// --- the end of a session -------------------------------------------------------------------------------------------

/// The wall clock at `now`, which may be a little ahead of the loop's.
Millis Passes::wall(Millis now) const noexcept { return loop_.wall_clock() - loop_.now() + now; }

void Passes::arm(Pass& pass, Millis at_wall, Millis now) {
    loop_.timers().arm(*pass.life, now + std::clamp<Millis>(at_wall - wall(now), 0, longest_wait));
}

// Says when the session is looked at next.
void Passes::plan(Socket& socket, Millis now) {
    Pass& pass = *socket.pass;
    if (!pass.expires) {
        pass.life->disarm();
        return;
    }
    const Millis end = *pass.expires * 1000;
    if (pass.warned) {
        arm(pass, std::max(end + options_.grace, pass.spared_until), now);
        return;
    }
    Millis warning = end - options_.warning;
    // Who refreshes as soon as he is warned would do nothing else, where sessions are shorter than the warning.
    if (pass.refreshed) warning = std::max(warning, pass.granted_at + (end - pass.granted_at) / 2);
    arm(pass, warning, now);
}

void Passes::due(std::uint64_t number, Millis now) {
    Socket* socket = find(number);
    if (socket == nullptr || !socket->pass->expires) return;
    Pass& pass = *socket->pass;
    const Millis end = *pass.expires * 1000;
    if (!pass.warned) {
        Millis warning = end - options_.warning;
        if (pass.refreshed) warning = std::max(warning, pass.granted_at + (end - pass.granted_at) / 2);
        if (wall(now) < warning) return plan(*socket, now);
        if (pass.renews) {
            ask_again(*socket);
        } else {
            warn(*socket, now);
        }
        return;
    }
    if (wall(now) < std::max(end + options_.grace, pass.spared_until)) return plan(*socket, now);
    // Nobody is closed because something is away, nor while his new token is looked at.
    if (pass.refreshing || !authority_->is_up()) {
        loop_.timers().arm(*pass.life, now + look_again);
    } else if (pass.renews) {
        ask_again(*socket);
    } else {
        close(*socket, "token_expired");
    }
}

void Passes::warn(Socket& socket, Millis now) {
    Pass& pass = *socket.pass;
    pass.warned = true;
    plan(socket, now);
    const std::string arguments = wire::ObjectWriter()
                                      .number("expires", *pass.expires)
                                      .number("in_ms", std::max<Millis>(0, *pass.expires * 1000 - wall(now)))
                                      .object();
    hub_.tell(socket, {"\"sio:expiring\"", arguments});
}

// Its end may have moved without its client doing anything: sessions in a database slide.
void Passes::ask_again(Socket& socket) {
    Pass& pass = *socket.pass;
    if (std::exchange(pass.asking, true)) return;
    const Session* session = hub_.engine().session(socket.slot);
    if (session == nullptr) return;
    ++stats_.rechecked;
    ask(*session, pass.token, socket.user,
        [this, number = pass.number](Decision decision) { renewed(number, std::move(decision)); });
}

void Passes::renewed(std::uint64_t number, Decision decision) {
    Socket* socket = find(number);
    if (socket == nullptr) return;
    Pass& pass = *socket->pass;
    pass.asking = false;
    const Millis now = loop_.now();
    const Decision::Kind kind = decision.kind;
    switch (kind) {
        case Decision::Kind::granted:
            if (decision.user != socket->user) return close(*socket, "user_changed");
            if (apply(*socket, std::move(decision))) return;
            break;
        case Decision::Kind::denied:
            if (!pass.refreshing) return close(*socket, decision.code);
            break;
        case Decision::Kind::unavailable: break;
    }
    if (!pass.expires) return;
    if (!pass.warned) {
        warn(*socket, now);
    } else if (kind == Decision::Kind::granted && !pass.refreshing &&
               wall(now) >= std::max(*pass.expires * 1000 + options_.grace, pass.spared_until)) {
        close(*socket, "token_expired");
    } else {
        loop_.timers().arm(*pass.life, now + look_again);
    }
}

bool Passes::apply(Socket& socket, Decision decision) {
    Pass& pass = *socket.pass;
    const bool later = !decision.expires || (pass.expires && *decision.expires > *pass.expires);
    const bool other_rights = decision.claims != pass.claims || decision.session != pass.session;
    const std::string session = pass.session;
    unindex(socket);
    pass.session = std::move(decision.session);
    pass.kind = std::move(decision.token_kind);
    pass.key = std::move(decision.key);
    pass.claims = std::move(decision.claims);
    pass.renews = decision.renews;
    const bool moved = decision.expires != pass.expires;
    pass.expires = decision.expires;
    index(socket);
    if (session != pass.session) forget_session(session);
    if (moved) {
        pass.warned = false;
        pass.granted_at = loop_.wall_clock();
        pass.refreshed = true;
        pass.spared_until = 0;
        plan(socket, loop_.now());
    }
    if (other_rights) {
        recheck_rooms(socket);
        pump();
    }
    return later;
}

void Passes::close(Socket& socket, std::string_view reason) {
    const bool expired = reason == "token_expired";
    ++(expired ? stats_.expired : stats_.revoked);
    log::info("auth", "session_ended", {{"sid", socket.id.view()}, {"user", socket.user}, {"reason", reason}});
    hub_.tell(socket, {"\"sio:closed\"", wire::ObjectWriter().text("reason", reason).object()});
    if (expired) {
        hub_.send_back(socket);  // it may have a new token by now
    } else {
        hub_.disconnect(socket, false);
    }
}

// --- a new token ----------------------------------------------------------------------------------------------------

void Passes::acknowledge(Socket& socket, std::optional<std::uint64_t> ack, std::string_view code,
                         std::string_view reason) {
    if (ack) hub_.acknowledge(socket, *ack, wire::ObjectWriter().text("error", code).text("reason", reason).object());
}

void Passes::refresh(Socket& socket, const proto::SioPacket& packet) {
    Pass& pass = *socket.pass;
    if (pass.refreshing) return acknowledge(socket, packet.id, "busy", "the last token is looked at still");
    const std::string arguments = "[" + std::string(proto::event_arguments(packet.json)) + "]";
    const auto argument = json::element(arguments, 0);
    const auto raw =
        argument && json::kind_of(*argument) == json::Kind::object ? json::member(*argument, "token") : std::nullopt;
    std::string token;
    if (raw && json::kind_of(*raw) == json::Kind::string) token = json::decode_string(*raw);
    if (token.empty()) {
        const bool is_string = raw && json::kind_of(*raw) == json::Kind::string;
        hub_.tell_malformed_token(socket.slot, socket.nsp->name,
                                  is_string ? "sio:refresh has an empty token" : "sio:refresh has no token string");
        return acknowledge(socket, packet.id, "unauthorized", "no token");
    }
    const Session* session = hub_.engine().session(socket.slot);
    if (session == nullptr) return;
    pass.refreshing = true;
    ask(*session, token, socket.user, [this, number = pass.number, ack = packet.id, token](Decision decision) {
        refreshed(number, ack, token, std::move(decision));
    });
}

void Passes::refreshed(std::uint64_t number, std::optional<std::uint64_t> ack, std::string token, Decision decision) {
    Socket* socket = find(number);
    if (socket == nullptr) {
        if (decision.kind == Decision::Kind::granted) unused(decision.session);
        return;
    }
    Pass& pass = *socket->pass;
    pass.refreshing = false;
    if (decision.kind == Decision::Kind::granted && decision.user != socket->user) {
        unused(decision.session);
        decision.kind = Decision::Kind::denied;
        decision.code = "user_changed";
        decision.reason = "another user's token";
    }
    if (decision.kind == Decision::Kind::granted) {
        ++stats_.refreshed;
        pass.token = std::move(token);
        const std::string expires = decision.expires ? std::to_string(*decision.expires) : "null";
        log::debug("auth", "refreshed", {{"sid", socket->id.view()}, {"user", socket->user}});
        apply(*socket, std::move(decision));
        if (ack) hub_.acknowledge(*socket, *ack, R"({"ok":true,"expires":)" + expires + '}');
        return;
    }
    if (decision.kind == Decision::Kind::denied) {
        ++stats_.refresh_denied;
        pass.spared_until = 0;
        log::info(
            "auth", "refresh_denied",
            {{"sid", socket->id.view()}, {"user", socket->user}, {"code", decision.code}, {"reason", decision.reason}});
        acknowledge(*socket, ack, decision.code, message(decision.code));
    } else {
        pass.spared_until = loop_.wall_clock() + options_.grace;
        acknowledge(*socket, ack, "unavailable", message("unavailable"));
    }
}

// --- what the daemon says unasked -----------------------------------------------------------------------------------

bool Passes::is_revoked(const Pass& pass, std::string_view user, Millis decided_at) const {
    return std::any_of(revoked_lately_.rbegin(), revoked_lately_.rend(), [&](const Revocation& one) {
        if (one.at < decided_at) return false;
        switch (one.mark) {
            case Mark::user: return one.name == user;
            case Mark::session: return one.name == pass.session;
            case Mark::key: return one.name == pass.key;
        }
        return false;
    });
}

void Passes::revoke(Mark mark, std::string_view name) {
    // Who waits for something else than the daemon's answer is not among the sockets yet.
    revoked_lately_.push_back({loop_.now(), mark, std::string(name)});
    forget_old();
    std::vector<std::uint64_t> numbers;
    if (mark == Mark::key) {
        for (const auto& [number, socket] : sockets_) {
            if (socket->pass->key == name) numbers.push_back(number);
        }
    } else {
        const auto& map = mark == Mark::user ? by_user_ : by_session_;
        if (const auto found = map.find(name); found != map.end()) {
            for (const Socket* socket : found->second) numbers.push_back(socket->pass->number);
        }
    }
    // By number: one that ends may end others.
    for (const std::uint64_t number : numbers) {
        if (Socket* socket = find(number)) close(*socket, "revoked");
    }
}

void Passes::on_revoked_user(std::string_view user) { revoke(Mark::user, user); }
void Passes::on_revoked_session(std::string_view session) { revoke(Mark::session, session); }
void Passes::on_revoked_key(std::string_view key) { revoke(Mark::key, key); }

void Passes::on_recheck_sessions() {
    rechecked_at_ = loop_.now();
    const auto is_session = [](const Recheck& one) { return one.room.empty(); };
    std::erase_if(rechecks_, is_session);
    std::erase_if(unsettled_, is_session);
    for (const auto& [number, socket] : sockets_) rechecks_.push_back({number, {}});
    pump();
}

void Passes::on_recheck_rights() {
    const auto is_right = [](const Recheck& one) { return !one.room.empty(); };
    std::erase_if(rechecks_, is_right);
    std::erase_if(unsettled_, is_right);
    for (const auto& [number, socket] : sockets_) recheck_rooms(*socket);
    pump();
}

void Passes::recheck_rooms(const Socket& socket) {
    for (const Pass::Granted& granted : socket.pass->rooms) rechecks_.push_back({socket.pass->number, granted.room});
}

void Passes::pump() {
    while (rechecking_ < max_rechecks && !rechecks_.empty()) {
        const Recheck next = std::move(rechecks_.front());
        rechecks_.pop_front();
        Socket* socket = find(next.number);
        if (socket == nullptr) continue;
        if (next.room.empty()) {
            recheck_session(*socket);
        } else {
            recheck_right(*socket, next.room);
        }
    }
}

void Passes::recheck_session(Socket& socket) {
    const Session* session = hub_.engine().session(socket.slot);
    if (session == nullptr) return;
    ++rechecking_;
    ++stats_.rechecked;
    ask(*session, socket.pass->token, socket.user, [this, number = socket.pass->number](Decision decision) {
        --rechecking_;
        if (Socket* still = find(number)) {
            // A session at its end has its grace, and may be refreshed just now.
            const bool at_its_end = decision.code == "token_expired" && still->pass->expires && !still->pass->renews;
            if (decision.kind == Decision::Kind::unavailable) {
                put_off({number, {}});
            } else if (decision.kind == Decision::Kind::denied) {
                if (!at_its_end) close(*still, decision.code);
            } else if (decision.user != still->user) {
                close(*still, "user_changed");
            } else {
                apply(*still, std::move(decision));
            }
        }
        pump();
    });
}

void Passes::recheck_right(Socket& socket, const std::string& room) {
    Pass& pass = *socket.pass;
    const auto granted = std::ranges::find_if(pass.rooms, [&](const auto& one) { return one.room == room; });
    if (granted == pass.rooms.end()) return;
    if (std::ranges::none_of(socket.seats, [&](const auto& seat) { return seat.room->name == room; })) {
        pass.rooms.erase(granted);
        return;
    }
    ++rechecking_;
    ++stats_.rechecked;
    authority_->may_join(
        {socket.user, pass.session, pass.claims}, {&room, 1}, granted->token,
        [this, number = pass.number, room](Right right, const std::string&) {
            --rechecking_;
            Socket* still = find(number);
            if (still != nullptr && right == Right::unavailable) {
                put_off({number, room});
            } else if (still != nullptr && right == Right::denied) {
                const bool is_in =
                    std::ranges::any_of(still->pass->rooms, [&](const auto& one) { return one.room == room; });
                if (is_in) {
                    ++stats_.rooms_left;
                    hub_.leave(*still, room);
                    hub_.tell(*still, {"\"sio:left\"",
                                       wire::ObjectWriter().text("room", room).text("reason", "denied").object()});
                }
            }
            pump();
        });
}

void Passes::put_off(Recheck recheck) {
    if (unsettled_.empty()) unsettled_since_ = loop_.now();
    unsettled_.push_back(std::move(recheck));
    if (!retry_timer_->is_armed()) loop_.timers().arm(*retry_timer_, loop_.now() + retry_interval);
}

void Passes::retry(Millis now) {
    if (unsettled_.empty()) return;
    if (authority_->is_ready() || now - unsettled_since_ >= retry_anyway) {
        for (Recheck& one : unsettled_) rechecks_.push_back(std::move(one));
        unsettled_.clear();
        pump();
    } else {
        loop_.timers().arm(*retry_timer_, now + retry_interval);
    }
}

}  // namespace sio::gateway
