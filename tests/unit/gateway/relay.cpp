// gateway/relay.h: the header in front of each client that is handed over.
#include "gateway/relay.h"

#include <criterion/criterion.h>

#include <string>

namespace {

using namespace sio;
using namespace sio::gateway;

Test(relay, a_header_is_read_as_it_was_written) {
    for (const std::size_t length : {std::size_t{0}, std::size_t{1}, std::size_t{70'000}, Relay::max_message}) {
        for (const char* address : {"127.0.0.1", "2001:db8::1", ""}) {
            const PeerKind kind = *address == '2' ? PeerKind::client : PeerKind::proxy_or_client;
            std::string header;
            append_relay_header(header, net::Address::from(address), kind, length);
            cr_assert(header.size() == Relay::header_bytes);
            const auto read = parse_relay_header(header, Relay::max_message);
            cr_assert(read.has_value());
            cr_expect(read->length == length && read->address == net::Address::from(address) && read->kind == kind);
        }
    }
}

Test(relay, a_length_above_the_limit_is_refused_before_anything_is_kept) {
    std::string header;
    append_relay_header(header, {}, PeerKind::proxy_or_client, Relay::max_message + 1);
    const auto read = parse_relay_header(header, Relay::max_message);
    cr_assert(!read.has_value() && read.error().code == Errc::too_large);
    header.replace(4, 8, 8, '\xFF');
    cr_expect(parse_relay_header(header, Relay::max_message).error().code == Errc::too_large);
}

Test(relay, another_version_and_a_header_cut_short_are_refused) {
    std::string header;
    append_relay_header(header, {}, PeerKind::client, 5);
    for (std::size_t at = 0; at < 4; ++at) {
        std::string other = header;
        other[at] = static_cast<char>(other[at] + 1);
        const auto read = parse_relay_header(other, 100);
        cr_expect(!read.has_value() && read.error().code == Errc::malformed, "byte %zu", at);
    }
    for (std::size_t length = 0; length < header.size(); ++length) {
        cr_expect(!parse_relay_header(std::string_view(header).substr(0, length), 100).has_value());
    }
    cr_expect(!parse_relay_header(header + 'x', 100).has_value());
}

}  // namespace
