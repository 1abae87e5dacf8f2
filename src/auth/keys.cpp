#include "auth/keys.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <array>

#include "auth/base64url.h"

namespace sio::auth {
namespace {

constexpr Algorithm algorithms[] = {
    {"HS256", KeyType::hmac, Hash::sha256, 32},  {"HS384", KeyType::hmac, Hash::sha384, 48},
    {"HS512", KeyType::hmac, Hash::sha512, 64},  {"RS256", KeyType::rsa, Hash::sha256, 0},
    {"RS384", KeyType::rsa, Hash::sha384, 0},    {"RS512", KeyType::rsa, Hash::sha512, 0},
    {"PS256", KeyType::rsa, Hash::sha256, 0},    {"PS384", KeyType::rsa, Hash::sha384, 0},
    {"PS512", KeyType::rsa, Hash::sha512, 0},    {"ES256", KeyType::p256, Hash::sha256, 64},
    {"ES384", KeyType::p384, Hash::sha384, 96},  {"ES512", KeyType::p521, Hash::sha512, 132},
    {"EdDSA", KeyType::ed25519, Hash::none, 64},
};

const EVP_MD* digest_of(Hash hash) noexcept {
    switch (hash) {
        case Hash::sha384: return EVP_sha384();
        case Hash::sha512: return EVP_sha512();
        default: return EVP_sha256();
    }
}

unsigned char* bytes_of(std::string& text) noexcept { return reinterpret_cast<unsigned char*>(text.data()); }
const unsigned char* bytes_of(std::string_view text) noexcept {
    return reinterpret_cast<const unsigned char*>(text.data());
}

struct FreeKdf {
    void operator()(EVP_KDF* kdf) const noexcept { EVP_KDF_free(kdf); }
    void operator()(EVP_KDF_CTX* context) const noexcept { EVP_KDF_CTX_free(context); }
};

/// OpenSSL's parameters take pointers to what they only read.
OSSL_PARAM octets(const char* name, std::string_view value) noexcept {
    return OSSL_PARAM_construct_octet_string(name, const_cast<char*>(value.data()), value.size());
}

}  // namespace

void ReleaseJwk::operator()(cjose_jwk_t* key) const noexcept {
    cjose_err error{};
    if (cjose_jwk_get_kty(key, &error) == CJOSE_JWK_KTY_OCT) {
        OPENSSL_cleanse(cjose_jwk_get_keydata(key, &error), cjose_jwk_get_keysize(key, &error) / 8);
    }
    cjose_jwk_release(key);
}

void wipe(std::string& secret) noexcept {
    OPENSSL_cleanse(secret.data(), secret.size());
    secret.clear();
}

const Algorithm* algorithm_of(std::string_view name) noexcept {
    for (const Algorithm& algorithm : algorithms) {
        if (algorithm.name == name) return &algorithm;
    }
    return nullptr;
}

std::string hash_text(Hash hash, std::string_view text) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int size = 0;
    if (EVP_Digest(text.data(), text.size(), digest.data(), &size, digest_of(hash), nullptr) != 1) return {};
    return base64url({reinterpret_cast<const char*>(digest.data()), size});
}

std::string thumbprint(std::string_view key, Hash hash) {
    std::string text = R"({"k":")";
    text.reserve(32 + key.size() * 2);  // so that no copy of the key stays behind
    append_base64url(text, key);
    text += R"(","kty":"oct"})";
    std::string result = hash_text(hash, text);
    wipe(text);
    return result;
}

std::string hkdf(std::string_view secret, std::string_view salt, std::string_view info, std::size_t bytes) {
    const std::unique_ptr<EVP_KDF, FreeKdf> kdf{EVP_KDF_fetch(nullptr, "HKDF", nullptr)};
    const std::unique_ptr<EVP_KDF_CTX, FreeKdf> context{EVP_KDF_CTX_new(kdf.get())};
    char digest[] = "SHA256";
    std::array<OSSL_PARAM, 5> params{};
    std::size_t count = 0;
    params[count++] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
    params[count++] = octets(OSSL_KDF_PARAM_KEY, secret);
    params[count++] = octets(OSSL_KDF_PARAM_INFO, info);
    if (!salt.empty()) params[count++] = octets(OSSL_KDF_PARAM_SALT, salt);
    params[count] = OSSL_PARAM_construct_end();
    std::string key(bytes, '\0');
    if (context == nullptr || EVP_KDF_derive(context.get(), bytes_of(key), key.size(), params.data()) != 1) {
        ERR_clear_error();
        return {};
    }
    return key;
}

std::string nextauth_v4_key(std::string_view secret) {
    return hkdf(secret, "", "NextAuth.js Generated Encryption Key", 32);
}

std::string authjs_v5_key(std::string_view secret, std::string_view salt, std::size_t bytes) {
    return hkdf(secret, salt, "Auth.js Generated Encryption Key (" + std::string(salt) + ")", bytes);
}

std::string hmac(Hash hash, std::string_view key, std::string_view text) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> code{};
    unsigned int size = 0;
    if (HMAC(digest_of(hash), key.data(), static_cast<int>(key.size()), bytes_of(text), text.size(), code.data(),
             &size) == nullptr) {
        return {};
    }
    return {reinterpret_cast<const char*>(code.data()), size};
}

Jwk symmetric_jwk(std::string_view key) {
    cjose_err error{};
    return Jwk{cjose_jwk_create_oct_spec(bytes_of(key), key.size(), &error)};
}

}  // namespace sio::auth
