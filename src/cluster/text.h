// Text from others, as JavaScript would have read and printed it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sio::cluster {

/// The code point at `pos` (less than the length), which moves past it. U+FFFD for what is no UTF-8: one for each
/// longest piece that could have begun a sequence, as the WHATWG decoder does.
std::uint32_t next_code_point(std::string_view text, std::size_t& pos) noexcept;

/// Appends `text` as a JSON string with quotes, what is no UTF-8 as U+FFFD.
void append_json_string(std::string& out, std::string_view text);

/// Appends a number as JavaScript prints it in JSON: the shortest text that reads back the same, `null` for NaN and
/// infinities, `0` for -0.
void append_json_number(std::string& out, double number);

}  // namespace sio::cluster
