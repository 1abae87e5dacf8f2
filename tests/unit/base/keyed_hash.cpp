#include "base/keyed_hash.h"

#include <criterion/criterion.h>

#include <array>
#include <set>
#include <string>

using namespace sio::base;

namespace {

/// 00 01 02 …, as the reference implementation takes it.
std::string counting(std::size_t bytes) {
    std::string out;
    for (std::size_t i = 0; i < bytes; ++i) out += static_cast<char>(i);
    return out;
}

constexpr HashKey reference_key{0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL};

struct Vector {
    std::size_t bytes;
    std::uint64_t hash;
};

}  // namespace

// Source: vectors.h of the reference implementation.
Test(keyed_hash, is_siphash_2_4_of_the_reference) {
    for (const auto& [bytes, hash] : std::array<Vector, 8>{{{0, 0x726fdb47dd0e0e31ULL},
                                                            {1, 0x74f839c593dc67fdULL},
                                                            {7, 0xab0200f58b01d137ULL},
                                                            {8, 0x93f5f5799a932462ULL},
                                                            {9, 0x9e0082df0ba9e4b0ULL},
                                                            {15, 0xa129ca6149be45e5ULL},
                                                            {16, 0x3f2acc7f57c29bdbULL},
                                                            {63, 0x958a324ceb064572ULL}}}) {
        cr_expect((siphash<2, 4>(reference_key, counting(bytes)) == hash), "of %zu bytes", bytes);
    }
}

// Source: OpenSSL 3's SIPHASH with c-rounds 1 and d-rounds 3; the first is also in the tests of Rust's library.
Test(keyed_hash, is_siphash_1_3_as_others_compute_it) {
    for (const auto& [bytes, hash] : std::array<Vector, 8>{{{0, 0xabac0158050fc4dcULL},
                                                            {1, 0xc9f49bf37d57ca93ULL},
                                                            {7, 0xd3927d989bb11140ULL},
                                                            {8, 0x369095118d299a8eULL},
                                                            {9, 0x25a48eb36c063de4ULL},
                                                            {15, 0xd320d86d2a519956ULL},
                                                            {24, 0xf464aeb267349c8cULL},
                                                            {63, 0x9d199062b7bbb3a8ULL}}}) {
        cr_expect((siphash<1, 3>(reference_key, counting(bytes)) == hash), "of %zu bytes", bytes);
    }
}

Test(keyed_hash, another_key_is_another_hash) {
    std::set<std::uint64_t> seen;
    for (std::uint64_t bit = 0; bit < 64; ++bit) {
        seen.insert(siphash<1, 3>({1ULL << bit, 0}, "course_7"));
        seen.insert(siphash<1, 3>({0, 1ULL << bit}, "course_7"));
    }
    cr_expect(seen.size() == 128);
}

Test(keyed_hash, a_process_keeps_its_key) {
    cr_expect(KeyedHash{}("room") == KeyedHash{}(std::string{"room"}));
    cr_expect(KeyedHash{}("room") == (siphash<1, 3>(process_hash_key(), "room")));
    cr_expect(process_hash_key().low != 0 || process_hash_key().high != 0);
    const std::string bytes = counting(16);
    cr_expect(keyed_hash(bytes.data(), bytes.size()) == KeyedHash{}(bytes));
}
