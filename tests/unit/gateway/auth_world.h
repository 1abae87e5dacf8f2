// A hub on a port of its own, a daemon that says what the test tells it to, and clients: all on one loop.
#pragma once

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/log.h"
#include "base/unique_fd.h"
#include "gateway/authority.h"
#include "gateway/engine.h"
#include "gateway/hub.h"
#include "gateway/passes.h"
#include "net/listener.h"
#include "net/loop.h"
#include "wire/admin.h"

namespace auth_world {

using namespace sio;
using namespace sio::gateway;

inline void read_all(int fd, std::string& into, bool& ended) {
    char bytes[65536];
    for (;;) {
        const ssize_t n = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n > 0) {
            into.append(bytes, static_cast<std::size_t>(n));
            continue;
        }
        if (n == 0) ended = true;
        return;
    }
}

inline std::string member(std::string_view object, std::string_view name) {
    const auto raw = json::member(object, name);
    if (!raw) return "";
    return json::kind_of(*raw) == json::Kind::string ? json::decode_string(*raw) : std::string(*raw);
}

/// Its loop, a folder for sockets, and waiting that ends.
class Base {
public:
    Base() {
        log::set_level(log::Level::fatal);
        char name[] = "/tmp/auth-world-XXXXXX";
        cr_assert(mkdtemp(name) != nullptr);
        folder = name;
    }
    ~Base() {
        unlink((folder + "/a.sock").c_str());
        rmdir(folder.c_str());
    }
    Base(const Base&) = delete;
    Base& operator=(const Base&) = delete;

    /// Turns until `is_so`, at most `limit` milliseconds.
    bool wait(const std::function<bool()>& is_so, Millis limit = 4'000) {
        struct Stop final : base::Timer {
            explicit Stop(net::Loop& l) : loop(l) {}
            net::Loop& loop;
            void expire(Millis) override { loop.stop(); }
        } stop(loop);
        struct Look final : net::Loop::TurnEnd {
            Look(net::Loop& l, const std::function<bool()>& t) : loop(l), test(t) {}
            net::Loop& loop;
            const std::function<bool()>& test;
            bool end_turn() override {
                if (test()) loop.stop();
                return false;
            }
        } look(loop, is_so);
        if (is_so()) return true;
        loop.timers().arm(stop, loop.now() + limit);
        loop.add_turn_end(look);
        loop.run();
        loop.remove_turn_end(look);
        return is_so();
    }
    void pause(Millis time) {
        wait([] { return false; }, time);
    }

    net::Loop loop = std::move(*net::Loop::create());
    std::string folder;
};

/// The other end of the daemon's socket. Questions wait in `asked` until a test answers them.
class FakeAuthd {
public:
    FakeAuthd(net::Loop& loop, std::string path) : loop_(loop), path_(std::move(path)) {}
    ~FakeAuthd() { stop(); }
    FakeAuthd(const FakeAuthd&) = delete;
    FakeAuthd& operator=(const FakeAuthd&) = delete;

    bool greets = true;
    bool is_well = true;  ///< answers health
    std::string checks = "{}";
    std::deque<std::string> asked;    ///< whole lines of `authenticate` and `may_join`
    std::vector<std::string> closed;  ///< session ids
    std::size_t accepted = 0;

    void start() {
        auto fd = net::listen_unix(path_);
        cr_assert(fd.has_value(), "%s", fd.error().what.c_str());
        listener_.fd = std::move(*fd);
        listener_.owner = this;
        cr_assert(loop_.watch(listener_.fd.get(), listener_).has_value());
    }
    void stop() {
        cut();
        if (!listener_.fd) return;
        loop_.unwatch(listener_.fd.get(), listener_);
        listener_.fd.reset();
        unlink(path_.c_str());
    }
    /// Ends the connection, and goes on listening.
    void cut() {
        if (peer_ == nullptr) return;
        loop_.unwatch(peer_->fd.get(), *peer_);
        peer_->fd.reset();
        loop_.dispose(peer_.release());
    }
    void say(const std::string& line) {
        if (peer_ == nullptr) return;
        const std::string text = line + "\n";
        (void)!::send(peer_->fd.get(), text.data(), text.size(), MSG_NOSIGNAL);
    }
    /// The oldest question; it is taken from `asked`.
    std::string next() {
        cr_assert(!asked.empty(), "nothing was asked");
        std::string line = std::move(asked.front());
        asked.pop_front();
        return line;
    }
    /// Answers the oldest question; what it was.
    std::string answer(const std::string& members) {
        std::string line = next();
        say("{\"id\":" + member(line, "id") + ",\"ok\":true," + members + "}");
        return line;
    }
    std::string grant(const std::string& user, const std::string& session, const std::string& more = {}) {
        return answer(R"("result":"granted","user":")" + user + R"(","session":")" + session +
                      R"(","kind":"authjs-v5","key":"k1")" + (more.empty() ? "" : "," + more));
    }
    std::string deny(const std::string& code) {
        return answer(R"("result":"denied","code":")" + code + R"(","reason":"so")");
    }
    std::string unavailable() { return answer(R"("result":"unavailable","reason":"so")"); }

private:
    struct Listener final : net::Handler {
        FakeAuthd* owner = nullptr;
        base::UniqueFd fd;
        void on_ready(std::uint32_t) override {
            for (;;) {
                const int peer = accept4(fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (peer < 0) return;
                owner->take(peer);
            }
        }
    };
    struct Peer final : net::Handler {
        FakeAuthd* owner = nullptr;
        base::UniqueFd fd;
        wire::LineSplitter lines;
        bool greeted = false;
        void on_ready(std::uint32_t) override {
            std::string bytes;
            bool ended = false;
            read_all(fd.get(), bytes, ended);
            lines.feed(bytes);
            while (const auto line = lines.next()) {
                if (!std::exchange(greeted, true)) continue;
                owner->hear(std::string(*line));
            }
            if (ended && owner->peer_.get() == this) owner->cut();
        }
    };
    void take(int fd) {
        ++accepted;
        cut();
        peer_ = std::make_unique<Peer>();
        peer_->owner = this;
        peer_->fd = base::UniqueFd(fd);
        cr_assert(loop_.watch(fd, *peer_).has_value());
        if (greets) say(R"({"sio":"admin","major":1,"minor":0,"program":"sio-authd","version":"0","pid":1,"node":""})");
    }
    void hear(const std::string& line) {
        const std::string cmd = member(line, "cmd");
        if (cmd == "health") {
            if (is_well) say("{\"id\":" + member(line, "id") + R"(,"ok":true,"status":"ok","checks":)" + checks + "}");
        } else if (cmd == "closed") {
            for (json::Walker one(*json::member(line, "sessions")); one.next();) {
                closed.push_back(json::decode_string(one.value()));
            }
        } else {
            asked.push_back(line);
        }
    }

    net::Loop& loop_;
    std::string path_;
    Listener listener_;
    std::unique_ptr<Peer> peer_;
};

/// A WebSocket client, as little of one as will do.
class Client final : public net::Handler {
public:
    Client(net::Loop& loop, std::uint16_t port, const std::string& headers = {}, const std::string& query = {})
        : loop_(loop), fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        cr_assert(connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        fcntl(fd_.get(), F_SETFL, O_NONBLOCK);
        cr_assert(loop.watch(fd_.get(), *this).has_value());
        write("GET /socket.io/?EIO=4&transport=websocket" + query +
              " HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
              headers + "\r\n");
    }
    ~Client() override {
        if (fd_) loop_.unwatch(fd_.get(), *this);
    }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    std::string head;              ///< of the answer to the handshake
    std::vector<std::string> got;  ///< texts
    bool ended = false;
    int close_code = 0;

    void send(const std::string& text) {
        std::string frame = "\x81";
        if (text.size() < 126) {
            frame += static_cast<char>(0x80 | text.size());
        } else {
            frame += static_cast<char>(0x80 | 126);
            frame += static_cast<char>(text.size() >> 8U);
            frame += static_cast<char>(text.size() & 0xffU);
        }
        frame += std::string(4, '\0');  // the mask that changes nothing
        write(frame + text);
    }
    /// The first text that begins so, or nothing.
    [[nodiscard]] std::string find(std::string_view beginning) const {
        for (const std::string& one : got) {
            if (one.starts_with(beginning)) return one;
        }
        return "";
    }
    [[nodiscard]] bool has(std::string_view beginning) const { return !find(beginning).empty(); }

    void on_ready(std::uint32_t) override {
        read_all(fd_.get(), bytes_, ended);
        if (head.empty()) {
            const std::size_t end = bytes_.find("\r\n\r\n");
            if (end == std::string::npos) return;
            head = bytes_.substr(0, end);
            bytes_.erase(0, end + 4);
        }
        while (head.starts_with("HTTP/1.1 101") && bytes_.size() >= 2) {
            std::size_t size = static_cast<unsigned char>(bytes_[1]);
            std::size_t from = 2;
            if (size == 126) {
                if (bytes_.size() < 4) return;
                size = static_cast<std::size_t>(static_cast<unsigned char>(bytes_[2])) << 8U |
                       static_cast<unsigned char>(bytes_[3]);
                from = 4;
            }
            if (bytes_.size() < from + size) return;
            const std::string text = bytes_.substr(from, size);
            const int opcode = bytes_[0] & 15;
            bytes_.erase(0, from + size);
            if (opcode == 1) got.push_back(text);
            if (opcode == 8) {
                ended = true;
                if (size >= 2) {
                    close_code = static_cast<unsigned char>(text[0]) << 8 | static_cast<unsigned char>(text[1]);
                }
            }
        }
    }
    /// What is left behind the head: the body of a refusal.
    [[nodiscard]] const std::string& body() const noexcept { return bytes_; }

private:
    void write(const std::string& bytes) { (void)!::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL); }

    net::Loop& loop_;
    base::UniqueFd fd_;
    std::string bytes_;
};

/// Admits everybody to / and /chat, and remembers.
class Handlers final : public HubHandlers {
public:
    std::vector<std::string> log;
    std::vector<std::string> grants;  ///< rooms that everybody is let into when he connects
    Hub* hub = nullptr;

    Admission admit(std::string_view nsp, const Session* session, std::string_view auth,
                    std::string_view user) override {
        Admission admission;
        if (nsp != "/" && nsp != "/chat") return admission;
        admission.kind = Admission::Kind::open;
        if (session != nullptr) log.push_back("admit " + std::string(user) + " " + std::string(auth));
        return admission;
    }
    void on_connect(Socket& socket) override {
        log.push_back("connect " + socket.user);
        for (const std::string& room : grants) {
            hub->join(socket, room);
            if (socket.pass != nullptr) socket.pass->rooms.push_back({room, ""});
        }
    }
    void on_event(Socket& socket, const proto::SioPacket& packet) override {
        log.push_back("event " + socket.user + " " + std::string(packet.json));
        if (packet.id) hub->acknowledge(socket, *packet.id, "1");
    }
    void on_disconnect(Socket& socket, std::string_view reason) override {
        log.push_back("disconnect " + socket.user + " " + std::string(reason));
    }
    std::optional<Millis> limited(const Socket&) override { return std::nullopt; }
    bool on_http(const proto::HttpHead&, HttpAnswer&) override { return false; }

    [[nodiscard]] bool has(std::string_view beginning) const {
        for (const std::string& one : log) {
            if (one.starts_with(beginning)) return true;
        }
        return false;
    }
};

struct WorldOptions {
    PassOptions passes{.warning = 300, .grace = 300, .query_token = false, .recovery_window = 120'000};
    Millis timeout = 700;
    RecoveryMode recovery = RecoveryMode::on;
    bool daemon = true;
};

/// All of it. The daemon is there and greeted.
class World : public Base {
public:
    explicit World(const WorldOptions& options = {})
        : authd(loop, folder + "/a.sock"), passes(loop, options.passes, hub) {
        handlers.hub = &hub;
        authority_options_.path = folder + "/a.sock";
        authority_options_.timeout = options.timeout;
        Authority::Owner& owner = passes;
        authority = std::make_unique<Authority>(loop, authority_options_, owner);
        passes.start(*authority);
        hub.set_passes(passes);
        hub.start(engine);
        auto fd = net::listen_tcp("127.0.0.1", 0, false);
        cr_assert(fd.has_value());
        port = net::local_port(fd->get());
        cr_assert(engine.listen(fd->release()).has_value());
        if (options.daemon) authd.start();
        authority->start();
        if (options.daemon) cr_assert(wait([this] { return authority->is_ready(); }));
    }

    std::unique_ptr<Client> client(const std::string& headers = {}, const std::string& query = {}) {
        auto made = std::make_unique<Client>(loop, port, headers, query);
        cr_assert(wait([&] { return !made->head.empty(); }));
        return made;
    }
    /// A client that has joined, under this session.
    std::unique_ptr<Client> join(const std::string& user, const std::string& session, const std::string& more = {},
                                 const std::string& auth = R"({"token":"t"})") {
        auto made = client();
        made->send("40" + auth);
        cr_assert(wait([&] { return !authd.asked.empty(); }));
        authd.grant(user, session, more);
        cr_assert(wait([&] { return made->has("40{"); }), "not joined");
        return made;
    }
    bool asks(const std::string& cmd = "authenticate") {
        return wait([&] { return !authd.asked.empty(); }) && member(authd.asked.front(), "cmd") == cmd;
    }
    /// Seconds since 1970, so many of them ahead.
    [[nodiscard]] std::string at(Millis seconds) const { return std::to_string(loop.wall_clock() / 1000 + seconds); }
    Socket* socket_of(const std::string& user) {
        Namespace* nsp = hub.find_namespace("/");
        Selection all;
        for (Socket* socket : hub.select(*nsp, all)) {
            if (socket->user == user) return socket;
        }
        return nullptr;
    }

    Handlers handlers;
    FakeAuthd authd;
    Hub hub{[] {
                HubOptions options;
                options.recovery = RecoveryMode::on;
                options.auth = AuthMode::authd;
                return options;
            }(),
            handlers};
    Engine engine{loop,
                  [] {
                      EngineOptions options;
                      options.path = "/socket.io/";
                      return options;
                  }(),
                  *Cors::create({}), hub};
    Passes passes;
    std::unique_ptr<Authority> authority;
    std::uint16_t port = 0;

private:
    AuthorityOptions authority_options_;
};

}  // namespace auth_world
