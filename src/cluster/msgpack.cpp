#include "cluster/msgpack.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "cluster/js_date.h"
#include "cluster/text.h"
#include "proto/sio_packet.h"

namespace sio::cluster::msgpack {
namespace {

constexpr std::int8_t timestamp_type = -1;
constexpr double max_safe_integer = 9007199254740991.0;  // 2^53 - 1

tl::unexpected<Error> malformed(const char* why) {
    return fail(Errc::malformed, std::string{"cannot read MessagePack: "} + why);
}

constexpr bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::uint64_t big_endian(std::string_view bytes) noexcept {
    std::uint64_t out = 0;
    for (const char c : bytes) out = out << 8U | static_cast<unsigned char>(c);
    return out;
}

void append_big_endian(std::string& out, std::uint64_t value, std::size_t width) {
    std::array<char, 8> bytes;
    for (std::size_t i = 0; i < width; ++i) {
        bytes[i] = static_cast<char>(static_cast<unsigned char>(value >> (8 * (width - 1 - i))));
    }
    out.append(bytes.data(), width);
}

void put(std::string& out, unsigned byte) { out.push_back(static_cast<char>(static_cast<unsigned char>(byte))); }

void append_text_number(std::string& out, std::uint64_t number) {
    std::array<char, 20> digits;
    out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr);
}

void append_text_number(std::string& out, std::int64_t number) {
    std::array<char, 20> digits;
    out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr);
}

/// Fills `head` for a container of `count` elements; false when so many cannot follow.
bool container(Head& head, Kind kind, std::uint64_t count, std::size_t end, std::size_t size) noexcept {
    const std::uint64_t least = kind == Kind::map ? count * 2 : count;  // an element takes a byte at least
    if (least > size - end) return false;
    head.kind = kind;
    head.count = static_cast<std::uint32_t>(count);
    head.end = end;
    return true;
}

bool content(Head& head, Kind kind, std::string_view bytes, std::uint64_t length, std::size_t begin) noexcept {
    if (length > bytes.size() - begin) return false;
    head.kind = kind;
    head.bytes = bytes.substr(begin, static_cast<std::size_t>(length));
    head.end = begin + static_cast<std::size_t>(length);
    return true;
}

bool extension(Head& head, std::string_view bytes, std::uint64_t length, std::size_t begin) noexcept {
    if (begin == bytes.size() || !content(head, Kind::extension, bytes, length, begin + 1)) return false;
    head.extension = static_cast<std::int8_t>(bytes[begin]);
    return true;
}

/// The milliseconds of a timestamp, as JavaScript computes them; NaN for an impossible length.
double timestamp_ms(std::string_view data) noexcept {
    double seconds = 0;
    double nanoseconds = 0;
    if (data.size() == 4) {
        seconds = static_cast<double>(big_endian(data));
    } else if (data.size() == 8) {
        const std::uint64_t both = big_endian(data);
        nanoseconds = static_cast<double>(both >> 34U);
        seconds = static_cast<double>(both & 0x3FFFFFFFFU);
    } else if (data.size() == 12) {
        nanoseconds = static_cast<double>(big_endian(data.substr(0, 4)));
        seconds = static_cast<double>(static_cast<std::int64_t>(big_endian(data.substr(4))));
    } else {
        return std::numeric_limits<double>::quiet_NaN();
    }
    return std::trunc(seconds * 1e3 + nanoseconds / 1e6);
}

bool append_key(std::string& out, const Head& key) {
    switch (key.kind) {
        case Kind::string: append_json_string(out, key.bytes); return true;
        case Kind::nil: out.append("\"null\""); return true;
        case Kind::boolean: out.append(key.truth ? "\"true\"" : "\"false\""); return true;
        case Kind::unsigned_integer:
        case Kind::signed_integer:
        case Kind::real: {
            out.push_back('"');
            if (key.kind == Kind::unsigned_integer) {
                append_text_number(out, key.number);
            } else if (key.kind == Kind::signed_integer) {
                append_text_number(out, key.negative);
            } else if (std::isnan(key.real)) {
                out.append("NaN");
            } else if (std::isinf(key.real)) {
                out.append(key.real < 0 ? "-Infinity" : "Infinity");
            } else {
                append_json_number(out, key.real);
            }
            out.push_back('"');
            return true;
        }
        case Kind::binary:
        case Kind::extension:
        case Kind::array:
        case Kind::map: return false;
    }
    return false;
}

constexpr std::string_view placeholder_begin = "{\"_placeholder\":true,\"num\":";

/// Writes the text of one value; null, or why it cannot.
const char* write_json(std::string_view value, std::string& out, std::vector<std::string>& attachments,
                       std::size_t max_attachments) {
    struct Open {
        std::uint32_t left;
        bool is_map;
        bool is_first;
    };
    std::array<Open, max_depth> open;
    std::size_t depth = 0;
    std::size_t pos = 0;
    for (;;) {
        if (depth != 0) {
            Open& top = open[depth - 1];
            if (top.left == 0) {
                out.push_back(top.is_map ? '}' : ']');
                if (--depth == 0) break;
                continue;
            }
            if (!top.is_first) out.push_back(',');
            top.is_first = false;
            --top.left;
            if (top.is_map) {
                const auto key = read_head(value, pos);
                if (!key) return "it is cut short, or a length is wrong";
                if (!append_key(out, *key)) return "a key is neither text nor a number";
                out.push_back(':');
                pos = key->end;
            }
        }
        const auto head = read_head(value, pos);
        if (!head) return "it is cut short, or a length is wrong";
        pos = head->end;
        switch (head->kind) {
            case Kind::nil: out.append("null"); break;
            case Kind::boolean: out.append(head->truth ? "true" : "false"); break;
            case Kind::unsigned_integer: append_text_number(out, head->number); break;
            case Kind::signed_integer: append_text_number(out, head->negative); break;
            case Kind::real: append_json_number(out, head->real); break;
            case Kind::string: append_json_string(out, head->bytes); break;
            case Kind::binary:
                if (attachments.size() >= max_attachments) return "too many binary values";
                out.append(placeholder_begin);
                append_text_number(out, std::uint64_t{attachments.size()});
                out.push_back('}');
                attachments.emplace_back(head->bytes);
                break;
            case Kind::extension: {
                if (head->extension != timestamp_type) {
                    out.append("null");
                    break;
                }
                const double ms = timestamp_ms(head->bytes);
                if (std::isnan(ms)) return "a timestamp of impossible length";
                if (std::abs(ms) > static_cast<double>(max_date_ms)) {
                    out.append("null");
                } else {
                    out.push_back('"');
                    append_iso_date(out, static_cast<std::int64_t>(ms));
                    out.push_back('"');
                }
                break;
            }
            case Kind::array:
            case Kind::map:
                if (depth == max_depth) return "it nests too deep";
                open[depth++] = {head->count, head->kind == Kind::map, true};
                out.push_back(head->kind == Kind::map ? '{' : '[');
                continue;
        }
        if (depth == 0) break;
    }
    return pos == value.size() ? nullptr : "bytes follow the value";
}

/// Past the quote that closes the valid string that opens at `pos`.
std::size_t string_end(std::string_view json, std::size_t pos) noexcept {
    for (++pos; pos < json.size(); ++pos) {
        if (json[pos] == '\\') {
            ++pos;
        } else if (json[pos] == '"') {
            return pos + 1;
        }
    }
    return json.size();
}

/// Past the canonical placeholder at `pos`, and the number it names; an end of 0 when there is none.
struct PlaceholderEnd {
    std::size_t end = 0;
    std::size_t num = 0;
};
PlaceholderEnd placeholder_at(std::string_view json, std::size_t pos, std::size_t attachments) noexcept {
    if (attachments == 0 || json.substr(pos, placeholder_begin.size()) != placeholder_begin) return {};
    const char* const begin = json.data() + pos + placeholder_begin.size();
    const char* const end = json.data() + json.size();
    std::size_t num = 0;
    const auto [stop, error] = std::from_chars(begin, end, num);
    if (error != std::errc{} || stop == end || *stop != '}' || num >= attachments) return {};
    return {static_cast<std::size_t>(stop - json.data()) + 1, num};
}

/// How many elements or members each container has, in the order in which they open.
std::vector<std::uint32_t> count_elements(std::string_view json, std::size_t attachments) {
    std::vector<std::uint32_t> counts;
    std::array<std::size_t, max_depth> open;
    std::size_t depth = 0;
    bool is_empty = false;  // nothing but blanks since a container opened
    for (std::size_t pos = 0; pos < json.size();) {
        const char c = json[pos];
        if (is_blank(c)) {
            ++pos;
            continue;
        }
        if (c == '}' || c == ']') {
            if (depth == 0) break;
            --depth;
            is_empty = false;
            ++pos;
            continue;
        }
        if (is_empty) ++counts[open[depth - 1]];
        is_empty = false;
        if (c == '"') {
            pos = string_end(json, pos);
        } else if (c == '{' || c == '[') {
            if (const auto placeholder = placeholder_at(json, pos, attachments); placeholder.end != 0) {
                pos = placeholder.end;
                continue;
            }
            if (depth == max_depth) break;
            open[depth++] = counts.size();
            counts.push_back(0);
            is_empty = true;
            ++pos;
        } else {
            if (c == ',' && depth != 0) ++counts[open[depth - 1]];
            ++pos;
        }
    }
    return counts;
}

/// A JSON number as JavaScript understands it.
double number_of(std::string_view text) noexcept {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    static_cast<void>(end);
    if (error == std::errc::result_out_of_range) {
        const std::size_t e = text.find_first_of("eE");
        const std::size_t first = text.front() == '-' ? 1 : 0;
        const bool is_tiny = e != std::string_view::npos ? text.substr(e + 1, 1) == "-" : text.substr(first, 1) == "0";
        number = is_tiny ? 0 : std::numeric_limits<double>::infinity();
        if (first == 1) number = -number;
    }
    return number;
}

void append_number(std::string& out, std::string_view text) {
    if (text.size() <= 15) {
        std::int64_t number = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (error == std::errc{} && end == text.data() + text.size()) {
            append_integer(out, number);
            return;
        }
    }
    const double number = number_of(text);
    if (std::trunc(number) == number && std::abs(number) <= max_safe_integer) {
        append_integer(out, static_cast<std::int64_t>(number));
    } else {
        append_real(out, number);
    }
}

void append_sized(std::string& out, std::string_view bytes, std::array<unsigned, 3> heads) {
    const std::size_t size = bytes.size();
    if (size < 0x100) {
        put(out, heads[0]);
        append_big_endian(out, size, 1);
    } else if (size < 0x10000) {
        put(out, heads[1]);
        append_big_endian(out, size, 2);
    } else {
        put(out, heads[2]);
        append_big_endian(out, size, 4);
    }
    out.append(bytes);
}

}  // namespace

std::optional<Head> read_head(std::string_view bytes, std::size_t pos) noexcept {
    if (pos >= bytes.size()) return std::nullopt;
    const auto first = static_cast<unsigned>(static_cast<unsigned char>(bytes[pos]));
    const std::size_t after = pos + 1;
    const auto has = [&](std::size_t width) { return bytes.size() - after >= width; };
    const auto field = [&](std::size_t width) { return big_endian(bytes.substr(after, width)); };
    std::optional<Head> out{Head{}};
    Head& head = *out;
    head.end = after;

    bool good = true;
    if (first < 0x80) {
        head.kind = Kind::unsigned_integer;
        head.number = first;
    } else if (first < 0x90) {
        good = container(head, Kind::map, first & 0x0FU, after, bytes.size());
    } else if (first < 0xA0) {
        good = container(head, Kind::array, first & 0x0FU, after, bytes.size());
    } else if (first < 0xC0) {
        good = content(head, Kind::string, bytes, first & 0x1FU, after);
    } else if (first >= 0xE0) {
        head.kind = Kind::signed_integer;
        head.negative = static_cast<std::int64_t>(first) - 0x100;
    } else {
        const auto sized = [&](std::size_t width, auto read) {
            good = has(width) && read(field(width), after + width);
        };
        const auto text = [&](std::uint64_t n, std::size_t at) { return content(head, Kind::string, bytes, n, at); };
        const auto binary = [&](std::uint64_t n, std::size_t at) { return content(head, Kind::binary, bytes, n, at); };
        const auto other = [&](std::uint64_t n, std::size_t at) { return extension(head, bytes, n, at); };
        const auto array = [&](std::uint64_t n, std::size_t at) {
            return container(head, Kind::array, n, at, bytes.size());
        };
        const auto map = [&](std::uint64_t n, std::size_t at) {
            return container(head, Kind::map, n, at, bytes.size());
        };
        const auto unsigned_of = [&](std::uint64_t n, std::size_t at) {
            head.kind = Kind::unsigned_integer;
            head.number = n;
            head.end = at;
            return true;
        };
        const auto signed_of = [&](std::int64_t n, std::size_t at) {
            if (n >= 0) return unsigned_of(static_cast<std::uint64_t>(n), at);
            head.kind = Kind::signed_integer;
            head.negative = n;
            head.end = at;
            return true;
        };
        switch (first) {
            case 0xC0: head.kind = Kind::nil; break;
            case 0xC2:
            case 0xC3:
                head.kind = Kind::boolean;
                head.truth = first == 0xC3;
                break;
            case 0xC4: sized(1, binary); break;
            case 0xC5: sized(2, binary); break;
            case 0xC6: sized(4, binary); break;
            case 0xC7: sized(1, other); break;
            case 0xC8: sized(2, other); break;
            case 0xC9: sized(4, other); break;
            case 0xCA:
                sized(4, [&](std::uint64_t n, std::size_t at) {
                    head.kind = Kind::real;
                    head.real = static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(n)));
                    head.end = at;
                    return true;
                });
                break;
            case 0xCB:
                sized(8, [&](std::uint64_t n, std::size_t at) {
                    head.kind = Kind::real;
                    head.real = std::bit_cast<double>(n);
                    head.end = at;
                    return true;
                });
                break;
            case 0xCC: sized(1, unsigned_of); break;
            case 0xCD: sized(2, unsigned_of); break;
            case 0xCE: sized(4, unsigned_of); break;
            case 0xCF: sized(8, unsigned_of); break;
            case 0xD0:
                sized(1, [&](std::uint64_t n, std::size_t at) { return signed_of(static_cast<std::int8_t>(n), at); });
                break;
            case 0xD1:
                sized(2, [&](std::uint64_t n, std::size_t at) { return signed_of(static_cast<std::int16_t>(n), at); });
                break;
            case 0xD2:
                sized(4, [&](std::uint64_t n, std::size_t at) { return signed_of(static_cast<std::int32_t>(n), at); });
                break;
            case 0xD3:
                sized(8, [&](std::uint64_t n, std::size_t at) { return signed_of(static_cast<std::int64_t>(n), at); });
                break;
            case 0xD4: good = extension(head, bytes, 1, after); break;
            case 0xD5: good = extension(head, bytes, 2, after); break;
            case 0xD6: good = extension(head, bytes, 4, after); break;
            case 0xD7: good = extension(head, bytes, 8, after); break;
            case 0xD8: good = extension(head, bytes, 16, after); break;
            case 0xD9: sized(1, text); break;
            case 0xDA: sized(2, text); break;
            case 0xDB: sized(4, text); break;
            case 0xDC: sized(2, array); break;
            case 0xDD: sized(4, array); break;
            case 0xDE: sized(2, map); break;
            case 0xDF: sized(4, map); break;
            default: good = false; break;  // 0xC1 is never used
        }
    }
    if (!good) out.reset();
    return out;
}

std::optional<std::size_t> value_end(std::string_view bytes, std::size_t pos) noexcept {
    std::array<std::uint64_t, max_depth> left;  // values that the open containers still want
    std::size_t depth = 0;
    for (;;) {
        const auto head = read_head(bytes, pos);
        if (!head) return std::nullopt;
        pos = head->end;
        if ((head->kind == Kind::array || head->kind == Kind::map) && head->count != 0) {
            if (depth == max_depth) return std::nullopt;
            left[depth++] = std::uint64_t{head->count} * (head->kind == Kind::map ? 2 : 1);
            continue;
        }
        if (depth == max_depth && head->kind >= Kind::array) return std::nullopt;
        while (depth != 0 && --left[depth - 1] == 0) --depth;
        if (depth == 0) return pos;
    }
}

bool is_valid(std::string_view bytes) noexcept { return value_end(bytes, 0) == bytes.size(); }

Walker::Walker(std::string_view container) noexcept : bytes_(container) {
    const auto head = read_head(container, 0);
    if (!head || (head->kind != Kind::array && head->kind != Kind::map)) return;
    pos_ = head->end;
    left_ = head->count;
    is_map_ = head->kind == Kind::map;
}

bool Walker::next() noexcept {
    if (left_ == 0) return false;
    const std::uint32_t left = left_ - 1;
    left_ = 0;  // until an element has been found
    if (is_map_) {
        const auto end = value_end(bytes_, pos_);
        if (!end) return false;
        const auto head = read_head(bytes_, pos_);
        key_ = bytes_.substr(pos_, *end - pos_);
        name_ = head->kind == Kind::string ? head->bytes : std::string_view{};
        pos_ = *end;
    }
    const auto end = value_end(bytes_, pos_);
    if (!end) return false;
    value_ = bytes_.substr(pos_, *end - pos_);
    pos_ = *end;
    left_ = left;
    return true;
}

std::optional<std::string_view> member(std::string_view map, std::string_view key) noexcept {
    std::optional<std::string_view> found;
    for (Walker walker{map}; walker.next();) {
        const auto head = read_head(walker.key(), 0);
        if (head && head->kind == Kind::string && head->bytes == key) found = walker.value();
    }
    return found;
}

void append_nil(std::string& out) { put(out, 0xC0); }

void append_boolean(std::string& out, bool truth) { put(out, truth ? 0xC3 : 0xC2); }

void append_unsigned(std::string& out, std::uint64_t number) {
    if (number < 0x80) {
        put(out, static_cast<unsigned>(number));
    } else if (number < 0x100) {
        put(out, 0xCC);
        append_big_endian(out, number, 1);
    } else if (number < 0x10000) {
        put(out, 0xCD);
        append_big_endian(out, number, 2);
    } else if (number < 0x100000000) {
        put(out, 0xCE);
        append_big_endian(out, number, 4);
    } else {
        put(out, 0xCF);
        append_big_endian(out, number, 8);
    }
}

void append_integer(std::string& out, std::int64_t number) {
    const auto bits = static_cast<std::uint64_t>(number);
    if (number >= 0) {
        append_unsigned(out, bits);
    } else if (number >= -0x20) {
        append_big_endian(out, bits, 1);
    } else if (number >= -0x80) {
        put(out, 0xD0);
        append_big_endian(out, bits, 1);
    } else if (number >= -0x8000) {
        put(out, 0xD1);
        append_big_endian(out, bits, 2);
    } else if (number >= -0x80000000LL) {
        put(out, 0xD2);
        append_big_endian(out, bits, 4);
    } else {
        put(out, 0xD3);
        append_big_endian(out, bits, 8);
    }
}

void append_real(std::string& out, double number) {
    put(out, 0xCB);
    append_big_endian(out, std::bit_cast<std::uint64_t>(number), 8);
}

void append_string(std::string& out, std::string_view text) {
    if (text.size() < 32) {
        put(out, 0xA0U + static_cast<unsigned>(text.size()));
        out.append(text);
    } else {
        append_sized(out, text, {0xD9, 0xDA, 0xDB});
    }
}

void append_binary(std::string& out, std::string_view bytes) { append_sized(out, bytes, {0xC4, 0xC5, 0xC6}); }

void append_array_head(std::string& out, std::size_t elements) {
    if (elements < 16) {
        put(out, 0x90U + static_cast<unsigned>(elements));
    } else if (elements < 0x10000) {
        put(out, 0xDC);
        append_big_endian(out, elements, 2);
    } else {
        put(out, 0xDD);
        append_big_endian(out, elements, 4);
    }
}

void append_map_head(std::string& out, std::size_t pairs) {
    if (pairs < 16) {
        put(out, 0x80U + static_cast<unsigned>(pairs));
    } else if (pairs < 0x10000) {
        put(out, 0xDE);
        append_big_endian(out, pairs, 2);
    } else {
        put(out, 0xDF);
        append_big_endian(out, pairs, 4);
    }
}

Result<void> to_json(std::string_view value, std::string& out, std::vector<std::string>& attachments,
                     std::size_t max_attachments) {
    const std::size_t length = out.size();
    const std::size_t before = attachments.size();
    const char* why = write_json(value, out, attachments, max_attachments);
    if (why == nullptr && attachments.size() != before) {
        // Clients replace whatever looks like a placeholder in a packet with attachments.
        const auto placeholders = proto::find_placeholders(std::string_view{out}.substr(length), attachments.size());
        bool good = placeholders && placeholders->size() == attachments.size() - before;
        for (std::size_t i = 0; good && i < placeholders->size(); ++i) good = (*placeholders)[i].num == before + i;
        if (!good) why = "something beside the binary looks like a placeholder";
    }
    if (why == nullptr) return {};
    out.resize(length);
    attachments.resize(before);
    return malformed(why);
}

Result<void> from_json(std::string_view json, std::span<const std::string> attachments, std::string& out) {
    if (!json::is_valid(json)) return fail(Errc::malformed, "cannot write MessagePack: the text is not JSON");
    append_json(out, json, attachments);
    return {};
}

void append_json(std::string& out, std::string_view valid_json, std::span<const std::string> attachments) {
    const std::vector<std::uint32_t> counts = count_elements(valid_json, attachments.size());
    std::size_t depth = 0;
    std::size_t opened = 0;
    const std::size_t size = valid_json.size();
    for (std::size_t pos = 0; pos < size;) {
        switch (const char c = valid_json[pos]; c) {
            case '"': {
                const std::size_t end = string_end(valid_json, pos);
                const std::string_view quoted = valid_json.substr(pos, end - pos);
                if (quoted.find('\\') == std::string_view::npos && quoted.size() >= 2) {
                    append_string(out, quoted.substr(1, quoted.size() - 2));
                } else {
                    append_string(out, json::decode_string(quoted));
                }
                pos = end;
                break;
            }
            case '{':
            case '[': {
                if (const auto placeholder = placeholder_at(valid_json, pos, attachments.size());
                    placeholder.end != 0) {
                    append_binary(out, attachments[placeholder.num]);
                    pos = placeholder.end;
                    break;
                }
                if (opened == counts.size() || depth == max_depth) return;
                ++depth;
                const std::uint32_t count = counts[opened++];
                if (c == '{') {
                    append_map_head(out, count);
                } else {
                    append_array_head(out, count);
                }
                ++pos;
                break;
            }
            case '}':
            case ']':
                if (depth != 0) --depth;
                ++pos;
                break;
            case 't':
                append_boolean(out, true);
                pos += 4;
                break;
            case 'f':
                append_boolean(out, false);
                pos += 5;
                break;
            case 'n':
                append_nil(out);
                pos += 4;
                break;
            case '-':
            case '0':
            case '1':
            case '2':
            case '3':
            case '4':
            case '5':
            case '6':
            case '7':
            case '8':
            case '9': {
                const std::size_t end = std::min(valid_json.find_first_of(",]} \t\r\n", pos), size);
                append_number(out, valid_json.substr(pos, end - pos));
                pos = end;
                break;
            }
            default: ++pos; break;  // blanks, commas and colons
        }
    }
}

}  // namespace sio::cluster::msgpack
