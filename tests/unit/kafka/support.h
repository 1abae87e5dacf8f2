// A loop that runs until something is so, and owners that remember what they were told.
#pragma once

#include <criterion/criterion.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "kafka/consumer.h"
#include "kafka/dev_broker.h"
#include "kafka/producer.h"
#include "net/loop.h"

namespace sio::kafka::test {

/// A loop, and a broker of its own.
class Bench {
public:
    Bench() : loop(must(net::Loop::create())), broker(must(DevBroker::create())) {
        log::set_level(log::Level::error);
        settings.brokers = broker->brokers();
        settings.client_id = "unit-test";
        settings.consumer_properties = {{"fetch.wait.max.ms", "10"}};
    }

    template <typename T>
    static T must(Result<T> result) {
        cr_assert(result.has_value(), "%s", result.error().what.c_str());
        return std::move(*result);
    }

    /// Runs turns until `is_so`, at most `ms`. Returns whether it is.
    bool run(std::int64_t ms, const std::function<bool()>& is_so) {
        struct Watch final : net::Loop::TurnEnd, base::Timer {
            Watch(net::Loop& on, const std::function<bool()>& claim) : loop(on), is_so(claim) {}
            bool end_turn() override {
                if (is_so() || loop.now() >= until) loop.stop();
                return false;
            }
            void expire(base::Millis now) override { loop.timers().arm(*this, now + 5); }
            net::Loop& loop;
            const std::function<bool()>& is_so;
            base::Millis until = 0;
        } watch(loop, is_so);
        watch.until = loop.now() + ms;
        loop.timers().arm(watch, loop.now());
        loop.add_turn_end(watch);
        loop.run();
        loop.remove_turn_end(watch);
        return is_so();
    }

    void pass(std::int64_t ms) {
        run(ms, [] { return false; });
    }

    net::Loop loop;
    std::unique_ptr<DevBroker> broker;
    Settings settings;
};

struct Reports final : Producer::Sink {
    void on_report(std::uint64_t tag, const Error* error) override {
        tags.push_back(tag);
        errors.push_back(error != nullptr ? std::optional(*error) : std::nullopt);
        if (producer != nullptr) places.push_back(producer->place());
    }
    [[nodiscard]] std::size_t failures() const {
        std::size_t n = 0;
        for (const auto& error : errors) n += error.has_value() ? 1U : 0U;
        return n;
    }
    std::vector<std::uint64_t> tags;
    std::vector<std::optional<Error>> errors;
    std::vector<Producer::Place> places;
    Producer* producer = nullptr;
};

/// Starts what it is given from the beginning, or from where it was, unless told to wait.
struct Reading final : Consumer::Owner {
    void on_assigned(std::span<const Partition> partitions) override {
        assigned.assign(partitions.begin(), partitions.end());
        ++assignments;
        if (starts) start();
    }
    void start() {
        std::vector<Position> positions;
        for (const Partition& partition : assigned) {
            std::int64_t next = 0;
            for (const OwnedRecord& record : records) {
                if (record.partition == partition.number) next = record.offset + 1;
            }
            positions.push_back({partition, next});
        }
        consumer->start(positions);
    }
    void on_revoked(std::span<const Partition> partitions, bool lost) override {
        ++revocations;
        revoked += partitions.size();
        was_lost = lost;
        assigned.clear();
    }
    void on_record(const Record& record) override {
        OwnedRecord copy;
        copy.partition = record.partition;
        copy.offset = record.offset;
        copy.time_ms = record.time_ms;
        if (record.key) copy.key = std::string(*record.key);
        if (record.value) copy.value = std::string(*record.value);
        for (const Header& header : record.headers) {
            copy.headers.emplace_back(header.name,
                                      header.value ? std::optional(std::string(*header.value)) : std::nullopt);
        }
        records.push_back(std::move(copy));
        ++since_pause;
        if (stops_at != 0 && records.size() == stops_at) consumer->set_reading(false);
    }
    void on_end(const Partition& partition, std::int64_t next) override { ends[partition.number] = next; }
    void on_out_of_range(const Partition& partition) override { out_of_range.push_back(partition); }
    void on_topic_denied(const std::string& topic, const Error&) override { denied.push_back(topic); }
    void on_pause() override {
        largest_turn = std::max(largest_turn, std::exchange(since_pause, 0));
        ++pauses;
    }
    void on_error(const Error& error, bool fatal) override {
        errors.push_back(error);
        is_fatal = is_fatal || fatal;
    }

    Consumer* consumer = nullptr;
    bool starts = true;
    std::size_t stops_at = 0;
    std::vector<Partition> assigned;
    int assignments = 0;
    int revocations = 0;
    std::size_t revoked = 0;
    bool was_lost = false;
    bool is_fatal = false;
    std::vector<OwnedRecord> records;
    std::map<std::int32_t, std::int64_t> ends;
    std::vector<Partition> out_of_range;
    std::vector<std::string> denied;
    std::vector<Error> errors;
    int pauses = 0;
    std::size_t since_pause = 0;
    std::size_t largest_turn = 0;
};

inline std::unique_ptr<Consumer> join(Bench& bench, Reading& reading, std::vector<std::string> topics,
                                      ConsumerOptions options = {}) {
    options.group = "readers";
    options.topics = std::move(topics);
    auto consumer = Bench::must(Consumer::create(bench.loop, bench.settings, options, reading));
    reading.consumer = consumer.get();
    const auto subscribed = consumer->subscribe();
    cr_assert(subscribed.has_value());
    return consumer;
}

}  // namespace sio::kafka::test
