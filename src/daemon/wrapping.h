// What `.env` files, shells and orchestrators leave around a value: `docker run --env-file` keeps quotes, a file of
// Windows its carriage returns and byte order mark, a pasted secret a blank.
#pragma once

#include <string>
#include <string_view>

namespace sio::daemon {

struct Unwrapped {
    std::string_view inner;  ///< the value without what is around it; part of the text that was given
    std::string around;      ///< what that is: "quotes and a carriage return"; empty: nothing
};

/// Takes off one pair of quotes (" or '), blanks, line ends and a byte order mark.
[[nodiscard]] Unwrapped unwrap(std::string_view text);

/// The warning of a secret that has something around it, which stays a part of it; empty when there is nothing.
/// `place` is a variable, or a file with its line.
[[nodiscard]] std::string secret_warning(std::string_view place, std::string_view secret);

/// Whether a variable holds what Kubernetes and docker set for a service that has the variable's name: of a service
/// `redis` REDIS_PORT is `tcp://10.0.0.1:6379`.
[[nodiscard]] bool is_service_link(std::string_view variable, std::string_view value) noexcept;

}  // namespace sio::daemon
