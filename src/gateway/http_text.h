// The fixed parts of HTTP answers.
#pragma once

#include <string>
#include <string_view>

#include "base/timer_wheel.h"

namespace sio::gateway {

/// Appends `HTTP/1.1 404 Not Found` and CRLF.
void append_status_line(std::string& out, int status);

/// Appends a Date header; formatted once a second. `wall_clock` in milliseconds since 1970.
void append_date(std::string& out, base::Millis wall_clock);

/// `body` compressed with `encoding` (`gzip` or `deflate`, which is a zlib stream, or `br`); empty on failure.
std::string compress(std::string_view encoding, std::string_view body);

}  // namespace sio::gateway
