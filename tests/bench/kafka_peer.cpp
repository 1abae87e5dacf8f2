// What librdkafka does alone, for the bench of the bridge to stand beside. Prints one JSON line.
//
//     bench-kafka-peer consume BROKERS TOPIC COUNT
//     bench-kafka-peer produce BROKERS TOPIC COUNT BYTES KEYS [RATE]
//     bench-kafka-peer latency BROKERS TOPIC RATE SECONDS
//
// consume reads COUNT records from the beginning of all partitions; the clock starts with the first. produce writes
// COUNT records of BYTES bytes over KEYS keys with the idempotent producer, as fast as it can or, with linger.ms=0,
// RATE a second. latency writes RATE a second to the topic's first partition with linger.ms=0 and reads them in the
// same process: the time from produce to poll.
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr int exit_usage = 64;
constexpr int exit_unavailable = 69;
constexpr auto longest_silence = std::chrono::seconds(20);

[[noreturn]] void give_up(std::string_view what, std::string_view why) {
    std::fprintf(stderr, "bench-kafka-peer: %.*s: %.*s\n", static_cast<int>(what.size()), what.data(),
                 static_cast<int>(why.size()), why.data());
    std::exit(exit_unavailable);
}

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

rd_kafka_t* make(rd_kafka_type_t type, const char* brokers,
                 std::initializer_list<std::pair<const char*, const char*>> properties,
                 void (*on_report)(rd_kafka_t*, const rd_kafka_message_t*, void*) = nullptr, void* opaque = nullptr) {
    std::array<char, 512> reason{};
    rd_kafka_conf_t* const conf = rd_kafka_conf_new();
    const auto set = [&](const char* name, const char* value) {
        if (rd_kafka_conf_set(conf, name, value, reason.data(), reason.size()) != RD_KAFKA_CONF_OK) {
            give_up(name, reason.data());
        }
    };
    set("bootstrap.servers", brokers);
    for (const auto& [name, value] : properties) set(name, value);
    if (on_report != nullptr) rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    rd_kafka_conf_set_opaque(conf, opaque);
    rd_kafka_t* const client = rd_kafka_new(type, conf, reason.data(), reason.size());
    if (client == nullptr) give_up("no client", reason.data());
    return client;
}

rd_kafka_t* make_consumer(const char* brokers) {
    rd_kafka_t* const client = make(RD_KAFKA_CONSUMER, brokers,
                                    {{"group.id", "bench-kafka-peer"},
                                     {"enable.auto.commit", "false"},
                                     {"enable.auto.offset.store", "false"},
                                     {"auto.offset.reset", "earliest"}});
    rd_kafka_poll_set_consumer(client);
    return client;
}

int partitions_of(rd_kafka_t* client, const char* name) {
    rd_kafka_topic_t* const topic = rd_kafka_topic_new(client, name, nullptr);
    const struct rd_kafka_metadata* facts = nullptr;
    const auto code = rd_kafka_metadata(client, 0, topic, &facts, 10'000);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) give_up(name, rd_kafka_err2str(code));
    const int count = facts->topic_cnt == 1 ? facts->topics[0].partition_cnt : 0;
    rd_kafka_metadata_destroy(facts);
    rd_kafka_topic_destroy(topic);
    if (count == 0) give_up(name, "there is no such topic");
    return count;
}

/// Reads the topic's first `partitions` from an offset on.
void assign(rd_kafka_t* client, const char* topic, int partitions, std::int64_t offset) {
    rd_kafka_topic_partition_list_t* const list = rd_kafka_topic_partition_list_new(partitions);
    for (int i = 0; i < partitions; ++i) rd_kafka_topic_partition_list_add(list, topic, i)->offset = offset;
    const auto code = rd_kafka_assign(client, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) give_up(topic, rd_kafka_err2str(code));
}

int consume(const char* brokers, const char* topic, std::uint64_t wanted) {
    rd_kafka_t* const client = make_consumer(brokers);
    assign(client, topic, partitions_of(client, topic), RD_KAFKA_OFFSET_BEGINNING);
    std::uint64_t records = 0;
    std::uint64_t bytes = 0;
    Clock::time_point begin;
    auto heard = Clock::now();
    while (records < wanted) {
        rd_kafka_message_t* const message = rd_kafka_consumer_poll(client, 100);
        if (message == nullptr) {
            if (Clock::now() - heard > longest_silence) give_up(topic, "no more records");
            continue;
        }
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            if (records++ == 0) begin = Clock::now();
            bytes += message->len;
        }
        rd_kafka_message_destroy(message);
        if ((records & 1023U) == 0) heard = Clock::now();
    }
    std::printf("{\"records\":%llu,\"seconds\":%.6f,\"bytes\":%llu}\n", static_cast<unsigned long long>(records),
                seconds_since(begin), static_cast<unsigned long long>(bytes));
    std::fflush(stdout);
    rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
    return EXIT_SUCCESS;
}

struct Reports {
    std::uint64_t good = 0;
    std::uint64_t bad = 0;
    rd_kafka_resp_err_t last = RD_KAFKA_RESP_ERR_NO_ERROR;
};

void on_report(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
    auto& reports = *static_cast<Reports*>(opaque);
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        ++reports.good;
    } else {
        ++reports.bad;
        reports.last = message->err;
    }
}

rd_kafka_t* make_producer(const char* brokers, bool is_paced, Reports& reports) {
    return make(RD_KAFKA_PRODUCER, brokers,
                {{"enable.idempotence", "true"},
                 {"acks", "all"},
                 {"partitioner", "murmur2_random"},
                 {"linger.ms", is_paced ? "0" : "5"}},
                on_report, &reports);
}

void produce_one(rd_kafka_t* client, rd_kafka_topic_t* topic, std::int32_t partition, const std::string& value,
                 const std::string& key) {
    while (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, const_cast<char*>(value.data()), value.size(),
                            key.data(), key.size(), nullptr) != 0) {
        const auto code = rd_kafka_last_error();
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL) give_up(rd_kafka_topic_name(topic), rd_kafka_err2str(code));
        rd_kafka_poll(client, 10);
    }
}

int produce(const char* brokers, const char* name, std::uint64_t count, std::size_t bytes, std::uint64_t keys,
            double rate) {
    Reports reports;
    rd_kafka_t* const client = make_producer(brokers, rate > 0, reports);
    rd_kafka_topic_t* const topic = rd_kafka_topic_new(client, name, nullptr);
    partitions_of(client, name);
    std::string value(bytes, 'x');
    const auto begin = Clock::now();
    for (std::uint64_t i = 0; i < count; ++i) {
        if (rate > 0) {
            const auto due = begin + std::chrono::duration_cast<Clock::duration>(
                                         std::chrono::duration<double>(static_cast<double>(i) / rate));
            while (Clock::now() < due) {
                rd_kafka_poll(client, 0);
                std::this_thread::sleep_for(
                    std::min<Clock::duration>(due - Clock::now(), std::chrono::milliseconds(5)));
            }
        }
        // Told apart by a number, as far as there is room.
        const std::string number = std::to_string(i);
        std::memcpy(value.data(), number.data(), std::min(number.size(), value.size()));
        produce_one(client, topic, RD_KAFKA_PARTITION_UA, value, "key-" + std::to_string(i % keys));
        if ((i & 255U) == 0) rd_kafka_poll(client, 0);
    }
    rd_kafka_flush(client, 60'000);
    const double seconds = seconds_since(begin);
    std::printf("{\"records\":%llu,\"seconds\":%.6f,\"rate\":%.0f,\"failed\":%llu}\n",
                static_cast<unsigned long long>(reports.good), seconds, static_cast<double>(reports.good) / seconds,
                static_cast<unsigned long long>(count - reports.good));
    if (reports.bad > 0) std::fprintf(stderr, "bench-kafka-peer: %s\n", rd_kafka_err2str(reports.last));
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(client);
    return reports.good == count ? EXIT_SUCCESS : EXIT_FAILURE;
}

/// The value at a share of the sorted `all`.
double at_share(const std::vector<double>& all, double share) {
    if (all.empty()) return 0;
    return all[std::min(all.size() - 1, static_cast<std::size_t>(share * static_cast<double>(all.size())))];
}

std::int64_t nanoseconds() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
}

int latency(const char* brokers, const char* name, double rate, double seconds) {
    Reports reports;
    rd_kafka_t* const producer = make_producer(brokers, true, reports);
    rd_kafka_topic_t* const topic = rd_kafka_topic_new(producer, name, nullptr);
    rd_kafka_t* const consumer = make_consumer(brokers);
    partitions_of(consumer, name);
    assign(consumer, name, 1, RD_KAFKA_OFFSET_END);
    const std::string marker = "bench-kafka-peer-" + std::to_string(nanoseconds());

    // Where the end is, the consumer finds out at some time: until then records may be missed.
    const auto write = [&](std::string_view kind) {
        produce_one(producer, topic, 0, std::string(kind) + ' ' + std::to_string(nanoseconds()), marker);
    };
    const auto is_ours = [&](const rd_kafka_message_t& message, char kind) {
        return message.err == RD_KAFKA_RESP_ERR_NO_ERROR && message.key_len == marker.size() && message.len > 2 &&
               std::memcmp(message.key, marker.data(), marker.size()) == 0 &&
               *static_cast<const char*>(message.payload) == kind;
    };
    const auto begun = Clock::now();
    for (bool is_reading = false; !is_reading;) {
        if (Clock::now() - begun > longest_silence) give_up(name, "nothing comes back");
        write("w");
        rd_kafka_poll(producer, 0);
        rd_kafka_message_t* const message = rd_kafka_consumer_poll(consumer, 50);
        if (message == nullptr) continue;
        is_reading = is_ours(*message, 'w');
        rd_kafka_message_destroy(message);
    }

    const auto count = static_cast<std::uint64_t>(rate * seconds);
    std::thread writer([&] {
        const auto begin = Clock::now();
        for (std::uint64_t i = 0; i < count; ++i) {
            std::this_thread::sleep_until(begin + std::chrono::duration_cast<Clock::duration>(
                                                      std::chrono::duration<double>(static_cast<double>(i) / rate)));
            write("m");
            rd_kafka_poll(producer, 0);
        }
        rd_kafka_flush(producer, 10'000);
    });
    std::vector<double> times;
    times.reserve(count);
    auto heard = Clock::now();
    while (times.size() < count && Clock::now() - heard < longest_silence) {
        rd_kafka_message_t* const message = rd_kafka_consumer_poll(consumer, 100);
        if (message == nullptr) continue;
        const std::int64_t now = nanoseconds();
        if (is_ours(*message, 'm')) {
            const std::string text(static_cast<const char*>(message->payload), message->len);
            times.push_back(static_cast<double>(now - std::strtoll(text.c_str() + 2, nullptr, 10)) / 1e6);
            heard = Clock::now();
        }
        rd_kafka_message_destroy(message);
    }
    writer.join();
    std::ranges::sort(times);
    std::printf("{\"records\":%zu,\"missing\":%zu,\"rate\":%.0f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}\n",
                times.size(), static_cast<std::size_t>(count) - times.size(), rate, at_share(times, 0.5),
                at_share(times, 0.99), times.empty() ? 0.0 : times.back());
    std::fflush(stdout);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(producer);
    rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
    return times.size() == count ? EXIT_SUCCESS : EXIT_FAILURE;
}

std::uint64_t number(const char* text) { return std::strtoull(text, nullptr, 10); }

}  // namespace

int main(int argc, char** argv) {
    const std::string_view what = argc > 1 ? argv[1] : "";
    if (what == "consume" && argc == 5) return consume(argv[2], argv[3], number(argv[4]));
    if (what == "produce" && (argc == 7 || argc == 8)) {
        return produce(argv[2], argv[3], number(argv[4]), number(argv[5]), std::max<std::uint64_t>(number(argv[6]), 1),
                       argc == 8 ? std::strtod(argv[7], nullptr) : 0);
    }
    if (what == "latency" && argc == 6) {
        return latency(argv[2], argv[3], std::max(std::strtod(argv[4], nullptr), 0.1), std::strtod(argv[5], nullptr));
    }
    std::fputs(
        "usage: bench-kafka-peer consume BROKERS TOPIC COUNT\n"
        "       bench-kafka-peer produce BROKERS TOPIC COUNT BYTES KEYS [RATE]\n"
        "       bench-kafka-peer latency BROKERS TOPIC RATE SECONDS\n",
        stderr);
    return exit_usage;
}
