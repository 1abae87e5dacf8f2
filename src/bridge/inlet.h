// Kafka to the cluster: records become entries of the stream, each once, in the order of their partition.
//
// The offset that is to be read next lives in Redis, beside the stream, and is moved by the script that appends the
// entries; so a bridge may be killed anywhere. A batch says at which offset it begins. The script refuses it when it
// comes from a bridge that another has followed (the partition's epoch is no longer its own) or when the one before it
// is not there; what is there already is passed over. So batches are sent one behind the other without waiting, and
// sent again after any doubt.
//
//     hash  sio:offsets:{STREAM}     (in the slot of the stream)
//     field GROUP/TOPIC/PARTITION    value "EPOCH NEXT"
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/timer_wheel.h"
#include "bridge/dead_letters.h"
#include "bridge/histogram.h"
#include "bridge/ring.h"
#include "cluster/stream_bounds.h"
#include "kafka/consumer.h"
#include "net/loop.h"
#include "redis/connection.h"
#include "redis/script.h"
#include "routes/topics.h"

namespace sio::bridge {

struct InletOptions {
    std::string group;
    std::string instance;
    std::string assignor;
    std::int64_t session_timeout_ms = 6'000;
    bool from_beginning = false;
    std::size_t max_record_bytes = 1U << 20U;
    std::size_t in_flight_bytes = 8U << 20U;
    std::size_t read_ahead_bytes = 32U << 20U;
    std::string stream;
    std::uint32_t stream_count = 1;
    std::int64_t retention_ms = 300'000;
    cluster::StreamBounds bounds = {};  ///< of all streams together; the oldest entries go
};

struct InletStats {
    std::uint64_t consumed = 0;  ///< records
    std::uint64_t consumed_bytes = 0;
    std::uint64_t emitted = 0;  ///< entries
    std::uint64_t written = 0;  ///< records whose entries are on the stream
    std::uint64_t nothing = 0;  ///< records that the routes do nothing with
    std::uint64_t repeats = 0;  ///< records that were there already
    std::array<std::uint64_t, poison_kinds> dead{};
    std::uint64_t batches = 0;
    std::uint64_t batches_again = 0;  ///< sent again after a doubt
    std::uint64_t fenced = 0;         ///< batches refused because another bridge has the partition
    std::uint64_t rebalances = 0;
    std::uint64_t restarts = 0;  ///< of the consumer
    std::uint64_t pauses = 0;    ///< times reading stopped because too much was in flight
    std::uint64_t anew = 0;      ///< partitions whose log began again
    std::uint64_t dropped = 0;   ///< entries that Redis dropped as the streams were full, when we had it look
    std::uint64_t lost = 0;      ///< records, or offsets, that were gone from the log before we came to them
};

/// A partition as operators see it.
struct PartitionView {
    std::string_view topic;
    std::int32_t number = 0;
    std::int64_t next = -1;  ///< the offset Redis has; -1: not known yet
    std::int64_t end = -1;   ///< of the log; -1: not known
    std::int64_t lag = -1;   ///< what is between them and may be a record; -1: not known
    std::size_t in_flight = 0;
    std::string_view state;
};

/// All that is given outlives it.
class Inlet final : kafka::Consumer::Owner, routes::RecordSink {
public:
    class Owner {
    public:
        virtual ~Owner() = default;
        /// Kafka lets another process in by our name, again and again. Nothing is read any more.
        virtual void on_inlet_lost(const Error& error) = 0;
        /// Our name is ours, so that the group may be joined by it.
        [[nodiscard]] virtual bool may_join() const = 0;
    };

    Inlet(net::Loop& loop, kafka::Settings settings, InletOptions options, redis::Connection& commands,
          DeadLetters& dead_letters, TraceRing& ring, Owner& owner);
    ~Inlet() override;
    Inlet(const Inlet&) = delete;
    Inlet& operator=(const Inlet&) = delete;

    /// Consumes what these routes have topics for, from now on. Errors: `config`, `io`.
    Result<void> set_routes(std::shared_ptr<const routes::Routes> routes);

    /// Owner::may_join() has become true.
    void join() { retry_soon(0); }
    void redis_up();
    /// Once a second.
    void tick();

    /// Reads no more; what is in flight goes on.
    void drain();
    [[nodiscard]] bool is_idle() const noexcept;
    /// Leaves the group. Nothing is called after.
    void close();

    /// There is something to consume.
    [[nodiscard]] bool is_wanted() const noexcept { return consumer_ != nullptr || is_restarting_; }
    /// The group has said what is ours, and we read it.
    [[nodiscard]] bool is_reading() const noexcept { return is_started_; }
    [[nodiscard]] std::vector<PartitionView> partitions() const;
    /// A record that was read and is not in Redis yet.
    [[nodiscard]] std::optional<Note> in_flight(std::string_view topic, std::int32_t partition,
                                                std::int64_t offset) const;
    /// The offset Redis has of a partition that is ours; nothing when it is not.
    [[nodiscard]] std::optional<std::int64_t> next_of(std::string_view topic, std::int32_t partition) const;
    /// Topics that we may not read, with the reason; a sentence each.
    [[nodiscard]] std::string denials() const;
    [[nodiscard]] std::size_t denied_topics() const noexcept { return denied_.size(); }
    [[nodiscard]] std::size_t bytes_in_flight() const noexcept { return held_; }
    [[nodiscard]] const InletStats& stats() const noexcept { return stats_; }
    [[nodiscard]] const Histogram& latency() const noexcept { return latency_; }
    [[nodiscard]] std::shared_ptr<const routes::Routes> routes() const noexcept { return routes_; }

    /// Runs a record through the routes and puts what comes of it on the stream, beside all partitions: `done` with the
    /// number of entries. Once for each `name` unless `again`. Errors: `malformed`, `denied` (it is poison still),
    /// `not_found` (no route), `unavailable`.
    void replay(const kafka::Record& record, const std::string& name, bool again,
                std::function<void(Result<std::uint64_t>)> done);
    [[nodiscard]] const std::string& stream_key(std::size_t stream) const { return streams_.at(stream).key; }
    /// The set of names that have been replayed.
    [[nodiscard]] std::string replayed_key() const { return "sio:replayed:{" + streams_.front().key + "}"; }

private:
    struct Entry {
        std::uint32_t stream;
        std::uint32_t offset_at, nsp_at, data_at, end;  // in Batch::text; each up to the next
        char type;
    };
    struct Batch {
        std::uint64_t number = 0;
        std::int64_t from = 0, to = 0;
        std::string from_text, to_text;
        std::string text;
        std::vector<Entry> entries;
        std::vector<Note> notes;
        std::size_t waits = 0;    // dead letters without a report
        std::size_t due = 0;      // streams without an answer
        std::size_t extra = 0;    // bytes of the dead letters
        std::size_t held = 0;     // bytes accounted
        std::int64_t passed = 0;  // records before this offset were there already
        bool is_closed = false;
        struct Ids {
            std::optional<cluster::StreamId> first;
        };
        std::vector<Ids> ids;  // by stream

        /// As new, but for the memory.
        void clear() noexcept;
    };
    enum class State : std::uint8_t { taking, taken, reading, fenced };
    struct Lane {
        std::size_t index = 0;  // in lanes_
        kafka::Partition partition;
        std::string field;
        std::uint32_t trace = 0;
        const routes::TopicRoute* route = nullptr;
        State state = State::taking;
        std::vector<std::string> epochs;                // by stream
        std::vector<std::optional<std::int64_t>> next;  // by stream, while it is taken
        std::size_t answers_due = 0;
        bool has_begun = false;     // the consumer reads it; taken again it goes on where it is
        bool is_unknown = false;    // to Redis: Kafka is asked where to begin
        std::uint64_t attempt = 0;  // answers to older ones do not count
        std::int64_t chain = 0;     // where the next batch begins
        std::int64_t expected = 0;  // the least offset that the consumer may give
        std::int64_t done = 0;      // what Redis has
        std::deque<std::unique_ptr<Batch>> batches;
        std::size_t sent = 0;  // of them
        bool is_dirty = false;
        base::Millis fenced_at = 0;
        std::int64_t read_to = 0;      // all before has been read, be it records or marks
        bool is_out_of_range = false;  // the log does not have what comes next
    };
    struct Stream {
        std::string key;
        std::string offsets;
        cluster::StreamGrowth growth = {};
    };
    struct Retry;

    // kafka::Consumer::Owner
    void on_assigned(std::span<const kafka::Partition> partitions) override;
    void on_revoked(std::span<const kafka::Partition> partitions, bool lost) override;
    void on_record(const kafka::Record& record) override;
    void on_end(const kafka::Partition& partition, std::int64_t next) override;
    void on_out_of_range(const kafka::Partition& partition) override;
    void on_topic_denied(const std::string& topic, const Error& error) override;
    void on_pause() override;
    void on_error(const Error& error, bool fatal) override;
    // routes::RecordSink
    void on_action(const routes::RecordAction& action) override;

    Result<void> open_consumer();
    void restart(std::string_view reason);
    void on_retry();
    void retry_soon(base::Millis pause);
    void drop_lanes();
    void load_scripts();
    void note_growth(Stream& stream, std::size_t entries, std::size_t bytes);

    void take(Lane& lane, std::string_view hint);
    void take_stream(Lane& lane, std::size_t stream, std::string_view hint);
    void on_taken(std::uint64_t generation, std::size_t lane, std::uint64_t attempt, std::size_t stream,
                  const redis::Reply* reply);
    void finish_take(Lane& lane);
    void start_if_taken();
    void resolve_unknown();

    Result<void> become_entries(const routes::TopicRoute& route, const kafka::Record& record, Poison& kind);
    Batch& open_batch(Lane& lane);
    void close_batch(Lane& lane);
    void send_lane(Lane& lane);
    bool send_batch(Lane& lane, Batch& batch);
    void on_answer(std::uint64_t generation, std::size_t lane, std::uint64_t attempt, std::uint64_t batch,
                   std::size_t stream, const redis::Reply* reply);
    void on_refused(Lane& lane, const redis::Reply& reply);
    void finish_front(Lane& lane);
    void find_beginnings();
    void skip_lost(Lane& lane, std::int64_t offset);
    void begin_anew(Lane& lane, std::int64_t offset);
    void move_to(Lane& lane, std::int64_t offset);
    void look_at_denied();
    void allow(const std::string& topic);
    void account(Batch& batch);
    void set_pressure();
    Lane* find_lane(std::string_view topic, std::int32_t partition) noexcept;
    std::size_t stream_of(std::string_view nsp);

    net::Loop& loop_;
    kafka::Settings settings_;
    InletOptions options_;
    redis::Connection& commands_;
    DeadLetters& dead_letters_;
    TraceRing& ring_;
    Owner& owner_;
    redis::Script write_;
    redis::Script take_;
    redis::Script anew_;
    redis::Script replay_;
    redis::Script trim_;
    std::vector<Stream> streams_;
    std::string retention_;
    std::int64_t started_;  // Unix time, ms: a new group begins with what is not older

    std::shared_ptr<const routes::Routes> routes_;
    std::vector<std::string> subscription_;
    std::unique_ptr<kafka::Consumer> consumer_;
    std::vector<std::unique_ptr<Lane>> lanes_;
    std::uint64_t generation_ = 0;  // of lanes_
    Lane* last_lane_ = nullptr;
    std::vector<Lane*> dirty_;
    std::uint64_t next_batch_ = 1;
    std::vector<std::unique_ptr<Batch>> spare_;
    std::size_t held_ = 0;
    bool is_started_ = false;
    bool is_restarting_ = false;
    bool is_resolving_ = false;
    bool is_finding_ = false;                                 // beginnings of logs are asked for
    std::map<std::string, std::string, std::less<>> denied_;  // topics, with the reason
    bool is_draining_ = false;
    bool is_pressed_ = false;
    bool is_lost_ = false;
    std::uint64_t ticks_ = 0;
    base::Millis complained_at_;
    std::optional<base::Millis> refused_at_;  // Kafka let another of our name in

    // Scratch of the record in hand
    Batch* batch_ = nullptr;
    std::string_view offset_text_;
    std::uint32_t record_entries_ = 0;
    std::uint16_t record_stream_ = 0;
    routes::RecordRun run_;
    routes::RecordFacts facts_;
    std::vector<routes::RecordHeader> headers_;
    std::unique_ptr<Retry> retry_;
    std::shared_ptr<char> alive_ = std::make_shared<char>();
    InletStats stats_;
    Histogram latency_;
};

}  // namespace sio::bridge
