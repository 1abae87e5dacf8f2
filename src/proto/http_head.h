// HTTP/1.1 request heads, strictly parsed, and chunked bodies.
//
// Our own and not a library's: Debian 12 has only http-parser, abandoned upstream and lenient where request smuggling
// begins. What a server of one path needs is small enough to be strict in. Source: RFC 9112.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sio::proto {

struct HttpHeader {
    std::string_view name;   ///< as written
    std::string_view value;  ///< without blanks at its ends
};

/// A parsed request head. Views point into the bytes given to parse_http_head().
struct HttpHead {
    static constexpr std::size_t max_headers = 100;  ///< more: 431

    std::string_view method;
    std::string_view target;  ///< as written
    std::string_view path;    ///< target up to `?`
    std::string_view query;   ///< after `?`, without `#…`
    bool http_1_0 = false;
    bool keep_alive = true;          ///< by version and Connection
    bool upgrade_websocket = false;  ///< Connection names upgrade, and Upgrade is exactly `websocket`
    bool has_upgrade = false;        ///< any Upgrade header
    bool expect_continue = false;
    bool chunked = false;
    std::uint64_t content_length = 0;
    std::array<HttpHeader, max_headers> headers;
    std::size_t header_count = 0;

    /// The value of the first header of that name (any case), or nothing.
    [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const noexcept;
};

/// Why a head was refused: the status to answer before closing.
struct HttpRefusal {
    int status;               ///< 400, 413, 431, 501, 505
    std::string_view reason;  ///< for the log
};

/// The length of the head at the start of `bytes` (its final CRLFCRLF included), or 0 while it is not complete. Empty
/// lines (CRLF) before the request line are not part of it: skip them first.
std::size_t find_http_head(std::string_view bytes) noexcept;

/// Parses one complete head (its CRLFCRLF included) into `out`.
///
/// Refused, each with 400 unless said otherwise: bare CR or LF, NUL or other control characters (TAB in values is
/// fine), obs-fold, blanks before the colon, invalid names, methods or targets, a missing or repeated Host (1.1), any
/// Content-Length that is not digits or is repeated with another value, Content-Length beside Transfer-Encoding,
/// Transfer-Encoding other than exactly `chunked` (501) or in HTTP/1.0, other versions (505), too many headers (431).
std::optional<HttpRefusal> parse_http_head(std::string_view head, HttpHead& out) noexcept;

/// A header as Node's servers give it to their users: UTF-8, each byte above ASCII a character of Latin-1; several
/// lines of that name joined by ", " (Cookie's by "; "), but of those that Node knows to stand once the first alone.
/// Nothing when it is absent.
std::optional<std::string> header_text(const HttpHead& head, std::string_view name);

/// A name or a value of a query, decoded as Node and browsers do: `+` is a blank, malformed escapes stay, and what is
/// no UTF-8 then becomes U+FFFD. Source: WHATWG URL, application/x-www-form-urlencoded.
std::string decode_query(std::string_view text);

/// The last value of a query parameter, decoded; nothing when it is absent.
std::optional<std::string> query_parameter(std::string_view query, std::string_view name);

/// Which of the codings `br`, `gzip`, `deflate`, `identity` an Accept-Encoding header prefers among those enabled
/// (given in the server's order of preference, which decides ties). Honours q-values and `*`. "identity" when none.
std::string_view choose_encoding(std::string_view accept_encoding, std::string_view const* offered,
                                 std::size_t offered_count) noexcept;

/// Which of the media types offered (`type/subtype`, in lower case, in the server's order of preference) an Accept
/// header prefers: by quality, then by how exactly the header names it, then in that order. Each type's quality is that
/// of the most specific range it is in, parameters aside. Nothing when none is acceptable; the first for an empty
/// header. Source: RFC 9110, section 12.5.1.
std::optional<std::size_t> choose_media_type(std::string_view accept,
                                             std::span<const std::string_view> offered) noexcept;

/// Decodes a chunked body piece by piece. Extensions are skipped, trailers dropped (at most 8 KiB of either). Strict:
/// CRLF only, hexadecimal sizes without blanks or sign.
class ChunkedDecoder {
public:
    enum class State { more, done, error };

    /// Takes bytes from the front of `in` (advancing it) and appends body bytes to `body`; stops with `error` before
    /// `body` would exceed `max_body` (then too_large() is true) or when the framing is wrong.
    State feed(std::string_view& in, std::string& body, std::size_t max_body);
    [[nodiscard]] bool too_large() const noexcept { return too_large_; }

private:
    enum class Step : std::uint8_t {
        size,
        extension,
        size_lf,
        data,
        data_cr,
        data_lf,
        trailer,
        trailer_lf,
        end_lf,
        done,
        bad
    };
    Step step_ = Step::size;
    bool too_large_ = false;
    std::uint8_t size_digits_ = 0;
    bool trailer_empty_ = true;
    std::uint32_t skipped_ = 0;
    std::uint64_t left_ = 0;
};

}  // namespace sio::proto
