#include "authd/digest.h"

#include <openssl/evp.h>

#include <cstdlib>

#include "base/bytes.h"

namespace sio::authd {

std::string Digest::hex() const { return base::to_hex(bytes.data(), bytes.size()); }

Digest sha256(std::string_view text) noexcept {
    Digest digest;
    // Without SHA-256 no session could be told from another.
    if (EVP_Digest(text.data(), text.size(), digest.bytes.data(), nullptr, EVP_sha256(), nullptr) != 1) std::abort();
    return digest;
}

}  // namespace sio::authd
