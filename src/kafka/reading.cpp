// Reading a few records of a topic, without a group, for people.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "kafka/client.h"
#include "kafka/consumer.h"
#include "kafka/errand.h"
#include "kafka/offsets.h"

namespace sio::kafka {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t max_read_bytes = 64U << 20U;  // of the records of one answer
constexpr std::int64_t max_passed_over = 500;       // records read for nothing before a jump is cheaper

constexpr int max_readers = 4;  // at one time
std::atomic<int> readers = 0;

/// One of the max_readers, or nothing. Given back by the last copy.
std::shared_ptr<void> take_turn() {
    if (readers.fetch_add(1) < max_readers) {
        return {&readers, [](std::atomic<int>* count) { count->fetch_sub(1); }};
    }
    readers.fetch_sub(1);
    return nullptr;
}

Error busy(const std::string& topic) {
    return {Errc::unavailable,
            "cannot read topic " + topic + ": " + std::to_string(max_readers) + " others are reading"};
}

std::optional<std::string> copy_of(const void* data, std::size_t size) {
    if (data == nullptr) return std::nullopt;
    return std::string(static_cast<const char*>(data), size);
}

OwnedRecord record_of(const rd_kafka_message_t& message) {
    OwnedRecord record;
    record.partition = message.partition;
    record.offset = message.offset;
    rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    const std::int64_t time = rd_kafka_message_timestamp(&message, &type);
    if (type != RD_KAFKA_TIMESTAMP_NOT_AVAILABLE) record.time_ms = time;
    record.key = copy_of(message.key, message.key_len);
    record.value = copy_of(message.payload, message.len);
    rd_kafka_headers_t* all = nullptr;
    if (rd_kafka_message_headers(&message, &all) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        const char* name = nullptr;
        const void* value = nullptr;
        std::size_t size = 0;
        for (std::size_t i = 0; rd_kafka_header_get_all(all, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
             ++i) {
            record.headers.emplace_back(name, copy_of(value, size));
        }
    }
    return record;
}

std::size_t bytes_of(const OwnedRecord& record) noexcept {
    std::size_t bytes =
        sizeof record + (record.key ? record.key->size() : 0) + (record.value ? record.value->size() : 0);
    for (const auto& [name, value] : record.headers) bytes += name.size() + (value ? value->size() : 0);
    return bytes;
}

bool is_older(const OwnedRecord& a, const OwnedRecord& b) noexcept {
    return std::tie(a.time_ms, a.partition, a.offset) < std::tie(b.time_ms, b.partition, b.offset);
}

/// Sorts, and keeps the newest of at most these numbers. Returns the bytes kept.
std::size_t keep_newest(std::vector<OwnedRecord>& records, std::size_t limit, std::size_t max_bytes) {
    std::ranges::sort(records, is_older);
    std::size_t bytes = 0;
    auto first = records.end();
    while (first != records.begin() && static_cast<std::size_t>(records.end() - first) < limit) {
        const std::size_t more = bytes_of(*std::prev(first));
        if (bytes + more > max_bytes) break;
        bytes += more;
        --first;
    }
    records.erase(records.begin(), first);
    return bytes;
}

/// A consumer that belongs to no group, for one topic, until a deadline.
class Reader {
public:
    Reader(std::string topic, std::int64_t timeout_ms)
        : topic_(std::move(topic)),
          timeout_ms_(timeout_ms),
          until_(Clock::now() + std::chrono::milliseconds(timeout_ms)) {}
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    ~Reader() {
        if (client_ == nullptr) return;
        rd_kafka_assign(client_, nullptr);
        Ending::begin(client_, false, nullptr);
    }

    Result<void> open(const Settings& settings) {
        const Properties ours = {{"group.id", "none"},
                                 {"enable.auto.commit", "false"},
                                 {"enable.auto.offset.store", "false"},
                                 {"auto.offset.reset", "earliest"},
                                 {"enable.partition.eof", "true"},
                                 {"allow.auto.create.topics", "false"},
                                 {"queued.max.messages.kbytes", "8192"},
                                 {"fetch.max.bytes", "8388608"}};
        auto conf = make_conf(settings, Kind::consumer, ours);
        if (!conf) return tl::unexpected(conf.error());
        auto client = make_client(std::move(*conf), Kind::consumer);
        if (!client) return tl::unexpected(client.error());
        client_ = *client;
        rd_kafka_poll_set_consumer(client_);
        return {};
    }

    /// Errors: `not_found`, `unavailable`.
    Result<std::vector<Partition>> partitions() {
        rd_kafka_topic_t* const topic = rd_kafka_topic_new(client_, topic_.c_str(), nullptr);
        if (topic == nullptr) return fail(Errc::not_found, "cannot read topic " + topic_ + ": it has no such name");
        const struct rd_kafka_metadata* facts = nullptr;
        auto code = rd_kafka_metadata(client_, 0, topic, &facts, left_ms());
        rd_kafka_topic_destroy(topic);
        std::vector<Partition> found;
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            for (const auto& one : std::span(facts->topics, static_cast<std::size_t>(facts->topic_cnt))) {
                if (one.err != RD_KAFKA_RESP_ERR_NO_ERROR) code = one.err;
                for (int i = 0; i < one.partition_cnt; ++i) found.push_back({topic_, one.partitions[i].id});
            }
            rd_kafka_metadata_destroy(facts);
            if (code == RD_KAFKA_RESP_ERR_NO_ERROR && found.empty()) code = RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
        }
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return found;
        return fail(code_of(code), "cannot read topic " + topic_ + ": " + rd_kafka_err2str(code));
    }

    Result<std::map<std::int32_t, std::int64_t>> bounds(const std::vector<Partition>& partitions, bool end) {
        auto found = find_bounds(client_, partitions, end, left_ms());
        if (!found) return tl::unexpected(found.error());
        std::map<std::int32_t, std::int64_t> offsets;
        for (const Position& position : *found) offsets[position.partition.number] = position.next;
        if (offsets.size() != partitions.size()) {
            return fail(Errc::unavailable, "cannot read topic " + topic_ + ": some partition has no leader");
        }
        return offsets;
    }

    Result<void> begin(std::span<const Position> positions) {
        const auto code = rd_kafka_assign(client_, list_of(positions).get());
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
        return fail(Errc::unavailable, "cannot read topic " + topic_ + ": " + rd_kafka_err2str(code));
    }

    Result<void> jump(std::int32_t partition, std::int64_t offset) {
        const Position to{{topic_, partition}, offset};
        const List list = list_of(std::span(&to, 1));
        rd_kafka_error_t* const error = rd_kafka_seek_partitions(client_, list.get(), left_ms());
        if (error == nullptr) return {};
        auto failed = fail(Errc::unavailable, "cannot read topic " + topic_ + ": " + rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
        return failed;
    }

    /// The next record, or the end of a partition. Errors: `unavailable` (the deadline), `denied`.
    Result<Message> next() {
        while (true) {
            const int left = left_ms();
            Message message(rd_kafka_consumer_poll(client_, left));
            if (message != nullptr) {
                const auto code = message->err;
                if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR__PARTITION_EOF) return message;
                if (code_of(code) == Errc::denied || code_of(code) == Errc::not_found) {
                    return fail(code_of(code), "cannot read topic " + topic_ + ": " + rd_kafka_err2str(code));
                }
            }
            if (Clock::now() >= until_) {
                return fail(Errc::unavailable,
                            "cannot read topic " + topic_ + ": not done within " + std::to_string(timeout_ms_) + " ms");
            }
        }
    }

private:
    [[nodiscard]] int left_ms() const {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until_ - Clock::now()).count();
        return static_cast<int>(std::max<std::int64_t>(left, 1));
    }

    std::string topic_;
    std::int64_t timeout_ms_;
    Clock::time_point until_;
    rd_kafka_t* client_ = nullptr;
};

Result<std::vector<OwnedRecord>> newest(const Settings& settings, const std::string& topic, std::size_t limit,
                                        std::int64_t timeout_ms) {
    Reader reader(topic, timeout_ms);
    if (auto opened = reader.open(settings); !opened) return tl::unexpected(opened.error());
    auto partitions = reader.partitions();
    if (!partitions) return tl::unexpected(partitions.error());
    auto ends = reader.bounds(*partitions, true);
    if (!ends) return tl::unexpected(ends.error());
    auto begins = reader.bounds(*partitions, false);
    if (!begins) return tl::unexpected(begins.error());

    std::vector<Position> positions;
    const auto most = static_cast<std::int64_t>(std::min<std::size_t>(limit, 1'000'000));
    for (const auto& [partition, end] : *ends) {
        const std::int64_t first = std::max((*begins)[partition], end - most);
        if (first < end && limit > 0) positions.push_back({{topic, partition}, first});
    }
    std::vector<OwnedRecord> records;
    if (positions.empty()) return records;
    if (auto begun = reader.begin(positions); !begun) return tl::unexpected(begun.error());
    std::set<std::int32_t> open;
    for (const Position& position : positions) open.insert(position.partition.number);
    std::size_t bytes = 0;
    while (!open.empty()) {
        auto message = reader.next();
        if (!message) return tl::unexpected(message.error());
        const rd_kafka_message_t& read = **message;
        const std::int64_t end = (*ends)[read.partition];
        if (read.err == RD_KAFKA_RESP_ERR__PARTITION_EOF || read.offset >= end - 1) open.erase(read.partition);
        if (read.err != RD_KAFKA_RESP_ERR_NO_ERROR || read.offset >= end) continue;
        records.push_back(record_of(read));
        bytes += bytes_of(records.back());
        if (records.size() >= 2 * limit || bytes > 2 * max_read_bytes)
            bytes = keep_newest(records, limit, max_read_bytes);
    }
    keep_newest(records, limit, max_read_bytes);
    return records;
}

Result<std::vector<OwnedRecord>> at(const Settings& settings, const std::string& topic,
                                    const std::vector<Position>& wanted, std::int64_t timeout_ms) {
    Reader reader(topic, timeout_ms);
    if (auto opened = reader.open(settings); !opened) return tl::unexpected(opened.error());
    auto partitions = reader.partitions();
    if (!partitions) return tl::unexpected(partitions.error());
    std::map<std::int32_t, std::set<std::int64_t>> open;  // offsets not answered yet
    for (const Position& position : wanted) {
        const bool exists =
            std::ranges::find(*partitions, position.partition.number, &Partition::number) != partitions->end();
        if (exists && position.next >= 0) open[position.partition.number].insert(position.next);
    }
    std::vector<OwnedRecord> records;
    if (open.empty()) return records;
    std::vector<Position> positions;
    for (const auto& [partition, offsets] : open) positions.push_back({{topic, partition}, *offsets.begin()});
    if (auto begun = reader.begin(positions); !begun) return tl::unexpected(begun.error());
    std::size_t bytes = 0;
    while (!open.empty()) {
        auto message = reader.next();
        if (!message) return tl::unexpected(message.error());
        const rd_kafka_message_t& read = **message;
        const auto found = open.find(read.partition);
        if (found == open.end()) continue;
        auto& offsets = found->second;
        const bool is_end = read.err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        // What lies beyond the end is out of range, and the reading begins anew at the first record.
        if (is_end || read.offset < *offsets.begin()) {
            open.erase(found);
            continue;
        }
        if (offsets.contains(read.offset)) {
            records.push_back(record_of(read));
            bytes += bytes_of(records.back());
            if (bytes > max_read_bytes)
                return fail(Errc::too_large, "cannot read topic " + topic + ": more than 64 MiB");
        }
        offsets.erase(offsets.begin(), offsets.upper_bound(read.offset));  // those passed over are not there
        if (offsets.empty()) {
            open.erase(found);
        } else if (*offsets.begin() - read.offset > max_passed_over) {
            if (auto jumped = reader.jump(read.partition, *offsets.begin()); !jumped)
                return tl::unexpected(jumped.error());
        }
    }
    std::ranges::sort(records, is_older);
    return records;
}

}  // namespace

void read_newest(net::Loop& loop, const Settings& settings, std::string topic, std::size_t limit,
                 std::int64_t timeout_ms, std::function<void(Result<std::vector<OwnedRecord>>)> done) {
    auto turn = take_turn();
    if (turn == nullptr) return done(tl::unexpected(busy(topic)));
    ask_apart<std::vector<OwnedRecord>>(
        loop, timeout_ms + ending_patience_ms,
        [turn = std::move(turn), settings, topic = std::move(topic), limit, timeout_ms] {
            return newest(settings, topic, limit, timeout_ms);
        },
        std::move(done));
}

void read_at(net::Loop& loop, const Settings& settings, std::string topic, std::vector<Position> positions,
             std::int64_t timeout_ms, std::function<void(Result<std::vector<OwnedRecord>>)> done) {
    auto turn = take_turn();
    if (turn == nullptr) return done(tl::unexpected(busy(topic)));
    ask_apart<std::vector<OwnedRecord>>(
        loop, timeout_ms + ending_patience_ms,
        [turn = std::move(turn), settings, topic = std::move(topic), positions = std::move(positions), timeout_ms] {
            return at(settings, topic, positions, timeout_ms);
        },
        std::move(done));
}

}  // namespace sio::kafka
