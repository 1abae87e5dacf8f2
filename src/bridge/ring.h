// What became of the last records, for those who ask about one. Fixed memory; the oldest is forgotten first.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/timer_wheel.h"
#include "cluster/stream_id.h"

namespace sio::bridge {

enum class Outcome : std::uint8_t { pending, written, nothing, repeat, dead_letter };

/// As doc/protocol/bridge.md spells it.
std::string_view to_string(Outcome outcome) noexcept;

/// What is kept of a record on its way.
struct Note {
    std::int64_t offset = 0;
    std::int64_t time_ms = -1;     ///< the record's timestamp, Unix time; -1: none
    base::Millis consumed_ms = 0;  ///< Unix time
    std::uint32_t entries = 0;     ///< on the stream of `stream`, one behind the other
    std::uint16_t stream = 0;      ///< the first of its entries is there
    Outcome outcome = Outcome::pending;
};

class TraceRing {
public:
    static constexpr std::size_t capacity = 65'536;
    static constexpr std::size_t max_reasons = 1'000;

    struct Found {
        Note note;
        base::Millis written_ms = 0;
        std::optional<cluster::StreamId> first;  ///< the first of its entries; the others follow it
        std::string reason;                      ///< of a dead letter
    };

    /// `lane` stands for a partition; see lane_of(). `first` is the entry's id when that is known.
    void add(std::uint32_t lane, const Note& note, base::Millis written_ms, std::optional<cluster::StreamId> first);
    /// Remembers why a record became a dead letter.
    void add_reason(std::uint32_t lane, std::int64_t offset, std::string reason);

    /// The number that stands for a partition, for ever.
    std::uint32_t lane_of(std::string_view topic, std::int32_t partition);

    /// The newest word about a record.
    [[nodiscard]] std::optional<Found> find(std::string_view topic, std::int32_t partition, std::int64_t offset) const;

private:
    struct Slot {
        Note note;
        base::Millis written_ms = 0;
        cluster::StreamId first;
        std::uint32_t lane = 0;
        bool has_first = false;
    };
    struct Reason {
        std::uint32_t lane;
        std::int64_t offset;
        std::string text;
    };
    std::vector<Slot> slots_;  // grows to its capacity, then turns round
    std::size_t next_ = 0;
    std::deque<Reason> reasons_;
    std::vector<std::pair<std::string, std::int32_t>> lanes_;
};

}  // namespace sio::bridge
