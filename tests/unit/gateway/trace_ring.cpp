// gateway/trace_ring.h: what is remembered of entries, and for how long.
#include "gateway/trace_ring.h"

#include <criterion/criterion.h>

namespace {

using namespace sio::gateway;

Test(trace_ring, the_last_entries_are_found_and_older_ones_forgotten) {
    TraceRing ring;
    for (std::uint64_t i = 1; i <= TraceRing::capacity + 5; ++i) ring.add({i, 0}, 0, 1000).sockets = 7;
    cr_expect(ring.find({5, 0}, 0) == nullptr);
    cr_expect(ring.find({6, 0}, 0) != nullptr);
    cr_expect(ring.find({TraceRing::capacity + 5, 0}, TraceRing::any_stream)->sockets == 7);
    cr_expect(ring.find({TraceRing::capacity + 6, 0}, 0) == nullptr);
}

Test(trace_ring, a_place_that_is_used_again_has_nothing_of_before) {
    TraceRing ring;
    TraceRing::Entry& first = ring.add({1, 0}, 0, 1);
    first.sockets = 3;
    first.named = 2;
    first.is_delivered = true;
    for (std::uint64_t i = 2; i <= TraceRing::capacity + 1; ++i) ring.add({i, 0}, 0, 2);
    const auto* again = ring.find({TraceRing::capacity + 1, 0}, 0);
    cr_assert(again == &first);
    cr_expect(again->sockets == 0 && again->named == 0 && !again->is_delivered && again->read == 2);
}

Test(trace_ring, entries_of_two_streams_with_one_id_are_told_apart) {
    TraceRing ring;
    ring.add({1, 2}, 0, 1).sockets = 10;
    ring.add({1, 2}, 1, 1).sockets = 11;
    cr_expect(ring.find({1, 2}, 0)->sockets == 10);
    cr_expect(ring.find({1, 2}, 1)->sockets == 11);
    cr_expect(ring.find({1, 2}, 2) == nullptr);
    cr_expect(ring.find({1, 2}, TraceRing::any_stream) != nullptr);
}

Test(trace_ring, the_id_before_every_entry_is_in_no_empty_ring) {
    cr_expect(TraceRing().find({0, 0}, TraceRing::any_stream) == nullptr);
}

}  // namespace
