// A polling body is its frames joined again; a decoded frame is its type and body joined again.
#include <string>

#include "base/bytes.h"
#include "base/json.h"
#include "check.h"
#include "proto/eio_packet.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace sio;
    using namespace sio::proto;
    if (size > 4096) return 0;
    const std::string_view body = fuzz::as_text(data, size);

    std::string joined;
    std::size_t count = 0;
    EioPayload payload{body};
    while (const auto frame = payload.next()) {
        if (count++ != 0) joined.push_back(EioPayload::separator);
        joined.append(*frame);
        FUZZ_CHECK(frame->find(EioPayload::separator) == std::string_view::npos);
        const auto packet = decode_eio(*frame);
        if (!packet) {
            FUZZ_CHECK(frame->empty() || std::string_view{"0123456b"}.find(frame->front()) == std::string_view::npos);
            continue;
        }
        const char first = packet->base64 ? 'b' : static_cast<char>(packet->type);
        FUZZ_CHECK(std::string(1, first).append(packet->body) == *frame);
        if (!packet->base64) continue;
        FUZZ_CHECK(packet->type == EioType::message);
        if (const auto bytes = base::decode_base64(packet->body)) {
            std::string again;
            base::append_base64(again, *bytes);
            FUZZ_CHECK(base::decode_base64(again) == bytes);
        }
    }
    FUZZ_CHECK(count != 0 && joined == body);
    FUZZ_CHECK(!payload.next());

    if (!base::is_utf8(body)) return 0;
    std::string open;
    append_open_packet(open, {body, size % 2 == 0, 25000, 20000, size});
    FUZZ_CHECK(open.front() == '0' && json::is_valid(std::string_view{open}.substr(1)));
    const auto sid = json::member(std::string_view{open}.substr(1), "sid");
    FUZZ_CHECK(sid && json::decode_string(*sid) == body);
    return 0;
}
