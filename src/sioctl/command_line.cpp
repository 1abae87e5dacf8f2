#include "sioctl/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <memory>
#include <sstream>

#include "base/bytes.h"

namespace sio::sioctl {

namespace {

// The parser takes `[1,2]` apart at the commas, and gives a meaning to some first characters. What must pass through as
// it is begins with this one instead, which is taken off again.
constexpr char shield = '\x1f';
// Between the uses of an option that is a group. No word of a command line has a NUL.
constexpr std::string_view group_separator{"\0", 1};

bool needs_shield(std::string_view word) {
    const bool is_negative = word.size() > 1 && word[0] == '-' && word[1] >= '0' && word[1] <= '9';
    return is_negative || word.empty() || word.front() == '[' || word.front() == shield || word == "++" || word == "%%";
}

std::string unshield(const std::string& word) {
    return !word.empty() && word.front() == shield ? word.substr(1) : word;
}

/// The parser for the whole command line, and where it leaves what it found.
class Parser {
public:
    Parser() : app_("Ask a sio gateway, or be a client of one.", "sioctl") {
        app_.require_subcommand(1, 1);
        app_.set_version_flag("--version", "sioctl " SIO_VERSION);
        app_.footer(
            "\nsioctl COMMAND --help tells more. Exit codes are in sioctl(1).\n\nExamples:\n"
            "  sioctl emit notification '{\"message\":\"hello\"}' --to alice\n"
            "  sioctl listen | jq -r .event");
        add(app_, global_options());
        std::map<std::string, CLI::App*, std::less<>> groups;
        for (const Command& command : commands()) {
            CLI::App* parent = &app_;
            std::string word{command.words};
            if (const std::size_t blank = word.find(' '); blank != std::string::npos) {
                const std::string first = word.substr(0, blank);
                CLI::App*& group = groups[first];
                if (group == nullptr) {
                    group = app_.add_subcommand(first, std::string(find_group(first)->sentence));
                    group->require_subcommand(1, 1)->fallthrough();
                }
                parent = group;
                word = word.substr(blank + 1);
            }
            CLI::App* app = parent->add_subcommand(word, std::string(command.sentence));
            app->fallthrough()->footer("\nExamples:\n" + std::string(command.examples));
            add(*app, command.arguments);
            add(*app, command.options);
            apps_.emplace_back(app, &command);
        }
    }

    Outcome<Invocation> parse(int argc, const char* const* argv) {
        Invocation invocation;
        std::vector<std::string> words;
        bool literal = false;
        for (int i = 1; i < argc; ++i) {
            const std::string_view word = argv[i];
            if (!literal && word == "--") {
                literal = true;
            } else if (literal) {
                invocation.command_to_run.emplace_back(word);
            } else {
                words.push_back(needs_shield(word) ? shield + std::string(word) : std::string(word));
            }
        }
        // Without a command to run, `--` only says that no option follows.
        const bool runs = std::any_of(words.begin(), words.end(), [](const std::string& word) {
            return std::any_of(commands().begin(), commands().end(),
                               [&](const Command& command) { return command.takes_command && command.words == word; });
        });
        if (!runs) {
            for (const std::string& word : invocation.command_to_run) words.push_back(shield + word);
            invocation.command_to_run.clear();
        }
        std::reverse(words.begin(), words.end());
        try {
            std::vector<std::string> consumed = words;
            app_.parse(consumed);
        } catch (const CLI::ParseError& error) {
            std::ostringstream out;
            std::ostringstream err;
            const int code = app_.exit(error, out, err);
            if (code == 0) return give_up(exit_code::ok, out.str());
            return give_up(exit_code::usage, describe(error, words));
        }
        collect(app_, global_options(), invocation);
        for (const auto& [app, command] : apps_) {
            if (!app->parsed()) continue;
            invocation.command = command;
            collect(*app, command->arguments, invocation);
            collect(*app, command->options, invocation);
        }
        if (invocation.command->takes_command && invocation.command_to_run.empty())
            return give_up(exit_code::usage, "no command to run: put it after --");
        return invocation;
    }

    [[nodiscard]] std::vector<std::string> options_of(const Command& wanted) const {
        std::vector<std::string> names;
        for (const auto& [app, command] : apps_) {
            if (command != &wanted) continue;
            for (const CLI::App* level : {static_cast<const CLI::App*>(app), &app_}) {
                for (const CLI::Option* option : level->get_options()) {
                    if (option->get_positional()) continue;
                    if (level == &app_ && option->check_lname("version")) continue;
                    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
                    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
                }
            }
        }
        std::sort(names.begin(), names.end());
        names.erase(std::unique(names.begin(), names.end()), names.end());
        return names;
    }

private:
    static void add(CLI::App& app, const std::vector<Argument>& arguments) {
        for (const Argument& argument : arguments) {
            const std::string name{argument.name};
            const std::string sentence{argument.sentence};
            const bool is_option = argument.name.starts_with('-');
            if (argument.times == Times::flag) {
                app.add_flag(name, sentence);
                continue;
            }
            // A function takes the place of a variable: the results are read from the option itself.
            CLI::Option* option = app.add_option(
                name, [](const CLI::results_t&) { return true; }, sentence);
            option->type_name(is_option ? std::string(argument.value) : "");
            switch (argument.times) {
                case Times::many:
                    if (is_option) {
                        option->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
                    } else {
                        option->expected(1, CLI::detail::expected_max_vector_size)->allow_extra_args();
                    }
                    break;
                case Times::at_least_once:
                    option->required()->expected(1, CLI::detail::expected_max_vector_size)->allow_extra_args();
                    break;
                case Times::group:
                    option->expected(1, CLI::detail::expected_max_vector_size)->allow_extra_args();
                    option->inject_separator();
                    option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
                    break;
                case Times::once: option->expected(1)->required(!is_option); break;
                case Times::flag:
                case Times::optional: option->expected(1); break;
            }
            if (!argument.choices.empty() && argument.choices.front() != '@') {
                std::vector<std::string> words;
                std::istringstream in{std::string(argument.choices)};
                for (std::string word; std::getline(in, word, '|');) words.push_back(word);
                option->check(CLI::IsMember(std::move(words)));
            }
        }
    }

    static void collect(const CLI::App& app, const std::vector<Argument>& arguments, Invocation& invocation) {
        for (const Argument& argument : arguments) {
            const CLI::Option* option = app.get_option_no_throw(std::string(long_name(argument)));
            if (option == nullptr || option->count() == 0) continue;
            std::vector<std::string> values;
            for (const std::string& value : option->results()) {
                // The parser puts an empty word between groups; one that was typed wears the shield.
                values.push_back(value.empty() ? std::string(group_separator) : unshield(value));
            }
            invocation.set(long_name(argument), std::move(values));
        }
    }

    /// What is wrong with the command line, in one sentence. `words` are reversed.
    std::string describe(const CLI::ParseError& error, const std::vector<std::string>& words) const {
        std::string text = error.what();
        if (text == "A subcommand is required") {
            const auto known = [](const std::string& word) {
                return word.starts_with('-') || find_group(word) != nullptr;
            };
            const auto unknown = std::find_if_not(words.rbegin(), words.rend(), known);
            const auto group = std::find_if(words.rbegin(), words.rend(),
                                            [](const std::string& word) { return find_group(word) != nullptr; });
            text = unknown == words.rend() ? "which command?" : "no such command: " + *unknown;
            if (group != words.rend()) text += "; sioctl " + *group + " has " + members_of(*group);
        }
        std::erase(text, shield);
        if (const std::size_t line = text.find('\n'); line != std::string::npos) text.resize(line);
        if (!text.empty() && text.front() >= 'A' && text.front() <= 'Z' && text.size() > 1 && text[1] >= 'a')
            text.front() = static_cast<char>(text.front() - 'A' + 'a');
        std::string help = "sioctl";
        for (const auto& [app, command] : apps_) {
            if (app->parsed()) help += " " + std::string(command->words);
        }
        return text + " (" + help + " --help)";
    }

    /// `check, explain and reload`
    static std::string members_of(std::string_view group) {
        std::vector<std::string_view> all;
        for (const Command& command : commands()) {
            if (command.words.starts_with(std::string(group) + " "))
                all.push_back(command.words.substr(group.size() + 1));
        }
        std::string text;
        for (std::size_t i = 0; i < all.size(); ++i) {
            if (i > 0) text += i + 1 == all.size() ? " and " : ", ";
            text += all[i];
        }
        return text;
    }

    CLI::App app_;
    std::vector<std::pair<CLI::App*, const Command*>> apps_;
};

}  // namespace

std::optional<std::chrono::milliseconds> parse_time(std::string_view text) {
    std::size_t end = 0;
    while (end < text.size() && ((text[end] >= '0' && text[end] <= '9') || text[end] == '.')) ++end;
    const std::string digits{text.substr(0, end)};
    const std::string_view unit = text.substr(end);
    double factor = 0;
    if (unit == "ms") factor = 1;
    if (unit.empty() || unit == "s") factor = 1000;
    if (unit == "m") factor = 60'000;
    if (unit == "h") factor = 3'600'000;
    if (factor == 0 || digits.empty() || digits == "." || std::count(digits.begin(), digits.end(), '.') > 1)
        return std::nullopt;
    const double ms = std::strtod(digits.c_str(), nullptr) * factor;
    if (!(ms <= 365.0 * 24 * 3'600'000)) return std::nullopt;
    return std::chrono::milliseconds{static_cast<std::int64_t>(std::ceil(ms))};
}

std::string Invocation::one(std::string_view name, std::string_view fallback) const {
    const auto found = values_.find(name);
    return found == values_.end() || found->second.empty() ? std::string(fallback) : found->second.front();
}

const std::vector<std::string>& Invocation::all(std::string_view name) const {
    static const std::vector<std::string> none;
    const auto found = values_.find(name);
    return found == values_.end() ? none : found->second;
}

std::vector<std::vector<std::string>> Invocation::groups(std::string_view name) const {
    std::vector<std::vector<std::string>> groups;
    bool begins = true;
    for (const std::string& value : all(name)) {
        if (value == group_separator) {
            begins = true;
            continue;
        }
        if (std::exchange(begins, false)) groups.emplace_back();
        groups.back().push_back(value);
    }
    return groups;
}

Outcome<std::chrono::milliseconds> Invocation::time(std::string_view name, std::chrono::milliseconds fallback) const {
    if (!has(name)) return fallback;
    const auto parsed = parse_time(one(name));
    if (!parsed)
        return give_up(exit_code::usage,
                       std::string(name) + ": " + one(name) + " is no length of time (5s, 500ms, 2m)");
    return *parsed;
}

Outcome<std::optional<std::uint64_t>> Invocation::number(std::string_view name, std::uint64_t least) const {
    if (!has(name)) return std::optional<std::uint64_t>{};
    const auto parsed = base::parse_decimal(one(name), 1'000'000'000);
    if (!parsed || *parsed < least)
        return give_up(exit_code::usage, std::string(name) + ": " + one(name) + " is no whole number from " +
                                             std::to_string(least) + " to 1000000000");
    return std::optional<std::uint64_t>{*parsed};
}

Outcome<std::optional<std::string>> Invocation::nsp() const {
    if (!has("--nsp")) return std::optional<std::string>{};
    std::string nsp = one("--nsp");
    if (nsp.empty() || nsp.front() != '/')
        return give_up(exit_code::usage, "--nsp: a namespace begins with /, as in /" + nsp);
    return std::optional<std::string>{std::move(nsp)};
}

Outcome<wire::Selection> Invocation::selection() const {
    wire::Selection selection;
    const auto nsp_given = nsp();
    if (!nsp_given) return tl::unexpected(nsp_given.error());
    if (*nsp_given) selection.nsp = **nsp_given;
    selection.to = all("--to");
    selection.to.insert(selection.to.end(), all("NAME").begin(), all("NAME").end());
    selection.users = all("--user");
    selection.sockets = all("--socket");
    selection.except = all("--except");
    for (const auto* list : {&selection.to, &selection.users, &selection.sockets, &selection.except}) {
        for (const std::string& name : *list) {
            // An empty name is what an unset shell variable leaves; it must not become everybody.
            if (name.empty()) return give_up(exit_code::usage, "an empty name selects nobody");
            if (!base::is_utf8(name)) return give_up(exit_code::usage, "a name is not UTF-8");
        }
    }
    return selection;
}

std::string Invocation::control_path() const {
    if (has("--control")) return one("--control");
    const char* variable = std::getenv("SIO_CONTROL");
    return variable != nullptr && *variable != '\0' ? std::string(variable) : wire::default_control_path();
}

namespace {

/// `variable` of the environment, or else `name` beside the gateway's default control socket.
std::string path_beside(const char* variable, std::string_view name) {
    const char* const given = std::getenv(variable);
    if (given != nullptr && *given != '\0') return given;
    const std::string beside = wire::default_control_path();
    return beside.substr(0, beside.rfind('/') + 1) + std::string(name);
}

}  // namespace

std::string Invocation::authd_path() const {
    return has("--authd") ? one("--authd") : path_beside("SIO_AUTHD", "authd.sock");
}

std::string Invocation::bridge_path() const {
    return has("--bridge") ? one("--bridge") : path_beside("SIO_BRIDGE", "bridge.sock");
}

Format Invocation::format(Format on_terminal, Format in_pipe) const {
    const std::string given = one("--output");
    if (given == "table") return Format::table;
    if (given == "json") return Format::json;
    if (given == "ndjson") return Format::ndjson;
    return Output::is_terminal() ? on_terminal : in_pipe;
}

Outcome<Invocation> parse_command_line(int argc, const char* const* argv) { return Parser{}.parse(argc, argv); }

std::vector<std::string> parser_options(const Command& command) { return Parser{}.options_of(command); }

}  // namespace sio::sioctl
