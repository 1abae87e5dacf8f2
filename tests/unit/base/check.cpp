// base/check.h: a broken invariant ends the program, and what holds is looked at once.
#include "base/check.h"

#include <criterion/criterion.h>
#include <csignal>

Test(check, what_holds_is_evaluated_once_and_costs_nothing_else) {
    int evaluated = 0;
    SIO_CHECK(++evaluated == 1);
    cr_assert_eq(evaluated, 1);
}

Test(check, a_broken_invariant_ends_the_program, .signal = SIGABRT) { SIO_CHECK(1 + 1 == 3); }
