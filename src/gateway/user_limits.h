// How many events a user may send, all tabs and all gateways together: one token bucket for each user.
//
// The bucket that counts is in Redis. Each gateway takes from a copy, tells Redis five times a second what was taken,
// and learns what is left; a user of several gateways can be ahead by what he sends in that time. Without Redis, and
// while it is away, each gateway counts for itself.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/keyed_hash.h"
#include "base/timer_wheel.h"
#include "gateway/config.h"
#include "net/loop.h"
#include "redis/connection.h"

namespace sio::gateway {

using base::Millis;

class UserLimits {
public:
    using Send = std::function<bool(std::span<const std::string_view> command, redis::Connection::Done done)>;

    /// `limit.events` is the size of a bucket, and what it gains in `limit.per`. Without `send` there is no Redis. The
    /// loop outlives it.
    UserLimits(net::Loop& loop, RateLimit limit, std::string prefix, Send send = {});
    ~UserLimits();
    UserLimits(const UserLimits&) = delete;
    UserLimits& operator=(const UserLimits&) = delete;

    /// Takes one event of this user. Nothing when he may send it; else how long until he may again.
    std::optional<Millis> take(std::string_view user);
    /// A socket of this user has come: asks Redis what is left to him.
    void expect(std::string_view user);

    [[nodiscard]] std::uint64_t limited() const noexcept { return limited_; }
    [[nodiscard]] std::size_t users() const noexcept { return buckets_.size(); }

    static constexpr Millis report_interval = 200;
    static constexpr std::size_t max_users = 1'000'000;  ///< with a bucket that is not full; others are not limited
    static constexpr std::size_t batch = 200;            ///< users in one command

private:
    struct Bucket {
        double tokens = 0;
        Millis at = 0;  ///< when `tokens` was true
        std::uint32_t unreported = 0;
        bool queued = false;
    };
    struct Alarm;

    Bucket& bucket(std::string_view user);
    void refill(Bucket& bucket, Millis now) const;
    void queue(std::string_view user, Bucket& bucket);
    void report();
    void learn(const std::vector<std::string>& users, const redis::Reply* reply);

    net::Loop& loop_;
    double size_;
    double per_ms_;
    std::string prefix_;
    Send send_;
    std::unordered_map<std::string, Bucket, base::KeyedHash, std::equal_to<>> buckets_;
    std::vector<std::string> queue_;
    std::unique_ptr<Alarm> alarm_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // answers may come after the end
    Millis swept_at_ = 0;
    std::uint64_t limited_ = 0;
};

}  // namespace sio::gateway
