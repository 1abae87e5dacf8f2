// base64url as tokens demand it (RFC 7515, section 2): no padding, no blanks, no bits left over. Private to src/auth.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace sio::auth {

/// Whether `text` is the one encoding of some bytes: characters of the URL-safe alphabet only, a length that occurs,
/// and unused bits of the last character zero. The empty text is.
bool is_base64url(std::string_view text) noexcept;

/// The number of bytes that a text for which is_base64url() holds stands for.
constexpr std::size_t decoded_size(std::string_view text) noexcept {
    return text.size() / 4 * 3 + (text.size() % 4 == 0 ? 0 : text.size() % 4 - 1);
}

/// The bytes, or nothing when is_base64url() does not hold.
std::optional<std::string> decode_base64url(std::string_view text);

void append_base64url(std::string& out, std::string_view bytes);
std::string base64url(std::string_view bytes);

}  // namespace sio::auth
