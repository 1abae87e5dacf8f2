#include "authd/carrier.h"

#include <algorithm>

#include "auth/cookies.h"

namespace sio::authd {

namespace {

Carrier refused(std::string_view why_code, std::string_view verdict, std::string reason) {
    Carrier out;
    out.kind = Carrier::Kind::refused;
    out.code = why_code;
    out.verdict = verdict;
    out.reason = std::move(reason);
    return out;
}

Carrier carries(std::string token) {
    if (token.empty()) return refused(code::unauthorized, "malformed", "the token is empty");
    Carrier out;
    out.kind = Carrier::Kind::token;
    out.token = std::move(token);
    return out;
}

}  // namespace

Carrier choose_carrier(const Authenticate& request, const Config& config) {
    if (request.token) return carries(*request.token);
    if (request.authorization) {
        const auto token = bearer(*request.authorization);
        if (!token) return refused(code::unauthorized, "malformed", "the Authorization header has no bearer token");
        return carries(std::string(*token));
    }
    if (request.cookie) {
        auto cookie = auth::session_cookie(*request.cookie, config.cookie_names);
        if (!cookie) {
            return refused(code::unauthorized, cookie.error().code == Errc::too_large ? "too-large" : "malformed",
                           cookie.error().what);
        }
        if (*cookie) {
            // A page's own GETs have no Origin; Sec-Fetch-Site, which no page can set, says that it is one.
            if (!request.origin && !request.same_origin) {
                return refused(code::origin, "malformed", "a session cookie came without an Origin, from no page");
            }
            if (request.origin && std::ranges::find(config.origins, *request.origin) == config.origins.end()) {
                return refused(code::origin, "malformed", "pages of " + *request.origin + " may not use the cookie");
            }
            return carries(std::move((*cookie)->value));
        }
    }
    if (request.query_token && config.query_token) return carries(*request.query_token);
    return {};
}

}  // namespace sio::authd
