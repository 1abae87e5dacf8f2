#include "gateway/recovery.h"

#include <algorithm>

#include "base/bytes.h"

namespace sio::gateway {

namespace {

constexpr std::size_t packet_overhead = 160;  // a rough count of what a Packet costs beside its bytes

bool contains(const std::vector<std::string>& list, const std::string& name) {
    return std::find(list.begin(), list.end(), name) != list.end();
}

}  // namespace

RecoveryLog::RecoveryLog(RecoveryBudget& budget, std::string epoch, Millis window)
    : budget_(budget), epoch_(std::move(epoch)), window_(window) {}

RecoveryLog::~RecoveryLog() {
    for (const Packet& packet : packets_) budget_.used -= packet.bytes;
}

void RecoveryLog::append_offset(std::string& out, std::uint64_t position) const {
    out += epoch_;
    out += '-';
    out += std::to_string(position);
}

std::optional<std::uint64_t> RecoveryLog::parse_offset(std::string_view offset) const {
    if (offset.size() <= epoch_.size() + 1 || !offset.starts_with(epoch_) || offset[epoch_.size()] != '-') {
        return std::nullopt;
    }
    return base::parse_decimal(offset.substr(epoch_.size() + 1), position_);
}

void RecoveryLog::drop_front() {
    dropped_through_ = packets_.front().position;
    budget_.used -= packets_.front().bytes;
    packets_.pop_front();
}

void RecoveryLog::record(Packet packet, Millis now) {
    packet.bytes = packet_overhead;
    for (const FrameRef& frame : packet.frames) packet.bytes += frame->size();
    for (const std::string& room : packet.rooms) packet.bytes += room.size();
    for (const std::string& room : packet.except) packet.bytes += room.size();
    // Positions that were not recorded (nobody could have asked for them) cannot be replayed either.
    if (packets_.empty() && packet.position > 0) dropped_through_ = packet.position - 1;
    budget_.used += packet.bytes;
    packets_.push_back(std::move(packet));
    while (packets_.size() > 1 && (budget_.used > budget_.limit || packets_.front().sent + window_ < now)) drop_front();
}

bool RecoveryLog::covers(std::uint64_t position) const noexcept {
    return position <= position_ && (position >= dropped_through_ || position == position_);
}

void RecoveryLog::replay(std::uint64_t position, const std::vector<std::string>& rooms,
                         const std::function<void(const Packet&)>& send) const {
    const auto first = std::upper_bound(packets_.begin(), packets_.end(), position,
                                        [](std::uint64_t p, const Packet& packet) { return p < packet.position; });
    for (auto packet = first; packet != packets_.end(); ++packet) {
        const bool included =
            packet->rooms.empty() || std::any_of(packet->rooms.begin(), packet->rooms.end(),
                                                 [&](const std::string& room) { return contains(rooms, room); });
        const bool excluded = std::any_of(packet->except.begin(), packet->except.end(),
                                          [&](const std::string& room) { return contains(rooms, room); });
        if (included && !excluded) send(*packet);
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
    while (!packets_.empty() && packets_.front().sent + window_ < now) drop_front();
    while (!saved_order_.empty() && saved_order_.front().second < now) {
        const auto found = saved_.find(saved_order_.front().first);
        if (found != saved_.end() && found->second.until <= saved_order_.front().second) saved_.erase(found);
        saved_order_.pop_front();
    }
}

}  // namespace sio::gateway
