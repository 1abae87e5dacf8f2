#include "base/keyed_hash.h"

#include <sys/random.h>
#include <sys/types.h>

#include <cerrno>
#include <cstdlib>

namespace sio::base {
namespace {

HashKey draw_key() noexcept {
    HashKey key{};
    // So few bytes come whole or not at all.
    while (getrandom(&key, sizeof key, 0) != static_cast<ssize_t>(sizeof key)) {
        if (errno != EINTR) std::abort();
    }
    return key;
}

}  // namespace

const HashKey& process_hash_key() noexcept {
    static const HashKey key = draw_key();
    return key;
}

}  // namespace sio::base
