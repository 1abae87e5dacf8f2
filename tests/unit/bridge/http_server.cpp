// bridge/server.h, HttpServer: what is answered, and what a stranger can cost.
#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "net/listener.h"
#include "server_world.h"

namespace {

using namespace sio;
using namespace sio::bridge;
using namespace sio::bridge::test;

class World {
public:
    World() : loop(std::move(*net::Loop::create())), turner(loop), server(loop, host) {
        // A port that was free a moment ago.
        for (int i = 0; i < 20 && port == 0; ++i) {
            std::uint16_t free = 0;
            {
                const auto probe = net::listen_tcp("127.0.0.1", 0);
                cr_assert(probe.has_value());
                free = net::local_port(probe->get());
            }
            if (server.listen("127.0.0.1:" + std::to_string(free))) port = free;
        }
        cr_assert(port != 0);
    }
    Peer connect() const {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
        cr_assert(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        return Peer(fd);
    }
    /// All that is answered on a connection of its own before that is closed, or for 100 ms.
    std::string ask(std::string_view request) {
        Peer peer = connect();
        peer.say(request);
        turner.until([&] { return peer.is_closed(); }, 100);
        return peer.heard();
    }
    std::string get(const std::string& path) {
        return ask("GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    }

    net::Loop loop;
    Turner turner;
    FakeHost host;
    HttpServer server;
    std::uint16_t port = 0;
};

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

std::size_t count(const std::string& text, std::string_view part) {
    std::size_t found = 0;
    for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++found;
    return found;
}

}  // namespace

Test(bridge_http, the_four_paths_are_answered) {
    World world;
    const std::string metrics = world.get("/metrics");
    cr_expect(metrics.starts_with("HTTP/1.1 200 OK\r\n") && metrics.ends_with("\r\n\r\nsio_bridge_x 1\n"));
    cr_expect(has(metrics, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    cr_expect(has(metrics, "Content-Length: 15\r\n") && has(metrics, "Connection: close\r\n"));
    cr_expect(world.get("/health?x=1").ends_with("\r\n\r\n{\"status\":\"ok\"}"));
    cr_expect(world.get("/live").starts_with("HTTP/1.1 200 "));
    cr_expect(world.get("/ready").starts_with("HTTP/1.1 200 "));
    world.host.ready = false;
    const std::string unready = world.get("/ready");
    cr_expect(unready.starts_with("HTTP/1.1 503 ") && unready.ends_with("{\"status\":\"ok\"}"));
    cr_expect(world.get("/health").starts_with("HTTP/1.1 200 ") && world.get("/live").starts_with("HTTP/1.1 200 "));
}

Test(bridge_http, head_is_get_without_the_body) {
    World world;
    const std::string answer = world.ask("HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    cr_expect(has(answer, "Content-Length: 15\r\n") && answer.ends_with("\r\n\r\n"));
}

Test(bridge_http, all_else_is_refused) {
    World world;
    cr_expect(world.get("/").starts_with("HTTP/1.1 404 ") && world.get("/metricss").starts_with("HTTP/1.1 404 "));
    const std::string post = world.ask("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
    cr_expect(post.starts_with("HTTP/1.1 405 ") && has(post, "Allow: GET, HEAD\r\n") && has(post, "Connection: close"));
    cr_expect(world.ask("GET /live HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}").starts_with("HTTP/1.1 413 "));
    cr_expect(world.ask("GET /live HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400 "), "no Host");
    cr_expect(world.ask("GET /live\r\n\r\n").starts_with("HTTP/1.1 400 "));
    cr_expect(world.ask("GET /live HTTP/2.0\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 505 "));
    const std::string large = "GET /live HTTP/1.1\r\nHost: x\r\nA: " + std::string(9000, 'a');
    cr_expect(world.ask(large + "\r\n\r\n").starts_with("HTTP/1.1 431 "));
    cr_expect(world.ask(large).starts_with("HTTP/1.1 431 "), "an endless head");
}

Test(bridge_http, a_connection_is_kept_and_requests_may_come_in_pieces_or_together) {
    World world;
    Peer peer = world.connect();
    peer.say("GET /live HT");
    world.turner.run(20);
    peer.say(
        "TP/1.1\r\nHost: x\r\n\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /none HTTP/1.1\r\nHost: x\r\n\r\n");
    cr_assert(world.turner.until([&] { return count(peer.heard(), "HTTP/1.1 ") == 3; }));
    cr_expect(count(peer.heard(), "Connection: keep-alive\r\n") == 3 && !peer.is_closed());
    const std::string old = world.ask("GET /live HTTP/1.0\r\n\r\n");
    cr_expect(old.starts_with("HTTP/1.1 200 ") && has(old, "Connection: close\r\n"));
}

Test(bridge_http, a_connection_ends_after_a_hundred_requests) {
    World world;
    std::string requests;
    for (int i = 0; i < 150; ++i) requests += "GET /live HTTP/1.1\r\nHost: x\r\n\r\n";
    Peer peer = world.connect();
    peer.say(requests);
    world.turner.until([&] { return peer.is_closed(); }, 500);
    cr_expect(count(peer.heard(), "HTTP/1.1 200 ") == 100 && count(peer.heard(), "Connection: close\r\n") == 1);
}

Test(bridge_http, a_client_that_does_not_read_costs_one_answer_and_gets_all_of_it_later) {
    World world;
    world.host.metrics = std::string(8U << 20U, 'm');
    Peer peer = world.connect();
    for (int i = 0; i < 3; ++i) peer.say("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    world.turner.run(50);
    cr_expect(world.get("/live").starts_with("HTTP/1.1 200 "), "others are answered meanwhile");
    cr_expect(world.turner.until([&] { return peer.heard().size() > 3 * (8U << 20U); }, 5000));
    cr_expect(count(peer.heard(), "HTTP/1.1 200 ") == 3);
}

Test(bridge_http, the_65th_connection_is_closed) {
    World world;
    std::vector<Peer> peers;
    for (int i = 0; i < 64; ++i) peers.push_back(world.connect());
    world.turner.run(50);
    Peer last = world.connect();
    cr_expect(world.turner.until([&] { return last.is_closed(); }));
    peers.pop_back();
    world.turner.run(50);
    cr_expect(world.get("/live").starts_with("HTTP/1.1 200 "));
}

Test(bridge_http, a_request_has_ten_seconds, .timeout = 30) {
    World world;
    Peer silent = world.connect();
    Peer slow = world.connect();
    slow.say("GET /live HTTP/1.1\r\nHost: ");
    const auto begin = world.loop.now();
    cr_expect(
        world.turner.until([&] { return silent.is_closed() && count(slow.heard(), "HTTP/1.1 408 ") == 1; }, 12'000));
    cr_expect(world.loop.now() - begin >= 9'500);
    cr_expect(silent.heard().empty());
}

Test(bridge_http, an_address_must_be_one_and_free) {
    World world;
    cr_expect(world.server.listen("localhost:1").error().code == Errc::config);
    FakeHost host;
    HttpServer other(world.loop, host);
    cr_expect(other.listen("127.0.0.1:" + std::to_string(world.port)).error().code == Errc::io);
}
