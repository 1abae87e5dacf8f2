#include "daemon/exit_code.h"

#include <algorithm>
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
    std::string text;
    for (std::string_view rest = error.what; !rest.empty() || text.empty();) {  // a mistake a line
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
        text += std::string(program) + ": " + std::string(line) + "\n";
    }
    if (error.code == Errc::usage) text += "Try '" + std::string(program) + " --help'.\n";
    std::fwrite(text.data(), 1, text.size(), stderr);
    return exit_code_of(error.code);
}

void tell_warnings(std::string_view program, const std::vector<std::string>& warnings) {
    std::string text;
    for (const std::string& warning : warnings) text += std::string(program) + ": warning: " + warning + "\n";
    std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace sio::daemon
