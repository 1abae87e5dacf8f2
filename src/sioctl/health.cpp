// health, stat, wait, log: how the gateway is.
#include <thread>

#include "base/json.h"
#include "sioctl/answer.h"

namespace sio::sioctl {

using namespace std::chrono_literals;

namespace {

/// Whether a health answer says that all is well.
bool is_well(std::string_view answer) {
    if (text_member(answer, "status") != "ok") return false;
    for (json::Walker checks{raw_member(answer, "checks")}; checks.next();) {
        if (json::kind_of(checks.value()) == json::Kind::object && raw_member(checks.value(), "ok") == "false")
            return false;
    }
    return true;
}

void print_health(Output& out, std::string_view answer) {
    Table table{{"HEALTH", text_member(answer, "status")}};
    for (json::Walker members{answer}; members.next();) {
        const std::string key = json::decode_string(members.key());
        if (key == "id" || key == "ok" || key == "status" || key == "checks" || key == "nodes") continue;
        if (key == "uptime_s")
            table.add({"uptime", shown_time(count_member(answer, key) * 1000)});
        else
            table.add({printable(key), cell(members.value())});
    }
    for (json::Walker checks{raw_member(answer, "checks")}; checks.next();) {
        const std::string detail = cell(raw_member(checks.value(), "detail"));
        table.add({"check " + printable(json::decode_string(checks.key())),
                   std::string(raw_member(checks.value(), "ok") == "true" ? "ok" : "failing") +
                       (detail == "-" ? "" : "  " + detail)});
    }
    if (json::member(answer, "status")) table.print(out);
}

/// One level of counters a line; objects in them with a dot.
void print_counters(Table& table, const std::string& prefix, std::string_view object, int depth) {
    for (json::Walker members{object}; members.next();) {
        const std::string key = prefix + printable(json::decode_string(members.key()));
        if (json::kind_of(members.value()) == json::Kind::object && depth < 4)
            print_counters(table, key + ".", members.value(), depth + 1);
        else
            table.add({key, cell(members.value())});
    }
}

}  // namespace

namespace {

int show_health(const Invocation& invocation, const Outcome<std::string>& answer) {
    if (!answer) return finish(answer.error());
    Output out;
    switch (invocation.format()) {
        case Format::table: print_health(out, *answer); break;
        case Format::json: out.line(indented(without_frame(*answer))); break;
        case Format::ndjson: out.line(without_frame(*answer)); break;
    }
    if (const int code = silent_nodes(*answer); code != exit_code::ok) return code;
    return is_well(*answer) ? exit_code::ok : exit_code::no;
}

}  // namespace

int run_health(const Invocation& invocation) { return show_health(invocation, ask_gateway(invocation, "health", {})); }

int run_bridge_health(const Invocation& invocation) {
    return show_health(invocation, ask_bridge(invocation, "health", {}, 10s));
}

int run_stat(const Invocation& invocation) {
    const auto interval = invocation.time("--watch", 0ms);
    if (!interval) return finish(interval.error());
    const auto wait = invocation.time("--timeout", 10s);
    if (!wait) return finish(wait.error());
    const auto count = invocation.number("--count", 1);
    if (!count) return finish(count.error());
    const bool watching = invocation.has("--watch");
    if (watching && *interval < 10ms) return finish({exit_code::usage, "--watch: at least 10ms"});
    if (*count && !watching) return finish({exit_code::usage, "--count needs --watch"});

    auto control = Control::open(invocation.control_path(), deadline_in(*wait));
    if (!control) return finish(control.error());
    Output out;
    for (std::uint64_t shown = 0;;) {
        const auto answer = control->ask("stat", {}, deadline_in(*wait));
        if (!answer) return finish(answer.error());
        const std::string_view stat = raw_member(*answer, "stat");
        switch (invocation.format()) {
            case Format::table: {
                // On a terminal the new figures take the place of the old.
                if (watching) out.clear();
                Table table{{"COUNTER", "VALUE"}};
                print_counters(table, "", stat, 0);
                table.print(out);
                break;
            }
            case Format::json: out.line(indented(stat)); break;
            case Format::ndjson: out.line(stat); break;
        }
        out.flush();
        if (!watching || !out.is_open() || (*count && ++shown >= **count)) return silent_nodes(*answer);
        std::this_thread::sleep_for(*interval);
    }
}

int run_wait(const Invocation& invocation) {
    const auto wait = invocation.time("--timeout", 30s);
    if (!wait) return finish(wait.error());
    const Deadline deadline = deadline_in(*wait);
    const std::string path = invocation.control_path();
    Failure last{exit_code::timeout, "the gateway at " + path + " does not answer in time"};
    for (;;) {
        auto control = Control::open(path, deadline);
        if (control) {
            const auto answer = control->ask("health", {}, deadline);
            if (answer && (!invocation.has("--ready") || is_well(*answer))) return exit_code::ok;
            last.what =
                answer ? "the gateway at " + path + " is not ready in time: status " + text_member(*answer, "status")
                       : answer.error().what;
        } else {
            // Waiting changes neither a path that is too long nor another protocol.
            if (control.error().exit == exit_code::usage || control.error().exit == exit_code::protocol)
                return finish(control.error());
            last.what = control.error().what;
        }
        if (Clock::now() + 50ms >= *deadline) return finish(last);
        std::this_thread::sleep_for(50ms);
    }
}

int run_log(const Invocation& invocation) {
    wire::ObjectWriter members;
    members.text("level", invocation.one("LEVEL"));
    const auto answer = ask_gateway(invocation, "log", members);
    if (!answer) return finish(answer.error());
    return silent_nodes(*answer);
}

}  // namespace sio::sioctl
