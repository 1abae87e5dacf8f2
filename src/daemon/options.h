// The options of a daemon: one table that the command line, the environment, the configuration file, --help,
// --print-config, --sample-config, the sample file and the manual page are read from or compared with.
//
// A flag wins over the environment, the environment over the file, the file over the default. A list given by one
// source replaces that of a lower one. Each option is bound to a member of the program's Config, whose value before
// load() is the default.
//
//     Config config;
//     std::vector<Option> options{
//         number({.name = "port", .value = "PORT", .help = "…", .env = {"SOCKET_IO_PORT"}}, config.port, 0, 65535),
//         duration({.name = "ping-interval", .help = "…", .cost = "…"}, config.ping_interval, 10ms, 24h),
//     };
//     const auto loaded = load(options, arguments, process_environment);
//
// File: `key = value` lines, where a key is a flag without its dashes; a line that begins with `#` is a comment; a list
// is written as several lines. Flags: `--name value`, `--name=value`; for a switch `--name`, `--no-name`, `--name=off`.
// A scalar flag given twice: the last one counts.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "daemon/findings.h"

namespace sio::daemon {

/// One option. The first part is written in the table; the functions come from the makers below.
struct Option {
    std::string group = {};             ///< the heading it stands under in --help and in the sample
    std::string name = {};              ///< "ping-interval": the flag without dashes, and the key
    std::string value = {};             ///< what stands for the value in --help: "PORT"; the makers have defaults
    std::string help = {};              ///< one sentence
    std::string cost = {};              ///< what a larger value costs, one sentence; may be empty
    std::vector<std::string> env = {};  ///< variables, the first one that is set and not empty counts
    bool keep_commas = false;           ///< a list whose elements may hold commas: only variables are split at them
    bool is_verbatim = false;           ///< a secret: quotes and blanks around it stay, and are warned of

    bool is_switch = false;
    bool may_have_value = false;  ///< a switch behind which a value may stand: `--trust-proxy 10.0.0.1`
    bool is_list = false;
    bool is_prefix = false;  ///< `name` ends with a dot, and what follows it names one of many values
    std::function<Result<void>(std::string_view)> set = {};   ///< parses a value; for a list, appends one; for a
                                                              ///< prefix, `NAME=VALUE`
    std::function<void()> clear = {};                         ///< empties a list
    std::function<bool(std::string_view)> holds_secret = {};  ///< whether the value, as set() takes it, holds one
    std::function<std::vector<std::string>()> show = {};      ///< the value as set() takes it; a list has any number
    std::string source = "default";  ///< after load(): "default", "flag", "SOCKET_IO_PORT", "gateway.conf:12"

    /// The name as people read it: `ping-interval`, `kafka.NAME`.
    [[nodiscard]] std::string shown_name() const { return is_prefix ? name + "NAME" : name; }
};

// --- Makers. Each binds an option to a variable that outlives the table. ---------------------------------------------

/// Any text.
Option text(Option option, std::string& target);

/// Texts, one per flag or line; divided at commas too unless `keep_commas`.
Option list(Option option, std::vector<std::string>& target);

/// `on`, `off` (also true, false, yes, no, 1, 0).
Option on_off(Option option, bool& target);

/// Values named by whoever gives them: of an option `kafka.` the flag `--kafka.ssl.ca.location FILE` and the line
/// `kafka.ssl.ca.location = FILE` give `ssl.ca.location` its value. Sources are merged, name by name; of several
/// prefixes that a name begins with, the longest counts. Values of names that `is_secret` are shown to nobody.
Option prefix(Option option, std::vector<std::pair<std::string, std::string>>& target,
              std::function<bool(std::string_view name)> is_secret = {});

/// One word of several, each standing for a value.
template <typename T>
Option choice(Option option, T& target, std::vector<std::pair<std::string, T>> words);

/// A whole number from `least` to `most`, both inclusive.
template <std::integral T>
Option number(Option option, T& target, std::int64_t least, std::int64_t most);

/// A number with a unit: ms, s, m or h; "0" needs none. Bounds are inclusive.
Option duration(Option option, std::chrono::milliseconds& target, std::chrono::milliseconds least,
                std::chrono::milliseconds most);

/// Bytes, with KB, MB or GB (powers of 1024) or without a unit. Bounds are inclusive.
Option bytes(Option option, std::size_t& target, std::size_t least, std::size_t most);

/// As bytes(), or `off`.
Option bytes_or_off(Option option, std::optional<std::size_t>& target, std::size_t least, std::size_t most);

// --- Values as text. Errors: `malformed`, a sentence that begins with the value in quotes.
// ----------------------------

Result<std::int64_t> parse_number(std::string_view text, std::int64_t least, std::int64_t most);
Result<std::chrono::milliseconds> parse_duration(std::string_view text, std::chrono::milliseconds least,
                                                 std::chrono::milliseconds most);
Result<std::size_t> parse_bytes(std::string_view text, std::size_t least, std::size_t most);
std::string show_duration(std::chrono::milliseconds value);
std::string show_bytes(std::size_t value);

// --- Reading
// ----------------------------------------------------------------------------------------------------------

/// What the command line asks for: to run, or only to be told something.
enum class Action { run, help, version, check_config, print_config, sample_config };

struct Loaded {
    Action action = Action::run;
    std::string config_file;  ///< what --config said; may be empty
    /// With --check-config --online: how long all that is tried may take.
    std::optional<std::chrono::milliseconds> online;
};

inline constexpr std::chrono::milliseconds online_limit{5'000};  ///< unless --online=DURATION says else

/// Looks a variable up; nothing when it is not set.
using Environment = std::function<std::optional<std::string>(const std::string&)>;
std::optional<std::string> process_environment(const std::string& name);

/// Sets all options from the arguments (without the program's name), the environment and the file that --config names.
/// With --help, --version and --sample-config nothing else is looked at.
///
/// Errors: `usage` for a flag that is unknown, lacks its value or has a wrong one; `config` for a file that cannot be
/// read, a key in it that is unknown, given twice or has a wrong value, and for a wrong variable. The sentence names
/// flag, variable or file and line, and for an unknown name what was probably meant.
Result<Loaded> load(std::span<Option> options, std::span<const char* const> arguments, const Environment& environment);

/// The same, of all mistakes: each is added to `findings`, and what is right is set all the same. What stands around a
/// value in a variable or a file (quotes, blanks, a carriage return, a byte order mark) is taken off, and a variable
/// that an orchestrator set for a linked service is left alone; both with a warning.
Loaded read(std::span<Option> options, std::span<const char* const> arguments, const Environment& environment,
            Findings& findings);

/// The text of --help. `about` is one sentence.
std::string help_text(std::string_view program, std::string_view about, std::span<const Option> options);

/// The configuration in force, as a file that gives the same; the source of each value that is no default beside it.
std::string config_text(std::span<const Option> options);

/// A file with every key commented out at its default, and what it does. To be called before load().
std::string sample_text(std::string_view program, std::span<const Option> options);

// --- Details
// ----------------------------------------------------------------------------------------------------------

template <typename T>
Option choice(Option option, T& target, std::vector<std::pair<std::string, T>> words) {
    if (option.value.empty()) {
        for (const auto& [word, meaning] : words) option.value += (option.value.empty() ? "" : "|") + word;
    }
    option.set = [&target, words, all = option.value](std::string_view given) -> Result<void> {
        for (const auto& [word, meaning] : words) {
            if (word != given) continue;
            target = meaning;
            return {};
        }
        return fail(Errc::malformed, "'" + std::string(given) + "' is not one of " + all);
    };
    option.show = [&target, words]() -> std::vector<std::string> {
        for (const auto& [word, meaning] : words) {
            if (meaning == target) return {word};
        }
        return {};
    };
    return option;
}

template <std::integral T>
Option number(Option option, T& target, std::int64_t least, std::int64_t most) {
    if (option.value.empty()) option.value = "NUMBER";
    option.set = [&target, least, most](std::string_view given) -> Result<void> {
        const auto parsed = parse_number(given, least, most);
        if (!parsed) return tl::unexpected(parsed.error());
        target = static_cast<T>(*parsed);
        return {};
    };
    option.show = [&target]() -> std::vector<std::string> { return {std::to_string(target)}; };
    return option;
}

}  // namespace sio::daemon
