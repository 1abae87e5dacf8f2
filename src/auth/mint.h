// Makes tokens for tests and for debugging at night: what `sioctl token make` prints.
#pragma once

#include <string>
#include <string_view>

#include "auth/verifier.h"
#include "base/result.h"

namespace sio::auth {

struct Minting {
    TokenKind kind = TokenKind::authjs_v5;
    std::string secret;
    std::string salt = "authjs.session-token";  ///< of v5
    std::string algorithm = "HS256";            ///< of jwt: HS256, HS384 or HS512; of room: HS256
    std::string claims = "{}";  ///< raw JSON object; `sub`, `iat`, `exp`, `jti` are added where they lack
    std::string user;           ///< `sub`; empty: as in claims
    Seconds now = 0;
    Seconds lifetime = 30 * 86'400;
    std::string_view random;  ///< at least 48 bytes of randomness, for iv and `jti`
};

/// A session's header is that of its package to the byte. Errors: `usage` for a secret that is too short for its use
/// (of jwt and room under 32 bytes), an algorithm it cannot sign with, claims that are no object or name another user,
/// a room token without `room` or `rooms`.
Result<std::string> mint(const Minting& minting);

/// What a token looks like without any key: its segments and its header. Empty is what is not JSON in strict base64url;
/// a token over 1 MiB is only counted.
struct Looks {
    int segments = 0;
    std::string header;   ///< raw JSON, or empty
    std::string payload;  ///< raw JSON of a signed one (not verified), or empty
};
Looks inspect(std::string_view token);

}  // namespace sio::auth
