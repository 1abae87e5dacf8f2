#include "daemon/exposition.h"

#include <unistd.h>

#include <cstdio>
#include <fstream>

namespace sio::daemon {

void Exposition::family(std::string_view name, std::string_view kind, std::string_view help) {
    out_.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ").append(name);
    out_.append(" ").append(kind).append("\n");
}

void Exposition::append(std::string_view name, double value, std::string_view labels) {
    char text[32];
    std::snprintf(text, sizeof text, "%.15g", value);
    out_.append(name).append(labels).append(" ").append(text).append("\n");
}

Memory memory_in_use() {
    Memory memory;
    std::ifstream file("/proc/self/statm");
    const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    if (file >> memory.virtual_size >> memory.resident) {
        memory.virtual_size *= page;
        memory.resident *= page;
    }
    return memory;
}

}  // namespace sio::daemon
