// SHA-256, by which sessions and tokens are named without being given away.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

namespace sio::authd {

struct Digest {
    std::array<unsigned char, 32> bytes{};
    bool operator==(const Digest&) const noexcept = default;
    /// 64 hexadecimal digits.
    [[nodiscard]] std::string hex() const;
};

struct DigestHash {
    /// Any part of a digest is a hash.
    std::size_t operator()(const Digest& digest) const noexcept {
        std::size_t hash = 0;
        std::memcpy(&hash, digest.bytes.data(), sizeof hash);
        return hash;
    }
};

Digest sha256(std::string_view text) noexcept;

}  // namespace sio::authd
