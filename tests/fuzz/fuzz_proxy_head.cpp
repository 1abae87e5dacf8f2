// A head of the PROXY protocol is the same however it is cut, never waited for beyond its bound, and what the parser
// takes for a head begins as one does.
#include "check.h"
#include "proto/proxy_head.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace sio;
    using State = proto::ProxyHead::State;
    if (size > 8192) return 0;
    const std::string_view bytes = fuzz::as_text(data, size);
    const proto::ProxyHead whole = proto::parse_proxy_head(bytes);
    FUZZ_CHECK(whole.state != State::more || size < proto::max_proxy_head);
    FUZZ_CHECK((whole.state == State::malformed) == !whole.reason.empty());
    FUZZ_CHECK(whole.state == State::complete || whole.length == 0);
    if (whole.state == State::complete) {
        FUZZ_CHECK(proto::begins_with_proxy_head(bytes));
        FUZZ_CHECK(whole.length <= size && whole.length <= proto::max_proxy_head);
        const proto::ProxyHead alone = proto::parse_proxy_head(bytes.substr(0, whole.length));
        FUZZ_CHECK(alone.state == State::complete && alone.length == whole.length);
        FUZZ_CHECK(alone.family == whole.family && alone.source == whole.source);
    }
    fuzz::each_cut(size, [&](std::size_t cut) {
        const State part = proto::parse_proxy_head(bytes.substr(0, cut)).state;
        if (whole.state == State::complete) FUZZ_CHECK(part == (cut < whole.length ? State::more : State::complete));
        if (whole.state == State::more) FUZZ_CHECK(part == State::more);
        if (part == State::missing) FUZZ_CHECK(whole.state == State::missing);
    });
    return 0;
}
