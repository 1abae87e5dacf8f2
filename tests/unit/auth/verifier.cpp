// auth/verifier.h: what must be refused is refused, for the right reason, and what is good says who it is.
#include "auth/verifier.h"

#include <criterion/criterion.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "unit/auth/forge.h"

namespace {

using namespace sio;
using namespace sio::auth;
using forge::good_claims;
using forge::now;

Policy everything() {
    Policy policy;
    policy.secrets = {forge::secret};
    policy.jwt_secrets = {forge::jwt_secret};
    policy.room_secrets = {forge::room_secret};
    return policy;
}

Verifier verifier_of(Policy policy, std::string_view keys = "") {
    Jwks set;
    if (!keys.empty()) {
        auto parsed = Jwks::parse(keys);
        cr_assert(parsed.has_value(), "%s", parsed.error().what.c_str());
        set = std::move(*parsed);
    }
    auto made = Verifier::create(std::move(policy), std::move(set));
    cr_assert(made.has_value(), "%s", made.error().what.c_str());
    return std::move(*made);
}

void expect(const Verifier& verifier, std::string_view token, Verdict want, const char* what) {
    const Checked checked = verifier.check(token, now);
    cr_expect(checked.verdict == want, "%s: %s, not %s: %s", what, to_string(checked.verdict).data(),
              to_string(want).data(), checked.detail.c_str());
    cr_expect(!checked.detail.empty(), "%s", what);
    if (want != Verdict::valid && want != Verdict::expired) {
        cr_expect(checked.identity.user.empty() && checked.identity.claims.empty(), "%s tells who", what);
    }
}

std::string claims_with(std::string_view more) { return R"({"sub":"42","exp":1767315600,)" + std::string(more) + "}"; }

}  // namespace

Test(verifier, says_who_a_session_of_each_package_is) {
    const Verifier verifier = verifier_of(everything());
    const Checked four = verifier.check(forge::v4(good_claims), now);
    cr_assert(four.verdict == Verdict::valid, "%s", four.detail.c_str());
    cr_expect(four.identity.kind == TokenKind::nextauth_v4 && four.identity.user == "42");
    cr_expect(four.identity.expires == 1'767'315'600 && four.identity.claims == good_claims);
    const Checked five = verifier.check(forge::v5(good_claims), now);
    cr_assert(five.verdict == Verdict::valid, "%s", five.detail.c_str());
    cr_expect(five.identity.kind == TokenKind::authjs_v5 && five.identity.user == "42");
    cr_expect(five.identity.key == thumbprint(authjs_v5_key(forge::secret, forge::salt, 64), Hash::sha512));
    const auto keys = verifier.keys();
    cr_expect(std::find(keys.begin(), keys.end(), four.identity.key) != keys.end());
    cr_expect(std::find(keys.begin(), keys.end(), five.identity.key) != keys.end());
}

Test(verifier, takes_sessions_under_each_secret_of_a_rotation_and_under_both_standard_names) {
    Policy policy;
    policy.secrets = {"newest", "older", "oldest"};
    const Verifier verifier = verifier_of(policy);
    for (const char* secret : {"newest", "older", "oldest"}) {
        expect(verifier, forge::v4(good_claims, secret), Verdict::valid, secret);
        expect(verifier, forge::v5(good_claims, secret), Verdict::valid, secret);
        expect(verifier, forge::v5(good_claims, secret, "__Secure-authjs.session-token"), Verdict::valid, secret);
        expect(verifier, forge::v5(good_claims, secret, "another-name"), Verdict::wrong_secret, secret);
    }
    expect(verifier, forge::v4(good_claims, "dropped"), Verdict::wrong_secret, "v4");
    expect(verifier, forge::v5(good_claims, "dropped"), Verdict::wrong_secret, "v5");
}

Test(verifier, tries_the_first_secret_only_for_a_v5_token_without_kid) {
    Policy policy;
    policy.secrets = {"newest", "older"};
    policy.nextauth_v4 = false;
    const Verifier verifier = verifier_of(policy);
    const auto without_kid = [&](const char* secret, std::size_t bytes, const char* enc) {
        return forge::jwe(authjs_v5_key(secret, forge::salt, bytes), good_claims, {"alg", "dir", "enc", enc});
    };
    expect(verifier, without_kid("newest", 64, "A256CBC-HS512"), Verdict::valid, "cbc, newest");
    expect(verifier, without_kid("older", 64, "A256CBC-HS512"), Verdict::wrong_secret, "cbc, older");
    expect(verifier, without_kid("newest", 32, "A256GCM"), Verdict::valid, "gcm, newest");
    expect(verifier, without_kid("older", 32, "A256GCM"), Verdict::wrong_secret, "gcm, older");
}

Test(verifier, takes_the_gcm_tokens_of_older_betas_by_their_kid) {
    const Verifier verifier = verifier_of(everything());
    const std::string key = authjs_v5_key(forge::secret, forge::salt, 32);
    const std::string kid = thumbprint(key, Hash::sha256);
    const std::string token = forge::jwe(key, good_claims, {"alg", "dir", "enc", "A256GCM", "kid", kid.c_str()});
    const Checked checked = verifier.check(token, now);
    cr_expect(checked.verdict == Verdict::valid && checked.identity.kind == TokenKind::authjs_v5);
}

Test(verifier, takes_no_session_of_a_package_that_is_switched_off) {
    Policy policy = everything();
    policy.authjs_v5 = false;
    expect(verifier_of(policy), forge::v5(good_claims), Verdict::alg_not_allowed, "v5");
    expect(verifier_of(policy), forge::v4(good_claims), Verdict::valid, "v4");
    policy = everything();
    policy.nextauth_v4 = false;
    expect(verifier_of(policy), forge::v4(good_claims), Verdict::wrong_secret, "v4");
    expect(verifier_of(policy), forge::v5(good_claims), Verdict::valid, "v5");
    policy.secrets.clear();
    expect(verifier_of(policy), forge::v5(good_claims), Verdict::alg_not_allowed, "no secret");
}

Test(verifier, refuses_none_in_any_letter_case) {
    const Verifier verifier = verifier_of(everything());
    for (const char* name : {"none", "None", "NONE", "nOnE"}) {
        const std::string header = R"({"alg":")" + std::string(name) + "\"}";
        expect(verifier, forge::join(header, good_claims, ""), Verdict::alg_none, name);
        expect(verifier, forge::hs(header, good_claims), Verdict::alg_none, name);
        expect(verifier, forge::with_segment(forge::v5(good_claims), 0, base64url(header)), Verdict::alg_none, name);
    }
}

Test(verifier, refuses_algorithms_that_are_not_listed_or_unknown) {
    Policy policy = everything();
    policy.jwt_algorithms = {"HS256"};
    const Verifier verifier = verifier_of(policy);
    expect(verifier, forge::hs(R"({"alg":"HS256"})", good_claims), Verdict::valid, "HS256");
    expect(verifier, forge::hs(R"({"alg":"HS512"})", good_claims, forge::jwt_secret, Hash::sha512),
           Verdict::alg_not_allowed, "HS512");
    for (const char* name : {"hs256", "HS1", "RS256", "ES256K", "dir", ""}) {
        const std::string header = R"({"alg":")" + std::string(name) + "\"}";
        expect(verifier, forge::hs(header, good_claims), Verdict::alg_not_allowed, name);
    }
}

Test(verifier, takes_each_hmac_algorithm_that_a_secret_is_long_enough_for) {
    const Verifier verifier = verifier_of(everything());
    expect(verifier, forge::hs(R"({"alg":"HS256"})", good_claims), Verdict::valid, "HS256");
    expect(verifier, forge::hs(R"({"alg":"HS384"})", good_claims, forge::jwt_secret, Hash::sha384), Verdict::valid,
           "384");
    expect(verifier, forge::hs(R"({"alg":"HS512"})", good_claims, forge::jwt_secret, Hash::sha512), Verdict::valid,
           "512");
    Policy policy;
    policy.jwt_secrets = {"a secret that has thirty-two bytes"};
    const std::string token = forge::hs(R"({"alg":"HS512"})", good_claims, policy.jwt_secrets[0], Hash::sha512);
    expect(verifier_of(policy), token, Verdict::alg_not_allowed, "a short secret without a list");
    policy.jwt_algorithms = {"HS512"};
    expect(verifier_of(policy), token, Verdict::valid, "a short secret with a list");
}

Test(verifier, takes_each_public_algorithm_and_none_for_a_key_of_another_kind) {
    struct Case {
        const char* algorithm;
        forge::Signer signer;
    };
    std::vector<Case> cases;
    for (const char* name : {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}) {
        cases.push_back({name, forge::Signer::rsa()});
    }
    cases.push_back({"ES256", forge::Signer::ec(CJOSE_JWK_EC_P_256)});
    cases.push_back({"ES384", forge::Signer::ec(CJOSE_JWK_EC_P_384)});
    cases.push_back({"ES512", forge::Signer::ec(CJOSE_JWK_EC_P_521)});
    cases.push_back({"EdDSA", forge::Signer::ed25519()});
    for (const Case& one : cases) {
        const Verifier verifier = verifier_of({}, forge::key_set({one.signer.jwk(R"(,"kid":"a")")}));
        const std::string token = one.signer.sign(one.algorithm, good_claims, "a");
        const Checked checked = verifier.check(token, now);
        cr_expect(checked.verdict == Verdict::valid, "%s: %s", one.algorithm, checked.detail.c_str());
        cr_expect(checked.identity.key == "a" && checked.identity.kind == TokenKind::jwt);
        expect(verifier, one.signer.sign(one.algorithm, good_claims), Verdict::valid, "without kid");
        expect(verifier, one.signer.sign(one.algorithm, good_claims, "b"), Verdict::unknown_kid, "another kid");
        const std::string changed = forge::with_segment(token, 1, base64url(claims_with(R"("admin":true)")));
        expect(verifier, changed, Verdict::tampered, one.algorithm);
        expect(verifier, forge::with_segment(token, 2, ""), Verdict::tampered, "no signature");
        expect(verifier, forge::with_segment(token, 2, "AAAA"), Verdict::tampered, "a short signature");
        expect(verifier, token + "AAAA", Verdict::tampered, "a long signature");
        for (const Case& other : cases) {
            if (other.algorithm == one.algorithm) continue;
            const Checked wrong = verifier.check(other.signer.sign(other.algorithm, good_claims, "a"), now);
            cr_expect(wrong.verdict == Verdict::unknown_kid || wrong.verdict == Verdict::tampered, "%s under %s: %s",
                      other.algorithm, one.algorithm, to_string(wrong.verdict).data());
        }
    }
}

Test(verifier, keeps_a_key_to_the_algorithm_that_the_set_gives_it) {
    const auto signer = forge::Signer::rsa();
    const Verifier verifier = verifier_of({}, forge::key_set({signer.jwk(R"(,"kid":"a","alg":"RS256")")}));
    expect(verifier, signer.sign("RS256", good_claims, "a"), Verdict::valid, "RS256");
    expect(verifier, signer.sign("PS256", good_claims, "a"), Verdict::alg_not_allowed, "PS256");
    expect(verifier, signer.sign("RS512", good_claims, "a"), Verdict::alg_not_allowed, "RS512");
    expect(verifier, signer.sign("PS256", good_claims), Verdict::unknown_kid, "PS256 without kid");
}

Test(verifier, never_checks_an_hmac_with_a_public_key) {
    const auto signer = forge::Signer::rsa();
    const std::string jwk = signer.jwk(R"(,"kid":"a")");
    Policy policy;
    policy.jwt_algorithms = {"RS256", "HS256"};
    const Verifier without_secret = verifier_of(policy, forge::key_set({jwk}));
    const Verifier with_secret = verifier_of(everything(), forge::key_set({jwk}));
    for (const std::string_view key : {std::string_view{jwk}, std::string_view{"a"}}) {
        const std::string token = forge::hs(R"({"alg":"HS256","kid":"a"})", good_claims, key);
        expect(without_secret, token, Verdict::alg_not_allowed, "without a secret");
        expect(with_secret, token, Verdict::alg_not_allowed, "with a secret");
    }
    expect(with_secret, forge::hs(R"({"alg":"HS256"})", good_claims, jwk), Verdict::wrong_secret, "without kid");
}

Test(verifier, refuses_crit_with_anything_in_it) {
    const Verifier verifier = verifier_of(everything());
    for (const char* value : {R"(["exp"])", "[]", "null", R"("b64")", "{}"}) {
        const std::string more = R"("crit":)" + std::string(value) + "}";
        expect(verifier, forge::hs(R"({"alg":"HS256",)" + more, good_claims), Verdict::crit_unsupported, value);
        const std::string header = base64url(R"({"alg":"dir","enc":"A256GCM",)" + more);
        expect(verifier, forge::with_segment(forge::v4(good_claims), 0, header), Verdict::crit_unsupported, value);
    }
}

Test(verifier, ignores_keys_and_addresses_in_the_header) {
    const auto signer = forge::Signer::rsa();
    const auto attacker = forge::Signer::rsa();
    const Verifier verifier = verifier_of(everything(), forge::key_set({signer.jwk(R"(,"kid":"a")")}));
    const std::string token = attacker.sign("RS256", good_claims, "a");
    expect(verifier, token, Verdict::tampered, "a stranger's key");
    for (const char* more :
         {R"("jku":"https://evil.example/")", R"("x5u":"https://evil.example/")", R"("x5c":["AAAA"])"}) {
        const std::string header = R"({"alg":"HS256",)" + std::string(more) + "}";
        expect(verifier, forge::hs(header, good_claims), Verdict::valid, more);
    }
}

Test(verifier, refuses_a_kid_that_leaves_no_key_or_two) {
    const auto first = forge::Signer::rsa();
    const auto second = forge::Signer::rsa();
    const auto ec = forge::Signer::ec(CJOSE_JWK_EC_P_256);
    const std::string a = R"(,"kid":"a")";
    const std::string token = first.sign("RS256", good_claims, "a");
    const auto verdict = [&](std::initializer_list<std::string> keys, std::string_view text) {
        return verifier_of({}, forge::key_set(keys)).check(text, now).verdict;
    };
    cr_expect(verdict({first.jwk(a)}, token) == Verdict::valid);
    cr_expect(verdict({first.jwk(a), ec.jwk(a)}, token) == Verdict::valid, "one kid, two types");
    cr_expect(verdict({first.jwk(a), second.jwk(a)}, token) == Verdict::unknown_kid, "one kid, two keys");
    cr_expect(verdict({second.jwk(a), first.jwk(R"(,"kid":"b")")}, token) == Verdict::tampered, "another's kid");
    cr_expect(verdict({first.jwk(), second.jwk()}, first.sign("RS256", good_claims)) == Verdict::unknown_kid);
    cr_expect(verdict({first.jwk()}, token) == Verdict::unknown_kid, "the key has no kid");
    cr_expect(verdict({first.jwk(R"(,"kid":"a","use":"enc")")}, token) == Verdict::unknown_kid);
    cr_expect(verdict({first.jwk(R"(,"kid":"a","key_ops":["sign"])")}, token) == Verdict::unknown_kid);
    cr_expect(verdict({first.jwk(R"(,"kid":"a","key_ops":["verify"])")}, token) == Verdict::valid);
    cr_expect(verdict({ec.jwk(a)}, token) == Verdict::unknown_kid, "the kid of a key of another type");
    cr_expect(verdict({}, token) == Verdict::unknown_kid, "an empty set");
    const std::string empty_kid =
        forge::with_segment(first.sign("RS256", good_claims), 0, base64url(R"({"alg":"RS256","kid":""})"));
    cr_expect(verdict({first.jwk()}, empty_kid) == Verdict::unknown_kid, "an empty kid is not none");
}

Test(verifier, refuses_weak_keys) {
    const auto weak = forge::Signer::rsa(1024);
    const Verifier verifier = verifier_of({}, forge::key_set({weak.jwk(R"(,"kid":"a")")}));
    expect(verifier, weak.sign("RS256", good_claims, "a"), Verdict::weak_key, "1024 bits");
    cr_expect(verifier.keys().empty());
    for (const auto list : {&Policy::jwt_secrets, &Policy::room_secrets}) {
        Policy policy;
        policy.*list = {std::string(31, 's')};
        const auto made = Verifier::create(policy);
        cr_expect(!made && made.error().code == Errc::config);
        cr_expect(made.error().what.find("sss") == std::string::npos, "it tells the secret");
        policy.*list = {std::string(32, 's')};
        cr_expect(Verifier::create(policy).has_value());
    }
}

Test(verifier, refuses_ecdsa_signatures_in_der_all_zero_or_of_another_length) {
    const auto signer = forge::Signer::ec(CJOSE_JWK_EC_P_256);
    const Verifier verifier = verifier_of({}, forge::key_set({signer.jwk()}));
    const std::string token = signer.sign("ES256", good_claims);
    for (const std::size_t bytes : {0U, 1U, 32U, 63U, 64U, 65U, 72U, 96U}) {
        expect(verifier, forge::with_segment(token, 2, base64url(std::string(bytes, '\0'))), Verdict::tampered,
               "zeros");
        expect(verifier, forge::with_segment(token, 2, base64url(std::string(bytes, '\xff'))), Verdict::tampered,
               "ones");
    }
    const std::string good = *decode_base64url(std::string_view{token}.substr(token.rfind('.') + 1));
    const std::string nul(1, '\0');
    const std::string wider = nul + good.substr(0, 32) + nul + good.substr(32);
    expect(verifier, forge::with_segment(token, 2, base64url(wider)), Verdict::tampered, "the same numbers, wider");
    const std::string der = "\x30\x44\x02\x20" + std::string(32, 'r') + "\x02\x20" + std::string(32, 's');
    expect(verifier, forge::with_segment(token, 2, base64url(der)), Verdict::tampered, "DER");
}

Test(verifier, refuses_hmac_signatures_of_another_length) {
    const Verifier verifier = verifier_of(everything());
    const std::string token = forge::hs(R"({"alg":"HS256"})", good_claims);
    const std::string good = *decode_base64url(std::string_view{token}.substr(token.rfind('.') + 1));
    for (std::size_t bytes = 0; bytes < good.size(); ++bytes) {
        expect(verifier, forge::with_segment(token, 2, base64url(good.substr(0, bytes))), Verdict::tampered, "shorter");
    }
    expect(verifier, forge::with_segment(token, 2, base64url(good + "x")), Verdict::tampered, "longer");
}

Test(verifier, refuses_padding_blanks_foreign_characters_leftover_bits_and_wrong_counts) {
    const Verifier verifier = verifier_of(everything());
    for (const std::string& token :
         {forge::hs(R"({"alg":"HS256"})", good_claims), forge::v4(good_claims), forge::v5(good_claims)}) {
        expect(verifier, token, Verdict::valid, "as made");
        expect(verifier, token + "=", Verdict::malformed, "padding");
        expect(verifier, " " + token, Verdict::malformed, "a blank before");
        expect(verifier, token + "\n", Verdict::malformed, "a line feed behind");
        expect(verifier, token + ".", Verdict::malformed, "a dot more");
        expect(verifier, "." + token, Verdict::malformed, "a dot before");
        expect(verifier, token.substr(0, token.rfind('.')), Verdict::malformed, "a segment less");
        expect(verifier, token.substr(0, token.size() - 1) + "+", Verdict::malformed, "the other alphabet");
        expect(verifier, token.substr(0, token.size() - 1) + std::string(1, '\0'), Verdict::malformed, "a NUL");
        std::string bits = token;  // the last character of 32 and of 16 bytes has unused bits
        bits.back() = bits.back() == 'B' ? 'C' : static_cast<char>(bits.back() + 1);
        expect(verifier, bits, Verdict::malformed, "leftover bits");
    }
    expect(verifier, "", Verdict::malformed, "nothing");
    expect(verifier, "....", Verdict::malformed, "dots");
    expect(verifier, "..", Verdict::malformed, "two dots");
    expect(verifier, "0d7c6f3e-7a55-4c1e-9f7e-2f1f5b0a9c11", Verdict::opaque, "a database session");
}

Test(verifier, refuses_payloads_and_headers_that_are_not_one_strict_object) {
    const Verifier verifier = verifier_of(everything());
    std::string deep = claims_with(R"("a":)" + std::string(63, '[') + std::string(63, ']'));
    std::string deeper = claims_with(R"("a":)" + std::string(64, '[') + std::string(64, ']'));
    const std::string nul(1, '\0');
    const std::string cases[] = {
        "",
        "null",
        "42",
        R"("text")",
        "[]",
        "[" + std::string(good_claims) + "]",
        std::string(good_claims) + "{}",
        std::string(good_claims) + "x",
        "\xEF\xBB\xBF" + std::string(good_claims),
        std::string(good_claims) + nul,
        std::string(good_claims) + nul + "x",
        R"({"sub":"42","exp":1767315600)" + nul + "}",
        "{" + nul + std::string(good_claims.substr(1)),
        R"({"sub":"42","sub":"43","exp":1767315600})",
        R"({"sub":"42","s\u0075b":"43","exp":1767315600})",
        claims_with(R"("a":{"b":1,"b":2})"),
        claims_with("\"a\":\"\xff\""),
        claims_with("\"a\":\"\xed\xa0\x80\""),
        claims_with(R"("a":"\ud800")"),
        claims_with(R"("a":1e400)"),
        claims_with(R"("a":01)"),
        claims_with("\"a\":\"\n\""),
        R"({"sub":"42","exp":1767315600,})",
        deeper,
    };
    for (const std::string& payload : cases) {
        expect(verifier, forge::hs(R"({"alg":"HS256"})", payload), Verdict::malformed, payload.c_str());
        if (payload.empty()) continue;
        expect(verifier, forge::v4(payload), Verdict::malformed, payload.c_str());
        expect(verifier, forge::v5(payload), Verdict::malformed, payload.c_str());
    }
    expect(verifier, forge::hs(R"({"alg":"HS256"})", deep), Verdict::valid, "as deep as allowed");
    expect(verifier, forge::v5(claims_with(R"("a":123456789012345678901234567890)")), Verdict::valid, "a large number");
    expect(verifier, forge::v5(claims_with(R"("a":"\u0000")")), Verdict::valid, "an escaped NUL in a text");
    const std::string_view headers[] = {"",
                                        "[]",
                                        "{}",
                                        R"({"alg":1})",
                                        R"({"alg":null})",
                                        R"({"alg":"HS256","alg":"none"})",
                                        R"({"alg":"none","al\u0067":"HS256"})",
                                        R"({"alg":"HS256","kid":1})",
                                        R"({"alg":"HS256"} x)"};
    for (const std::string_view header : headers) {
        expect(verifier, forge::hs(header, good_claims), Verdict::malformed, std::string(header).c_str());
    }
}

Test(verifier, gives_the_claims_as_one_line) {
    const Verifier verifier = verifier_of(everything());
    const Checked checked =
        verifier.check(forge::hs(R"({"alg":"HS256"})", "{\r\n\t\"sub\": \"4 2\",\n\"exp\":1767315600}\n"), now);
    cr_assert(checked.verdict == Verdict::valid, "%s", checked.detail.c_str());
    cr_expect(checked.identity.claims == R"({"sub": "4 2","exp":1767315600})", "%s", checked.identity.claims.c_str());
}

Test(verifier, wants_an_end_and_a_user) {
    const Verifier verifier = verifier_of(everything());
    struct Case {
        std::string claims;
        Verdict want;
    };
    const Case cases[] = {
        {R"({"sub":"42"})", Verdict::missing_claim},
        {R"({"sub":"42","exp":"1767315600"})", Verdict::malformed},
        {R"({"sub":"42","exp":null})", Verdict::malformed},
        {R"({"sub":"42","exp":true})", Verdict::malformed},
        {R"({"exp":1767315600})", Verdict::missing_claim},
        {R"({"sub":"","exp":1767315600})", Verdict::missing_claim},
        {R"({"sub":42,"exp":1767315600})", Verdict::malformed},
        {R"({"sub":null,"exp":1767315600})", Verdict::malformed},
        {R"({"sub":"a\u0000b","exp":1767315600})", Verdict::malformed},
        {R"({"sub":"a\nb","exp":1767315600})", Verdict::malformed},
        {R"({"sub":")" + std::string(512, 'u') + R"(","exp":1767315600})", Verdict::valid},
        {R"({"sub":")" + std::string(513, 'u') + R"(","exp":1767315600})", Verdict::too_large},
        {claims_with(R"("nbf":"0")"), Verdict::malformed},
        {claims_with(R"("nbf":null)"), Verdict::malformed},
        {claims_with(R"("iat":"yesterday")"), Verdict::valid},
        {claims_with(R"("iat":9999999999)"), Verdict::valid},
    };
    for (const auto& [claims, want] : cases) {
        expect(verifier, forge::v4(claims), want, claims.c_str());
        expect(verifier, forge::v5(claims), want, claims.c_str());
        expect(verifier, forge::hs(R"({"alg":"HS256"})", claims), want, claims.c_str());
    }
    Policy policy = everything();
    policy.user_claim = "account";
    const Checked named = verifier_of(policy).check(forge::v5(claims_with(R"("account":"ada")")), now);
    cr_expect(named.verdict == Verdict::valid && named.identity.user == "ada");
    expect(verifier_of(policy), forge::v5(good_claims), Verdict::missing_claim, "another claim names the user");
}

Test(verifier, keeps_fifteen_seconds_of_leeway_to_the_second) {
    const Verifier verifier = verifier_of(everything());
    const std::string token = forge::v5(R"({"sub":"42","nbf":1000,"exp":2000.5})");
    struct Case {
        Seconds at;
        Verdict want;
    };
    constexpr Case cases[] = {{984, Verdict::not_yet_valid},
                              {985, Verdict::valid},
                              {2000, Verdict::valid},
                              {2015, Verdict::valid},
                              {2016, Verdict::expired}};
    for (const auto& [at, want] : cases) {
        const Checked checked = verifier.check(token, at);
        cr_expect(checked.verdict == want, "at %lld: %s", static_cast<long long>(at),
                  to_string(checked.verdict).data());
    }
    const Checked expired = verifier.check(token, 5000);
    cr_expect(expired.identity.user == "42" && expired.identity.expires == 2000, "an expired one says whose it was");
    Policy policy = everything();
    policy.leeway = 0;
    cr_expect(verifier_of(policy).check(token, 2001).verdict == Verdict::expired);
    for (const char* end : {"1e300", "99999999999999999999999"}) {
        const std::string far = forge::v5(R"({"sub":"42","exp":)" + std::string(end) + "}");
        cr_expect(verifier.check(far, now).verdict == Verdict::valid, "%s", end);
    }
    cr_expect(verifier.check(forge::v5(R"({"sub":"42","exp":-1e300})"), now).verdict == Verdict::expired);
}

Test(verifier, asks_signed_tokens_for_issuer_audience_and_party) {
    Policy policy = everything();
    policy.issuer = "https://id.example.com/";
    policy.audiences = {"chat", "chat-api"};
    policy.parties = {"web"};
    const Verifier verifier = verifier_of(policy);
    struct Case {
        const char* more;
        Verdict want;
    };
    constexpr Case cases[] = {
        {R"("iss":"https://id.example.com/","aud":"chat","azp":"web")", Verdict::valid},
        {R"("iss":"https://id.example.com/","aud":["x","chat-api"],"azp":"web")", Verdict::valid},
        {R"("iss":"https://id.example.com/","aud":"chat","client_id":"web")", Verdict::valid},
        {R"("iss":"https://id.example.com","aud":"chat","azp":"web")", Verdict::wrong_iss},
        {R"("iss":["https://id.example.com/"],"aud":"chat","azp":"web")", Verdict::wrong_iss},
        {R"("aud":"chat","azp":"web")", Verdict::wrong_iss},
        {R"("iss":"https://id.example.com/","azp":"web")", Verdict::wrong_aud},
        {R"("iss":"https://id.example.com/","aud":"cha","azp":"web")", Verdict::wrong_aud},
        {R"("iss":"https://id.example.com/","aud":[],"azp":"web")", Verdict::wrong_aud},
        {R"("iss":"https://id.example.com/","aud":[["chat"],1],"azp":"web")", Verdict::wrong_aud},
        {R"("iss":"https://id.example.com/","aud":{"chat":"chat"},"azp":"web")", Verdict::wrong_aud},
        {R"("iss":"https://id.example.com/","aud":"chat")", Verdict::wrong_aud},
        {R"("iss":"https://id.example.com/","aud":"chat","azp":"other","client_id":"web")", Verdict::wrong_aud},
    };
    for (const auto& [more, want] : cases) {
        expect(verifier, forge::hs(R"({"alg":"HS256"})", claims_with(more)), want, more);
    }
    expect(verifier, forge::v5(good_claims), Verdict::valid, "sessions name no audience");
}

Test(verifier, refuses_session_tokens_of_any_other_form) {
    const Verifier verifier = verifier_of(everything());
    struct Case {
        const char* header;
        Verdict want;
    };
    constexpr Case cases[] = {
        {R"({"alg":"A256KW","enc":"A256GCM"})", Verdict::alg_not_allowed},
        {R"({"alg":"RSA-OAEP","enc":"A256GCM"})", Verdict::alg_not_allowed},
        {R"({"alg":"ECDH-ES","enc":"A256GCM","epk":{}})", Verdict::alg_not_allowed},
        {R"({"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2c":2000000000,"p2s":"AAAA"})", Verdict::alg_not_allowed},
        {R"({"alg":"dir","enc":"A128GCM"})", Verdict::alg_not_allowed},
        {R"({"alg":"dir","enc":"A128CBC-HS256"})", Verdict::alg_not_allowed},
        {R"({"alg":"dir","enc":"a256gcm"})", Verdict::alg_not_allowed},
        {R"({"alg":"dir"})", Verdict::alg_not_allowed},
        {R"({"alg":"dir","enc":"A256GCM","zip":"DEF"})", Verdict::alg_not_allowed},
        {R"({"alg":"dir","enc":"A256GCM","zip":null})", Verdict::alg_not_allowed},
        {R"({"alg":"dir","enc":"A256GCM","kid":"another"})", Verdict::wrong_secret},
    };
    for (const auto& [header, want] : cases) {
        expect(verifier, forge::with_segment(forge::v4(good_claims), 0, base64url(header)), want, header);
    }
    for (const bool is_v5 : {false, true}) {
        const std::string token = is_v5 ? forge::v5(good_claims) : forge::v4(good_claims);
        expect(verifier, forge::with_segment(token, 1, "AAAA"), Verdict::malformed, "an encrypted key");
        for (std::size_t bytes = 0; bytes <= 40; ++bytes) {
            const std::string other = base64url(std::string(bytes, 'x'));
            expect(verifier, forge::with_segment(token, 4, other),
                   is_v5         ? Verdict::tampered
                   : bytes == 16 ? Verdict::wrong_secret
                                 : Verdict::tampered,
                   "tag");
            expect(verifier, forge::with_segment(token, 2, other),
                   is_v5         ? Verdict::tampered
                   : bytes == 12 ? Verdict::wrong_secret
                                 : Verdict::tampered,
                   "iv");
        }
        expect(verifier, forge::with_segment(token, 3, ""), Verdict::tampered, "no ciphertext");
        expect(verifier, forge::with_segment(token, 3, "AAAA"), is_v5 ? Verdict::tampered : Verdict::wrong_secret,
               "short");
    }
}

Test(verifier, states_its_limits_and_keeps_them_before_any_decoding) {
    Policy policy = everything();
    policy.max_token_bytes = 300;
    const std::string padded = claims_with(R"("a":")" + std::string(300, 'a') + "\"");
    expect(verifier_of(policy), forge::v5(padded), Verdict::too_large, "a long token");
    expect(verifier_of(policy), std::string(301, '%'), Verdict::too_large, "before its alphabet is looked at");
    const Verifier verifier = verifier_of(everything());
    const auto header = [](std::size_t bytes) {
        const std::string text = R"({"alg":"HS256","x":""})";
        return R"({"alg":"HS256","x":")" + std::string(bytes - text.size(), 'x') + "\"}";
    };
    expect(verifier, forge::hs(header(1024), good_claims), Verdict::valid, "a header of 1024 bytes");
    expect(verifier, forge::hs(header(1025), good_claims), Verdict::too_large, "a header of 1025 bytes");
    expect(verifier, std::string(16 * 1024, 'a'), Verdict::opaque, "16 KiB");
    expect(verifier, std::string(16 * 1024 + 1, 'a'), Verdict::too_large, "16 KiB and one");
}

Test(verifier, tells_hmac_secrets_apart_by_thumbprint_and_takes_a_foreign_kid_as_none) {
    Policy policy;
    policy.jwt_secrets = {std::string(32, 'a'), std::string(32, 'b')};
    const Verifier verifier = verifier_of(policy);
    const std::string a = thumbprint(policy.jwt_secrets[0], Hash::sha256);
    const std::string header = R"({"alg":"HS256","kid":")" + a + "\"}";
    expect(verifier, forge::hs(R"({"alg":"HS256"})", good_claims, std::string(32, 'b')), Verdict::valid, "the second");
    expect(verifier, forge::hs(R"({"alg":"HS256","kid":"x"})", good_claims, std::string(32, 'b')), Verdict::valid,
           "kid");
    expect(verifier, forge::hs(header, good_claims, std::string(32, 'a')), Verdict::valid, "named, the same");
    expect(verifier, forge::hs(header, good_claims, std::string(32, 'b')), Verdict::wrong_secret, "named, another");
    expect(verifier, forge::hs(R"({"alg":"HS256"})", good_claims, std::string(32, 'c')), Verdict::wrong_secret, "none");
}

Test(verifier, refuses_policies_that_contradict_themselves) {
    const auto refused = [](auto change, std::string_view keys = "") {
        Policy policy = everything();
        change(policy);
        Jwks set;
        if (!keys.empty()) set = std::move(*Jwks::parse(keys));
        const auto made = Verifier::create(policy, std::move(set));
        return !made && made.error().code == Errc::config;
    };
    cr_expect(!refused([](Policy&) {}));
    cr_expect(refused([](Policy& policy) { policy.jwt_algorithms = {"none"}; }));
    cr_expect(refused([](Policy& policy) { policy.jwt_algorithms = {"HS256", "XY1"}; }));
    cr_expect(refused([](Policy& policy) { policy.jwt_algorithms = {"RS256"}; }), "secrets that nothing may use");
    const std::string keys = forge::key_set({forge::Signer::ed25519().jwk()});
    cr_expect(refused([](Policy& policy) { policy.jwt_algorithms = {"HS256"}; }, keys), "keys that nothing may use");
    cr_expect(refused([](Policy& policy) { policy.secrets = {""}; }));
    cr_expect(refused([](Policy& policy) { policy.salts = {""}; }));
    cr_expect(refused([](Policy& policy) { policy.leeway = -1; }));
    cr_expect(refused([](Policy& policy) { policy.max_token_bytes = 0; }));
    cr_expect(refused([](Policy& policy) { policy.user_claim.clear(); }));
    cr_expect(refused([](Policy& policy) { policy.secrets.assign(17, "s"); }));
}

Test(verifier, keeps_no_secret_in_its_policy) {
    const Verifier verifier = verifier_of(everything());
    const Policy& policy = verifier.policy();
    cr_expect(policy.secrets == std::vector<std::string>{""} && policy.jwt_secrets == std::vector<std::string>{""});
    cr_expect(policy.room_secrets == std::vector<std::string>{""});
}

Test(verifier, takes_a_new_key_set_in_place_of_the_old_one) {
    const auto first = forge::Signer::ed25519();
    const auto second = forge::Signer::ed25519();
    Verifier verifier = verifier_of({}, forge::key_set({first.jwk(R"(,"kid":"1")")}));
    cr_expect(verifier.keys() == std::vector<std::string>{"1"});
    verifier.set_jwks(std::move(*Jwks::parse(forge::key_set({second.jwk(R"(,"kid":"2")")}))));
    expect(verifier, first.sign("EdDSA", good_claims, "1"), Verdict::unknown_kid, "the old key");
    expect(verifier, second.sign("EdDSA", good_claims, "2"), Verdict::valid, "the new key");
    cr_expect(verifier.keys() == std::vector<std::string>{"2"});
}

Test(room_tokens, open_the_rooms_they_name_to_the_user_they_name) {
    const Verifier verifier = verifier_of(everything());
    struct Case {
        std::string claims;
        const char* room;
        Verdict want;
    };
    const Case cases[] = {
        {claims_with(R"("room":"a")"), "a", Verdict::valid},
        {claims_with(R"("room":"a")"), "b", Verdict::wrong_aud},
        {claims_with(R"("room":"a")"), "ab", Verdict::wrong_aud},
        {claims_with(R"("room":"")"), "", Verdict::valid},
        {claims_with(R"("rooms":["a","b"])"), "b", Verdict::valid},
        {claims_with(R"("rooms":[])"), "b", Verdict::wrong_aud},
        {claims_with(R"("room":"project-*")"), "project-7", Verdict::valid},
        {claims_with(R"("room":"project-*")"), "project-", Verdict::valid},
        {claims_with(R"("room":"project-*")"), "project", Verdict::wrong_aud},
        {claims_with(R"("room":"*-7-*")"), "a-7-7-b", Verdict::valid},
        {claims_with(R"("room":"*a*b*c")"), "xxaxxbxxbc", Verdict::valid},
        {claims_with(R"("room":"*a*b*c")"), "xxaxxbxxcx", Verdict::wrong_aud},
        {claims_with(R"("room":"*")"), "anything", Verdict::valid},
        {claims_with(R"("room":"a","rooms":["b"])"), "b", Verdict::valid},
        {claims_with(R"("room":1)"), "1", Verdict::malformed},
        {claims_with(R"("rooms":"a")"), "a", Verdict::malformed},
        {claims_with(R"("rooms":["a",1])"), "a", Verdict::malformed},
        {std::string(good_claims), "a", Verdict::missing_claim},
        {R"({"sub":"43","room":"a","exp":1767315600})", "a", Verdict::wrong_aud},
        {R"({"room":"a","exp":1767315600})", "a", Verdict::valid},
        {R"({"room":"a"})", "a", Verdict::missing_claim},
        {R"({"room":"a","exp":1767311985})", "a", Verdict::expired},
        {R"({"room":"a","exp":1767315600,"nbf":1767312016})", "a", Verdict::not_yet_valid},
        {R"({"room":"a","room":"b","exp":1767315600})", "a", Verdict::malformed},
    };
    for (const auto& [claims, room, want] : cases) {
        const std::string token = forge::hs(R"({"alg":"HS256"})", claims, forge::room_secret);
        const Checked checked = verifier.check_room(token, "42", room, now);
        cr_expect(checked.verdict == want, "%s in %s: %s: %s", claims.c_str(), room, to_string(checked.verdict).data(),
                  checked.detail.c_str());
        if (want == Verdict::valid) cr_expect(checked.identity.kind == TokenKind::room);
    }
}

Test(room_tokens, are_signed_with_their_own_secret_and_HS256) {
    const Verifier verifier = verifier_of(everything());
    const std::string claims = claims_with(R"("room":"a")");
    const auto verdict = [&](std::string_view token) { return verifier.check_room(token, "42", "a", now).verdict; };
    cr_expect(verdict(forge::hs(R"({"alg":"HS256"})", claims, forge::room_secret)) == Verdict::valid);
    cr_expect(verdict(forge::hs(R"({"alg":"HS256"})", claims)) == Verdict::wrong_secret);
    cr_expect(verdict(forge::hs(R"({"alg":"HS512"})", claims, forge::room_secret, Hash::sha512)) ==
              Verdict::alg_not_allowed);
    cr_expect(verdict(forge::join(R"({"alg":"none"})", claims, "")) == Verdict::alg_none);
    cr_expect(verdict(forge::join(R"({"alg":"HS256"})", claims, "")) == Verdict::tampered);
    cr_expect(verdict(forge::v5(claims)) == Verdict::alg_not_allowed);
    cr_expect(verdict("a") == Verdict::opaque);
    Policy policy = everything();
    policy.room_secrets.clear();
    cr_expect(verifier_of(policy).check_room(forge::hs(R"({"alg":"HS256"})", claims), "42", "a", now).verdict ==
              Verdict::alg_not_allowed);
}

Test(room_tokens, are_no_proof_of_who_somebody_is_even_under_a_shared_secret) {
    Policy policy = everything();
    policy.room_secrets = policy.jwt_secrets;
    const Verifier verifier = verifier_of(policy);
    const std::string header = R"({"alg":"HS256"})";
    expect(verifier, forge::hs(header, claims_with(R"("room":"a")")), Verdict::wrong_aud, "room");
    expect(verifier, forge::hs(header, claims_with(R"("rooms":["a"])")), Verdict::wrong_aud, "rooms");
    expect(verifier, forge::hs(header, good_claims), Verdict::valid, "a JWT");
    cr_expect(verifier.check_room(forge::hs(header, good_claims), "42", "a", now).verdict == Verdict::missing_claim);
}
