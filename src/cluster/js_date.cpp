#include "cluster/js_date.h"

#include <array>
#include <cstddef>
#include <cstdio>
#include <string_view>

namespace sio::cluster {
namespace {

struct Moment {
    int year;
    unsigned month;  // 1 to 12
    unsigned day;
    unsigned weekday;  // 0 is Sunday
    unsigned hour, minute, second, milli;
};

/// Howard Hinnant's civil_from_days: std::chrono::year stops at 32767, a JavaScript Date does not.
Moment moment(std::int64_t ms) noexcept {
    constexpr std::int64_t day_ms = 86'400'000;
    const std::int64_t days = (ms >= 0 ? ms : ms - (day_ms - 1)) / day_ms;
    const auto rest = static_cast<unsigned>(ms - days * day_ms);
    const std::int64_t z = days + 719'468;
    const std::int64_t era = (z >= 0 ? z : z - 146'096) / 146'097;
    const auto doe = static_cast<unsigned>(z - era * 146'097);
    const unsigned yoe = (doe - doe / 1460 + doe / 36'524 - doe / 146'096) / 365;
    const unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    const unsigned mp = (5 * doy + 2) / 153;
    Moment out{};
    out.day = doy - (153 * mp + 2) / 5 + 1;
    out.month = mp < 10 ? mp + 3 : mp - 9;
    out.year = static_cast<int>(std::int64_t{yoe} + era * 400) + (out.month <= 2 ? 1 : 0);
    out.weekday = static_cast<unsigned>(((days + 4) % 7 + 7) % 7);
    out.hour = rest / 3'600'000;
    out.minute = rest / 60'000 % 60;
    out.second = rest / 1000 % 60;
    out.milli = rest % 1000;
    return out;
}

template <typename... Arguments>
void append_formatted(std::string& out, const char* format, Arguments... arguments) {
    std::array<char, 96> text;
    const int length = std::snprintf(text.data(), text.size(), format, arguments...);
    if (length > 0) out.append(text.data(), static_cast<std::size_t>(length));
}

}  // namespace

void append_iso_date(std::string& out, std::int64_t ms) {
    const Moment at = moment(ms);
    if (at.year >= 0 && at.year <= 9999) {
        append_formatted(out, "%04d", at.year);
    } else {
        append_formatted(out, "%c%06d", at.year < 0 ? '-' : '+', at.year < 0 ? -at.year : at.year);
    }
    append_formatted(out, "-%02u-%02uT%02u:%02u:%02u.%03uZ", at.month, at.day, at.hour, at.minute, at.second, at.milli);
}

void append_date_text(std::string& out, std::int64_t ms) {
    constexpr std::array<const char*, 7> weekdays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    constexpr std::array<const char*, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const Moment at = moment(ms);
    append_formatted(out, "%s %s %02u %s%0*d %02u:%02u:%02u GMT+0000 (Coordinated Universal Time)",
                     weekdays[at.weekday], months[at.month - 1], at.day, at.year < 0 ? "-" : "", at.year < 0 ? 6 : 4,
                     at.year < 0 ? -at.year : at.year, at.hour, at.minute, at.second);
}

}  // namespace sio::cluster
