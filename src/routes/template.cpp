#include "routes/template.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/bytes.h"
#include "base/json.h"
#include "proto/sio_packet.h"
#include "routes/suggest.h"
#include "routes/topics.h"

namespace sio::routes {
namespace {

using namespace std::string_view_literals;

// ---- compiling ----

constexpr std::array roots = {"event"sv, "user"sv,       "socket"sv, "answer"sv,    "handshake"sv,
                              "clock"sv, "disconnect"sv, "record"sv, "cloudevent"sv};
constexpr std::array socket_words = {"id"sv, "namespace"sv, "transport"sv, "recovered"sv, "rooms"sv};
constexpr std::array handshake_words = {"auth"sv, "query"sv, "headers"sv, "address"sv};
constexpr std::array clock_words = {"iso"sv, "ms"sv};
constexpr std::array record_words = {"value"sv, "key"sv, "headers"sv, "topic"sv, "partition"sv, "offset"sv, "time"sv};

std::string braced(std::string_view inner) { return "{" + std::string{inner} + "}"; }

/// Splits `a.b.c` at its dots.
std::vector<std::string_view> split(std::string_view text) {
    std::vector<std::string_view> parts;
    for (;;) {
        const std::size_t dot = text.find('.');
        parts.push_back(text.substr(0, dot));
        if (dot == std::string_view::npos) return parts;
        text.remove_prefix(dot + 1);
    }
}

std::string list_of(std::string_view root, std::span<const std::string_view> words) {
    std::string text;
    for (const std::string_view word : words) {
        if (!text.empty()) text += word == words.back() ? " or " : ", ";
        text += braced(std::string{root} + "." + std::string{word});
    }
    return text;
}

tl::unexpected<Error> unknown_word(std::string_view written, std::string_view root, std::string_view word,
                                   std::span<const std::string_view> words) {
    return fail(Errc::config,
                braced(written) + " is unknown" + did_you_mean(word, words) + "; write " + list_of(root, words));
}

/// Compiles what stands between braces.
Result<Reference> compile_inner(std::string_view inner) {
    Reference reference;
    reference.text = braced(inner);
    const std::vector<std::string_view> parts = split(inner);
    if (std::ranges::any_of(parts, [](std::string_view part) { return part.empty(); })) {
        return fail(Errc::config,
                    reference.text + " has an empty part; write {event.0}, or {{ and }} for plain braces");
    }
    const auto path_from = [&](std::size_t first) {
        for (std::size_t i = first; i < parts.size(); ++i) reference.path.emplace_back(parts[i]);
    };
    const std::string_view root = parts[0];
    const std::string_view word = parts.size() > 1 ? parts[1] : std::string_view{};

    if (root == "event" || root == "answer") {
        const bool is_event = root == "event";
        if (word == "args" && parts.size() == 2) {
            reference.root = is_event ? Root::event_args : Root::answer_args;
        } else if (is_event && word == "name" && parts.size() == 2) {
            reference.root = Root::event_name;
        } else if (const auto index = base::parse_decimal(word, 9999)) {
            reference.root = is_event ? Root::event_arg : Root::answer_arg;
            reference.index = static_cast<std::uint32_t>(*index);
            path_from(2);
        } else {
            const std::string with_number = word.empty()
                                                ? std::string{root} + ".0"
                                                : std::string{root} + ".0" + std::string{inner.substr(root.size())};
            return fail(Errc::config, reference.text + " names no argument; arguments are numbered, write " +
                                          braced(with_number) + " for the first, {" + std::string{root} +
                                          ".args} for all");
        }
    } else if (root == "user") {
        reference.root = word == "id" && parts.size() == 2 ? Root::user_id : Root::user;
        path_from(1);
    } else if (root == "socket") {
        constexpr std::array values = {Root::socket_id, Root::socket_namespace, Root::socket_transport,
                                       Root::socket_recovered, Root::socket_rooms};
        const auto found = std::ranges::find(socket_words, word);
        if (found == socket_words.end() || parts.size() != 2) return unknown_word(inner, root, word, socket_words);
        reference.root = values[static_cast<std::size_t>(found - socket_words.begin())];
    } else if (root == "handshake") {
        if (word == "auth") {
            reference.root = Root::handshake_auth;
            path_from(2);
        } else if (word == "query" || word == "headers") {
            if (parts.size() < 3) {
                return fail(Errc::config,
                            reference.text + " is not a value; name one, as in " +
                                (word == "query" ? "{handshake.query.lang}" : "{handshake.headers.user-agent}"));
            }
            // Names of parameters may have dots themselves.
            reference.root = word == "query" ? Root::handshake_query : Root::handshake_header;
            reference.name = inner.substr(root.size() + word.size() + 2);
            if (word == "headers") {
                std::ranges::transform(reference.name, reference.name.begin(), [](char c) {
                    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
                });
            }
        } else if (word == "address" && parts.size() == 2) {
            reference.root = Root::handshake_address;
        } else {
            return unknown_word(inner, root, word, handshake_words);
        }
    } else if (root == "clock") {
        if (parts.size() != 2 || (word != "iso" && word != "ms")) return unknown_word(inner, root, word, clock_words);
        reference.root = word == "iso" ? Root::clock_iso : Root::clock_ms;
    } else if (root == "disconnect") {
        constexpr std::array words = {"reason"sv};
        if (parts.size() != 2 || word != "reason") return unknown_word(inner, root, word, words);
        reference.root = Root::disconnect_reason;
    } else if (root == "record") {
        constexpr std::array values = {Root::record_value, Root::record_key,       Root::record_header,
                                       Root::record_topic, Root::record_partition, Root::record_offset,
                                       Root::record_time};
        const auto found = std::ranges::find(record_words, word);
        if (word == "headers" && parts.size() > 2) {
            reference.name = inner.substr(root.size() + word.size() + 2);  // names may have dots, and case matters
        } else if (word == "headers") {
            return fail(Errc::config, reference.text + " is not a value; name one, as in {record.headers.trace-id}");
        } else if (found == record_words.end()) {
            return unknown_word(inner, root, word, record_words);
        } else if (word != "value" && parts.size() > 2) {
            return fail(Errc::config,
                        reference.text + " is not in a record; write " + braced("record." + std::string{word}));
        }
        reference.root = values[static_cast<std::size_t>(found - record_words.begin())];
        if (word == "value") path_from(2);
    } else if (root == "cloudevent") {
        reference.root = Root::cloudevent;
        path_from(1);
    } else {
        return fail(Errc::config,
                    reference.text + " is unknown" + did_you_mean(root, roots) +
                        "; templates begin with event, user, socket, answer, handshake, clock or disconnect, in topics "
                        "with record, cloudevent or clock, and {{ and }} are plain braces");
    }
    return reference;
}

/// One stretch of a text: literal, or a reference.
struct Part {
    std::string literal;
    std::optional<Reference> reference;
};

/// Cuts a decoded text at its references.
Result<std::vector<Part>> cut(std::string_view text) {
    std::vector<Part> parts;
    std::string literal;
    const auto flush = [&] {
        if (!literal.empty()) parts.push_back({std::exchange(literal, {}), std::nullopt});
    };
    while (!text.empty()) {
        const char c = text.front();
        if ((c == '{' || c == '}') && text.size() > 1 && text[1] == c) {
            literal.push_back(c);
            text.remove_prefix(2);
        } else if (c == '}') {
            return fail(Errc::config, "a } without {; write }} for a plain brace");
        } else if (c == '{') {
            const std::size_t close = text.find_first_of("{}", 1);
            if (close == std::string_view::npos || text[close] == '{') {
                return fail(Errc::config, "a { without }; write {{ for a plain brace");
            }
            auto reference = compile_inner(text.substr(1, close - 1));
            if (!reference) return tl::unexpected<Error>(std::move(reference.error()));
            flush();
            parts.push_back({{}, std::move(*reference)});
            text.remove_prefix(close + 1);
        } else {
            const std::size_t length = std::min(text.find_first_of("{}"), text.size());
            literal.append(text.substr(0, length));
            text.remove_prefix(length);
        }
    }
    flush();
    return parts;
}

/// Appends `text` as the inside of a JSON string.
void append_escaped(std::string& out, std::string_view text) {
    const std::size_t begin = out.size();
    json::append_string(out, text);
    out.pop_back();
    out.erase(begin, 1);
}

// ---- looking up ----

/// Argument `index` of a comma-separated list of valid JSON values.
std::optional<std::string_view> argument(std::string_view args, std::uint32_t index) noexcept {
    constexpr std::string_view blanks = " \t\r\n";
    for (std::size_t pos = 0; pos < args.size();) {
        const std::size_t begin = args.find_first_not_of(blanks, pos);
        if (begin == std::string_view::npos) break;
        const auto end = json::value_end(args, begin);
        if (!end) break;
        if (index-- == 0) return args.substr(begin, *end - begin);
        const std::size_t comma = args.find_first_not_of(blanks, *end);
        if (comma == std::string_view::npos || args[comma] != ',') break;
        pos = comma + 1;
    }
    return std::nullopt;
}

std::optional<std::string_view> follow(std::optional<std::string_view> value, std::span<const std::string> path) {
    for (const std::string& step : path) {
        if (!value) break;
        switch (json::kind_of(*value)) {
            case json::Kind::object: value = json::member(*value, step); break;
            case json::Kind::array: {
                const auto index = base::parse_decimal(step, UINT32_MAX);
                value = index ? json::element(*value, static_cast<std::size_t>(*index)) : std::nullopt;
                break;
            }
            default: return std::nullopt;
        }
    }
    return value;
}

void write_digits(char* at, unsigned value, std::size_t width) noexcept {
    while (width != 0) {
        at[--width] = static_cast<char>('0' + value % 10);
        value /= 10;
    }
}

constexpr std::size_t iso_length = 24;

/// Days to date by Howard Hinnant's civil_from_days.
void write_iso(std::array<char, iso_length>& out, std::int64_t ms) noexcept {
    constexpr std::int64_t day_ms = 86'400'000;
    constexpr std::int64_t last = 253'402'300'799'999;  // the end of the year 9999
    ms = std::clamp<std::int64_t>(ms, 0, last);
    const std::int64_t days = ms / day_ms + 719'468;
    const auto rest = static_cast<unsigned>(ms % day_ms);
    const std::int64_t era = days / 146'097;
    const auto day_of_era = static_cast<unsigned>(days - era * 146'097);
    const unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
    const unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const unsigned shifted = (5 * day_of_year + 2) / 153;
    const unsigned month = shifted < 10 ? shifted + 3 : shifted - 9;
    const auto year = static_cast<unsigned>(year_of_era + static_cast<unsigned>(era) * 400 + (month <= 2 ? 1 : 0));

    constexpr std::string_view shape = "0000-00-00T00:00:00.000Z";
    std::ranges::copy(shape, out.begin());
    write_digits(&out[0], year, 4);
    write_digits(&out[5], month, 2);
    write_digits(&out[8], day_of_year - (153 * shifted + 2) / 5 + 1, 2);
    write_digits(&out[11], rest / 3'600'000, 2);
    write_digits(&out[14], rest / 60'000 % 60, 2);
    write_digits(&out[17], rest / 1000 % 60, 2);
    write_digits(&out[20], rest % 1000, 3);
}

std::optional<std::string_view> if_utf8(std::string_view text) {
    return base::is_utf8(text) ? std::optional{text} : std::nullopt;
}

/// The last header of that name.
std::optional<std::string_view> record_header(const RecordFacts& record, std::string_view name) {
    for (std::size_t i = record.headers.size(); i-- != 0;) {
        if (record.headers[i].name == name) return if_utf8(record.headers[i].value);
    }
    return std::nullopt;
}

/// For references whose value is a text at hand: that text. `iso` is storage for the clock's.
std::optional<std::string_view> text_at_hand(const Reference& reference, const Context& context,
                                             std::array<char, iso_length>& iso) {
    const auto unless_empty = [](std::string_view text) {
        return text.empty() ? std::nullopt : std::optional<std::string_view>{text};
    };
    const RecordFacts* const record = context.record;
    switch (reference.root) {
        case Root::user_id: return unless_empty(context.user_id);
        case Root::socket_id: return unless_empty(context.socket_id);
        case Root::socket_namespace: return unless_empty(context.nsp);
        case Root::socket_transport: return unless_empty(context.transport);
        case Root::handshake_address: return unless_empty(context.address);
        case Root::disconnect_reason: return unless_empty(context.reason);
        case Root::clock_iso: write_iso(iso, context.now_ms); return std::string_view{iso.data(), iso.size()};
        case Root::record_key: return record != nullptr && record->key ? if_utf8(*record->key) : std::nullopt;
        case Root::record_topic: return record != nullptr ? unless_empty(record->topic) : std::nullopt;
        case Root::record_header: return record != nullptr ? record_header(*record, reference.name) : std::nullopt;
        default: return std::nullopt;
    }
}

bool is_text_at_hand(Root root) noexcept {
    switch (root) {
        case Root::user_id:
        case Root::socket_id:
        case Root::socket_namespace:
        case Root::socket_transport:
        case Root::handshake_address:
        case Root::disconnect_reason:
        case Root::clock_iso:
        case Root::record_key:
        case Root::record_topic:
        case Root::record_header: return true;
        default: return false;
    }
}

std::string& store_quoted(std::string& storage, std::string_view text) {
    storage.clear();
    json::append_string(storage, text);
    return storage;
}

std::string& store_array(std::string& storage, std::string_view args) {
    storage.assign(1, '[').append(args).push_back(']');
    return storage;
}

std::string& store_number(std::string& storage, std::int64_t number) {
    std::array<char, 20> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number);
    return storage.assign(digits.data(), end.ptr);
}

/// `{record.value…}`: the first step has been taken when the value was read.
std::optional<std::string_view> in_value(const Reference& reference, const RecordFacts& record) {
    if (reference.slot == no_slot || !record.has_fields) {
        return record.value.empty() ? std::nullopt : follow(record.value, reference.path);
    }
    const std::string_view field = record.fields[reference.slot];
    if (field.empty()) return std::nullopt;
    return follow(field, std::span{reference.path}.subspan(1));
}

tl::unexpected<Error> is_missing(const Reference& reference, const Context& context) {
    std::string what = reference.text + " is not in the record";
    if (reference.root == Root::cloudevent && context.record != nullptr && context.record->cloudevent.empty()) {
        what += ", which is no CloudEvent";
    }
    return fail(Errc::denied, std::move(what));
}

void append_decoded(std::string& out, std::string_view quoted) {
    if (quoted.find('\\') == std::string_view::npos) {
        out.append(quoted.substr(1, quoted.size() - 2));
    } else {
        out.append(json::decode_string(quoted));
    }
}

/// Appends a raw value whose placeholders name `attachments`; they are renumbered to follow those already in `out`.
Result<void> append_raw(Rendered& out, std::string_view raw, std::span<const std::string> attachments) {
    if (attachments.empty()) {
        out.json.append(raw);
        return {};
    }
    const auto placeholders = proto::find_placeholders(raw, attachments.size());
    if (!placeholders) return tl::unexpected<Error>(placeholders.error());
    std::size_t copied = 0;
    for (const proto::Placeholder& placeholder : *placeholders) {
        out.json.append(raw.substr(copied, placeholder.begin - copied));
        out.json.append("{\"_placeholder\":true,\"num\":");
        out.json.append(std::to_string(out.attachments.size()));
        out.json.push_back('}');
        out.attachments.push_back(&attachments[placeholder.num]);
        copied = placeholder.end;
    }
    out.json.append(raw.substr(copied));
    return {};
}

Result<void> append_in_text(std::string& out, const Reference& reference, std::string_view raw) {
    switch (json::kind_of(raw)) {
        case json::Kind::null: return {};
        case json::Kind::string: out.append(raw.substr(1, raw.size() - 2)); return {};
        case json::Kind::boolean:
        case json::Kind::number: out.append(raw); return {};
        case json::Kind::array:
        case json::Kind::object: break;
    }
    return fail(Errc::denied, reference.text + " is an object or array and cannot stand inside a text");
}

/// Appends the value of one reference to a JSON value.
Result<void> append_value(Rendered& out, const Template::Piece& piece, const Context& context, std::string& storage,
                          Missing missing) {
    const Reference& reference = piece.reference;
    if (is_text_at_hand(reference.root)) {
        std::array<char, iso_length> iso;
        const auto text = text_at_hand(reference, context, iso);
        if (!text && missing == Missing::error) return is_missing(reference, context);
        if (piece.in_text) {
            if (text) append_escaped(out.json, *text);
        } else if (text) {
            json::append_string(out.json, *text);
        } else {
            out.json.append("null");
        }
        return {};
    }
    const auto raw = look_up(reference, context, storage);
    if (!raw && missing == Missing::error) return is_missing(reference, context);
    if (piece.in_text) return raw ? append_in_text(out.json, reference, *raw) : Result<void>{};
    if (!raw) {
        out.json.append("null");
        return {};
    }
    return append_raw(out, *raw, attachments_of(reference, context));
}

}  // namespace

bool Reference::is_from_client() const noexcept {
    switch (root) {
        case Root::event_arg:
        case Root::event_args:
        case Root::event_name:
        case Root::handshake_auth:
        case Root::handshake_query:
        case Root::handshake_header: return true;
        case Root::answer_arg:
        case Root::answer_args: return !is_trusted;
        default: return false;
    }
}

bool Reference::is_of_record() const noexcept {
    switch (root) {
        case Root::record_value:
        case Root::record_key:
        case Root::record_header:
        case Root::record_topic:
        case Root::record_partition:
        case Root::record_offset:
        case Root::record_time:
        case Root::cloudevent: return true;
        default: return false;
    }
}

std::span<const std::string> attachments_of(const Reference& reference, const Context& context) noexcept {
    const RecordFacts* const record = context.record;
    switch (reference.root) {
        case Root::event_arg:
        case Root::event_args: return context.attachments;
        case Root::answer_arg:
        case Root::answer_args: return context.answer_attachments;
        case Root::record_value:
            if (record == nullptr || !record->is_binary) return {};
            return record->attachments;
        case Root::cloudevent:
            if (record == nullptr || !record->has_binary_data) return {};
            return record->attachments;
        default: return {};
    }
}

bool Template::is_from_client() const noexcept {
    return std::ranges::any_of(pieces, [](const Piece& piece) { return piece.reference.is_from_client(); });
}

Result<Template> compile_value(std::string_view value) {
    Template result;
    std::string literal;
    for (std::size_t i = 0; i < value.size();) {
        const char c = value[i];
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            ++i;
            continue;
        }
        if (c != '"') {
            literal.push_back(c);
            ++i;
            continue;
        }
        const auto end = json::value_end(value, i);
        if (!end) return fail(Errc::config, "not JSON");
        const std::string_view token = value.substr(i, *end - i);
        i = *end;
        const std::size_t next = value.find_first_not_of(" \t\r\n", i);
        const bool is_key = next != std::string_view::npos && value[next] == ':';
        const std::string text = json::decode_string(token);
        if (is_key && text == "_placeholder") {
            return fail(Errc::config, "\"_placeholder\" is the clients' word for an attachment; use another name");
        }
        if (text.find_first_of("{}") == std::string::npos) {
            literal.append(token);
            continue;
        }
        if (is_key) {
            return fail(Errc::config,
                        "the name \"" + text + "\" has braces; names of members are fixed, templates go into values");
        }
        auto parts = cut(text);
        if (!parts) return tl::unexpected<Error>(std::move(parts.error()));
        const bool is_whole = parts->size() == 1 && (*parts)[0].reference;
        if (!is_whole) literal.push_back('"');
        for (Part& part : *parts) {
            if (part.reference) {
                result.pieces.push_back({std::exchange(literal, {}), std::move(*part.reference), !is_whole});
            } else {
                append_escaped(literal, part.literal);
            }
        }
        if (!is_whole) literal.push_back('"');
    }
    result.tail = std::move(literal);
    return result;
}

Result<Template> compile_text(std::string_view text) {
    auto parts = cut(text);
    if (!parts) return tl::unexpected<Error>(std::move(parts.error()));
    Template result;
    std::string literal;
    const bool is_whole = parts->size() == 1;
    for (Part& part : *parts) {
        if (part.reference) {
            result.pieces.push_back({std::exchange(literal, {}), std::move(*part.reference), !is_whole});
        } else {
            literal.append(part.literal);
        }
    }
    result.tail = std::move(literal);
    return result;
}

Result<Template> compile_reference(std::string_view text) {
    auto result = compile_text(text);
    if (result && !result->is_reference()) {
        return fail(Errc::config, "needs exactly one template, as in \"{event.0}\"");
    }
    return result;
}

std::optional<std::string_view> look_up(const Reference& reference, const Context& context, std::string& storage) {
    if (is_text_at_hand(reference.root)) {
        std::array<char, iso_length> iso;
        const auto text = text_at_hand(reference, context, iso);
        if (!text) return std::nullopt;
        return store_quoted(storage, *text);
    }
    switch (reference.root) {
        case Root::event_arg: return follow(argument(context.args, reference.index), reference.path);
        case Root::event_args: return store_array(storage, context.args);
        case Root::event_name:
            return context.event.empty() ? std::nullopt : std::optional<std::string_view>{context.event};
        case Root::answer_arg:
            if (!context.answered) return std::nullopt;
            return follow(argument(context.answer, reference.index), reference.path);
        case Root::answer_args:
            if (!context.answered) return std::nullopt;
            return store_array(storage, context.answer);
        case Root::user: {
            if (!context.user.empty()) {
                const auto found = follow(context.user, reference.path);
                if (found || !reference.path.empty()) return found;
            }
            if (!reference.path.empty() || context.user_id.empty()) return std::nullopt;
            storage = "{\"id\":";
            json::append_string(storage, context.user_id);
            storage.push_back('}');
            return storage;
        }
        case Root::socket_recovered: return context.recovered ? "true"sv : "false"sv;
        case Root::socket_rooms: storage = context.facts != nullptr ? context.facts->rooms() : "[]"; return storage;
        case Root::handshake_auth: return context.auth.empty() ? std::nullopt : follow(context.auth, reference.path);
        case Root::handshake_query:
        case Root::handshake_header: {
            if (context.facts == nullptr) return std::nullopt;
            const auto value = reference.root == Root::handshake_query ? context.facts->query(reference.name)
                                                                       : context.facts->header(reference.name);
            if (!value) return std::nullopt;
            return store_quoted(storage, *value);
        }
        case Root::clock_ms: return store_number(storage, context.now_ms);
        default: break;
    }
    if (context.record == nullptr) return std::nullopt;
    const RecordFacts& record = *context.record;
    switch (reference.root) {
        case Root::record_value: return in_value(reference, record);
        case Root::record_partition: return store_number(storage, record.partition);
        case Root::record_offset: return store_number(storage, record.offset);
        case Root::record_time:
            if (record.time_ms < 0) return std::nullopt;
            return store_number(storage, record.time_ms);
        case Root::cloudevent:
            return record.cloudevent.empty() ? std::nullopt : follow(record.cloudevent, reference.path);
        default: return std::nullopt;
    }
}

Result<void> render(const Template& value, const Context& context, Rendered& out, Missing missing) {
    std::string storage;
    for (const Template::Piece& piece : value.pieces) {
        out.json.append(piece.before);
        if (auto done = append_value(out, piece, context, storage, missing); !done) return done;
    }
    out.json.append(value.tail);
    // A client's value that was just within the limit is deeper now. Depth needs bytes, so short texts are not looked
    // at.
    if (!value.is_constant() && out.json.size() > 2 * json::max_depth && !json::is_valid(out.json)) {
        return fail(Errc::denied, "nests too deeply");
    }

    if (out.attachments.empty()) return {};
    if (out.attachments.size() > proto::max_attachments) {
        return fail(Errc::denied, "more than " + std::to_string(proto::max_attachments) + " attachments");
    }
    // A text event may hold what looks like a placeholder. It means nothing there, but beside real attachments it would
    // name one of them, or none, and clients break off on that.
    const auto placeholders = proto::find_placeholders(out.json, out.attachments.size());
    if (!placeholders || placeholders->size() != out.attachments.size()) {
        return fail(Errc::denied, "a text that looks like an attachment");
    }
    return {};
}

Result<void> render_text(const Template& text, const Context& context, std::string& out, Missing missing) {
    out.clear();
    std::string storage;
    for (const Template::Piece& piece : text.pieces) {
        out.append(piece.before);
        const std::size_t begin = out.size();
        if (is_text_at_hand(piece.reference.root)) {
            std::array<char, iso_length> iso;
            const auto at_hand = text_at_hand(piece.reference, context, iso);
            if (!at_hand && missing == Missing::error) return is_missing(piece.reference, context);
            if (at_hand && at_hand->empty()) return fail(Errc::denied, piece.reference.text + " is empty");
            out.append(at_hand.value_or(""));
        } else if (const auto raw = look_up(piece.reference, context, storage)) {
            switch (json::kind_of(*raw)) {
                case json::Kind::null:
                    if (missing == Missing::error) return fail(Errc::denied, piece.reference.text + " is null");
                    break;
                case json::Kind::boolean:
                case json::Kind::number: out.append(*raw); break;
                case json::Kind::string:
                    if (raw->size() == 2) return fail(Errc::denied, piece.reference.text + " is empty");
                    append_decoded(out, *raw);
                    break;
                case json::Kind::array:
                case json::Kind::object:
                    return fail(Errc::denied, piece.reference.text + " is neither text nor number");
            }
        } else if (missing == Missing::error) {
            return is_missing(piece.reference, context);
        }
        if (out.size() == begin) return fail(Errc::denied, piece.reference.text + " is missing");
    }
    out.append(text.tail);
    return {};
}

std::string iso_time(std::int64_t ms) {
    std::array<char, iso_length> iso;
    write_iso(iso, ms);
    return {iso.data(), iso.size()};
}

}  // namespace sio::routes
