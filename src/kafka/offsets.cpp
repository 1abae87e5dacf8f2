#include "kafka/offsets.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

namespace sio::kafka {

namespace {

// Times that the protocol gives a meaning to (ListOffsets).
constexpr std::int64_t time_of_end = -1;
constexpr std::int64_t time_of_beginning = -2;

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds retry_pause(100);

int left_ms(Clock::time_point until) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
    return static_cast<int>(std::max<std::int64_t>(left, 1));
}

/// A topic that is new has its leaders a moment later; what we know of them is being asked for again.
bool is_passing(rd_kafka_resp_err_t code) noexcept {
    return code == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION || code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ||
           code == RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH || code == RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH;
}

Result<std::vector<Position>> find_times(rd_kafka_t* client, std::span<const Partition> partitions, std::int64_t time,
                                         std::int64_t timeout_ms) {
    // rd_kafka_query_watermark_offsets() does not keep to its timeout in 2.0.2.
    const auto until = Clock::now() + std::chrono::milliseconds(timeout_ms);
    List list;
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    while (true) {
        list = new_list(partitions.size());
        for (const Partition& partition : partitions) {
            rd_kafka_topic_partition_list_add(list.get(), partition.topic.c_str(), partition.number)->offset = time;
        }
        code = rd_kafka_offsets_for_times(client, list.get(), left_ms(until));
        if (!is_passing(code) || left_ms(until) <= retry_pause.count()) break;
        std::this_thread::sleep_for(retry_pause);
    }
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return fail(code_of(code), std::string("cannot ask Kafka for offsets: ") + rd_kafka_err2str(code));
    }
    std::vector<Position> found;
    for (const auto& one : std::span(list->elems, static_cast<std::size_t>(list->cnt))) {
        if (one.err == RD_KAFKA_RESP_ERR_NO_ERROR && one.offset >= 0) {
            found.push_back({{one.topic, one.partition}, one.offset});
        }
    }
    return found;
}

/// The ends are asked for first: what comes between the two questions is behind them.
Result<std::vector<Position>> find_since(rd_kafka_t* client, std::span<const Partition> partitions,
                                         std::optional<std::int64_t> since_ms, std::int64_t timeout_ms) {
    if (!since_ms) return find_bounds(client, partitions, false, timeout_ms);
    auto ends = find_bounds(client, partitions, true, timeout_ms / 2);
    if (!ends) return ends;
    const auto begins = find_times(client, partitions, *since_ms, timeout_ms / 2);
    if (!begins) return ends;  // a broker that does not know times
    for (Position& position : *ends) {
        const auto found = std::ranges::find(*begins, position.partition, &Position::partition);
        if (found != begins->end()) position.next = std::min(position.next, found->next);
    }
    return ends;
}

}  // namespace

Result<std::vector<Position>> find_bounds(rd_kafka_t* client, std::span<const Partition> partitions, bool end,
                                          std::int64_t timeout_ms) {
    return find_times(client, partitions, end ? time_of_end : time_of_beginning, timeout_ms);
}

Result<std::vector<Position>> find_beginnings(const Settings& settings, const std::string& group,
                                              const std::vector<Partition>& partitions,
                                              std::optional<std::int64_t> since_ms, std::int64_t timeout_ms) {
    const auto until = Clock::now() + std::chrono::milliseconds(timeout_ms);
    auto conf = make_conf(settings, Kind::consumer, {{"group.id", group}, {"enable.auto.commit", "false"}});
    if (!conf) return tl::unexpected(conf.error());
    auto client = make_client(std::move(*conf), Kind::consumer);
    if (!client) return tl::unexpected(client.error());

    std::vector<Position> positions;
    std::vector<Partition> unknown;
    const List list = new_list(partitions.size());
    for (const Partition& partition : partitions) {
        rd_kafka_topic_partition_list_add(list.get(), partition.topic.c_str(), partition.number);
    }
    const auto code = rd_kafka_committed(*client, list.get(), static_cast<int>(timeout_ms / 2));
    Result<std::vector<Position>> answer = std::vector<Position>{};
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        answer =
            fail(Errc::unavailable, std::string("cannot ask Kafka for committed offsets: ") + rd_kafka_err2str(code));
    } else {
        for (const auto& one : std::span(list->elems, static_cast<std::size_t>(list->cnt))) {
            if (one.err != RD_KAFKA_RESP_ERR_NO_ERROR) continue;
            Partition partition{one.topic, one.partition};
            if (one.offset >= 0) {
                positions.push_back({std::move(partition), one.offset});
            } else {
                unknown.push_back(std::move(partition));
            }
        }
        if (!unknown.empty()) {
            answer = find_since(*client, unknown, since_ms, left_ms(until));
        }
        if (answer) {
            positions.insert(positions.end(), answer->begin(), answer->end());
            if (positions.empty() && !partitions.empty()) {
                answer = fail(Errc::unavailable, "cannot ask Kafka for offsets: no partition could be told");
            } else {
                answer = std::move(positions);
            }
        } else if (!positions.empty()) {
            answer = std::move(positions);
        }
    }
    Ending::begin(*client, false, nullptr);
    return answer;
}

Result<std::vector<Position>> find_first_offsets(const Settings& settings, const std::vector<Partition>& partitions,
                                                 std::int64_t timeout_ms) {
    auto conf = make_conf(settings, Kind::consumer, {});
    if (!conf) return tl::unexpected(conf.error());
    auto client = make_client(std::move(*conf), Kind::consumer);
    if (!client) return tl::unexpected(client.error());
    auto found = find_bounds(*client, partitions, false, timeout_ms);
    Ending::begin(*client, false, nullptr);
    return found;
}

}  // namespace sio::kafka
