// cluster/stream_bounds.h: when a stream is measured. What the scripts do is tested with a Redis, in tests/cluster.
#include "cluster/stream_bounds.h"

#include <criterion/criterion.h>

using sio::cluster::StreamBounds;
using sio::cluster::StreamGrowth;

Test(stream_bounds, a_stream_is_measured_at_first_and_after_each_part_of_a_bound) {
    const StreamBounds bounds{.entries = 640, .bytes = 6'400};
    StreamGrowth growth;
    cr_expect(growth.add(0, 0, bounds), "what was there before is not known");
    for (int i = 0; i < 10; ++i) cr_expect(!growth.add(1, 1, bounds), "entry %d", i);
    cr_expect(growth.add(1, 1, bounds), "more than a 64th of the entries");
    cr_expect(!growth.add(1, 100, bounds));
    cr_expect(growth.add(1, 1, bounds), "more than a 64th of the bytes");
    cr_expect(!growth.add(1, 1, bounds), "it counts from the beginning");
    growth.again();
    cr_expect(growth.add(0, 0, bounds), "the last time it came to nothing");
}

Test(stream_bounds, without_a_bound_nothing_is_measured) {
    StreamGrowth growth;
    cr_expect(!growth.add(1'000'000, 1'000'000'000, {}));
    StreamGrowth by_bytes;
    const StreamBounds bytes{.entries = 0, .bytes = 64};
    cr_expect(by_bytes.add(0, 0, bytes));
    cr_expect(!by_bytes.add(1'000'000, 1, bytes));
    cr_expect(by_bytes.add(0, 1, bytes));
}

Test(stream_bounds, several_streams_share_what_is_allowed) {
    const StreamBounds all{.entries = 98, .bytes = 1'000};
    const StreamBounds each = all.share(4);
    cr_expect(each.entries == 25 && each.bytes == 250);
    const StreamBounds none = StreamBounds{}.share(4);
    cr_expect(none.entries == 0 && none.bytes == 0, "no bound is no bound");
}
