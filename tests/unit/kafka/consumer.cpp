// kafka/consumer.h: exactly from the positions given, in order, in bounded turns, through pushing back and rebalances.

#include "kafka/consumer.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "support.h"

namespace {

using namespace sio;
using namespace sio::kafka;
using namespace sio::kafka::test;

/// Writes the numbers from `from` to `to` into topic `t`, keyed so that all partitions get some.
void write(Bench& bench, int from, int to, std::size_t padding = 0) {
    Reports reports;
    const auto producer = Bench::must(Producer::create(bench.loop, bench.settings, {}));
    const std::string pad(padding, '.');
    for (int i = from; i < to; ++i) {
        const std::string value = std::to_string(i) + pad;
        const std::string key = std::to_string(i % 7);
        while (!producer->produce({.topic = "t", .key = key, .value = value}, reports, 0)) producer->flush(10);
    }
    cr_assert(producer->flush(5'000) == 0);
    cr_assert(reports.failures() == 0);
}

/// Whether the records are the numbers from 0 to `n`, each once, those of a key in order.
void expect_numbers(const std::vector<OwnedRecord>& records, int n) {
    std::set<int> seen;
    std::map<std::string, int> last;
    for (const OwnedRecord& record : records) {
        const int number = std::stoi(*record.value);
        cr_assert(seen.insert(number).second, "%d came twice", number);
        const auto [at, is_first] = last.try_emplace(*record.key, number);
        cr_assert(is_first || at->second < number, "%d came after %d", number, at->second);
        at->second = number;
    }
    cr_assert(seen.size() == static_cast<std::size_t>(n), "%zu of %d came", seen.size(), n);
}

Test(kafka_consumer, reads_all_as_it_was_written_in_turns_of_bounded_length) {
    Bench bench;
    write(bench, 0, 5'000);
    Reading reading;
    const auto consumer = join(bench, reading, {"t"});
    cr_assert(bench.run(10'000, [&] { return !reading.records.empty(); }));
    cr_assert(bench.run(1'000, [&] { return reading.records.size() >= 5'000; }), "%zu", reading.records.size());
    cr_expect(reading.assigned.size() == 4 && reading.assignments == 1);
    expect_numbers(reading.records, 5'000);
    cr_expect(reading.largest_turn <= 1'000 && reading.since_pause == 0, "%zu", reading.largest_turn);
    cr_expect(consumer->stats().records == 5'000 && reading.errors.empty());
    std::int64_t ends = 0;
    for (const Partition& partition : reading.assigned) ends += consumer->high_watermark(partition);
    cr_expect(ends == 5'000);
    cr_expect(consumer->high_watermark({"other", 0}) == -1);

    // As they were written, from here on.
    Reports reports;
    const auto producer = Bench::must(Producer::create(bench.loop, bench.settings, {}));
    const std::vector<Header> headers = {{"a", "1"}, {"a", ""}, {"null", std::nullopt}};
    cr_assert(producer->produce({.topic = "t", .partition = 1, .value = "v", .headers = headers}, reports, 1));
    cr_assert(producer->produce({.topic = "t", .partition = 1, .key = "k"}, reports, 2));
    cr_assert(bench.run(5'000, [&] { return reading.records.size() == 5'002; }));
    const OwnedRecord& one = reading.records[5'000];
    const OwnedRecord& two = reading.records[5'001];
    cr_expect(!one.key && one.value == "v" && one.partition == 1 && one.time_ms > 0);
    cr_assert(one.headers.size() == 3);
    cr_expect(one.headers[0].second == "1" && one.headers[1].second == "");
    cr_expect(one.headers[2].first == "null" && !one.headers[2].second);
    cr_expect(two.key == "k" && !two.value && two.headers.empty());
    consumer->close();
}

Test(kafka_consumer, reads_nothing_before_start_and_then_exactly_from_the_positions) {
    Bench bench;
    write(bench, 0, 200);
    Reading reading;
    reading.starts = false;
    const auto consumer = join(bench, reading, {"t"});
    cr_assert(bench.run(8'000, [&] { return reading.assignments == 1; }));
    bench.pass(300);
    cr_expect(reading.records.empty() && reading.revocations == 0 && reading.assigned.size() == 4);
    std::vector<Position> positions;
    for (const Partition& partition : reading.assigned) positions.push_back({partition, partition.number == 0 ? 0 : 5});
    consumer->start(positions);
    consumer->start(positions);
    bench.run(5'000, [&] { return reading.records.size() >= 185; });
    bench.pass(200);
    std::map<std::int32_t, std::int64_t> first;
    for (const OwnedRecord& record : reading.records) first.try_emplace(record.partition, record.offset);
    cr_expect(first[0] == 0 && first[1] == 5 && first[2] == 5 && first[3] == 5);
    const std::size_t most = 200 - 15;
    cr_expect(reading.records.size() == most, "%zu", reading.records.size());
}

Test(kafka_consumer, stops_reading_at_once_and_goes_on_without_loss) {
    Bench bench;
    write(bench, 0, 3'000);
    Reading reading;
    reading.stops_at = 500;
    const auto consumer = join(bench, reading, {"t"});
    cr_assert(bench.run(10'000, [&] { return reading.records.size() == 500; }));
    bench.pass(300);
    cr_expect(reading.records.size() == 500 && reading.since_pause == 0);
    for (int i = 0; i < 50; ++i) {
        consumer->set_reading(true);
        bench.pass(2);
        consumer->set_reading(false);
        bench.pass(2);
    }
    consumer->set_reading(true);
    cr_assert(bench.run(5'000, [&] { return reading.records.size() >= 3'000; }), "%zu", reading.records.size());
    expect_numbers(reading.records, 3'000);
}

Test(kafka_consumer, goes_on_after_a_brokers_absence_and_ends_at_once_during_one) {
    Bench bench;
    write(bench, 0, 100);
    Reading reading;
    auto consumer = join(bench, reading, {"t"});
    cr_assert(bench.run(8'000, [&] { return reading.records.size() == 100; }));
    cr_assert(bench.broker->set_down(true).has_value());
    bench.pass(500);
    cr_expect(!reading.errors.empty() && !reading.is_fatal);
    cr_assert(bench.broker->set_down(false).has_value());
    write(bench, 100, 200);
    cr_assert(bench.run(8'000, [&] { return reading.records.size() >= 200; }), "%zu", reading.records.size());
    expect_numbers(reading.records, 200);

    bool is_called = false;
    consumer->resolve({{"t", 0}}, std::nullopt, [&](auto) { is_called = true; });
    cr_assert(bench.broker->set_down(true).has_value());
    bench.pass(50);
    const auto before = std::chrono::steady_clock::now();
    consumer->close();
    consumer.reset();
    cr_expect(std::chrono::steady_clock::now() - before < std::chrono::seconds(5));
    bench.pass(200);
    cr_expect(!is_called, "nobody is there to be told");
}

Test(kafka_consumer, goes_on_when_its_buffer_was_full) {
    Bench bench;
    write(bench, 0, 12'000, 1'000);
    Reading reading;
    reading.stops_at = 1;
    ConsumerOptions options;
    options.buffer_bytes = 1U << 20U;
    const auto consumer = join(bench, reading, {"t"}, options);
    cr_assert(bench.run(8'000, [&] { return reading.records.size() == 1; }));
    bench.pass(200);
    consumer->set_reading(true);
    cr_assert(bench.run(8'000, [&] { return reading.records.size() == 12'000; }), "%zu", reading.records.size());
    expect_numbers(reading.records, 12'000);
}

Test(kafka_consumer, gives_way_even_before_it_has_started_and_takes_over_when_the_other_leaves) {
    Bench bench;
    write(bench, 0, 100);
    Reading one;
    Reading two;
    one.starts = false;
    const auto first = join(bench, one, {"t"});
    cr_assert(bench.run(8'000, [&] { return one.assigned.size() == 4; }));
    const auto second = join(bench, two, {"t"});
    cr_assert(bench.run(40'000, [&] { return two.assigned.size() == 2 && one.assigned.size() == 2; }));
    cr_expect(one.revocations == 1 && one.revoked == 4 && !one.was_lost && one.records.empty());
    one.start();
    one.starts = true;
    cr_assert(bench.run(5'000, [&] { return one.records.size() + two.records.size() == 100; }));
    second->close();
    cr_expect(two.revocations == 0, "who closes hears no more");
    for (const OwnedRecord& record : two.records) one.records.push_back(record);  // what the one would know from Redis
    cr_assert(bench.run(10'000, [&] { return one.assigned.size() == 4; }));
    write(bench, 100, 200);
    cr_assert(bench.run(5'000, [&] { return one.records.size() >= 200; }), "%zu", one.records.size());
    bench.pass(100);
    expect_numbers(one.records, 200);
}

Test(kafka_consumer, subscribes_by_expression_but_never_to_what_is_excepted) {
    Bench bench;
    for (const std::string name : {"course.updated", "course.removed", "courseXremoved", "sio.dead-letters"}) {
        cr_assert(bench.broker->create_topic(name, 1).has_value());
    }
    Reading reading;
    ConsumerOptions options;
    options.never = {"sio.dead-letters", "course.removed"};
    const auto consumer = join(bench, reading, {"^.*"}, options);
    cr_assert(bench.run(8'000, [&] { return reading.assignments == 1; }));
    std::set<std::string> topics;
    for (const Partition& partition : reading.assigned) topics.insert(partition.topic);
    cr_expect((topics == std::set<std::string>{"course.updated", "courseXremoved"}));
}

Test(kafka_consumer, refuses_an_expression_that_is_none) {
    Bench bench;
    Reading reading;
    ConsumerOptions options;
    options.group = "g";
    options.topics = {"^a(["};
    const auto consumer = Bench::must(Consumer::create(bench.loop, bench.settings, options, reading));
    const auto subscribed = consumer->subscribe();
    cr_assert(!subscribed);
    cr_expect(subscribed.error().code == Errc::config);
}

Test(kafka_consumer, finds_where_to_begin_and_what_was_committed) {
    Bench bench;
    write(bench, 0, 100);
    Reading reading;
    const auto consumer = join(bench, reading, {"t"});
    cr_assert(bench.run(8'000, [&] { return reading.records.size() == 100; }));
    const auto resolve = [&](std::optional<std::int64_t> since_ms) {
        std::optional<Result<std::vector<Position>>> answer;
        consumer->resolve(reading.assigned, since_ms ? std::optional(INT64_MAX / 2) : std::nullopt,
                          [&](auto positions) { answer = std::move(positions); });
        bench.run(7'000, [&] { return answer.has_value(); });
        cr_assert(answer.has_value());
        std::map<std::int32_t, std::int64_t> found;
        for (const Position& position : Bench::must(std::move(*answer)))
            found[position.partition.number] = position.next;
        cr_assert(found.size() == 4, "%zu", found.size());
        return found;
    };
    auto begins = resolve(std::nullopt);
    auto ends = resolve(bench.loop.wall_clock() + 60'000);
    std::int64_t total = 0;
    for (const auto& [partition, end] : ends) {
        cr_expect(begins[partition] == 0);
        total += end;
    }
    cr_expect(total == 100);
    const std::vector<Position> positions = {{{"t", 1}, 7}, {{"t", 3}, 2}};
    consumer->commit(positions);
    bench.pass(100);
    begins = resolve(std::nullopt);
    cr_expect(begins[1] == 7);
    cr_expect(begins[0] == 0 && begins[3] == 2);
}

}  // namespace
