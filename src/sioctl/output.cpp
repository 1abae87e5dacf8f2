#include "sioctl/output.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <utility>

#include "base/json.h"

namespace sio::sioctl {

namespace {

/// Writes all of it. False when the descriptor takes no more.
bool write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::write(fd, bytes.data(), bytes.size());
        if (n >= 0) {
            bytes.remove_prefix(static_cast<std::size_t>(n));
        } else if (errno == EAGAIN) {  // somebody else made the terminal or pipe non-blocking
            pollfd wait{fd, POLLOUT, 0};
            ::poll(&wait, 1, 1000);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

/// The character at text[at], if a terminal acts on it instead of showing it: C0 and C1 controls, DEL, what turns the
/// direction of writing, and Unicode's own line ends. `bytes` is 0 for any other.
struct Control {
    std::uint32_t code = 0;
    std::size_t bytes = 0;
};

Control control_at(std::string_view text, std::size_t at) noexcept {
    const auto byte = [&](std::size_t i) -> std::uint32_t {
        return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0;
    };
    const std::uint32_t first = byte(0);
    if (first < 0x20 || first == 0x7F) return {first, 1};
    if (first == 0xC2 && byte(1) >= 0x80 && byte(1) < 0xA0) return {byte(1), 2};
    if (first == 0xD8 && byte(1) == 0x9C) return {0x061C, 2};
    if (first != 0xE2 || (byte(1) != 0x80 && byte(1) != 0x81) || (byte(2) & 0xC0U) != 0x80) return {};
    const std::uint32_t code = 0x2000U + ((byte(1) & 0x3FU) << 6U) + (byte(2) & 0x3FU);
    const bool acts =
        code == 0x200E || code == 0x200F || (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
    return acts ? Control{code, 3} : Control{};
}

std::size_t width(std::string_view text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

Output::Output() : is_terminal_(is_terminal()) { std::signal(SIGPIPE, SIG_IGN); }

bool Output::is_terminal() { return isatty(STDOUT_FILENO) == 1; }

void Output::line(std::string_view text) {
    pending_ += is_terminal_ ? escaped(text) : std::string(text);
    pending_ += '\n';
    if (pending_.size() > 65536) flush();
}

void Output::clear() {
    if (is_terminal_) pending_ += "\x1b[H\x1b[2J";
}

void Output::flush() {
    if (open_ && !write_all(STDOUT_FILENO, pending_)) open_ = false;
    pending_.clear();
}

void complain(std::string_view text) {
    std::string lines;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        lines += "sioctl: " + printable(text.substr(0, end)) + "\n";
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    write_all(STDERR_FILENO, lines);
}

std::string printable(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size();) {
        const auto [code, bytes] = control_at(text, i);
        if (bytes == 0 || code > 0x9F) {  // the latter are escaped where there is a terminal
            out += text[i++];
            continue;
        }
        out += '?';
        i += bytes;
    }
    return out;
}

std::string escaped(std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size();) {
        const auto [code, bytes] = control_at(text, i);
        if (bytes == 0 || code == '\n' || code == '\t') {
            out += text[i++];
            continue;
        }
        out += "\\u";
        for (unsigned shift = 16; shift > 0; shift -= 4) out += digits[code >> (shift - 4U) & 0xFU];
        i += bytes;
    }
    return out;
}

std::string indented(std::string_view json) {
    std::string out;
    std::size_t depth = 0;
    const auto new_line = [&] {
        out += '\n';
        out.append(depth * 2, ' ');
    };
    bool in_text = false;
    for (std::size_t i = 0; i < json.size(); ++i) {
        const char c = json[i];
        if (in_text) {
            out += c;
            if (c == '\\' && i + 1 < json.size()) out += json[++i];
            if (c == '"') in_text = false;
        } else if (c == '"') {
            in_text = true;
            out += c;
        } else if (c == '{' || c == '[') {
            out += c;
            std::size_t next = i + 1;
            while (next < json.size() && (json[next] == ' ' || json[next] == '\t')) ++next;
            if (next < json.size() && (json[next] == '}' || json[next] == ']')) {
                out += json[next];
                i = next;
                continue;
            }
            ++depth;
            new_line();
        } else if (c == '}' || c == ']') {
            if (depth > 0) --depth;
            new_line();
            out += c;
        } else if (c == ',') {
            out += c;
            new_line();
        } else if (c == ':') {
            out += ": ";
        } else if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
            out += c;
        }
    }
    return out;
}

std::string cell(std::string_view json) {
    if (json.empty() || json == "null") return "-";
    if (json::kind_of(json) != json::Kind::string) return printable(json);
    const std::string text = json::decode_string(json);
    return text.empty() ? "-" : printable(text);
}

void Table::print(Output& out) const {
    if (rows_.size() < 2) return;
    std::vector<std::size_t> widths(rows_.front().size(), 0);
    for (const auto& row : rows_) {
        for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i)
            widths[i] = std::max(widths[i], width(row[i]));
    }
    for (const auto& row : rows_) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            line += row[i];
            if (i + 1 < row.size()) line.append(widths[i] - width(row[i]) + 2, ' ');
        }
        out.line(line);
    }
}

}  // namespace sio::sioctl
