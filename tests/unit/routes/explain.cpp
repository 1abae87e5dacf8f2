#include "routes/explain.h"

#include <criterion/criterion.h>

#include "base/json.h"

using namespace sio;
using namespace sio::routes;

namespace {

constexpr std::string_view file = R"({"version": 1, "namespaces": {
  "/": {
    "on_connect": [{"join": "lobby"}],
    "on_disconnect": [{"emit": "left", "args": ["{disconnect.reason}"], "to": {"room": "{socket.rooms}"}}],
    "events": {
      "chat": [
        {"emit": "m", "args": [{"from": "{user.id}", "at": "{clock.ms}"}], "to": {"room": "course_{event.0}"},
         "allow": "member", "volatile": true},
        {"ack": [{"ok": true}]}],
      "long": [{"ask": "q", "args": "{event.args}"}, {"emit": "a", "args": "{answer.args}", "after": "1s"}, {"hand": true}],
      "course": [{"join": "course_{event.0}", "allow": ["user", {"granted": {"token": "{event.1}"}}]}, {"ack": []}],
      "order": [{"publish": "orders", "key": "{user.id}", "timeout": "2s"}, {"ack": [true]}],
      "bye": [{"leave": "lobby"}, {"disconnect": "namespace"}]}},
  "/no": {"refuse": {"message": "nope", "data": {"code": 42}}}}})";

Result<std::vector<Step>> ask(const Question& question) {
    static const auto routes = parse_routes(file, "routes.json");
    cr_assert(routes.has_value());
    return explain(*routes, question);
}

Question about(std::string event, std::string args = "[]") {
    Question question;
    question.event = std::move(event);
    question.args = std::move(args);
    question.user = "alice";
    question.now_ms = 1000;
    return question;
}

void expect_text(const Question& question, std::string_view want) {
    const auto steps = ask(question);
    cr_assert(steps.has_value(), "%s", steps ? "" : steps.error().what.c_str());
    const std::string got = to_text(*steps);
    cr_expect(got == want, "%s", got.c_str());
    cr_expect(json::is_valid(to_json(*steps)), "%s", to_json(*steps).c_str());
}

}  // namespace

Test(routes_explain, tells_what_would_happen) {
    Question member = about("chat", "[7]");
    member.rooms = {"course_7"};
    expect_text(member,
                "1. emit: \"m\" [{\"from\":\"alice\",\"at\":1000}] goes to all in [\"course_7\"], volatile\n"
                "2. ack: the event is acknowledged with [{\"ok\":true}]\n");
    expect_text(about("chat", "[7]"),
                "1. stop: the list ends at \"emit\": denied, not in the room \"course_7\"\n"
                "2. ack: the event is acknowledged with [{\"error\":\"denied\",\"reason\":\"not in the room "
                "\\\"course_7\\\"\"}]\n");
    Question with_answer = about("long", "[ 1 ]");
    with_answer.answer = "[\"yes\"]";
    expect_text(with_answer,
                "1. ask: \"q\" [ 1 ] asks the socket, which has 10000 ms to answer\n"
                "2. wait: 1000 ms pass\n"
                "3. emit: \"a\" [\"yes\"] goes to the socket\n"
                "4. hand: a handler of \"long\" gets \"long\" [ 1 ] and has 10000 ms to answer\n"
                "5. ack: the event is acknowledged with [\"yes\"]\n");
    expect_text(about("order", "[7]"),
                "1. publish: [7] is published as \"orders\" with the key \"alice\"; Redis has 2000 ms to take it\n"
                "2. ack: the event is acknowledged with [true]\n");
    expect_text(about("bye"),
                "1. leave: the socket leaves the room \"lobby\"\n"
                "2. disconnect: the socket leaves the namespace\n");
    expect_text(about("connect"), "1. join: the socket joins the room \"lobby\"\n");
    expect_text(about("disconnect"),
                "1. emit: \"left\" [\"transport close\"] goes to all in [\"supposed-socket-id\",\"alice\"]\n");
    Question refused = about("chat");
    refused.nsp = "/no";
    expect_text(refused, "1. refuse: a CONNECT is refused with \"nope\"\n");
    cr_expect(to_text({}) == "nothing happens\n");
}

Test(routes_explain, says_what_sio_authd_would_be_asked) {
    Question join = about("course", R"([7,"SECRET"])");
    expect_text(join,
                "1. grant: sio-authd is asked whether \"alice\" may be in [\"course_7\"] by a room token; here it says "
                "granted\n"
                "2. join: the socket joins the room \"course_7\"\n"
                "3. ack: the event is acknowledged with []\n");
    cr_expect(to_json(*ask(join)).find("SECRET") == std::string::npos);
    cr_expect(to_json(*ask(join)).find(R"("rooms":["course_7"],"room_token":true,"supposed":"granted"})") !=
              std::string::npos);
    join.args = "[7]";
    join.right = Grant::Kind::denied;
    expect_text(join,
                "1. grant: sio-authd is asked whether \"alice\" may be in [\"course_7\"]; here it says denied\n"
                "2. stop: the list ends at \"join\": denied, the room is not granted\n"
                "3. ack: the event is acknowledged with [{\"error\":\"denied\",\"reason\":\"the room is not "
                "granted\"}]\n");
    join.right = Grant::Kind::unavailable;
    cr_expect(to_text(*ask(join)).find("unavailable, whether the room is granted cannot be told just now") !=
              std::string::npos);
    join.user.clear();
    cr_expect(to_text(*ask(join)).starts_with("1. stop: the list ends at \"join\": denied, only for users"));
}

Test(routes_explain, ways_to_a_room) {
    static const auto routes = parse_routes(file, "routes.json");
    const auto shown = [](std::string_view room, std::string_view event = {}) {
        std::string all;
        for (const Way& way : ways_to(*routes, room, event)) {
            all += way.nsp + " " + way.list + " " + way.verb + " " + way.room + " (" + way.allow + ")" +
                   (way.is_granted_by_authd ? "!" : "") + "\n";
        }
        return all;
    };
    cr_expect(shown("course_7") ==
              "/ on_disconnect emit {socket.rooms} (anyone)\n"
              "/ chat emit course_{event.0} (member)\n"
              "/ course join course_{event.0} (user, granted by {event.1})!\n");
    cr_expect(shown("course_7", "course") == "/ course join course_{event.0} (user, granted by {event.1})!\n");
    cr_expect(shown("lobby", "none").empty());
    cr_expect(shown("lobby").starts_with("/ on_connect join lobby (anyone)\n"));
}

Test(routes_explain, as_json) {
    Question member = about("chat", "[7]");
    member.rooms = {"course_7"};
    cr_expect(
        to_json(*ask(member)) ==
        R"([{"verb":"emit","text":"\"m\" [{\"from\":\"alice\",\"at\":1000}] goes to all in [\"course_7\"], volatile",)"
        R"("event":"m","args":[{"from":"alice","at":1000}],"to":"room","rooms":["course_7"],"volatile":true},)"
        R"({"verb":"ack","text":"the event is acknowledged with [{\"ok\":true}]","args":[{"ok":true}]}])");
    Question refused = about("chat");
    refused.nsp = "/no";
    cr_expect(to_json(*ask(refused)) ==
              R"([{"verb":"refuse","text":"a CONNECT is refused with \"nope\"","message":"nope","data":{"code":42}}])");
    cr_expect(to_json({}) == "[]");
}

Test(routes_explain, says_why_it_cannot) {
    const auto why = [](const Question& question) {
        const auto steps = ask(question);
        return steps ? std::string{"no error"} : std::string{to_string(steps.error().code)} + ": " + steps.error().what;
    };
    Question nowhere = about("chat");
    nowhere.nsp = "/x";
    cr_expect(why(nowhere) == "not_found: cannot find the namespace \"/x\": a CONNECT to it is refused as invalid");
    cr_expect(why(about("none")) == "not_found: cannot find a route for \"none\" in \"/\": the event is ignored");
    cr_expect(why(about("chat", "{}")) == "usage: cannot read the arguments: not a JSON array");
    cr_expect(why(about("chat", "[")) == "usage: cannot read the arguments: not a JSON array");
    Question answer = about("chat");
    answer.answer = "1";
    cr_expect(why(answer) == "usage: cannot read the answer: not a JSON array");
    Question auth = about("chat");
    auth.auth = "{";
    cr_expect(why(auth) == "usage: cannot read the auth object: not JSON");
}

Test(routes_check, reports_problems_one_by_one) {
    const Report bad = check("{\"version\": 2,\n\"x\": 1}", "r.json");
    cr_expect(!bad.ok && bad.problems.size() == 2 && bad.warnings.empty());
    cr_expect(bad.problems[0] == "r.json:1: /version: is a version this program does not know; write 1");
    cr_expect(bad.problems[1].starts_with("r.json:2: /x: is not known here; write "));
    const Report good = check(file, "r.json");
    cr_expect(good.ok && good.problems.empty() && good.namespaces == 2 && good.events == 5);
}
