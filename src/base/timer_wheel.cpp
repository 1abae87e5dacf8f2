#include "base/timer_wheel.h"

namespace sio::base {

namespace {

constexpr unsigned bits = 6;

constexpr std::size_t slot_of(Millis time, std::size_t level) noexcept {
    return static_cast<std::size_t>(time >> (bits * level)) & 63U;
}

}  // namespace

void Timer::disarm() noexcept {
    if (next_ == nullptr) return;
    prev_->next_ = next_;
    next_->prev_ = prev_;
    prev_ = next_ = nullptr;
}

TimerWheel::TimerWheel(Millis now) : now_(now) {
    for (auto& level : ring_) {
        for (auto& head : level) head.prev_ = head.next_ = &head;
    }
}

TimerWheel::~TimerWheel() {
    for (auto& level : ring_) {
        for (auto& head : level) {
            while (head.next_ != &head) head.next_->disarm();
        }
    }
}

void TimerWheel::arm(Timer& timer, Millis deadline) noexcept {
    timer.disarm();
    timer.deadline_ = deadline;
    insert(timer, now_ + 1);  // what is due already waits in the slot that advance() looks at next
}

void TimerWheel::insert(Timer& timer, Millis earliest) noexcept {
    Millis at = timer.deadline_ > earliest ? timer.deadline_ : earliest;
    std::size_t level = 0;
    while (level + 1 < levels && ((at ^ now_) >> (bits * (level + 1))) != 0) ++level;
    if (level == levels - 1) {
        const Millis farthest = now_ + (Millis{slots - 1} << (bits * level));
        if (at > farthest) at = farthest;
    }
    Timer& head = ring_[level][slot_of(at, level)];
    timer.prev_ = head.prev_;
    timer.next_ = &head;
    head.prev_->next_ = &timer;
    head.prev_ = &timer;
}

void TimerWheel::cascade(std::size_t level) {
    Timer& head = ring_[level][slot_of(now_, level)];
    if (head.next_ == &head) return;
    // The chain is taken off whole first: an entry may come back to this very slot.
    Head chain;
    chain.next_ = head.next_;
    chain.prev_ = head.prev_;
    chain.next_->prev_ = &chain;
    chain.prev_->next_ = &chain;
    head.prev_ = head.next_ = &head;
    while (chain.next_ != &chain) {
        Timer& timer = *chain.next_;
        timer.disarm();
        insert(timer, now_);  // the slot of now_ is expired right after the cascade
    }
    chain.prev_ = chain.next_ = nullptr;
}

void TimerWheel::advance(Millis now) {
    while (now_ < now) {
        // Jump over time in which nothing can be due.
        const Millis idle = until_next(now_);
        if (idle < 0 || now_ + idle > now) {
            // Nothing is due before `now`, but slots of higher levels must not be jumped over unseen: until_next()
            // stops at their borders, so none lies in between.
            now_ = now;
            return;
        }
        now_ += idle > 0 ? idle : 1;
        for (std::size_t level = levels - 1; level > 0; --level) {
            if ((now_ & ((Millis{1} << (bits * level)) - 1)) == 0) cascade(level);
        }
        Timer& head = ring_[0][slot_of(now_, 0)];
        while (head.next_ != &head) {
            Timer& timer = *head.next_;
            timer.disarm();
            timer.expire(now_);
        }
    }
}

Millis TimerWheel::until_next(Millis now) const noexcept {
    Millis best = -1;
    for (std::size_t level = 0; level < levels; ++level) {
        const Millis unit = Millis{1} << (bits * level);
        const Millis base = now_ & ~(unit - 1);
        for (std::size_t ahead = 1; ahead <= slots; ++ahead) {
            const Millis at = base + static_cast<Millis>(ahead) * unit;
            const Timer& head = ring_[level][slot_of(at, level)];
            if (head.next_ == &head) continue;
            if (best < 0 || at < best) best = at;
            break;
        }
    }
    if (best < 0) return -1;
    return best > now ? best - now : 0;
}

}  // namespace sio::base
