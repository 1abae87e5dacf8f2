// What fuzz targets assert with: a broken relation ends the process and names the expression.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#define FUZZ_CHECK(claim)                                                                        \
    do {                                                                                         \
        if (!(claim)) {                                                                          \
            std::fprintf(stderr, "%s:%d: this does not hold: %s\n", __FILE__, __LINE__, #claim); \
            std::abort();                                                                        \
        }                                                                                        \
    } while (false)

namespace sio::fuzz {

inline std::string_view as_text(const std::uint8_t* data, std::size_t size) noexcept {
    return {reinterpret_cast<const char*>(data), size};
}

/// Calls `use` with cut positions that are worth trying: all of a short input, some thirty of a long one.
template <typename Use>
void each_cut(std::size_t size, Use use) {
    const std::size_t step = size <= 64 ? 1 : size / 32 + 1;
    for (std::size_t cut = 0; cut <= size; cut += step) use(cut);
}

}  // namespace sio::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
