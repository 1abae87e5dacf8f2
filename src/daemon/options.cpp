#include "daemon/options.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <numeric>
#include <sstream>
#include <utility>

#include "base/bytes.h"
#include "daemon/judge.h"
#include "daemon/wrapping.h"

namespace sio::daemon {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t max_file_bytes = 1U << 20U;

std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

/// How many characters must be changed, added or taken away to turn `a` into `b`.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
        }
    }
    return row[b.size()];
}

const std::vector<std::string_view>& common_flags() {
    static const std::vector<std::string_view> flags{"config", "check-config", "print-config", "sample-config",
                                                     "online", "help",         "version"};
    return flags;
}

/// "; did you mean 'NAME'?" or nothing.
std::string suggestion(std::string_view name, std::span<const Option> options, bool flags) {
    std::string best;
    std::size_t least = std::max<std::size_t>(2, name.size() / 3) + 1;
    const auto consider = [&](const std::string& candidate) {
        const std::size_t d = distance(name, candidate);
        if (d < least) {
            least = d;
            best = candidate;
        }
    };
    for (const Option& option : options) {
        if (option.is_prefix) continue;
        consider(option.name);
        if (flags && option.is_switch) consider("no-" + option.name);
    }
    if (flags) {
        for (const auto flag : common_flags()) consider(std::string(flag));
    }
    return best.empty() ? "" : "; did you mean " + quoted((flags ? "--" : "") + best) + "?";
}

/// The option of that name, else the longest prefix it begins with.
Option* find(std::span<Option> options, std::string_view name) {
    Option* best = nullptr;
    for (Option& option : options) {
        if (!option.is_prefix) {
            if (option.name == name) return &option;
        } else if (name.size() > option.name.size() && name.starts_with(option.name) &&
                   (best == nullptr || option.name.size() > best->name.size())) {
            best = &option;
        }
    }
    return best;
}

/// A value that some source gave, and what to call that source in an error and in --print-config.
struct Given {
    std::string value;
    std::string source;
    std::string name = {};  ///< of an option that is a prefix: what followed it
};
using Values = std::map<const Option*, std::vector<Given>>;

std::vector<std::string> split_at_commas(std::string_view text) {
    std::vector<std::string> parts;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(','), text.size());
        const std::string_view part = base::trim(text.substr(0, end));
        if (!part.empty()) parts.emplace_back(part);
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return parts;
}

/// Sets an option to what one source gave. `from_environment` values are always split when the option is a list.
void apply(Option& option, const std::vector<Given>& given, bool from_environment, Errc code, Findings& findings) {
    const auto set = [&](const Given& one, std::string_view value) {
        const auto done = option.set(value);
        if (done) return;
        const std::string place = one.source + (code == Errc::usage ? ": " : ": " + option.name + one.name + ": ");
        findings.add({code, place + done.error().what});
    };
    if (option.is_prefix) {
        std::string sources = option.source == "default" ? "" : option.source;
        for (const Given& one : given) {
            set(one, one.name + "=" + one.value);
            const std::string source = code == Errc::usage ? "flag" : one.source;
            if (!sources.ends_with(source)) sources += (sources.empty() ? "" : ", ") + source;
        }
        option.source = std::move(sources);
        return;
    }
    if (option.is_list) {
        option.clear();
        for (const Given& one : given) {
            const bool split = from_environment || !option.keep_commas;
            for (const auto& part : split ? split_at_commas(one.value) : std::vector<std::string>{one.value}) {
                set(one, from_environment ? unwrap(part).inner : std::string_view(part));
            }
        }
    } else {
        set(given.back(), given.back().value);
    }
    option.source = code == Errc::usage ? "flag" : given.back().source;
}

/// Takes off what stands around a value; of a secret it is only warned of. `place` is a variable, or file and line with
/// the key.
std::string unwrapped(const Option& option, const std::string& place, std::string value, Findings& findings) {
    if (option.is_verbatim || option.is_prefix) {
        if (auto warning = secret_warning(place, value); !warning.empty()) findings.warn(std::move(warning));
        return value;
    }
    const Unwrapped found = unwrap(value);
    if (found.around.empty()) return value;
    // Of `"a","b"` each element has quotes of its own.
    const bool is_quoted_list = option.is_list && found.inner.find_first_of("\"'") != std::string_view::npos;
    findings.warn(place + ": what stands around the value (" + found.around + ") is not taken for a part of it; " +
                  "write it without");
    return is_quoted_list ? std::string(base::trim(value)) : std::string(found.inner);
}

/// What follows the option's own name when that is a prefix.
std::string rest_of(const Option& option, std::string_view name) {
    return option.is_prefix ? std::string(name.substr(option.name.size())) : std::string();
}

struct CommandLine {
    Loaded loaded;
    Values flags;
};

/// `--online` or `--online=DURATION`; nothing when the argument is another. Errors: `malformed`.
std::optional<Result<milliseconds>> online_of(std::string_view argument) {
    constexpr std::string_view flag = "--online";
    if (argument == flag) return online_limit;
    if (!argument.starts_with(flag) || argument[flag.size()] != '=') return std::nullopt;
    return parse_duration(argument.substr(flag.size() + 1), milliseconds(100), milliseconds(600'000));
}

/// Actions that say something and need nothing else come first, whatever else is on the line.
CommandLine read_arguments(std::span<Option> options, std::span<const char* const> arguments, Findings& findings) {
    CommandLine line;
    const auto wrong = [&](std::string what) { findings.add({Errc::usage, std::move(what)}); };
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string_view argument = arguments[i];
        if (argument == "-h" || argument == "--help") {
            line.loaded.action = Action::help;
            return line;
        }
        if (argument == "-V" || argument == "--version") {
            line.loaded.action = Action::version;
            return line;
        }
        if (argument == "--check-config" || argument == "--print-config" || argument == "--sample-config") {
            line.loaded.action = argument == "--check-config"   ? Action::check_config
                                 : argument == "--print-config" ? Action::print_config
                                                                : Action::sample_config;
            continue;
        }
        if (const auto online = online_of(argument)) {
            if (!*online) wrong("--online: " + online->error().what);
            line.loaded.online = online->value_or(online_limit);
            continue;
        }
        if (!argument.starts_with("--") || argument.size() == 2) {
            wrong("unexpected argument " + quoted(argument));
            continue;
        }
        const std::size_t equals = argument.find('=');
        const std::string_view name = argument.substr(2, equals == std::string_view::npos ? equals : equals - 2);
        std::optional<std::string> value;
        if (equals != std::string_view::npos) value = argument.substr(equals + 1);

        Option* option = find(options, name);
        if (option == nullptr && name.starts_with("no-") && !value) {
            option = find(options, name.substr(3));
            if (option != nullptr && !option->is_switch) option = nullptr;
            if (option != nullptr) value = "off";
        }
        const std::string flag = "--" + std::string(name);
        if (option == nullptr && name != "config") {
            wrong("unknown option " + quoted(flag) + suggestion(name, options, true));
            const bool has_value = !value && i + 1 < arguments.size() && arguments[i + 1][0] != '-';
            if (has_value) ++i;  // it may be the unknown option's
            continue;
        }
        if (!value && option != nullptr && option->is_switch) {
            const bool is_followed = i + 1 < arguments.size() && !std::string_view(arguments[i + 1]).starts_with('-');
            value = option->may_have_value && is_followed ? arguments[++i] : "on";
        }
        if (!value) {
            if (i + 1 == arguments.size()) {
                wrong("option " + quoted(flag) + " needs a value");
                continue;
            }
            value = arguments[++i];
        }
        if (option == nullptr) {
            line.loaded.config_file = *value;
        } else {
            line.flags[option].push_back({*value, flag, rest_of(*option, name)});
        }
    }
    if (line.loaded.online && line.loaded.action != Action::check_config) {
        wrong("--online goes with --check-config: it tries what a check has judged");
    }
    return line;
}

Result<std::string> read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::string text;
    if (in) {
        text.resize(max_file_bytes + 1);
        in.read(text.data(), static_cast<std::streamsize>(text.size()));
        text.resize(static_cast<std::size_t>(in.gcount()));
    }
    if (!in && !in.eof()) {  // a folder opens, but cannot be read
        return fail(Errc::config, "cannot read " + path + ": " + std::strerror(errno));
    }
    if (text.size() > max_file_bytes) return fail(Errc::config, "cannot read " + path + ": larger than 1 MB");
    return text;
}

Values read_config(std::span<Option> options, const std::string& path, Findings& findings) {
    const auto text = read_file(path);
    if (!findings.check(text)) return {};
    const auto wrong = [&](std::string what) { findings.add({Errc::config, std::move(what)}); };
    Values values;
    std::istringstream lines(*text);
    std::string line;
    for (int number = 1; std::getline(lines, line); ++number) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        if (number == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);  // as editors of Windows begin a file
        const std::string_view content = base::trim(line);
        if (content.empty() || content.front() == '#') continue;
        const std::string place = path + ":" + std::to_string(number);
        const std::size_t equals = content.find('=');
        if (equals == std::string_view::npos) {
            wrong(place + ": " + quoted(content) + " is not a 'key = value' line");
            continue;
        }
        const std::string_view key = base::trim(content.substr(0, equals));
        Option* const option = find(options, key);
        if (option == nullptr) {
            wrong(place + ": unknown key " + quoted(key) + suggestion(key, options, false));
            continue;
        }
        auto& given = values[option];
        std::string rest = rest_of(*option, key);
        const auto before = std::ranges::find(given, rest, &Given::name);
        if (before != given.end() && !option->is_list) {
            wrong(place + ": " + quoted(key) + " is set already, at " + before->source);
            continue;
        }
        std::string value = unwrapped(*option, place + ": " + std::string(key),
                                      std::string(base::trim(content.substr(equals + 1))), findings);
        if (option->holds_secret && option->holds_secret(option->is_prefix ? rest + "=" + value : value)) {
            warn_of_mode(place + ": " + std::string(key), path, findings);
        }
        given.push_back({std::move(value), place, std::move(rest)});
    }
    return values;
}

std::optional<Given> from_environment(const Option& option, const Environment& environment, Findings& findings) {
    for (const auto& name : option.env) {
        auto value = environment(name);
        if (!value || value->empty()) continue;
        if (is_service_link(name, unwrap(*value).inner)) {
            findings.warn(
                name + ": " + quoted(unwrap(*value).inner) +
                " is what an orchestrator sets for a service of that name; it is ignored (enableServiceLinks: "
                "false leaves it out)");
            continue;
        }
        std::string inner = unwrapped(option, name, std::move(*value), findings);
        if (!inner.empty()) return Given{std::move(inner), name};
    }
    return std::nullopt;
}

/// `text` in lines of at most `width` characters, each begun with `indent`.
std::string wrapped(std::string_view text, std::string_view indent, std::size_t width) {
    std::string out;
    std::string line(indent);
    std::istringstream words{std::string(text)};
    for (std::string word; words >> word;) {
        if (line.size() > indent.size() && line.size() + 1 + word.size() > width) {
            out += line + "\n";
            line = indent;
        }
        if (line.size() > indent.size()) line += ' ';
        line += word;
    }
    if (line.size() > indent.size()) out += line + "\n";
    return out;
}

std::string joined(const std::vector<std::string>& parts, std::string_view between) {
    std::string out;
    for (const auto& part : parts) out += (out.empty() ? "" : std::string(between)) + part;
    return out;
}

/// `key = value` and a line feed, of a value as show() gives it.
std::string line_of(const Option& option, std::string_view value) {
    std::string key = option.shown_name();
    if (option.is_prefix && !value.empty()) {
        const std::size_t equals = std::min(value.find('='), value.size());
        key = option.name + std::string(value.substr(0, equals));
        value.remove_prefix(std::min(equals + 1, value.size()));
    }
    return key + " =" + (value.empty() ? "" : " ") + std::string(value) + "\n";
}

struct Unit {
    std::string_view name;
    std::uint64_t factor;
};

/// The number in `text` times its unit; nothing when the number or unit is none, or too large. The first unit is the
/// one meant when none is written and `unit_optional`.
std::optional<std::uint64_t> parse_with_unit(std::string_view text, std::span<const Unit> units, bool unit_optional) {
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    const auto number = base::parse_decimal(text.substr(0, digits), INT64_MAX);
    if (!number) return std::nullopt;
    const std::string_view unit = base::trim(text.substr(digits));
    if (unit.empty()) return *number == 0 || unit_optional ? number : std::nullopt;
    for (const auto& [name, factor] : units) {
        if (!base::equal_ignoring_case(name, unit)) continue;
        if (*number > INT64_MAX / factor) return std::nullopt;
        return *number * factor;
    }
    return std::nullopt;
}

}  // namespace

Result<std::int64_t> parse_number(std::string_view text, std::int64_t least, std::int64_t most) {
    const bool negative = text.starts_with('-');
    const auto digits = base::parse_decimal(negative ? text.substr(1) : text, INT64_MAX);
    if (!digits) return fail(Errc::malformed, quoted(text) + " is not a whole number");
    const auto value = negative ? -static_cast<std::int64_t>(*digits) : static_cast<std::int64_t>(*digits);
    if (value < least || value > most) {
        return fail(Errc::malformed,
                    quoted(text) + " is not within " + std::to_string(least) + " and " + std::to_string(most));
    }
    return value;
}

Result<milliseconds> parse_duration(std::string_view text, milliseconds least, milliseconds most) {
    constexpr Unit units[] = {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}};
    const auto value = parse_with_unit(text, units, false);
    if (!value) return fail(Errc::malformed, quoted(text) + " is not a duration, such as 300ms, 25s, 2m or 1h");
    const milliseconds result{*value};
    if (result < least || result > most) {
        return fail(Errc::malformed,
                    quoted(text) + " is not within " + show_duration(least) + " and " + show_duration(most));
    }
    return result;
}

Result<std::size_t> parse_bytes(std::string_view text, std::size_t least, std::size_t most) {
    constexpr Unit units[] = {{"B", 1}, {"KB", 1U << 10U}, {"MB", 1U << 20U}, {"GB", 1U << 30U}};
    const auto value = parse_with_unit(text, units, true);
    if (!value) return fail(Errc::malformed, quoted(text) + " is not a size, such as 1000000, 64KB or 4MB");
    if (*value < least || *value > most) {
        return fail(Errc::malformed, quoted(text) + " is not within " + show_bytes(least) + " and " + show_bytes(most));
    }
    return static_cast<std::size_t>(*value);
}

std::string show_duration(milliseconds value) {
    const auto count = value.count();
    if (count == 0) return "0";
    if (count % 3'600'000 == 0) return std::to_string(count / 3'600'000) + "h";
    if (count % 1000 == 0) return std::to_string(count / 1000) + "s";
    return std::to_string(count) + "ms";
}

std::string show_bytes(std::size_t value) {
    constexpr Unit units[] = {{"GB", 1U << 30U}, {"MB", 1U << 20U}, {"KB", 1U << 10U}};
    for (const auto& [name, factor] : units) {
        if (value >= factor && value % factor == 0) return std::to_string(value / factor) + std::string(name);
    }
    return std::to_string(value);
}

Option text(Option option, std::string& target) {
    if (option.value.empty()) option.value = "TEXT";
    option.set = [&target](std::string_view given) -> Result<void> {
        target = given;
        return {};
    };
    option.show = [&target]() -> std::vector<std::string> { return {target}; };
    return option;
}

Option list(Option option, std::vector<std::string>& target) {
    if (option.value.empty()) option.value = "LIST";
    option.is_list = true;
    option.set = [&target](std::string_view given) -> Result<void> {
        target.emplace_back(given);
        return {};
    };
    option.clear = [&target] { target.clear(); };
    option.show = [&target] { return target; };
    return option;
}

Option prefix(Option option, std::vector<std::pair<std::string, std::string>>& target,
              std::function<bool(std::string_view name)> is_secret) {
    if (option.value.empty()) option.value = "VALUE";
    option.is_prefix = true;
    option.set = [&target](std::string_view given) -> Result<void> {
        const std::size_t equals = std::min(given.find('='), given.size());
        const std::string_view name = given.substr(0, equals);
        std::string value(given.substr(std::min(equals + 1, given.size())));
        for (auto& [known, old] : target) {
            if (known != name) continue;
            old = std::move(value);
            return {};
        }
        target.emplace_back(name, std::move(value));
        return {};
    };
    if (is_secret) {
        option.holds_secret = [is_secret](std::string_view given) {
            return is_secret(given.substr(0, given.find('=')));
        };
    }
    option.show = [&target, is_secret = std::move(is_secret)] {
        std::vector<std::string> shown;
        for (const auto& [name, value] : target) {
            shown.push_back(name + "=" + (is_secret && is_secret(name) ? "(set)" : value));
        }
        return shown;
    };
    return option;
}

Option on_off(Option option, bool& target) {
    option.is_switch = true;
    option.set = [&target](std::string_view given) -> Result<void> {
        for (const auto* word : {"on", "true", "yes", "1"}) {
            if (base::equal_ignoring_case(given, word)) {
                target = true;
                return {};
            }
        }
        for (const auto* word : {"off", "false", "no", "0"}) {
            if (base::equal_ignoring_case(given, word)) {
                target = false;
                return {};
            }
        }
        return fail(Errc::malformed, quoted(given) + " is neither on nor off");
    };
    option.show = [&target]() -> std::vector<std::string> { return {target ? "on" : "off"}; };
    return option;
}

Option duration(Option option, milliseconds& target, milliseconds least, milliseconds most) {
    if (option.value.empty()) option.value = "DURATION";
    option.set = [&target, least, most](std::string_view given) -> Result<void> {
        const auto parsed = parse_duration(given, least, most);
        if (!parsed) return tl::unexpected(parsed.error());
        target = *parsed;
        return {};
    };
    option.show = [&target]() -> std::vector<std::string> { return {show_duration(target)}; };
    return option;
}

Option bytes(Option option, std::size_t& target, std::size_t least, std::size_t most) {
    if (option.value.empty()) option.value = "BYTES";
    option.set = [&target, least, most](std::string_view given) -> Result<void> {
        const auto parsed = parse_bytes(given, least, most);
        if (!parsed) return tl::unexpected(parsed.error());
        target = *parsed;
        return {};
    };
    option.show = [&target]() -> std::vector<std::string> { return {show_bytes(target)}; };
    return option;
}

Option bytes_or_off(Option option, std::optional<std::size_t>& target, std::size_t least, std::size_t most) {
    if (option.value.empty()) option.value = "BYTES|off";
    option.set = [&target, least, most](std::string_view given) -> Result<void> {
        if (given == "off") {
            target.reset();
            return {};
        }
        const auto parsed = parse_bytes(given, least, most);
        if (!parsed) return tl::unexpected(parsed.error());
        target = *parsed;
        return {};
    };
    option.show = [&target]() -> std::vector<std::string> { return {target ? show_bytes(*target) : "off"}; };
    return option;
}

std::optional<std::string> process_environment(const std::string& name) {
    const char* const value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

Result<Loaded> load(std::span<Option> options, std::span<const char* const> arguments, const Environment& environment) {
    Findings findings;
    Loaded loaded = read(options, arguments, environment, findings);
    if (auto result = findings.result(); !result) return tl::unexpected(result.error());
    return loaded;
}

Loaded read(std::span<Option> options, std::span<const char* const> arguments, const Environment& environment,
            Findings& findings) {
    Findings of_line;
    const CommandLine line = read_arguments(options, arguments, of_line);
    const Loaded& loaded = line.loaded;
    if (loaded.action == Action::help || loaded.action == Action::version || loaded.action == Action::sample_config) {
        return loaded;
    }
    if (const auto result = of_line.result(); !result) findings.add(result.error());
    Values from_file;
    if (!loaded.config_file.empty()) from_file = read_config(options, loaded.config_file, findings);
    // Each source is applied whole, the lowest first: a wrong value is told even where a higher source overrides it.
    for (Option& option : options) {
        if (const auto found = from_file.find(&option); found != from_file.end()) {
            apply(option, found->second, false, Errc::config, findings);
        }
        if (const auto found = from_environment(option, environment, findings)) {
            apply(option, {*found}, true, Errc::config, findings);
        }
        if (const auto found = line.flags.find(&option); found != line.flags.end()) {
            apply(option, found->second, false, Errc::usage, findings);
        }
    }
    return loaded;
}

std::string help_text(std::string_view program, std::string_view about, std::span<const Option> options) {
    std::string out = "usage: " + std::string(program) + " [OPTION…]\n" + wrapped(about, "", 100);
    std::string group;
    for (const Option& option : options) {
        if (option.group != group) out += "\n" + (group = option.group) + "\n";
        out += "  --" + std::string(option.is_switch ? "[no-]" : "") + option.shown_name() +
               (!option.is_switch       ? " " + option.value
                : option.may_have_value ? " [" + option.value + "]"
                                        : "") +
               "\n";
        std::string facts = option.help;
        const std::string initial = joined(option.show(), ", ");
        if (!option.is_prefix) facts += " Default: " + (initial.empty() ? "none" : initial) + ".";
        if (!option.env.empty()) facts += " Environment: " + joined(option.env, ", ") + ".";
        if (option.is_list || option.is_prefix) facts += " May be given several times.";
        out += wrapped(facts, "        ", 100);
    }
    out +=
        "\nConfiguration\n"
        "  --config FILE      read 'key = value' lines; a key is an option without its dashes\n"
        "  --check-config     say whether the configuration is right, and end\n"
        "  --online[=TIME]    with --check-config: also connect to what it names and try our rights; within 5s\n"
        "  --print-config     print the configuration in force, and end\n"
        "  --sample-config    print a file with every key at its default, and end\n"
        "  -h, --help         this text\n"
        "  -V, --version      the version\n";
    return out;
}

std::string config_text(std::span<const Option> options) {
    std::string out;
    for (const Option& option : options) {
        if (option.source != "default") out += "# from " + option.source + "\n";
        const auto values = option.show();
        for (const auto& value : values) {
            if (value.empty() && option.source == "default") out += "# ";  // some cannot be set to nothing
            out += line_of(option, value);
        }
        if (values.empty()) out += "# " + line_of(option, "");
    }
    return out;
}

std::string sample_text(std::string_view program, std::span<const Option> options) {
    std::string out =
        "# Configuration of " + std::string(program) + ", read with --config. Every key is here, at its default.\n" +
        "# A flag wins over the environment, the environment over this file. See " + std::string(program) + "(8).\n";
    std::string group;
    for (const Option& option : options) {
        if (option.group != group) {
            group = option.group;
            out += "\n# --- " + group + " ---\n";
        }
        out += "\n" + wrapped(option.help + (option.cost.empty() ? "" : " " + option.cost), "# ", 100);
        const auto values = option.show();
        for (const auto& value : values) out += "#" + line_of(option, value);
        if (values.empty()) out += "#" + line_of(option, "");
    }
    return out;
}

}  // namespace sio::daemon
