// The scanner agrees with jansson on what is JSON and on what it holds; quoting and decoding are inverses.
#include <jansson.h>

#include <algorithm>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/json.h"
#include "check.h"

namespace {

using namespace sio;

struct Release {
    void operator()(json_t* value) const noexcept { json_decref(value); }
};
using Tree = std::unique_ptr<json_t, Release>;

constexpr std::size_t decode_flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;

Tree parse(std::string_view text, json_error_t& error) {
    return Tree{json_loadb(text.data(), text.size(), decode_flags, &error)};
}

/// Refusals of jansson that are no fault of the text.
bool is_peculiar(const json_error_t& error) {
    const std::string_view what = error.text;
    switch (json_error_code(const_cast<json_error_t*>(&error))) {
        case json_error_numeric_overflow:
        case json_error_null_byte_in_key:
        case json_error_null_character:
        case json_error_stack_overflow: return true;
        default: return what.find("invalid Unicode") != std::string_view::npos;  // a lone surrogate
    }
}

bool is_same(std::string_view text, const json_t* value) {
    json_error_t error;
    const Tree again = parse(text, error);
    return again != nullptr && json_equal(again.get(), value) != 0;
}

void compare(std::string_view text, json_t* tree) {
    const auto begin = text.find_first_not_of(" \t\r\n");
    const std::string_view value = text.substr(begin, *json::value_end(text, 0) - begin);
    const json::Kind kind = json::kind_of(value);
    FUZZ_CHECK((kind == json::Kind::object) == json_is_object(tree));
    FUZZ_CHECK((kind == json::Kind::array) == json_is_array(tree));
    FUZZ_CHECK((kind == json::Kind::number) == json_is_number(tree));
    FUZZ_CHECK((kind == json::Kind::boolean) == json_is_boolean(tree));
    FUZZ_CHECK((kind == json::Kind::null) == json_is_null(tree));
    FUZZ_CHECK((kind == json::Kind::string) == json_is_string(tree));
    if (kind == json::Kind::string) {
        const std::string_view want{json_string_value(tree), json_string_length(tree)};
        FUZZ_CHECK(json::decode_string(value) == want);
    }
    if (kind == json::Kind::array) {
        std::size_t count = 0;
        for (json::Walker walker{text}; walker.next(); ++count) {
            FUZZ_CHECK(walker.key().empty());
            if (count > 8) continue;
            FUZZ_CHECK(is_same(walker.value(), json_array_get(tree, count)));
            FUZZ_CHECK(json::element(text, count) == walker.value());
        }
        FUZZ_CHECK(count == json_array_size(tree));
        FUZZ_CHECK(!json::element(text, count));
    }
    if (kind == json::Kind::object) {
        std::size_t members = 0;
        for (json::Walker walker{text}; walker.next(); ++members) {
            FUZZ_CHECK(json::is_valid(walker.key()) && json::is_valid(walker.value()));
        }
        FUZZ_CHECK(members >= json_object_size(tree));
        std::size_t compared = 0;
        const char* key = nullptr;
        json_t* member = nullptr;
        json_object_foreach(tree, key, member) {
            if (++compared > 8) break;
            const auto found = json::member(text, key);
            FUZZ_CHECK(found.has_value());
            FUZZ_CHECK(is_same(*found, member));
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size > 16384) return 0;
    const std::string_view text = fuzz::as_text(data, size);

    // Anything at all may be given to these.
    const bool valid = json::is_valid(text);
    for (json::Walker walker{text}; walker.next();) FUZZ_CHECK(json::is_valid(walker.value()));
    (void)json::decode_string(text);
    if (const auto end = json::value_end(text, 0)) {
        FUZZ_CHECK(*end != 0 && *end <= size);
        FUZZ_CHECK(json::is_valid(text.substr(0, *end)));
    }
    if (!base::is_utf8(text)) return 0;

    FUZZ_CHECK(json::is_valid(json::quote(text)));
    FUZZ_CHECK(json::decode_string(json::quote(text)) == text);

    if (text.find('\0') != std::string_view::npos) {  // jansson takes it for the end of a buffer
        FUZZ_CHECK(!valid);
        return 0;
    }
    json_error_t error;
    const Tree tree = parse(text, error);
    if (tree != nullptr) {
        const auto opened = std::count_if(text.begin(), text.end(), [](char c) { return c == '[' || c == '{'; });
        FUZZ_CHECK(valid || static_cast<std::size_t>(opened) > json::max_depth);
        if (valid) compare(text, tree.get());
    } else {
        FUZZ_CHECK(!valid || is_peculiar(error));
    }
    return 0;
}
