// auth/jwks.h: which key sets are read, which keys are left out, and what is refused whole.
#include "auth/jwks.h"

#include <criterion/criterion.h>

#include <string>
#include <string_view>

#include "unit/auth/forge.h"

namespace {

using namespace sio;
using namespace sio::auth;

Errc refusal(std::string_view text) {
    const auto set = Jwks::parse(text);
    cr_assert(!set, "taken: %s", std::string(text.substr(0, 200)).c_str());
    return set.error().code;
}

std::string rsa_of(std::size_t bytes, std::string_view exponent, char first = '\xc1') {
    std::string modulus(bytes, '\x55');
    modulus.front() = first;
    return R"({"kty":"RSA","kid":"r","n":")" + base64url(modulus) + R"(","e":")" + base64url(exponent) + "\"}";
}

std::size_t kept(const std::string& key) {
    const auto set = Jwks::parse(forge::key_set({key}));
    cr_assert(set.has_value(), "%s", set.error().what.c_str());
    cr_expect(set->size() + set->left_out() == 1);
    return set->size();
}

}  // namespace

Test(jwks, reads_keys_of_each_kind_and_counts_those_it_has_no_use_for) {
    const auto set = Jwks::parse(forge::key_set({
        forge::Signer::rsa().jwk(R"(,"kid":"rsa","alg":"RS256","use":"sig","x5c":["AAAA"],"x5t":"AAAA")"),
        forge::Signer::ec(CJOSE_JWK_EC_P_256).jwk(R"(,"kid":"p256")"),
        forge::Signer::ec(CJOSE_JWK_EC_P_384).jwk(),
        forge::Signer::ec(CJOSE_JWK_EC_P_521).jwk(R"(,"kid":"p521")"),
        forge::Signer::ed25519().jwk(R"(,"kid":"ed")"),
        forge::Signer::ed25519().jwk(R"(,"kid":"enc","use":"enc")"),
        forge::Signer::ed25519().jwk(R"(,"kid":"ops","key_ops":["encrypt"])"),
        forge::Signer::rsa().jwk(R"(,"kid":"oaep","alg":"RSA-OAEP")"),
        forge::Signer::rsa().jwk(R"(,"kid":"confused","alg":"HS256")"),
        forge::Signer::rsa().jwk(R"(,"kid":7)"),
        R"({"kty":"EC","crv":"secp256k1","x":"AAAA","y":"AAAA"})",
        R"({"kty":"OKP","crv":"X25519","x":"AAAA"})",
        R"({"kty":"AKP"})",
        "{}",
    }));
    cr_assert(set.has_value(), "%s", set.error().what.c_str());
    cr_expect(set->size() == 5 && set->left_out() == 9, "%zu and %zu", set->size(), set->left_out());
    cr_expect((set->ids() == std::vector<std::string>{"rsa", "p256", "p521", "ed"}));
    cr_expect(Jwks::parse(R"({"keys":[]})")->size() == 0);
    cr_expect(Jwks{}.size() == 0 && Jwks{}.ids().empty());
}

Test(jwks, refuses_texts_that_are_no_key_set) {
    for (const char* text : {"", "[]", "{}", R"({"keys":{}})", R"({"keys":null})", R"({"keys":[1]})", R"({"keys":[]}x)",
                             R"({"keys":[],"keys":[]})", "{\"keys\":[],\"a\":\"\xff\"}", "not JSON"}) {
        cr_expect(refusal(text) == Errc::malformed, "%s", text);
    }
    cr_expect(refusal(R"({"keys":[],"a":)" + std::string(64, '[') + std::string(64, ']') + "}") == Errc::malformed);
    cr_expect(refusal(std::string(100'000, '[')) == Errc::malformed);
}

Test(jwks, refuses_a_set_with_a_symmetric_key) {
    const std::string ed = forge::Signer::ed25519().jwk();
    cr_expect(refusal(forge::key_set({ed, R"({"kty":"oct","k":"AAAA"})"})) == Errc::malformed);
    cr_expect(refusal(forge::key_set({R"({"kty":"oct","use":"enc"})"})) == Errc::malformed);
}

Test(jwks, keeps_its_limits) {
    const std::string head = R"({"keys":[],"a":")";
    const std::string full = head + std::string(Jwks::max_bytes - head.size() - 2, 'a') + "\"}";
    cr_expect(Jwks::parse(full).has_value());
    cr_expect(refusal(full + " ") == Errc::too_large);
    std::string many = R"({"keys":[{})";
    for (std::size_t i = 1; i < Jwks::max_keys; ++i) many += ",{}";
    cr_expect(Jwks::parse(many + "]}").has_value());
    cr_expect(refusal(many + ",{}]}") == Errc::too_large);
}

Test(jwks, leaves_out_rsa_keys_that_prove_nothing_or_cost_too_much) {
    const std::string f4("\x01\x00\x01", 3);
    cr_expect(kept(rsa_of(256, f4)) == 1);
    cr_expect(kept(rsa_of(256, "\x03")) == 1);
    cr_expect(kept(rsa_of(256, "\x01")) == 0, "every text is its own signature");
    cr_expect(kept(rsa_of(256, "\x02")) == 0, "even");
    cr_expect(kept(rsa_of(256, std::string(1, '\0'))) == 0, "zero");
    cr_expect(kept(rsa_of(256, "\x01\x01\x01\x01\x01\x01\x01\x01\x01")) == 0, "a long exponent");
    cr_expect(kept(rsa_of(1024, f4)) == 1);
    cr_expect(kept(rsa_of(1025, f4)) == 0, "a long modulus");
    cr_expect(kept(R"({"kty":"RSA","n":"AQAB=","e":"AQAB"})") == 0, "padding");
    cr_expect(kept(R"({"kty":"RSA","n":"AQAB"})") == 0);
    cr_expect(kept(R"({"kty":"RSA","n":1,"e":"AQAB"})") == 0);
}

Test(jwks, counts_the_bits_of_a_modulus_and_not_its_bytes) {
    const auto is_weak = [](const std::string& key) {
        auto set = Jwks::parse(forge::key_set({key}));
        const auto verifier = Verifier::create({}, std::move(*set));
        return verifier->keys().empty();
    };
    const std::string f4("\x01\x00\x01", 3);
    cr_expect(!is_weak(rsa_of(256, f4, '\x80')), "2048 bits");
    cr_expect(is_weak(rsa_of(256, f4, '\x7f')), "2047 bits");
    cr_expect(is_weak(rsa_of(257, f4, '\0')), "257 bytes that hold 2047 bits");
}

Test(jwks, leaves_out_points_that_are_not_on_their_curve) {
    const std::string zeros = base64url(std::string(32, '\0'));
    const std::string ones = base64url(std::string(32, '\x01'));
    const std::string head = R"({"kty":"EC","crv":"P-256","x":")";
    cr_expect(kept(head + ones + R"(","y":")" + ones + "\"}") == 0);
    cr_expect(kept(head + zeros + R"(","y":")" + zeros + "\"}") == 0);
    cr_expect(kept(head +
                   "AQAB"
                   R"(","y":")" +
                   ones + "\"}") == 0);
    cr_expect(kept(R"({"kty":"OKP","crv":"Ed25519","x":"AQAB"})") == 0);
}

Test(jwks, leaves_out_ed25519_points_of_small_order) {
    const auto kept_point = [](const std::string& point) {
        return kept(R"({"kty":"OKP","crv":"Ed25519","x":")" + base64url(point) + "\"}");
    };
    for (const char low : {'\x00', '\x01'}) {
        std::string point(32, '\0');
        point.front() = low;
        cr_expect(kept_point(point) == 0);
        point.back() = '\x80';
        cr_expect(kept_point(point) == 0);
    }
    for (const char low : {'\xec', '\xed', '\xee'}) {
        std::string point(32, '\xff');
        point.front() = low;
        cr_expect(kept_point(point) == 0);
        point.back() = '\x7f';
        cr_expect(kept_point(point) == 0);
    }
    for (const char* eight :
         {"JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU", "xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o"}) {
        cr_expect(kept(R"({"kty":"OKP","crv":"Ed25519","x":")" + std::string(eight) + "\"}") == 0, "%s", eight);
    }
}
