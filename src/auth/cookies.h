// Session cookies: found in a Cookie header, joined from their chunks.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sio::auth {

inline constexpr std::size_t max_chunks = 16;
inline constexpr std::size_t max_joined_bytes = 16U << 10U;

/// The names of both packages, those with `__Secure-` first.
inline constexpr std::string_view default_cookie_names[] = {"__Secure-authjs.session-token", "authjs.session-token",
                                                            "__Secure-next-auth.session-token",
                                                            "next-auth.session-token"};

struct SessionCookie {
    std::string name;   ///< the base name: for Auth.js v5 the salt
    std::string value;  ///< percent-decoded when it holds escapes
};

/// The first of `names`, in their order, that the header has: whole, or as chunks `name.0` to `name.n-1`. The exact
/// name, or that name, a dot and one to three digits; a whole cookie beats chunks; of one name given twice the first
/// counts; an empty value is none. Nothing when there is none.
///
/// Errors: `malformed` when chunks have gaps; `too_large` above max_chunks or max_joined_bytes.
Result<std::optional<SessionCookie>> session_cookie(std::string_view header, std::span<const std::string> names);

/// The most that session_cookies() returns.
inline constexpr std::size_t max_session_cookies = 8;

/// All that may be the session, in the order they are to be tried: by `names`, as session_cookie() reads each, then
/// what else the header has whole under that name. Two applications of one site, or of its parent domain, each set
/// their own. No value twice, max_session_cookies at most.
///
/// Errors: as of session_cookie(), when nothing else was found.
Result<std::vector<SessionCookie>> session_cookies(std::string_view header, std::span<const std::string> names);

}  // namespace sio::auth
