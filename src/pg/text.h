// Words: names of SQL, and messages of libpq as they may be shown.
#pragma once

#include <string>
#include <string_view>

namespace sio::pg {

/// One quoted SQL identifier; what it holds is not judged.
std::string quote_name(std::string_view name);

/// The first line of a message of libpq, without blanks at its end; empty for null.
std::string first_line(const char* message);

/// `text` with each occurrence of `secret` replaced by "…". Secrets of less than 4 bytes are left: they would be found
/// in any text.
std::string hide(std::string text, std::string_view secret);

/// `text` with all that stands in double quotes replaced by "…": libpq quotes parts of a URL that may be a password.
std::string without_quotations(std::string_view text);

}  // namespace sio::pg
