// Bytes and text: base64, UTF-8, percent-encoding, bounded numbers. No I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sio::base {

/// Appends the standard base64 of `data`, with padding.
void append_base64(std::string& out, std::string_view data);

/// Decodes base64 as leniently as Node does: the standard and the URL-safe alphabet, with or without padding; line
/// feeds, carriage returns and blanks are skipped (Java breaks lines each 76 characters); decoding ends at the first
/// `=`. Returns nothing when any other character is met.
std::optional<std::string> decode_base64(std::string_view text);

/// Appends each byte as two digits in lower case.
void append_hex(std::string& out, std::string_view data);
inline std::string to_hex(const unsigned char* data, std::size_t size) {
    std::string out;
    append_hex(out, {reinterpret_cast<const char*>(data), size});
    return out;
}

/// A streaming UTF-8 check (RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF).
///
/// feed() returns false at the first byte that can no longer become valid text; at_boundary() is false inside a
/// sequence. Four bytes of state; never allocates.
class Utf8Validator {
public:
    bool feed(std::string_view bytes) noexcept;
    [[nodiscard]] bool at_boundary() const noexcept { return state_ == 0; }
    void reset() noexcept { state_ = 0; }

private:
    std::uint32_t state_ = 0;
};

/// Whether `text` is complete, valid UTF-8. Pure ASCII is checked eight bytes at a time.
bool is_utf8(std::string_view text) noexcept;

/// `text` with U+FFFD in the place of what is no UTF-8: of each longest beginning of a character, or of a byte, as
/// browsers and Node do. Source: Unicode 15, section 3.9, "U+FFFD Substitution of Maximal Subparts".
std::string valid_utf8(std::string text);

/// UTF-8 of text in Latin-1, in which each byte is a character.
std::string latin1_to_utf8(std::string_view text);

/// Decodes `%XX` and, when `plus_is_space`, `+`. A malformed escape stays as it is written, as browsers do.
std::string percent_decode(std::string_view text, bool plus_is_space);

/// Parses decimal digits only (no sign, no blanks). Nothing for an empty text, another character or a value above
/// `max`.
std::optional<std::uint64_t> parse_decimal(std::string_view digits, std::uint64_t max = UINT64_MAX) noexcept;

/// ASCII comparison without case, as HTTP field names need it.
bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept;

/// `text` without blanks and tabs at its ends.
std::string_view trim(std::string_view text) noexcept;

/// Whether `text` matches `pattern`, in which `*` stands for any run of characters but those in `barred`. At most the
/// product of their lengths in steps.
bool matches_glob(std::string_view pattern, std::string_view text, std::string_view barred = {}) noexcept;

/// `text` with control characters as `\u00XX`, so that a message with it stays one line and does nothing to a terminal.
std::string one_line(std::string_view text);

}  // namespace sio::base
