// MessagePack as the `@msgpack/msgpack` and `notepack.io` packages write it, to and from JSON.
//
// There is no tree: a value is the bytes it takes, checked once and walked in place. Nothing here recurses. Source: the
// MessagePack specification; cluster-wire 1.5.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace sio::cluster::msgpack {

/// How deep arrays and maps may nest: what JSON may, and the few levels a message wraps around it.
inline constexpr std::size_t max_depth = json::max_depth + 8;

enum class Kind : std::uint8_t {
    nil,
    boolean,
    unsigned_integer,
    signed_integer,
    real,
    string,
    binary,
    extension,
    array,
    map
};

/// The head of a value, and its content unless it is a container.
struct Head {
    Kind kind = Kind::nil;
    bool truth = false;         ///< boolean
    std::uint64_t number = 0;   ///< unsigned_integer
    std::int64_t negative = 0;  ///< signed_integer: always below 0
    double real = 0;            ///< real
    std::string_view bytes;     ///< string, binary, extension: the content
    std::int8_t extension = 0;  ///< extension: its type
    std::uint32_t count = 0;    ///< array: elements; map: pairs
    std::size_t end = 0;        ///< where the head, and the content that is not a container's, ends
};

/// Reads the head at `pos`. Nothing when it is cut short, is the byte 0xC1, or claims more bytes (or elements, of a
/// byte each at least) than there are.
std::optional<Head> read_head(std::string_view bytes, std::size_t pos) noexcept;

/// The end of the value that begins at `pos`, or nothing when it is cut short, malformed, or nests deeper than
/// max_depth. Never allocates.
std::optional<std::size_t> value_end(std::string_view bytes, std::size_t pos) noexcept;

/// Whether `bytes` is exactly one value.
bool is_valid(std::string_view bytes) noexcept;

/// Walks the elements of an array, or the pairs of a map, in order; a bad value ends the walk. Views point into the
/// bytes given. What is neither array nor map has no elements.
class Walker {
public:
    explicit Walker(std::string_view container) noexcept;
    bool next() noexcept;
    /// The raw key; empty in an array.
    [[nodiscard]] std::string_view key() const noexcept { return key_; }
    /// The content of a key that is a string; empty for others.
    [[nodiscard]] std::string_view name() const noexcept { return name_; }
    [[nodiscard]] std::string_view value() const noexcept { return value_; }

private:
    std::string_view bytes_;
    std::size_t pos_ = 0;
    std::uint32_t left_ = 0;
    bool is_map_ = false;
    std::string_view key_;
    std::string_view name_;
    std::string_view value_;
};

/// The raw value of a string key of a valid map; the last one wins, as in JavaScript.
std::optional<std::string_view> member(std::string_view map, std::string_view key) noexcept;

// Writers: each appends one value, or the head of a container whose elements the caller appends next.

void append_nil(std::string& out);
void append_boolean(std::string& out, bool truth);
/// In the shortest form.
void append_integer(std::string& out, std::int64_t number);
void append_unsigned(std::string& out, std::uint64_t number);
void append_real(std::string& out, double number);
/// At most 4 GiB; `text` should be UTF-8.
void append_string(std::string& out, std::string_view text);
void append_binary(std::string& out, std::string_view bytes);
void append_array_head(std::string& out, std::size_t elements);
void append_map_head(std::string& out, std::size_t pairs);

/// Appends the value as the JSON text that Node's servers would send to a client. It nests as deep as the value does.
///
/// Binary becomes `{"_placeholder":true,"num":k}`, its bytes are appended to `attachments` and k is its place there; a
/// timestamp becomes an ISO 8601 string with milliseconds, null when a JavaScript Date cannot hold it; other
/// extensions, NaN and infinities become null; keys that are numbers, booleans or nil become their text; invalid UTF-8
/// becomes U+FFFD. The text is at most six times as long as the value, placeholders and numbers aside.
///
/// Errors: `malformed` for what is not exactly one value, nests deeper than max_depth, has a container, binary or an
/// extension for a key, a timestamp of impossible length, more than `max_attachments` attachments, or binary beside an
/// object that would be taken for a placeholder. `out` and `attachments` are then as they were.
Result<void> to_json(std::string_view value, std::string& out, std::vector<std::string>& attachments,
                     std::size_t max_attachments);

/// Appends a JSON text as MessagePack. Each canonical placeholder `{"_placeholder":true,"num":k}` with
/// k < attachments.size() becomes that attachment in binary; with no attachments there are no placeholders. Integers
/// that JavaScript holds exactly take the shortest form, other numbers are 64-bit reals, as there.
///
/// Errors: `malformed` when the text is not JSON; `out` is then as it was.
Result<void> from_json(std::string_view json, std::span<const std::string> attachments, std::string& out);

/// from_json() for a text that is known to be valid and may nest as deep as max_depth.
void append_json(std::string& out, std::string_view valid_json, std::span<const std::string> attachments = {});

}  // namespace sio::cluster::msgpack
