// JSON objects that strangers wrote, read strictly into a jansson tree. Private to src/auth.
#pragma once

#include <jansson.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>

namespace sio::auth {

/// How deep a header, a payload or a key set may nest, inclusive.
inline constexpr std::size_t max_json_depth = 64;

struct ReleaseJson {
    void operator()(json_t* value) const noexcept { json_decref(value); }
};
using Object = std::unique_ptr<json_t, ReleaseJson>;

/// What parse_object() found wrong, as the end of a sentence: "is not UTF-8". Points to a literal, never into the text.
using Fault = std::string_view;

/// Reads a text that is one JSON object: UTF-8, no NUL byte, no deeper than max_json_depth, no name twice in one
/// object. Depth and NUL are looked at before jansson, which recurses and passes over a NUL that follows a number.
/// Numbers become doubles, as in JavaScript. Nothing, and `fault`, when it is not such a text.
Object parse_object(std::string_view text, Fault& fault);

/// The text of member `name`; nothing when it is absent or no string. Valid as long as the tree.
std::optional<std::string_view> text_member(const json_t* object, const char* name) noexcept;

/// The text of a string.
std::string_view text_of(const json_t* string) noexcept;

}  // namespace sio::auth
