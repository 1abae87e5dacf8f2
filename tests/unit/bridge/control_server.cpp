// bridge/server.h, ControlServer: commands, what is refused, and answers that come late or never.
#include <stdlib.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "server_world.h"

namespace {

using namespace sio;
using namespace sio::bridge;
using namespace sio::bridge::test;

constexpr std::string_view greeting = "{\"sio\":\"admin\",\"major\":1,\"minor\":0}\n";

class World {
public:
    World() : loop(std::move(*net::Loop::create())), turner(loop), server(std::in_place, loop, host, "bridge-1") {
        char name[] = "/tmp/sio-bridge-unit-XXXXXX";
        cr_assert(mkdtemp(name) != nullptr);
        folder = name;
        const auto listening = server->listen(path());
        cr_assert(listening.has_value(), "%s", listening.error().what.c_str());
    }
    ~World() { std::filesystem::remove_all(folder); }
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    [[nodiscard]] std::string path() const { return folder + "/bridge.sock"; }

    Peer connect() const {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path().c_str(), sizeof address.sun_path - 1);
        const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
        cr_assert(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        return Peer(fd);
    }
    Peer greeted() {
        Peer peer = connect();
        peer.say(greeting);
        cr_assert(turner.until([&] { return peer.heard().ends_with('\n'); }));
        peer.clear();
        return peer;
    }
    /// What is answered to one line.
    std::string ask(Peer& peer, const std::string& line) {
        peer.clear();
        peer.say(line + "\n");
        cr_assert(turner.until([&] { return peer.heard().ends_with('\n'); }), "no answer to %s", line.c_str());
        std::string answer = peer.heard();
        answer.pop_back();
        return answer;
    }

    net::Loop loop;
    Turner turner;
    FakeHost host;
    std::optional<ControlServer> server;
    std::string folder;
};

std::string code_of(const std::string& answer) {
    const std::size_t at = answer.find("\"code\":\"");
    return at == std::string::npos ? answer : answer.substr(at + 8, answer.find('"', at + 8) - at - 8);
}

}  // namespace

Test(bridge_control, it_greets_as_sio_bridge_and_wants_to_be_greeted) {
    World world;
    Peer peer = world.connect();
    cr_assert(world.turner.until([&] { return peer.heard().ends_with('\n'); }));
    cr_expect(peer.heard().find("\"program\":\"sio-bridge\"") != std::string::npos &&
              peer.heard().find("\"node\":\"bridge-1\"") != std::string::npos);
    peer.clear();
    peer.say("{\"id\":1,\"cmd\":\"health\"}\n");
    cr_assert(world.turner.until([&] { return peer.is_closed(); }));
    cr_expect(code_of(peer.heard()) == "malformed" && world.host.calls.empty());
    Peer other = world.connect();
    other.say("{\"sio\":\"admin\",\"major\":2,\"minor\":0}\n");
    cr_assert(world.turner.until([&] { return other.is_closed(); }));
    cr_expect(code_of(other.heard()) == "unsupported");
}

Test(bridge_control, commands_reach_the_host_with_what_they_say) {
    World world;
    Peer peer = world.greeted();
    cr_expect(world.ask(peer, R"({"id":7,"cmd":"health"})") == R"({"id":7,"ok":true,"a":1})");
    world.ask(peer, R"({"id":8,"cmd":"partitions"})");
    world.ask(peer, R"({"id":9,"cmd":"reload"})");
    world.ask(peer, R"({"id":10,"cmd":"trace","topic":"a.b","partition":3,"offset":9223372036854775807})");
    world.ask(peer, R"({"id":11,"cmd":"dlq_list"})");
    world.ask(peer, R"({"id":11,"cmd":"dlq_list","limit":10000})");
    world.ask(peer, R"({"id":12,"cmd":"dlq_replay"})");
    world.ask(peer, R"({"id":13,"cmd":"dlq_replay","records":["0/1","2147483647/3"],"again":true})");
    const std::vector<std::string> expected{
        "health",       "partitions",     "reload",     "trace a.b/3/9223372036854775807",
        "dlq_list 100", "dlq_list 10000", "dlq_replay", "dlq_replay 0/1 2147483647/3 again"};
    cr_expect(world.host.calls == expected);
}

Test(bridge_control, a_replay_of_no_records_is_not_one_of_all) {
    World world;
    Peer peer = world.greeted();
    cr_expect(world.ask(peer, R"({"id":1,"cmd":"dlq_replay","records":[]})") == R"({"id":1,"ok":true,"results":[]})");
    cr_expect(world.host.calls.empty());
}

Test(bridge_control, a_record_to_be_produced_keeps_its_bytes) {
    World world;
    Peer peer = world.greeted();
    world.ask(peer, R"({"id":1,"cmd":"produce","topic":"t","partition":2,"key":"k\u00e9","value":"v\n",)"
                    R"("headers":{"a":"1","a":"2"}})");
    const ProduceRequest& got = world.host.produced;
    cr_expect(got.topic == "t" && got.partition == 2 && got.key == "ké" && got.value == "v\n");
    const decltype(got.headers) headers{{"a", "1"}, {"a", "2"}};
    cr_expect(got.headers == headers);
    world.ask(peer, R"({"id":2,"cmd":"produce","topic":"t","value_base64":"AP8="})");
    cr_expect(got.value == std::string("\0\xff", 2) && !got.key && !got.partition && got.headers.empty());
    world.ask(peer, R"({"id":3,"cmd":"produce","topic":"t","value":null})");
    cr_expect(!got.value, "a tombstone");
    world.ask(peer, R"({"id":4,"cmd":"produce","topic":"t","value":""})");
    cr_expect(got.value == "");
}

Test(bridge_control, wrong_requests_are_refused_and_do_not_reach_the_host) {
    World world;
    Peer peer = world.greeted();
    const std::string long_topic(250, 'a');
    for (const std::string& line : {
             std::string(R"({"id":1,"cmd":"produce"})"),
             std::string(R"({"id":1,"cmd":"produce","topic":""})"),
             std::string(R"({"id":1,"cmd":"produce","topic":"a/b"})"),
             std::string(R"({"id":1,"cmd":"produce","topic":".."})"),
             R"({"id":1,"cmd":"produce","topic":")" + long_topic + "\"}",
             std::string(R"({"id":1,"cmd":"produce","topic":1})"),
             std::string(R"({"id":1,"cmd":"produce","topic":"t","value":{}})"),
             std::string(R"({"id":1,"cmd":"produce","topic":"t","value":"a","value_base64":"YQ=="})"),
             std::string(R"({"id":1,"cmd":"produce","topic":"t","value_base64":"?"})"),
             std::string(R"({"id":1,"cmd":"produce","topic":"t","partition":-1})"),
             std::string(R"({"id":1,"cmd":"produce","topic":"t","partition":2147483648})"),
             std::string(R"({"id":1,"cmd":"produce","topic":"t","headers":["a"]})"),
             std::string(R"({"id":1,"cmd":"produce","topic":"t","headers":{"a":1}})"),
             std::string(R"({"id":1,"cmd":"trace","topic":"t","partition":0})"),
             std::string(R"({"id":1,"cmd":"trace","topic":"t","partition":0,"offset":1.5})"),
             std::string(R"({"id":1,"cmd":"dlq_list","limit":0})"),
             std::string(R"({"id":1,"cmd":"dlq_list","limit":10001})"),
             std::string(R"({"id":1,"cmd":"dlq_replay","records":"0/1"})"),
             std::string(R"({"id":1,"cmd":"dlq_replay","records":["1"]})"),
             std::string(R"({"id":1,"cmd":"dlq_replay","records":["0/-1"]})"),
             std::string(R"({"id":1,"cmd":"dlq_replay","again":1})"),
             std::string("{\"id\":1"),
         }) {
        cr_expect(code_of(world.ask(peer, line)) == "malformed", "%s", line.c_str());
    }
    cr_expect(code_of(world.ask(peer, R"({"id":1,"cmd":"flush"})")) == "unknown_command");
    std::string many = R"({"id":1,"cmd":"produce","topic":"t","headers":{)";
    for (int i = 0; i < 101; ++i) many += (i == 0 ? "" : ",") + ("\"h" + std::to_string(i) + "\":\"\"");
    cr_expect(code_of(world.ask(peer, many + "}}")) == "too_large");
    cr_expect(world.host.calls.empty());
    cr_expect(code_of(world.ask(peer, R"({"id":1,"cmd":"health"})")).ends_with("\"a\":1}"), "it goes on");
}

Test(bridge_control, errors_of_the_host_have_codes_of_the_protocol) {
    World world;
    Peer peer = world.greeted();
    const std::pair<Errc, const char*> codes[] = {{Errc::malformed, "malformed"},     {Errc::too_large, "too_large"},
                                                  {Errc::not_found, "not_found"},     {Errc::denied, "denied"},
                                                  {Errc::unavailable, "unavailable"}, {Errc::io, "unavailable"},
                                                  {Errc::usage, "malformed"},         {Errc::config, "config"}};
    for (const auto& [code, word] : codes) {
        world.host.error = Error{code, "no"};
        cr_expect(code_of(world.ask(peer, R"({"id":1,"cmd":"reload"})")) == word, "%s", word);
    }
}

Test(bridge_control, answers_may_come_late_in_any_order_and_twice_is_once) {
    World world;
    world.host.keeps_open = true;
    Peer peer = world.greeted();
    peer.say("{\"id\":1,\"cmd\":\"health\"}\n{\"id\":2,\"cmd\":\"health\"}\n");
    cr_assert(world.turner.until([&] { return world.host.open.size() == 2; }));
    world.host.open[1](std::string("\"second\":true"));
    world.host.open[0](std::string("\"first\":true"));
    world.host.open[0](std::string("\"again\":true"));
    world.turner.run(50);
    cr_expect(peer.heard() == "{\"id\":2,\"ok\":true,\"second\":true}\n{\"id\":1,\"ok\":true,\"first\":true}\n");
}

Test(bridge_control, an_answer_that_the_host_forgets_is_an_error_and_one_to_nobody_is_nothing) {
    World world;
    world.host.keeps_open = true;
    Peer peer = world.greeted();
    peer.say("{\"id\":1,\"cmd\":\"health\"}\n{\"id\":2,\"cmd\":\"health\"}\n");
    cr_assert(world.turner.until([&] { return world.host.open.size() == 2; }));
    world.host.open.erase(world.host.open.begin());
    cr_assert(world.turner.until([&] { return !peer.heard().empty(); }));
    cr_expect(code_of(peer.heard()) == "unavailable");
    peer.shut();
    world.turner.run(50);
    world.host.open[0](std::string("\"a\":1"));

    Peer other = world.greeted();
    other.say("{\"id\":3,\"cmd\":\"health\"}\n");
    cr_assert(world.turner.until([&] { return world.host.open.size() == 2; }));
    world.server.reset();
    world.host.open[1](std::string("\"a\":1"));  // the server has gone
    world.host.open.clear();
}

Test(bridge_control, a_client_has_at_most_a_thousand_questions_open) {
    World world;
    world.host.keeps_open = true;
    Peer peer = world.greeted();
    std::string lines;
    for (int i = 0; i < 1001; ++i) lines += "{\"id\":" + std::to_string(i) + ",\"cmd\":\"health\"}\n";
    peer.say(lines);
    cr_assert(world.turner.until([&] { return !peer.heard().empty(); }));
    cr_expect(code_of(peer.heard()) == "busy" && world.host.open.size() == 1000);
    world.host.open.pop_back();
    world.turner.run(20);
    peer.clear();
    peer.say("{\"id\":1,\"cmd\":\"health\"}\n");
    cr_expect(world.turner.until([&] { return world.host.open.size() == 1000; }), "one has been answered");
}

Test(bridge_control, an_answer_that_is_no_line_is_refused) {
    World world;
    world.host.members = "\"a\":\"" + std::string(9U << 20U, 'x') + "\"";
    Peer peer = world.greeted();
    cr_expect(code_of(world.ask(peer, R"({"id":1,"cmd":"partitions"})")) == "too_large");
}

Test(bridge_control, a_client_that_does_not_read_is_cut_off_and_the_others_go_on) {
    World world;
    world.host.members = "\"a\":\"" + std::string(4U << 20U, 'x') + "\"";
    Peer peer = world.greeted();
    for (int i = 0; i < 12; ++i) peer.say("{\"id\":1,\"cmd\":\"partitions\"}\n");
    world.turner.run(300);
    world.host.members = "\"a\":1";
    Peer other = world.greeted();
    cr_expect(code_of(world.ask(other, R"({"id":1,"cmd":"health"})")).ends_with("\"a\":1}"));
    cr_expect(world.turner.until([&] { return peer.is_closed(); }));
}

Test(bridge_control, more_than_256_clients_are_told_busy) {
    World world;
    std::vector<Peer> peers;
    for (int i = 0; i < 256; ++i) {
        peers.push_back(world.connect());
        if (i % 64 == 63) world.turner.run(10);  // more than the system lets wait unaccepted
    }
    Peer last = world.connect();
    cr_assert(world.turner.until([&] { return last.is_closed(); }));
    cr_expect(code_of(last.heard()) == "busy");
    peers.pop_back();
    world.turner.run(50);
    world.greeted();
}

Test(bridge_control, the_socket_file_goes_with_listening) {
    World world;
    Peer peer = world.greeted();
    world.server->stop_listening();
    cr_expect(!std::filesystem::exists(world.path()));
    cr_expect(world.ask(peer, R"({"id":1,"cmd":"health"})") == R"({"id":1,"ok":true,"a":1})", "connections go on");
}
