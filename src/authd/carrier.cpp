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
        auto cookies = auth::session_cookies(*request.cookie, config.cookie_names);
        if (!cookies) {
            return refused(code::unauthorized, cookies.error().code == Errc::too_large ? "too-large" : "malformed",
                           cookies.error().what);
        }
        if (!cookies->empty()) {
            // A page's own GETs have no Origin; Sec-Fetch-Site, which no page can set, says that it is one.
            if (!request.origin && !request.same_origin) {
                return refused(code::origin, "malformed", "a session cookie came without an Origin, from no page");
            }
            if (request.origin && std::ranges::find(config.origins, *request.origin) == config.origins.end()) {
                return refused(code::origin, "malformed", "pages of " + *request.origin + " may not use the cookie");
            }
            Carrier out = carries(std::move(cookies->front().value));
            for (std::size_t i = 1; i < cookies->size(); ++i) out.others.push_back(std::move((*cookies)[i].value));
            return out;
        }
    }
    if (request.query_token && config.query_token) return carries(*request.query_token);
    return {};
}

}  // namespace sio::authd
