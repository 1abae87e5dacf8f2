// collide COUNT TEXT: prints COUNT names of 24 printable bytes that have one and the same std::hash of libstdc++
// (murmur with a seed that everybody knows), which names depends on TEXT. A server that keeps them in a table keyed by
// that hash has them all in one place.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

namespace {

using Word = std::uint64_t;

constexpr Word factor = 0xc6a4a7935bd1e995ULL;
constexpr Word seed = 0xc70f6907ULL;
constexpr std::size_t length = 24;
constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789";

/// What undoes a multiplication by `factor`, by Newton's steps.
constexpr Word inverse() {
    Word x = factor;
    for (int i = 0; i < 6; ++i) x *= 2 - factor * x;
    return x;
}

constexpr Word mix(Word word) {
    word *= factor;
    word ^= word >> 47U;
    return word * factor;
}

constexpr Word unmix(Word word) {
    word *= inverse();
    word ^= word >> 47U;
    return word * inverse();
}

Word word_of(std::string_view eight) {
    Word word = 0;
    std::memcpy(&word, eight.data(), sizeof word);
    return word;
}

bool is_printable(std::string_view text) {
    for (const char c : text) {
        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\') return false;
    }
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: %s COUNT TEXT\n", argv[0]);
        return 64;
    }
    const unsigned long count = std::strtoul(argv[1], nullptr, 10);
    Word random = std::hash<std::string_view>{}(argv[2]) | 1U;
    const std::string first = "hostile_";
    const Word after_first = ((seed ^ (length * factor)) ^ mix(word_of(first))) * factor;
    const Word wanted = 0x0fedcba987654321ULL * inverse();
    std::size_t hash = 0;
    for (unsigned long found = 0; found < count;) {
        random ^= random << 13U;
        random ^= random >> 7U;
        random ^= random << 17U;
        std::string second(8, ' ');
        Word digits = random;
        for (char& c : second) {
            c = letters[digits % letters.size()];
            digits /= letters.size();
        }
        const Word third = unmix(((after_first ^ mix(word_of(second))) * factor) ^ wanted);
        std::string last(8, ' ');
        std::memcpy(last.data(), &third, sizeof third);
        if (!is_printable(last)) continue;
        const std::string name = first + second + last;
        const std::size_t its = std::hash<std::string_view>{}(name);
        if (found++ == 0) hash = its;
        if (its != hash) {
            std::fprintf(stderr, "this library's std::hash is another one\n");
            return 69;
        }
        std::puts(name.c_str());
    }
    return 0;
}
