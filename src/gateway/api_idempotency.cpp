#include "gateway/api_idempotency.h"

#include <array>
#include <utility>

#include "base/bytes.h"
#include "base/log.h"
#include "gateway/cluster_parts.h"

namespace sio::gateway {

namespace {

constexpr std::string_view key_prefix = "sio:idempotency:";
constexpr std::size_t fingerprint_size = 64;

// ARGV: the claim, its time. Answers what was there before, or nil.
constexpr std::string_view begin_script = R"(
local v = redis.call('GET', KEYS[1])
if v then return v end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
)";

// ARGV: the claim, the answer (empty: none), its time. What another has put there stays.
constexpr std::string_view settle_script = R"(
local v = redis.call('GET', KEYS[1])
if v and v ~= ARGV[1] then return 0 end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
)";

using Verdict = Idempotency::Verdict;

/// What the value of a key means for a request with this fingerprint.
std::pair<Verdict, Idempotency::Answer> read_value(std::string_view value, std::string_view fingerprint) {
    if (value.size() < 2 + fingerprint_size + 1 || value[1] != ':') return {Verdict::unavailable, {}};
    if (value.substr(2, fingerprint_size) != fingerprint) return {Verdict::differs, {}};
    if (value.front() == 'p') return {Verdict::busy, {}};
    std::string_view rest = value.substr(2 + fingerprint_size + 1);
    const std::size_t colon = rest.find(':');
    const auto status = base::parse_decimal(rest.substr(0, colon), 599);
    if (value.front() != 'd' || colon == std::string_view::npos || !status) return {Verdict::unavailable, {}};
    return {Verdict::replay, {static_cast<int>(*status), std::string(rest.substr(colon + 1))}};
}

}  // namespace

Idempotency::Idempotency(net::Loop& loop, Send send) : loop_(loop), send_(std::move(send)) {}
Idempotency::~Idempotency() = default;

void Idempotency::begin(std::string_view name, std::string_view key, std::string fingerprint,
                        std::function<void(Verdict, Claim, Answer)> done) {
    Claim claim;
    claim.key.append(name).append(":").append(key);
    claim.fingerprint = std::move(fingerprint);
    if (!send_) {
        const auto found = kept_.find(claim.key);
        if (found != kept_.end() && found->second.until > loop_.now()) {
            const Kept& known = found->second;
            if (known.fingerprint != claim.fingerprint) return done(Verdict::differs, {}, {});
            if (!known.answer) return done(Verdict::busy, {}, {});
            return done(Verdict::replay, {}, *known.answer);
        }
        if (found != kept_.end()) forget(found);
        make_room();
        kept_.emplace(claim.key, Kept{claim.fingerprint, std::nullopt, loop_.now() + keep_time, next_number_});
        order_.emplace_back(claim.key, next_number_++);
        return done(Verdict::carry_out, std::move(claim), {});
    }
    claim.key.insert(0, key_prefix);
    claim.value = "p:" + claim.fingerprint + ':' + random_hex();
    const std::string time = std::to_string(claim_time);
    const std::array<std::string_view, 6> command = {"EVAL", begin_script, "1", claim.key, claim.value, time};
    const auto on_reply = [this, alive = std::weak_ptr<char>(alive_), claim, done](const redis::Reply* reply) {
        if (alive.expired()) return;
        if (reply == nullptr) {
            defer(claim, {});  // perhaps it was claimed
            done(Verdict::unavailable, {}, {});
        } else if (reply->is_nil()) {
            done(Verdict::carry_out, claim, {});
        } else if (!reply->is_text()) {
            log::warn("api", "idempotency_refused", {{"reason", reply->text}});
            done(Verdict::unavailable, {}, {});
        } else {
            auto [verdict, answer] = read_value(reply->text, claim.fingerprint);
            done(verdict, {}, std::move(answer));
        }
    };
    if (!send_(command, on_reply)) done(Verdict::unavailable, {}, {});
}

void Idempotency::settle(Claim claim, const Answer& answer, std::function<void(bool)> done) {
    if (!send_) {
        if (const auto found = kept_.find(claim.key); found != kept_.end()) {
            kept_bytes_ += answer.body.size();
            found->second.answer = answer;
        }
        done(true);
        return;
    }
    std::string value = "d:" + claim.fingerprint + ':' + std::to_string(answer.status) + ':' + answer.body;
    tell(std::move(claim), std::move(value), std::move(done));
}

void Idempotency::give_up(Claim claim) {
    if (!send_) {
        if (const auto found = kept_.find(claim.key); found != kept_.end()) forget(found);
        return;
    }
    tell(std::move(claim), {}, [](bool) {});
}

void Idempotency::tell(Claim claim, std::string value, std::function<void(bool)> done) {
    const std::string time = std::to_string(keep_time);
    const std::array<std::string_view, 7> command = {"EVAL", settle_script, "1", claim.key, claim.value, value, time};
    const auto shared = std::make_shared<std::pair<Claim, std::string>>(claim, value);
    const bool taken = send_(command, [this, alive = std::weak_ptr<char>(alive_), shared, done](const auto* reply) {
        if (alive.expired()) return;
        if (reply == nullptr) defer(std::move(shared->first), std::move(shared->second));
        done(reply != nullptr && !reply->is_error());
    });
    if (taken) return;
    defer(std::move(claim), std::move(value));
    done(false);
}

void Idempotency::defer(Claim claim, std::string value) {
    if (late_.size() == max_late) {
        late_.pop_front();
        ++forgotten_;
    }
    late_.push_back({std::move(claim), std::move(value)});
}

void Idempotency::redis_up() {
    std::deque<Late> late;
    late.swap(late_);
    for (Late& one : late) tell(std::move(one.claim), std::move(one.value), [](bool) {});
}

void Idempotency::make_room() {
    while (!order_.empty()) {
        const auto found = kept_.find(order_.front().first);
        const bool is_gone = found == kept_.end() || found->second.number != order_.front().second;
        const bool is_old = !is_gone && found->second.until <= loop_.now();
        if (!is_gone && !is_old && kept_.size() < max_kept && kept_bytes_ < max_kept_bytes) break;
        if (!is_gone) {
            if (!is_old) ++forgotten_;
            forget(found);
        }
        order_.pop_front();
    }
}

void Idempotency::forget(Entries::iterator entry) {
    if (entry->second.answer) kept_bytes_ -= entry->second.answer->body.size();
    kept_.erase(entry);
}

}  // namespace sio::gateway
