// The routes files that are shipped, and those that tests use, are without mistakes; the schema knows the same words.
#include <criterion/criterion.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/json.h"
#include "routes/explain.h"

using namespace sio;

namespace {

std::string content(std::string_view path) {
    const auto root = std::filesystem::path(__FILE__).parent_path().parent_path().parent_path().parent_path();
    std::ifstream file(root / path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

}  // namespace

Test(routes_files, shipped_files_are_without_mistakes_and_warnings) {
    for (const std::string_view path : {"share/demo/routes.json", "deploy/conf/routes.json"}) {
        const auto report = routes::check(content(path), path);
        for (const auto& problem : report.problems) cr_expect(false, "%s", problem.c_str());
        for (const auto& warning : report.warnings) cr_expect(false, "%s", warning.c_str());
        cr_expect(report.ok && report.events > 0);
    }
}

Test(routes_files, files_of_tests_are_without_mistakes) {
    for (const std::string_view path :
         {"tests/conformance/routes.json", "tests/integration/routes.json", "tests/bench/routes.json"}) {
        const auto report = routes::check(content(path), path);
        for (const auto& problem : report.problems) cr_expect(false, "%s", problem.c_str());
        cr_expect(report.ok && report.events > 0);
    }
}

Test(routes_files, the_schema_has_each_verb_with_its_options) {
    const std::string schema = content("share/routes.schema.json");
    cr_assert(json::is_valid(schema));
    const auto definitions = json::member(schema, "definitions");
    cr_assert(definitions.has_value());
    // A property of the schema is accepted by the loader, and the loader's list of what may stand there is as long.
    for (const std::string_view verb :
         {"join", "leave", "emit", "ask", "ack", "hand", "publish", "deny", "disconnect"}) {
        const auto definition = json::member(*definitions, verb);
        cr_assert(definition.has_value(), "%.*s", int(verb.size()), verb.data());
        const std::string_view properties = *json::member(*definition, "properties");
        std::string want;
        for (json::Walker walker{properties}; walker.next();) {
            want += want.empty() ? "" : "|";
            want += walker.key();
        }
        const std::string text = R"({"version":1,"namespaces":{"/":{"events":{"e":[{")" + std::string{verb} +
                                 R"(":"client","no-such-option":1}]}}}})";
        const auto report = routes::check(text, "r");
        std::string got;
        for (const std::string& problem : report.problems) {
            const std::size_t at = problem.find("is not known here; write ");
            if (at == std::string::npos) continue;
            for (std::size_t i = problem.find('"', at); i != std::string::npos; i = problem.find('"', i)) {
                const std::size_t end = problem.find('"', i + 1);
                got += (got.empty() ? "" : "|") + problem.substr(i, end - i + 1);
                i = end + 1;
            }
        }
        const auto sorted = [](std::string words) {
            std::vector<std::string> all;
            std::istringstream stream(words);
            for (std::string word; std::getline(stream, word, '|');) all.push_back(word);
            std::sort(all.begin(), all.end());
            return all;
        };
        cr_expect(sorted(got) == sorted(want), "%.*s: the loader knows %s, the schema %s", int(verb.size()),
                  verb.data(), got.c_str(), want.c_str());
    }
}

Test(routes_files, the_schema_has_each_verb_of_topics_with_its_options) {
    const std::string schema = content("share/routes.schema.json");
    const auto definitions = json::member(schema, "definitions");
    cr_assert(definitions.has_value());
    for (const std::string verb : {"emit", "join", "leave", "disconnect"}) {
        const auto definition = json::member(*definitions, "record_" + verb);
        cr_assert(definition.has_value(), "%s", verb.c_str());
        constexpr std::string_view want = "is not known here; write ";
        std::vector<std::string> known;
        for (json::Walker walker{*json::member(*definition, "properties")}; walker.next();) {
            known.emplace_back(walker.key());
        }
        const std::string text = R"({"version":1,"topics":{"t":[{")" + verb + R"(":"client","no-such-option":1}]}})";
        const auto report = routes::check(text, "r");
        std::size_t quotes = 0;
        for (const std::string& problem : report.problems) {
            const std::size_t at = problem.find(want);
            if (at == std::string::npos) continue;
            quotes = static_cast<std::size_t>(
                std::count(problem.begin() + static_cast<std::ptrdiff_t>(at), problem.end(), '"'));
            for (const std::string& word : known) {
                cr_expect(problem.find(word, at) != std::string::npos, "%s: %s", word.c_str(), problem.c_str());
            }
        }
        cr_expect(quotes == 2 * known.size(), "%s: the schema has %zu words", verb.c_str(), known.size());
    }
}
