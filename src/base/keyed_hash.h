// A hash for tables whose keys strangers choose: rooms, users, namespaces, addresses, ids from the wire.
//
// std::hash is the same in every process, so names can be made that all fall into one bucket, and each use of such a
// table then walks all of them. SipHash under a random key of the process cannot be aimed at. Source: Aumasson and
// Bernstein, "SipHash: a fast short-input PRF"; one round a word and three at the end, as the tables of Rust and
// Python take.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace sio::base {

struct HashKey {
    std::uint64_t low;   ///< the first eight bytes, little-endian
    std::uint64_t high;  ///< the last eight
};

/// SipHash with `word_rounds` for each eight bytes and `end_rounds` after the last.
template <int word_rounds, int end_rounds>
std::uint64_t siphash(const HashKey& key, std::string_view data) noexcept {
    static_assert(std::endian::native == std::endian::little);
    std::uint64_t v0 = key.low ^ 0x736f6d6570736575ULL;
    std::uint64_t v1 = key.high ^ 0x646f72616e646f6dULL;
    std::uint64_t v2 = key.low ^ 0x6c7967656e657261ULL;
    std::uint64_t v3 = key.high ^ 0x7465646279746573ULL;
    const auto mix = [&](int rounds) {
        for (int i = 0; i < rounds; ++i) {
            v0 += v1;
            v2 += v3;
            v1 = std::rotl(v1, 13) ^ v0;
            v3 = std::rotl(v3, 16) ^ v2;
            v0 = std::rotl(v0, 32);
            v2 += v1;
            v0 += v3;
            v1 = std::rotl(v1, 17) ^ v2;
            v3 = std::rotl(v3, 21) ^ v0;
            v2 = std::rotl(v2, 32);
        }
    };
    const auto add = [&](std::uint64_t word) {
        v3 ^= word;
        mix(word_rounds);
        v0 ^= word;
    };
    const char* at = data.data();
    std::size_t left = data.size();
    for (; left >= sizeof(std::uint64_t); left -= sizeof(std::uint64_t), at += sizeof(std::uint64_t)) {
        std::uint64_t word = 0;
        std::memcpy(&word, at, sizeof word);
        add(word);
    }
    std::uint64_t last = static_cast<std::uint64_t>(data.size()) << 56U;
    for (std::size_t i = 0; i < left; ++i) {
        last |= static_cast<std::uint64_t>(static_cast<unsigned char>(at[i])) << (8 * i);
    }
    add(last);
    v2 ^= 0xff;
    mix(end_rounds);
    return v0 ^ v1 ^ v2 ^ v3;
}

/// Drawn from the kernel's random source when it is first asked for; the same until the process ends.
const HashKey& process_hash_key() noexcept;

/// For unordered containers of texts, with lookup by std::string_view.
struct KeyedHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept { return siphash<1, 3>(process_hash_key(), text); }
};

/// The same for keys of fixed size that are bytes: addresses, ids, digests.
inline std::size_t keyed_hash(const void* bytes, std::size_t size) noexcept {
    return KeyedHash{}({static_cast<const char*>(bytes), size});
}

}  // namespace sio::base
