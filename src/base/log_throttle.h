// Which lines of one kind are written when many would be: one an interval, with the number of those held back since.
//
//     if (const auto held_back = throttle_.pass(loop.now())) log::info("routes", "no_route", {{"held_back",
//     *held_back}});
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "base/timer_wheel.h"

namespace sio::base {

class LogThrottle {
public:
    /// `interval`: milliseconds from one line to the next, at least.
    explicit LogThrottle(Millis interval = 1'000) noexcept : interval_(interval) {}

    /// To be called for each line. Nothing: it is held back. Else it is to be written, and this many were held back
    /// since the last that was.
    [[nodiscard]] std::optional<std::uint64_t> pass(Millis now) noexcept {
        if (last_ && now - *last_ < interval_) {
            ++held_back_;
            return std::nullopt;
        }
        last_ = now;
        return std::exchange(held_back_, 0);
    }

private:
    Millis interval_;
    std::optional<Millis> last_;
    std::uint64_t held_back_ = 0;
};

}  // namespace sio::base
