// What may be asked on the socket (doc/protocol/auth.md): requests from their lines. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "authd/revocations.h"
#include "base/log.h"
#include "base/result.h"
#include "wire/admin.h"

namespace sio::authd {

/// The longest line, without its line feed.
inline constexpr std::size_t max_line = 64U << 10U;
inline constexpr std::size_t max_user_bytes = 256;
inline constexpr std::size_t max_room_bytes = 256;

/// Who a client is. Absent members are nothing; an empty text is one that was given.
struct Authenticate {
    std::optional<std::string> token;
    std::optional<std::string> authorization;
    std::optional<std::string> cookie;
    std::optional<std::string> query_token;
    std::optional<std::string> origin;
    bool same_origin = false;  ///< the browser says so of the page, where it sends no Origin
    std::string address;
    std::string user;           ///< must be this; empty: anybody
    std::optional<Seconds> at;  ///< of `verify`
    bool verify = false;        ///< for an operator's eyes: opens nothing, looks at no revocation
};

/// Whether a user may be in a room.
struct MayJoin {
    std::string user;  ///< empty: anonymous
    std::string room;
    std::string session;
    std::string claims;  ///< raw JSON object, or empty
    std::string room_token;
    bool explain = false;  ///< `can_i`
};

struct Closed {
    std::vector<std::string> sessions;
};

struct Revoke {
    Revoked kind = Revoked::user;
    std::string id;
    std::optional<Seconds> lasts;  ///< nothing: as configured
    bool lift = false;
};

struct SetLog {
    log::Level level = log::Level::info;
};

enum class Plain : std::uint8_t { revocations, health, stat, reload };

using Command = std::variant<Authenticate, MayJoin, Closed, Revoke, SetLog, Plain>;

/// Reads a request. Errors: `not_found` when there is no such command; `malformed` when a member that the command needs
/// is absent, has another type or is longer than it may be.
Result<Command> parse_command(const wire::AdminRequest& request);

/// What stands behind `Bearer` in an Authorization header; nothing when it is another scheme or has no token.
std::optional<std::string_view> bearer(std::string_view header) noexcept;

/// Whether `text` may be a session's token in a database: printable ASCII without blanks, 1 to 255 bytes.
bool is_database_token(std::string_view text) noexcept;

/// Whether `text` names a session: 64 hexadecimal digits in lower case.
bool is_session_id(std::string_view text) noexcept;

/// A notification's payload, `user:ID` or `session:HEX`. Errors: `malformed`.
Result<Revocation> parse_notification(std::string_view payload);

/// The members of `claims` (a raw JSON object) that `names` has, as an object; empty when there are none.
std::string reduced_claims(std::string_view claims, const std::vector<std::string>& names);

/// The value of a claim as text: a text's content, a whole number's digits. Nothing for what else there is.
std::optional<std::string> claim_text(std::string_view claims, std::string_view name);

}  // namespace sio::authd
