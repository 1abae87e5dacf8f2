// Who is out, and until when. Pure: time is an argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/keyed_hash.h"

namespace sio::authd {

using Seconds = std::int64_t;

enum class Revoked : std::uint8_t { user, session };
/// "user", "session".
std::string_view to_string(Revoked kind) noexcept;
std::optional<Revoked> parse_revoked(std::string_view word) noexcept;

/// One entry of the table, and of the stream that daemons share.
struct Revocation {
    Revoked kind = Revoked::user;
    std::string id;
    Seconds until = 0;  ///< 0: it is lifted
};

class Revocations {
public:
    static constexpr std::size_t max_entries = 1'000'000;
    static constexpr std::size_t max_id_bytes = 256;

    enum class Change : std::uint8_t {
        none,    ///< known, or over already
        placed,  ///< new, or with another end
        lifted,
        full,
    };
    /// Enters one, or lifts it. Those that are over go when the table is full.
    Change apply(const Revocation& revocation, Seconds now);

    [[nodiscard]] bool is_out(Revoked kind, std::string_view id, Seconds now) const;
    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
    /// Drops what is over.
    void sweep(Seconds now);
    /// Calls `use` with each that is in force, in no order, until it returns false.
    void each(Seconds now, const std::function<bool(const Revocation&)>& use) const;

private:
    std::unordered_map<std::string, Seconds, base::KeyedHash> entries_;  // kind's first letter and id: until
};

}  // namespace sio::authd
