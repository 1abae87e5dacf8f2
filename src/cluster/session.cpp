#include "cluster/session.h"

#include "base/bytes.h"
#include "base/json.h"
#include "cluster/msgpack.h"
#include "cluster/text.h"

namespace sio::cluster {
namespace {

tl::unexpected<Error> malformed(const char* why) {
    return fail(Errc::malformed, std::string{"cannot read session: "} + why);
}

/// A string that is UTF-8, or a whole number's text: JavaScript programs use both for rooms.
std::optional<std::string> text_of(std::string_view value) {
    const auto head = msgpack::read_head(value, 0);
    if (!head) return std::nullopt;
    if (head->kind == msgpack::Kind::unsigned_integer) return std::to_string(head->number);
    if (head->kind == msgpack::Kind::signed_integer) return std::to_string(head->negative);
    if (head->kind != msgpack::Kind::string || !base::is_utf8(head->bytes)) return std::nullopt;
    return std::string{head->bytes};
}

/// An array of [room, after] and [room, after, through].
bool read_stays(std::string_view value, std::vector<StoredSession::Stay>& stays) {
    const auto list = msgpack::read_head(value, 0);
    if (list->kind != msgpack::Kind::array || list->count > max_session_rooms) return false;
    stays.clear();
    for (msgpack::Walker one{value}; one.next();) {
        const auto head = msgpack::read_head(one.value(), 0);
        if (head->kind != msgpack::Kind::array || head->count < 2 || head->count > 3) return false;
        StoredSession::Stay stay;
        int at = 0;
        for (msgpack::Walker part{one.value()}; part.next(); ++at) {
            auto text = text_of(part.value());
            if (!text) return false;
            if (at == 0) {
                stay.room = std::move(*text);
                continue;
            }
            const auto position = StreamId::parse(*text);
            if (!position) return false;
            (at == 1 ? stay.after : stay.through.emplace()) = *position;
        }
        stays.push_back(std::move(stay));
    }
    return true;
}

}  // namespace

std::string owner_text(std::string_view owner) {
    // Behind it comes the head of the key `sid`: its byte makes the text a whole number of base64's groups.
    std::string bytes;
    msgpack::append_string(bytes, owner);
    std::string next;
    msgpack::append_string(next, "sid");
    bytes += next.front();
    std::string text;
    base::append_base64(text, bytes);
    return text;
}

bool is_owned_by(std::string_view stored, std::string_view text) noexcept {
    constexpr std::size_t text_at = owner_at;
    return stored.size() >= text_at + text.size() && stored.substr(owner_mark_at, owner_mark.size()) == owner_mark &&
           stored.substr(text_at, text.size()) == text;
}

void append_session(std::string& out, const StoredSession& session) {
    std::string bytes;
    const std::size_t ours = (session.user ? 1U : 0U) + (session.since ? 1U : 0U) + (session.node ? 1U : 0U) +
                             (session.granted.empty() ? 0U : 1U) + (session.owner ? 1U : 0U) + (session.nsp ? 1U : 0U) +
                             (session.stays.empty() ? 0U : 1U);
    msgpack::append_map_head(bytes, 4 + ours);
    const auto put = [&](std::string_view key, std::string_view text) {
        msgpack::append_string(bytes, key);
        msgpack::append_string(bytes, text);
    };
    if (session.owner) put("gateway", *session.owner);  // first: see owner_at
    put("sid", session.sid);
    put("pid", session.pid);
    const auto put_rooms = [&](std::string_view key, const std::vector<std::string>& rooms) {
        msgpack::append_string(bytes, key);
        msgpack::append_array_head(bytes, rooms.size());
        for (const std::string& room : rooms) msgpack::append_string(bytes, room);
    };
    put_rooms("rooms", session.rooms);
    msgpack::append_string(bytes, "data");
    msgpack::append_json(bytes, session.data.empty() ? std::string_view{"{}"} : session.data, session.data_attachments);
    if (session.user) put("user", *session.user);
    if (session.since) put("since", session.since->text());
    if (session.node) put("node", *session.node);
    if (session.nsp) put("nsp", *session.nsp);
    if (!session.granted.empty()) put_rooms("granted", session.granted);
    if (!session.stays.empty()) {
        msgpack::append_string(bytes, "stays");
        msgpack::append_array_head(bytes, session.stays.size());
        for (const StoredSession::Stay& stay : session.stays) {
            msgpack::append_array_head(bytes, stay.through ? 3 : 2);
            msgpack::append_string(bytes, stay.room);
            msgpack::append_string(bytes, stay.after.text());
            if (stay.through) msgpack::append_string(bytes, stay.through->text());
        }
    }
    base::append_base64(out, bytes);
}

Result<StoredSession> decode_session(std::string_view base64) {
    const auto bytes = base::decode_base64(base64);
    if (!bytes) return malformed("it is not base64");
    const auto head = msgpack::read_head(*bytes, 0);
    if (!head || head->kind != msgpack::Kind::map || !msgpack::is_valid(*bytes)) return malformed("it is no map");
    StoredSession out;
    bool has_sid = false;
    bool has_pid = false;
    bool has_rooms = false;
    for (msgpack::Walker walker{*bytes}; walker.next();) {
        const std::string_view key = walker.name();
        const std::string_view value = walker.value();
        if (key == "sid" || key == "pid") {
            auto text = text_of(value);
            if (!text || text->empty()) return malformed("an id is no string");
            (key == "sid" ? has_sid : has_pid) = true;
            (key == "sid" ? out.sid : out.pid) = std::move(*text);
        } else if (key == "rooms" || key == "granted") {
            auto& names = key == "rooms" ? out.rooms : out.granted;
            const auto list = msgpack::read_head(value, 0);
            if (list->kind != msgpack::Kind::array) return malformed("the rooms are no array");
            if (list->count > max_session_rooms) return malformed("it has too many rooms");
            names.clear();
            for (msgpack::Walker rooms{value}; rooms.next();) {
                auto room = text_of(rooms.value());
                if (!room) return malformed("a room is no string");
                names.push_back(std::move(*room));
            }
            has_rooms = has_rooms || key == "rooms";
        } else if (key == "stays") {
            if (!read_stays(value, out.stays)) return malformed("its stays cannot be read");
        } else if (key == "data") {
            out.data.clear();
            out.data_attachments.clear();
            const auto made = msgpack::to_json(value, out.data, out.data_attachments, max_session_attachments);
            if (!made || !json::is_valid(out.data)) return malformed("its data cannot be read");
        } else if (key == "user") {
            out.user = text_of(value);
        } else if (key == "since") {
            const auto text = text_of(value);
            out.since = text ? StreamId::parse(*text) : std::nullopt;
        } else if (key == "node") {
            out.node = text_of(value);
        } else if (key == "nsp") {
            out.nsp = text_of(value);
        } else if (key == "gateway") {
            out.owner = text_of(value);
        }
    }
    if (!has_sid || !has_pid || !has_rooms) return malformed("an id or the rooms are missing");
    return out;
}

void append_session_key(std::string& out, std::string_view prefix, std::string_view pid) {
    out.append(prefix).append(pid);
}

}  // namespace sio::cluster
