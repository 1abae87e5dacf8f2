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

/// Reads arguments (without the program's name), environment and file with the program's own options_of() and
/// load_config(); answers --help and its like on stdout, and tells errors on stderr. `check` is asked where
/// `is_checked` says: it may read the files that the configuration names.
template <typename Config, typename OptionsOf, typename LoadConfig, typename IsChecked>
Start<Config> start(const Program& program, std::span<const char* const> arguments, const Environment& environment,
                    OptionsOf options_of, LoadConfig load_config, IsChecked is_checked,
                    const std::function<Result<void>(const Config&)>& check) {
    Start<Config> result;
    auto options = options_of(result.config);
    Result<Action> action = load_config(result.config, options, arguments, environment);
    if (action && check && is_checked(*action)) {
        if (const auto done = check(result.config); !done) action = tl::unexpected(done.error());
    }
    if (!action) {
        result.exit = complain(program.name, action.error());
    } else if (*action != Action::run) {
        answer(*action, program.name, program.about, program.version, options);
        result.exit = exit_ok;
    }
    return result;
}

}  // namespace sio::daemon
