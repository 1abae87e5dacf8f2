// The id of a stream entry: `<ms>-<seq>`, as Redis orders it.
#pragma once

#include <array>
#include <charconv>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace sio::cluster {

/// Compared as Redis does: by time, then by sequence. {0, 0} is before every entry.
struct StreamId {
    std::uint64_t ms = 0;   ///< Unix time by the clock of the Redis server, milliseconds
    std::uint64_t seq = 0;  ///< counts the entries of one millisecond

    friend auto operator<=>(const StreamId&, const StreamId&) = default;  // NOLINT(modernize-use-nullptr): its own 0

    /// The longest text: two numbers of twenty digits and the dash.
    static constexpr std::size_t max_text = 41;

    /// Reads `<ms>-<seq>`, decimal digits only. Nothing for any other text or a number of more than 64 bits.
    static std::optional<StreamId> parse(std::string_view text) noexcept {
        const std::size_t dash = text.find('-');
        if (dash == std::string_view::npos) return std::nullopt;
        const auto ms = base::parse_decimal(text.substr(0, dash));
        const auto seq = base::parse_decimal(text.substr(dash + 1));
        if (!ms || !seq) return std::nullopt;
        return StreamId{*ms, *seq};
    }

    /// The smallest id after this one, for readers of Redis before 6.2, which has no exclusive ranges.
    [[nodiscard]] StreamId next() const noexcept {
        return seq == UINT64_MAX ? StreamId{ms + 1, 0} : StreamId{ms, seq + 1};
    }

    /// The largest id before this one; {0, 0} stays itself.
    [[nodiscard]] StreamId previous() const noexcept {
        if (seq > 0) return {ms, seq - 1};
        return ms > 0 ? StreamId{ms - 1, UINT64_MAX} : StreamId{};
    }

    void append(std::string& out) const {
        std::array<char, 20> digits;
        char* const end = digits.data() + digits.size();
        out.append(digits.data(), std::to_chars(digits.data(), end, ms).ptr);
        out.push_back('-');
        out.append(digits.data(), std::to_chars(digits.data(), end, seq).ptr);
    }

    [[nodiscard]] std::string text() const {
        std::string out;
        append(out);
        return out;
    }
};

}  // namespace sio::cluster
