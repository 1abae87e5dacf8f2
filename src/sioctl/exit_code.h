// How sioctl ends: the numbers of sysexits.h, and 1 for "the answer is no". sioctl(1) lists them.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace sio::sioctl {

namespace exit_code {
inline constexpr int ok = 0;
inline constexpr int no = 1;            ///< understood and answered; the answer is no
inline constexpr int usage = 64;        ///< the command line is wrong
inline constexpr int data = 65;         ///< input is not what it should be
inline constexpr int partial = 68;      ///< some nodes of the cluster did not answer
inline constexpr int unavailable = 69;  ///< the gateway cannot be reached
inline constexpr int protocol = 70;     ///< the peer does not speak as it should
inline constexpr int timeout = 75;      ///< no answer in time; trying again may help
inline constexpr int denied = 77;       ///< refused
inline constexpr int config = 78;       ///< the routes file is wrong
}  // namespace exit_code

/// Why a command ends before its time: the exit code, and one sentence for standard error (none when empty).
struct Failure {
    int exit;
    std::string what;
};

template <typename T>
using Outcome = tl::expected<T, Failure>;

[[nodiscard]] inline tl::unexpected<Failure> give_up(int exit, std::string what) {
    return tl::unexpected<Failure>(Failure{exit, std::move(what)});
}

/// The exit code for a refusal of the control protocol.
constexpr int exit_code_for(std::string_view refusal) noexcept {
    if (refusal == "malformed" || refusal == "too_large") return exit_code::data;
    if (refusal == "not_found") return exit_code::no;
    if (refusal == "denied") return exit_code::denied;
    if (refusal == "unavailable") return exit_code::unavailable;
    if (refusal == "timeout" || refusal == "busy") return exit_code::timeout;
    if (refusal == "config") return exit_code::config;
    return exit_code::protocol;  // unknown_command, unsupported, and codes of tomorrow
}

}  // namespace sio::sioctl
