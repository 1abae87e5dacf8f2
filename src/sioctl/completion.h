// Completion scripts, made from the command table.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sioctl/command_table.h"

namespace sio::sioctl {

/// All that completion offers after a command: its options and the global ones, both forms, and `--help`; sorted.
std::vector<std::string> offered_options(const Command& command);

/// The script for `bash`, `zsh` or `fish`.
std::string completion_script(std::string_view shell);

}  // namespace sio::sioctl
