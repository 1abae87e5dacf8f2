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
#include "gateway/frame.h"
#include "gateway/ids.h"

namespace sio::gateway {

using base::Millis;

/// Bytes all namespaces' logs may hold together; the oldest packets of the one that adds go first.
struct RecoveryBudget {
    std::size_t limit = 64U << 20U;
    std::size_t used = 0;
};

/// A socket that left and may come back under its old id.
struct SavedSocket {
    Id sid;
    std::uint64_t connected_at = 0;  ///< position when it connected: where a client stands that has received nothing
    std::string user;
    std::vector<std::string> rooms;
    Millis until = 0;
};

/// The log of one namespace. Positions count its recoverable packets; an offset is the text form a client sees,
/// `<epoch>-<position>`, whose epoch tells packets of another process apart.
class RecoveryLog {
public:
    RecoveryLog(RecoveryBudget& budget, std::string epoch, Millis window);
    ~RecoveryLog();
    RecoveryLog(const RecoveryLog&) = delete;
    RecoveryLog& operator=(const RecoveryLog&) = delete;

    [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
    std::uint64_t advance() noexcept { return ++position_; }
    void append_offset(std::string& out, std::uint64_t position) const;
    /// The position an offset stands for; nothing when it is not of this epoch or ahead of us.
    [[nodiscard]] std::optional<std::uint64_t> parse_offset(std::string_view offset) const;

    struct Packet {
        std::uint64_t position;
        Millis sent;
        std::vector<std::string> rooms;  ///< empty: everybody
        std::vector<std::string> except;
        std::vector<FrameRef> frames;  ///< the variant with its offset
        std::size_t bytes;
    };
    void record(Packet packet, Millis now);

    /// Whether all packets after `position` are still here.
    [[nodiscard]] bool covers(std::uint64_t position) const noexcept;
    /// What a socket in `rooms` has missed since `position`, oldest first.
    void replay(std::uint64_t position, const std::vector<std::string>& rooms,
                const std::function<void(const Packet&)>& send) const;

    void save(const Id& secret, SavedSocket saved, Millis now);
    /// Removes and returns a saved socket; nothing when unknown or expired.
    std::optional<SavedSocket> take(const Id& secret, Millis now);
    [[nodiscard]] std::size_t saved_count() const noexcept { return saved_.size(); }

    /// Drops what is older than the window.
    void purge(Millis now);

    /// More sockets than this are not kept; the oldest go.
    static constexpr std::size_t max_saved = 100'000;

private:
    void drop_front();

    RecoveryBudget& budget_;
    std::string epoch_;
    Millis window_;
    std::uint64_t position_ = 0;
    std::uint64_t dropped_through_ = 0;  // packets up to here are gone (or were never recorded)
    std::deque<Packet> packets_;
    std::unordered_map<Id, SavedSocket, IdHash> saved_;
    std::deque<std::pair<Id, Millis>> saved_order_;
};

}  // namespace sio::gateway
