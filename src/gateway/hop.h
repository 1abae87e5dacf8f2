// Between the gateways of different hosts: a request whose session another gateway has goes there over a private
// connection, and bytes are passed on both ways.
//
// The request's head is sent as it came, with one field more:
//
//     Sio-Hop: 2 <client's address> <milliseconds since 1970> <number: 16 hex digits> <64 hex digits>
//
// The digits at the end are the HMAC-SHA256, under a secret that all gateways share, of method, target, address, time
// and number, each but the last followed by a line feed. The number is random, and taken once: who has overheard a
// request cannot send it again. A field of that name which a client sent is taken out. The owner answers one
// request with `Connection: close`; a connection that became a WebSocket lasts. The bytes themselves are not encrypted:
// hops belong in a network of their own.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "gateway/engine.h"
#include "net/loop.h"

namespace sio::gateway {

struct HopStats {
    std::uint64_t out = 0;       ///< connections passed on to another host
    std::uint64_t in = 0;        ///< requests taken from another host
    std::uint64_t failures = 0;  ///< the owner was not reached, or did not answer in time
    std::uint64_t refused = 0;   ///< requests at our hop listener without a valid proof: 403
    std::uint64_t replayed = 0;  ///< of these, those whose proof had been used already
};

/// Where the gateways of other hosts are.
class NodeDirectory {
public:
    virtual ~NodeDirectory() = default;
    /// The hop listener of the gateway with this tag as `ADDRESS:PORT` (see HopEndpoint); empty when there is none.
    [[nodiscard]] virtual std::string hop_address(const Tag& tag) const = 0;
};

/// An IP address and a port: `10.0.0.1:3100`, `[fd00::1]:3100`. No names.
struct HopEndpoint {
    std::string host;
    std::uint16_t port = 0;

    static std::optional<HopEndpoint> parse(std::string_view text);
    [[nodiscard]] std::string to_string() const;
};

/// What proves that a gateway passes a request on.
class HopSecret {
public:
    static constexpr std::size_t min_bytes = 16;
    static constexpr std::size_t max_bytes = 4096;
    static constexpr Millis max_skew = 30'000;  ///< how far two gateways' clocks may be apart, inclusive

    /// Reads it from a file; blanks and line feeds at the end are not part of it. Errors: `config`.
    static Result<HopSecret> read(const std::string& path);
    explicit HopSecret(std::string secret) : secret_(std::move(secret)) {}
    [[nodiscard]] std::size_t size() const noexcept { return secret_.size(); }

    /// What a field proves.
    struct Proof {
        net::Address client;
        Millis time = 0;  ///< when it was signed, by the clock of who did
        std::uint64_t number = 0;
    };

    /// The value of a Sio-Hop field. `wall_clock` in milliseconds since 1970; `number` is never used again.
    [[nodiscard]] std::string sign(std::string_view method, std::string_view target, const net::Address& client,
                                   Millis wall_clock, std::uint64_t number) const;
    /// What it proves, when the head has exactly one field and that is true and not older or newer than `max_skew`.
    /// Whether it was there before is for HopNumbers to say.
    [[nodiscard]] std::optional<Proof> verify(const proto::HttpHead& head, Millis wall_clock) const;

private:
    std::string secret_;
};

/// The numbers of proofs that were taken, as long as they could be good a second time. At most 2 * `max_each` of them,
/// in 16 bytes each (8 MB by default, enough for 4,000 a second); when more come within a minute, the oldest are
/// forgotten, and every proof that was signed as early as one of those is refused.
class HopNumbers {
public:
    explicit HopNumbers(std::size_t max_each = 1U << 18U) : max_each_(max_each) {}

    /// Takes a number that was signed at `time`; false when it was taken before, or may have been.
    bool take(std::uint64_t number, Millis time, Millis wall_clock);
    /// Bytes allocated.
    [[nodiscard]] std::size_t bytes() const noexcept {
        return (fresh_.slots.capacity() + old_.slots.capacity()) * sizeof(std::uint64_t);
    }

private:
    struct Generation {
        std::vector<std::uint64_t> slots;  // at most half of them taken; 0: free
        std::size_t count = 0;
        Millis newest = 0;  // when the last of them was signed
        [[nodiscard]] bool has(std::uint64_t number) const noexcept;
        void add(std::uint64_t number);
        void put(std::uint64_t number) noexcept;
    };
    void turn(Millis wall_clock);

    std::size_t max_each_;
    Generation fresh_;
    Generation old_;
    Millis turned_at_ = 0;
    Millis not_before_ = 0;  // what was signed earlier may have been forgotten
};

/// The head (its final CRLFCRLF included) with `value` as its only Sio-Hop field.
std::string with_hop_field(std::string_view head, std::string_view value);

class Hops final : public Forwarder, public HopGate {
public:
    static constexpr std::size_t max_buffered = 256U << 10U;  ///< bytes of one direction
    static constexpr Millis connect_timeout = 2'000;
    static constexpr Millis answer_grace = 25'000;  ///< beyond the time a poll may be held

    Hops(net::Loop& loop, Engine& engine);
    ~Hops() override;
    Hops(const Hops&) = delete;
    Hops& operator=(const Hops&) = delete;

    /// Takes hops at `endpoint` (port 0: any free one) and goes to those that `directory`, which outlives it, knows.
    /// Errors: `io`, `usage`.
    Result<void> start(const HopEndpoint& endpoint, HopSecret secret, const NodeDirectory& directory);

    /// Where others reach us, for the directory; empty before start().
    [[nodiscard]] const std::string& address() const noexcept { return address_; }
    [[nodiscard]] const HopStats& stats() const noexcept { return stats_; }
    [[nodiscard]] const HopNumbers& numbers() const noexcept { return numbers_; }
    /// Connections passed on just now.
    [[nodiscard]] std::size_t open() const noexcept { return splices_.size(); }

    Reach reach(const Tag& tag) override;
    void take(Handover handover) override;
    [[nodiscard]] std::size_t descriptors() const noexcept override { return splices_.size(); }
    std::optional<net::Address> admit(const proto::HttpHead& head) override;

private:
    class Splice;

    net::Loop& loop_;
    Engine& engine_;
    std::optional<HopSecret> secret_;
    const NodeDirectory* directory_ = nullptr;
    std::string address_;
    std::unordered_set<Splice*> splices_;
    std::string buffer_;  // what is being passed on
    HopNumbers numbers_;
    HopStats stats_;
};

}  // namespace sio::gateway
