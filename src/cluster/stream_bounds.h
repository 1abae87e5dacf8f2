// How large a stream in Redis may get, in entries and in bytes, and the Lua text by which Redis itself keeps to that.
//
// The bytes are what the allocator of Redis has given for the stream and for the lists of its groups (MEMORY USAGE, all
// nodes). Counting them takes Redis up to 2 ms for each 100 MB, so it is done when an estimate reaches the bound, and
// when enough has been appended since the last time.
//
// Of the cluster's stream the oldest goes: what was there is known to the members that have read it. Of the stream of
// events nothing goes that somebody was told is safe; see gateway/stream_room.h.
#pragma once

#include <cstdint>
#include <string_view>

namespace sio::cluster {

/// Inclusive; 0: no bound.
struct StreamBounds {
    std::uint64_t entries = 0;
    std::uint64_t bytes = 0;

    /// What each of `count` streams may have of it.
    [[nodiscard]] StreamBounds share(std::uint64_t count) const noexcept {
        return {(entries + count - 1) / count, (bytes + count - 1) / count};
    }
};

/// What has been appended to a stream since it was last measured: after each 64th of a bound it is time again, and at
/// the first entry of all.
class StreamGrowth {
public:
    /// Whether the stream is to be measured now; then the count begins again.
    bool add(std::uint64_t entries, std::uint64_t bytes, const StreamBounds& bounds) noexcept {
        entries_ += entries;
        bytes_ += bytes;
        const bool is_due = is_first_ || (bounds.entries > 0 && entries_ > bounds.entries / parts) ||
                            (bounds.bytes > 0 && bytes_ > bounds.bytes / parts);
        if (!is_due || (bounds.entries == 0 && bounds.bytes == 0)) return false;
        is_first_ = false;
        entries_ = bytes_ = 0;
        return true;
    }

    /// It was not measured: the next time it is due.
    void again() noexcept { is_first_ = true; }

    static constexpr std::uint64_t parts = 64;

private:
    bool is_first_ = true;
    std::uint64_t entries_ = 0;
    std::uint64_t bytes_ = 0;
};

/// A script. KEYS: stream; a key that keeps others from measuring it for 100 ms; a key that keeps, for a day, the id of
/// what was the first entry after the last time that something was dropped. ARGV: most entries, most bytes; 0: any
/// number. Drops the oldest, in whole nodes of the stream where that does, and never the last. Returns how many were
/// dropped, how many there are, their bytes, and that id or nothing; an empty list when another has looked just now.
/// Needs Redis 6.0.
inline constexpr std::string_view trim_text = R"lua(
if not redis.call('SET', KEYS[2], '1', 'NX', 'PX', 100) then return {} end
local stream, most_entries, most_bytes = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local entries, bytes, dropped = 0, 0, 0
for _ = 1, 64 do
  entries = redis.call('XLEN', stream)
  bytes = redis.call('MEMORY', 'USAGE', stream, 'SAMPLES', 0) or 0
  local keep = entries
  if most_entries > 0 and entries > most_entries then keep = most_entries end
  if most_bytes > 0 and bytes > most_bytes then
    keep = math.min(keep, math.floor(entries * most_bytes / bytes * 15 / 16))
  end
  keep = math.max(keep, 1)
  if keep >= entries then break end
  local gone = redis.call('XTRIM', stream, 'MAXLEN', '~', keep)
  if gone == 0 then gone = redis.call('XTRIM', stream, 'MAXLEN', keep) end
  if gone == 0 then break end
  dropped = dropped + gone
end
if dropped == 0 then return {0, entries, bytes, ''} end
local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1][1]
redis.call('SET', KEYS[3], first, 'PX', 86400000)
return {dropped, entries, bytes, first}
)lua";

}  // namespace sio::cluster
