// Who has how many places, and who goes when they run short.
//
// Each address has a row: how many connections and sessions it has, and a line for each rank of those that would be
// missed least. When all places are taken, the oldest in line of the address with most of that rank goes, so that
// whoever floods makes room for others. Every step costs the same however many there are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/timer_wheel.h"
#include "net/address.h"

namespace sio::gateway {

using base::Millis;

/// Why a place would hardly be missed.
enum class Rank : std::uint8_t {
    bare,      ///< a connection that serves no session, or one that has joined nothing
    stranger,  ///< a session that has joined nothing
    absent,    ///< a session by polling that has joined something, and whose client has no request under way
    onlooker,  ///< a session that has joined something, anonymously and without any room
    none,      ///< it would be missed: it stands in no line
};
inline constexpr std::size_t rank_count = static_cast<std::size_t>(Rank::none);

/// `bare`, `stranger`, `absent` or `onlooker`.
[[nodiscard]] std::string_view to_string(Rank rank) noexcept;

class Places;
struct PlaceRow;

/// A connection's or a session's place in a line; its owner derives from it. It leaves its line when it is destroyed.
class Place {
public:
    Place() noexcept = default;
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() { vacate(); }

    /// Stands in the lines of this address from now on, in that of its rank. `places` outlives it.
    void enter(Places& places, const net::Address& address, Millis now);
    void vacate() noexcept;
    /// Goes to the end of another line; nothing when it stands there already.
    void set_rank(Rank rank, Millis now);
    [[nodiscard]] Rank rank() const noexcept { return rank_; }
    /// How long it has had its rank. Exact for 49 days, and only compared with the grace of a rank.
    [[nodiscard]] Millis age(Millis now) const noexcept { return static_cast<std::uint32_t>(now) - since_; }
    /// Whose it is by the limit per address. None: a proxy's own, or it has not entered.
    [[nodiscard]] net::Address counted() const noexcept;

private:
    friend class Places;
    PlaceRow* row_ = nullptr;
    Place* older_ = nullptr;
    Place* newer_ = nullptr;
    std::uint32_t since_ = 0;  // milliseconds, the low half
    Rank rank_ = Rank::none;
};

/// What an address has.
struct PlaceRow {
    struct Line {
        Place* oldest = nullptr;
        Place* newest = nullptr;
        std::uint32_t count = 0;
        PlaceRow* previous = nullptr;  ///< among the rows with as many in this line
        PlaceRow* next = nullptr;
    };
    Places& places_of;
    net::Address address;
    std::uint32_t connections = 0;
    std::uint32_t sessions = 0;
    std::uint32_t places = 0;                             ///< that have entered
    std::unique_ptr<std::array<Line, rank_count>> lines;  ///< null while nobody stands in one

    explicit PlaceRow(Places& owner, const net::Address& whose) noexcept : places_of(owner), address(whose) {}
    [[nodiscard]] Line& line(std::size_t rank) noexcept { return (*lines)[rank]; }
};

class Places {
public:
    /// `per_address`: connections, and as many sessions, of one address; 0: no limit.
    explicit Places(std::size_t per_address) noexcept : per_address_(per_address) {}
    Places(const Places&) = delete;
    Places& operator=(const Places&) = delete;

    /// Whether this address may have one more. A client without an address (a Unix socket's) has no limit.
    [[nodiscard]] bool may_connect(const net::Address& address) const noexcept;
    [[nodiscard]] bool may_open(const net::Address& address) const noexcept;
    void add_connection(const net::Address& address) { ++row(address).connections; }
    void remove_connection(const net::Address& address) noexcept;
    void add_session(const net::Address& address) { ++row(address).sessions; }
    void remove_session(const net::Address& address) noexcept;
    [[nodiscard]] std::size_t sessions(const net::Address& address) const noexcept;

    /// How many have a rank.
    [[nodiscard]] std::size_t count(Rank rank) const noexcept { return totals_[index(rank)]; }

    struct Candidate {
        Place* place = nullptr;  ///< null: nobody has that rank
        net::Address address;
        std::size_t of_address = 0;  ///< that this address has of the rank
    };
    /// The oldest in line of the address that has most of a rank.
    [[nodiscard]] Candidate first_to_go(Rank rank) const noexcept;
    /// The oldest in line of one address.
    [[nodiscard]] Candidate first_of(const net::Address& address, Rank rank) const noexcept;
    /// Addresses of which something is known.
    [[nodiscard]] std::size_t addresses() const noexcept { return rows_.size(); }

private:
    friend class Place;
    static std::size_t index(Rank rank) noexcept { return static_cast<std::size_t>(rank); }
    PlaceRow& row(const net::Address& address);
    [[nodiscard]] const PlaceRow* find(const net::Address& address) const noexcept;
    void drop_if_empty(const PlaceRow& row) noexcept;
    void line_up(Place& place);
    void step_out(Place& place) noexcept;
    void set_count(PlaceRow& row, Rank rank, std::uint32_t count) noexcept;

    std::size_t per_address_;
    std::unordered_map<net::Address, PlaceRow, net::AddressHash> rows_;
    std::array<std::vector<PlaceRow*>, rank_count> by_count_;  // the first row with so many in that line
    std::array<std::uint32_t, rank_count> most_{};             // in one row
    std::array<std::size_t, rank_count> totals_{};
};

}  // namespace sio::gateway
