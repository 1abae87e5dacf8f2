// gateway/api_idempotency.h: what a key means, in memory and against a Redis that is only told what to answer.
#include "gateway/api_idempotency.h"

#include <criterion/criterion.h>

#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "net/loop.h"

namespace {

using namespace sio::gateway;
using sio::redis::Reply;
using Verdict = Idempotency::Verdict;

struct Began {
    Verdict verdict{};
    Idempotency::Claim claim;
    Idempotency::Answer answer;
    int times = 0;
};

/// Takes commands, and answers the oldest when told so.
struct World {
    World() { sio::log::set_level(sio::log::Level::fatal); }

    sio::net::Loop loop = std::move(*sio::net::Loop::create());
    std::deque<std::pair<std::vector<std::string>, sio::redis::Connection::Done>> commands;
    bool is_up = true;

    Idempotency::Send send() {
        return [this](std::span<const std::string_view> command, sio::redis::Connection::Done done) {
            if (!is_up) return false;
            commands.emplace_back(std::vector<std::string>(command.begin(), command.end()), std::move(done));
            return true;
        };
    }
    std::vector<std::string> reply(const Reply* reply) {
        cr_assert(!commands.empty());
        auto [command, done] = std::move(commands.front());
        commands.pop_front();
        done(reply);
        return command;
    }
};

Began begin(Idempotency& store, std::string_view key, char fill, std::string_view name = "shop") {
    Began out;
    store.begin(name, key, std::string(64, fill), [&out](Verdict verdict, Idempotency::Claim claim, auto answer) {
        out = {verdict, std::move(claim), std::move(answer), out.times + 1};
    });
    return out;
}

const Reply nil{};
Reply text(std::string_view value) { return {Reply::Kind::bulk, value, 0, {}}; }
const Reply one{Reply::Kind::integer, {}, 1, {}};

Test(api_idempotency, in_memory_the_first_answer_is_the_answer) {
    World world;
    Idempotency store(world.loop, {});
    Began first = begin(store, "k", 'a');
    cr_assert(first.verdict == Verdict::carry_out && first.times == 1);
    cr_expect(begin(store, "k", 'a').verdict == Verdict::busy);
    cr_expect(begin(store, "k", 'b').verdict == Verdict::differs);
    bool kept = false;
    store.settle(first.claim, {202, "body"}, [&](bool ok) { kept = ok; });
    cr_expect(kept);
    const Began again = begin(store, "k", 'a');
    cr_expect(again.verdict == Verdict::replay && again.answer.status == 202 && again.answer.body == "body");
    cr_expect(begin(store, "k", 'b').verdict == Verdict::differs);
    cr_expect(begin(store, "k", 'a', "other").verdict == Verdict::carry_out, "keys of another name are others");
}

Test(api_idempotency, in_memory_what_was_given_up_is_new) {
    World world;
    Idempotency store(world.loop, {});
    store.give_up(begin(store, "k", 'a').claim);
    cr_expect(begin(store, "k", 'b').verdict == Verdict::carry_out);
}

Test(api_idempotency, in_memory_the_oldest_go_first_and_are_counted) {
    World world;
    Idempotency store(world.loop, {});
    for (std::size_t i = 0; i < Idempotency::max_kept + 3; ++i) {
        store.settle(begin(store, std::to_string(i), 'a').claim, {200, "x"}, [](bool) {});
    }
    cr_expect(store.kept() == Idempotency::max_kept);
    cr_expect(store.forgotten() == 3);
    cr_expect(begin(store, "3", 'a').verdict == Verdict::replay);
    cr_expect(begin(store, "2", 'a').verdict == Verdict::carry_out);
}

Test(api_idempotency, in_memory_the_bytes_of_answers_are_bounded) {
    World world;
    Idempotency store(world.loop, {});
    const std::string body(std::size_t{1} << 20U, 'x');
    for (int i = 0; i < 200; ++i) {
        store.settle(begin(store, std::to_string(i), 'a').claim, {200, body}, [](bool) {});
        cr_assert(store.kept() * body.size() <= Idempotency::max_kept_bytes + body.size());
    }
    cr_expect(store.forgotten() > 100);
}

Test(api_idempotency, in_redis_a_new_key_is_claimed_and_then_has_the_answer) {
    World world;
    Idempotency store(world.loop, world.send());
    Began began;
    store.begin("shop", "k", std::string(64, 'a'), [&](Verdict verdict, Idempotency::Claim claim, auto) {
        began.verdict = verdict;
        began.claim = std::move(claim);
    });
    const auto claimed = world.reply(&nil);
    cr_assert(began.verdict == Verdict::carry_out);
    cr_expect(claimed[3] == "sio:idempotency:shop:k");
    cr_expect(claimed[4].starts_with("p:" + std::string(64, 'a') + ":"));
    bool kept = false;
    store.settle(began.claim, {200, R"({"ok":true})"}, [&](bool ok) { kept = ok; });
    const auto settled = world.reply(&one);
    cr_expect(kept);
    cr_expect(settled[3] == claimed[3] && settled[4] == claimed[4], "only our own claim is replaced");
    cr_expect(settled[5] == "d:" + std::string(64, 'a') + ":200:{\"ok\":true}");
}

Test(api_idempotency, in_redis_what_is_there_decides) {
    World world;
    Idempotency store(world.loop, world.send());
    const std::string same(64, 'a');
    const std::map<std::string, Verdict> cases = {{"p:" + same + ":x", Verdict::busy},
                                                  {"d:" + same + ":202:{\"a\":\":\"}", Verdict::replay},
                                                  {"d:" + std::string(64, 'b') + ":200:x", Verdict::differs},
                                                  {"p:" + std::string(64, 'b') + ":x", Verdict::differs},
                                                  {"nonsense", Verdict::unavailable},
                                                  {"d:" + same + ":many:x", Verdict::unavailable},
                                                  {"d:" + same + ":200", Verdict::unavailable}};
    for (const auto& [value, want] : cases) {
        Began began;
        store.begin("shop", "k", same, [&](Verdict verdict, auto, auto answer) {
            began.verdict = verdict;
            began.answer = std::move(answer);
        });
        const Reply reply = text(value);
        world.reply(&reply);
        cr_expect(began.verdict == want, "%s", value.c_str());
        if (want == Verdict::replay) cr_expect(began.answer.status == 202 && began.answer.body == "{\"a\":\":\"}");
    }
}

Test(api_idempotency, a_claim_that_may_have_been_made_when_redis_was_lost_is_given_up_when_it_is_back) {
    World world;
    Idempotency store(world.loop, world.send());
    Verdict told{};
    store.begin("shop", "k", std::string(64, 'a'), [&](Verdict verdict, auto, auto) { told = verdict; });
    const auto claimed = world.reply(nullptr);
    cr_expect(told == Verdict::unavailable);
    store.redis_up();
    const auto given_up = world.reply(&one);
    cr_expect(given_up[3] == claimed[3] && given_up[4] == claimed[4] && given_up[5].empty());
}

Test(api_idempotency, an_answer_that_redis_was_lost_for_is_told_when_it_is_back) {
    World world;
    Idempotency store(world.loop, world.send());
    Idempotency::Claim claim;
    store.begin("shop", "k", std::string(64, 'a'), [&](Verdict, Idempotency::Claim c, auto) { claim = std::move(c); });
    world.reply(&nil);
    int told = 0;
    bool kept = true;
    const auto done = [&](bool ok) {
        ++told;
        kept = ok;
    };
    store.settle(claim, {202, "x"}, done);
    const auto first = world.reply(nullptr);
    cr_expect(told == 1 && !kept);
    store.redis_up();
    cr_expect(world.reply(nullptr) == first, "it is lost once more");
    world.is_up = false;
    store.redis_up();
    world.is_up = true;
    store.redis_up();
    cr_expect(world.reply(&one) == first);
    store.redis_up();
    cr_expect(world.commands.empty());
    cr_expect(told == 1);
}

Test(api_idempotency, nothing_is_asked_of_a_redis_that_is_away) {
    World world;
    world.is_up = false;
    Idempotency store(world.loop, world.send());
    cr_expect(begin(store, "k", 'a').verdict == Verdict::unavailable);
}

Test(api_idempotency, an_answer_that_comes_after_its_end_harms_nobody) {
    World world;
    bool is_told = false;
    {
        Idempotency store(world.loop, world.send());
        store.begin("shop", "k", std::string(64, 'a'), [&](auto, auto, auto) { is_told = true; });
    }
    world.reply(&nil);
    cr_expect(!is_told);
}

}  // namespace
