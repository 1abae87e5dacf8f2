// parse_routes(): from text to Routes, with every problem found on the way.
#include <jansson.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <utility>

#include "base/bytes.h"
#include "base/json.h"
#include "proto/sio_packet.h"
#include "routes/loader.h"
#include "routes/suggest.h"

namespace sio::routes {

using namespace std::string_view_literals;
using namespace loading;

namespace {

const std::initializer_list<std::string_view> join_options = {"allow"};
const std::initializer_list<std::string_view> emit_options = {"args", "to", "except", "allow", "volatile", "local"};
const std::initializer_list<std::string_view> wait_options = {"args", "timeout", "otherwise"};

const std::initializer_list<std::string_view> publish_options = {"value", "key", "timeout", "otherwise"};

const std::array<Verb, 9> verbs = {{
    {"join", join_options},
    {"leave", {}},
    {"emit", emit_options},
    {"ask", wait_options},
    {"ack", {}},
    {"hand", wait_options},
    {"publish", publish_options},
    {"deny", {}},
    {"disconnect", {}},
}};
constexpr std::array common_options = {"when"sv, "after"sv, "about"sv};

}  // namespace

std::string loading::one_of(std::span<const std::string_view> words) {
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i != 0) text += i + 1 == words.size() ? " or " : ", ";
        text += in_quotes(words[i]);
    }
    return text;
}

std::size_t Loader::line_of(std::string_view at) const {
    const auto begin = text_.begin();
    const auto offset = at.data() - text_.data();
    return 1 + static_cast<std::size_t>(std::count(begin, begin + offset, '\n'));
}

std::string Loader::place_of(std::string_view at, std::string_view pointer) const {
    std::string place{file_};
    place += ':';
    place += std::to_string(line_of(at));
    place += ": ";
    place += pointer.empty() ? "/" : pointer;
    place += ": ";
    return place;
}

void Loader::problem(std::string_view at, std::string_view pointer, std::string_view what) {
    problems_.push_back({line_of(at), base::one_line(place_of(at, pointer) + std::string{what})});
}

void Loader::warn(const Node& node, std::string_view what) {
    warnings_.push_back(base::one_line(place_of(node.value, node.pointer) + std::string{what}));
}

bool Loader::expect(const Node& node, Kind kind, std::string_view remedy) {
    if (node.is(kind)) return true;
    problem(node, remedy);
    return false;
}

std::vector<Member> Loader::members(const Node& object, std::span<const std::string_view> known) {
    std::vector<Member> all;
    for (json::Walker walker{object.value}; walker.next();) {
        std::string name = json::decode_string(walker.key());
        Node node = object.child(name, walker.value());
        if (std::ranges::find(all, name, &Member::name) != all.end()) {
            problem(walker.key(), node.pointer, "is there twice; keep one");
        } else if (!known.empty() && std::ranges::find(known, name) == known.end()) {
            problem(walker.key(), node.pointer,
                    "is not known here" + did_you_mean(name, known) + "; write " + one_of(known));
        } else {
            all.push_back({std::move(name), std::move(node)});
        }
    }
    return all;
}

/// Says where the text stops being JSON.
void Loader::syntax() {
    json_error_t error;
    json_t* const parsed = json_loadb(text_.data(), text_.size(), JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    std::size_t line = 1;
    std::string what = "nests too deeply; no more than " + std::to_string(json::default_depth) + " levels";
    if (parsed == nullptr) {
        line = error.line > 0 ? static_cast<std::size_t>(error.line) : 1;
        what = "is not JSON: " + std::string{static_cast<const char*>(error.text)};
        if (error.column > 0) what += " (column " + std::to_string(error.column) + ")";
    }
    json_decref(parsed);
    problems_.push_back({line, base::one_line(std::string{file_} + ":" + std::to_string(line) + ": /: " + what)});
}

Result<Routes> Loader::load() {
    if (text_.size() > max_file_bytes) {
        problems_.push_back({1, std::string{file_} + ":1: /: is larger than " + std::to_string(max_file_bytes >> 20U) +
                                    " MiB; write less"});
    } else if (!base::is_utf8(text_) || !json::is_valid(text_, json::default_depth)) {
        syntax();
    } else {
        const std::size_t begin = text_.find_first_not_of(" \t\r\n");
        const auto end = json::value_end(text_, begin);
        top({text_.substr(begin, *end - begin), ""});
    }
    if (!problems_.empty()) {
        std::ranges::stable_sort(problems_, {}, &Problem::line);
        std::string what;
        for (const Problem& found : problems_) {
            if (!what.empty()) what += '\n';
            what += found.text;
        }
        return fail(Errc::config, std::move(what));
    }
    routes_.warnings_ = std::move(warnings_);
    return std::move(routes_);
}

void Loader::top(const Node& node) {
    constexpr std::array words = {"version"sv, "namespaces"sv, "topics"sv, "about"sv, "$schema"sv};
    if (!expect(node, Kind::object, R"(is not an object; begin with {"version": 1, "namespaces": {…}})")) return;
    bool has_version = false;
    for (const Member& member : members(node, words)) {
        if (member.name == "version") {
            has_version = true;
            if (member.node.value != "1") problem(member.node, "is a version this program does not know; write 1");
        } else if (member.name == "namespaces") {
            if (!expect(member.node, Kind::object, R"(is not an object; write {"/": {…}})")) continue;
            for (const Member& one : members(member.node, {})) nsp(one.name, one.node);
        } else if (member.name == "topics") {
            topics(member.node);
        } else {
            about(member.node);
        }
    }
    if (!has_version) problem(node, R"(has no "version"; write "version": 1)");
}

void Loader::nsp(const std::string& name, const Node& node) {
    constexpr std::array words = {"on_connect"sv, "on_disconnect"sv, "on_online"sv, "on_offline"sv,
                                  "events"sv,     "refuse"sv,        "about"sv};
    if (name.empty() || name.front() != '/') {
        problem(node, "is not the name of a namespace; begin with /");
    } else if (name.find(',') != std::string::npos) {
        problem(node, "has a comma, which ends the name in Socket.IO's packets; leave it out");
    } else if (name.size() > max_pattern_bytes) {
        problem(node, "is longer than " + std::to_string(max_pattern_bytes) + " bytes; shorten the name");
    }
    if (!expect(node, Kind::object, R"(is not an object; write {"events": {…}})")) return;

    NamespaceRoutes* out = nullptr;
    if (name == "/") {
        out = routes_.all_.front().get();
    } else {
        routes_.all_.push_back(std::make_unique<NamespaceRoutes>());
        out = routes_.all_.back().get();
        out->name = name;
        out->is_pattern = name.find('*') != std::string::npos;
        if (out->is_pattern) {
            routes_.patterns_.push_back(out);
        } else {
            routes_.exact_.emplace(name, out);
        }
    }
    for (const Member& member : members(node, words)) {
        if (member.name == "on_connect") {
            list(member.node, Scope::connect, out->on_connect);
        } else if (member.name == "on_disconnect") {
            list(member.node, Scope::disconnect, out->on_disconnect);
        } else if (member.name == "on_online" || member.name == "on_offline") {
            if (out->is_pattern) {
                problem(member.node, "cannot be in a namespace with *: nobody could say which of them are meant");
            }
            list(member.node, Scope::presence, member.name == "on_online" ? out->on_online : out->on_offline);
        } else if (member.name == "events") {
            events(member.node, *out);
        } else if (member.name == "refuse") {
            refuse(member.node, out->refuse);
        } else {
            out->about = about(member.node);
        }
    }
    out->index();
}

void Loader::refuse(const Node& node, std::vector<Refuse>& out) {
    constexpr std::array words = {"message"sv, "data"sv, "when"sv, "about"sv};
    if (node.is(Kind::array)) {
        for (const Node& element : node.elements()) {
            if (expect(element, Kind::object, R"(is not an object; write {"message": "…"})")) refuse(element, out);
        }
        return;
    }
    if (!expect(node, Kind::object, R"(is not an object; write {"message": "…"})")) return;
    Place place{.scope = Scope::refuse};
    Refuse result;
    bool has_message = false;
    for (const Member& member : members(node, words)) {
        if (member.name == "message") {
            has_message = true;
            if (expect(member.node, Kind::string, "is not a string; write what the client is to be told")) {
                result.message = value_template(member.node, place);
            }
        } else if (member.name == "data") {
            result.data = value_template(member.node, place);
            result.has_data = true;
        } else if (member.name == "when") {
            result.when = conditions(member.node, place);
        } else {
            about(member.node);
        }
    }
    if (!has_message) problem(node, R"(has no "message"; write what the client is to be told)");
    out.push_back(std::move(result));
}

void Loader::events(const Node& node, NamespaceRoutes& out) {
    if (!expect(node, Kind::object, R"(is not an object; write {"EVENT": [actions]})")) return;
    for (Member& member : members(node, {})) {
        if (proto::is_reserved_event(member.name)) {
            problem(member.node, "is a name no client can send; on_connect and on_disconnect are beside \"events\"");
        }
        out.events.push_back({std::move(member.name), {}});
        event_list(member.node, out.events.back().list);
    }
}

void Loader::event_list(const Node& node, ActionList& out) {
    constexpr std::array words = {"do"sv, "allow"sv, "about"sv};
    if (!node.is(Kind::object)) return list(node, Scope::event, out);
    bool has_do = false;
    bool may_be_action = false;
    for (json::Walker walker{node.value}; walker.next();) {
        const std::string name = json::decode_string(walker.key());
        may_be_action = may_be_action || std::ranges::find(verbs, name, &Verb::word) != verbs.end();
    }
    if (may_be_action) return problem(node, "is one action; write a list of actions: [{…}]");
    for (const Member& member : members(node, words)) {
        if (member.name == "do") {
            has_do = true;
            list(member.node, Scope::event, out);
        } else if (member.name == "allow") {
            Place place{.scope = Scope::event, .list = &out};
            out.allow = allow(member.node, place, false, false);
        } else {
            out.about = about(member.node);
        }
    }
    if (!has_do) problem(node, R"(has no "do"; write "do": [actions])");
}

void Loader::list(const Node& node, Scope scope, ActionList& out) {
    if (!expect(node, Kind::array, "is not a list of actions; write [{…}, {…}]")) return;
    const std::vector<Node> all = node.elements();
    if (all.size() > max_actions) {
        return problem(node, "has more than " + std::to_string(max_actions) + " actions; hand the event to a program");
    }
    Place place{.scope = scope, .list = &out};
    for (const Node& element : all) {
        if (auto read = action(element, place)) out.actions.push_back(std::move(*read));
    }
}

std::optional<Action> Loader::action(const Node& node, Place& place) {
    if (!expect(node, Kind::object, R"(is not an action; write {"emit": …} or another verb)")) return std::nullopt;

    std::vector<std::string_view> verb_words;
    std::vector<std::string_view> all_words;
    verb_words.reserve(std::size(verbs));
    for (const Verb& one : verbs) verb_words.push_back(one.word);
    all_words = verb_words;
    for (const Verb& one : verbs) {
        for (const std::string_view option : one.options) {
            if (std::ranges::find(all_words, option) == all_words.end()) all_words.push_back(option);
        }
    }
    all_words.insert(all_words.end(), common_options.begin(), common_options.end());

    const Verb* found = nullptr;
    for (json::Walker walker{node.value}; walker.next();) {
        const std::string name = json::decode_string(walker.key());
        const auto as_verb = std::ranges::find(verbs, name, &Verb::word);
        if (as_verb == verbs.end()) continue;
        if (found != nullptr && found->word != name) {
            problem(walker.key(), node.pointer + "/" + name,
                    "is a second verb; write an action of its own for each of " + in_quotes(found->word) + " and " +
                        in_quotes(name));
            return std::nullopt;
        }
        found = &*as_verb;
    }
    if (found == nullptr) {
        std::string hint;
        for (json::Walker walker{node.value}; walker.next() && hint.empty();) {
            const std::string name = json::decode_string(walker.key());
            if (std::ranges::find(all_words, name) == all_words.end()) hint = did_you_mean(name, verb_words);
        }
        problem(node, "has no verb" + hint + "; write one of " + one_of(verb_words));
        return std::nullopt;
    }

    std::vector<std::string_view> words{found->word};
    words.insert(words.end(), found->options.begin(), found->options.end());
    words.insert(words.end(), common_options.begin(), common_options.end());
    const std::vector<Member> all = members(node, words);

    Action result;
    Node operand;
    for (const Member& member : all) {
        if (member.name == found->word) {
            operand = member.node;
        } else if (member.name == "when") {
            result.when = conditions(member.node, place);
        } else if (member.name == "after") {
            result.after = duration(member.node, {});
            if (place.scope == Scope::presence) {
                problem(member.node, "cannot be in on_online and on_offline: they are told at once or not at all");
            }
        } else if (member.name == "about") {
            result.about = about(member.node);
        }
    }
    auto made = verb(*found, operand, all, place);
    if (!made) return std::nullopt;
    result.verb = std::move(*made);
    const auto rights = std::ranges::find(all, "allow"sv, &Member::name);
    if (rights != all.end()) {
        const auto* const emit = std::get_if<Emit>(&result.verb);
        result.allow = allow(rights->node, place, emit == nullptr || !emit->rooms.empty(), emit == nullptr);
    }
    check_rights(operand, result);
    return result;
}

std::optional<decltype(Action::verb)> Loader::verb(const Verb& found, const Node& node, const std::vector<Member>& all,
                                                   Place& place) {
    const std::string_view word = found.word;
    if (place.scope == Scope::disconnect && word != "emit" && word != "publish") {
        problem(node, "has no sense when the socket is gone; on_disconnect can only emit and publish");
        return std::nullopt;
    }
    if (place.scope == Scope::presence && word != "emit") {
        problem(node, "has no socket to act on; on_online and on_offline can only emit");
        return std::nullopt;
    }
    if (place.scope == Scope::connect && (word == "ack" || word == "deny")) {
        problem(node, word == "ack" ? "has nothing to acknowledge in on_connect; emit instead"
                                    : R"(cannot be in on_connect; write "refuse" beside it)");
        return std::nullopt;
    }
    if (word == "join") return Join{rooms(node, place)};
    if (word == "leave") return Leave{rooms(node, place)};
    if (word == "emit") {
        Emit result;
        result.event = event_name(node, place);
        emit(all, place, result);
        return result;
    }
    if (word == "ask") {
        Ask result;
        result.event = event_name(node, place);
        wait(all, place, result.args, result.timeout, result.otherwise);
        place.has_answer = true;
        place.answer_is_clients = true;
        return result;
    }
    if (word == "ack") return Ack{args(node, place)};
    if (word == "hand") {
        Hand result;
        if (node.value == "true" && place.scope == Scope::event) {
            result.handler = checked(node, compile_text("{event.name}"), place);
        } else if (!node.is(Kind::string) || node.value.size() == 2) {
            problem(node, place.scope == Scope::event
                              ? "is not a handler; write true for the event's own name, or a name"
                              : "is not a handler; write the name that the handler waits with");
        } else {
            result.handler = text_template(node, place);
        }
        if (place.scope == Scope::event) result.args.kind = Args::Kind::pass_through;
        wait(all, place, result.args, result.timeout, result.otherwise);
        place.has_answer = true;
        return result;
    }
    if (word == "publish") return publish(node, all, place);
    if (word == "deny") {
        Deny result;
        if (expect(node, Kind::string, "is not a string; write the reason"))
            result.reason = value_template(node, place);
        return result;
    }
    constexpr std::array ends = {"namespace"sv, "client"sv, "transport"sv};
    Disconnect result;
    const std::string what = node.is(Kind::string) ? node.text() : std::string{};
    const auto at = std::ranges::find(ends, what);
    if (at == ends.end()) {
        problem(node, "is not what can be disconnected" + did_you_mean(what, ends) + "; write " + one_of(ends));
    } else {
        constexpr std::array values = {Disconnect::What::nsp, Disconnect::What::client, Disconnect::What::transport};
        result.what = values[static_cast<std::size_t>(at - ends.begin())];
    }
    return result;
}

void Loader::emit(const std::vector<Member>& all, Place& place, Emit& out) {
    if (place.scope == Scope::disconnect) out.to = Audience::others;
    if (place.scope == Scope::presence) out.to = Audience::all;
    for (const Member& member : all) {
        if (member.name == "args") {
            out.args = args(member.node, place);
        } else if (member.name == "to") {
            to(member.node, place, out);
        } else if (member.name == "except") {
            out.except = rooms(member.node, place);
        } else if (member.name == "volatile") {
            out.is_volatile = flag(member.node);
        } else if (member.name == "local") {
            out.is_local = flag(member.node);
        }
    }
}

void Loader::to(const Node& node, Place& place, Emit& out) {
    constexpr std::array words = {"self"sv, "others"sv, "all"sv};
    constexpr std::array values = {Audience::self, Audience::others, Audience::all};
    constexpr std::array keys = {"room"sv, "others_in"sv};
    constexpr std::string_view remedy = R"(write "self", "others", "all", {"room": "…"} or {"others_in": "…"})";
    if (node.is(Kind::string)) {
        const std::string word = node.text();
        const auto at = std::ranges::find(words, word);
        if (at == words.end()) {
            return problem(node, "is not an audience" + did_you_mean(word, words) + "; " + std::string{remedy});
        }
        out.to = values[static_cast<std::size_t>(at - words.begin())];
        if (out.to == Audience::self && place.scope == Scope::disconnect) {
            problem(node, R"(is gone when on_disconnect runs; write "others", "all" or {"room": "…"})");
        }
        if (place.scope == Scope::presence && out.to != Audience::all) {
            problem(node, R"(needs a socket, and there is none in on_online; write "all" or {"room": "…"})");
        }
        return;
    }
    if (!node.is(Kind::object)) return problem(node, "is not an audience; " + std::string{remedy});
    const std::size_t before = problems_.size();
    const std::vector<Member> all = members(node, keys);
    if (problems_.size() != before) return;
    if (all.size() != 1) {
        return problem(
            node, "names " + std::string{all.empty() ? "no" : "more than one"} + " audience; " + std::string{remedy});
    }
    out.to = all[0].name == "room" ? Audience::rooms : Audience::others_in;
    out.rooms = rooms(all[0].node, place);
}

void Loader::wait(const std::vector<Member>& all, Place& place, Args& out, Milliseconds& timeout,
                  Otherwise& otherwise) {
    constexpr std::array words = {"stop"sv, "continue"sv};
    for (const Member& member : all) {
        if (member.name == "args") {
            out = args(member.node, place);
        } else if (member.name == "timeout") {
            timeout = duration(member.node, default_timeout);
            if (timeout.count() == 0) problem(member.node, R"(leaves no time to answer; write "10s")");
        } else if (member.name == "otherwise") {
            const std::string word = member.node.is(Kind::string) ? member.node.text() : std::string{};
            if (std::ranges::find(words, word) == words.end()) {
                problem(member.node, "is unknown" + did_you_mean(word, words) +
                                         R"(; write "stop" (the list ends) or "continue" (without an answer))");
            }
            otherwise = word == "continue" ? Otherwise::go_on : Otherwise::stop;
        }
    }
}

Publish Loader::publish(const Node& node, const std::vector<Member>& all, Place& place) {
    Publish result;
    short_text(node, place, R"(is not a topic; write the name under which it is published)", result.topic);
    if (result.topic.is_from_client()) {
        warn(node, "lets clients choose the topic; write a fixed one, and put what the client says into \"value\"");
    }
    // In a list without an event there are no arguments.
    if (const auto whole = compile_value(place.scope == Scope::event ? R"("{event.args}")" : "[]")) {
        result.value = *whole;
    }
    for (const Member& member : all) {
        if (member.name == "value") {
            result.value = value_template(member.node, place);
        } else if (member.name == "key") {
            short_text(member.node, place, R"(is not a key; write a text such as "{user.id}")", result.key);
            result.has_key = true;
        }
    }
    Args none;
    wait(all, place, none, result.timeout, result.otherwise);
    return result;
}

void Loader::short_text(const Node& node, Place& place, std::string_view remedy, Template& out) {
    if (!node.is(Kind::string) || node.value.size() == 2) return problem(node, remedy);
    out = text_template(node, place);
    if (out.is_constant() && out.tail.size() > max_topic_bytes) {
        problem(node, "is longer than " + std::to_string(max_topic_bytes) + " bytes; shorten it");
    }
}

/// A room that a client chooses needs a rule that says who may.
void Loader::check_rights(const Node& node, const Action& action) {
    const auto* const join = std::get_if<Join>(&action.verb);
    const auto* const emit = std::get_if<Emit>(&action.verb);
    if (join == nullptr && emit == nullptr) return;
    const Rooms& named = join != nullptr ? join->rooms : emit->rooms;
    const bool chosen = std::ranges::any_of(named.names, [](const Template& name) { return name.is_from_client(); });
    if (!chosen) return;
    if (!action.allow) {
        return problem(node, "lets clients choose a room, and no rule allows it; write \"allow\": " +
                                 std::string{join != nullptr ? allow_forms : emit_allow_forms});
    }
    const bool is_bare = std::ranges::any_of(named.names, [](const Template& name) {
        return name.is_from_client() &&
               std::ranges::all_of(name.pieces, [](const Template::Piece& piece) { return piece.before.empty(); }) &&
               name.tail.empty();
    });
    const bool is_bounded = std::ranges::any_of(*action.allow, [](const Rule& rule) {
        return rule.kind == Rule::Kind::rooms || rule.kind == Rule::Kind::member || rule.kind == Rule::Kind::granted;
    });
    if (is_bare && !is_bounded) {
        warn(node,
             "lets clients choose any room, also those named by other users' ids; give the name a fixed part, "
             R"(or add {"rooms": […]} to "allow")");
    }
}

Result<Routes> parse_routes(std::string_view text, std::string_view file_name) {
    return Loader{text, file_name}.load();
}

}  // namespace sio::routes
