// gateway/places.h: places count per address, and the oldest of the address with most goes first.
#include "gateway/places.h"

#include <criterion/criterion.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

namespace {

using namespace sio::gateway;
using sio::net::Address;

const Address alice = Address::from(std::string_view("192.0.2.1"));
const Address bob = Address::from(std::string_view("2001:db8::2"));

std::unique_ptr<Place> place(Places& places, const Address& address, Rank rank, Millis now) {
    auto made = std::make_unique<Place>();
    made->enter(places, address, now);
    made->set_rank(rank, now);
    return made;
}

Test(places, sessions_and_connections_have_the_same_limit_each_for_itself) {
    Places places(2);
    for (int i = 0; i < 2; ++i) {
        cr_assert(places.may_connect(alice) && places.may_open(alice));
        places.add_connection(alice);
        places.add_session(alice);
    }
    cr_assert(!places.may_connect(alice) && !places.may_open(alice));
    cr_assert(places.may_connect(bob) && places.may_open(bob));
    places.remove_session(alice);
    cr_assert(!places.may_connect(alice) && places.may_open(alice) && places.sessions(alice) == 1);
    places.remove_session(alice);
    places.remove_connection(alice);
    places.remove_connection(alice);
    cr_assert(places.addresses() == 0, "what is empty is kept");
}

Test(places, who_has_no_address_has_no_limit) {
    Places places(1);
    for (int i = 0; i < 5; ++i) {
        places.add_connection(Address{});
        places.add_session(Address{});
    }
    cr_assert(places.may_connect(Address{}) && places.may_open(Address{}));
}

Test(places, the_oldest_of_the_address_with_most_of_a_rank_goes_first) {
    Places places(0);
    const auto old_of_bob = place(places, bob, Rank::stranger, 1);
    const auto first = place(places, alice, Rank::stranger, 2);
    auto second = place(places, alice, Rank::stranger, 3);
    const auto onlooker = place(places, bob, Rank::onlooker, 4);
    auto candidate = places.first_to_go(Rank::stranger);
    cr_assert(candidate.place == first.get() && candidate.address == alice && candidate.of_address == 2);
    cr_assert(places.first_to_go(Rank::onlooker).place == onlooker.get());
    cr_assert(places.first_to_go(Rank::absent).place == nullptr);
    cr_assert(places.first_of(bob, Rank::stranger).place == old_of_bob.get());

    first->set_rank(Rank::none, 5);  // it has joined something
    cr_assert(places.first_of(alice, Rank::stranger).place == second.get());
    first->set_rank(Rank::stranger, 6);  // and has left it: it stands behind the other now
    candidate = places.first_to_go(Rank::stranger);
    cr_assert(candidate.place == second.get() && first->age(6) == 0);
    second.reset();
    cr_assert(places.count(Rank::stranger) == 2);
    first->enter(places, bob, 7);  // it turns out to be somebody else's
    candidate = places.first_to_go(Rank::stranger);
    cr_assert(candidate.address == bob && candidate.of_address == 2 && candidate.place == old_of_bob.get());
    cr_assert(places.first_of(alice, Rank::stranger).place == nullptr && places.addresses() == 1);
}

Test(places, whatever_comes_and_goes_the_address_with_most_is_found) {
    constexpr std::size_t addresses = 7;
    Places places(0);
    std::mt19937 random(20261201);
    std::vector<std::unique_ptr<Place>> all(60);
    std::vector<std::size_t> owner(all.size());
    for (Millis now = 0; now < 20'000; ++now) {
        const std::size_t i = random() % all.size();
        if (all[i] == nullptr) {
            owner[i] = std::min(random() % addresses, random() % addresses);
            Address address;
            address.bytes.back() = static_cast<unsigned char>(owner[i] + 1);
            all[i] = place(places, address, static_cast<Rank>(random() % (rank_count + 1)), now);
        } else if (random() % 3 == 0) {
            all[i].reset();
        } else {
            all[i]->set_rank(static_cast<Rank>(random() % (rank_count + 1)), now);
        }
        for (std::size_t rank = 0; rank < rank_count; ++rank) {
            std::vector<std::size_t> counts(addresses);
            for (std::size_t k = 0; k < all.size(); ++k) {
                if (all[k] != nullptr && all[k]->rank() == static_cast<Rank>(rank)) ++counts[owner[k]];
            }
            const std::size_t most = *std::max_element(counts.begin(), counts.end());
            const auto candidate = places.first_to_go(static_cast<Rank>(rank));
            cr_assert(candidate.of_address == most && (candidate.place != nullptr) == (most > 0), "at %lld",
                      static_cast<long long>(now));
            if (most == 0) continue;
            const std::size_t row = candidate.address.bytes.back() - 1U;
            cr_assert(counts[row] == most);
            for (std::size_t k = 0; k < all.size(); ++k) {
                if (all[k] == nullptr || all[k]->rank() != static_cast<Rank>(rank) || owner[k] != row) continue;
                cr_assert(all[k]->age(now) <= candidate.place->age(now), "an older one waits behind it");
            }
        }
    }
    all.clear();
    cr_assert(places.addresses() == 0);
}

}  // namespace
