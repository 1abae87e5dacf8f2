// The event loop: epoll, one clock reading a turn, a timer wheel, and work put off to the end of the turn.
//
// Every descriptor is registered once, edge-triggered, for reading, writing and the peer's end; nothing is ever
// re-armed, so a delivery costs no epoll_ctl, and a descriptor nobody reads (a held poll, a slow client's socket)
// cannot spin the loop.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.h"
#include "base/timer_wheel.h"

namespace sio::net {

using base::Millis;

/// Something with a descriptor. The loop holds its address while it is watched.
class Handler {
public:
    virtual ~Handler() = default;

    /// `events` are EPOLL* bits. A handler reads until it sees EAGAIN or a short read: an edge comes only once.
    virtual void on_ready(std::uint32_t events) = 0;
};

class Loop {
public:
    /// What runs before the loop waits again. Returns whether it left work for the next turn (then the wait is 0).
    class TurnEnd {
    public:
        virtual ~TurnEnd() = default;
        virtual bool end_turn() = 0;
    };

    static constexpr int max_events_per_turn = 256;  ///< bounds a turn to a few milliseconds

    static Result<Loop> create();
    /// A loop whose clocks stand at `time` (milliseconds) until set_time() moves them: for tests, where time is an
    /// argument. Drive it with turn(). Errors: `io`.
    static Result<Loop> create_at(Millis time);
    Loop(Loop&& other) noexcept;
    Loop& operator=(Loop&&) = delete;
    ~Loop();

    /// Watches `fd` (which stays the caller's) until unwatch() or close(2). Errors: `io`.
    Result<void> watch(int fd, Handler& handler) noexcept;

    /// Watches a descriptor that a library reads and writes, level-triggered, for `events` (EPOLLIN, EPOLLOUT or both);
    /// called again, for others. Where our own code reads, watch() costs less. Errors: `io`.
    Result<void> watch_level(int fd, Handler& handler, std::uint32_t events) noexcept;

    /// Ends the watch. The handler gets no more events, not even those of this turn that are already known.
    void unwatch(int fd, Handler& handler) noexcept;

    /// Deletes `handler` after this turn; unwatch it first. It may be in the middle of on_ready().
    void dispose(Handler* handler);

    /// Calls `hook` at the end of each turn, after those added before it, until it is removed. Neither may be called
    /// from within end_turn().
    void add_turn_end(TurnEnd& hook) { turn_ends_.push_back(&hook); }
    void remove_turn_end(TurnEnd& hook) noexcept;

    /// Runs turns until stop().
    void run();
    /// Runs one turn, for which it waits at most `most` milliseconds; negative: as long as it takes. Returns whether
    /// that left work for the next one.
    bool turn(Millis most);
    /// Moves the clocks of create_at() to `time`, which is not before what they show. The next turn sees it.
    void set_time(Millis time) noexcept { given_time_ = time; }
    void stop() noexcept { running_ = false; }

    /// Milliseconds of CLOCK_MONOTONIC as read at the start of this turn.
    [[nodiscard]] Millis now() const noexcept { return now_; }
    /// The wall clock as read at the start of this turn, milliseconds since 1970.
    [[nodiscard]] Millis wall_clock() const noexcept { return wall_offset_ + now_; }
    [[nodiscard]] base::TimerWheel& timers() noexcept { return *timers_; }
    [[nodiscard]] std::uint64_t turns() const noexcept { return turns_; }
    /// The longest turn so far, microseconds: how long anything has ever waited for the loop.
    [[nodiscard]] std::int64_t longest_turn() const noexcept { return longest_turn_; }
    /// Turns of slow_turn or longer.
    [[nodiscard]] std::uint64_t slow_turns() const noexcept { return slow_turns_; }
    static constexpr std::int64_t slow_turn = 10'000;  ///< microseconds

private:
    Loop(int epoll_fd, Millis given_time);
    void read_clock() noexcept;
    void measure_turn() noexcept;

    int epoll_fd_ = -1;
    bool running_ = false;
    Millis given_time_ = -1;  // of create_at(); negative: the clocks are the system's
    Millis now_ = 0;
    Millis wall_offset_ = 0;
    std::int64_t turn_began_ = 0;  // microseconds
    std::int64_t longest_turn_ = 0;
    std::uint64_t slow_turns_ = 0;
    std::uint64_t turns_ = 0;
    std::unique_ptr<base::TimerWheel> timers_;
    std::vector<TurnEnd*> turn_ends_;
    std::vector<Handler*> cancelled_;  // unwatched in this turn: their pending events are skipped
    std::vector<Handler*> disposed_;
};

}  // namespace sio::net
