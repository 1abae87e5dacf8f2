// proto/proxy_head.h: heads of the PROXY protocol as HAProxy, nginx and AWS write them, and broken ones.
#include "proto/proxy_head.h"

#include <criterion/criterion.h>

#include <cstdio>
#include <string>

namespace {

using namespace sio::proto;
using namespace std::string_literals;
using State = ProxyHead::State;
using Family = ProxyHead::Family;

const std::string signature = "\r\n\r\n\0\r\nQUIT\n"s;

std::string big_endian(std::size_t number) { return {static_cast<char>(number >> 8U), static_cast<char>(number)}; }

std::string version_2(char command, char family, const std::string& rest) {
    return signature + command + family + big_endian(rest.size()) + rest;
}

std::string value(char type, const std::string& text) { return type + big_endian(text.size()) + text; }

const std::string ipv4 = "\xc0\x00\x02\x07\x0a\x00\x00\x05\xd4\x31\x01\xbb"s;  // 192.0.2.7:54321 to 10.0.0.5:443
const std::string ipv6 =
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\xd4\x31\x01\xbb"s;

std::string source(const ProxyHead& head) {
    std::string text;
    for (const unsigned char byte : head.source) {
        char hex[3];
        std::snprintf(hex, sizeof hex, "%02x", byte);
        text += hex;
    }
    return text;
}

/// The head is the whole of it however it is cut, and what comes behind it is left alone.
void expect_head(const std::string& bytes, Family family, const std::string& address) {
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
        const ProxyHead part = parse_proxy_head(std::string_view(bytes).substr(0, cut));
        cr_expect(part.state == State::more, "%zu bytes of %s", cut, bytes.c_str());
    }
    for (const char* behind : {"", "GET / HTTP/1.1\r\n\r\n", "PROXY "}) {
        const ProxyHead head = parse_proxy_head(bytes + behind);
        cr_assert(head.state == State::complete, "%s: %s", bytes.c_str(), std::string(head.reason).c_str());
        cr_expect(head.length == bytes.size() && head.family == family, "%s", bytes.c_str());
        if (family == Family::ip) cr_expect(source(head) == address, "%s is %s", bytes.c_str(), source(head).c_str());
    }
    cr_expect(begins_with_proxy_head(bytes));
}

const std::string v4 = "00000000000000000000ffffc0000207";
const std::string v6 = "20010db8000000000000000000000007";

}  // namespace

Test(proxy_head, version_1_names_the_client) {
    expect_head("PROXY TCP4 192.0.2.7 10.0.0.5 54321 443\r\n", Family::ip, v4);
    expect_head("PROXY TCP6 2001:db8::7 2001:db8::1 54321 443\r\n", Family::ip, v6);
    expect_head("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 0\r\n", Family::ip, v4);
    // The longest of each family that the document allows.
    expect_head("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", Family::ip,
                "00000000000000000000ffffffffffff");
    const std::string most = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    expect_head("PROXY TCP6 " + most + ' ' + most + " 65535 65535\r\n", Family::ip, std::string(32, 'f'));
}

Test(proxy_head, a_connection_of_the_proxys_own_names_nobody) {
    expect_head("PROXY UNKNOWN\r\n", Family::none, {});
    const std::string most = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    expect_head("PROXY UNKNOWN " + most + ' ' + most + " 65535 65535\r\n", Family::none, {});
    expect_head(version_2('\x20', '\0', {}), Family::none, {});
    expect_head(version_2('\x20', '\x11', ipv4), Family::none, {});
    expect_head(version_2('\x20', '\x7f', "whatever"), Family::none, {});
    expect_head(version_2('\x21', '\0', "whatever"), Family::none, {});
    expect_head("PROXY TCP6 :: ::1 1 1\r\n", Family::none, {});
}

Test(proxy_head, version_2_names_the_client_and_its_values_are_passed_over) {
    expect_head(version_2('\x21', '\x11', ipv4), Family::ip, v4);
    expect_head(version_2('\x21', '\x12', ipv4), Family::ip, v4);
    expect_head(version_2('\x21', '\x21', ipv6), Family::ip, v6);
    expect_head(version_2('\x21', '\x31', std::string(216, 's')), Family::unix_socket, {});
    // An end point of a VPC, as AWS names it, and padding; the name of a server and TLS, as HAProxy writes them.
    const std::string of_aws = value('\xea', "\x01vpce-08d2bf15fac5001c9"s) + value('\x04', std::string(40, '\0'));
    expect_head(version_2('\x21', '\x11', ipv4 + of_aws), Family::ip, v4);
    const std::string of_haproxy =
        value('\x02', "sio.example") + value('\x20', "\x01\0\0\0\0"s + value('\x21', "TLSv1.3"));
    expect_head(version_2('\x21', '\x21', ipv6 + of_haproxy), Family::ip, v6);
    // The longest.
    const std::string padded = ipv4 + value('\x04', std::string(max_proxy_head - 16 - 12 - 3, 'x'));
    expect_head(version_2('\x21', '\x11', padded), Family::ip, v4);
}

Test(proxy_head, a_checksum_is_compared) {
    // The value of "the CRC32C of this head" was computed with another implementation.
    const std::string head = version_2('\x21', '\x11', ipv4 + value('\x03', "\x91\x54\xf0\x4b"s));
    expect_head(head, Family::ip, v4);
    for (std::size_t at = 16; at < head.size(); ++at) {
        if (at == 28) continue;  // the type: another value then
        std::string other = head;
        other[at] = static_cast<char>(other[at] ^ 1);
        cr_expect(parse_proxy_head(other).state == State::malformed, "byte %zu", at);
    }
}

Test(proxy_head, what_does_not_begin_as_a_head_is_told_from_a_broken_one) {
    for (const std::string& bytes : {"GET / HTTP/1.1\r\n"s, "P\r\n"s, "PROXY\r\n"s, "proxy TCP4"s, "\r\n\r\nGET"s,
                                     "\n"s, "\x16\x03\x01"s, "PRI * HTTP/2.0"s}) {
        cr_expect(parse_proxy_head(bytes).state == State::missing, "%s", bytes.c_str());
        cr_expect(!begins_with_proxy_head(bytes));
    }
    cr_expect(parse_proxy_head({}).state == State::more);
}

Test(proxy_head, broken_heads_are_refused_and_never_waited_for_beyond_their_bound) {
    for (const char* line :
         {"PROXY ", "PROXY TCP4", "PROXY TCP4 192.0.2.7 10.0.0.5 1", "PROXY TCP4 192.0.2.7 10.0.0.5 1 2 3",
          "PROXY TCP4  192.0.2.7 10.0.0.5 1 2", "PROXY TCP4 192.0.2.256 10.0.0.5 1 2", "PROXY TCP4 2001:db8::7 ::1 1 2",
          "PROXY TCP6 192.0.2.7 10.0.0.5 1 2", "PROXY TCP4 192.0.2.7 10.0.0.5 1 65536",
          "PROXY TCP4 192.0.2.7 10.0.0.5 -1 2", "PROXY UDP4 192.0.2.7 10.0.0.5 1 2",
          "PROXY TCP4 192.0.2.7 10.0.0.5 1 2 ", "PROXY TCP4 example.org 10.0.0.5 1 2",
          "PROXY TCP4\t192.0.2.7 10.0.0.5 1 2", "PROXY UNKNOWNX"}) {
        cr_expect(parse_proxy_head(line + "\r\n"s).state == State::malformed, "%s", line);
    }
    cr_expect(parse_proxy_head("PROXY TCP4 192.0.2.7 10.0.0.5 1 2\n"s + std::string(200, 'x')).state ==
              State::malformed);
    cr_expect(parse_proxy_head("PROXY UNKNOWN " + std::string(91, 'x')).state == State::more);
    cr_expect(parse_proxy_head("PROXY UNKNOWN " + std::string(93, 'x')).state == State::malformed);

    for (const std::string& head :
         {version_2('\x11', '\x11', ipv4), version_2('\x22', '\x11', ipv4), version_2('\x21', '\x13', ipv4),
          version_2('\x21', '\x41', ipv4), version_2('\x21', '\x10', ipv4), version_2('\x21', '\x11', ipv4.substr(1)),
          version_2('\x21', '\x21', ipv4), version_2('\x21', '\x31', std::string(215, 's')),
          version_2('\x21', '\x11', ipv4 + "\xea"), version_2('\x21', '\x11', ipv4 + "\xea\x01\x00"s + "short"),
          version_2('\x21', '\x11', ipv4 + value('\x03', "123")),
          version_2('\x21', '\x11', std::string(max_proxy_head - 15, 'x')).substr(0, 16)}) {
        cr_expect(parse_proxy_head(head).state == State::malformed, "command %02x, family %02x, %zu bytes", head[12],
                  head[13], head.size());
    }
}
