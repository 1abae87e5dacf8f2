// Whether a Redis lets us in, and whether our user may do there what the program does.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/trials.h"
#include "net/loop.h"
#include "redis/endpoint.h"

namespace sio::daemon {

/// A command as it is sent, so chosen that it changes nothing that lasts: it reads, names a key of nobody's, or has an
/// argument that Redis refuses when it carries it out. Redis looks at rights before that.
struct RedisCommand {
    std::vector<std::string> words;
    std::string place = {};  ///< the pattern that lets us at its key or channel: "~sio:events*"; empty: it names none

    /// The right to it, as an ACL has it: "+xadd", "+client|kill".
    [[nodiscard]] std::string right() const;
};

/// Commands that are written down one after the other:
///
///     commands.at("~sio:events*").add({"XADD", "sio:events", "x", "f", "v"});
class RedisCommands {
public:
    /// The pattern of the keys or channels that the commands which follow name.
    RedisCommands& at(std::string place) {
        place_ = std::move(place);
        return *this;
    }
    RedisCommands& add(std::vector<std::string> words) {
        all_.push_back({std::move(words), place_});
        return *this;
    }
    [[nodiscard]] std::vector<RedisCommand> all() && { return std::move(all_); }

private:
    std::string place_;
    std::vector<RedisCommand> all_;
};

class RedisTrial {
public:
    /// Connects, logs in and selects as the program does, then sends `commands`, those that subscribe last. Faults:
    /// what keeps us out; all rights that are missing, in one sentence with the ACL SETUSER that adds them; what Redis
    /// does not know, or does not do just now (a replica, full memory, a disk that fails). The loop and `trials`
    /// outlive it.
    RedisTrial(net::Loop& loop, const redis::Endpoint& endpoint, std::vector<RedisCommand> commands, Trials& trials);
    ~RedisTrial();
    RedisTrial(const RedisTrial&) = delete;
    RedisTrial& operator=(const RedisTrial&) = delete;

private:
    class Parts;
    std::unique_ptr<Parts> parts_;
};

}  // namespace sio::daemon
