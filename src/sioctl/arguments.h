// Events as a shell user writes them.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "sioctl/exit_code.h"

namespace sio::sioctl {

/// The JSON array of arguments given as words: each is JSON, or (`as_text`) plain text.
///
/// Failure: 65 with the remedy when one is not JSON, or not UTF-8.
Outcome<std::string> arguments_of(std::span<const std::string> words, bool as_text);

/// Checks one JSON text from outside. Failure: 65, naming it as `what`.
Outcome<std::string> checked_json(std::string_view text, std::string_view what);

/// An event as a line `EVENT JSON JSON…`.
struct TypedEvent {
    std::string event;
    std::string arguments;  ///< a JSON array
};

/// Reads such a line. The event may be quoted as JSON (`"two words" 1`). Failure: 65.
Outcome<TypedEvent> typed_event(std::string_view line);

/// `EVENT JSON JSON…` again, for people to read.
std::string shown_event(std::string_view event, std::string_view arguments);

}  // namespace sio::sioctl
