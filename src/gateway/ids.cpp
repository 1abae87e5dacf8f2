#include "gateway/ids.h"

#include <sys/random.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "base/bytes.h"

namespace sio::gateway {

namespace {

/// Writes the URL-safe base64 of `raw`, whose length is a multiple of 3.
void encode(std::string_view raw, char* out) {
    std::string text;
    base::append_base64(text, raw);
    for (std::size_t i = 0; i < text.size(); ++i) out[i] = text[i] == '/' ? '_' : text[i] == '+' ? '-' : text[i];
}

}  // namespace

bool Tag::is_tag(std::string_view view) noexcept {
    return view.size() == size && view.front() != '-' && std::all_of(view.begin(), view.end(), [](char c) {
               return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
                      c == '_';
           });
}

std::optional<Tag> Tag::of_session(std::string_view sid) noexcept {
    if (sid.size() != Id{}.text.size() || !is_tag(sid.substr(0, size))) return std::nullopt;
    Tag tag;
    std::memcpy(tag.text.data(), sid.data(), size);
    return tag;
}

// 12 random bytes. A shell would take an id that begins with '-' (62) for an option.
const unsigned char* IdSource::take() {
    do {
        if (used_ == random_.size()) refill();
        used_ += 12;
    } while (random_[used_ - 12] >> 2U == 62);
    return random_.data() + used_ - 12;
}

Id IdSource::next() {
    char raw[15];
    std::memcpy(raw, take(), 12);
    raw[12] = static_cast<char>(counter_ >> 16);
    raw[13] = static_cast<char>(counter_ >> 8);
    raw[14] = static_cast<char>(counter_);
    ++counter_;
    Id id;
    encode({raw, sizeof raw}, id.text.data());
    return id;
}

Id IdSource::next_session() {
    Id id = next();
    std::memcpy(id.text.data(), tag_.text.data(), Tag::size);  // four characters are exactly three bytes
    return id;
}

void IdSource::draw_tag() { encode({reinterpret_cast<const char*>(take()), 3}, tag_.text.data()); }

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
