// What requests with an Idempotency-Key were answered, so that one that is sent again does nothing again.
//
// In a cluster this is kept in Redis, one key for each, so that it holds whichever gateway a request comes to:
//
//     sio:idempotency:NAME:KEY    p:FINGERPRINT:CLAIM          while it is carried out, for claim_time
//                                 d:FINGERPRINT:STATUS:BODY    afterwards, for keep_time
//
// The fingerprint is the SHA-256 of the request in hex. A claim ends with its gateway: whether what it did has come to
// pass is not known then, and after claim_time the request is carried out when it comes again. Without Redis it is kept
// in memory, bounded, and forgotten at the end of the process.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/keyed_hash.h"
#include "net/loop.h"
#include "redis/connection.h"

namespace sio::gateway {

using base::Millis;

class Idempotency {
public:
    static constexpr Millis keep_time = 86'400'000;
    static constexpr Millis claim_time = 60'000;
    static constexpr std::size_t max_kept = 10'000;                        ///< in memory; the oldest go first
    static constexpr std::size_t max_kept_bytes = std::size_t{64} << 20U;  ///< of their answers
    static constexpr std::size_t max_late = 10'000;                        ///< settlements that wait for Redis

    struct Answer {
        int status = 0;
        std::string body;
    };
    enum class Verdict : std::uint8_t {
        carry_out,    ///< it is new, and claimed: settle() or give_up() is to be called
        replay,       ///< it was answered before
        differs,      ///< the key belongs to another request
        busy,         ///< it is being carried out
        unavailable,  ///< Redis cannot say
    };
    /// A request that is carried out under its key.
    struct Claim {
        std::string key;
        std::string fingerprint;
        std::string value;  ///< what Redis has meanwhile
    };

    /// Gives a command to Redis, as redis::Connection::send() does. Without: in memory.
    using Send = std::function<bool(std::span<const std::string_view> command, redis::Connection::Done done)>;

    Idempotency(net::Loop& loop, Send send);
    ~Idempotency();
    Idempotency(const Idempotency&) = delete;
    Idempotency& operator=(const Idempotency&) = delete;

    /// `done` is called once, perhaps during the call; the answer is that of a replay.
    void begin(std::string_view name, std::string_view key, std::string fingerprint,
               std::function<void(Verdict, Claim, Answer)> done);
    /// It was answered so. `done(true)` when that is kept, and with it everything that was sent to Redis before;
    /// `done(false)` when Redis is lost: it is told when it is back.
    void settle(Claim claim, const Answer& answer, std::function<void(bool)> done);
    /// Nothing came of it: the next one is new.
    void give_up(Claim claim);

    /// The connection that `send` uses is up.
    void redis_up();

    /// Answers that had to be forgotten before their time.
    [[nodiscard]] std::uint64_t forgotten() const noexcept { return forgotten_; }
    [[nodiscard]] std::size_t kept() const noexcept { return kept_.size(); }

private:
    struct Kept {
        std::string fingerprint;
        std::optional<Answer> answer;  ///< nothing: it is being carried out
        Millis until = 0;
        std::uint64_t number = 0;
    };
    struct Late {
        Claim claim;
        std::string value;  ///< empty: give up
    };

    void tell(Claim claim, std::string value, std::function<void(bool)> done);
    void defer(Claim claim, std::string value);
    void make_room();
    using Entries = std::unordered_map<std::string, Kept, base::KeyedHash>;
    void forget(Entries::iterator entry);

    net::Loop& loop_;
    Send send_;
    Entries kept_;
    std::deque<std::pair<std::string, std::uint64_t>> order_;  // of kept_, with numbers that tell later ones apart
    std::size_t kept_bytes_ = 0;
    std::uint64_t next_number_ = 1;
    std::deque<Late> late_;
    std::uint64_t forgotten_ = 0;
    // Shared with callbacks that the connection holds, which may outlive this object.
    std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sio::gateway
