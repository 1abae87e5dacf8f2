// Result<T>: a value, or an Error that says which kind of failure it is and, in one sentence, what failed.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace sio {

/// What a caller may want to tell apart. A new code is added only when some caller acts differently on it.
enum class Errc {
    malformed,    ///< the bytes are not what the format allows
    too_large,    ///< a stated limit was passed
    not_found,    ///< the thing named does not exist
    denied,       ///< understood, and refused
    unavailable,  ///< cannot be answered just now
    io,           ///< the operating system said no
    usage,        ///< the command line is wrong
    config,       ///< a configuration file is wrong
};

/// The name of a code as logs and the control socket spell it, for instance "too_large".
constexpr std::string_view to_string(Errc code) noexcept {
    switch (code) {
        case Errc::malformed: return "malformed";
        case Errc::too_large: return "too_large";
        case Errc::not_found: return "not_found";
        case Errc::denied: return "denied";
        case Errc::unavailable: return "unavailable";
        case Errc::io: return "io";
        case Errc::usage: return "usage";
        case Errc::config: return "config";
    }
    return "malformed";
}

/// A failure. `what` reads "cannot VERB NOUN: reason".
struct Error {
    Errc code;
    std::string what;
};

template <typename T>
using Result = tl::expected<T, Error>;

/// Makes the failing side of a Result: `return fail(Errc::malformed, "…");`
[[nodiscard]] inline tl::unexpected<Error> fail(Errc code, std::string what) {
    return tl::unexpected<Error>(Error{code, std::move(what)});
}

}  // namespace sio
