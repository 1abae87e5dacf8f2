// A chunked body gives the same however it is cut, never passes its limit, and what is encoded is decoded.
//
// Byte 0: the limit. The rest is the body as it is on the wire.
#include <string>

#include "check.h"
#include "proto/http_head.h"

namespace {

using namespace sio;
using namespace sio::proto;

struct Outcome {
    ChunkedDecoder::State state = ChunkedDecoder::State::more;
    bool too_large = false;
    std::string body;
    std::size_t left = 0;
    bool operator==(const Outcome&) const = default;
};

/// `wire` in pieces of `step`, the first one of `first`.
Outcome decode(std::string_view wire, std::size_t limit, std::size_t first, std::size_t step) {
    ChunkedDecoder decoder;
    Outcome out;
    std::size_t arrived = 0;
    while (arrived < wire.size() && out.state == ChunkedDecoder::State::more) {
        const std::string_view piece = wire.substr(arrived, arrived == 0 && first != 0 ? first : step);
        arrived += piece.size();
        std::string_view in = piece;
        out.state = decoder.feed(in, out.body, limit);
        FUZZ_CHECK(out.body.size() <= limit);
        FUZZ_CHECK(out.state != ChunkedDecoder::State::more || in.empty());
        out.left = wire.size() - arrived + in.size();
    }
    out.too_large = decoder.too_large();
    FUZZ_CHECK(!out.too_large || out.state == ChunkedDecoder::State::error);
    std::string_view nothing;
    FUZZ_CHECK(decoder.feed(nothing, out.body, limit) == out.state);
    return out;
}

void check_encoded_is_decoded(std::string_view body, std::size_t chunk) {
    std::string wire;
    for (std::size_t i = 0; i < body.size(); i += chunk) {
        const std::string_view piece = body.substr(i, chunk);
        char size[32];
        std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
        wire.append(size).append(piece).append("\r\n");
    }
    wire.append("0\r\n\r\nrest");
    const Outcome got = decode(wire, body.size(), 0, wire.size());
    FUZZ_CHECK(got.state == ChunkedDecoder::State::done && got.body == body && got.left == 4);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0 || size > 16384) return 0;
    const std::size_t limit = data[0];
    const std::string_view wire = fuzz::as_text(data + 1, size - 1);
    const Outcome whole = decode(wire, limit, 0, wire.size());
    FUZZ_CHECK(decode(wire, limit, 0, 1) == whole);
    fuzz::each_cut(wire.size(), [&](std::size_t cut) { FUZZ_CHECK(decode(wire, limit, cut, wire.size()) == whole); });
    check_encoded_is_decoded(wire.substr(0, 256), limit % 16 + 1);
    return 0;
}
