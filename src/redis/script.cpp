#include "redis/script.h"

#include <openssl/evp.h>

#include <array>

#include "base/bytes.h"

namespace sio::redis {

Script::Script(std::string_view text) : text_(text) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    if (EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr) != 1) return;
    sha_ = base::to_hex(digest.data(), size);
}

}  // namespace sio::redis
