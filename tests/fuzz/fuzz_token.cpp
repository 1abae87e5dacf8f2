// The verifier holds what it says of a token, whatever the token; what it says is never a part of it.
//
// Input: a letter, then `T` a token; `S` a header, a line feed and a payload, to be signed; `R` a room, a line feed and
// the payload of a room token, to be signed. The keys are those of the recorded tokens, which are the corpus.
#include <algorithm>
#include <string>

#include "auth/base64url.h"
#include "auth/keys.h"
#include "auth/mint.h"
#include "auth/verifier.h"
#include "base/json.h"
#include "check.h"

namespace {

using namespace sio;
using namespace sio::auth;

constexpr Seconds now = 1'767'312'000;
constexpr std::string_view user = "42";
const std::string signing_secret = "hs256-shared-secret-of-at-least-32-bytes!";
const std::string room_secret = "a secret of rooms that has thirty-two bytes";

constexpr std::string_view key_set =
    R"({"keys":[)"
    R"({"kty":"RSA","n":"p_JErWCzNyWbtsMbvejx_7LEsVogXSRmz07Nxmwa5NPesWa3z716gS8cZr6bNeR3NEzYZw2OcODyY1Ei0E)"
    R"(IfhGkWAm9FSkKHhA6AdUgjG_b6cKXf8rJzrXFwW4VM66xavZjFm-SzTUEiuoMUCf-fRZpSkpYNtt4Y_yiA86TGoKmWUl_v3ZmPXh)"
    R"(7-SZAGpqHPtxgz_eT8nRo_a3WY9fio6MuFYCja7_AMh0NAXe27UeTyn3GV47gKhyWAZJswzRc2hNnJToPhUcEqDhDgS62rmgqWFi)"
    R"(a-ym6BCwvytv0ayJ5x4z_CiODAhHw66RyagCF49uGTnqxsgxQ2yHxNGPbrxQ","e":"AQAB","kid":"rsa-2026-01","alg":")"
    R"(RS256","use":"sig"})"
    R"(,)"
    R"({"kty":"RSA","n":"uQLkhsbF_QLD0VK_6JbiIbn-TrATQ5tcAw7hywnBMcTVXd-5IBjbf_MGkTiJgvwBxxAdGJGRkGxkV957H0)"
    R"(fJFq9EAwhNZamgDiaxYNgP3sIlKk6-Xr3wgWxMdbBKAHH9eb3qida1kFjpnw5j1WCldbbhMqxC_kESnl9kRnCh4RtilR8ypDGNuM)"
    R"(QJ9ccxGAKLDZU20PY9Cr4LQvVnmjl5QerQrqTa9luVRmloXR6f8ljo8HmqX-8gQcsbFeRcHd7aXl8yrxU4iqnZAHLvSl5uhCX02H)"
    R"(2FPTlYyz0XaWAoEs0j6ZZMtRWg1DdTsJir64v-qvopsS-BS8AMGJiDFKIc-w","e":"AQAB","kid":"rsa-2026-02","alg":")"
    R"(RS256","use":"sig"})"
    R"(,)"
    R"({"kty":"EC","x":"0Y6PXx3Iy7N6_nfCjBa1JstBdRwmveRug5bRjRi8vMA","y":"ZV_pefJXUDkXE2cAlGvDkH0cJlAe-_Po8)"
    R"(6LhipAWNUk","crv":"P-256","kid":"ec-1","alg":"ES256","use":"sig"})"
    R"(,)"
    R"({"crv":"Ed25519","x":"7FYT6eBs6KpmifwP1YT-qBFN4LaLVtx1q93zq4Qlj_c","kty":"OKP","kid":"ed-1","alg":"E)"
    R"(dDSA","use":"sig"})"
    R"(,)"
    R"({"kty":"RSA","n":"2kenH1tE2-qHJ0QeY78kd3cen_n0mcuCvUkw_gdNwx7uQZIloSW1ECNEntdemr0EzY24lZZTWTaOvHoDQ9)"
    R"(1uGvE1cZPoT_yRryGO-1FTgrKp2C-VpP7MP-NL5UFzqg66FxRkXKo23EpQDwK4Hyk8xOWfkqO41fsIIDsI774aU1-tH5VcOvW0l2)"
    R"(upn6yeJWOkCxqTAM62i16wi4b8bOLqzgmRafh207mRsX-A4kGyqbR__y8XnrCTc3dq-CbBXPbfzNtbzYMsZcSJ298iUrq9-1zNh6)"
    R"(rrPQ9GQWyvkZMk5q3oO2O_mmNYBDoHCmj9ebx0jjQaRLLBQfWUB_LVmTTr9w","e":"AQAB","kid":"pss-1","alg":"PS256")"
    R"(,"use":"sig"})"
    R"(]})";

const Verifier& verifier() {
    static const Verifier made = [] {
        Policy policy;
        policy.secrets = {"v5-secret-2026-newest", "v4-development-secret-0123456789abcdef"};
        policy.jwt_secrets = {signing_secret};
        policy.room_secrets = {room_secret};
        auto keys = Jwks::parse(key_set);
        FUZZ_CHECK(keys.has_value());
        auto result = Verifier::create(policy, std::move(*keys));
        FUZZ_CHECK(result.has_value());
        return std::move(*result);
    }();
    return made;
}

void judge(const Checked& checked, std::string_view token) {
    FUZZ_CHECK(!checked.detail.empty() && checked.detail.size() < 100);
    FUZZ_CHECK(to_string(checked.verdict) == "malformed" || checked.verdict != Verdict::malformed);
    const Identity& identity = checked.identity;
    if (checked.verdict != Verdict::valid && checked.verdict != Verdict::expired) {
        FUZZ_CHECK(identity.user.empty() && identity.claims.empty() && identity.key.empty());
        return;
    }
    FUZZ_CHECK(token.size() <= verifier().policy().max_token_bytes);
    FUZZ_CHECK(std::count(token.begin(), token.end(), '.') == 2 || std::count(token.begin(), token.end(), '.') == 4);
    FUZZ_CHECK(json::is_valid(identity.claims) && identity.claims.find('\n') == std::string::npos);
    FUZZ_CHECK(!identity.user.empty() || identity.kind == TokenKind::room);
    FUZZ_CHECK(json::member(identity.claims, "exp").has_value());
    FUZZ_CHECK((checked.verdict == Verdict::valid) ==
               (now < identity.expires + 16 && checked.verdict == Verdict::valid));
    const auto keys = verifier().keys();
    FUZZ_CHECK(std::find(keys.begin(), keys.end(), identity.key) != keys.end());
}

/// Whether two answers are one.
bool is_same(const Checked& a, const Checked& b) {
    return a.verdict == b.verdict && a.detail == b.detail && a.identity.user == b.identity.user &&
           a.identity.claims == b.identity.claims && a.identity.expires == b.identity.expires;
}

/// No character of a good token can be another.
void expect_brittle(std::string_view token) {
    const std::size_t step = token.size() / 16 + 1;
    for (std::size_t i = 0; i < token.size(); i += step) {
        std::string changed{token};
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        FUZZ_CHECK(verifier().check(changed, now).verdict != Verdict::valid);
    }
}

void check_token(std::string_view token) {
    const Checked checked = verifier().check(token, now);
    judge(checked, token);
    FUZZ_CHECK(is_same(checked, verifier().check(token, now)));
    if (checked.verdict == Verdict::valid) expect_brittle(token);
    const Looks looks = inspect(token);
    FUZZ_CHECK(looks.header.empty() || json::is_valid(looks.header));
    FUZZ_CHECK(looks.payload.empty() || (json::is_valid(looks.payload) && looks.segments == 3));
    FUZZ_CHECK(checked.verdict != Verdict::valid || !looks.header.empty());
    FUZZ_CHECK(verifier().check_room(token, user, "a", now).verdict != Verdict::valid || looks.segments == 3);
}

std::string sign(std::string_view header, std::string_view payload, std::string_view secret) {
    std::string token = base64url(header) + "." + base64url(payload);
    const std::string signature = hmac(Hash::sha256, secret, token);
    return token + "." + base64url(signature);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0 || size > 20'000) return 0;
    const std::string_view text = fuzz::as_text(data, size);
    const std::string_view rest = text.substr(1);
    const std::size_t line = std::min(rest.find('\n'), rest.size());
    const std::string_view first = rest.substr(0, line);
    const std::string_view second = line == rest.size() ? std::string_view{} : rest.substr(line + 1);
    switch (text.front()) {
        case 'S': {
            const std::string token = sign(first, second, signing_secret);
            check_token(token);
            FUZZ_CHECK(verifier().check(token, now).verdict != Verdict::tampered ||
                       first.find("256") == std::string_view::npos || !json::is_valid(first) ||
                       json::member(first, "alg") != "\"HS256\"");
            break;
        }
        case 'R': {
            const std::string token = sign(R"({"alg":"HS256"})", second, room_secret);
            const Checked checked = verifier().check_room(token, user, first, now);
            judge(checked, token);
            FUZZ_CHECK(checked.identity.user.empty() || checked.identity.user == user);
            FUZZ_CHECK(verifier().check(token, now).verdict != Verdict::valid);
            break;
        }
        default: check_token(rest); break;
    }
    return 0;
}
