// What the operating system lets this process have.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sio::daemon {

/// Raises the soft limit of open descriptors to the hard one, and returns how many this process may have open.
std::size_t raise_descriptor_limit() noexcept;

/// Bytes that this process may have resident before the system refuses more or kills it: the least of what the control
/// groups it is in, RLIMIT_AS, RLIMIT_DATA and the machine's memory allow. `group_root` is where control groups are
/// mounted, `groups` the text of /proc/self/cgroup.
std::size_t memory_allowed();
std::size_t memory_of_groups(const std::string& group_root, std::string_view groups);

}  // namespace sio::daemon
