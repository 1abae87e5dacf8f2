// What a bench reads from the clock and from /proc: CPU of both processes, resident bytes, how much
// everything else on the machine used meanwhile, and a histogram of waiting times.
#pragma once

#include <dirent.h>
#include <sys/types.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string>
#include <string_view>

namespace sio::bench {

/// Nanoseconds of a POSIX clock; 0 if it cannot be read.
inline std::int64_t clock_ns(clockid_t clock) {
    timespec now{};
    if (::clock_gettime(clock, &now) != 0) {
        return 0;
    }
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

/// Monotonic time in nanoseconds.
inline std::int64_t now_ns() { return clock_ns(CLOCK_MONOTONIC); }

/// CPU used so far by all threads of a process, user and system, in nanoseconds. It is the sum that
/// utime + stime of /proc/PID/stat show in ticks, without the rounding.
inline std::int64_t process_cpu_ns(pid_t pid) {
    clockid_t clock{};
    return ::clock_getcpuclockid(pid, &clock) == 0 ? clock_ns(clock) : 0;
}

/// Resident bytes of a process: the exact figure of smaps_rollup. 0 if it cannot be read.
inline std::int64_t resident_bytes(pid_t pid) {
    const std::string path = "/proc/" + std::to_string(pid) + "/smaps_rollup";
    std::FILE* file = std::fopen(path.c_str(), "re");
    if (file == nullptr) {
        return 0;
    }
    std::int64_t kib = 0;
    std::array<char, 256> line{};
    while (std::fgets(line.data(), static_cast<int>(line.size()), file) != nullptr) {
        long long value = 0;
        if (std::sscanf(line.data(), "Rss: %lld kB", &value) == 1) {
            kib = value;
            break;
        }
    }
    std::fclose(file);
    return kib * 1024;
}

/// What everything but two processes has used since boot, nanoseconds.
struct OthersTime {
    std::int64_t processes = 0;  ///< by the account of each process, kernel threads included
    std::int64_t machine = 0;    ///< time that cores were not idle, the two processes' included
    std::int64_t stolen = 0;     ///< time that the hypervisor took away
};

/// CPU of one process and of its children that have ended, from /proc/PID/stat. 0 if it is gone.
inline std::int64_t family_ticks(const std::string& pid) {
    std::FILE* file = std::fopen(("/proc/" + pid + "/stat").c_str(), "re");
    if (file == nullptr) {
        return 0;
    }
    std::array<char, 1024> line{};
    const std::size_t size = std::fread(line.data(), 1, line.size() - 1, file);
    std::fclose(file);
    const std::string_view text{line.data(), size};
    const auto name_end = text.rfind(')');  // the name may contain anything
    long long user = 0, system = 0, child_user = 0, child_system = 0;
    if (name_end == std::string_view::npos ||
        std::sscanf(line.data() + name_end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lld %lld %lld %lld",
                    &user, &system, &child_user, &child_system) != 4) {
        return 0;
    }
    return user + system + child_user + child_system;
}

/// Adds up all processes but two. The sum over processes is exact where the machine's own account
/// (/proc/stat) only samples and may miss a third of a core; the machine's account sees what is
/// outside of this process id namespace.
inline OthersTime others_time(pid_t server) {
    const std::int64_t ns_per_tick = 1'000'000'000 / ::sysconf(_SC_CLK_TCK);
    OthersTime time;
    if (DIR* directory = ::opendir("/proc"); directory != nullptr) {
        const std::string own = std::to_string(::getpid());
        const std::string server_name = std::to_string(server);
        while (const dirent* entry = ::readdir(directory)) {
            const std::string name = static_cast<const char*>(entry->d_name);
            if (name[0] >= '1' && name[0] <= '9' && name != own && name != server_name) {
                time.processes += family_ticks(name) * ns_per_tick;
            }
        }
        ::closedir(directory);
    }
    if (std::FILE* file = std::fopen("/proc/stat", "re"); file != nullptr) {
        long long user = 0, nice = 0, system = 0, irq = 0, softirq = 0, steal = 0;
        if (std::fscanf(file, "cpu %lld %lld %lld %*d %*d %lld %lld %lld", &user, &nice, &system, &irq, &softirq,
                        &steal) == 6) {
            time.machine = (user + nice + system + irq + softirq) * ns_per_tick;
            time.stolen = steal * ns_per_tick;
        }
        std::fclose(file);
    }
    return time;
}

/// The CPU account of one measured span. What concerns the server is read within microseconds;
/// adding up all other processes takes a few milliseconds, before the span and after it.
class Meter {
public:
    explicit Meter(pid_t server) : server_{server} {}

    void begin() {
        others_begin_ = others_time(server_);
        begin_ = read();
    }
    void end() {
        end_ = read();
        others_end_ = others_time(server_);
    }

    double seconds() const { return static_cast<double>(end_.now - begin_.now) / 1e9; }
    /// CPU of the server, microseconds.
    double server_us() const { return static_cast<double>(end_.server - begin_.server) / 1e3; }
    /// Shares of one core: the server, this process, everything else, and what the host took.
    double server_share() const { return share(end_.server - begin_.server); }
    double load_share() const { return share(end_.self - begin_.self); }
    double other_share() const {
        const auto machine = others_end_.machine - others_begin_.machine;
        const auto ours = (end_.server - begin_.server) + (end_.self - begin_.self);
        return share(std::max(others_end_.processes - others_begin_.processes, machine - ours));
    }
    double stolen_share() const { return share(others_end_.stolen - others_begin_.stolen); }

private:
    struct Reading {
        std::int64_t now = 0;
        std::int64_t server = 0;
        std::int64_t self = 0;
    };

    Reading read() const { return {now_ns(), process_cpu_ns(server_), clock_ns(CLOCK_PROCESS_CPUTIME_ID)}; }
    double share(std::int64_t ns) const {
        const auto span = end_.now - begin_.now;
        return span > 0 ? static_cast<double>(ns) / static_cast<double>(span) : 0;
    }

    pid_t server_;
    Reading begin_;
    Reading end_;
    OthersTime others_begin_;
    OthersTime others_end_;
};

/// Counts durations in buckets that are at most 1.6 % wide.
class Histogram {
public:
    void add(std::int64_t ns, std::uint64_t times = 1) {
        const std::uint64_t value = ns > 0 ? static_cast<std::uint64_t>(ns) : 0;
        counts_[bucket(value)] += times;
        total_ += times;
        if (value > largest_) {
            largest_ = value;
        }
    }
    void clear() { *this = Histogram{}; }

    /// The duration that the given share (0 to 1) of all entries does not exceed, milliseconds.
    double quantile_ms(double share) const {
        const double wanted = share * static_cast<double>(total_);
        double seen = 0;
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            seen += static_cast<double>(counts_[i]);
            if (counts_[i] != 0 && seen >= wanted) {
                return static_cast<double>(std::min(middle(i), largest_)) / 1e6;
            }
        }
        return 0;
    }
    double largest_ms() const { return static_cast<double>(largest_) / 1e6; }
    std::uint64_t count() const { return total_; }

private:
    static constexpr unsigned fine_bits = 6;

    static std::size_t bucket(std::uint64_t value) {
        const auto width = static_cast<unsigned>(std::bit_width(value | 1U));
        const unsigned shift = width > fine_bits + 1 ? width - fine_bits - 1 : 0;
        return (std::size_t{shift} << fine_bits) + static_cast<std::size_t>(value >> shift);
    }
    static std::uint64_t middle(std::size_t index) {
        const std::size_t shift = index < (2U << fine_bits) ? 0 : (index >> fine_bits) - 1;
        const std::uint64_t low = (index - (shift << fine_bits)) << shift;
        return low + ((std::uint64_t{1} << shift) >> 1U);
    }

    std::array<std::uint64_t, 4096> counts_{};
    std::uint64_t total_ = 0;
    std::uint64_t largest_ = 0;
};

}  // namespace sio::bench
