// routes check, routes explain: a routes file, without a gateway.
#include <algorithm>
#include <cctype>
#include <chrono>

#include "base/json.h"
#include "routes/explain.h"
#include "routes/routes.h"
#include "sioctl/answer.h"
#include "sioctl/arguments.h"
#include "sioctl/files.h"

namespace sio::sioctl {

namespace {

/// Reads `NAME=VALUE` texts; names are made lower-case when they are a header's.
Outcome<std::map<std::string, std::string, std::less<>>> pairs_of(const Invocation& invocation,
                                                                  std::string_view option) {
    std::map<std::string, std::string, std::less<>> pairs;
    for (const std::string& text : invocation.all(option)) {
        const std::size_t equals = text.find('=');
        if (equals == std::string::npos || equals == 0) {
            return give_up(exit_code::usage, std::string(option) + ' ' + text + " is not NAME=VALUE");
        }
        std::string name = text.substr(0, equals);
        if (option == "--header")
            std::ranges::transform(name, name.begin(),
                                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        pairs.insert_or_assign(std::move(name), text.substr(equals + 1));
    }
    return pairs;
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
        members.number("events", static_cast<std::int64_t>(report.events)).texts("warnings", report.warnings);
        out.line(invocation.format() == Format::json ? indented(members.object()) : members.object());
    } else if (!invocation.quiet()) {
        out.line(path + ": " + std::to_string(report.namespaces) + " namespaces, " + std::to_string(report.events) +
                 " events, no mistakes");
    }
    return exit_code::ok;
}

int run_routes_explain(const Invocation& invocation) {
    const std::string path = invocation.one("FILE");
    const auto nsp = invocation.nsp();
    if (!nsp) return finish(nsp.error());
    auto arguments = arguments_of(invocation.all("ARG"), invocation.has("--string"));
    if (!arguments) return finish(arguments.error());
    auto answer = arguments_of(invocation.all("--answer"), false);
    if (!answer) return finish(answer.error());
    auto query = pairs_of(invocation, "--query");
    if (!query) return finish(query.error());
    auto header = pairs_of(invocation, "--header");
    if (!header) return finish(header.error());
    const auto text = read_file(path);
    if (!text) return finish(text.error());
    const auto parsed = routes::parse_routes(*text, path);
    if (!parsed) return finish({exit_code::config, parsed.error().what});

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
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    question.now_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
    const auto steps = routes::explain(*parsed, question);
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

}  // namespace sio::sioctl
