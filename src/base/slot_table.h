// Finds the slot of a thing by its id, where the thing itself knows its id.
//
// A node of std::unordered_map holds the id a second time, a link, and what the allocator adds: 60 bytes for each
// client and table. Here it is 8 bytes a place (the slot and half of the hash), and between a third and two thirds of
// the places are in use. Open addressing with linear probing; what is erased is filled from behind it, so nothing is
// left to be cleaned up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sio::base {

/// Slots by the hash of their ids. The hash is a good one (base/keyed_hash.h where strangers choose the ids); the
/// caller compares the ids. A slot is in it once at most; any number but `none` is a slot.
class SlotTable {
public:
    using Slot = std::uint32_t;
    static constexpr Slot none = UINT32_MAX;

    /// The slot with this hash for which `is(slot)`; `none` when there is none.
    template <typename Is>
    [[nodiscard]] Slot find(std::size_t hash, Is is) const {
        if (places_.empty()) return none;
        const std::uint32_t half = half_of(hash);
        for (std::size_t at = half & mask(); places_[at].slot != none; at = (at + 1) & mask()) {
            if (places_[at].half == half && is(places_[at].slot)) return places_[at].slot;
        }
        return none;
    }
    void insert(std::size_t hash, Slot slot);
    /// Takes a slot out that went in with the same hash; false when it is not there.
    bool erase(std::size_t hash, Slot slot) noexcept;

    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    /// Bytes that it holds, itself not included.
    [[nodiscard]] std::size_t cost() const noexcept { return places_.capacity() * sizeof(Place); }

    /// Calls `with(slot)` for each, in no order. The table must not change meanwhile.
    template <typename With>
    void each(With with) const {
        for (const Place& place : places_) {
            if (place.slot != none) with(place.slot);
        }
    }

private:
    struct Place {
        Slot slot = none;
        std::uint32_t half = 0;  // of the hash: where its search begins, and what is compared first
    };

    static constexpr std::size_t least = 8;  // places
    static std::uint32_t half_of(std::size_t hash) noexcept { return static_cast<std::uint32_t>(hash); }
    [[nodiscard]] std::size_t mask() const noexcept { return places_.size() - 1; }
    void resize(std::size_t places);

    std::vector<Place> places_;  // a power of two, or none
    std::size_t size_ = 0;
};

}  // namespace sio::base
