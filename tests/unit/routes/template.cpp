#include "routes/template.h"

#include <criterion/criterion.h>

#include <array>

#include "base/bytes.h"
#include "base/json.h"
#include "routes/routes.h"
#include "unit/routes/fake_host.h"

using namespace sio;
using namespace sio::routes;

namespace {

const std::vector<std::string> two_attachments = {"AA", "BB"};
const std::vector<std::string> one_answer = {"CC"};

FakeHost& facts() {
    static FakeHost host;
    host.queries = {{"lang", "de"}, {"a.b", "dotted"}, {"q", "\"},{\"x\":\""}};
    host.headers = {{"user-agent", "test/1.0"}};
    host.in_rooms = {"sid", "alice"};
    return host;
}

/// A context with something in every place.
Context full() {
    Context c;
    c.event = R"("chat")";
    c.args =
        R"({"courseId":42,"text":"say \"hi\"\u000a","deep":{"list":[1,[2,"x"]]},"n":null,"e":""} , "two",true,-1.5e3)";
    c.wants_ack = true;
    c.socket_id = "sid";
    c.nsp = "/custom";
    c.transport = "polling";
    c.recovered = true;
    c.user_id = "alice \"A\"";
    c.user = R"({"id":"ignored","name":"Alice"})";
    c.auth = R"({"token":"t","list":["x"]})";
    c.address = "::1";
    c.now_ms = 1'767'225'600'123;
    c.reason = "transport close";
    c.answered = true;
    c.answer = R"("yes",[7])";
    c.facts = &facts();
    return c;
}

Context binary() {
    Context c = full();
    c.args = R"({"_placeholder":true,"num":0},{"file":{"_placeholder":true,"num":1},"name":"b"})";
    c.attachments = two_attachments;
    c.answer = R"({"_placeholder":true,"num":0})";
    c.answer_attachments = one_answer;
    return c;
}

/// A value rendered, with its attachments behind it; or why not.
std::string value(std::string_view text, const Context& context) {
    const auto compiled = compile_value(text);
    if (!compiled) return "config: " + compiled.error().what;
    Rendered out;
    if (const auto done = render(*compiled, context, out); !done) {
        return std::string{to_string(done.error().code)} + ": " + done.error().what;
    }
    for (const std::string* attachment : out.attachments) out.json += "<" + *attachment + ">";
    return out.json;
}

std::string room(std::string_view text, const Context& context) {
    const auto compiled = compile_text(text);
    if (!compiled) return "config: " + compiled.error().what;
    std::string out = "what was there before";
    if (const auto done = render_text(*compiled, context, out); !done) {
        return std::string{to_string(done.error().code)} + ": " + done.error().what;
    }
    return out;
}

void is(const std::string& got, std::string_view want, std::string_view input) {
    cr_expect(got == want, "%.*s\n  gave %s\n  want %.*s", int(input.size()), input.data(), got.c_str(),
              int(want.size()), want.data());
}

}  // namespace

Test(routes_template, a_string_that_is_one_template_becomes_the_value_itself) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 36> cases = {{
        {R"("{event.0.courseId}")", "42"},
        {R"("{event.0.text}")", R"("say \"hi\"\u000a")"},
        {R"("{event.0.deep}")", R"({"list":[1,[2,"x"]]})"},
        {R"("{event.0.deep.list.1.1}")", R"("x")"},
        {R"("{event.0.n}")", "null"},
        {R"("{event.1}")", R"("two")"},
        {R"("{event.2}")", "true"},
        {R"("{event.3}")", "-1.5e3"},
        {R"("{event.4}")", "null"},
        {R"("{event.0.nothing}")", "null"},
        {R"("{event.0.deep.list.9}")", "null"},
        {R"("{event.0.deep.list.x}")", "null"},
        {R"("{event.1.x}")", "null"},
        {R"("{event.name}")", R"("chat")"},
        {R"("{user.id}")", R"("alice \"A\"")"},
        {R"("{user.name}")", R"("Alice")"},
        {R"("{user.age}")", "null"},
        {R"("{user}")", R"({"id":"ignored","name":"Alice"})"},
        {R"("{socket.id}")", R"("sid")"},
        {R"("{socket.namespace}")", R"("/custom")"},
        {R"("{socket.transport}")", R"("polling")"},
        {R"("{socket.recovered}")", "true"},
        {R"("{socket.rooms}")", R"(["sid","alice"])"},
        {R"("{handshake.auth}")", R"({"token":"t","list":["x"]})"},
        {R"("{handshake.auth.list.0}")", R"("x")"},
        {R"("{handshake.query.lang}")", R"("de")"},
        {R"("{handshake.query.a.b}")", R"("dotted")"},
        {R"("{handshake.query.none}")", "null"},
        {R"("{handshake.headers.User-Agent}")", R"("test/1.0")"},
        {R"("{handshake.address}")", R"("::1")"},
        {R"("{clock.ms}")", "1767225600123"},
        {R"("{clock.iso}")", R"("2026-01-01T00:00:00.123Z")"},
        {R"("{disconnect.reason}")", R"("transport close")"},
        {R"("{answer.0}")", R"("yes")"},
        {R"("{answer.1.0}")", "7"},
        {R"("{answer.args}")", R"(["yes",[7]])"},
    }};
    for (const auto& [text, want] : cases) is(value(text, full()), want, text);
}

Test(routes_template, literals_stay_as_they_are_without_blanks) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 8> cases = {{
        {R"([ 1 , "a\u0062\n" , { "k" : [ true , null ] } ])", R"([1,"a\u0062\n",{"k":[true,null]}])"},
        {R"("{{plain}} }}{{")", R"("{plain} }{")"},
        {R"("\u007b\u007bx\u007d\u007d")", R"("{x}")"},
        {R"({"a":"{event.1}","b":[{"c":"{event.2}"}]})", R"({"a":"two","b":[{"c":true}]})"},
        {R"(["{event.args}"])",
         R"([[{"courseId":42,"text":"say \"hi\"\u000a","deep":{"list":[1,[2,"x"]]},"n":null,"e":""} , "two",true,-1.5e3]])"},
        {R"([])", "[]"},
        {R"("")", R"("")"},
        {R"("a \"quoted\" {event.1}")", R"("a \"quoted\" two")"},
    }};
    for (const auto& [text, want] : cases) is(value(text, full()), want, text);
}

Test(routes_template, inside_a_longer_text_scalars_are_inserted_and_quoted) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 9> cases = {{
        {R"("<{event.0.text}>")", R"("<say \"hi\"\u000a>")"},
        {R"("{event.0.courseId}{event.1}")", R"("42two")"},
        {R"("{event.2} {event.3}")", R"("true -1.5e3")"},
        {R"("user {user.id}!")", R"("user alice \"A\"!")"},
        {R"("[{event.0.n}{event.9}{handshake.query.none}]")", R"("[]")"},
        {R"("at {clock.iso}, {clock.ms}")", R"("at 2026-01-01T00:00:00.123Z, 1767225600123")"},
        {R"("q={handshake.query.q}")", R"("q=\"},{\"x\":\"")"},
        {R"("x{event.0.deep}")", "denied: {event.0.deep} is an object or array and cannot stand inside a text"},
        {R"("x{event.args}")", "denied: {event.args} is an object or array and cannot stand inside a text"},
    }};
    for (const auto& [text, want] : cases) is(value(text, full()), want, text);
}

Test(routes_template, nothing_a_client_sends_escapes_its_place) {
    // Each is a valid JSON string that would end the string, add a member or a template if it were pasted.
    constexpr std::array hostile = {R"("\"")",   R"("\\")",        R"("\",\"admin\":true,\"x\":\"")",
                                    R"("\\\"")", R"("{user.id}")", R"("\u0022\u007d")",
                                    R"("}]")",   R"("\ud800")"};
    const auto text = compile_value(R"([{"from":"{user.id}","message":"{event.0}","line":"<{event.0}>"}])");
    const auto name = compile_text("room_{event.0}");
    for (const char* const sent : hostile) {
        Context c = full();
        c.args = sent;
        Rendered out;
        cr_assert(render(*text, c, out).has_value());
        cr_assert(json::is_valid(out.json), "%s gave %s", sent, out.json.c_str());
        const auto first = json::element(out.json, 0);
        std::size_t members = 0;
        for (json::Walker walker{*first}; walker.next();) ++members;
        cr_expect(members == 3, "%s gave %s", sent, out.json.c_str());
        cr_expect(json::member(*first, "message") == sent);
        cr_expect(json::decode_string(*json::member(*first, "line")) == "<" + json::decode_string(sent) + ">");
        std::string rendered;
        cr_assert(render_text(*name, c, rendered).has_value());
        cr_expect(rendered == "room_" + json::decode_string(sent));
    }
}

Test(routes_template, attachments_are_renumbered_in_order_of_appearance) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 6> cases = {{
        {R"(["{event.1.file}"])", R"([{"_placeholder":true,"num":0}]<BB>)"},
        {R"(["{event.1.file}","{event.0}"])",
         R"([{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]<BB><AA>)"},
        {R"(["{event.0}","{event.0}"])", R"([{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]<AA><AA>)"},
        {R"({"all":"{event.args}","and":"{answer.0}"})",
         R"({"all":[{"_placeholder":true,"num":0},{"file":{"_placeholder":true,"num":1},"name":"b"}],"and":{"_placeholder":true,"num":2}}<AA><BB><CC>)"},
        {R"(["{event.1.name}"])", R"(["b"])"},
        {R"("x{event.0}")", "denied: {event.0} is an object or array and cannot stand inside a text"},
    }};
    for (const auto& [text, want] : cases) is(value(text, binary()), want, text);
}

Test(routes_template, what_only_looks_like_an_attachment_is_not_sent_beside_real_ones) {
    Context c = binary();
    c.auth = R"({"x":{"_placeholder":true,"num":0},"y":{"_placeholder":true,"num":99}})";
    is(value(R"(["{handshake.auth.x}"])", c), R"([{"_placeholder":true,"num":0}])", "alone it is a plain object");
    is(value(R"(["{event.0}","{handshake.auth.x}"])", c), "denied: a text that looks like an attachment", "in range");
    is(value(R"(["{event.0}","{handshake.auth.y}"])", c), "denied: a text that looks like an attachment", "beyond");
}

Test(routes_template, more_attachments_than_a_packet_may_have_are_refused) {
    std::string ten = "[\"{event.0}\"";
    for (int i = 1; i < 10; ++i) ten += ",\"{event.0}\"";
    cr_expect(value(ten + "]", binary()).find("<AA>") != std::string::npos);
    is(value(ten + ",\"{event.0}\"]", binary()), "denied: more than 10 attachments", "eleven");
}

Test(routes_template, what_would_nest_too_deeply_is_refused) {
    const std::string deepest = std::string(json::max_depth, '[') + std::string(json::max_depth, ']');
    Context c = full();
    c.args = deepest;
    is(value(R"("{event.0}")", c), deepest, "as deep as it came");
    is(value(R"(["{event.0}"])", c), "denied: nests too deeply", "one deeper");
}

Test(routes_template, a_room_name_needs_each_of_its_parts) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 14> cases = {{
        {"lobby", "lobby"},
        {"{{lobby}}", "{lobby}"},
        {"course_{event.0.courseId}", "course_42"},
        {"{event.0.text}", "say \"hi\"\n"},
        {"{event.2}/{event.3}", "true/-1.5e3"},
        {"{user.id}", "alice \"A\""},
        {"{handshake.query.lang}-{socket.namespace}", "de-/custom"},
        {"course_{event.0.nothing}", "denied: {event.0.nothing} is missing"},
        {"course_{event.0.n}", "denied: {event.0.n} is missing"},
        {"course_{event.0.e}", "denied: {event.0.e} is empty"},
        {"course_{event.0.deep}", "denied: {event.0.deep} is neither text nor number"},
        {"course_{event.0.deep.list}", "denied: {event.0.deep.list} is neither text nor number"},
        {"{handshake.headers.x-none}", "denied: {handshake.headers.x-none} is missing"},
        {"{event.args}", "denied: {event.args} is neither text nor number"},
    }};
    for (const auto& [text, want] : cases) is(room(text, full()), want, text);
    Context anonymous = full();
    anonymous.user_id = {};
    is(room("user_{user.id}", anonymous), "denied: {user.id} is missing", "anonymous");
}

Test(routes_template, what_is_missing_is_null) {
    const Context nothing;
    for (const std::string_view text :
         {R"("{event.0}")", R"("{event.name}")", R"("{user}")", R"("{user.id}")", R"("{user.name}")", R"("{answer.0}")",
          R"("{answer.args}")", R"("{socket.id}")", R"("{handshake.query.x}")", R"("{handshake.headers.x}")",
          R"("{handshake.auth.token}")", R"("{disconnect.reason}")"}) {
        is(value(text, nothing), "null", text);
    }
    is(value(R"("{event.args}")", nothing), "[]", "no arguments");
    is(value(R"("{socket.rooms}")", nothing), "[]", "no rooms");
    Context named;
    named.user_id = "bob";
    is(value(R"("{user}")", named), R"({"id":"bob"})", "only the id is known");
}

Test(routes_template, mistakes_are_told_with_a_remedy) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 16> cases = {{
        {R"("{")", "config: a { without }; write {{ for a plain brace"},
        {R"("{a{b}}")", "config: a { without }; write {{ for a plain brace"},
        {R"("a}")", "config: a } without {; write }} for a plain brace"},
        {R"("{}")", "config: {} has an empty part; write {event.0}, or {{ and }} for plain braces"},
        {R"("{event..x}")", "config: {event..x} has an empty part; write {event.0}, or {{ and }} for plain braces"},
        {R"("{event}")",
         "config: {event} names no argument; arguments are numbered, write {event.0} for the first, {event.args} for "
         "all"},
        {R"("{event.courseId}")",
         "config: {event.courseId} names no argument; arguments are numbered, write {event.0.courseId} for the first, "
         "{event.args} for all"},
        {R"("{usr.id}")",
         "config: {usr.id} is unknown (did you mean \"user\"?); templates begin with event, user, socket, answer, "
         "handshake, clock or disconnect, in topics with record, cloudevent or clock, and {{ and }} are plain braces"},
        {R"("{socket.ids}")",
         "config: {socket.ids} is unknown (did you mean \"id\"?); write {socket.id}, {socket.namespace}, "
         "{socket.transport}, {socket.recovered} or {socket.rooms}"},
        {R"("{handshake.ath}")",
         "config: {handshake.ath} is unknown (did you mean \"auth\"?); write {handshake.auth}, {handshake.query}, "
         "{handshake.headers} or {handshake.address}"},
        {R"("{handshake.query}")", "config: {handshake.query} is not a value; name one, as in {handshake.query.lang}"},
        {R"("{handshake.headers}")",
         "config: {handshake.headers} is not a value; name one, as in {handshake.headers.user-agent}"},
        {R"("{clock.now}")", "config: {clock.now} is unknown; write {clock.iso} or {clock.ms}"},
        {R"("{disconnect.code}")", "config: {disconnect.code} is unknown; write {disconnect.reason}"},
        {R"({"{event.0}":1})",
         "config: the name \"{event.0}\" has braces; names of members are fixed, templates go into values"},
        {R"({"_placeholder":true,"num":0})",
         "config: \"_placeholder\" is the clients' word for an attachment; use another name"},
    }};
    for (const auto& [text, want] : cases) is(value(text, full()), want, text);
}

Test(routes_template, dates_are_those_of_javascript) {
    constexpr std::array<std::pair<std::int64_t, std::string_view>, 7> cases = {{
        {0, "1970-01-01T00:00:00.000Z"},
        {951'782'399'999, "2000-02-28T23:59:59.999Z"},
        {951'782'400'000, "2000-02-29T00:00:00.000Z"},
        {1'709'164'800'000, "2024-02-29T00:00:00.000Z"},
        {4'107'542'400'000, "2100-03-01T00:00:00.000Z"},
        {253'402'300'799'999, "9999-12-31T23:59:59.999Z"},
        {-1, "1970-01-01T00:00:00.000Z"},
    }};
    for (const auto& [ms, want] : cases) is(iso_time(ms), want, std::to_string(ms));
}

Test(routes_template, stars_stand_for_any_run_of_characters) {
    struct Case {
        std::string_view pattern, text, barred;
        bool want;
    };
    constexpr Case cases[] = {
        {"", "", "", true},
        {"", "a", "", false},
        {"*", "", "", true},
        {"course_*", "course_42", "", true},
        {"course_*", "course", "", false},
        {"*_42", "course_42", "", true},
        {"a*b*c", "a-b-b-c", "", true},
        {"a*b*c", "a-c-b", "", false},
        {"/room-*", "/room-1", "/", true},
        {"/room-*", "/room-1/x", "/", false},
        {"/*/x", "/a/x", "/", true},
        {"/*/x", "/a/b/x", "/", false},
        {"/*-*/z", "/a-b-c/z", "/", true},
    };
    for (const auto& [pattern, text, barred, want] : cases) {
        cr_expect(base::matches_glob(pattern, text, barred) == want, "%.*s %.*s", int(pattern.size()), pattern.data(),
                  int(text.size()), text.data());
    }
    const std::string stars(256, '*');
    cr_expect(!base::matches_glob("*a*a*a*a*a*a*a*a*b", std::string(256, 'a')), "many stars stay cheap");
    cr_expect(base::matches_glob(stars, std::string(256, 'a')));
}
