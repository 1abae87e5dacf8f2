// Keys as cjose and OpenSSL hold them, and what is derived from secrets. Private to src/auth.
#pragma once

#include <cjose/cjose.h>
#include <openssl/evp.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "auth/jwks.h"

namespace sio::auth {

/// A symmetric key is wiped before it is given back: cjose by itself only frees it.
struct ReleaseJwk {
    void operator()(cjose_jwk_t* key) const noexcept;
};
using Jwk = std::unique_ptr<cjose_jwk_t, ReleaseJwk>;

struct ReleasePkey {
    void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
};
using Pkey = std::unique_ptr<EVP_PKEY, ReleasePkey>;

/// Overwrites a text that held a secret and empties it.
void wipe(std::string& secret) noexcept;

/// What a key is of, the curve included, so that a key cannot be used with an algorithm of another kind.
enum class KeyType : std::uint8_t { hmac, rsa, p256, p384, p521, ed25519 };

enum class Hash : std::uint8_t { none, sha256, sha384, sha512 };

/// A signature algorithm of RFC 7518 and RFC 8037 that we know.
struct Algorithm {
    std::string_view name;
    KeyType type;
    Hash hash;
    std::size_t signature_bytes;  ///< 0: as long as the key's modulus
};

/// The algorithm of exactly this name, or null. "none" is none.
const Algorithm* algorithm_of(std::string_view name) noexcept;

/// base64url of the hash of a text.
std::string hash_text(Hash hash, std::string_view text);

/// RFC 7638 thumbprint of a symmetric key.
std::string thumbprint(std::string_view key, Hash hash);

/// HKDF with SHA-256 (RFC 5869). An empty result when OpenSSL refuses.
std::string hkdf(std::string_view secret, std::string_view salt, std::string_view info, std::size_t bytes);

/// The key of NextAuth v4 sessions: 32 bytes for A256GCM.
std::string nextauth_v4_key(std::string_view secret);
/// The key of Auth.js v5 sessions: 64 bytes for A256CBC-HS512, or 32 for the A256GCM of older betas.
std::string authjs_v5_key(std::string_view secret, std::string_view salt, std::size_t bytes);

/// HMAC of a text, raw.
std::string hmac(Hash hash, std::string_view key, std::string_view text);

Jwk symmetric_jwk(std::string_view key);

/// One key of a set.
struct PublicKey {
    KeyType type = KeyType::rsa;
    std::string kid;        ///< empty when the set gives none
    std::string id;         ///< `kid`, or else the RFC 7638 thumbprint
    std::string algorithm;  ///< the only one it is for; empty: all of its type
    std::size_t modulus_bytes = 0;
    bool weak = false;  ///< too short to be used: only there to be named
    Jwk jwk;            ///< of RSA and ECDSA
    Pkey pkey;          ///< of Ed25519
};

struct Jwks::Keys {
    std::vector<PublicKey> keys;
    std::size_t left_out = 0;
};

}  // namespace sio::auth
