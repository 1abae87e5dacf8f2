// Events that leave the cluster by a Redis stream: what routes publish, and what happens to sockets and rooms. The
// format is in doc/protocol/stream.md.
//
// One script appends an entry and counts its user's sequence number, so that the numbers of a user have no gap and
// stand in the order of the stream, whichever gateways he is on. Whoever published hears when Redis has the entry.
// Nothing is kept while Redis is away: then publishing fails at once, or when Redis is given up.
//
// The stream has bounds, which the script keeps: what every group of readers has acknowledged goes first; when that is
// not enough, nothing is appended and whoever published hears so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cluster/stream_bounds.h"
#include "gateway/presence.h"
#include "net/loop.h"
#include "redis/connection.h"

namespace sio::gateway {

struct Socket;

struct OutboundOptions {
    std::string stream = "sio:events";  ///< its sequence numbers are beside it, in `<stream>:seq`, and `<stream>:size`
    std::string node;                   ///< this gateway's name in entries
    std::string node_id;                ///< this process among the gateways: never used again
    Millis retention = 86'400'000;      ///< entries older than this are trimmed
    bool lifecycle = false;             ///< entries for connects, disconnects, joins, leaves and rooms, too
    cluster::StreamBounds bounds = {.entries = 1'000'000, .bytes = 256U << 20U};
    std::size_t value_bytes = 1U << 20U;  ///< of an event: its data, key and attachments (as base64)
};

struct OutboundStats {
    std::uint64_t written = 0;         ///< entries that Redis has, as it said
    std::uint64_t failed = 0;          ///< Redis refused them, was away or did not answer
    std::uint64_t refused = 0;         ///< too many were under way
    std::uint64_t full = 0;            ///< the stream had no room
    std::uint64_t large = 0;           ///< over `value_bytes`
    std::uint64_t stream_entries = 0;  ///< of the stream, as last heard
    std::uint64_t stream_bytes = 0;    ///< what it takes in Redis, about, as last heard; never too little
};

/// One entry to be. Views last for the call.
struct OutboundEntry {
    std::string_view kind;  ///< event, connect, disconnect, join, leave, occupied or vacated
    std::string_view nsp;
    std::string_view sid = {};    ///< empty: of no socket
    std::string_view user = {};   ///< empty: anonymous, without sequence numbers
    std::string_view topic = {};  ///< for event
    std::optional<std::string_view> key = std::nullopt;
    std::string_view data = "{}";                   ///< raw JSON
    std::span<const std::string> attachments = {};  ///< in order of the placeholders in `data`
    std::int64_t time = 0;                          ///< Unix time, ms
};

/// The fields and values of an entry, but for the sequence number.
std::vector<std::string> outbound_fields(const OutboundEntry& entry, std::string_view node);

class Outbound final : private Presence::Owner {
public:
    enum class Outcome : std::uint8_t {
        written,
        unavailable,  ///< the stream is full, or Redis is away or busy; whether it has the entry is unknown when it
                      ///< went while asked
        timed_out,    ///< it may still have the entry later
        failed,       ///< Redis refused it, or it is too large
    };
    /// Called once; `reason` is a sentence, empty for `written`.
    using Done = std::function<void(Outcome outcome, std::string_view reason)>;

    /// Why an entry was not tried; `outcome` is unavailable or failed.
    struct Refusal {
        Outcome outcome;
        std::string reason;
    };

    /// The connection to Redis. `epoch` differs between two connections.
    struct Link {
        Presence::Send send;
        std::function<std::uint64_t()> epoch;
    };

    /// The loop outlives it; it may be destroyed before or after the connection.
    Outbound(net::Loop& loop, OutboundOptions options, Link link);
    Outbound(const Outbound&) = delete;
    Outbound& operator=(const Outbound&) = delete;
    ~Outbound() override;

    /// The connection is up, or down. For rooms only.
    void redis_up();
    void redis_down();
    /// Before the program ends: what rooms have lost with it is for other gateways to tell.
    void leave();

    /// Appends an entry. With a refusal returned it was not tried and `done` is not called; else it is, later: at the
    /// latest after `timeout`, if that is more than 0.
    std::optional<Refusal> append(const OutboundEntry& entry, Millis timeout = 0, Done done = {});

    // What happens to sockets; nothing unless `lifecycle` is on.
    void connected(const Socket& socket);
    void disconnected(const Socket& socket, std::string_view reason);
    void joined(const Socket& socket, std::string_view room);
    void left(const Socket& socket, std::string_view room);

    [[nodiscard]] const OutboundStats& stats() const noexcept { return stats_; }
    /// Entries that Redis has not answered yet.
    [[nodiscard]] std::size_t waiting() const noexcept { return waiting_; }

    static constexpr std::size_t max_waiting = 60'000;
    static constexpr Millis full_pause = 100;  ///< after Redis has said that the stream is full it is not asked
    /// The text of the script that appends.
    static const std::string& script();

private:
    struct Call;

    bool send(const std::shared_ptr<Call>& call, bool with_text);
    void on_reply(const std::shared_ptr<Call>& call, const redis::Reply* reply);
    static void finish(Call& call, Outcome outcome, std::string_view reason);
    void tell(const Socket& socket, std::string_view kind, std::string_view data);
    void complain(std::string_view what);
    void on_full(std::string_view what);
    [[nodiscard]] static std::string room_key(const Socket& socket, std::string_view room);
    std::vector<Presence::Entry> render(std::string_view room, bool occupied) override;
    void announce(std::string_view room, bool occupied, bool published) override;

    net::Loop& loop_;
    OutboundOptions options_;
    Link link_;
    std::string sequences_;  // the key of the sequence numbers
    std::string retention_;
    std::string most_entries_;
    std::string most_bytes_;
    std::string sha_;
    std::uint64_t loaded_in_ = UINT64_MAX;  // the connection on which Redis was given the script
    std::size_t waiting_ = 0;
    Millis complained_at_;
    Millis told_full_at_;
    Millis full_until_ = 0;
    OutboundStats stats_;
    std::unique_ptr<Presence> rooms_;  // who is in a room is like who is online: gateways count, Redis counts them
    std::shared_ptr<char> alive_ = std::make_shared<char>();  // for callbacks that the connection holds
};

}  // namespace sio::gateway
