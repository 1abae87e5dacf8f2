// Dates as JavaScript prints them, in UTC.
#pragma once

#include <cstdint>
#include <string>

namespace sio::cluster {

/// How far from 1970 a JavaScript Date reaches, in milliseconds.
inline constexpr std::int64_t max_date_ms = 8'640'000'000'000'000;

/// Appends `2026-11-23T07:35:53.120Z`; years beyond four digits as `+010000-…`, before the year 0 as `-000001-…`.
/// `ms` is Unix time within max_date_ms.
void append_iso_date(std::string& out, std::int64_t ms);

/// Appends `Mon Nov 23 2026 07:35:53 GMT+0000 (Coordinated Universal Time)`, as `new Date(ms) + ""` where the zone is
/// UTC.
void append_date_text(std::string& out, std::int64_t ms);

}  // namespace sio::cluster
