// The reader of routes files, shared by the files that implement it: load.cpp (namespaces and their lists),
// load_parts.cpp (what actions are made of) and load_topics.cpp.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "routes/routes.h"
#include "routes/topics.h"

namespace sio::routes {
namespace loading {

using json::Kind;

/// What a template or action may use depends on when its list runs.
enum class Scope { connect, event, disconnect, presence, refuse, topic };

/// A value of the file with the way to it.
struct Node {
    std::string_view value;  ///< raw; points into the file
    std::string pointer;     ///< RFC 6901

    [[nodiscard]] Kind kind() const noexcept { return json::kind_of(value); }
    [[nodiscard]] bool is(Kind wanted) const noexcept { return kind() == wanted; }
    [[nodiscard]] std::string text() const { return json::decode_string(value); }

    [[nodiscard]] Node child(std::string_view name, std::string_view raw) const {
        std::string path = pointer + "/";
        for (const char c : name) {
            if (c == '~') {
                path += "~0";
            } else if (c == '/') {
                path += "~1";
            } else {
                path += c;
            }
        }
        return {raw, std::move(path)};
    }

    [[nodiscard]] std::vector<Node> elements() const {
        std::vector<Node> all;
        for (json::Walker walker{value}; walker.next();)
            all.push_back(child(std::to_string(all.size()), walker.value()));
        return all;
    }
};

struct Member {
    std::string name;
    Node node;
};

struct Problem {
    std::size_t line;
    std::string text;
};

/// A verb's word and the words that may stand beside it, `when`, `after` and `about` aside.
struct Verb {
    std::string_view word;
    std::initializer_list<std::string_view> options;
};

constexpr std::string_view allow_forms =
    R"("granted" (whom sio-authd lets in), "user" (who is logged in), "anyone" or {"rooms": ["course_*"]} (names that match))";
constexpr std::string_view emit_allow_forms =
    R"("granted" (whom sio-authd lets in), "member" (who is in the room), "user" (who is logged in), "anyone" or {"rooms": ["course_*"]} (names that match))";

inline std::string in_quotes(std::string_view text) { return json::quote(text); }

/// `"a", "b" or "c"`.
std::string one_of(std::span<const std::string_view> words);

}  // namespace loading

class Loader {
public:
    Loader(std::string_view text, std::string_view file_name) : text_(text), file_(file_name) {}
    Result<Routes> load();

private:
    using Kind = loading::Kind;
    using Member = loading::Member;
    using Node = loading::Node;
    using Problem = loading::Problem;
    using Scope = loading::Scope;
    using Verb = loading::Verb;

    /// What a list's templates may refer to, as far as it has been read.
    struct Place {
        Scope scope;
        bool has_answer = false;         ///< an `ask` or `hand` came before
        bool answer_is_clients = false;  ///< an `ask` came before
        ActionList* list = nullptr;      ///< collects what templates look up
        TopicRoute* topic = nullptr;     ///< the same, of a topic
    };

    void problem(std::string_view at, std::string_view pointer, std::string_view what);
    void problem(const Node& node, std::string_view what) { problem(node.value, node.pointer, what); }
    void warn(const Node& node, std::string_view what);
    [[nodiscard]] std::size_t line_of(std::string_view at) const;
    [[nodiscard]] std::string place_of(std::string_view at, std::string_view pointer) const;
    bool expect(const Node& node, Kind kind, std::string_view remedy);
    std::vector<Member> members(const Node& object, std::span<const std::string_view> known);
    void syntax();

    void top(const Node& node);
    void nsp(const std::string& name, const Node& node);
    void refuse(const Node& node, std::vector<Refuse>& out);
    void events(const Node& node, NamespaceRoutes& out);
    void event_list(const Node& node, ActionList& out);
    void list(const Node& node, Scope scope, ActionList& out);
    std::optional<Action> action(const Node& node, Place& place);

    std::optional<decltype(Action::verb)> verb(const Verb& verb, const Node& node, const std::vector<Member>& all,
                                               Place& place);
    void emit(const std::vector<Member>& all, Place& place, Emit& out);
    void to(const Node& node, Place& place, Emit& out);
    Publish publish(const Node& node, const std::vector<Member>& all, Place& place);
    void short_text(const Node& node, Place& place, std::string_view remedy, Template& out);
    void wait(const std::vector<Member>& all, Place& place, Args& args, Milliseconds& timeout, Otherwise& otherwise);
    void check_rights(const Node& node, const Action& action);

    void topics(const Node& node);
    void topic(const std::string& name, const Node& node);
    void topic_list(const Node& node, TopicRoute& out);
    std::optional<TopicAction> topic_action(const Node& node, Place& place);
    void audience(const Node& node, Place& place, TopicAction& out);
    Template nsp_text(const Node& node, Place& place);
    static void note_field(Reference& reference, TopicRoute& topic);

    Template event_name(const Node& node, Place& place);
    Rooms rooms(const Node& node, Place& place);
    Args args(const Node& node, Place& place);
    std::vector<Condition> conditions(const Node& node, Place& place);
    std::optional<Condition> condition(const Node& node, Place& place, bool may_negate);
    std::vector<Rule> allow(const Node& node, Place& place, bool has_rooms, bool is_join);
    std::optional<Rule> rule(const Node& node, Place& place, bool has_rooms, bool is_join);
    void room_token(const Node& node, Place& place, Rule& out);
    Milliseconds duration(const Node& node, Milliseconds fallback);
    bool flag(const Node& node);
    std::string about(const Node& node);

    /// Reports what is wrong with a template, and notes what it looks up.
    Template checked(const Node& node, Result<Template> compiled, Place& place);
    Template value_template(const Node& node, Place& place);
    void check_parts(const Node& node, Place& place);
    Template text_template(const Node& node, Place& place) { return checked(node, compile_text(node.text()), place); }

    std::string_view text_;
    std::string_view file_;
    std::vector<Problem> problems_;
    std::vector<std::string> warnings_;
    Routes routes_;
};

}  // namespace sio::routes
