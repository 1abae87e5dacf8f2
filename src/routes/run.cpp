#include "routes/run.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "base/json.h"
#include "proto/sio_packet.h"

namespace sio::routes {
namespace {

using Lookups = std::vector<std::pair<std::string, std::optional<std::string>>>;

/// What a list that stops tells.
struct Stop {
    std::string_view code;
    std::string reason;
};

/// The inside of a JSON array's text.
std::string_view inside(std::string_view array) noexcept {
    return array.size() < 2 ? std::string_view{} : array.substr(1, array.size() - 2);
}

std::optional<std::string> find_in(const Lookups& lookups, std::string_view name) {
    const auto found = std::ranges::find(lookups, name, &Lookups::value_type::first);
    return found == lookups.end() ? std::nullopt : found->second;
}

std::string seconds(Milliseconds time) {
    const auto ms = time.count();
    return ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
}

/// Rooms that an action names, and what is shown for the right to be in them.
struct Claim {
    std::vector<std::string> rooms;
    std::string token;
};

/// The output of a `hand`, kept until the list ends.
struct Output {
    std::string args;
    std::vector<std::string> attachments;
};

}  // namespace

/// Everything a list needs after a wait, copied.
struct Run::Waiting {
    std::shared_ptr<const Routes> routes;
    const ActionList* list = nullptr;
    std::size_t next = 0;  ///< the action that waits
    bool acked = false;
    std::optional<Output> output;
    std::optional<Claim> claim;  ///< what it waits to be granted

    std::string event, args, socket_id, nsp, transport, user_id, user, auth, address, reason, answer;
    std::vector<std::string> attachments, answer_attachments;
    bool wants_ack = false;
    bool recovered = false;
    bool answered = false;
    Lookups queries, headers;

    /// The context that these copies make up.
    [[nodiscard]] Context context() const {
        Context c;
        c.event = event;
        c.args = args;
        c.attachments = attachments;
        c.wants_ack = wants_ack;
        c.socket_id = socket_id;
        c.nsp = nsp;
        c.transport = transport;
        c.recovered = recovered;
        c.user_id = user_id;
        c.user = user;
        c.auth = auth;
        c.address = address;
        c.reason = reason;
        c.answered = answered;
        c.answer = answer;
        c.answer_attachments = answer_attachments;
        return c;
    }
};

namespace {

/// The handshake as it was copied for the wait, the rooms as they are.
class KeptFacts final : public Facts {
public:
    KeptFacts(const Lookups& queries, const Lookups& headers, const Host& host)
        : queries_(queries), headers_(headers), host_(host) {}
    std::optional<std::string> query(std::string_view name) const override { return find_in(queries_, name); }
    std::optional<std::string> header(std::string_view name) const override { return find_in(headers_, name); }
    std::string rooms() const override { return host_.rooms(); }
    bool is_in(std::string_view room) const override { return host_.is_in(room); }

private:
    const Lookups& queries_;
    const Lookups& headers_;
    const Host& host_;
};

}  // namespace

/// A list that runs, for as long as it does not wait.
struct Run::State {
    const std::shared_ptr<const Routes>& routes;
    const ActionList& list;
    Context context;
    Host& host;
    std::size_t next = 0;
    bool has_waited = false;  ///< the `after` of the next action is over
    bool is_suspended = false;
    bool acked = false;
    std::optional<Output> output = {};
    std::optional<Claim> granted = {};  ///< to the next action

    // Storage that actions share.
    Rendered event_buffer = {};
    Rendered args_buffer = {};
    std::vector<std::string> attachments_buffer = {};
    std::vector<std::string> rooms_buffer = {};
    std::vector<std::string> except_buffer = {};
    std::string text_buffer = {};
    std::string token_buffer = {};

    // After a disconnect, which may end what the caller's views point into.
    std::unique_ptr<Waiting> kept = {};
    std::optional<KeptFacts> kept_facts = {};

    void go();
    void stop(std::string_view verb, const Stop& reason);
    std::optional<Stop> step(const Action& action);
    [[nodiscard]] std::unique_ptr<Waiting> copy() const;
    std::unique_ptr<Run> suspend();

    Result<std::span<const std::string>> names(const Rooms& rooms, std::vector<std::string>& buffer);
    Result<std::span<const std::string>> claimed(const Rooms& rooms);
    Result<Message> message(const Template& event, const Args& args);
    Result<void> fill(const Args& args, Message& message);
    std::optional<Stop> forbidden(const std::vector<Rule>& rules, std::span<const std::string> rooms);
    std::optional<Stop> barred(const Action& action, std::span<const std::string> rooms);
    Result<void> show(const Rule& rule);

    std::optional<Stop> run(const Action& action, const Join& join);
    std::optional<Stop> run(const Action& action, const Leave& leave);
    std::optional<Stop> run(const Action& action, const Emit& emit);
    std::optional<Stop> run(const Action& action, const Ask& ask);
    std::optional<Stop> run(const Action& action, const Ack& ack);
    std::optional<Stop> run(const Action& action, const Hand& hand);
    std::optional<Stop> run(const Action& action, const Publish& publish);
    std::optional<Stop> run(const Action& action, const Deny& deny);
    std::optional<Stop> run(const Action& action, const Disconnect& disconnect);
};

namespace {

/// An action that waits for an answer, and what is told when none comes.
struct Question {
    bool is_one = false;
    bool has_output = false;          ///< `{answer…}` for the actions behind it
    bool is_acknowledgement = false;  ///< when the list ends without another
    Milliseconds timeout{0};
    Otherwise otherwise = Otherwise::stop;
    std::string_view nobody = {};
    std::string_view failed = {};
};

Question question_of(const Action& action) {
    if (const auto* const ask = std::get_if<Ask>(&action.verb)) {
        return {true, true, false, ask->timeout, ask->otherwise, "the client is gone", "the client failed"};
    }
    if (const auto* const hand = std::get_if<Hand>(&action.verb)) {
        return {true, true, true, hand->timeout, hand->otherwise, "no handler is waiting", "the handler failed"};
    }
    if (const auto* const publish = std::get_if<Publish>(&action.verb)) {
        return {true,
                false,
                false,
                publish->timeout,
                publish->otherwise,
                "there is no stream of events",
                "the stream of events refused it"};
    }
    return {};
}

Stop denied(const Error& error) { return {error.code == Errc::unavailable ? "unavailable" : "denied", error.what}; }

}  // namespace

void Run::State::go() {
    if (next == 0 && !has_waited) {
        if (auto no = forbidden(list.allow, {})) return stop("event", *no);
    }
    while (next < list.actions.size()) {
        const Action& action = list.actions[next];
        if (!has_waited && !action.when.empty()) {
            const auto wanted = hold(action.when, context);
            if (!wanted) return stop(verb_of(action), denied(wanted.error()));
            if (!*wanted) {
                ++next;
                continue;
            }
        }
        if (!has_waited && action.after.count() > 0) {
            host.schedule(action.after, suspend());
            return;
        }
        if (const auto failed = step(action)) return stop(verb_of(action), *failed);
        if (is_suspended) return;
        has_waited = false;
        granted.reset();
        ++next;
    }
    if (output && context.wants_ack && !acked) host.ack(output->args, output->attachments);
}

void Run::State::stop(std::string_view verb, const Stop& reason) {
    host.stopped(verb, reason.code, reason.reason);
    if (!context.wants_ack || acked) return;
    std::string answer = "{\"error\":";
    json::append_string(answer, reason.code);
    answer += ",\"reason\":";
    json::append_string(answer, reason.reason);
    answer += '}';
    acked = true;
    host.ack(answer, {});
}

std::optional<Stop> Run::State::step(const Action& action) {
    return std::visit([&](const auto& verb) { return run(action, verb); }, action.verb);
}

std::unique_ptr<Run::Waiting> Run::State::copy() const {
    auto waiting = std::make_unique<Waiting>();
    waiting->routes = routes;
    waiting->list = &list;
    waiting->next = next;
    waiting->acked = acked;
    waiting->output = output;
    waiting->event = context.event;
    waiting->args = context.args;
    waiting->socket_id = context.socket_id;
    waiting->nsp = context.nsp;
    waiting->transport = context.transport;
    waiting->user_id = context.user_id;
    waiting->user = context.user;
    waiting->auth = context.auth;
    waiting->address = context.address;
    waiting->reason = context.reason;
    waiting->answer = context.answer;
    waiting->attachments.assign(context.attachments.begin(), context.attachments.end());
    waiting->answer_attachments.assign(context.answer_attachments.begin(), context.answer_attachments.end());
    waiting->wants_ack = context.wants_ack;
    waiting->recovered = context.recovered;
    waiting->answered = context.answered;
    for (const std::string& name : list.queries) waiting->queries.emplace_back(name, context.facts->query(name));
    for (const std::string& name : list.headers) waiting->headers.emplace_back(name, context.facts->header(name));
    return waiting;
}

std::unique_ptr<Run> Run::State::suspend() {
    is_suspended = true;
    return std::unique_ptr<Run>{new Run{copy()}};
}

Result<std::span<const std::string>> Run::State::names(const Rooms& rooms, std::vector<std::string>& buffer) {
    if (!rooms.constants.empty() || rooms.names.empty()) return std::span<const std::string>{rooms.constants};
    buffer.clear();
    for (const Template& name : rooms.names) {
        if (name.is_reference() && name.pieces[0].reference.root == Root::socket_rooms) {
            const std::string all = context.facts->rooms();
            for (json::Walker walker{all}; walker.next();) buffer.push_back(json::decode_string(walker.value()));
            continue;
        }
        if (auto done = render_text(name, context, text_buffer); !done) {
            return tl::unexpected<Error>(std::move(done.error()));
        }
        if (text_buffer.size() > max_room_bytes) return fail(Errc::denied, "the name of the room is too long");
        buffer.push_back(text_buffer);
    }
    return std::span<const std::string>{buffer};
}

Result<Message> Run::State::message(const Template& event, const Args& args) {
    Message result;
    if (event.is_constant()) {
        result.event = event.tail;
    } else {
        event_buffer.clear();
        if (auto done = render(event, context, event_buffer); !done) return tl::unexpected<Error>(done.error());
        const json::Kind kind = json::kind_of(event_buffer.json);
        if (kind != json::Kind::string && kind != json::Kind::number) {
            return fail(Errc::denied, event.pieces[0].reference.text + " is no name for an event");
        }
        if (proto::is_reserved_event(json::decode_string(event_buffer.json))) {
            return fail(Errc::denied, event_buffer.json + " is a reserved name");
        }
        result.event = event_buffer.json;
    }
    if (auto done = fill(args, result); !done) return tl::unexpected<Error>(std::move(done.error()));
    return result;
}

Result<void> Run::State::fill(const Args& args, Message& message) {
    switch (args.kind) {
        case Args::Kind::none: return {};
        case Args::Kind::pass_through:
            message.args = context.args;
            message.attachments = context.attachments;
            return {};
        case Args::Kind::pass_through_answer:
            message.args = context.answer;
            message.attachments = context.answer_attachments;
            return {};
        case Args::Kind::array: break;
    }
    if (args.value.is_constant()) {
        message.args = inside(args.value.tail);
        return {};
    }
    args_buffer.clear();
    if (auto done = render(args.value, context, args_buffer); !done) return done;
    message.args = inside(args_buffer.json);
    attachments_buffer.clear();
    for (const std::string* attachment : args_buffer.attachments) attachments_buffer.push_back(*attachment);
    message.attachments = attachments_buffer;
    return {};
}

std::optional<Stop> Run::State::forbidden(const std::vector<Rule>& rules, std::span<const std::string> rooms) {
    for (const Rule& rule : rules) {
        switch (rule.kind) {
            case Rule::Kind::anyone: break;
            case Rule::Kind::user:
                if (context.user_id.empty()) return Stop{"denied", "only for users who are logged in"};
                break;
            case Rule::Kind::member:
                for (const std::string& room : rooms) {
                    if (!host.is_in(room)) return Stop{"denied", "not in the room " + json::quote(room)};
                }
                break;
            case Rule::Kind::rooms:
                for (const std::string& room : rooms) {
                    if (std::ranges::none_of(rule.patterns,
                                             [&](const std::string& p) { return base::matches_glob(p, room); })) {
                        return Stop{"denied", "no rule allows the room " + json::quote(room)};
                    }
                }
                break;
            case Rule::Kind::granted: break;  // barred() asks, once all others hold
        }
    }
    return std::nullopt;
}

namespace {

const Rule* grant_of(const Action& action) {
    if (!action.allow) return nullptr;
    const auto found = std::ranges::find(*action.allow, Rule::Kind::granted, &Rule::kind);
    return found == action.allow->end() ? nullptr : &*found;
}

}  // namespace

/// The rooms that the action names, now or when it asked for them.
Result<std::span<const std::string>> Run::State::claimed(const Rooms& rooms) {
    if (granted) return std::span<const std::string>{granted->rooms};
    return names(rooms, rooms_buffer);
}

/// Renders the room token; none when a part of it is missing.
Result<void> Run::State::show(const Rule& rule) {
    token_buffer.clear();
    if (!rule.has_token) return {};
    std::string storage;
    for (const Template::Piece& piece : rule.token.pieces) {
        const auto raw = look_up(piece.reference, context, storage);
        if (!raw || *raw == "null" || *raw == "\"\"") return {};
    }
    if (auto done = render_text(rule.token, context, token_buffer); !done) return done;
    if (token_buffer.size() > max_room_token_bytes) return fail(Errc::denied, "the room token is too long");
    return {};
}

/// Whether the action may not be done, or (is_suspended) not yet.
std::optional<Stop> Run::State::barred(const Action& action, std::span<const std::string> rooms) {
    if (!action.allow) return std::nullopt;
    if (auto no = forbidden(*action.allow, rooms)) return no;
    const Rule* const rule = grant_of(action);
    if (rule == nullptr || granted || rooms.empty()) return std::nullopt;
    if (auto done = show(*rule); !done) return denied(done.error());
    if (const auto known = host.known(rooms, token_buffer)) {
        switch (known->kind) {
            case Grant::Kind::granted: return std::nullopt;
            case Grant::Kind::denied: return Stop{"denied", known->reason};
            case Grant::Kind::unavailable: return Stop{"unavailable", known->reason};
        }
    }
    auto waiting = copy();
    waiting->claim = Claim{{rooms.begin(), rooms.end()}, token_buffer};
    is_suspended = true;
    host.authorize(rooms, token_buffer, std::unique_ptr<Run>{new Run{std::move(waiting)}});
    return std::nullopt;
}

std::optional<Stop> Run::State::run(const Action& action, const Join& join) {
    const auto rooms = claimed(join.rooms);
    if (!rooms) return denied(rooms.error());
    if (auto no = barred(action, *rooms)) return no;
    if (is_suspended) return std::nullopt;
    std::optional<std::string_view> token;
    if (grant_of(action) != nullptr) token = granted ? granted->token : token_buffer;
    for (const std::string& room : *rooms) {
        if (const auto joined = host.join(room, token); !joined) return denied(joined.error());
    }
    return std::nullopt;
}

std::optional<Stop> Run::State::run(const Action&, const Leave& leave) {
    const auto rooms = names(leave.rooms, rooms_buffer);
    if (!rooms) return denied(rooms.error());
    for (const std::string& room : *rooms) host.leave(room);
    return std::nullopt;
}

std::optional<Stop> Run::State::run(const Action& action, const Emit& emit) {
    Target target{.audience = emit.to, .is_volatile = emit.is_volatile, .is_local = emit.is_local};
    if (!emit.rooms.empty()) {
        const auto rooms = claimed(emit.rooms);
        if (!rooms) return denied(rooms.error());
        target.rooms = *rooms;
    }
    if (!emit.except.empty()) {
        const auto except = names(emit.except, except_buffer);
        if (!except) return denied(except.error());
        target.except = *except;
    }
    if (auto no = barred(action, target.rooms)) return no;
    if (is_suspended) return std::nullopt;
    const auto built = message(emit.event, emit.args);
    if (!built) return denied(built.error());
    const bool is_for_rooms = emit.to == Audience::rooms || emit.to == Audience::others_in;
    if (is_for_rooms && target.rooms.empty()) return std::nullopt;  // {socket.rooms} of a socket in none
    host.emit(*built, target);
    return std::nullopt;
}

std::optional<Stop> Run::State::run(const Action&, const Ask& ask) {
    const auto built = message(ask.event, ask.args);
    if (!built) return denied(built.error());
    host.ask(*built, ask.timeout, suspend());
    return std::nullopt;
}

std::optional<Stop> Run::State::run(const Action&, const Ack& ack) {
    if (acked || !context.wants_ack) return std::nullopt;
    Message answer;
    if (auto done = fill(ack.args, answer); !done) return denied(done.error());
    acked = true;
    host.ack(answer.args, answer.attachments);
    return std::nullopt;
}

std::optional<Stop> Run::State::run(const Action&, const Hand& hand) {
    std::string handler;
    if (auto done = render_text(hand.handler, context, handler); !done) return denied(done.error());
    Message message;
    message.event = context.event.empty() ? std::string_view{"\"connect\""} : context.event;
    if (auto done = fill(hand.args, message); !done) return denied(done.error());
    host.hand(handler, message, hand.timeout, suspend());
    return std::nullopt;
}

std::optional<Stop> Run::State::run(const Action&, const Publish& publish) {
    std::string topic;
    std::string key;
    Publication publication;
    if (auto done = render_text(publish.topic, context, topic); !done) return denied(done.error());
    if (topic.size() > max_topic_bytes) return Stop{"denied", "the topic is too long"};
    publication.topic = topic;
    if (publish.has_key) {
        if (auto done = render_text(publish.key, context, key); !done) return denied(done.error());
        if (key.size() > max_topic_bytes) return Stop{"denied", "the key is too long"};
        publication.key = key;
    }
    args_buffer.clear();
    if (auto done = render(publish.value, context, args_buffer); !done) return denied(done.error());
    publication.value = args_buffer.json;
    attachments_buffer.clear();
    for (const std::string* attachment : args_buffer.attachments) attachments_buffer.push_back(*attachment);
    publication.attachments = attachments_buffer;
    host.publish(publication, publish.timeout, suspend());
    return std::nullopt;
}

std::optional<Stop> Run::State::run(const Action&, const Deny& deny) {
    Rendered reason;
    if (auto done = render(deny.reason, context, reason); !done) return denied(done.error());
    const bool is_string = json::kind_of(reason.json) == json::Kind::string;
    return Stop{"denied", is_string ? json::decode_string(reason.json) : std::move(reason.json)};
}

std::optional<Stop> Run::State::run(const Action&, const Disconnect& disconnect) {
    if (next + 1 < list.actions.size() && !kept) {
        kept = copy();
        const std::int64_t now_ms = context.now_ms;
        context = kept->context();
        context.now_ms = now_ms;
        context.facts = &kept_facts.emplace(kept->queries, kept->headers, host);
    }
    host.disconnect(disconnect.what);
    return std::nullopt;
}

Run::Run(std::unique_ptr<Waiting> waiting) : waiting_(std::move(waiting)) {}

Run::~Run() = default;

std::string_view Run::socket_id() const noexcept { return waiting_->socket_id; }

std::string_view Run::nsp() const noexcept { return waiting_->nsp; }

std::string_view Run::user_id() const noexcept { return waiting_->user_id; }

std::size_t Run::bytes_held() const noexcept {
    const Waiting& w = *waiting_;
    std::size_t bytes = sizeof w;
    for (const std::string* text : {&w.event, &w.args, &w.socket_id, &w.nsp, &w.transport, &w.user_id, &w.user, &w.auth,
                                    &w.address, &w.reason, &w.answer}) {
        bytes += text->size();
    }
    for (const auto* attachments : {&w.attachments, &w.answer_attachments}) {
        for (const std::string& attachment : *attachments) bytes += attachment.size();
    }
    for (const auto* lookups : {&w.queries, &w.headers}) {
        for (const auto& [name, value] : *lookups) bytes += name.size() + (value ? value->size() : 0);
    }
    if (w.output) {
        bytes += w.output->args.size();
        for (const std::string& attachment : w.output->attachments) bytes += attachment.size();
    }
    if (w.claim) {
        bytes += w.claim->token.size();
        for (const std::string& room : w.claim->rooms) bytes += room.size();
    }
    return bytes;
}

void Run::start(const std::shared_ptr<const Routes>& routes, const ActionList& list, const Context& context,
                Host& host) {
    if (list.empty()) return;
    State state{.routes = routes, .list = list, .context = context, .host = host};
    state.context.facts = &host;
    state.go();
}

void Run::resume(std::unique_ptr<Run> run, Host& host, std::int64_t now_ms, const Answer& answer) {
    Waiting& waiting = *run->waiting_;
    const KeptFacts facts{waiting.queries, waiting.headers, host};
    State state{.routes = waiting.routes,
                .list = *waiting.list,
                .context = waiting.context(),
                .host = host,
                .next = waiting.next,
                .acked = waiting.acked,
                .output = std::move(waiting.output)};
    state.context.now_ms = now_ms;
    state.context.facts = &facts;

    const Action& action = state.list.actions[state.next];
    if (waiting.claim) {
        const auto told = [&answer](std::string_view otherwise) {
            return std::string{answer.reason.empty() ? otherwise : answer.reason};
        };
        switch (answer.outcome) {
            case Answer::Outcome::answered:
                state.granted = std::move(waiting.claim);
                state.has_waited = true;
                return state.go();
            case Answer::Outcome::failed:
                return state.stop(verb_of(action), {"denied", told("the room is not granted")});
            default:
                return state.stop(verb_of(action),
                                  {"unavailable", told("whether the room is granted cannot be told just now")});
        }
    }
    const Question question = question_of(action);
    if (answer.outcome == Answer::Outcome::elapsed || !question.is_one) {
        state.has_waited = true;
        return state.go();
    }
    if (answer.outcome == Answer::Outcome::answered) {
        if (question.has_output) {
            state.context.answered = true;
            state.context.answer = answer.args;
            state.context.answer_attachments = answer.attachments;
        }
        if (question.is_acknowledgement) {
            state.output = Output{std::string{answer.args}, {answer.attachments.begin(), answer.attachments.end()}};
        }
    } else {
        if (question.has_output) {
            state.context.answered = false;
            state.context.answer = {};
            state.context.answer_attachments = {};
        }
        if (question.otherwise == Otherwise::stop) {
            const auto told = [&answer](std::string_view otherwise) {
                return std::string{answer.reason.empty() ? otherwise : answer.reason};
            };
            Stop why{"unavailable", told(question.nobody)};
            if (answer.outcome == Answer::Outcome::timed_out) {
                why = {"timeout", "no answer within " + seconds(question.timeout)};
            } else if (answer.outcome == Answer::Outcome::failed) {
                why = {"failed", told(question.failed)};
            }
            return state.stop(verb_of(action), why);
        }
    }
    ++state.next;
    state.go();
}

}  // namespace sio::routes
