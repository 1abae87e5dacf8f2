// The routes file's parser: strict, and telling all problems at once, each with its line and JSON pointer.
#include <jansson.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <sstream>

#include "base/bytes.h"
#include "base/json.h"
#include "proto/sio_packet.h"
#include "routes/routes.h"

namespace sio::routes {

namespace {

constexpr std::size_t max_file_bytes = 4U << 20U;

class Parser {
public:
    Parser(std::string_view text, std::string_view file) : text_(text), file_(file) {}

    [[nodiscard]] bool has_problems() const { return !problems_.empty(); }
    [[nodiscard]] const std::string& problems() const { return problems_; }

    // `at` is a view into the file's text.
    void problem(std::string_view at, const std::string& pointer, const std::string& what) {
        if (!problems_.empty()) problems_ += '\n';
        problems_ += std::string(file_) + ':' + std::to_string(line(at)) + ": " + (pointer.empty() ? "/" : pointer) +
                     ": " + what;
    }
    std::size_t line(std::string_view at) const {
        return 1 + static_cast<std::size_t>(std::count(text_.data(), at.data(), '\n'));
    }

    bool expect(std::string_view value, json::Kind kind, const std::string& pointer, const char* name) {
        if (json::kind_of(value) == kind) return true;
        problem(value, pointer, std::string("must be ") + name);
        return false;
    }

    // Refuses members that are not in the list.
    void only(std::string_view object, const std::string& pointer, std::initializer_list<std::string_view> known) {
        for (json::Walker w(object); w.next();) {
            const std::string key = json::decode_string(w.key());
            if (std::find(known.begin(), known.end(), key) != known.end()) continue;
            std::string list;
            for (const std::string_view name : known) list += (list.empty() ? "" : ", ") + std::string(name);
            problem(w.key(), pointer + '/' + key, "unknown member; there are " + list);
        }
    }

    std::string text(std::string_view value, const std::string& pointer) {
        return expect(value, json::Kind::string, pointer, "a text") ? json::decode_string(value) : std::string();
    }

    TextTemplate text_template(std::string_view value, const std::string& pointer) {
        const std::string source = text(value, pointer);
        auto compiled = TextTemplate::compile(source);
        if (!compiled) {
            problem(value, pointer, compiled.error().what);
            return {};
        }
        if (compiled->pieces().empty()) problem(value, pointer, "must not be empty");
        return std::move(*compiled);
    }

    std::vector<TextTemplate> text_templates(std::string_view value, const std::string& pointer) {
        std::vector<TextTemplate> list;
        if (json::kind_of(value) == json::Kind::string) {
            list.push_back(text_template(value, pointer));
        } else if (expect(value, json::Kind::array, pointer, "a text or an array of texts")) {
            std::size_t i = 0;
            for (json::Walker w(value); w.next(); ++i) {
                list.push_back(text_template(w.value(), pointer + '/' + std::to_string(i)));
            }
        }
        return list;
    }

    std::optional<ValueTemplate> value_template(std::string_view value, const std::string& pointer) {
        auto compiled = ValueTemplate::compile(value);
        if (compiled) return std::move(*compiled);
        problem(value, pointer, compiled.error().what);
        return std::nullopt;
    }

    std::optional<ValueTemplate> arguments(std::string_view value, const std::string& pointer) {
        auto compiled = value_template(value, pointer);
        if (compiled && json::kind_of(value) != json::Kind::array && !compiled->is_all_arguments()) {
            const std::string source = json::kind_of(value) == json::Kind::string ? json::decode_string(value) : "";
            if (source != "{answer.args}") {
                problem(value, pointer, R"(must be an array, "{event.args}" or "{answer.args}")");
            }
        }
        return compiled;
    }

    Millis duration(std::string_view value, const std::string& pointer, Millis most) {
        const std::string source = text(value, pointer);
        const std::size_t unit = std::min(source.find_first_not_of("0123456789"), source.size());
        const auto number = base::parse_decimal(std::string_view(source).substr(0, unit), 1'000'000'000);
        const std::string_view name = std::string_view(source).substr(unit);
        const Millis factor = name == "ms" ? 1 : name == "s" ? 1000 : name == "m" ? 60'000 : 0;
        if (!number || factor == 0 || static_cast<Millis>(*number) * factor > most) {
            problem(value, pointer,
                    "must be a duration such as \"500ms\" or \"10s\", at most " + std::to_string(most / 1000) + "s");
            return 0;
        }
        return static_cast<Millis>(*number) * factor;
    }

    bool boolean(std::string_view value, const std::string& pointer) {
        return expect(value, json::Kind::boolean, pointer, "true or false") && value == "true";
    }

    Allow allow(std::string_view value, const std::string& pointer) {
        Allow rule;
        if (json::kind_of(value) == json::Kind::array) {
            rule.who = Allow::Who::patterns;
            std::size_t i = 0;
            for (json::Walker w(value); w.next(); ++i) {
                rule.patterns.push_back(text(w.value(), pointer + '/' + std::to_string(i)));
            }
            return rule;
        }
        const std::string name = text(value, pointer);
        if (name == "anyone") {
            rule.who = Allow::Who::anyone;
        } else if (name == "user") {
            rule.who = Allow::Who::user;
        } else {
            problem(value, pointer, R"(must be "anyone", "user" (whoever is logged in) or an array of room patterns)");
        }
        return rule;
    }

    void target(Action& action, std::string_view value, const std::string& pointer) {
        if (json::kind_of(value) == json::Kind::string) {
            const std::string name = json::decode_string(value);
            if (name == "self") {
                action.to = Target::self;
            } else if (name == "others") {
                action.to = Target::others;
            } else if (name == "all") {
                action.to = Target::all;
            } else {
                problem(value, pointer, R"(must be "self", "others", "all", {"room": …} or {"rooms": […]})");
            }
            return;
        }
        if (!expect(value, json::Kind::object, pointer, R"("self", "others", "all" or an object with "room")")) return;
        only(value, pointer, {"room", "rooms"});
        action.to = Target::rooms;
        for (const std::string_view key : {"room", "rooms"}) {
            if (const auto rooms = json::member(value, key)) {
                for (auto& room : text_templates(*rooms, pointer + '/' + std::string(key))) {
                    action.rooms.push_back(std::move(room));
                }
            }
        }
        if (action.rooms.empty()) problem(value, pointer, "names no room");
    }

    std::optional<Action> action(std::string_view value, const std::string& pointer) {
        if (!expect(value, json::Kind::object, pointer, R"(an action such as {"emit": "news", "to": "all"})")) {
            return std::nullopt;
        }
        using Verb = Action::Verb;
        constexpr std::pair<std::string_view, Verb> verbs[] = {
            {"join", Verb::join}, {"leave", Verb::leave}, {"emit", Verb::emit},           {"ask", Verb::ask},
            {"ack", Verb::ack},   {"hand", Verb::hand},   {"disconnect", Verb::disconnect}};
        Action made{};
        std::optional<std::string_view> operand;
        std::string key;
        for (const auto& [name, verb] : verbs) {
            const auto found = json::member(value, name);
            if (!found) continue;
            if (operand) {
                problem(*found, pointer + '/' + std::string(name), "an action has one verb only; this is the second");
                return std::nullopt;
            }
            operand = found;
            key = name;
            made.verb = verb;
        }
        if (!operand) {
            problem(value, pointer, "has no verb; there are join, leave, emit, ask, ack, hand and disconnect");
            return std::nullopt;
        }
        made.line = line(value);
        const std::string at = pointer + '/' + key;
        const auto get = [&](std::string_view name) { return json::member(value, name); };
        switch (made.verb) {
            case Verb::join:
                only(value, pointer, {"join", "allow", "when"});
                made.name = text_template(*operand, at);
                if (const auto rule = get("allow")) made.allow = allow(*rule, pointer + "/allow");
                if (made.name.is_client_supplied() && made.allow.who == Allow::Who::nobody) {
                    problem(*operand, at,
                            R"(joins a room that the client names: say who may with "allow": "anyone", "user" or a list )"
                            R"(of patterns)");
                }
                break;
            case Verb::leave:
                only(value, pointer, {"leave", "when"});
                made.name = text_template(*operand, at);
                break;
            case Verb::emit:
                only(value, pointer, {"emit", "to", "args", "except", "volatile", "after", "when"});
                event_name(made, *operand, at);
                if (const auto to = get("to")) {
                    target(made, *to, pointer + "/to");
                } else {
                    problem(value, pointer, R"(says not to whom; add "to")");
                }
                if (const auto v = get("args")) made.arguments = arguments(*v, pointer + "/args");
                if (const auto v = get("except")) made.except = text_templates(*v, pointer + "/except");
                if (const auto v = get("volatile")) made.is_volatile = boolean(*v, pointer + "/volatile");
                if (const auto v = get("after")) made.after = duration(*v, pointer + "/after", Routes::max_after);
                break;
            case Verb::ask:
                only(value, pointer, {"ask", "args", "timeout", "when"});
                event_name(made, *operand, at);
                if (const auto v = get("args")) made.arguments = arguments(*v, pointer + "/args");
                if (const auto v = get("timeout")) made.timeout = duration(*v, pointer + "/timeout", 3'600'000);
                break;
            case Verb::ack:
                only(value, pointer, {"ack", "when"});
                made.arguments = arguments(*operand, at);
                break;
            case Verb::hand:
                only(value, pointer, {"hand", "timeout", "when"});
                if (!boolean(*operand, at)) problem(*operand, at, "must be true");
                if (const auto v = get("timeout")) made.timeout = duration(*v, pointer + "/timeout", 3'600'000);
                break;
            case Verb::disconnect: {
                only(value, pointer, {"disconnect", "when"});
                const std::string what = text(*operand, at);
                if (what == "namespace") {
                    made.leaving = Leaving::name_space;
                } else if (what == "client") {
                    made.leaving = Leaving::client;
                } else if (what == "transport") {
                    made.leaving = Leaving::transport;
                } else {
                    problem(*operand, at, R"(must be "namespace", "client" or "transport")");
                }
                break;
            }
        }
        if (const auto when = get("when")) made.when = value_template(*when, pointer + "/when");
        return made;
    }

    void event_name(Action& made, std::string_view value, const std::string& pointer) {
        made.name = text_template(value, pointer);
        const std::string* name = made.name.constant();
        if (name != nullptr && proto::is_reserved_event(*name)) {
            problem(value, pointer, "'" + *name + "' is a reserved event name");
        }
    }

    Actions actions(std::string_view value, const std::string& pointer) {
        Actions list;
        if (!expect(value, json::Kind::array, pointer, "an array of actions")) return list;
        std::size_t i = 0;
        for (json::Walker w(value); w.next(); ++i) {
            if (auto made = action(w.value(), pointer + '/' + std::to_string(i))) list.push_back(std::move(*made));
        }
        return list;
    }

    std::unique_ptr<NamespaceRoutes> name_space(std::string_view key, std::string_view value,
                                                const std::string& pointer) {
        auto made = std::make_unique<NamespaceRoutes>();
        made->name = json::decode_string(key);
        const std::string& name = made->name;
        if (name.empty() || name.front() != '/') {
            problem(key, pointer, "a namespace begins with '/'");
        } else if (name.starts_with("/^")) {
            if (name.size() < 5 || !name.ends_with("$/")) {
                problem(key, pointer, "a pattern is written '/^…$/'");
            } else {
                try {
                    made->pattern.emplace(name.substr(1, name.size() - 2), std::regex::ECMAScript);
                } catch (const std::regex_error& error) {
                    problem(key, pointer, std::string("the pattern does not compile: ") + error.what());
                }
            }
        }
        if (!expect(value, json::Kind::object, pointer, "an object")) return made;
        only(value, pointer, {"on_connect", "on_disconnect", "events", "refuse"});
        if (const auto v = json::member(value, "refuse")) {
            const std::string at = pointer + "/refuse";
            if (expect(*v, json::Kind::object, at, R"(an object such as {"message": "closed"})")) {
                only(*v, at, {"message", "data"});
                made->refused = true;
                const auto message = json::member(*v, "message");
                if (message) {
                    made->refusal_message = text(*message, at + "/message");
                } else {
                    problem(*v, at, R"(has no "message")");
                }
                if (const auto data = json::member(*v, "data")) made->refusal_data = *data;
            }
        }
        if (const auto v = json::member(value, "on_connect")) made->on_connect = actions(*v, pointer + "/on_connect");
        if (const auto v = json::member(value, "on_disconnect")) {
            made->on_disconnect = actions(*v, pointer + "/on_disconnect");
        }
        const auto events = json::member(value, "events");
        if (events && expect(*events, json::Kind::object, pointer + "/events", "an object")) {
            for (json::Walker w(*events); w.next();) {
                const std::string event = json::decode_string(w.key());
                made->events[event] = actions(w.value(), pointer + "/events/" + event);
            }
        }
        return made;
    }

private:
    std::string_view text_;
    std::string_view file_;
    std::string problems_;
};

}  // namespace

Result<Routes> parse_routes(std::string_view text, std::string_view file) {
    json_error_t error;
    json_t* tree = json_loadb(text.data(), text.size(), JSON_REJECT_DUPLICATES, &error);
    if (tree == nullptr) {
        return fail(Errc::config, std::string(file) + ':' + std::to_string(error.line) + ": /: not JSON: " + error.text);
    }
    json_decref(tree);
    Parser parser(text, file);
    Routes routes;
    const std::string_view root = base::trim(text.substr(text.find_first_not_of(" \t\r\n")));
    if (parser.expect(root, json::Kind::object, "", "an object")) {
        parser.only(root, "", {"version", "namespaces", "$schema"});
        const auto version = json::member(root, "version");
        if (!version || *version != "1") {
            parser.problem(version.value_or(root), "/version", R"(must be 1; add "version": 1)");
        }
        const auto namespaces = json::member(root, "namespaces");
        if (!namespaces) {
            parser.problem(root, "/namespaces", "is missing");
        } else if (parser.expect(*namespaces, json::Kind::object, "/namespaces", "an object")) {
            for (json::Walker w(*namespaces); w.next();) {
                std::string pointer = json::decode_string(w.key());
                for (std::size_t at = 0; (at = pointer.find_first_of("~/", at)) != std::string::npos; at += 2) {
                    pointer.replace(at, 1, pointer[at] == '~' ? "~0" : "~1");
                }
                routes.namespaces_.push_back(parser.name_space(w.key(), w.value(), "/namespaces/" + pointer));
            }
        }
    }
    if (parser.has_problems()) return fail(Errc::config, parser.problems());
    return routes;
}

Result<Routes> load_routes(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream content;
    if (!file || !(content << file.rdbuf())) {
        return fail(Errc::io, "cannot read the routes file " + path + ": " + std::strerror(errno));
    }
    const std::string text = content.str();
    if (text.size() > max_file_bytes) return fail(Errc::too_large, "the routes file " + path + " is above 4 MiB");
    return parse_routes(text, path);
}

}  // namespace sio::routes
