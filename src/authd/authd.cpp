#include "authd/authd.h"

#include <signal.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/json.h"
#include "base/log.h"
#include "daemon/limits.h"
#include "daemon/notify.h"
#include "wire/admin.h"

namespace sio::authd {

namespace {

constexpr base::Millis waiting_tick = 50;
constexpr base::Millis idle_tick = 1'000;
constexpr base::Millis unheard_poll = 5'000;  // of sessions, while the database's notifications do not arrive
constexpr base::Millis sweep_interval = 60'000;
constexpr base::Millis complaint_interval = 5'000;
constexpr base::Millis retirement = 3'000;  // beyond the time that its questions may take
constexpr std::string_view database_kind = "database";

std::int64_t n(std::uint64_t value) { return static_cast<std::int64_t>(value); }

std::string event_line(std::string_view event, std::string_view key, std::string_view value) {
    return wire::ObjectWriter().text("event", event).text(key, value).line();
}

std::set<std::pair<std::string, std::size_t>> statements_of(const Rights& rights) {
    std::set<std::pair<std::string, std::size_t>> all;
    for (const Right& right : rights.all()) {
        if (right.kind == Right::Kind::sql) all.emplace(right.statement, right.parameters.size());
    }
    return all;
}

void warn_all(const std::vector<std::string>& warnings) {
    for (const std::string& warning : warnings) log::warn("authd", "config_warning", {{"what", warning}});
}

constexpr std::string_view put_off_reason = "too many failed attempts from this address";

}  // namespace

struct Authd::Tick final : base::Timer {
    explicit Tick(Authd& of) : authd(of) {}
    Authd& authd;

private:
    void expire(base::Millis) override { authd.on_tick(); }
};

// --- Making ----------------------------------------------------------------------------------------------------------

Authd::Authd(net::Loop& loop, const Config& config, daemon::Environment environment)
    : loop_(loop),
      config_(config),
      environment_(std::move(environment)),
      started_(loop.now()),
      server_(loop, *this),
      limiter_(config.failure_burst, config.failure_rate),
      lookup_limiter_(config.failure_burst, config.failure_rate),
      tick_(std::make_unique<Tick>(*this)) {}

Authd::~Authd() = default;

Result<std::unique_ptr<Authd>> Authd::create(net::Loop& loop, const Config& config,
                                             const daemon::Environment& environment) {
    auto material = read_material(config, environment);
    if (!material) return tl::unexpected(material.error());
    auto verifier =
        auth::Verifier::create(std::move(material->policy), std::move(material->jwks).value_or(auth::Jwks()));
    if (!verifier) return tl::unexpected(verifier.error());

    std::unique_ptr<Authd> authd(new Authd(loop, config, environment));
    authd->verifier_ = std::make_unique<auth::Verifier>(std::move(*verifier));
    authd->rights_ = std::make_shared<const Rights>(std::move(material->rights));
    authd->identity_digest_ = material->identity_digest;
    KeySet::Owner& key_owner = *authd;
    RevocationStream::Owner& stream_owner = *authd;
    if (config.has_jwks_url()) {
        authd->key_set_ = std::make_unique<KeySet>(loop, config.jwks, config.jwks_ca, key_owner);
    }
    if (!config.database.empty()) {
        auto database = Database::create(loop, config, *authd->rights_, *authd);
        if (!database) return tl::unexpected(database.error());
        authd->database_ = std::move(*database);
    }
    if (config.redis_endpoint) {
        authd->stream_ = std::make_unique<RevocationStream>(loop, *config.redis_endpoint,
                                                            config.revocation_ttl.count() / 1000, stream_owner);
    }
    warn_all(config.warnings);
    warn_all(material->warnings);
    return authd;
}

Result<void> Authd::start() {
    static_cast<void>(daemon::raise_descriptor_limit());
    if (auto listening = server_.listen(config_.control); !listening) return listening;
    if (database_) database_->start();
    if (stream_) stream_->start();
    if (key_set_) key_set_->start();
    loop_.timers().arm(*tick_, loop_.now() + waiting_tick);
    log::info("authd", "listening",
              {{"path", config_.control}, {"keys", verifier_->keys().size()}, {"rights", rights_->all().size()}});
    return {};
}

void Authd::on_signal(int number) {
    if (number != SIGHUP) {
        daemon::notify_stopping();
        log::info("authd", "stopping");
        server_.stop_listening();
        loop_.stop();
        return;
    }
    daemon::notify_reloading();
    if (auto opened = log::reopen(); !opened) log::error("authd", "log_lost", {{"reason", opened.error().what}});
    if (auto done = reload(); !done) log::error("authd", "reload_refused", {{"what", done.error().what}});
    daemon::notify_ready();
}

void Authd::on_tick() {
    const base::Millis now = loop_.now();
    if (!waiting_.empty()) release_waiting(false);
    if (has_polls() && !is_polling_ && now >= next_round_) poll_sessions();
    std::erase_if(retired_, [now](const Retired& one) { return one.until <= now; });
    if (now >= next_sweep_) {
        revocations_.sweep(wall_seconds());
        next_sweep_ = now + sweep_interval;
    }
    tell_status();
    base::Millis next = now + (waiting_.empty() ? idle_tick : waiting_tick);
    if (has_polls() && !is_polling_) next = std::min(next, std::max(next_round_, now + 1));
    loop_.timers().arm(*tick_, next);
}

bool Authd::may_complain() {
    if (loop_.now() - complained_ < complaint_interval) return false;
    complained_ = loop_.now();
    return true;
}

// --- Requests --------------------------------------------------------------------------------------------------------

void Authd::on_request(std::uint64_t client, std::uint64_t id, Command command) {
    if (auto* const asked = std::get_if<Authenticate>(&command)) {
        authenticate(client, id, std::move(*asked));
    } else if (auto* const joining = std::get_if<MayJoin>(&command)) {
        may_join(client, id, std::move(*joining));
    } else if (const auto* const closed = std::get_if<Closed>(&command)) {
        for (const std::string& session : closed->sessions) sessions_.close(client, session);
        server_.close(client);
    } else if (const auto* const revoked = std::get_if<Revoke>(&command)) {
        revoke(client, id, *revoked);
    } else if (const auto* const level = std::get_if<SetLog>(&command)) {
        log::set_level(level->level);
        server_.answer(client, id, {});
    } else {
        switch (std::get<Plain>(command)) {
            case Plain::revocations: list_revocations(client, id); break;
            case Plain::health: server_.answer(client, id, health()); break;
            case Plain::stat: server_.answer(client, id, "\"stat\":" + counters()); break;
            case Plain::reload:
                if (const auto done = reload()) {
                    server_.answer(client, id, {});
                } else {
                    log::error("authd", "reload_refused", {{"what", done.error().what}});
                    server_.refuse(client, id, to_string(done.error().code), done.error().what);
                }
                break;
        }
    }
}

void Authd::on_gateway(std::uint64_t client) {
    server_.tell(client, wire::ObjectWriter().text("event", "status").raw("checks", checks()).line());
}

void Authd::on_gone(std::uint64_t client) { sessions_.drop_gateway(client); }

// --- Who somebody is -------------------------------------------------------------------------------------------------

void Authd::authenticate(std::uint64_t client, std::uint64_t id, Authenticate request) {
    Carrier carrier = choose_carrier(request, config_);
    Ask ask{client, id, std::move(request), std::move(carrier.token), 0, std::move(carrier.others), {}, false};
    switch (carrier.kind) {
        case Carrier::Kind::token: check(std::move(ask), true); break;
        case Carrier::Kind::refused: deny(ask, carrier.code, carrier.reason, carrier.verdict); break;
        case Carrier::Kind::none:
            if (config_.anonymous) {
                admit(ask, {"anonymous", {}, {}, {}, {}, std::nullopt}, {});
            } else {
                deny(ask, code::no_credentials, "nothing was shown", "malformed");
            }
            break;
    }
}

void Authd::check(Ask ask, bool may_wait) {
    const Digest digest = sha256(ask.token);
    const Seconds now = ask.request.at.value_or(wall_seconds());
    if (!ask.request.verify) {
        if (const Known* const known = known_.find(digest, now)) {
            ++counters_.known;
            admit(ask, *known, {});
            return;
        }
    }
    const auth::Checked checked = verifier_->check(ask.token, now);
    switch (checked.verdict) {
        case auth::Verdict::valid: take_identity(ask, digest, checked); break;
        case auth::Verdict::expired: deny(ask, code::token_expired, checked.detail, to_string(checked.verdict)); break;
        case auth::Verdict::opaque:
            if (!config_.has_database_sessions()) {
                deny(ask, code::unauthorized, "it is no token of ours, and no database is asked for sessions",
                     to_string(checked.verdict));
            } else if (!is_database_token(ask.token)) {
                deny(ask, code::unauthorized, "it cannot be a session's: 1 to 255 printable characters are",
                     to_string(checked.verdict));
            } else if (sessions_.find(digest.hex()) == nullptr && is_put_off(ask)) {
                cannot_tell(ask, put_off_reason, to_string(checked.verdict));
            } else {
                look_up(std::move(ask), digest);
            }
            break;
        case auth::Verdict::unknown_kid:
            if (!key_set_) {
                deny(ask, code::unauthorized, checked.detail, to_string(checked.verdict));
            } else if (may_wait && is_put_off(ask)) {
                cannot_tell(ask, put_off_reason, to_string(checked.verdict));
            } else if (may_wait && waiting_.size() < max_waiting && key_set_->want_unknown_key()) {
                ask.waits_until = loop_.now() + key_patience;
                waiting_.push_back(std::move(ask));
                loop_.timers().arm(*tick_, loop_.now() + waiting_tick);
            } else if (key_set_->is_good() && !key_set_->is_busy()) {
                if (!may_wait) lookup_limiter_.failed(ask.request.address, loop_.now());
                deny(ask, code::unauthorized, checked.detail, to_string(checked.verdict));
            } else {
                // Its key may be in the set that cannot be had just now.
                cannot_tell(ask, key_set_->is_busy() ? "the key set is being fetched" : key_set_->detail(),
                            to_string(checked.verdict));
            }
            break;
        default: deny(ask, code::unauthorized, checked.detail, to_string(checked.verdict)); break;
    }
}

void Authd::release_waiting(bool all) {
    const base::Millis now = loop_.now();
    std::vector<Ask> ready;
    std::vector<Ask> rest;
    for (Ask& ask : std::exchange(waiting_, {})) {
        (all || ask.waits_until <= now ? ready : rest).push_back(std::move(ask));
    }
    waiting_ = std::move(rest);
    for (Ask& ask : ready) check(std::move(ask), false);
}

void Authd::take_identity(const Ask& ask, const Digest& digest, const auth::Checked& checked) {
    const auth::Identity& identity = checked.identity;
    if (identity.user.empty() || identity.user.size() > max_user_bytes) {
        deny(ask, code::unauthorized, "the user's id must have 1 to 256 bytes",
             to_string(auth::Verdict::missing_claim));
        return;
    }
    Known known;
    known.kind = to_string(identity.kind);
    known.user = identity.user;
    known.key = identity.key;
    known.expires = identity.expires;
    std::optional<std::string> stable;
    if (!config_.session_claim.empty()) stable = claim_text(identity.claims, config_.session_claim);
    known.session = stable && !stable->empty() ? sha256(*stable).hex() : digest.hex();
    std::vector<std::string> wanted = rights_->claims();
    if (!config_.session_claim.empty() && std::ranges::find(wanted, config_.session_claim) == wanted.end()) {
        wanted.push_back(config_.session_claim);
    }
    known.claims = reduced_claims(identity.claims, wanted);
    // Signatures of public keys are slow to check.
    if (!ask.request.verify && identity.kind == auth::TokenKind::jwt && known.claims.size() <= max_known_claims_bytes) {
        known_.put(digest, known, identity.expires, wall_seconds());
    }
    admit(ask, known, identity.claims);
}

void Authd::look_up(Ask ask, const Digest& digest) {
    ++counters_.lookups;
    const Seconds now = ask.request.at.value_or(wall_seconds());
    const std::string token = ask.token;
    database_->look_up(token, now, [this, ask = std::move(ask), digest](const Result<SessionRow>& row) {
        take_session(ask, digest, row);
    });
}

void Authd::take_session(const Ask& ask, const Digest& digest, const Result<SessionRow>& row) {
    constexpr std::string_view verdict = "opaque";
    if (!row) {
        if (row.error().code != Errc::unavailable && may_complain()) {
            log::error("pg", "session_query_failed", {{"reason", row.error().what}});
        }
        cannot_tell(ask, row.error().what, verdict);
        return;
    }
    switch (row->state) {
        case SessionRow::State::none:
            if (!ask.request.verify) lookup_limiter_.failed(ask.request.address, loop_.now());
            deny(ask, code::unauthorized, "there is no such session", verdict);
            return;
        case SessionRow::State::doubled:
            deny(ask, code::unauthorized, "two sessions have this token; make its column unique", verdict);
            return;
        case SessionRow::State::unusable:
            deny(ask, code::unauthorized, "the session's row has no user's id, or no moment at which it ends", verdict);
            return;
        case SessionRow::State::expired: deny(ask, code::token_expired, "the session has ended", "expired"); return;
        case SessionRow::State::found: break;
    }
    Known known;
    known.kind = database_kind;
    known.user = row->user;
    known.session = digest.hex();
    known.claims = reduced_claims(row->claims, rights_->claims());
    known.expires = row->expires;
    admit(ask, known, row->claims);
}

void Authd::admit(const Ask& ask, const Known& known, std::string_view all_claims) {
    const bool is_verify = ask.request.verify;
    if (!ask.request.user.empty() && ask.request.user != known.user) {
        deny(ask, code::user_changed, "it is another user's", "valid");
        return;
    }
    const Seconds now = wall_seconds();
    if (!is_verify && !known.user.empty() &&
        (revocations_.is_out(Revoked::user, known.user, now) ||
         revocations_.is_out(Revoked::session, known.session, now))) {
        deny(ask, code::revoked, "user or session is revoked", "valid");
        return;
    }
    const bool is_database = known.kind == database_kind;
    wire::ObjectWriter out;
    out.text("result", "granted");
    if (!known.user.empty()) out.text("user", known.user);
    if (!known.session.empty()) out.text("session", known.session);
    out.text("kind", known.kind);
    if (known.expires) out.number("expires", *known.expires);
    if (is_database) out.boolean("renews", true);
    const std::string_view claims = is_verify ? all_claims : std::string_view(known.claims);
    if (!claims.empty()) out.raw("claims", claims);
    if (!known.key.empty()) out.text("key", known.key);
    if (is_verify) {
        out.text("verdict", "valid")
            .text("detail", is_database ? "the session is in the database" : "all checks passed");
    } else {
        ++counters_.granted;
        if (is_database && !sessions_.open(ask.client, known.session, ask.token, known.expires) && may_complain()) {
            log::error("auth", "session_not_polled", {{"reason", "a million sessions are open"}});
        }
        log::debug("auth", "granted", {{"user", known.user}, {"address", ask.request.address}, {"kind", known.kind}});
    }
    server_.answer(ask.client, ask.id, out.members());
}

void Authd::deny(const Ask& ask, std::string_view why_code, std::string_view reason, std::string_view verdict) {
    if (!ask.others.empty()) {
        Ask next = ask;
        next.is_expired |= why_code == code::token_expired;
        try_next(std::move(next));
        return;
    }
    if (!ask.undecided.empty()) {  // the one that was good may be that which could not be judged
        cannot_tell(ask, ask.undecided, verdict);
        return;
    }
    if (ask.is_expired && why_code == code::unauthorized) {
        why_code = code::token_expired;
        verdict = to_string(auth::Verdict::expired);
        reason = "of the cookies shown one has expired, and none is good";
    }
    wire::ObjectWriter out;
    out.text("result", "denied").text("code", why_code).text("reason", reason);
    if (ask.request.verify) {
        out.text("verdict", verdict).text("detail", reason);
    } else {
        ++counters_.denied;
        // Who goes on failing is in the log often enough; the counter has all.
        const bool is_told = !limiter_.is_limited(ask.request.address, loop_.now());
        if (why_code == code::unauthorized) limiter_.failed(ask.request.address, loop_.now());
        log::line(is_told ? log::Level::info : log::Level::debug, "auth", "denied",
                  {{"code", why_code},
                   {"verdict", verdict},
                   {"reason", reason},
                   {"address", ask.request.address},
                   {"user", ask.request.user}});
    }
    server_.answer(ask.client, ask.id, out.members());
}

bool Authd::is_put_off(const Ask& ask) {
    // Others may share the address, so this is no refusal: who has a good token comes in a little later. What can be
    // judged without a look-up has been by now.
    if (ask.request.verify || !lookup_limiter_.is_limited(ask.request.address, loop_.now())) return false;
    ++counters_.limited;
    log::debug("auth", "limited", {{"address", ask.request.address}});
    return true;
}

void Authd::try_next(Ask ask) {
    ask.token = std::move(ask.others.front());
    ask.others.erase(ask.others.begin());
    ask.waits_until = 0;
    check(std::move(ask), true);
}

void Authd::cannot_tell(const Ask& ask, std::string_view reason, std::string_view verdict) {
    if (!ask.others.empty()) {
        Ask next = ask;
        next.undecided = reason;
        try_next(std::move(next));
        return;
    }
    wire::ObjectWriter out;
    out.text("result", "unavailable").text("reason", reason);
    if (ask.request.verify) {
        out.text("verdict", verdict).text("detail", reason);
    } else {
        ++counters_.unavailable;
    }
    server_.answer(ask.client, ask.id, out.members());
}

// --- Where he may go -------------------------------------------------------------------------------------------------

/// One question about a room, on its way through the rules.
struct Authd::Evaluation {
    std::uint64_t client = 0;
    std::uint64_t id = 0;
    MayJoin request;
    Digest digest;
    std::shared_ptr<const Rights> rights;
    std::size_t next = 0;
    std::optional<std::size_t> granted;  // by this rule
    std::optional<std::size_t> applies;  // the first rule that is about the room
    base::Millis granted_ttl = 0;
    std::optional<base::Millis> least_ttl;  // of the rules that are about the room
    std::string trouble;                    // why a rule could not be asked
    std::string listed;                     // of `can_i`: what each rule said
};

namespace {

Digest digest_of(const MayJoin& request) {
    std::string text;
    for (const std::string* part : {&request.user, &request.room, &request.claims, &request.room_token}) {
        text += std::to_string(part->size());
        text += ':';
        text += *part;
    }
    return sha256(text);
}

}  // namespace

void Authd::may_join(std::uint64_t client, std::uint64_t id, MayJoin request) {
    const Digest digest = digest_of(request);
    if (!request.explain) {
        const base::Millis now = loop_.now();
        if (const Decision* const known = known_rights_.find(digest, now)) {
            ++counters_.rights_known;
            answer_right(client, id, *known, known_rights_.until(digest) - now);
            return;
        }
    }
    auto evaluation = std::make_shared<Evaluation>();
    evaluation->client = client;
    evaluation->id = id;
    evaluation->request = std::move(request);
    evaluation->digest = digest;
    evaluation->rights = rights_;
    evaluate(evaluation);
}

void Authd::evaluate(const std::shared_ptr<Evaluation>& evaluation) {
    Evaluation& e = *evaluation;
    const auto list = [&e](const Right& right, std::string_view answer) {
        if (!e.request.explain) return;
        e.listed += e.listed.empty() ? "" : ",";
        e.listed += wire::ObjectWriter()
                        .text("name", right.name)
                        .text("kind", to_string(right.kind))
                        .text("answer", answer)
                        .object();
    };
    while (e.next < e.rights->all().size() && (!e.granted || e.request.explain)) {
        const std::size_t index = e.next++;
        const Right& right = e.rights->all()[index];
        Seconds token_ends = 0;
        const RuleAnswer answer = sio::authd::evaluate(right, e.request, [&] {
            const auth::Checked checked =
                verifier_->check_room(e.request.room_token, e.request.user, e.request.room, wall_seconds());
            token_ends = checked.identity.expires;
            if (checked.verdict != auth::Verdict::valid) {
                log::info("auth", "room_token_refused",
                          {{"user", e.request.user},
                           {"room", e.request.room},
                           {"verdict", to_string(checked.verdict)},
                           {"reason", checked.detail}});
            }
            return checked.verdict == auth::Verdict::valid;
        });
        base::Millis ttl = (right.ttl ? *right.ttl : config_.rights_ttl).count();
        if (answer.applies) {
            if (!e.applies) e.applies = index;
            e.least_ttl = std::min(e.least_ttl.value_or(ttl), ttl);
        }
        if (answer.kind == RuleAnswer::Kind::silent) list(right, "silent");
        if (answer.kind == RuleAnswer::Kind::granted) {
            list(right, "granted");
            if (right.kind == Right::Kind::room_token) {
                ttl = std::min(ttl, std::max<Seconds>(token_ends - wall_seconds(), 0) * 1000);
            }
            if (!e.granted) {
                e.granted = index;
                e.granted_ttl = ttl;
            }
        }
        if (answer.kind != RuleAnswer::Kind::ask) continue;
        if (!database_) {
            e.trouble = "there is no database to ask";
            list(right, "unavailable");
            continue;
        }
        database_->ask(right, answer.parameters, [this, evaluation, index, ttl, list](const Result<bool>& said) {
            Evaluation& waited = *evaluation;
            const Right& asked = waited.rights->all()[index];
            if (!said) {
                if (said.error().code != Errc::unavailable && may_complain()) {
                    log::error("pg", "rule_failed", {{"rule", asked.name}, {"reason", said.error().what}});
                }
                waited.trouble = "rule '" + asked.name + "': " + said.error().what;
                list(asked, "unavailable");
            } else {
                list(asked, *said ? "granted" : "silent");
                if (*said && !waited.granted) {
                    waited.granted = index;
                    waited.granted_ttl = ttl;
                }
            }
            evaluate(evaluation);
        });
        return;  // goes on from its answer
    }
    conclude(e);
}

void Authd::conclude(Evaluation& e) {
    const std::string more = e.request.explain ? "\"rules\":[" + e.listed + "]" : "";
    Decision decision;
    base::Millis ttl = 0;
    if (e.granted) {
        decision.is_granted = true;
        decision.rule = e.rights->all()[*e.granted].name;
        ttl = e.granted_ttl;
    } else if (!e.trouble.empty()) {
        if (!e.request.explain) ++counters_.rights_unavailable;
        wire::ObjectWriter out;
        out.text("result", "unavailable").text("reason", e.trouble);
        server_.answer(e.client, e.id, out.members() + (more.empty() ? "" : "," + more));
        return;
    } else {
        if (e.applies) decision.rule = e.rights->all()[*e.applies].name;
        decision.reason = e.applies ? "no rule about this room grants it" : "no rule is about this room";
        ttl = e.least_ttl.value_or(config_.rights_ttl.count());
    }
    if (!e.request.explain) {
        ++(decision.is_granted ? counters_.rights_granted : counters_.rights_denied);
        // An answer by rules that were replaced meanwhile is not kept.
        if (e.rights == rights_) known_rights_.put(e.digest, decision, loop_.now() + ttl, loop_.now());
        log::debug("auth", decision.is_granted ? "room_granted" : "room_denied",
                   {{"user", e.request.user}, {"room", e.request.room}, {"rule", decision.rule}});
    }
    answer_right(e.client, e.id, decision, ttl, more);
}

void Authd::answer_right(std::uint64_t client, std::uint64_t id, const Decision& decision, base::Millis ttl,
                         std::string_view more) {
    wire::ObjectWriter out;
    out.text("result", decision.is_granted ? "granted" : "denied");
    if (!decision.rule.empty()) out.text("rule", decision.rule);
    if (!decision.is_granted) out.text("reason", decision.reason);
    out.number("ttl_ms", ttl);
    std::string members = out.members();
    if (!more.empty()) members.append(",").append(more);
    server_.answer(client, id, members);
}

// --- Who is out ------------------------------------------------------------------------------------------------------

std::size_t Authd::tell_revoked(std::string_view kind, std::string_view id) {
    ++counters_.revoked;
    if (kind == "session") sessions_.remove(std::string(id));
    return server_.tell(event_line("revoked", kind, id));
}

void Authd::revoke(std::uint64_t client, std::uint64_t id, const Revoke& request) {
    const Seconds now = wall_seconds();
    const Seconds most = config_.revocation_ttl.count() / 1000;
    const Seconds lasts = request.lasts.value_or(most);
    if (lasts > most) {
        server_.refuse(client, id, wire::admin_error::malformed,
                       "revocations last no longer than revocation-ttl, " + std::to_string(most) + " seconds");
        return;
    }
    const Revocation revocation{request.kind, request.id, request.lift ? 0 : now + lasts};
    if (revocations_.apply(revocation, now) == Revocations::Change::full) {
        server_.refuse(client, id, wire::admin_error::unavailable, "a million revocations are in force already");
        return;
    }
    const std::size_t reached = request.lift ? 0 : tell_revoked(to_string(request.kind), request.id);
    log::info("auth", request.lift ? "lifted" : "revoked",
              {{"what", to_string(request.kind)}, {"id", request.id}, {"until", revocation.until}, {"told", reached}});
    const auto answer = [this, client, id, reached](std::string_view stored) {
        server_.answer(client, id, wire::ObjectWriter().number("reached", n(reached)).text("stored", stored).members());
    };
    if (!stream_) return answer("memory");
    stream_->publish(revocation, [answer](bool stored) { answer(stored ? "redis" : "memory"); });
}

void Authd::list_revocations(std::uint64_t client, std::uint64_t id) {
    std::vector<Revocation> all;
    revocations_.each(wall_seconds(), [&](const Revocation& one) {
        all.push_back(one);
        return all.size() < max_listed;
    });
    std::ranges::sort(all, {}, [](const Revocation& one) { return std::pair(one.kind, std::string_view(one.id)); });
    std::string list;
    for (const Revocation& one : all) {
        list += list.empty() ? "" : ",";
        list += wire::ObjectWriter().text(to_string(one.kind), one.id).number("until", one.until).object();
    }
    server_.answer(client, id, "\"revocations\":[" + list + "],\"count\":" + std::to_string(revocations_.size()));
}

void Authd::on_revocations(std::span<const Revocation> revocations) {
    const Seconds now = wall_seconds();
    for (const Revocation& one : revocations) {
        switch (revocations_.apply(one, now)) {
            case Revocations::Change::placed: tell_revoked(to_string(one.kind), one.id); break;
            case Revocations::Change::full:
                if (may_complain()) log::error("redis", "revocation_dropped", {{"reason", "a million are in force"}});
                break;
            case Revocations::Change::none:
            case Revocations::Change::lifted: break;
        }
    }
}

std::vector<Revocation> Authd::all_revocations() {
    std::vector<Revocation> all;
    revocations_.each(wall_seconds(), [&](const Revocation& one) {
        all.push_back(one);
        return true;
    });
    return all;
}

void Authd::on_database_notification(std::string_view payload) {
    auto revocation = parse_notification(payload);
    if (!revocation) {
        log::warn("pg", "notification_unreadable", {{"reason", revocation.error().what}});
        return;
    }
    log::info("auth", "revoked",
              {{"what", to_string(revocation->kind)}, {"id", revocation->id}, {"by", "notification"}});
    if (revocation->kind == Revoked::user) {
        const Seconds now = wall_seconds();
        revocation->until = now + config_.revocation_ttl.count() / 1000;
        if (revocations_.apply(*revocation, now) == Revocations::Change::full && may_complain()) {
            log::error("pg", "revocation_dropped", {{"reason", "a million are in force"}});
        }
        if (stream_) stream_->publish(*revocation, [](bool) {});
    }
    tell_revoked(to_string(revocation->kind), revocation->id);
}

// --- Sessions that are open ------------------------------------------------------------------------------------------

bool Authd::has_polls() const { return database_ != nullptr && config_.has_database_sessions() && poll_interval() > 0; }

/// Milliseconds; 0: sessions are not polled. Without notifications they are, and not more seldom than then.
base::Millis Authd::poll_interval() const {
    const base::Millis interval = config_.session_poll.count();
    if (database_ == nullptr || !database_->has_lost_notifications()) return interval;
    return interval > 0 ? std::min(interval, unheard_poll) : unheard_poll;
}

void Authd::on_database_not_listening() {
    tell_status();
    if (has_polls() && !is_polling_) poll_sessions();
}

void Authd::on_database_listening() {
    tell_status();
    if (!has_polls()) return;
    // What was notified while nobody listened has been missed.
    if (is_polling_) {
        poll_again_ = true;
    } else {
        poll_sessions();
    }
}

void Authd::poll_sessions() {
    round_ = sessions_.ids();
    is_polling_ = true;
    poll_again_ = false;
    ++round_number_;
    round_began_ = loop_.now();
    poll_batch(0);
}

void Authd::poll_batch(std::size_t begin) {
    std::vector<Asked> asked;
    std::vector<std::string> tokens;
    std::size_t at = begin;
    for (; at < round_.size() && asked.size() < poll_batch_size; ++at) {
        const OpenSessions::Session* const session = sessions_.find(round_[at]);
        if (session == nullptr) continue;
        asked.push_back({round_[at], session->token, session->expires});
        tokens.push_back(session->token);
    }
    if (asked.empty()) return end_round();
    counters_.polled += asked.size();
    database_->poll(
        tokens, wall_seconds(),
        [this, asked = std::move(asked), at, number = round_number_](const Result<std::vector<PolledSession>>& polled) {
            if (number != round_number_) return;
            if (!polled) {
                if (polled.error().code != Errc::unavailable && may_complain()) {
                    log::error("pg", "poll_failed", {{"reason", polled.error().what}});
                }
                return end_round();
            }
            take_polled(asked, *polled);
            poll_batch(at);
        });
}

void Authd::take_polled(const std::vector<Asked>& asked, const std::vector<PolledSession>& polled) {
    for (const std::string& session : gone_sessions(asked, polled, wall_seconds())) {
        if (sessions_.find(session) == nullptr) continue;  // its last socket has gone by itself
        const std::size_t told = tell_revoked("session", session);
        log::info("auth", "session_gone", {{"session", session}, {"told", told}});
    }
}

void Authd::end_round() {
    is_polling_ = false;
    const base::Millis took = loop_.now() - round_began_;
    next_round_ = std::max(round_began_ + poll_interval(), loop_.now() + 9 * took);
    if (poll_again_) next_round_ = loop_.now();
    loop_.timers().arm(*tick_, std::min(next_round_, loop_.now() + waiting_tick));
}

// --- Keys and rules --------------------------------------------------------------------------------------------------

void Authd::tell_gone_keys(const std::vector<std::string>& before) {
    const auto now = verifier_->keys();
    for (const std::string& key : before) {
        if (std::ranges::find(now, key) != now.end()) continue;
        const std::size_t told = tell_revoked("key", key);
        log::info("auth", "key_gone", {{"key_id", key}, {"told", told}});
    }
}

void Authd::on_key_set(const std::string* text) {
    if (text != nullptr) {
        auto jwks = auth::Jwks::parse(*text);
        if (jwks) {
            const auto before = verifier_->keys();
            verifier_->set_jwks(std::move(*jwks));
            known_.clear();
            tell_gone_keys(before);
        }
    }
    release_waiting(true);
    tell_status();
}

void Authd::use_database(std::unique_ptr<Database> database) {
    if (database_) {
        database_->retire();
        retired_.push_back({std::move(database_), loop_.now() + 2 * config_.database_timeout.count() + retirement});
    }
    // A round that the old one has begun is not waited for.
    ++round_number_;
    is_polling_ = false;
    database_ = std::move(database);
    database_->start();
}

Result<void> Authd::reload() {
    auto material = read_material(config_, environment_);
    if (!material) return tl::unexpected(material.error());
    auth::Jwks jwks = std::move(material->jwks).value_or(auth::Jwks());
    if (key_set_ && key_set_->text()) {
        auto parsed = auth::Jwks::parse(*key_set_->text());
        if (parsed) jwks = std::move(*parsed);
    }
    auto verifier = auth::Verifier::create(std::move(material->policy), std::move(jwks));
    if (!verifier) return tl::unexpected(verifier.error());
    std::unique_ptr<Database> database;
    if (database_ && statements_of(material->rights) != statements_of(*rights_)) {
        auto made = Database::create(loop_, config_, material->rights, *this);
        if (!made) return tl::unexpected(made.error());
        database = std::move(*made);
    }

    // Nothing is left to fail.
    const auto before = verifier_->keys();
    const bool claims_changed = material->rights.claims() != rights_->claims();
    const bool identity_changed = material->identity_digest != identity_digest_;
    verifier_ = std::make_unique<auth::Verifier>(std::move(*verifier));
    rights_ = std::make_shared<const Rights>(std::move(material->rights));
    identity_digest_ = material->identity_digest;
    if (database) use_database(std::move(database));
    known_.clear();
    known_rights_.clear();
    ++counters_.reloads;
    warn_all(material->warnings);
    tell_gone_keys(before);
    if (identity_changed || claims_changed) server_.tell(event_line("recheck", "what", "sessions"));
    server_.tell(event_line("recheck", "what", "rights"));
    if (key_set_) key_set_->refresh();
    log::info("authd", "reloaded", {{"keys", verifier_->keys().size()}, {"rights", rights_->all().size()}});
    return {};
}

// --- What operators see ----------------------------------------------------------------------------------------------

std::string Authd::checks() const {
    wire::ObjectWriter out;
    const auto check = [&out](std::string_view name, bool ok, const std::string& detail) {
        out.raw(name, wire::ObjectWriter().boolean("ok", ok).text("detail", detail).object());
    };
    if (database_) {
        check("postgresql", database_->is_up(), database_->detail());
        if (database_->has_lost_notifications()) {
            check("notifications", false, "a pooler does not carry LISTEN: sessions are polled, NOTIFY is not heard");
        }
    }
    if (stream_) {
        const std::size_t waiting = stream_->waiting();
        check("redis", stream_->is_up(),
              stream_->detail() + (waiting == 0 ? "" : ", " + std::to_string(waiting) + " revocations wait"));
    }
    if (key_set_) {
        check("jwks", key_set_->is_good(), key_set_->detail());
    } else if (!config_.jwks.empty()) {
        check("jwks", true, "read from " + config_.jwks);
    }
    return out.object();
}

void Authd::tell_status() {
    std::string now = checks();
    if (now == told_checks_) return;
    told_checks_ = std::move(now);
    server_.tell(wire::ObjectWriter().text("event", "status").raw("checks", told_checks_).line());
}

std::string Authd::health() const {
    const bool ok = (!database_ || (database_->is_up() && !database_->has_lost_notifications())) &&
                    (!stream_ || stream_->is_up()) && (!key_set_ || key_set_->is_good());
    return wire::ObjectWriter()
        .text("status", ok ? "ok" : "degraded")
        .text("version", SIO_VERSION)
        .number("uptime_s", (loop_.now() - started_) / 1000)
        .number("connections", n(server_.client_count()))
        .number("sessions", n(sessions_.size()))
        .number("revocations", n(revocations_.size()))
        .raw("checks", checks())
        .members();
}

std::string Authd::counters() const {
    const Counters& c = counters_;
    wire::ObjectWriter out;
    out.number("connections", n(server_.client_count()))
        .number("connectionsTotal", n(server_.stats().connections))
        .number("connectionsCutOff", n(server_.stats().cut_off))
        .number("requests", n(server_.stats().requests))
        .number("requestsRefused", n(server_.stats().refused))
        .number("granted", n(c.granted))
        .number("denied", n(c.denied))
        .number("unavailable", n(c.unavailable))
        .number("deniedUnseen", n(c.limited))
        .number("addressesFailing", n(limiter_.size()))
        .number("tokensKnown", n(known_.size()))
        .number("tokensKnownUsed", n(c.known))
        .number("tokensWaiting", n(waiting_.size()))
        .number("rightsGranted", n(c.rights_granted))
        .number("rightsDenied", n(c.rights_denied))
        .number("rightsUnavailable", n(c.rights_unavailable))
        .number("rightsKnown", n(known_rights_.size()))
        .number("rightsKnownUsed", n(c.rights_known))
        .number("sessionsOpen", n(sessions_.size()))
        .number("sessionLookups", n(c.lookups))
        .number("sessionsPolled", n(c.polled))
        .number("revocations", n(revocations_.size()))
        .number("revocationsTold", n(c.revoked))
        .number("revocationsWaiting", stream_ ? n(stream_->waiting()) : 0)
        .number("redisRefused", stream_ ? n(stream_->refused()) : 0)
        .number("reloads", n(c.reloads));
    if (database_) {
        const pg::Pool::Stats pool = database_->stats();
        out.number("databaseQueries", n(pool.queries))
            .number("databaseFailures", n(pool.failures))
            .number("databaseTimeouts", n(pool.timeouts))
            .number("databaseConnects", n(pool.connects))
            .number("databaseQueued", n(pool.queued))
            .number("databaseNotificationsLost", database_->has_lost_notifications() ? 1 : 0)
            .number("databaseStatementsRefused", n(pool.statements_refused));
    }
    if (key_set_) out.number("jwksFetches", n(key_set_->fetches()));
    out.raw("longestTurnMs", std::to_string(static_cast<double>(loop_.longest_turn()) / 1000.0))
        .number("slowTurns", n(loop_.slow_turns()))
        .number("uptimeSeconds", (loop_.now() - started_) / 1000);
    return out.object();
}

}  // namespace sio::authd
