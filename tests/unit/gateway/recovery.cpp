// gateway/recovery.h: what a namespace keeps of the packets it has sent, and of the sockets that left.
#include "gateway/recovery.h"

#include <criterion/criterion.h>

#include <string>
#include <vector>

namespace {

using namespace sio::gateway;

constexpr Millis window = 120'000;
constexpr Millis kept = window + recovery_slack;
constexpr std::uint64_t epoch = 7;

constexpr Position at(std::uint64_t count) { return {epoch, count}; }
using Texts = std::vector<std::string>;

Id id(std::string_view text) {
    std::string padded("tag.");  // hashed is what follows
    padded += text;
    padded.resize(20, '.');
    return Id::from(padded);
}

/// Records the next packet of the log; its frame's text names its position.
void record(RecoveryLog& log, Millis now, Texts rooms = {}, Texts except = {}, std::size_t size = 0) {
    RecoveryLog::Packet packet{};
    packet.position = log.advance();
    packet.sent = now;
    packet.rooms = std::move(rooms);
    packet.except = std::move(except);
    packet.frames.push_back(FrameRef::text("4", std::to_string(packet.position.seq) + std::string(size, '.')));
    log.record(std::move(packet), now);
}

std::vector<std::uint64_t> replayed(const RecoveryLog& log, std::uint64_t from, const Texts& rooms = {}) {
    std::vector<std::uint64_t> positions;
    log.replay(at(from), rooms, [&](const RecoveryLog::Packet& packet) { positions.push_back(packet.position.seq); });
    return positions;
}

using Positions = std::vector<std::uint64_t>;

Test(recovery, replay_gives_what_came_after_the_position_in_order) {
    RecoveryBudget budget;
    RecoveryLog log{budget, at(0), window, 0};
    for (int i = 0; i < 5; ++i) record(log, 1000 + i);
    cr_assert(log.position() == at(5));
    cr_assert(replayed(log, 0) == (Positions{1, 2, 3, 4, 5}));
    cr_assert(replayed(log, 3) == (Positions{4, 5}));
    cr_assert(replayed(log, 5).empty());
    std::string text;
    log.replay(at(4), {}, [&](const RecoveryLog::Packet& packet) { text = packet.frames.at(0)->payload(); });
    cr_assert(text == "45");
}

Test(recovery, replay_gives_only_what_the_rooms_and_exceptions_meant_for_this_socket) {
    RecoveryBudget budget;
    RecoveryLog log{budget, at(0), window, 0};
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
}

Test(recovery, a_client_that_was_here_within_the_window_has_all_that_is_older_than_it_and_the_slack) {
    RecoveryBudget budget;
    RecoveryLog log{budget, at(0), window, 0};
    cr_assert(log.covers(at(0), 0));
    cr_assert(!log.covers(at(1), 0), "ahead of us");
    for (int i = 0; i < 4; ++i) record(log, i * 100'000);
    // At 300 s the log reaches back to 90 s: the packet of 0 s is gone, and nobody who may come back can have missed
    // it.
    cr_assert(replayed(log, 0) == (Positions{2, 3, 4}));
    for (std::uint64_t i = 0; i <= 4; ++i) cr_assert(log.covers(at(i), 300'000), "position %d", static_cast<int>(i));
    cr_assert(!log.covers(at(5), 300'000));
}

Test(recovery, purge_drops_what_is_older_than_the_window_and_the_slack) {
    RecoveryBudget budget;
    RecoveryLog log{budget, at(0), window, 0};
    record(log, 1000);
    record(log, 2000);
    log.purge(1000 + kept);
    cr_assert(replayed(log, 0) == (Positions{1, 2}), "inclusive");
    log.purge(1001 + kept);
    cr_assert(replayed(log, 0) == Positions{2});
    log.purge(2001 + kept);
    cr_assert(replayed(log, 0).empty() && budget.used == 0);
    cr_assert(log.covers(at(2), 2001 + kept));
}

Test(recovery, what_was_lost_is_not_covered_until_it_is_older_than_anybody_who_may_come_back) {
    RecoveryBudget budget;
    RecoveryLog log{budget, at(5), window, 1000};
    cr_assert(!log.covers(at(4), 1000), "before the log began");
    cr_assert(!log.covers(at(4), 1000 + kept));
    cr_assert(log.covers(at(4), 1001 + kept));
    record(log, 400'000);
    record(log, 400'001);
    log.lose_through(at(6), 400'001);
    cr_assert(!log.covers(at(5), 400'002) && log.covers(at(6), 400'002));
    cr_assert(log.covers(at(5), 400'002 + kept));
}

Test(recovery, replay_costs_no_more_for_traffic_of_other_rooms_and_names_each_packet_once) {
    RecoveryBudget budget;
    RecoveryLog log{budget, at(0), window, 0};
    record(log, 1, {"red", "blue"});
    for (int i = 0; i < 1000; ++i) record(log, 1, {"other"});
    record(log, 2, {"blue", "blue"});
    record(log, 3);
    cr_assert(replayed(log, 0, {"red", "blue"}) == (Positions{1, 1002, 1003}));
    log.purge(2 + kept);
    cr_assert(replayed(log, 0, {"red", "blue"}) == (Positions{1002, 1003}));
    log.purge(3 + kept);
    cr_assert(replayed(log, 0, {"red", "blue"}) == Positions{1003});
}

Test(recovery, the_budget_drops_the_oldest_packets_of_the_log_that_adds) {
    const auto before = FrameRef::alive();
    RecoveryBudget budget{.limit = 10'000, .used = 0};
    {
        RecoveryLog other{budget, at(0), window, 0};
        record(other, 1, {}, {}, 1000);
        RecoveryLog log{budget, at(0), window, 0};
        for (int i = 0; i < 50; ++i) {
            record(log, 1, {}, {}, 1000);
            cr_assert(budget.used <= budget.limit, "%zu", budget.used);
        }
        cr_assert(!log.covers(at(0), 1) && log.covers(at(49), 1));
        cr_assert(replayed(log, 49) == Positions{50});
        cr_assert(other.covers(at(0), 1), "the other log keeps its packet");
        cr_assert(replayed(log, 0).size() >= 5, "no more is dropped than must be");
        cr_assert(FrameRef::alive() == before + replayed(log, 0).size() + 1);
    }
    cr_assert(budget.used == 0, "what logs held is given back at their end");
    cr_assert(FrameRef::alive() == before);
}

Test(recovery, the_newest_packet_is_kept_even_when_it_exceeds_the_budget) {
    RecoveryBudget budget{.limit = 500, .used = 0};
    RecoveryLog log{budget, at(0), window, 0};
    record(log, 1);
    record(log, 1, {}, {}, 5000);
    cr_assert(!log.covers(at(0), 1) && log.covers(at(1), 1));
    cr_assert(replayed(log, 1) == Positions{2});
    record(log, 1);
    cr_assert(budget.used <= budget.limit);
    cr_assert(log.covers(at(2), 1));
}

Test(recovery, a_saved_socket_is_given_back_once) {
    RecoveryBudget budget;
    RecoveryLog log{budget, at(0), window, 0};
    SavedSocket saved;
    saved.sid = id("sid");
    saved.connected_at = at(7);
    saved.user = "ada";
    saved.rooms = {"red", "blue"};
    log.save(id("secret"), saved, 1000);
    cr_assert(log.saved_count() == 1);
    cr_assert(!log.take(id("guess"), 1001));
    const auto back = log.take(id("secret"), 1001);
    cr_assert(back.has_value());
    cr_assert(back->sid == id("sid") && back->connected_at == at(7) && back->user == "ada");
    cr_assert(back->rooms == (Texts{"red", "blue"}));
    cr_assert(log.saved_count() == 0);
    cr_assert(!log.take(id("secret"), 1002));
}

Test(recovery, a_saved_socket_expires_with_the_window) {
    RecoveryBudget budget;
    RecoveryLog log{budget, at(0), window, 0};
    log.save(id("a"), {}, 1000);
    log.save(id("b"), {}, 1000);
    cr_assert(log.take(id("a"), 1000 + window).has_value(), "inclusive");
    cr_assert(!log.take(id("b"), 1001 + window));
    log.purge(1001 + window);
    cr_assert(log.saved_count() == 0, "and its memory is freed");
}

Test(recovery, a_socket_that_came_back_and_left_again_is_kept_from_its_last_leaving) {
    RecoveryBudget budget;
    RecoveryLog log{budget, at(0), window, 0};
    log.save(id("a"), {}, 1000);
    cr_assert(log.take(id("a"), 50'000).has_value());
    log.save(id("a"), {}, 60'000);
    log.purge(1001 + window);  // the time of its first leaving
    cr_assert(log.saved_count() == 1);
    cr_assert(log.take(id("a"), 60'000 + window).has_value());
    log.purge(60'001 + window);
    cr_assert(log.saved_count() == 0);
}

Test(recovery, saving_under_the_same_secret_again_replaces) {
    RecoveryBudget budget;
    RecoveryLog log{budget, at(0), window, 0};
    SavedSocket first;
    first.user = "first";
    SavedSocket second;
    second.user = "second";
    log.save(id("a"), first, 1000);
    log.save(id("a"), second, 2000);
    cr_assert(log.saved_count() == 1);
    const auto back = log.take(id("a"), 2000);
    cr_assert(back && back->user == "second");
}

Test(recovery, no_more_than_the_limit_of_sockets_are_kept_and_the_oldest_go) {
    RecoveryBudget budget;
    RecoveryLog log{budget, at(0), window, 0};
    for (std::size_t i = 0; i < RecoveryLog::max_saved + 10; ++i) log.save(id(std::to_string(i)), {}, 1000);
    cr_assert(log.saved_count() == RecoveryLog::max_saved);
    cr_assert(!log.take(id("9"), 1000));
    cr_assert(log.take(id("10"), 1000).has_value());
    cr_assert(log.take(id(std::to_string(RecoveryLog::max_saved + 9)), 1000).has_value());
}

}  // namespace
