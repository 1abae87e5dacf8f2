// What the routes would do with an event or a Kafka record, told instead of done: `sioctl routes check` and
// `routes explain`.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "routes/routes.h"
#include "routes/run.h"

namespace sio::routes {

/// What check() found.
struct Report {
    bool ok = false;
    std::vector<std::string> problems;  ///< `file:line: /json/pointer: what is wrong; remedy`
    std::vector<std::string> warnings;  ///< the same form; only when there are no problems
    std::size_t namespaces = 0;
    std::size_t events = 0;
    std::size_t topics = 0;
};

/// Reads a routes file only to tell what is wrong with it.
Report check(std::string_view text, std::string_view file_name);

/// A supposed event. All JSON is raw and must be valid.
struct Question {
    std::string nsp = "/";
    std::string event;                         ///< its name; "connect" and "disconnect" mean those lists
    std::string user;                          ///< id; empty: anonymous
    std::string args = "[]";                   ///< a JSON array
    std::string answer = "[]";                 ///< what `ask` and `hand` get, a JSON array
    std::string auth = "{}";                   ///< a JSON object
    Grant::Kind right = Grant::Kind::granted;  ///< what sio-authd says of rooms
    std::vector<std::string> rooms;            ///< the socket is in these; its own id and the user's are added
    std::map<std::string, std::string, std::less<>> query;   ///< of the handshake
    std::map<std::string, std::string, std::less<>> header;  ///< of the handshake, by lower-case name
    std::int64_t now_ms = 0;
};

/// One thing that would happen.
struct Step {
    std::string verb;     ///< "join", "emit", …; "refuse", "grant", "wait", "stop"
    std::string text;     ///< one sentence
    std::string details;  ///< raw JSON object
};

/// The steps, in order. Errors: `not_found` when no namespace or route applies, `usage` when the question's JSON is not
/// of its kind.
Result<std::vector<Step>> explain(const Routes& routes, const Question& question);

/// A supposed Kafka record. Key, value and headers are bytes.
struct RecordQuestion {
    std::string topic;
    std::optional<std::string> key;
    std::optional<std::string> value;                          ///< nothing: null, a tombstone
    std::vector<std::pair<std::string, std::string>> headers;  ///< by name, in order
    std::int64_t now_ms = 0;                                   ///< also the record's own time
};

/// The steps, in order; the one step `dead-letter` with the reason when the record cannot become anything. Errors:
/// `not_found` when the topic has no route.
Result<std::vector<Step>> explain(const Routes& routes, const RecordQuestion& question);

/// An action that names a room, or may name it.
struct Way {
    std::string nsp;
    std::string list;                  ///< the event, or `on_connect` and the like
    std::string verb;                  ///< "join" or "emit"
    std::string room;                  ///< as the file has it, templates in braces
    std::string allow;                 ///< the rules, for people: `user, granted`; `anyone` when there is none
    bool is_granted_by_authd = false;  ///< a `granted` rule is among them
};

/// The joins, and the emits to rooms, of all lists (or of the event `event` alone when it is not empty) whose room may
/// be `room`, in the order of the file.
std::vector<Way> ways_to(const Routes& routes, std::string_view room, std::string_view event = {});

/// The steps as numbered lines.
std::string to_text(const std::vector<Step>& steps);

/// The steps as a JSON array of `{"verb","text",…details}`.
std::string to_json(const std::vector<Step>& steps);

}  // namespace sio::routes
