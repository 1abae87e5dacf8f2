// The idempotent producer on the event loop: acks=all, no timeout, a bounded queue, and a report for each record.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/result.h"
#include "kafka/record.h"
#include "kafka/settings.h"
#include "net/loop.h"

namespace sio::kafka {

struct ProducerOptions {
    std::size_t queue_bytes = 16U << 20U;      ///< of records not reported yet; then produce() refuses
    std::size_t queue_records = 20'000;        ///< the same, in number
    std::size_t max_record_bytes = 1'000'000;  ///< of one record with its key and headers (message.max.bytes)
    double linger_ms = 0.5;                    ///< how long the first record of a request waits for others
    /// Kafka is asked for leave to produce from the start on, so that a refusal shows before the first record does;
    /// else by the first record.
    bool asks_at_once = false;
};

/// The loop outlives it.
class Producer final {
public:
    /// Who gets reports. Outlives the records it gave, or calls forget().
    class Sink {
    public:
        virtual ~Sink() = default;
        /// Once for each record taken, in any order over partitions, in order within one. Null: all in-sync replicas
        /// have it. Errors: `not_found` (no such topic, after up to 30 s), `too_large` (the broker's limit), `denied`
        /// (ACL), `malformed` (the broker takes no such record: one without a key for a compacted topic), `unavailable`
        /// (the producer was made anew: whether Kafka has the record is unknown). May call produce() and forget().
        virtual void on_report(std::uint64_t tag, const Error* error) = 0;
    };

    /// Errors: `config`; `io`.
    static Result<std::unique_ptr<Producer>> create(net::Loop& loop, const Settings& settings,
                                                    const ProducerOptions& options);
    /// What is not reported yet is dropped without a report; flush() first.
    ~Producer();
    Producer(const Producer&) = delete;
    Producer& operator=(const Producer&) = delete;

    /// Takes a record; `sink` hears of it in a later turn. Errors, without a report: `unavailable` (the queue is
    /// full: stop reading the source, and go on after some report), `too_large`, `not_found` (the topic is known not to
    /// exist, or no such partition), `malformed` (a topic name Kafka cannot have).
    ///
    /// Of a partition no record is written after one that was refused before that one has been reported: the brokers'
    /// refusal of a request makes the instance useless, and what was not sent yet is reported as `unavailable`.
    ///
    /// When an idempotent producer has become useless (fatal), it is made anew by itself, and all records that were
    /// open are reported as `unavailable`: at once the first time, then, while no record gets through, after pauses of
    /// one second up to ten. Meanwhile produce() refuses with `unavailable`.
    Result<void> produce(const Outgoing& record, Sink& sink, std::uint64_t tag);

    /// Reports for `sink` are dropped from now on.
    void forget(Sink& sink);

    /// Waits for the reports of what is open, at most `timeout_ms`, calling sinks. Returns how many are still open.
    std::size_t flush(std::int64_t timeout_ms);

    /// Where the record is whose report is being given: within Sink::on_report() only.
    struct Place {
        std::int32_t partition = -1;
        std::int64_t offset = -1;  ///< -1: not known
    };
    [[nodiscard]] Place place() const noexcept;

    /// Why Kafka will not have us as a producer, and what to do; empty while nothing is known against it. Told in the
    /// log once, and again when it is over.
    [[nodiscard]] const std::string& trouble() const noexcept;

    [[nodiscard]] std::size_t open() const noexcept;          ///< records not reported yet
    [[nodiscard]] std::uint64_t generation() const noexcept;  ///< counts the instances: another one, another number
    struct Stats {
        std::uint64_t produced = 0, failed = 0, bytes = 0, refused = 0, recreated = 0;
    };
    [[nodiscard]] const Stats& stats() const noexcept;

private:
    struct Parts;
    explicit Producer(std::unique_ptr<Parts> parts);
    std::unique_ptr<Parts> parts_;
};

}  // namespace sio::kafka
