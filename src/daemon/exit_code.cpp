#include "daemon/exit_code.h"

#include <cstdio>
#include <string>

namespace sio::daemon {

ExitCode exit_code_of(Errc code) noexcept {
    switch (code) {
        case Errc::usage: return exit_usage;
        case Errc::config:
        case Errc::malformed: return exit_config;
        default: return exit_unavailable;
    }
}

ExitCode complain(std::string_view program, const Error& error) {
    std::string text = std::string(program) + ": " + error.what + "\n";
    if (error.code == Errc::usage) text += "Try '" + std::string(program) + " --help'.\n";
    std::fwrite(text.data(), 1, text.size(), stderr);
    return exit_code_of(error.code);
}

}  // namespace sio::daemon
