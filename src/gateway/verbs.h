// What the control socket and the HTTP API have in common: arguments of events as JSON brings them, and changes of the
// sockets of this gateway.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "gateway/hub.h"
#include "gateway/route_runner.h"

namespace sio::gateway {

/// Reads `args` and `attachments` of a request, a valid JSON object. The result's arguments are canonical, as clients
/// send them. Errors: `malformed`; `too_large` for more attachments than a packet may have.
Result<HandAnswer> parse_arguments(std::string_view request);

/// How a socket is disconnected.
enum class Disconnection : std::uint8_t {
    from_namespace,
    of_client,
    of_transport,  ///< the client comes back and recovers
};

/// The sockets of this gateway that a selection names join rooms, leave rooms, or are disconnected. Returns how many
/// they are.
std::size_t join_here(Hub& hub, Namespace& nsp, const Selection& selection, std::span<const std::string> rooms);
std::size_t leave_here(Hub& hub, Namespace& nsp, const Selection& selection, std::span<const std::string> rooms);
std::size_t disconnect_here(Hub& hub, Namespace& nsp, const Selection& selection, Disconnection how);

}  // namespace sio::gateway
