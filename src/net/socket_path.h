// Who is at the other end of a Unix socket: whose the folders on its way are, and whose the process is.
//
// A path is safe when nobody but users who are trusted can put another file in its place. Trusted are root, the user
// who runs this process, and those that trust_users() names. Whoever is given a folder within folders that only trusted
// users can change is trusted with what is below: so root, by /run/sio of the user `sio`, says whose sockets are there.
// In a sticky folder that everybody can write (/tmp) a folder or a socket counts only when a trusted user owns it.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace sio::net {

/// Users beside root and our own, for the whole process, in place of those named before; before it opens sockets. Each
/// is a name or a number; `any` turns the checks off: then the folders are guarded by other means, as a volume that
/// only some containers have. Errors: `malformed` for a name that nobody has.
Result<void> trust_users(const std::vector<std::string>& names);

/// Whether other users than root and our own are to reach our sockets.
bool trusts_others() noexcept;

/// The users who may be at the other end of the socket at `path`, its file need not be there.
///
/// Errors: `not_found` when a folder is missing; `denied` when the path is not safe, or abstract; `what` names the
/// folder, whose it is, and what to do.
Result<std::vector<uid_t>> users_of_socket(const std::string& path);

/// Makes the folder of the socket at `path` and those above it as they are missing, with mode 0700, and sees that the
/// path is safe. Errors: as users_of_socket(), and `io`.
Result<std::vector<uid_t>> prepare_socket_folder(const std::string& path);

/// Whether the process at the other end of a connected socket is one of these users'. Errors: `denied`; `what` names
/// the user.
Result<void> check_peer(int fd, const std::vector<uid_t>& users);

/// The same for one that has connected to us: root, our own user, and those of trust_users().
Result<void> check_client(int fd);

/// Removes a socket that nobody listens on any more. A file of another kind stays.
void remove_socket(const std::string& path) noexcept;

}  // namespace sio::net
