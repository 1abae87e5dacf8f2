// What actions are made of: rooms, arguments, conditions, rules and templates.
#include <algorithm>
#include <array>
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

constexpr std::array types = {"string"sv, "number"sv, "boolean"sv, "null"sv, "array"sv, "object"sv, "binary"sv};

/// A template for messages, of a kind that the list may use.
std::string_view sample_of(Scope scope) noexcept {
    return scope == Scope::topic ? "{record.value.id}"sv : "{event.0}"sv;
}

}  // namespace

Template Loader::event_name(const Node& node, Place& place) {
    if (!expect(node, Kind::string, "is not a string; write the name of the event to emit")) return {};
    Template result = value_template(node, place);
    if (result.is_constant() && !result.tail.empty() && proto::is_reserved_event(json::decode_string(result.tail))) {
        problem(node, "is a reserved name, which clients take for something else; use another");
    }
    return result;
}

Rooms Loader::rooms(const Node& node, Place& place) {
    Rooms result;
    const std::vector<Node> all = node.is(Kind::array) ? node.elements() : std::vector<Node>{node};
    if (all.empty()) problem(node, "names no room; write at least one");
    for (const Node& element : all) {
        if (!expect(element, Kind::string, R"(is not a room; write its name, or a list of names)")) continue;
        if (element.value.size() == 2) {
            problem(element, "is an empty name; write one");
            continue;
        }
        result.names.push_back(text_template(element, place));
        const Template& name = result.names.back();
        if (name.is_constant() && name.tail.size() > max_room_bytes) {
            problem(element, "is longer than " + std::to_string(max_room_bytes) + " bytes; shorten it");
        }
    }
    if (std::ranges::all_of(result.names, &Template::is_constant)) {
        for (const Template& name : result.names) result.constants.push_back(name.tail);
    }
    return result;
}

Args Loader::args(const Node& node, Place& place) {
    Args result;
    if (node.is(Kind::array)) {
        result.kind = Args::Kind::array;
        result.value = value_template(node, place);
        return result;
    }
    if (node.is(Kind::string) && place.scope != Scope::topic) {
        const std::size_t before = problems_.size();
        const Template whole = text_template(node, place);
        if (problems_.size() != before) return result;
        const Root root = whole.is_reference() ? whole.pieces[0].reference.root : Root::event_arg;
        if (root == Root::event_args) result.kind = Args::Kind::pass_through;
        if (root == Root::answer_args) result.kind = Args::Kind::pass_through_answer;
        if (result.kind != Args::Kind::none) return result;
    }
    problem(node, place.scope == Scope::topic
                      ? R"(is not a list of arguments; write [ … ], as in ["{record.value}"])"
                      : R"(is not a list of arguments; write [ … ], or "{event.args}" for all arguments as they came)");
    return result;
}

std::vector<Condition> Loader::conditions(const Node& node, Place& place) {
    std::vector<Condition> result;
    const std::vector<Node> all = node.is(Kind::array) ? node.elements() : std::vector<Node>{node};
    if (all.empty()) problem(node, "states no condition; write one, or leave it out");
    for (const Node& element : all) {
        if (auto read = condition(element, place, true)) result.push_back(std::move(*read));
    }
    return result;
}

std::optional<Condition> Loader::condition(const Node& node, Place& place, bool may_negate) {
    constexpr std::array words = {"exists"sv, "equals"sv, "is"sv, "not"sv};
    const std::string sample = in_quotes(sample_of(place.scope));
    const std::string remedy = R"(write {"exists": )" + sample + R"(}, {"equals": [)" + sample +
                               R"(, "x"]}, {"is": [)" + sample + R"(, "string"]} or {"not": {…}})";
    if (!expect(node, Kind::object, "is not a condition; " + remedy)) return std::nullopt;
    const std::size_t before = problems_.size();
    const std::vector<Member> all = members(node, words);
    if (problems_.size() != before) return std::nullopt;
    if (all.size() != 1) {
        problem(node, all.empty() ? "is empty; " + remedy
                                  : "states several conditions at once; write a list of them: [{…}, {…}]");
        return std::nullopt;
    }
    const auto& [word, operand] = all[0];
    if (word == "not") {
        if (!may_negate) {
            problem(operand, "is a double negation; leave both out");
            return std::nullopt;
        }
        auto inner = condition(operand, place, false);
        if (inner) inner->negated = true;
        return inner;
    }
    if (word == "exists") {
        if (!expect(operand, Kind::string, "is not a template; write " + sample)) return std::nullopt;
        Condition result{.kind = Condition::Kind::exists, .left = {}, .right = {}, .type = {}};
        result.left = checked(operand, compile_reference(operand.text()), place);
        return result;
    }
    const std::vector<Node> pair = operand.is(Kind::array) ? operand.elements() : std::vector<Node>{};
    if (pair.size() != 2) {
        problem(operand, word == "is" ? "needs a template and a type; write [" + sample + R"(, "string"])"
                                      : "needs two values; write [" + sample + R"(, "x"])");
        return std::nullopt;
    }
    if (word == "equals") {
        Condition result{.kind = Condition::Kind::equals, .left = {}, .right = {}, .type = {}};
        result.left = value_template(pair[0], place);
        result.right = value_template(pair[1], place);
        return result;
    }
    Condition result{.kind = Condition::Kind::is, .left = {}, .right = {}, .type = {}};
    if (expect(pair[0], Kind::string, "is not a template; write " + sample)) {
        result.left = checked(pair[0], compile_reference(pair[0].text()), place);
    }
    result.type = pair[1].is(Kind::string) ? pair[1].text() : std::string{};
    if (std::ranges::find(types, result.type) == types.end()) {
        problem(pair[1], "is not a type" + did_you_mean(result.type, types) + "; write " + one_of(types));
    }
    return result;
}

std::vector<Rule> Loader::allow(const Node& node, Place& place, bool has_rooms, bool is_join) {
    std::vector<Rule> result;
    const std::vector<Node> all = node.is(Kind::array) ? node.elements() : std::vector<Node>{node};
    if (all.empty()) problem(node, R"(states no rule; write "anyone" if anyone may)");
    for (const Node& element : all) {
        if (auto read = rule(element, place, has_rooms, is_join)) result.push_back(std::move(*read));
    }
    if (std::ranges::count(result, Rule::Kind::granted, &Rule::kind) > 1) {
        problem(node, "asks sio-authd twice; keep one \"granted\"");
    }
    return result;
}

/// What is shown to sio-authd: `{"token": "{event.0.token}"}`.
void Loader::room_token(const Node& node, Place& place, Rule& out) {
    constexpr std::array words = {"token"sv};
    constexpr std::string_view remedy = R"(write {"granted": {"token": "{event.0.token}"}}, or "granted")";
    if (!expect(node, Kind::object, "is not what sio-authd is shown; " + std::string{remedy})) return;
    const std::size_t before = problems_.size();
    const std::vector<Member> all = members(node, words);
    if (problems_.size() != before) return;
    if (all.empty() || !all[0].node.is(Kind::string) || all[0].node.value.size() == 2) {
        return problem(node, "has no room token; " + std::string{remedy});
    }
    out.token = text_template(all[0].node, place);
    out.has_token = true;
}

std::optional<Rule> Loader::rule(const Node& node, Place& place, bool has_rooms, bool is_join) {
    constexpr std::array words = {"anyone"sv, "user"sv, "member"sv, "granted"sv};
    constexpr std::array values = {Rule::Kind::anyone, Rule::Kind::user, Rule::Kind::member, Rule::Kind::granted};
    constexpr std::array keys = {"rooms"sv, "granted"sv};
    constexpr std::string_view nobody = "asks about a socket, and there is none in on_online; leave it out";
    if (node.is(Kind::string)) {
        const std::string word = node.text();
        const auto at = std::ranges::find(words, word);
        if (at == words.end()) {
            problem(node,
                    "is not a rule" + did_you_mean(word, words) + "; write " +
                        (!has_rooms ? R"("anyone" or "user")" : std::string{is_join ? allow_forms : emit_allow_forms}));
            return std::nullopt;
        }
        const Rule::Kind kind = values[static_cast<std::size_t>(at - words.begin())];
        if (kind == Rule::Kind::member && is_join) {
            problem(node, "asks for those who are in the room already; write " + std::string{allow_forms});
        } else if (kind == Rule::Kind::member && !has_rooms) {
            problem(node, "needs a room; write it beside an \"emit\" to a room");
        } else if (kind == Rule::Kind::granted && !has_rooms) {
            problem(node, R"(needs a room; write it beside a "join", or an "emit" to a room)");
        } else if (kind == Rule::Kind::granted && place.scope == Scope::presence) {
            problem(node, nobody);
        }
        return Rule{.kind = kind};
    }
    if (!expect(node, Kind::object, "is not a rule; write " + std::string{is_join ? allow_forms : emit_allow_forms})) {
        return std::nullopt;
    }
    if (!has_rooms) {
        problem(node, R"(needs a room; write it beside a "join", or an "emit" to a room)");
        return std::nullopt;
    }
    const std::size_t before = problems_.size();
    const std::vector<Member> all = members(node, keys);
    if (problems_.size() != before) return std::nullopt;
    if (all.size() > 1) {
        problem(node, "states several rules at once; write a list of them: [{…}, {…}]");
        return std::nullopt;
    }
    if (all.size() == 1 && all[0].name == "granted") {
        Rule granted{.kind = Rule::Kind::granted};
        if (place.scope == Scope::presence) problem(node, nobody);
        room_token(all[0].node, place, granted);
        return granted;
    }
    Rule result{.kind = Rule::Kind::rooms};
    const std::vector<Node> patterns =
        all.size() == 1 && all[0].node.is(Kind::array) ? all[0].node.elements() : std::vector<Node>{};
    if (patterns.empty()) {
        problem(node, R"(names no rooms; write {"rooms": ["course_*"]})");
        return std::nullopt;
    }
    for (const Node& pattern : patterns) {
        if (!expect(pattern, Kind::string, R"(is not a pattern; write "course_*")")) continue;
        result.patterns.push_back(pattern.text());
        if (result.patterns.back().find_first_of("{}") != std::string::npos) {
            problem(pattern, "has braces; patterns are fixed, only * stands for anything");
        }
    }
    return result;
}

Milliseconds Loader::duration(const Node& node, Milliseconds fallback) {
    const std::string text = node.is(Kind::string) ? node.text() : std::string{};
    const std::size_t unit = std::min(text.find_first_not_of("0123456789"), text.size());
    const std::string_view word = std::string_view{text}.substr(unit);
    const std::uint64_t factor = word == "ms" ? 1 : word == "s" ? 1000 : word == "m" ? 60'000 : 0;
    const auto count = base::parse_decimal(std::string_view{text}.substr(0, unit), 1'000'000'000);
    if (!count || factor == 0) {
        problem(node, R"(is not a time; write "500ms", "10s" or "1m")");
        return fallback;
    }
    if (*count * factor > static_cast<std::uint64_t>(max_delay.count())) {
        problem(node, R"(is longer than a minute; write "60s" or less)");
        return fallback;
    }
    return Milliseconds{static_cast<std::int64_t>(*count * factor)};
}

bool Loader::flag(const Node& node) {
    return expect(node, Kind::boolean, "is not true or false; write one of them") && node.value == "true";
}

std::string Loader::about(const Node& node) {
    if (!expect(node, Kind::string, "is not a string; write a sentence for readers")) return {};
    return node.text();
}

Template Loader::checked(const Node& node, Result<Template> compiled, Place& place) {
    if (!compiled) {
        problem(node, compiled.error().what);
        return {};
    }
    const auto note = [](std::vector<std::string>& names, const std::string& name) {
        if (std::ranges::find(names, name) == names.end()) names.push_back(name);
    };
    for (Template::Piece& piece : compiled->pieces) {
        Reference& reference = piece.reference;
        if (reference.is_of_record() && place.scope != Scope::topic) {
            problem(node, reference.text + " is of a Kafka record, which only \"topics\" have");
            continue;
        }
        if (place.scope == Scope::presence && reference.root != Root::user_id &&
            reference.root != Root::socket_namespace && reference.root != Root::clock_iso &&
            reference.root != Root::clock_ms) {
            problem(node, reference.text +
                              " is of one socket; on_online and on_offline know {user.id}, "
                              "{socket.namespace} and {clock.…}");
            continue;
        }
        if (place.scope == Scope::topic && !reference.is_of_record() && reference.root != Root::clock_iso &&
            reference.root != Root::clock_ms) {
            problem(node, reference.text +
                              " is of a client, and a Kafka record has none; \"topics\" know {record.…}, "
                              "{cloudevent.…} and {clock.…}");
            continue;
        }
        if (place.topic != nullptr) note_field(reference, *place.topic);
        switch (reference.root) {
            case Root::event_arg:
            case Root::event_args:
            case Root::event_name:
                if (place.scope != Scope::event) {
                    problem(node, reference.text + " has no event to look at here; events are under \"events\"");
                }
                break;
            case Root::answer_arg:
            case Root::answer_args:
                reference.is_trusted = !place.answer_is_clients;
                if (!place.has_answer) {
                    problem(node, reference.text + R"( has no answer to look at; put an "ask" or "hand" before it)");
                }
                break;
            case Root::disconnect_reason:
                if (place.scope != Scope::disconnect) {
                    problem(node, reference.text + " is known only in on_disconnect");
                }
                break;
            case Root::handshake_query:
                if (place.list != nullptr) note(place.list->queries, reference.name);
                break;
            case Root::handshake_header:
                if (place.list != nullptr) note(place.list->headers, reference.name);
                break;
            default: break;
        }
    }
    return std::move(*compiled);
}

/// Gives the member of the record's value that the reference begins with a slot, which read_record() fills.
void Loader::note_field(Reference& reference, TopicRoute& topic) {
    if (reference.root != Root::record_value || reference.path.empty()) return;
    const auto found = std::ranges::find(topic.fields, reference.path.front());
    const auto slot = static_cast<std::size_t>(found - topic.fields.begin());
    if (slot >= max_record_fields) return;
    if (found == topic.fields.end()) topic.fields.push_back(reference.path.front());
    reference.slot = static_cast<std::uint8_t>(slot);
}

/// Reports mistakes at the member or element that has them.
void Loader::check_parts(const Node& node, Place& place) {
    std::size_t index = 0;
    for (json::Walker walker{node.value}; walker.next(); ++index) {
        const std::string name = walker.key().empty() ? std::to_string(index) : json::decode_string(walker.key());
        const Node part = node.child(name, walker.value());
        if (!walker.key().empty()) {
            const auto with_name = compile_value("{" + std::string{walker.key()} + ":0}");
            if (!with_name) problem(walker.key(), part.pointer, with_name.error().what);
        }
        if (part.is(Kind::array) || part.is(Kind::object)) {
            check_parts(part, place);  // no deeper than json::max_depth
        } else {
            checked(part, compile_value(part.value), place);
        }
    }
}

Template Loader::value_template(const Node& node, Place& place) {
    const std::size_t before = problems_.size();
    check_parts(node, place);
    if (problems_.size() != before) return {};
    return checked(node, compile_value(node.value), place);
}

}  // namespace sio::routes
