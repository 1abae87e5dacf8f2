// What becomes of Kafka records: reading them, and doing a topic's list.
#include "routes/topics.h"

#include <criterion/criterion.h>

#include <string>
#include <utility>
#include <vector>

#include "base/json.h"

using namespace sio;
using namespace sio::routes;

namespace {

constexpr std::string_view placeholder = R"({"_placeholder":true,"num":0})";

std::string joined(std::span<const std::string> texts) {
    std::string out;
    for (const std::string& text : texts) out += (out.empty() ? "" : ",") + text;
    return out;
}

/// Writes down what it is told, a line each.
class Told final : public RecordSink {
public:
    std::string lines;
    std::vector<std::string> attachments;

    void on_action(const RecordAction& action) override {
        constexpr std::string_view words[] = {"emit", "join", "leave", "disconnect"};
        lines += std::string{words[static_cast<std::size_t>(action.kind)]} + " " + std::string{action.nsp};
        lines += " to " + (action.rooms.empty() ? std::string{"all"} : joined(action.rooms));
        if (!action.except.empty()) lines += " except " + joined(action.except);
        if (action.is_volatile) lines += " volatile";
        if (action.kind == RecordAction::Kind::emit) {
            lines += ": " + std::string{action.event} + " [" + std::string{action.args} + "]";
        }
        if (!action.joined_rooms.empty()) lines += ": " + joined(action.joined_rooms);
        if (action.kind == RecordAction::Kind::disconnect) lines += action.close ? ": client" : ": namespace";
        lines += "\n";
        attachments.assign(action.attachments.begin(), action.attachments.end());
    }
};

/// A record and the route it takes; the words are those of a test's failure.
struct Trial {
    explicit Trial(const std::string& topic) {
        auto parsed = parse_routes(R"({"version":1,"topics":{"t":)" + topic + "}}", "r");
        cr_assert(parsed.has_value(), "%s", parsed ? "" : parsed.error().what.c_str());
        routes = std::make_unique<Routes>(std::move(*parsed));
        route = routes->topic("t");
        cr_assert_not_null(route);
        facts.topic = "t";
        facts.partition = 3;
        facts.offset = 1234567890123456;
        facts.time_ms = 1700000000000;
        context.record = &facts;
        context.now_ms = 1000;
    }

    /// What is done with a record, or why it cannot be.
    std::string with(std::optional<std::string_view> value) {
        facts.headers = headers;
        if (auto read = read_record(*route, value, facts); !read) {
            cr_expect(read.error().code == Errc::malformed);
            return "malformed: " + read.error().what;
        }
        Told told;
        auto done = run.run(*route, context, told);
        attachments = told.attachments;
        if (!done) {
            cr_expect(done.error().code == Errc::denied && told.lines.empty(), "a record that fails has done nothing");
            return "denied: " + done.error().what;
        }
        return told.lines;
    }

    std::unique_ptr<Routes> routes;
    const TopicRoute* route = nullptr;
    RecordFacts facts;
    Context context;
    RecordRun run;
    std::vector<RecordHeader> headers;
    std::vector<std::string> attachments;
};

void expect(std::string_view what, const std::string& got, std::string_view want) {
    cr_expect(got == want, "%.*s\n  gave %s\n  want %.*s", int(what.size()), what.data(), got.c_str(), int(want.size()),
              want.data());
}

/// The args of an emit to all, or the error.
std::string args_of(Trial& trial, std::optional<std::string_view> value) {
    std::string got = trial.with(value);
    constexpr std::string_view before = "emit / to all: \"e\" ";
    return got.starts_with(before) ? got.substr(before.size(), got.size() - before.size() - 1) : got;
}

Trial emitting(const std::string& args, const std::string& more = "") {
    return Trial{"{" + more + R"("do":[{"emit":"e","args":[)" + args + R"(],"to":"all"}]})"};
}

}  // namespace

Test(routes_topics, a_record_becomes_an_event_in_the_room_it_names) {
    Trial trial{
        R"([{"emit":"course_update","args":["{record.value.data}"],"to":{"room":"course_{record.value.courseId}"}}])"};
    expect("text", trial.with(R"( {"courseId":"42","data":{"title":"a\"b"}} )"),
           "emit / to course_42: \"course_update\" [{\"title\":\"a\\\"b\"}]\n");
    expect("number", trial.with(R"({"data":null,"courseId":7})"), "emit / to course_7: \"course_update\" [null]\n");
    expect("escapes in names", trial.with(R"({"d\u0061ta":[1],"courseId":"\u0061"})"),
           "emit / to course_a: \"course_update\" [[1]]\n");
    expect("the last of a name counts", trial.with(R"({"data":1,"courseId":"a","data":2})"),
           "emit / to course_a: \"course_update\" [2]\n");
}

Test(routes_topics, a_reference_that_finds_nothing_is_an_error_that_names_the_action) {
    Trial trial{
        R"([{"emit":"a","to":"all"},{"emit":"x","args":["{record.value.data}"],"to":{"room":"c_{record.value.id}"}}])"};
    expect("room", trial.with(R"({"data":1})"), "denied: do/1: {record.value.id} is not in the record");
    expect("args", trial.with(R"({"id":1})"), "denied: do/1: {record.value.data} is not in the record");
    expect("null in a room", trial.with(R"({"id":null,"data":1})"), "denied: do/1: {record.value.id} is null");
    expect("empty", trial.with(R"({"id":"","data":1})"), "denied: do/1: {record.value.id} is empty");
    expect("object", trial.with(R"({"id":{},"data":1})"), "denied: do/1: {record.value.id} is neither text nor number");
    expect("tombstone", trial.with(std::nullopt), "denied: do/1: {record.value.id} is not in the record");
    expect("no object", trial.with("[1]"), "denied: do/1: {record.value.id} is not in the record");
    expect("long", trial.with(R"({"data":1,"id":")" + std::string(300, 'x') + "\"}"),
           "denied: do/1: the name of the room is longer than 256 bytes");
    expect("good again", trial.with(R"({"data":1,"id":2})"), "emit / to all: \"a\" []\nemit / to c_2: \"x\" [1]\n");
}

Test(routes_topics, within_a_longer_text_null_is_nothing_and_what_is_missing_an_error) {
    Trial trial = emitting(R"("Hello {record.value.name}!")");
    expect("text", args_of(trial, R"({"name":"\"x\""})"), R"(["Hello \"x\"!"])");
    expect("null", args_of(trial, R"({"name":null})"), R"(["Hello !"])");
    expect("missing", args_of(trial, R"({})"), "denied: do/0: {record.value.name} is not in the record");
    expect("object", args_of(trial, R"({"name":{}})"),
           "denied: do/0: {record.value.name} is an object or array and cannot stand inside a text");
}

Test(routes_topics, all_that_is_known_of_a_record_can_be_used) {
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"{record.value}", R"({"a":[{"b":5}],"n":{"x":null}})"},
        {"{record.value.a.0.b}", "5"},
        {"{record.value.n.x}", "null"},
        {"{record.key}", R"("k\"1")"},
        {"{record.topic}", R"("t")"},
        {"{record.partition}", "3"},
        {"{record.offset}", "1234567890123456"},
        {"{record.time}", "1700000000000"},
        {"{record.headers.trace.id}", R"("second")"},
        {"{record.headers.empty}", R"("")"},
        {"{clock.ms}", "1000"},
        {"{clock.iso}", R"("1970-01-01T00:00:01.000Z")"},
        {"{record.headers.Trace.id}", ""},
        {"{record.headers.binary}", ""},
        {"{record.value.a.1}", ""},
        {"{record.value.a.0.b.c}", ""},
        {"{record.value.n.x.y}", ""},
        {"{cloudevent.id}", ""},
    };
    for (const auto& [reference, want] : cases) {
        Trial trial = emitting("\"" + reference + "\"");
        trial.headers = {{"trace.id", "first"}, {"trace.id", "second"}, {"empty", ""}, {"binary", "\xff"}};
        trial.facts.key = "k\"1";
        const std::string got = args_of(trial, R"({"a":[{"b":5}],"n":{"x":null}})");
        const std::string missing = "denied: do/0: " + reference + " is not in the record" +
                                    (reference.starts_with("{cloud") ? ", which is no CloudEvent" : "");
        expect(reference, got, want.empty() ? missing : "[" + want + "]");
    }
    Trial trial = emitting(R"("{record.time}")");
    trial.facts.time_ms = -1;
    expect("no time", args_of(trial, "1"), "denied: do/0: {record.time} is not in the record");
    Trial keyless = emitting(R"("{record.key}")");
    expect("no key", args_of(keyless, "1"), "denied: do/0: {record.key} is not in the record");
    keyless.facts.key = "\xff";
    expect("binary key", args_of(keyless, "1"), "denied: do/0: {record.key} is not in the record");
}

Test(routes_topics, each_verb_of_the_emitter_is_told) {
    Trial trial{R"([
        {"emit":"{record.value.event}","to":{"room":["a","b_{record.key}"]},"except":"c_{record.key}","volatile":true,"nsp":"/x"},
        {"emit":"plain","args":[1,{"b":[]}],"to":"all","nsp":"/{record.key}"},
        {"join":["r","s_{record.key}"],"sockets":{"room":"{record.key}"}},
        {"leave":"r","sockets":"all"},
        {"disconnect":"client","sockets":{"room":"{record.key}"}},
        {"disconnect":"namespace","sockets":"all"}])"};
    trial.facts.key = "7";
    expect("all", trial.with(R"({"event":"hi"})"),
           "emit /x to a,b_7 except c_7 volatile: \"hi\" []\n"
           "emit /7 to all: \"plain\" [1,{\"b\":[]}]\n"
           "join / to 7: r,s_7\n"
           "leave / to all: r\n"
           "disconnect / to 7: client\n"
           "disconnect / to all: namespace\n");
    expect("no name", trial.with(R"({"event":[]})"), "denied: do/0: {record.value.event} is no name for an event");
    expect("null", trial.with(R"({"event":null})"), "denied: do/0: {record.value.event} is no name for an event");
    expect("reserved", trial.with(R"({"event":"disconnect"})"), "denied: do/0: \"disconnect\" is a reserved name");
    trial.facts.key = "a,b";
    expect("namespace", trial.with(R"({"event":"x"})"), "denied: do/1: \"/a,b\" is not the name of a namespace");
}

Test(routes_topics, an_action_whose_condition_is_false_or_cannot_be_told_is_skipped) {
    Trial trial{R"([
        {"emit":"a","to":"all","when":{"equals":["{record.value.kind}","x"]}},
        {"emit":"b","args":["{record.value.more}"],"to":"all","when":{"exists":"{record.value.more}"}},
        {"emit":"c","to":"all","when":{"not":{"exists":"{record.value.kind}"}}},
        {"emit":"d","to":"all","when":[{"is":["{record.value}","object"]},{"not":{"is":["{record.value.kind}","null"]}}]},
        {"emit":"e","to":"all","when":{"equals":["{record.value.kind}!","x!"]}}])"};
    expect("x", trial.with(R"({"kind":"x"})"),
           "emit / to all: \"a\" []\nemit / to all: \"d\" []\nemit / to all: \"e\" []\n");
    expect("more", trial.with(R"({"more":1,"kind":null})"), "emit / to all: \"b\" [1]\nemit / to all: \"c\" []\n");
    expect("cannot be told", trial.with(R"({"kind":[]})"), "emit / to all: \"d\" []\n");
}

Test(routes_topics, what_is_not_json_is_malformed_with_its_place) {
    Trial trial{R"([{"emit":"e","args":["{record.value.a}"],"to":"all"}])"};
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"", "ends too early, at byte 0"},
        {"  ", "ends too early, at byte 2"},
        {"x", "is not JSON from byte 0 on"},
        {R"({"a":1,})", "is not JSON from byte 7 on"},
        {R"({"a":1 "b":2})", "is not JSON from byte 7 on"},
        {R"({,"a":1})", "is not JSON from byte 1 on"},
        {R"({"a":1}x)", "is not JSON from byte 7 on"},
        {R"({"a":1}})", "is not JSON from byte 7 on"},
        {R"({"a":1)", "ends too early, at byte 6"},
        {R"({"a" 1})", "is not JSON from byte 5 on"},
        {R"({"a":[1,tru]})", "is not JSON from byte 8 on"},
        {R"({"a":"b)", "is not JSON from byte 5 on"},
        {R"({"a":01})", "is not JSON from byte 6 on"},
        {R"(["a"})", "is not JSON from byte 4 on"},
        {R"({"a":1])", "is not JSON from byte 6 on"},
        {R"({1:2})", "is not JSON from byte 1 on"},
        {"[1,]", "is not JSON from byte 3 on"},
        {"{\"a\":\"\xff\"}", "is not UTF-8"},
        {std::string(600, '['), "nests too deeply at byte 512"},
        {R"({"a":)" + std::string(512, '[') + std::string(512, ']') + "}", "nests too deeply at byte 516"},
    };
    for (const auto& [value, want] : cases) expect(value, trial.with(value), "malformed: the value " + want);
    const std::string deepest = R"({"a":)" + std::string(511, '[') + std::string(511, ']') + "}";
    expect("as deep as allowed, and deeper as an argument", trial.with(deepest).substr(0, 20),
           "emit / to all: \"e\" [");
}

Test(routes_topics, texts_and_bytes_are_what_the_route_says) {
    Trial text = emitting(R"("{record.value}")", R"("format":"text",)");
    expect("text", args_of(text, "a \"b\"\n{"), R"(["a \"b\"\n{"])");
    expect("empty", args_of(text, ""), R"([""])");
    expect("null", args_of(text, std::nullopt), "[null]");
    expect("bytes", args_of(text, "\xff"), "malformed: the value is not UTF-8");

    Trial bytes = emitting(R"({"b":"{record.value}"},"{record.value}")", R"("format":"bytes",)");
    expect("bytes", args_of(bytes, "\xff\0x"),
           R"([{"b":{"_placeholder":true,"num":0}},{"_placeholder":true,"num":1}])");
    cr_expect(bytes.attachments.size() == 2 && bytes.attachments[1] == "\xff");
    expect("null", args_of(bytes, std::nullopt), R"([{"b":null},null])");
    cr_expect(bytes.attachments.empty());

    Trial room{R"({"format":"bytes","do":[{"emit":"e","to":{"room":"{record.value}"}}]})"};
    expect("bytes are no name", room.with("x"), "denied: do/0: {record.value} is neither text nor number");
    Trial is{R"({"format":"bytes","do":[{"emit":"e","to":"all","when":{"is":["{record.value}","binary"]}}]})"};
    expect("a condition knows bytes", is.with("x"), "emit / to all: \"e\" []\n");
    expect("and what are none", is.with(std::nullopt), "");
}

Test(routes_topics, a_text_that_looks_like_an_attachment_is_none) {
    Trial trial = emitting(R"("{record.value}")");
    expect("looks", args_of(trial, placeholder), "[" + std::string{placeholder} + "]");
    cr_expect(trial.attachments.empty());
}

Test(routes_topics, names_go_before_patterns_and_patterns_in_the_order_of_the_file) {
    const auto routes = parse_routes(R"({"version":1,"topics":{
        "course.*":[],"course.updated":[],"*":[],"user.*.v1":[]}})",
                                     "r");
    cr_assert(routes.has_value());
    const auto name = [&](std::string_view topic) {
        const TopicRoute* const found = routes->topic(topic);
        return found == nullptr ? std::string{} : found->name;
    };
    cr_expect(name("course.updated") == "course.updated");
    cr_expect(name("course.deleted") == "course.*");
    cr_expect(name("user.x.v1") == "*");
    cr_expect(name(std::string(249, 'x')) == "*");
    cr_expect(name(std::string(250, 'x')).empty());
    cr_expect(routes->topics().size() == 4 && routes->topics()[3]->is_pattern && !routes->topics()[1]->is_pattern);
    const std::vector<std::string> want{R"(^course\..*$)", "course.updated", "^.*$", R"(^user\..*\.v1$)"};
    cr_expect(routes->subscription() == want);
    cr_assert(parse_routes(R"({"version":1})", "r").has_value());
    cr_expect(parse_routes(R"({"version":1})", "r")->topic("x") == nullptr);
}

Test(routes_topics, the_attributes_of_a_cloudevent_in_headers_can_be_used) {
    Trial trial =
        emitting(R"("{cloudevent.type}","{cloudevent.data.x}","{cloudevent.datacontenttype}","{record.value.x}")");
    trial.headers = {{"ce_specversion", "1.0"}, {"ce_id", "1"},
                     {"ce_source", "/s"},       {"ce_type", "old"},
                     {"ce_type", "a\"b"},       {"Content-Type", "application/json; charset=utf-8"},
                     {"ce_data", "no"}};
    expect("all", args_of(trial, R"({"x":[1]})"), R"(["a\"b",[1],"application/json; charset=utf-8",[1]])");
    cr_expect(json::is_valid(trial.facts.cloudevent), "%s", trial.facts.cloudevent.c_str());

    Trial whole = emitting(R"("{cloudevent}")");
    whole.headers = {
        {"ce_specversion", "1.0"}, {"ce_id", "1"}, {"ce_source", "/s"}, {"ce_type", "t"}, {"ce_myext", "é"}};
    expect("whole", args_of(whole, "5"),
           R"([{"specversion":"1.0","id":"1","source":"/s","type":"t","myext":"é","data":5}])");
    expect("without data", args_of(whole, std::nullopt),
           R"([{"specversion":"1.0","id":"1","source":"/s","type":"t","myext":"é"}])");
    expect("empty is without data", args_of(whole, ""),
           R"([{"specversion":"1.0","id":"1","source":"/s","type":"t","myext":"é"}])");
    whole.headers[0].value = "0.3";
    expect("version", args_of(whole, "5"), "malformed: the CloudEvent's specversion is \"0.3\", not \"1.0\"");
    whole.headers[0].value = "1.0";
    whole.headers[2].value = "";
    expect("empty", args_of(whole, "5"), "malformed: the CloudEvent's source is no text, or an empty one");
    whole.headers[2] = {"ce_other", "x"};
    expect("missing", args_of(whole, "5"), "malformed: the CloudEvent has no source");
    whole.headers[1].value = "\xff";
    expect("bytes", args_of(whole, "5"), "malformed: the header ce_id is not UTF-8");
    whole.headers.erase(whole.headers.begin());
    expect("headers alone make no event", args_of(whole, "5"),
           "denied: do/0: {cloudevent} is not in the record, which is no CloudEvent");

    Trial off = emitting(R"("{cloudevent.id}")", R"("cloudevents":false,)");
    off.headers = {{"ce_specversion", "1.0"}, {"ce_id", "1"}, {"ce_source", "/s"}, {"ce_type", "t"}};
    expect("off", args_of(off, "5"), "denied: do/0: {cloudevent.id} is not in the record, which is no CloudEvent");
}

Test(routes_topics, the_data_of_a_cloudevent_is_json_when_its_type_or_the_route_says_so) {
    const std::vector<RecordHeader> headers = {
        {"ce_specversion", "1.0"}, {"ce_id", "1"}, {"ce_source", "/s"}, {"ce_type", "t"}};
    Trial text = emitting(R"("{record.value}","{cloudevent.data}")", R"("format":"text",)");
    text.headers = headers;
    expect("text", args_of(text, "[1]"), R"(["[1]","[1]"])");
    text.headers.push_back({"content-type", "application/vnd.x+json"});
    expect("text as JSON", args_of(text, " [1]"), R"([" [1]",[1]])");
    expect("text that is no JSON", args_of(text, "[1"), "malformed: the value ends too early, at byte 2");

    Trial bytes = emitting(R"("{cloudevent.data}","{record.value}")", R"("format":"bytes",)");
    bytes.headers = headers;
    expect("bytes", args_of(bytes, "\xff"), R"([{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}])");
    cr_expect(bytes.attachments.size() == 2 && bytes.attachments[0] == "\xff");
    bytes.headers.push_back({"content-type", "application/json"});
    expect("bytes as JSON", args_of(bytes, R"({"_placeholder":false})"),
           R"([{"_placeholder":false},{"_placeholder":true,"num":0}])");
    expect("bytes that are no JSON", args_of(bytes, "\xff"), "malformed: the value is not UTF-8");

    Trial plain = emitting(R"("{cloudevent.data}")");
    plain.headers = headers;
    plain.headers.push_back({"content-type", "text/plain"});
    expect("the route says JSON", args_of(plain, "[1]"), "[[1]]");
    expect("and that holds", args_of(plain, "x"), "malformed: the value is not JSON from byte 0 on");
}

Test(routes_topics, a_cloudevent_can_be_an_envelope) {
    for (const std::string format : {"json", "text", "bytes"}) {
        Trial trial = emitting(R"("{cloudevent.id}","{cloudevent.data}")", R"("format":")" + format + "\",");
        trial.headers = {{"content-type", "Application/CloudEvents+JSON; charset=UTF-8"}};
        expect("envelope", args_of(trial, R"({"specversion":"1.0","id":"9","source":"s","type":"t","data":{"x":1}})"),
               R"(["9",{"x":1}])");
        cr_expect(trial.attachments.empty());
        expect("base64",
               args_of(trial, R"({"specversion":"1.0","id":"9","source":"s","type":"t","data_b\u0061se64":"/wA="})"),
               R"(["9",{"_placeholder":true,"num":0}])");
        cr_expect(trial.attachments.size() == 1 && trial.attachments[0] == std::string("\xff\0", 2));
        args_of(trial, R"({"specversion":"1.0","id":"9","source":"s","type":"t","data_base64":"YQ"})");
        cr_expect(trial.attachments.size() == 1 && trial.attachments[0] == "a", "each record has its own");
    }
    Trial trial = emitting(R"("{record.value.id}","{record.value}","{cloudevent}")");
    trial.headers = {{"content-type", "application/cloudevents+json"}};
    const std::string plain = R"({"specversion":"1.0","id":"9","source":"s","type":"t"})";
    expect("value", args_of(trial, plain), "[\"9\"," + plain + "," + plain + "]");
    expect("null", args_of(trial, std::nullopt), "denied: do/0: {record.value.id} is not in the record");
    const std::string begin = R"({"specversion":"1.0","id":"9","source":"s","type":"t",)";
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"[]", "the CloudEvent is no JSON object"},
        {"{", "the value ends too early, at byte 1"},
        {"{}", "the CloudEvent has no specversion"},
        {R"({"specversion":"1.0","id":null,"source":"s","type":"t"})", "the CloudEvent has no id"},
        {R"({"specversion":"1.0","id":1,"source":"s","type":"t"})", "the CloudEvent's id is no text, or an empty one"},
        {R"({"specversion":"1.0","id":"1","source":"s"})", "the CloudEvent has no type"},
        {R"({"specversion":"2.0","id":"1","source":"s","type":"t"})",
         "the CloudEvent's specversion is \"2.0\", not \"1.0\""},
        {begin + R"("ext":{}})", "the CloudEvent's attribute \"ext\" is no text, number or boolean"},
        {begin + R"("data":1,"data_base64":""})", "the CloudEvent has both data and data_base64"},
        {begin + R"("data_base64":1})", "the CloudEvent's data_base64 is no text"},
        {begin + R"("data_base64":"?"})", "the CloudEvent's data_base64 is not base64"},
    };
    for (const auto& [value, want] : cases) expect(value, args_of(trial, value), "malformed: " + want);
    trial.headers = {{"content-type", "application/cloudevents-batch+json"}};
    expect("batch", args_of(trial, "[]"), "malformed: a batch of CloudEvents: a record has one event");
    trial.headers = {{"content-type", "application/cloudevents+avro"}};
    expect("avro", args_of(trial, "[]"),
           "malformed: a CloudEvent as \"application/cloudevents+avro\": only application/cloudevents+json is read");
}

Test(routes_topics, data_that_looks_like_an_attachment_beside_a_real_one_is_an_error) {
    Trial trial = emitting(R"("{cloudevent.data}","{record.value.ext}","{record.value}")");
    trial.headers = {{"content-type", "application/cloudevents+json"}};
    const std::string got =
        args_of(trial, R"({"specversion":"1.0","id":"9","source":"s","type":"t","ext":1,"data_base64":"AA=="})");
    cr_expect(got.starts_with(R"([{"_placeholder":true,"num":0},1,{)"), "%s", got.c_str());
}

Test(routes_topics, one_run_serves_lists_of_different_lengths) {
    Trial first{R"([{"emit":"a","args":["{record.value.x}"],"to":{"room":["{record.value.x}","b{record.value.x}"]}}])"};
    Trial second{R"([{"emit":"b","to":"all"}])"};
    expect("first", first.with(R"({"x":"1"})"), "emit / to 1,b1: \"a\" [\"1\"]\n");
    Told told;
    cr_assert(read_record(*second.route, "1", second.facts).has_value());
    cr_assert(first.run.run(*second.route, second.context, told).has_value());
    expect("second", told.lines, "emit / to all: \"b\" []\n");
    expect("first again", first.with(R"({"x":"2"})"), "emit / to 2,b2: \"a\" [\"2\"]\n");
}

Test(routes_topics, members_beyond_those_that_are_found_on_the_way_are_found_too) {
    std::string args;
    std::string value;
    std::string want;
    for (int i = 0; i < 40; ++i) {
        const std::string n = std::to_string(i);
        args += (i == 0 ? "" : ",") + ("\"{record.value.m" + n + ".x}\"");
        value += (i == 0 ? "" : ",") + ("\"m" + n + "\":{\"x\":" + n + "}");
        want += (i == 0 ? "" : ",") + n;
    }
    Trial trial = emitting(args);
    cr_expect(trial.route->fields.size() == max_record_fields);
    expect("all", args_of(trial, "{" + value + "}"), "[" + want + "]");
}
