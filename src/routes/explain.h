// What the routes would do with an event, told instead of done: `sioctl routes check` and `routes explain`.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "routes/routes.h"

namespace sio::routes {

/// What check() found.
struct Report {
    bool ok = false;
    std::vector<std::string> problems;  ///< `file:line: /json/pointer: what is wrong; remedy`
    std::vector<std::string> warnings;  ///< the same form; only when there are no problems
    std::size_t namespaces = 0;
    std::size_t events = 0;
};

/// Reads a routes file only to tell what is wrong with it.
Report check(std::string_view text, std::string_view file_name);

/// A supposed event. All JSON is raw and must be valid.
struct Question {
    std::string nsp = "/";
    std::string event;               ///< its name; "connect" and "disconnect" mean those lists
    std::string user;                ///< id; empty: anonymous
    std::string args = "[]";         ///< a JSON array
    std::string answer = "[]";       ///< what `ask` and `hand` get, a JSON array
    std::string auth = "{}";         ///< a JSON object
    std::vector<std::string> rooms;  ///< the socket is in these; its own id and the user's are added
    std::map<std::string, std::string, std::less<>> query;   ///< of the handshake
    std::map<std::string, std::string, std::less<>> header;  ///< of the handshake, by lower-case name
    std::int64_t now_ms = 0;
};

/// One thing that would happen.
struct Step {
    std::string verb;     ///< "join", "emit", …; "refuse", "wait", "stop", "end"
    std::string text;     ///< one sentence
    std::string details;  ///< raw JSON object
};

/// The steps, in order. Errors: `not_found` when no namespace or route applies, `usage` when the question's JSON is not
/// of its kind.
Result<std::vector<Step>> explain(const Routes& routes, const Question& question);

/// The steps as numbered lines.
std::string to_text(const std::vector<Step>& steps);

/// The steps as a JSON array of `{"verb","text",…details}`.
std::string to_json(const std::vector<Step>& steps);

}  // namespace sio::routes
