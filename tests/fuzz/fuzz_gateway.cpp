// Whatever clients send, in whatever pieces, order and time, engine, hub and routes keep their books: who is where is
// written down alike wherever it is written down, what waits adds up, the loop comes to rest, and when all have left
// nothing of them is left.
//
// The input is a script of one-byte calls, each for one of eight clients (bits 0-2), most with operands behind them.
// The clients are socket pairs; the time is the script's. See Play::step() for the calls.
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/unique_fd.h"
#include "check.h"
#include "gateway/engine.h"
#include "gateway/hub.h"
#include "gateway/route_runner.h"
#include "net/loop.h"
#include "proto/ws_frame.h"
#include "routes/routes.h"

namespace {

using namespace sio;
using namespace sio::gateway;
using Slot = Outbox::Slot;

constexpr std::string_view routes_text = R"({
  "version": 1,
  "namespaces": {
    "/": {
      "on_connect": [{"emit": "hello", "args": ["{socket.id}"]}, {"join": "lobby"}],
      "on_disconnect": [{"emit": "left", "args": ["{socket.id}"], "to": {"room": "lobby"}}],
      "events": {
        "echo": [{"emit": "echo", "args": "{event.args}"}],
        "ack": [{"ack": "{event.args}"}],
        "all": [{"emit": "all", "args": "{event.args}", "to": "all"}],
        "volatile": [{"emit": "v", "args": "{event.args}", "to": "all", "volatile": true}],
        "join": [{"join": "{event.0}", "allow": "anyone"}, {"ack": [true]}],
        "leave": [{"leave": "{event.0}"}, {"ack": [false]}],
        "say": [{"emit": "said", "args": ["{event.1}"], "to": {"room": "{event.0}"}, "allow": "member"}],
        "ask": [{"ask": "q", "args": "{event.args}", "timeout": "5s"}, {"emit": "answered", "args": "{answer.args}"}],
        "later": [{"emit": "late", "to": "all", "after": "2s"}, {"join": "late", "allow": "anyone", "after": "3s"}],
        "go": [{"disconnect": "namespace"}],
        "kick": [{"disconnect": "client"}],
        "drop": [{"disconnect": "transport"}]
      }
    },
    "/d-*": {
      "on_connect": [{"emit": "hello"}],
      "events": {"all": [{"emit": "all", "args": "{event.args}", "to": "all"}], "join": [{"join": "{event.0}", "allow": "anyone"}]}
    },
    "/no": {"refuse": {"message": "no"}}
  }
})";

/// Packets that stock clients send, without the `4` in front; `@` is the number of the call's operand.
constexpr std::string_view packets[] = {
    "0",
    "0{\"token\":\"u@\"}",
    "0/d-@,",
    "0/no,",
    "0/none,",
    "1",
    "1/d-@,",
    "2[\"echo\",1,\"x\"]",
    "2@[\"ack\",{\"a\":[1,2]}]",
    "2[\"all\",\"to everybody\"]",
    "2[\"volatile\",1]",
    "2@[\"join\",\"r@\"]",
    "2@[\"leave\",\"r@\"]",
    "2[\"say\",\"r@\",\"hi\"]",
    "2[\"ask\",1]",
    "3@[\"answer\"]",
    "2[\"later\"]",
    "2[\"go\"]",
    "2[\"kick\"]",
    "2[\"drop\"]",
    "51-[\"echo\",{\"_placeholder\":true,\"num\":0}]",
    "52-@[\"ack\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]",
    "51-[\"all\",{\"_placeholder\":true,\"num\":0}]",
    "61-@[{\"_placeholder\":true,\"num\":0}]",
    "2/d-@,[\"all\",1]",
    "2/d-@,[\"join\",\"r\"]",
    "2[\"join\",[\"a\",\"b\",\"c@\"]]",
    "2[\"none\"]",
};

constexpr Millis start_time = 1'000'000;
constexpr std::size_t max_calls = 400;
constexpr std::size_t max_turns = 5'000;  // in which the loop comes to rest

class NoTap final : public EventTap {
public:
    void on_client_event(const Socket&, const proto::SioPacket&) override {}
    void on_lifecycle(const Socket&, std::string_view, std::string_view) override {}
    [[nodiscard]] bool has_handler(std::string_view, std::string_view) const override { return false; }
    bool hand(const Socket&, std::string_view, std::string_view, std::string_view, std::span<const std::string>, bool,
              Millis, std::function<void(HandAnswer)>) override {
        return false;
    }
};

std::shared_ptr<const routes::Routes> load_routes() {
    auto parsed = routes::parse_routes(routes_text, "routes.json");
    if (!parsed) std::fprintf(stderr, "%s\n", parsed.error().what.c_str());
    FUZZ_CHECK(parsed.has_value());
    return std::make_shared<const routes::Routes>(std::move(*parsed));
}

HubOptions hub_options(std::uint8_t choice) {
    HubOptions options;
    options.recovery = (choice & 1U) != 0 ? RecoveryMode::on : RecoveryMode::automatic;
    options.recovery_window = 20'000;
    options.recovery_bytes = (choice & 2U) != 0 ? 4'000 : 1U << 20U;
    options.connect_timeout = 10'000;
    options.rate_limit = (choice & 4U) != 0 ? 5 : 0;
    options.auth = (choice & 8U) != 0 ? AuthMode::dev : AuthMode::none;
    options.max_payload = 20'000;
    return options;
}

EngineOptions engine_options(std::uint8_t choice) {
    EngineOptions options;
    options.path = "/socket.io/";
    options.times = {5'000, 4'000, 2'000};
    options.max_payload = 20'000;
    options.queue_bytes = (choice & 16U) != 0 ? 2'000 : 200'000;
    options.queue_policy = static_cast<QueuePolicy>((choice >> 5U) % 3);
    options.max_connections = 12;
    options.compression_threshold = 500;
    options.accounts.client = 300'000;
    options.accounts.address = 600'000;
    return options;
}

/// The gateway without its surroundings: what it does with clients.
class World final : public HubHandlers {
public:
    explicit World(std::uint8_t choice)
        : hub(hub_options(choice), *this), engine(loop, engine_options(choice), std::move(*Cors::create({})), hub) {
        static const auto routes = load_routes();
        runner.set_routes(routes);
        runner.start(hub, tap);
        hub.start(engine);
    }

    Admission admit(std::string_view nsp, const Session* session, std::string_view auth,
                    std::string_view user) override {
        return runner.admit(nsp, session, auth, user);
    }
    void on_connect(Socket& socket) override { runner.on_connect(socket); }
    void on_event(Socket& socket, const proto::SioPacket& packet) override { runner.on_event(socket, packet); }
    void on_disconnect(Socket& socket, std::string_view reason) override { runner.on_disconnect(socket, reason); }
    std::optional<Millis> limited(const Socket&) override { return std::nullopt; }
    bool on_http(const proto::HttpHead&, HttpAnswer&) override { return false; }

    net::Loop loop = std::move(*net::Loop::create_at(start_time));
    NoTap tap;
    RouteRunner runner;
    Hub hub;
    Engine engine;
};

/// A client's end of a socket pair, and what it has been told.
struct Peer {
    base::UniqueFd fd;
    std::string sid;
    std::string pid;
    std::string offset;
    std::string seen;  // the end of what came

    [[nodiscard]] bool is_open() const noexcept { return static_cast<bool>(fd); }

    void send(std::string_view bytes) {
        if (fd) (void)!::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    void send_frame(std::uint8_t first, std::string_view payload) {
        std::string frame(1, static_cast<char>(first));
        if (payload.size() < 126) {
            frame += static_cast<char>(0x80U | payload.size());
        } else {
            frame += static_cast<char>(0x80U | 126U);
            frame += static_cast<char>(payload.size() >> 8U);
            frame += static_cast<char>(payload.size() & 0xffU);
        }
        frame.append(4, '\0');
        frame += payload;
        send(frame);
    }
    void read() {
        if (!fd) return;
        char buffer[16384];
        for (;;) {
            const ssize_t n = ::recv(fd.get(), buffer, sizeof buffer, MSG_DONTWAIT);
            if (n <= 0) break;
            seen.append(buffer, static_cast<std::size_t>(n));
            find("\"sid\":\"", sid);
            find("\"pid\":\"", pid);
            if (seen.size() > 4096) seen.erase(0, seen.size() - 2048);
        }
    }

private:
    void find(std::string_view key, std::string& value) const {
        const std::size_t at = seen.rfind(key);
        if (at == std::string::npos) return;
        const std::size_t end = seen.find('"', at + key.size());
        if (end == std::string::npos) return;
        const std::string found = seen.substr(at + key.size(), end - at - key.size());
        // The first sid is the session's; those of namespaces come behind CONNECT.
        if (&value == &sid && !sid.empty() && seen.find("\"upgrades\"", at) == std::string::npos) return;
        value = found;
    }
};

class Play {
public:
    Play(std::uint8_t choice, std::string_view script) : world_(choice), script_(script) {}

    void run() {
        for (std::size_t i = 0; i < max_calls && !script_.empty(); ++i) {
            step();
            check_books();
        }
        leave();
    }

private:
    std::uint8_t byte() {
        if (script_.empty()) return 0;
        const auto value = static_cast<std::uint8_t>(script_.front());
        script_.remove_prefix(1);
        return value;
    }
    std::string_view bytes() {
        const std::size_t size = std::min<std::size_t>(byte(), script_.size());
        const std::string_view taken = script_.substr(0, size);
        script_.remove_prefix(size);
        return taken;
    }
    /// One of `packets` with its number put in.
    std::string packet() {
        const std::string_view form = packets[byte() % std::size(packets)];
        const std::string number = std::to_string(byte() % 5);
        std::string text;
        for (const char c : form) c == '@' ? text += number : text += c;
        return text;
    }

    void step() {
        const std::uint8_t call = byte();
        Peer& peer = peers_[call & 7U];
        switch (call >> 3U) {
            case 0: open(peer, byte()); break;
            case 1: peer.send(bytes()); break;
            case 2: upgrade(peer, byte()); break;
            case 3: poll(peer); break;
            case 4: post(peer, std::string(bytes())); break;
            case 5: peer.send_frame(0x81, bytes()); break;
            case 6: peer.send_frame(0x82, bytes()); break;
            case 7: {
                const std::uint8_t first = byte();
                peer.send_frame(first, bytes());
                break;
            }
            case 8: peer.send_frame(0x81, "4" + packet()); break;
            case 9: {
                std::string body = "4" + packet();
                for (std::uint8_t more = byte() % 4; more > 0; --more)
                    body +=
                        "\x1e"
                        "4" +
                        packet();
                post(peer, body);
                break;
            }
            case 10: peer.read(); return;
            case 11: peer = Peer{}; break;
            case 12:
                if (peer.is_open()) ::shutdown(peer.fd.get(), SHUT_WR);
                break;
            case 13: {
                const Millis units = byte();
                pass(units * units);
                return;
            }
            case 14: reconnect(peer, byte()); break;
            case 15: act(byte()); break;
            case 16: {  // many of one packet: what limits and queues are for
                const std::string text = "4" + packet();
                for (std::uint8_t more = byte(); more > 0; --more) peer.send_frame(0x81, text);
                break;
            }
            case 17:
                peer.send_frame(0x81, "42[\"echo\",\"" + std::string(std::size_t{byte()} * 64, 'e') + "\"]");
                break;
            case 18: peer.send_frame(0x81, "2probe"); break;
            case 19: peer.send_frame(0x81, "5"); break;
            case 20: peer.send_frame(0x81, "3"); break;
            case 21: post(peer, "3"); break;
            case 22: return;  // what is sent next comes in the same turn
            default: peer.read(); break;
        }
        turn();
    }

    void open(Peer& peer, std::uint8_t choice) {
        peer = Peer{};
        int pair[2];
        FUZZ_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
        const int small = 4096;
        ::setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        peer.fd = base::UniqueFd(pair[1]);
        const std::string address = "192.0.2." + std::to_string(1 + choice % 3);
        world_.engine.adopt(base::UniqueFd(pair[0]), net::Address::from(address), {}, (choice & 8U) != 0);
        if ((choice & 16U) != 0) upgrade(peer, static_cast<std::uint8_t>(choice >> 5U));
    }

    /// Bits 0-1: of no session, of its own, of a neighbour's; bit 2: base64.
    void upgrade(Peer& peer, std::uint8_t choice) {
        std::string query = "/socket.io/?EIO=4&transport=websocket";
        if ((choice & 3U) == 1) query += "&sid=" + peer.sid;
        if ((choice & 3U) == 2) query += "&sid=" + peers_[choice >> 5U].sid;
        if ((choice & 4U) != 0) query += "&b64=1";
        peer.send("GET " + query +
                  " HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUser-Agent: Mozilla/5.0\r\n"
                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    }
    void poll(Peer& peer) {
        const std::string sid = peer.sid.empty() ? "" : "&sid=" + peer.sid;
        peer.send("GET /socket.io/?EIO=4&transport=polling" + sid +
                  " HTTP/1.1\r\nHost: h\r\nUser-Agent: Mozilla/5.0\r\nAccept-Encoding: gzip\r\n\r\n");
    }
    void post(Peer& peer, const std::string& body) {
        peer.send("POST /socket.io/?EIO=4&transport=polling&sid=" + peer.sid +
                  " HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    }
    /// The client comes back with what it knows of its last connection.
    void reconnect(Peer& peer, std::uint8_t choice) {
        const std::string pid = peers_[choice & 7U].pid;
        open(peer, static_cast<std::uint8_t>(16U | (choice >> 3U)));
        const std::size_t dot = pid.find('.');
        const std::string offset = dot == std::string::npos ? "" : pid.substr(dot + 1);
        peer.send_frame(0x81, "40{\"pid\":\"" + pid + "\",\"offset\":\"" + offset + "\"}");
    }

    /// What an operator or an application does to clients.
    void act(std::uint8_t choice) {
        Hub& hub = world_.hub;
        Namespace* nsp = hub.find_namespace("/");
        FUZZ_CHECK(nsp != nullptr);
        Selection some;
        if ((choice & 8U) != 0) some.rooms = {"r1", "lobby"};
        if ((choice & 16U) != 0) some.except = {"r2"};
        Socket* one =
            nsp->everyone.empty() ? nullptr : hub.socket_in(nsp->everyone[choice % nsp->everyone.size()], *nsp);
        switch (choice & 7U) {
            case 0: hub.emit(*nsp, some, {"\"news\"", "1,2"}); break;
            case 1: hub.emit(*nsp, some, {"\"news\"", "3"}, true); break;
            case 2: {
                ++asked_;
                hub.ask(*nsp, some, {"\"q\"", ""}, 3'000, [this](Answers) { ++answered_; });
                break;
            }
            case 3:
                if (one != nullptr) hub.disconnect(*one, (choice & 32U) != 0);
                break;
            case 4:
                if (one != nullptr) hub.drop_transport(*one);
                break;
            case 5:
                if (one != nullptr) hub.join(*one, (choice & 32U) != 0 ? "r1" : "r3");
                break;
            case 6:
                if (one != nullptr) hub.leave(*one, "r1");
                break;
            case 7:
                if (one != nullptr) hub.send_back(*one);
                break;
        }
    }

    void turn() {
        std::size_t turns = 1;
        while (world_.loop.turn(0)) FUZZ_CHECK(++turns < max_turns);
        world_.loop.turn(0);
    }
    /// Time passes in steps, so that what is due happens about when it is due.
    void pass(Millis time) {
        constexpr Millis step = 500;
        for (; time > 0; time -= step) {
            now_ += std::min(time, step);
            world_.loop.set_time(now_);
            turn();
        }
    }

    void check_books() {
        Hub& hub = world_.hub;
        Engine& engine = world_.engine;
        std::size_t sockets = 0;
        for (const auto& [name, nsp] : hub.namespaces()) {
            FUZZ_CHECK(nsp->name == name);
            FUZZ_CHECK(nsp->by_id.size() == nsp->everyone.size());
            FUZZ_CHECK(nsp->by_secret.size() <= nsp->everyone.size());
            sockets += nsp->everyone.size();
            std::size_t seats = 0;
            for (std::size_t i = 0; i < nsp->everyone.size(); ++i) {
                const Socket* socket = hub.socket_in(nsp->everyone[i], *nsp);
                FUZZ_CHECK(socket != nullptr && socket->nsp == nsp.get() && socket->index_in_namespace == i);
                FUZZ_CHECK(engine.session(socket->slot) != nullptr);
                FUZZ_CHECK(hub.find_socket(*nsp, socket->id) == socket);
                seats += socket->seats.size();
                for (std::size_t k = 0; k < socket->seats.size(); ++k) {
                    const Socket::Seat& seat = socket->seats[k];
                    FUZZ_CHECK(seat.index < seat.room->members.size() &&
                               seat.room->members[seat.index] == socket->slot);
                    const auto room = nsp->rooms.find(seat.room->name);
                    FUZZ_CHECK(room != nsp->rooms.end() && room->second.get() == seat.room);
                }
            }
            std::size_t members = 0;
            for (const auto& [room_name, room] : nsp->rooms) {
                FUZZ_CHECK(room->name == room_name && !room->members.empty());
                members += room->members.size();
            }
            FUZZ_CHECK(members == seats);
        }
        FUZZ_CHECK(sockets == hub.socket_count());
        FUZZ_CHECK(hub.sockets_behind() <= sockets);
        FUZZ_CHECK(hub.recovery_budget().used <= hub.recovery_budget().limit + 20'000);
        FUZZ_CHECK(answered_ <= asked_);

        std::size_t sessions = 0;
        std::uint64_t waiting = 0;
        for (Slot slot = 0; slot < engine.slot_end(); ++slot) {
            if (engine.session(slot) == nullptr) continue;
            ++sessions;
            waiting += engine.outbox().bytes(slot);
        }
        FUZZ_CHECK(sessions <= engine.session_count());
        FUZZ_CHECK(engine.session_count() <= engine.options().max_connections);
        FUZZ_CHECK(engine.connection_count() <= engine.options().max_connections);
        FUZZ_CHECK(waiting <= engine.outbox().bytes_waiting());
    }

    /// All go, the longest of all times passes, and nothing of them is left.
    void leave() {
        for (Peer& peer : peers_) peer = Peer{};
        turn();
        pass(120'000);
        check_books();
        FUZZ_CHECK(world_.engine.connection_count() == 0);
        FUZZ_CHECK(world_.engine.session_count() == 0);
        FUZZ_CHECK(world_.engine.outbox().bytes_waiting() == 0);
        FUZZ_CHECK(world_.engine.accounts().total() == 0);
        FUZZ_CHECK(world_.hub.socket_count() == 0);
        FUZZ_CHECK(world_.hub.questions() == 0 && answered_ == asked_);
        FUZZ_CHECK(world_.hub.room_count() == 0);
        FUZZ_CHECK(world_.runner.lists_waiting() == 0);
        for (const auto& [name, nsp] : world_.hub.namespaces()) FUZZ_CHECK(!nsp->is_dynamic);
    }

    World world_;
    std::string_view script_;
    std::array<Peer, 8> peers_;
    Millis now_ = start_time;
    std::size_t asked_ = 0;
    std::size_t answered_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const bool is_quiet = [] { return log::set_level(log::Level::fatal), true; }();
    if (!is_quiet || size == 0 || size > 4096) return 0;
    Play(data[0], fuzz::as_text(data + 1, size - 1)).run();
    FUZZ_CHECK(FrameRef::alive() == 0);
    return 0;
}
