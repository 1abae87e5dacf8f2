// base/log_throttle.h: one line an interval, and how many were held back.
#include "base/log_throttle.h"

#include <criterion/criterion.h>

namespace {

using sio::base::LogThrottle;

Test(log_throttle, lets_the_first_line_through_at_once) {
    LogThrottle throttle(1'000);
    cr_expect(throttle.pass(0) == 0U);
}

Test(log_throttle, holds_back_what_comes_within_the_interval_and_counts_it) {
    LogThrottle throttle(1'000);
    cr_assert(throttle.pass(5'000) == 0U);
    for (int i = 0; i < 7; ++i) cr_expect(!throttle.pass(5'000 + i * 142));
    cr_expect(!throttle.pass(5'999));
    cr_expect(throttle.pass(6'000) == 8U);
    cr_expect(!throttle.pass(6'000));
    cr_expect(throttle.pass(60'000) == 1U);
    cr_expect(throttle.pass(61'000) == 0U, "nothing was held back since");
}

Test(log_throttle, kinds_do_not_hold_each_other_back) {
    LogThrottle one(1'000);
    LogThrottle other(1'000);
    cr_assert(one.pass(0) == 0U);
    cr_expect(other.pass(1) == 0U);
}

}  // namespace
