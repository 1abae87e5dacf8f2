// Files and standard input, read whole.
#pragma once

#include <string>

#include "sioctl/exit_code.h"

namespace sio::sioctl {

/// The bytes of a file. Failure: 78 with the reason.
Outcome<std::string> read_file(const std::string& path);

/// All of standard input, without blanks and line feeds around it. Failure: 65 when there are more than `most` bytes,
/// 78 when it cannot be read.
Outcome<std::string> read_input(std::size_t most);

}  // namespace sio::sioctl
