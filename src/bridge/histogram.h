// How long things took, in the buckets that Prometheus wants.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sio::bridge {

class Histogram {
public:
    /// Upper bounds, inclusive, milliseconds.
    static constexpr std::array<std::int64_t, 14> bounds = {1,   2,   3,   5,    10,   20,     50,
                                                            100, 200, 500, 1000, 5000, 30'000, 300'000};

    void add(std::int64_t ms) noexcept {
        std::size_t bucket = 0;
        while (bucket < bounds.size() && ms > bounds[bucket]) ++bucket;
        ++counts_[bucket];
        sum_ += ms < 0 ? 0 : ms;
    }
    [[nodiscard]] const std::array<std::uint64_t, bounds.size() + 1>& counts() const noexcept { return counts_; }
    [[nodiscard]] std::int64_t sum() const noexcept { return sum_; }

private:
    std::array<std::uint64_t, bounds.size() + 1> counts_{};
    std::int64_t sum_ = 0;
};

}  // namespace sio::bridge
