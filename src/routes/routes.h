// The routes file in memory: what happens on connects, client events, disconnects and Kafka records. See sio-routes(5).
//
// Everything here is made by parse_routes() and never changes after; the gateway looks lists of actions up and lets Run
// (run.h) execute them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/keyed_hash.h"
#include "base/result.h"
#include "routes/context.h"
#include "routes/template.h"

namespace sio::routes {

using Milliseconds = std::chrono::milliseconds;

inline constexpr Milliseconds max_delay{60'000};           ///< of `after` and `timeout`, inclusive
inline constexpr Milliseconds default_timeout{10'000};     ///< of `ask`, `hand` and `publish`
inline constexpr std::size_t max_room_bytes = 256;         ///< of a room name, inclusive
inline constexpr std::size_t max_topic_bytes = 256;        ///< of a topic or a key, inclusive
inline constexpr std::size_t max_room_token_bytes = 4096;  ///< of a room token, inclusive
inline constexpr std::size_t max_pattern_bytes = 256;     ///< of a namespace name that patterns are tried on, inclusive
inline constexpr std::size_t max_actions = 64;            ///< of one list, inclusive
inline constexpr std::size_t max_file_bytes = 4U << 20U;  ///< of the file, inclusive

/// One part of an `allow`; all parts must hold.
struct Rule {
    enum class Kind : std::uint8_t {
        anyone,
        user,     ///< not anonymous
        member,   ///< the socket is in each room the action names
        rooms,    ///< each room the action names matches one of `patterns`
        granted,  ///< sio-authd lets the socket into each room the action names
    };
    Kind kind;
    std::vector<std::string> patterns = {};  ///< `*` stands for any run of characters
    Template token = {};                     ///< of granted: a text, the room token that is shown
    bool has_token = false;
};

/// A condition of `when`.
struct Condition {
    enum class Kind : std::uint8_t { exists, equals, is } kind;
    bool negated = false;
    Template left;
    Template right;    ///< for equals
    std::string type;  ///< for is: "string", "number", "boolean", "null", "array", "object" or "binary"
};

/// Rooms as a list of texts. `constants` holds the names when no template is among them.
struct Rooms {
    std::vector<Template> names;
    std::vector<std::string> constants;
    [[nodiscard]] bool empty() const noexcept { return names.empty(); }
};

/// What an event carries: all arguments of another as they came, or a rendered array.
struct Args {
    enum class Kind : std::uint8_t {
        none,
        pass_through,         ///< the event's arguments, byte for byte
        pass_through_answer,  ///< the answer's arguments, byte for byte
        array,                ///< `value` renders to a JSON array
    } kind = Kind::none;
    Template value;
};

enum class Audience : std::uint8_t {
    self,       ///< the socket
    others,     ///< its namespace without it
    all,        ///< its namespace
    rooms,      ///< all in the rooms
    others_in,  ///< all in the rooms without it
};

/// What to do when no answer comes.
enum class Otherwise : std::uint8_t { stop, go_on };

struct Join {
    Rooms rooms;
};
struct Leave {
    Rooms rooms;
};
struct Emit {
    Template event;  ///< a value that renders to a JSON string
    Args args;
    Audience to = Audience::self;
    Rooms rooms;  ///< for Audience::rooms and others_in
    Rooms except;
    bool is_volatile = false;
    bool is_local = false;
};
struct Ask {
    Template event;
    Args args;
    Milliseconds timeout = default_timeout;
    Otherwise otherwise = Otherwise::stop;
};
struct Ack {
    Args args;
};
struct Hand {
    Template handler;  ///< a text: the name that `sioctl handle` waits for
    Args args;         ///< pass_through unless the file says otherwise
    Milliseconds timeout = default_timeout;
    Otherwise otherwise = Otherwise::stop;
};
struct Publish {
    Template topic;  ///< a text
    Template value;  ///< a value; the event's arguments unless the file says otherwise
    Template key;    ///< a text
    bool has_key = false;
    Milliseconds timeout = default_timeout;
    Otherwise otherwise = Otherwise::stop;
};
struct Deny {
    Template reason;  ///< a value
};
struct Disconnect {
    enum class What : std::uint8_t { nsp, client, transport } what = What::client;
};

struct Action {
    std::variant<Join, Leave, Emit, Ask, Ack, Hand, Publish, Deny, Disconnect> verb;
    std::vector<Condition> when;  ///< all must hold, else the action is skipped
    std::optional<std::vector<Rule>> allow;
    Milliseconds after{0};  ///< waited before it, and before all that follows
    std::string about;      ///< for readers
};

/// The word of an action's verb, as the file spells it.
std::string_view verb_of(const Action& action) noexcept;

struct ActionList {
    std::vector<Action> actions;
    std::vector<Rule> allow;           ///< of the event as a whole; empty: anyone
    std::vector<std::string> queries;  ///< names of query parameters its templates use
    std::vector<std::string> headers;  ///< names of headers its templates use
    std::string about;
    [[nodiscard]] bool empty() const noexcept { return actions.empty() && allow.empty(); }
};

/// What becomes of one client event.
struct EventRoute {
    std::string name;  ///< decoded; "*" for all that have no route of their own
    ActionList list;
};

/// A refusal of CONNECT.
struct Refuse {
    Template message;  ///< a value that renders to a string
    Template data;     ///< a value
    bool has_data = false;
    std::vector<Condition> when;  ///< empty: everybody is refused
};

class NamespaceRoutes {
public:
    std::string name;            ///< as the file spells it
    bool is_pattern = false;     ///< has `*`: a namespace of it exists while a socket is in it
    std::vector<Refuse> refuse;  ///< tried in order; the first that applies refuses
    ActionList on_connect;
    ActionList on_disconnect;
    ActionList on_online;            ///< emits, when a user comes online anywhere in the cluster; not for patterns
    ActionList on_offline;           ///< and when he has been nowhere for the grace
    std::vector<EventRoute> events;  ///< in the order of the file
    std::string about;

    /// The route of an event by its raw name token, as proto::event_name_token() yields it (quoted, or digits); the `*`
    /// route for those that have none; null when there is no such route either. Allocates only for names with escapes.
    [[nodiscard]] const EventRoute* event(std::string_view name_token) const;

    /// Fills the index over `events`; parse_routes() calls it.
    void index();

private:
    std::unordered_map<std::string, std::size_t, base::KeyedHash, std::equal_to<>> by_name_;
    std::optional<std::size_t> rest_;
};

struct TopicRoute;

/// What a refused client is told in CONNECT_ERROR.
struct Refusal {
    std::string message;  ///< text
    std::string data;     ///< raw JSON; empty: none
};

class Routes {
public:
    /// Only the namespace `/`, where nothing happens.
    Routes();
    ~Routes();
    Routes(Routes&&) noexcept;
    Routes& operator=(Routes&&) noexcept;

    /// The routes of a namespace by its exact name, else of the first pattern that matches, else null. Never allocates.
    [[nodiscard]] const NamespaceRoutes* find(std::string_view nsp) const noexcept;

    [[nodiscard]] const std::vector<std::unique_ptr<NamespaceRoutes>>& namespaces() const noexcept { return all_; }
    [[nodiscard]] std::size_t event_count() const noexcept;

    /// What becomes of a Kafka topic's records (topics.h): by its exact name, else by the first pattern that matches,
    /// else null. Never allocates.
    [[nodiscard]] const TopicRoute* topic(std::string_view name) const noexcept;

    [[nodiscard]] const std::vector<std::unique_ptr<TopicRoute>>& topics() const noexcept { return topics_; }

    /// What a consumer subscribes to, in the order of the file: names, and patterns as regular expressions (`^…$`).
    [[nodiscard]] std::vector<std::string> subscription() const;

    /// Things that are allowed and probably not meant, one sentence each with file, line and pointer.
    [[nodiscard]] const std::vector<std::string>& warnings() const noexcept { return warnings_; }

private:
    friend class Loader;
    std::vector<std::unique_ptr<NamespaceRoutes>> all_;  ///< in the order of the file
    std::unordered_map<std::string, const NamespaceRoutes*, base::KeyedHash, std::equal_to<>> exact_;
    std::vector<const NamespaceRoutes*> patterns_;
    std::vector<std::unique_ptr<TopicRoute>> topics_;  ///< in the order of the file
    std::vector<std::string> warnings_;
};

/// Reads a routes file. Errors: `config`; its sentence lists all problems found, a line each:
/// `file:line: /json/pointer: what is wrong; remedy`. `file_name` is used in these only.
Result<Routes> parse_routes(std::string_view text, std::string_view file_name);

/// Whether all conditions hold. Errors: those of render().
Result<bool> hold(const std::vector<Condition>& conditions, const Context& context);

/// Whether a CONNECT to the namespace is to be refused, and how. A condition or template that cannot be evaluated
/// refuses.
std::optional<Refusal> refusal(const NamespaceRoutes& nsp, const Context& context);

}  // namespace sio::routes
