#include "cluster/stream_id.h"

#include <criterion/criterion.h>

#include <string>

using namespace sio;
using cluster::StreamId;

Test(stream_id, reads_what_redis_writes_and_writes_it_again) {
    for (const std::string text : {"0-0", "1795419353120-7", "18446744073709551615-18446744073709551615"}) {
        const auto id = StreamId::parse(text);
        cr_assert(id.has_value(), "%s", text.c_str());
        cr_expect(id->text() == text, "%s became %s", text.c_str(), id->text().c_str());
    }
}

Test(stream_id, refuses_what_is_no_id) {
    for (const std::string text : {"", "-", "1", "1-", "-1", "1-2-3", "1-2 ", " 1-2", "+1-2", "1-$", "$", "0x1-1",
                                   "18446744073709551616-0", "0-18446744073709551616"}) {
        cr_expect(!StreamId::parse(text), "'%s'", text.c_str());
    }
}

Test(stream_id, orders_by_time_and_then_by_sequence) {
    cr_expect((StreamId{9, 99} < StreamId{10, 0}));
    cr_expect((StreamId{10, 2} < StreamId{10, 10}));
    cr_expect((StreamId{10, 2} == StreamId{10, 2}));
    cr_expect((StreamId{} <= StreamId{0, 0}));
}

Test(stream_id, the_next_one_is_the_smallest_greater_one) {
    cr_expect((StreamId{5, 1}.next() == StreamId{5, 2}));
    cr_expect((StreamId{5, UINT64_MAX}.next() == StreamId{6, 0}));
}
