// Makes tokens that mint() would not: any header, any payload, any key. For tests of src/auth.
#pragma once

#include <cjose/cjose.h>
#include <openssl/evp.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "auth/base64url.h"
#include "auth/keys.h"
#include "auth/verifier.h"

namespace sio::auth::forge {

inline constexpr Seconds now = 1'767'312'000;
inline constexpr std::string_view good_claims = R"({"sub":"42","exp":1767315600})";
inline const std::string secret = "a secret of sessions, as the application has it";
inline const std::string salt = "authjs.session-token";
inline const std::string jwt_secret = "a secret of signatures, long enough for HS512: 64 bytes and more";
inline const std::string room_secret = "a secret of rooms that has thirty-two bytes";

/// header.payload.signature of bytes given.
inline std::string join(std::string_view header, std::string_view payload, std::string_view signature) {
    return base64url(header) + "." + base64url(payload) + "." + base64url(signature);
}

inline std::string hs(std::string_view header, std::string_view payload, std::string_view key = jwt_secret,
                      Hash hash = Hash::sha256) {
    const std::string text = base64url(header) + "." + base64url(payload);
    return text + "." + base64url(hmac(hash, key, text));
}

/// A JWE of cjose's under `key`; `attributes` are names and texts for the header, in pairs.
inline std::string jwe(std::string_view key, std::string_view payload, std::initializer_list<const char*> attributes) {
    cjose_err error{};
    const Jwk jwk = symmetric_jwk(key);
    cjose_header_t* const header = cjose_header_new(&error);
    for (const char* const* at = attributes.begin(); at != attributes.end(); at += 2) {
        cjose_header_set(header, at[0], at[1], &error);
    }
    cjose_jwe_t* const made = cjose_jwe_encrypt(
        jwk.get(), header, reinterpret_cast<const std::uint8_t*>(payload.data()), payload.size(), &error);
    char* const text = cjose_jwe_export(made, &error);
    std::string out = text == nullptr ? "" : text;
    cjose_get_dealloc()(text);
    cjose_jwe_release(made);
    cjose_header_release(header);
    return out;
}

inline std::string v4(std::string_view payload, std::string_view of = secret) {
    return jwe(nextauth_v4_key(of), payload, {"alg", "dir", "enc", "A256GCM"});
}

inline std::string v5(std::string_view payload, std::string_view of = secret, std::string_view under = salt) {
    const std::string key = authjs_v5_key(of, under, 64);
    return jwe(key, payload, {"alg", "dir", "enc", "A256CBC-HS512", "kid", thumbprint(key, Hash::sha512).c_str()});
}

/// The token with segment `index` replaced.
inline std::string with_segment(std::string_view token, int index, std::string_view segment) {
    std::string out;
    int at = 0;
    for (;; ++at) {
        const std::size_t dot = token.find('.');
        out += at == index ? segment : token.substr(0, dot);
        if (dot == std::string_view::npos) return out;
        out += '.';
        token.remove_prefix(dot + 1);
    }
}

/// A key pair of a test: what it signs, and its public half as a JWK.
class Signer {
public:
    static Signer rsa(std::size_t bits = 2048) {
        cjose_err error{};
        return Signer{
            cjose_jwk_create_RSA_random(bits, reinterpret_cast<const std::uint8_t*>("\x01\x00\x01"), 3, &error)};
    }
    static Signer ec(cjose_jwk_ec_curve curve) {
        cjose_err error{};
        return Signer{cjose_jwk_create_EC_random(curve, &error)};
    }
    static Signer ed25519() {
        Signer signer{nullptr};
        signer.pkey_.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
        return signer;
    }

    /// The public key with `more` members put in: `,"kid":"a"`.
    [[nodiscard]] std::string jwk(std::string_view more = "") const {
        std::string text;
        if (pkey_ != nullptr) {
            std::array<unsigned char, 32> raw{};
            std::size_t size = raw.size();
            EVP_PKEY_get_raw_public_key(pkey_.get(), raw.data(), &size);
            text = R"({"kty":"OKP","crv":"Ed25519","x":")" +
                   base64url({reinterpret_cast<const char*>(raw.data()), size}) + "\"";
        } else {
            cjose_err error{};
            char* const made = cjose_jwk_to_json(jwk_.get(), false, &error);
            text = made;
            cjose_get_dealloc()(made);
            text.pop_back();
        }
        return text + std::string(more) + "}";
    }

    [[nodiscard]] std::string sign(std::string_view algorithm, std::string_view payload,
                                   std::string_view kid = "") const {
        if (pkey_ != nullptr) return sign_eddsa(payload, kid);
        cjose_err error{};
        cjose_header_t* const header = cjose_header_new(&error);
        cjose_header_set(header, "alg", std::string(algorithm).c_str(), &error);
        if (!kid.empty()) cjose_header_set(header, "kid", std::string(kid).c_str(), &error);
        cjose_jws_t* const made = cjose_jws_sign(
            jwk_.get(), header, reinterpret_cast<const std::uint8_t*>(payload.data()), payload.size(), &error);
        const char* text = nullptr;
        std::string out = cjose_jws_export(made, &text, &error) ? text : "";
        cjose_jws_release(made);
        cjose_header_release(header);
        return out;
    }

private:
    explicit Signer(cjose_jwk_t* jwk) : jwk_(jwk) {}

    [[nodiscard]] std::string sign_eddsa(std::string_view payload, std::string_view kid) const {
        std::string header = R"({"alg":"EdDSA")";
        if (!kid.empty()) header += R"(,"kid":")" + std::string(kid) + "\"";
        const std::string text = base64url(header + "}") + "." + base64url(payload);
        std::array<unsigned char, 64> signature{};
        std::size_t size = signature.size();
        EVP_MD_CTX* const context = EVP_MD_CTX_new();
        EVP_DigestSignInit(context, nullptr, nullptr, nullptr, pkey_.get());
        EVP_DigestSign(context, signature.data(), &size, reinterpret_cast<const unsigned char*>(text.data()),
                       text.size());
        EVP_MD_CTX_free(context);
        return text + "." + base64url({reinterpret_cast<const char*>(signature.data()), size});
    }

    Jwk jwk_;
    Pkey pkey_;
};

inline std::string key_set(std::initializer_list<std::string> keys) {
    std::string text = R"({"keys":[)";
    for (const std::string& key : keys) {
        if (text.back() != '[') text += ',';
        text += key;
    }
    return text + "]}";
}

}  // namespace sio::auth::forge
