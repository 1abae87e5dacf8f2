#include "pg/text.h"

#include <cstddef>

#include "pg/pool.h"

namespace sio::pg {

namespace {

constexpr std::size_t max_name_bytes = 63;  // NAMEDATALEN - 1: PostgreSQL cuts off the rest, and means another name
constexpr std::size_t min_secret_bytes = 4;

}  // namespace

std::string quote_name(std::string_view name) {
    std::string out;
    out.reserve(name.size() + 2);
    out += '"';
    for (const char c : name) {
        if (c == '"') out += '"';
        out += c;
    }
    out += '"';
    return out;
}

Result<std::string> quote_identifier(std::string_view name) {
    std::string out;
    for (std::string_view rest = name;;) {
        const std::size_t dot = rest.find('.');
        const std::string_view part = rest.substr(0, dot);
        if (part.empty()) return fail(Errc::config, "cannot use a name of SQL: it is empty, or a part of it is");
        if (part.size() > max_name_bytes) {
            return fail(Errc::config, "cannot use a name of SQL: it is longer than " + std::to_string(max_name_bytes) +
                                          " bytes between its dots");
        }
        if (part.find('\0') != std::string_view::npos) {
            return fail(Errc::config, "cannot use a name of SQL: it holds a NUL");
        }
        out += quote_name(part);
        if (dot == std::string_view::npos) return out;
        out += '.';
        rest.remove_prefix(dot + 1);
    }
}

std::string text_array(std::span<const std::string> values) {
    std::string out = "{";
    for (const std::string& value : values) {
        if (out.size() > 1) out += ',';
        // Always quoted: NULL, blanks, braces and the empty text need it.
        out += '"';
        for (const char c : value) {
            if (c == '"' || c == '\\') out += '\\';
            out += c;
        }
        out += '"';
    }
    out += '}';
    return out;
}

std::string first_line(const char* message) {
    std::string_view line = message == nullptr ? std::string_view() : std::string_view(message);
    line = line.substr(0, line.find('\n'));
    while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.remove_suffix(1);
    return std::string(line);
}

std::string hide(std::string text, std::string_view secret) {
    constexpr std::string_view instead = "…";
    if (secret.size() < min_secret_bytes) return text;
    for (std::size_t at = 0; (at = text.find(secret, at)) != std::string::npos; at += instead.size()) {
        text.replace(at, secret.size(), instead);
    }
    return text;
}

std::string without_quotations(std::string_view text) {
    std::string out;
    for (;;) {
        const std::size_t opens = text.find('"');
        out += text.substr(0, opens);
        if (opens == std::string_view::npos) return out;
        // What is quoted may hold quotes itself: only the last one ends it for certain.
        const std::size_t closes = text.rfind('"');
        out += "\"…\"";
        if (closes == opens) return out;
        text.remove_prefix(closes + 1);
    }
}

}  // namespace sio::pg
