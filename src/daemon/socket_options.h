// The option that says which other users may be at the other end of Unix sockets.
#pragma once

#include <string_view>
#include <vector>

#include "daemon/options.h"

namespace sio::daemon {

/// Adds `socket-users` below the heading `group`. It is in force for the whole process as soon as it is read; see
/// net::trust_users().
void add_socket_options(std::vector<Option>& table, std::string_view group);

}  // namespace sio::daemon
