// gateway/outbound.h against a Redis that is only told what to answer.
#include "gateway/outbound.h"

#include <criterion/criterion.h>

#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "net/loop.h"
#include "redis/resp.h"

namespace {

using namespace sio::gateway;
using sio::redis::Reply;

/// Takes commands, and answers the oldest when told so.
struct World {
    World() { sio::log::set_level(sio::log::Level::fatal); }

    sio::net::Loop loop = std::move(*sio::net::Loop::create());
    std::deque<std::pair<std::vector<std::string>, Presence::Done>> commands;
    bool is_up = true;
    std::uint64_t epoch = 1;
    std::vector<std::string> told;

    Outbound make(OutboundOptions options = {}) {
        options.node = "n";
        return Outbound{loop,
                        std::move(options),
                        {[this](std::span<const std::string_view> command, Presence::Done done) {
                             if (!is_up) return false;
                             commands.emplace_back(std::vector<std::string>(command.begin(), command.end()),
                                                   std::move(done));
                             return true;
                         },
                         [this] { return epoch; }}};
    }

    Outbound::Done hear() {
        return [this](Outbound::Outcome outcome, std::string_view reason) {
            constexpr std::string_view words[] = {"written", "unavailable", "timed_out", "failed"};
            told.push_back(std::string{words[static_cast<int>(outcome)]} + ": " + std::string{reason});
        };
    }

    std::string said() {
        std::string all;
        for (const std::string& one : std::exchange(told, {})) all += (all.empty() ? "" : " | ") + one;
        return all;
    }

    /// Answers the oldest command with these bytes of RESP, or with null.
    void answer(std::string_view bytes) {
        const auto [words, done] = std::move(commands.front());
        commands.pop_front();
        if (bytes.empty()) return done(nullptr);
        sio::redis::Reader reader;
        reader.feed(bytes);
        const auto reply = reader.next();
        cr_assert(reply.has_value() && *reply != nullptr);
        done(*reply);
    }
};

constexpr std::string_view good = "*4\r\n$3\r\n1-0\r\n:1\r\n:7\r\n:900\r\n";

OutboundEntry entry(std::string_view user = "alice") {
    OutboundEntry one;
    one.kind = "event";
    one.topic = "t";
    one.nsp = "/";
    one.sid = "s";
    one.user = user;
    one.data = "[1]";
    one.time = 5;
    return one;
}

std::string joined(const std::vector<std::string>& words) {
    std::string all;
    for (const std::string& word : words) all += (all.empty() ? "" : " ") + word;
    return all;
}

}  // namespace

Test(outbound, the_fields_of_an_entry) {
    OutboundEntry one = entry();
    cr_expect(joined(outbound_fields(one, "n")) ==
              "v 1 kind event topic t nsp / sid s user alice time 5 node n data [1]");
    one.key = "k";
    const std::vector<std::string> attachments = {std::string("\x01\x02\xff", 3), ""};
    one.attachments = attachments;
    cr_expect(joined(outbound_fields(one, "n")) ==
              "v 1 kind event topic t key k nsp / sid s user alice time 5 node n "
              "data [1] attachments [\"AQL/\",\"\"]");
    OutboundEntry room;
    room.kind = "vacated";
    room.nsp = "/x";
    const auto words = outbound_fields(room, "n");
    cr_expect(words.size() % 2 == 0);
    cr_expect(joined(words) == "v 1 kind vacated nsp /x sid  user  time 0 node n data {}");
}

Test(outbound, the_script_goes_as_text_when_redis_may_not_have_it) {
    World world;
    OutboundOptions options;
    options.stream = "e";
    options.retention = 7;
    options.bounds = {.entries = 8, .bytes = 9};
    Outbound outbound = world.make(options);
    cr_expect(!outbound.append(entry(), 0, world.hear()));
    cr_expect(!outbound.append(entry(), 0, world.hear()));
    cr_assert(world.commands.size() == 2);
    std::vector<std::string> words = world.commands[0].first;
    cr_expect(words[0] == "EVAL" && words[1] == Outbound::script());
    words.erase(words.begin(), words.begin() + 2);
    cr_expect(joined(words) ==
              "3 e e:seq e:size 7 8 9 alice v 1 kind event topic t nsp / sid s user alice time 5 node n data [1]");
    cr_expect(world.commands[1].first[0] == "EVALSHA", "once is enough, as commands are answered in their order");
    cr_expect(outbound.waiting() == 2 && world.said().empty(), "nothing is told before Redis has answered");
    world.answer(good);
    cr_expect(world.said() == "written: ");
    world.answer(good);
    cr_expect(!outbound.append(entry(), 0, world.hear()));
    cr_expect(world.commands[0].first[0] == "EVALSHA" && world.commands[0].first[1].size() == 40);
    world.answer("-NOSCRIPT No matching script.\r\n");
    cr_assert(world.commands.size() == 1);
    cr_expect(world.commands[0].first[0] == "EVAL" && outbound.waiting() == 1);
    world.answer(good);
    cr_expect(world.said() == "written:  | written: ");
    world.epoch = 2;
    cr_expect(!outbound.append(entry(), 0, world.hear()));
    cr_expect(world.commands[0].first[0] == "EVAL", "a new connection may be to a Redis that began empty");
    world.answer(good);
    cr_expect(outbound.waiting() == 0 && outbound.stats().written == 4 && outbound.stats().failed == 0);
}

Test(outbound, what_can_go_wrong_and_what_is_told) {
    World world;
    Outbound outbound = world.make();
    const auto becomes = [&](std::string_view bytes) {
        cr_assert(!outbound.append(entry(), 0, world.hear()));
        world.answer(bytes);
        cr_expect(outbound.waiting() == 0);
        return world.said();
    };
    cr_expect(becomes("") == "unavailable: Redis does not answer; it may have the event");
    cr_expect(becomes("-LOADING soon\r\n") == "unavailable: Redis refused it: LOADING soon");
    cr_expect(becomes("-OOM no\r\n") == "unavailable: Redis refused it: OOM no");
    cr_expect(becomes("-WRONGTYPE no\r\n") == "failed: Redis refused it: WRONGTYPE no");
    cr_expect(outbound.stats().failed == 4);
    world.is_up = false;
    const auto refused = outbound.append(entry(), 0, world.hear());
    cr_expect(refused && refused->reason == "Redis is away" && refused->outcome == Outbound::Outcome::unavailable);
    cr_expect(world.said().empty() && outbound.stats().failed == 5 && outbound.waiting() == 0);
}

Test(outbound, a_script_that_stays_unknown_is_not_tried_for_ever) {
    World world;
    Outbound outbound = world.make();
    cr_assert(!outbound.append(entry(), 0, world.hear()));
    world.answer("-NOSCRIPT a\r\n");
    world.answer("-NOSCRIPT b\r\n");
    cr_expect(world.commands.empty());
    cr_expect(world.said() == "failed: Redis refused it: NOSCRIPT b");
    cr_assert(!outbound.append(entry(), 0, world.hear()));
    world.is_up = false;
    world.answer("-NOSCRIPT a\r\n");
    cr_expect(world.said().starts_with("unavailable: "));
    cr_expect(outbound.waiting() == 0);
}

Test(outbound, no_more_than_the_limit_are_under_way) {
    World world;
    Outbound outbound = world.make();
    for (std::size_t i = 0; i < Outbound::max_waiting; ++i) cr_assert(!outbound.append(entry(), 0));
    cr_expect(outbound.append(entry(), 0, world.hear()).has_value());
    cr_expect(outbound.stats().refused == 1 && world.commands.size() == Outbound::max_waiting);
    world.answer(good);
    cr_expect(!outbound.append(entry(), 0, world.hear()));
}

Test(outbound, an_answer_that_is_late_is_told_as_such_once) {
    World world;
    Outbound outbound = world.make();
    cr_assert(!outbound.append(entry(), 20, world.hear()));
    world.loop.timers().advance(world.loop.now() + 30);
    cr_expect(world.said() == "timed_out: ");
    cr_expect(outbound.waiting() == 1, "it counts until Redis has answered");
    world.answer(good);
    cr_expect(world.said().empty() && outbound.waiting() == 0 && outbound.stats().written == 1);
}

Test(outbound, a_full_stream_is_told_and_not_asked_again_at_once) {
    World world;
    Outbound outbound = world.make();
    cr_assert(!outbound.append(entry(), 0, world.hear()));
    world.answer(good);
    cr_expect(outbound.stats().stream_entries == 7 && outbound.stats().stream_bytes == 900);
    world.told.clear();
    cr_assert(!outbound.append(entry(), 0, world.hear()));
    cr_assert(!outbound.append(entry(), 0, world.hear()));
    world.answer("-FULL the stream has 7 entries of 900 bytes; no group reads it\r\n");
    cr_expect(world.said() == "unavailable: the stream of events is full");
    world.answer(good);
    cr_expect(world.said() == "written: ", "what was under way is what Redis says of it");
    const auto refused = outbound.append(entry(), 0, world.hear());
    cr_assert(refused && refused->reason == "the stream of events is full");
    cr_expect(refused->outcome == Outbound::Outcome::unavailable && world.commands.empty());
    cr_expect(outbound.stats().full == 2 && outbound.stats().failed == 0);
    const auto later = world.loop.now() + Outbound::full_pause;
    while (world.loop.now() < later) world.loop.turn(Outbound::full_pause);
    cr_expect(!outbound.append(entry(), 0, world.hear()));
    cr_expect(world.commands.size() == 1 && world.commands[0].first[0] == "EVALSHA");
    world.answer(good);
}

Test(outbound, the_size_of_an_event_is_its_value_its_key_and_its_attachments) {
    World world;
    OutboundOptions options;
    options.value_bytes = 20;
    Outbound outbound = world.make(options);
    OutboundEntry one = entry();
    const std::vector<std::string> attachments = {"12345", ""};  // 8 and 0 as base64, quotes and commas
    one.attachments = attachments;
    one.data = "[23]";
    cr_expect(!outbound.append(one), "18 bytes");
    one.key = "ab";
    cr_expect(!outbound.append(one), "20 bytes");
    one.key = "abc";
    const auto refused = outbound.append(one);
    cr_assert(refused && refused->outcome == Outbound::Outcome::failed);
    cr_expect(refused->reason == "the value has 21 bytes, and at most 20 are published");
    cr_expect(outbound.stats().large == 1 && world.commands.size() == 2);
    one.kind = "join";
    cr_expect(!outbound.append(one), "what happens to sockets is not the clients' to make large");
    while (!world.commands.empty()) world.answer(good);
}

Test(outbound, an_answer_after_the_end_is_dropped) {
    World world;
    {
        Outbound outbound = world.make();
        cr_assert(!outbound.append(entry(), 1000, world.hear()));
    }
    world.answer(good);
    world.loop.timers().advance(world.loop.now() + 2000);
    cr_expect(world.said().empty());
}
