#include "proto/sio_packet.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "base/json.h"

namespace sio::proto {
namespace {

constexpr std::uint32_t no_attachment = UINT32_MAX;
constexpr std::size_t max_id_digits = 19;  // any more could pass 64 bits

constexpr bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

std::string_view without_blanks(std::string_view text) noexcept {
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return text;
}

constexpr bool is_binary(SioType type) noexcept { return type == SioType::binary_event || type == SioType::binary_ack; }

tl::unexpected<Error> malformed(const char* why) {
    return fail(Errc::malformed, std::string{"cannot decode packet: "} + why);
}

/// A header and its payload, all of it views into the message.
struct Decoded {
    SioPacket packet;
    std::size_t attachments = 0;
    const char* error = nullptr;
    SioDecoder::Over over = SioDecoder::Over::nothing;
};

constexpr const char* nests_too_deeply = "the payload nests too deeply";

/// Whether the payload is what the type demands. Source: wire-protocol 2.3.
const char* payload_error(SioType type, std::string_view json, std::size_t max_depth) {
    if (!json::is_valid(json, max_depth)) {
        return max_depth < json::max_depth && json::is_valid(json) ? nests_too_deeply : "the payload is not JSON";
    }
    const json::Kind kind = json::kind_of(json);
    switch (type) {
        case SioType::connect: return kind == json::Kind::object ? nullptr : "a CONNECT payload is not an object";
        case SioType::disconnect: return "a DISCONNECT has a payload";
        case SioType::connect_error:
            return kind == json::Kind::object || kind == json::Kind::string
                       ? nullptr
                       : "a CONNECT_ERROR payload is neither an object nor a string";
        case SioType::ack:
        case SioType::binary_ack: return kind == json::Kind::array ? nullptr : "an ACK payload is not an array";
        case SioType::event:
        case SioType::binary_event: break;
    }
    if (kind != json::Kind::array) return "an EVENT payload is not an array";
    const std::string_view name = event_name_token(json);
    if (name.empty()) return "an EVENT has no name";
    switch (json::kind_of(name)) {
        case json::Kind::number: return nullptr;
        case json::Kind::string: break;
        default: return "an EVENT name is neither a string nor a number";
    }
    const std::string_view inner = name.substr(1, name.size() - 2);
    const bool plain = inner.find('\\') == std::string_view::npos;
    const bool reserved = is_reserved_event(plain ? inner : json::decode_string(name));
    return reserved ? "an EVENT name is reserved" : nullptr;
}

Decoded decode(std::string_view text, std::size_t max_depth) {
    Decoded out{};
    const auto refuse = [&](const char* why) {
        out.error = why;
        return out;
    };
    if (text.empty() || text.front() < '0' || text.front() > '6') return refuse("unknown type");
    out.packet.type = static_cast<SioType>(text.front());
    text.remove_prefix(1);

    if (is_binary(out.packet.type)) {
        std::size_t digits = 0;
        while (digits < text.size() && is_digit(text[digits])) ++digits;
        if (digits == text.size() || text[digits] != '-') return refuse("illegal attachment count");
        const auto count = base::parse_decimal(text.substr(0, digits), max_attachments);
        if (!count && digits > 0) out.over = SioDecoder::Over::attachments;
        if (!count || *count == 0) return refuse("illegal attachment count");
        out.attachments = static_cast<std::size_t>(*count);
        text.remove_prefix(digits + 1);
    }

    out.packet.nsp = "/";
    if (!text.empty() && text.front() == '/') {
        const std::size_t comma = std::min(text.find(','), text.size());
        out.packet.nsp = text.substr(0, comma);
        text.remove_prefix(std::min(comma + 1, text.size()));
    }

    std::size_t digits = 0;
    while (digits < text.size() && is_digit(text[digits])) ++digits;
    if (digits > max_id_digits) return refuse("acknowledgement id too long");
    if (digits != 0) out.packet.id = base::parse_decimal(text.substr(0, digits));
    text.remove_prefix(digits);

    if (text.empty()) return out;  // every type may lack its payload
    out.packet.json = without_blanks(text);
    out.error = payload_error(out.packet.type, out.packet.json, max_depth);
    if (out.error == nests_too_deeply) out.over = SioDecoder::Over::depth;
    return out;
}

/// Past the number that begins at `pos`; `pos` itself when none does.
std::size_t number_end(std::string_view json, std::size_t pos) noexcept {
    const auto is_part = [](char c) { return is_digit(c) || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'; };
    if (pos == json.size() || (json[pos] != '-' && !is_digit(json[pos]))) return pos;
    while (pos < json.size() && is_part(json[pos])) ++pos;
    return pos;
}

/// The attachment a JSON value names, or no_attachment.
std::uint32_t attachment_number(std::string_view value, std::size_t attachments) noexcept {
    if (value.empty() || (value.front() != '-' && !is_digit(value.front()))) return no_attachment;
    double number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc{} || end != value.data() + value.size()) return no_attachment;
    if (!(number >= 0) || number >= static_cast<double>(attachments)) return no_attachment;
    return std::trunc(number) == number ? static_cast<std::uint32_t>(number) : no_attachment;
}

bool is_key(std::string_view quoted, std::string_view name) {
    const std::string_view inner = quoted.substr(1, quoted.size() - 2);
    if (inner.find('\\') == std::string_view::npos) return inner == name;
    return json::decode_string(quoted) == name;
}

/// Past the closing quote of the valid JSON string that opens at `pos`.
std::size_t string_end(std::string_view json, std::size_t pos) noexcept {
    for (std::size_t from = pos + 1;;) {
        const std::size_t quote = json.find('"', from);
        if (quote == std::string_view::npos) return json.size();
        std::size_t slashes = 0;
        while (quote - slashes > from && json[quote - slashes - 1] == '\\') ++slashes;
        if (slashes % 2 == 0) return quote + 1;
        from = quote + 1;
    }
}

}  // namespace

/// A packet with attachments: its text, rewritten to canonical placeholders, and what has come.
struct SioDecoder::Pending {
    std::string text;
    SioPacket packet;                  // its views point into `text`
    std::size_t announced = 0;         // attachments the header names
    std::vector<std::uint32_t> order;  // which attachment each placeholder names, by appearance
    std::vector<std::string> attachments;
    std::size_t bytes = 0;  // text and attachments that have come
};

void SioDecoder::PendingDeleter::operator()(Pending* pending) const noexcept { delete pending; }

tl::unexpected<Error> SioDecoder::too_large(std::uint64_t size) noexcept {
    excess_ = {Over::bytes, size, max_bytes_};
    return fail(Errc::too_large, "cannot decode packet: it passes the size limit");
}

Result<std::optional<SioPacket>> SioDecoder::text(std::string_view message) {
    complete_.reset();
    if (pending_) {
        pending_.reset();
        return malformed("text while attachments are missing");
    }
    if (message.size() > max_bytes_) return too_large(message.size());
    const Decoded decoded = decode(message, max_depth_);
    if (decoded.error != nullptr) {
        excess_ = {decoded.over, 0, decoded.over == Over::depth ? max_depth_ : max_attachments};
        return malformed(decoded.error);
    }
    if (decoded.attachments == 0) return std::optional{decoded.packet};

    const std::string_view json = decoded.packet.json;
    const auto placeholders = find_placeholders(json, decoded.attachments);
    if (!placeholders) return tl::unexpected<Error>(placeholders.error());
    if (placeholders->size() > max_attachments) {
        excess_ = {Over::attachments, placeholders->size(), max_attachments};
        return malformed("too many placeholders");
    }

    std::unique_ptr<Pending, PendingDeleter> pending{new Pending};
    pending->announced = decoded.attachments;
    pending->packet = decoded.packet;
    pending->bytes = message.size();
    // The text kept is the namespace and the payload, whose placeholders take their final form.
    // That form is the shortest there is, so the text never grows.
    const bool root = decoded.packet.nsp == "/";
    std::string& kept = pending->text;
    kept.reserve(message.size());
    if (!root) kept.append(decoded.packet.nsp);
    const std::size_t nsp_length = kept.size();
    std::size_t copied = 0;
    for (const Placeholder& placeholder : *placeholders) {
        kept.append(json.substr(copied, placeholder.begin - copied));
        kept.append("{\"_placeholder\":true,\"num\":");
        kept.append(std::to_string(pending->order.size()));
        kept.push_back('}');
        pending->order.push_back(placeholder.num);
        copied = placeholder.end;
    }
    kept.append(json.substr(copied));
    const std::string_view all = kept;
    pending->packet.nsp = root ? std::string_view{"/"} : all.substr(0, nsp_length);
    pending->packet.json = all.substr(nsp_length);
    pending_ = std::move(pending);
    return std::optional<SioPacket>{};
}

Result<std::optional<SioPacket>> SioDecoder::binary(std::string_view bytes) {
    complete_.reset();
    if (!pending_) return malformed("an attachment nobody announced");
    Pending& pending = *pending_;
    if (bytes.size() > max_bytes_ - pending.bytes) {
        const std::uint64_t size = pending.bytes + bytes.size();
        pending_.reset();
        return too_large(size);
    }
    pending.bytes += bytes.size();
    pending.attachments.emplace_back(bytes);
    if (pending.attachments.size() < pending.announced) return std::optional<SioPacket>{};

    // Sorted by appearance. One that is referenced twice is repeated, and may not pass the limit so.
    std::vector<std::string> sorted;
    std::size_t total = pending.text.size();
    for (const std::uint32_t num : pending.order) {
        total += pending.attachments[num].size();
        if (total > max_bytes_) {
            pending_.reset();
            return too_large(total);
        }
    }
    sorted.reserve(pending.order.size());
    for (std::size_t k = 0; k < pending.order.size(); ++k) {
        const auto later = pending.order.begin() + static_cast<std::ptrdiff_t>(k) + 1;
        std::string& attachment = pending.attachments[pending.order[k]];
        if (std::find(later, pending.order.end(), pending.order[k]) == pending.order.end()) {
            sorted.push_back(std::move(attachment));
        } else {
            sorted.push_back(attachment);
        }
    }
    pending.attachments = std::move(sorted);
    pending.bytes = total;
    complete_ = std::move(pending_);
    SioPacket& packet = complete_->packet;
    if (complete_->attachments.empty()) {
        packet.type = packet.type == SioType::binary_event ? SioType::event : SioType::ack;
    } else {
        packet.attachments = &complete_->attachments;
    }
    return std::optional{packet};
}

std::size_t SioDecoder::bytes_held() const noexcept {
    std::size_t held = 0;
    for (const Pending* kept : {pending_.get(), complete_.get()}) {
        if (kept == nullptr) continue;
        held += sizeof(Pending) + kept->text.capacity();
        for (const std::string& attachment : kept->attachments) {
            held += sizeof(std::string) + attachment.capacity();
        }
    }
    return held;
}

Result<std::vector<Placeholder>> find_placeholders(std::string_view json, std::size_t attachments) {
    struct Open {
        std::size_t begin;
        bool is_placeholder = false;
        std::uint32_t num = no_attachment;
    };
    std::vector<Open> open;
    std::vector<Placeholder> found;
    for (std::size_t i = 0; i < json.size();) {
        const char c = json[i];
        if (c == '{') {
            open.push_back({i});
            ++i;
        } else if (c == '}' && !open.empty()) {
            const Open closed = open.back();
            open.pop_back();
            ++i;
            if (!closed.is_placeholder) continue;
            // What lies inside an object that is replaced goes with it.
            while (!found.empty() && found.back().begin > closed.begin) found.pop_back();
            found.push_back({closed.begin, i, closed.num});
        } else if (c == '"') {
            const std::string_view quoted = json.substr(i, string_end(json, i) - i);
            i += quoted.size();
            while (i < json.size() && is_blank(json[i])) ++i;
            if (i == json.size() || json[i] != ':' || open.empty()) continue;
            ++i;
            while (i < json.size() && is_blank(json[i])) ++i;
            // A key; of equal ones the last counts, as in JavaScript.
            if (is_key(quoted, "_placeholder")) {
                open.back().is_placeholder = json.substr(i, 4) == "true";
            } else if (is_key(quoted, "num")) {
                // Read no further than the number goes, and not again: what follows another kind of value is the
                // rest of the message, and such keys may be as many as it has room for.
                const std::size_t stop = number_end(json, i);
                open.back().num = attachment_number(json.substr(i, stop - i), attachments);
                i = stop;
            }
        } else {
            ++i;
        }
    }
    for (const Placeholder& placeholder : found) {
        if (placeholder.num == no_attachment) return malformed("a placeholder names no attachment");
    }
    return found;
}

void append_sio_header(std::string& out, SioType type, std::size_t attachments, std::string_view nsp,
                       std::optional<std::uint64_t> id) {
    const auto append_number = [&](std::uint64_t value) {
        std::array<char, 20> digits;
        const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
        static_cast<void>(error);  // twenty digits hold any 64-bit number
        out.append(digits.data(), end);
    };
    out.push_back(static_cast<char>(type));
    if (is_binary(type)) {
        append_number(attachments);
        out.push_back('-');
    }
    if (nsp != "/") {
        out.append(nsp);
        out.push_back(',');
    }
    if (id) append_number(*id);
}

std::string_view event_name_token(std::string_view json) noexcept {
    std::size_t begin = 0;
    while (begin < json.size() && is_blank(json[begin])) ++begin;
    if (begin == json.size() || json[begin] != '[') return {};
    ++begin;
    while (begin < json.size() && is_blank(json[begin])) ++begin;
    const auto end = json::value_end(json, begin);
    if (!end) return {};
    return json.substr(begin, *end - begin);
}

std::string_view event_arguments(std::string_view json) noexcept {
    const std::string_view name = event_name_token(json);
    if (name.empty()) return {};
    const auto after = static_cast<std::size_t>(name.data() - json.data()) + name.size();
    std::string_view rest = without_blanks(json.substr(after));
    if (rest.empty() || rest.front() != ',') return {};
    return without_blanks(rest.substr(1, rest.size() - 2));
}

std::string_view ack_arguments(std::string_view json) noexcept {
    const std::string_view array = without_blanks(json);
    if (array.size() < 2) return {};
    return without_blanks(array.substr(1, array.size() - 2));
}

bool is_reserved_event(std::string_view name) noexcept {
    constexpr std::array<std::string_view, 6> reserved{"connect",       "connect_error", "disconnect",
                                                       "disconnecting", "newListener",   "removeListener"};
    return std::find(reserved.begin(), reserved.end(), name) != reserved.end();
}

}  // namespace sio::proto
