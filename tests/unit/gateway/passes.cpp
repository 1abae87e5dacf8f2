// gateway/passes.h and the hub: a CONNECT that waits for sio-authd, and what becomes of the socket it lets in.
#include "gateway/passes.h"

#include "unit/gateway/auth_world.h"

namespace {

using namespace auth_world;

std::string code_of(const std::string& connect_error) {
    const std::string_view text = std::string_view(connect_error).substr(connect_error.find('{'));
    return member(json::member(text, "data").value_or("{}"), "code");
}

WorldOptions with(PassOptions passes) {
    WorldOptions options;
    options.passes = passes;
    return options;
}

}  // namespace

// --- CONNECT --------------------------------------------------------------------------------------------------------

Test(passes, a_connect_waits_for_the_answer_and_what_is_sent_meanwhile_comes_after_it, .timeout = 20) {
    World world;
    auto client = world.client("Origin: https://a.example\r\nCookie: c=1\r\n");
    client->send(R"(40{"token":"secret","lang":"de"})");
    client->send(R"(420["early"])");
    client->send(R"(421["second"])");
    cr_assert(world.asks());
    cr_expect(!client->has("40{") && world.handlers.log.empty());
    const std::string line = world.authd.grant("42", "s1", R"("expires":)" + world.at(1'000));
    cr_expect(member(line, "token") == "secret" && member(line, "origin") == "https://a.example");
    cr_expect(!json::member(line, "cookie"), "the first credential decides");
    cr_expect(member(line, "address") == "127.0.0.1");
    cr_assert(world.wait([&] { return client->has("431"); }));
    cr_expect(world.handlers.log == std::vector<std::string>({R"(admit 42 {"lang":"de"})", "connect 42",
                                                              R"(event 42 ["early"])", R"(event 42 ["second"])"}));
    const Socket* socket = world.socket_of("42");
    cr_assert(socket != nullptr && socket->pass != nullptr);
    cr_expect(socket->auth == R"({"lang":"de"})", "no token beyond the authority");
    cr_expect(socket->pass->session == "s1" && socket->pass->kind == "authjs-v5" && socket->pass->key == "k1");
}

Test(passes, without_a_token_the_headers_of_the_handshake_are_shown, .timeout = 20) {
    World world(with({.warning = 300, .grace = 300, .query_token = true, .recovery_window = 1'000}));
    auto cookies = world.client("Cookie: a=1\r\ncookie: b=2\r\n", "&token=q%2Bt");
    cookies->send("40");
    cr_assert(world.asks());
    const std::string line = world.authd.deny("origin");
    cr_expect(member(line, "cookie") == "a=1; b=2" && member(line, "query_token") == "q+t");
    cr_expect(!json::member(line, "origin") && !json::member(line, "token"));
    cr_assert(world.wait([&] { return cookies->has("44"); }));
    cr_expect(code_of(cookies->find("44")) == "origin");
    auto bearer = world.client("Authorization: Bearer x\r\nCookie: a=1\r\n");
    bearer->send("40");
    cr_assert(world.asks());
    const std::string second = world.authd.next();
    cr_expect(member(second, "authorization") == "Bearer x" && !json::member(second, "cookie"));
}

Test(passes, the_query_is_no_credential_unless_told_so, .timeout = 20) {
    World world;
    auto client = world.client({}, "&token=q");
    client->send("40");
    cr_assert(world.asks());
    cr_expect(!json::member(world.authd.next(), "query_token"));
}

Test(passes, a_denied_connect_gets_a_message_and_a_code, .timeout = 20) {
    const std::pair<const char*, const char*> codes[] = {{"no_credentials", "no credentials"},
                                                         {"unauthorized", "unauthorized"},
                                                         {"token_expired", "expired"},
                                                         {"origin", "origin not allowed"},
                                                         {"revoked", "revoked"}};
    World world;
    auto client = world.client();
    for (const auto& [code, message] : codes) {
        client->got.clear();
        client->send("40");
        cr_assert(world.asks());
        world.authd.deny(code);
        cr_assert(world.wait([&] { return client->has("44{"); }));
        cr_expect(member(client->find("44{").substr(2), "message") == message);
        cr_expect(code_of(client->find("44")) == code);
    }
    cr_expect(world.handlers.log.empty() && !client->ended);
    cr_expect(world.hub.stats().sockets_refused == 5);
}

Test(passes, a_token_that_is_empty_or_no_text_is_refused_unasked, .timeout = 20) {
    World world;
    auto client = world.client("Cookie: a=1\r\n");
    for (const char* auth : {R"({"token":""})", R"({"token":null})", R"({"token":5})", R"({"token":{"a":1}})"}) {
        client->got.clear();
        client->send(std::string("40") + auth);
        cr_assert(world.wait([&] { return client->has("44"); }), "%s", auth);
        cr_expect(code_of(client->find("44")) == "unauthorized");
    }
    cr_expect(world.authd.asked.empty());
}

Test(passes, a_namespace_that_is_not_there_is_refused_unasked, .timeout = 20) {
    World world;
    auto client = world.client();
    client->send(R"(40/nowhere,{"token":"t"})");
    cr_assert(world.wait([&] { return client->has("44/nowhere,"); }));
    cr_expect(client->find("44").find("Invalid namespace") != std::string::npos);
    cr_expect(world.authd.asked.empty());
}

Test(passes, each_namespace_of_a_connection_is_asked_for_anew, .timeout = 20) {
    World world;
    auto client = world.join("a", "s1");
    client->send(R"(40/chat,{"token":"other"})");
    cr_assert(world.asks());
    cr_expect(member(world.authd.grant("b", "s2"), "token") == "other");
    cr_assert(world.wait([&] { return client->has("40/chat,"); }));
    cr_expect(world.passes.count() == 2);
}

Test(passes, a_client_that_nobody_can_judge_loses_its_connection_and_comes_back, .timeout = 20) {
    World world;
    auto client = world.client();
    client->send(R"(40{"token":"t"})");
    cr_assert(world.asks());
    world.authd.unavailable();
    cr_assert(world.wait([&] { return client->ended; }));
    cr_expect(!client->has("44") && client->close_code == 1012);
    cr_expect(world.hub.stats().put_off == 1);
}

Test(passes, one_that_has_joined_elsewhere_is_told_to_try_again, .timeout = 20) {
    World world;
    auto client = world.join("a", "s1");
    client->send(R"(40/chat,{"token":"t"})");
    cr_assert(world.asks());
    world.authd.unavailable();
    cr_assert(world.wait([&] { return client->has("44/chat,"); }));
    cr_expect(code_of(client->find("44")) == "unavailable");
    cr_expect(client->find("44").find("try again") != std::string::npos);
    cr_expect(!client->ended);
}

Test(passes, an_answer_for_a_client_that_has_gone_lets_nobody_in, .timeout = 20) {
    World world;
    auto client = world.client();
    client->send(R"(40{"token":"t"})");
    cr_assert(world.asks());
    client.reset();
    cr_assert(world.wait([&] { return world.engine.session_count() == 0; }));
    auto next = world.client();  // it may have the same slot
    world.authd.grant("a", "s1");
    cr_assert(world.wait([&] { return world.authd.closed == std::vector<std::string>({"s1"}); }));
    cr_expect(world.handlers.log.empty() && !next->has("40"));
}

Test(passes, more_than_may_wait_ends_the_connection, .timeout = 20) {
    World world;
    auto client = world.client();
    client->send(R"(40{"token":"t"})");
    for (int i = 0; i < 65; ++i) client->send(R"(42["x"])");
    cr_assert(world.wait([&] { return client->ended; }));
    cr_expect(world.hub.stats().waiting_too_long == 1);
}

// --- the daemon is away ---------------------------------------------------------------------------------------------

Test(passes, handshakes_are_put_off_while_the_daemon_is_away_and_sockets_stay, .timeout = 20) {
    World world;
    auto client = world.join("a", "s1");
    world.authd.stop();
    cr_assert(world.wait([&] { return !world.authority->is_up(); }));
    auto soon = world.client();
    cr_expect(soon->head.starts_with("HTTP/1.1 101"), "a restart is not noticed");
    cr_assert(world.wait([&] { return world.authority->away_for().value_or(0) > 1'000; }));
    auto late = world.client();
    cr_expect(late->head.starts_with("HTTP/1.1 503"), "%s", late->head.c_str());
    cr_expect(late->head.find("Retry-After: 1") != std::string::npos);
    cr_expect(world.engine.stats().handshakes_put_off == 1);
    client->send(R"(423["still here"])");
    cr_assert(world.wait([&] { return client->has("433"); }));
    // What came with it is asked again when the daemon is back.
    world.authd.start();
    cr_assert(world.asks());
    cr_expect(member(world.authd.grant("a", "s1"), "user") == "a");
    world.pause(50);
    cr_expect(!client->ended && world.client()->head.starts_with("HTTP/1.1 101"));
}

// --- the end of a session -------------------------------------------------------------------------------------------

Test(passes, a_session_is_warned_of_its_end_and_closed_after_the_grace, .timeout = 20) {
    World world;
    const Millis end = (world.loop.wall_clock() / 1000 + 2) * 1000;
    auto client = world.join("a", "s1", R"("expires":)" + std::to_string(end / 1000));
    cr_assert(world.wait([&] { return client->has("42"); }));
    const Millis warned = world.loop.wall_clock();
    cr_expect(warned >= end - 300 && warned < end - 100, "%ld", static_cast<long>(end - warned));
    const std::string warning = client->find("42");
    const std::string told = warning.substr(2);
    const auto argument = json::element(told, 1);
    cr_assert(argument && json::element(told, 0) == "\"sio:expiring\"", "%s", warning.c_str());
    cr_expect(member(*argument, "expires") == std::to_string(end / 1000));
    cr_expect(std::stol(member(*argument, "in_ms")) <= 300);
    cr_assert(world.wait([&] { return client->ended; }));
    const Millis closed = world.loop.wall_clock();
    cr_expect(closed >= end + 300 && closed < end + 700, "%ld", static_cast<long>(closed - end));
    cr_expect(client->got.back() == R"(42["sio:closed",{"reason":"token_expired"}])", "%s", client->got.back().c_str());
    cr_expect(!client->has("41") && client->close_code == 1012, "it comes back with a new token");
    cr_expect(world.handlers.has("disconnect a") && world.passes.stats().expired == 1);
    cr_expect(world.authd.asked.empty(), "what does not renew is not asked for");
    cr_assert(world.wait([&] { return world.authd.closed == std::vector<std::string>({"s1"}); }));
}

Test(passes, where_more_is_joined_only_the_expired_namespace_ends, .timeout = 20) {
    World world;
    auto client = world.join("a", "s1");
    client->send(R"(40/chat,{"token":"t"})");
    cr_assert(world.asks());
    world.authd.grant("a", "s2", R"("expires":)" + world.at(-1));
    cr_assert(world.wait([&] { return client->has("41/chat,"); }));
    cr_expect(client->has(R"(42/chat,["sio:closed",{"reason":"token_expired"}])"));
    world.pause(50);
    cr_expect(!client->ended && world.socket_of("a") != nullptr);
}

Test(passes, a_refresh_puts_the_end_off_without_the_routes_seeing_it, .timeout = 20) {
    World world;
    auto client = world.join("a", "s1", R"("expires":)" + world.at(1));
    cr_assert(world.wait([&] { return client->has(R"(42["sio:expiring")"); }));
    client->send(R"(427["sio:refresh",{"token":"new"}])");
    cr_assert(world.asks());
    const std::string expires = world.at(1'000);
    const std::string line = world.authd.grant("a", "s2", R"("expires":)" + expires + R"(,"claims":{"x":1})");
    cr_expect(member(line, "token") == "new" && member(line, "user") == "a");
    cr_assert(world.wait([&] { return client->has("437"); }));
    cr_expect(client->find("437") == R"(437[{"ok":true,"expires":)" + expires + "}]");
    world.pause(1'600);
    cr_expect(!client->ended && !world.handlers.has("event"));
    cr_expect(world.socket_of("a")->pass->session == "s2" && world.socket_of("a")->pass->claims == R"({"x":1})");
    cr_expect(world.authd.closed == std::vector<std::string>({"s1"}));
    cr_expect(world.passes.stats().refreshed == 1);
    // What it shows from now on is the new one.
    world.authd.say(R"({"event":"recheck","what":"sessions"})");
    cr_assert(world.asks());
    cr_expect(member(world.authd.next(), "token") == "new");
}

Test(passes, a_refresh_that_is_denied_changes_nothing, .timeout = 20) {
    World world;
    auto client = world.join("a", "s1", R"("expires":)" + world.at(1'000));
    client->send(R"(421["sio:refresh",{"token":"bad"}])");
    cr_assert(world.asks());
    world.authd.deny("token_expired");
    cr_assert(world.wait([&] { return client->has("431"); }));
    cr_expect(client->find("431") == R"(431[{"error":"token_expired","reason":"expired"}])");
    // However it is written.
    client->send(R"(422["sio:\u0072efresh",{"token":"another user's"}])");
    cr_assert(world.asks());
    world.authd.grant("b", "s9", R"("expires":)" + world.at(2'000));
    cr_assert(world.wait([&] { return client->has("432"); }));
    cr_expect(member(json::element(client->find("432").substr(3), 0).value_or("{}"), "error") == "user_changed");
    for (const char* wrong : {R"(423["sio:refresh"])", R"(423["sio:refresh",{"token":""}])",
                              R"(423["sio:refresh",{"token":7}])", R"(423["sio:refresh","t"])"}) {
        client->got.clear();
        client->send(wrong);
        cr_assert(world.wait([&] { return client->has("433"); }), "%s", wrong);
        cr_expect(client->find("433").find("unauthorized") != std::string::npos);
    }
    client->send(R"(424["sio:refresh",{"token":"x"}])");
    cr_assert(world.asks());
    world.authd.unavailable();
    cr_assert(world.wait([&] { return client->has("434"); }));
    cr_expect(client->find("434") == R"(434[{"error":"unavailable","reason":"try again"}])");
    const Socket* socket = world.socket_of("a");
    cr_expect(socket != nullptr && socket->pass->session == "s1" && !world.handlers.has("event"));
    cr_expect(world.authd.asked.empty());
}

Test(passes, one_refresh_at_a_time_and_none_at_its_deadline_is_cut_off, .timeout = 20) {
    WorldOptions options = with({.warning = 100, .grace = 100, .query_token = false, .recovery_window = 1'000});
    options.timeout = 5'000;
    World world(options);
    auto client = world.join("a", "s1", R"("expires":)" + world.at(1));
    client->send(R"(421["sio:refresh",{"token":"slow"}])");
    client->send(R"(422["sio:refresh",{"token":"two"}])");
    cr_assert(world.wait([&] { return client->has("432"); }));
    cr_expect(client->find("432").find("busy") != std::string::npos);
    world.pause(1'500);
    cr_expect(!client->ended, "it is looked at still");
    cr_assert(world.asks());
    world.authd.grant("a", "s1", R"("expires":)" + world.at(1'000));
    cr_assert(world.wait([&] { return client->has("431"); }));
    world.pause(1'200);
    cr_expect(!client->ended);
}

Test(passes, a_session_that_renews_is_asked_for_before_anybody_is_warned, .timeout = 20) {
    World world;
    auto client = world.join("a", "s1", R"("renews":true,"expires":)" + world.at(1));
    cr_assert(world.asks());
    cr_expect(!client->has("42"));
    cr_expect(member(world.authd.grant("a", "s1", R"("renews":true,"expires":)" + world.at(1'000)), "user") == "a");
    world.pause(1'000);
    cr_expect(!client->has("42") && !client->ended);
}

Test(passes, at_the_deadline_it_is_asked_for_again_and_unavailable_closes_nobody, .timeout = 20) {
    World world;
    const std::string expires = world.at(1);
    auto client = world.join("a", "s1", R"("renews":true,"expires":)" + expires);
    cr_assert(world.asks());
    world.authd.grant("a", "s1", R"("renews":true,"expires":)" + expires);
    cr_assert(world.wait([&] { return client->has(R"(42["sio:expiring")"); }));
    cr_assert(world.asks());
    world.authd.unavailable();
    cr_assert(world.asks());
    cr_expect(!client->ended);
    world.authd.grant("a", "s1", R"("renews":true,"expires":)" + expires);
    cr_assert(world.wait([&] { return client->ended; }));
    cr_expect(client->has(R"(42["sio:closed",{"reason":"token_expired"}])"));
}

Test(passes, an_expired_session_stays_while_the_daemon_is_away, .timeout = 20) {
    World world;
    auto client = world.join("a", "s1", R"("expires":)" + world.at(1));
    world.authd.stop();
    world.pause(2'500);
    cr_expect(!client->ended);
    world.authd.start();
    cr_assert(world.asks());
    world.authd.deny("token_expired");
    cr_assert(world.wait([&] { return client->ended; }));
    cr_expect(client->has(R"(42["sio:closed",{"reason":"token_expired"}])"));
}

Test(passes, a_far_end_is_waited_for_and_no_end_not_at_all, .timeout = 20) {
    World world;
    auto far = world.join("a", "s1", R"("expires":253402300799)");
    auto never = world.join("b", "s2");
    world.pause(100);
    cr_expect(!far->has("42") && !never->has("42"));
    // By hand: hours later the clock is looked at again.
    Socket* socket = world.socket_of("a");
    cr_assert(socket != nullptr);
    cr_expect(socket->pass->life->is_armed() && socket->pass->life->deadline() - world.loop.now() <= 3'600'000);
    cr_expect(!world.socket_of("b")->pass->life->is_armed());
}

Test(passes, the_warning_of_a_far_end_comes_to_the_minute, .timeout = 20) {
    World world(with({.warning = 60'000, .grace = 15'000, .query_token = false, .recovery_window = 1'000}));
    const Millis end = (world.loop.wall_clock() / 1000 + 7'200) * 1000;
    auto client = world.join("a", "s1", R"("expires":)" + std::to_string(end / 1000));
    const Millis in = end - world.loop.wall_clock();
    // By hand, and without the pings, which the client does not answer.
    Socket& socket = *world.socket_of("a");
    world.engine.session(socket.slot)->disarm();
    world.loop.timers().advance(world.loop.now() + in - 60'100);
    cr_expect(!socket.pass->warned);
    world.loop.timers().advance(world.loop.now() + in - 59'900);
    cr_expect(socket.pass->warned);
    // The daemon's clock has not moved: it does not answer any more, and so nobody is closed.
    world.loop.timers().advance(world.loop.now() + in + 15'100);
    cr_expect(!world.handlers.has("disconnect"));
}

// --- thrown out -----------------------------------------------------------------------------------------------------

Test(passes, who_is_revoked_is_told_and_stays_away_on_all_his_sockets, .timeout = 20) {
    World world;
    auto one = world.join("a", "s1");
    auto two = world.join("a", "s2");
    auto other = world.join("b", "s3");
    world.authd.say(R"({"event":"revoked","user":"a"})");
    cr_assert(world.wait([&] { return one->has("41") && two->has("41"); }));
    cr_expect(one->got[one->got.size() - 2] == R"(42["sio:closed",{"reason":"revoked"}])");
    cr_expect(!other->has("42") && world.socket_of("b") != nullptr && world.passes.count() == 1);
    // It would not recover either.
    cr_expect(world.hub.find_namespace("/")->saved.count() == 0);
    cr_expect(world.passes.stats().revoked == 2);
}

Test(passes, a_revoked_session_or_key_ends_its_sockets_only, .timeout = 20) {
    World world;
    auto one = world.join("a", "s1");
    auto two = world.join("a", "s2");
    world.authd.say(R"({"event":"revoked","session":"s1"})");
    cr_assert(world.wait([&] { return one->has("41"); }));
    world.pause(50);
    cr_expect(!two->has("41"));
    world.authd.say(R"({"event":"revoked","key":"k2"})");
    world.pause(50);
    cr_expect(!two->has("41"));
    world.authd.say(R"({"event":"revoked","key":"k1"})");
    cr_assert(world.wait([&] { return two->has("41"); }));
}

Test(passes, the_last_socket_of_a_session_is_told_to_the_daemon, .timeout = 20) {
    World world;
    auto one = world.join("a", "s1");
    auto two = world.join("a", "s1");
    one.reset();
    cr_assert(world.wait([&] { return world.passes.count() == 1; }));
    world.pause(50);
    cr_expect(world.authd.closed.empty());
    two.reset();
    cr_assert(world.wait([&] { return world.authd.closed == std::vector<std::string>({"s1"}); }));
}

Test(passes, a_session_that_comes_while_it_is_told_to_be_over_is_asked_for_again, .timeout = 20) {
    World world;
    auto old = world.join("a", "s1");
    auto client = world.client();
    client->send(R"(40{"token":"t"})");
    cr_assert(world.asks());
    old.reset();
    cr_assert(world.wait([&] { return !world.authd.closed.empty(); }));
    world.authd.grant("a", "s1");  // and may have forgotten it
    cr_assert(world.asks());
    world.authd.grant("a", "s1");
    cr_assert(world.wait([&] { return client->has("40{"); }));
}

Test(passes, a_client_recovers_as_the_same_user_only_and_its_rooms_are_asked_for, .timeout = 20) {
    World world;
    world.handlers.grants = {"r"};
    auto client = world.join("a", "s1");
    const std::string pid = member(client->find("40").substr(2), "pid");
    client.reset();
    cr_assert(world.wait([&] { return world.passes.count() == 0; }));
    world.handlers.grants.clear();
    world.pause(5);

    auto back = world.join("a", "s1", {}, R"({"token":"t","pid":")" + pid + R"("})");
    cr_expect(member(back->find("40").substr(2), "pid") == pid, "recovered");
    cr_assert(world.asks("may_join"));
    world.authd.answer(R"("result":"denied","ttl_ms":0)");
    cr_assert(world.wait([&] { return back->has(R"(42["sio:left")"); }));
    cr_expect(!world.hub.find_namespace("/")->rooms.contains("r"));
    back.reset();
    cr_assert(world.wait([&] { return world.passes.count() == 0; }));
    world.pause(5);

    auto thief = world.join("b", "s2", {}, R"({"token":"t","pid":")" + pid + R"("})");
    cr_expect(member(thief->find("40").substr(2), "pid") != pid);
}

// --- asked again ----------------------------------------------------------------------------------------------------

Test(passes, a_recheck_of_sessions_closes_those_denied_and_keeps_those_nobody_can_judge, .timeout = 20) {
    World world;
    auto good = world.join("a", "s1");
    auto bad = world.join("b", "s2");
    auto unclear = world.join("c", "s3");
    world.authd.say(R"({"event":"recheck","what":"sessions"})");
    cr_assert(world.wait([&] { return world.authd.asked.size() == 3; }));
    for (int i = 0; i < 3; ++i) {
        const std::string user = member(world.authd.asked.front(), "user");
        if (user == "a") world.authd.grant("a", "s1");
        if (user == "b") world.authd.deny("unauthorized");
        if (user == "c") world.authd.unavailable();
    }
    cr_assert(world.wait([&] { return bad->has("41"); }));
    cr_expect(bad->has(R"(42["sio:closed",{"reason":"unauthorized"}])"));
    cr_expect(!good->has("42") && !unclear->has("42"));
    // Tried again, since all is well.
    cr_assert(world.wait([&] { return !world.authd.asked.empty(); }));
    cr_expect(member(world.authd.next(), "user") == "c");
}

Test(passes, at_most_a_hundred_are_asked_for_at_a_time, .timeout = 30) {
    World world;
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 120; ++i) clients.push_back(world.join("u" + std::to_string(i), "s" + std::to_string(i)));
    world.authd.say(R"({"event":"recheck","what":"sessions"})");
    cr_assert(world.wait([&] { return world.authd.asked.size() == 100; }));
    world.pause(50);
    cr_expect(world.authd.asked.size() == 100);
    std::size_t answered = 0;
    while (answered < 120) {
        cr_assert(world.asks());
        const std::string user = member(world.authd.asked.front(), "user");
        world.authd.grant(user, "s" + user.substr(1));
        ++answered;
    }
    world.pause(50);
    cr_expect(world.authd.asked.empty() && world.passes.count() == 120);
}

Test(passes, a_recheck_of_rights_empties_rooms_of_those_who_may_not_stay, .timeout = 20) {
    World world;
    world.handlers.grants = {"r1", "r2"};
    auto client = world.join("a", "s1", R"("claims":{"x":1})");
    world.hub.leave(*world.socket_of("a"), "r2");
    world.hub.join(*world.socket_of("a"), "by other ways");
    world.authd.say(R"({"event":"recheck","what":"rights"})");
    cr_assert(world.asks("may_join"));
    const std::string line = world.authd.answer(R"("result":"denied","reason":"gone","ttl_ms":1000)");
    cr_expect(member(line, "room") == "r1" && member(line, "user") == "a" && member(line, "claims") == R"({"x":1})");
    cr_assert(world.wait([&] { return client->has(R"(42["sio:left")"); }));
    cr_expect(client->find("42") == R"(42["sio:left",{"room":"r1","reason":"denied"}])");
    const auto& rooms = world.hub.find_namespace("/")->rooms;
    cr_expect(!rooms.contains("r1") && rooms.contains("by other ways"));
    cr_expect(world.authd.asked.empty() && world.socket_of("a")->pass->rooms.empty());
}

Test(passes, what_is_told_to_a_client_does_not_move_its_recovery, .timeout = 20) {
    World world;
    auto client = world.join("a", "s1", R"("expires":)" + world.at(-2));
    cr_assert(world.wait([&] { return client->ended; }));
    for (const std::string& one : client->got) {
        if (one.starts_with("42")) cr_expect(!json::element(one.substr(2), 2).has_value(), "%s", one.c_str());
    }
}
