// A Kafka record, as it was read and as it is to be written. Plain views, so that what handles records needs no broker.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sio::kafka {

struct Header {
    std::string_view name;
    std::optional<std::string_view> value;  ///< bytes; nothing: null
};

/// Views last for the call that is given the record.
struct Record {
    std::string_view topic;
    std::int32_t partition = 0;
    std::int64_t offset = 0;
    std::int64_t time_ms = -1;  ///< the record's timestamp, Unix time; -1: it has none
    std::optional<std::string_view> key;
    std::optional<std::string_view> value;  ///< nothing: null, a tombstone
    std::span<const Header> headers;        ///< in the record's order; names may repeat
};

struct Partition {
    std::string topic;
    std::int32_t number = 0;
    friend auto operator<=>(const Partition&, const Partition&) = default;
};

/// Where to begin in a partition.
struct Position {
    Partition partition;
    std::int64_t next = 0;  ///< offset of the first record wanted
};

/// A record to produce; copied by the call that takes it.
struct Outgoing {
    std::string_view topic;
    std::optional<std::int32_t> partition = {};  ///< nothing: by the key as Java clients do (murmur2_random)
    std::optional<std::string_view> key = {};
    std::optional<std::string_view> value = {};
    std::span<const Header> headers = {};
};

}  // namespace sio::kafka
