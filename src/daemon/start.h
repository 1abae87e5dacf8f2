// The first thing a daemon does: reads its configuration, and answers when it is only asked something.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "daemon/common.h"
#include "daemon/exit_code.h"
#include "daemon/options.h"

namespace sio::daemon {

/// What a command line comes to.
template <typename Config>
struct Start {
    Config config;
    std::optional<int> exit;  ///< set when the program ends at once: the question was answered, or the error told
};

struct Program {
    std::string_view name;
    std::string_view about;  ///< one sentence
    std::string_view version;
};

/// Whether the action needs a configuration that makes sense: running, checking and printing it do.
constexpr bool wants_config(Action action) noexcept {
    return action == Action::run || action == Action::check_config || action == Action::print_config;
}

/// Judges what a configuration says together with the files that it names.
template <typename Config>
using Check = std::function<void(Action, Config&, Findings&)>;

/// Reads arguments (without the program's name), environment and file with the program's own options_of() and settle();
/// answers --help and its like on stdout, and tells errors on stderr, as --check-config does warnings. `check` is asked
/// before the program runs and before --check-config answers, so that both end alike.
template <typename Config, typename OptionsOf, typename Settle>
Start<Config> start(const Program& program, std::span<const char* const> arguments, const Environment& environment,
                    OptionsOf options_of, Settle settle, const Check<Config>& check) {
    Start<Config> result;
    auto options = options_of(result.config);
    Findings findings;
    const Action action = settle(result.config, options, arguments, environment, findings);
    if (check && (action == Action::run || action == Action::check_config)) check(action, result.config, findings);
    auto& warnings = result.config.warnings;
    warnings.insert(warnings.end(), findings.warnings().begin(), findings.warnings().end());
    if (action == Action::check_config) tell_warnings(program.name, warnings);
    if (const auto judged = findings.result(); !judged) {
        result.exit = complain(program.name, judged.error());
    } else if (action != Action::run) {
        answer(action, program.name, program.about, program.version, options);
        result.exit = exit_ok;
    }
    return result;
}

/// The part of start() that prints nothing and asks no `check`. Errors: all mistakes in one, a line each.
template <typename Config, typename Settle>
Result<Action> settled(Config& config, std::span<Option> options, std::span<const char* const> arguments,
                       const Environment& environment, Settle settle) {
    Findings findings;
    const Action action = settle(config, options, arguments, environment, findings);
    config.warnings.insert(config.warnings.end(), findings.warnings().begin(), findings.warnings().end());
    if (const auto judged = findings.result(); !judged) return tl::unexpected(judged.error());
    return action;
}

}  // namespace sio::daemon
