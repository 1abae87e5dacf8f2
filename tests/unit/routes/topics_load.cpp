// What is wrong with the `topics` of a routes file, and what is told about it.
#include <criterion/criterion.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "routes/explain.h"
#include "routes/topics.h"

using namespace sio;
using namespace sio::routes;

namespace {

std::string problems(const std::string& text) {
    const auto routes = parse_routes(text, "r");
    return routes ? std::string{} : routes.error().what;
}

void expect_each(const std::vector<std::pair<std::string, std::string>>& cases, const std::string& before,
                 const std::string& after, const std::string& pointer) {
    for (const auto& [text, want] : cases) {
        const std::string got = problems(before + text + after);
        const std::string all = "r:1: " + pointer + want;
        cr_expect(got == all, "%s\n  gave %s\n  want %s", text.c_str(), got.c_str(), all.c_str());
    }
}

}  // namespace

Test(routes_topics_load, mistakes_in_topics) {
    const std::string bad_name =
        ": is not the name of a topic; Kafka's names have letters, digits, . _ and -, and here * for any run of them";
    const std::string long_name(250, 'a');
    expect_each(
        {
            {"[]", R"(: is not an object; write {"TOPIC": [actions]})"},
            {R"({"":[]})", "/" + bad_name},
            {R"({"a b":[]})", "/a b" + bad_name},
            {R"({"^a":[]})", "/^a" + bad_name},
            {R"({"..":[]})", "/.." + bad_name},
            {"{\"" + long_name + "\":[]}", "/" + long_name + ": is longer than 249 bytes; Kafka has no such topic"},
            {R"({"t":[],"t":[]})", "/t: is there twice; keep one"},
            {R"({"t":1})", "/t: is not a list of actions; write [{…}, {…}]"},
            {R"({"t":{}})", R"(/t: has no "do"; write "do": [actions])"},
            {R"({"t":{"emit":"x","to":"all"}})", "/t: is one action; write a list of actions: [{…}]"},
            {R"({"t":{"do":[],"fromat":"json"}})",
             R"(/t/fromat: is not known here (did you mean "format"?); write "format", "cloudevents", "do" or "about")"},
            {R"({"t":{"do":[],"format":"jsn"}})",
             R"(/t/format: is not a format (did you mean "json"?); write "json", "text" or "bytes")"},
            {R"({"t":{"do":[],"cloudevents":1}})", "/t/cloudevents: is not true or false; write one of them"},
            {R"({"t":{"do":[],"about":1}})", "/t/about: is not a string; write a sentence for readers"},
        },
        R"({"version":1,"topics":)", "}", "/topics");
}

Test(routes_topics_load, mistakes_in_an_action) {
    const std::string audience = R"(; write {"room": "…"}, or "all" for all of the namespace)";
    expect_each(
        {
            {"1", R"(: is not an action; write {"emit": …} or another verb)"},
            {"{}", R"(: has no verb; write one of "emit", "join", "leave" or "disconnect")"},
            {R"({"emti":"x","to":"all"})",
             R"(: has no verb (did you mean "emit"?); write one of "emit", "join", "leave" or "disconnect")"},
            {R"({"publish":"x"})",
             R"(/publish: is for clients' events, and a Kafka record comes from no client; write "emit", "join", "leave" or "disconnect")"},
            {R"({"emit":"x","join":"y"})",
             R"(/join: is a second verb; write an action of its own for each of "emit" and "join")"},
            {R"({"emit":"x"})", R"(: does not say whom it is for; write "to": {"room": "…"} or "to": "all")"},
            {R"({"join":"x"})", R"(: does not say whom it is for; write "sockets": {"room": "…"} or "sockets": "all")"},
            {R"({"emit":"x","to":"others"})", "/to: is not an audience of a record" + audience},
            {R"({"emit":"x","to":{}})", "/to: names no audience" + audience},
            {R"({"emit":"x","to":{"room":""}})", "/to/room: is an empty name; write one"},
            {R"({"emit":"x","to":{"others_in":"r"}})", R"(/to/others_in: is not known here; write "room")"},
            {R"({"emit":1,"to":"all"})", "/emit: is not a string; write the name of the event to emit"},
            {R"({"emit":"connect","to":"all"})",
             "/emit: is a reserved name, which clients take for something else; use another"},
            {R"({"emit":"x","to":"all","allow":"user"})",
             R"(/allow: is not known here; write "emit", "args", "to", "except", "volatile", "nsp", "when" or "about")"},
            {R"({"join":"x","sockets":"all","args":[]})",
             R"(/args: is not known here; write "join", "sockets", "nsp", "when" or "about")"},
            {R"({"emit":"x","to":"all","args":"{record.value}"})",
             R"(/args: is not a list of arguments; write [ … ], as in ["{record.value}"])"},
            {R"({"emit":"x","to":"all","nsp":"x"})",
             "/nsp: is not the name of a namespace; names begin with /, have no comma and at most 256 bytes"},
            {R"({"emit":"x","to":"all","nsp":1})",
             R"(/nsp: is not the name of a namespace; write one such as "/admin")"},
            {R"({"disconnect":"transport","sockets":"all"})",
             R"(/disconnect: is not what can be disconnected; write "namespace" or "client")"},
            {R"({"emit":"x","to":"all","when":1})",
             R"(/when: is not a condition; write {"exists": "{record.value.id}"}, {"equals": ["{record.value.id}", "x"]}, {"is": ["{record.value.id}", "string"]} or {"not": {…}})"},
            {R"({"emit":"x","to":"all","args":["{record.headers}"]})",
             "/args/0: {record.headers} is not a value; name one, as in {record.headers.trace-id}"},
            {R"({"emit":"x","to":"all","args":["{record.valeu}"]})",
             R"(/args/0: {record.valeu} is unknown (did you mean "value"?); write {record.value}, {record.key}, {record.headers}, {record.topic}, {record.partition}, {record.offset} or {record.time})"},
            {R"({"emit":"x","to":"all","args":["{record.key.x}"]})",
             "/args/0: {record.key.x} is not in a record; write {record.key}"},
        },
        R"({"version":1,"topics":{"t":[)", "]}}", "/topics/t/0");
}

Test(routes_topics_load, records_and_clients_know_nothing_of_one_another) {
    for (const std::string reference : {"event.0", "event.args", "answer.0", "user.id", "user.name", "socket.id",
                                        "handshake.address", "handshake.query.x", "disconnect.reason"}) {
        const std::string got =
            problems(R"({"version":1,"topics":{"t":[{"emit":"e","to":{"room":"{)" + reference + R"(}"}}]}})");
        const std::string want = "r:1: /topics/t/0/to/room: {" + reference +
                                 "} is of a client, and a Kafka record has none; \"topics\" know {record.…}, "
                                 "{cloudevent.…} and {clock.…}";
        cr_expect(got == want, "%s", got.c_str());
    }
    for (const std::string reference :
         {"record.value", "record.key", "record.headers.x", "record.offset", "cloudevent"}) {
        for (const std::string list : {"on_connect", "on_online", "on_disconnect"}) {
            const std::string got = problems(R"({"version":1,"namespaces":{"/":{")" + list +
                                             R"(":[{"emit":"e","to":"all","args":["{)" + reference + R"(}"]}]}}})");
            const std::string want = "r:1: /namespaces/~1/" + list + "/0/args/0: {" + reference +
                                     "} is of a Kafka record, which only \"topics\" have";
            cr_expect(got == want, "%s", got.c_str());
        }
    }
}

Test(routes_topics_load, a_list_has_at_most_64_actions) {
    const auto file = [](int count) {
        std::string text;
        for (int i = 0; i < count; ++i) text += (i == 0 ? "" : ",") + std::string{R"({"leave":"r","sockets":"all"})"};
        return R"({"version":1,"topics":{"t":[)" + text + "]}}";
    };
    cr_expect(problems(file(64)).empty());
    cr_expect(problems(file(65)) == "r:1: /topics/t: has more than 64 actions; write several topics", "%s",
              problems(file(65)).c_str());
}

Test(routes_topics_load, a_room_from_a_record_needs_no_rule) {
    const std::string text = R"({"version":1,"topics":{"t":[{"emit":"e","to":{"room":"{record.value.userId}"}}]}})";
    const auto routes = parse_routes(text, "r");
    cr_assert(routes.has_value());
    cr_expect(routes->warnings().empty());
}

Test(routes_topics_load, check_counts_topics) {
    const auto report = check(R"({"version":1,"topics":{"a":[],"b.*":{"do":[],"format":"text","about":"x"}}})", "r");
    cr_expect(report.ok && report.topics == 2 && report.namespaces == 1 && report.events == 0);
}

Test(routes_topics_load, the_usual_topic_of_dead_letters_is_warned_of) {
    const std::string actions = R"([{"emit":"x","to":"all"}])";
    const Report named =
        check(R"({"version":1,"topics":{"notes":)" + actions + R"(,"sio.dead-letters":)" + actions + "}}", "r");
    cr_assert(named.ok && named.warnings.size() == 1);
    cr_expect(named.warnings[0].starts_with("r:1: /topics/sio.dead-letters: "), "%s", named.warnings[0].c_str());
    cr_expect(check(R"({"version":1,"topics":{"sio.*":)" + actions + "}}", "r").warnings.empty());
}
