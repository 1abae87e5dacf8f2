// What a parser costs, in steps and not in seconds: an input twice as long takes at most about twice as many.
//
// The parsers' own sources are compiled into this program with -fsanitize-coverage=trace-pc, so that each basic block
// calls the hook below; the products are not. A search that the C library does for them counts the bytes it looked at,
// since the linker sends memchr and memcmp here (--wrap).
#include <criterion/criterion.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/base64url.h"
#include "auth/cookies.h"
#include "auth/verifier.h"
#include "authd/rights.h"
#include "base/bytes.h"
#include "base/json.h"
#include "cluster/msgpack.h"
#include "gateway/client_address.h"
#include "proto/eio_packet.h"
#include "proto/http_head.h"
#include "proto/proxy_head.h"
#include "proto/sio_packet.h"
#include "proto/ws_frame.h"
#include "redis/resp.h"
#include "routes/context.h"
#include "routes/template.h"

namespace {
std::uint64_t steps = 0;
}

extern "C" {
void __sanitizer_cov_trace_pc() { ++steps; }
void* __real_memchr(const void* data, int byte, std::size_t size);
int __real_memcmp(const void* one, const void* other, std::size_t size);

void* __wrap_memchr(const void* data, int byte, std::size_t size) {
    void* found = __real_memchr(data, byte, size);
    steps += found == nullptr
                 ? size
                 : static_cast<std::size_t>(static_cast<const char*>(found) - static_cast<const char*>(data)) + 1;
    return found;
}

int __wrap_memcmp(const void* one, const void* other, std::size_t size) {
    steps += size;
    return __real_memcmp(one, other, size);
}
}

using namespace sio;

namespace {

using Make = std::function<std::string(std::size_t)>;
using Parse = std::function<void(std::string_view)>;

std::string repeat(std::string_view unit, std::size_t times) {
    std::string out;
    out.reserve(unit.size() * times);
    for (std::size_t i = 0; i < times; ++i) out += unit;
    return out;
}

std::uint64_t steps_of(const Parse& parse, const std::string& input) {
    steps = 0;
    parse(input);
    return steps;
}

/// The input of `size` is made twice as long, twice; neither time may the steps grow by more than half above that.
void expect_linear(const char* what, std::size_t size, const Make& make, const Parse& parse) {
    std::string input = make(size);
    std::uint64_t before = steps_of(parse, input);
    cr_expect(before > 0, "%s: nothing was counted", what);
    for (int round = 0; round < 2; ++round) {
        size *= 2;
        const std::string longer = make(size);
        const std::uint64_t after = steps_of(parse, longer);
        const double growth = static_cast<double>(longer.size()) / static_cast<double>(input.size());
        cr_expect(static_cast<double>(after) <= 1.5 * growth * static_cast<double>(before),
                  "%s: %zu bytes take %llu steps, %zu bytes %llu", what, input.size(),
                  static_cast<unsigned long long>(before), longer.size(), static_cast<unsigned long long>(after));
        before = after;
        input = longer;
    }
}

void parse_json(std::string_view text) {
    static_cast<void>(json::is_valid(text));
    for (json::Walker walk{text}; walk.next();) static_cast<void>(walk.value());
    static_cast<void>(json::element(text, SIZE_MAX));
    if (text.starts_with('{')) static_cast<void>(json::member(text, "absent"));
}

void find(std::string_view text) { static_cast<void>(proto::find_placeholders(text, proto::max_attachments)); }

}  // namespace

Test(steps, placeholders) {
    // Keys that lie in each other, and a long value behind them.
    for (const char* key : {R"({"num":)", R"({"num" : )", R"({"_placeholder":true,"num":)", R"({"n\u0075m":)"}) {
        for (const char* tail : {"x", "1", "[0]", "\\\\"}) {
            expect_linear(
                key, 500,
                [=](std::size_t n) {
                    const std::string value = '"' + repeat(std::string_view{tail} == "1" ? "2" : tail, 40 * n) + '"';
                    return "[\"ask\"," + repeat(key, n) + value + repeat("}", n) + ']';
                },
                find);
        }
    }
    expect_linear(
        "siblings", 500, [](std::size_t n) { return "[\"ask\",[" + repeat(R"({"num":"1"},)", n) + "0]]"; }, find);
    expect_linear(
        "one object of many", 500,
        [](std::size_t n) { return "[\"ask\",{" + repeat(R"("num":[],)", n) + R"("num":1}])"; }, find);
    expect_linear(
        "digits", 500, [](std::size_t n) { return R"(["ask",{"_placeholder":true,"num":)" + repeat("7", n) + "}]"; },
        find);
    expect_linear(
        "slashes", 500, [](std::size_t n) { return "[\"" + repeat(R"(\\\")", n) + "\"]"; }, find);
}

Test(steps, json) {
    expect_linear(
        "array", 1000, [](std::size_t n) { return "[" + repeat("1,", n) + "1]"; }, parse_json);
    expect_linear(
        "arrays in arrays", 1000, [](std::size_t n) { return "[" + repeat("[[],{}],", n) + "1]"; }, parse_json);
    expect_linear(
        "object", 1000, [](std::size_t n) { return "{" + repeat(R"("a":{"b":"c"},)", n) + R"("z":1})"; }, parse_json);
    expect_linear(
        "escapes", 1000, [](std::size_t n) { return "[\"" + repeat(R"(\\\"\u00e9)", n) + "\"]"; }, parse_json);
    expect_linear(
        "not closed", 1000, [](std::size_t n) { return repeat(R"({"a":)", n); }, parse_json);
    expect_linear(
        "decoded", 1000, [](std::size_t n) { return '"' + repeat(R"(\ud83d\ude00\ud83d)", n) + '"'; },
        [](std::string_view text) { static_cast<void>(json::decode_string(text)); });
}

Test(steps, packets) {
    const Parse decode = [](std::string_view text) {
        proto::SioDecoder decoder{text.size()};
        static_cast<void>(decoder.text(text));
    };
    expect_linear(
        "event", 1000, [](std::size_t n) { return R"(2["ask",)" + repeat("{},", n) + "0]"; }, decode);
    expect_linear(
        "namespace", 1000, [](std::size_t n) { return "2/" + repeat("a", n) + ",[\"ask\"]"; }, decode);
    expect_linear(
        "binary event", 1000,
        [](std::size_t n) {
            return R"(51-["ask",)" + repeat(R"({"num":"0"},)", n) + R"({"_placeholder":true,"num":0}])";
        },
        decode);
    expect_linear(
        "payload", 1000, [](std::size_t n) { return repeat("2\x1e", n) + "2"; },
        [](std::string_view text) {
            for (proto::EioPayload payload{text}; const auto frame = payload.next();) {
                static_cast<void>(proto::decode_eio(*frame));
            }
        });
}

Test(steps, http) {
    const Parse parse = [](std::string_view text) {
        proto::HttpHead head;
        if (proto::find_http_head(text) == text.size()) static_cast<void>(proto::parse_http_head(text, head));
    };
    expect_linear(
        "target", 1000, [](std::size_t n) { return "GET /" + repeat("a", n) + " HTTP/1.1\r\nHost: a\r\n\r\n"; }, parse);
    expect_linear(
        "blanks", 1000,
        [](std::size_t n) { return "GET / HTTP/1.1\r\nHost: a\r\nX: a" + repeat(" ", n) + "b\r\n\r\n"; }, parse);
    expect_linear(
        "list", 1000,
        [](std::size_t n) { return "GET / HTTP/1.1\r\nHost: a\r\nConnection: " + repeat("a,", n) + "upgrade\r\n\r\n"; },
        parse);
    expect_linear(
        "query", 1000, [](std::size_t n) { return repeat("a=%41&", n) + "sid=" + repeat("%42", n); },
        [](std::string_view text) { static_cast<void>(proto::query_parameter(text, "sid")); });
    expect_linear(
        "chunks", 1000, [](std::size_t n) { return repeat("1;x\r\na\r\n", n) + "0\r\n\r\n"; },
        [](std::string_view text) {
            proto::ChunkedDecoder decoder;
            std::string body;
            static_cast<void>(decoder.feed(text, body, text.size()));
        });
}

Test(steps, lists_in_headers) {
    const auto lists = [](std::string_view text) {
        static constexpr std::array<std::string_view, 2> types = {"application/json", "text/plain"};
        static constexpr std::array<std::string_view, 3> codings = {"gzip", "br", "deflate"};
        static_cast<void>(proto::choose_media_type(text, types));
        static_cast<void>(proto::choose_encoding(text, codings.data(), codings.size()));
        static_cast<void>(proto::first_websocket_protocol(text));
    };
    for (const char* unit :
         {"text/plain;q=0.5,", "*/*;", ";;;", "a;\"", ",,", "text/plain ;q=0.1;q=0.2 , ", "\"\\\""}) {
        expect_linear(
            unit, 500, [=](std::size_t n) { return repeat(unit, n); }, lists);
    }
}

Test(steps, one_header_in_many_lines) {
    const auto lines = [](std::size_t n) {
        return "GET / HTTP/1.1\r\nHost: a\r\n" + repeat("X-A: \xe9\r\n", n) + "\r\n";
    };
    expect_linear("lines", 20, lines, [](std::string_view text) {
        proto::HttpHead head;
        cr_assert(!proto::parse_http_head(text, head));
        static_cast<void>(proto::header_text(head, "x-a"));
    });
    expect_linear(
        "query that is no UTF-8", 1000, [](std::size_t n) { return "a=" + repeat("%ed%a0%80%f0%9f", n); },
        [](std::string_view text) { static_cast<void>(proto::query_parameter(text, "a")); });
}

Test(steps, whose_request_it_is) {
    const auto proxies = *gateway::parse_trusted_proxies("127.0.0.0/8,10.0.0.0/8");
    const net::Address peer = net::Address::from(std::string_view("127.0.0.1"));
    for (const char* name : {"X-Forwarded-For", "Forwarded"}) {
        for (const char* unit :
             {"10.0.0.1, ", "for=10.0.0.1, ", ";", "a=b;", "for=10.0.0.1;", "for=\"", "\"\\\"", ",", "\";", "for="}) {
            expect_linear(
                unit, 250,
                [=](std::size_t n) {
                    return std::string("GET / HTTP/1.1\r\nHost: a\r\n") + name + ": " + repeat(unit, n) + "\r\n\r\n";
                },
                [&](std::string_view text) {
                    proto::HttpHead head;
                    cr_assert(!proto::parse_http_head(text, head));
                    static_cast<void>(gateway::client_address(head, peer, proxies));
                });
        }
    }
}

Test(steps, cookies) {
    const std::vector<std::string> names(std::begin(auth::default_cookie_names), std::end(auth::default_cookie_names));
    const Parse parse = [&](std::string_view text) { static_cast<void>(auth::session_cookies(text, names)); };
    for (const char* unit :
         {"a=b; ", ";", "=", "authjs.session-token=x; ", "authjs.session-token.1=x; ", "authjs.session-token.99=x; ",
          "authjs.session-token=%41\"; ", "next-auth.session-token; ", "%"}) {
        expect_linear(
            unit, 500, [=](std::size_t n) { return repeat(unit, n); }, parse);
        expect_linear(
            unit, 500, [=](std::size_t n) { return "authjs.session-token=" + repeat(unit, n) + "; a"; }, parse);
    }
    expect_linear(
        "different values", 100,
        [](std::size_t n) {
            std::string out;
            for (std::size_t i = 0; i < n; ++i) out += "authjs.session-token=" + std::to_string(1'000'000 + i) + "; ";
            return out;
        },
        parse);
}

Test(steps, tokens) {
    auth::Policy policy;
    policy.secrets = {"a secret of a test"};
    policy.jwt_secrets = {"a secret of tokens that has thirty-two bytes"};
    auto verifier = auth::Verifier::create(policy);
    cr_assert(verifier.has_value());
    const Parse check = [&](std::string_view token) { static_cast<void>(verifier->check(token, 1'767'312'000)); };
    for (const char* unit : {".", "a", "a.", "eyJhbGciOiJkaXIifQ", "..a", "_-", "=", "%"}) {
        expect_linear(
            unit, 100, [=](std::size_t n) { return repeat(unit, n); }, check);
        expect_linear(
            unit, 100, [=](std::size_t n) { return "eyJhbGciOiJIUzI1NiJ9." + repeat(unit, n) + ".AAAA"; }, check);
    }
    // Headers of a JWE and of a JWT: a long kid, names in thousands, arrays in arrays.
    for (const char* unit : {"a", "\\u0041", "\",\"x\":\"", "\\\\"}) {
        for (const char* algorithm : {"dir", "HS256", "RS256"}) {
            expect_linear(
                unit, 100,
                [=](std::size_t n) {
                    const std::string header = std::string(R"({"enc":"A256CBC-HS512","alg":")") + algorithm +
                                               R"(","kid":")" + repeat(unit, n) + "\"}";
                    return auth::base64url(header) + (*algorithm == 'd' ? "..AAAA.AAAA.AAAA" : ".AAAA.AAAA");
                },
                check);
        }
    }
    expect_linear(
        "arrays", 500,
        [](std::size_t n) { return auth::base64url(R"({"alg":"HS256","crit":)" + repeat("[", n)) + ".AAAA.AAAA"; },
        check);
}

Test(steps, names_against_patterns) {
    for (const char* pattern : {"*a*b", "**********b", "*aaaaaaab*c", "a*a*a*a*a*"}) {
        expect_linear(
            pattern, 500, [](std::size_t n) { return repeat("a", n); },
            [=](std::string_view text) { static_cast<void>(base::matches_glob(pattern, text, "/")); });
    }
    for (const char* pattern : {"*x{a}:y", "*a{a}:{b}:{c}:y", "*{a}", "a{a}a{b}a*a{c}b", "*ab*a{a}c"}) {
        const auto compiled = authd::RoomPattern::compile(pattern);
        if (!compiled) continue;
        for (const char* unit : {"a", "x", "a:", "x:"}) {
            expect_linear(
                pattern, 250, [=](std::size_t n) { return repeat(unit, n); },
                [&](std::string_view text) { static_cast<void>(compiled->match(text)); });
        }
    }
}

Test(steps, templates) {
    const auto template_of = [](std::string_view json) { return *routes::compile_value(json); };
    const routes::Template whole =
        template_of(R"({"all": "{event.args}", "one": "{event.0.a.b}", "text": "x {event.1} y"})");
    for (const char* unit : {R"({"a":{"b":[]}},)", R"("\\\"\u00e9",)", R"([],)", R"({"num":"0"},)", "1,"}) {
        expect_linear(
            unit, 5000, [=](std::size_t n) { return R"({"a":{"b":1}},"t",)" + repeat(unit, n) + "0"; },
            [&](std::string_view text) {
                routes::Context context;
                context.event = "\"ask\"";
                context.args = text;
                routes::Rendered out;
                static_cast<void>(routes::render(whole, context, out));
            });
    }
    expect_linear(
        "references", 100, [](std::size_t n) { return "[" + repeat(R"("{event.0}",)", n) + "0]"; },
        [](std::string_view text) { static_cast<void>(routes::compile_value(text)); });
}

Test(steps, heads_of_proxies) {
    const Parse parse = [](std::string_view text) { static_cast<void>(proto::parse_proxy_head(text)); };
    const auto head = [](const std::string& rest) {
        std::string out("\r\n\r\n\0\r\nQUIT\n\x21\x11", 14);
        out += static_cast<char>(rest.size() >> 8U);
        out += static_cast<char>(rest.size());
        return out + rest;
    };
    expect_linear(
        "values", 250,
        [=](std::size_t n) { return head(std::string(12, 'a') + repeat(std::string_view("\4\0\0", 3), n)); }, parse);
    expect_linear(
        "checksums", 80,
        [=](std::size_t n) { return head(std::string(12, 'a') + repeat(std::string_view("\3\0\4abcd", 7), n)); },
        parse);
}

Test(steps, frames) {
    expect_linear(
        "fragments", 500,
        [](std::size_t n) {
            std::string out;
            for (std::size_t i = 0; i <= n; ++i) {
                out += static_cast<char>((i == n ? 0x80 : 0) | (i == 0 ? 1 : 0));
                out += std::string("\x81\0\0\0\0a", 6);
            }
            return out;
        },
        [](std::string_view text) {
            std::string copy{text};
            std::span<char> in{copy};
            proto::WsReader reader{proto::WsReader::Role::server, text.size()};
            while (reader.next(in).kind == proto::WsEvent::Kind::pong) {
            }
        });
}

Test(steps, replies_in_small_pieces) {
    expect_linear(
        "array", 500, [](std::size_t n) { return '*' + std::to_string(n) + "\r\n" + repeat("$3\r\nabc\r\n", n); },
        [](std::string_view text) {
            redis::Reader reader;
            for (; !text.empty(); text.remove_prefix(std::min<std::size_t>(text.size(), 7))) {
                reader.feed(text.substr(0, 7));
                static_cast<void>(reader.next());
            }
        });
}

Test(steps, messages_of_the_cluster) {
    const auto text = [](std::size_t n) { return "[" + repeat(R"({"num":"a","b":[1]},)", n) + "null]"; };
    expect_linear("to MessagePack", 500, text, [](std::string_view json) {
        std::string out;
        static_cast<void>(cluster::msgpack::from_json(json, {}, out));
    });
    expect_linear(
        "from MessagePack", 500,
        [&](std::size_t n) {
            std::string out;
            cluster::msgpack::append_json(out, text(n));
            return out;
        },
        [](std::string_view bytes) {
            std::string out;
            std::vector<std::string> attachments;
            static_cast<void>(cluster::msgpack::to_json(bytes, out, attachments, SIZE_MAX));
        });
}
