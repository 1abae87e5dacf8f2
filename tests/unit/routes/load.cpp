#include <criterion/criterion.h>

#include <span>

#include "base/json.h"
#include "routes/explain.h"
#include "routes/routes.h"
#include "routes/suggest.h"

using namespace sio;
using namespace sio::routes;

namespace {

struct Case {
    std::string_view text;  ///< put into a frame
    std::string_view want;  ///< what is said of it: the rest of the pointer, then the sentence
};

/// Everything wrong with a file.
std::string problems(const std::string& text) {
    const auto routes = parse_routes(text, "routes.json");
    if (routes) return "none";
    cr_expect(routes.error().code == Errc::config);
    return routes.error().what;
}

/// Puts each case between `before` and `after`, and expects one problem, in `line` and below `pointer`.
void expect_each(std::span<const Case> cases, std::string_view before, std::string_view after, int line,
                 std::string_view pointer) {
    for (const auto& [text, want] : cases) {
        const std::string file = std::string{before} + std::string{text} + std::string{after};
        const std::string all = "routes.json:" + std::to_string(line) + ": " + std::string{pointer} + std::string{want};
        const std::string got = problems(file);
        cr_expect(got == all, "%s\n  gave %s\n  want %s", file.c_str(), got.c_str(), all.c_str());
    }
}

Routes read(const std::string& text) {
    auto routes = parse_routes(text, "routes.json");
    cr_assert(routes.has_value(), "%s", routes ? "" : routes.error().what.c_str());
    return std::move(*routes);
}

/// The list of the event `e` of `/`, of a file that outlives the test.
const ActionList& actions(const std::string& list) {
    static std::vector<Routes> kept;
    kept.push_back(read(R"({"version":1,"namespaces":{"/":{"events":{"e":)" + list + "}}}}"));
    return kept.back().find("/")->event("\"e\"")->list;
}

}  // namespace

Test(routes_load, mistakes_in_the_file_as_a_whole) {
    constexpr Case cases[] = {
        {"", R"(routes.json:1: /: is not JSON: unexpected token near end of file)"},
        {R"({
"version" 1})",
         R"(routes.json:2: /: is not JSON: ':' expected near '1' (column 11))"},
        {R"({"version": 1}
})",
         R"(routes.json:2: /: is not JSON: end of file expected near '}' (column 1))"},
        {R"([])", R"(routes.json:1: /: is not an object; begin with {"version": 1, "namespaces": {…}})"},
        {R"({})", R"(routes.json:1: /: has no "version"; write "version": 1)"},
        {R"({"version": 2})", R"(routes.json:1: /version: is a version this program does not know; write 1)"},
        {R"({"version": "1"})", R"(routes.json:1: /version: is a version this program does not know; write 1)"},
        {R"({"version": 1,
"namespace": {}})",
         R"(routes.json:2: /namespace: is not known here (did you mean "namespaces"?); write "version", "namespaces", "topics", "about" or "$schema")"},
        {R"({"version": 1, "about": 1, "$schema": 2})",
         R"(routes.json:1: /about: is not a string; write a sentence for readers
routes.json:1: /$schema: is not a string; write a sentence for readers)"},
        {R"({"version": 1,
"version": 1})",
         R"(routes.json:2: /version: is there twice; keep one)"},
        {R"({"version": 1, "namespaces": []})", R"(routes.json:1: /namespaces: is not an object; write {"/": {…}})"},
        {R"({"version": 1, "namespaces": {"x": {}}})",
         R"(routes.json:1: /namespaces/x: is not the name of a namespace; begin with /)"},
        {R"({"version": 1, "namespaces": {"/a,b": {}}})",
         R"(routes.json:1: /namespaces/~1a,b: has a comma, which ends the name in Socket.IO's packets; leave it out)"},
        {R"({"version": 1, "namespaces": {"/x": []}})",
         R"(routes.json:1: /namespaces/~1x: is not an object; write {"events": {…}})"},
    };
    for (const auto& [text, want] : cases) {
        const std::string got = problems(std::string{text});
        cr_expect(got == want, "%.*s\n  gave %s\n  want %.*s", int(text.size()), text.data(), got.c_str(),
                  int(want.size()), want.data());
    }
}

Test(routes_load, mistakes_in_a_namespace) {
    constexpr Case cases[] = {
        {R"("on_conect": [])",
         R"(/on_conect: is not known here (did you mean "on_connect"?); write "on_connect", "on_disconnect", "on_online", "on_offline", "events", "refuse" or "about")"},
        {R"("on_connect": {})", R"(/on_connect: is not a list of actions; write [{…}, {…}])"},
        {R"("on_online": [{"join": "r"}])",
         R"(/on_online/0/join: has no socket to act on; on_online and on_offline can only emit)"},
        {R"("on_offline": [{"emit": "x", "to": "others"}])",
         R"(/on_offline/0/to: needs a socket, and there is none in on_online; write "all" or {"room": "…"})"},
        {R"("on_online": [{"emit": "x", "args": ["{socket.id}"]}])",
         R"(/on_online/0/args/0: {socket.id} is of one socket; on_online and on_offline know {user.id}, {socket.namespace} and {clock.…})"},
        {R"("on_offline": [{"emit": "x", "after": "1s"}])",
         R"(/on_offline/0/after: cannot be in on_online and on_offline: they are told at once or not at all)"},
        {R"("events": [])", R"(/events: is not an object; write {"EVENT": [actions]})"},
        {R"("refuse": "no")", R"(/refuse: is not an object; write {"message": "…"})"},
        {R"("refuse": {})", R"(/refuse: has no "message"; write what the client is to be told)"},
        {R"("refuse": {"message": 1})", R"(/refuse/message: is not a string; write what the client is to be told)"},
        {R"("refuse": {"message": "{event.0}"})",
         R"(/refuse/message: {event.0} has no event to look at here; events are under "events")"},
        {R"("refuse": ["no"])", R"(/refuse/0: is not an object; write {"message": "…"})"},
        {R"("events": {"connect": []})",
         R"(/events/connect: is a name no client can send; on_connect and on_disconnect are beside "events")"},
        {R"("events": {"e": {"emit": "x"}})", R"(/events/e: is one action; write a list of actions: [{…}])"},
        {R"("events": {"e": {}})", R"(/events/e: has no "do"; write "do": [actions])"},
        {R"("events": {"e": 1})", R"(/events/e: is not a list of actions; write [{…}, {…}])"},
        {R"("events": {"e": {"do": [], "alow": "user"}})",
         R"(/events/e/alow: is not known here (did you mean "allow"?); write "do", "allow" or "about")"},
        {R"("events": {"e": {"do": [], "allow": "member"}})",
         R"(/events/e/allow: needs a room; write it beside an "emit" to a room)"},
        {R"("events": {"e": {"do": [], "allow": {"rooms": ["x"]}}})",
         R"(/events/e/allow: needs a room; write it beside a "join", or an "emit" to a room)"},
        {R"("events": {"e": {"do": [], "allow": []}})",
         R"(/events/e/allow: states no rule; write "anyone" if anyone may)"},
    };
    expect_each(cases, "{\"version\": 1, \"namespaces\":\n{\"/x\": {", "}}}", 2, "/namespaces/~1x");
}

Test(routes_load, mistakes_in_an_action) {
    constexpr Case cases[] = {
        {R"("emit")", R"(: is not an action; write {"emit": …} or another verb)"},
        {R"({})",
         R"(: has no verb; write one of "join", "leave", "emit", "ask", "ack", "hand", "publish", "deny" or "disconnect")"},
        {R"({"emti": "x"})",
         R"(: has no verb (did you mean "emit"?); write one of "join", "leave", "emit", "ask", "ack", "hand", "publish", "deny" or "disconnect")"},
        {R"({"to": "all"})",
         R"(: has no verb; write one of "join", "leave", "emit", "ask", "ack", "hand", "publish", "deny" or "disconnect")"},
        {R"({"emit": "x", "join": "y"})",
         R"(/join: is a second verb; write an action of its own for each of "emit" and "join")"},
        {R"({"emit": "x", "emit": "y"})", R"(/emit: is there twice; keep one)"},
        {R"({"emit": "x", "arg": []})",
         R"(/arg: is not known here (did you mean "args"?); write "emit", "args", "to", "except", "allow", "volatile", "local", "when", "after" or "about")"},
        {R"({"join": "x", "to": "all"})",
         R"(/to: is not known here; write "join", "allow", "when", "after" or "about")"},
        {R"({"emit": 1})", R"(/emit: is not a string; write the name of the event to emit)"},
        {R"({"emit": "connect"})", R"(/emit: is a reserved name, which clients take for something else; use another)"},
        {R"({"emit": "x", "args": {}})",
         R"(/args: is not a list of arguments; write [ … ], or "{event.args}" for all arguments as they came)"},
        {R"({"emit": "x", "args": "{event.0}"})",
         R"(/args: is not a list of arguments; write [ … ], or "{event.args}" for all arguments as they came)"},
        {R"({"emit": "x", "args": "{evnt.0}"})",
         R"(/args: {evnt.0} is unknown (did you mean "event"?); templates begin with event, user, socket, answer, handshake, clock or disconnect, in topics with record, cloudevent or clock, and {{ and }} are plain braces)"},
        {R"({"emit": "x", "args": ["{event.x}"]})",
         R"(/args/0: {event.x} names no argument; arguments are numbered, write {event.0.x} for the first, {event.args} for all)"},
        {R"({"emit": "x", "args": ["{answer.0}"]})",
         R"(/args/0: {answer.0} has no answer to look at; put an "ask" or "hand" before it)"},
        {R"({"ack": "{answer.args}"})",
         R"(/ack: {answer.args} has no answer to look at; put an "ask" or "hand" before it)"},
        {R"({"ack": ["{disconnect.reason}"]})", R"(/ack/0: {disconnect.reason} is known only in on_disconnect)"},
        {R"({"emit": "x", "to": "al"})",
         R"(/to: is not an audience (did you mean "all"?); write "self", "others", "all", {"room": "…"} or {"others_in": "…"})"},
        {R"({"emit": "x", "to": 1})",
         R"(/to: is not an audience; write "self", "others", "all", {"room": "…"} or {"others_in": "…"})"},
        {R"({"emit": "x", "to": {}})",
         R"(/to: names no audience; write "self", "others", "all", {"room": "…"} or {"others_in": "…"})"},
        {R"({"emit": "x", "to": {"rooms": "x"}})",
         R"(/to/rooms: is not known here (did you mean "room"?); write "room" or "others_in")"},
        {R"({"emit": "x", "to": {"room": "x", "others_in": "y"}})",
         R"(/to: names more than one audience; write "self", "others", "all", {"room": "…"} or {"others_in": "…"})"},
        {R"({"emit": "x", "to": {"room": []}})", R"(/to/room: names no room; write at least one)"},
        {R"({"emit": "x", "to": {"room": 1}})", R"(/to/room: is not a room; write its name, or a list of names)"},
        {R"({"emit": "x", "except": ""})", R"(/except: is an empty name; write one)"},
        {R"({"emit": "x", "volatile": 1})", R"(/volatile: is not true or false; write one of them)"},
        {R"({"emit": "x", "local": "yes"})", R"(/local: is not true or false; write one of them)"},
        {R"({"emit": "x", "to": {"room": "{event.0}"}})",
         R"(/emit: lets clients choose a room, and no rule allows it; write "allow": "granted" (whom sio-authd lets in), "member" (who is in the room), "user" (who is logged in), "anyone" or {"rooms": ["course_*"]} (names that match))"},
        {R"({"join": "{event.0}"})",
         R"(/join: lets clients choose a room, and no rule allows it; write "allow": "granted" (whom sio-authd lets in), "user" (who is logged in), "anyone" or {"rooms": ["course_*"]} (names that match))"},
        {R"({"join": ["a", "{handshake.query.room}"]})",
         R"(/join: lets clients choose a room, and no rule allows it; write "allow": "granted" (whom sio-authd lets in), "user" (who is logged in), "anyone" or {"rooms": ["course_*"]} (names that match))"},
        {R"({"join": "{event.0}", "allow": "member"})",
         R"(/allow: asks for those who are in the room already; write "granted" (whom sio-authd lets in), "user" (who is logged in), "anyone" or {"rooms": ["course_*"]} (names that match))"},
        {R"({"join": "{event.0}", "allow": "users"})",
         R"(/allow: is not a rule (did you mean "user"?); write "granted" (whom sio-authd lets in), "user" (who is logged in), "anyone" or {"rooms": ["course_*"]} (names that match))"},
        {R"({"join": "{event.0}", "allow": 1})",
         R"(/allow: is not a rule; write "granted" (whom sio-authd lets in), "user" (who is logged in), "anyone" or {"rooms": ["course_*"]} (names that match))"},
        {R"({"join": "{event.0}", "allow": {}})", R"(/allow: names no rooms; write {"rooms": ["course_*"]})"},
        {R"({"join": "{event.0}", "allow": {"room": ["x"]}})",
         R"(/allow/room: is not known here (did you mean "rooms"?); write "rooms" or "granted")"},
        {R"({"join": "{event.0}", "allow": {"rooms": [1]}})", R"(/allow/rooms/0: is not a pattern; write "course_*")"},
        {R"({"join": "{event.0}", "allow": {"rooms": ["{user.id}"]}})",
         R"(/allow/rooms/0: has braces; patterns are fixed, only * stands for anything)"},
        {R"({"emit": "x", "allow": "granted"})",
         R"(/allow: needs a room; write it beside a "join", or an "emit" to a room)"},
        {R"({"join": "{event.0}", "allow": "grantd"})",
         R"(/allow: is not a rule (did you mean "granted"?); write "granted" (whom sio-authd lets in), "user" (who is logged in), "anyone" or {"rooms": ["course_*"]} (names that match))"},
        {R"({"join": "{event.0}", "allow": {"granted": "x"}})",
         R"(/allow/granted: is not what sio-authd is shown; write {"granted": {"token": "{event.0.token}"}}, or "granted")"},
        {R"({"join": "{event.0}", "allow": {"granted": {}}})",
         R"(/allow/granted: has no room token; write {"granted": {"token": "{event.0.token}"}}, or "granted")"},
        {R"({"join": "{event.0}", "allow": {"granted": {"token": ""}}})",
         R"(/allow/granted: has no room token; write {"granted": {"token": "{event.0.token}"}}, or "granted")"},
        {R"({"join": "{event.0}", "allow": {"granted": {"tokn": "x"}}})",
         R"(/allow/granted/tokn: is not known here (did you mean "token"?); write "token")"},
        {R"({"join": "{event.0}", "allow": {"granted": {"token": "{disconnect.reason}"}}})",
         R"(/allow/granted/token: {disconnect.reason} is known only in on_disconnect)"},
        {R"({"join": "{event.0}", "allow": {"rooms": ["a"], "granted": {"token": "{event.1}"}}})",
         R"(/allow: states several rules at once; write a list of them: [{…}, {…}])"},
        {R"({"join": "{event.0}", "allow": ["granted", "user", {"granted": {"token": "{event.1}"}}]})",
         R"(/allow: asks sio-authd twice; keep one "granted")"},
        {R"({"emit": "x", "allow": "member"})", R"(/allow: needs a room; write it beside an "emit" to a room)"},
        {R"({"emit": "x", "allow": {"rooms": ["x"]}})",
         R"(/allow: needs a room; write it beside a "join", or an "emit" to a room)"},
        {R"({"emit": "x", "after": 100})", R"(/after: is not a time; write "500ms", "10s" or "1m")"},
        {R"({"emit": "x", "after": "100"})", R"(/after: is not a time; write "500ms", "10s" or "1m")"},
        {R"({"emit": "x", "after": "2m"})", R"(/after: is longer than a minute; write "60s" or less)"},
        {R"({"ask": "x", "timeout": "0s"})", R"(/timeout: leaves no time to answer; write "10s")"},
        {R"({"ask": "x", "otherwise": "go"})",
         R"(/otherwise: is unknown; write "stop" (the list ends) or "continue" (without an answer))"},
        {R"({"hand": false})", R"(/hand: is not a handler; write true for the event's own name, or a name)"},
        {R"({"hand": ""})", R"(/hand: is not a handler; write true for the event's own name, or a name)"},
        {R"({"publish": 1})", R"(/publish: is not a topic; write the name under which it is published)"},
        {R"({"publish": ""})", R"(/publish: is not a topic; write the name under which it is published)"},
        {R"({"publish": "t", "args": []})",
         R"(/args: is not known here; write "publish", "value", "key", "timeout", "otherwise", "when", "after" or "about")"},
        {R"({"publish": "t", "key": 7})", R"(/key: is not a key; write a text such as "{user.id}")"},
        {R"({"publish": "t", "value": {"a": ["{evnt.0}"]}})",
         R"(/value/a/0: {evnt.0} is unknown (did you mean "event"?); templates begin with event, user, socket, answer, handshake, clock or disconnect, in topics with record, cloudevent or clock, and {{ and }} are plain braces)"},
        {R"({"publish": "t", "timeout": "0s"})", R"(/timeout: leaves no time to answer; write "10s")"},
        {R"({"publish": "t", "otherwise": "retry"})",
         R"(/otherwise: is unknown; write "stop" (the list ends) or "continue" (without an answer))"},
        {R"({"deny": 1})", R"(/deny: is not a string; write the reason)"},
        {R"({"disconnect": "socket"})",
         R"(/disconnect: is not what can be disconnected; write "namespace", "client" or "transport")"},
        {R"({"disconnect": "clinet"})",
         R"(/disconnect: is not what can be disconnected (did you mean "client"?); write "namespace", "client" or "transport")"},
        {R"({"emit": "x", "when": "{event.0}"})",
         R"(/when: is not a condition; write {"exists": "{event.0}"}, {"equals": ["{event.0}", "x"]}, {"is": ["{event.0}", "string"]} or {"not": {…}})"},
        {R"({"emit": "x", "when": {}})",
         R"(/when: is empty; write {"exists": "{event.0}"}, {"equals": ["{event.0}", "x"]}, {"is": ["{event.0}", "string"]} or {"not": {…}})"},
        {R"({"emit": "x", "when": []})", R"(/when: states no condition; write one, or leave it out)"},
        {R"({"emit": "x", "when": {"exist": "{event.0}"}})",
         R"(/when/exist: is not known here (did you mean "exists"?); write "exists", "equals", "is" or "not")"},
        {R"({"emit": "x", "when": {"exists": "a{event.0}"}})",
         R"(/when/exists: needs exactly one template, as in "{event.0}")"},
        {R"({"emit": "x", "when": {"exists": 1}})", R"(/when/exists: is not a template; write "{event.0}")"},
        {R"({"emit": "x", "when": {"equals": ["{event.0}"]}})",
         R"(/when/equals: needs two values; write ["{event.0}", "x"])"},
        {R"({"emit": "x", "when": {"is": ["{event.0}", "text"]}})",
         R"(/when/is/1: is not a type; write "string", "number", "boolean", "null", "array", "object" or "binary")"},
        {R"({"emit": "x", "when": {"is": "string"}})",
         R"(/when/is: needs a template and a type; write ["{event.0}", "string"])"},
        {R"({"emit": "x", "when": {"not": {"not": {"exists": "{event.0}"}}}})",
         R"(/when/not/not: is a double negation; leave both out)"},
        {R"({"emit": "x", "when": {"exists": "{event.0}", "is": ["{event.0}", "string"]}})",
         R"(/when: states several conditions at once; write a list of them: [{…}, {…}])"},
        {R"({"emit": "x", "about": 1})", R"(/about: is not a string; write a sentence for readers)"},
        {R"({"ack": [1, {"a~b": {"c": "{evnt.0}"}}]})",
         R"(/ack/1/a~0b/c: {evnt.0} is unknown (did you mean "event"?); templates begin with event, user, socket, answer, handshake, clock or disconnect, in topics with record, cloudevent or clock, and {{ and }} are plain braces)"},
        {R"({"ack": [{"{user.id}": 1}]})",
         R"(/ack/0/{user.id}: the name "{user.id}" has braces; names of members are fixed, templates go into values)"},
    };
    expect_each(cases, "{\"version\": 1, \"namespaces\": {\"/\": {\"events\": {\"e\":\n[\n\n", "\n]}}}}", 4,
                "/namespaces/~1/events/e/0");
}

Test(routes_load, mistakes_in_on_connect) {
    constexpr Case cases[] = {
        {R"({"ack": []})", R"(/ack: has nothing to acknowledge in on_connect; emit instead)"},
        {R"({"deny": "no"})", R"(/deny: cannot be in on_connect; write "refuse" beside it)"},
        {R"({"emit": "x", "args": "{event.args}"})",
         R"(/args: {event.args} has no event to look at here; events are under "events")"},
        {R"({"hand": true})", R"(/hand: is not a handler; write the name that the handler waits with)"},
        {R"({"publish": "t", "value": "{event.0}"})",
         R"(/value: {event.0} has no event to look at here; events are under "events")"},
    };
    expect_each(cases, "{\"version\": 1, \"namespaces\": {\"/\": {\"on_connect\":\n[", "]}}}", 2,
                "/namespaces/~1/on_connect/0");
}

Test(routes_load, mistakes_in_on_disconnect) {
    constexpr Case cases[] = {
        {R"({"join": "x"})", R"(/join: has no sense when the socket is gone; on_disconnect can only emit and publish)"},
        {R"({"emit": "x", "to": "self"})",
         R"(/to: is gone when on_disconnect runs; write "others", "all" or {"room": "…"})"},
    };
    expect_each(cases, "{\"version\": 1, \"namespaces\": {\"/\": {\"on_disconnect\":\n[", "]}}}", 2,
                "/namespaces/~1/on_disconnect/0");
}

Test(routes_load, all_problems_are_told_in_the_order_of_their_lines) {
    const std::string got = problems(
        "{\n\"namespaces\": {\n\"/\": {\n\"events\": {\n\"a\": [{\"emit\": 1}],\n\"b\": [{}, {\"join\": "
        "\"{event.0}\"}]\n},\n"
        "\"x\": 1\n}}}");
    const std::string want =
        "routes.json:1: /: has no \"version\"; write \"version\": 1\n"
        "routes.json:5: /namespaces/~1/events/a/0/emit: is not a string; write the name of the event to emit\n"
        "routes.json:6: /namespaces/~1/events/b/0: has no verb; write one of \"join\", \"leave\", \"emit\", \"ask\", "
        "\"ack\", \"hand\", \"publish\", \"deny\" or \"disconnect\"\n"
        "routes.json:6: /namespaces/~1/events/b/1/join: lets clients choose a room, and no rule allows it; write "
        "\"allow\": \"granted\" (whom sio-authd lets in), \"user\" (who is logged in), \"anyone\" or {\"rooms\": "
        "[\"course_*\"]} (names that match)\n"
        "routes.json:8: /namespaces/~1/x: is not known here; write \"on_connect\", \"on_disconnect\", \"on_online\", "
        "\"on_offline\", \"events\", "
        "\"refuse\" or \"about\"";
    cr_expect(got == want, "%s", got.c_str());
}

Test(routes_load, a_message_is_one_line_whatever_the_names_in_the_file) {
    cr_expect(
        problems(R"({"version":1,"a\n\u001b[2Jb\u007f":1})") ==
        R"(routes.json:1: /a\u000a\u001b[2Jb\u007f: is not known here; write "version", "namespaces", "topics", "about" or )"
        R"("$schema")");
    const Report report =
        check(R"({"version":1,"namespaces":{"/":{"events":{"e\n\n":[{"join":"{event.0}","allow":"user"}]}}}})", "r");
    cr_assert(report.warnings.size() == 1);
    cr_expect(report.warnings[0].find('\n') == std::string::npos);
}

Test(routes_load, bounds) {
    const auto wrap = [](const std::string& list) {
        return problems(R"({"version":1,"namespaces":{"/":{"events":{"e":)" + list + "}}}}");
    };
    std::string many = "[{\"ack\":[]}";
    for (std::size_t i = 1; i < max_actions; ++i) many += ",{\"ack\":[]}";
    cr_expect(wrap(many + "]") == "none");
    cr_expect(wrap(many + ",{\"ack\":[]}]") ==
              "routes.json:1: /namespaces/~1/events/e: has more than 64 actions; hand the event to a program");

    const std::string longest(max_room_bytes, 'r');
    cr_expect(wrap("[{\"join\":\"" + longest + "\"}]") == "none");
    cr_expect(wrap("[{\"join\":\"" + longest + "r\"}]") ==
              "routes.json:1: /namespaces/~1/events/e/0/join: is longer than 256 bytes; shorten it");

    const std::string name = "/" + std::string(max_pattern_bytes, 'n');
    cr_expect(problems(R"({"version":1,"namespaces":{")" + name + R"(":{}}})") ==
              "routes.json:1: /namespaces/~1" + name.substr(1) + ": is longer than 256 bytes; shorten the name");

    cr_expect(problems(std::string(max_file_bytes + 1, ' ')) == "routes.json:1: /: is larger than 4 MiB; write less");
    const std::string deep = R"({"version":1,"about":)" + std::string(600, '[') + std::string(600, ']') + "}";
    cr_expect(problems(deep) == "routes.json:1: /: nests too deeply; no more than 512 levels");
    cr_expect(problems("{\"version\":\n\"\xff\"}").starts_with("routes.json:2: /: is not JSON: "));
    cr_expect(wrap(R"([{"emit":"x","after":"60s"},{"emit":"x","after":"1m"},{"emit":"x","after":"0ms"}])") == "none");
    cr_expect(wrap(R"([{"emit":"x","after":"60001ms"}])") != "none");
    cr_expect(wrap(R"([{"emit":"x","after":"99999999999999999999s"}])") != "none");
}

Test(routes_load, what_is_allowed_and_probably_not_meant_is_a_warning) {
    struct Warning {
        std::string_view list;
        bool want;
    };
    constexpr Warning cases[] = {
        {R"([{"join":"{event.0}","allow":"anyone"}])", true},
        {R"([{"join":"{event.0}","allow":"user"}])", true},
        {R"([{"emit":"x","to":{"room":"{event.0}"},"allow":"user"}])", true},
        {R"([{"join":"{event.0}{event.1}","allow":"user"}])", true},
        {R"([{"join":"{event.0}","allow":["user",{"rooms":["course_*"]}]}])", false},
        {R"([{"join":"{event.0}","allow":"granted"}])", false},
        {R"([{"join":"course_{event.0}","allow":"user"}])", false},
        {R"([{"emit":"x","to":{"room":"{event.0}"},"allow":"member"}])", false},
        {R"([{"join":"{user.id}"}])", false},
    };
    for (const auto& [list, want] : cases) {
        const auto routes = read(R"({"version":1,"namespaces":{"/":{"events":{"e":)" + std::string{list} + "}}}}");
        cr_expect(routes.warnings().size() == (want ? 1U : 0U), "%.*s", int(list.size()), list.data());
    }
    const auto routes = read(
        "{\"version\":1,\"namespaces\":{\"/\":{\"events\":{\"e\":\n"
        "[{\"join\":\"{event.0}\",\"allow\":\"anyone\"}]}}}}");
    cr_expect(routes.warnings()[0] ==
              "routes.json:2: /namespaces/~1/events/e/0/join: lets clients choose any room, also those named by other "
              "users' ids; give the name a fixed part, or add {\"rooms\": […]} to \"allow\"");
}

Test(routes_load, a_room_from_an_answer_needs_a_rule_only_if_a_client_gave_it) {
    cr_expect(problems(R"({"version":1,"namespaces":{"/":{"events":{"e":[{"hand":true},{"join":"{answer.0}"}]}}}})") ==
              "none");
    for (const std::string_view list :
         {R"([{"ask":"q"},{"join":"{answer.0}"}])", R"([{"ask":"q"},{"hand":true},{"join":"{answer.0}"}])",
          R"([{"hand":true},{"ask":"q"},{"join":"{answer.0}"}])"}) {
        const std::string got =
            problems(R"({"version":1,"namespaces":{"/":{"events":{"e":)" + std::string{list} + "}}}}");
        cr_expect(got.find("lets clients choose a room") != std::string::npos, "%s", got.c_str());
    }
}

Test(routes_load, every_option_is_read) {
    const ActionList& list = actions(R"([
        {"join": ["a", "b"], "allow": ["user", {"rooms": ["a*", "b"]}], "about": "first"},
        {"leave": "a"},
        {"emit": "x", "args": [1, "{user.id}"], "to": {"others_in": ["a", "c_{socket.id}"]}, "except": "d",
         "volatile": true, "local": true, "after": "1s", "when": [{"exists": "{event.0}"},
         {"not": {"equals": ["{event.1}", 2]}}, {"is": ["{event.2}", "binary"]}]},
        {"ask": "q", "args": "{event.args}", "timeout": "500ms", "otherwise": "continue"},
        {"ack": "{answer.args}"},
        {"hand": "h", "args": ["{handshake.query.q}", "{handshake.headers.X-H}"], "timeout": "1m"},
        {"deny": "no"},
        {"disconnect": "namespace"}])");
    constexpr std::string_view words[] = {"join", "leave", "emit", "ask", "ack", "hand", "deny", "disconnect"};
    cr_assert(list.actions.size() == 8);
    for (std::size_t i = 0; i < 8; ++i) cr_expect(verb_of(list.actions[i]) == words[i]);

    const auto& join = std::get<Join>(list.actions[0].verb);
    cr_expect((join.rooms.constants == std::vector<std::string>{"a", "b"}));
    cr_expect(list.actions[0].about == "first");
    const auto& rules = *list.actions[0].allow;
    cr_expect(rules.size() == 2 && rules[0].kind == Rule::Kind::user && rules[1].kind == Rule::Kind::rooms);
    cr_expect((rules[1].patterns == std::vector<std::string>{"a*", "b"}));

    const auto& emit = std::get<Emit>(list.actions[2].verb);
    cr_expect(emit.to == Audience::others_in && emit.is_volatile && emit.is_local);
    cr_expect(emit.rooms.names.size() == 2 && emit.rooms.constants.empty());
    cr_expect((emit.except.constants == std::vector<std::string>{"d"}));
    cr_expect(emit.args.kind == Args::Kind::array && emit.event.tail == "\"x\"");
    cr_expect(list.actions[2].after == Milliseconds{1000});
    const auto& when = list.actions[2].when;
    cr_assert(when.size() == 3);
    cr_expect(when[0].kind == Condition::Kind::exists && !when[0].negated);
    cr_expect(when[1].kind == Condition::Kind::equals && when[1].negated && when[1].right.tail == "2");
    cr_expect(when[2].kind == Condition::Kind::is && when[2].type == "binary");

    const auto& ask = std::get<Ask>(list.actions[3].verb);
    cr_expect(ask.args.kind == Args::Kind::pass_through && ask.timeout == Milliseconds{500});
    cr_expect(ask.otherwise == Otherwise::go_on);
    cr_expect(std::get<Ack>(list.actions[4].verb).args.kind == Args::Kind::pass_through_answer);
    const auto& hand = std::get<Hand>(list.actions[5].verb);
    cr_expect(hand.handler.tail == "h" && hand.timeout == Milliseconds{60'000} && hand.otherwise == Otherwise::stop);
    cr_expect(std::get<Disconnect>(list.actions[7].verb).what == Disconnect::What::nsp);
    cr_expect((list.queries == std::vector<std::string>{"q"}));
    cr_expect((list.headers == std::vector<std::string>{"x-h"}));
}

Test(routes_load, an_event_may_have_rights_and_a_sentence) {
    const ActionList& list = actions(R"({"about": "why", "allow": "user", "do": [{"hand": true}]})");
    cr_expect(list.about == "why" && list.allow.size() == 1 && list.actions.size() == 1);
    cr_expect(std::get<Hand>(list.actions[0].verb).args.kind == Args::Kind::pass_through);
    cr_expect(std::get<Hand>(list.actions[0].verb).timeout == default_timeout);
}

Test(routes_lookup, namespaces_by_exact_name_then_by_pattern_in_order) {
    const Routes routes = read(R"({"version":1,"namespaces":{
        "/a-*": {"about":"first"}, "/a-*-z": {"about":"second"}, "/a-1": {"about":"exact"}, "/t/*/x": {"about":"t"}}})");
    const auto about = [&](std::string_view name) {
        const NamespaceRoutes* const found = routes.find(name);
        return found == nullptr ? std::string{"none"} : found->about;
    };
    cr_expect(about("/a-1") == "exact");
    cr_expect(about("/a-2") == "first");
    cr_expect(about("/a-2-z") == "first", "patterns are tried in the order of the file");
    cr_expect(about("/t/u/x") == "t");
    cr_expect(about("/t/u/v/x") == "none", "a star stops at /");
    cr_expect(about("/A-1") == "none");
    cr_expect(about("/a-*") == "first");
    cr_expect(about("/") == "" && about("") == "none" && about("/b") == "none");
    cr_expect(about("/a-" + std::string(253, 'x')) == "first");
    cr_expect(about("/a-" + std::string(254, 'x')) == "none", "longer names match no pattern");
    cr_expect(routes.find("/a-2")->is_pattern && !routes.find("/a-1")->is_pattern);
}

Test(routes_lookup, the_main_namespace_is_always_there) {
    cr_expect(Routes{}.find("/") != nullptr);
    cr_expect(Routes{}.find("/x") == nullptr);
    cr_expect(read(R"({"version":1,"namespaces":{"/x":{}}})").find("/") != nullptr);
}

Test(routes_lookup, events_by_the_token_of_their_name) {
    const Routes routes = read(R"({"version":1,"namespaces":{
        "/": {"events": {"a": [], "ä\"": [], "7": [], "*": []}}, "/x": {"events": {"a": []}}, "/y": {}}})");
    const auto name = [&](std::string_view nsp, std::string_view token) {
        const EventRoute* const found = routes.find(nsp)->event(token);
        return found == nullptr ? std::string{"none"} : found->name;
    };
    cr_expect(name("/", "\"a\"") == "a");
    cr_expect(name("/", "\"\\u0061\"") == "a");
    cr_expect(name("/", "\"ä\\\"\"") == "ä\"");
    cr_expect(name("/", "\"\\u00e4\\u0022\"") == "ä\"");
    cr_expect(name("/", "7") == "7");
    cr_expect(name("/", "\"7\"") == "7");
    cr_expect(name("/", "\"b\"") == "*");
    cr_expect(name("/", "\"*\"") == "*");
    cr_expect(name("/", "\"\"") == "*");
    cr_expect(name("/x", "\"b\"") == "none");
    cr_expect(name("/y", "\"a\"") == "none");
    cr_expect(routes.event_count() == 5);
}

Test(routes_lookup, a_namespace_can_refuse) {
    const Routes routes = read(R"({"version":1,"namespaces":{
        "/no": {"refuse": {"message": "nope", "data": {"code": 42}}},
        "/bare": {"refuse": {"message": "nope"}},
        "/some": {"refuse": [
            {"message": "log in first", "when": {"not": {"exists": "{user.id}"}}},
            {"message": "not you, {user.id}", "data": ["{handshake.auth.x}"], "when": {"equals": ["{user.id}", "eve"]}}]},
        "/broken": {"refuse": {"message": "x", "when": {"equals": ["x{handshake.auth}", 1]}}}}})");
    const auto says = [&](std::string_view nsp, std::string_view user) {
        Context c;
        c.user_id = user;
        c.auth = R"({"x":[1]})";
        const auto refused = refusal(*routes.find(nsp), c);
        return refused ? refused->message + "|" + refused->data : std::string{"welcome"};
    };
    cr_expect(says("/no", "") == "nope|{\"code\":42}");
    cr_expect(says("/bare", "") == "nope|");
    cr_expect(says("/some", "") == "log in first|");
    cr_expect(says("/some", "eve") == "not you, eve|[[1]]");
    cr_expect(says("/some", "alice") == "welcome");
    cr_expect(says("/broken", "alice") == "{handshake.auth} is an object or array and cannot stand inside a text|",
              "in doubt, no");
    cr_expect(says("/", "") == "welcome");
}

Test(routes_suggest, words_that_are_nearly_right) {
    constexpr std::string_view words[] = {"emit", "join", "namespaces"};
    cr_expect(nearest("emti", words) == "emit");
    cr_expect(nearest("emits", words) == "emit");
    cr_expect(nearest("namespace", words) == "namespaces");
    cr_expect(nearest("x", words).empty());
    cr_expect(nearest("publish", words).empty());
    cr_expect(nearest("", words).empty());
    cr_expect(nearest(std::string(1000, 'e'), words).empty());
    cr_expect(did_you_mean("jion", words) == " (did you mean \"join\"?)");
    cr_expect(did_you_mean("zzzz", words).empty());
}

Test(routes_load, a_topic_has_a_bound_and_is_better_not_the_clients) {
    const auto file = [](const std::string& topic) {
        return R"({"version":1,"namespaces":{"/":{"events":{"e":[{"publish":")" + topic + R"("}]}}}})";
    };
    cr_expect(problems(file(std::string(max_topic_bytes, 'x'))) == "none");
    cr_expect(problems(file(std::string(max_topic_bytes + 1, 'x'))) ==
              "routes.json:1: /namespaces/~1/events/e/0/publish: is longer than 256 bytes; shorten it");
    cr_expect(read(file("orders_{user.id}")).warnings().empty());
    const auto warnings = read(file("orders_{event.0}")).warnings();
    cr_assert(warnings.size() == 1);
    cr_expect(warnings[0] ==
              "routes.json:1: /namespaces/~1/events/e/0/publish: lets clients choose the topic; write a "
              "fixed one, and put what the client says into \"value\"");
}

Test(routes_load, a_socket_that_is_gone_can_be_published) {
    const std::string list = R"([{"publish":"left","value":{"why":"{disconnect.reason}"}},{"emit":"left"}])";
    const auto routes = read(R"({"version":1,"namespaces":{"/":{"on_disconnect":)" + list + "}}}");
    cr_expect(routes.find("/")->on_disconnect.actions.size() == 2);
}

Test(routes_load, a_granted_rule_may_have_a_room_token) {
    const ActionList& list = actions(R"([
        {"join": "{event.0}", "allow": "granted"},
        {"join": "{event.0}", "allow": ["user", {"granted": {"token": "t-{handshake.query.invitation}"}}]},
        {"emit": "x", "to": {"others_in": "{event.0}"}, "allow": ["member", "granted"]}])");
    cr_assert(list.actions.size() == 3);
    const Rule& bare = list.actions[0].allow->at(0);
    cr_expect(bare.kind == Rule::Kind::granted && !bare.has_token);
    const Rule& shown = list.actions[1].allow->at(1);
    cr_expect(shown.kind == Rule::Kind::granted && shown.has_token);
    cr_expect(shown.token.pieces.size() == 1 && shown.token.pieces[0].before == "t-");
    cr_expect((list.queries == std::vector<std::string>{"invitation"}), "what a token looks up is kept for a wait");
    cr_expect(list.actions[2].allow->at(1).kind == Rule::Kind::granted);
}

Test(routes_load, where_there_is_no_socket_nobody_can_be_granted_a_room) {
    constexpr std::string_view want = "/allow: asks about a socket, and there is none in on_online; leave it out";
    for (const std::string_view rule : {R"("granted")", R"({"granted":{"token":"{user.id}"}})"}) {
        const std::string got = problems(R"({"version":1,"namespaces":{"/":{"on_online":[
            {"emit":"x","to":{"room":"r"},"allow":)" +
                                         std::string{rule} + "}]}}}");
        cr_expect(got.ends_with(want), "%s", got.c_str());
    }
    cr_expect(problems(R"({"version":1,"namespaces":{"/":{"on_disconnect":[
        {"emit":"x","to":{"room":"r"},"allow":"granted"}]}}})") == "none");
}
