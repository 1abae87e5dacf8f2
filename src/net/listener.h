// Listening sockets: TCP with a shared port, and Unix with owner-only permissions.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace sio::net {

/// Listens on `host` (an IP address; no names are resolved) and `port`, non-blocking. With
/// `share` several processes of one user that all ask for it may listen on the same port (SO_REUSEPORT). IPv6 sockets
/// take IPv6 only. Accepted sockets have TCP_NODELAY.
///
/// Errors: `usage` when `host` is no address; `io` with the system's reason (in use, not permitted, not available).
Result<base::UniqueFd> listen_tcp(const std::string& host, std::uint16_t port, bool share = false);

/// Listens on a Unix socket with mode 0600 (0666 when trust_users() names others), non-blocking. Its folder is made when
/// it is missing (mode 0700), and must be safe; see socket_path.h. A socket file left by a process that is gone is
/// replaced; one that somebody answers on is an error, and so is a file of another kind. Errors: `usage`, `io`.
Result<base::UniqueFd> listen_unix(const std::string& path);

/// The port a TCP listener was given (for port 0).
std::uint16_t local_port(int fd) noexcept;

/// Sends what a connected socket takes of `pending`, and drops that from its front. False: the connection is broken.
bool send_some(int fd, std::string& pending) noexcept;

}  // namespace sio::net
