#include "cluster/msgpack.h"

#include <criterion/criterion.h>

#include <string>
#include <string_view>
#include <vector>

#include "cluster/text.h"
#include "unit/cluster/golden.h"

using namespace sio;
using namespace std::string_view_literals;
namespace msgpack = cluster::msgpack;

namespace {

/// The JSON of a value and its attachments, `<bytes>` each; or the error's code.
std::string json_of(std::string_view value, std::size_t max_attachments = 10) {
    std::string out;
    std::vector<std::string> attachments;
    const auto made = msgpack::to_json(value, out, attachments, max_attachments);
    if (!made) {
        cr_expect(out.empty() && attachments.empty(), "something was left behind");
        return std::string{to_string(made.error().code)};
    }
    for (const std::string& attachment : attachments) out += " <" + attachment + '>';
    return out;
}

std::string bytes_of(std::string_view json, const std::vector<std::string>& attachments = {}) {
    std::string out;
    const auto made = msgpack::from_json(json, attachments, out);
    return made ? out : std::string{to_string(made.error().code)};
}

}  // namespace

Test(msgpack, encodes_json_byte_for_byte_as_node_does) {
    for (const auto& [json, bytes] : golden::encoded)
        cr_expect(bytes_of(json) == bytes, "%s", std::string{json}.c_str());
}

Test(msgpack, decodes_to_the_json_that_node_sends) {
    for (const auto& [json, bytes] : golden::decoded) {
        cr_expect(json_of(bytes) == json, "%s became %s", std::string{json}.c_str(), json_of(bytes).c_str());
    }
}

Test(msgpack, what_node_encoded_is_valid_and_comes_back) {
    for (const auto& [json, bytes] : golden::encoded) {
        cr_expect(msgpack::is_valid(bytes), "%s", std::string{json}.c_str());
        cr_expect(bytes_of(json_of(bytes)) == bytes || json_of(bytes) == "null" || json_of(bytes) == "0", "%s",
                  std::string{json}.c_str());
    }
}

Test(msgpack, integers_beyond_javascript_keep_their_digits) {
    cr_expect(json_of("\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"sv) == "18446744073709551615");
    cr_expect(json_of("\xD3\x80\0\0\0\0\0\0\0"sv) == "-9223372036854775808");
}

Test(msgpack, every_cut_of_a_value_is_refused) {
    for (const auto& [json, bytes] : golden::encoded) {
        for (std::size_t length = 0; length < std::min<std::size_t>(bytes.size(), 64); ++length) {
            cr_expect(!msgpack::is_valid(bytes.substr(0, length)), "%s", std::string{json}.c_str());
            cr_expect(json_of(bytes.substr(0, length)) == "malformed");
        }
        cr_expect(json_of(std::string{bytes} + '\xC0') == "malformed");
    }
    cr_expect(json_of("\xC1") == "malformed");
}

Test(msgpack, a_length_that_claims_more_than_there_is_costs_nothing) {
    for (const std::string_view value :
         {"\xDD\xFF\xFF\xFF\xFF"sv, "\xDF\xFF\xFF\xFF\xFF\xC0"sv, "\xDB\xFF\xFF\xFF\xFF\x41"sv,
          "\xC6\x7F\xFF\xFF\xFF\x41"sv, "\xC9\xFF\xFF\xFF\xFF\xFF"sv, "\x82\x01\x02\x03"sv}) {
        cr_expect(!msgpack::read_head(value, 0), "it is told from the head alone");
        cr_expect(!msgpack::is_valid(value));
        cr_expect(json_of(value) == "malformed");
    }
}

Test(msgpack, nesting_ends_at_the_limit) {
    const auto nested = [](std::size_t depth, std::string_view shell) {
        std::string out;
        for (std::size_t i = 0; i < depth; ++i) out += shell;
        return out + '\xC0';
    };
    for (const std::string_view shell : {"\x91"sv, "\x81\xA1k"sv}) {
        cr_expect(msgpack::is_valid(nested(msgpack::max_depth, shell)));
        cr_expect(json_of(nested(msgpack::max_depth, shell)) != "malformed");
        cr_expect(!msgpack::is_valid(nested(msgpack::max_depth + 1, shell)));
        cr_expect(json_of(nested(msgpack::max_depth + 1, shell)) == "malformed");
        cr_expect(json_of(nested(2'000'000, shell)) == "malformed");
    }
    const std::string json = std::string(512, '[') + std::string(512, ']');
    cr_expect(json_of(bytes_of(json)) == json);
}

Test(msgpack, binary_becomes_placeholders_in_order) {
    const std::string_view value =
        "\x92\xC4\x02"
        "ab\x81\xA1k\xC5\0\1c"sv;
    cr_expect(json_of(value) == R"([{"_placeholder":true,"num":0},{"k":{"_placeholder":true,"num":1}}] <ab> <c>)");
    cr_expect(json_of(value, 1) == "malformed", "one too many");
    cr_expect(bytes_of(R"([{"_placeholder":true,"num":0},{"k":{"_placeholder":true,"num":1}}])", {"ab", "c"}) ==
              "\x92\xC4\x02"
              "ab\x81\xA1k\xC4\1c"sv);
}

Test(msgpack, text_that_looks_like_a_placeholder_stays_text) {
    const std::string_view json = R"(["{\"_placeholder\":true,\"num\":0}"])";
    cr_expect(json_of(bytes_of(json, {"x"})) == json);
    const std::string_view object = R"([{"_placeholder":true,"num":0}])";
    cr_expect(json_of(bytes_of(object)) == object, "no attachments, no placeholders");
    cr_expect(json_of(bytes_of(R"([{"_placeholder":true,"num":1}])", {"x"})) == R"([{"_placeholder":true,"num":1}])");
}

Test(msgpack, a_forged_placeholder_beside_binary_is_refused) {
    std::string value = "\x92\xC4\1x";
    value += bytes_of(R"({"num":0,"_placeholder":true})");
    cr_expect(json_of(value) == "malformed");
    std::string other = "\x92\xC4\1x";
    other += bytes_of(R"({"num":7,"_placeholder":true})");
    cr_expect(json_of(other) == "malformed");
}

Test(msgpack, invalid_utf8_becomes_replacement_characters_as_in_a_browser) {
    cr_expect(json_of("\xA3"
                      "a\xFFz"sv) == "\"a\xEF\xBF\xBDz\"");
    cr_expect(json_of("\xA4\xE2\x82"
                      "az"sv) ==
                  "\"\xEF\xBF\xBD"
                  "az\"",
              "one for the longest beginning");
    cr_expect(json_of("\xA3\xED\xA0\x80"sv) == "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"", "a surrogate is none");
    cr_expect(json_of("\xA4\xF0\x9F\x98\x80"sv) == "\"\xF0\x9F\x98\x80\"");
}

Test(msgpack, keys_are_text_and_containers_are_none) {
    cr_expect(json_of("\x83\xC0\1\xC3\2\xCB\x3F\xE0\0\0\0\0\0\0\3"sv) == R"({"null":1,"true":2,"0.5":3})");
    for (const std::string_view value : {"\x81\x90\1"sv, "\x81\x80\1"sv, "\x81\xC4\1a\1"sv, "\x81\xD4\1\1\1"sv}) {
        cr_expect(json_of(value) == "malformed");
    }
}

Test(msgpack, unknown_extensions_are_null_and_broken_timestamps_are_refused) {
    cr_expect(json_of("\xD4\0\0"sv) == "null");
    cr_expect(json_of("\xC7\3\5abc"sv) == "null");
    cr_expect(json_of("\xD4\xFF\0"sv) == "malformed");
    cr_expect(json_of("\xC7\x0C\xFF\0\0\0\0\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"sv) == "null", "beyond what a Date holds");
}

Test(msgpack, a_walker_sees_elements_and_pairs) {
    const std::string map = bytes_of(R"({"a":1,"b":[1,[2]],"a":"last"})");
    std::string seen;
    for (msgpack::Walker walker{map}; walker.next();) {
        seen += std::string{walker.name()} + '=' + json_of(walker.value()) + ';';
    }
    cr_expect(seen == R"(a=1;b=[1,[2]];a="last";)", "%s", seen.c_str());
    cr_expect(json_of(msgpack::member(map, "a").value_or("")) == "\"last\"");
    cr_expect(!msgpack::member(map, "c"));
    cr_expect(!msgpack::member("\xC0", "c"));
    msgpack::Walker none{"\xA1x"};
    cr_expect(!none.next());
}
