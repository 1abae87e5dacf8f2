// src/redis against real servers: redis-server on Unix sockets, TCP and TLS, and redis-sentinel, started in a temporary
// folder and stopped by their process numbers.
//
// usage: redis-check [PART-OF-A-NAME]
#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/unique_fd.h"
#include "net/loop.h"
#include "redis/connection.h"

namespace {

using namespace sio;
using namespace sio::redis;

int passed = 0;
int failed = 0;
bool this_failed = false;
std::string folder;

#define CHECK(claim) check((claim), #claim, __LINE__)
#define CHECK_TEXT(text, part) check_text((text), (part), __LINE__)

bool check(bool holds, const char* claim, int line) {
    if (holds) return true;
    this_failed = true;
    std::printf("    line %d: this does not hold: %s\n", line, claim);
    return false;
}

void check_text(const std::string& text, std::string_view part, int line) {
    if (text.find(part) != std::string::npos) return;
    this_failed = true;
    std::printf("    line %d: \"%s\" does not hold \"%.*s\"\n", line, text.c_str(), static_cast<int>(part.size()),
                part.data());
}

Millis now_ms() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return Millis{t.tv_sec} * 1000 + t.tv_nsec / 1'000'000;
}

void sleep_ms(long ms) {
    const timespec t{ms / 1000, ms % 1000 * 1'000'000};
    nanosleep(&t, nullptr);
}

// --- Programs -------------------------------------------------------------------------------------------------------

/// A program that runs until stop(); what it says goes to a file in the folder.
class Program {
public:
    explicit Program(std::vector<std::string> args) {
        std::vector<char*> pointers;
        pointers.reserve(args.size() + 1);
        for (std::string& arg : args) pointers.push_back(arg.data());
        pointers.push_back(nullptr);
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        const std::string log = folder + "/log";
        posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
        posix_spawn_file_actions_adddup2(&actions, 1, 2);
        if (posix_spawnp(&pid_, pointers[0], &actions, nullptr, pointers.data(), environ) != 0) pid_ = -1;
        posix_spawn_file_actions_destroy(&actions);
    }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;
    ~Program() { stop(); }

    void signal(int number) const {
        if (pid_ > 0) kill(pid_, number);
    }
    int wait() {
        int status = -1;
        if (pid_ > 0) waitpid(pid_, &status, 0);
        pid_ = -1;
        return status;
    }
    void stop() {
        if (pid_ <= 0) return;
        signal(SIGKILL);
        wait();
    }

private:
    pid_t pid_ = -1;
};

int free_port() {
    const base::UniqueFd fd{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) return 0;
    getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
}

std::string new_path(const char* kind) {
    static int count = 0;
    return folder + "/" + kind + std::to_string(++count);
}

/// A redis-server on a Unix socket, and with what else `options` say.
class Server {
public:
    explicit Server(std::vector<std::string> options = {}, bool tcp = false) : options_(std::move(options)) {
        path_ = new_path("sock");
        port_ = tcp ? free_port() : 0;
        start();
    }

    void start() {
        std::vector<std::string> args{"redis-server",
                                      "--port",
                                      std::to_string(port_),
                                      "--bind",
                                      "127.0.0.1",
                                      "--dir",
                                      folder,
                                      "--unixsocket",
                                      path_,
                                      "--save",
                                      "",
                                      "--appendonly",
                                      "no",
                                      "--dbfilename",
                                      "dump" + std::to_string(port_) + ".rdb"};
        args.insert(args.end(), options_.begin(), options_.end());
        unlink(path_.c_str());
        program_ = std::make_unique<Program>(std::move(args));
        const Millis deadline = now_ms() + 5000;
        while (!answers() && now_ms() < deadline) sleep_ms(10);
    }
    void kill() { program_->stop(); }
    void signal(int number) const { program_->signal(number); }

    [[nodiscard]] Endpoint endpoint() const {
        Endpoint endpoint;
        endpoint.socket_path = path_;
        return endpoint;
    }
    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] int port() const { return port_; }

private:
    [[nodiscard]] bool answers() const {
        const base::UniqueFd fd{socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        sockaddr_un to{};
        to.sun_family = AF_UNIX;
        std::memcpy(to.sun_path, path_.data(), path_.size());
        return connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
    }

    std::vector<std::string> options_;
    std::string path_;
    int port_ = 0;
    std::unique_ptr<Program> program_;
};

/// A server that says `greeting` and then `answer` to each command, in one piece.
class Impostor {
public:
    Impostor(std::string greeting, std::string answer) : path_(new_path("impostor")) {
        fd_ = base::UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un to{};
        to.sun_family = AF_UNIX;
        std::memcpy(to.sun_path, path_.data(), path_.size());
        if (bind(fd_.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0 || listen(fd_.get(), 8) != 0) return;
        thread_ = std::thread([fd = fd_.get(), greeting = std::move(greeting), answer = std::move(answer)] {
            for (;;) {
                const base::UniqueFd peer{accept4(fd, nullptr, nullptr, SOCK_CLOEXEC)};
                if (!peer) return;
                send(peer.get(), greeting.data(), greeting.size(), MSG_NOSIGNAL);
                std::array<char, 4096> in;
                ssize_t n = 0;
                while ((n = recv(peer.get(), in.data(), in.size(), 0)) > 0) {
                    std::string out;
                    for (ssize_t i = 0; i < n; ++i) {
                        if (in[static_cast<std::size_t>(i)] == '*') out += answer;
                    }
                    if (send(peer.get(), out.data(), out.size(), MSG_NOSIGNAL) < 0 || answer.empty()) break;
                }
            }
        });
    }
    Impostor(const Impostor&) = delete;
    Impostor& operator=(const Impostor&) = delete;
    ~Impostor() {
        shutdown(fd_.get(), SHUT_RDWR);
        if (thread_.joinable()) thread_.join();
    }
    [[nodiscard]] Endpoint endpoint() const {
        Endpoint endpoint;
        endpoint.socket_path = path_;
        return endpoint;
    }

private:
    std::string path_;
    base::UniqueFd fd_;
    std::thread thread_;
};

// --- The loop, and what a connection tells
// ----------------------------------------------------------------------------

struct Stage final : net::Loop::TurnEnd {
    Stage() : loop(std::move(*net::Loop::create())), tick(*this) { loop.add_turn_end(*this); }

    /// Runs the loop until `enough` or for `most` milliseconds; whether it was enough.
    bool until(const std::function<bool()>& enough, Millis most = 5000) {
        const Millis deadline = now_ms() + most;
        enough_ = &enough;
        deadline_ = deadline;
        loop.timers().arm(tick, loop.now());
        loop.run();
        tick.disarm();
        enough_ = nullptr;
        return enough();
    }
    void wait(Millis ms) {
        until([] { return false; }, ms);
    }
    bool end_turn() override {
        if (enough_ != nullptr && ((*enough_)() || now_ms() >= deadline_)) loop.stop();
        return false;
    }

    net::Loop loop;
    Millis tick_ms = 5;  ///< until() looks at least so often

private:
    struct Tick final : base::Timer {
        explicit Tick(Stage& of) : stage(of) {}
        void expire(Millis now) override { stage.loop.timers().arm(*this, now + stage.tick_ms); }
        Stage& stage;
    };
    Tick tick;
    const std::function<bool()>* enough_ = nullptr;
    Millis deadline_ = 0;
};

struct Seen final : Connection::Owner {
    void on_up(Connection& connection) override {
        ++ups;
        if (at_up) at_up(connection);
    }
    void on_down(Connection& connection, std::string_view reason) override {
        ++downs;
        last = reason;
        if (at_down) at_down(connection);
    }
    void on_push(Connection&, const Reply& push) override {
        std::string text;
        for (const Reply& item : push.items) {
            if (!text.empty()) text += ' ';
            text += item.is_integer() ? std::to_string(item.integer) : std::string(item.text);
        }
        pushes.push_back(std::move(text));
    }
    int ups = 0;
    int downs = 0;
    std::string last;
    std::vector<std::string> pushes;
    std::function<void(Connection&)> at_up;
    std::function<void(Connection&)> at_down;
};

/// What a command was answered, as text.
struct Answer {
    int times = 0;
    bool lost = false;
    std::string text;
    Connection::Done done() {
        return [this](const Reply* reply) {
            ++times;
            lost = reply == nullptr;
            if (reply == nullptr) return;
            text = reply->is_integer() ? std::to_string(reply->integer) : std::string(reply->text);
        };
    }
    [[nodiscard]] bool came() const { return times == 1 && !lost; }
    [[nodiscard]] bool was_lost() const { return times == 1 && lost; }
};

/// A stage with one connection on it.
struct Case {
    explicit Case(Endpoint endpoint, ConnectionOptions options = {})
        : redis(stage.loop, std::move(endpoint), std::move(options), seen) {
        redis.start();
    }
    bool up(Millis most = 5000) {
        return stage.until([this] { return redis.is_up(); }, most);
    }
    bool down(Millis most = 5000) {
        return stage.until([this, before = seen.downs] { return seen.downs > before; }, most);
    }
    std::string ask(std::initializer_list<std::string_view> args) {
        Answer answer;
        if (!redis.send(args, answer.done())) return "not taken";
        stage.until([&answer] { return answer.times > 0; });
        return answer.lost ? "lost" : answer.text;
    }
    Stage stage;
    Seen seen;
    Connection redis;
};

// --- What must hold
// ---------------------------------------------------------------------------------------------------

void commands_of_a_turn_are_answered_in_order() {
    const Server server;
    ConnectionOptions options;
    options.name = "check";
    Case at{server.endpoint(), options};
    CHECK(!at.redis.send({"PING"}));
    CHECK(at.redis.client_id() == 0);
    if (!CHECK(at.up())) return;
    int answered = 0;
    bool ordered = true;
    const auto before = at.redis.stats();
    for (int i = 1; i <= 20000; ++i) {
        CHECK(at.redis.send({"INCR", "n"}, [&answered, &ordered, i](const Reply* reply) {
            ordered = ordered && reply != nullptr && reply->integer == i;
            ++answered;
        }));
    }
    CHECK(at.redis.pending() == 20000);
    CHECK(at.stage.until([&] { return answered == 20000; }));
    CHECK(ordered);
    CHECK(at.redis.stats().commands == before.commands + 20000);
    CHECK(at.redis.pending() == 0 && at.redis.pending_bytes() == 0);
    CHECK(at.ask({"CLIENT", "GETNAME"}) == "check");
    CHECK(at.ask({"CLIENT", "ID"}) == std::to_string(at.redis.client_id()));
    CHECK_TEXT(at.ask({"NONSENSE"}), "unknown command");
    CHECK(at.redis.is_up());
}

void large_commands_and_replies_are_whole() {
    const Server server;
    Case at{server.endpoint()};
    if (!CHECK(at.up())) return;
    std::string large;
    large.resize(30'000'000, 'x');
    CHECK(at.ask({"SET", "k", large}) == "OK");
    CHECK(at.ask({"GET", "k"}) == large);
    CHECK(at.redis.is_up() && at.seen.downs == 0);
}

void a_full_queue_takes_no_command() {
    const Server server;
    ConnectionOptions options;
    options.max_pending_bytes = 1000;
    Case at{server.endpoint(), options};
    if (!CHECK(at.up())) return;
    int answered = 0;
    int taken = 0;
    while (at.redis.send({"PING"}, [&](const Reply*) { ++answered; })) ++taken;
    CHECK(taken == 1000 / 14);
    CHECK(at.stage.until([&] { return answered == taken; }));
    CHECK(at.redis.send({"PING"}));
    CHECK(!at.redis.send({"SET", "k", std::string(1000, 'x')}));
    CHECK(!at.redis.send({}));
    CHECK(!at.redis.send({"UNSUBSCRIBE"}));
}

void a_refused_login_is_told_in_redis_own_words() {
    const Server server({"--requirepass", "right-pw"});
    Endpoint endpoint = server.endpoint();
    {
        Case at{endpoint};
        CHECK(at.down());
        CHECK_TEXT(at.seen.last, "NOAUTH");
    }
    endpoint.password = "wr0ng-pw";
    {
        Case at{endpoint};
        CHECK(at.down());
        CHECK_TEXT(at.seen.last, "WRONGPASS");
        CHECK(at.seen.last.find("wr0ng-pw") == std::string::npos);
        CHECK(at.redis.down_reason() == at.seen.last);
        CHECK(at.down());
        CHECK(at.seen.ups == 0 && at.redis.stats().failures == 2);
    }
    endpoint.password = "right-pw";
    {
        Case at{endpoint};
        CHECK(at.up());
        CHECK(at.ask({"ACL", "SETUSER", "ann", "on", ">ann-pw", "~*", "+get", "+auth"}) == "OK");
    }
    // A user who may neither PING nor ask for a CLIENT ID is served all the same.
    endpoint.username = "ann";
    endpoint.password = "ann-pw";
    Case at{endpoint};
    CHECK(at.up());
    CHECK(at.ask({"GET", "k"}).empty());
    CHECK(at.redis.client_id() == 0);
}

void what_redis_refuses_is_told_whoever_asked() {
    const Server server;
    {
        Case at{server.endpoint()};
        if (!CHECK(at.up())) return;
        CHECK(at.ask({"ACL", "SETUSER", "eve", "on", ">eve-pw", "~mine:*", "+@all", "-lpush", "resetchannels"}) ==
              "OK");
    }
    Endpoint endpoint = server.endpoint();
    endpoint.username = "eve";
    endpoint.password = "eve-pw";
    ConnectionOptions options;
    options.refusal_shown = 300;
    struct Ask {
        std::vector<std::string_view> words;
        bool is_heard;  // by a `done`
        bool is_refusal;
    };
    const Ask asks[] = {
        {{"LPUSH", "mine:l", "1"}, true, true},
        {{"LPUSH", "mine:l", "1"}, false, true},
        {{"GET", "yours"}, true, true},
        {{"PUBLISH", "channel", "x"}, false, true},
        {{"PSUBSCRIBE", "channel*"}, true, true},
        {{"EVAL", "return redis.call('LPUSH', KEYS[1], 'x')", "1", "mine:l"}, true, true},
        {{"EVAL", "return redis.call('GET', 'yours')", "0"}, true, true},
        {{"EVAL", "return redis.call('PUBLISH', 'channel', 'x')", "0"}, true, true},
        {{"INCR", "mine:text"}, true, false},  // an error that its asker hears of
        {{"INCR", "mine:text"}, false, true},  // and one that nobody hears of
        {{"SET", "mine:text", "x"}, false, false},
        {{"EVALSHA", "0123456789012345678901234567890123456789", "0"}, true, false},
    };
    for (const auto& [words, is_heard, is_refusal] : asks) {
        Case at{endpoint, options};
        if (!CHECK(at.up())) return;
        CHECK(at.ask({"SET", "mine:text", "x"}) == "OK");
        Answer answer;
        CHECK(at.redis.send(words, is_heard ? answer.done() : Connection::Done{}));
        Answer after;
        if (words[0] != "PSUBSCRIBE") CHECK(at.redis.send({"PING"}, after.done()));
        CHECK(at.stage.until([&] { return after.came() || answer.came(); }));
        at.stage.wait(20);
        const bool is_told = !at.redis.refusal().empty();
        if (!CHECK(is_told == is_refusal)) std::printf("      %s\n", std::string(words[0]).c_str());
        CHECK(at.redis.stats().refused == (is_refusal ? 1U : 0U));
        CHECK(at.redis.is_up() && at.seen.downs == 0);
        if (!is_told) continue;
        CHECK(at.stage.until([&at] { return at.redis.refusal().empty(); }, 1000));
    }
}

void the_database_is_selected() {
    const Server server;
    Endpoint endpoint = server.endpoint();
    endpoint.database = 3;
    Case at{endpoint};
    if (!CHECK(at.up())) return;
    CHECK(at.ask({"SET", "k", "v"}) == "OK");
    CHECK(at.ask({"SELECT", "0"}) == "OK");
    CHECK(at.ask({"EXISTS", "k"}) == "0");
    endpoint.database = 99;
    Case out{endpoint};
    CHECK(out.down());
    CHECK_TEXT(out.seen.last, "out of range");
}

void a_killed_server_is_found_again_and_open_commands_get_null_once() {
    Server server;
    Case at{server.endpoint()};
    if (!CHECK(at.up())) return;
    Answer blocked;
    Answer after;
    CHECK(at.redis.send_blocking({"BLPOP", "k", "0"}, 60000, blocked.done()));
    CHECK(at.redis.send({"PING"}, after.done()));
    at.stage.wait(50);
    server.kill();
    bool was_up_in_done = true;
    at.seen.at_down = [&](Connection& redis) { was_up_in_done = redis.is_up() || blocked.times != 1; };
    CHECK(at.down());
    CHECK(!was_up_in_done);
    CHECK(blocked.was_lost() && after.was_lost());
    CHECK(!at.redis.send({"PING"}));
    at.stage.wait(300);
    CHECK(at.seen.downs >= 2);
    CHECK_TEXT(at.seen.last, "cannot connect to unix:");
    server.start();
    CHECK(at.up(2000));
    CHECK(at.seen.ups == 2 && at.redis.stats().connects == 2 && at.redis.down_reason().empty());
    CHECK(at.ask({"PING"}) == "PONG");
    CHECK(blocked.times == 1 && after.times == 1);
}

void a_frozen_server_is_down_within_two_seconds(bool idle) {
    const Server server;
    Case at{server.endpoint()};
    if (!CHECK(at.up())) return;
    at.stage.wait(idle ? 1300 : 20);
    CHECK(at.redis.is_up());
    server.signal(SIGSTOP);
    const Millis frozen = now_ms();
    Answer answer;
    if (!idle) CHECK(at.redis.send({"PING"}, answer.done()));
    CHECK(at.down());
    const Millis took = now_ms() - frozen;
    CHECK(took < 1900);
    CHECK(idle || answer.was_lost());
    CHECK_TEXT(at.seen.last, "no answer from unix:");
    // It still takes connections, and does not answer.
    CHECK(at.down());
    CHECK_TEXT(at.seen.last, "no answer within");
    server.signal(SIGCONT);
    CHECK(at.up());
    CHECK(at.ask({"PING"}) == "PONG");
}
void a_frozen_server_is_down_within_two_seconds_when_idle() { a_frozen_server_is_down_within_two_seconds(true); }
void a_frozen_server_is_down_within_two_seconds_when_asked() { a_frozen_server_is_down_within_two_seconds(false); }

void a_short_freeze_is_survived() {
    const Server server;
    Case at{server.endpoint()};
    if (!CHECK(at.up())) return;
    Answer answer;
    server.signal(SIGSTOP);
    CHECK(at.redis.send({"PING"}, answer.done()));
    at.stage.wait(700);
    server.signal(SIGCONT);
    CHECK(at.stage.until([&] { return answer.came(); }));
    CHECK(at.seen.downs == 0);
}

void a_pause_of_our_own_is_no_loss() {
    const Server server;
    Case at{server.endpoint()};
    if (!CHECK(at.up())) return;
    Answer answer;
    CHECK(at.redis.send({"PING"}, answer.done()));
    at.stage.until([] { return true; });  // one turn: it is on its way
    sleep_ms(1800);
    CHECK(at.stage.until([&] { return answer.times > 0; }));
    CHECK(answer.came());
    CHECK(at.seen.downs == 0);
    // The same before the command has left; what is waited for takes a moment longer.
    Answer later;
    bool sent = false;
    CHECK(at.stage.until([&] {
        if (!std::exchange(sent, true)) {
            CHECK(at.redis.send({"BLPOP", "none", "0.2"}, later.done()));
            sleep_ms(1800);
        }
        return later.times > 0;
    }));
    CHECK(later.came());
    CHECK(at.seen.downs == 0);
}

void a_blocking_command_may_wait_for_its_patience() {
    const Server server;
    Case at{server.endpoint()};
    Case writer{server.endpoint()};
    if (!CHECK(at.up()) || !CHECK(writer.up())) return;
    Answer empty;
    CHECK(at.redis.send_blocking({"XREAD", "BLOCK", "2500", "STREAMS", "s", "0"}, 2500, empty.done()));
    CHECK(at.stage.until([&] { return empty.times > 0; }));
    CHECK(empty.came() && at.seen.downs == 0);
    std::string id;
    CHECK(at.redis.send_blocking({"XREAD", "BLOCK", "5000", "STREAMS", "s", "0"}, 5000, [&](const Reply* reply) {
        if (reply != nullptr && reply->is_array()) id = reply->items[0].items[1].items[0].items[1].items[1].text;
    }));
    at.stage.wait(50);
    CHECK_TEXT(writer.ask({"XADD", "s", "*", "field", "value"}), "-");
    CHECK(at.stage.until([&] { return !id.empty(); }));
    CHECK(id == "value");
    // A frozen server: silence and patience.
    Answer frozen;
    server.signal(SIGSTOP);
    const Millis begun = now_ms();
    CHECK(at.redis.send_blocking({"XREAD", "BLOCK", "1000", "STREAMS", "s", "$"}, 1000, frozen.done()));
    CHECK(at.down());
    CHECK(frozen.was_lost());
    CHECK(now_ms() - begun >= 2400 && now_ms() - begun < 2900);
    server.signal(SIGCONT);
}

void subscriptions_bring_pushes() {
    const Server server;
    Case at{server.endpoint()};
    Case writer{server.endpoint()};
    if (!CHECK(at.up()) || !CHECK(writer.up())) return;
    Answer first;
    Answer both;
    CHECK(at.redis.send({"SET", "k", "v"}, first.done()));
    CHECK(at.redis.send({"SUBSCRIBE", "a", "b"}, both.done()));
    Answer pattern;
    CHECK(at.redis.send({"psubscribe", "p*"}, pattern.done()));
    CHECK(at.stage.until([&] { return pattern.times > 0; }));
    CHECK(first.text == "OK" && both.came() && both.times == 1);
    CHECK(at.seen.pushes == std::vector<std::string>({"subscribe a 1", "subscribe b 2", "psubscribe p* 3"}));
    at.seen.pushes.clear();
    CHECK(writer.ask({"PUBLISH", "b", "hello"}) == "1");
    CHECK(writer.ask({"PUBLISH", "pq", "there"}) == "1");
    CHECK(at.stage.until([&] { return at.seen.pushes.size() == 2; }));
    CHECK(at.seen.pushes == std::vector<std::string>({"message b hello", "pmessage p* pq there"}));
    // Pings of an idle subscriber are answered by a push of their own kind; messages between do not disturb them.
    const auto bytes = at.redis.stats().bytes_in;
    for (int i = 0; i < 4; ++i) {
        at.stage.wait(400);
        writer.ask({"PUBLISH", "a", "tick"});
    }
    at.stage.wait(700);
    CHECK(at.redis.is_up() && at.seen.downs == 0 && at.redis.stats().bytes_in > bytes);
    at.seen.pushes.clear();
    Answer gone;
    CHECK(at.redis.send({"UNSUBSCRIBE", "a", "b"}, gone.done()));
    CHECK(at.stage.until([&] { return gone.times > 0; }));
    CHECK(at.seen.pushes == std::vector<std::string>({"unsubscribe a 2", "unsubscribe b 1"}));
    Answer refused;
    CHECK(at.redis.send({"GET", "k"}, refused.done()));
    CHECK(at.stage.until([&] { return refused.times > 0; }));
    CHECK_TEXT(refused.text, "Can't execute");
    CHECK(at.redis.is_up());
}

void a_frozen_server_is_noticed_by_a_subscriber() {
    const Server server;
    Case at{server.endpoint()};
    if (!CHECK(at.up())) return;
    CHECK(at.redis.send({"SUBSCRIBE", "a"}));
    at.stage.wait(800);
    server.signal(SIGSTOP);
    const Millis frozen = now_ms();
    CHECK(at.down());
    CHECK(now_ms() - frozen < 1900);
    server.signal(SIGCONT);
}

void callbacks_may_send_reconnect_and_stop() {
    const Server server;
    Case at{server.endpoint()};
    std::string chain;
    at.seen.at_up = [&](Connection& redis) {
        redis.send({"ECHO", "one"}, [&](const Reply* reply) {
            if (reply == nullptr) return;
            chain += reply->text;
            redis.send({"ECHO", "two"}, [&](const Reply* second) {
                if (second == nullptr) return;
                redis.reconnect("as the check wants");
                chain += second->text;  // still alive
            });
        });
    };
    CHECK(at.stage.until([&] { return at.seen.ups == 2; }));
    CHECK_TEXT(chain, "onetwo");
    CHECK(at.seen.downs >= 1 && at.seen.last == "as the check wants");
    at.seen.at_up = nullptr;
    CHECK(at.up());

    const int downs = at.seen.downs;
    Answer open;
    Answer next;
    CHECK(at.redis.send({"PING"}, [&](const Reply*) { at.redis.stop(); }));
    CHECK(at.redis.send({"PING"}, open.done()));
    CHECK(at.stage.until([&] { return open.times > 0; }));
    CHECK(open.was_lost() && !at.redis.is_up());
    at.stage.wait(200);
    CHECK(at.seen.downs == downs && !at.redis.is_up() && open.times == 1);
    at.redis.reconnect("while stopped");
    at.stage.wait(100);
    CHECK(!at.redis.is_up());
    at.redis.start();
    CHECK(at.up());
    at.seen.at_down = [](Connection& redis) { redis.stop(); };
    at.redis.reconnect("to be stopped");
    at.stage.wait(200);
    CHECK(!at.redis.is_up());
}

void a_command_sent_at_the_end_of_a_turn_does_not_wait() {
    const Server server;
    Case at{server.endpoint()};
    if (!CHECK(at.up())) return;
    struct Late final : net::Loop::TurnEnd {
        bool end_turn() override {
            if (send) std::exchange(send, nullptr)();
            return false;
        }
        std::function<void()> send;
    } late;
    at.stage.loop.add_turn_end(late);  // after the connection's own
    Answer answer;
    at.stage.tick_ms = 1000;
    late.send = [&] { CHECK(at.redis.send({"PING"}, answer.done())); };
    const Millis begun = now_ms();
    CHECK(at.stage.until([&] { return answer.came(); }));
    CHECK(now_ms() - begun < 200);
    at.stage.loop.remove_turn_end(late);
}

void tcp_and_names_work() {
    const Server server({}, true);
    Endpoint endpoint;
    endpoint.port = static_cast<std::uint16_t>(server.port());
    {
        Case at{endpoint};
        CHECK(at.up());
        CHECK(at.ask({"PING"}) == "PONG");
    }
    endpoint.host = "localhost";  // ::1 may be first, where nobody listens
    {
        Case at{endpoint};
        CHECK(at.up());
        CHECK(at.ask({"PING"}) == "PONG");
        at.redis.reconnect("again");
        CHECK(at.up());
    }
    endpoint.host = "no-such-host.invalid";
    {
        Case at{endpoint};
        CHECK(at.down());
        CHECK_TEXT(at.seen.last, "cannot resolve no-such-host.invalid");
    }
    { const Case gone_while_it_asks{endpoint}; }
    {
        Case gone_while_it_asks{endpoint};
        gone_while_it_asks.stage.until([] { return true; });
    }
    endpoint.host = "127.0.0.1";
    endpoint.port = static_cast<std::uint16_t>(free_port());
    Case at{endpoint};
    CHECK(at.down());
    CHECK_TEXT(at.seen.last, "cannot connect to 127.0.0.1:" + std::to_string(endpoint.port) + ": Connection refused");
}

void a_server_that_is_none_of_ours_is_told_apart() {
    struct Want {
        const char* greeting;
        const char* answer;
        const char* reason;
    };
    constexpr Want wants[] = {
        {"", "-LOADING Redis is loading the dataset in memory\r\n", "LOADING"},
        {"-DENIED Redis is running in protected mode\r\n", "", "DENIED"},
        {"-ERR max number of clients reached\r\n", "", "max number of clients"},
        {"HTTP/1.1 400 Bad Request\r\n\r\n", "", "an unknown type"},
        {"", "", "closed the connection"},
    };
    for (const auto& [greeting, answer, reason] : wants) {
        const Impostor server{greeting, answer};
        Case at{server.endpoint()};
        CHECK(at.down());
        CHECK_TEXT(at.seen.last, reason);
        CHECK(at.seen.ups == 0);
    }
}

void a_cluster_and_a_replica_are_named() {
    const Server server;
    Case at{server.endpoint()};
    if (!CHECK(at.up())) return;
    CHECK_TEXT(at.ask({"EVAL", "return redis.error_reply('MOVED 866 10.0.0.1:6379')", "0"}), "MOVED 866");
    CHECK(at.seen.downs == 1);
    CHECK_TEXT(at.seen.last, "Redis Cluster, which is not supported");
    CHECK(at.up());
    CHECK(at.ask({"REPLICAOF", "127.0.0.1", std::to_string(free_port())}) == "OK");
    CHECK_TEXT(at.ask({"SET", "k", "v"}), "READONLY");
    CHECK(at.seen.downs == 2);
    CHECK_TEXT(at.seen.last, "is a replica");
}

bool run(std::vector<std::string> args) { return Program(std::move(args)).wait() == 0; }

void tls_is_checked_by_default() {
    const std::string cert = folder + "/cert.pem";
    const std::string key = folder + "/key.pem";
    if (!CHECK(run({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=check",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert}))) {
        return;
    }
    const int port = free_port();
    const Server server({"--tls-port", std::to_string(port), "--tls-cert-file", cert, "--tls-key-file", key,
                         "--tls-ca-cert-file", cert, "--tls-auth-clients", "optional"});
    Endpoint endpoint;
    endpoint.port = static_cast<std::uint16_t>(port);
    endpoint.tls = true;
    endpoint.tls_ca_file = cert;
    {
        Case at{endpoint};
        CHECK(at.up());
        const std::string large(3'000'000, 'x');
        CHECK(at.ask({"SET", "k", large}) == "OK");
        CHECK(at.ask({"GET", "k"}) == large);
        int answered = 0;
        for (int i = 0; i < 5000; ++i) CHECK(at.redis.send({"ECHO", "hello"}, [&](const Reply*) { ++answered; }));
        CHECK(at.stage.until([&] { return answered == 5000; }));
        CHECK(at.seen.downs == 0);
    }
    endpoint.host = "localhost";
    {
        Case at{endpoint};
        CHECK(at.up());
    }
    endpoint.tls_server_name = "other.example";
    {
        Case at{endpoint};
        CHECK(at.down());
        CHECK_TEXT(at.seen.last, "ostname mismatch");
    }
    endpoint.tls_server_name.clear();
    endpoint.tls_ca_file = folder + "/no-such.pem";
    {
        Case at{endpoint};
        CHECK(at.down());
        CHECK_TEXT(at.seen.last, "no-such.pem");
        CHECK_TEXT(at.seen.last, "No such file");
    }
    endpoint.tls_ca_file.clear();
    {
        Case at{endpoint};
        CHECK(at.down());
        CHECK_TEXT(at.seen.last, "self-signed certificate");
    }
    endpoint.tls_verify = false;
    {
        Case at{endpoint};
        CHECK(at.up());
        server.signal(SIGSTOP);
        CHECK(at.down());
        CHECK_TEXT(at.seen.last, "no answer");
        CHECK(at.down());
        CHECK_TEXT(at.seen.last, "TLS handshake within");
        server.signal(SIGCONT);
        CHECK(at.up());
    }
    {
        const Server strict({}, true);  // speaks no TLS
        endpoint.port = static_cast<std::uint16_t>(strict.port());
        Case at{endpoint};
        CHECK(at.down());
        CHECK_TEXT(at.seen.last, "TLS handshake");
    }
    const int strict_port = free_port();
    const Server strict({"--tls-port", std::to_string(strict_port), "--tls-cert-file", cert, "--tls-key-file", key,
                         "--tls-ca-cert-file", cert});
    endpoint.port = static_cast<std::uint16_t>(strict_port);
    {
        Case at{endpoint};
        CHECK(at.down());
        CHECK_TEXT(at.seen.last, "certificate required");
    }
    endpoint.tls_cert_file = cert;
    endpoint.tls_key_file = key;
    Case at{endpoint};
    CHECK(at.up());
}

void sentinels_lead_to_the_new_master() {
    Server master({"--repl-diskless-sync-delay", "0"}, true);
    const Server replica({"--replicaof", "127.0.0.1 " + std::to_string(master.port())}, true);
    {
        Case writer{master.endpoint()};
        Case reader{replica.endpoint()};
        CHECK(writer.up() && reader.up());
        CHECK(writer.ask({"SET", "k", "v"}) == "OK");
        for (int i = 0; i < 100 && reader.ask({"GET", "k"}) != "v"; ++i) reader.stage.wait(50);
        CHECK(reader.ask({"GET", "k"}) == "v");
    }
    const int port = free_port();
    const std::string file = new_path("sentinel");
    std::ofstream(file) << "port " << port << "\nbind 127.0.0.1\ndir " << folder << "\nsentinel monitor main 127.0.0.1 "
                        << master.port()
                        << " 1\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n";
    const Program sentinel({"redis-server", file, "--sentinel"});
    Endpoint endpoint;
    // The first one is not there.
    endpoint.sentinels = {{"127.0.0.1", static_cast<std::uint16_t>(free_port())},
                          {"127.0.0.1", static_cast<std::uint16_t>(port)}};
    endpoint.sentinel_master = "other";
    {
        Case at{endpoint};
        CHECK(at.stage.until([&] { return at.seen.last.find("does not know") != std::string::npos; }));
        CHECK_TEXT(at.seen.last, "does not know a master named other");
    }
    {
        // Only a replica that it knows of can be promoted.
        Endpoint itself;
        itself.port = static_cast<std::uint16_t>(port);
        Case at{itself};
        CHECK(at.up());
        bool known = false;
        for (int i = 0; i < 150 && !known; ++i) {
            CHECK(at.redis.send({"SENTINEL", "REPLICAS", "main"},
                                [&](const Reply* reply) { known = reply != nullptr && !reply->items.empty(); }));
            at.stage.wait(100);
        }
        CHECK(known);
    }
    endpoint.sentinel_master = "main";
    Case at{endpoint};
    if (!CHECK(at.up())) return;
    CHECK(at.seen.downs == 0);
    CHECK(at.ask({"GET", "k"}) == "v");
    const int ups = at.seen.ups;
    master.kill();
    CHECK(at.stage.until([&] { return at.seen.ups > ups && at.redis.is_up(); }, 20000));
    CHECK(at.ask({"GET", "k"}) == "v");
    CHECK(at.ask({"SET", "k", "w"}) == "OK");
    Case promoted{replica.endpoint()};
    CHECK(promoted.up());
    CHECK(promoted.ask({"GET", "k"}) == "w");
}

struct Named {
    const char* name;
    void (*run)();
};
#define NAMED(function) \
    { #function, function }
constexpr Named all[] = {
    NAMED(commands_of_a_turn_are_answered_in_order),
    NAMED(large_commands_and_replies_are_whole),
    NAMED(a_full_queue_takes_no_command),
    NAMED(a_refused_login_is_told_in_redis_own_words),
    NAMED(what_redis_refuses_is_told_whoever_asked),
    NAMED(the_database_is_selected),
    NAMED(a_killed_server_is_found_again_and_open_commands_get_null_once),
    NAMED(a_frozen_server_is_down_within_two_seconds_when_idle),
    NAMED(a_frozen_server_is_down_within_two_seconds_when_asked),
    NAMED(a_short_freeze_is_survived),
    NAMED(a_pause_of_our_own_is_no_loss),
    NAMED(a_blocking_command_may_wait_for_its_patience),
    NAMED(subscriptions_bring_pushes),
    NAMED(a_frozen_server_is_noticed_by_a_subscriber),
    NAMED(callbacks_may_send_reconnect_and_stop),
    NAMED(a_command_sent_at_the_end_of_a_turn_does_not_wait),
    NAMED(tcp_and_names_work),
    NAMED(a_server_that_is_none_of_ours_is_told_apart),
    NAMED(a_cluster_and_a_replica_are_named),
    NAMED(tls_is_checked_by_default),
    NAMED(sentinels_lead_to_the_new_master),
};

int remove_one(const char* path, const struct stat*, int, FTW*) { return remove(path); }

}  // namespace

int main(int argc, char** argv) {
    setvbuf(stdout, nullptr, _IOLBF, 0);
    log::set_level(log::Level::fatal);
    const char* base = std::getenv("TMPDIR");
    std::string pattern = std::string(base == nullptr ? "/tmp" : base) + "/redis-check-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) {
        std::perror("cannot create a temporary folder");
        return 1;
    }
    folder = pattern;
    for (const auto& [name, body] : all) {
        if (argc > 1 && std::strstr(name, argv[1]) == nullptr) continue;
        this_failed = false;
        const Millis begun = now_ms();
        body();
        std::printf("%s %s (%lld ms)\n", this_failed ? "FAIL" : "ok  ", name, static_cast<long long>(now_ms() - begun));
        ++(this_failed ? failed : passed);
    }
    nftw(folder.c_str(), remove_one, 16, FTW_DEPTH | FTW_PHYS);
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
