#include "redis/script.h"

#include <openssl/evp.h>

#include <array>

namespace sio::redis {

Script::Script(std::string_view text) : text_(text) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    if (EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr) != 1) return;
    static constexpr std::string_view digits = "0123456789abcdef";
    for (unsigned i = 0; i < size; ++i) {
        sha_ += digits[digest[i] >> 4U];
        sha_ += digits[digest[i] & 15U];
    }
}

}  // namespace sio::redis
