// A member of a consumer group whose offsets are kept elsewhere, on the event loop.
//
// librdkafka's threads fetch; a descriptor wakes the loop, which takes the records in turns of bounded length. What is
// not taken stays with librdkafka, whose own buffer is bounded; to push back, stop reading: partitions are never
// paused, which throws away what was fetched. The strategy is range or roundrobin, with static membership:
// cooperative-sticky aborts the process in librdkafka 2.0.2.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/timer_wheel.h"
#include "kafka/record.h"
#include "kafka/settings.h"
#include "net/loop.h"

namespace sio::kafka {

struct ConsumerOptions {
    std::string group;
    std::string instance;                     ///< group.instance.id: this member over restarts; empty: a dynamic member
    std::string assignor = "range";           ///< or "roundrobin"
    std::int64_t session_timeout_ms = 6'000;  ///< after which a silent member's partitions go to others
    std::vector<std::string> topics;          ///< names, and regular expressions that begin with `^`
    std::vector<std::string> never;           ///< names that no expression may subscribe
    /// What librdkafka may fetch ahead, all partitions together. When that is full it would look again a second later
    /// (2.0.2 has no option for it); we have it look when half is taken.
    std::size_t buffer_bytes = 32U << 20U;
};

/// The loop and the owner outlive it. What it calls may call all of it but close(), and must not destroy it.
class Consumer final {
public:
    class Owner {
    public:
        virtual ~Owner() = default;
        /// The group gives us exactly these. Nothing is read until start() has been called for them, now or in a later
        /// turn; on_revoked() in between makes that call needless.
        virtual void on_assigned(std::span<const Partition> partitions) = 0;
        /// None are ours any more. `lost`: they were somebody else's already before we heard of it. Nothing of them is
        /// read after this call.
        virtual void on_revoked(std::span<const Partition> partitions, bool lost) = 0;
        virtual void on_record(const Record& record) = 0;
        /// All of a partition up to the offset `next` has been read, of which the end may have been nothing that is
        /// given (marks of transactions, what was aborted).
        virtual void on_end(const Partition& partition, std::int64_t next) = 0;
        /// The log does not have the offset that is to be read next: retention has passed it, or the topic was made
        /// anew. Nothing more of the partition is read by this consumer.
        virtual void on_out_of_range(const Partition& partition) = 0;
        /// A topic, or what it has, is kept from us: `denied`. The others go on.
        virtual void on_topic_denied(const std::string& topic, const Error& error) = 0;
        /// Called at the end of each turn in which records were read.
        virtual void on_pause() = 0;
        /// Something that an operator should know; librdkafka goes on by itself unless `fatal`, when this consumer is
        /// useless and is to be made anew (a second process has our instance id, for one).
        virtual void on_error(const Error& error, bool fatal) = 0;
    };

    /// Errors: `config` for properties librdkafka refuses; `io`.
    static Result<std::unique_ptr<Consumer>> create(net::Loop& loop, const Settings& settings,
                                                    const ConsumerOptions& options, Owner& owner);
    /// Leaves nothing behind, but does not tell the group: see close(). Never blocks for good: an instance that
    /// librdkafka cannot destroy (a consumed topic was deleted) is given up after a second and leaks.
    ~Consumer();
    Consumer(const Consumer&) = delete;
    Consumer& operator=(const Consumer&) = delete;

    /// Joins the group. Errors: `config`, an expression that cannot be compiled.
    Result<void> subscribe();

    /// Reads the partitions just assigned, each from its position.
    void start(std::span<const Position> positions);

    /// Whether records are taken from librdkafka at all. On by default; off is for short pushing back. Rebalances and
    /// errors wait, too, while it is off.
    void set_reading(bool reading);

    /// Asks the brokers, on a thread of its own, where to begin in partitions of which nothing is known: at the offset
    /// committed for the group, else at the first record with a timestamp of `since_ms` or later (at the end of the log
    /// when there is none), without `since_ms` at the beginning of the log. `done` is called on the loop with the
    /// positions that could be told, or an error (`unavailable`), unless the consumer has gone.
    void resolve(std::vector<Partition> partitions, std::optional<std::int64_t> since_ms,
                 std::function<void(Result<std::vector<Position>>)> done);

    /// Asks, in the same manner, for the first offset that each partition's log has.
    void ask_first_offsets(std::vector<Partition> partitions, std::function<void(Result<std::vector<Position>>)> done);

    /// Tells Kafka how far we are, for tools that show lag and for the day Redis has lost its data. Does not wait.
    void commit(std::span<const Position> positions);

    /// The offset the partition's next record will get, as far as librdkafka knows without asking; -1: unknown.
    [[nodiscard]] std::int64_t high_watermark(const Partition& partition) const;

    /// Leaves the group (a static member keeps its partitions until the session timeout) and hears no more. Takes a
    /// second at most.
    void close();

    struct Stats {
        std::uint64_t records = 0, bytes = 0, rebalances = 0, errors = 0;
    };
    [[nodiscard]] const Stats& stats() const noexcept;

private:
    struct Parts;
    explicit Consumer(std::unique_ptr<Parts> parts);
    std::unique_ptr<Parts> parts_;
};

/// Reads the newest `limit` records of a topic, newest last, without a group, on a thread of its own; `done` is called
/// on the loop, or at once when the question cannot be asked. For people, not for delivery: it takes up to
/// `timeout_ms`, four at a time, and no more than 64 MiB are kept (the newest). Errors: `not_found` (no such topic),
/// `denied`, `unavailable`.
struct OwnedRecord {
    std::int32_t partition = 0;
    std::int64_t offset = 0;
    std::int64_t time_ms = -1;
    std::optional<std::string> key, value;
    std::vector<std::pair<std::string, std::optional<std::string>>> headers;
};
void read_newest(net::Loop& loop, const Settings& settings, std::string topic, std::size_t limit,
                 std::int64_t timeout_ms, std::function<void(Result<std::vector<OwnedRecord>>)> done);
/// Reads the records at exactly these positions, in the same manner; those that are not there are missing in the
/// answer. Errors: also `too_large`, more than 64 MiB.
void read_at(net::Loop& loop, const Settings& settings, std::string topic, std::vector<Position> positions,
             std::int64_t timeout_ms, std::function<void(Result<std::vector<OwnedRecord>>)> done);

}  // namespace sio::kafka
