#include "gateway/ids.h"

#include <sys/random.h>

#include <cstdlib>
#include <string>

#include "base/bytes.h"

namespace sio::gateway {

Id IdSource::next() {
    // A shell would take an id that begins with '-' (62) for an option.
    do {
        if (used_ == random_.size()) refill();
        used_ += 12;
    } while (random_[used_ - 12] >> 2U == 62);
    char raw[15];
    std::memcpy(raw, random_.data() + used_ - 12, 12);
    raw[12] = static_cast<char>(counter_ >> 16);
    raw[13] = static_cast<char>(counter_ >> 8);
    raw[14] = static_cast<char>(counter_);
    ++counter_;
    std::string text;
    base::append_base64(text, {raw, sizeof raw});
    Id id;
    for (std::size_t i = 0; i < id.text.size(); ++i) {
        id.text[i] = text[i] == '/' ? '_' : text[i] == '+' ? '-' : text[i];
    }
    return id;
}

void IdSource::refill() {
    std::size_t got = 0;
    while (got < random_.size()) {
        const ssize_t n = getrandom(random_.data() + got, random_.size() - got, 0);
        if (n < 0) std::abort();  // no randomness: no session may be handed out
        got += static_cast<std::size_t>(n);
    }
    used_ = 0;
}

}  // namespace sio::gateway
