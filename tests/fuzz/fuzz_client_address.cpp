// Whatever stands in X-Forwarded-For and Forwarded: a stranger is who he is, what a proxy adds at the end decides, and
// an address that is found stands in the header.
//
// The input is the value of both headers.
#include <memory>
#include <string>

#include "check.h"
#include "gateway/client_address.h"

namespace {

using namespace sio;
using namespace sio::gateway;

net::Address at(std::string_view text) { return net::Address::from(text); }

net::Address client(const std::string& lines, const net::Address& peer, const TrustedProxies& proxies) {
    const std::string text = "GET / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n";
    const auto head = std::make_unique<proto::HttpHead>();
    FUZZ_CHECK(!proto::parse_http_head(text, *head));
    return client_address(*head, peer, proxies);
}

/// Whether the bytes can stand in a header; else they are no input here.
bool can_stand(std::string_view value) {
    for (const char c : value) {
        if (static_cast<unsigned char>(c) < 0x20 && c != '\t') return false;
        if (c == 0x7f) return false;
    }
    return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const TrustedProxies one = *parse_trusted_proxies("10.0.0.0/8,unix");
    static const TrustedProxies near = *parse_trusted_proxies("on");
    static const TrustedProxies none = *parse_trusted_proxies("off");
    if (size > 4096) return 0;
    const std::string value(fuzz::as_text(data, size));
    if (!can_stand(value)) return 0;
    const net::Address proxy = at("10.0.0.1");
    const net::Address stranger = at("192.0.2.66");
    const net::Address given = at("192.0.2.7");
    for (const std::string name : {"X-Forwarded-For: ", "Forwarded: "}) {
        const std::string line = name + value + "\r\n";
        FUZZ_CHECK(client(line, stranger, one) == stranger);
        FUZZ_CHECK(client(line, proxy, none) == proxy);
        const net::Address found = client(line, proxy, one);
        if (found != proxy) FUZZ_CHECK(value.find_first_of("0123456789abcdefABCDEF:") != std::string::npos);
        static_cast<void>(client(line, net::Address{}, one));
        static_cast<void>(client(line, proxy, near));

        // What the proxy adds, on the same line or on one of its own.
        const std::string added = name.front() == 'X' ? "192.0.2.7" : "proto=https;for=\"192.0.2.7:4711\"";
        for (const TrustedProxies* proxies : {&one, &near}) {
            FUZZ_CHECK(client(line + name + added + "\r\n", proxy, *proxies) == given);
            if (value.find('"') == std::string::npos) {
                FUZZ_CHECK(client(name + value + ", " + added + "\r\n", proxy, *proxies) == given);
            }
        }
    }
    static_cast<void>(parse_forwarded_address(value));
    static_cast<void>(parse_trusted_proxies(value));
    return 0;
}
