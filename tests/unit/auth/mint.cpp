// auth/mint.h: what is minted checks, and says what it should; inspect() shows what needs no key. auth/base64url.h.
#include "auth/mint.h"

#include <criterion/criterion.h>

#include <string>
#include <string_view>

#include "unit/auth/forge.h"

namespace {

using namespace sio;
using namespace sio::auth;
using forge::now;

constexpr std::string_view randomness = "0123456789abcdef0123456789abcdef0123456789abcdef";

Minting of(TokenKind kind) {
    Minting minting;
    minting.kind = kind;
    minting.secret = kind == TokenKind::room  ? forge::room_secret
                     : kind == TokenKind::jwt ? forge::jwt_secret
                                              : forge::secret;
    minting.user = "42";
    minting.now = now;
    minting.random = randomness;
    return minting;
}

std::string minted(const Minting& minting) {
    const auto token = mint(minting);
    cr_assert(token.has_value(), "%s", token.error().what.c_str());
    return *token;
}

std::string refusal(const Minting& minting) {
    const auto token = mint(minting);
    cr_assert(!token.has_value());
    cr_expect(token.error().code == Errc::usage);
    return token.error().what;
}

Verifier everything() {
    Policy policy;
    policy.secrets = {forge::secret};
    policy.jwt_secrets = {forge::jwt_secret};
    policy.room_secrets = {forge::room_secret};
    return std::move(*Verifier::create(policy));
}

}  // namespace

Test(mint, makes_tokens_of_each_kind_that_check) {
    const Verifier verifier = everything();
    for (const TokenKind kind : {TokenKind::nextauth_v4, TokenKind::authjs_v5, TokenKind::jwt}) {
        Minting minting = of(kind);
        minting.claims = R"({"name":"Zoë","nested":{"a":[1,2]}})";
        const Checked checked = verifier.check(minted(minting), now);
        cr_assert(checked.verdict == Verdict::valid, "%s: %s", to_string(kind).data(), checked.detail.c_str());
        cr_expect(checked.identity.kind == kind && checked.identity.user == "42");
        cr_expect(checked.identity.expires == now + 30 * 86'400);
        cr_expect(checked.identity.claims == R"({"name":"Zoë","nested":{"a":[1,2]},"sub":"42","iat":1767312000,)"
                                             R"("exp":1769904000,"jti":"30313233-3435-4637-b839-616263646566"})",
                  "%s", checked.identity.claims.c_str());
    }
    Minting room = of(TokenKind::room);
    room.claims = R"({"room":"a"})";
    cr_expect(verifier.check_room(minted(room), "42", "a", now).verdict == Verdict::valid);
    cr_expect(verifier.check_room(minted(room), "43", "a", now).verdict == Verdict::wrong_aud);
    room.user.clear();
    cr_expect(verifier.check_room(minted(room), "43", "a", now).verdict == Verdict::valid);
}

Test(mint, makes_the_very_headers_of_the_packages) {
    cr_expect(inspect(minted(of(TokenKind::nextauth_v4))).header == R"({"alg":"dir","enc":"A256GCM"})");
    const std::string header = inspect(minted(of(TokenKind::authjs_v5))).header;
    cr_expect(header.starts_with(R"({"alg":"dir","enc":"A256CBC-HS512","kid":")") && header.size() == 42 + 86 + 2, "%s",
              header.c_str());
    cr_expect(inspect(minted(of(TokenKind::jwt))).header == R"({"alg":"HS256","typ":"JWT"})");
}

Test(mint, signs_with_each_hash_and_adds_only_what_the_claims_lack) {
    const Verifier verifier = everything();
    Minting minting = of(TokenKind::jwt);
    minting.user.clear();
    minting.claims = " { \"sub\" : \"7\", \"exp\":1767315600,\"iat\":1,\"jti\":\"}\"} ";
    for (const char* name : {"HS256", "HS384", "HS512"}) {
        minting.algorithm = name;
        const Checked checked = verifier.check(minted(minting), now);
        cr_expect(checked.verdict == Verdict::valid, "%s: %s", name, checked.detail.c_str());
        cr_expect(checked.identity.user == "7" && checked.identity.expires == 1'767'315'600);
    }
    minting.claims = "{}";
    cr_expect(verifier.check(minted(minting), now).verdict == Verdict::missing_claim, "nobody is named");
    minting.user = "a \"quoted\" user";
    cr_expect(verifier.check(minted(minting), now).identity.user == minting.user);
    minting.lifetime = -60;
    cr_expect(verifier.check(minted(minting), now).verdict == Verdict::expired);
}

Test(mint, refuses_what_would_make_no_token) {
    const auto changed = [](TokenKind kind, auto change) {
        Minting minting = of(kind);
        change(minting);
        return refusal(minting);
    };
    using Kind = TokenKind;
    cr_expect(changed(Kind::authjs_v5, [](Minting& m) { m.secret.clear(); }).find("secret") != std::string::npos);
    cr_expect(changed(Kind::authjs_v5, [](Minting& m) { m.salt.clear(); }).find("salt") != std::string::npos);
    cr_expect(changed(Kind::jwt, [](Minting& m) { m.secret = std::string(31, 's'); }).find("31 bytes") !=
              std::string::npos);
    cr_expect(changed(Kind::jwt, [](Minting& m) { m.algorithm = "RS256"; }).find("HS256") != std::string::npos);
    cr_expect(changed(Kind::jwt, [](Minting& m) { m.claims = "[]"; }).find("claims") != std::string::npos);
    cr_expect(changed(Kind::jwt, [](Minting& m) { m.claims = R"({"a":1,"a":2})"; }).find("claims") !=
              std::string::npos);
    cr_expect(changed(Kind::jwt, [](Minting& m) { m.claims = R"({"sub":"1"})"; }).find("user") != std::string::npos);
    cr_expect(changed(Kind::jwt, [](Minting& m) { m.user = "\xff"; }).find("user") != std::string::npos);
    cr_expect(changed(Kind::jwt, [](Minting& m) { m.random = randomness.substr(1); }).find("random") !=
              std::string::npos);
    cr_expect(changed(Kind::room, [](Minting&) {}).find("room") != std::string::npos);
    cr_expect(changed(Kind::room, [](Minting& m) {
                  m.claims = R"({"room":"a"})";
                  m.algorithm = "HS512";
              }).find("HS256") != std::string::npos);
}

Test(inspect, shows_segments_header_and_the_payload_of_a_signed_one) {
    const std::string token = forge::hs(R"({"alg":"HS256"})", R"({"sub":"1"})");
    const Looks looks = inspect(token);
    cr_expect(looks.segments == 3 && looks.header == R"({"alg":"HS256"})" && looks.payload == R"({"sub":"1"})");
    const Looks session = inspect(minted(of(TokenKind::authjs_v5)));
    cr_expect(session.segments == 5 && !session.header.empty() && session.payload.empty());
    cr_expect(inspect("").segments == 0);
    const Looks opaque = inspect("bm8");
    cr_expect(opaque.segments == 1 && opaque.header.empty());
    cr_expect(inspect("a.b").segments == 2 && inspect("a.b").header.empty());
    cr_expect(inspect("....").segments == 5);
    cr_expect(inspect(forge::join("not JSON", "\xff", "")).header.empty());
    cr_expect(inspect(forge::join("{}", "\xff", "")).payload.empty());
    cr_expect(inspect("e30=.e30.").header.empty(), "padded");
}

Test(base64url, is_strict_and_round_trips) {
    std::string bytes;
    for (int i = 0; i < 300; ++i) {
        const std::string text = base64url(bytes);
        cr_expect(is_base64url(text) && decoded_size(text) == bytes.size());
        cr_expect(decode_base64url(text) == bytes);
        bytes.push_back(static_cast<char>(i * 37));
    }
    for (const char* text : {"A", "AAAAA", "AB", "AAB", "AA==", "AA A", "AA+A", "AA/A", "AA\n", "\xc3\xa4", "AA."}) {
        cr_expect(!is_base64url(text) && !decode_base64url(text), "%s", text);
    }
    for (const char* text : {"", "AA", "AQ", "AAA", "AAE", "-_-_"}) cr_expect(is_base64url(text), "%s", text);
}
