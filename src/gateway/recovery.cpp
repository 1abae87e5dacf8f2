#include "gateway/recovery.h"

#include <algorithm>

namespace sio::gateway {

namespace {

constexpr std::size_t packet_overhead = 160;  // a rough count of what a Packet costs beside its bytes
constexpr std::size_t index_overhead = 40;    // and its place in the index of a room

bool contains(const std::vector<std::string>& list, const std::string& name) {
    return std::find(list.begin(), list.end(), name) != list.end();
}

}  // namespace

RecoveryLog::RecoveryLog(RecoveryBudget& budget, Position start, Millis window, Millis now)
    : budget_(budget), window_(window), position_(start), lost_through_(start), lost_at_(now) {}

RecoveryLog::~RecoveryLog() {
    for (const Packet& packet : packets_) budget_.used -= packet.bytes;
}

void RecoveryLog::drop_front() {
    const Packet& oldest = packets_.front();
    budget_.used -= oldest.bytes;
    if (oldest.rooms.empty()) for_all_.pop_front();
    for (const std::string& room : oldest.rooms) {
        const auto found = by_room_.find(room);
        // A room named twice in one packet has it twice.
        if (found->second.size() == 1) {
            by_room_.erase(found);
        } else {
            found->second.pop_front();
        }
    }
    packets_.pop_front();
    ++first_serial_;
}

void RecoveryLog::record(Packet packet, Millis now) {
    packet.bytes = packet_overhead;
    for (const FrameRef& frame : packet.frames) packet.bytes += frame->size();
    for (const std::string& room : packet.rooms) packet.bytes += room.size() + index_overhead;
    for (const std::string& room : packet.except) packet.bytes += room.size();
    const std::uint64_t serial = first_serial_ + packets_.size();
    if (packet.rooms.empty()) for_all_.push_back(serial);
    for (const std::string& room : packet.rooms) by_room_[room].push_back(serial);
    move_to(packet.position);
    budget_.used += packet.bytes;
    packets_.push_back(std::move(packet));
    drop_old(now);
    while (packets_.size() > 1 && budget_.used > budget_.limit) {
        lose_through(packets_.front().position, packets_.front().sent);
        drop_front();
    }
}

void RecoveryLog::drop_old(Millis now) {
    while (!packets_.empty() && packets_.front().sent + window_ + recovery_slack < now) drop_front();
}

bool RecoveryLog::has(Position position) const noexcept {
    const auto found = std::lower_bound(packets_.begin(), packets_.end(), position,
                                        [](const Packet& packet, Position p) { return packet.position < p; });
    return found != packets_.end() && found->position == position;
}

void RecoveryLog::replay(Position position, const std::vector<std::string>& rooms,
                         const std::function<void(const Packet&)>& send) const {
    const auto first = std::upper_bound(packets_.begin(), packets_.end(), position,
                                        [](Position p, const Packet& packet) { return p < packet.position; });
    const std::uint64_t from = first_serial_ + static_cast<std::uint64_t>(first - packets_.begin());
    std::vector<std::uint64_t> missed;
    const auto add = [&](const Serials& serials) {
        missed.insert(missed.end(), std::lower_bound(serials.begin(), serials.end(), from), serials.end());
    };
    add(for_all_);
    for (const std::string& room : rooms) {
        if (const auto found = by_room_.find(room); found != by_room_.end()) add(found->second);
    }
    std::sort(missed.begin(), missed.end());
    missed.erase(std::unique(missed.begin(), missed.end()), missed.end());
    for (const std::uint64_t serial : missed) {
        const Packet& one = packet(serial);
        const bool excluded = std::any_of(one.except.begin(), one.except.end(),
                                          [&](const std::string& room) { return contains(rooms, room); });
        if (!excluded) send(one);
    }
}

void RecoveryLog::save(const Id& secret, SavedSocket saved, Millis now) {
    saved.until = now + window_;
    saved_order_.emplace_back(secret, saved.until);
    saved_.insert_or_assign(secret, std::move(saved));
    while (saved_.size() > max_saved) {
        const auto oldest = saved_.find(saved_order_.front().first);
        // It may have come back and left again since: then a later entry speaks for it.
        if (oldest != saved_.end() && oldest->second.until <= saved_order_.front().second) saved_.erase(oldest);
        saved_order_.pop_front();
    }
}

std::optional<SavedSocket> RecoveryLog::take(const Id& secret, Millis now) {
    const auto found = saved_.find(secret);
    if (found == saved_.end() || found->second.until < now) return std::nullopt;
    SavedSocket saved = std::move(found->second);
    saved_.erase(found);
    return saved;
}

void RecoveryLog::purge(Millis now) {
    drop_old(now);
    while (!saved_order_.empty() && saved_order_.front().second < now) {
        const auto found = saved_.find(saved_order_.front().first);
        if (found != saved_.end() && found->second.until <= saved_order_.front().second) saved_.erase(found);
        saved_order_.pop_front();
    }
}

}  // namespace sio::gateway
