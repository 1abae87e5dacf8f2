// What is taken as a head has no line end inside its parts, is not the beginning of itself, and means the same when it
// is written again from its parts.
#include "proto/http_head.h"

#include <memory>
#include <string>

#include "base/bytes.h"
#include "check.h"

namespace {

using namespace sio;
using namespace sio::proto;

bool is_clean(std::string_view part) {
    return part.find_first_of(std::string_view{"\r\n\0\x7F", 4}) == std::string_view::npos;
}

void check_query(const HttpHead& head) {
    for (const std::string_view name : {"EIO", "transport", "sid", "a", ""}) {
        const auto value = query_parameter(head.query, name);
        if (value) FUZZ_CHECK(value->size() <= head.query.size() && base::is_utf8(*value));
        const auto appended = query_parameter(std::string{head.query} + "&a=last", "a");
        FUZZ_CHECK(appended == "last");
    }
}

void check_encoding(std::string_view accepted) {
    constexpr std::string_view offered[] = {"br", "gzip", "deflate"};
    const std::string_view all = choose_encoding(accepted, offered, 3);
    FUZZ_CHECK(all == "br" || all == "gzip" || all == "deflate" || all == "identity");
    FUZZ_CHECK(choose_encoding(accepted, offered, 0) == "identity");
    const std::string_view one = choose_encoding(accepted, &offered[1], 1);
    FUZZ_CHECK(one == "gzip" || one == "identity");
    if (all == "gzip") FUZZ_CHECK(one == "gzip");
}

void check_types(std::string_view accepted) {
    constexpr std::string_view offered[] = {"application/json", "text/plain"};
    const auto chosen = choose_media_type(accepted, offered);
    FUZZ_CHECK(!chosen || *chosen < 2);
    FUZZ_CHECK(!choose_media_type(accepted, {}));
    for (std::size_t i = 0; i < 2; ++i) {  // what is chosen of both is acceptable alone
        if (chosen == i) FUZZ_CHECK(choose_media_type(accepted, {&offered[i], 1}) == 0U);
    }
}

void check_texts(const HttpHead& head) {
    for (std::size_t i = 0; i < head.header_count; ++i) {
        const auto text = header_text(head, head.headers[i].name);
        FUZZ_CHECK(text && base::is_utf8(*text));
        FUZZ_CHECK(text->starts_with(base::latin1_to_utf8(*head.header(head.headers[i].name))));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size > 8192) return 0;
    const std::string_view text = fuzz::as_text(data, size);
    check_encoding(text);
    check_types(text);

    const std::size_t length = find_http_head(text);
    FUZZ_CHECK(length <= size);
    const auto head = std::make_unique<HttpHead>();
    const auto again = std::make_unique<HttpHead>();
    if (parse_http_head(text, *head)) return 0;
    FUZZ_CHECK(length == size);
    fuzz::each_cut(size - 1,
                   [&](std::size_t cut) { FUZZ_CHECK(parse_http_head(text.substr(0, cut), *again).has_value()); });

    FUZZ_CHECK(!head->method.empty() && is_clean(head->method) && is_clean(head->target));
    FUZZ_CHECK(!head->path.empty() && head->path.find_first_of("?#") == std::string_view::npos);
    FUZZ_CHECK(head->query.find('#') == std::string_view::npos);
    FUZZ_CHECK(!(head->chunked && head->content_length != 0));
    FUZZ_CHECK(!(head->chunked && head->http_1_0));
    FUZZ_CHECK(!head->upgrade_websocket || head->has_upgrade);
    FUZZ_CHECK(head->http_1_0 || head->header("Host").has_value());
    check_query(*head);
    check_texts(*head);

    std::string written{head->method};
    written.append(" ").append(head->target).append(head->http_1_0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n");
    for (std::size_t i = 0; i < head->header_count; ++i) {
        const auto& [name, value] = head->headers[i];
        FUZZ_CHECK(!name.empty() && is_clean(name) && is_clean(value) && base::trim(value) == value);
        written.append(name).append(":").append(value).append("\r\n");
    }
    written.append("\r\n");
    FUZZ_CHECK(!parse_http_head(written, *again));
    FUZZ_CHECK(again->method == head->method && again->target == head->target && again->path == head->path &&
               again->query == head->query && again->http_1_0 == head->http_1_0 &&
               again->keep_alive == head->keep_alive && again->upgrade_websocket == head->upgrade_websocket &&
               again->has_upgrade == head->has_upgrade && again->expect_continue == head->expect_continue &&
               again->chunked == head->chunked && again->content_length == head->content_length &&
               again->header_count == head->header_count);
    for (std::size_t i = 0; i < head->header_count; ++i) {
        FUZZ_CHECK(again->headers[i].name == head->headers[i].name &&
                   again->headers[i].value == head->headers[i].value);
    }
    return 0;
}
