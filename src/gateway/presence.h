// Who is online: users, not tabs, over all gateways of the cluster.
//
// A gateway counts its sockets of each user and tells Redis of the first and the last; Redis counts the gateways. Each
// step is one Lua script (presence_scripts.h), so every change is seen by exactly one gateway: that a user came online,
// or went offline, which he does when he has been nowhere for the grace. A gateway that sends no heartbeat for
// `timeout` is buried by any other, and its users leave.
//
// What is announced of a change is appended to streams by the script that makes it: no gateway's death, and no lost
// answer, can lose or repeat an announcement. It is rendered beforehand, so the script discards it when nothing
// changed.
//
// While Redis is away only what is true now is kept of each user, and told when Redis is back. Nobody is taken offline
// until the others had `timeout` to come back as well. After Redis forgot everything (restarted empty) the gateways say
// again who is here, as no news; who left meanwhile is announced offline after max(grace, timeout). Not told: users who
// left with a gateway that died while Redis was away and came back empty. A gateway that was cut off from Redis alone,
// or frozen, for longer than `timeout` has its users announced offline, and online again when it is back.
//
// Without Redis the same holds for this gateway alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/keyed_hash.h"
#include "base/result.h"
#include "base/timer_wheel.h"
#include "cluster/stream_bounds.h"
#include "net/loop.h"
#include "redis/connection.h"

namespace sio::gateway {

using base::Millis;

/// Grace, heartbeat and timeout are to be the same on all gateways of a cluster.
struct PresenceOptions {
    std::string node;               ///< this process among the gateways: never used again, not even after a restart
    std::string prefix = "{sio}:";  ///< of all keys; the hash tag keeps them on one slot
    Millis grace = 5000;            ///< how long a user may be nowhere before he is offline; at most max_grace
    Millis heartbeat = 2000;
    Millis timeout = 10'000;  ///< without a heartbeat for so long a gateway is dead
    Millis reunion = 3000;    ///< after a loss of Redis this gateway takes nobody offline: others come back, too
    Millis collect = 5;       ///< changes of so long are told in one round trip; a shorter visit is none
    Millis retention = 0;     ///< entries of the streams older than this are trimmed (Redis 6.2); 0: none
    cluster::StreamBounds bounds = {};  ///< of the streams: what does not fit is not appended, and told once
    static constexpr Millis max_grace = 600'000;
};

struct PresenceStats {
    std::uint64_t users = 0;        ///< with a socket on this gateway, now
    std::uint64_t waiting = 0;      ///< of these and of those who left, not told to Redis yet, now
    std::uint64_t came_online = 0;  ///< changes that this gateway made known
    std::uint64_t went_offline = 0;
    std::uint64_t buried = 0;  ///< gateways that this one found dead
    std::uint64_t rejoins = 0;
    std::uint64_t round_trips = 0;
    std::uint64_t failures = 0;  ///< calls that were lost or answered by an error, and entries that a stream refused
};

/// A part of those who are online.
struct PresenceList {
    std::uint64_t count = 0;         ///< of all
    std::vector<std::string> users;  ///< sorted
};

class Presence {
public:
    /// A stream entry. What is malformed (an odd number of words, none, more than max_words) is not appended.
    struct Entry {
        std::string stream;
        std::vector<std::string> words;  ///< field, value, field, value…
    };

    class Owner {
    public:
        virtual ~Owner() = default;
        /// What to append should this user come online or go offline now. Asked for each user who arrives here, though
        /// most are elsewhere or in grace already: so it is to be cheap.
        virtual std::vector<Entry> render(std::string_view user, bool online) = 0;
        /// This gateway made the change. `published`: the entries of render() are in their streams, for this gateway to
        /// read as for any other; else there is no Redis and it is the owner who tells his clients. Told at most once:
        /// not when the answer of Redis is lost, which the entries survive.
        virtual void announce(std::string_view user, bool online, bool published) = 0;
    };

    using Done = redis::Connection::Done;
    /// Gives a command to Redis, as redis::Connection::send() does.
    using Send = std::function<bool(std::span<const std::string_view> command, Done done)>;

    /// Without `send` there is no Redis. Loop and owner outlive it; it may be destroyed before or after the connection.
    Presence(net::Loop& loop, PresenceOptions options, Owner& owner, Send send = {});
    Presence(const Presence&) = delete;
    Presence& operator=(const Presence&) = delete;
    ~Presence();

    /// The connection that `send` uses is up, or down. Open commands have had their null before redis_down().
    void redis_up();
    void redis_down();

    /// A socket of this user connected to a namespace, or left it. Anonymous sockets (empty user) are not counted.
    void socket_opened(std::string_view user);
    void socket_closed(std::string_view user);

    /// Before the program ends: tells what is still to be told, and that this gateway is gone, so that its users need
    /// not wait for `timeout`. The loop has to run until the connection has nothing pending. Nothing is told any more
    /// after it.
    void leave();

    /// Whether each of these is online, in their order; who is in grace is. One round trip for each max_asked users,
    /// all sent at once. `done` is called exactly once, maybe during the call; not when this object is destroyed
    /// before. Errors: `unavailable` while Redis is away.
    void query(std::vector<std::string> users, std::function<void(Result<std::vector<bool>>)> done);

    /// How many are online, and up to `limit` of them, of no particular choice. Errors as for query().
    void list(std::size_t limit, std::function<void(Result<PresenceList>)> done);

    /// Answers the command `presence` of the control socket: gives the members of the answer, without braces. Errors:
    /// `malformed`, `too_large`, `unavailable`.
    void answer(std::string_view request, std::function<void(Result<std::string>)> done);

    [[nodiscard]] PresenceStats stats() const;

    static constexpr std::size_t max_asked = 1000;  ///< users in one round trip of query()
    static constexpr std::size_t max_batch = 256;   ///< users in one script: how long Redis is held up
    static constexpr std::size_t max_batch_bytes = 1U << 18U;
    static constexpr std::size_t max_calls = 4;         ///< batches under way at a time
    static constexpr std::size_t max_words = 64;        ///< of an entry
    static constexpr std::size_t max_listed = 100'000;  ///< users in an answer to `presence`, asked for or not

private:
    /// What Redis has been told last of a user, if nothing went wrong.
    enum class Told : std::uint8_t { absent, present, unsure };
    struct User {
        std::uint32_t sockets = 0;
        std::uint32_t calls = 0;  // that are under way and name him
        Told told = Told::absent;
        bool queued = false;
        bool remembered = false;  // Redis has answered that he is here
        bool quiet = false;       // remembered, and Redis has forgotten: no news
        Millis grace_ends = 0;    // without Redis
    };
    using Users = std::unordered_map<std::string, User, base::KeyedHash, std::equal_to<>>;
    using Node = Users::value_type;
    struct Change;
    struct Query;
    struct Scan;
    enum Script : std::uint8_t { beat_script, change_script, settle_script, leave_script, script_count };
    struct Alarm final : base::Timer {
        Alarm(Presence& of, void (Presence::*what)()) : presence(of), call(what) {}
        void expire(Millis) override { (presence.*call)(); }
        Presence& presence;
        void (Presence::*call)();
    };

    [[nodiscard]] bool is_alone() const noexcept { return !send_; }
    [[nodiscard]] static bool is_due(const User& user) noexcept;
    void touch(Node& node);
    void queue(Node& node);
    void forget_if_gone(Node& node);
    void arm(Alarm& alarm, Millis delay);
    void flush();
    void flush_alone();
    bool send_change();
    void on_change(Change& change, const redis::Reply* reply);
    void fail(Change& change);
    void tick();
    void beat();
    void on_beat(const redis::Reply* reply);
    void rejoin(bool forgot);
    void sweep();
    void sweep_alone();
    void on_settled(const std::vector<std::string>& users, const redis::Reply* reply);
    void arm_sweep();
    void add_entries(std::vector<std::string>& words, std::string_view user, bool online);
    bool call(Script script, std::vector<std::string> words, Done done);
    bool send(std::span<const std::string_view> words, Done done);
    bool went_wrong(const redis::Reply* reply);
    void complain(std::string_view what);
    void scan(const std::shared_ptr<Scan>& scan_of);

    net::Loop& loop_;
    PresenceOptions options_;
    Owner& owner_;
    Send send_;
    Users users_;
    std::vector<Node*> queue_;  // users of whom Redis is to be told; from queue_head_ on
    std::size_t queue_head_ = 0;
    std::multimap<Millis, std::string> grace_;  // whom this gateway is to settle, and when (the loop's clock)
    std::string sha_[script_count];
    std::string generation_;
    std::uint64_t seq_;            // the number of the last call; begins above those of a process of this name before
    std::uint64_t acked_seq_ = 0;  // of the last change that was answered
    std::size_t here_ = 0;         // users with sockets
    std::size_t calls_ = 0;        // changes and settlements under way
    std::size_t loading_ = 0;
    Millis settle_from_ = 0;  // by the loop's clock
    Millis complained_at_;
    std::string limits_;  // of the streams, as the scripts read them
    bool up_ = false;
    bool joined_ = false;  // Redis knows this gateway, and this gateway knows that
    bool fresh_ = true;    // what Redis knows of it is not to be trusted
    bool beating_ = false;
    bool left_ = false;
    PresenceStats stats_;
    Alarm flush_alarm_{*this, &Presence::flush};
    Alarm beat_alarm_{*this, &Presence::tick};
    Alarm sweep_alarm_{*this, &Presence::sweep};
    // Shared with callbacks that the connection holds, which may outlive this object.
    std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sio::gateway
