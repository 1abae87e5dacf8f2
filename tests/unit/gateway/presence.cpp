// gateway/presence.h: users, not tabs, over all gateways. Each test has a Redis of its own on a Unix socket; gateways
// are objects with a connection each, and die by being destroyed, which Redis cannot tell from SIGKILL.
#include "gateway/presence.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/log.h"
#include "net/loop.h"
#include "redis/connection.h"

namespace {

using namespace sio::gateway;
using sio::redis::Connection;
using sio::redis::Reply;
using Changes = std::vector<std::pair<std::string, bool>>;

sio::redis::ConnectionOptions quick() {
    sio::redis::ConnectionOptions options;
    options.backoff_min = 5;
    options.backoff_max = 20;
    options.silence = 300;
    return options;
}

/// A loop with a Redis beside it.
class World final : Connection::Owner {
public:
    World() {
        sio::log::set_level(sio::log::Level::fatal);
        char path[] = "/tmp/sio-presence-XXXXXX";
        folder_ = mkdtemp(path);
        start_redis();
        endpoint_.socket_path = folder_ + "/redis.sock";
        observer_ = std::make_unique<Connection>(loop, endpoint_, quick(), static_cast<Connection::Owner&>(*this));
        observer_->start();
        cr_assert(until([&] { return observer_->is_up(); }), "redis-server does not start");
    }
    ~World() override {
        stop_redis();
        std::error_code ignored;
        std::filesystem::remove_all(folder_, ignored);
    }
    void start_redis() {
        pid_ = fork();
        if (pid_ == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that fails runs no destructors
            const int null = open("/dev/null", O_RDWR);
            dup2(null, 0);
            dup2(null, 1);
            dup2(null, 2);
            execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", (folder_ + "/redis.sock").c_str(),
                   "--save", "", "--appendonly", "no", "--dir", folder_.c_str(), static_cast<char*>(nullptr));
            _exit(127);
        }
    }
    void stop_redis() {
        if (pid_ <= 0) return;
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        pid_ = 0;
    }
    void signal_redis(int number) const { kill(pid_, number); }
    /// What Redis knows now survives a restart.
    void keep_data() { ask({"SAVE"}); }
    /// Runs the loop until `is_so` or for `most` milliseconds; whether it is so.
    bool until(const std::function<bool()>& is_so, Millis most = 5000) {
        struct Check final : sio::base::Timer {
            World* world = nullptr;
            const std::function<bool()>* is_so = nullptr;
            Millis end = 0;
            bool done = false;
            void expire(Millis now) override {
                done = (*is_so)();
                if (done || now >= end) return world->loop.stop();
                world->loop.timers().arm(*this, now + 2);
            }
        } check;
        check.world = this;
        check.is_so = &is_so;
        const auto now =
            std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
                .count();
        check.end = now + most;
        loop.timers().arm(check, now);
        loop.run();
        return check.done;
    }
    void wait(Millis time) {
        until([] { return false; }, time);
    }
    /// The reply of a command as text, arrays as their items with a blank behind each.
    std::string ask(std::vector<std::string> words) {
        std::vector<std::string_view> command(words.begin(), words.end());
        std::optional<std::string> answer;
        cr_assert(
            observer_->send(command, [&](const Reply* reply) { answer = reply == nullptr ? "lost" : text(*reply); }));
        until([&] { return answer.has_value(); });
        return answer.value_or("nothing");
    }
    /// What has been announced, by the stream.
    Changes announced(const std::string& stream = "news") {
        Changes changes;
        std::optional<bool> done;
        observer_->send({"XRANGE", stream, "-", "+"}, [&](const Reply* reply) {
            done = true;
            if (reply == nullptr) return;
            for (const Reply& entry : reply->items) {
                const auto& fields = entry.items[1].items;
                changes.emplace_back(std::string(fields[1].text), fields[3].text == "online");
            }
        });
        until([&] { return done.has_value(); });
        return changes;
    }
    bool is_up() const { return observer_->is_up(); }
    const sio::redis::Endpoint& endpoint() const { return endpoint_; }

    sio::net::Loop loop = std::move(*sio::net::Loop::create());
    std::string stream = "news";

private:
    static std::string text(const Reply& reply) {
        if (reply.is_integer()) return std::to_string(reply.integer);
        if (!reply.is_array()) return std::string(reply.text);
        std::string all;
        for (const Reply& one : reply.items) all += text(one) + " ";
        return all;
    }
    void on_up(Connection&) override {}
    void on_down(Connection&, std::string_view) override {}

    std::string folder_;
    sio::redis::Endpoint endpoint_;
    pid_t pid_ = 0;
    std::unique_ptr<Connection> observer_;
};

PresenceOptions brisk(std::string node) {
    PresenceOptions options;
    options.node = std::move(node);
    options.grace = 100;
    options.heartbeat = 60;
    options.timeout = 400;
    options.reunion = 150;
    options.collect = 2;
    return options;
}

class Gateway final : Connection::Owner, Presence::Owner {
public:
    Gateway(World& world, const std::string& name, PresenceOptions options)
        : world_(world),
          connection_(world.loop, world.endpoint(), quick(), static_cast<Connection::Owner&>(*this)),
          presence(world.loop, std::move(options), static_cast<Presence::Owner&>(*this),
                   [this](std::span<const std::string_view> command, Presence::Done done) {
                       return send(command, std::move(done));
                   }),
          name_(name) {
        connection_.start();
    }
    Gateway(World& world, const std::string& name) : Gateway(world, name, brisk(name)) {}
    void open(const std::string& user) { presence.socket_opened(user); }
    void close(const std::string& user) { presence.socket_closed(user); }
    bool is_up() const { return connection_.is_up(); }
    void reconnect() { connection_.reconnect("the test wants it"); }
    std::size_t pending() const { return connection_.pending(); }

    Changes told;
    std::string loses;  ///< the answer of the next script that names this word is lost, with the connection
    bool is_frozen = false;
    bool is_late = false;  ///< does not notice that Redis is up
    std::size_t commands = 0;
    std::size_t changes = 0;  ///< of the commands: scripts with users, not heartbeats, which come with time
    std::vector<std::string> last_change;  ///< the last script that was sent with users

private:
    bool send(std::span<const std::string_view> command, Presence::Done done) {
        if (is_frozen) return false;
        ++commands;
        if (command[0] == "EVALSHA" && command.size() > 10 && (command[10] == "+" || command[10] == "-")) {
            ++changes;
            last_change.assign(command.begin(), command.end());
        }
        if (loses.empty() || std::find(command.begin(), command.end(), loses) == command.end())
            return connection_.send(command, std::move(done));
        loses.clear();
        return connection_.send(command, [this, done](const Reply*) {
            done(nullptr);
            reconnect();
        });
    }
    void on_up(Connection&) override {
        if (!is_late) presence.redis_up();
    }
    void on_down(Connection&, std::string_view) override { presence.redis_down(); }
    std::vector<Presence::Entry> render(std::string_view user, bool online) override {
        return {{world_.stream, {"user", std::string(user), "is", online ? "online" : "offline", "by", name_}}};
    }
    void announce(std::string_view user, bool online, bool published) override {
        cr_expect(published);
        told.emplace_back(user, online);
    }

    World& world_;
    Connection connection_;

public:
    Presence presence;

private:
    std::string name_;
};

/// Joined, and nothing waits.
bool is_settled(Gateway& gateway) {
    return gateway.is_up() && gateway.presence.stats().rejoins > 0 && gateway.presence.stats().waiting == 0 &&
           gateway.pending() == 0;
}

const Changes on_and_off{{"alice", true}, {"alice", false}};

}  // namespace

Test(presence, a_user_comes_and_goes_once_however_many_tabs_and_gateways) {
    World world;
    Gateway a(world, "a");
    Gateway b(world, "b");
    a.open("alice");
    a.open("alice");
    cr_assert(world.until([&] { return !a.told.empty(); }));
    b.open("alice");
    world.until([&] { return is_settled(b); });
    a.close("alice");
    a.close("alice");
    world.wait(250);
    cr_expect(world.announced() == Changes({{"alice", true}}), "a tab at another gateway is left");
    b.close("alice");
    cr_expect(world.until([&] { return !b.told.empty(); }));
    cr_expect(world.announced() == on_and_off);
    cr_expect(a.told == Changes({{"alice", true}}) && b.told == Changes({{"alice", false}}));
    cr_expect(world.ask({"HLEN", "{sio}:presence"}) == "0" && world.ask({"ZCARD", "{sio}:leaving"}) == "0");
}

Test(presence, a_quick_reconnect_is_hidden_here_and_elsewhere) {
    World world;
    Gateway a(world, "a");
    Gateway b(world, "b");
    a.open("alice");
    world.until([&] { return !a.told.empty(); });
    for (int i = 0; i < 5; ++i) {
        Gateway& from = i % 2 == 0 ? a : b;
        Gateway& to = i % 3 == 0 ? a : b;
        from.close("alice");
        world.wait(40);
        to.open("alice");
        world.wait(20);
        to.close("alice");
        from.open("alice");
        if (i % 2 == 0) {
            world.wait(10);
            from.close("alice");
            b.open("alice");
        } else {
            from.close("alice");
            a.open("alice");
        }
        world.wait(20);
    }
    cr_expect(world.announced() == Changes({{"alice", true}}));
}

Test(presence, who_opens_and_closes_within_a_moment_is_no_news) {
    World world;
    Gateway a(world, "a");
    cr_assert(world.until([&] { return is_settled(a); }));
    const std::size_t before = a.commands;
    a.open("alice");
    a.close("alice");
    world.wait(30);
    cr_expect(world.announced().empty());
    cr_expect(a.commands <= before + 1, "a heartbeat at most");
    cr_expect(a.presence.stats().users == 0);
}

Test(presence, the_users_of_a_dead_gateway_go_offline_once_each_but_not_who_came_back_elsewhere) {
    World world;
    auto a = std::make_unique<Gateway>(world, "a");
    Gateway b(world, "b");
    Gateway c(world, "c");
    for (int i = 0; i < 600; ++i) a->open("user" + std::to_string(i));
    b.open("user7");
    cr_assert(world.until([&] { return world.loop.now() > 0 && a->told.size() + b.told.size() == 600; }));
    a.reset();
    const Millis died = world.loop.now();
    c.open("user8");
    cr_expect(world.until([&] { return b.told.size() + c.told.size() >= 598; }));
    const Millis took = world.loop.now() - died;
    cr_expect(took >= 300 && took < 900, "%ld ms for a timeout of 400", static_cast<long>(took));
    world.wait(200);
    std::map<std::string, std::vector<bool>> by_user;
    for (const auto& [user, online] : world.announced()) by_user[user].push_back(online);
    cr_expect(by_user.size() == 600);
    for (const auto& [user, changes] : by_user) {
        const bool stays = user == "user7" || user == "user8";
        cr_expect(changes == (stays ? std::vector<bool>{true} : std::vector<bool>{true, false}), "%s", user.c_str());
    }
    cr_expect(b.presence.stats().buried + c.presence.stats().buried == 1);
    cr_expect(world.ask({"KEYS", "*presence:dead*"}).empty());
}

Test(presence, who_moved_from_a_dead_gateway_and_leaves_has_the_whole_grace) {
    World world;
    const auto with_grace = [](const char* name) {
        PresenceOptions options = brisk(name);
        options.grace = 700;
        return options;
    };
    auto a = std::make_unique<Gateway>(world, "a", with_grace("a"));
    Gateway b(world, "b", with_grace("b"));
    a->open("alice");
    cr_assert(world.until([&] { return !a->told.empty() && is_settled(b); }));
    a.reset();
    b.open("alice");
    world.wait(330);  // the heart of the dead one stopped long ago, and nobody has buried it
    b.close("alice");
    const Millis left = world.loop.now();
    cr_assert(world.until([&] { return !b.told.empty(); }));
    cr_expect(world.loop.now() - left >= 700, "offline %ld ms after the last socket, the grace is 700",
              static_cast<long>(world.loop.now() - left));
    cr_expect(world.announced() == on_and_off);
    cr_expect(world.until([&] { return world.ask({"ZCARD", "{sio}:presence:left"}) == "0"; }), "nothing is kept");
}

Test(presence, a_storm_is_few_round_trips) {
    World world;
    Gateway a(world, "a");
    Gateway b(world, "b");
    world.until([&] { return is_settled(a) && is_settled(b); });
    constexpr std::size_t many = 10'000;
    for (std::size_t i = 0; i < many; ++i) a.open("user" + std::to_string(i));
    cr_assert(world.until([&] { return a.told.size() == many; }));
    const std::size_t before = a.changes + b.changes;
    // All of them reconnect to the other gateway.
    for (std::size_t i = 0; i < many; ++i) {
        a.close("user" + std::to_string(i));
        b.open("user" + std::to_string(i));
    }
    cr_assert(world.until([&] { return a.presence.stats().waiting + b.presence.stats().waiting == 0; }));
    const std::size_t calls = a.changes + b.changes - before;
    cr_expect(calls < 120, "%zu calls for 20,000 changes", calls);
    world.wait(300);
    cr_expect(b.told.empty() && a.told.size() == many, "nobody was away for longer than the grace");
    cr_expect(world.ask({"SCARD", "{sio}:node:b"}) == "10000" && world.ask({"EXISTS", "{sio}:node:a"}) == "0");
}

Test(presence, a_lost_answer_neither_loses_nor_repeats_an_announcement) {
    World world;
    Gateway a(world, "a");
    cr_assert(world.until([&] { return is_settled(a); }));
    a.loses = "alice";
    a.open("alice");
    cr_assert(world.until([&] { return a.loses.empty() && is_settled(a); }));
    world.wait(50);
    cr_expect(world.announced() == Changes({{"alice", true}}));
    a.loses = "-";
    a.close("alice");
    cr_assert(world.until([&] { return a.loses.empty() && is_settled(a); }));
    cr_assert(world.until([&] { return world.loop.now() > 0 && a.told.size() == 1; }, 2000));
    cr_expect(world.announced() == on_and_off);
    // And when it is the answer to the last step.
    a.open("bob");
    world.until([&] { return a.told.size() == 2; });
    a.close("bob");
    world.wait(50);
    a.loses = "bob";
    cr_assert(world.until([&] { return a.loses.empty(); }));
    world.wait(400);
    cr_expect(world.announced() == Changes({{"alice", true}, {"alice", false}, {"bob", true}, {"bob", false}}));
}

Test(presence, a_gateway_that_dies_after_its_script_has_announced) {
    World world;
    auto a = std::make_unique<Gateway>(world, "a");
    cr_assert(world.until([&] { return is_settled(*a); }));
    a->loses = "alice";
    a->open("alice");
    cr_assert(world.until([&] { return a->loses.empty(); }));
    a.reset();
    cr_expect(world.announced() == Changes({{"alice", true}}));
    Gateway b(world, "b");
    cr_expect(world.until([&] { return !b.told.empty(); }), "the next gateway takes over");
    cr_expect(world.announced() == on_and_off);
}

Test(presence, an_orphan_in_grace_is_settled_by_another) {
    World world;
    auto a = std::make_unique<Gateway>(world, "a");
    Gateway b(world, "b");
    a->open("alice");
    world.until([&] { return !a->told.empty(); });
    a->close("alice");
    world.wait(30);
    a.reset();
    cr_expect(world.until([&] { return !b.told.empty(); }));
    cr_expect(world.announced() == on_and_off);
}

Test(presence, a_gateway_that_leaves_needs_no_timeout) {
    World world;
    PresenceOptions patient = brisk("a");
    patient.timeout = 60'000;
    Gateway a(world, "a", patient);
    patient.node = "b";
    Gateway b(world, "b", patient);
    world.until([&] { return is_settled(a) && is_settled(b); });
    a.open("alice");
    world.until([&] { return !a.told.empty(); });
    a.presence.leave();
    cr_expect(world.until([&] { return !b.told.empty(); }));
    cr_expect(world.announced() == on_and_off);
}

Test(presence, redis_away_then_back_announces_only_what_is_so) {
    World world;
    Gateway a(world, "a");
    Gateway b(world, "b");
    for (const char* user : {"stays", "moves", "leaves"}) a.open(user);
    world.until([&] { return a.told.size() == 3; });
    world.keep_data();
    world.stop_redis();
    cr_assert(world.until([&] { return !a.is_up() && !b.is_up(); }));
    a.close("moves");
    b.open("moves");
    a.close("leaves");
    b.open("comes");
    b.open("passes");
    world.wait(600);  // longer than timeout and grace
    b.close("passes");
    bool refused = false;
    a.presence.query({"stays", "x"},
                     [&](auto answer) { refused = !answer && answer.error().code == sio::Errc::unavailable; });
    cr_expect(refused);
    world.start_redis();
    cr_assert(world.until([&] { return is_settled(a) && is_settled(b); }));
    world.wait(1200);
    Changes news = world.announced();
    cr_assert(news.size() == 5, "%zu", news.size());
    news.erase(news.begin(), news.begin() + 3);
    std::sort(news.begin(), news.end());
    cr_expect(news == Changes({{"comes", true}, {"leaves", false}}));
}

Test(presence, redis_restarted_empty_is_told_again_without_news) {
    World world;
    Gateway a(world, "a");
    Gateway b(world, "b");
    for (const char* user : {"stays", "both", "leaves", "graced"}) a.open(user);
    b.open("both");
    world.until([&] { return a.told.size() + b.told.size() == 4 && is_settled(b); });
    a.close("graced");
    world.wait(20);
    world.stop_redis();
    cr_assert(world.until([&] { return !a.is_up() && !b.is_up(); }));
    a.close("leaves");
    b.open("comes");
    world.start_redis();
    cr_assert(world.until([&] { return world.is_up() && is_settled(a) && is_settled(b); }));
    cr_expect(world.ask({"HMGET", "{sio}:presence", "stays", "both", "comes"}) == "1 2 1 ");
    world.wait(1200);
    Changes news = world.announced();  // the stream is new as well
    std::sort(news.begin(), news.end());
    cr_expect(news == Changes({{"comes", true}, {"graced", false}, {"leaves", false}}), "%zu", news.size());
}

Test(presence, flushed_scripts_and_data_are_replaced) {
    World world;
    Gateway a(world, "a");
    a.open("alice");
    world.until([&] { return !a.told.empty(); });
    world.ask({"SCRIPT", "FLUSH"});
    a.open("bob");
    cr_expect(world.until([&] { return a.told.size() == 2; }));
    world.ask({"FLUSHALL"});
    a.open("carol");
    cr_expect(world.until([&] { return a.told.size() == 3; }));
    cr_expect(world.ask({"HMGET", "{sio}:presence", "alice", "bob", "carol"}) == "1 1 1 ");
    cr_expect(world.announced() == Changes({{"carol", true}}));
}

Test(presence, writes_lost_by_a_failover_are_made_again) {
    World world;
    Gateway a(world, "a");
    a.open("alice");
    world.until([&] { return !a.told.empty(); });
    // The replica that took over knows the gateway, but an older state of it.
    world.ask({"HSET", "{sio}:presence:seq", "a", "0"});
    world.ask({"SREM", "{sio}:node:a", "alice"});
    world.ask({"HDEL", "{sio}:presence", "alice"});
    world.ask({"SADD", "{sio}:node:a", "ghost"});
    world.ask({"HSET", "{sio}:presence", "ghost", "1"});
    cr_expect(world.until([&] { return a.presence.stats().rejoins == 2 && is_settled(a); }));
    cr_expect(world.until([&] { return a.told.size() == 3; }));
    cr_expect(world.ask({"HGETALL", "{sio}:presence"}) == "alice 1 ");
    cr_expect(a.told.back() == std::pair(std::string("ghost"), false));
}

Test(presence, a_call_of_an_old_connection_that_comes_late_is_refused) {
    World world;
    Gateway a(world, "a");
    a.open("alice");
    world.until([&] { return !a.told.empty() && is_settled(a); });
    const std::vector<std::string> late = a.last_change;
    cr_assert(!late.empty());
    a.close("alice");
    world.until([&] { return a.told.size() == 2; });
    cr_expect(world.ask(late).starts_with("0 "));
    cr_expect(world.ask({"HLEN", "{sio}:presence"}) == "0");
}

Test(presence, redis_frozen_in_the_middle_of_changes) {
    World world;
    Gateway a(world, "a");
    a.open("alice");
    world.until([&] { return !a.told.empty() && is_settled(a); });
    world.signal_redis(SIGSTOP);
    a.open("bob");
    a.close("alice");
    world.wait(20);
    a.open("carol");
    cr_assert(world.until([&] { return !a.is_up(); }));
    a.close("bob");
    a.open("alice");
    world.wait(100);
    world.signal_redis(SIGCONT);
    cr_assert(world.until([&] { return world.is_up() && is_settled(a); }));
    world.wait(1200);
    std::map<std::string, std::vector<bool>> by_user;
    for (const auto& [user, online] : world.announced()) by_user[user].push_back(online);
    cr_expect(by_user["alice"] == std::vector<bool>{true});
    cr_expect(by_user["carol"] == std::vector<bool>{true});
    cr_expect(by_user["bob"].empty() || by_user["bob"] == std::vector<bool>({true, false}));
    cr_expect(world.ask({"HMGET", "{sio}:presence", "alice", "bob", "carol"}) == "1  1 ");
}

Test(presence, a_frozen_gateway_is_buried_and_comes_back) {
    World world;
    Gateway a(world, "a");
    Gateway b(world, "b");
    a.open("alice");
    world.until([&] { return !a.told.empty() && is_settled(b); });
    a.is_frozen = true;
    cr_assert(world.until([&] { return !b.told.empty(); }));
    a.is_frozen = false;
    cr_expect(world.until([&] { return a.told.size() == 2; }));
    cr_expect(world.announced() == Changes({{"alice", true}, {"alice", false}, {"alice", true}}));
}

Test(presence, after_an_outage_a_gateway_that_is_late_keeps_its_users) {
    World world;
    Gateway a(world, "a");
    Gateway b(world, "b");
    a.open("moves");
    b.open("stays");
    world.until([&] { return a.told.size() + b.told.size() == 2; });
    world.keep_data();
    world.stop_redis();
    cr_assert(world.until([&] { return !a.is_up() && !b.is_up(); }));
    b.is_late = true;
    a.close("moves");
    b.open("moves");
    world.wait(600);  // longer than the timeout
    world.start_redis();
    cr_assert(world.until([&] { return a.is_up() && b.is_up(); }));
    world.wait(250);
    b.presence.redis_up();
    world.wait(1000);
    cr_expect(world.announced().size() == 2);
    cr_expect(a.presence.stats().buried == 0);
}

Test(presence, after_a_short_loss_nobody_is_taken_offline_before_the_others_are_back) {
    World world;
    PresenceOptions options = brisk("a");
    options.reunion = 400;
    Gateway a(world, "a", options);
    Gateway b(world, "b");
    a.open("alice");
    world.until([&] { return !a.told.empty() && is_settled(b); });
    a.close("alice");
    world.wait(20);
    b.is_late = true;
    a.reconnect();
    b.reconnect();
    b.open("alice");
    world.wait(250);  // longer than the grace
    b.presence.redis_up();
    world.wait(600);
    cr_expect(world.announced() == Changes({{"alice", true}}));
}

Test(presence, a_clock_that_jumps_takes_nobody_offline_and_hides_no_death) {
    World world;
    Gateway a(world, "a");
    auto b = std::make_unique<Gateway>(world, "b");
    a.open("alice");
    b->open("bob");
    world.until([&] { return a.told.size() + b->told.size() == 2; });
    // Forwards: to the gateways the last heartbeats are an hour old. Backwards: an hour ahead.
    for (const char* by : {"-3600000", "3600000"}) {
        world.ask({"ZINCRBY", "{sio}:nodes", by, "a"});
        world.ask({"ZINCRBY", "{sio}:nodes", by, "b"});
        world.wait(150);
    }
    world.wait(900);
    cr_expect(world.announced().size() == 2);
    cr_expect(world.ask({"HMGET", "{sio}:presence", "alice", "bob"}) == "1 1 ");
    b.reset();
    world.ask({"ZINCRBY", "{sio}:nodes", "3600000", "b"});
    cr_expect(world.until([&] { return a.told.size() == 2; }, 2000));
    cr_expect(a.told.back() == std::pair(std::string("bob"), false));
}

Test(presence, a_thousand_users_are_asked_for_in_one_round_trip) {
    World world;
    Gateway a(world, "a");
    Gateway b(world, "b");
    a.open("here");
    a.open("graced");
    world.until([&] { return a.told.size() == 2 && is_settled(b); });
    a.close("graced");
    world.wait(30);
    for (const std::size_t count : {std::size_t{1000}, std::size_t{2500}}) {
        std::vector<std::string> users(count, "nobody");
        users[1] = "here";
        users[count - 1] = "graced";
        const std::uint64_t before = b.presence.stats().round_trips;
        std::optional<std::vector<bool>> online;
        b.presence.query(users, [&](auto answer) { online = answer.value_or(std::vector<bool>{}); });
        cr_expect(b.presence.stats().round_trips - before == (count + 999) / 1000);
        world.until([&] { return online.has_value(); });
        cr_assert(online->size() == count);
        cr_expect((*online)[1] && !(*online)[0] && std::count(online->begin(), online->end(), true) >= 1);
        if (count == 1000) cr_expect((*online)[count - 1], "in grace is online");
    }
    std::optional<std::size_t> none;
    b.presence.query({}, [&](auto answer) { none = answer->size(); });
    cr_expect(none == 0U);
}

Test(presence, the_control_socket_is_answered) {
    World world;
    Gateway a(world, "a");
    for (const char* user : {"carol", "alice", "b\"ob"}) a.open(user);
    world.until([&] { return a.told.size() == 3; });
    const auto answer = [&](std::string_view request) {
        std::optional<std::string> text;
        a.presence.answer(
            request, [&](auto members) { text = members ? *members : std::string(to_string(members.error().code)); });
        world.until([&] { return text.has_value(); });
        return *text;
    };
    cr_expect(answer(R"({"users":["alice","dave"]})") == R"("online":{"alice":true,"dave":false})");
    cr_expect(answer(R"({})") == R"("count":3,"users":["alice","b\"ob","carol"])");
    cr_expect(answer(R"({"limit":0})") == R"("count":3,"users":[])");
    cr_expect(answer(R"({"limit":2})").starts_with(R"("count":3,"users":[")"));
    for (const char* bad : {R"({"users":"alice"})", R"({"users":[1]})", R"({"limit":-1})", R"({"limit":100001})"})
        cr_expect(answer(bad) == "malformed", "%s", bad);
}

Test(presence, a_stream_that_cannot_be_written_does_not_stop_the_counting) {
    World world;
    world.ask({"SET", "news", "no stream"});
    Gateway a(world, "a");
    a.open("alice");
    a.open("bob");
    cr_expect(world.until([&] { return a.told.size() == 2; }));
    cr_expect(a.presence.stats().failures >= 1);
    cr_expect(world.ask({"HMGET", "{sio}:presence", "alice", "bob"}) == "1 1 ");
}

Test(presence, old_entries_are_trimmed_by_age) {
    World world;
    PresenceOptions options = brisk("a");
    options.retention = 1000;
    world.ask({"XADD", "news", "1-1", "user", "old", "is", "online"});
    for (int i = 0; i < 200; ++i) world.ask({"XADD", "news", "2-*", "user", "old", "is", "online"});
    Gateway a(world, "a", options);
    a.open("alice");
    cr_expect(world.until([&] { return !a.told.empty(); }));
    cr_expect(world.announced().size() < 150, "whole nodes of the stream");
}

Test(presence, without_redis_it_is_this_gateway_alone) {
    struct Alone final : Presence::Owner {
        std::vector<Presence::Entry> render(std::string_view, bool) override { return {}; }
        void announce(std::string_view user, bool online, bool published) override {
            cr_expect(!published);
            told.emplace_back(user, online);
        }
        Changes told;
    } owner;
    World world;
    Presence presence(world.loop, brisk("a"), owner);
    presence.socket_opened("");
    presence.socket_opened("alice");
    presence.socket_opened("alice");
    presence.socket_closed("nobody");
    world.wait(30);
    cr_expect(owner.told == Changes({{"alice", true}}));
    presence.socket_closed("alice");
    presence.socket_closed("alice");
    world.wait(50);
    std::vector<bool> online;
    presence.query({"alice", "bob"}, [&](auto answer) { online = *answer; });
    cr_expect(online == std::vector<bool>({true, false}));
    presence.socket_opened("alice");
    world.wait(150);
    cr_expect(owner.told.size() == 1, "back within the grace");
    presence.socket_closed("alice");
    world.wait(200);
    cr_expect(owner.told == on_and_off);
    std::optional<std::uint64_t> count;
    presence.list(10, [&](auto list) { count = list->count; });
    cr_expect(count == 0U && presence.stats().users == 0);
}

Test(presence, whatever_happens_each_user_comes_and_goes_in_turns_and_ends_as_he_is) {
    World world;
    std::mt19937 random(20'261);
    const auto draw = [&](std::size_t below) { return static_cast<std::size_t>(random() % below); };
    std::array<std::unique_ptr<Gateway>, 3> gateways;
    std::array<std::map<std::string, int>, 3> sockets;
    int started = 0;
    const auto start = [&](std::size_t i) {
        const std::string name = "g" + std::to_string(started++);
        PresenceOptions options = brisk(name);
        options.grace = 15;
        options.heartbeat = 30;
        options.timeout = 150;
        options.reunion = 20;
        gateways[i] = std::make_unique<Gateway>(world, name, options);
    };
    for (std::size_t i = 0; i < 3; ++i) start(i);
    for (int step = 0; step < 1500; ++step) {
        const std::size_t at = draw(3);
        Gateway& gateway = *gateways[at];
        const std::string user = "u" + std::to_string(draw(12));
        const std::size_t what = draw(100);
        if (what < 40) {
            gateway.open(user);
            ++sockets[at][user];
        } else if (what < 90) {
            if (sockets[at][user] == 0) continue;
            gateway.close(user);
            --sockets[at][user];
        } else if (what < 93) {
            gateway.loses = user;
        } else if (what < 95) {
            gateway.reconnect();
        } else if (what == 95) {
            world.ask({"SCRIPT", "FLUSH"});
        } else if (what == 96) {
            gateways[at].reset();
            sockets[at].clear();
            start(at);
        } else {
            world.wait(static_cast<Millis>(draw(60)));
        }
        if (draw(2) == 0) world.wait(static_cast<Millis>(draw(8)));
    }
    for (auto& gateway : gateways) gateway->loses.clear();
    std::map<std::string, std::vector<bool>> by_user;
    std::set<std::string> here;
    for (const auto& of : sockets) {
        for (const auto& [user, count] : of) {
            if (count > 0) here.insert(user);
        }
    }
    world.wait(1500);
    for (const auto& [user, online] : world.announced()) by_user[user].push_back(online);
    for (const auto& [user, changes] : by_user) {
        for (std::size_t i = 0; i < changes.size(); ++i)
            cr_expect(changes[i] == (i % 2 == 0), "%s: change %zu of %zu", user.c_str(), i, changes.size());
        cr_expect(changes.back() == here.contains(user), "%s ends otherwise", user.c_str());
    }
    for (const std::string& user : here) cr_expect(by_user.contains(user), "%s was never announced", user.c_str());
    cr_expect(world.ask({"HLEN", "{sio}:presence"}) == std::to_string(here.size()));
    cr_expect(world.ask({"ZCARD", "{sio}:leaving"}) == "0");
    std::size_t changes = 0;
    for (const auto& [user, of] : by_user) changes += of.size();
    cr_expect(changes > 30, "only %zu changes: the test tests little", changes);
}
