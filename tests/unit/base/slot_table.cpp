// base/slot_table.h: finds slots by the hashes of their ids, whatever else has the same hash or has been erased.
#include "base/slot_table.h"

#include <criterion/criterion.h>

#include <map>
#include <random>
#include <set>

using sio::base::SlotTable;

namespace {

/// Ids and slots side by side: what the table should say.
struct World {
    SlotTable table;
    std::map<SlotTable::Slot, std::size_t> ids;  // of each slot
    std::size_t collide;                         // ids with one remainder have one hash

    explicit World(std::size_t c) : collide(c) {}
    [[nodiscard]] std::size_t hash(std::size_t id) const { return (id % collide) * 0x9e3779b9U; }
    [[nodiscard]] SlotTable::Slot find(std::size_t id) const {
        return table.find(hash(id), [&](SlotTable::Slot slot) { return ids.at(slot) == id; });
    }
    void insert(SlotTable::Slot slot, std::size_t id) {
        ids.emplace(slot, id);
        table.insert(hash(id), slot);
    }
    bool erase(SlotTable::Slot slot) {
        const bool was_there = table.erase(hash(ids.at(slot)), slot);
        ids.erase(slot);
        return was_there;
    }
    void check() const {
        cr_assert_eq(table.size(), ids.size());
        std::set<SlotTable::Slot> seen;
        table.each([&](SlotTable::Slot slot) { cr_assert(seen.insert(slot).second); });
        cr_assert_eq(seen.size(), ids.size());
        for (const auto& [slot, id] : ids) cr_assert_eq(find(id), slot, "id %zu of slot %u", id, slot);
    }
};

}  // namespace

Test(slot_table, an_empty_one_finds_nothing_and_holds_nothing) {
    const SlotTable table;
    cr_assert_eq(table.find(7, [](SlotTable::Slot) { return true; }), SlotTable::none);
    cr_assert(table.empty());
    cr_assert_eq(table.cost(), 0);
}

Test(slot_table, finds_each_after_any_order_of_changes) {
    // Few hashes: long runs that wrap around; many: the common case.
    for (const std::size_t collide : {1UL, 3UL, 50UL, 1'000'000UL}) {
        World world(collide);
        std::mt19937 random(static_cast<unsigned>(collide));
        for (int i = 0; i < 4000; ++i) {
            const auto slot = static_cast<SlotTable::Slot>(random() % 300);
            if (world.ids.contains(slot)) {
                cr_assert(world.erase(slot));
            } else {
                world.insert(slot, slot * 1000UL + random() % 1000);
            }
            if (i % 97 == 0) world.check();
        }
        world.check();
        cr_assert_eq(world.find(999'999'999), SlotTable::none);
    }
}

Test(slot_table, what_is_not_there_is_not_erased) {
    World world(1'000);
    world.insert(4, 40);
    cr_assert_not(world.table.erase(world.hash(40), 5));
    cr_assert_not(world.table.erase(world.hash(41), 5));
    world.check();
    cr_assert(world.erase(4));
    cr_assert(world.table.empty());
}

Test(slot_table, costs_at_most_24_bytes_for_each_of_many) {
    World world(1'000'000'007);
    for (SlotTable::Slot slot = 0; slot < 10'000; ++slot) world.insert(slot, slot * 7919UL);
    cr_assert_leq(world.table.cost(), 24 * world.table.size());
    world.check();
}
