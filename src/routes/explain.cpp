#include "routes/explain.h"

#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "base/json.h"
#include "proto/sio_packet.h"
#include "routes/run.h"
#include "routes/topics.h"

namespace sio::routes {
namespace {

constexpr std::string_view supposed_id = "supposed-socket-id";

std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> lines;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        lines.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return lines;
}

std::string array_of(std::span<const std::string> texts) {
    std::string out = "[";
    for (const std::string& text : texts) {
        if (out.size() > 1) out += ',';
        json::append_string(out, text);
    }
    return out += ']';
}

std::string bracketed(std::string_view args) { return "[" + std::string{args} + "]"; }

std::string time_of(Milliseconds time) { return std::to_string(time.count()) + " ms"; }

/// Tells what it is asked to do.
class Teller final : public Host {
public:
    Teller(const Question& question, std::vector<Step>& steps)
        : question_(question), rooms_(question.rooms), steps_(steps) {
        rooms_.emplace_back(supposed_id);
        if (!question.user.empty()) rooms_.push_back(question.user);
    }

    std::optional<std::string> query(std::string_view name) const override { return find(question_.query, name); }
    std::optional<std::string> header(std::string_view name) const override { return find(question_.header, name); }
    std::string rooms() const override { return array_of(rooms_); }
    bool is_in(std::string_view room) const override { return std::ranges::find(rooms_, room) != rooms_.end(); }

    Result<void> join(std::string_view room, std::optional<std::string_view>) override {
        if (!is_in(room)) rooms_.emplace_back(room);
        tell("join", "the socket joins the room " + json::quote(room), "\"room\":" + json::quote(room));
        return {};
    }

    void leave(std::string_view room) override {
        std::erase(rooms_, room);
        tell("leave", "the socket leaves the room " + json::quote(room), "\"room\":" + json::quote(room));
    }

    void emit(const Message& message, const Target& target) override {
        std::string whom;
        std::string_view word;
        switch (target.audience) {
            case Audience::self: whom = "the socket", word = "self"; break;
            case Audience::others: whom = "all others in the namespace", word = "others"; break;
            case Audience::all: whom = "all in the namespace", word = "all"; break;
            case Audience::rooms: whom = "all in " + array_of(target.rooms), word = "room"; break;
            case Audience::others_in: whom = "all others in " + array_of(target.rooms), word = "others_in"; break;
        }
        if (!target.except.empty()) whom += " but those in " + array_of(target.except);
        if (target.is_volatile) whom += ", volatile";
        if (target.is_local) whom += ", on this gateway only";
        std::string details = described(message) + ",\"to\":" + json::quote(word);
        if (!target.rooms.empty()) details += ",\"rooms\":" + array_of(target.rooms);
        if (!target.except.empty()) details += ",\"except\":" + array_of(target.except);
        if (target.is_volatile) details += ",\"volatile\":true";
        if (target.is_local) details += ",\"local\":true";
        tell("emit", std::string{message.event} + " " + bracketed(message.args) + " goes to " + whom, details);
    }

    void ack(std::string_view args, std::span<const std::string>) override {
        tell("ack", "the event is acknowledged with " + bracketed(args), "\"args\":" + bracketed(args));
    }

    void ask(const Message& message, Milliseconds timeout, std::unique_ptr<Run> rest) override {
        tell("ask",
             std::string{message.event} + " " + bracketed(message.args) + " asks the socket, which has " +
                 time_of(timeout) + " to answer",
             described(message) + ",\"timeout_ms\":" + std::to_string(timeout.count()));
        waiting_.push_back({std::move(rest), Answer::Outcome::answered, {}});
    }

    void hand(std::string_view handler, const Message& message, Milliseconds timeout,
              std::unique_ptr<Run> rest) override {
        tell("hand",
             "a handler of " + json::quote(handler) + " gets " + std::string{message.event} + " " +
                 bracketed(message.args) + " and has " + time_of(timeout) + " to answer",
             "\"handler\":" + json::quote(handler) + "," + described(message) +
                 ",\"timeout_ms\":" + std::to_string(timeout.count()));
        waiting_.push_back({std::move(rest), Answer::Outcome::answered, {}});
    }

    void publish(const Publication& publication, Milliseconds timeout, std::unique_ptr<Run> rest) override {
        std::string text = std::string{publication.value} + " is published as " + json::quote(publication.topic);
        std::string details =
            "\"topic\":" + json::quote(publication.topic) + ",\"value\":" + std::string{publication.value};
        if (publication.key) {
            text += " with the key " + json::quote(*publication.key);
            details += ",\"key\":" + json::quote(*publication.key);
        }
        tell("publish", text + "; Redis has " + time_of(timeout) + " to take it",
             details + ",\"timeout_ms\":" + std::to_string(timeout.count()));
        waiting_.push_back({std::move(rest), Answer::Outcome::answered, {}});
    }

    std::optional<Grant> known(std::span<const std::string>, std::string_view) override { return std::nullopt; }

    void authorize(std::span<const std::string> rooms, std::string_view room_token,
                   std::unique_ptr<Run> rest) override {
        using Kind = Grant::Kind;
        const Kind said = question_.right;
        const std::string_view word = said == Kind::granted  ? "granted"
                                      : said == Kind::denied ? "denied"
                                                             : "unavailable";
        const std::string who = question_.user.empty() ? "an anonymous client" : json::quote(question_.user);
        // The token itself is nothing for a screen.
        tell("grant",
             "sio-authd is asked whether " + who + " may be in " + array_of(rooms) +
                 (room_token.empty() ? "" : " by a room token") + "; here it says " + std::string{word},
             "\"rooms\":" + array_of(rooms) + (room_token.empty() ? "" : ",\"room_token\":true") +
                 ",\"supposed\":" + json::quote(word));
        waiting_.push_back({std::move(rest),
                            said == Kind::granted  ? Answer::Outcome::answered
                            : said == Kind::denied ? Answer::Outcome::failed
                                                   : Answer::Outcome::nobody,
                            {}});
    }

    void schedule(Milliseconds delay, std::unique_ptr<Run> rest) override {
        tell("wait", time_of(delay) + " pass", "\"ms\":" + std::to_string(delay.count()));
        waiting_.push_back({std::move(rest), Answer::Outcome::elapsed, delay});
    }

    void disconnect(Disconnect::What what) override {
        const std::string_view word = what == Disconnect::What::nsp      ? "namespace"
                                      : what == Disconnect::What::client ? "client"
                                                                         : "transport";
        const std::string_view sentence = what == Disconnect::What::nsp      ? "the socket leaves the namespace"
                                          : what == Disconnect::What::client ? "the client is disconnected"
                                                                             : "the transport is closed";
        tell("disconnect", std::string{sentence}, "\"what\":" + json::quote(word));
    }

    void stopped(std::string_view verb, std::string_view code, std::string_view reason) override {
        tell("stop", "the list ends at " + json::quote(verb) + ": " + std::string{code} + ", " + std::string{reason},
             "\"at\":" + json::quote(verb) + ",\"error\":" + json::quote(code) + ",\"reason\":" + json::quote(reason));
    }

    struct Pending {
        std::unique_ptr<Run> run;
        Answer::Outcome outcome;
        Milliseconds delay;
    };
    std::optional<Pending> take() {
        if (waiting_.empty()) return std::nullopt;
        Pending first = std::move(waiting_.front());
        waiting_.pop_front();
        return first;
    }

private:
    static std::optional<std::string> find(const std::map<std::string, std::string, std::less<>>& values,
                                           std::string_view name) {
        const auto found = values.find(name);
        return found == values.end() ? std::nullopt : std::optional{found->second};
    }
    static std::string described(const Message& message) {
        return "\"event\":" + std::string{message.event} + ",\"args\":" + bracketed(message.args);
    }
    void tell(std::string_view verb, std::string text, const std::string& details) {
        steps_.push_back({std::string{verb}, std::move(text), "{" + details + "}"});
    }

    const Question& question_;
    std::vector<std::string> rooms_;
    std::vector<Step>& steps_;
    std::deque<Pending> waiting_;
};

/// Tells what is to be done with a record.
class RecordTeller final : public RecordSink {
public:
    explicit RecordTeller(std::vector<Step>& steps) : steps_(steps) {}

    void on_action(const RecordAction& action) override {
        constexpr std::array<std::string_view, 4> words = {"emit", "join", "leave", "disconnect"};
        const std::string_view word = words[static_cast<std::size_t>(action.kind)];
        const bool is_emit = action.kind == RecordAction::Kind::emit;
        std::string whom = action.rooms.empty() ? "all" : "all in " + array_of(action.rooms);
        if (!action.except.empty()) whom += " but those in " + array_of(action.except);
        if (action.nsp != "/") whom += " of the namespace " + json::quote(action.nsp);
        std::string text;
        std::string details = "\"nsp\":" + json::quote(action.nsp);
        switch (action.kind) {
            case RecordAction::Kind::emit:
                text = std::string{action.event} + " " + bracketed(action.args) + " goes to " + whom;
                details += ",\"event\":" + std::string{action.event} + ",\"args\":" + bracketed(action.args);
                break;
            case RecordAction::Kind::join: text = whom + " join the rooms " + array_of(action.joined_rooms); break;
            case RecordAction::Kind::leave: text = whom + " leave the rooms " + array_of(action.joined_rooms); break;
            case RecordAction::Kind::disconnect:
                text = whom + (action.close ? " are disconnected" : " are removed from the namespace");
                details += action.close ? ",\"what\":\"client\"" : ",\"what\":\"namespace\"";
                break;
        }
        if (action.is_volatile) text += ", volatile";
        if (!action.joined_rooms.empty()) details += ",\"joined\":" + array_of(action.joined_rooms);
        details += is_emit ? ",\"to\":" : ",\"sockets\":";
        details += action.rooms.empty() ? "\"all\"" : "\"room\",\"rooms\":" + array_of(action.rooms);
        if (!action.except.empty()) details += ",\"except\":" + array_of(action.except);
        if (action.is_volatile) details += ",\"volatile\":true";
        if (!action.attachments.empty()) {
            text += ", with " + std::to_string(action.attachments.size()) +
                    (action.attachments.size() == 1 ? " attachment" : " attachments");
            details += ",\"attachments\":" + std::to_string(action.attachments.size());
        }
        steps_.push_back({std::string{word}, std::move(text), "{" + details + "}"});
    }

private:
    std::vector<Step>& steps_;
};

/// The inside of a JSON array, or nothing when the text is none.
std::optional<std::string_view> inside(std::string_view text) {
    if (!json::is_valid(text)) return std::nullopt;
    text = text.substr(0, *json::value_end(text, 0));
    text.remove_prefix(text.find_first_not_of(" \t\r\n"));
    if (json::kind_of(text) != json::Kind::array) return std::nullopt;
    text = text.substr(1, text.size() - 2);
    return text.find_first_not_of(" \t\r\n") == std::string_view::npos ? std::string_view{} : text;
}

/// A text as the file has it.
std::string source_of(const Template& text) {
    std::string source;
    for (const Template::Piece& piece : text.pieces) source += piece.before + piece.reference.text;
    return source + text.tail;
}

/// Whether a text may come out as `wanted`: anything may stand for a template.
bool may_be(const Template& text, std::string_view wanted) {
    if (text.is_constant()) return text.tail == wanted;
    // A star of the text itself would match too much, which only shows an action more.
    std::string pattern;
    for (const Template::Piece& piece : text.pieces) pattern += piece.before + "*";
    return base::matches_glob(pattern + text.tail, wanted);
}

std::string shown(const std::vector<Rule>& rules) {
    std::string text;
    for (const Rule& rule : rules) {
        if (!text.empty()) text += ", ";
        switch (rule.kind) {
            case Rule::Kind::anyone: text += "anyone"; break;
            case Rule::Kind::user: text += "user"; break;
            case Rule::Kind::member: text += "member"; break;
            case Rule::Kind::granted:
                text += "granted";
                if (rule.has_token) text += " by " + source_of(rule.token);
                break;
            case Rule::Kind::rooms:
                text += "rooms";
                for (const std::string& pattern : rule.patterns) text += " " + pattern;
                break;
        }
    }
    return text.empty() ? "anyone" : text;
}

void add_ways(std::vector<Way>& ways, const NamespaceRoutes& nsp, std::string_view name, const ActionList& list,
              std::string_view room) {
    for (const Action& action : list.actions) {
        const auto* const join = std::get_if<Join>(&action.verb);
        const auto* const emit = std::get_if<Emit>(&action.verb);
        if (join == nullptr && emit == nullptr) continue;
        for (const Template& text : join != nullptr ? join->rooms.names : emit->rooms.names) {
            if (!may_be(text, room)) continue;
            std::vector<Rule> rules = list.allow;
            if (action.allow) rules.insert(rules.end(), action.allow->begin(), action.allow->end());
            const bool asks = std::ranges::find(rules, Rule::Kind::granted, &Rule::kind) != rules.end();
            ways.push_back(
                {nsp.name, std::string{name}, std::string{verb_of(action)}, source_of(text), shown(rules), asks});
        }
    }
}

}  // namespace

std::vector<Way> ways_to(const Routes& routes, std::string_view room, std::string_view event) {
    std::vector<Way> ways;
    for (const auto& nsp : routes.namespaces()) {
        if (event.empty()) {
            add_ways(ways, *nsp, "on_connect", nsp->on_connect, room);
            add_ways(ways, *nsp, "on_disconnect", nsp->on_disconnect, room);
            add_ways(ways, *nsp, "on_online", nsp->on_online, room);
            add_ways(ways, *nsp, "on_offline", nsp->on_offline, room);
        }
        for (const EventRoute& route : nsp->events) {
            if (event.empty() || route.name == event) add_ways(ways, *nsp, route.name, route.list, room);
        }
    }
    return ways;
}

Report check(std::string_view text, std::string_view file_name) {
    Report report;
    const auto routes = parse_routes(text, file_name);
    if (!routes) {
        report.problems = lines_of(routes.error().what);
        return report;
    }
    report.ok = true;
    report.warnings = routes->warnings();
    report.namespaces = routes->namespaces().size();
    report.events = routes->event_count();
    report.topics = routes->topics().size();
    return report;
}

Result<std::vector<Step>> explain(const Routes& routes, const Question& question) {
    const auto args = inside(question.args);
    if (!args) return fail(Errc::usage, "cannot read the arguments: not a JSON array");
    const auto answer = inside(question.answer);
    if (!answer) return fail(Errc::usage, "cannot read the answer: not a JSON array");
    if (!json::is_valid(question.auth)) return fail(Errc::usage, "cannot read the auth object: not JSON");

    const NamespaceRoutes* const nsp = routes.find(question.nsp);
    if (nsp == nullptr) {
        return fail(Errc::not_found, "cannot find the namespace " + json::quote(question.nsp) +
                                         ": a CONNECT to it is refused as invalid");
    }
    const std::string token = json::quote(question.event);
    Context context;
    context.socket_id = supposed_id;
    context.nsp = question.nsp;
    context.transport = "websocket";
    context.user_id = question.user;
    context.auth = question.auth;
    context.address = "127.0.0.1";
    context.now_ms = question.now_ms;

    std::vector<Step> steps;
    Teller teller{question, steps};
    context.facts = &teller;
    if (const auto refused = refusal(*nsp, context)) {
        std::string details = "{\"message\":" + json::quote(refused->message);
        if (!refused->data.empty()) details += ",\"data\":" + refused->data;
        steps.push_back({"refuse", "a CONNECT is refused with " + json::quote(refused->message), details + "}"});
        return steps;
    }

    const ActionList* list = nullptr;
    if (question.event == "connect") {
        list = &nsp->on_connect;
    } else if (question.event == "disconnect") {
        list = &nsp->on_disconnect;
        context.reason = "transport close";
    } else if (const EventRoute* const route = nsp->event(token)) {
        list = &route->list;
        context.event = token;
        context.args = *args;
        context.wants_ack = true;
    } else {
        return fail(Errc::not_found,
                    "cannot find a route for " + token + " in " + json::quote(question.nsp) + ": the event is ignored");
    }

    // Nobody shares these routes: they outlive the runs, which end below.
    const std::shared_ptr<const Routes> borrowed{std::shared_ptr<const Routes>{}, &routes};
    Run::start(borrowed, *list, context, teller);
    std::int64_t now_ms = question.now_ms;
    while (auto pending = teller.take()) {
        now_ms += pending->delay.count();
        Run::resume(std::move(pending->run), teller, now_ms,
                    {.outcome = pending->outcome, .args = *answer, .attachments = {}, .reason = {}});
    }
    return steps;
}

Result<std::vector<Step>> explain(const Routes& routes, const RecordQuestion& question) {
    const TopicRoute* const route = routes.topic(question.topic);
    if (route == nullptr) {
        return fail(Errc::not_found, "cannot find a route for the topic " +
                                         json::quote(base::one_line(question.topic)) + ": it is not read");
    }
    std::vector<RecordHeader> headers;
    for (const auto& [name, value] : question.headers) headers.push_back({name, value});
    RecordFacts facts;
    facts.topic = question.topic;
    facts.time_ms = question.now_ms;
    facts.key = question.key;
    facts.headers = headers;
    Context context;
    context.record = &facts;
    context.now_ms = question.now_ms;

    std::vector<Step> steps;
    RecordTeller teller{steps};
    RecordRun run;
    auto done = read_record(*route, question.value, facts);
    if (done) done = run.run(*route, context, teller);
    if (!done) {
        const std::string reason = base::one_line(done.error().what);
        steps.push_back({"dead-letter", "the record goes to the dead letters: " + reason,
                         "{\"reason\":" + json::quote(reason) + "}"});
    }
    return steps;
}

std::string to_text(const std::vector<Step>& steps) {
    if (steps.empty()) return "nothing happens\n";
    std::string out;
    for (std::size_t i = 0; i < steps.size(); ++i) {
        out += std::to_string(i + 1) + ". " + steps[i].verb + ": " + steps[i].text + "\n";
    }
    return out;
}

std::string to_json(const std::vector<Step>& steps) {
    std::string out = "[";
    for (const Step& step : steps) {
        if (out.size() > 1) out += ',';
        out += "{\"verb\":" + json::quote(step.verb) + ",\"text\":" + json::quote(step.text);
        const std::string_view details = std::string_view{step.details}.substr(1);
        if (details != "}") out += ',';
        out += details;
    }
    return out += ']';
}

}  // namespace sio::routes
