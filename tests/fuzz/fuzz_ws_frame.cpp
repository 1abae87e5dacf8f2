// A stream of frames gives the same events however it is cut; memory follows what has come; what is written is read.
//
// Byte 0: bit 0 the role, bits 1-2 the message limit. The rest is the stream.
#include "proto/ws_frame.h"

#include <string>
#include <vector>

#include "check.h"

namespace {

using namespace sio;
using namespace sio::proto;

struct Seen {
    WsEvent::Kind kind;
    std::string data;
    std::uint16_t code;
    bool operator==(const Seen&) const = default;
};

/// The events of `bytes` in pieces of `step`, the first one of `first`.
std::vector<Seen> read(std::string_view bytes, WsReader::Role role, std::size_t limit, std::size_t first,
                       std::size_t step) {
    WsReader reader{role, limit};
    std::vector<Seen> events;
    std::size_t arrived = 0;
    while (arrived < bytes.size()) {
        std::string piece{bytes.substr(arrived, arrived == 0 && first != 0 ? first : step)};
        arrived += piece.size();
        std::span<char> in{piece.data(), piece.size()};
        for (;;) {
            const std::size_t before = in.size();
            const WsEvent event = reader.next(in);
            FUZZ_CHECK(in.size() <= before);
            FUZZ_CHECK(reader.bytes_held() <= 1024 + 2 * arrived);
            if (event.kind == WsEvent::Kind::need_more) {
                FUZZ_CHECK(in.empty());
                break;
            }
            events.push_back({event.kind, std::string{event.data}, event.close_code});
            if (event.kind == WsEvent::Kind::error) {
                FUZZ_CHECK(event.close_code == ws_close::protocol_error || event.close_code == ws_close::bad_data ||
                           event.close_code == ws_close::too_big);
                const std::size_t left = in.size();
                FUZZ_CHECK(reader.next(in).kind == WsEvent::Kind::error && in.size() == left);
                return events;
            }
            if (event.kind == WsEvent::Kind::text) FUZZ_CHECK(base::is_utf8(event.data));
            if (event.kind == WsEvent::Kind::text || event.kind == WsEvent::Kind::binary) {
                FUZZ_CHECK(event.data.size() <= limit);
            } else {
                FUZZ_CHECK(event.data.size() <= 125);
            }
        }
    }
    return events;
}

void check_written_is_read(std::string_view payload) {
    std::string frame;
    append_masked_ws_frame(frame, WsOpcode::binary, payload, 0x12345678U);
    std::vector<Seen> events = read(frame, WsReader::Role::server, payload.size(), 0, frame.size());
    FUZZ_CHECK(events.size() == 1 && events[0].kind == WsEvent::Kind::binary && events[0].data == payload);
    frame.clear();
    append_ws_frame(frame, WsOpcode::binary, payload);
    events = read(frame, WsReader::Role::client, payload.size(), 0, frame.size());
    FUZZ_CHECK(events.size() == 1 && events[0].kind == WsEvent::Kind::binary && events[0].data == payload);
    frame.clear();
    append_ws_close(frame, ws_close::normal, payload);
    events = read(frame, WsReader::Role::client, 0, 0, frame.size());
    FUZZ_CHECK(events.size() == 1 && (events[0].kind == WsEvent::Kind::close || !base::is_utf8(payload)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0 || size > 4096) return 0;
    constexpr std::size_t limits[] = {16, 200, 1000, 100000};
    const auto role = (data[0] & 1U) != 0 ? WsReader::Role::client : WsReader::Role::server;
    const std::size_t limit = limits[data[0] >> 1U & 3U];
    const std::string_view bytes = fuzz::as_text(data + 1, size - 1);

    const auto whole = read(bytes, role, limit, 0, bytes.size());
    FUZZ_CHECK(read(bytes, role, limit, 0, 1) == whole);
    fuzz::each_cut(bytes.size(),
                   [&](std::size_t cut) { FUZZ_CHECK(read(bytes, role, limit, cut, bytes.size()) == whole); });
    check_written_is_read(bytes);
    return 0;
}
