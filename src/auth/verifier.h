// Who a token belongs to: NextAuth v4 and Auth.js v5 session tokens (JWE), signed JWTs (JWS). Bytes, keys and a clock
// in, a verdict out; no I/O.
//
// The mathematics of JWE and JWS is cjose's (0.6.2.1-1+deb12u2 or later): small, kept by the distribution, and read to
// be right where it matters: the tag of A256CBC-HS512 is compared in constant time before anything is decrypted, so
// padding errors never show, and GCM's is compared by OpenSSL. Which algorithm, which key, which header and which JSON
// may reach it at all is decided here first, for it takes whatever `alg` a token names, ignores `crit` and `kid`, takes
// padded base64, weak keys, tags, iv and signatures of any length (and reads past those that are too short), gives the
// compressed bytes of a `zip`, and frees keys without wiping them. OpenSSL itself (EVP) does what cjose lacks: Ed25519,
// HKDF, thumbprints, and the tokens that mint() makes, whose headers must be those of the packages to the byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "auth/jwks.h"
#include "base/result.h"

namespace sio::auth {

/// Seconds since 1970, on the wall clock.
using Seconds = std::int64_t;

/// What came of a check. The words of to_string() are those of the test vectors' `verdict`.
enum class Verdict : std::uint8_t {
    valid,
    wrong_secret,  ///< "wrong-secret"
    tampered,
    unknown_kid,  ///< "unknown-kid"
    expired,
    not_yet_valid,  ///< "not-yet-valid"
    wrong_aud,
    wrong_iss,
    missing_claim,
    alg_none,
    alg_not_allowed,
    crit_unsupported,
    weak_key,
    malformed,
    too_large,
    opaque,  ///< "opaque": no token of ours to read (one segment): a database session's, or a stranger's
};
std::string_view to_string(Verdict verdict) noexcept;

enum class TokenKind : std::uint8_t { nextauth_v4, authjs_v5, jwt, room };
/// "nextauth-v4", "authjs-v5", "jwt", "room".
std::string_view to_string(TokenKind kind) noexcept;

/// What a valid token says.
struct Identity {
    TokenKind kind = TokenKind::jwt;
    std::string user;     ///< `sub`, or what the policy names: 1 to 512 bytes of UTF-8 without control characters
    Seconds expires = 0;  ///< `exp`, without the leeway; fractions are cut off
    std::string claims;   ///< the whole payload, raw JSON object as one line: breaks and tabs between values are gone
    std::string key;      ///< which key proved it: its thumbprint or `kid`; never the secret
};

struct Checked {
    Verdict verdict = Verdict::malformed;
    std::string detail;  ///< one sentence for a log; never a part of the token
    Identity identity;   ///< of a valid one; of an expired one too
};

/// What is demanded of tokens. At most 16 secrets of a kind, and 16 salts.
struct Policy {
    /// Of sessions, newest first: any that is not empty, for the application chose it. A v4 token tries each, a v5
    /// token is under the one its `kid` says, or without a `kid` under the first.
    std::vector<std::string> secrets;
    std::vector<std::string> salts{"__Secure-authjs.session-token", "authjs.session-token"};  ///< v5 cookie names
    bool nextauth_v4 = true;
    bool authjs_v5 = true;

    /// Of HMAC signatures, each 32 bytes or more. They have no names of their own: a `kid` that is the RFC 7638
    /// thumbprint of one (SHA-256) means that one, a `kid` of a public key is refused, with any other or none each is
    /// tried in turn.
    std::vector<std::string> jwt_secrets;
    /// Allowed; empty: those that the keys are for (a secret: hashes no longer than itself). One that is listed and has
    /// no key is no error: nothing passes by it.
    std::vector<std::string> jwt_algorithms;
    // These three are asked of signed JWTs; sessions name neither.
    std::string issuer;                  ///< `iss` must be this; empty: any
    std::vector<std::string> audiences;  ///< `aud` must hold one; empty: no check (then `azp` below, or a warning)
    std::vector<std::string> parties;    ///< allowed `azp`, or without one `client_id`; empty: no check
    std::string user_claim = "sub";      ///< of sessions and JWTs alike; room tokens have `sub`

    /// Of room tokens (HS256), each 32 bytes or more; empty: none are taken. May be those of JWTs: then check() refuses
    /// a token with `room` or `rooms`, which is a right and no proof of who somebody is.
    std::vector<std::string> room_secrets;

    Seconds leeway = 15;
    std::size_t max_token_bytes = 16U << 10U;
    std::size_t max_header_bytes = 1024;  ///< decoded
};

/// Derives all keys when it is made, and wipes them and the secrets when it goes; a check allocates for what it decodes
/// (a few times the token). One thread at a time.
class Verifier {
public:
    /// Errors: `config` when a secret is too short for its use, an algorithm unknown, or keys and algorithms
    /// contradict.
    static Result<Verifier> create(Policy policy, Jwks jwks = {});
    Verifier(Verifier&&) noexcept;
    Verifier& operator=(Verifier&&) noexcept;
    ~Verifier();

    /// Checks a session token or a signed JWT by its form. Length before base64, header before cryptography,
    /// cryptography before claims, the party it is for before the clock.
    [[nodiscard]] Checked check(std::string_view token, Seconds now) const;

    /// Checks that a room token is good, is for `user` (its `sub`, when it has one, must be that) and for `room` (its
    /// `room` is that text, or its `rooms` an array that holds it; `*` stands for any run of characters).
    [[nodiscard]] Checked check_room(std::string_view token, std::string_view user, std::string_view room,
                                     Seconds now) const;

    /// Replaces the public keys.
    void set_jwks(Jwks jwks);
    /// The policy given; of its secrets only the number is left, each is an empty text.
    [[nodiscard]] const Policy& policy() const noexcept;
    /// Keys that a check may come out with: the thumbprints of secrets, the ids of public keys. To find what is gone
    /// after a reload.
    [[nodiscard]] std::vector<std::string> keys() const;

private:
    struct Parts;
    explicit Verifier(std::unique_ptr<Parts> parts);
    std::unique_ptr<Parts> parts_;
};

}  // namespace sio::auth
