// kafka/consumer.h, read_newest() and read_at(); kafka/probe.h.

#include <chrono>
#include <set>

#include "kafka/probe.h"
#include "support.h"

namespace {

using namespace sio;
using namespace sio::kafka;
using namespace sio::kafka::test;

void write(Bench& bench, int count, std::int32_t partition) {
    Reports reports;
    const auto producer = Bench::must(Producer::create(bench.loop, bench.settings, {}));
    for (int i = 0; i < count; ++i) {
        cr_assert(producer->produce({.topic = "t", .partition = partition, .value = std::to_string(i)}, reports, 0));
    }
    cr_assert(producer->flush(5'000) == 0);
    cr_assert(reports.failures() == 0);
}

using Answer = Result<std::vector<OwnedRecord>>;

Answer newest(Bench& bench, const std::string& topic, std::size_t limit, std::int64_t timeout_ms = 4'000) {
    std::optional<Answer> read;
    read_newest(bench.loop, bench.settings, topic, limit, timeout_ms, [&](Answer answer) { read = std::move(answer); });
    cr_assert(bench.run(timeout_ms + 2'000, [&] { return read.has_value(); }));
    return std::move(*read);
}

Answer at(Bench& bench, const std::vector<Position>& positions) {
    std::optional<Answer> read;
    read_at(bench.loop, bench.settings, "t", positions, 4'000, [&](Answer answer) { read = std::move(answer); });
    cr_assert(bench.run(6'000, [&] { return read.has_value(); }));
    return std::move(*read);
}

Test(kafka_reading, gives_the_newest_over_all_partitions_newest_last) {
    Bench bench;
    write(bench, 50, 0);
    write(bench, 30, 3);
    const auto few = Bench::must(newest(bench, "t", 10));
    cr_assert(few.size() == 10);
    for (std::size_t i = 0; i < 10; ++i) {
        cr_expect(few[i].partition == 3 && few[i].offset == static_cast<std::int64_t>(20 + i));
    }
    const auto all = Bench::must(newest(bench, "t", 1'000));
    cr_assert(all.size() == 80);
    cr_expect(all.front().partition == 0 && all.front().value == "0" && all.back().value == "29");
    cr_expect(Bench::must(newest(bench, "t", 0)).empty());
}

Test(kafka_reading, gives_nothing_of_an_empty_topic_and_says_that_nobody_answers) {
    Bench bench;
    cr_assert(bench.broker->create_topic("empty", 2).has_value());
    cr_expect(Bench::must(newest(bench, "empty", 10)).empty());
    cr_assert(bench.broker->set_down(true).has_value());
    const auto before = std::chrono::steady_clock::now();
    const auto away = newest(bench, "empty", 10, 500);
    cr_assert(!away);
    cr_expect(away.error().code == Errc::unavailable);
    cr_expect(std::chrono::steady_clock::now() - before < std::chrono::milliseconds(1'700));
}

Test(kafka_reading, finds_records_by_their_places_and_leaves_out_those_that_are_not_there) {
    Bench bench;
    write(bench, 3'000, 1);
    write(bench, 5, 2);
    const auto records = Bench::must(at(bench, {{{"t", 1}, 2'999},
                                                {{"t", 1}, 3},
                                                {{"t", 1}, 3'000},
                                                {{"t", 1}, 9'999},
                                                {{"t", 1}, 1'700},
                                                {{"t", 2}, 4},
                                                {{"t", 2}, 77},
                                                {{"t", 0}, 0},
                                                {{"t", 9}, 0}}));
    std::set<std::pair<std::int32_t, std::string>> found;
    for (const OwnedRecord& record : records) found.emplace(record.partition, *record.value);
    cr_expect((found == std::set<std::pair<std::int32_t, std::string>>{{1, "2999"}, {1, "3"}, {1, "1700"}, {2, "4"}}));
    cr_expect(records.size() == 4, "%zu", records.size());
    cr_expect(Bench::must(at(bench, {{{"t", 2}, 50}})).empty());
}

Test(kafka_reading, refuses_more_than_four_readers_at_a_time) {
    Bench bench;
    write(bench, 1, 0);
    int answers = 0;
    int refusals = 0;
    for (int i = 0; i < 6; ++i) {
        read_newest(bench.loop, bench.settings, "t", 1, 4'000, [&](const Answer& answer) {
            ++answers;
            if (!answer) ++refusals;
        });
    }
    cr_expect(answers == 2 && refusals == 2, "%d, %d", answers, refusals);
    cr_assert(bench.run(5'000, [&] { return answers == 6; }));
    cr_expect(refusals == 2);
    cr_expect(newest(bench, "t", 1).has_value());
}

Test(kafka_probe, tells_within_a_second_and_a_half_that_the_broker_is_away_or_back) {
    Bench bench;
    std::vector<std::pair<bool, std::string>> told;
    const auto probe = Bench::must(Probe::create(
        bench.loop, bench.settings, [&](bool is_up, const std::string& reason) { told.emplace_back(is_up, reason); }));
    cr_expect(!probe->is_reachable());
    cr_assert(bench.run(1'500, [&] { return told.size() == 1; }));
    cr_expect(told[0].first && told[0].second.empty() && probe->is_reachable() && probe->brokers() == 1);
    bench.pass(500);
    cr_expect(told.size() == 1);
    cr_assert(bench.broker->set_down(true).has_value());
    cr_assert(bench.run(1'500, [&] { return told.size() == 2; }));
    cr_expect(!told[1].first && !told[1].second.empty() && probe->reason() == told[1].second);
    cr_assert(bench.broker->set_down(false).has_value());
    cr_assert(bench.run(1'500, [&] { return told.size() == 3; }));
    cr_expect(told[2].first && probe->reason().empty());
}

Test(kafka_probe, tells_at_once_that_nobody_listens) {
    Bench bench;
    bench.settings.brokers = "127.0.0.1:1";
    std::vector<std::string> told;
    const auto probe =
        Bench::must(Probe::create(bench.loop, bench.settings, [&](bool is_up, const std::string& reason) {
            cr_expect(!is_up);
            told.push_back(reason);
        }));
    cr_assert(bench.run(1'500, [&] { return told.size() == 1; }));
    cr_expect(told[0].find("refused") != std::string::npos, "%s", told[0].c_str());
}

}  // namespace
