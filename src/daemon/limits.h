// What the operating system lets this process have.
#pragma once

#include <cstddef>

namespace sio::daemon {

/// Raises the soft limit of open descriptors to the hard one, and returns how many this process may have open.
std::size_t raise_descriptor_limit() noexcept;

}  // namespace sio::daemon
