// Which of the credentials that a client has shown counts. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "authd/config.h"
#include "authd/request.h"

namespace sio::authd {

/// Codes of `denied`.
namespace code {
inline constexpr std::string_view no_credentials = "no_credentials";
inline constexpr std::string_view unauthorized = "unauthorized";
inline constexpr std::string_view token_expired = "token_expired";
inline constexpr std::string_view origin = "origin";
inline constexpr std::string_view revoked = "revoked";
inline constexpr std::string_view user_changed = "user_changed";
}  // namespace code

struct Carrier {
    enum class Kind : std::uint8_t {
        none,     ///< nothing was shown
        token,    ///< `token` is to be checked
        refused,  ///< what was shown first is no good, and nothing else counts
    } kind = Kind::none;
    std::string token;
    std::vector<std::string> others;  ///< further session cookies, to be tried in turn while none is good
    std::string_view code;            ///< of a refusal
    std::string_view verdict;         ///< of a refusal, in the words of auth::Verdict
    std::string reason;               ///< of a refusal
};

/// The first credential that is present decides: `token`, `authorization`, the session cookie, `query_token`. Of
/// several session cookies (two applications, or one and what is left of another) the first good one counts. A cookie
/// counts only with an origin that is listed, exactly (`null` never is), or from a page of the gateway's own.
Carrier choose_carrier(const Authenticate& request, const Config& config);

}  // namespace sio::authd
