// Connection state recovery in memory: what has been sent lately, and who left and may return for it.
//
// A RecoveryLog holds the order of one stream (of a gateway alone: of all it sends). It has two tiers. The index says
// for each room which packets went to it, so that what one client missed is found without looking at other rooms'
// packets. The content, the packets themselves, is kept for the newest part only: what is older is fetched from the
// stream when somebody needs it. Both are counted at true cost and bounded by one budget.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/keyed_hash.h"
#include "base/timer_wheel.h"
#include "cluster/stream_id.h"
#include "gateway/frame.h"
#include "gateway/ids.h"
#include "net/address.h"

namespace sio::gateway {

using base::Millis;

/// Where in the order of a stream's packets something stands. In a cluster these are the ids of the Redis stream; a
/// gateway alone counts under the time of its start, so that positions of another process are told apart.
using Position = cluster::StreamId;

/// After every place.
inline constexpr Position forever{std::numeric_limits<std::uint64_t>::max(), std::numeric_limits<std::uint64_t>::max()};

/// A room that a socket was in, from after `after` until `through`: what went to it meanwhile was for the socket.
struct Stay {
    std::string room;           ///< of no meaning with `is_everybody`
    bool is_everybody = false;  ///< what went to the whole namespace
    Position after{};
    Position through = forever;
    [[nodiscard]] bool is_open() const noexcept { return through == forever; }
    [[nodiscard]] bool has(Position position) const noexcept { return after < position && position <= through; }
};

/// A socket that left and may return under its old id.
struct SavedSocket {
    Id sid;
    Position connected_at;  ///< where it stood when it connected: there a client still stands that has received nothing
    std::string data;       ///< what an application on another server keeps with it, as it is stored
    std::optional<std::string> user;   ///< nothing: another kind of server wrote it, which does not know
    std::vector<Stay> stays;           ///< the rooms it was in when it left, and those it had left lately
    std::vector<std::string> granted;  ///< of the rooms, those that another node's sio-authd let it into
    Millis until = 0;
};

/// Rows in the order of the bytes they hold (`Row::bytes`), so that the one with most is found.
template <typename Row>
class ByBytes {
public:
    /// Enters a row, or moves it.
    void set(Row& row, std::size_t bytes) {
        auto node = rows_.extract({row.bytes, &row});
        row.bytes = bytes;
        if (node.empty()) {
            rows_.emplace(bytes, &row);
        } else {
            node.value() = {bytes, &row};
            rows_.insert(std::move(node));
        }
    }
    void erase(Row& row) noexcept { rows_.erase({row.bytes, &row}); }
    void clear() noexcept { rows_.clear(); }
    /// Null: there is none.
    [[nodiscard]] Row* most() const noexcept { return rows_.empty() ? nullptr : rows_.rbegin()->second; }

private:
    std::set<std::pair<std::size_t, Row*>> rows_;
};

class SavedSockets;
struct SavedRow;

/// A saved socket where it is kept, in line with others: by time among all, and among those of its address.
struct SavedEntry {
    struct Links {
        SavedEntry* older = nullptr;
        SavedEntry* newer = nullptr;
    };
    SavedSocket saved;
    Id secret;
    SavedSockets* owner = nullptr;
    SavedRow* row = nullptr;
    std::size_t bytes = 0;
    Links by_time;
    Links in_row;
};

/// What is kept for one address.
struct SavedRow {
    net::Address address;
    std::size_t bytes = 0;
    SavedEntry* oldest = nullptr;
    SavedEntry* newest = nullptr;
};

/// All saved sockets of all namespaces, in the order in which they go: of the address for which most is kept the
/// oldest, so that who fills it loses his own.
class SavedPool {
public:
    SavedPool() = default;
    SavedPool(const SavedPool&) = delete;
    SavedPool& operator=(const SavedPool&) = delete;

    void add(SavedEntry& entry, const net::Address& address);
    void remove(SavedEntry& entry) noexcept;
    /// Null: there is none.
    [[nodiscard]] SavedEntry* first_to_go() const noexcept {
        const SavedRow* row = by_bytes_.most();
        return row == nullptr ? nullptr : row->oldest;
    }
    /// Forgets those that have expired.
    void purge(Millis now) noexcept;
    [[nodiscard]] std::size_t count() const noexcept { return count_; }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

    /// What a row may add to the cost of its first entry; counted with each.
    static constexpr std::size_t row_cost = sizeof(std::pair<const net::Address, SavedRow>) +
                                            sizeof(std::pair<std::size_t, SavedRow*>) + 10 * sizeof(void*);

private:
    std::unordered_map<net::Address, SavedRow, net::AddressHash> rows_;
    ByBytes<SavedRow> by_bytes_;
    SavedEntry* oldest_ = nullptr;
    SavedEntry* newest_ = nullptr;
    std::size_t count_ = 0;
    std::size_t bytes_ = 0;
};

/// Bytes that logs and saved sockets may hold together, allocation included.
struct RecoveryBudget {
    std::size_t limit = 64U << 20U;
    std::size_t used = 0;
    SavedPool saved{};
    [[nodiscard]] bool is_over() const noexcept { return used > limit; }
};

/// How long before its loss was noticed a connection may have been dead already: a ping and its time to answer, with
/// room for clocks. What is older has arrived, or the pings would have ended the connection.
inline constexpr Millis recovery_slack = 90'000;

/// Positions in ascending order, cheap at both ends and small when there are few.
class PositionList {
public:
    PositionList() noexcept = default;
    PositionList(const PositionList&) = delete;
    PositionList& operator=(const PositionList&) = delete;

    [[nodiscard]] std::span<const Position> view() const noexcept { return {data_.get() + head_, size_}; }
    [[nodiscard]] bool is_empty() const noexcept { return size_ == 0; }
    [[nodiscard]] Position front() const noexcept { return data_[head_]; }
    void push_back(Position position);
    void push_front(Position position);
    void pop_front() noexcept;
    /// Bytes of the allocation.
    [[nodiscard]] std::size_t bytes() const noexcept { return capacity_ * sizeof(Position); }

private:
    void move_into(std::uint32_t capacity, std::uint32_t head);

    std::unique_ptr<Position[]> data_;
    std::uint32_t capacity_ = 0;
    std::uint32_t head_ = 0;
    std::uint32_t size_ = 0;
};

class RecoveryLog {
public:
    struct Options {
        Millis keep = 120'000 + recovery_slack;  ///< how long what was sent can be missed
        bool has_source = false;                 ///< content that is gone can be fetched from a stream
    };
    /// `start` is where the log begins: nothing at or before it is known, and it may have been sent as late as `now`.
    RecoveryLog(RecoveryBudget& budget, Options options, Position start, Millis now);
    ~RecoveryLog();
    RecoveryLog(const RecoveryLog&) = delete;
    RecoveryLog& operator=(const RecoveryLog&) = delete;

    [[nodiscard]] Position position() const noexcept { return position_; }
    /// The next position of a gateway that is alone.
    Position advance() noexcept {
        ++position_.seq;
        return position_;
    }
    /// What lies up to `position` has been seen (in a cluster, where others write too).
    void move_to(Position position) noexcept { position_ = std::max(position_, position); }
    /// Begins at `position`, whatever was here: the end of the stream is known only now.
    void begin_at(Position position, Millis now);
    /// Something at or before `position`, sent as late as `now`, is not here and cannot be had.
    void lose_through(Position position, Millis now);
    /// What lies at or before `position` cannot be fetched any more; what is in memory stays known.
    void lose_source_through(Position position) noexcept {
        known_after_ = std::max(known_after_, std::min(position, content_after_));
    }

    /// To whom a packet went. No room: everybody in the namespace.
    struct Audience {
        std::string_view nsp;
        std::span<const std::string_view> rooms;
        std::span<const std::string_view> except;
    };
    /// What clients of one address have caused.
    struct Origin {
        net::Address address;
        std::size_t bytes = 0;
        PositionList packets;
    };
    struct Packet {
        Position position;
        FrameRef frame;            ///< null: the budget has taken it
        Origin* origin = nullptr;  ///< whose client has caused it; null: none's, or the budget has taken it
        struct More {
            std::vector<FrameRef> attachments;
            std::vector<std::string> except;
        };
        std::unique_ptr<More> more;  ///< null: nothing of that
    };
    /// Keeps a packet, with its frames in the variant that carries the position; it is above those before it. `from`:
    /// the address of the client that has caused it. Where content cannot be fetched, an address that has more than a
    /// quarter of the budget loses its own packets first, and with them only rooms that they went to forget something.
    void record(const Audience& to, Position position, std::span<const FrameRef> frames, Millis now,
                const net::Address& from = {});

    // --- reading back ---
    /// Whether an older packet is to be prepended with its frames, or none.
    [[nodiscard]] bool wants_older_content() const noexcept;
    /// Whether the budget leaves no room for older packets, so that reading back is to end.
    [[nodiscard]] bool is_full() const noexcept;
    /// A packet from before what is known, sent at `sent`. Without frames only the index has it.
    void prepend(const Audience& to, Position position, std::span<const FrameRef> frames, Millis sent);
    /// All that lies after `position` has been prepended.
    void know_after(Position position) noexcept { known_after_ = std::min(known_after_, position); }
    /// What lies after this is known, but for what the budget made single rooms forget.
    [[nodiscard]] Position known_after() const noexcept { return known_after_; }
    /// What lies at or before this is older than `keep`: nobody who may return can have missed it.
    Position floor(Millis now) noexcept;
    /// Raises the floor: the stream's own times tell it.
    void age_through(Position position) noexcept { floor_ = std::max(floor_, position); }

    // --- giving back ---
    enum class Coverage : std::uint8_t {
        whole,     ///< collect() finds all that was missed
        not_read,  ///< it lies before known_after()
        forgotten  ///< the budget took something of it, at or before forgotten_through()
    };
    /// The name of a room among those of all namespaces.
    static std::string key_of(std::string_view nsp, const Stay& stay);
    /// Whether all that went to these rooms after `from` is known.
    [[nodiscard]] Coverage covers(std::string_view nsp, std::span<const Stay> rooms, Position from, Millis now);
    /// The last position that a room may have forgotten, of those given.
    [[nodiscard]] Position forgotten_through(std::string_view nsp, std::span<const Stay> rooms) const;
    /// Whether something of exactly this position went to one of these rooms, or to somebody else and is in memory.
    [[nodiscard]] bool has(std::string_view nsp, std::span<const Stay> rooms, Position position) const;

    struct Missed {
        Position position;
        const Packet* packet = nullptr;  ///< null: it is to be fetched
    };
    /// Appends to `out` the next packets, at most `most`, of these rooms after `from`, oldest first, those that are
    /// excepted left out. False: something of it is lost. Packets live until the log changes.
    ///
    /// `passed` is set to the last position that was looked at when packets were left out.
    bool collect(std::string_view nsp, std::span<const Stay> rooms, Position from, std::size_t most,
                 std::vector<Missed>& out, Position& passed) const;

    /// Drops what is older than `keep`, a bounded number of rooms at a time.
    void purge(Millis now);

    [[nodiscard]] std::size_t packets() const noexcept { return packets_.size(); }
    [[nodiscard]] std::size_t content_bytes() const noexcept { return content_bytes_; }
    [[nodiscard]] std::size_t index_bytes() const noexcept { return index_bytes_; }

private:
    struct Room {
        PositionList positions;
        Position forgotten_through{};      // what the budget took
        const std::string* key = nullptr;  // in rooms_
        std::size_t place = 0;             // in walk_
        std::size_t counted = 0;           // bytes in index_bytes_
    };
    struct Mark {  // what lies at or before `through` was sent at `at` or before
        Position through;
        Millis at;
        Millis began;
    };

    void charge_origin(Packet& packet, const net::Address& from);
    void discharge_origin(Packet& packet) noexcept;
    bool hollow_greediest();
    [[nodiscard]] bool is_hollow(Position position) const noexcept;
    static Packet make_packet(const Audience& to, Position position, std::span<const FrameRef> frames);
    [[nodiscard]] static std::size_t cost(const Packet& packet) noexcept;
    void add_content(std::size_t bytes) noexcept;
    void drop_front();
    void drop_old_content();
    [[nodiscard]] const Packet* find_packet(Position position) const noexcept;

    static void make_key(std::string& key, std::string_view nsp, const std::string_view* room);
    void index(const Audience& to, Position position, bool in_front);
    void index_room(std::string_view nsp, const std::string_view* name, Position position, bool in_front);
    void recount(Room& room) noexcept;
    void trim(Room& room) noexcept;
    bool trim_or_erase(Room& room);
    void shrink_index();
    [[nodiscard]] const Room* find(std::string_view nsp, const Stay& stay) const;
    [[nodiscard]] Position forgotten_of(const Room* room) const noexcept;
    void mark(Position position, Millis now);
    static bool is_excepted(std::span<const std::string> except, std::span<const Stay> rooms,
                            Position position) noexcept;

    RecoveryBudget& budget_;
    Options options_;
    Position position_;
    Position known_after_;
    Position floor_;                   // older than `keep`
    std::deque<Mark> marks_;           // in both orders
    std::deque<Packet> packets_;       // the content
    Position content_after_;           // the content of what lies after this is here
    bool takes_older_content_ = true;  // nothing without content lies between it and what is prepended next
    std::size_t content_bytes_ = 0;
    std::size_t hollow_ = 0;  // packets without their frames
    std::unordered_map<net::Address, Origin, net::AddressHash> origins_;
    ByBytes<Origin> by_bytes_;  // of origins_

    std::unordered_map<std::string, Room, base::KeyedHash, std::equal_to<>> rooms_;
    std::size_t index_bytes_ = 0;
    Position index_floor_;     // the budget takes what lies at or before this out of the index
    Position unknown_rooms_;   // a room that is not in rooms_ may have forgotten what lies at or before this
    std::vector<Room*> walk_;  // all rooms, for the hand that trims them
    std::size_t hand_ = 0;
    std::size_t hand_left_ = 0;  // rooms that have not been trimmed since index_floor_ moved

    mutable std::string key_;              // scratch
    mutable std::vector<Position> found_;  // scratch
};

/// Who has left a namespace lately and may return, by the secret of their pid. Counts in the budget, of which those of
/// all namespaces take at most a quarter; see SavedPool for who goes.
class SavedSockets {
public:
    SavedSockets(RecoveryBudget& budget, Millis window) : budget_(budget), window_(window) {}
    ~SavedSockets();
    SavedSockets(const SavedSockets&) = delete;
    SavedSockets& operator=(const SavedSockets&) = delete;

    /// `address`: of its client.
    void save(const Id& secret, SavedSocket saved, Millis now, const net::Address& address = {});
    /// Removes and returns a saved socket; nothing when unknown or expired.
    std::optional<SavedSocket> take(const Id& secret, Millis now);
    [[nodiscard]] std::size_t count() const noexcept { return saved_.size(); }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
    /// More sockets than this are not kept, of all namespaces.
    static constexpr std::size_t max_saved = 100'000;

private:
    friend class SavedPool;
    using Entries = std::unordered_map<Id, SavedEntry, IdHash>;
    [[nodiscard]] static std::size_t cost(const SavedSocket& saved) noexcept;
    SavedSocket extract(Entries::iterator entry) noexcept;
    static void forget(const SavedEntry& entry) noexcept;

    RecoveryBudget& budget_;
    Millis window_;
    std::size_t bytes_ = 0;
    Entries saved_;
};

}  // namespace sio::gateway
