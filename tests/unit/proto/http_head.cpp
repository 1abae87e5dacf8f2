#include "proto/http_head.h"

#include <criterion/criterion.h>

#include <string>
#include <vector>

using namespace sio::proto;

namespace {

/// A GET with these lines after `Host`, and its end.
std::string get(std::string_view lines, std::string_view version = "HTTP/1.1") {
    return "GET /socket.io/?EIO=4 " + std::string(version) + "\r\nHost: a\r\n" + std::string(lines) + "\r\n";
}

int refusal(std::string_view head) {
    HttpHead out;
    const auto refused = parse_http_head(head, out);
    return refused ? refused->status : 0;
}

HttpHead parse(const std::string& head) {
    HttpHead out;
    const auto refused = parse_http_head(head, out);
    cr_expect(!refused, "%d for: %s", refused ? refused->status : 0, head.c_str());
    return out;
}

}  // namespace

Test(http_head, ends_with_the_first_empty_line) {
    cr_expect(find_http_head("GET / HTTP/1.1\r\nHost: a\r\n\r\nbody\r\n\r\n") == 27);
    cr_expect(find_http_head("GET / HTTP/1.1\r\nHost: a\r\n\r") == 0);
    cr_expect(find_http_head("") == 0);
    cr_expect(find_http_head("GET / HTTP/1.1\n\n") == 0);
}

Test(http_head, gives_the_parts_of_a_request) {
    const std::string text =
        "POST /socket.io/?EIO=4&sid=S#x HTTP/1.1\r\nHost: example.org:8080\r\nX-Empty:\r\n"
        "X-Blank: \t a  b \t\r\nContent-Length: 12\r\n\r\n";
    const HttpHead head = parse(text);
    cr_expect(head.method == "POST");
    cr_expect(head.target == "/socket.io/?EIO=4&sid=S#x");
    cr_expect(head.path == "/socket.io/");
    cr_expect(head.query == "EIO=4&sid=S");
    cr_expect(head.content_length == 12);
    cr_expect(head.keep_alive && !head.http_1_0 && !head.chunked && !head.has_upgrade);
    cr_expect(head.header_count == 4);
    cr_expect(head.header("x-empty") == "");
    cr_expect(head.header("X-BLANK") == "a  b");
    cr_expect(!head.header("x-absent"));
}

Test(http_head, forgets_what_an_earlier_head_said) {
    HttpHead head;
    cr_expect(
        !parse_http_head(get("Transfer-Encoding: chunked\r\nConnection: close\r\nExpect: 100-continue\r\n"), head));
    cr_expect(head.chunked && !head.keep_alive && head.expect_continue);
    cr_expect(!parse_http_head(get("Content-Length: 3\r\n"), head));
    cr_expect(!head.chunked && head.keep_alive && !head.expect_continue && head.content_length == 3);
    cr_expect(!parse_http_head("GET / HTTP/1.0\r\n\r\n", head));
    cr_expect(head.content_length == 0 && head.header_count == 0 && head.query.empty());
}

Test(http_head, splits_each_form_of_target) {
    const auto path_and_query = [](std::string_view method, std::string_view target) {
        const std::string text = std::string(method) + ' ' + std::string(target) + " HTTP/1.1\r\nHost: a\r\n\r\n";
        const HttpHead head = parse(text);
        return std::string(head.path) + " " + std::string(head.query);
    };
    cr_expect(path_and_query("GET", "/") == "/ ");
    cr_expect(path_and_query("GET", "/a?b?c") == "/a b?c");
    cr_expect(path_and_query("GET", "/a#b?c") == "/a ");
    cr_expect(path_and_query("GET", "//a//b?") == "//a//b ");
    cr_expect(path_and_query("OPTIONS", "*") == "* ");
    cr_expect(path_and_query("GET", "http://a:80/b/?c=1") == "/b/ c=1");
    cr_expect(path_and_query("GET", "HTTPS://a?c=1") == "/ c=1");
    cr_expect(path_and_query("GET", "ws://a") == "/ ");
}

Test(http_head, recognises_a_websocket_upgrade) {
    const HttpHead chromium = parse(get("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    cr_expect(chromium.upgrade_websocket && chromium.has_upgrade && chromium.keep_alive);
    const HttpHead firefox = parse(get("connection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n"));
    cr_expect(firefox.upgrade_websocket);
    const HttpHead two_lines = parse(get("Connection: keep-alive\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"));
    cr_expect(two_lines.upgrade_websocket);
    const HttpHead unnamed = parse(get("Connection: keep-alive\r\nUpgrade: websocket\r\n"));
    cr_expect(!unnamed.upgrade_websocket && unnamed.has_upgrade);
    const HttpHead other = parse(get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"));
    cr_expect(!other.upgrade_websocket && other.has_upgrade);
    const HttpHead list = parse(get("Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n"));
    cr_expect(!list.upgrade_websocket && list.has_upgrade);
    const HttpHead without = parse(get("Connection: Upgrade\r\n"));
    cr_expect(!without.upgrade_websocket && !without.has_upgrade);
    const std::string old = "GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    cr_expect(parse(old).upgrade_websocket && parse(old).has_upgrade, "as Node takes it from proxies");
}

Test(http_head, keeps_alive_by_version_and_connection) {
    cr_expect(parse(get("")).keep_alive);
    cr_expect(!parse(get("Connection: close\r\n")).keep_alive);
    cr_expect(!parse(get("Connection: keep-alive , CLOSE\r\n")).keep_alive);
    cr_expect(!parse(get("", "HTTP/1.0")).keep_alive);
    cr_expect(parse(get("Connection: Keep-Alive\r\n", "HTTP/1.0")).keep_alive);
    cr_expect(parse(get("Connection: closed\r\n")).keep_alive);
}

Test(http_head, takes_requests_as_clients_send_them) {
    const std::string java =
        "GET /socket.io/?EIO=4&transport=websocket&sid=S HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nHost: 127.0.0.1:80\r\n"
        "Accept-Encoding: gzip\r\nUser-Agent: okhttp/3.12.12\r\n\r\n";
    cr_expect(parse(java).upgrade_websocket);
    const std::string go =
        "POST /socket.io/?EIO=4&sid=S&transport=polling HTTP/1.1\r\nHost: [::1]:80\r\nUser-Agent: engine.io-go/1.0\r\n"
        "Transfer-Encoding: chunked\r\nAccept: */*\r\nContent-Type: text/plain;charset=UTF-8\r\n\r\n";
    cr_expect(parse(go).chunked);
    cr_expect(parse(get("X-Name: \xC3\xA9\r\n")).header("x-name") == "\xC3\xA9");
}

Test(http_head, refuses_malformed_request_lines) {
    for (const std::string_view line : {"GET /",
                                        "GET / ",
                                        "GET  / HTTP/1.1",
                                        "GET /a b HTTP/1.1",
                                        " GET / HTTP/1.1",
                                        "GET\t/ HTTP/1.1",
                                        "/ HTTP/1.1",
                                        "GET / HTTP/1.1 ",
                                        "GET / http/1.1",
                                        "GET / HTTP/1",
                                        "GET / HTTP/11.1",
                                        "GET / HTTP/1.x",
                                        "GET / HTTPS/1.1",
                                        "G(T / HTTP/1.1",
                                        "GET \x7F HTTP/1.1",
                                        "GET /\x80 HTTP/1.1",
                                        "GET a HTTP/1.1",
                                        "GET * HTTP/1.1",
                                        "CONNECT a:80 HTTP/1.1",
                                        "GET ftp://a/ HTTP/1.1",
                                        "GET http:/// HTTP/1.1",
                                        "GET ?a HTTP/1.1",
                                        ""}) {
        const std::string head = std::string(line) + "\r\nHost: a\r\n\r\n";
        cr_expect(refusal(head) == 400, "%d for '%s'", refusal(head), line.data());
    }
    cr_expect(refusal("\r\n\r\n") == 400);
    cr_expect(refusal("") == 400);
}

Test(http_head, refuses_other_versions) {
    for (const std::string_view version : {"HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/3.0", "HTTP/9.9", "HTTP/2.1"}) {
        cr_expect(refusal(get("", version)) == 505, "'%s'", version.data());
    }
}

Test(http_head, refuses_malformed_fields) {
    using namespace std::string_view_literals;
    for (const std::string_view lines :
         {"A : b\r\n"sv, " A: b\r\n"sv, "A\r\n"sv, ": b\r\n"sv, "A: b\r\n folded\r\n"sv, "A: b\r\n\tfolded\r\n"sv,
          "A: b\nC: d\r\n"sv, "A: b\rC: d\r\n"sv, "A: b\r\r\n"sv, "A: \0\r\n"sv, "A: \x01\r\n"sv, "A: \x7F\r\n"sv,
          "A(: b\r\n"sv, "A\x80: b\r\n"sv, "A\0: b\r\n"sv, "\n"sv, "A:\n"sv, "A: b\n"sv, "A\tB: c\r\n"sv}) {
        cr_expect(refusal(get(lines)) == 400, "%d for '%s'", refusal(get(lines)), lines.data());
    }
    cr_expect(refusal(get("") + "x") == 400, "bytes behind the head");
    cr_expect(refusal("GET / HTTP/1.1\nHost: a\n\n") == 400);
    cr_expect(refusal("GET / HTTP/1.1\r\nHost: a\r\n") == 400, "an incomplete head");
}

Test(http_head, demands_one_sound_host) {
    cr_expect(refusal("GET / HTTP/1.1\r\n\r\n") == 400);
    cr_expect(refusal("GET / HTTP/1.0\r\n\r\n") == 0);
    cr_expect(refusal(get("Host: a\r\n")) == 400);
    cr_expect(refusal(get("hOST: b\r\n")) == 400);
    cr_expect(refusal("GET / HTTP/1.1\r\nHost:\r\n\r\n") == 0, "it may be empty");
    for (const std::string_view host : {"a b", "a/b", "a@b", "a?b", "a#b", "a\\b", "<a>", "\xC3\xA9"}) {
        const std::string head = "GET / HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n";
        cr_expect(refusal(head) == 400, "'%s'", host.data());
    }
}

Test(http_head, refuses_what_request_smuggling_lives_on) {
    struct Case {
        std::string_view lines;
        int want;
    };
    constexpr Case cases[] = {
        {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400},
        {"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400},
        {"Content-Length: 5\r\nContent-Length: 6\r\n", 400},
        {"Content-Length: 5\r\nContent-Length: 5\r\n", 0},
        {"Content-Length: 5, 5\r\n", 400},
        {"Content-Length: +5\r\n", 400},
        {"Content-Length: -5\r\n", 400},
        {"Content-Length: 0x5\r\n", 400},
        {"Content-Length: 5 5\r\n", 400},
        {"Content-Length: 5.0\r\n", 400},
        {"Content-Length:\r\n", 400},
        {"Content-Length: 18446744073709551616\r\n", 413},
        {"Transfer-Encoding: gzip\r\n", 501},
        {"Transfer-Encoding: gzip, chunked\r\n", 501},
        {"Transfer-Encoding: chunked, chunked\r\n", 501},
        {"Transfer-Encoding: xchunked\r\n", 501},
        {"Transfer-Encoding: \"chunked\"\r\n", 501},
        {"Transfer-Encoding: chunked;a=b\r\n", 501},
        {"Transfer-Encoding:\r\n", 501},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 501},
        {"Transfer-Encoding: Chunked\r\n", 0},
        {"Transfer-Encoding : chunked\r\n", 400},
        {"Transfer-Encoding: \x0B"
         "chunked\r\n",
         400},
    };
    for (const auto& [lines, want] : cases) {
        cr_expect(refusal(get(lines)) == want, "%d for '%s'", refusal(get(lines)), lines.data());
    }
    cr_expect(refusal(get("Transfer-Encoding: chunked\r\n", "HTTP/1.0")) == 400);
}

Test(http_head, takes_a_hundred_headers_and_not_one_more) {
    std::string lines;
    for (int i = 0; i < 99; ++i) lines += "A: b\r\n";
    cr_expect(refusal(get(lines)) == 0);
    cr_expect(refusal(get(lines + "A: b\r\n")) == 431);
}

Test(http_head, no_cut_of_a_head_is_taken_for_a_whole_one) {
    const std::string text = get("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n");
    cr_expect(refusal(text) == 0);
    for (std::size_t length = 0; length < text.size(); ++length) {
        cr_expect(refusal(std::string_view(text).substr(0, length)) != 0, "length %zu", length);
    }
}

Test(http_head, query_parameters_are_decoded_and_the_last_wins) {
    cr_expect(query_parameter("EIO=4&transport=polling&sid=S", "transport") == "polling");
    cr_expect(query_parameter("a=1&a=2", "a") == "2");
    cr_expect(query_parameter("a=b+c%20d%2B", "a") == "b c d+");
    cr_expect(query_parameter("%61=x", "a") == "x");
    cr_expect(query_parameter("a+b=x", "a b") == "x");
    cr_expect(query_parameter("a", "a") == "");
    cr_expect(query_parameter("a=", "a") == "");
    cr_expect(query_parameter("a=b=c", "a") == "b=c");
    cr_expect(query_parameter("&&a=1&", "a") == "1");
    cr_expect(query_parameter("a=1&b", "b") == "");
    cr_expect(!query_parameter("aa=1&ba=2", "a"));
    cr_expect(!query_parameter("", "a"));
    cr_expect(!query_parameter("", ""));
}

Test(http_head, the_encoding_follows_the_clients_qualities_and_the_servers_order) {
    constexpr std::string_view offered[] = {"br", "gzip", "deflate"};
    const auto choose = [&](std::string_view header) { return choose_encoding(header, offered, 3); };
    cr_expect(choose("gzip, deflate, br, zstd") == "br");
    cr_expect(choose("gzip, deflate") == "gzip");
    cr_expect(choose("deflate, gzip") == "gzip");
    cr_expect(choose("gzip;q=0.5, deflate;q=0.8") == "deflate");
    cr_expect(choose("gzip;q=0.5 , deflate ; q=0.501") == "deflate");
    cr_expect(choose("GZIP") == "gzip");
    cr_expect(choose("x-gzip") == "gzip");
    cr_expect(choose("*") == "br");
    cr_expect(choose("br;q=0, *") == "gzip");
    cr_expect(choose("gzip;q=0.2, *;q=0.1") == "gzip");
    cr_expect(choose("") == "identity");
    cr_expect(choose("zstd") == "identity");
    cr_expect(choose("gzip;q=0") == "identity");
    cr_expect(choose("*;q=0") == "identity");
    cr_expect(choose("identity;q=1, gzip;q=0.5") == "identity");
    cr_expect(choose("identity;q=0.5, gzip;q=1") == "gzip");
    for (const std::string_view header :
         {"gzip;q=2", "gzip;q=-1", "gzip;q=", "gzip;q=1.001", "gzip;q=0.0001", "gzip;q=a", "gzip;q=1x"}) {
        cr_expect(choose(header) == "identity", "'%s'", header.data());
    }
    cr_expect(choose_encoding("gzip", offered, 0) == "identity");
}

namespace {

/// State, body and what is left, of `text` fed in pieces that end at `cuts`.
std::string chunked(std::string text, std::size_t max_body = 1000, std::vector<std::size_t> cuts = {}) {
    ChunkedDecoder decoder;
    std::string body;
    cuts.push_back(text.size());
    std::size_t from = 0;
    std::string left;
    auto state = ChunkedDecoder::State::more;
    for (const std::size_t cut : cuts) {
        const std::string piece = text.substr(from, cut - from);
        from = cut;
        std::string_view in = piece;
        state = decoder.feed(in, body, max_body);
        left += in;
        if (state == ChunkedDecoder::State::error) return decoder.too_large() ? "too large" : "error";
    }
    if (state == ChunkedDecoder::State::more) return "more " + body;
    return "done " + body + (left.empty() ? "" : " left " + left);
}

void expect_chunked(const std::string& text, const std::string& want, std::size_t max_body = 1000) {
    cr_expect(chunked(text, max_body) == want, "%s", chunked(text, max_body).c_str());
    std::vector<std::size_t> all;
    for (std::size_t i = 1; i < text.size(); ++i) {
        all.push_back(i);
        cr_expect(chunked(text, max_body, {i}) == want, "cut at %zu: %s", i, chunked(text, max_body, {i}).c_str());
    }
    cr_expect(chunked(text, max_body, all) == want, "byte after byte: %s", chunked(text, max_body, all).c_str());
}

}  // namespace

Test(http_chunked, decodes_bodies_at_every_split) {
    expect_chunked("f\r\n40{\"token\":\"t\"}\r\n0\r\n\r\n", "done 40{\"token\":\"t\"}");
    expect_chunked("3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", "done abc0123456789");
    expect_chunked("0\r\n\r\n", "done ");
    expect_chunked("000a\r\n0123456789\r\n00\r\n\r\n", "done 0123456789");
    expect_chunked("1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n", "done \r\n");
    expect_chunked("3;name=\"a b\";x\r\nabc\r\n0;last\r\nTrailer: x\r\nOther: y\r\n\r\n", "done abc");
    expect_chunked("3\r\nabc\r\n0\r\n\r\nGET", "done abc left GET");
    expect_chunked("5\r\nab", "more ab");
}

Test(http_chunked, refuses_wrong_framing) {
    for (const std::string_view text : {"\r\n",
                                        "g\r\n",
                                        " 3\r\nabc",
                                        "3 \r\nabc",
                                        "+3\r\nabc",
                                        "-1\r\n",
                                        "0x3\r\nabc",
                                        "3\nabc",
                                        "3\r\rabc",
                                        "3;a\nabc",
                                        "3;\x01\r\nabc",
                                        "3\r\nabcd\r\n",
                                        "3\r\nabc\n0\r\n\r\n",
                                        "3\r\nabc\r0",
                                        "0\r\na\n\r\n",
                                        "0\r\n\rx",
                                        "0\r\nA: b\rx",
                                        "0\r\n\n",
                                        ";a\r\n",
                                        "12345678123456781\r\n",
                                        "3\r\nabc0\r\n\r\n"}) {
        expect_chunked(std::string(text), "error");
    }
}

Test(http_chunked, stops_before_the_body_passes_its_limit) {
    expect_chunked("5\r\nabcde\r\n0\r\n\r\n", "done abcde", 5);
    expect_chunked("6\r\nabcdef\r\n0\r\n\r\n", "too large", 5);
    expect_chunked("3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n", "too large", 5);
    expect_chunked("ffffffffffffffff\r\n", "too large", 5);
}

Test(http_chunked, extensions_and_trailers_have_a_limit) {
    const auto extension = [](std::size_t size) { return "1;" + std::string(size, 'x') + "\r\na\r\n0\r\n\r\n"; };
    cr_expect(chunked(extension(8192)) == "done a");
    cr_expect(chunked(extension(8193)) == "error");
    const auto trailer = [](std::size_t size) { return "0\r\n" + std::string(size, 'x') + "\r\n\r\n"; };
    cr_expect(chunked(trailer(8192)) == "done ");
    cr_expect(chunked(trailer(8193)) == "error");
    std::string many;
    for (int i = 0; i < 8193; ++i) many += "1;x\r\na\r\n";
    cr_expect(chunked(many, 100000) == "error", "together, not each");
}

Test(http_head, a_media_type_is_chosen_by_quality_then_by_how_exactly_it_is_named) {
    constexpr std::string_view offered[] = {"application/json", "text/plain", "application/openmetrics-text"};
    struct Case {
        std::string_view accept;
        std::optional<std::size_t> want;
    };
    constexpr std::size_t json = 0;
    constexpr std::size_t text = 1;
    constexpr std::size_t open = 2;
    const Case cases[] = {
        // Programs and people.
        {"", json},
        {"*/*", json},
        {"application/json, text/plain, */*", json},  // axios
        {"application/json;q=1, text/plain;q=0.1", json},
        {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", json},
        {"application/*", json},
        {"text/*;q=0.3, */*;q=0.4", json},
        // Scrapers: Prometheus 2 and 3, VictoriaMetrics, Telegraf, Datadog, Metricbeat, older clients.
        {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
         "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
         open},
        {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/"
         "openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
         "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
         open},
        {"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,"
         "text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
         text},
        {"text/plain;version=0.0.4;q=1,*/*;q=0.1", text},
        {"text/plain;version=0.0.4", text},
        {"text/plain", text},
        {"application/openmetrics-text; version=1.0.0; charset=utf-8", open},
        {"text/plain;version=1.0.0;q=0.4,*/*;q=0.4", text},
        {"text/plain, */*", text},
        {"TEXT/Plain ; Q=0.9 , */* ; q=0.8", text},
        {"text/*", text},
        {"application/json;q=0, */*", text},
        // The most specific range decides, wherever it stands; the better of two alike counts.
        {"*/*, application/json;q=0.1, text/plain;q=0.2, application/openmetrics-text;q=0", text},
        {"text/plain;q=0.1, text/plain;q=0.9, application/json;q=0.5", text},
        {"text/plain;title=\"a, application/json;q=1\";q=0.5, application/json;q=0.4", text},
        // None.
        {"image/png", std::nullopt},
        {"*/*;q=0", std::nullopt},
        {"text/plain;q=0, application/json;q=0.000, application/openmetrics-text;q=a", std::nullopt},
        {",, ,", json},
        {"text", std::nullopt},
        {"text/", std::nullopt},
        {"*/plain", std::nullopt},
    };
    for (const auto& [accept, want] : cases) {
        const auto got = choose_media_type(accept, offered);
        cr_expect(got == want, "'%.*s' is %d", int(accept.size()), accept.data(), got ? int(*got) : -1);
    }
    cr_expect(!choose_media_type("*/*", {}));
}

Test(http_head, headers_are_given_as_node_gives_them) {
    const std::string text =
        "GET / HTTP/1.1\r\nHost: a\r\nX-A: \xc3\xa9\r\nx-b: \xe9\xff\r\nX-C: 1\r\nx-c: 2\r\nX-c:\r\n"
        "Cookie: a=1\r\ncookie: b=2\r\nUser-Agent: one\r\nUser-Agent: two\r\nReferer: r1\r\nReferer: r2\r\n"
        "Origin: o1\r\nOrigin: o2\r\n\r\n";
    HttpHead head;
    cr_assert(!parse_http_head(text, head));
    struct Case {
        std::string_view name;
        std::optional<std::string> want;
    };
    const Case cases[] = {
        {"x-a", "\xc3\x83\xc2\xa9"}, {"X-B", "\xc3\xa9\xc3\xbf"}, {"x-c", "1, 2, "},    {"cookie", "a=1; b=2"},
        {"user-agent", "one"},       {"referer", "r1"},           {"origin", "o1, o2"}, {"x-d", std::nullopt},
    };
    for (const auto& [name, want] : cases) {
        cr_expect(header_text(head, name) == want, "%.*s is %s", int(name.size()), name.data(),
                  header_text(head, name).value_or("(nothing)").c_str());
    }
}

Test(http_head, what_is_no_utf8_in_a_query_is_replaced_as_browsers_do) {
    struct Case {
        std::string_view query;
        std::string_view want;
    };
    constexpr Case cases[] = {
        {"a=%c3%a9", "\xc3\xa9"},
        {"a=%ff", "\xEF\xBF\xBD"},
        {"a=%e2%82", "\xEF\xBF\xBD"},
        {"a=%e2%82x", "\xEF\xBF\xBDx"},
        {"a=%f0%9f%98%80", "\xf0\x9f\x98\x80"},
        {"a=%ed%a0%80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"a=%c0%80", "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"a=%f4%90%80%80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"a=%f0%9f%98%41",
         "\xEF\xBF\xBD"
         "A"},
        {"a=%zz%4", "%zz%4"},
        {"a=1+2%2B", "1 2+"},
        {"a=1&a=2", "2"},
    };
    for (const auto& [query, want] : cases) {
        cr_expect(query_parameter(query, "a") == std::string(want), "%s", query.data());
    }
    cr_expect(query_parameter("a%ff=1", "a\xEF\xBF\xBD") == "1");
}
