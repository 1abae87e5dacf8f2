#include "sioctl/output.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
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

std::size_t width(std::string_view text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

Output::Output() { std::signal(SIGPIPE, SIG_IGN); }

bool Output::is_terminal() { return isatty(STDOUT_FILENO) == 1; }

void Output::line(std::string_view text) {
    pending_ += text;
    pending_ += '\n';
    if (pending_.size() > 65536) flush();
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
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        // The C1 controls are two bytes of UTF-8: C2 80 to C2 9F.
        if (c == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0) {
            out += '?';
            ++i;
        } else {
            out += c < 0x20 || c == 0x7F ? '?' : text[i];
        }
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
