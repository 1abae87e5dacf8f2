// gateway/outbox.h over socket pairs: what is pushed arrives whole and in order, in few writes, whatever the reader
// does.
#include "gateway/outbox.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace {

using namespace sio;
using sio::base::UniqueFd;
using namespace sio::gateway;
using Slot = Outbox::Slot;

constexpr std::size_t plenty = std::size_t{1} << 30U;

struct Owner final : Outbox::Owner {
    void on_write_failed(Slot slot, int error) override { failed.emplace_back(slot, error); }
    void on_queue_full(Slot slot) override { full.push_back(slot); }
    void on_room(Slot slot) override { with_room.push_back(slot); }
    void on_growth(Slot slot) override { grown.push_back(slot); }
    void on_poll_ready(Slot slot) override {
        ready.push_back(slot);
        if (outbox == nullptr) return;
        std::string payload;
        if (outbox->take_payload(slot, most, payload) == 0) return;
        outbox->set_poll_waiting(slot, false);
        answers.push_back(std::move(payload));
    }

    std::vector<std::pair<Slot, int>> failed;
    std::vector<Slot> full;
    std::vector<Slot> with_room;
    std::vector<Slot> grown;
    std::vector<Slot> ready;
    std::vector<std::string> answers;
    Outbox* outbox = nullptr;  ///< to answer polls from
    std::size_t most = 16;
};

/// Two connected stream sockets that never block; the gateway's side takes little when `room` is small.
struct Pair {
    explicit Pair(int room = 0) {
        int fds[2];
        cr_assert(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
        ours = UniqueFd(fds[0]);
        theirs = UniqueFd(fds[1]);
        if (room > 0) cr_assert(::setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0);
    }

    /// All that can be read now, at most `most` bytes.
    std::string read(std::size_t most = SIZE_MAX) const {
        std::string all;
        std::array<char, 65536> buffer;
        while (all.size() < most) {
            const ssize_t n = ::read(theirs.get(), buffer.data(), std::min(buffer.size(), most - all.size()));
            if (n <= 0) break;
            all.append(buffer.data(), static_cast<std::size_t>(n));
        }
        return all;
    }

    UniqueFd ours;
    UniqueFd theirs;
};

FrameRef text(std::string_view body) { return FrameRef::text("4", body); }

std::string wire(const FrameRef& frame) { return std::string(frame->wire()); }

/// Reads and unblocks until nothing waits, at most `turns` times.
std::string drain(Outbox& outbox, Slot slot, const Pair& pair, int turns = 100'000) {
    std::string all;
    while (turns-- > 0) {
        outbox.flush();
        const std::string some = pair.read();
        all += some;
        if (some.empty() && outbox.is_empty(slot)) break;
        outbox.unblock(slot);
    }
    return all;
}

/// Fills the socket until it takes no more; returns what went in.
std::string fill(const Pair& pair) {
    const std::string block(256, '#');
    std::string all;
    for (;;) {
        const ssize_t n = ::send(pair.ours.get(), block.data(), block.size(), MSG_NOSIGNAL);
        if (n < 0) {
            cr_assert(errno == EAGAIN);
            return all;
        }
        all.append(block.data(), static_cast<std::size_t>(n));
    }
}

Test(outbox, nothing_is_written_before_flush_and_many_frames_cost_one_write) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    const Pair pair;
    outbox.open(0);
    outbox.attach(0, pair.ours.get());
    std::string expected;
    for (int i = 0; i < 100; ++i) {
        const FrameRef frame = text("number " + std::to_string(i));
        expected += wire(frame);
        outbox.push(0, frame);
    }
    cr_assert(pair.read().empty());
    cr_assert(!outbox.is_clean());
    cr_assert(outbox.frames(0) == 100 && outbox.bytes(0) == expected.size());
    cr_assert(outbox.bytes_waiting() == expected.size());
    cr_assert(!outbox.flush());
    cr_assert(outbox.is_clean() && outbox.is_empty(0) && outbox.bytes(0) == 0 && outbox.bytes_waiting() == 0);
    cr_assert(pair.read() == expected);
    cr_assert(outbox.stats().writes == 1);
    cr_assert(outbox.stats().frames_queued == 100 && outbox.stats().frames_sent == 100);
    cr_assert(outbox.stats().bytes_sent == expected.size());
    outbox.flush();
    cr_assert(outbox.stats().writes == 1, "nothing waits, nothing is written");
}

Test(outbox, small_frames_beside_large_ones_keep_their_order) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    const Pair pair{4'000'000};
    outbox.open(0);
    outbox.attach(0, pair.ours.get());
    std::string expected;
    for (const std::size_t size : {10U, 40'000U, 20U, 70'000U, 30U, 65'530U, 65'536U, 1U, 200'000U, 0U, 33'000U, 5U}) {
        const FrameRef frame = size % 3 == 0 ? FrameRef::binary(std::string(size, static_cast<char>('a' + size % 26)))
                                             : text(std::string(size, static_cast<char>('a' + size % 26)));
        expected += wire(frame);
        outbox.push(0, frame);
    }
    cr_assert(drain(outbox, 0, pair) == expected);
    cr_assert(outbox.stats().frames_sent == 12);
}

Test(outbox, a_frame_shared_by_many_recipients_goes_to_all_and_is_freed_after_the_last) {
    const auto before = FrameRef::alive();
    const auto bytes_before = FrameRef::alive_bytes();
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    std::vector<Pair> pairs(20);
    std::string expected;
    {
        const FrameRef frame = text("to everybody");
        expected = wire(frame);
        for (Slot slot = 0; slot < pairs.size(); ++slot) {
            outbox.open(slot);
            outbox.attach(slot, pairs[slot].ours.get());
            outbox.push(slot, frame);
        }
        cr_assert(FrameRef::alive() == before + 1);
    }
    cr_assert(FrameRef::alive() == before + 1, "the queues keep it");
    outbox.flush();
    cr_assert(FrameRef::alive() == before && FrameRef::alive_bytes() == bytes_before);
    for (const Pair& pair : pairs) cr_assert(pair.read() == expected);
    cr_assert(outbox.stats().writes == pairs.size());
}

Test(outbox, what_waits_is_freed_by_close_by_open_by_take_wire_and_by_the_end) {
    const auto before = FrameRef::alive();
    const auto bytes_before = FrameRef::alive_bytes();
    {
        Owner owner;
        Outbox outbox{owner, plenty, QueuePolicy::disconnect};
        for (Slot slot = 0; slot < 4; ++slot) {
            outbox.open(slot);
            for (int i = 0; i < 50; ++i) outbox.push(slot, text("waits"));
        }
        cr_assert(FrameRef::alive() == before + 200);
        outbox.close(0);
        cr_assert(outbox.is_empty(0));
        outbox.open(1);
        cr_assert(outbox.is_empty(1));
        cr_assert(!outbox.take_wire(2).empty() && outbox.is_empty(2));
        cr_assert(FrameRef::alive() == before + 50);
        cr_assert(outbox.bytes_waiting() == outbox.bytes(3));
    }
    cr_assert(FrameRef::alive() == before && FrameRef::alive_bytes() == bytes_before);
}

Test(outbox, a_partial_write_stops_until_unblock_and_goes_on_where_it_stopped) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    const Pair pair{4608};
    outbox.open(0);
    outbox.attach(0, pair.ours.get());
    const FrameRef frame = text(std::string(500'000, 'x'));
    outbox.push(0, frame);
    cr_assert(outbox.is_writable(0));
    outbox.flush();
    cr_assert(!outbox.is_writable(0) && !outbox.is_empty(0));
    cr_assert(outbox.stats().writes == 1 && outbox.stats().writes_blocked == 1);
    outbox.push(0, text("behind it"));
    outbox.flush();
    outbox.flush_now(0);
    cr_assert(outbox.stats().writes == 1, "a full socket is not tried again before there is room");
    const std::string expected = wire(frame) + wire(text("behind it"));
    cr_assert(drain(outbox, 0, pair) == expected);
    cr_assert(outbox.is_writable(0) && outbox.stats().frames_sent == 2);
    cr_assert(outbox.stats().bytes_sent == expected.size());
}

Test(outbox, thousands_of_frames_to_a_stalled_reader_arrive_whole_and_in_order) {
    const auto before = FrameRef::alive();
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    const Pair pair{4608};
    outbox.open(0);
    outbox.attach(0, pair.ours.get());
    std::string expected;
    for (int i = 0; i < 5000; ++i) {
        const FrameRef frame = text("event " + std::to_string(i) + std::string(static_cast<std::size_t>(i % 300), '.'));
        expected += wire(frame);
        outbox.push(0, frame);
        if (i % 7 == 0) outbox.flush();
    }
    cr_assert(outbox.frames(0) > 1024, "the reader stalls: %zu", outbox.frames(0));
    cr_assert(drain(outbox, 0, pair) == expected);
    cr_assert(owner.full.empty() && owner.failed.empty());
    cr_assert(FrameRef::alive() == before);
    cr_assert(outbox.stats().frames_sent == 5000);
}

Test(outbox, pushing_while_a_slow_reader_drains_keeps_the_order) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    const Pair pair{4608};
    outbox.open(0);
    outbox.attach(0, pair.ours.get());
    std::string expected;
    std::string got;
    for (int i = 0; i < 3000; ++i) {
        const FrameRef frame = text(std::to_string(i) + std::string(static_cast<std::size_t>(i * 37 % 1500), '-'));
        expected += wire(frame);
        outbox.push(0, frame);
        outbox.flush();
        got += pair.read(1000);
        outbox.unblock(0);
    }
    got += drain(outbox, 0, pair);
    cr_assert(got == expected);
}

Test(outbox, a_socket_that_fails_is_told_to_the_owner) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    Pair pair;
    outbox.open(3);
    outbox.attach(3, pair.ours.get());
    pair.theirs = UniqueFd();
    outbox.push(3, text("nobody reads this"));
    outbox.flush();
    cr_assert(owner.failed.size() == 1);
    cr_assert(owner.failed[0].first == 3 && owner.failed[0].second == EPIPE);
}

Test(outbox, what_the_socket_takes_is_written_before_anything_is_refused) {
    Owner owner;
    Outbox outbox{owner, 10'000, QueuePolicy::disconnect};
    const Pair pair;
    outbox.open(0);
    outbox.attach(0, pair.ours.get());
    std::string expected;
    for (int i = 0; i < 40; ++i) {  // four times the limit in one turn
        const FrameRef frame = text(std::string(1'000, static_cast<char>('a' + i % 26)));
        cr_assert(outbox.push(0, frame));
        expected += wire(frame);
        cr_assert(outbox.bytes(0) <= 10'000);
    }
    cr_assert(owner.full.empty() && outbox.stats().queues_full == 0);
    cr_assert(drain(outbox, 0, pair) == expected);
}

Test(outbox, a_poll_that_waits_is_answered_before_anything_is_refused) {
    Owner owner;
    Outbox outbox{owner, 10'000, QueuePolicy::disconnect};
    owner.outbox = &outbox;
    outbox.open(0);
    outbox.set_poll_waiting(0, true);
    for (int i = 0; i < 9; ++i) cr_assert(outbox.push(0, text(std::string(1'000, 'a'))));
    cr_assert(owner.answers.empty());
    cr_assert(outbox.push(0, text(std::string(1'000, 'b'))));
    cr_assert(owner.answers.size() == 1 && owner.full.empty());
    cr_assert(outbox.frames(0) == 1);
}

Test(outbox, after_a_refusal_nothing_more_is_taken_however_small) {
    Owner owner;
    Outbox outbox{owner, 5'000, QueuePolicy::disconnect};
    const Pair pair(1);
    outbox.open(3);
    outbox.attach(3, pair.ours.get());
    const std::string before = fill(pair);
    std::string expected;
    for (int i = 0; i < 4; ++i) {
        const FrameRef frame = text(std::string(1'000, static_cast<char>('a' + i)));
        cr_assert(outbox.push(3, frame));
        expected += wire(frame);
    }
    cr_assert(!outbox.push(3, text(std::string(2'000, 'x'))) && outbox.is_refused(3));
    cr_assert(!outbox.push(3, text("small")) && !outbox.offer(3, std::array{text("small")}.data(), 1));
    outbox.push_paced(3, std::array{text("missed")}.data(), 1);
    cr_assert(owner.full == std::vector<Slot>{3}, "told once");
    cr_assert(outbox.frames(3) == 4 && outbox.stats().frames_refused == 3);
    // What was taken before still arrives whole and in order.
    cr_assert(drain(outbox, 3, pair) == before + expected);
    outbox.close(3);
    outbox.open(3);
    cr_assert(!outbox.is_refused(3) && outbox.push(3, text("another client")));
}

Test(outbox, small_frames_count_at_what_they_cost) {
    Owner owner;
    Outbox outbox{owner, 100'000, QueuePolicy::disconnect};
    outbox.open(0);
    std::size_t taken = 0;
    while (outbox.push(0, FrameRef::text("4", {}))) ++taken;
    cr_assert(taken == 100'000 / FrameRef::text("4", {})->cost());
    cr_assert(outbox.bytes(0) < 10'000);
}

Test(outbox, of_pongs_that_wait_the_newest_alone_is_kept) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    const Pair pair(1);
    outbox.open(0);
    outbox.attach(0, pair.ours.get());
    const std::string before = fill(pair);
    outbox.push(0, text("a"));
    for (int i = 0; i < 1'000; ++i) outbox.push_pong(0, FrameRef::pong(std::string(i % 126, 'p')));
    cr_assert(outbox.frames(0) == 2);
    outbox.push(0, text("b"));
    outbox.push_pong(0, FrameRef::pong("second"));
    outbox.push_pong(0, FrameRef::pong("last"));
    cr_assert(outbox.frames(0) == 4 && outbox.bytes_waiting() == outbox.bytes(0));
    cr_assert(outbox.own_cost(0) == outbox.cost(0));
    cr_assert(drain(outbox, 0, pair) == before + wire(text("a")) + wire(FrameRef::pong(std::string(999 % 126, 'p'))) +
                                            wire(text("b")) + wire(FrameRef::pong("last")));
    cr_assert(outbox.own_cost(0) == 0);
}

Test(outbox, a_pong_that_is_half_written_is_not_replaced) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    outbox.open(0);
    // A stream socket takes part of what has no room whole: where that is depends on how full it is.
    bool was_cut = false;
    for (std::size_t filler = 0; filler < 4'000 && !was_cut; filler += 61) {
        const Pair pair{4608};
        outbox.attach(0, pair.ours.get());
        const FrameRef large = text(std::string(200'000 + filler, 'L'));
        outbox.push(0, large);
        outbox.flush();
        const FrameRef first = FrameRef::pong(std::string(125, '1'));
        outbox.push_pong(0, first);
        // All of the large one is read, and then as little as it takes for a part of the pong.
        std::string got;
        while (outbox.frames(0) == 2) {
            got += pair.read(1);
            outbox.unblock(0);
            outbox.flush();
        }
        was_cut = outbox.frames(0) == 1;
        outbox.push_pong(0, FrameRef::pong("2"));
        outbox.push_pong(0, FrameRef::pong("3"));
        cr_assert(outbox.frames(0) == (was_cut ? 2U : 1U));
        got += drain(outbox, 0, pair);
        cr_assert(got == wire(large) + wire(first) + wire(FrameRef::pong("3")));
        outbox.detach(0);
    }
}

Test(outbox, what_many_share_is_nobodys_own) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    for (Slot slot = 0; slot < 3; ++slot) outbox.open(slot);
    FrameRef shared = text(std::string(500, 's'));
    shared.set_shared();
    for (Slot slot = 0; slot < 3; ++slot) outbox.push(slot, shared);
    const FrameRef own = text("mine");
    outbox.push(1, own);
    cr_assert(outbox.own_cost(0) == 0 && outbox.own_cost(1) == own->cost());
    cr_assert(outbox.cost(1) == own->cost() + shared->cost());
    std::string payload;
    outbox.take_payload(1, 16, payload);
    cr_assert(outbox.own_cost(1) == 0 && outbox.cost(1) == 0);
}

Test(outbox, the_owner_is_told_each_time_a_queue_has_grown_by_a_step) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    outbox.open(7);
    const FrameRef frame = text(std::string(1'000, 'x'));
    while (outbox.cost(7) < 3 * Outbox::growth_step) outbox.push(7, frame);
    cr_assert(owner.grown == std::vector<Slot>(3, 7));
}

Test(outbox, an_offer_that_does_not_fit_changes_nothing) {
    Owner owner;
    Outbox outbox{owner, 200, QueuePolicy::disconnect};
    outbox.open(0);
    cr_assert(outbox.push(0, text(std::string(80, 'a'))));
    const FrameRef large = text(std::string(80, 'b'));
    cr_assert(!outbox.offer(0, &large, 1));
    cr_assert(owner.full.empty() && !outbox.is_refused(0) && outbox.frames(0) == 1);
    cr_assert(outbox.push(0, text("c")));
}

Test(outbox, what_is_paced_passes_the_limit_and_room_is_told_of_once) {
    Owner owner;
    Outbox outbox{owner, 8'000, QueuePolicy::disconnect};
    const Pair pair(1);
    outbox.open(0);
    outbox.attach(0, pair.ours.get());
    outbox.set_behind(0, true);
    const std::string before = fill(pair);
    const FrameRef frame = text(std::string(1'000, 'p'));
    for (int i = 0; i < 20; ++i) outbox.push_paced(0, &frame, 1);
    cr_assert(outbox.bytes(0) > 20'000 && owner.full.empty());
    outbox.want_room(0);
    outbox.flush();
    cr_assert(owner.with_room.empty());
    const std::string all = drain(outbox, 0, pair);
    cr_assert(all.size() == before.size() + 20 * frame->size());
    cr_assert(owner.with_room == std::vector<Slot>{0}, "once, when little is left");
    outbox.want_room(0);
    outbox.set_behind(0, false);
    outbox.push(0, frame);
    outbox.flush();
    cr_assert(owner.with_room.size() == 1, "nobody wants it any more");
}

Test(outbox, polls_make_room_too) {
    Owner owner;
    Outbox outbox{owner, 8'000, QueuePolicy::disconnect};
    owner.outbox = &outbox;
    outbox.open(0);
    outbox.set_behind(0, true);
    const FrameRef frame = text(std::string(1'000, 'p'));
    for (int i = 0; i < 20; ++i) outbox.push_paced(0, &frame, 1);
    outbox.want_room(0);
    std::string payload;
    cr_assert(outbox.take_payload(0, 16, payload) == 16 && owner.with_room.empty(), "four are more than room_bytes");
    cr_assert(outbox.take_payload(0, 16, payload) == 4 && owner.with_room.size() == 1);
}

Test(outbox, a_full_queue_tells_the_owner_under_disconnect_and_takes_nothing_of_the_message) {
    Owner owner;
    const FrameRef frame = text(std::string(100, 'x'));
    Outbox outbox{owner, 3 * frame->cost(), QueuePolicy::disconnect};
    outbox.open(5);
    for (int i = 0; i < 3; ++i) outbox.push(5, frame);
    cr_assert(owner.full.empty(), "the limit is inclusive");
    outbox.push(5, frame);
    cr_assert(owner.full == std::vector<Slot>{5});
    cr_assert(outbox.frames(5) == 3 && outbox.bytes(5) == 3 * frame->size());
    cr_assert(outbox.cost(5) == 3 * frame->cost());
    cr_assert(outbox.stats().queues_full == 1);
}

Test(outbox, a_message_larger_than_the_limit_passes_when_nothing_else_waits) {
    for (const QueuePolicy policy : {QueuePolicy::disconnect, QueuePolicy::drop_newest, QueuePolicy::drop_oldest}) {
        Owner owner;
        Outbox outbox{owner, 100, policy};
        outbox.open(0);
        outbox.push(0, text(std::string(5000, 'x')));
        cr_assert(outbox.frames(0) == 1 && owner.full.empty() && outbox.stats().queues_full == 0);
    }
}

/// A message of a text frame and two attachments that carry its number.
std::array<FrameRef, 3> message_with_attachments(int number) {
    const std::string name = std::to_string(number);
    return {FrameRef::text("4", "52-" + name, true), FrameRef::binary("first of " + name, true),
            FrameRef::binary("second of " + name)};
}

std::string wire_of(const std::array<FrameRef, 3>& frames) {
    return wire(frames[0]) + wire(frames[1]) + wire(frames[2]);
}

std::size_t cost_of(const std::array<FrameRef, 3>& frames) {
    return frames[0]->cost() + frames[1]->cost() + frames[2]->cost();
}

Test(outbox, drop_newest_leaves_out_whole_messages) {
    Owner owner;
    const auto first = message_with_attachments(1);
    const std::size_t size = cost_of(first);
    Outbox outbox{owner, size + size / 2, QueuePolicy::drop_newest};
    outbox.open(0);
    outbox.push(0, first.data(), first.size());
    const auto second = message_with_attachments(2);
    outbox.push(0, second.data(), second.size());
    cr_assert(outbox.stats().frames_dropped == 3 && outbox.stats().queues_full == 1 && owner.full.empty());
    const FrameRef small = text("s");
    outbox.push(0, small);
    cr_assert(outbox.take_wire(0) == wire_of(first) + wire(small), "a small one that fits still goes in");
}

Test(outbox, drop_oldest_removes_whole_messages_from_the_front) {
    const auto before = FrameRef::alive();
    {
        Owner owner;
        const std::size_t size = cost_of(message_with_attachments(10));
        Outbox outbox{owner, 3 * size, QueuePolicy::drop_oldest};
        outbox.open(0);
        for (int i = 10; i < 60; ++i) {
            const auto frames = message_with_attachments(i);
            outbox.push(0, frames.data(), frames.size());
            cr_assert(outbox.cost(0) <= 3 * size);
        }
        cr_assert(outbox.stats().frames_dropped == 47 * 3 && owner.full.empty());
        cr_assert(FrameRef::alive() == before + 9);
        std::string expected;
        for (int i = 57; i < 60; ++i) expected += wire_of(message_with_attachments(i));
        cr_assert(outbox.take_wire(0) == expected);
    }
    cr_assert(FrameRef::alive() == before);
}

Test(outbox, drop_oldest_makes_room_for_a_large_message_by_dropping_several) {
    Owner owner;
    const FrameRef small = text(std::string(100, 's'));
    Outbox outbox{owner, 10 * small->cost(), QueuePolicy::drop_oldest};
    outbox.open(0);
    for (int i = 0; i < 10; ++i) outbox.push(0, small);
    const FrameRef large = text(std::string(450, 'l'));
    outbox.push(0, large);
    cr_assert(outbox.cost(0) <= 10 * small->cost());
    cr_assert(outbox.stats().frames_dropped == 4);
    std::string expected;
    for (int i = 0; i < 6; ++i) expected += wire(small);
    cr_assert(outbox.take_wire(0) == expected + wire(large));
}

Test(outbox, drop_oldest_never_cuts_a_half_written_frame) {
    Owner owner;
    Outbox outbox{owner, 400'000, QueuePolicy::drop_oldest};
    const Pair pair{4608};
    outbox.open(0);
    outbox.attach(0, pair.ours.get());
    const FrameRef large = text(std::string(300'000, 'L'));
    outbox.push(0, large);
    outbox.flush();
    cr_assert(outbox.frames(0) == 1 && !outbox.is_writable(0), "half written");
    std::vector<FrameRef> others;
    for (char c = 'a'; c < 'f'; ++c) {
        others.push_back(text(std::string(60'000, c)));
        outbox.push(0, others.back());
    }
    cr_assert(outbox.stats().frames_dropped == 4, "%zu", static_cast<std::size_t>(outbox.stats().frames_dropped));
    cr_assert(drain(outbox, 0, pair) == wire(large) + wire(others.back()));
}

Test(outbox, drop_oldest_keeps_the_attachments_of_a_half_written_message) {
    Owner owner;
    Outbox outbox{owner, 400'000, QueuePolicy::drop_oldest};
    const Pair pair{4608};
    outbox.open(0);
    outbox.attach(0, pair.ours.get());
    const std::array<FrameRef, 3> message{FrameRef::text("4", std::string(200'000, 'M'), true),
                                          FrameRef::binary(std::string(50'000, '1'), true),
                                          FrameRef::binary(std::string(50'000, '2'))};
    outbox.push(0, message.data(), message.size());
    outbox.flush();
    cr_assert(outbox.frames(0) == 3 && !outbox.is_writable(0), "half written");
    const FrameRef dropped = text(std::string(90'000, 'd'));
    const FrameRef kept = text(std::string(90'000, 'k'));
    outbox.push(0, dropped);
    outbox.push(0, kept);
    cr_assert(drain(outbox, 0, pair) == wire_of(message) + wire(kept));
    cr_assert(outbox.stats().frames_dropped == 1);
}

Test(outbox, drop_oldest_keeps_the_attachments_of_a_message_whose_text_went_out_in_full) {
    Owner owner;
    // The text is written, the socket is full just then, and the attachments are first in the queue.
    Outbox outbox{owner, 150'000, QueuePolicy::drop_oldest};
    const Pair pair{4608};
    outbox.open(0);
    outbox.attach(0, pair.ours.get());
    const std::array<FrameRef, 3> message{FrameRef::text("4", std::string(2000, 'M'), true),
                                          FrameRef::binary(std::string(70'000, '1'), true),
                                          FrameRef::binary(std::string(70'000, '2'))};
    std::string read_before;
    const std::string filler = fill(pair);
    outbox.push(0, message.data(), message.size());
    // Room for the text alone is made by reading a little at a time.
    for (int i = 0; i < 200 && outbox.frames(0) == 3; ++i) {
        read_before += pair.read(256);
        outbox.unblock(0);
        outbox.flush();
    }
    const bool at_border = outbox.frames(0) == 2 && outbox.bytes(0) == message[1]->size() + message[2]->size();
    cr_assert(at_border);
    const FrameRef next = text(std::string(90'000, 'n'));
    outbox.push(0, next);
    const std::string got = read_before + drain(outbox, 0, pair);
    cr_assert(got.substr(filler.size()) == wire_of(message) + wire(next));
}

Test(outbox, drop_oldest_keeps_the_attachments_of_a_message_whose_text_a_poll_has_taken) {
    Owner owner;
    Outbox outbox{owner, 200, QueuePolicy::drop_oldest};
    outbox.open(0);
    const std::array<FrameRef, 2> message{FrameRef::text("4", "51-text", true),
                                          FrameRef::binary(std::string(120, '1'))};
    outbox.push(0, message.data(), message.size());
    std::string payload;
    cr_assert(outbox.take_payload(0, 1, payload) == 1);
    cr_assert(payload == "451-text");
    const FrameRef next = text(std::string(150, 'n'));
    outbox.push(0, next);
    cr_assert(outbox.take_wire(0) == wire(message[1]) + wire(next), "a client that has the text waits for the rest");
}

Test(outbox, each_policy_counts_a_queue_that_was_full) {
    for (const QueuePolicy policy : {QueuePolicy::disconnect, QueuePolicy::drop_newest, QueuePolicy::drop_oldest}) {
        Owner owner;
        Outbox outbox{owner, 50, policy};
        outbox.open(0);
        outbox.push(0, text(std::string(40, 'a')));
        outbox.push(0, text(std::string(40, 'b')));
        cr_assert(outbox.stats().queues_full == 1);
        cr_assert(owner.full.size() == (policy == QueuePolicy::disconnect ? 1U : 0U));
        cr_assert(outbox.frames(0) == 1);
    }
}

Test(outbox, a_slot_is_marked_once_a_selection) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    for (Slot slot = 0; slot < 3; ++slot) outbox.open(slot);
    for (int selection = 0; selection < 3; ++selection) {
        outbox.begin_marks();
        cr_assert(outbox.mark(0));
        cr_assert(outbox.mark(2));
        cr_assert(!outbox.mark(0));
        cr_assert(!outbox.mark(2));
        cr_assert(outbox.mark(1));
    }
}

/// Sockets of one fan-out, all attached.
struct Crowd {
    explicit Crowd(Outbox& outbox, std::size_t count, Slot first = 0) : pairs(count), first_slot(first) {
        for (std::size_t i = 0; i < count; ++i) {
            outbox.open(slot(i));
            outbox.attach(slot(i), pairs[i].ours.get());
        }
    }
    [[nodiscard]] Slot slot(std::size_t i) const { return first_slot + static_cast<Slot>(i); }
    void push(Outbox& outbox, const FrameRef& frame) const {
        outbox.begin_bulk();
        for (std::size_t i = 0; i < pairs.size(); ++i) outbox.push(slot(i), frame);
        outbox.end_bulk();
    }
    [[nodiscard]] std::size_t waiting(const Outbox& outbox) const {
        std::size_t count = 0;
        for (std::size_t i = 0; i < pairs.size(); ++i) count += outbox.is_empty(slot(i)) ? 0 : 1;
        return count;
    }

    std::vector<Pair> pairs;
    Slot first_slot;
};

Test(outbox, a_large_fan_out_is_written_in_slices_and_flush_says_when_some_are_left) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    const std::size_t count = Outbox::bulk_slice * 2 + 10;
    const Crowd crowd{outbox, count};
    const FrameRef frame = text("to all");
    crowd.push(outbox, frame);
    cr_assert(!outbox.is_clean());
    cr_assert(outbox.flush());
    cr_assert(crowd.waiting(outbox) == Outbox::bulk_slice + 10);
    cr_assert(outbox.flush());
    cr_assert(crowd.waiting(outbox) == 10);
    cr_assert(!outbox.flush());
    cr_assert(crowd.waiting(outbox) == 0 && outbox.is_clean());
    cr_assert(outbox.stats().writes == count);
    for (const Pair& pair : crowd.pairs) cr_assert(pair.read() == wire(frame));
}

Test(outbox, a_fan_out_without_recipients_leaves_nothing_to_do) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    outbox.begin_bulk();
    outbox.end_bulk();
    cr_assert(outbox.is_clean());
    cr_assert(!outbox.flush());
}

Test(outbox, a_direct_answer_overtakes_the_slices_of_a_fan_out) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    const Crowd crowd{outbox, Outbox::bulk_slice * 2};
    const Pair one;
    const Slot slot = crowd.slot(crowd.pairs.size());
    outbox.open(slot);
    outbox.attach(slot, one.ours.get());
    const FrameRef all = text("to all");
    const FrameRef pong = text("to one");
    crowd.push(outbox, all);
    outbox.push(slot, pong);
    // A direct answer to the last recipient of the fan-out goes at once too, behind what it waits for already.
    const std::size_t last = crowd.pairs.size() - 1;
    outbox.push(crowd.slot(last), pong);
    cr_assert(outbox.flush());
    cr_assert(one.read() == wire(pong));
    cr_assert(crowd.pairs[last].read() == wire(all) + wire(pong));
    while (outbox.flush()) {
    }
    for (std::size_t i = 0; i < last; ++i) cr_assert(crowd.pairs[i].read() == wire(all));
    cr_assert(crowd.pairs[last].read().empty());
    cr_assert(outbox.stats().writes == crowd.pairs.size() + 1);
}

Test(outbox, two_fan_outs_take_turns) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    const Crowd first{outbox, Outbox::bulk_slice * 2};
    const Crowd second{outbox, Outbox::bulk_slice / 2 + 44, static_cast<Slot>(first.pairs.size())};
    first.push(outbox, text("one"));
    second.push(outbox, text("two"));
    cr_assert(outbox.flush());
    const std::size_t first_left = first.waiting(outbox);
    const std::size_t second_left = second.waiting(outbox);
    cr_assert(first_left < first.pairs.size() && second_left < second.pairs.size(), "both moved: %zu %zu", first_left,
              second_left);
    cr_assert(first.pairs.size() - first_left + second.pairs.size() - second_left <= Outbox::bulk_slice);
    int turns = 1;
    while (second.waiting(outbox) > 0) {
        outbox.flush();
        ++turns;
    }
    cr_assert(first.waiting(outbox) > 0, "the small one is done before the large one, after %d turns", turns);
    while (outbox.flush()) {
    }
    cr_assert(first.waiting(outbox) == 0);
    cr_assert(outbox.stats().writes == first.pairs.size() + second.pairs.size());
}

Test(outbox, two_fan_outs_to_the_same_recipients_share_their_writes_and_keep_their_order) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    const Crowd crowd{outbox, Outbox::bulk_slice + 50};
    const FrameRef one = text("one");
    const FrameRef two = text("two");
    crowd.push(outbox, one);
    crowd.push(outbox, two);
    while (outbox.flush()) {
    }
    for (const Pair& pair : crowd.pairs) cr_assert(pair.read() == wire(one) + wire(two));
    cr_assert(outbox.stats().writes == crowd.pairs.size());
}

Test(outbox, a_recipient_that_closes_while_a_fan_out_waits_gets_nothing_nor_does_the_next_in_its_slot) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    const Crowd crowd{outbox, Outbox::bulk_slice + 10};
    const std::size_t last = crowd.pairs.size() - 1;
    const Pair next;
    crowd.push(outbox, text("to all"));
    cr_assert(outbox.flush());
    outbox.close(crowd.slot(last));
    outbox.open(crowd.slot(last));
    outbox.attach(crowd.slot(last), next.ours.get());
    const FrameRef welcome = text("welcome");
    outbox.push(crowd.slot(last), welcome);
    while (outbox.flush()) {
    }
    cr_assert(crowd.pairs[last].read().empty());
    cr_assert(next.read() == wire(welcome));
}

Test(outbox, a_poll_takes_at_most_so_many_packets_and_binaries_become_base64) {
    const auto before = FrameRef::alive();
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    outbox.open(0);
    outbox.push(0, text("one"));
    const std::array<FrameRef, 2> message{FrameRef::text("4", "51-two", true), FrameRef::binary("\x01\x02\x03\x04")};
    outbox.push(0, message.data(), message.size());
    outbox.push(0, FrameRef::pong("hi"));
    outbox.push(0, FrameRef::text("", "2"));
    outbox.push(0, text("five"));
    std::string payload;
    cr_assert(outbox.take_payload(0, 4, payload) == 4, "a pong is none");
    cr_assert(payload ==
              "4one\x1e"
              "451-two\x1e"
              "bAQIDBA==\x1e"
              "2");
    cr_assert(outbox.frames(0) == 1);
    payload.clear();
    cr_assert(outbox.take_payload(0, 4, payload) == 1);
    cr_assert(payload == "4five");
    payload.clear();
    cr_assert(outbox.take_payload(0, 4, payload) == 0 && payload.empty());
    cr_assert(outbox.bytes_waiting() == 0 && outbox.bytes(0) == 0);
    cr_assert(outbox.stats().frames_sent == 5);
    outbox.close(0);
    cr_assert(FrameRef::alive() == before + 2, "those of the array");
}

Test(outbox, an_empty_binary_message_is_a_lone_b_in_a_poll) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    outbox.open(0);
    outbox.push(0, FrameRef::binary(""));
    outbox.push(0, FrameRef::binary(std::string_view("\xFB\xFF\x00", 3)));
    std::string payload;
    cr_assert(outbox.take_payload(0, 16, payload) == 2);
    cr_assert(payload ==
              "b\x1e"
              "b+/8A");
}

Test(outbox, a_parked_poll_is_answered_in_the_turn_in_which_something_comes) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    owner.outbox = &outbox;
    outbox.open(0);
    cr_assert(!outbox.is_writable(0), "neither poll nor socket");
    outbox.push(0, text("too early"));
    outbox.flush();
    cr_assert(owner.ready.empty(), "no poll waits");
    outbox.set_poll_waiting(0, true);
    outbox.flush();
    cr_assert(owner.answers == std::vector<std::string>{"4too early"});
    outbox.set_poll_waiting(0, true);
    cr_assert(outbox.is_writable(0));
    outbox.flush();
    cr_assert(owner.answers.size() == 1, "nothing waits");
    outbox.push(0, text("a"));
    cr_assert(!outbox.is_writable(0), "volatile messages are for a poll that has nothing yet");
    outbox.push(0, text("b"));
    outbox.flush();
    cr_assert(owner.answers.size() == 2 && owner.answers[1] ==
                                               "4a\x1e"
                                               "4b");
    outbox.push(0, text("c"));
    outbox.flush();
    cr_assert(owner.answers.size() == 2);
    cr_assert(outbox.stats().writes == 0);
}

Test(outbox, what_waited_for_a_poll_goes_out_first_after_the_upgrade) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    const Pair pair;
    outbox.open(0);
    const FrameRef early = text("early");
    const FrameRef late = text("late");
    outbox.push(0, early);
    cr_assert(!outbox.is_attached(0));
    outbox.attach(0, pair.ours.get());
    cr_assert(outbox.is_attached(0));
    outbox.push(0, late);
    outbox.flush();
    cr_assert(pair.read() == wire(early) + wire(late));
    outbox.detach(0);
    outbox.push(0, late);
    outbox.flush();
    cr_assert(pair.read().empty() && outbox.frames(0) == 1);
}

Test(outbox, a_websocket_with_b64_gets_binaries_as_text) {
    const auto before = FrameRef::alive();
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    const Pair plain;
    const Pair base64;
    outbox.open(0);
    outbox.open(1);
    outbox.attach(0, plain.ours.get());
    outbox.attach(1, base64.ours.get());
    outbox.set_base64(1);
    {
        const std::array<FrameRef, 2> message{FrameRef::text("4", "51-x", true), FrameRef::binary("\x01\x02\x03\x04")};
        for (const Slot slot : {Slot{0}, Slot{1}}) outbox.push(slot, message.data(), message.size());
        outbox.flush();
        cr_assert(plain.read() == wire(message[0]) + wire(message[1]));
        cr_assert(base64.read() == wire(message[0]) + wire(FrameRef::text("b", "AQIDBA==")));
    }
    outbox.open(1);
    outbox.attach(1, base64.ours.get());
    outbox.push(1, FrameRef::binary("x"));
    outbox.flush();
    cr_assert(base64.read() == wire(FrameRef::binary("x")), "the next session in the slot did not ask for it");
    cr_assert(FrameRef::alive() == before);
}

Test(outbox, drop_oldest_keeps_base64_attachments_with_their_message) {
    Owner owner;
    Outbox outbox{owner, 150, QueuePolicy::drop_oldest};
    outbox.open(0);
    outbox.set_base64(0);
    const auto message = message_with_attachments(1);
    outbox.push(0, message.data(), message.size());
    const FrameRef next = text(std::string(120, 'n'));
    outbox.push(0, next);
    cr_assert(outbox.stats().frames_dropped == 3);
    cr_assert(outbox.take_wire(0) == wire(next));
}

Test(outbox, wants_offset_is_the_sessions_own_and_gone_with_it) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    outbox.open(0);
    cr_assert(!outbox.wants_offset(0));
    outbox.set_wants_offset(0, true);
    cr_assert(outbox.wants_offset(0));
    outbox.set_wants_offset(0, false);
    cr_assert(!outbox.wants_offset(0));
    outbox.set_wants_offset(0, true);
    outbox.open(0);
    cr_assert(!outbox.wants_offset(0));
}

Test(outbox, take_wire_gives_the_rest_of_a_half_written_frame_and_all_behind_it) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    const Pair pair{4608};
    outbox.open(0);
    outbox.attach(0, pair.ours.get());
    const FrameRef large = text(std::string(300'000, 'L'));
    const FrameRef small = text("small");
    outbox.push(0, large);
    outbox.push(0, small);
    outbox.flush();
    cr_assert(!outbox.is_empty(0));
    const std::string rest = outbox.take_wire(0);
    cr_assert(outbox.is_empty(0) && outbox.bytes(0) == 0 && outbox.bytes_waiting() == 0);
    cr_assert(pair.read() + rest == wire(large) + wire(small));
}

Test(outbox, flush_now_writes_for_one_slot_alone) {
    Owner owner;
    Outbox outbox{owner, plenty, QueuePolicy::disconnect};
    const Crowd crowd{outbox, 2};
    const FrameRef frame = text("now");
    outbox.push(0, frame);
    outbox.push(1, frame);
    outbox.flush_now(1);
    cr_assert(crowd.pairs[0].read().empty() && crowd.pairs[1].read() == wire(frame));
    outbox.flush();
    cr_assert(crowd.pairs[0].read() == wire(frame) && crowd.pairs[1].read().empty());
}

Test(outbox, frames_know_their_payload_and_kind) {
    for (const std::size_t size : {0U, 124U, 125U, 126U, 65'534U, 65'535U, 65'536U, 70'000U}) {
        const std::string body(size, 'p');
        const FrameRef frame = FrameRef::text("4", body);
        cr_assert(frame->payload() == "4" + body);
        cr_assert(!frame->is_binary() && !frame->is_pong() && !frame->has_attachment_next());
        const FrameRef binary = FrameRef::binary(body, true);
        cr_assert(binary->payload() == body && binary->is_binary() && binary->has_attachment_next());
        const std::size_t header = size <= 125 ? 2 : size <= 65'535 ? 4 : 10;
        cr_assert(binary->size() == header + size);
        cr_assert(static_cast<unsigned char>(binary->wire()[0]) == 0x82);
        cr_assert(static_cast<unsigned char>(frame->wire()[0]) == 0x81);
    }
    const FrameRef pong = FrameRef::pong("x");
    cr_assert(pong->is_pong() && pong->wire() == "\x8A\x01x");
}

Test(outbox, references_to_a_frame_count_copies_and_moves) {
    const auto before = FrameRef::alive();
    {
        FrameRef one = text("x");
        FrameRef two = one;
        FrameRef three = std::move(one);
        cr_assert(!one && two && three && two.get() == three.get());  // NOLINT: a moved reference is empty
        cr_assert(FrameRef::alive() == before + 1);
        two = three;
        three = FrameRef();
        cr_assert(FrameRef::alive() == before + 1);
        two = text("y");
        cr_assert(FrameRef::alive() == before + 1);
    }
    cr_assert(FrameRef::alive() == before);
}

}  // namespace
