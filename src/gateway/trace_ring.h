// The entries of the stream that this gateway read last, and whom each was written to: what `trace` answers from.
//
// A fixed cost for each entry, whatever it reaches, and a fixed size: about 3 MB.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "gateway/ids.h"
#include "gateway/recovery.h"

namespace sio::gateway {

class TraceRing {
public:
    static constexpr std::size_t capacity = 16'384;
    static constexpr std::size_t max_sids = 8;

    struct Entry {
        Position id;
        Millis read = 0;                ///< wall clock; 0: nothing was ever put here
        std::uint32_t stream = 0;       ///< its index
        std::uint32_t sockets = 0;      ///< it was written to, or that it changed
        std::uint32_t named = 0;        ///< of `sids`
        bool is_delivered = false;      ///< its sockets had it before: Redis was away
        std::array<Id, max_sids> sids;  ///< the first of them
    };

    TraceRing() : entries_(capacity) {}

    /// The next entry, with what is given and else nothing; good until capacity more have come.
    Entry& add(Position id, std::uint32_t stream, Millis wall_clock) noexcept {
        Entry& entry = entries_[next_];
        next_ = next_ + 1 == capacity ? 0 : next_ + 1;
        entry.id = id;
        entry.stream = stream;
        entry.read = wall_clock;
        entry.sockets = 0;
        entry.named = 0;
        entry.is_delivered = false;
        return entry;
    }

    /// The entry with this id; null when it has not been read, or was forgotten. `stream`: its index, or any_stream.
    static constexpr std::uint32_t any_stream = UINT32_MAX;
    [[nodiscard]] const Entry* find(Position id, std::uint32_t stream) const noexcept {
        for (const Entry& entry : entries_) {
            if (entry.read != 0 && entry.id == id && (stream == any_stream || entry.stream == stream)) return &entry;
        }
        return nullptr;
    }

    /// All ids of one stream, in no order.
    [[nodiscard]] std::vector<Position> ids(std::uint32_t stream) const {
        std::vector<Position> ids;
        for (const Entry& entry : entries_) {
            if (entry.read != 0 && entry.stream == stream) ids.push_back(entry.id);
        }
        return ids;
    }

private:
    std::vector<Entry> entries_;
    std::size_t next_ = 0;
};

}  // namespace sio::gateway
