// gateway/hop.h: what proves that a gateway passes a request on, and how a head is changed for it.
#include "gateway/hop.h"

#include <criterion/criterion.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

namespace {

using namespace sio;
using namespace sio::gateway;

constexpr Millis now = 1'700'000'000'000;
constexpr std::string_view target = "/socket.io/?EIO=4&transport=polling&sid=AbCd0123456789abcdef";

const HopSecret& secret() {
    static const HopSecret one("a secret of sixteen bytes or more");
    return one;
}

/// A parsed head with the field as its only one of that name.
struct Request {
    explicit Request(std::string_view value, std::string_view method = "GET", std::string_view to = target)
        : text(with_hop_field(std::string(method) + " " + std::string(to) + " HTTP/1.1\r\nHost: a\r\n\r\n", value)) {
        cr_assert(!proto::parse_http_head(text, head).has_value());
    }
    std::string text;
    proto::HttpHead head;
};

std::string good(Millis at = now, std::uint64_t number = 31) {
    return secret().sign("GET", target, net::Address::from("10.1.2.3"), at, number);
}

Test(hop, the_proof_is_the_hmac_of_method_target_address_time_and_number) {
    cr_expect(
        good() ==
        "2 10.1.2.3 1700000000000 000000000000001f 5339c34df2bc18c40d951fa042587c4aae3649d9f6bb10271acaf3616258f743");
    cr_expect(secret().sign("POST", "/socket.io/", net::Address::from("2001:db8::1"), now, 0xfedcba9876543210) ==
              "2 2001:db8::1 1700000000000 fedcba9876543210 "
              "fbe95e9824024f9acf947a5552e36fcccd0f344adbbd9c02e9d48b3ad51ed4f5");
}

Test(hop, a_true_proof_gives_the_address_of_the_client) {
    for (const char* text : {"10.1.2.3", "2001:db8::1", ""}) {
        const auto address = net::Address::from(text);
        const Request request(secret().sign("GET", target, address, now, 7));
        const auto proof = secret().verify(request.head, now);
        cr_assert(proof.has_value(), "'%s'", text);
        cr_expect(proof->client == address && proof->time == now && proof->number == 7);
    }
}

Test(hop, a_proof_is_good_for_thirty_seconds_either_way) {
    for (const Millis skew : {Millis{0}, HopSecret::max_skew, -HopSecret::max_skew}) {
        cr_expect(secret().verify(Request(good(now + skew)).head, now).has_value());
    }
    for (const Millis skew : {HopSecret::max_skew + 1, -HopSecret::max_skew - 1, -now, Millis{1} << 60U}) {
        cr_expect(!secret().verify(Request(good(now + skew)).head, now).has_value());
    }
}

Test(hop, a_proof_for_something_else_or_under_another_secret_is_none) {
    cr_expect(!secret().verify(Request(good(), "POST").head, now).has_value());
    cr_expect(!secret().verify(Request(good(), "GET", "/socket.io/?sid=other").head, now).has_value());
    const HopSecret other("another secret of sixteen bytes");
    cr_expect(!secret().verify(Request(other.sign("GET", target, {}, now, 1)).head, now).has_value());
}

Test(hop, every_byte_of_the_field_counts) {
    const std::string value = good();
    for (std::size_t at = 0; at < value.size(); ++at) {
        std::string changed = value;
        changed[at] = changed[at] == '1' ? '2' : '1';
        cr_expect(!secret().verify(Request(changed).head, now).has_value(), "byte %zu", at);
        cr_expect(!secret().verify(Request(value.substr(0, at)).head, now).has_value(), "cut at %zu", at);
    }
    cr_expect(!secret().verify(Request(value + "0").head, now).has_value());
    std::string upper = value;
    for (char& c : upper) c = c >= 'a' && c <= 'f' ? static_cast<char>(c - 32) : c;
    cr_expect(!secret().verify(Request(upper).head, now).has_value());
}

Test(hop, a_head_without_the_field_or_with_two_proves_nothing) {
    proto::HttpHead head;
    const std::string none = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    cr_assert(!proto::parse_http_head(none, head).has_value());
    cr_expect(!secret().verify(head, now).has_value());
    const std::string twice = "GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\nSio-Hop: " + good() +
                              "\r\nsio-hop: " + good() + "\r\n\r\n";
    cr_assert(!proto::parse_http_head(twice, head).has_value());
    cr_expect(!secret().verify(head, now).has_value());
}

Test(hop, a_number_is_taken_once_for_as_long_as_its_proof_is_good) {
    HopNumbers numbers;
    Millis at = now;
    cr_expect(numbers.take(5, now + HopSecret::max_skew, at), "signed by a clock that is ahead");
    for (; at <= now + 2 * HopSecret::max_skew; at += 1'000) {
        cr_expect(!numbers.take(5, now + HopSecret::max_skew, at), "again after %lld ms",
                  static_cast<long long>(at - now));
        cr_expect(numbers.take(static_cast<std::uint64_t>(at), at, at), "another");
    }
    cr_expect(numbers.take(0, at, at) && !numbers.take(0, at, at), "0 is a number, too");
}

Test(hop, numbers_take_a_bounded_amount_of_memory_and_stay_unrepeatable) {
    HopNumbers numbers(4'096);
    std::size_t most = 0;
    for (std::uint64_t i = 1; i <= 100'000; ++i) {
        const Millis at = now + static_cast<Millis>(i / 50);
        cr_assert(numbers.take(i * 0x9e3779b97f4a7c15U, at, at), "number %llu", static_cast<unsigned long long>(i));
        most = std::max(most, numbers.bytes());
        const std::uint64_t before = i / 2 + 1;  // remembered, or too old by now
        const Millis then = now + static_cast<Millis>(before / 50);
        cr_assert(!numbers.take(before * 0x9e3779b97f4a7c15U, then, at));
    }
    cr_expect(most <= 2 * 4'096 * 16, "%zu bytes", most);
    cr_expect(!numbers.take(1, now, now + 2'001), "signed as early as what was forgotten");
    HopNumbers quiet(4'096);
    for (std::uint64_t i = 1; i <= 100; ++i) {
        const Millis at = now + static_cast<Millis>(i) * 90'000;
        cr_expect(quiet.take(i, at - HopSecret::max_skew, at),
                  "what is forgotten with time refuses nothing that is good");
    }
}

Test(hop, the_field_is_added_in_the_place_of_those_the_client_sent) {
    cr_expect(with_hop_field("GET / HTTP/1.1\r\nHost: a\r\nSIO-HOP: lie\r\nA: b\r\nSio-Hop:\r\nSio-Hopper: c\r\n\r\n",
                             "v") == "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nSio-Hopper: c\r\nSio-Hop: v\r\n\r\n");
    cr_expect(with_hop_field("GET / HTTP/1.0\r\n\r\n", "v") == "GET / HTTP/1.0\r\nSio-Hop: v\r\n\r\n");
}

Test(hop, an_endpoint_is_an_address_and_a_port) {
    const auto v4 = HopEndpoint::parse("10.0.0.1:3100");
    cr_expect(v4 && v4->host == "10.0.0.1" && v4->port == 3100 && v4->to_string() == "10.0.0.1:3100");
    const auto v6 = HopEndpoint::parse("[fd00::1]:1");
    cr_expect(v6 && v6->host == "fd00::1" && v6->port == 1 && v6->to_string() == "[fd00::1]:1");
    for (const char* wrong : {"", ":", "10.0.0.1", "10.0.0.1:", "10.0.0.1:65536", "10.0.0.1:-1", "host:1", "fd00::1:1x",
                              "[fd00::1]", "[]:1", "[10.0.0.1]:1", ":1", "10.0.0.1 :1"}) {
        cr_expect(!HopEndpoint::parse(wrong).has_value(), "'%s'", wrong);
    }
}

Test(hop, a_secret_file_needs_sixteen_bytes_besides_its_line_feed) {
    const std::string path =
        (std::filesystem::temp_directory_path() / ("sio-hop-" + std::to_string(getpid()))).string();
    const auto with = [&](const std::string& text) {
        std::ofstream(path, std::ios::binary) << text;
        return HopSecret::read(path);
    };
    const auto one = with("0123456789abcdef\r\n");
    cr_assert(one.has_value());
    cr_expect(one->sign("GET", "/", {}, now, 1) == HopSecret("0123456789abcdef").sign("GET", "/", {}, now, 1));
    cr_expect(with("0123456789abcde\n").error().code == Errc::config);
    cr_expect(with(std::string(HopSecret::max_bytes, 'x')).has_value());
    cr_expect(!with(std::string(HopSecret::max_bytes + 1, 'x')).has_value());
    std::filesystem::remove(path);
    cr_expect(HopSecret::read(path).error().code == Errc::config);
}

}  // namespace
