#include "sioctl/arguments.h"

#include "base/bytes.h"
#include "base/json.h"
#include "sioctl/output.h"

namespace sio::sioctl {

namespace {

/// The start of a text that may be long, for a message.
std::string excerpt(std::string_view text) {
    constexpr std::size_t most = 60;
    if (text.size() <= most) return std::string(text);
    std::size_t end = most;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    return std::string(text.substr(0, end)) + "…";
}

}  // namespace

Outcome<std::string> arguments_of(std::span<const std::string> words, bool as_text) {
    std::string array = "[";
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i > 0) array += ',';
        if (!base::is_utf8(words[i]))
            return give_up(exit_code::data, "argument " + std::to_string(i + 1) + " is not UTF-8");
        if (as_text) {
            json::append_string(array, words[i]);
        } else if (json::is_valid(words[i])) {
            array += base::trim(words[i]);
        } else {
            const std::string text = excerpt(words[i]);
            return give_up(exit_code::data, "argument " + std::to_string(i + 1) + " is not JSON: " + text +
                                                "; for a text write '" + json::quote(text) + "', or give --string");
        }
    }
    return array + "]";
}

Outcome<std::string> checked_json(std::string_view text, std::string_view what) {
    if (!base::is_utf8(text)) return give_up(exit_code::data, std::string(what) + " is not UTF-8");
    if (!json::is_valid(text)) return give_up(exit_code::data, std::string(what) + " is not JSON: " + excerpt(text));
    return std::string(base::trim(text));
}

Outcome<TypedEvent> typed_event(std::string_view line) {
    line = base::trim(line);
    if (!base::is_utf8(line)) return give_up(exit_code::data, "a line is not UTF-8");
    TypedEvent typed;
    std::size_t pos = 0;
    if (line.starts_with('"')) {
        const auto end = json::value_end(line, 0);
        if (!end) return give_up(exit_code::data, "the event's name is not JSON: " + excerpt(line));
        typed.event = json::decode_string(line.substr(0, *end));
        pos = *end;
    } else {
        pos = std::min(line.find_first_of(" \t"), line.size());
        typed.event = line.substr(0, pos);
    }
    typed.arguments = "[";
    for (std::string_view rest = base::trim(line.substr(pos)); !rest.empty();) {
        const auto end = json::value_end(rest, 0);
        // `1 2` and `1,2` are the same; `12x` is not 12 and x.
        if (!end || (*end < rest.size() && rest[*end] != ' ' && rest[*end] != '\t' && rest[*end] != ','))
            return give_up(exit_code::data,
                           "an argument is not JSON: " + excerpt(rest) + "; write a line as EVENT JSON JSON…");
        if (typed.arguments.size() > 1) typed.arguments += ',';
        typed.arguments += rest.substr(0, *end);
        rest.remove_prefix(*end);
        rest = base::trim(rest);
        if (rest.starts_with(',')) rest = base::trim(rest.substr(1));
    }
    typed.arguments += ']';
    return typed;
}

std::string shown_event(std::string_view event, std::string_view arguments) {
    const bool plain = !event.empty() && event.find_first_of(" \t\"") == std::string_view::npos;
    std::string line = plain ? std::string(event) : json::quote(event);
    for (json::Walker walker{arguments}; walker.next();) {
        line += ' ';
        line += walker.value();
    }
    return printable(line);
}

}  // namespace sio::sioctl
