#include "auth/mint.h"

#include <openssl/err.h>

#include <array>
#include <memory>
#include <optional>
#include <utility>

#include "auth/base64url.h"
#include "auth/keys.h"
#include "auth/object.h"
#include "base/bytes.h"
#include "base/json.h"

namespace sio::auth {
namespace {

constexpr std::size_t least_random_bytes = 48;
constexpr std::size_t least_signing_secret_bytes = 32;
constexpr std::size_t most_inspected_bytes = 1U << 20U;
constexpr std::size_t tag_bytes_gcm = 16;

struct FreeCipher {
    void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }
};

const unsigned char* bytes_of(std::string_view text) noexcept {
    return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes_of(std::string& text) noexcept { return reinterpret_cast<unsigned char*>(text.data()); }

tl::unexpected<Error> wrong(std::string_view why) {
    return fail(Errc::usage, "cannot make token: " + std::string(why));
}

/// A random UUID (version 4) of 16 bytes.
std::string uuid(std::string_view random) {
    constexpr std::string_view hex = "0123456789abcdef";
    std::string out;
    for (std::size_t i = 0; i < 16; ++i) {
        auto byte = static_cast<unsigned char>(random[i]);
        if (i == 6) byte = static_cast<unsigned char>((byte & 0x0FU) | 0x40U);
        if (i == 8) byte = static_cast<unsigned char>((byte & 0x3FU) | 0x80U);
        if (i == 4 || i == 6 || i == 8 || i == 10) out.push_back('-');
        out.push_back(hex[byte >> 4U]);
        out.push_back(hex[byte & 15U]);
    }
    return out;
}

/// The claims given and what they lack, in the packages' order.
Result<std::string> complete(const Minting& minting) {
    Fault fault;
    const Object given = parse_object(minting.claims, fault);
    if (given == nullptr) return wrong("the claims are no good: the text " + std::string(fault));
    const auto lacks = [&](const char* name) { return json_object_get(given.get(), name) == nullptr; };
    if (minting.kind == TokenKind::room && lacks("room") && lacks("rooms")) {
        return wrong("the claims of a room token need `room` or `rooms`");
    }
    if (!minting.user.empty() && !lacks("sub") && text_member(given.get(), "sub") != std::string_view{minting.user}) {
        return wrong("the claims name another user already");
    }
    if (!base::is_utf8(minting.user)) return wrong("the user is not UTF-8");

    std::string text{minting.claims.substr(0, minting.claims.rfind('}'))};
    bool is_first = json_object_size(given.get()) == 0;
    const auto add = [&](const char* name, const std::string& value) {
        if (!lacks(name)) return;
        if (!is_first) text.push_back(',');
        is_first = false;
        ((text += json::quote(name)) += ':') += value;
    };
    if (!minting.user.empty()) add("sub", json::quote(minting.user));
    add("iat", std::to_string(minting.now));
    add("exp", std::to_string(minting.now + minting.lifetime));
    add("jti", json::quote(uuid(minting.random.substr(16))));
    text.push_back('}');
    return text;
}

/// AES of the whole text; with `tag` in GCM, else in CBC.
std::optional<std::string> encrypt(const EVP_CIPHER* cipher, std::string_view key, std::string_view iv,
                                   std::string_view aad, std::string_view plain, std::string* tag) {
    const std::unique_ptr<EVP_CIPHER_CTX, FreeCipher> context{EVP_CIPHER_CTX_new()};
    std::string out(plain.size() + 16, '\0');
    int size = 0;
    int rest = 0;
    bool good =
        context != nullptr && EVP_EncryptInit_ex(context.get(), cipher, nullptr, bytes_of(key), bytes_of(iv)) == 1;
    if (tag != nullptr) {
        good =
            good && EVP_EncryptUpdate(context.get(), nullptr, &size, bytes_of(aad), static_cast<int>(aad.size())) == 1;
    }
    good =
        good &&
        EVP_EncryptUpdate(context.get(), bytes_of(out), &size, bytes_of(plain), static_cast<int>(plain.size())) == 1 &&
        EVP_EncryptFinal_ex(context.get(), bytes_of(out) + size, &rest) == 1;
    if (tag != nullptr) {
        tag->assign(tag_bytes_gcm, '\0');
        good = good && EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(tag_bytes_gcm),
                                           tag->data()) == 1;
    }
    if (!good) {
        ERR_clear_error();
        return std::nullopt;
    }
    out.resize(static_cast<std::size_t>(size) + static_cast<std::size_t>(rest));
    return out;
}

Result<std::string> mint_session(const Minting& minting, std::string_view claims) {
    const bool is_v5 = minting.kind == TokenKind::authjs_v5;
    if (minting.secret.empty()) return wrong("the secret is empty");
    if (is_v5 && minting.salt.empty()) return wrong("the salt, which is the cookie's name, is empty");
    std::string key = is_v5 ? authjs_v5_key(minting.secret, minting.salt, 64) : nextauth_v4_key(minting.secret);
    if (key.empty()) return wrong("OpenSSL derives no key");

    const std::string aad =
        base64url(is_v5 ? R"({"alg":"dir","enc":"A256CBC-HS512","kid":")" + thumbprint(key, Hash::sha512) + "\"}"
                        : R"({"alg":"dir","enc":"A256GCM"})");
    const std::string_view iv = minting.random.substr(0, is_v5 ? 16 : 12);
    const std::string_view whole = key;
    std::string tag;
    const auto cipher = is_v5 ? encrypt(EVP_aes_256_cbc(), whole.substr(32), iv, aad, claims, nullptr)
                              : encrypt(EVP_aes_256_gcm(), whole, iv, aad, claims, &tag);
    if (cipher && is_v5) {
        std::string text = aad + std::string(iv) + *cipher;
        const std::uint64_t bits = aad.size() * 8;
        for (int shift = 56; shift >= 0; shift -= 8) text.push_back(static_cast<char>(bits >> shift & 0xFFU));
        tag = hmac(Hash::sha512, whole.substr(0, 32), text).substr(0, 32);
    }
    wipe(key);
    if (!cipher || tag.empty()) return wrong("OpenSSL does not encrypt");
    return aad + ".." + base64url(iv) + "." + base64url(*cipher) + "." + base64url(tag);
}

Result<std::string> mint_signed(const Minting& minting, std::string_view claims) {
    const Algorithm* const algorithm = algorithm_of(minting.algorithm);
    if (algorithm == nullptr || algorithm->type != KeyType::hmac) {
        return wrong("the algorithm is none of HS256, HS384, HS512");
    }
    if (minting.kind == TokenKind::room && algorithm->name != "HS256")
        return wrong("a room token is signed with HS256");
    if (minting.secret.size() < least_signing_secret_bytes) {
        return wrong("the secret has " + std::to_string(minting.secret.size()) + " bytes, and must have at least " +
                     std::to_string(least_signing_secret_bytes));
    }
    std::string token = base64url(R"({"alg":")" + minting.algorithm + R"(","typ":"JWT"})");
    token.push_back('.');
    append_base64url(token, claims);
    const std::string signature = hmac(algorithm->hash, minting.secret, token);
    token.push_back('.');
    append_base64url(token, signature);
    return token;
}

/// A segment that is one JSON value in strict base64url, or nothing.
std::string readable(std::string_view segment) {
    auto text = decode_base64url(segment);
    if (!text || !base::is_utf8(*text) || !json::is_valid(*text)) return {};
    return *std::move(text);
}

}  // namespace

Result<std::string> mint(const Minting& minting) {
    if (minting.random.size() < least_random_bytes) return wrong("there is too little randomness");
    const auto claims = complete(minting);
    if (!claims) return claims;
    const bool is_session = minting.kind == TokenKind::authjs_v5 || minting.kind == TokenKind::nextauth_v4;
    return is_session ? mint_session(minting, *claims) : mint_signed(minting, *claims);
}

Looks inspect(std::string_view token) {
    Looks looks;
    if (token.empty()) return looks;
    looks.segments = 1;
    for (const char c : token) looks.segments += c == '.' ? 1 : 0;
    if (token.size() > most_inspected_bytes || looks.segments == 1) return looks;
    const std::size_t first = token.find('.');
    looks.header = readable(token.substr(0, first));
    if (looks.segments == 3) {
        looks.payload = readable(token.substr(first + 1, token.rfind('.') - first - 1));
    }
    return looks;
}

}  // namespace sio::auth
