#include "cluster/message.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

#include "base/bytes.h"
#include "base/json.h"
#include "cluster/js_date.h"
#include "cluster/msgpack.h"
#include "cluster/text.h"
#include "proto/sio_packet.h"

namespace sio::cluster {
namespace {

constexpr std::size_t kept_scratch = 1U << 20U;  // bytes of a buffer that are kept from message to message
constexpr std::size_t max_uid = 256;             // bytes; Node's have 16

constexpr bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

tl::unexpected<Error> malformed(const char* why) {
    return fail(Errc::malformed, std::string{"cannot read message: "} + why);
}

std::optional<Type> type_of(std::uint64_t number) noexcept {
    const bool is_ours = number == static_cast<std::uint64_t>(Type::count_sockets) ||
                         number == static_cast<std::uint64_t>(Type::count_sockets_response);
    if (!is_ours && (number < 1 || number > static_cast<std::uint64_t>(Type::adapter_close))) return std::nullopt;
    return static_cast<Type>(number);
}

constexpr bool has_data(Type type) noexcept {
    return type != Type::initial_heartbeat && type != Type::heartbeat && type != Type::adapter_close;
}

/// What Node's own check for binary is limited to.
constexpr bool may_have_binary(Type type) noexcept {
    return type == Type::broadcast || type == Type::fetch_sockets_response || type == Type::server_side_emit ||
           type == Type::server_side_emit_response || type == Type::broadcast_ack;
}

constexpr std::size_t attachments_allowed(Type type) noexcept {
    if (type == Type::fetch_sockets_response) return Decoder::max_socket_attachments;
    return may_have_binary(type) ? proto::max_attachments : 0;
}

/// The value of a JSON number; nothing for other values and for what is not finite.
std::optional<double> number_of(std::string_view token) noexcept {
    double number = 0;
    const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), number);
    if (error != std::errc{} || end != token.data() + token.size()) return std::nullopt;
    return number;
}

/// The value of a JSON number that is a whole number from 0 to `max`.
std::optional<std::uint64_t> whole_number_of(std::string_view token, std::uint64_t max) noexcept {
    if (token.size() <= 15) {  // the usual spelling
        if (const auto number = base::parse_decimal(token, max)) return number;
    }
    const auto number = number_of(token);
    if (!number || *number < 0 || *number > static_cast<double>(max) || std::trunc(*number) != *number) {
        return std::nullopt;
    }
    return static_cast<std::uint64_t>(*number);
}

constexpr std::uint64_t max_count = 1ULL << 53U;

}  // namespace

std::string_view to_string(Type type) noexcept {
    switch (type) {
        case Type::initial_heartbeat: return "initial_heartbeat";
        case Type::heartbeat: return "heartbeat";
        case Type::broadcast: return "broadcast";
        case Type::sockets_join: return "sockets_join";
        case Type::sockets_leave: return "sockets_leave";
        case Type::disconnect_sockets: return "disconnect_sockets";
        case Type::fetch_sockets: return "fetch_sockets";
        case Type::fetch_sockets_response: return "fetch_sockets_response";
        case Type::server_side_emit: return "server_side_emit";
        case Type::server_side_emit_response: return "server_side_emit_response";
        case Type::broadcast_client_count: return "broadcast_client_count";
        case Type::broadcast_ack: return "broadcast_ack";
        case Type::adapter_close: return "adapter_close";
        case Type::count_sockets: return "count_sockets";
        case Type::count_sockets_response: return "count_sockets_response";
    }
    return "unknown";
}

void StringList::clear() noexcept {
    if (items_.size() > kept_items) items_.resize(kept_items);
    for (std::size_t i = 0; i < std::min(size_, items_.size()); ++i) {
        if (items_[i].capacity() > kept_bytes) items_[i] = std::string{};
    }
    size_ = 0;
}

std::string& StringList::add() {
    if (size_ == items_.size()) items_.emplace_back();
    std::string& item = items_[size_++];
    item.clear();
    return item;
}

/// A place in a JSON text that is read once, front to back. Only the parts a message is made of are descended into;
/// each other value is checked and skipped as a whole, so that a client's data may nest as deep here as in its own
/// packet.
struct Decoder::Cursor {
    std::string_view text;
    std::size_t pos = 0;

    void skip_blanks() noexcept {
        while (pos < text.size() && is_blank(text[pos])) ++pos;
    }
    /// The next byte that is no blank; 0 at the end.
    char peek() noexcept {
        skip_blanks();
        return pos < text.size() ? text[pos] : '\0';
    }
    bool take(char c) noexcept {
        if (peek() != c) return false;
        ++pos;
        return true;
    }
    /// Any value; empty when there is none.
    std::string_view value() noexcept {
        skip_blanks();
        const auto end = json::value_end(text, pos);
        if (!end) return {};
        const std::string_view out = text.substr(pos, *end - pos);
        pos = *end;
        return out;
    }
    bool is_at_end() noexcept {
        skip_blanks();
        return pos == text.size();
    }

    /// Reads an object; `each(key)` reads the value of the member and returns null, or why it cannot. The key is
    /// decoded.
    template <typename Each>
    const char* members(const char* not_an_object, Each&& each) {
        if (!take('{')) return not_an_object;
        if (take('}')) return nullptr;
        std::string unescaped;
        do {
            if (peek() != '"') return "it is not JSON";
            const std::string_view quoted = value();
            if (quoted.empty() || !take(':')) return "it is not JSON";
            std::string_view key = quoted.substr(1, quoted.size() - 2);
            if (key.find('\\') != std::string_view::npos) {
                unescaped = json::decode_string(quoted);
                key = unescaped;
            }
            if (const char* why = each(key)) return why;
        } while (take(','));
        return take('}') ? nullptr : "it is not JSON";
    }
    const char* skip() noexcept { return value().empty() ? "it is not JSON" : nullptr; }
};

void Decoder::reset() noexcept {
    message_.uid = {};
    message_.nsp = {};
    message_.type = {};
    message_.request_id = {};
    message_.has_request_id = false;
    message_.rooms.clear();
    message_.except.clear();
    message_.flags = {};
    message_.event = {};
    message_.arguments = {};
    message_.attachments.clear();
    message_.packet_has_id = false;
    message_.joined_rooms.clear();
    message_.close = false;
    message_.client_count = 0;
    message_.value = {};
    message_.sockets = {};
    message_.gateways_count = false;
    message_.questions.clear();
    message_.counts.clear();
    message_.is_open = false;
    if (json_.capacity() > kept_scratch) json_ = std::string{};
    json_.clear();
    decoded_.clear();
}

Result<const Message*> Decoder::stream_entry(std::string_view uid, std::string_view nsp, std::string_view type,
                                             std::string_view data) {
    reset();
    if (data.size() > max_bytes_) return fail(Errc::too_large, "cannot read message: it passes the size limit");
    if (uid.size() > max_uid || !base::is_utf8(uid)) return malformed("the uid is no text, or too long");
    if (nsp.empty() || !base::is_utf8(nsp)) return malformed("it names no namespace");
    const auto number = base::parse_decimal(type, 255);
    const auto known = number ? type_of(*number) : std::nullopt;
    if (!known) return malformed("its type is unknown");
    message_.uid = uid;
    message_.nsp = nsp;
    message_.type = *known;
    if (!has_data(*known)) return &message_;
    if (data.empty()) return malformed("it has no data");

    const char* why = nullptr;
    if (data.front() == '{') {
        why = base::is_utf8(data) ? read_data(data) : "it is not UTF-8";
    } else {
        const auto bytes = base::decode_base64(data);
        if (!bytes) return malformed("the data are neither JSON nor base64");
        why = transcode(*bytes, attachments_allowed(*known));
        if (why == nullptr) why = read_data(json_);
    }
    if (why != nullptr) return malformed(why);
    return &message_;
}

Result<const Message*> Decoder::payload(std::string_view bytes) {
    reset();
    if (bytes.size() > max_bytes_) return fail(Errc::too_large, "cannot read message: it passes the size limit");
    if (bytes.empty()) return malformed("it is empty");
    const char* const why = bytes.front() == '{' ? read_payload_json(bytes) : read_payload_msgpack(bytes);
    if (why != nullptr) return malformed(why);
    return &message_;
}

Result<const Message*> Decoder::classic_broadcast(std::string_view bytes) {
    reset();
    if (bytes.size() > max_bytes_) return fail(Errc::too_large, "cannot read message: it passes the size limit");
    if (const char* why = read_classic_broadcast(bytes)) return malformed(why);
    return &message_;
}

Result<const ClassicRequest*> Decoder::classic_request(std::string_view bytes) {
    reset();
    if (bytes.size() > max_bytes_) return fail(Errc::too_large, "cannot read message: it passes the size limit");
    if (bytes.empty()) return malformed("it is empty");
    const char* why = nullptr;
    if (bytes.front() == '{') {
        why = base::is_utf8(bytes) ? read_classic_request(bytes) : "it is not UTF-8";
    } else {
        why = transcode(bytes, proto::max_attachments);
        if (why == nullptr) why = read_classic_request(json_);
    }
    if (why != nullptr) return malformed(why);
    return &request_;
}

/// Makes json_ of a MessagePack value.
const char* Decoder::transcode(std::string_view value, std::size_t max_attachments) {
    const auto made = msgpack::to_json(value, json_, message_.attachments, max_attachments);
    return made ? nullptr : "the data are not MessagePack, or hold what cannot be sent on";
}

/// Whether the attachments are just those that the part of the message which may have some names. Binary in another
/// part is refused.
const char* Decoder::check_placeholders() const {
    if (message_.attachments.empty()) return nullptr;
    std::string_view part;
    if (message_.type == Type::broadcast || message_.type == Type::server_side_emit) {
        const std::string_view last = message_.arguments.empty() ? message_.event : message_.arguments;
        const char* const begin = message_.event.data();  // the name and the arguments come from one array
        part = {begin, static_cast<std::size_t>(last.data() + last.size() - begin)};
    } else {
        part = message_.type == Type::fetch_sockets_response ? message_.sockets : message_.value;
    }
    const auto found = proto::find_placeholders(part, message_.attachments.size());
    const bool same = found && found->size() == message_.attachments.size();
    return same ? nullptr : "it has binary where none is allowed";
}

/// A string; null counts as absent.
const char* Decoder::read_text(Cursor& in, std::string_view& out, bool* is_there) {
    const std::string_view token = in.value();
    if (token.empty()) return "it is not JSON";
    out = {};
    if (is_there != nullptr) *is_there = token != "null";
    if (token == "null") return nullptr;
    if (token.front() != '"') return "an id or a name is no string";
    out = token.substr(1, token.size() - 2);
    if (out.find('\\') != std::string_view::npos) out = decoded_.emplace_back(json::decode_string(token));
    return nullptr;
}

/// A list of rooms. Numbers are names too, as JavaScript programs have them; null is an empty list.
const char* Decoder::read_list(Cursor& in, StringList& out) {
    out.clear();
    if (in.peek() == 'n') return in.value() == "null" ? nullptr : "it is not JSON";
    if (!in.take('[')) return "a list of rooms is no array";
    if (in.take(']')) return nullptr;
    do {
        const std::string_view token = in.value();
        if (token.empty()) return "it is not JSON";
        if (out.size() == max_rooms) return "a list of rooms is too long";
        if (token.front() == '"') {
            const std::string_view name = token.substr(1, token.size() - 2);
            if (name.find('\\') == std::string_view::npos) {
                out.add().assign(name);
            } else {
                out.add() = json::decode_string(token);
            }
        } else if (json::kind_of(token) == json::Kind::number) {
            out.add().assign(token);
        } else {
            return "a room is no string";
        }
    } while (in.take(','));
    return in.take(']') ? nullptr : "it is not JSON";
}

const char* Decoder::read_questions(Cursor& in) {
    message_.questions.clear();
    if (!in.take('[')) return "the questions are no array";
    if (in.take(']')) return nullptr;
    do {
        if (message_.questions.size() == max_questions) return "it asks too much";
        Question& question = message_.questions.emplace_back();
        const char* const why = in.members("a question is no object", [&](std::string_view key) -> const char* {
            if (key != "rooms" && key != "except") return in.skip();
            if (const char* bad = read_list(in, list_)) return bad;
            (key == "rooms" ? question.rooms : question.except) = list_.copy();
            return nullptr;
        });
        if (why != nullptr) return why;
    } while (in.take(','));
    return in.take(']') ? nullptr : "it is not JSON";
}

const char* Decoder::read_counts(Cursor& in) {
    message_.counts.clear();
    if (!in.take('[')) return "the counts are no array";
    if (in.take(']')) return nullptr;
    do {
        if (message_.counts.size() == max_questions) return "it has too many counts";
        const auto count = whole_number_of(in.value(), max_count);
        if (!count) return "a count is no whole number";
        message_.counts.push_back(*count);
    } while (in.take(','));
    return in.take(']') ? nullptr : "it is not JSON";
}

const char* Decoder::read_flags(Cursor& in) {
    Flags& flags = message_.flags;
    flags = {};
    if (in.peek() == 'n') return in.value() == "null" ? nullptr : "it is not JSON";
    return in.members("the flags are no object", [&](std::string_view key) -> const char* {
        const std::string_view token = in.value();
        if (token.empty()) return "it is not JSON";
        if (key == "volatile") {
            flags.is_volatile = token == "true";
        } else if (key == "compress") {
            flags.compress.reset();
            if (json::kind_of(token) == json::Kind::boolean) flags.compress = token == "true";
        } else if (key == "expectSingleResponse") {
            flags.expect_single_response = token == "true";
        } else if (key == "timeout") {
            constexpr double max_timeout = 2147483647;  // as setTimeout() has it
            flags.timeout_ms.reset();
            const auto number = number_of(token);
            if (number) flags.timeout_ms = static_cast<std::int64_t>(std::clamp(*number, 0.0, max_timeout));
        }
        return nullptr;
    });
}

const char* Decoder::read_opts(Cursor& in) {
    message_.rooms.clear();
    message_.except.clear();
    message_.flags = {};
    return in.members("the options are no object", [&](std::string_view key) {
        if (key == "rooms") return read_list(in, message_.rooms);
        if (key == "except") return read_list(in, message_.except);
        if (key == "flags") return read_flags(in);
        return in.skip();
    });
}

/// `[name, arguments…]`.
const char* Decoder::read_event(Cursor& in, bool refuse_reserved) {
    const std::string_view array = in.value();
    if (array.empty()) return "it is not JSON";
    if (array.front() != '[') return "the event is no array";
    Cursor inside{array, 1};
    if (inside.peek() == ']') return "the event has no name";
    const std::string_view name = inside.value();
    switch (json::kind_of(name)) {
        case json::Kind::number: break;
        case json::Kind::string: {
            if (!refuse_reserved) break;
            const std::string_view inner = name.substr(1, name.size() - 2);
            const bool plain = inner.find('\\') == std::string_view::npos;
            if (proto::is_reserved_event(plain ? inner : json::decode_string(name)))
                return "the event name is reserved";
            break;
        }
        default: return "the event name is neither a string nor a number";
    }
    message_.event = name;
    message_.arguments = {};
    if (inside.take(',')) {
        inside.skip_blanks();
        std::string_view rest = array.substr(inside.pos);
        rest.remove_suffix(1);
        while (!rest.empty() && is_blank(rest.back())) rest.remove_suffix(1);
        message_.arguments = rest;
    }
    return nullptr;
}

const char* Decoder::read_packet(Cursor& in, Dialect dialect) {
    bool is_event = false;
    message_.packet_has_id = false;
    message_.event = {};
    const char* const why = in.members("the packet is no object", [&](std::string_view key) -> const char* {
        if (key == "data") return read_event(in, true);
        if (key == "nsp" && dialect == Dialect::classic) {
            bool is_there = false;
            const char* const bad = read_text(in, message_.nsp, &is_there);
            if (!is_there || message_.nsp.empty()) message_.nsp = "/";
            return bad;
        }
        const std::string_view token = in.value();
        if (token.empty()) return "it is not JSON";
        if (key == "type") {
            const auto type = whole_number_of(token, 255);
            // Old classic emitters name the binary kind; everybody else leaves that to the receiver.
            is_event = type && (*type == 2 || (*type == 5 && dialect == Dialect::classic));
        } else if (key == "id") {
            message_.packet_has_id = token != "null";
        }
        return nullptr;
    });
    if (why != nullptr) return why;
    if (!is_event) return "the packet is no event";
    return message_.event.empty() ? "the packet has no data" : nullptr;
}

/// The `data` of a message whose type is set already.
const char* Decoder::read_data(std::string_view json) {
    Cursor in{json};
    const Type type = message_.type;
    bool has_packet = false;
    bool has_opts = false;
    bool has_rooms = false;
    bool has_count = false;
    const char* why = in.members("the data are no object", [&](std::string_view key) -> const char* {
        if (key == "requestId") return read_text(in, message_.request_id, &message_.has_request_id);
        if (key == "packet") {
            has_packet = true;
            switch (type) {
                case Type::broadcast: return read_packet(in, Dialect::streams);
                case Type::server_side_emit: return read_event(in, false);
                case Type::server_side_emit_response:
                case Type::broadcast_ack:
                    message_.value = in.value();
                    return message_.value.empty() ? "it is not JSON" : nullptr;
                default: return in.skip();
            }
        }
        if (key == "opts") {
            has_opts = true;
            return in.peek() == '{' ? read_opts(in) : "the options are no object";
        }
        if (key == "rooms") {
            has_rooms = in.peek() == '[';
            return read_list(in, message_.joined_rooms);
        }
        if (key == "close") {
            const std::string_view token = in.value();
            message_.close = token == "true";
            return token.empty() ? "it is not JSON" : nullptr;
        }
        if (key == "clientCount") {
            const auto count = whole_number_of(in.value(), max_count);
            has_count = count.has_value();
            message_.client_count = count.value_or(0);
            return count ? nullptr : "the count is no whole number";
        }
        if (key == "questions" && type == Type::count_sockets) return read_questions(in);
        if (key == "counts" && type == Type::count_sockets_response) return read_counts(in);
        if (key == "isOpen" || key == "gatewaysCount") {
            const std::string_view token = in.value();
            if (key == "isOpen" && type == Type::count_sockets_response) message_.is_open = token == "true";
            if (key == "gatewaysCount" && type == Type::fetch_sockets) message_.gateways_count = token == "true";
            return token.empty() ? "it is not JSON" : nullptr;
        }
        if (key == "sockets") {
            message_.sockets = in.value();
            if (message_.sockets.empty()) return "it is not JSON";
            if (type != Type::fetch_sockets_response) return nullptr;
            return message_.sockets.front() == '[' ? nullptr : "the sockets are no array";
        }
        return in.skip();
    });
    if (why != nullptr) return why;
    if (!in.is_at_end()) return "bytes follow the data";

    bool wants_request_id = true;
    switch (type) {
        case Type::broadcast:
            if (!has_packet) return "it has no packet";
            if (!has_opts) return "it has no options";
            wants_request_id = false;
            break;
        case Type::sockets_join:
        case Type::sockets_leave:
            if (!has_rooms) return "it names no rooms";
            [[fallthrough]];
        case Type::disconnect_sockets:
            if (!has_opts) return "it has no options";
            wants_request_id = false;
            break;
        case Type::fetch_sockets:
            if (!has_opts) return "it has no options";
            break;
        case Type::server_side_emit:
            if (!has_packet) return "it has no packet";
            wants_request_id = false;
            break;
        case Type::fetch_sockets_response:
            if (message_.sockets.empty()) return "it has no sockets";
            break;
        case Type::broadcast_client_count:
            if (!has_count) return "it has no count";
            break;
        case Type::server_side_emit_response:
        case Type::broadcast_ack:
            if (message_.value.empty()) message_.value = "null";  // undefined vanishes in JSON
            break;
        case Type::count_sockets:
            if (message_.questions.empty()) return "it asks nothing";
            break;
        case Type::count_sockets_response:
            if (message_.counts.empty()) return "it has no counts";
            break;
        case Type::initial_heartbeat:
        case Type::heartbeat:
        case Type::adapter_close: return nullptr;
    }
    if (wants_request_id && !message_.has_request_id) return "it has no request id";
    return check_placeholders();
}

const char* Decoder::read_payload_json(std::string_view json) {
    if (!base::is_utf8(json)) return "it is not UTF-8";
    Cursor in{json};
    std::optional<Type> type;
    std::string_view data;
    const char* const why = in.members("it is no object", [&](std::string_view key) -> const char* {
        if (key == "uid") return read_text(in, message_.uid, nullptr);
        if (key == "nsp") return read_text(in, message_.nsp, nullptr);
        const std::string_view token = in.value();
        if (token.empty()) return "it is not JSON";
        if (key == "data") data = token;
        if (key == "type") {
            const auto number = whole_number_of(token, 255);
            type = number ? type_of(*number) : std::nullopt;
        }
        return nullptr;
    });
    if (why != nullptr) return why;
    if (!in.is_at_end()) return "bytes follow the message";
    if (!type) return "its type is unknown";
    if (message_.nsp.empty()) return "it names no namespace";
    if (message_.uid.size() > max_uid) return "the uid is too long";
    message_.type = *type;
    if (!has_data(*type)) return nullptr;
    return data.empty() ? "it has no data" : read_data(data);
}

const char* Decoder::read_payload_msgpack(std::string_view map) {
    const auto head = msgpack::read_head(map, 0);
    if (!head || head->kind != msgpack::Kind::map) return "it is no map";
    if (msgpack::value_end(map, 0) != map.size()) return "it is cut short, too long or nests too deep";
    std::optional<Type> type;
    std::string_view data;
    const auto text = [](const msgpack::Head& value, std::string_view& out) {
        if (value.kind != msgpack::Kind::string || !base::is_utf8(value.bytes)) return false;
        out = value.bytes;
        return true;
    };
    for (msgpack::Walker walker{map}; walker.next();) {
        const auto value = msgpack::read_head(walker.value(), 0);
        const std::string_view key = walker.name();
        if (key == "type") {
            type = value->kind == msgpack::Kind::unsigned_integer ? type_of(value->number) : std::nullopt;
        } else if (key == "data") {
            data = walker.value();
        } else if (key == "uid") {
            if (!text(*value, message_.uid) || message_.uid.size() > max_uid) return "the uid is no text, or too long";
        } else if (key == "nsp") {
            if (!text(*value, message_.nsp)) return "it names no namespace";
        }
    }
    if (!type) return "its type is unknown";
    if (message_.nsp.empty()) return "it names no namespace";
    message_.type = *type;
    if (!has_data(*type)) return nullptr;
    if (data.empty()) return "it has no data";
    if (const char* why = transcode(data, attachments_allowed(*type))) return why;
    return read_data(json_);
}

const char* Decoder::read_classic_broadcast(std::string_view array) {
    const auto head = msgpack::read_head(array, 0);
    if (!head || head->kind != msgpack::Kind::array || head->count != 3) return "it is no array of three";
    if (msgpack::value_end(array, 0) != array.size()) return "it is cut short, too long or nests too deep";
    std::array<std::string_view, 3> parts;
    msgpack::Walker walker{array};
    for (std::string_view& part : parts) {
        if (!walker.next()) return "it is cut short";
        part = walker.value();
    }
    const auto uid = msgpack::read_head(parts[0], 0);
    if (uid->kind != msgpack::Kind::string || !base::is_utf8(uid->bytes) || uid->bytes.size() > max_uid) {
        return "the uid is no text, or too long";
    }
    message_.type = Type::broadcast;
    message_.uid = uid->bytes;
    message_.nsp = "/";
    if (const char* why = transcode(parts[1], proto::max_attachments)) return why;
    const std::size_t packet_end = json_.size();
    const std::size_t attachments = message_.attachments.size();
    if (const char* why = transcode(parts[2], attachments)) return why;  // no binary in the options

    const std::string_view both = json_;
    Cursor packet{both.substr(0, packet_end)};
    if (const char* why = read_packet(packet, Dialect::classic)) return why;
    Cursor opts{both.substr(packet_end)};
    if (const char* why = read_opts(opts)) return why;
    return check_placeholders();
}

const char* Decoder::read_classic_request(std::string_view json) {
    request_ = {};
    message_.nsp = "/";
    Cursor in{json};
    constexpr auto no_type = static_cast<std::uint64_t>(ClassicType::broadcast) + 1;
    std::uint64_t type = no_type;
    std::string_view event;
    std::string_view room;
    bool has_packet = false;
    bool has_opts = false;
    bool has_rooms = false;
    bool has_sid = false;
    const char* const why = in.members("it is no object", [&](std::string_view key) -> const char* {
        if (key == "uid") return read_text(in, message_.uid, nullptr);
        if (key == "requestId") return read_text(in, message_.request_id, &message_.has_request_id);
        if (key == "sid") return read_text(in, request_.sid, &has_sid);
        if (key == "room") return read_text(in, room, nullptr);
        if (key == "rooms") {
            has_rooms = in.peek() == '[';
            return read_list(in, message_.joined_rooms);
        }
        if (key == "opts") {
            has_opts = true;
            return in.peek() == '{' ? read_opts(in) : "the options are no object";
        }
        if (key == "packet" && in.peek() == '{') {
            has_packet = true;
            return read_packet(in, Dialect::classic);
        }
        const std::string_view token = in.value();
        if (token.empty()) return "it is not JSON";
        if (key == "type") {
            type = whole_number_of(token, no_type).value_or(no_type);
        } else if (key == "close") {
            message_.close = token == "true";
        } else if (key == "data") {
            event = token;
        }
        return nullptr;
    });
    if (why != nullptr) return why;
    if (!in.is_at_end()) return "bytes follow the message";
    if (type >= no_type) return "its type is unknown";
    if (message_.uid.size() > max_uid) return "the uid is too long";
    request_.type = static_cast<ClassicType>(type);
    request_.message = &message_;
    switch (request_.type) {
        case ClassicType::sockets:
            std::swap(message_.rooms, message_.joined_rooms);
            message_.type = Type::fetch_sockets;
            return message_.has_request_id ? nullptr : "it has no request id";
        case ClassicType::all_rooms:
            message_.type = Type::fetch_sockets;
            return message_.has_request_id ? nullptr : "it has no request id";
        case ClassicType::remote_fetch:
            message_.type = Type::fetch_sockets;
            if (!has_opts) return "it has no options";
            return message_.has_request_id ? nullptr : "it has no request id";
        case ClassicType::remote_join:
        case ClassicType::remote_leave:
            message_.type = request_.type == ClassicType::remote_join ? Type::sockets_join : Type::sockets_leave;
            if (has_opts) return has_rooms ? nullptr : "it names no rooms";
            if (!has_sid || room.empty()) return "it names neither options nor a socket and a room";
            message_.joined_rooms.clear();
            message_.joined_rooms.add().assign(room);
            return nullptr;
        case ClassicType::remote_disconnect:
            message_.type = Type::disconnect_sockets;
            return has_opts || has_sid ? nullptr : "it names neither options nor a socket";
        case ClassicType::server_side_emit: {
            message_.type = Type::server_side_emit;
            if (event.empty()) return "it has no data";
            Cursor data{event};
            if (const char* bad = read_event(data, false)) return bad;
            return check_placeholders();
        }
        case ClassicType::broadcast:
            message_.type = Type::broadcast;
            if (!has_packet || message_.event.empty()) return "it has no packet";
            if (!has_opts) return "it has no options";
            if (!message_.has_request_id) return "it has no request id";
            return check_placeholders();
    }
    return "its type is unknown";
}

namespace {

void append_number(std::string& out, std::uint64_t number) {
    std::array<char, 20> digits;
    out.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr);
}

void append_list(std::string& out, std::span<const std::string> items) {
    out.push_back('[');
    bool is_first = true;
    for (const std::string& item : items) {
        if (!is_first) out.push_back(',');
        is_first = false;
        append_json_string(out, item);
    }
    out.push_back(']');
}

void append_flags(std::string& out, const Flags& flags) {
    out.append("\"flags\":{");
    const std::size_t begin = out.size();
    const auto flag = [&](std::string_view text) {
        if (out.size() != begin) out.push_back(',');
        out.append(text);
    };
    if (flags.is_volatile) flag("\"volatile\":true");
    if (flags.compress) flag(*flags.compress ? "\"compress\":true" : "\"compress\":false");
    if (flags.expect_single_response) flag("\"expectSingleResponse\":true");
    if (flags.timeout_ms) {
        flag("\"timeout\":");
        append_number(out, static_cast<std::uint64_t>(std::max<std::int64_t>(*flags.timeout_ms, 0)));
    }
    out.push_back('}');
}

void append_opts(std::string& out, const Outgoing& message) {
    out.append("\"opts\":{\"rooms\":");
    append_list(out, message.rooms);
    const bool is_emitters_broadcast = message.type == Type::broadcast && !message.emitter_nsp.empty();
    if (is_emitters_broadcast) {
        out.push_back(',');
        append_flags(out, message.flags);
    }
    out.append(",\"except\":");
    append_list(out, message.except);
    if (!is_emitters_broadcast) {
        out.push_back(',');
        append_flags(out, message.flags);
    }
    out.push_back('}');
}

void append_request_id(std::string& out, std::string_view id) {
    out.append("\"requestId\":");
    append_json_string(out, id);
}

void append_event(std::string& out, const Outgoing& message) {
    out.push_back('[');
    out.append(message.event);
    if (!message.arguments.empty()) {
        out.push_back(',');
        out.append(message.arguments);
    }
    out.push_back(']');
}

void append_questions(std::string& out, std::span<const Question> questions) {
    out.push_back('[');
    for (const Question& question : questions) {
        if (out.back() != '[') out.push_back(',');
        out.append("{\"rooms\":");
        append_list(out, question.rooms);
        out.append(",\"except\":");
        append_list(out, question.except);
        out.push_back('}');
    }
    out.push_back(']');
}

void append_counts(std::string& out, std::span<const std::uint64_t> counts) {
    out.push_back('[');
    for (const std::uint64_t count : counts) {
        if (out.back() != '[') out.push_back(',');
        append_number(out, count);
    }
    out.push_back(']');
}

/// The `data` of a message as JSON, with Node's order of keys.
void append_data_json(std::string& out, const Outgoing& message) {
    out.push_back('{');
    switch (message.type) {
        case Type::broadcast:
            out.append("\"packet\":{\"type\":2,\"data\":");
            append_event(out, message);
            if (message.packet_id) {
                out.append(",\"id\":");
                append_number(out, *message.packet_id);
            }
            if (!message.emitter_nsp.empty()) {
                out.append(",\"nsp\":");
                append_json_string(out, message.emitter_nsp);
            }
            out.append("},");
            if (!message.request_id.empty()) {
                append_request_id(out, message.request_id);
                out.push_back(',');
            }
            append_opts(out, message);
            break;
        case Type::sockets_join:
        case Type::sockets_leave:
            append_opts(out, message);
            out.append(",\"rooms\":");
            append_list(out, message.joined_rooms);
            break;
        case Type::disconnect_sockets:
            append_opts(out, message);
            out.append(message.close ? ",\"close\":true" : ",\"close\":false");
            break;
        case Type::fetch_sockets:
            append_opts(out, message);
            out.push_back(',');
            append_request_id(out, message.request_id);
            if (message.gateways_count) out.append(",\"gatewaysCount\":true");
            break;
        case Type::fetch_sockets_response:
            append_request_id(out, message.request_id);
            out.append(",\"sockets\":").append(message.sockets);
            break;
        case Type::server_side_emit:
            if (!message.request_id.empty()) {
                append_request_id(out, message.request_id);
                out.push_back(',');
            }
            out.append("\"packet\":");
            append_event(out, message);
            break;
        case Type::server_side_emit_response:
        case Type::broadcast_ack:
            append_request_id(out, message.request_id);
            out.append(",\"packet\":").append(message.value);
            break;
        case Type::broadcast_client_count:
            append_request_id(out, message.request_id);
            out.append(",\"clientCount\":");
            append_number(out, message.client_count);
            break;
        case Type::count_sockets:
            append_request_id(out, message.request_id);
            out.append(",\"questions\":");
            append_questions(out, message.questions);
            break;
        case Type::count_sockets_response:
            append_request_id(out, message.request_id);
            out.append(",\"counts\":");
            append_counts(out, message.counts);
            out.append(message.is_open ? ",\"isOpen\":true" : ",\"isOpen\":false");
            break;
        case Type::initial_heartbeat:
        case Type::heartbeat:
        case Type::adapter_close: break;
    }
    out.push_back('}');
}

void append_pairs(std::string& out, std::span<const std::pair<std::string_view, std::string_view>> pairs) {
    out.push_back('{');
    bool is_first = true;
    for (const auto& [name, value] : pairs) {
        if (!is_first) out.push_back(',');
        is_first = false;
        append_json_string(out, name);
        out.push_back(':');
        append_json_string(out, value);
    }
    out.push_back('}');
}

}  // namespace

void append_stream_data(std::string& out, const Outgoing& message) {
    if (!has_data(message.type)) return;
    if (message.attachments.empty() || !may_have_binary(message.type)) {
        append_data_json(out, message);
        return;
    }
    std::string json;
    append_data_json(json, message);
    std::string bytes;
    msgpack::append_json(bytes, json, message.attachments);
    base::append_base64(out, bytes);
}

void append_payload(std::string& out, std::string_view uid, std::string_view nsp, const Outgoing& message) {
    const bool with_data = has_data(message.type);
    msgpack::append_map_head(out, with_data ? 4 : 3);
    msgpack::append_string(out, "type");
    msgpack::append_unsigned(out, static_cast<std::uint64_t>(message.type));
    if (with_data) {
        std::string json;
        append_data_json(json, message);
        msgpack::append_string(out, "data");
        msgpack::append_json(out, json,
                             may_have_binary(message.type) ? message.attachments : std::span<const std::string>{});
    }
    msgpack::append_string(out, "uid");
    msgpack::append_string(out, uid);
    msgpack::append_string(out, "nsp");
    msgpack::append_string(out, nsp);
}

void append_sockets_payload(std::string& out, std::string_view uid, std::string_view nsp, std::string_view request_id,
                            std::size_t count, std::string_view sockets) {
    msgpack::append_map_head(out, 4);
    msgpack::append_string(out, "type");
    msgpack::append_unsigned(out, static_cast<std::uint64_t>(Type::fetch_sockets_response));
    msgpack::append_string(out, "data");
    msgpack::append_map_head(out, 2);
    msgpack::append_string(out, "requestId");
    msgpack::append_string(out, request_id);
    msgpack::append_string(out, "sockets");
    msgpack::append_array_head(out, count);
    out.append(sockets);
    msgpack::append_string(out, "uid");
    msgpack::append_string(out, uid);
    msgpack::append_string(out, "nsp");
    msgpack::append_string(out, nsp);
}

void append_remote_socket(std::string& array, const RemoteSocket& socket) {
    if (!array.empty() && array.back() != '[') array.push_back(',');
    array.append("{\"id\":");
    append_json_string(array, socket.id);
    array.append(",\"handshake\":{\"headers\":");
    append_pairs(array, socket.headers);
    array.append(",\"time\":\"");
    append_date_text(array, socket.issued_ms);
    array.append("\",\"address\":");
    append_json_string(array, socket.address);
    array.append(socket.xdomain ? ",\"xdomain\":true" : ",\"xdomain\":false");
    array.append(socket.secure ? ",\"secure\":true" : ",\"secure\":false");
    array.append(",\"issued\":").append(std::to_string(socket.issued_ms));
    array.append(",\"url\":");
    append_json_string(array, socket.url);
    array.append(",\"query\":");
    append_pairs(array, socket.query);
    array.append(",\"auth\":").append(socket.auth.empty() ? std::string_view{"{}"} : socket.auth);
    array.append("},\"rooms\":");
    append_list(array, socket.rooms);
    array.append(",\"data\":").append(socket.data.empty() ? std::string_view{"{}"} : socket.data);
    array.push_back('}');
}

}  // namespace sio::cluster
