// base/timer_wheel.h: deadlines are met to the millisecond, whatever is armed, put off and cancelled in between.
#include "base/timer_wheel.h"

#include <criterion/criterion.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <vector>

namespace {

using sio::base::Millis;
using sio::base::Timer;
using sio::base::TimerWheel;

constexpr Millis hour = 3'600'000;

/// Tells a function when it expires.
class Probe final : public Timer {
public:
    Probe() = default;
    explicit Probe(std::function<void(Millis)> use) : use_(std::move(use)) {}
    std::vector<Millis> fired;

protected:
    void expire(Millis now) override {
        fired.push_back(now);
        if (use_) use_(now);
    }

private:
    std::function<void(Millis)> use_;
};

Test(timer_wheel, a_deadline_is_met_to_the_millisecond_on_every_level) {
    constexpr Millis starts[] = {0, 1, 63, 64, 4095, 4096, 262'143, 262'144, 16'777'215, 1'700'000'000'123};
    constexpr Millis waits[] = {
        1,          2,          63,         64,         65,        127,           128,  4095,
        4096,       4097,       25'000,     262'143,    262'144,   262'145,       hour, 16'515'071,
        16'515'072, 16'777'215, 16'777'216, 16'777'217, 24 * hour, 50 * 24 * hour};
    for (const Millis start : starts) {
        for (const Millis wait : waits) {
            for (const Millis step : {Millis{0}, Millis{1}}) {  // in one stride, and stopping just before
                TimerWheel wheel{start};
                Probe timer;
                wheel.arm(timer, start + wait);
                cr_assert(timer.is_armed() && timer.deadline() == start + wait);
                if (step != 0) {
                    wheel.advance(start + wait - 1);
                    cr_assert(timer.fired.empty(), "early: start %lld wait %lld", static_cast<long long>(start),
                              static_cast<long long>(wait));
                    wheel.advance(start + wait);
                } else {
                    wheel.advance(start + wait + 10'000);
                }
                cr_assert(timer.fired == std::vector<Millis>{start + wait}, "start %lld wait %lld",
                          static_cast<long long>(start), static_cast<long long>(wait));
                cr_assert(!timer.is_armed());
            }
        }
    }
}

Test(timer_wheel, nothing_expires_twice_and_a_clock_that_stands_still_does_nothing) {
    TimerWheel wheel{100};
    Probe timer;
    wheel.arm(timer, 150);
    wheel.advance(100);
    wheel.advance(50);
    cr_assert(timer.fired.empty());
    wheel.advance(150);
    wheel.advance(150);
    wheel.advance(151);
    wheel.advance(100 * hour);
    cr_assert(timer.fired == std::vector<Millis>{150});
}

Test(timer_wheel, a_deadline_in_the_past_expires_at_the_next_advance) {
    TimerWheel wheel{10'000};
    Probe past;
    Probe present;
    wheel.arm(past, 3);
    wheel.arm(present, 10'000);
    cr_assert(past.deadline() == 3);
    cr_assert(wheel.until_next(10'000) >= 0 && wheel.until_next(10'000) <= 1);
    wheel.advance(10'001);
    cr_assert(past.fired.size() == 1 && present.fired.size() == 1);
}

Test(timer_wheel, arming_again_moves_the_deadline_both_ways) {
    TimerWheel wheel{0};
    Probe later;
    Probe sooner;
    wheel.arm(later, 50);
    wheel.arm(later, 5 * hour);
    wheel.arm(sooner, 5 * hour);
    wheel.arm(sooner, 50);
    wheel.advance(hour);
    cr_assert(later.fired.empty());
    cr_assert(sooner.fired == std::vector<Millis>{50});
    wheel.advance(6 * hour);
    cr_assert(later.fired == std::vector<Millis>{5 * hour});
    cr_assert(sooner.fired.size() == 1);
}

Test(timer_wheel, a_disarmed_timer_stays_silent_and_disarming_it_again_is_harmless) {
    TimerWheel wheel{0};
    Probe timer;
    timer.disarm();
    for (const Millis wait : {Millis{5}, Millis{500}, Millis{50'000}, hour, 10 * hour}) {
        wheel.arm(timer, wait);
        timer.disarm();
        timer.disarm();
        cr_assert(!timer.is_armed());
    }
    cr_assert(wheel.until_next(0) == -1);
    wheel.advance(100 * hour);
    cr_assert(timer.fired.empty());
}

Test(timer_wheel, an_expiring_timer_may_arm_itself_again) {
    TimerWheel wheel{7};
    Probe* self = nullptr;
    Probe timer{[&](Millis now) {
        cr_assert(!self->is_armed(), "disarmed by then");
        wheel.arm(*self, now + 25'000);
    }};
    self = &timer;
    wheel.arm(timer, 25'007);
    wheel.advance(25'000 * 1000 + 7);
    cr_assert(timer.fired.size() == 1000);
    for (std::size_t i = 0; i < timer.fired.size(); ++i) {
        cr_assert(timer.fired[i] == 25'000 * static_cast<Millis>(i + 1) + 7);
    }
}

Test(timer_wheel, a_timer_that_arms_itself_for_now_does_not_hold_the_wheel_up) {
    TimerWheel wheel{0};
    Probe* self = nullptr;
    Probe timer{[&](Millis now) { wheel.arm(*self, now); }};
    self = &timer;
    wheel.arm(timer, 10);
    wheel.advance(100);
    cr_assert(timer.fired.size() == 91, "once a millisecond, not for ever: %zu", timer.fired.size());
}

Test(timer_wheel, an_expiring_timer_may_cancel_destroy_and_arm_others) {
    TimerWheel wheel{0};
    auto victim = std::make_unique<Probe>();
    Probe cancelled;
    Probe added;
    Probe killer{[&](Millis now) {
        victim.reset();
        cancelled.disarm();
        wheel.arm(added, now + 1);
    }};
    wheel.arm(killer, 70);
    wheel.arm(*victim, 70);  // in the same slot, behind it
    wheel.arm(cancelled, 70);
    wheel.advance(5000);
    cr_assert(killer.fired.size() == 1);
    cr_assert(cancelled.fired.empty());
    cr_assert(added.fired == std::vector<Millis>{71});
}

Test(timer_wheel, an_expiring_timer_may_destroy_itself) {
    TimerWheel wheel{0};
    bool ran = false;
    Probe neighbour;
    class Fleeting final : public Timer {
    public:
        explicit Fleeting(bool& ran) : ran_(ran) {}

    protected:
        void expire(Millis) override {
            ran_ = true;
            delete this;
        }

    private:
        bool& ran_;
    };
    Timer* doomed = new Fleeting{ran};
    wheel.arm(*doomed, 40);
    wheel.arm(neighbour, 40);
    wheel.advance(40);
    cr_assert(ran && neighbour.fired.size() == 1);
}

Test(timer_wheel, destroying_timers_and_wheels_leaves_the_other_usable) {
    Probe survivor;
    {
        TimerWheel wheel{0};
        {
            std::vector<std::unique_ptr<Probe>> gone;
            for (int i = 0; i < 500; ++i) {
                gone.push_back(std::make_unique<Probe>());
                wheel.arm(*gone.back(), Millis{i} * i * 20);
            }
            cr_assert(wheel.until_next(0) >= 0);
        }
        cr_assert(wheel.until_next(0) == -1, "destroyed timers are out of it");
        wheel.advance(10 * hour);
        wheel.arm(survivor, 11 * hour);
    }
    cr_assert(!survivor.is_armed(), "the wheel took itself out");
    survivor.disarm();
    TimerWheel other{0};
    other.arm(survivor, 5);
    other.advance(5);
    cr_assert(survivor.fired == std::vector<Millis>{5});
}

Test(timer_wheel, those_due_together_in_one_advance_expire_earliest_first) {
    TimerWheel wheel{1000};
    std::vector<Millis> order;
    std::vector<std::unique_ptr<Probe>> timers;
    for (const Millis wait : {hour, Millis{3}, Millis{70'000}, Millis{64}, Millis{4096}, Millis{1}, 5 * hour}) {
        timers.push_back(std::make_unique<Probe>([&order](Millis now) { order.push_back(now); }));
        wheel.arm(*timers.back(), 1000 + wait);
    }
    wheel.advance(1000 + 6 * hour);
    cr_assert(order.size() == timers.size());
    cr_assert(std::is_sorted(order.begin(), order.end()));
}

Test(timer_wheel, until_next_is_never_late_and_leads_to_every_deadline_in_few_steps) {
    for (const Millis wait : {Millis{1}, Millis{64}, Millis{100}, Millis{5000}, Millis{25'000}, hour, 30 * hour}) {
        TimerWheel wheel{123'456};
        Probe timer;
        const Millis due = 123'456 + wait;
        wheel.arm(timer, due);
        Millis now = 123'456;
        int steps = 0;
        while (timer.fired.empty()) {
            const Millis idle = wheel.until_next(now);
            cr_assert(idle >= 0 && now + idle <= due, "late by %lld", static_cast<long long>(now + idle - due));
            now += std::max<Millis>(idle, 1);
            wheel.advance(now);
            cr_assert(++steps < 300);
        }
        cr_assert(timer.fired.front() == due);
        cr_assert(wheel.until_next(now) == -1);
    }
}

Test(timer_wheel, until_next_is_exact_for_a_near_deadline_and_zero_when_the_caller_is_late) {
    TimerWheel wheel{0};
    Probe timer;
    cr_assert(wheel.until_next(0) == -1);
    wheel.arm(timer, 40);
    cr_assert(wheel.until_next(0) == 40);
    cr_assert(wheel.until_next(30) == 10);
    cr_assert(wheel.until_next(40) == 0);
    cr_assert(wheel.until_next(4000) == 0);
}

/// Random work beside a list of deadlines: after each advance exactly those that are due have expired, on time.
void compare_with_model(unsigned seed, Millis longest, Millis stride, int rounds) {
    std::mt19937_64 random{seed};
    const auto below = [&random](Millis n) { return static_cast<Millis>(random() % static_cast<std::uint64_t>(n)); };
    Millis now = below(1'000'000'000);
    TimerWheel wheel{now};
    constexpr std::size_t count = 200;
    std::vector<std::unique_ptr<Probe>> timers(count);
    std::vector<Millis> model(count, -1);  // -1: disarmed
    for (auto& timer : timers) timer = std::make_unique<Probe>();
    for (int round = 0; round < rounds; ++round) {
        for (int n = 0; n < 20; ++n) {
            const auto i = static_cast<std::size_t>(below(count));
            switch (below(8)) {
                case 0:
                    timers[i]->disarm();
                    model[i] = -1;
                    break;
                case 1:
                    timers[i] = std::make_unique<Probe>();
                    model[i] = -1;
                    break;
                default: {
                    // Waits of all sizes are equally likely, not only those near the longest.
                    const Millis wait = 1 + below(std::max<Millis>(longest >> below(24), 1));
                    wheel.arm(*timers[i], now + wait);
                    model[i] = now + wait;
                }
            }
        }
        Millis earliest = -1;
        for (const Millis due : model) {
            if (due >= 0 && (earliest < 0 || due < earliest)) earliest = due;
        }
        const Millis idle = wheel.until_next(now);
        cr_assert((idle < 0) == (earliest < 0));
        cr_assert(earliest < 0 || now + idle <= earliest, "until_next is late: seed %u round %d", seed, round);
        now += below(3) == 0 && idle > 0 ? idle : below(stride);
        wheel.advance(now);
        for (std::size_t i = 0; i < count; ++i) {
            const bool due = model[i] >= 0 && model[i] <= now;
            cr_assert(timers[i]->is_armed() == (model[i] > now), "seed %u round %d timer %zu", seed, round, i);
            if (due) {
                cr_assert(timers[i]->fired == std::vector<Millis>{model[i]}, "seed %u round %d timer %zu", seed, round,
                          i);
                model[i] = -1;
            } else {
                cr_assert(timers[i]->fired.empty());
            }
            timers[i]->fired.clear();
        }
    }
}

Test(timer_wheel, random_work_of_milliseconds_agrees_with_a_list) {
    for (unsigned seed = 1; seed <= 4; ++seed) compare_with_model(seed, 300, 20, 1500);
}

Test(timer_wheel, random_work_of_seconds_agrees_with_a_list) {
    for (unsigned seed = 5; seed <= 8; ++seed) compare_with_model(seed, 60'000, 3000, 1500);
}

Test(timer_wheel, random_work_of_hours_agrees_with_a_list) {
    for (unsigned seed = 9; seed <= 12; ++seed) compare_with_model(seed, 40 * hour, hour, 1500);
}

}  // namespace
