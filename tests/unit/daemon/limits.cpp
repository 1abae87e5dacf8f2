// daemon/limits.h: the least that control groups allow is found, whatever their version and wherever the limit is set.
#include "daemon/limits.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

namespace {

using namespace sio::daemon;

constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

/// A folder in which control groups are "mounted".
class Groups {
public:
    Groups() {
        char folder[] = "/tmp/sio-groups-XXXXXX";
        root_ = mkdtemp(folder);
    }
    ~Groups() { std::filesystem::remove_all(root_); }
    void write(const std::string& path, const std::string& text) const {
        std::filesystem::create_directories(std::filesystem::path(root_ + '/' + path).parent_path());
        std::ofstream(root_ + '/' + path) << text;
    }
    [[nodiscard]] std::size_t limit(const std::string& groups) const { return memory_of_groups(root_, groups); }

private:
    std::string root_;
};

Test(limits, a_group_of_version_2_or_one_above_it_sets_the_limit) {
    const Groups groups;
    groups.write("memory.max", "max\n");
    groups.write("system.slice/memory.max", "900000000\n");
    groups.write("system.slice/sio.service/memory.max", "max\n");
    cr_assert(groups.limit("0::/system.slice/sio.service\n") == 900'000'000);
    groups.write("system.slice/sio.service/memory.max", "250000000\n");
    cr_assert(groups.limit("0::/system.slice/sio.service\n") == 250'000'000);
}

Test(limits, inside_of_a_container_the_root_is_its_group) {
    const Groups groups;
    groups.write("memory.max", "1073741824\n");
    cr_assert(groups.limit("0::/\n") == 1'073'741'824);
    cr_assert(groups.limit("0::/a/path/of/the/host\n") == 1'073'741'824);
}

Test(limits, a_memory_controller_of_version_1_is_asked_beside_others) {
    const Groups groups;
    groups.write("memory/docker/abc/memory.limit_in_bytes", "300000000\n");
    groups.write("cpu/docker/abc/memory.max", "1\n");
    cr_assert(groups.limit("5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n") == 300'000'000);
}

Test(limits, what_cannot_be_read_sets_no_limit) {
    const Groups groups;
    cr_assert(groups.limit("") == unlimited && groups.limit("0::/nowhere\n") == unlimited);
    cr_assert(groups.limit("nonsense\n0:\n::\n") == unlimited);
    groups.write("memory.max", "a lot\n");
    cr_assert(groups.limit("0::/\n") == unlimited);
    cr_assert(memory_allowed() > 0 && memory_allowed() < unlimited);
}

}  // namespace
