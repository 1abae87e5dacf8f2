// One line per event: `event key=value`, as text or JSON, to stderr or a file.
//
//     log::info("gateway", "client_connected", {{"sid", sid}, {"took_ms", 12}});
//
// A line that is not wanted costs a load and a branch. A line that is wanted is one write(2) of at most max_line_bytes;
// it never waits for a reader that does not read: such lines are counted, and `log_lines_lost` tells how many once the
// reader is back. Values are quoted when they hold blanks, quotes or control characters, so that no text from a
// stranger can forge a line or move a terminal's cursor. Values whose key names a secret (`token`, `cookie`,
// `authorization`, `password`, `secret`, `auth`) are replaced by `[hidden]`; do not rely on it.
//
// Any thread may log. open() and set_debug() belong to the start of the program, before there are threads.
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "base/result.h"

namespace sio::log {

/// What a reader should do: nothing (trace, debug, info), note that we coped (warn), look at the peer or record that
/// failed (error), restart us (fatal).
enum class Level : std::uint8_t { trace, debug, info, warn, error, fatal };

enum class Format : std::uint8_t { text, json };

/// A line is never longer, its line feed included: one page, so that a write to a pipe is atomic.
inline constexpr std::size_t max_line_bytes = 4096;

/// A value in a line: text, a whole number, a fraction or a truth. Text is a view: it lives as long as the call.
class Value {
public:
    Value(std::string_view text) noexcept : value_(text) {}
    Value(const char* text) noexcept : value_(std::string_view(text)) {}
    Value(const std::string& text) noexcept : value_(std::string_view(text)) {}
    Value(bool truth) noexcept : value_(truth) {}
    Value(double fraction) noexcept : value_(fraction) {}
    /// Unsigned values above INT64_MAX are shown as INT64_MAX.
    template <std::integral T>
    requires(!std::same_as<T, bool>) Value(T number)
    noexcept : value_(clamp(number)) {}

    [[nodiscard]] const auto& get() const noexcept { return value_; }

private:
    template <std::integral T>
    static std::int64_t clamp(T number) noexcept {
        if constexpr (std::is_unsigned_v<T> && sizeof(T) >= sizeof(std::int64_t)) {
            constexpr auto most = static_cast<T>(std::numeric_limits<std::int64_t>::max());
            return static_cast<std::int64_t>(number > most ? most : number);
        } else {
            return static_cast<std::int64_t>(number);
        }
    }
    std::variant<std::string_view, std::int64_t, double, bool> value_;
};

/// One `key=value`. Keys are lower case with underscores, come from our source only, and mean the same everywhere
/// (`sid`, `user`, `reason`, `took_ms`).
struct Field {
    std::string_view key;
    Value value;
};

namespace detail {
inline std::atomic<int> base_level{static_cast<int>(Level::info)};    // wanted of every component
inline std::atomic<int> lowest_level{static_cast<int>(Level::info)};  // wanted of some component
bool debugged(std::string_view component) noexcept;
void write(Level level, std::string_view component, std::string_view event,
           std::initializer_list<Field> fields) noexcept;
}  // namespace detail

/// Whether a line of this level and component is written. Ask before work that only a log line needs.
inline bool enabled(Level level, std::string_view component) noexcept {
    const int wanted = static_cast<int>(level);
    if (wanted < detail::lowest_level.load(std::memory_order_relaxed)) [[likely]]
        return false;
    return wanted >= detail::base_level.load(std::memory_order_relaxed) || detail::debugged(component);
}

/// Writes a line when its level is wanted. `component` is the short name that DEBUG= selects (`gateway`, `http`, `ws`,
/// `room`, `routes`, `admin`); `event` is a word.
inline void line(Level level, std::string_view component, std::string_view event,
                 std::initializer_list<Field> fields = {}) noexcept {
    if (enabled(level, component)) detail::write(level, component, event, fields);
}
inline void trace(std::string_view c, std::string_view event, std::initializer_list<Field> fields = {}) noexcept {
    line(Level::trace, c, event, fields);
}
inline void debug(std::string_view c, std::string_view event, std::initializer_list<Field> fields = {}) noexcept {
    line(Level::debug, c, event, fields);
}
inline void info(std::string_view c, std::string_view event, std::initializer_list<Field> fields = {}) noexcept {
    line(Level::info, c, event, fields);
}
inline void warn(std::string_view c, std::string_view event, std::initializer_list<Field> fields = {}) noexcept {
    line(Level::warn, c, event, fields);
}
inline void error(std::string_view c, std::string_view event, std::initializer_list<Field> fields = {}) noexcept {
    line(Level::error, c, event, fields);
}
inline void fatal(std::string_view c, std::string_view event, std::initializer_list<Field> fields = {}) noexcept {
    line(Level::fatal, c, event, fields);
}

/// The level named `trace`, `debug`, `info`, `warn` (or `warning`), `error` or `fatal`, in any case.
std::optional<Level> parse_level(std::string_view name) noexcept;
std::string_view to_string(Level level) noexcept;

/// Sets the level for all components. May be called at any time, from any thread.
void set_level(Level level) noexcept;
Level level() noexcept;

/// Sets which components are written from `debug` up whatever the level: a list of patterns separated by commas or
/// blanks, `*` for any characters, a leading `-` to exclude: `sio:*,-sio:ws`. A component `ws` is matched as `sio:ws`.
/// What the `debug` package of Node would take for Socket.IO (`socket.io:*`, `engine.io*`) means all of ours.
/// Exclusions take nothing away from set_level().
void set_debug(std::string_view patterns);

/// Says where lines go and how they look. An empty `path` is stderr. The file is created with mode 0640 and appended
/// to.
///
/// On stderr that is the journal's socket (JOURNAL_STREAM names it) text lines carry the journal's priority prefix
/// instead of time and level.
///
/// Errors: `io` when the file cannot be opened; lines go where they went before.
Result<void> open(Format format, const std::string& path);

/// Opens the file anew, after it was renamed by a log rotator. Nothing for stderr. Errors: as open().
Result<void> reopen();

}  // namespace sio::log
