// The daemon's tables: revocations, failed attempts, answers that are kept, open sessions.
#include <criterion/criterion.h>

#include "authd/limiter.h"
#include "authd/open_sessions.h"
#include "authd/revocation_stream.h"
#include "authd/revocations.h"
#include "authd/ttl_cache.h"

namespace {

using namespace sio;
using namespace sio::authd;

}  // namespace

Test(revocations, one_is_in_force_until_its_end_or_until_it_is_lifted) {
    Revocations table;
    cr_expect(table.apply({Revoked::user, "1", 100}, 10) == Revocations::Change::placed);
    cr_expect(table.is_out(Revoked::user, "1", 99) && !table.is_out(Revoked::user, "1", 100));
    cr_expect(!table.is_out(Revoked::session, "1", 50), "users and sessions are different things");
    cr_expect(table.apply({Revoked::user, "1", 100}, 20) == Revocations::Change::none, "known already");
    cr_expect(table.apply({Revoked::user, "1", 200}, 20) == Revocations::Change::placed);
    cr_expect(table.apply({Revoked::user, "1", 0}, 20) == Revocations::Change::lifted);
    cr_expect(!table.is_out(Revoked::user, "1", 21));
    cr_expect(table.apply({Revoked::user, "1", 0}, 20) == Revocations::Change::none);
    cr_expect(table.apply({Revoked::user, "2", 10}, 20) == Revocations::Change::none, "over already");
}

Test(revocations, what_is_over_is_dropped_and_not_listed) {
    Revocations table;
    table.apply({Revoked::user, "1", 30}, 10);
    table.apply({Revoked::session, "s", 50}, 10);
    std::string listed;
    table.each(30, [&](const Revocation& one) {
        listed += std::string(to_string(one.kind)) + one.id;
        return true;
    });
    cr_expect(listed == "sessions");
    table.sweep(30);
    cr_expect(table.size() == 1);
}

Test(revocations, an_entry_of_the_stream_needs_its_three_fields) {
    const auto text = [](std::string_view word) {
        redis::Reply reply;
        reply.kind = redis::Reply::Kind::bulk;
        reply.text = word;
        return reply;
    };
    const auto entry = [&](std::initializer_list<std::string_view> words) {
        std::vector<redis::Reply> fields;
        for (const auto word : words) fields.push_back(text(word));
        return parse_entry(fields);
    };
    const auto good = entry({"kind", "user", "id", "42", "until", "100", "later", "x"});
    cr_assert(good.has_value());
    cr_expect(good->kind == Revoked::user && good->id == "42" && good->until == 100);
    cr_expect(!entry({"kind", "user", "id", "42"}) && !entry({"kind", "user", "until", "1"}));
    cr_expect(!entry({"id", "42", "until", "1"}) && !entry({"kind", "x", "id", "42", "until", "1"}));
    cr_expect(!entry({"kind", "user", "id", "42", "until", "-1"}) && !entry({"kind", "user", "id", "", "until", "1"}));
    cr_expect(!entry({"kind", "user", "id", "\xff", "until", "1"}) && !entry({}));
}

Test(limiter, an_address_that_fails_too_often_waits_and_recovers) {
    FailureLimiter limiter(3, 1);
    for (int i = 0; i < 3; ++i) {
        cr_expect(!limiter.is_limited("192.0.2.1", 1000));
        limiter.failed("192.0.2.1", 1000);
    }
    cr_expect(limiter.is_limited("192.0.2.1", 1000) && limiter.is_limited("192.0.2.1", 1999));
    cr_expect(!limiter.is_limited("192.0.2.1", 2000), "one a second");
    cr_expect(!limiter.is_limited("192.0.2.2", 1000), "others are not concerned");
}

Test(limiter, the_whole_network_of_an_ipv6_address_counts_as_one) {
    FailureLimiter limiter(1, 1);
    limiter.failed("2001:db8:1:2::1", 0);
    cr_expect(limiter.is_limited("2001:db8:1:2:ffff::9", 0) && !limiter.is_limited("2001:db8:1:3::1", 0));
}

Test(limiter, what_says_nothing_of_the_client_is_never_limited) {
    FailureLimiter limiter(1, 1);
    for (const auto* address : {"", "unix", "127.0.0.1", "::1", "rubbish"}) {
        for (int i = 0; i < 5; ++i) limiter.failed(address, 0);
        cr_expect(!limiter.is_limited(address, 0), "%s", address);
    }
    FailureLimiter off(1, 0);
    for (int i = 0; i < 5; ++i) off.failed("192.0.2.1", 0);
    cr_expect(!off.is_limited("192.0.2.1", 0));
}

Test(limiter, its_table_is_bounded) {
    FailureLimiter limiter(2, 1);
    for (unsigned i = 0; i < FailureLimiter::max_addresses + 1000; ++i) {
        limiter.failed(
            std::to_string(1 + i / 65536) + ".1." + std::to_string(i / 256 % 256) + "." + std::to_string(i % 256), 0);
    }
    cr_expect(limiter.size() == FailureLimiter::max_addresses);
}

Test(ttl_cache, an_answer_counts_until_its_time_and_the_oldest_goes_first) {
    TtlCache<int> cache(2);
    cache.put(sha256("a"), 1, 100, 0);
    cr_assert(cache.find(sha256("a"), 99) != nullptr);
    cr_expect(*cache.find(sha256("a"), 99) == 1 && cache.until(sha256("a")) == 100);
    cr_expect(cache.find(sha256("a"), 100) == nullptr && cache.find(sha256("b"), 0) == nullptr);
    cache.put(sha256("b"), 2, 100, 0);
    cache.put(sha256("c"), 3, 100, 0);
    cr_expect(cache.size() == 2 && cache.find(sha256("a"), 0) == nullptr && cache.find(sha256("c"), 0) != nullptr);
    cache.put(sha256("d"), 4, 5, 5);
    cr_expect(cache.find(sha256("d"), 0) == nullptr, "nothing is kept for no time");
    cache.put(sha256("b"), 5, 200, 0);
    cr_expect(*cache.find(sha256("b"), 150) == 5);
    cache.put(sha256("e"), 6, 400, 300);
    cr_expect(cache.size() == 1, "what is over goes with the next that comes");
    cache.clear();
    cr_expect(cache.size() == 0);
}

Test(open_sessions, a_session_is_looked_up_while_some_gateway_has_it) {
    OpenSessions table;
    cr_expect(table.open(1, "s", "token", 50) && table.open(2, "s", "token", 60));
    cr_expect(table.size() == 1 && table.find("s")->expires == 60 && table.find("s")->gateways.size() == 2);
    table.close(1, "s");
    table.close(1, "s");
    cr_expect(table.size() == 1);
    table.close(2, "s");
    cr_expect(table.size() == 0);
}

Test(open_sessions, a_gateway_that_goes_takes_its_sessions_with_it) {
    OpenSessions table;
    table.open(1, "a", "ta", 50);
    table.open(1, "b", "tb", 50);
    table.open(2, "b", "tb", 50);
    table.drop_gateway(1);
    cr_expect(table.ids() == std::vector<std::string>({"b"}));
    table.remove("b");
    table.drop_gateway(2);
    cr_expect(table.size() == 0);
}

Test(open_sessions, only_what_has_gone_or_was_shortened_is_told) {
    const std::vector<Asked> asked{{"gone", "t1", 100}, {"alive", "t2", 100}, {"shortened", "t3", 100},
                                   {"ended", "t4", 40}, {"twice", "t5", 100}, {"endless", "t6", {}}};
    const std::vector<PolledSession> polled{{"t2", true}, {"t3", false}, {"t4", false},
                                            {"t5", true}, {"t5", true},  {"t6", false}};
    cr_expect(gone_sessions(asked, polled, 50) == std::vector<std::string>({"gone", "shortened", "twice", "endless"}));
}
