#include "authd/request.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/json.h"

namespace sio::authd {

namespace {

constexpr std::uint64_t max_number = (std::uint64_t{1} << 53U) - 1;

/// Members of one request, with the first thing that is wrong with any of them.
class Members {
public:
    explicit Members(std::string_view object) : object_(object) {}

    std::optional<std::string> text(std::string_view key, std::size_t most = max_line) {
        const auto raw = json::member(object_, key);
        if (!raw) return std::nullopt;
        if (json::kind_of(*raw) != json::Kind::string) {
            wrong(key, "must be a text");
            return std::nullopt;
        }
        std::string value = json::decode_string(*raw);
        if (value.size() > most) {
            wrong(key, "has more than " + std::to_string(most) + " bytes");
            return std::nullopt;
        }
        return value;
    }
    std::string text_or_empty(std::string_view key, std::size_t most = max_line) {
        return text(key, most).value_or("");
    }
    std::optional<std::int64_t> number(std::string_view key) {
        const auto raw = json::member(object_, key);
        if (!raw) return std::nullopt;
        const auto value = base::parse_decimal(*raw, max_number);
        if (!value) {
            wrong(key, "must be a whole number");
            return std::nullopt;
        }
        return static_cast<std::int64_t>(*value);
    }
    bool truth(std::string_view key) {
        const auto raw = json::member(object_, key);
        if (!raw || *raw == "false") return false;
        if (*raw != "true") wrong(key, "must be true or false");
        return true;
    }
    std::string object(std::string_view key) {
        const auto raw = json::member(object_, key);
        if (!raw) return {};
        if (json::kind_of(*raw) != json::Kind::object) {
            wrong(key, "must be an object");
            return {};
        }
        return std::string(*raw);
    }
    void wrong(std::string_view key, std::string_view what) {
        if (trouble_.empty()) trouble_ = "`" + std::string(key) + "` " + std::string(what);
    }
    [[nodiscard]] const std::string& trouble() const noexcept { return trouble_; }

private:
    std::string_view object_;
    std::string trouble_;
};

Authenticate authenticate(Members& members, bool verify) {
    Authenticate out;
    out.token = members.text("token");
    out.authorization = members.text("authorization");
    out.cookie = members.text("cookie");
    out.query_token = members.text("query_token");
    out.origin = members.text("origin");
    out.same_origin = members.truth("same_origin");
    out.address = members.text_or_empty("address", 64);
    out.user = members.text_or_empty("user");
    out.verify = verify;
    if (verify) out.at = members.number("at");
    return out;
}

MayJoin may_join(Members& members, bool explain) {
    MayJoin out;
    out.user = members.text_or_empty("user", max_user_bytes);
    const auto room = members.text("room", max_room_bytes);
    if (!room || room->empty()) members.wrong("room", "must be a text");
    out.room = room.value_or("");
    out.session = members.text_or_empty("session", 64);
    out.claims = members.object("claims");
    out.room_token = members.text_or_empty("room_token");
    out.explain = explain;
    return out;
}

Revoke revoke(Members& members) {
    Revoke out;
    const auto user = members.text("user", max_user_bytes);
    const auto session = members.text("session", 64);
    if (user.has_value() == session.has_value()) {
        members.wrong("user", "or `session` must be given, one of them");
    } else if (user) {
        if (user->empty()) members.wrong("user", "must not be empty");
        out.id = *user;
    } else {
        if (!is_session_id(*session)) members.wrong("session", "must be 64 hexadecimal digits in lower case");
        out.kind = Revoked::session;
        out.id = *session;
    }
    out.lasts = members.number("for_s");
    if (out.lasts == 0) members.wrong("for_s", "must be 1 or more");
    out.lift = members.truth("lift");
    return out;
}

}  // namespace

Result<Command> parse_command(const wire::AdminRequest& request) {
    Members members(request.text);
    Command command;
    if (request.cmd == "authenticate" || request.cmd == "verify") {
        command = authenticate(members, request.cmd == "verify");
    } else if (request.cmd == "may_join" || request.cmd == "can_i") {
        command = may_join(members, request.cmd == "can_i");
    } else if (request.cmd == "closed") {
        auto sessions = wire::parse_texts(request.text, "sessions");
        if (!sessions) return tl::unexpected(sessions.error());
        command = Closed{std::move(*sessions)};
    } else if (request.cmd == "revoke") {
        command = revoke(members);
    } else if (request.cmd == "log") {
        const auto level = log::parse_level(members.text_or_empty("level"));
        if (!level) members.wrong("level", "must be trace, debug, info, warn or error");
        command = SetLog{level.value_or(log::Level::info)};
    } else if (request.cmd == "revocations") {
        command = Plain::revocations;
    } else if (request.cmd == "health") {
        command = Plain::health;
    } else if (request.cmd == "stat") {
        command = Plain::stat;
    } else if (request.cmd == "reload") {
        command = Plain::reload;
    } else {
        return fail(Errc::not_found, "there is no command '" + request.cmd + "'");
    }
    if (!members.trouble().empty()) return fail(Errc::malformed, members.trouble());
    return command;
}

std::optional<std::string_view> bearer(std::string_view header) noexcept {
    constexpr std::string_view scheme = "bearer";
    header = base::trim(header);
    if (header.size() <= scheme.size() || !base::equal_ignoring_case(header.substr(0, scheme.size()), scheme)) {
        return std::nullopt;
    }
    const std::string_view rest = header.substr(scheme.size());
    if (rest.front() != ' ' && rest.front() != '\t') return std::nullopt;
    const std::string_view token = base::trim(rest);
    if (token.empty()) return std::nullopt;
    return token;
}

bool is_database_token(std::string_view text) noexcept {
    return !text.empty() && text.size() <= 255 && std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

bool is_session_id(std::string_view text) noexcept {
    return text.size() == 64 &&
           std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

Result<Revocation> parse_notification(std::string_view payload) {
    const std::size_t colon = payload.find(':');
    const auto kind = parse_revoked(payload.substr(0, std::min(colon, payload.size())));
    if (colon == std::string_view::npos || !kind)
        return fail(Errc::malformed, "it begins with neither user: nor session:");
    const std::string_view id = payload.substr(colon + 1);
    if (*kind == Revoked::session && !is_session_id(id)) {
        return fail(Errc::malformed, "a session is 64 hexadecimal digits in lower case");
    }
    if (id.empty() || id.size() > max_user_bytes || !base::is_utf8(id)) {
        return fail(Errc::malformed, "a user's id has 1 to 256 bytes of UTF-8");
    }
    return Revocation{*kind, std::string(id), 0};
}

std::string reduced_claims(std::string_view claims, const std::vector<std::string>& names) {
    if (names.empty() || claims.empty()) return {};
    std::string out;
    for (const std::string& name : names) {
        const auto raw = json::member(claims, name);
        if (!raw) continue;
        out += out.empty() ? '{' : ',';
        json::append_string(out, name);
        out += ':';
        out += *raw;
    }
    if (!out.empty()) out += '}';
    return out;
}

std::optional<std::string> claim_text(std::string_view claims, std::string_view name) {
    if (claims.empty()) return std::nullopt;
    const auto raw = json::member(claims, name);
    if (!raw) return std::nullopt;
    if (json::kind_of(*raw) == json::Kind::string) return json::decode_string(*raw);
    const std::string_view digits = raw->starts_with('-') ? raw->substr(1) : *raw;
    if (base::parse_decimal(digits)) return std::string(*raw);
    return std::nullopt;
}

}  // namespace sio::authd
