// What all daemons have among their options, and how each answers when it is only asked something.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "daemon/options.h"

namespace sio::daemon {

/// Where the log goes; see base/log.h.
struct LogConfig {
    log::Level level = log::Level::info;
    log::Format format = log::Format::text;
    std::string file;   ///< empty: stderr
    std::string debug;  ///< patterns, see log::set_debug()
};

/// Adds `log-level`, `log-format`, `log-file` and `debug` below the heading `group`. `example` is a pattern of debug
/// that makes sense for this program.
void add_log_options(std::vector<Option>& table, std::string_view group, LogConfig& config, std::string_view example);

/// Opens the log as configured. Errors: `io`.
Result<void> open_log(const LogConfig& config);

/// Any text, which is shown to nobody; `is_verbatim`.
Option secret(Option option, std::string& target);

/// Answers on stdout what is asked instead of running the program: anything but Action::run.
void answer(Action action, std::string_view program, std::string_view about, std::string_view version,
            std::span<const Option> options);

}  // namespace sio::daemon
