#include "daemon/limits.h"

#include <sys/resource.h>

namespace sio::daemon {

std::size_t raise_descriptor_limit() noexcept {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
    if (limit.rlim_cur < limit.rlim_max) {
        const rlimit wanted{limit.rlim_max, limit.rlim_max};
        if (::setrlimit(RLIMIT_NOFILE, &wanted) == 0) limit = wanted;
    }
    return limit.rlim_cur;
}

}  // namespace sio::daemon
