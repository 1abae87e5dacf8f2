#include "routes/run.h"

#include <criterion/criterion.h>

#include <array>

#include "unit/routes/fake_host.h"

using namespace sio;
using namespace sio::routes;

namespace {

std::shared_ptr<const Routes> read(const std::string& text) {
    auto routes = parse_routes(text, "routes.json");
    cr_assert(routes.has_value(), "%s", routes ? "" : routes.error().what.c_str());
    return std::make_shared<const Routes>(std::move(*routes));
}

std::shared_ptr<const Routes> with_event(std::string_view list) {
    return read(R"({"version":1,"namespaces":{"/":{"events":{"e":)" + std::string{list} + "}}}}");
}

const ActionList& list_of(const std::shared_ptr<const Routes>& routes) {
    return routes->find("/")->event("\"e\"")->list;
}

Context event(std::string_view args) {
    Context c;
    c.event = "\"e\"";
    c.args = args;
    c.wants_ack = true;
    c.socket_id = "sid";
    c.transport = "websocket";
    c.user_id = "alice";
    c.now_ms = 1000;
    return c;
}

/// What a list does with an event whose arguments are `args`.
std::string does(std::string_view list, std::string_view args, FakeHost& host, Context context = event("")) {
    const auto routes = with_event(list);
    context.args = args;
    Run::start(routes, list_of(routes), context, host);
    return host.said();
}

struct Case {
    std::string_view list;
    std::string_view args;
    std::string_view want;
};

void expect_each(std::span<const Case> cases, const Context& context = event("")) {
    for (const auto& [list, args, want] : cases) {
        FakeHost host;
        host.in_rooms = {"sid", "alice", "course_1"};
        host.full_room = "full";
        const std::string got = does(list, args, host, context);
        cr_expect(got == want, "%.*s with %.*s\n  gave %s\n  want %.*s", int(list.size()), list.data(),
                  int(args.size()), args.data(), got.c_str(), int(want.size()), want.data());
    }
}

Answer answered(std::string_view args, std::span<const std::string> attachments = {}) {
    return {.outcome = Answer::Outcome::answered, .args = args, .attachments = attachments, .reason = {}};
}

Answer failed(Answer::Outcome outcome, std::string_view reason = {}) {
    return {.outcome = outcome, .args = {}, .attachments = {}, .reason = reason};
}

}  // namespace

Test(routes_run, each_verb_reaches_the_host) {
    constexpr Case cases[] = {
        {R"([])", "", ""},
        {R"([{"join":"a"},{"join":["b","c_{user.id}"]}])", "", "join a | join b | join c_alice"},
        {R"([{"leave":"a"},{"leave":"{event.0}"}])", "\"b\"", "leave a | leave b"},
        {R"([{"emit":"x"}])", "1", R"(emit "x"() to self)"},
        {R"([{"emit":"x","args":"{event.args}"}])", R"(1, "2",{"3":[true]})",
         R"(emit "x"(1, "2",{"3":[true]}) to self)"},
        {R"([{"emit":"x","args":["{event.1}",{"by":"{user.id}"}],"to":"all"}])", "1,[2]",
         R"(emit "x"([2],{"by":"alice"}) to all)"},
        {R"([{"emit":"x","args":[1,{"a":2}],"to":"others"}])", "", R"(emit "x"(1,{"a":2}) to others)"},
        {R"([{"emit":"x","args":[],"to":{"room":"r"}}])", "", R"(emit "x"() to rooms ["r"])"},
        {R"([{"emit":"x","to":{"others_in":["r","s_{user.id}"]},"except":["t","{socket.id}"],"volatile":true,"local":true}])",
         "", R"(emit "x"() to others_in ["r","s_alice"] except ["t","sid"] volatile local)"},
        {R"([{"emit":"x","to":{"room":"{socket.rooms}"}}])", "", R"(emit "x"() to rooms ["sid","alice","course_1"])"},
        {R"([{"emit":"{event.name}","args":"{event.args}"}])", "1", R"(emit "e"(1) to self)"},
        {R"([{"emit":"{event.0}"}])", R"("a\"b")", R"(emit "a\"b"() to self)"},
        {R"([{"emit":"{event.0}"}])", "7", R"(emit 7() to self)"},
        {R"([{"emit":"on-{event.0}"}])", "7", R"(emit "on-7"() to self)"},
        {R"([{"ack":"{event.args}"}])", "1,2", "ack (1,2)"},
        {R"([{"ack":[]},{"ack":[2]},{"emit":"x"}])", "", R"(ack () | emit "x"() to self)"},
        {R"([{"disconnect":"namespace"},{"disconnect":"client"},{"disconnect":"transport"}])", "",
         "disconnect namespace | disconnect client | disconnect transport"},
    };
    expect_each(cases);
}

Test(routes_run, without_a_wish_for_it_there_is_no_ack) {
    Context silent = event("");
    silent.wants_ack = false;
    constexpr Case cases[] = {
        {R"([{"ack":[1]},{"emit":"x"}])", "", R"(emit "x"() to self)"},
        {R"([{"deny":"no"},{"emit":"x"}])", "", "stopped deny denied: no"},
    };
    expect_each(cases, silent);
}

Test(routes_run, the_first_failure_ends_the_list_and_is_the_ack) {
    constexpr Case cases[] = {
        {R"([{"join":"a_{event.0}","allow":"user"},{"emit":"x"}])", "",
         R"(stopped join denied: {event.0} is missing | ack ({"error":"denied","reason":"{event.0} is missing"}))"},
        {R"([{"join":"a_{event.0}","allow":"user"}])", "{}",
         R"(stopped join denied: {event.0} is neither text nor number | ack ({"error":"denied","reason":"{event.0} is neither text nor number"}))"},
        {R"([{"join":["a","full","b"]},{"emit":"x"}])", "",
         R"(join a | stopped join unavailable: cannot join: too many rooms | ack ({"error":"unavailable","reason":"cannot join: too many rooms"}))"},
        {R"([{"ack":["early"]},{"deny":"late"}])", "", R"(ack ("early") | stopped deny denied: late)"},
        {R"([{"deny":"no \"{event.0}\""}])", R"("\"x")",
         R"(stopped deny denied: no ""x" | ack ({"error":"denied","reason":"no \"\"x\""}))"},
        {R"([{"leave":"{event.0}"}])", "\"\"",
         R"(stopped leave denied: {event.0} is empty | ack ({"error":"denied","reason":"{event.0} is empty"}))"},
        {R"([{"emit":"{event.0}"}])", "null",
         R"(stopped emit denied: {event.0} is no name for an event | ack ({"error":"denied","reason":"{event.0} is no name for an event"}))"},
        {R"([{"emit":"{event.0}"}])", R"("dis\u0063onnect")",
         R"(stopped emit denied: "dis\u0063onnect" is a reserved name | ack ({"error":"denied","reason":"\"dis\\u0063onnect\" is a reserved name"}))"},
        {R"([{"emit":"x","args":["a {event.0}"]}])", "[]",
         R"(stopped emit denied: {event.0} is an object or array and cannot stand inside a text | ack ({"error":"denied","reason":"{event.0} is an object or array and cannot stand inside a text"}))"},
        {R"([{"emit":"x","when":{"equals":["a {event.0}",1]}}])", "[]",
         R"(stopped emit denied: {event.0} is an object or array and cannot stand inside a text | ack ({"error":"denied","reason":"{event.0} is an object or array and cannot stand inside a text"}))"},
        {R"([{"hand":"h_{event.0}"}])", "",
         R"(stopped hand denied: {event.0} is missing | ack ({"error":"denied","reason":"{event.0} is missing"}))"},
    };
    expect_each(cases);

    FakeHost host;
    const std::string longest = "\"" + std::string(max_room_bytes, 'x') + "\"";
    cr_expect(does(R"([{"join":"{event.0}","allow":"anyone"}])", longest, host).starts_with("join xxx"));
    cr_expect(does(R"([{"join":"y{event.0}","allow":"anyone"}])", longest, host)
                  .starts_with("stopped join denied: the name of the room is too long"));
}

Test(routes_run, rights) {
    constexpr Case allowed[] = {
        {R"([{"join":"{event.0}","allow":"anyone"}])", "\"x\"", "join x"},
        {R"([{"join":"{event.0}","allow":"user"}])", "\"x\"", "join x"},
        {R"([{"join":"{event.0}","allow":{"rooms":["course_*","x"]}}])", "\"course_9\"", "join course_9"},
        {R"([{"emit":"m","to":{"room":"course_{event.0}"},"allow":"member"}])", "1",
         R"(emit "m"() to rooms ["course_1"])"},
        {R"({"allow":"user","do":[{"emit":"x"}]})", "", R"(emit "x"() to self)"},
    };
    expect_each(allowed);
    constexpr Case denied[] = {
        {R"([{"join":"{event.0}","allow":{"rooms":["course_*","x"]}}])", "\"alice\"",
         R"(stopped join denied: no rule allows the room "alice" | ack ({"error":"denied","reason":"no rule allows the room \"alice\""}))"},
        {R"([{"join":["course_1","{event.0}"],"allow":["user",{"rooms":["course_*"]}]}])", "\"y\"",
         R"(stopped join denied: no rule allows the room "y" | ack ({"error":"denied","reason":"no rule allows the room \"y\""}))"},
        {R"([{"emit":"m","to":{"room":["course_1","{event.0}"]},"allow":"member"}])", "\"course_2\"",
         R"(stopped emit denied: not in the room "course_2" | ack ({"error":"denied","reason":"not in the room \"course_2\""}))"},
    };
    expect_each(denied);
    Context anonymous = event("");
    anonymous.user_id = {};
    constexpr Case for_users[] = {
        {R"([{"join":"{event.0}","allow":"user"}])", "\"x\"",
         R"(stopped join denied: only for users who are logged in | ack ({"error":"denied","reason":"only for users who are logged in"}))"},
        {R"({"allow":"user","do":[{"emit":"x"}]})", "",
         R"(stopped event denied: only for users who are logged in | ack ({"error":"denied","reason":"only for users who are logged in"}))"},
        {R"({"allow":"user","do":[]})", "",
         R"(stopped event denied: only for users who are logged in | ack ({"error":"denied","reason":"only for users who are logged in"}))"},
        {R"({"allow":"anyone","do":[{"emit":"x"}]})", "", R"(emit "x"() to self)"},
    };
    expect_each(for_users, anonymous);
}

Test(routes_run, conditions) {
    struct When {
        std::string_view when, args;
        bool want;
    };
    constexpr When cases[] = {
        {R"({"exists":"{event.0}"})", "1", true},
        {R"({"exists":"{event.0}"})", "false", true},
        {R"({"exists":"{event.0}"})", "null", false},
        {R"({"exists":"{event.0}"})", "", false},
        {R"({"not":{"exists":"{event.0}"}})", "", true},
        {R"({"exists":"{user.id}"})", "", true},
        {R"({"equals":["{event.0}","x"]})", R"("x")", true},
        {R"({"equals":["{event.0}","x"]})", R"("\u0078")", true},
        {R"({"equals":["{event.0}","x"]})", R"("y")", false},
        {R"({"equals":["{event.0}",1]})", "1.0", true},
        {R"({"equals":["{event.0}",100]})", "1e2", true},
        {R"({"equals":["{event.0}",1]})", R"("1")", false},
        {R"({"equals":["{event.0}",1]})", "2", false},
        {R"({"equals":["{event.0}",true]})", "true", true},
        {R"({"equals":["{event.0}",null]})", "", true},
        {R"({"equals":["{event.0}","{event.1}"]})", "[1],[1]", true},
        {R"({"equals":["{event.0}","{event.1}"]})", "[1],[1 ]", false},
        {R"({"is":["{event.0}","string"]})", R"("")", true},
        {R"({"is":["{event.0}","number"]})", "-1", true},
        {R"({"is":["{event.0}","boolean"]})", "false", true},
        {R"({"is":["{event.0}","null"]})", "null", true},
        {R"({"is":["{event.0}","null"]})", "", false},
        {R"({"is":["{event.0}","array"]})", "[]", true},
        {R"({"is":["{event.0}","object"]})", "{}", true},
        {R"({"is":["{event.0}","binary"]})", R"({"_placeholder":true,"num":0})", false},
        {R"({"is":["{event.0}","object"]})", R"({"_placeholder":true,"num":0})", true},
        {R"([{"exists":"{event.0}"},{"exists":"{event.1}"}])", "1,2", true},
        {R"([{"exists":"{event.0}"},{"exists":"{event.1}"}])", "1", false},
    };
    for (const auto& [when, args, want] : cases) {
        FakeHost host;
        const std::string list = R"([{"emit":"x","when":)" + std::string{when} + R"(},{"emit":"y"}])";
        const std::string got = does(list, args, host);
        cr_expect(got == (want ? R"(emit "x"() to self | emit "y"() to self)" : R"(emit "y"() to self)"), "%.*s %.*s",
                  int(when.size()), when.data(), int(args.size()), args.data());
    }
    const std::vector<std::string> bytes = {"AA"};
    Context binary = event("");
    binary.attachments = bytes;
    FakeHost host;
    cr_expect(
        does(R"([{"emit":"x","when":{"is":["{event.0}","binary"]}},{"emit":"y","when":{"is":["{event.0}","object"]}}])",
             R"({"_placeholder":true,"num":0})", host, binary) == R"(emit "x"() to self)");
}

Test(routes_run, arguments_as_a_whole_are_the_bytes_that_came) {
    const std::vector<std::string> bytes = {"AA", "BB"};
    const std::string args = R"({"_placeholder":true,"num":0}, {"_placeholder":true,"num":1})";
    Context c = event("");
    c.attachments = bytes;
    FakeHost host;
    cr_expect(does(R"([{"emit":"x","args":"{event.args}"},{"ack":"{event.args}"}])", args, host, c) ==
              R"(emit "x"()" + args + R"()<AA><BB> to self | ack ()" + args + ")<AA><BB>");
    cr_expect(host.last_args == args.data(), "not a copy of them");
    cr_expect(host.last_attachments == bytes.data());
}

Test(routes_run, picked_attachments_come_in_the_order_of_their_placeholders) {
    const std::vector<std::string> bytes = {"AA", "BB"};
    Context c = event("");
    c.attachments = bytes;
    FakeHost host;
    cr_expect(does(R"([{"emit":"x","args":["{event.1}"],"to":"all"}])",
                   R"({"_placeholder":true,"num":0},{"f":{"_placeholder":true,"num":1}})", host,
                   c) == R"(emit "x"({"f":{"_placeholder":true,"num":0}})<BB> to all)");
}

Test(routes_run, ask_waits_and_its_answer_is_there_for_what_follows) {
    FakeHost host;
    const auto routes = with_event(R"([{"ask":"q","args":"{event.args}","timeout":"2s"},
        {"emit":"a","args":"{answer.args}"},{"emit":"b","args":["{answer.0.x}","{event.0}","{clock.ms}"]}])");
    {
        // Nothing of the caller's may be needed afterwards.
        const std::string args = "41,{}";
        const std::string id = "sid";
        Context c = event(args);
        c.socket_id = id;
        Run::start(routes, list_of(routes), c, host);
    }
    cr_expect(host.said() == R"(ask "q"(41,{}) for 2000)");
    cr_assert(host.waiting.size() == 1);
    cr_expect(host.waiting[0]->socket_id() == "sid" && host.waiting[0]->nsp() == "/");
    cr_expect(host.waiting[0]->bytes_held() > 5);
    const std::vector<std::string> bytes = {"ZZ"};
    Run::resume(host.take(), host, 5000, answered(R"({"x":{"_placeholder":true,"num":0}})", bytes));
    const std::string got = host.said();
    cr_expect(got == R"(emit "a"({"x":{"_placeholder":true,"num":0}})<ZZ> to self | )"
                     R"(emit "b"({"_placeholder":true,"num":0},41,5000)<ZZ> to self)",
              "%s", got.c_str());
    cr_expect(host.waiting.empty());
}

Test(routes_run, what_happens_when_no_answer_comes) {
    struct Silence {
        std::string_view first;
        Answer::Outcome outcome;
        std::string_view reason, want;
    };
    using enum Answer::Outcome;
    constexpr Silence cases[] = {
        {R"({"ask":"q","timeout":"2s"})", timed_out, "",
         R"(stopped ask timeout: no answer within 2 s | ack ({"error":"timeout","reason":"no answer within 2 s"}))"},
        {R"({"ask":"q","timeout":"1500ms"})", timed_out, "",
         R"(stopped ask timeout: no answer within 1500 ms | ack ({"error":"timeout","reason":"no answer within 1500 ms"}))"},
        {R"({"ask":"q"})", nobody, "",
         R"(stopped ask unavailable: the client is gone | ack ({"error":"unavailable","reason":"the client is gone"}))"},
        {R"({"hand":"h"})", nobody, "",
         R"(stopped hand unavailable: no handler is waiting | ack ({"error":"unavailable","reason":"no handler is waiting"}))"},
        {R"({"hand":"h"})", timed_out, "",
         R"(stopped hand timeout: no answer within 10 s | ack ({"error":"timeout","reason":"no answer within 10 s"}))"},
        {R"({"hand":"h"})", failed, "exit status 3",
         R"(stopped hand failed: exit status 3 | ack ({"error":"failed","reason":"exit status 3"}))"},
        {R"({"hand":"h"})", failed, "",
         R"(stopped hand failed: the handler failed | ack ({"error":"failed","reason":"the handler failed"}))"},
        {R"({"ask":"q","otherwise":"continue"})", timed_out, "", R"(emit "x"(null) to self | ack ("end"))"},
        {R"({"hand":"h","otherwise":"continue"})", nobody, "", R"(emit "x"(null) to self | ack ("end"))"},
    };
    for (const auto& [first, outcome, reason, want] : cases) {
        FakeHost host;
        const auto routes =
            with_event("[" + std::string{first} + R"(,{"emit":"x","args":["{answer.0}"]},{"ack":["end"]}])");
        Run::start(routes, list_of(routes), event(""), host);
        host.said();
        Run::resume(host.take(), host, 2000, ::failed(outcome, reason));
        const std::string got = host.said();
        cr_expect(got == want, "%.*s gave %s", int(first.size()), first.data(), got.c_str());
    }
}

Test(routes_run, the_output_of_hand_is_the_ack_unless_the_list_has_another) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 5> cases = {{
        {R"([{"hand":true}])", R"(hand e "e"(1) for 10000 | ack ("out")<ZZ>)"},
        {R"([{"hand":"h_{event.0}","args":["{user.id}"],"timeout":"1s"}])",
         R"(hand h_1 "e"("alice") for 1000 | ack ("out")<ZZ>)"},
        {R"([{"hand":true},{"ack":["mine","{answer.0}"]}])", R"(hand e "e"(1) for 10000 | ack ("mine","out"))"},
        {R"([{"ack":["early"]},{"hand":true}])", R"(ack ("early") | hand e "e"(1) for 10000)"},
        {R"([{"hand":true},{"deny":"no"}])",
         R"(hand e "e"(1) for 10000 | stopped deny denied: no | ack ({"error":"denied","reason":"no"}))"},
    }};
    const std::vector<std::string> bytes = {"ZZ"};
    for (const auto& [list, want] : cases) {
        FakeHost host;
        const auto routes = with_event(list);
        Run::start(routes, list_of(routes), event("1"), host);
        Run::resume(host.take(), host, 2000, answered("\"out\"", bytes));
        const std::string got = host.said();
        cr_expect(got == want, "%.*s\n  gave %s", int(list.size()), list.data(), got.c_str());
    }
}

Test(routes_run, an_output_is_kept_over_later_waits) {
    FakeHost host;
    const auto routes =
        with_event(R"([{"hand":true},{"emit":"x","after":"1s"},{"ask":"q"},{"emit":"y","args":["{answer.0}"]}])");
    Run::start(routes, list_of(routes), event("1"), host);
    Run::resume(host.take(), host, 2000, answered("\"out\""));
    Run::resume(host.take(), host, 3000);
    Run::resume(host.take(), host, 4000, answered("\"a\""));
    const std::string got = host.said();
    cr_expect(got == R"(hand e "e"(1) for 10000 | wait 1000 | emit "x"() to self | ask "q"() for 10000 | )"
                     R"(emit "y"("a") to self | ack ("out"))",
              "%s", got.c_str());
}

Test(routes_run, what_is_behind_a_publish_waits_until_it_is_taken) {
    constexpr std::array<std::array<std::string_view, 3>, 5> cases = {{
        {R"([{"publish":"t"},{"ack":["ok"]}])", R"(1,{"a":2})", R"(publish t ([1,{"a":2}]) for 10000 | ack ("ok"))"},
        {R"([{"publish":"t"}])", "", "publish t ([]) for 10000"},
        {R"([{"publish":"o_{user.id}","key":"k{event.0}","value":{"by":"{user.id}","n":"{event.0}"},"timeout":"1s"}])",
         "7", R"(publish o_alice@k7 ({"by":"alice","n":7}) for 1000)"},
        {R"([{"publish":"t","value":"a {event.0}"}])", "[]",
         R"(stopped publish denied: {event.0} is an object or array and cannot stand inside a text | ack ({"error":"denied","reason":"{event.0} is an object or array and cannot stand inside a text"}))"},
        {R"([{"publish":"t","key":"{event.0}"}])", "",
         R"(stopped publish denied: {event.0} is missing | ack ({"error":"denied","reason":"{event.0} is missing"}))"},
    }};
    for (const auto& [list, args, want] : cases) {
        FakeHost host;
        const auto routes = with_event(list);
        Run::start(routes, list_of(routes), event(args), host);
        cr_expect(host.lines[0].find("ack (\"ok\")") == std::string::npos, "not before");
        if (!host.waiting.empty()) Run::resume(host.take(), host, 2000, answered(""));
        const std::string got = host.said();
        cr_expect(got == want, "%.*s\n  gave %s", int(list.size()), list.data(), got.c_str());
    }
    FakeHost host;
    const std::string longest = "\"" + std::string(max_topic_bytes, 'x') + "\"";
    cr_expect(does(R"([{"publish":"y{event.0}"}])", longest, host)
                  .starts_with("stopped publish denied: the topic is too long"));
    cr_expect(does(R"([{"publish":"t","key":"y{event.0}"}])", longest, host)
                  .starts_with("stopped publish denied: the key is too long"));
}

Test(routes_run, what_happens_when_a_publish_is_not_taken) {
    struct Refusal {
        std::string_view first;
        Answer::Outcome outcome;
        std::string_view reason, want;
    };
    using enum Answer::Outcome;
    constexpr Refusal cases[] = {
        {R"({"publish":"t"})", nobody, "Redis does not answer",
         R"(stopped publish unavailable: Redis does not answer | ack ({"error":"unavailable","reason":"Redis does not answer"}))"},
        {R"({"publish":"t"})", nobody, "",
         R"(stopped publish unavailable: there is no stream of events | ack ({"error":"unavailable","reason":"there is no stream of events"}))"},
        {R"({"publish":"t","timeout":"1s"})", timed_out, "",
         R"(stopped publish timeout: no answer within 1 s | ack ({"error":"timeout","reason":"no answer within 1 s"}))"},
        {R"({"publish":"t"})", failed, "OOM",
         R"(stopped publish failed: OOM | ack ({"error":"failed","reason":"OOM"}))"},
        {R"({"publish":"t","otherwise":"continue"})", nobody, "", R"(ack ("end"))"},
    };
    for (const auto& [first, outcome, reason, want] : cases) {
        FakeHost host;
        const auto routes = with_event("[" + std::string{first} + R"(,{"ack":["end"]}])");
        Run::start(routes, list_of(routes), event(""), host);
        host.said();
        Run::resume(host.take(), host, 2000, ::failed(outcome, reason));
        const std::string got = host.said();
        cr_expect(got == want, "%.*s gave %s", int(first.size()), first.data(), got.c_str());
    }
}

Test(routes_run, a_publish_leaves_the_last_answer_and_output_alone) {
    FakeHost host;
    const auto routes =
        with_event(R"([{"hand":true},{"publish":"t","value":"{answer.0}"},{"emit":"x","args":["{answer.0}"]}])");
    Run::start(routes, list_of(routes), event("1"), host);
    Run::resume(host.take(), host, 2000, answered("\"out\""));
    Run::resume(host.take(), host, 3000, answered(""));
    const std::string got = host.said();
    cr_expect(got == R"(hand e "e"(1) for 10000 | publish t ("out") for 10000 | emit "x"("out") to self | ack ("out"))",
              "%s", got.c_str());
}

Test(routes_run, attachments_are_published_in_the_order_of_their_placeholders) {
    const std::vector<std::string> bytes = {"AA", "BB"};
    Context c = event("");
    c.attachments = bytes;
    FakeHost host;
    cr_expect(does(R"([{"publish":"t","value":{"x":"{event.1}"}}])",
                   R"({"_placeholder":true,"num":0},{"_placeholder":true,"num":1})", host,
                   c) == R"(publish t ({"x":{"_placeholder":true,"num":0}})<BB> for 10000)");
}

Test(routes_run, after_delays_the_action_and_all_behind_it) {
    FakeHost host;
    const auto routes = with_event(
        R"([{"emit":"a"},{"emit":"b","args":["{clock.ms}"],"after":"100ms"},{"emit":"c"},{"emit":"d","after":"1s"}])");
    Run::start(routes, list_of(routes), event(""), host);
    cr_expect(host.said() == R"(emit "a"() to self | wait 100)");
    Run::resume(host.take(), host, 1100);
    cr_expect(host.said() == R"(emit "b"(1100) to self | emit "c"() to self | wait 1000)");
    Run::resume(host.take(), host, 2100);
    cr_expect(host.said() == R"(emit "d"() to self)");
    cr_expect(host.waiting.empty());
}

Test(routes_run, after_on_a_question_waits_before_it_is_asked) {
    FakeHost host;
    const auto routes = with_event(R"([{"ask":"q","after":"1s"},{"emit":"x","args":"{answer.args}"}])");
    Run::start(routes, list_of(routes), event(""), host);
    cr_expect(host.said() == "wait 1000");
    Run::resume(host.take(), host, 2000);
    cr_expect(host.said() == R"(ask "q"() for 10000)");
    Run::resume(host.take(), host, 3000, answered("1"));
    cr_expect(host.said() == R"(emit "x"(1) to self)");
}

Test(routes_run, an_action_that_is_not_wanted_does_not_wait) {
    FakeHost host;
    cr_expect(does(R"([{"emit":"x","after":"1s","when":{"exists":"{event.0}"}},{"emit":"y"}])", "", host) ==
              R"(emit "y"() to self)");
}

Test(routes_run, a_list_that_waits_survives_a_reload_and_the_handshake) {
    FakeHost host;
    host.queries = {{"lang", "de"}};
    host.headers = {{"x-h", "v"}};
    auto routes =
        with_event(R"([{"emit":"x","args":["{handshake.query.lang}","{handshake.headers.X-H}","{handshake.auth.t}",
        "{handshake.address}","{user.name}","{socket.rooms}","{handshake.query.none}"],"after":"1s"}])");
    {
        const std::string auth = R"({"t":1})";
        const std::string user = R"({"name":"Alice"})";
        Context c = event("");
        c.auth = auth;
        c.user = user;
        c.address = "::1";
        Run::start(routes, list_of(routes), c, host);
    }
    const std::weak_ptr<const Routes> old = routes;
    routes.reset();
    cr_expect(!old.expired(), "the run shares its routes");
    host.queries.clear();
    host.headers.clear();
    host.in_rooms = {"now"};
    Run::resume(host.take(), host, 2000);
    const std::string got = host.said();
    cr_expect(got == R"(wait 1000 | emit "x"("de","v",1,"::1","Alice",["now"],null) to self)", "%s", got.c_str());
    cr_expect(old.expired(), "and lets go of them");
}

Test(routes_run, a_run_that_is_dropped_ends_in_silence) {
    FakeHost host;
    const auto routes = with_event(R"([{"ask":"q"},{"emit":"x"}])");
    Run::start(routes, list_of(routes), event(""), host);
    host.waiting.clear();
    cr_expect(host.said() == R"(ask "q"() for 10000)");
}

Test(routes_run, after_a_disconnect_the_list_needs_nothing_of_the_caller) {
    static std::string* args = nullptr;
    static std::string* id = nullptr;
    FakeHost host;
    host.on_disconnect = [] {
        delete args;
        delete id;
    };
    args = new std::string(R"("a text that is too long for the small string buffer")");
    id = new std::string("a socket id that is long enough to be on the heap");
    const auto routes = with_event(R"([{"disconnect":"client"},
        {"emit":"missed","args":["{event.0}"],"to":{"room":"{socket.id}"}},{"emit":"all","args":"{event.args}"}])");
    Context c = event(*args);
    c.socket_id = *id;
    Run::start(routes, list_of(routes), c, host);
    const std::string got = host.said();
    cr_expect(
        got == R"(disconnect client | emit "missed"("a text that is too long for the small string buffer") to rooms )"
               R"(["a socket id that is long enough to be on the heap"] | )"
               R"(emit "all"("a text that is too long for the small string buffer") to self)",
        "%s", got.c_str());
}

Test(routes_run, the_drop_of_the_client_tests) {
    constexpr std::string_view list = R"([{"disconnect":"transport"},
        {"emit":"missed","args":["{event.0}"],"to":{"room":"{socket.id}"},"after":"100ms","when":{"is":["{event.0}","string"]}}])";
    FakeHost host;
    cr_expect(does(list, "", host) == "disconnect transport");
    cr_expect(does(list, "7", host) == "disconnect transport");
    cr_expect(does(list, "\"x\"", host) == "disconnect transport | wait 100");
    Run::resume(host.take(), host, 1100);
    cr_expect(host.said() == R"(emit "missed"("x") to rooms ["sid"])");
}

Test(routes_run, connects_and_disconnects) {
    const auto routes = read(R"({"version":1,"namespaces":{"/":{
        "on_connect":[{"join":"lobby"},{"emit":"auth","args":["{handshake.auth}"]},{"hand":"greet"}],
        "on_disconnect":[{"emit":"left","args":["{user.id}","{disconnect.reason}"],"to":{"room":"{socket.rooms}"}},
                         {"emit":"gone"}]}}})");
    FakeHost host;
    host.in_rooms = {"sid", "lobby"};
    Context c;
    c.socket_id = "sid";
    c.user_id = "alice";
    Run::start(routes, routes->find("/")->on_connect, c, host);
    Run::resume(host.take(), host, 1, answered("1"));
    cr_expect(host.said() == R"(join lobby | emit "auth"({}) to self | hand greet "connect"() for 10000)");
    c.reason = "client namespace disconnect";
    host.in_rooms = {"sid", "lobby"};
    Run::start(routes, routes->find("/")->on_disconnect, c, host);
    cr_expect(
        host.said() ==
        R"(emit "left"("alice","client namespace disconnect") to rooms ["sid","lobby"] | emit "gone"() to others)");
    host.in_rooms.clear();
    Run::start(routes, routes->find("/")->on_disconnect, c, host);
    cr_expect(host.said() == R"(emit "gone"() to others)", "an emit to no room reaches nobody");
}

namespace {

constexpr std::string_view join_course =
    R"([{"join":"course_{event.0}","allow":{"granted":{"token":"{event.1}"}}},{"ack":["{event.0}"]}])";

Grant grant(Grant::Kind kind, std::string reason = {}) { return {.kind = kind, .reason = std::move(reason)}; }

}  // namespace

Test(routes_granted, what_is_known_needs_no_wait) {
    FakeHost host;
    host.right.emplace(grant(Grant::Kind::granted));
    cr_expect(does(join_course, "7", host) == R"(know ["course_7"] | join course_7 granted | ack (7))");
    cr_expect(does(join_course, R"(7,"T")", host) ==
              R"(know ["course_7"] by T | join course_7 granted by T | ack (7))");
    host.right.emplace(grant(Grant::Kind::denied, "not you"));
    cr_expect(does(join_course, "7", host) ==
              R"(know ["course_7"] | stopped join denied: not you | ack ({"error":"denied","reason":"not you"}))");
    host.right.emplace(grant(Grant::Kind::unavailable, "later"));
    cr_expect(
        does(join_course, "7", host) ==
        R"(know ["course_7"] | stopped join unavailable: later | ack ({"error":"unavailable","reason":"later"}))");
    cr_expect(host.waiting.empty());
}

Test(routes_granted, what_is_not_known_is_asked_and_the_list_goes_on_with_copies) {
    FakeHost host;
    const auto routes = with_event(join_course);
    {
        // Nothing of the caller's may be needed afterwards.
        const std::string args = R"("a course whose name is on the heap","a token that is on the heap, too")";
        Run::start(routes, list_of(routes), event(args), host);
    }
    cr_expect(host.said() ==
              R"(authorize ["course_a course whose name is on the heap"] by a token that is on the heap, too)");
    cr_assert(host.waiting.size() == 1);
    const std::size_t held = host.waiting[0]->bytes_held();
    cr_expect(held > 3 * 30 + 2 * 30, "the room and the token are counted: %zu", held);
    Run::resume(host.take(), host, 2000, answered(""));
    const std::string got = host.said();
    cr_expect(got ==
                  "join course_a course whose name is on the heap granted by a token that is on the heap, too | "
                  R"(ack ("a course whose name is on the heap"))",
              "%s", got.c_str());
    cr_expect(host.waiting.empty());
}

Test(routes_granted, no_and_cannot_be_told_are_different_answers_and_both_end_the_list) {
    struct Refusal {
        Answer::Outcome outcome;
        std::string_view reason, want;
    };
    using enum Answer::Outcome;
    constexpr Refusal cases[] = {
        {Answer::Outcome::failed, "not in there",
         R"(stopped join denied: not in there | ack ({"error":"denied","reason":"not in there"}))"},
        {Answer::Outcome::failed, "",
         R"(stopped join denied: the room is not granted | ack ({"error":"denied","reason":"the room is not granted"}))"},
        {nobody, "later", R"(stopped join unavailable: later | ack ({"error":"unavailable","reason":"later"}))"},
        {timed_out, "later", R"(stopped join unavailable: later | ack ({"error":"unavailable","reason":"later"}))"},
        {elapsed, "",
         R"(stopped join unavailable: whether the room is granted cannot be told just now | ack ({"error":"unavailable","reason":"whether the room is granted cannot be told just now"}))"},
    };
    for (const auto& [outcome, reason, want] : cases) {
        FakeHost host;
        const auto routes = with_event(join_course);
        Run::start(routes, list_of(routes), event("7"), host);
        host.said();
        Run::resume(host.take(), host, 2000, ::failed(outcome, reason));
        const std::string got = host.said();
        cr_expect(got == want, "%s", got.c_str());
        cr_expect(host.in_rooms.empty() && host.waiting.empty());
    }
}

Test(routes_granted, a_token_that_is_missing_is_none_and_one_that_is_no_text_is_refused) {
    constexpr Case cases[] = {
        {join_course, "7,null", R"(authorize ["course_7"])"},
        {join_course, R"(7,"")", R"(authorize ["course_7"])"},
        {join_course, "7,8", R"(authorize ["course_7"] by 8)"},
        {join_course, "7,{}",
         R"(stopped join denied: {event.1} is neither text nor number | ack ({"error":"denied","reason":"{event.1} is neither text nor number"}))"},
        {R"([{"join":"a_{event.0}","allow":{"granted":{"token":"x{event.1}y{event.2}"}}}])", R"(7,"t")",
         R"(authorize ["a_7"])"},
        {R"([{"join":"a_{event.0}","allow":{"granted":{"token":"x{event.1}y{event.2}"}}}])", R"(7,"t","u")",
         R"(authorize ["a_7"] by xtyu)"},
    };
    expect_each(cases);
    FakeHost host;
    const std::string longest(max_room_token_bytes, 'x');
    cr_expect(does(join_course, "7,\"" + longest + "\"", host) == "authorize [\"course_7\"] by " + longest);
    cr_expect(does(join_course, "7,\"x" + longest + "\"", host)
                  .starts_with("stopped join denied: the room token is too long"));
}

Test(routes_granted, all_rooms_are_asked_about_at_once) {
    FakeHost host;
    const auto routes = with_event(R"([{"join":["a_{event.0}","b","c_{event.1}"],"allow":"granted"},{"emit":"in"}])");
    Run::start(routes, list_of(routes), event("1,2"), host);
    cr_expect(host.said() == R"(authorize ["a_1","b","c_2"])");
    Run::resume(host.take(), host, 2000, answered(""));
    cr_expect(host.said() == R"(join a_1 granted | join b granted | join c_2 granted | emit "in"() to self)");
}

Test(routes_granted, the_rooms_are_those_that_were_asked_about) {
    FakeHost host;
    host.in_rooms = {"r"};
    const auto routes = with_event(R"([{"emit":"x","to":{"room":"{socket.rooms}"},"allow":"granted"}])");
    Run::start(routes, list_of(routes), event(""), host);
    cr_expect(host.said() == R"(authorize ["r"])");
    host.in_rooms = {"another"};
    Run::resume(host.take(), host, 2000, answered(""));
    cr_expect(host.said() == R"(emit "x"() to rooms ["r"])");
    host.in_rooms.clear();
    Run::start(routes, list_of(routes), event(""), host);
    cr_expect(host.said().empty() && host.waiting.empty(), "about no room nothing is asked");
}

Test(routes_granted, an_emit_waits_as_a_join_does) {
    FakeHost host;
    const auto routes = with_event(
        R"([{"emit":"m","args":["{event.1}","{clock.ms}"],"to":{"others_in":"r_{event.0}"},"except":"e_{event.0}","allow":"granted"}])");
    Run::start(routes, list_of(routes), event("1,{}"), host);
    cr_expect(host.said() == R"(authorize ["r_1"])");
    Run::resume(host.take(), host, 2000, answered(""));
    cr_expect(host.said() == R"(emit "m"({},2000) to others_in ["r_1"] except ["e_1"])");
}

Test(routes_granted, other_rules_come_first_and_must_hold_afterwards_too) {
    Context anonymous = event("");
    anonymous.user_id = {};
    constexpr Case not_asked[] = {
        {R"([{"join":"a_{event.0}","allow":["granted","user"]}])", "1",
         R"(stopped join denied: only for users who are logged in | ack ({"error":"denied","reason":"only for users who are logged in"}))"},
        {R"([{"join":"a_{event.0}","allow":["granted",{"rooms":["b*"]}]}])", "1",
         R"(stopped join denied: no rule allows the room "a_1" | ack ({"error":"denied","reason":"no rule allows the room \"a_1\""}))"},
    };
    expect_each(not_asked, anonymous);

    FakeHost host;
    const auto routes = with_event(R"([{"emit":"m","to":{"room":"r_{event.0}"},"allow":["granted","member"]}])");
    host.in_rooms = {"r_1"};
    Run::start(routes, list_of(routes), event("1"), host);
    cr_expect(host.said() == R"(authorize ["r_1"])");
    host.in_rooms.clear();
    Run::resume(host.take(), host, 2000, answered(""));
    cr_expect(host.said().starts_with(R"(stopped emit denied: not in the room "r_1")"), "it has left meanwhile");
}

Test(routes_granted, each_action_asks_for_itself) {
    FakeHost host;
    const auto routes = with_event(
        R"([{"join":"a_{event.0}","allow":"granted","after":"1s","when":{"exists":"{event.0}"}},
            {"join":"b_{event.0}","allow":"granted","after":"2s"}])");
    Run::start(routes, list_of(routes), event("1"), host);
    Run::resume(host.take(), host, 2000);
    cr_expect(host.said() == R"(wait 1000 | authorize ["a_1"])");
    Run::resume(host.take(), host, 2100, answered(""));
    cr_expect(host.said() == R"(join a_1 granted | wait 2000)");
    Run::resume(host.take(), host, 4100);
    cr_expect(host.said() == R"(authorize ["b_1"])");
    Run::resume(host.take(), host, 4200, answered(""));
    cr_expect(host.said() == "join b_1 granted");
}

Test(routes_granted, a_join_without_the_rule_has_no_grant_and_answers_stay) {
    FakeHost host;
    const auto routes = with_event(
        R"([{"hand":true},{"join":"a_{event.0}","allow":"granted"},{"join":"lobby"},{"emit":"x","args":["{answer.0}"]}])");
    Run::start(routes, list_of(routes), event("1"), host);
    Run::resume(host.take(), host, 2000, answered("\"out\""));
    Run::resume(host.take(), host, 3000, answered(""));
    const std::string got = host.said();
    cr_expect(got == R"(hand e "e"(1) for 10000 | authorize ["a_1"] | join a_1 granted | join lobby | )"
                     R"(emit "x"("out") to self | ack ("out"))",
              "%s", got.c_str());
}
