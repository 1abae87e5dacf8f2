// Connection state recovery in memory: what a namespace has sent lately, and who left and may come back for it.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/timer_wheel.h"
#include "cluster/stream_id.h"
#include "gateway/frame.h"
#include "gateway/ids.h"

namespace sio::gateway {

using base::Millis;

/// Where in the order of a namespace's packets something stands. In a cluster these are the ids of the Redis stream; a
/// gateway alone counts under the time of its start, so that positions of another process are told apart.
using Position = cluster::StreamId;

/// Bytes all namespaces' logs may hold together; the oldest packets of the one that adds go first.
struct RecoveryBudget {
    std::size_t limit = 64U << 20U;
    std::size_t used = 0;
};

/// A socket that left and may come back under its old id.
struct SavedSocket {
    Id sid;
    Position connected_at;  ///< where it stood when it connected: there a client still stands that has received nothing
    std::string data;       ///< what an application on another server keeps with it, as it is stored
    std::optional<std::string> user;  ///< nothing: another kind of server wrote it, which does not know
    std::vector<std::string> rooms;
    std::vector<std::string> granted;  ///< of the rooms, those that another node's sio-authd let it into
    Millis until = 0;
};

/// How long before its loss was noticed a connection may have been dead already: a ping and its time to answer, with
/// room for clocks. What is older has arrived, or the pings would have ended the connection.
inline constexpr Millis recovery_slack = 90'000;

/// The log of one namespace: what was sent within the window and the slack before it. A client that was away for at
/// most the window has all that is older. Packets are indexed by room, so what one client's return costs does not grow
/// with the traffic of rooms it is not in.
class RecoveryLog {
public:
    /// `start` is where the log begins: nothing before it is here.
    RecoveryLog(RecoveryBudget& budget, Position start, Millis window, Millis now);
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
    /// Something that lies at or before `position`, and may have been sent as late as `now`, is not here.
    void lose_through(Position position, Millis now) noexcept {
        lost_through_ = std::max(lost_through_, position);
        lost_at_ = std::max(lost_at_, now);
    }

    struct Packet {
        Position position;
        Millis sent = 0;
        std::vector<std::string> rooms;  ///< empty: everybody
        std::vector<std::string> except;
        std::vector<FrameRef> frames;  ///< the variant with its offset
        std::size_t bytes = 0;
    };
    /// Keeps a packet; its position is above those before it.
    void record(Packet packet, Millis now);

    /// Whether a client that has received everything up to `position`, and was here within the window, can be given all
    /// the rest. False for a position ahead of this log.
    [[nodiscard]] bool covers(Position position, Millis now) const noexcept {
        return position <= position_ && (position >= lost_through_ || now - lost_at_ > window_ + recovery_slack);
    }
    /// Whether a packet of exactly this position is here.
    [[nodiscard]] bool has(Position position) const noexcept;
    /// What may be missing lies at or before this.
    [[nodiscard]] Position lost_through() const noexcept { return lost_through_; }
    /// What a socket in `rooms` has missed since `position`, oldest first.
    void replay(Position position, const std::vector<std::string>& rooms,
                const std::function<void(const Packet&)>& send) const;

    void save(const Id& secret, SavedSocket saved, Millis now);
    /// Removes and returns a saved socket; nothing when unknown or expired.
    std::optional<SavedSocket> take(const Id& secret, Millis now);
    [[nodiscard]] std::size_t saved_count() const noexcept { return saved_.size(); }

    /// Drops what is older than the window and the slack.
    void purge(Millis now);

    /// More sockets than this are not kept; the oldest go.
    static constexpr std::size_t max_saved = 100'000;

private:
    struct TextHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
    };
    using Serials = std::deque<std::uint64_t>;  // of packets: first_serial_ is packets_.front()

    void drop_front();
    void drop_old(Millis now);
    [[nodiscard]] const Packet& packet(std::uint64_t serial) const { return packets_[serial - first_serial_]; }

    RecoveryBudget& budget_;
    Millis window_;
    Position position_;
    Position lost_through_;
    Millis lost_at_ = 0;
    std::deque<Packet> packets_;
    std::uint64_t first_serial_ = 0;
    Serials for_all_;
    std::unordered_map<std::string, Serials, TextHash, std::equal_to<>> by_room_;
    std::unordered_map<Id, SavedSocket, IdHash> saved_;
    std::deque<std::pair<Id, Millis>> saved_order_;
};

}  // namespace sio::gateway
