// The first thing a daemon does: reads its configuration, and answers when it is only asked something.
#pragma once

#include <chrono>
#include <cstdio>
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

/// What judges a configuration beyond what its table says.
template <typename Config>
struct Judge {
    /// What it says together with the files that it names. Asked for --check-config, and before the program runs.
    std::function<void(Action, const Config&, Findings&)> files;
    /// Connects to what it names, and tries our rights, within `limit`. Asked for --check-config --online.
    std::function<void(const Config&, std::chrono::milliseconds limit, Findings&)> online;
};

/// Reads arguments (without the program's name), environment and file with the program's own options_of() and settle();
/// answers --help and its like on stdout, and tells errors on stderr, as --check-config does warnings. `judge` has its
/// say before the program runs and before --check-config answers, so that both end alike.
template <typename Config, typename OptionsOf, typename Settle>
Start<Config> start(const Program& program, std::span<const char* const> arguments, const Environment& environment,
                    OptionsOf options_of, Settle settle, const Judge<Config>& judge) {
    Start<Config> result;
    auto options = options_of(result.config);
    Findings findings;
    const Loaded loaded = settle(result.config, options, arguments, environment, findings);
    const Action action = loaded.action;
    const bool is_judged = action == Action::run || action == Action::check_config;
    if (is_judged && judge.files) judge.files(action, result.config, findings);
    if (loaded.online && action == Action::check_config && judge.online) {
        judge.online(result.config, *loaded.online, findings);
    }
    auto& warnings = result.config.warnings;
    warnings.insert(warnings.end(), findings.warnings().begin(), findings.warnings().end());
    if (action == Action::check_config) tell_warnings(program.name, warnings);
    if (const auto judged = findings.result(); !judged) {
        result.exit = complain(program.name, judged.error());
    } else if (action != Action::run) {
        answer(action, program.name, program.about, program.version, options);
        if (loaded.online) std::fputs("what it names answers, and lets us do what we do there\n", stdout);
        result.exit = exit_ok;
    }
    return result;
}

/// The part of start() that prints nothing and asks no `judge`. Errors: all mistakes in one, a line each.
template <typename Config, typename Settle>
Result<Action> settled(Config& config, std::span<Option> options, std::span<const char* const> arguments,
                       const Environment& environment, Settle settle) {
    Findings findings;
    const Action action = settle(config, options, arguments, environment, findings).action;
    config.warnings.insert(config.warnings.end(), findings.warnings().begin(), findings.warnings().end());
    if (const auto judged = findings.result(); !judged) return tl::unexpected(judged.error());
    return action;
}

}  // namespace sio::daemon
