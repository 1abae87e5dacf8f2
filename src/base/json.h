// JSON as bytes: a validating scanner and writers that never build a tree.
//
// Events are passed through as the bytes they came in, so all the delivery path needs is to know that a text is JSON,
// where its elements begin and end, and how to quote. Nothing here recurses: a megabyte of `[` costs a counter.
// All texts given are expected to be valid UTF-8 already (the transports check that). Source: RFC 8259.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sio::json {

/// How deep arrays and objects may nest; a deeper text is refused.
inline constexpr std::size_t max_depth = 4'096;
/// How deep those of clients may, unless it is said otherwise. Browsers' own parsers take more, but relaying it can end
/// a peer that recurses: Python's gives up near 1,000.
inline constexpr std::size_t default_depth = 512;

/// The end of the JSON value that begins at `pos` (blanks before it are skipped), or nothing when there is none, it is
/// malformed, or nests deeper than max_depth. Never allocates.
std::optional<std::size_t> value_end(std::string_view text, std::size_t pos) noexcept;

/// Whether `text` is exactly one JSON value, blanks around it allowed, that nests no deeper than `depth`, which is at
/// most max_depth.
bool is_valid(std::string_view text, std::size_t depth = max_depth) noexcept;

enum class Kind { null, boolean, number, string, array, object };

/// The kind of a valid value, from its first byte. `value` must not be empty nor begin with a blank.
Kind kind_of(std::string_view value) noexcept;

/// Walks the elements of a valid array, or the members of a valid object, in order.
///
///     for (json::Walker w{text}; w.next();) use(w.key(), w.value());
///
/// Views point into the text given. key() is the raw member name with its quotes, empty in an array. A text that is
/// neither array nor object has no elements.
class Walker {
public:
    explicit Walker(std::string_view container) noexcept;
    bool next() noexcept;
    [[nodiscard]] std::string_view key() const noexcept { return key_; }
    [[nodiscard]] std::string_view value() const noexcept { return value_; }

private:
    std::string_view text_;
    std::size_t pos_ = 0;
    std::string_view key_;
    std::string_view value_;
    bool object_ = false;
    bool done_ = false;
};

/// The raw text of the member named `key` (already decoded) of a valid object; the last one wins, as in JavaScript.
std::optional<std::string_view> member(std::string_view object, std::string_view key);

/// The raw text of element `index` of a valid array.
std::optional<std::string_view> element(std::string_view array, std::size_t index) noexcept;

/// The text a valid JSON string stands for (escapes resolved; a lone surrogate becomes U+FFFD).
std::string decode_string(std::string_view quoted);

/// Appends `text` as a JSON string with quotes; escapes only what RFC 8259 demands, like JSON.stringify.
void append_string(std::string& out, std::string_view text);

/// `text` as a JSON string.
std::string quote(std::string_view text);

}  // namespace sio::json
