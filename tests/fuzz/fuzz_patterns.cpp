// Names against patterns: what matches does so by one way that can be written down, and a plain search finds it, too.
//
// The input is a pattern, a NUL, and a name.
#include <string>
#include <vector>

#include "authd/rights.h"
#include "base/bytes.h"
#include "check.h"

namespace {

using namespace sio;

/// The same as base::matches_glob() by trying everything.
bool matches(std::string_view pattern, std::string_view text, std::string_view barred) {
    std::vector<bool> can(text.size() + 1, false);  // the pattern so far can end before this character
    can[0] = true;
    for (const char c : pattern) {
        std::vector<bool> next(text.size() + 1, false);
        for (std::size_t i = 0; i <= text.size(); ++i) {
            if (c == '*') {
                next[i] = can[i] || (i > 0 && next[i - 1] && barred.find(text[i - 1]) == std::string_view::npos);
            } else {
                next[i] = i > 0 && can[i - 1] && text[i - 1] == c;
            }
        }
        can = next;
    }
    return can[text.size()];
}

void check_room_pattern(std::string_view pattern, std::string_view room) {
    const auto compiled = authd::RoomPattern::compile(pattern);
    if (!compiled) return;
    const auto parts = compiled->match(room);
    if (!parts) return;
    std::string glob;  // the pattern with what its parts matched in their place
    std::size_t next = 0;
    for (std::size_t at = 0; at < pattern.size();) {
        if (pattern[at] != '{') {
            glob += pattern[at++];
            continue;
        }
        const std::size_t end = pattern.find('}', at);
        FUZZ_CHECK(next < parts->size());
        const auto& [name, value] = (*parts)[next++];
        FUZZ_CHECK(name == pattern.substr(at + 1, end - at - 1) && !value.empty());
        if (end + 1 < pattern.size()) FUZZ_CHECK(value.find(pattern[end + 1]) == std::string_view::npos);
        glob += value;
        at = end + 1;
    }
    FUZZ_CHECK(next == parts->size());
    if (room.find('*') == std::string_view::npos) FUZZ_CHECK(matches(glob, room, {}));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size > 512) return 0;
    const std::string_view text = fuzz::as_text(data, size);
    const std::size_t end = std::min(text.find('\0'), size);
    const std::string_view pattern = text.substr(0, end);
    const std::string_view name = text.substr(std::min(end + 1, size));
    for (const std::string_view barred : {"", "/"}) {
        // A star in front of another that may not pass a character can be the one that must; one star is exact.
        const bool expected = matches(pattern, name, barred);
        const bool found = base::matches_glob(pattern, name, barred);
        FUZZ_CHECK(!found || expected);
        if (barred.empty()) FUZZ_CHECK(found == expected);
    }
    check_room_pattern(pattern, name);
    return 0;
}
