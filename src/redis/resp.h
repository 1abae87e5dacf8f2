// RESP2, the protocol of Redis: commands to bytes, bytes to replies. No I/O.
//
// Source: the Redis serialization protocol specification, version 2.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sio::redis {

/// One reply, or one element of an array. A view: all of it lives in the Reader that gave it.
struct Reply {
    enum class Kind : std::uint8_t { nil, simple, error, integer, bulk, array };

    Kind kind = Kind::nil;
    std::string_view text;         ///< of simple, error (without the leading `-`) and bulk
    std::int64_t integer = 0;      ///< of integer
    std::span<const Reply> items;  ///< of array

    [[nodiscard]] bool is_nil() const noexcept { return kind == Kind::nil; }
    [[nodiscard]] bool is_error() const noexcept { return kind == Kind::error; }
    [[nodiscard]] bool is_integer() const noexcept { return kind == Kind::integer; }
    [[nodiscard]] bool is_array() const noexcept { return kind == Kind::array; }
    /// A simple string or a bulk: Redis uses both for what is just text.
    [[nodiscard]] bool is_text() const noexcept { return kind == Kind::simple || kind == Kind::bulk; }
    /// An error whose first word is `code` (`MOVED`, `NOGROUP`, `WRONGTYPE`).
    [[nodiscard]] bool is_error(std::string_view code) const noexcept {
        return is_error() && text.starts_with(code) && (text.size() == code.size() || text[code.size()] == ' ');
    }
    /// The user that asked lacks a right. Source: ACL.c and script.c of Redis 6 to 8; up to 7.0 a script is told so as
    /// ERR.
    [[nodiscard]] bool is_denial() const noexcept {
        return is_error("NOPERM") || (is_error() && text.starts_with("ERR The user executing the script can't"));
    }
    /// The number in an integer or in decimal text; `otherwise` when there is none.
    [[nodiscard]] std::int64_t to_integer(std::int64_t otherwise = 0) const noexcept;
};

/// Appends a command as an array of bulk strings.
void append_command(std::string& out, std::span<const std::string_view> args);

/// The bytes that append_command() appends.
[[nodiscard]] std::size_t command_bytes(std::span<const std::string_view> args) noexcept;

/// Takes a stream of replies apart, in pieces of any size.
///
/// Work and memory follow the bytes that have come, never what a header claims; a byte is looked at once however the
/// stream is cut. In steady state nothing is allocated: one buffer and two tables are used again for each reply.
class Reader {
public:
    static constexpr std::size_t default_max_bytes = std::size_t{64} << 20U;
    static constexpr std::size_t max_elements = std::size_t{1} << 20U;  ///< of one reply, nested ones included
    static constexpr std::size_t max_depth = 8;                         ///< arrays within arrays
    static constexpr std::size_t max_line_bytes = 65536;                ///< of a simple string or an error

    /// `max_bytes` is the size of one whole reply, protocol bytes included; at most 4 GiB.
    explicit Reader(std::size_t max_bytes = default_max_bytes)
        : max_bytes_(std::min(max_bytes, std::size_t{UINT32_MAX})) {}

    /// Adds bytes as they came. Views of earlier replies end here.
    void feed(std::string_view bytes);

    /// The same without a copy: at least `at_least` bytes of room to read into, of which added() then says how many
    /// were filled. Views of earlier replies end at room().
    [[nodiscard]] std::span<char> room(std::size_t at_least);
    void added(std::size_t bytes) noexcept { end_ += bytes; }

    /// The next whole reply, or null while it is incomplete. The reply and its views live until the next call of
    /// next(), feed(), room() or reset().
    ///
    /// Errors: `malformed` for what RESP2 does not allow, `too_large` when a limit is passed, which is known as soon
    /// as a header claims it. After an error the stream cannot be read on: next() answers the same until reset().
    Result<const Reply*> next();

    /// Forgets everything, the error included.
    void reset() noexcept;

    /// Bytes that have come and belong to no reply given out yet.
    [[nodiscard]] std::size_t bytes_held() const noexcept { return end_ - begin_ - done_bytes_; }

private:
    // An element while the reply is incomplete: where it is, from the reply's begin. The buffer may still move.
    struct Element {
        Reply::Kind kind;
        std::uint32_t size;  // bytes of text, elements of an array
        std::int64_t value;  // an integer, or the offset of text
    };
    enum class Step : std::uint8_t { more, element, failed };

    Step parse_element();
    Step parse_line(char type, std::string_view line);
    Step finish_bulk();
    Step add(Reply::Kind kind, std::size_t size, std::int64_t value);
    Step give_up(Errc code, std::string what);
    bool is_whole() noexcept;
    const Reply* build();
    void drop_reply() noexcept;

    std::size_t max_bytes_;
    std::unique_ptr<char[]> data_;
    std::size_t capacity_ = 0;
    std::size_t begin_ = 0;       // of the reply that is read or was given out last
    std::size_t end_ = 0;         // of what has come
    std::size_t at_ = 0;          // of the next element, from begin_
    std::size_t scanned_ = 0;     // bytes from at_ known to hold no line end
    std::size_t done_bytes_ = 0;  // of the reply given out last, dropped at the next call
    std::size_t bulk_bytes_ = 0;  // of the bulk whose header has been read
    bool in_bulk_ = false;
    std::size_t owed_ = 0;           // elements that open arrays still want, all together
    std::vector<Element> elements_;  // in the order they came
    std::uint32_t left_[max_depth] = {};
    std::size_t depth_ = 0;  // open arrays; left_[0 .. depth_) are the elements each still wants
    std::vector<Reply> replies_;
    bool failed_ = false;
    Error error_{Errc::malformed, {}};
};

}  // namespace sio::redis
