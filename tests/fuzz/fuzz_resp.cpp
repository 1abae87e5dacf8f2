// A stream of replies gives the same replies however it is cut; memory follows what has come; what is written is read.
//
// Byte 0: bits 0-1 the limit of a reply. The rest is the stream.
#include <string>
#include <vector>

#include "check.h"
#include "redis/resp.h"

namespace {

using namespace sio;
using namespace sio::redis;

/// A reply as text that tells any two apart.
void show(const Reply& root, std::string& out) {
    struct Level {
        std::span<const Reply> items;
        std::size_t next;
    };
    std::vector<Level> levels{{{&root, 1}, 0}};
    std::size_t elements = 0;
    while (!levels.empty()) {
        Level& level = levels.back();
        if (level.next == level.items.size()) {
            levels.pop_back();
            continue;
        }
        const Reply& reply = level.items[level.next++];
        FUZZ_CHECK(++elements <= Reader::max_elements);
        out += static_cast<char>('0' + static_cast<int>(reply.kind));
        out += std::to_string(reply.text.size()) + ":";
        out += reply.text;
        out += std::to_string(reply.integer) + "," + std::to_string(reply.items.size()) + ";";
        FUZZ_CHECK(reply.items.empty() || reply.is_array());
        FUZZ_CHECK(reply.text.empty() || reply.is_text() || reply.is_error());
        if (reply.items.empty()) continue;
        FUZZ_CHECK(levels.size() <= Reader::max_depth);
        levels.push_back({reply.items, 0});
    }
}

/// The replies of `bytes` in pieces of `step`, the first one of `first`; the error last.
std::vector<std::string> read(std::string_view bytes, std::size_t limit, std::size_t first, std::size_t step) {
    Reader reader{limit};
    std::vector<std::string> seen;
    std::size_t arrived = 0;
    while (arrived < bytes.size()) {
        const std::string piece{bytes.substr(arrived, arrived == 0 && first != 0 ? first : step)};
        arrived += piece.size();
        reader.feed(piece);
        for (;;) {
            const auto reply = reader.next();
            FUZZ_CHECK(reader.bytes_held() <= arrived);
            if (!reply) {
                FUZZ_CHECK(reply.error().code == Errc::malformed || reply.error().code == Errc::too_large);
                FUZZ_CHECK(!reader.next());
                seen.emplace_back(to_string(reply.error().code));
                return seen;
            }
            if (*reply == nullptr) break;
            show(**reply, seen.emplace_back());
        }
        FUZZ_CHECK(reader.bytes_held() <= limit);
    }
    return seen;
}

void check_written_is_read(std::string_view bytes) {
    const std::size_t half = bytes.size() / 2;
    const std::string_view args[] = {bytes.substr(0, half), bytes.substr(half), {}};
    std::string out;
    append_command(out, args);
    FUZZ_CHECK(out.size() == command_bytes(args));
    Reader reader{out.size()};
    reader.feed(out);
    const auto reply = reader.next();
    FUZZ_CHECK(reply && *reply != nullptr && (*reply)->items.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) FUZZ_CHECK((*reply)->items[i].text == args[i]);
    FUZZ_CHECK(reader.bytes_held() == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0 || size > 4096) return 0;
    constexpr std::size_t limits[] = {16, 200, 4096, std::size_t{1} << 20U};
    const std::size_t limit = limits[data[0] & 3U];
    const std::string_view bytes = fuzz::as_text(data + 1, size - 1);

    const auto whole = read(bytes, limit, 0, bytes.size());
    FUZZ_CHECK(read(bytes, limit, 0, 1) == whole);
    fuzz::each_cut(bytes.size(), [&](std::size_t cut) { FUZZ_CHECK(read(bytes, limit, cut, bytes.size()) == whole); });
    check_written_is_read(bytes);
    return 0;
}
