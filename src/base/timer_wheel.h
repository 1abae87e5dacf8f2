// Timers for tens of thousands of connections: arming, re-arming and cancelling cost the same however many there are.
//
// A hierarchical wheel of four levels of 64 slots (1 ms, 64 ms, 4.1 s and 4.4 min a slot; longer waits sit in the last
// level and are put back until they are due). The wheel never asks what time it is: advance() is told.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace sio::base {

/// Milliseconds on a clock that never goes back. Where it starts is the caller's business.
using Millis = std::int64_t;

class TimerWheel;

/// One deadline of one owner. Destroying it disarms it. Neither copied nor moved: the wheel holds its address.
class Timer {
public:
    Timer() noexcept = default;
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    virtual ~Timer() { disarm(); }

    [[nodiscard]] bool is_armed() const noexcept { return next_ != nullptr; }
    [[nodiscard]] Millis deadline() const noexcept { return deadline_; }

    /// Takes the timer out of its wheel; nothing happens when it is in none.
    void disarm() noexcept;

protected:
    /// Called once, by TimerWheel::advance(), when the deadline has come; the timer is disarmed by then and may be
    /// armed again or destroyed.
    virtual void expire(Millis now) = 0;

private:
    friend class TimerWheel;
    Timer* prev_ = nullptr;
    Timer* next_ = nullptr;
    Millis deadline_ = 0;
};

class TimerWheel {
public:
    /// A wheel whose clock stands at `now`.
    explicit TimerWheel(Millis now);
    TimerWheel(const TimerWheel&) = delete;
    TimerWheel& operator=(const TimerWheel&) = delete;
    ~TimerWheel();

    /// Arms `timer` for `deadline` (re-arms it when it is armed). A deadline in the past expires at the next advance().
    void arm(Timer& timer, Millis deadline) noexcept;

    /// Moves the clock to `now` and expires what is due, earliest slot first.
    void advance(Millis now);

    /// How long advance() need not be called, in milliseconds: 0 when something is due, -1 when nothing is armed.
    /// Never late; may be early where a far deadline is still coarse.
    [[nodiscard]] Millis until_next(Millis now) const noexcept;

private:
    static constexpr std::size_t levels = 4;
    static constexpr std::size_t slots = 64;

    struct Head final : Timer {  // the anchor of a slot's ring
        void expire(Millis) override {}
    };
    void insert(Timer& timer, Millis earliest) noexcept;
    void cascade(std::size_t level);
    Millis now_;
    std::array<std::array<Head, slots>, levels> ring_;
};

}  // namespace sio::base
