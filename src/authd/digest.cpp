#include "authd/digest.h"

#include <openssl/evp.h>

#include <cstdlib>

namespace sio::authd {

std::string Digest::hex() const {
    static constexpr std::string_view digits = "0123456789abcdef";
    std::string out;
    out.reserve(2 * bytes.size());
    for (const unsigned char byte : bytes) {
        out += digits[byte >> 4U];
        out += digits[byte & 15U];
    }
    return out;
}

Digest sha256(std::string_view text) noexcept {
    Digest digest;
    // Without SHA-256 no session could be told from another.
    if (EVP_Digest(text.data(), text.size(), digest.bytes.data(), nullptr, EVP_sha256(), nullptr) != 1) std::abort();
    return digest;
}

}  // namespace sio::authd
