// What `routes explain --topic` tells.
#include <criterion/criterion.h>

#include <string>
#include <string_view>

#include "base/json.h"
#include "routes/explain.h"

using namespace sio;
using namespace sio::routes;

namespace {

constexpr std::string_view file = R"({"version": 1, "topics": {
  "course.updated": [
    {"emit": "course_update", "args": ["{record.value.data}"], "to": {"room": "course_{record.value.courseId}"}}],
  "all": [
    {"emit": "e", "args": ["{record.headers.A}"], "to": "all", "except": "x", "volatile": true, "nsp": "/n"},
    {"join": ["r", "s"], "sockets": {"room": "{record.key}"}},
    {"leave": "r", "sockets": "all"},
    {"disconnect": "client", "sockets": {"room": "{record.key}"}},
    {"disconnect": "namespace", "sockets": "all"}],
  "bytes": {"format": "bytes", "do": [{"emit": "b", "args": ["{record.value}"], "to": "all"}]}}})";

void expect_text(const RecordQuestion& question, std::string_view want) {
    const auto routes = parse_routes(file, "r");
    cr_assert(routes.has_value(), "%s", routes ? "" : routes.error().what.c_str());
    const auto steps = explain(*routes, question);
    cr_assert(steps.has_value(), "%s", steps ? "" : steps.error().what.c_str());
    const std::string got = to_text(*steps);
    cr_expect(got == want, "%s", got.c_str());
    cr_expect(json::is_valid(to_json(*steps)), "%s", to_json(*steps).c_str());
}

RecordQuestion about(std::string topic, std::optional<std::string> value = std::nullopt) {
    RecordQuestion question;
    question.topic = std::move(topic);
    question.value = std::move(value);
    return question;
}

}  // namespace

Test(routes_topics_explain, tells_what_would_be_done_with_a_record) {
    expect_text(about("course.updated", R"({"courseId":"42","data":{"a":1}})"),
                "1. emit: \"course_update\" [{\"a\":1}] goes to all in [\"course_42\"]\n");
    RecordQuestion all = about("all");
    all.key = "bob";
    all.headers = {{"A", "1"}, {"a", "2"}};
    expect_text(all,
                "1. emit: \"e\" [\"1\"] goes to all but those in [\"x\"] of the namespace \"/n\", volatile\n"
                "2. join: all in [\"bob\"] join the rooms [\"r\",\"s\"]\n"
                "3. leave: all leave the rooms [\"r\"]\n"
                "4. disconnect: all in [\"bob\"] are disconnected\n"
                "5. disconnect: all are removed from the namespace\n");
    expect_text(about("bytes", "\xff"),
                "1. emit: \"b\" [{\"_placeholder\":true,\"num\":0}] goes to all, with 1 attachment\n");
}

Test(routes_topics_explain, tells_why_a_record_is_a_dead_letter) {
    expect_text(about("course.updated", "{\"courseId\":"),
                "1. dead-letter: the record goes to the dead letters: the value ends too early, at byte 12\n");
    expect_text(
        about("course.updated", R"({"data":1})"),
        "1. dead-letter: the record goes to the dead letters: do/0: {record.value.courseId} is not in the record\n");
    expect_text(
        about("course.updated"),
        "1. dead-letter: the record goes to the dead letters: do/0: {record.value.courseId} is not in the record\n");
}

Test(routes_topics_explain, a_topic_without_a_route_is_not_found) {
    const auto routes = parse_routes(file, "r");
    cr_assert(routes.has_value());
    const auto steps = explain(*routes, about("other"));
    cr_assert(!steps);
    cr_expect(steps.error().code == Errc::not_found);
    cr_expect(steps.error().what == "cannot find a route for the topic \"other\": it is not read");
}
