// What our programs end with, so that a supervisor knows which to start again (sysexits(3)).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sio::daemon {

enum ExitCode : int {
    exit_ok = 0,            ///< done, or drained after SIGTERM
    exit_usage = 64,        ///< the command line is wrong: starting again does not help
    exit_unavailable = 69,  ///< something we need is absent (a port in use, a folder not writable): try again
    exit_config = 78,       ///< the configuration is wrong: starting again does not help
};

/// The exit code an error at start stands for.
[[nodiscard]] ExitCode exit_code_of(Errc code) noexcept;

/// Tells the person at the terminal what is wrong, `PROGRAM: WHAT` on stderr for each line, and returns the code to end
/// with.
ExitCode complain(std::string_view program, const Error& error);

/// `PROGRAM: warning: WHAT` on stderr for each.
void tell_warnings(std::string_view program, const std::vector<std::string>& warnings);

}  // namespace sio::daemon
