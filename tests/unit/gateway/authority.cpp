// gateway/authority.h: what goes to sio-authd, what comes back, and what happens while it is away.
#include "gateway/authority.h"

#include "gateway/config.h"
#include "unit/gateway/auth_world.h"

namespace {

using namespace auth_world;

struct Heard final : Authority::Owner {
    std::vector<std::string> all;
    void on_revoked_user(std::string_view user) override { all.push_back("user " + std::string(user)); }
    void on_revoked_session(std::string_view session) override { all.push_back("session " + std::string(session)); }
    void on_revoked_key(std::string_view key) override { all.push_back("key " + std::string(key)); }
    void on_recheck_rights() override { all.emplace_back("rights"); }
    void on_recheck_sessions() override { all.emplace_back("sessions"); }
};

/// An Authority alone.
struct Alone : Base {
    explicit Alone(bool daemon = true, Millis timeout = 600) : authd(loop, folder + "/a.sock") {
        options.path = folder + "/a.sock";
        options.timeout = timeout;
        authority = std::make_unique<Authority>(loop, options, heard);
        if (daemon) authd.start();
        authority->start();
        if (daemon) cr_assert(wait([this] { return authority->is_ready(); }));
    }
    void ask(const Credentials& credentials = {}, std::string_view user = {}) {
        authority->authenticate(credentials, user, [this](Decision one) { decided.push_back(std::move(one)); });
    }
    void right(const Holder& holder, const std::vector<std::string>& rooms, std::string_view token = {}) {
        authority->may_join(holder, rooms, token, [this](Right one, const std::string& room) {
            constexpr std::string_view words[] = {"granted", "denied", "unavailable"};
            rights.push_back(std::string(words[static_cast<int>(one)]) + " " + room);
        });
    }
    bool asked() {
        return wait([this] { return !authd.asked.empty(); });
    }
    std::string said() {
        wait([this] { return !rights.empty(); });
        std::string all;
        for (const std::string& one : std::exchange(rights, {})) all += (all.empty() ? "" : ", ") + one;
        return all;
    }

    FakeAuthd authd;
    Heard heard;
    AuthorityOptions options;
    std::unique_ptr<Authority> authority;
    std::vector<Decision> decided;
    std::vector<std::string> rights;
};

const Holder alice{"alice", "s1", R"({"role":"x"})"};

}  // namespace

Test(authority, a_question_holds_what_the_client_came_with_and_nothing_else, .timeout = 20) {
    Alone world;
    Credentials credentials;
    credentials.cookie = "a=\xff\"b";
    credentials.origin = "https://a.example";
    credentials.address = "192.0.2.1";
    world.ask(credentials, "42");
    cr_assert(world.asked());
    const std::string line = world.authd.next();
    cr_expect(member(line, "cmd") == "authenticate");
    cr_expect(member(line, "cookie") == "a=?\"b", "%s", line.c_str());
    cr_expect(member(line, "origin") == "https://a.example" && member(line, "address") == "192.0.2.1");
    cr_expect(member(line, "user") == "42");
    cr_expect(!json::member(line, "token") && !json::member(line, "authorization") &&
              !json::member(line, "query_token"));
}

Test(authority, answers_find_their_question_in_any_order, .timeout = 20) {
    Alone world;
    world.ask();
    world.ask();
    cr_expect(world.decided.empty());
    cr_assert(world.wait([&] { return world.authd.asked.size() == 2; }));
    std::swap(world.authd.asked[0], world.authd.asked[1]);
    world.authd.answer(R"("result":"granted","user":"b","session":"s","kind":"database","key":"k","renews":true,)"
                       R"("expires":1767312000,"claims":{"a":1})");
    world.authd.deny("token_expired");
    cr_assert(world.wait([&] { return world.decided.size() == 2; }));
    const Decision& granted = world.decided[0];
    cr_expect(granted.kind == Decision::Kind::granted && granted.user == "b" && granted.session == "s");
    cr_expect(granted.token_kind == "database" && granted.key == "k" && granted.renews);
    cr_expect(granted.expires == 1767312000 && granted.claims == R"({"a":1})");
    cr_expect(world.decided[1].kind == Decision::Kind::denied && world.decided[1].code == "token_expired");
    cr_expect(world.authority->stats().granted == 1 && world.authority->stats().denied == 1);
}

Test(authority, what_is_too_long_to_be_a_token_is_refused_without_asking, .timeout = 20) {
    Alone world;
    const std::string much((16U << 10U) + 1, 'x');
    Credentials credentials;
    credentials.token = much;
    world.ask(credentials);
    cr_expect(world.decided.empty(), "never from within");
    cr_assert(world.wait([&] { return world.decided.size() == 1; }));
    cr_expect(world.decided[0].kind == Decision::Kind::denied && world.decided[0].code == "unauthorized");
    const std::string controls(16U << 10U, '\x01');  // six bytes each in JSON
    credentials.token = controls;
    world.ask(credentials);
    cr_assert(world.wait([&] { return world.decided.size() == 2; }));
    cr_expect(world.decided[1].kind == Decision::Kind::denied);
    cr_expect(world.authd.asked.empty());
}

Test(authority, a_daemon_that_does_not_answer_in_time_has_not_said_no, .timeout = 20) {
    Alone world;
    world.ask();
    world.right(alice, {"r"});
    cr_assert(world.wait([&] { return world.decided.size() == 1 && world.rights.size() == 1; }, 2'000));
    cr_expect(world.decided[0].kind == Decision::Kind::unavailable);
    cr_expect(world.rights[0] == "unavailable r");
    cr_expect(world.authority->is_up(), "it answers health");
    // Too late: nobody waits for it.
    world.authd.grant("b", "s");
    world.pause(50);
    cr_expect(world.decided.size() == 1 && world.authority->is_up());
}

Test(authority, questions_wait_for_a_daemon_that_is_away_and_go_out_when_it_comes, .timeout = 20) {
    Alone world(false, 2'000);
    cr_expect(!world.authority->is_up() && !world.authority->is_ready() && world.authority->away_for().has_value());
    cr_expect(member(json::member('{' + world.authority->checks() + '}', "authd").value_or("{}"), "ok") == "false");
    world.ask();
    world.pause(100);
    world.authd.start();
    cr_assert(world.asked());
    world.authd.grant("a", "s");
    cr_assert(world.wait([&] { return world.decided.size() == 1; }));
    cr_expect(world.decided[0].kind == Decision::Kind::granted);
    cr_expect(!world.authority->away_for());
}

Test(authority, a_question_under_way_is_asked_again_of_the_daemon_that_comes_back, .timeout = 20) {
    Alone world(true, 2'000);
    world.ask();
    cr_assert(world.asked());
    const std::string first = world.authd.next();
    world.authd.stop();
    cr_assert(world.wait([&] { return !world.authority->is_up(); }));
    world.authd.start();
    cr_assert(world.asked());
    cr_expect(world.authd.grant("a", "s") == first);
    cr_assert(world.wait([&] { return world.decided.size() == 1; }));
    // What was said meanwhile was missed.
    cr_expect(world.heard.all == std::vector<std::string>({"sessions", "rights"}));
    cr_expect(world.authority->stats().connects == 2);
}

Test(authority, a_daemon_that_hangs_is_away_within_two_seconds, .timeout = 20) {
    Alone world;
    world.authd.is_well = false;
    world.authd.greets = false;
    const Millis since = world.loop.now();
    cr_assert(world.wait([&] { return !world.authority->is_up(); }, 3'000));
    cr_expect(world.loop.now() - since <= 2'100, "%ld ms", static_cast<long>(world.loop.now() - since));
    cr_assert(world.wait([&] { return world.authority->away_for().value_or(0) > 1'000; }));
    world.authd.is_well = world.authd.greets = true;
    cr_assert(world.wait([&] { return world.authority->is_up(); }));
}

Test(authority, a_line_that_makes_no_sense_ends_the_connection, .timeout = 20) {
    const char* const lines[] = {"nonsense",
                                 "[]",
                                 "{}",
                                 R"({"event":5})",
                                 R"({"id":1,"ok":true)",
                                 "\"\xff\"",
                                 R"({"event":"status"})",
                                 R"({"event":"revoked"})",
                                 R"({"ok":false,"error":{}})"};
    Alone world;
    std::uint64_t connects = world.authority->stats().connects;
    for (const char* line : lines) {
        world.authd.say(line);
        cr_assert(world.wait([&] { return world.authority->stats().connects > connects; }), "%s", line);
        connects = world.authority->stats().connects;
    }
    world.authd.say(std::string(70'000, 'x'));
    cr_assert(world.wait([&] { return world.authority->stats().connects > connects; }));
}

Test(authority, an_answer_of_the_wrong_kind_lets_nobody_in, .timeout = 30) {
    const char* const answers[] = {R"("result":"perhaps")",
                                   R"("result":true)",
                                   R"("x":1)",
                                   R"("result":"granted","user":42)",
                                   R"("result":"granted","session":[])",
                                   R"("result":"granted","expires":"tomorrow")",
                                   R"("result":"granted","claims":"x")"};
    Alone world;
    for (const char* answer : answers) {
        world.decided.clear();
        world.ask();
        cr_assert(world.asked());
        world.authd.answer(answer);
        cr_assert(world.wait([&] { return world.decided.size() == 1; }), "%s", answer);
        cr_expect(world.decided[0].kind == Decision::Kind::unavailable, "%s", answer);
    }
    // A refusal of the question itself is none of the client.
    world.decided.clear();
    world.ask();
    cr_assert(world.asked());
    const std::string line = world.authd.next();
    world.authd.say("{\"id\":" + member(line, "id") + R"(,"ok":false,"error":{"code":"busy","message":"full"}})");
    cr_assert(world.wait([&] { return world.decided.size() == 1; }));
    cr_expect(world.decided[0].kind == Decision::Kind::unavailable);
}

Test(authority, another_daemon_at_that_path_is_not_asked, .timeout = 20) {
    Alone world(false);
    world.authd.greets = false;
    world.authd.start();
    cr_assert(world.wait([&] { return world.authd.accepted > 0; }));
    world.authd.say(R"({"sio":"admin","major":1,"minor":0,"program":"sio-gateway","version":"0","pid":1,"node":""})");
    cr_assert(world.wait([&] { return world.authd.accepted > 1; }));
    cr_expect(!world.authority->is_up());
}

Test(authority, more_questions_than_may_be_open_are_unavailable_at_once, .timeout = 20) {
    Alone world;
    world.authority.reset();
    world.options.max_open = 2;
    world.options.share_of_asker = 0;
    world.authority = std::make_unique<Authority>(world.loop, world.options, world.heard);
    world.authority->start();
    cr_assert(world.wait([&] { return world.authority->is_up(); }));
    for (int i = 0; i < 3; ++i) world.ask();
    cr_assert(world.wait([&] { return world.decided.size() == 1; }, 300));
    cr_expect(world.decided[0].kind == Decision::Kind::unavailable);
    cr_expect(world.authority->stats().open == 2);
}

Test(authority, who_has_all_questions_open_leaves_others_their_share, .timeout = 20) {
    Alone world;
    world.authority.reset();
    world.options.max_open = 5;
    world.options.share_of_asker = 2;
    world.options.share_of_asker_bytes = 2'000;
    world.options.max_open_in_shares = 8;
    world.options.timeout = 10'000;
    world.authority = std::make_unique<Authority>(world.loop, world.options, world.heard);
    world.authority->start();
    cr_assert(world.wait([&] { return world.authority->is_up(); }));
    Credentials greedy;
    greedy.address = "192.0.2.1";
    for (int i = 0; i < 9; ++i) world.ask(greedy);
    cr_assert(world.wait([&] { return world.decided.size() == 4; }, 1'000));
    cr_expect(world.authority->stats().open == 5 && world.authority->stats().refused == 4);
    Credentials other;
    other.address = "192.0.2.2";
    for (int i = 0; i < 3; ++i) world.ask(other);
    cr_assert(world.wait([&] { return world.decided.size() == 5; }, 1'000));
    cr_expect(world.authority->stats().open == 7);
    Credentials large;
    const std::string token(3'000, 't');
    large.token = token;
    large.address = "192.0.2.3";
    world.ask(large);
    world.right(alice, {"room"});  // a user's share is not that of an address
    cr_assert(world.wait([&] { return world.decided.size() == 6; }, 1'000));
    cr_expect(world.authority->stats().open == 8);
    world.right({"bob", "s2", "{}"}, {"room"});
    cr_expect(world.said() == "unavailable room", "all shares together have a bound");
}

Test(authority, a_right_is_known_for_as_long_as_the_daemon_says_and_to_its_holder_only, .timeout = 20) {
    Alone world;
    world.right(alice, {"r"});
    cr_assert(world.asked());
    const std::string line = world.authd.answer(R"("result":"granted","rule":"x","ttl_ms":200)");
    cr_expect(member(line, "cmd") == "may_join" && member(line, "user") == "alice" && member(line, "room") == "r");
    cr_expect(member(line, "session") == "s1" && member(line, "claims") == R"({"role":"x"})");
    cr_expect(world.said() == "granted ");
    cr_expect(world.authority->known(alice, "r") == Right::granted);
    cr_expect(!world.authority->known(alice, "r2"));
    cr_expect(!world.authority->known({"alice", "s2", alice.claims}, "r"));
    cr_expect(!world.authority->known({"alice", "s1", "{}"}, "r"));
    world.right(alice, {"r"});
    cr_expect(world.rights.empty(), "never from within");
    cr_expect(world.said() == "granted " && world.authd.asked.empty());
    world.pause(220);
    cr_expect(!world.authority->known(alice, "r"));
    // What one name ends with, the next does not begin with.
    world.right({"a:b", "c", ""}, {"r"});
    cr_assert(world.asked());
    world.authd.answer(R"("result":"granted","ttl_ms":60000)");
    cr_expect(world.said() == "granted ");
    cr_expect(world.authority->known({"a:b", "c", ""}, "r") && !world.authority->known({"a", "b:c", ""}, "r"));
    // Not to be kept.
    world.right(alice, {"r"});
    cr_assert(world.asked());
    world.authd.answer(R"("result":"denied","reason":"x","ttl_ms":0)");
    cr_expect(world.said() == "denied r");
    cr_expect(!world.authority->known(alice, "r"));
}

Test(authority, of_several_rooms_the_worst_answer_counts, .timeout = 20) {
    Alone world;
    world.right(alice, {"a", "b", "c"});
    cr_assert(world.wait([&] { return world.authd.asked.size() == 3; }));
    world.authd.answer(R"("result":"granted","ttl_ms":1000)");
    world.authd.answer(R"("result":"denied","ttl_ms":1000)");
    world.authd.unavailable();
    cr_expect(world.said() == "denied b");
    world.right(alice, {"a", "c"});
    cr_assert(world.asked());
    cr_expect(member(world.authd.unavailable(), "room") == "c");
    cr_expect(world.said() == "unavailable c");
    world.right(alice, {});
    cr_expect(world.said() == "granted ");
}

Test(authority, a_room_token_grants_what_is_denied_without_and_only_with_it, .timeout = 20) {
    Alone world;
    world.right(alice, {"r"});
    cr_assert(world.asked());
    world.authd.answer(R"("result":"denied","ttl_ms":60000)");
    cr_expect(world.said() == "denied r");
    world.right(alice, {"r"}, "tok");
    cr_assert(world.asked());
    cr_expect(member(world.authd.answer(R"("result":"granted","ttl_ms":60000)"), "room_token") == "tok");
    cr_expect(world.said() == "granted ");
    cr_expect(world.authority->known(alice, "r") == Right::denied);
    world.right(alice, {"r"}, "tok");
    cr_expect(world.said() == "granted " && world.authd.asked.empty());
}

Test(authority, the_same_question_is_asked_once, .timeout = 20) {
    Alone world;
    world.right(alice, {"r"});
    world.right(alice, {"r"});
    cr_assert(world.asked());
    world.authd.answer(R"("result":"granted","ttl_ms":0)");
    cr_assert(world.wait([&] { return world.rights.size() == 2; }));
    cr_expect(world.authd.asked.empty() && world.authority->stats().rights_asked == 1);
}

Test(authority, a_recheck_forgets_rights_and_asks_again_where_an_answer_is_on_its_way, .timeout = 20) {
    Alone world;
    world.right(alice, {"r"});
    cr_assert(world.asked());
    world.authd.answer(R"("result":"granted","ttl_ms":60000)");
    cr_expect(world.said() == "granted ");
    world.right(alice, {"late"});
    cr_assert(world.asked());
    world.authd.say(R"({"event":"recheck","what":"rights"})");
    const std::string late = world.authd.answer(R"("result":"granted","ttl_ms":60000)");
    cr_assert(world.asked());
    cr_expect(world.rights.empty());
    cr_expect(world.authd.answer(R"("result":"denied","ttl_ms":60000)") == late);
    cr_expect(world.said() == "denied late");
    cr_expect(!world.authority->known(alice, "r") && world.authority->known(alice, "late") == Right::denied);
    cr_expect(world.heard.all == std::vector<std::string>({"rights"}));
}

Test(authority, no_more_rights_are_kept_than_may_be, .timeout = 20) {
    Alone world;
    world.authority.reset();
    world.options.max_rights = 2;
    world.authority = std::make_unique<Authority>(world.loop, world.options, world.heard);
    world.authority->start();
    cr_assert(world.wait([&] { return world.authority->is_up(); }));
    world.right(alice, {"a", "b", "c"});
    cr_assert(world.wait([&] { return world.authd.asked.size() == 3; }));
    for (int i = 0; i < 3; ++i) world.authd.answer(R"("result":"granted","ttl_ms":700)");
    cr_expect(world.said() == "granted ");
    cr_expect(!world.authority->known(alice, "a") && world.authority->known(alice, "c"));
    cr_expect(world.authority->stats().rights_kept == 2);
    cr_assert(world.wait([&] { return world.authority->stats().rights_kept == 0; }), "swept");
}

Test(authority, what_the_daemon_says_unasked_is_passed_on, .timeout = 20) {
    Alone world;
    for (const char* line : {R"({"event":"revoked","user":"42"})", R"({"event":"revoked","session":"s"})",
                             R"({"event":"revoked","key":"k"})", R"({"event":"recheck","what":"sessions"})",
                             R"({"event":"something newer"})"}) {
        world.authd.say(line);
    }
    cr_assert(world.wait([&] { return world.heard.all.size() == 4; }));
    cr_expect(world.heard.all == std::vector<std::string>({"user 42", "session s", "key k", "sessions"}));
    cr_expect(world.authority->is_up());
}

Test(authority, what_is_ill_with_the_daemon_is_named, .timeout = 20) {
    Alone world;
    cr_expect(world.authority->is_ready());
    world.authd.say(R"({"event":"status","checks":{"postgresql":{"ok":false,"detail":"away"},"redis":{"ok":true}}})");
    cr_assert(world.wait([&] { return !world.authority->is_ready(); }));
    const std::string checks = '{' + world.authority->checks() + '}';
    cr_assert(json::is_valid(checks), "%s", checks.c_str());
    cr_expect(member(*json::member(checks, "postgresql"), "detail") == "away");
    cr_expect(member(*json::member(checks, "authd"), "ok") == "true");
    cr_expect(json::member(checks, "authd_redis") && !json::member(checks, "redis"), "the gateway has a redis too");
    // Health says the same, also before anybody has connected.
    world.authd.checks = R"({"postgresql":{"ok":true}})";
    cr_assert(world.wait([&] { return world.authority->is_ready(); }));
}

Test(authority, sessions_that_are_over_are_told_in_one_line, .timeout = 20) {
    Alone world;
    world.authority->closed("a");
    world.authority->closed("b");
    cr_assert(world.wait([&] { return world.authd.closed.size() == 2; }));
    cr_expect(world.authd.closed == std::vector<std::string>({"a", "b"}));
}

Test(authority, the_path_of_the_daemon_asks_for_it_unless_auth_says_otherwise) {
    const auto config_of = [](const std::vector<const char*>& arguments, const std::string& variable = {}) {
        Config config;
        auto options = options_of(config);
        const auto loaded = load_config(config, options, arguments, [&](const std::string& name) {
            return name == "SIO_AUTHD" && !variable.empty() ? std::optional(variable) : std::nullopt;
        });
        cr_assert(loaded.has_value(), "%s", loaded.error().what.c_str());
        return config;
    };
    cr_expect(config_of({}).auth == AuthMode::none);
    cr_expect(config_of({"--authd", "/tmp/a"}).auth == AuthMode::authd);
    cr_expect(config_of({}, "/tmp/b").auth == AuthMode::authd && config_of({}, "/tmp/b").authd == "/tmp/b");
    cr_expect(config_of({"--auth", "none"}, "/tmp/b").auth == AuthMode::none);
    cr_expect(config_of({"--auth", "dev", "--authd", "/tmp/a"}).auth == AuthMode::dev);
    const Config config = config_of({"--auth", "authd"});
    cr_expect(config.authd.ends_with("/authd.sock") && config.auth_grace.count() == 15'000 && !config.auth_query);
    cr_expect(std::string_view(config.control).substr(0, config.control.rfind('/')) ==
              std::string_view(config.authd).substr(0, config.authd.rfind('/')));
    Config wrong;
    auto options = options_of(wrong);
    const std::string deep = "/tmp/" + std::string(200, 'x');
    const std::vector<const char*> arguments{"--authd", deep.c_str()};
    cr_expect(!load_config(wrong, options, arguments, [](const std::string&) { return std::nullopt; }));
}
