// What the bridge remembers of records, and how it counts their times.
#include "bridge/ring.h"

#include <criterion/criterion.h>

#include <string>

#include "bridge/histogram.h"

using namespace sio::bridge;

namespace {

Note note(std::int64_t offset, Outcome outcome, std::uint32_t entries = 1) {
    Note made;
    made.offset = offset;
    made.time_ms = 1'000 + offset;
    made.consumed_ms = 2'000 + offset;
    made.entries = entries;
    made.outcome = outcome;
    return made;
}

}  // namespace

Test(bridge_ring, finds_a_record_by_its_place_and_no_other) {
    TraceRing ring;
    const auto a = ring.lane_of("orders", 0);
    const auto b = ring.lane_of("orders", 1);
    cr_expect_neq(a, b);
    cr_expect_eq(ring.lane_of("orders", 0), a);
    ring.add(a, note(7, Outcome::written), 3'000, sio::cluster::StreamId{5, 2});
    ring.add(b, note(7, Outcome::nothing, 0), 3'001, std::nullopt);
    const auto found = ring.find("orders", 0, 7);
    cr_assert(found.has_value());
    cr_expect_eq(found->note.time_ms, 1'007);
    cr_expect_eq(found->written_ms, 3'000);
    cr_expect((found->first == sio::cluster::StreamId{5, 2}));
    cr_expect_not(ring.find("orders", 1, 7)->first.has_value());
    cr_expect_not(ring.find("orders", 0, 8).has_value());
    cr_expect_not(ring.find("others", 0, 7).has_value());
}

Test(bridge_ring, the_newest_word_about_a_record_counts) {
    TraceRing ring;
    const auto lane = ring.lane_of("t", 0);
    ring.add(lane, note(1, Outcome::written), 10, std::nullopt);
    ring.add(lane, note(1, Outcome::repeat), 20, std::nullopt);
    cr_expect_eq(ring.find("t", 0, 1)->note.outcome, Outcome::repeat);
}

Test(bridge_ring, forgets_the_oldest_when_it_is_full) {
    TraceRing ring;
    const auto lane = ring.lane_of("t", 0);
    const auto many = static_cast<std::int64_t>(TraceRing::capacity) + 3;
    for (std::int64_t i = 0; i < many; ++i) ring.add(lane, note(i, Outcome::written), i, std::nullopt);
    cr_expect_not(ring.find("t", 0, 2).has_value());
    cr_expect(ring.find("t", 0, 3).has_value());
    cr_expect(ring.find("t", 0, many - 1).has_value());
}

Test(bridge_ring, tells_why_a_record_is_a_dead_letter) {
    TraceRing ring;
    const auto lane = ring.lane_of("t", 4);
    ring.add_reason(lane, 9, "not JSON");
    ring.add(lane, note(9, Outcome::dead_letter, 0), 1, std::nullopt);
    cr_expect_eq(ring.find("t", 4, 9)->reason, "not JSON");
    for (std::size_t i = 0; i < TraceRing::max_reasons; ++i) ring.add_reason(lane, 100, "x");
    cr_expect_eq(ring.find("t", 4, 9)->reason, "");
}

Test(bridge_histogram, a_time_falls_into_the_first_bucket_that_holds_it) {
    Histogram histogram;
    for (const std::int64_t ms : {-5, 0, 1, 2, 3, 4, 1'000, 400'000}) histogram.add(ms);
    cr_expect_eq(histogram.counts()[0], 3U);  // up to 1 ms; a clock that is behind counts as no time
    cr_expect_eq(histogram.counts()[1], 1U);
    cr_expect_eq(histogram.counts()[2], 1U);
    cr_expect_eq(histogram.counts()[3], 1U);
    cr_expect_eq(histogram.counts()[10], 1U);
    cr_expect_eq(histogram.counts().back(), 1U);
    cr_expect_eq(histogram.sum(), 401'010);
}
