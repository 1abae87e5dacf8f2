// gateway/accounts.h: what parts of clients hold adds up per address, and the ceiling is told in steps.
#include "gateway/accounts.h"

#include <criterion/criterion.h>

namespace {

using namespace sio::gateway;
using sio::net::Address;

const Address alice = Address::from(std::string_view("192.0.2.1"));
const Address bob = Address::from(std::string_view("2001:db8::2"));

Test(accounts, charges_of_an_address_add_up_and_are_gone_with_their_holders) {
    Accounts accounts({.client = 1 << 20, .address = 100'000, .memory = 0});
    {
        Charge first;
        Charge second;
        Charge other;
        first.set(accounts, alice, 60'000);
        second.set(accounts, alice, 30'000);
        other.set(accounts, bob, 99'000);
        cr_assert(accounts.of(alice) >= 90'000 && accounts.of(alice) < 90'000 + 2 * (Accounts::step + 1));
        cr_assert(!accounts.is_over(alice) && !accounts.is_over(bob));
        second.set(accounts, alice, 41'000);
        cr_assert(accounts.is_over(alice) && !accounts.is_over(bob));
        second.set(accounts, alice, 5'000);
        cr_assert(!accounts.is_over(alice));
        cr_assert(accounts.total() == accounts.of(alice) + accounts.of(bob));
    }
    cr_assert(accounts.of(alice) == 0 && accounts.of(bob) == 0 && accounts.total() == 0);
}

Test(accounts, a_charge_moves_when_its_client_turns_out_to_be_somebody_else) {
    Accounts accounts({.client = 1 << 20, .address = 100'000, .memory = 0});
    Charge charge;
    charge.set(accounts, alice, 50'000);
    charge.set(accounts, bob, 50'000);
    cr_assert(accounts.of(alice) == 0 && accounts.of(bob) >= 50'000);
    charge.clear();
    charge.clear();
    cr_assert(accounts.total() == 0);
}

Test(accounts, a_charge_of_nothing_does_not_lose_the_share_of_others) {
    Accounts accounts({.client = 1 << 20, .address = 100'000, .memory = 0});
    Charge empty;
    empty.set(accounts, alice, 0);
    {
        Charge other;
        other.set(accounts, alice, 0);
    }
    empty.set(accounts, alice, 200'000);
    cr_assert(accounts.is_over(alice));
}

Test(accounts, who_has_no_address_has_no_share) {
    Accounts accounts({.client = 1 << 20, .address = 1'000, .memory = 0});
    Charge charge;
    charge.set(accounts, Address{}, 1 << 20);
    cr_assert(!accounts.is_over(Address{}));
    Accounts unlimited({.client = 1 << 20, .address = 0, .memory = 0});
    Charge more;
    more.set(unlimited, alice, 1 << 20);
    cr_assert(!unlimited.is_over(alice));
}

Test(accounts, the_ceiling_is_neared_in_two_steps_and_left_with_room_to_spare) {
    using Pressure = Accounts::Pressure;
    Accounts accounts({.client = 1 << 20, .address = 0, .memory = 1'000'000});
    cr_assert(accounts.pressure(700'000) == Pressure::none && accounts.excess(700'000) == 0);
    cr_assert(accounts.pressure(850'000) == Pressure::high);
    cr_assert(accounts.pressure(950'000) == Pressure::critical);
    cr_assert(accounts.pressure(950'000 - accounts.excess(950'000)) == Pressure::none);
    Accounts without({.client = 1 << 20, .address = 0, .memory = 0});
    cr_assert(without.pressure(std::size_t{1} << 50U) == Pressure::none && without.excess(std::size_t{1} << 50U) == 0);
}

}  // namespace
