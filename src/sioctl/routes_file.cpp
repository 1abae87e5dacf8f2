// routes check, routes explain: a routes file, without a gateway.
#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/json.h"
#include "routes/explain.h"
#include "routes/routes.h"
#include "sioctl/answer.h"
#include "sioctl/arguments.h"
#include "sioctl/files.h"

namespace sio::sioctl {

namespace {

/// Reads `NAME=VALUE` texts, in order.
Outcome<std::vector<std::pair<std::string, std::string>>> pairs_of(const Invocation& invocation,
                                                                   std::string_view option) {
    std::vector<std::pair<std::string, std::string>> pairs;
    for (const std::string& text : invocation.all(option)) {
        const std::size_t equals = text.find('=');
        if (equals == std::string::npos || equals == 0) {
            return give_up(exit_code::usage, std::string(option) + ' ' + text + " is not NAME=VALUE");
        }
        pairs.emplace_back(text.substr(0, equals), text.substr(equals + 1));
    }
    return pairs;
}

/// The same as a map, of which the last counts; names are made lower-case when they are a header's.
Outcome<std::map<std::string, std::string, std::less<>>> map_of(const Invocation& invocation, std::string_view option) {
    auto pairs = pairs_of(invocation, option);
    if (!pairs) return tl::unexpected(pairs.error());
    std::map<std::string, std::string, std::less<>> map;
    for (auto& [name, value] : *pairs) {
        if (option == "--header")
            std::ranges::transform(name, name.begin(),
                                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        map.insert_or_assign(std::move(name), std::move(value));
    }
    return map;
}

std::int64_t unix_ms() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

Outcome<routes::Routes> read_routes(const std::string& path) {
    const auto text = read_file(path);
    if (!text) return tl::unexpected(text.error());
    auto parsed = routes::parse_routes(*text, path);
    if (!parsed) return give_up(exit_code::config, parsed.error().what);
    return std::move(*parsed);
}

int print_steps(const Invocation& invocation, const Result<std::vector<routes::Step>>& steps) {
    if (!steps)
        return finish({steps.error().code == Errc::not_found ? exit_code::no : exit_code::data, steps.error().what});
    Output out;
    const std::string array = routes::to_json(*steps);
    if (invocation.format() == Format::json) {
        out.line(indented(array));
    } else if (invocation.format() == Format::ndjson) {
        for (json::Walker walker{array}; walker.next();) out.line(walker.value());
    } else {
        std::string lines = routes::to_text(*steps);
        while (lines.ends_with('\n')) lines.pop_back();
        out.line(lines);
    }
    return exit_code::ok;
}

int explain_record(const Invocation& invocation) {
    for (const std::string_view event_only :
         {"EVENT", "--nsp", "--user", "--auth", "--query", "--room", "--answer", "--right", "--string"}) {
        if (invocation.has(event_only))
            return finish({exit_code::usage, std::string(event_only) + " is for events, and --topic for records"});
    }
    if (invocation.has("--value") && invocation.has("--value-text"))
        return finish({exit_code::usage, "--value and --value-text: one of them is the value"});
    auto headers = pairs_of(invocation, "--header");
    if (!headers) return finish(headers.error());
    routes::RecordQuestion question;
    question.topic = invocation.one("--topic");
    if (invocation.has("--value")) {
        question.value = invocation.one("--value");
        if (!base::is_utf8(*question.value) || !json::is_valid(*question.value))
            return finish({exit_code::data, "--value is not JSON; --value-text takes anything"});
    }
    if (invocation.has("--value-text")) question.value = invocation.one("--value-text");
    if (invocation.has("--key")) question.key = invocation.one("--key");
    question.headers = std::move(*headers);
    question.now_ms = unix_ms();
    const auto parsed = read_routes(invocation.one("FILE"));
    if (!parsed) return finish(parsed.error());
    return print_steps(invocation, routes::explain(*parsed, question));
}

}  // namespace

int run_routes_check(const Invocation& invocation) {
    const std::string path = invocation.one("FILE");
    const auto text = read_file(path);
    if (!text) return finish(text.error());
    const routes::Report report = routes::check(*text, path);
    for (const std::string& problem : report.problems) complain(problem);
    if (!invocation.quiet()) {
        for (const std::string& warning : report.warnings) complain("warning: " + warning);
    }
    if (!report.ok) return exit_code::config;
    Output out;
    if (invocation.format() != Format::table) {
        wire::ObjectWriter members;
        members.text("file", path).number("namespaces", static_cast<std::int64_t>(report.namespaces));
        members.number("events", static_cast<std::int64_t>(report.events));
        members.number("topics", static_cast<std::int64_t>(report.topics)).texts("warnings", report.warnings);
        out.line(invocation.format() == Format::json ? indented(members.object()) : members.object());
    } else if (!invocation.quiet()) {
        out.line(path + ": " + std::to_string(report.namespaces) + " namespaces, " + std::to_string(report.events) +
                 " events, " + std::to_string(report.topics) + " topics, no mistakes");
    }
    return exit_code::ok;
}

int run_routes_explain(const Invocation& invocation) {
    if (invocation.has("--topic")) return explain_record(invocation);
    for (const std::string_view record_only : {"--value", "--value-text", "--key"}) {
        if (invocation.has(record_only))
            return finish({exit_code::usage, std::string(record_only) + " is for records: which --topic?"});
    }
    if (!invocation.has("EVENT")) return finish({exit_code::usage, "which EVENT, or which --topic?"});
    const auto nsp = invocation.nsp();
    if (!nsp) return finish(nsp.error());
    auto arguments = arguments_of(invocation.all("ARG"), invocation.has("--string"));
    if (!arguments) return finish(arguments.error());
    auto answer = arguments_of(invocation.all("--answer"), false);
    if (!answer) return finish(answer.error());
    auto query = map_of(invocation, "--query");
    if (!query) return finish(query.error());
    auto header = map_of(invocation, "--header");
    if (!header) return finish(header.error());
    const auto parsed = read_routes(invocation.one("FILE"));
    if (!parsed) return finish(parsed.error());

    routes::Question question;
    question.nsp = nsp->value_or("/");
    question.event = invocation.one("EVENT");
    question.user = invocation.one("--user");
    question.args = std::move(*arguments);
    question.answer = std::move(*answer);
    question.auth = invocation.one("--auth", "{}");
    const std::string right = invocation.one("--right");
    if (right == "denied") question.right = routes::Grant::Kind::denied;
    if (right == "unavailable") question.right = routes::Grant::Kind::unavailable;
    question.rooms = invocation.all("--room");
    question.query = std::move(*query);
    question.header = std::move(*header);
    question.now_ms = unix_ms();
    return print_steps(invocation, routes::explain(*parsed, question));
}

}  // namespace sio::sioctl
