#include "gateway/user_limits.h"

#include <algorithm>
#include <cmath>

namespace sio::gateway {

namespace {

// KEYS[1]: anything on the slot. ARGV: prefix, size, tokens per ms, then user and number taken, again and again.
// Answers what is left of each, in thousandths. A bucket nobody touches for the time it takes to fill is forgotten: it
// is full.
constexpr std::string_view script = R"(
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local size, rate = tonumber(ARGV[2]), tonumber(ARGV[3])
local left = {}
for i = 4, #ARGV, 2 do
  local key = ARGV[1] .. ARGV[i]
  local known = redis.call('HMGET', key, 't', 'at')
  local tokens = size
  if known[1] then tokens = math.min(size, tonumber(known[1]) + (now - tonumber(known[2])) * rate) end
  local taken = tonumber(ARGV[i + 1])
  if taken > 0 then
    tokens = math.max(-size, tokens - taken)
    redis.call('HSET', key, 't', tokens, 'at', now)
    redis.call('PEXPIRE', key, math.ceil((size - tokens) / rate) + 1000)
  end
  left[#left + 1] = math.floor(tokens * 1000)
end
return left
)";

constexpr Millis sweep_interval = 10'000;

}  // namespace

struct UserLimits::Alarm final : base::Timer {
    explicit Alarm(UserLimits& l) : limits(l) {}
    UserLimits& limits;

private:
    void expire(Millis) override { limits.report(); }
};

UserLimits::UserLimits(net::Loop& loop, RateLimit limit, std::string prefix, Send send)
    : loop_(loop),
      size_(limit.events),
      per_ms_(static_cast<double>(limit.events) / static_cast<double>(limit.per.count())),
      prefix_(std::move(prefix)),
      send_(std::move(send)),
      alarm_(std::make_unique<Alarm>(*this)) {}

UserLimits::~UserLimits() { *alive_ = false; }

void UserLimits::refill(Bucket& bucket, Millis now) const {
    bucket.tokens = std::min(size_, bucket.tokens + static_cast<double>(now - bucket.at) * per_ms_);
    bucket.at = now;
}

UserLimits::Bucket& UserLimits::bucket(std::string_view user) {
    const auto found = buckets_.find(user);
    if (found != buckets_.end()) {
        refill(found->second, loop_.now());
        return found->second;
    }
    Bucket& fresh = buckets_[std::string(user)];
    fresh.tokens = size_;
    fresh.at = loop_.now();
    return fresh;
}

std::optional<Millis> UserLimits::take(std::string_view user) {
    if (user.empty() || (buckets_.size() >= max_users && !buckets_.contains(user))) return std::nullopt;
    Bucket& one = bucket(user);
    if (one.tokens < 1) {
        ++limited_;
        return static_cast<Millis>(std::ceil((1 - one.tokens) / per_ms_));
    }
    one.tokens -= 1;
    ++one.unreported;
    queue(user, one);
    return std::nullopt;
}

void UserLimits::expect(std::string_view user) {
    if (user.empty() || !send_ || buckets_.size() >= max_users) return;
    queue(user, bucket(user));
}

void UserLimits::queue(std::string_view user, Bucket& bucket) {
    if (std::exchange(bucket.queued, true)) return;
    queue_.emplace_back(user);
    if (!alarm_->is_armed()) loop_.timers().arm(*alarm_, loop_.now() + report_interval);
}

void UserLimits::report() {
    const Millis now = loop_.now();
    std::vector<std::string> users = std::exchange(queue_, {});
    for (const std::string& user : users) {
        if (const auto found = buckets_.find(user); found != buckets_.end()) found->second.queued = false;
    }
    for (std::size_t from = 0; send_ && from < users.size(); from += batch) {
        const std::vector<std::string> some(
            users.begin() + static_cast<std::ptrdiff_t>(from),
            users.begin() + static_cast<std::ptrdiff_t>(std::min(from + batch, users.size())));
        std::vector<std::string> words{
            "EVAL", std::string(script), "1", prefix_, prefix_, std::to_string(size_), std::to_string(per_ms_)};
        for (const std::string& user : some) {
            words.push_back(user);
            const auto found = buckets_.find(user);
            words.push_back(std::to_string(found == buckets_.end() ? 0 : std::exchange(found->second.unreported, 0U)));
        }
        const std::vector<std::string_view> command(words.begin(), words.end());
        send_(command, [this, alive = alive_, some](const redis::Reply* reply) {
            if (*alive) learn(some, reply);
        });
    }
    if (now - swept_at_ < sweep_interval) return;
    swept_at_ = now;
    // A full bucket says nothing that a fresh one would not.
    for (auto entry = buckets_.begin(); entry != buckets_.end();) {
        Bucket& one = entry->second;
        refill(one, now);
        const bool is_full = one.tokens >= size_ && one.unreported == 0 && !one.queued;
        entry = is_full ? buckets_.erase(entry) : std::next(entry);
    }
}

void UserLimits::learn(const std::vector<std::string>& users, const redis::Reply* reply) {
    if (reply == nullptr || reply->items.size() != users.size()) return;
    for (std::size_t i = 0; i < users.size(); ++i) {
        const auto found = buckets_.find(users[i]);
        if (found == buckets_.end()) continue;
        found->second.tokens = static_cast<double>(reply->items[i].to_integer()) / 1000 - found->second.unreported;
        found->second.at = loop_.now();
    }
}

}  // namespace sio::gateway
