// How many Kafka records a second one core turns into actions: read_record() and RecordRun, with the demo's kind of
// route (a room and one argument from a JSON value), and with CloudEvents and a long list beside it.
//
// Each number is the median of short runs on the clock of this thread's CPU, with the slowest and the fastest. What it
// must reach is for plain JSON of 200 bytes.
//
// Usage: bench-topics [--quick] [--json]

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "routes/topics.h"

namespace {

using namespace sio;
using namespace sio::routes;

constexpr int rounds = 7;
constexpr int quick_rounds = 3;
constexpr double seconds_a_run = 0.25;
constexpr double quick_seconds_a_run = 0.08;
constexpr double least_json = 500'000;  // a second

[[noreturn]] void stop(const char* what) {
    std::fprintf(stderr, "bench-topics: %s\n", what);
    std::exit(1);
}

double cpu_seconds() {
    timespec spent{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return static_cast<double>(spent.tv_sec) + static_cast<double>(spent.tv_nsec) / 1e9;
}

/// Adds up what it is told, so that nothing of it can be left out.
class Sum final : public RecordSink {
public:
    std::uint64_t bytes = 0;
    void on_action(const RecordAction& action) override {
        bytes += action.event.size() + action.args.size();
        for (const std::string& room : action.rooms) bytes += room.size();
    }
};

struct Case {
    std::string_view name;
    std::string topic;  ///< the route, JSON
    std::string value;
    std::vector<RecordHeader> headers;
};

/// A value of `size` bytes, the way applications write them.
std::string value_of(std::size_t size) {
    std::string value = R"({"courseId":"42","data":{"title":"Introduction","lesson":7,"published":true,"body":")";
    const std::string end = R"("},"at":1764000000000})";
    value.append(size - value.size() - end.size(), 'x');
    return value + end;
}

std::vector<Case> cases() {
    const std::string action =
        R"({"emit":"course_update","args":["{record.value.data}"],"to":{"room":"course_{record.value.courseId}"}})";
    const std::string event_action =
        R"({"emit":"course_update","args":["{cloudevent.data.data}"],"to":{"room":"course_{cloudevent.subject}"}})";
    std::string four = action;
    for (int i = 0; i < 3; ++i) four += "," + action;
    const std::vector<RecordHeader> attributes = {{"ce_specversion", "1.0"}, {"ce_id", "a-1"},
                                                  {"ce_source", "/courses"}, {"ce_type", "course.updated"},
                                                  {"ce_subject", "42"},      {"content-type", "application/json"}};
    const std::string envelope = R"({"specversion":"1.0","id":"a-1","source":"/courses","type":"course.updated",)"
                                 R"("subject":"42","data":)" +
                                 value_of(200) + "}";
    return {
        {"json 200 B", "[" + action + "]", value_of(200), {}},
        {"json 2 KiB", "[" + action + "]", value_of(2048), {}},
        {"json 200 B, 4 emits", "[" + four + "]", value_of(200), {}},
        {"text 200 B",
         R"({"format":"text","do":[{"emit":"e","args":["{record.value}"],"to":"all"}]})",
         std::string(200, 't'),
         {}},
        {"CloudEvent in headers", "[" + event_action + "]", value_of(200), attributes},
        {"CloudEvent as envelope",
         "[" + event_action + "]",
         envelope,
         {{"content-type", "application/cloudevents+json"}}},
    };
}

/// Records a second, from one run of about `seconds`.
double rate(const Case& one, const TopicRoute& route, double seconds) {
    RecordFacts facts;
    RecordRun run;
    Sum sum;
    Context context;
    context.record = &facts;
    context.now_ms = 1'764'000'000'000;
    const double begin = cpu_seconds();
    double spent = 0;
    std::uint64_t count = 0;
    do {
        for (int i = 0; i < 256; ++i) {
            facts.topic = "course.updated";
            facts.offset = static_cast<std::int64_t>(count);
            facts.time_ms = context.now_ms;
            facts.headers = one.headers;
            if (!read_record(route, one.value, facts) || !run.run(route, context, sum)) stop("a record is refused");
            ++count;
        }
        spent = cpu_seconds() - begin;
    } while (spent < seconds);
    if (sum.bytes == 0) stop("nothing was emitted");
    return static_cast<double>(count) / spent;
}

}  // namespace

int main(int argc, char** argv) {
    bool quick = false;
    bool as_json = false;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "--quick") {
            quick = true;
        } else if (word == "--json") {
            as_json = true;
        } else {
            stop("usage: bench-topics [--quick] [--json]");
        }
    }
    bool is_enough = true;
    for (const Case& one : cases()) {
        const auto routes = parse_routes(R"({"version":1,"topics":{"course.updated":)" + one.topic + "}}", "bench");
        if (!routes) stop(routes.error().what.c_str());
        const TopicRoute& route = *routes->topic("course.updated");
        std::vector<double> all;
        for (int i = 0; i < (quick ? quick_rounds : rounds); ++i) {
            all.push_back(rate(one, route, quick ? quick_seconds_a_run : seconds_a_run));
        }
        std::ranges::sort(all);
        const double median = all[all.size() / 2];
        if (as_json) {
            std::printf(
                "{\"name\":\"topics: %.*s\",\"unit\":\"records/s\",\"median\":%.0f,\"least\":%.0f,\"most\":%.0f}\n",
                static_cast<int>(one.name.size()), one.name.data(), median, all.front(), all.back());
        } else {
            std::printf("%-24.*s %10.0f records/s a core (%.0f to %.0f)\n", static_cast<int>(one.name.size()),
                        one.name.data(), median, all.front(), all.back());
        }
        if (one.name == "json 200 B") is_enough = median >= least_json;
    }
    if (!is_enough) std::fprintf(stderr, "bench-topics: fewer than %.0f records/s of plain JSON\n", least_json);
    return is_enough ? 0 : 1;
}
