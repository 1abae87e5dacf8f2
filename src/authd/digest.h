// SHA-256, by which sessions and tokens are named without being given away.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "base/keyed_hash.h"

namespace sio::authd {

struct Digest {
    std::array<unsigned char, 32> bytes{};
    bool operator==(const Digest&) const noexcept = default;
    /// 64 hexadecimal digits.
    [[nodiscard]] std::string hex() const;
};

struct DigestHash {
    /// Keyed, since who makes tokens can make many whose digests begin alike.
    std::size_t operator()(const Digest& digest) const noexcept {
        return base::keyed_hash(digest.bytes.data(), digest.bytes.size());
    }
};

Digest sha256(std::string_view text) noexcept;

}  // namespace sio::authd
