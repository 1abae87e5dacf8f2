#include "daemon/redis_trial.h"

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "redis/connection.h"

namespace sio::daemon {

namespace {

redis::ConnectionOptions options_of_trial() {
    redis::ConnectionOptions options;
    options.name = "sio-check";
    return options;
}

/// What to do about words of a reason.
struct Remedy {
    std::string_view word;
    std::string_view remedy;
};

constexpr std::array remedies_of_connecting = {
    Remedy{"WRONGPASS", "see user and password of the URL, or redis-password (REDIS_PASSWORD)"},
    Remedy{"invalid password", "see the password of the URL, or redis-password (REDIS_PASSWORD)"},
    Remedy{"NOAUTH", "it asks for a password: give redis-password (REDIS_PASSWORD), or a URL with one"},
    Remedy{"AUTH <password>", "it knows no password: leave redis-password out"},
    Remedy{"NOPERM", "give this user +ping, +select and +role; sio(7) lists the rights under REDIS RIGHTS"},
    Remedy{"DB index", "it has fewer databases: see redis-database (REDIS_DB), or the number behind the URL's host"},
    Remedy{"cannot select", "see redis-database (REDIS_DB), or the number behind the URL's host"},
    Remedy{"Connection refused", "nobody listens there: is Redis running, and is that its port?"},
    Remedy{"No such file", "there is no such socket: see unixsocket of its redis.conf"},
    Remedy{"Permission denied", "this user may not open the socket: see unixsocketperm of its redis.conf"},
    Remedy{"cannot resolve", "no name server knows that host: see redis-host (REDIS_HOST), or the URL"},
    Remedy{"certificate", "name the authority with tls_ca=FILE, and the name in it with tls_server_name=NAME"},
    Remedy{"speak TLS", "redis:// is without TLS, rediss:// with it"},
    Remedy{"TLS", "redis:// is without TLS, rediss:// with it"},
    Remedy{"closed", "does it want TLS (rediss://), or refuse our address (bind, protected-mode)?"},
    Remedy{"no answer within", "a firewall may drop what we send, or the address is wrong"},
    Remedy{"master", "see the name of the master in the URL, and what the sentinels say"},
};

constexpr std::array remedies_of_commands = {
    Remedy{"unknown command", "Redis 6.2 or newer has it; see rename-command of its redis.conf"},
    Remedy{"nknown subcommand", "Redis 6.2 or newer has it"},
    Remedy{"READONLY", "it is a replica: name the master, or the sentinels (redis+sentinel://)"},
    Remedy{"OOM", "its memory is full: raise its maxmemory"},
    Remedy{"MISCONF", "it cannot save to its disk: see its log"},
    Remedy{"NOREPLICAS", "too few replicas follow it: see min-replicas-to-write"},
    Remedy{"MOVED", "it is a Redis Cluster, which this program does not speak to: name a single Redis"},
    Remedy{"CLUSTERDOWN", "it is a Redis Cluster, which this program does not speak to: name a single Redis"},
};

const Remedy* find_remedy(std::span<const Remedy> remedies, std::string_view reason) {
    const auto found = std::ranges::find_if(
        remedies, [reason](const Remedy& one) { return reason.find(one.word) != std::string_view::npos; });
    return found == remedies.end() ? nullptr : &*found;
}

bool subscribes(const RedisCommand& command) { return command.words.front().ends_with("SUBSCRIBE"); }

}  // namespace

std::string RedisCommand::right() const {
    constexpr std::array containers = {"CLIENT", "SCRIPT", "PUBSUB", "XINFO", "XGROUP", "MEMORY"};
    std::string right = '+' + words.front();
    if (std::ranges::find(containers, words.front()) != containers.end()) right += '|' + words[1];
    std::ranges::transform(right, right.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return right;
}

class RedisTrial::Parts final : redis::Connection::Owner {
public:
    Parts(net::Loop& loop, const redis::Endpoint& endpoint, std::vector<RedisCommand> commands, Trials& trials)
        : trials_(trials),
          commands_(std::move(commands)),
          connection_(loop, endpoint, options_of_trial(), *this),
          attempts_left_(std::max<std::size_t>(1, endpoint.sentinels.size())),
          trial_(trials.open("redis " + endpoint.to_string(), [this] { return connection_.down_reason(); })) {
        std::stable_partition(commands_.begin(), commands_.end(),
                              [](const RedisCommand& one) { return !subscribes(one); });
        connection_.start();
    }

private:
    void on_up(redis::Connection& connection) override {
        if (std::exchange(was_up_, true)) return end();
        open_ = commands_.size() + 1;
        for (const RedisCommand& command : commands_) send(connection, command);
        answered();
    }

    void on_down(redis::Connection&, std::string_view reason) override {
        if (was_up_) {
            trials_.fault("redis: " + std::string(reason));
            return end();
        }
        if (reason.find("LOADING") != std::string_view::npos || --attempts_left_ > 0) return;
        const Remedy* const remedy = find_remedy(remedies_of_connecting, reason);
        trials_.fault("redis: " + std::string(reason) + (remedy != nullptr ? ": " + std::string(remedy->remedy) : ""));
        end();
    }

    void send(redis::Connection& connection, const RedisCommand& command) {
        const std::vector<std::string_view> words(command.words.begin(), command.words.end());
        const bool was_taken = connection.send(words, [this, &command](const redis::Reply* reply) {
            if (reply == nullptr) return;  // lost: on_down() has the reason
            if (reply->is_error()) judge(command, *reply);
            answered();
        });
        if (!was_taken) answered();
    }

    void judge(const RedisCommand& command, const redis::Reply& error) {
        if (error.is_denial()) {
            const auto has = [&error](std::string_view word) {
                return error.text.find(word) != std::string_view::npos;
            };
            // Redis 6 to 8 name the command in quotes when it is what is refused.
            const bool is_place = !command.place.empty() && !has("run the") && (has("key") || has("channel"));
            return add_missing(is_place ? command.place : command.right());
        }
        const Remedy* const remedy = find_remedy(remedies_of_commands, error.text);
        if (remedy == nullptr || std::exchange(told_, remedy) == remedy) return;  // what was to be expected
        trials_.fault("redis: " + command.words.front() + ": " + std::string(error.text.substr(0, 200)) + ": " +
                      std::string(remedy->remedy));
    }

    void add_missing(const std::string& right) {
        if (std::ranges::find(missing_, right) == missing_.end()) missing_.push_back(right);
    }

    void answered() {
        if (--open_ > 0) return;
        if (!missing_.empty()) {
            const std::string& user = connection_.endpoint().username;
            std::string all = "ACL SETUSER " + (user.empty() ? "default" : user);
            for (const std::string& right : missing_) all += ' ' + right;
            trials_.fault("redis: this user lacks rights: " + all + " gives them; sio(7) has all under REDIS RIGHTS");
        }
        end();
    }

    void end() {
        trials_.close(trial_);
        connection_.stop();
    }

    Trials& trials_;
    std::vector<RedisCommand> commands_;
    redis::Connection connection_;
    std::size_t attempts_left_;
    std::size_t trial_;
    bool was_up_ = false;
    std::size_t open_ = 0;
    std::vector<std::string> missing_;
    const Remedy* told_ = nullptr;
};

RedisTrial::RedisTrial(net::Loop& loop, const redis::Endpoint& endpoint, std::vector<RedisCommand> commands,
                       Trials& trials)
    : parts_(std::make_unique<Parts>(loop, endpoint, std::move(commands), trials)) {}

RedisTrial::~RedisTrial() = default;

}  // namespace sio::daemon
