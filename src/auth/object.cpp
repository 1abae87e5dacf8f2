#include "auth/object.h"

#include "base/bytes.h"

namespace sio::auth {
namespace {

/// Whether brackets outside of strings never nest deeper than `most`. Says nothing about any other error.
bool is_shallow(std::string_view text, std::size_t most) noexcept {
    std::size_t depth = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\') ++i;
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > most) return false;
        } else if ((c == ']' || c == '}') && depth > 0) {
            --depth;
        }
    }
    return true;
}

}  // namespace

Object parse_object(std::string_view text, Fault& fault) {
    if (!base::is_utf8(text)) {
        fault = "is not UTF-8";
        return nullptr;
    }
    if (text.find('\0') != std::string_view::npos) {
        fault = "is not one JSON object";
        return nullptr;
    }
    if (!is_shallow(text, max_json_depth)) {
        fault = "nests too deep";
        return nullptr;
    }
    constexpr std::size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL;
    json_error_t error;
    Object object{json_loadb(text.data(), text.size(), flags, &error)};
    if (object == nullptr) {
        switch (json_error_code(&error)) {
            case json_error_duplicate_key: fault = "has a name twice"; break;
            case json_error_numeric_overflow: fault = "has a number without bounds"; break;
            case json_error_null_byte_in_key: fault = "has a NUL in a name"; break;
            default: fault = "is not one JSON object, or has half a surrogate pair"; break;
        }
        return nullptr;
    }
    if (!json_is_object(object.get())) {
        fault = "is not one JSON object";
        return nullptr;
    }
    return object;
}

std::string_view text_of(const json_t* string) noexcept {
    return {json_string_value(string), json_string_length(string)};
}

std::optional<std::string_view> text_member(const json_t* object, const char* name) noexcept {
    const json_t* const member = json_object_get(object, name);
    if (!json_is_string(member)) return std::nullopt;
    return text_of(member);
}

}  // namespace sio::auth
