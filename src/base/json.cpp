#include "base/json.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace sio::json {
namespace {

// What a byte can be at the start of a value, and the classes that loops test for.
enum Class : std::uint8_t {
    other,
    blank,
    quote_mark,
    minus,
    digit,
    open_array,
    open_object,
    letter_t,
    letter_f,
    letter_n,
};

constexpr auto classes = [] {
    std::array<std::uint8_t, 256> table{};
    for (const unsigned c : {9U, 10U, 13U, 32U}) table[c] = blank;
    for (unsigned c = '0'; c <= '9'; ++c) table[c] = digit;
    table['"'] = quote_mark;
    table['-'] = minus;
    table['['] = open_array;
    table['{'] = open_object;
    table['t'] = letter_t;
    table['f'] = letter_f;
    table['n'] = letter_n;
    return table;
}();

constexpr std::uint8_t class_of(char c) noexcept { return classes[static_cast<unsigned char>(c)]; }

constexpr bool is_blank(char c) noexcept { return class_of(c) == blank; }

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

constexpr int hex_value(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

inline const char* skip_blanks(const char* p, const char* end) noexcept {
    while (p != end && is_blank(*p)) ++p;
    return p;
}

/// The first byte at or after `p` that is a quote, a backslash or a control character.
inline const char* find_special(const char* p, const char* end) noexcept {
    constexpr std::uint64_t ones = 0x0101010101010101U;
    constexpr std::uint64_t highs = 0x8080808080808080U;
    for (; end - p >= 8; p += 8) {
        std::uint64_t word;
        std::memcpy(&word, p, sizeof word);
        const std::uint64_t quotes = word ^ (ones * '"');
        const std::uint64_t slashes = word ^ (ones * '\\');
        // Each term's lowest flagged byte is exact; higher ones may be false, and are not used.
        const std::uint64_t found =
            (((quotes - ones) & ~quotes) | ((slashes - ones) & ~slashes) | ((word - ones * 0x20U) & ~word)) & highs;
        if (found == 0) continue;
        if constexpr (std::endian::native == std::endian::little) {
            return p + std::countr_zero(found) / 8;
        } else {
            break;
        }
    }
    while (p != end && *p != '"' && *p != '\\' && static_cast<unsigned char>(*p) >= 0x20) ++p;
    return p;
}

/// Past the string whose opening quote is just before `p`, or null.
inline const char* string_end(const char* p, const char* end) noexcept {
    for (;;) {
        p = find_special(p, end);
        if (p == end) return nullptr;
        if (*p == '"') return p + 1;
        if (*p != '\\' || end - p < 2) return nullptr;
        switch (p[1]) {
            case '"':
            case '\\':
            case '/':
            case 'b':
            case 'f':
            case 'n':
            case 'r':
            case 't': p += 2; break;
            case 'u':
                if (end - p < 6) return nullptr;
                for (int i = 2; i < 6; ++i) {
                    if (hex_value(p[i]) < 0) return nullptr;
                }
                p += 6;
                break;
            default: return nullptr;
        }
    }
}

/// Past the number that begins at `p`, or null.
inline const char* number_end(const char* p, const char* end) noexcept {
    const auto digits = [&] {
        if (p == end || !is_digit(*p)) return false;
        while (p != end && is_digit(*p)) ++p;
        return true;
    };
    if (*p == '-') ++p;
    if (p != end && *p == '0') {
        ++p;
    } else if (!digits()) {
        return nullptr;
    }
    if (p != end && *p == '.') {
        ++p;
        if (!digits()) return nullptr;
    }
    if (p != end && (*p == 'e' || *p == 'E')) {
        ++p;
        if (p != end && (*p == '+' || *p == '-')) ++p;
        if (!digits()) return nullptr;
    }
    return p;
}

inline const char* word_end(const char* p, const char* end, std::string_view word) noexcept {
    if (static_cast<std::size_t>(end - p) < word.size()) return nullptr;
    return std::memcmp(p, word.data(), word.size()) == 0 ? p + word.size() : nullptr;
}

/// Past the value that begins at or after `p`, or null. A bit per open container says whether it is
/// an object.
const char* scan_value(const char* p, const char* end, std::size_t deepest = max_depth) noexcept {
    std::array<std::uint64_t, max_depth / 64> stack;
    std::size_t depth = 0;
    bool in_object = false;

    const auto push = [&](bool object) {
        if (depth == deepest) return false;
        const std::uint64_t bit = std::uint64_t{1} << (depth % 64);
        std::uint64_t& word = stack[depth / 64];
        if (depth % 64 == 0) word = 0;
        word = object ? word | bit : word & ~bit;
        ++depth;
        in_object = object;
        return true;
    };
    const auto pop = [&] {
        --depth;
        in_object = depth != 0 && ((stack[(depth - 1) / 64] >> ((depth - 1) % 64)) & 1U) != 0;
    };
    const auto key = [&] {  // blanks, string, blanks, colon
        p = skip_blanks(p, end);
        if (p == end || *p != '"') return false;
        p = string_end(p + 1, end);
        if (p == nullptr) return false;
        p = skip_blanks(p, end);
        if (p == end || *p != ':') return false;
        ++p;
        return true;
    };

    for (;;) {
        p = skip_blanks(p, end);
        if (p == end) return nullptr;
        switch (class_of(*p)) {
            case quote_mark: p = string_end(p + 1, end); break;
            case minus:
            case digit: p = number_end(p, end); break;
            case letter_t: p = word_end(p, end, "true"); break;
            case letter_f: p = word_end(p, end, "false"); break;
            case letter_n: p = word_end(p, end, "null"); break;
            case open_array:
                if (!push(false)) return nullptr;
                p = skip_blanks(p + 1, end);
                if (p == end) return nullptr;
                if (*p != ']') continue;
                ++p;
                pop();
                break;
            case open_object:
                if (!push(true)) return nullptr;
                p = skip_blanks(p + 1, end);
                if (p == end) return nullptr;
                if (*p != '}') {
                    if (!key()) return nullptr;
                    continue;
                }
                ++p;
                pop();
                break;
            default: return nullptr;
        }
        if (p == nullptr) return nullptr;

        // A value has ended: close what closes here, then there is a comma or it was the last.
        for (;;) {
            if (depth == 0) return p;
            p = skip_blanks(p, end);
            if (p == end) return nullptr;
            if (*p != (in_object ? '}' : ']')) break;
            ++p;
            pop();
        }
        if (*p != ',') return nullptr;
        ++p;
        if (in_object && !key()) return nullptr;
    }
}

void append_utf8(std::string& out, std::uint32_t code) {
    const auto put = [&](std::uint32_t byte) { out.push_back(static_cast<char>(byte)); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xC0U | code >> 6U);
        put(0x80U | (code & 63U));
    } else if (code < 0x10000) {
        put(0xE0U | code >> 12U);
        put(0x80U | (code >> 6U & 63U));
        put(0x80U | (code & 63U));
    } else {
        put(0xF0U | code >> 18U);
        put(0x80U | (code >> 12U & 63U));
        put(0x80U | (code >> 6U & 63U));
        put(0x80U | (code & 63U));
    }
}

/// The UTF-16 unit of the `\u` escape at `pos`, or nothing.
std::optional<std::uint32_t> unit_at(std::string_view text, std::size_t pos) noexcept {
    if (pos > text.size() || text.size() - pos < 6 || text[pos] != '\\' || text[pos + 1] != 'u') {
        return std::nullopt;
    }
    std::uint32_t unit = 0;
    for (std::size_t i = pos + 2; i < pos + 6; ++i) {
        const int value = hex_value(text[i]);
        if (value < 0) return std::nullopt;
        unit = unit << 4U | static_cast<std::uint32_t>(value);
    }
    return unit;
}

constexpr std::uint32_t replacement = 0xFFFD;

}  // namespace

std::optional<std::size_t> value_end(std::string_view text, std::size_t pos) noexcept {
    if (pos >= text.size()) return std::nullopt;
    const char* const end = scan_value(text.data() + pos, text.data() + text.size());
    if (end == nullptr) return std::nullopt;
    return static_cast<std::size_t>(end - text.data());
}

bool is_valid(std::string_view text, std::size_t depth) noexcept {
    const char* const last = text.data() + text.size();
    const char* const end = text.empty() ? nullptr : scan_value(text.data(), last, depth);
    return end != nullptr && skip_blanks(end, last) == last;
}

Kind kind_of(std::string_view value) noexcept {
    if (value.empty()) return Kind::null;
    switch (class_of(value.front())) {
        case quote_mark: return Kind::string;
        case minus:
        case digit: return Kind::number;
        case letter_t:
        case letter_f: return Kind::boolean;
        case open_array: return Kind::array;
        case open_object: return Kind::object;
        default: return Kind::null;
    }
}

Walker::Walker(std::string_view container) noexcept : text_(container) {
    while (pos_ < text_.size() && is_blank(text_[pos_])) ++pos_;
    if (pos_ == text_.size() || (text_[pos_] != '[' && text_[pos_] != '{')) {
        done_ = true;
        return;
    }
    object_ = text_[pos_] == '{';
    ++pos_;
}

bool Walker::next() noexcept {
    if (done_) return false;
    done_ = true;  // until an element has been found
    const char* const begin = text_.data();
    const char* const end = begin + text_.size();
    const char* p = skip_blanks(begin + pos_, end);
    if (p == end) return false;
    if (!value_.empty()) {  // not the first: a value is never empty
        if (*p != ',') return false;
        p = skip_blanks(p + 1, end);
        if (p == end) return false;
    }
    if (object_) {
        if (*p != '"') return false;
        const char* const key_end = string_end(p + 1, end);
        if (key_end == nullptr) return false;
        key_ = {p, static_cast<std::size_t>(key_end - p)};
        p = skip_blanks(key_end, end);
        if (p == end || *p != ':') return false;
        p = skip_blanks(p + 1, end);
    }
    const char* const stop = scan_value(p, end);
    if (stop == nullptr) return false;
    value_ = {p, static_cast<std::size_t>(stop - p)};
    pos_ = static_cast<std::size_t>(stop - begin);
    done_ = false;
    return true;
}

std::optional<std::string_view> member(std::string_view object, std::string_view key) {
    std::optional<std::string_view> found;
    Walker walker{object};
    while (walker.next()) {
        const std::string_view raw = walker.key();
        if (raw.size() < 2) return std::nullopt;  // an array has no members
        const std::string_view inner = raw.substr(1, raw.size() - 2);
        const bool plain = inner.find('\\') == std::string_view::npos;
        if (plain ? inner == key : decode_string(raw) == key) found = walker.value();
    }
    return found;
}

std::optional<std::string_view> element(std::string_view array, std::size_t index) noexcept {
    Walker walker{array};
    while (walker.next()) {
        if (!walker.key().empty()) return std::nullopt;  // an object has no elements
        if (index-- == 0) return walker.value();
    }
    return std::nullopt;
}

std::string decode_string(std::string_view quoted) {
    std::string out;
    if (quoted.size() < 2 || quoted.front() != '"' || quoted.back() != '"') return out;
    const std::string_view text = quoted.substr(1, quoted.size() - 2);
    out.reserve(text.size());
    std::size_t i = 0;
    while (i < text.size()) {
        const std::size_t slash = std::min(text.find('\\', i), text.size());
        out.append(text.substr(i, slash - i));
        i = slash;
        if (text.size() - i < 2) break;
        const char escaped = text[i + 1];
        if (escaped != 'u') {
            switch (escaped) {
                case 'b': out.push_back('\b'); break;
                case 'f': out.push_back('\f'); break;
                case 'n': out.push_back('\n'); break;
                case 'r': out.push_back('\r'); break;
                case 't': out.push_back('\t'); break;
                default: out.push_back(escaped); break;
            }
            i += 2;
            continue;
        }
        const auto unit = unit_at(text, i);
        if (!unit) break;
        i += 6;
        if (*unit < 0xD800 || *unit > 0xDFFF) {
            append_utf8(out, *unit);
            continue;
        }
        const auto low = *unit < 0xDC00 ? unit_at(text, i) : std::nullopt;
        if (low && *low >= 0xDC00 && *low <= 0xDFFF) {
            append_utf8(out, 0x10000U + ((*unit - 0xD800U) << 10U) + (*low - 0xDC00U));
            i += 6;
        } else {
            append_utf8(out, replacement);
        }
    }
    return out;
}

void append_string(std::string& out, std::string_view text) {
    constexpr std::string_view hex = "0123456789abcdef";
    out.push_back('"');
    const char* p = text.data();
    const char* const end = p + text.size();
    for (;;) {
        const char* const special = find_special(p, end);
        out.append(p, static_cast<std::size_t>(special - p));
        if (special == end) break;
        const char c = *special;
        switch (c) {
            case '"': out.append("\\\""); break;
            case '\\': out.append("\\\\"); break;
            case '\b': out.append("\\b"); break;
            case '\f': out.append("\\f"); break;
            case '\n': out.append("\\n"); break;
            case '\r': out.append("\\r"); break;
            case '\t': out.append("\\t"); break;
            default: {
                const auto code = static_cast<unsigned char>(c);
                out.append("\\u00");
                out.push_back(hex[code >> 4U]);
                out.push_back(hex[code & 15U]);
                break;
            }
        }
        p = special + 1;
    }
    out.push_back('"');
}

std::string quote(std::string_view text) {
    std::string out;
    out.reserve(text.size() + 2);
    append_string(out, text);
    return out;
}

}  // namespace sio::json
