// Questions about offsets that wait for brokers: for threads that may. Included within src/kafka only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "kafka/client.h"
#include "kafka/record.h"
#include "kafka/settings.h"

namespace sio::kafka {

/// The beginning (first offset kept) or the end (next offset to be given) of each partition that could be asked about.
/// Errors: `not_found`, `unavailable`.
Result<std::vector<Position>> find_bounds(rd_kafka_t* client, std::span<const Partition> partitions, bool end,
                                          std::int64_t timeout_ms);

/// For each partition the offset committed for the group, else that of the first record with a timestamp of `since_ms`
/// or later (the end of the log when there is none), or with no `since_ms` the beginning of the log; without those that
/// could not be told. Errors: `unavailable`, when none could.
Result<std::vector<Position>> find_beginnings(const Settings& settings, const std::string& group,
                                              const std::vector<Partition>& partitions,
                                              std::optional<std::int64_t> since_ms, std::int64_t timeout_ms);

/// The first offset that the log of each partition has, by a client of its own. Errors: `unavailable`, `not_found`.
Result<std::vector<Position>> find_first_offsets(const Settings& settings, const std::vector<Partition>& partitions,
                                                 std::int64_t timeout_ms);

}  // namespace sio::kafka
