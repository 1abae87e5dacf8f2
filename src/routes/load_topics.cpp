// The `topics` of a routes file.
#include <algorithm>
#include <array>
#include <utility>

#include "base/bytes.h"
#include "proto/sio_packet.h"
#include "routes/loader.h"
#include "routes/suggest.h"

namespace sio::routes {

using namespace std::string_view_literals;
using namespace loading;

namespace {

constexpr std::string_view name_characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-*";
constexpr std::array formats = {"json"sv, "text"sv, "bytes"sv};
constexpr std::array format_values = {Format::json, Format::text, Format::bytes};

const std::initializer_list<std::string_view> emit_options = {"args", "to", "except", "volatile"};
const std::initializer_list<std::string_view> sockets_options = {"sockets"};

const std::array<Verb, 4> verbs = {{
    {"emit", emit_options},
    {"join", sockets_options},
    {"leave", sockets_options},
    {"disconnect", sockets_options},
}};
constexpr std::array kinds = {RecordAction::Kind::emit, RecordAction::Kind::join, RecordAction::Kind::leave,
                              RecordAction::Kind::disconnect};
constexpr std::array verb_words = {"emit"sv, "join"sv, "leave"sv, "disconnect"sv};
constexpr std::array client_verbs = {"ask"sv, "ack"sv, "hand"sv, "publish"sv, "deny"sv};
constexpr std::string_view usual_dead_letter_topic = "sio.dead-letters";
constexpr std::array common_options = {"nsp"sv, "when"sv, "about"sv};

}  // namespace

void Loader::topics(const Node& node) {
    if (!expect(node, Kind::object, R"(is not an object; write {"TOPIC": [actions]})")) return;
    for (const Member& one : members(node, {})) topic(one.name, one.node);
}

void Loader::topic(const std::string& name, const Node& node) {
    if (name.empty() || name.find_first_not_of(name_characters) != std::string::npos || name == "." || name == "..") {
        problem(node,
                "is not the name of a topic; Kafka's names have letters, digits, . _ and -, and here * for any run "
                "of them");
    } else if (name.size() > max_topic_name_bytes) {
        problem(node, "is longer than " + std::to_string(max_topic_name_bytes) + " bytes; Kafka has no such topic");
    }
    if (name == usual_dead_letter_topic) {
        warn(node,
             "is where a bridge writes dead letters, unless its dead-letter-topic says otherwise: it refuses to "
             "consume them");
    }
    routes_.topics_.push_back(std::make_unique<TopicRoute>());
    TopicRoute& out = *routes_.topics_.back();
    out.name = name;
    out.is_pattern = name.find('*') != std::string::npos;
    if (!node.is(Kind::object)) return topic_list(node, out);

    constexpr std::array words = {"format"sv, "cloudevents"sv, "do"sv, "about"sv};
    for (json::Walker walker{node.value}; walker.next();) {
        if (std::ranges::find(verb_words, json::decode_string(walker.key())) != verb_words.end()) {
            return problem(node, "is one action; write a list of actions: [{…}]");
        }
    }
    bool has_do = false;
    for (const Member& member : members(node, words)) {
        if (member.name == "do") {
            has_do = true;
            topic_list(member.node, out);
        } else if (member.name == "format") {
            const std::string word = member.node.is(Kind::string) ? member.node.text() : std::string{};
            const auto at = std::ranges::find(formats, word);
            if (at == formats.end()) {
                problem(member.node, "is not a format" + did_you_mean(word, formats) + "; write " + one_of(formats));
            } else {
                out.format = format_values[static_cast<std::size_t>(at - formats.begin())];
            }
        } else if (member.name == "cloudevents") {
            out.has_cloudevents = flag(member.node);
        } else {
            out.about = about(member.node);
        }
    }
    if (!has_do) problem(node, R"(has no "do"; write "do": [actions])");
}

void Loader::topic_list(const Node& node, TopicRoute& out) {
    if (!expect(node, Kind::array, "is not a list of actions; write [{…}, {…}]")) return;
    const std::vector<Node> all = node.elements();
    if (all.size() > max_actions) {
        return problem(node, "has more than " + std::to_string(max_actions) + " actions; write several topics");
    }
    Place place{.scope = Scope::topic, .topic = &out};
    for (const Node& element : all) {
        if (auto read = topic_action(element, place)) out.actions.push_back(std::move(*read));
    }
}

std::optional<TopicAction> Loader::topic_action(const Node& node, Place& place) {
    if (!expect(node, Kind::object, R"(is not an action; write {"emit": …} or another verb)")) return std::nullopt;
    const Verb* found = nullptr;
    std::string hint;
    for (json::Walker walker{node.value}; walker.next();) {
        const std::string name = json::decode_string(walker.key());
        if (std::ranges::find(client_verbs, name) != client_verbs.end()) {
            problem(walker.key(), node.pointer + "/" + name,
                    "is for clients' events, and a Kafka record comes from no client; write " + one_of(verb_words));
            return std::nullopt;
        }
        const auto as_verb = std::ranges::find(verbs, name, &Verb::word);
        if (as_verb == verbs.end()) {
            if (hint.empty()) hint = did_you_mean(name, verb_words);
            continue;
        }
        if (found != nullptr && found->word != name) {
            problem(walker.key(), node.pointer + "/" + name,
                    "is a second verb; write an action of its own for each of " + in_quotes(found->word) + " and " +
                        in_quotes(name));
            return std::nullopt;
        }
        found = &*as_verb;
    }
    if (found == nullptr) {
        problem(node, "has no verb" + hint + "; write one of " + one_of(verb_words));
        return std::nullopt;
    }

    std::vector<std::string_view> words{found->word};
    words.insert(words.end(), found->options.begin(), found->options.end());
    words.insert(words.end(), common_options.begin(), common_options.end());
    TopicAction result;
    result.kind = kinds[static_cast<std::size_t>(found - verbs.data())];
    result.nsp.tail = "/";
    const std::string_view audience_word = result.kind == RecordAction::Kind::emit ? "to"sv : "sockets"sv;
    bool has_audience = false;
    for (const Member& member : members(node, words)) {
        if (member.name == found->word) {
            if (result.kind == RecordAction::Kind::emit) {
                result.event = event_name(member.node, place);
            } else if (result.kind != RecordAction::Kind::disconnect) {
                result.joined_rooms = rooms(member.node, place);
            } else {
                const std::string what = member.node.is(Kind::string) ? member.node.text() : std::string{};
                result.close = what == "client";
                if (what != "client" && what != "namespace") {
                    problem(member.node, R"(is not what can be disconnected; write "namespace" or "client")");
                }
            }
        } else if (member.name == audience_word) {
            has_audience = true;
            audience(member.node, place, result);
        } else if (member.name == "args") {
            result.args = args(member.node, place);
        } else if (member.name == "except") {
            result.except = rooms(member.node, place);
        } else if (member.name == "volatile") {
            result.is_volatile = flag(member.node);
        } else if (member.name == "nsp") {
            result.nsp = nsp_text(member.node, place);
        } else if (member.name == "when") {
            result.when = conditions(member.node, place);
        } else if (member.name == "about") {
            result.about = about(member.node);
        }
    }
    if (!has_audience) {
        const std::string word = in_quotes(audience_word);
        problem(node, "does not say whom it is for; write " + word + R"(: {"room": "…"} or )" + word + R"(: "all")");
    }
    return result;
}

void Loader::audience(const Node& node, Place& place, TopicAction& out) {
    constexpr std::string_view remedy = R"(write {"room": "…"}, or "all" for all of the namespace)";
    constexpr std::array keys = {"room"sv};
    if (node.is(Kind::string) && node.text() == "all") {
        out.to_all = true;
        return;
    }
    if (!node.is(Kind::object)) return problem(node, "is not an audience of a record; " + std::string{remedy});
    const std::size_t before = problems_.size();
    const std::vector<Member> all = members(node, keys);
    if (problems_.size() != before) return;
    if (all.empty()) return problem(node, "names no audience; " + std::string{remedy});
    out.rooms = rooms(all[0].node, place);
}

Template Loader::nsp_text(const Node& node, Place& place) {
    if (!expect(node, Kind::string, R"(is not the name of a namespace; write one such as "/admin")")) return {};
    Template result = text_template(node, place);
    if (result.is_constant() && !is_namespace_name(result.tail)) {
        problem(node, "is not the name of a namespace; names begin with /, have no comma and at most " +
                          std::to_string(max_pattern_bytes) + " bytes");
    }
    return result;
}

}  // namespace sio::routes
