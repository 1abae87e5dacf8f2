// Events of clients to Kafka: entries of the stream of events become records, acknowledged in Redis when Kafka has
// them.
//
// One bridge at a time does this, so that the records of a user are in the order of the stream: the one that has the
// lease, a key that expires. Whoever gets it begins with what any bridge has read and not acknowledged, in the order of
// the stream, and goes on with what is new. So an entry is repeated when its bridge died between Kafka's word and
// Redis's, and none is left out. Source: doc/protocol/stream.md.
//
// What Kafka refuses for good is a dead letter. It refuses whole requests: those of its entries are then sent again a
// few at a time, until the one stands alone, and what follows them in their topic waits, so that the order holds.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/keyed_hash.h"
#include "base/timer_wheel.h"
#include "bridge/dead_letters.h"
#include "cluster/stream_id.h"
#include "kafka/producer.h"
#include "net/loop.h"
#include "redis/connection.h"
#include "redis/script.h"

namespace sio::bridge {

struct OutletOptions {
    std::string node;    ///< the consumer's name in the group
    std::string stream;  ///< of events
    std::string group;
    std::string lifecycle_topic;    ///< empty: such entries are passed over
    std::size_t max_open = 10'000;  ///< entries with Kafka and not reported
};

struct OutletStats {
    std::uint64_t read = 0;        ///< entries
    std::uint64_t produced = 0;    ///< records that Kafka has
    std::uint64_t passed = 0;      ///< entries that need no record
    std::uint64_t malformed = 0;   ///< entries that are none of ours; passed over
    std::uint64_t taken_over = 0;  ///< entries that a bridge had read and not acknowledged
    std::uint64_t failed = 0;      ///< reports of failure; tried again
    std::uint64_t trimmed = 0;     ///< entries that went before they could be carried over
    std::uint64_t refused = 0;     ///< entries that Kafka will not have; dead letters
    std::uint64_t leases = 0;      ///< times this bridge began to carry events
};

/// All that is given outlives it.
class Outlet final : kafka::Producer::Sink, redis::Connection::Owner {
public:
    Outlet(net::Loop& loop, OutletOptions options, const redis::Endpoint& redis, redis::Connection& commands,
           kafka::Producer& producer, DeadLetters& dead_letters);
    ~Outlet() override;
    Outlet(const Outlet&) = delete;
    Outlet& operator=(const Outlet&) = delete;

    void start();
    void redis_up();
    /// Once a second.
    void tick();
    /// Reads no more, and hands the lease back when all is reported.
    void drain();
    [[nodiscard]] bool is_idle() const noexcept { return open_.empty() && acks_.empty() && waiting_.empty(); }

    /// This bridge has the lease.
    [[nodiscard]] bool is_leader() const noexcept;
    /// The connection that reads the stream of events.
    [[nodiscard]] const redis::Connection& reader() const noexcept { return reader_; }
    /// Who has it, as far as is known; empty: nobody.
    [[nodiscard]] const std::string& leader() const noexcept { return leader_; }
    /// Entries with Kafka and not reported.
    [[nodiscard]] std::size_t open() const noexcept { return open_count_; }
    /// Topics that are not there or that we may not write, with the reason; a sentence each.
    [[nodiscard]] std::string refusals() const;
    [[nodiscard]] std::size_t refused_topics() const noexcept;
    [[nodiscard]] const OutletStats& stats() const noexcept { return stats_; }

    static constexpr base::Millis lease = 5'000;

private:
    enum class Stage : std::uint8_t {
        idle,      ///< no lease
        grouping,  ///< the group is made
        old,       ///< what was read and not acknowledged, page by page
        fresh,     ///< what is new
    };
    struct Letter;  // a record, copied
    /// A topic, while there is something to remember of it.
    struct Topic {
        std::string name;
        std::size_t open = 0;  // entries with the producer
        // Entries are passed over: they stay pending, until a look at what is old, once none is open.
        bool is_put_off = false;
        base::Millis look_again_at = 0;
        // Of the instance of the producer by which a record got through. Before, one record at a time is given: a
        // broker that knows nothing of an instance would take its second request though it has refused the first.
        std::uint64_t generation = 0;
        // Entries that were refused together: up to the last of them, only so many are under way at a time (0: any).
        std::size_t suspects = 0;
        std::size_t window = 0;
        cluster::StreamId window_end;
        // What was refused when it stood alone, and so would be again, for a while.
        base::Millis keyless_until = 0;
        base::Millis size_until = 0;
        std::size_t size = 0;  // of the value
        // The topic as a whole is refused.
        bool is_refused = false;
        base::Millis refused_at = 0;
        base::Millis ask_at = 0;  // then one entry is tried
        std::string reason;
        std::string_view word;  // as the header sio-error says it
    };
    struct Open {
        std::string id;
        Topic* topic = nullptr;
        bool is_alone = false;  // no other of the topic can have been in its request
        bool is_done = false;
        // What a dead letter needs, when it stands alone.
        std::unique_ptr<Letter> letter;
    };
    /// An entry that could not be given to the producer yet, copied.
    struct Waiting {
        std::string id;
        std::vector<std::pair<std::string, std::string>> fields;
    };
    struct Fields;  // of an entry, as views
    struct Go;

    // kafka::Producer::Sink
    void on_report(std::uint64_t tag, const Error* error) override;
    // redis::Connection::Owner: the reader
    void on_up(redis::Connection& connection) override;
    void on_down(redis::Connection& connection, std::string_view reason) override;

    void ask_lease();
    void on_lease(base::Millis asked_at, const redis::Reply* reply);
    void begin();
    void step_down(std::string_view why);
    void go_on();
    void go_on_soon();
    void make_group();
    void read_old();
    void on_old(std::uint64_t term, const redis::Reply* reply);
    void read_fresh();
    void on_fresh(std::uint64_t term, const redis::Reply* reply);
    void on_lost_answer();
    void read_again();
    void take_entries(std::span<const redis::Reply> entries);
    /// Whether it was dealt with; false: the producer takes no more now.
    bool carry(std::string_view id, const Fields& fields);
    bool give(std::string_view id, const kafka::Outgoing& record);
    void settle(std::string_view id);
    void flush_acks();
    Topic& topic(std::string_view name);
    void put_off(Topic& topic, base::Millis pause);
    bool take_up(bool all);
    /// Whether it is not to be given to the producer, since Kafka would refuse it.
    bool pass_over(Topic& topic, std::string_view id, const kafka::Outgoing& record);
    void bury(Topic& topic, std::string_view id, const kafka::Outgoing& record, std::string_view word,
              std::string_view reason);
    void on_refusal(Open& open, const Error& error);
    void refuse(Topic& topic, const Error& error);
    void complain(std::string_view event, std::string_view why);

    net::Loop& loop_;
    OutletOptions options_;
    redis::Connection& commands_;
    kafka::Producer& producer_;
    DeadLetters& dead_letters_;
    redis::Connection reader_;
    redis::Script lease_script_;
    redis::Script release_script_;
    std::string me_;  // this process among the holders of the lease
    std::string lease_key_;

    Stage stage_ = Stage::idle;
    std::uint64_t term_ = 0;  // counts beginnings: what was asked before does not count
    base::Millis leased_until_ = 0;
    std::string leader_;
    std::string cursor_;       // of read_old()
    bool is_reading_ = false;  // a read is under way
    bool is_draining_ = false;
    bool is_released_ = false;

    std::deque<Open> open_;  // by tag, from first_tag_ on
    std::uint64_t first_tag_ = 1;
    std::size_t open_count_ = 0;
    std::deque<Waiting> waiting_;
    std::vector<std::string> acks_;
    bool is_acking_ = false;  // the first of them are being acknowledged
    std::unordered_set<std::string, base::KeyedHash>
        under_way_;  // ids with the producer, with the dead letters, in acks_
    std::unordered_map<std::string, Topic, base::KeyedHash> topics_;
    std::size_t put_off_ = 0;  // of topics_
    std::size_t page_;         // entries asked for at a time

    std::unique_ptr<Go> go_;
    base::Millis complained_at_;
    std::shared_ptr<char> alive_ = std::make_shared<char>();
    OutletStats stats_;
};

}  // namespace sio::bridge
