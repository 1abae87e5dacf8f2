#include "daemon/limits.h"

#include <sys/resource.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>

#include "base/bytes.h"
#include "daemon/exposition.h"

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

namespace {

constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

std::string text_of(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return file ? std::move(text).str() : std::string();
}

/// The number in a file; `max`, and anything that is no number, sets no limit.
std::size_t limit_in(const std::string& path) {
    const std::string text = text_of(path);
    return base::parse_decimal(std::string_view(text).substr(0, text.find('\n'))).value_or(unlimited);
}

/// The least that a group and those above it allow. Inside of a container its own group is the root of what is mounted,
/// whatever its name outside.
std::size_t least_of(const std::string& root, std::string_view group, std::string_view file) {
    std::size_t least = limit_in(root + '/' + std::string(file));
    for (std::string path(group); path.size() > 1; path.resize(path.rfind('/'))) {
        least = std::min(least, limit_in(root + path + '/' + std::string(file)));
        if (path.rfind('/') == std::string::npos) break;
    }
    return least;
}

std::size_t resource_limit(int resource) noexcept {
    rlimit limit{};
    if (::getrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return unlimited;
    }
    return limit.rlim_cur;
}

}  // namespace

std::size_t memory_of_groups(const std::string& group_root, std::string_view groups) {
    std::size_t least = unlimited;
    while (!groups.empty()) {  // lines `ID:CONTROLLERS:PATH`; version 2 has no controllers
        const std::size_t end = std::min(groups.find('\n'), groups.size());
        const std::string_view line = groups.substr(0, end);
        groups.remove_prefix(std::min(end + 1, groups.size()));
        const std::size_t first = line.find(':');
        const std::size_t second = line.find(':', first + 1);
        if (first == std::string_view::npos || second == std::string_view::npos) continue;
        const std::string_view controllers = line.substr(first + 1, second - first - 1);
        const std::string_view path = line.substr(second + 1);
        if (controllers.empty()) least = std::min(least, least_of(group_root, path, "memory.max"));
        if (controllers == "memory") {
            least = std::min(least, least_of(group_root + "/memory", path, "memory.limit_in_bytes"));
        }
    }
    return least;
}

std::size_t memory_allowed() {
    std::size_t least = memory_of_groups("/sys/fs/cgroup", text_of("/proc/self/cgroup"));
    struct sysinfo system {};
    if (::sysinfo(&system) == 0) least = std::min(least, std::size_t{system.totalram} * system.mem_unit);
    // What is mapped and never touched counts against these two, and is not resident.
    const Memory memory = memory_in_use();
    const std::size_t untouched = memory.virtual_size - std::min(memory.resident, memory.virtual_size);
    for (const int resource : {RLIMIT_AS, RLIMIT_DATA}) {
        const std::size_t limit = resource_limit(resource);
        if (limit != unlimited) least = std::min(least, limit - std::min(limit, untouched));
    }
    return least;
}

}  // namespace sio::daemon
