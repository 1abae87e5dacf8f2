// gateway/client_address.h: who a client is when proxies say it, and whose word counts.
#include "gateway/client_address.h"

#include <criterion/criterion.h>

#include <string>

namespace {

using namespace sio;
using namespace sio::gateway;
using net::Address;

Address at(std::string_view text) { return Address::from(text); }

/// The client of a request with these header lines, which came from `peer`.
std::string client(std::string_view trusted, std::string_view lines, std::string_view peer = "10.0.0.1") {
    const std::string text = "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(lines) + "\r\n";
    proto::HttpHead head;
    cr_assert(!proto::parse_http_head(text, head));
    const auto proxies = parse_trusted_proxies(trusted);
    cr_assert(proxies.has_value(), "%s", proxies.error().what.c_str());
    return client_address(head, at(peer), *proxies).to_string();
}

Test(client_address, the_last_element_of_the_last_line_counts) {
    cr_expect(client("10.0.0.1", "X-Forwarded-For: 198.51.100.1\r\n") == "198.51.100.1");
    cr_expect(client("10.0.0.1", "X-Forwarded-For: 203.0.113.9, 198.51.100.2\r\n") == "198.51.100.2");
    cr_expect(client("on", "x-forwarded-for: 203.0.113.9\r\nA: b\r\nX-FORWARDED-FOR: 1.1.1.1 ,198.51.100.3\r\n") ==
              "198.51.100.3");
}

Test(client_address, nobody_else_is_believed) {
    cr_expect(client("off", "X-Forwarded-For: 198.51.100.1\r\n") == "10.0.0.1");
    cr_expect(client("10.0.0.2, 192.0.2.0/24", "X-Forwarded-For: 198.51.100.1\r\n") == "10.0.0.1");
    cr_expect(client("on", "X-Forwarded-For: 198.51.100.1\r\n", "203.0.113.7") == "203.0.113.7");
    cr_expect(client("10.0.0.0/8", "A: b\r\n") == "10.0.0.1");
}

Test(client_address, a_port_brackets_quotes_and_zones_are_read_off) {
    cr_expect(client("on", "X-Forwarded-For: 198.51.100.1:4711\r\n") == "198.51.100.1");
    cr_expect(client("on", "X-Forwarded-For: [2001:db8::7]:443\r\n") == "2001:db8::7");
    cr_expect(client("on", "X-Forwarded-For: [2001:db8::7]\r\n") == "2001:db8::7");
    cr_expect(client("on", "X-Forwarded-For: 2001:db8::8\r\n") == "2001:db8::8");
    cr_expect(client("on", "X-Forwarded-For: \"198.51.100.4\"\r\n") == "198.51.100.4");
    cr_expect(client("on", "X-Forwarded-For: fe80::1%eth0\r\n") == "fe80::1");
}

Test(client_address, what_cannot_be_read_is_taken_for_whoever_passed_it_on) {
    for (const std::string_view element : {"unknown", "", "_hidden", "1.2.3", "1.2.3.4.5", "[2001:db8::7", "[::1]x",
                                           "localhost", "unix", "::", "-", "198.51.100.1 198.51.100.2"}) {
        cr_expect(client("on", "X-Forwarded-For: 203.0.113.9, " + std::string(element) + "\r\n") == "10.0.0.1", "%s",
                  std::string(element).c_str());
    }
}

Test(client_address, a_quote_that_is_never_closed_hides_nothing_of_what_the_proxy_adds) {
    for (const std::string_view forged : {"6.6.6.6:\"", "[6.6.6.6]:\"", "6.6.6.6%%\"", "\"", "\\\"", "for=\"6.6.6.6"}) {
        cr_expect(client("on", "X-Forwarded-For: " + std::string(forged) + ", 203.0.113.7\r\n") == "203.0.113.7", "%s",
                  std::string(forged).c_str());
    }
    cr_expect(client("on", "Forwarded: for=6.6.6.6;x=\", for=203.0.113.7\r\n") == "203.0.113.7");
    cr_expect(client("on", "X-Forwarded-For: 203.0.113.7:x\r\n") == "10.0.0.1");
}

Test(client_address, several_listed_proxies_in_a_row_are_passed_over) {
    constexpr std::string_view listed = "10.0.0.0/8,2001:db8:1::/48";
    cr_expect(client(listed, "X-Forwarded-For: 6.6.6.6, 198.51.100.5, 10.0.0.7, 10.9.9.9\r\n") == "198.51.100.5");
    cr_expect(client(listed, "X-Forwarded-For: 198.51.100.5\r\nX-Forwarded-For: 2001:db8:1::5\r\n") == "198.51.100.5");
    cr_expect(client(listed, "X-Forwarded-For: junk, 10.0.0.7\r\n") == "10.0.0.7");
    cr_expect(client(listed, "X-Forwarded-For: 10.0.0.8, 10.0.0.7\r\n") == "10.0.0.8");
    // Where proxies are not listed one by one, a private client is not taken for one.
    cr_expect(client("on", "X-Forwarded-For: 6.6.6.6, 192.168.3.4\r\n") == "192.168.3.4");
    std::string many = "X-Forwarded-For: 198.51.100.5";
    for (int i = 0; i < 900; ++i) many += ",10.0.0.7";
    cr_expect(client(listed, many + "\r\n") == "10.0.0.7", "the walk is bounded");
}

Test(client_address, forwarded_is_read_when_there_is_no_other_list) {
    cr_expect(client("on", "Forwarded: for=192.0.2.43, for=198.51.100.17;by=203.0.113.60;proto=https\r\n") ==
              "198.51.100.17");
    cr_expect(client("on", "Forwarded: proto=https;For=\"[2001:db8:cafe::17]:4711\"\r\n") == "2001:db8:cafe::17");
    cr_expect(client("on", "Forwarded: for=\"198.51.100.9:80\";host=\"a,b;for=6.6.6.6\"\r\n") == "198.51.100.9");
    cr_expect(client("on", "Forwarded: for=_mdn\r\n") == "10.0.0.1");
    cr_expect(client("on", "Forwarded: for=192.0.2.1, by=10.0.0.1\r\n") == "10.0.0.1");
    cr_expect(client("on", "Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 198.51.100.1\r\n") == "198.51.100.1");
}

Test(client_address, a_unix_socket_is_believed_when_it_is_listed) {
    cr_expect(client("unix", "X-Forwarded-For: 198.51.100.1\r\n", "nobody") == "198.51.100.1");
    cr_expect(client("10.0.0.1", "X-Forwarded-For: 198.51.100.1\r\n", "nobody") == "unix");
}

Test(client_address, networks_end_where_their_length_says) {
    const auto proxies = *parse_trusted_proxies("172.16.0.0/12,2001:db8::/33,192.0.2.7,0.0.0.0/0");
    cr_expect(proxies.contains(at("172.31.255.255")) && proxies.contains(at("2001:db8:7fff::1")));
    cr_expect(!proxies.contains(at("2001:db8:8000::1")) && proxies.contains(at("8.8.8.8")));
    const auto one = *parse_trusted_proxies("172.16.0.0/12,192.0.2.7/32");
    cr_expect(!one.contains(at("172.32.0.0")) && one.contains(at("192.0.2.7")) && !one.contains(at("192.0.2.6")));
    cr_expect(!one.contains(Address{}) && !one.contains(at("::1")));
}

Test(client_address, a_list_that_is_wrong_is_refused_with_the_part_that_is) {
    for (const auto& [text, part] : {std::pair{"10.0.0.0/8, proxy.internal", "'proxy.internal'"},
                                     {"10.0.0.0/33", "/33"},
                                     {"2001:db8::/129", "/129"},
                                     {"10.0.0.1/", "10.0.0.1/"},
                                     {"10.0.0.0/-1", "/-1"}}) {
        const auto parsed = parse_trusted_proxies(text);
        cr_assert(!parsed.has_value(), "%s", text);
        cr_expect(parsed.error().what.find(part) != std::string::npos, "%s", parsed.error().what.c_str());
    }
}

}  // namespace
