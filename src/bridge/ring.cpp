#include "bridge/ring.h"

#include <algorithm>

namespace sio::bridge {

std::string_view to_string(Outcome outcome) noexcept {
    switch (outcome) {
        case Outcome::pending: return "pending";
        case Outcome::written: return "written";
        case Outcome::nothing: return "nothing";
        case Outcome::repeat: return "repeat";
        case Outcome::dead_letter: return "dead-letter";
    }
    return "pending";
}

void TraceRing::add(std::uint32_t lane, const Note& note, base::Millis written_ms,
                    std::optional<cluster::StreamId> first) {
    const Slot slot{note, written_ms, first.value_or(cluster::StreamId{}), lane, first.has_value()};
    if (slots_.size() < capacity) {
        slots_.push_back(slot);
        return;
    }
    slots_[next_] = slot;
    next_ = (next_ + 1) % capacity;
}

void TraceRing::add_reason(std::uint32_t lane, std::int64_t offset, std::string reason) {
    if (reasons_.size() >= max_reasons) reasons_.pop_front();
    reasons_.push_back({lane, offset, std::move(reason)});
}

std::uint32_t TraceRing::lane_of(std::string_view topic, std::int32_t partition) {
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
        if (lanes_[i].second == partition && lanes_[i].first == topic) return static_cast<std::uint32_t>(i);
    }
    lanes_.emplace_back(topic, partition);
    return static_cast<std::uint32_t>(lanes_.size() - 1);
}

std::optional<TraceRing::Found> TraceRing::find(std::string_view topic, std::int32_t partition,
                                                std::int64_t offset) const {
    const auto lane =
        std::ranges::find_if(lanes_, [&](const auto& one) { return one.second == partition && one.first == topic; });
    if (lane == lanes_.end()) return std::nullopt;
    const auto number = static_cast<std::uint32_t>(lane - lanes_.begin());
    for (std::size_t i = slots_.size(); i-- > 0;) {
        const Slot& slot = slots_[(next_ + i) % slots_.size()];
        if (slot.lane != number || slot.note.offset != offset) continue;
        Found found{slot.note, slot.written_ms, std::nullopt, {}};
        if (slot.has_first) found.first = slot.first;
        for (const Reason& reason : reasons_) {
            if (reason.lane == number && reason.offset == offset) found.reason = reason.text;
        }
        return found;
    }
    return std::nullopt;
}

}  // namespace sio::bridge
