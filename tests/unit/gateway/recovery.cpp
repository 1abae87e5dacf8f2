// gateway/recovery.h: what a log keeps of the packets that were sent, and who has left and may return.
#include "gateway/recovery.h"

#include <criterion/criterion.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace {

using namespace sio::gateway;
using sio::net::Address;

constexpr Millis window = 120'000;
constexpr Millis kept = window + recovery_slack;
constexpr std::uint64_t epoch = 7;
constexpr std::string_view nsp = "/";

constexpr Position at(std::uint64_t count) { return {epoch, count}; }
using Names = std::vector<std::string>;
using Positions = std::vector<std::uint64_t>;
using Coverage = RecoveryLog::Coverage;

Id id(std::string_view text) {
    std::string padded("tag.");  // hashed is what follows
    padded += text;
    padded.resize(20, '.');
    return Id::from(padded);
}

std::vector<Stay> stays(const Names& rooms) {
    std::vector<Stay> list{{.room = {}, .is_everybody = true}};
    for (const std::string& room : rooms) list.push_back({.room = room});
    return list;
}

std::vector<std::string_view> views(const Names& names) { return {names.begin(), names.end()}; }

std::vector<FrameRef> frames(std::uint64_t number, std::size_t size) {
    return {FrameRef::text("4", std::to_string(number) + std::string(size, '.'))};
}

/// Records the next packet of the log; its frame's text names its position.
void record(RecoveryLog& log, Millis now, const Names& rooms = {}, const Names& except = {}, std::size_t size = 0,
            const Address& from = {}) {
    const Position position = log.advance();
    log.record({nsp, views(rooms), views(except)}, position, frames(position.seq, size), now, from);
}

/// 192.0.2.N.
Address client(unsigned n) { return Address::from("192.0.2." + std::to_string(n)); }

void prepend(RecoveryLog& log, std::uint64_t number, Millis sent, const Names& rooms, std::size_t size = 0) {
    const auto content = log.wants_older_content() ? frames(number, size) : std::vector<FrameRef>{};
    log.prepend({nsp, views(rooms), {}}, at(number), content, sent);
}

/// What is found for `rooms` after `from`; positions whose content is not there are negative.
std::vector<std::int64_t> found(const RecoveryLog& log, std::uint64_t from, const Names& rooms, std::size_t most = 7) {
    std::vector<std::int64_t> all;
    Position reached = at(from);
    for (;;) {
        std::vector<RecoveryLog::Missed> some;
        Position passed = reached;
        if (!log.collect(nsp, stays(rooms), reached, most, some, passed)) return {-1'000'000};
        if (passed == reached) return all;
        reached = passed;
        for (const auto& one : some) {
            const auto seq = static_cast<std::int64_t>(one.position.seq);
            all.push_back(one.packet != nullptr ? seq : -seq);
        }
    }
}

Positions replayed(const RecoveryLog& log, std::uint64_t from, const Names& rooms = {}) {
    Positions positions;
    for (const std::int64_t one : found(log, from, rooms)) positions.push_back(static_cast<std::uint64_t>(one));
    return positions;
}

Coverage covered(RecoveryLog& log, std::uint64_t from, Millis now, const Names& rooms = {}) {
    return log.covers(nsp, stays(rooms), at(from), now);
}

constexpr RecoveryLog::Options alone{.keep = kept, .has_source = false};
constexpr RecoveryLog::Options clustered{.keep = kept, .has_source = true};

// --- what was missed ------------------------------------------------------------------------------------------------

Test(recovery, what_came_after_a_position_is_found_in_order) {
    RecoveryBudget budget;
    RecoveryLog log{budget, alone, at(0), 0};
    for (int i = 0; i < 5; ++i) record(log, 1000 + i);
    cr_assert(log.position() == at(5));
    cr_assert(replayed(log, 0) == (Positions{1, 2, 3, 4, 5}));
    cr_assert(replayed(log, 3) == (Positions{4, 5}));
    cr_assert(replayed(log, 5).empty());
    std::vector<RecoveryLog::Missed> missed;
    Position passed = at(4);
    cr_assert(log.collect(nsp, stays({}), at(4), 10, missed, passed) && passed == at(5));
    cr_assert(missed.at(0).packet->frame->payload() == "45");
}

Test(recovery, only_what_the_rooms_and_exceptions_meant_for_this_socket_is_found) {
    RecoveryBudget budget;
    RecoveryLog log{budget, alone, at(0), 0};
    record(log, 1);                              // 1: everybody
    record(log, 1, {"red"});                     // 2
    record(log, 1, {"blue", "green"});           // 3
    record(log, 1, {}, {"red"});                 // 4: everybody but red
    record(log, 1, {"red", "blue"}, {"green"});  // 5
    record(log, 1, {"my-id"});                   // 6: this socket alone
    cr_assert(replayed(log, 0) == (Positions{1, 4}));
    cr_assert(replayed(log, 0, {"red"}) == (Positions{1, 2, 5}));
    cr_assert(replayed(log, 0, {"green"}) == (Positions{1, 3, 4}));
    cr_assert(replayed(log, 0, {"my-id", "blue"}) == (Positions{1, 3, 4, 5, 6}));
    cr_assert(replayed(log, 0, {"red", "green"}) == (Positions{1, 2, 3}));
    cr_assert(replayed(log, 0, {"re"}) == (Positions{1, 4}), "names are compared whole");
    cr_assert(replayed(log, 0, {""}) == (Positions{1, 4}), "a room without a name is not everybody");
}

Test(recovery, rooms_of_another_namespace_are_other_rooms) {
    RecoveryBudget budget;
    RecoveryLog log{budget, alone, at(0), 0};
    const std::string_view red = "red";
    log.record({"/a", {&red, 1}, {}}, log.advance(), frames(1, 0), 1);
    log.record({"/b", {}, {}}, log.advance(), frames(2, 0), 1);
    record(log, 1, {"red"});
    cr_assert(replayed(log, 0, {"red"}) == Positions{3});
}

Test(recovery, a_room_counts_from_the_join_until_the_leave) {
    RecoveryBudget budget;
    RecoveryLog log{budget, alone, at(0), 0};
    for (int i = 0; i < 9; ++i) record(log, 1, {"red"}, i == 5 ? Names{"blue"} : Names{});
    std::vector<Stay> list{{.room = "red", .after = at(2), .through = at(7)},
                           {.room = "blue", .after = at(0), .through = at(5)}};
    std::vector<RecoveryLog::Missed> missed;
    Position passed = at(0);
    cr_assert(log.collect(nsp, list, at(0), 100, missed, passed));
    Positions positions;
    for (const auto& one : missed) positions.push_back(one.position.seq);
    cr_assert(positions == (Positions{3, 4, 5, 6, 7}), "6 excepts a room that it has left by then");
    list.push_back({.room = "blue", .after = at(5)});
    missed.clear();
    cr_assert(log.collect(nsp, list, at(0), 100, missed, passed) && missed.size() == 4);
}

Test(recovery, a_packet_to_several_rooms_is_found_once_and_traffic_of_others_is_not_looked_at) {
    RecoveryBudget budget;
    RecoveryLog log{budget, alone, at(0), 0};
    record(log, 1, {"red", "blue"});
    for (int i = 0; i < 1000; ++i) record(log, 1, {"other"});
    record(log, 2, {"blue", "blue"});
    record(log, 3);
    cr_assert(replayed(log, 0, {"red", "blue"}) == (Positions{1, 1002, 1003}));
    log.purge(2 + kept + 250);
    cr_assert(replayed(log, 1, {"red", "blue"}) == Positions{1002} || replayed(log, 1003).empty());
}

// --- time -----------------------------------------------------------------------------------------------------------

Test(recovery, what_is_older_than_the_window_and_the_slack_is_dropped_and_can_have_been_missed_by_nobody) {
    RecoveryBudget budget;
    RecoveryLog log{budget, alone, at(0), 0};
    cr_assert(covered(log, 0, 0) == Coverage::whole);
    for (int i = 0; i < 4; ++i) record(log, i * 100'000);
    cr_assert(log.packets() == 3, "at 300 s the log reaches back to 90 s");
    for (std::uint64_t i = 0; i <= 4; ++i) cr_assert(covered(log, i, 300'000) == Coverage::whole);
    cr_assert(replayed(log, 0) == (Positions{2, 3, 4}));
    log.purge(300'001 + kept);
    cr_assert(replayed(log, 0).empty());
    cr_assert(log.packets() == 0 && log.content_bytes() == 0);
    cr_assert(budget.used == 0, "%zu bytes", budget.used);
}

Test(recovery, what_was_before_the_start_is_unknown_until_it_is_older_than_anybody_who_may_return) {
    RecoveryBudget budget;
    RecoveryLog log{budget, alone, at(5), 1000};
    cr_assert(covered(log, 4, 1000) == Coverage::not_read);
    cr_assert(covered(log, 5, 1000) == Coverage::whole);
    cr_assert(covered(log, 4, 1000 + kept) == Coverage::not_read);
    cr_assert(covered(log, 4, 1001 + kept) == Coverage::whole);
}

Test(recovery, a_gap_is_not_covered_until_it_is_older_than_anybody_who_may_return) {
    RecoveryBudget budget;
    RecoveryLog log{budget, clustered, at(0), 0};
    record(log, 400'000);
    record(log, 400'001);
    log.lose_through(at(1), 400'001);
    cr_assert(covered(log, 0, 400'002) == Coverage::not_read && covered(log, 1, 400'002) == Coverage::whole);
    cr_assert(covered(log, 0, 400'002 + kept) == Coverage::whole);
}

// --- the budget -----------------------------------------------------------------------------------------------------

Test(recovery, alone_the_budget_drops_the_oldest_packets_and_the_log_says_so) {
    const auto before = FrameRef::alive();
    RecoveryBudget budget{.limit = 20'000, .used = 0};
    {
        RecoveryLog log{budget, alone, at(0), 0};
        for (int i = 0; i < 50; ++i) {
            record(log, 1, {"red"}, {}, 1000);
            cr_assert(budget.used <= budget.limit, "%zu", budget.used);
        }
        cr_assert(log.packets() >= 10, "no more is dropped than must be");
        cr_assert(FrameRef::alive() == before + log.packets());
        cr_assert(covered(log, 0, 1, {"red"}) == Coverage::forgotten);
        cr_assert(found(log, 0, {"red"}) == std::vector<std::int64_t>{-1'000'000});
        cr_assert(covered(log, 49, 1, {"red"}) == Coverage::whole);
        cr_assert(replayed(log, 48, {"red"}) == (Positions{49, 50}));
        cr_assert(covered(log, 0, 1, {"blue"}) == Coverage::whole, "nothing of that room was dropped");
    }
    cr_assert(budget.used == 0, "what logs held is given back at their end");
    cr_assert(FrameRef::alive() == before);
}

Test(recovery, with_a_source_the_index_remembers_what_has_no_content_any_more) {
    RecoveryBudget budget{.limit = 60'000, .used = 0};
    RecoveryLog log{budget, clustered, at(0), 0};
    for (int i = 0; i < 200; ++i) record(log, 1, {i % 2 == 0 ? "red" : "blue"}, {}, 1000);
    cr_assert(budget.used <= budget.limit);
    cr_assert(covered(log, 0, 1, {"red"}) == Coverage::whole);
    const auto all = found(log, 0, {"red"});
    cr_assert(all.size() == 100);
    const auto first_with_content = std::ranges::find_if(all, [](std::int64_t one) { return one > 0; });
    cr_assert(all.front() == -1 && all.back() == 199 && first_with_content - all.begin() > 50);
    cr_assert(std::ranges::all_of(first_with_content, all.end(), [](std::int64_t one) { return one > 0; }));
    cr_assert(log.has(nsp, stays({"red"}), at(1)) && !log.has(nsp, stays({"red"}), at(2)));
}

Test(recovery, the_index_has_a_bound_too_and_each_room_knows_what_it_has_forgotten) {
    RecoveryBudget budget{.limit = 40'000, .used = 0};
    RecoveryLog log{budget, clustered, at(0), 0};
    record(log, 0, {"quiet"});
    for (int i = 0; i < 20'000; ++i) {
        record(log, i, {"busy-" + std::to_string(i % 5)});
        cr_assert(budget.used <= budget.limit + 2'000, "%zu", budget.used);
    }
    cr_assert(covered(log, 1, 20'000, {"busy-1"}) == Coverage::forgotten);
    cr_assert(log.forgotten_through(nsp, stays({"busy-1"})) > at(10'000));
    cr_assert(covered(log, 1, 20'000, {"quiet"}) == Coverage::whole, "nothing has come for it since");
    cr_assert(covered(log, 0, 20'000, {"quiet"}) == Coverage::forgotten);
    cr_assert(covered(log, 1, 20'000, {"never"}) == Coverage::whole);
    cr_assert(covered(log, 20'000, 20'000, {"busy-1"}) == Coverage::whole);
}

Test(recovery, many_rooms_of_one_event_each_stay_within_the_budget) {
    RecoveryBudget budget{.limit = 200'000, .used = 0};
    RecoveryLog log{budget, clustered, at(0), 0};
    for (int i = 0; i < 50'000; ++i) {
        record(log, i / 10, {"room-" + std::to_string(i)});
        cr_assert(budget.used <= budget.limit + 40'000, "%zu", budget.used);
    }
    cr_assert(covered(log, 49'990, 5'000, {"room-49999"}) == Coverage::whole);
    cr_assert(covered(log, 10, 5'000, {"room-20"}) == Coverage::forgotten);
    log.purge(5'000 + kept + 1000);
    for (int i = 0; i < 10; ++i) log.purge(5'000 + kept + 1000);
    cr_assert(budget.used == 0, "%zu", budget.used);
}

Test(recovery, the_newest_packet_is_kept_even_when_it_exceeds_the_budget) {
    RecoveryBudget budget{.limit = 2'000, .used = 0};
    RecoveryLog log{budget, alone, at(0), 0};
    record(log, 1);
    record(log, 1, {}, {}, 9000);
    cr_assert(covered(log, 0, 1) == Coverage::forgotten && covered(log, 1, 1) == Coverage::whole);
    cr_assert(replayed(log, 1) == Positions{2});
    record(log, 1);
    cr_assert(budget.used <= budget.limit);
    cr_assert(covered(log, 2, 1) == Coverage::whole);
}

Test(recovery, what_is_counted_is_what_is_held) {
    RecoveryBudget budget;
    RecoveryLog log{budget, alone, at(0), 0};
    for (int i = 0; i < 1000; ++i) record(log, 1, {"a room with a long name", "b"}, {"c"}, 100);
    // The frame, its header and its block; the packet; the exceptions; two places in lists.
    cr_assert(log.content_bytes() >= 1000 * (100 + sizeof(RecoveryLog::Packet) + sizeof(Frame)));
    cr_assert(log.index_bytes() >= 2 * 1000 * sizeof(Position));
    cr_assert(budget.used == log.content_bytes() + log.index_bytes());
}

// --- reading back ---------------------------------------------------------------------------------------------------

Test(recovery, what_is_read_back_stands_before_what_has_come_since) {
    RecoveryBudget budget;
    RecoveryLog log{budget, clustered, at(100), 50'000};
    record(log, 50'001, {"red"});
    cr_assert(covered(log, 97, 50'001, {"red"}) == Coverage::not_read);
    for (std::uint64_t number = 100; number > 90; --number) prepend(log, number, 49'000, {"red"});
    log.know_after(at(90));
    cr_assert(covered(log, 97, 50'001, {"red"}) == Coverage::whole);
    cr_assert(replayed(log, 97, {"red"}) == (Positions{98, 99, 100, 101}));
    cr_assert(covered(log, 89, 50'001, {"red"}) == Coverage::not_read);
    log.know_after({});
    cr_assert(covered(log, 1, 50'001, {"red"}) == Coverage::whole);
    record(log, 50'002, {"red"});
    cr_assert(replayed(log, 99, {"red"}) == (Positions{100, 101, 102}));
}

Test(recovery, reading_back_keeps_content_then_the_index_alone_and_ends_within_the_budget) {
    RecoveryBudget budget{.limit = 100'000, .used = 0};
    RecoveryLog log{budget, clustered, at(100'000), 50'000};
    std::uint64_t number = 100'000;
    for (; !log.is_full() && number > 1; --number) prepend(log, number, 49'000, {"red"}, 200);
    log.know_after(at(number));
    cr_assert(number > 1 && budget.used <= budget.limit, "%zu", budget.used);
    cr_assert(covered(log, number, 50'000, {"red"}) == Coverage::whole);
    const auto all = found(log, number, {"red"}, 500);
    cr_assert(all.size() == 100'000 - number);
    cr_assert(all.front() < 0 && all.back() == 100'000);
    // What comes now takes the place of the oldest content.
    for (int i = 0; i < 1000; ++i) {
        record(log, 50'001, {"blue"}, {}, 200);
        cr_assert(budget.used <= budget.limit, "%zu", budget.used);
    }
}

Test(recovery, what_is_older_than_the_window_by_the_streams_own_times_need_not_be_read) {
    RecoveryBudget budget;
    RecoveryLog log{budget, clustered, at(100), 50'000};
    prepend(log, 100, 49'000, {"red"});
    log.age_through(at(99));
    log.know_after(at(99));
    cr_assert(covered(log, 3, 50'000, {"red"}) == Coverage::whole, "a client that heard nothing for long");
}

Test(recovery, a_log_that_begins_again_has_nothing_of_before) {
    RecoveryBudget budget;
    RecoveryLog log{budget, clustered, at(0), 0};
    for (int i = 0; i < 10; ++i) record(log, 1, {"red"});
    log.begin_at(at(50), 2);
    cr_assert(budget.used == 0 && log.packets() == 0 && log.position() == at(50));
    cr_assert(covered(log, 9, 2, {"red"}) == Coverage::not_read);
    cr_assert(replayed(log, 50, {"red"}).empty());
}

// --- a model --------------------------------------------------------------------------------------------------------

Test(recovery, who_publishes_more_than_his_share_makes_only_his_own_rooms_forget) {
    RecoveryBudget budget{.limit = 200'000, .used = 0};
    RecoveryLog log{budget, alone, at(0), 0};
    for (int i = 0; i < 10; ++i) record(log, 1'000, {"calm"}, {}, 500, client(1));
    record(log, 1'000, {"served"}, {}, 500);  // by no client
    record(log, 1'000, {"mixed"}, {}, 500, client(2));
    for (int i = 0; i < 2'000; ++i) {
        record(log, 1'001 + i, {"loud"}, {}, 1'000, client(66));
        cr_assert(budget.used <= budget.limit, "%zu", budget.used);
    }
    cr_expect(covered(log, 0, 4'000, {"calm", "served"}) == Coverage::whole);
    cr_expect(replayed(log, 0, {"calm", "served"}).size() == 11);
    cr_expect(covered(log, 0, 4'000, {"mixed", "calm"}) == Coverage::whole);
    cr_expect(covered(log, 0, 4'000, {"loud"}) == Coverage::forgotten);
    cr_expect(found(log, 0, {"loud"}) == (std::vector<std::int64_t>{-1'000'000}));
    const auto last = log.position().seq;
    cr_expect(covered(log, last - 20, 4'000, {"loud"}) == Coverage::whole &&
              replayed(log, last - 20, {"loud"}).size() == 20);
    // It is as long in memory as all else.
    log.purge(4'001 + kept);
    cr_expect(log.packets() == 0 && budget.used == 0, "%zu", budget.used);
}

Test(recovery, with_several_who_publish_much_the_budget_holds_and_all_is_given_back) {
    RecoveryBudget budget{.limit = 100'000, .used = 0};
    RecoveryLog log{budget, alone, at(0), 0};
    for (int i = 0; i < 3'000; ++i) {
        record(log, 1'000 + i, {"r" + std::to_string(i % 50)}, {}, 300, client(static_cast<unsigned>(i % 5)));
        cr_assert(budget.used <= budget.limit + 1'000, "%zu", budget.used);
    }
    log.purge(4'001 + kept);
    cr_expect(log.packets() == 0 && budget.used == 0, "%zu", budget.used);
}

/// Random packets, rooms, sizes, budgets, times and readings back: what collect() finds is what the model finds, or the
/// log has said that it does not know.
Test(recovery, random_histories_agree_with_a_model) {
    struct Sent {
        std::uint64_t number;
        std::set<std::string> rooms;
        std::set<std::string> except;
        Millis when;
    };
    const Names names{"a", "b", "c", "d", "e", "f"};
    for (unsigned seed = 1; seed <= 60; ++seed) {
        std::mt19937 random(seed);
        const auto below = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
        const auto some = [&](unsigned most) {
            std::set<std::string> chosen;
            for (unsigned n = below(most + 1); n > 0; --n) chosen.insert(names[below(6)]);
            return chosen;
        };
        RecoveryBudget budget{.limit = 2'000 + below(60'000), .used = 0};
        const bool has_source = below(2) == 0;
        std::vector<Sent> history;
        Millis now = 300'000;
        // What was before the start, to be read back.
        const unsigned before = has_source ? below(300) : 0;
        for (unsigned i = 1; i <= before; ++i) {
            history.push_back({i, some(2), below(4) == 0 ? some(1) : std::set<std::string>{}, now - 3 * (before - i)});
        }
        RecoveryLog log{budget, {.keep = kept, .has_source = has_source}, at(before), now};
        unsigned unread = before;
        for (unsigned step = 0; step < 400; ++step) {
            if (unread > 0 && below(2) == 0 && !log.is_full()) {
                const Sent& sent = history[--unread];
                const Names rooms(sent.rooms.begin(), sent.rooms.end());
                const Names except(sent.except.begin(), sent.except.end());
                const auto content =
                    log.wants_older_content() ? frames(sent.number, below(300)) : std::vector<FrameRef>{};
                log.prepend({nsp, views(rooms), views(except)}, at(sent.number), content, sent.when);
                log.know_after(at(sent.number - 1));
                continue;
            }
            now += below(20) == 0 ? below(30'000) : below(100);
            const auto rooms = some(2);
            const auto except = below(4) == 0 ? some(1) : std::set<std::string>{};
            const Names room_list(rooms.begin(), rooms.end());
            // Three clients, of whom the first sends most; and what no client has caused.
            const unsigned whose = below(8);
            record(log, now, room_list, Names(except.begin(), except.end()), below(600),
                   whose < 4   ? client(1)
                   : whose < 6 ? client(whose)
                               : Address{});
            history.push_back({log.position().seq, rooms, except, now});
            if (below(10) == 0) log.purge(now);
            cr_assert(log.packets() <= 1 || budget.used <= budget.limit + 4'000, "seed %u: %zu", seed, budget.used);

            const auto mine = some(3);
            const Names my_rooms(mine.begin(), mine.end());
            const std::uint64_t from = below(static_cast<unsigned>(log.position().seq) + 1);
            if (covered(log, from, now, my_rooms) != Coverage::whole) continue;
            std::vector<std::uint64_t> want;
            for (const Sent& sent : history) {
                const auto is_mine = [&](const std::string& room) { return mine.contains(room); };
                if (sent.number <= from || at(sent.number) <= log.floor(now)) continue;
                if (!sent.rooms.empty() && std::ranges::none_of(sent.rooms, is_mine)) continue;
                want.push_back(sent.number);
            }
            std::vector<std::uint64_t> got;
            std::size_t excepted = 0;
            for (const std::int64_t one : found(log, from, my_rooms, 1 + below(20))) {
                cr_assert(one != -1'000'000, "seed %u: what is covered is found", seed);
                cr_assert(one > 0 || has_source, "seed %u: without a source all has content", seed);
                got.push_back(static_cast<std::uint64_t>(one < 0 ? -one : one));
            }
            for (const std::uint64_t number : want) {
                if (std::ranges::find(got, number) != got.end()) continue;
                // Only what is excepted may be left out.
                const auto sent = std::ranges::find(history, number, &Sent::number);
                cr_assert(std::ranges::any_of(sent->except, [&](const std::string& r) { return mine.contains(r); }),
                          "seed %u: %llu is missing after %llu", seed, static_cast<unsigned long long>(number),
                          static_cast<unsigned long long>(from));
                ++excepted;
            }
            cr_assert(got.size() + excepted == want.size() && std::ranges::is_sorted(got), "seed %u", seed);
        }
    }
}

// --- saved sockets --------------------------------------------------------------------------------------------------

Test(recovery, a_saved_socket_is_given_back_once) {
    RecoveryBudget budget;
    SavedSockets sockets{budget, window};
    SavedSocket saved;
    saved.sid = id("sid");
    saved.connected_at = at(7);
    saved.user = "ada";
    saved.stays = {{.room = "red"}, {.room = "blue"}};
    sockets.save(id("secret"), saved, 1000);
    cr_assert(sockets.count() == 1 && budget.used == sockets.bytes() && budget.used > sizeof(SavedSocket));
    cr_assert(!sockets.take(id("guess"), 1001));
    const auto back = sockets.take(id("secret"), 1001);
    cr_assert(back.has_value());
    cr_assert(back->sid == id("sid") && back->connected_at == at(7) && back->user == "ada");
    cr_assert(back->stays.size() == 2 && back->stays[1].room == "blue");
    cr_assert(sockets.count() == 0 && budget.used == 0);
    cr_assert(!sockets.take(id("secret"), 1002));
}

Test(recovery, a_saved_socket_expires_with_the_window) {
    RecoveryBudget budget;
    SavedSockets sockets{budget, window};
    sockets.save(id("a"), {}, 1000);
    sockets.save(id("b"), {}, 1000);
    cr_assert(sockets.take(id("a"), 1000 + window).has_value(), "inclusive");
    cr_assert(!sockets.take(id("b"), 1001 + window));
    budget.saved.purge(1001 + window);
    cr_assert(sockets.count() == 0 && budget.used == 0, "and its memory is freed");
}

Test(recovery, a_socket_that_returned_and_left_again_is_kept_from_its_last_leaving) {
    RecoveryBudget budget;
    SavedSockets sockets{budget, window};
    sockets.save(id("a"), {}, 1000);
    cr_assert(sockets.take(id("a"), 50'000).has_value());
    sockets.save(id("a"), {}, 60'000);
    budget.saved.purge(1001 + window);  // the time of its first leaving
    cr_assert(sockets.count() == 1);
    cr_assert(sockets.take(id("a"), 60'000 + window).has_value());
    budget.saved.purge(60'001 + window);
    cr_assert(sockets.count() == 0);
}

Test(recovery, saving_under_the_same_secret_again_replaces) {
    RecoveryBudget budget;
    SavedSockets sockets{budget, window};
    SavedSocket first;
    first.user = "first";
    SavedSocket second;
    second.user = "second";
    sockets.save(id("a"), first, 1000);
    sockets.save(id("a"), second, 2000);
    cr_assert(sockets.count() == 1);
    const auto back = sockets.take(id("a"), 2000);
    cr_assert(back && back->user == "second");
    cr_assert(budget.used == 0);
}

Test(recovery, no_more_than_the_limit_of_sockets_are_kept_and_the_oldest_go) {
    RecoveryBudget budget{.limit = std::size_t{1} << 30U, .used = 0};
    SavedSockets sockets{budget, window};
    for (std::size_t i = 0; i < SavedSockets::max_saved + 10; ++i) sockets.save(id(std::to_string(i)), {}, 1000);
    cr_assert(sockets.count() == SavedSockets::max_saved);
    cr_assert(!sockets.take(id("9"), 1000));
    cr_assert(sockets.take(id("10"), 1000).has_value());
    cr_assert(sockets.take(id(std::to_string(SavedSockets::max_saved + 9)), 1000).has_value());
}

Test(recovery, who_leaves_with_many_sockets_loses_his_own_and_not_those_of_others) {
    RecoveryBudget budget{.limit = 400'000, .used = 0};
    SavedSockets sockets{budget, window};
    SavedSockets elsewhere{budget, window};  // another namespace
    SavedSocket light;
    light.stays = {{.room = "one"}};
    for (int i = 0; i < 20; ++i) sockets.save(id("calm" + std::to_string(i)), light, 1000, client(1));
    SavedSocket heavy;
    for (int i = 0; i < 30; ++i) heavy.stays.push_back({.room = std::string(200, 'r') + std::to_string(i)});
    for (int i = 0; i < 1'000; ++i) {
        SavedSockets& into = i % 2 == 0 ? sockets : elsewhere;
        into.save(id("loud" + std::to_string(i)), heavy, 1000, client(66));
        cr_assert(budget.used <= budget.limit / 4 && budget.used == sockets.bytes() + elsewhere.bytes(), "%zu",
                  budget.used);
    }
    cr_expect(elsewhere.take(id("loud999"), 1000).has_value() && !elsewhere.take(id("loud1"), 1000));
    for (int i = 0; i < 20; ++i) cr_expect(sockets.take(id("calm" + std::to_string(i)), 1000).has_value(), "%d", i);
    budget.saved.purge(1'001 + window);
    cr_expect(sockets.count() == 0 && elsewhere.count() == 0 && budget.used == 0);
}

Test(recovery, leaving_and_returning_again_and_again_leaves_nothing_behind) {
    RecoveryBudget budget;
    SavedSockets sockets{budget, window};
    for (int i = 0; i < 10'000; ++i) {
        sockets.save(id("a"), {}, 1000, client(1));
        cr_assert(sockets.take(id("a"), 1000).has_value());
    }
    cr_expect(budget.used == 0 && budget.saved.count() == 0 && budget.saved.first_to_go() == nullptr);
    {
        SavedSockets dropped{budget, window};
        dropped.save(id("b"), {}, 1000, client(1));
        cr_expect(budget.used > 0);
    }
    cr_expect(budget.used == 0 && budget.saved.first_to_go() == nullptr,
              "a namespace that is dropped takes its own along");
}

Test(recovery, saved_sockets_take_a_quarter_of_the_budget_however_many_rooms_they_have) {
    RecoveryBudget budget{.limit = 400'000, .used = 0};
    SavedSockets sockets{budget, window};
    SavedSocket heavy;
    for (int i = 0; i < 100; ++i)
        heavy.stays.push_back({.room = "a room whose name is long enough for the heap " + std::to_string(i)});
    for (int i = 0; i < 500; ++i) {
        sockets.save(id(std::to_string(i)), heavy, 1000);
        cr_assert(budget.used <= budget.limit / 4, "%zu", budget.used);
    }
    cr_assert(sockets.count() >= 5 && sockets.take(id("499"), 1000).has_value());
}

}  // namespace
