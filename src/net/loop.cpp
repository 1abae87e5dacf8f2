#include "net/loop.h"

#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace sio::net {

namespace {

std::int64_t microseconds(clockid_t clock) noexcept {
    timespec t{};
    clock_gettime(clock, &t);
    return std::int64_t{t.tv_sec} * 1'000'000 + t.tv_nsec / 1000;
}

}  // namespace

Result<Loop> Loop::create() { return create_at(-1); }

Result<Loop> Loop::create_at(Millis time) {
    const int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0) return fail(Errc::io, std::string("cannot create an epoll descriptor: ") + std::strerror(errno));
    return Loop(fd, time);
}

Loop::Loop(int epoll_fd, Millis given_time) : epoll_fd_(epoll_fd), given_time_(given_time) {
    read_clock();
    timers_ = std::make_unique<base::TimerWheel>(now_);
}

Loop::Loop(Loop&& other) noexcept
    : epoll_fd_(std::exchange(other.epoll_fd_, -1)),
      given_time_(other.given_time_),
      now_(other.now_),
      wall_offset_(other.wall_offset_),
      timers_(std::move(other.timers_)),
      turn_ends_(std::move(other.turn_ends_)) {}

Loop::~Loop() {
    for (Handler* handler : disposed_) delete handler;
    if (epoll_fd_ >= 0) close(epoll_fd_);
}

void Loop::read_clock() noexcept {
    if (given_time_ >= 0) {
        now_ = given_time_;
        return;
    }
    turn_began_ = microseconds(CLOCK_MONOTONIC);
    now_ = turn_began_ / 1000;
    wall_offset_ = microseconds(CLOCK_REALTIME) / 1000 - now_;
}

void Loop::measure_turn() noexcept {
    if (given_time_ >= 0) return;
    const std::int64_t took = microseconds(CLOCK_MONOTONIC) - turn_began_;
    longest_turn_ = std::max(longest_turn_, took);
    if (took >= slow_turn) ++slow_turns_;
}

Result<void> Loop::watch(int fd, Handler& handler) noexcept {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    event.data.ptr = &handler;
    if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) {
        return fail(Errc::io, std::string("cannot watch a descriptor: ") + std::strerror(errno));
    }
    return {};
}

Result<void> Loop::watch_level(int fd, Handler& handler, std::uint32_t events) noexcept {
    epoll_event event{};
    event.events = events;
    event.data.ptr = &handler;
    if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0 &&
        (errno != EEXIST || epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, fd, &event) != 0)) {
        return fail(Errc::io, std::string("cannot watch a descriptor: ") + std::strerror(errno));
    }
    return {};
}

void Loop::unwatch(int fd, Handler& handler) noexcept {
    epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
    cancelled_.push_back(&handler);
}

void Loop::remove_turn_end(TurnEnd& hook) noexcept { std::erase(turn_ends_, &hook); }

void Loop::dispose(Handler* handler) { disposed_.push_back(handler); }

bool Loop::turn(Millis most) {
    std::array<epoll_event, max_events_per_turn> events;
    Millis wait = timers_->until_next(now_);
    if (wait < 0 || (most >= 0 && most < wait)) wait = most;
    const int n =
        epoll_wait(epoll_fd_, events.data(), max_events_per_turn, static_cast<int>(std::min<Millis>(wait, 3'600'000)));
    read_clock();
    ++turns_;
    // Timers before events: a request that comes after its session's deadline finds the session gone.
    timers_->advance(now_);
    for (int i = 0; i < n; ++i) {
        auto* handler = static_cast<Handler*>(events[static_cast<std::size_t>(i)].data.ptr);
        if (!cancelled_.empty() && std::find(cancelled_.begin(), cancelled_.end(), handler) != cancelled_.end()) {
            continue;
        }
        handler->on_ready(events[static_cast<std::size_t>(i)].events);
    }
    bool more = false;
    for (TurnEnd* hook : turn_ends_) more = hook->end_turn() || more;
    cancelled_.clear();
    for (std::size_t i = 0; i < disposed_.size(); ++i) delete disposed_[i];
    disposed_.clear();
    measure_turn();
    return more;
}

void Loop::run() {
    running_ = true;
    bool more = false;
    while (running_) more = turn(more ? 0 : -1);
}

}  // namespace sio::net
