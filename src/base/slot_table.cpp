#include "base/slot_table.h"

#include <utility>

namespace sio::base {

void SlotTable::insert(std::size_t hash, Slot slot) {
    if ((size_ + 1) * 3 > places_.size() * 2) resize(places_.empty() ? least : places_.size() * 2);
    const std::uint32_t half = half_of(hash);
    std::size_t at = half & mask();
    while (places_[at].slot != none) at = (at + 1) & mask();
    places_[at] = {slot, half};
    ++size_;
}

bool SlotTable::erase(std::size_t hash, Slot slot) noexcept {
    if (places_.empty()) return false;
    std::size_t at = half_of(hash) & mask();
    while (places_[at].slot != slot) {
        if (places_[at].slot == none) return false;
        at = (at + 1) & mask();
    }
    // Each that comes after it, up to the next gap, moves into the gap unless its search begins behind the gap.
    for (std::size_t next = (at + 1) & mask(); places_[next].slot != none; next = (next + 1) & mask()) {
        const std::size_t home = places_[next].half & mask();
        if (((next - home) & mask()) < ((next - at) & mask())) continue;
        places_[at] = places_[next];
        at = next;
    }
    places_[at] = {};
    --size_;
    return true;
}

void SlotTable::resize(std::size_t places) {
    const std::vector<Place> before = std::exchange(places_, std::vector<Place>(places));
    for (const Place& place : before) {
        if (place.slot == none) continue;
        std::size_t at = place.half & mask();
        while (places_[at].slot != none) at = (at + 1) & mask();
        places_[at] = place;
    }
}

}  // namespace sio::base
