// What a parser costs, in steps and not in seconds: an input twice as long takes at most about twice as many.
//
// The parsers' own sources are compiled into this program with -fsanitize-coverage=trace-pc, so that each basic block
// calls the hook below; the products are not. A search that the C library does for them counts the bytes it looked at,
// since the linker sends memchr and memcmp here (--wrap).
#include <criterion/criterion.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "cluster/msgpack.h"
#include "proto/eio_packet.h"
#include "proto/http_head.h"
#include "proto/proxy_head.h"
#include "proto/sio_packet.h"
#include "proto/ws_frame.h"
#include "redis/resp.h"

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
