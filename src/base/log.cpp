#include "base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <mutex>
#include <vector>

#include "base/bytes.h"
#include "base/unique_fd.h"

namespace sio::log {
namespace {

constexpr std::size_t max_value_bytes = 512;
constexpr std::size_t room_for_ending = 32;
constexpr std::array<std::string_view, 6> level_names = {"trace", "debug", "info", "warn", "error", "fatal"};

struct Pattern {
    std::string text;
    bool excludes;
};

struct Sink {
    std::mutex mutex;
    base::UniqueFd file;
    std::string path;
    Format format = Format::text;
    bool journal = false;
    std::uint64_t lost = 0;
};

// Never destroyed: another object's destructor may still log.
Sink& sink() noexcept {
    static Sink* const the_sink = new Sink;
    return *the_sink;
}

std::vector<Pattern>& patterns() noexcept {
    static auto* const the_patterns = new std::vector<Pattern>;
    return *the_patterns;
}

void refresh_lowest() noexcept {
    const int base = detail::base_level.load();
    const int debug = static_cast<int>(Level::debug);
    detail::lowest_level.store(patterns().empty() || base < debug ? base : debug);
}

/// Reads one character of `text` at `pos`; bytes that are not UTF-8 come back one by one as U+FFFD.
char32_t next_character(std::string_view text, std::size_t& pos) noexcept {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned lead = byte(pos);
    const std::size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (length == 1 || !base::is_utf8(text.substr(pos, length))) {
        ++pos;
        return lead < 0x80 ? lead : 0xFFFD;
    }
    char32_t character = lead & (0xFFU >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) character = (character << 6U) | (byte(pos + i) & 0x3FU);
    pos += length;
    return character;
}

/// Controls, and what reorders or breaks lines on a screen.
bool is_unsafe(char32_t c) noexcept {
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) ||
           c == 0x200E || c == 0x200F || c == 0xFEFF || c == 0xFFFD;
}

void append_escape(std::string& out, char32_t c) {
    constexpr std::string_view digits = "0123456789abcdef";
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) out += digits[(c >> static_cast<unsigned>(shift)) & 0xFU];
}

void append_quoted(std::string& out, std::string_view text) {
    out += '"';
    for (std::size_t pos = 0; pos < text.size();) {
        const std::size_t begin = pos;
        const char32_t c = next_character(text, pos);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += static_cast<char>(c);
        } else if (c == '\n') {
            out += "\\n";
        } else if (is_unsafe(c)) {
            append_escape(out, c);
        } else {
            out += text.substr(begin, pos - begin);
        }
    }
    out += '"';
}

bool may_stand_bare(std::string_view text) noexcept {
    for (const char c : text) {
        if (c <= ' ' || c > '~' || c == '"' || c == '\\' || c == '=') return false;
    }
    return !text.empty();
}

/// At most max_value_bytes of `text`, ending between two characters.
std::string_view shortened(std::string_view text) noexcept {
    if (text.size() <= max_value_bytes) return text;
    std::size_t end = max_value_bytes;
    while (end > max_value_bytes - 4 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
    return text.substr(0, end);
}

void append_text(std::string& out, std::string_view text, Format format) {
    const std::string_view shown = shortened(text);
    if (format == Format::text && may_stand_bare(shown)) {
        out += shown;
    } else {
        append_quoted(out, shown);
    }
    if (shown.size() == text.size()) return;
    constexpr std::string_view ellipsis = "…";
    if (out.back() == '"') {
        out.insert(out.size() - 1, ellipsis);
    } else {
        out += ellipsis;
    }
}

template <typename T>
void append_number(std::string& out, T number) {
    std::array<char, 32> digits{};
    const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), number);
    if (error == std::errc{}) out.append(digits.data(), end);
}

bool names_a_secret(std::string_view key) noexcept {
    constexpr std::array<std::string_view, 6> secrets = {"token",    "cookie", "authorization",
                                                         "password", "secret", "auth"};
    for (const auto secret : secrets) {
        if (key == secret) return true;
    }
    return false;
}

void append_value(std::string& out, const Field& field, Format format) {
    if (names_a_secret(field.key)) {
        append_text(out, "[hidden]", format);
        return;
    }
    const auto& value = field.value.get();
    if (const auto* text = std::get_if<std::string_view>(&value)) {
        append_text(out, *text, format);
    } else if (const auto* number = std::get_if<std::int64_t>(&value)) {
        append_number(out, *number);
    } else if (const auto* truth = std::get_if<bool>(&value)) {
        out += *truth ? "true" : "false";
    } else if (const double fraction = std::get<double>(value); std::isfinite(fraction)) {
        append_number(out, fraction);
    } else {
        out += "null";
    }
}

void append_field(std::string& out, const Field& field, Format format) {
    if (format == Format::json) {
        out += ",\"";
        out += field.key;
        out += "\":";
    } else {
        out += ' ';
        out += field.key;
        out += '=';
    }
    append_value(out, field, format);
}

void append_time(std::string& out) {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    tm parts{};
    gmtime_r(&now.tv_sec, &parts);
    std::array<char, 48> text{};
    const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S.", &parts);
    out.append(text.data(), length);
    const auto ms = now.tv_nsec / 1'000'000;
    out += static_cast<char>('0' + ms / 100);
    out += static_cast<char>('0' + ms / 10 % 10);
    out += static_cast<char>('0' + ms % 10);
    out += 'Z';
}

/// The syslog severity of a level, as the journal reads it: `<6>`. Source: sd-daemon(3).
std::string_view journal_prefix(Level level) noexcept {
    switch (level) {
        case Level::trace:
        case Level::debug: return "<7>";
        case Level::info: return "<6>";
        case Level::warn: return "<4>";
        case Level::error: return "<3>";
        case Level::fatal: return "<2>";
    }
    return "<6>";
}

std::string compose(const Sink& to, Level level, std::string_view component, std::string_view event,
                    std::initializer_list<Field> fields) {
    std::string out;
    out.reserve(256);
    const bool json = to.format == Format::json;
    if (json) {
        out += "{\"time\":\"";
        append_time(out);
        out += "\",\"level\":\"";
        out += to_string(level);
        out += "\",\"component\":\"";
        out += component;
        out += "\",\"event\":\"";
        out += event;
        out += '"';
    } else {
        if (to.journal) {
            out += journal_prefix(level);
        } else {
            append_time(out);
            out += ' ';
            out += to_string(level);
            out += ' ';
        }
        out += component;
        out += ' ';
        out += event;
    }
    for (const Field& field : fields) {
        const std::size_t before = out.size();
        append_field(out, field, to.format);
        if (out.size() <= max_line_bytes - room_for_ending) continue;
        out.resize(before);
        append_field(out, {"cut", true}, to.format);
        break;
    }
    out += json ? "}\n" : "\n";
    return out;
}

/// Whether the line is out. False when the reader does not read just now. Regular files are always ready; a pipe or
/// socket is when a page fits.
bool put(int fd, std::string_view line) noexcept {
    pollfd ready{fd, POLLOUT, 0};
    if (::poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0) return false;
    while (!line.empty()) {
        const ssize_t written = ::write(fd, line.data(), line.size());
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        line.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

Result<base::UniqueFd> open_file(const std::string& path) {
    base::UniqueFd fd{::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640)};
    if (!fd) return fail(Errc::io, "cannot open log file " + path + ": " + std::strerror(errno));
    return fd;
}

/// Whether stderr is the socket that the supervisor connected to the journal. Source: systemd.exec(5), JOURNAL_STREAM.
bool stderr_is_journal() {
    const char* const stream = std::getenv("JOURNAL_STREAM");
    struct stat status {};
    if (stream == nullptr || ::fstat(STDERR_FILENO, &status) != 0) return false;
    return stream == std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino);
}

}  // namespace

namespace detail {

bool debugged(std::string_view component) noexcept {
    std::array<char, 64> name{'s', 'i', 'o', ':'};
    const std::size_t length = std::min(component.size(), name.size() - 4);
    std::memcpy(name.data() + 4, component.data(), length);
    const std::string_view full(name.data(), length + 4);
    bool wanted = false;
    for (const Pattern& pattern : patterns()) {
        if (!base::matches_glob(pattern.text, full)) continue;
        if (pattern.excludes) return false;
        wanted = true;
    }
    return wanted;
}

void write(Level level, std::string_view component, std::string_view event,
           std::initializer_list<Field> fields) noexcept {
    Sink& to = sink();
    const std::lock_guard lock(to.mutex);
    const int fd = to.file ? to.file.get() : STDERR_FILENO;
    if (to.lost > 0) {
        const std::string notice = compose(to, Level::warn, "log", "log_lines_lost", {{"lost", to.lost}});
        if (put(fd, notice)) to.lost = 0;
    }
    if (to.lost > 0 || !put(fd, compose(to, level, component, event, fields))) ++to.lost;
}

}  // namespace detail

std::optional<Level> parse_level(std::string_view name) noexcept {
    if (base::equal_ignoring_case(name, "warning")) return Level::warn;
    for (std::size_t i = 0; i < level_names.size(); ++i) {
        if (base::equal_ignoring_case(name, level_names[i])) return static_cast<Level>(i);
    }
    return std::nullopt;
}

std::string_view to_string(Level level) noexcept { return level_names[static_cast<std::size_t>(level)]; }

void set_level(Level level) noexcept {
    detail::base_level.store(static_cast<int>(level));
    refresh_lowest();
}

Level level() noexcept { return static_cast<Level>(detail::base_level.load()); }

void set_debug(std::string_view list) {
    patterns().clear();
    while (!list.empty()) {
        const std::size_t end = std::min(list.find_first_of(", \t"), list.size());
        std::string_view word = list.substr(0, end);
        list.remove_prefix(std::min(end + 1, list.size()));
        if (word.empty()) continue;
        const bool excludes = word.front() == '-';
        if (excludes) word.remove_prefix(1);
        const bool foreign = word.starts_with("socket.io") || word.starts_with("engine");
        patterns().push_back({foreign ? "sio:*" : std::string(word), excludes});
    }
    refresh_lowest();
}

Result<void> open(Format format, const std::string& path) {
    base::UniqueFd file;
    if (!path.empty()) {
        auto opened = open_file(path);
        if (!opened) return tl::unexpected(opened.error());
        file = std::move(*opened);
    }
    Sink& to = sink();
    const std::lock_guard lock(to.mutex);
    to.journal = path.empty() && stderr_is_journal();
    to.format = format;
    to.path = path;
    to.file = std::move(file);
    return {};
}

Result<void> reopen() {
    Sink& to = sink();
    const std::lock_guard lock(to.mutex);
    if (to.path.empty()) return {};
    auto opened = open_file(to.path);
    if (!opened) return tl::unexpected(opened.error());
    to.file = std::move(*opened);
    return {};
}

}  // namespace sio::log
