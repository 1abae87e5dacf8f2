// kafka/producer.h: a report for each record, and nothing lost or written twice over a broker's absence.

#include "kafka/producer.h"

#include <algorithm>
#include <chrono>

#include "support.h"

namespace {

using namespace sio;
using namespace sio::kafka;
using namespace sio::kafka::test;

std::unique_ptr<Producer> make(Bench& bench, const ProducerOptions& options = {}) {
    return Bench::must(Producer::create(bench.loop, bench.settings, options));
}

std::vector<OwnedRecord> read_all(Bench& bench, const std::string& topic, std::size_t limit = 100'000) {
    std::optional<Result<std::vector<OwnedRecord>>> read;
    read_newest(bench.loop, bench.settings, topic, limit, 5'000, [&](auto answer) { read = std::move(answer); });
    bench.run(7'000, [&] { return read.has_value(); });
    cr_assert(read.has_value());
    cr_assert(read->has_value(), "%s", read->error().what.c_str());
    return std::move(**read);
}

Test(kafka_producer, reports_each_record_with_its_place) {
    Bench bench;
    Reports reports;
    const auto producer = make(bench);
    reports.producer = producer.get();
    cr_assert(bench.broker->create_topic("notes", 1).has_value());
    for (std::uint64_t i = 0; i < 100; ++i) {
        cr_assert(
            producer->produce({.topic = "notes", .key = "k", .value = std::to_string(i)}, reports, i).has_value());
    }
    cr_expect(producer->open() == 100);
    cr_assert(bench.run(5'000, [&] { return reports.tags.size() == 100; }));
    cr_expect(reports.failures() == 0 && producer->open() == 0 && producer->stats().produced == 100);
    for (std::size_t i = 0; i < 100; ++i) {
        cr_expect(reports.tags[i] == i);
        cr_expect(reports.places[i].partition == 0 && reports.places[i].offset == static_cast<std::int64_t>(i));
    }
}

Test(kafka_producer, keeps_null_empty_and_repeated_headers_apart) {
    Bench bench;
    Reports reports;
    const auto producer = make(bench);
    const std::vector<Header> headers = {{"a", "1"}, {"a", "2"}, {"empty", ""}, {"null", std::nullopt}, {"b", "\0x"}};
    cr_assert(
        producer->produce({.topic = "t", .partition = 2, .key = {}, .value = "v", .headers = headers}, reports, 1));
    cr_assert(producer->produce({.topic = "t", .partition = 2, .key = "", .value = {}}, reports, 2));
    cr_assert(producer->produce({.topic = "t", .partition = 2, .key = "k", .value = std::string_view()}, reports, 3));
    cr_assert(bench.run(5'000, [&] { return reports.tags.size() == 3; }));
    cr_assert(reports.failures() == 0);
    const auto records = read_all(bench, "t");
    cr_assert(records.size() == 3);
    cr_expect(!records[0].key && records[0].value == "v" && records[0].partition == 2 && records[0].time_ms > 0);
    cr_assert(records[0].headers.size() == 5);
    cr_expect(records[0].headers[0].second == "1" && records[0].headers[1].second == "2");
    cr_expect(records[0].headers[1].first == "a" && records[0].headers[2].second == "");
    cr_expect(!records[0].headers[3].second.has_value());
    cr_expect(records[1].key == "" && !records[1].value && records[1].headers.empty());
    cr_expect(records[2].key == "k" && records[2].value == "");
}

Test(kafka_producer, refuses_when_its_queue_is_full_and_goes_on_after_a_report) {
    Bench bench;
    cr_assert(bench.broker->set_down(true).has_value());
    Reports reports;
    const auto producer = make(bench, {.queue_bytes = 1U << 20U, .queue_records = 10});
    std::uint64_t taken = 0;
    Result<void> last;
    while (taken < 20 && (last = producer->produce({.topic = "t", .value = "x"}, reports, taken))) ++taken;
    cr_expect(taken == 10, "%d", static_cast<int>(taken));
    cr_assert(!last && last.error().code == Errc::unavailable);
    cr_expect(producer->stats().refused == 1 && producer->open() == 10);
    cr_assert(bench.broker->set_down(false).has_value());
    cr_assert(bench.run(5'000, [&] { return !reports.tags.empty(); }));
    cr_expect(producer->produce({.topic = "t", .value = "x"}, reports, 99).has_value());
    cr_expect(producer->flush(5'000) == 0);
    cr_expect(reports.tags.size() == 11 && reports.failures() == 0);
}

Test(kafka_producer, refuses_what_can_never_be_written) {
    Bench bench;
    Reports reports;
    const auto producer = make(bench, {.max_record_bytes = 2'000});
    for (const std::string& name : {std::string(), std::string("."), std::string("a b"), std::string(250, 'x')}) {
        const auto taken = producer->produce({.topic = name, .value = "x"}, reports, 1);
        cr_expect(!taken && taken.error().code == Errc::malformed);
    }
    const std::string large(3'000, 'x');
    const auto taken = producer->produce({.topic = "t", .value = large}, reports, 1);
    cr_assert(!taken);
    cr_expect(taken.error().code == Errc::too_large);
    cr_expect(producer->open() == 0 && producer->stats().refused == 5);
}

Test(kafka_producer, reports_what_the_broker_refuses) {
    Bench bench;
    Reports reports;
    const auto producer = make(bench);
    cr_assert(producer->produce({.topic = "t", .value = "x"}, reports, 0));
    cr_assert(bench.run(5'000, [&] { return reports.tags.size() == 1; }));
    bench.broker->fail_next_produce(29 /* TOPIC_AUTHORIZATION_FAILED */, 1);
    cr_assert(producer->produce({.topic = "t", .value = "x"}, reports, 1));
    cr_assert(bench.run(5'000, [&] { return reports.tags.size() == 2; }));
    cr_assert(reports.errors[1].has_value());
    cr_expect(reports.errors[1]->code == Errc::denied, "%s", reports.errors[1]->what.c_str());
    cr_expect(producer->stats().failed == 1);
}

Test(kafka_producer, loses_and_repeats_nothing_over_a_brokers_absence) {
    Bench bench;
    cr_assert(bench.broker->create_topic("t", 1).has_value());
    Reports reports;
    const auto producer = make(bench);
    std::uint64_t n = 0;
    for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 500; ++i) {
            cr_assert(producer->produce({.topic = "t", .key = "k", .value = std::to_string(n)}, reports, n));
            ++n;
        }
        bench.pass(20);
        cr_assert(bench.broker->set_down(true).has_value());
        for (int i = 0; i < 500; ++i) {
            cr_assert(producer->produce({.topic = "t", .key = "k", .value = std::to_string(n)}, reports, n));
            ++n;
        }
        bench.pass(200);
        cr_assert(bench.broker->set_down(false).has_value());
    }
    cr_assert(bench.run(8'000, [&] { return reports.tags.size() == n; }), "%zu of %d", reports.tags.size(), int(n));
    cr_expect(reports.failures() == 0);
    const auto records = read_all(bench, "t");
    cr_assert(records.size() == n, "%zu of %d", records.size(), int(n));
    for (std::size_t i = 0; i < n; ++i) {
        cr_assert(records[i].value == std::to_string(i), "at %zu: %s", i, records[i].value->c_str());
    }
}

Test(kafka_producer, is_made_anew_when_it_has_become_useless) {
    Bench bench;
    Reports reports;
    const auto producer = make(bench);
    cr_assert(producer->produce({.topic = "t", .value = "x"}, reports, 0));
    cr_assert(bench.run(5'000, [&] { return reports.tags.size() == 1; }));
    // An idempotent producer whose sequence the broker does not take cannot go on.
    bench.broker->fail_next_produce(45 /* OUT_OF_ORDER_SEQUENCE_NUMBER */, 1);
    for (std::uint64_t i = 1; i <= 5; ++i) cr_assert(producer->produce({.topic = "t", .value = "x"}, reports, i));
    cr_assert(bench.run(5'000, [&] { return reports.tags.size() == 6; }), "%zu", reports.tags.size());
    cr_assert(bench.run(1'000, [&] { return producer->stats().recreated == 1; }));
    cr_expect(reports.failures() == 5 && producer->open() == 0);
    for (std::size_t i = 1; i <= 5; ++i) cr_expect(reports.errors[i]->code == Errc::unavailable);
    cr_assert(producer->produce({.topic = "t", .value = "y"}, reports, 6).has_value());
    cr_assert(bench.run(5'000, [&] { return reports.tags.size() == 7; }));
    cr_expect(!reports.errors[6].has_value());
}

Test(kafka_producer, tells_nothing_to_a_sink_that_is_forgotten) {
    Bench bench;
    Reports gone;
    Reports here;
    const auto producer = make(bench);
    cr_assert(producer->produce({.topic = "t", .value = "x"}, gone, 1));
    cr_assert(producer->produce({.topic = "t", .value = "x"}, here, 2));
    producer->forget(gone);
    cr_assert(bench.run(5'000, [&] { return producer->open() == 0; }));
    cr_expect(gone.tags.empty() && here.tags == std::vector<std::uint64_t>{2});
}

Test(kafka_producer, takes_reports_in_turns_of_bounded_length) {
    Bench bench;
    Reports reports;
    const auto producer = make(bench);
    for (std::uint64_t i = 0; i < 15'000; ++i) {
        cr_assert(producer->produce({.topic = "t", .partition = 0, .value = "x"}, reports, i));
    }
    std::size_t before = 0;
    std::size_t largest = 0;
    cr_assert(bench.run(8'000, [&] {
        largest = std::max(largest, reports.tags.size() - before);
        before = reports.tags.size();
        return before == 15'000;
    }));
    cr_expect(largest <= 1'000, "%zu in a turn", largest);
    cr_expect(std::ranges::is_sorted(reports.tags));
}

Test(kafka_producer, ends_at_once_though_the_broker_is_away) {
    Bench bench;
    cr_assert(bench.broker->set_down(true).has_value());
    Reports reports;
    auto producer = make(bench);
    cr_assert(producer->produce({.topic = "t", .value = "x"}, reports, 1));
    cr_expect(producer->flush(100) == 1);
    const auto before = std::chrono::steady_clock::now();
    producer.reset();
    cr_expect(std::chrono::steady_clock::now() - before < std::chrono::milliseconds(1'200));
    cr_expect(reports.tags.empty());
}

}  // namespace
