#include "auth/verifier.h"

#include <openssl/crypto.h>
#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>

#include "auth/base64url.h"
#include "auth/keys.h"
#include "auth/object.h"
#include "base/bytes.h"
#include "base/keyed_hash.h"

namespace sio::auth {
namespace {

constexpr std::size_t most_secrets = 16;  // of one kind, inclusive: a token without `kid` may try each
constexpr std::size_t least_signing_secret_bytes = 32;
constexpr std::size_t most_token_bytes = 1U << 20U;
constexpr std::size_t most_user_bytes = 512;
constexpr double most_seconds = 9'007'199'254'740'992.0;  // 2^53: beyond, doubles skip seconds

Checked refuse(Verdict verdict, std::string_view detail) { return {verdict, std::string(detail), {}}; }

struct ReleaseJwe {
    void operator()(cjose_jwe_t* jwe) const noexcept { cjose_jwe_release(jwe); }
};
struct ReleaseJws {
    void operator()(cjose_jws_t* jws) const noexcept { cjose_jws_release(jws); }
};
struct ReleaseBytes {
    void operator()(std::uint8_t* bytes) const noexcept { cjose_get_dealloc()(bytes); }
};
struct ReleaseDigest {
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};

std::string text_from(const std::uint8_t* bytes, std::size_t size) {
    return {reinterpret_cast<const char*>(bytes), size};
}

/// A token cut at its dots, each part known to be strict base64url.
struct Shape {
    std::string_view token;
    std::array<std::string_view, 5> parts;
    std::size_t count = 0;
};

/// What we read of a protected header. All else in it (`jwk`, `jku`, `x5u`, `x5c`, …) is a stranger's word and ignored.
struct Header {
    std::string alg;
    std::string enc;
    std::optional<std::string> kid;
};

/// Cuts and looks at length, count and alphabet; no decoding yet.
std::optional<Checked> cut(std::string_view token, const Policy& policy, Shape& shape) {
    if (token.empty()) return refuse(Verdict::malformed, "the token is empty");
    if (token.size() > policy.max_token_bytes) return refuse(Verdict::too_large, "the token is too long");
    shape.token = token;
    std::size_t begin = 0;
    for (;;) {
        const std::size_t dot = token.find('.', begin);
        if (shape.count == shape.parts.size()) return refuse(Verdict::malformed, "the token has too many segments");
        shape.parts[shape.count++] = token.substr(begin, dot == std::string_view::npos ? dot : dot - begin);
        if (dot == std::string_view::npos) break;
        begin = dot + 1;
    }
    if (shape.count == 1) return refuse(Verdict::opaque, "the token has no dots: it is no JWT");
    if (shape.count != 3 && shape.count != 5) {
        return refuse(Verdict::malformed, "the token has neither three segments nor five");
    }
    for (std::size_t i = 0; i < shape.count; ++i) {
        if (!is_base64url(shape.parts[i])) return refuse(Verdict::malformed, "a segment is not strict base64url");
    }
    return std::nullopt;
}

/// Reads the header and refuses what no token of ours has, whatever its kind.
std::optional<Checked> read_header(const Shape& shape, const Policy& policy, Header& header) {
    if (decoded_size(shape.parts[0]) > policy.max_header_bytes) {
        return refuse(Verdict::too_large, "the header is too long");
    }
    const auto text = decode_base64url(shape.parts[0]);
    Fault fault;
    const Object object = text ? parse_object(*text, fault) : nullptr;
    if (object == nullptr) return refuse(Verdict::malformed, "the header " + std::string(fault));
    const auto alg = text_member(object.get(), "alg");
    if (!alg) return refuse(Verdict::malformed, "the header has no text `alg`");
    if (base::equal_ignoring_case(*alg, "none")) return refuse(Verdict::alg_none, "the token is not protected");
    if (json_object_get(object.get(), "crit") != nullptr) {
        return refuse(Verdict::crit_unsupported, "the header has `crit`, and we know no extension");
    }
    if (json_object_get(object.get(), "zip") != nullptr) {
        return refuse(Verdict::alg_not_allowed, "the header has `zip`, and nothing is inflated here");
    }
    header.alg = *alg;
    if (const auto enc = text_member(object.get(), "enc")) header.enc = *enc;
    if (json_object_get(object.get(), "kid") != nullptr) {
        const auto kid = text_member(object.get(), "kid");
        if (!kid) return refuse(Verdict::malformed, "the header's `kid` is no text");
        header.kid = *kid;
    }
    return std::nullopt;
}

/// Decrypts with cjose. What decides about memory has been checked: lengths of iv and tag, `alg`, `enc`. An object of
/// cjose keeps the first key it was given, so each try begins anew.
std::optional<std::string> decrypt(std::string_view token, const cjose_jwk_t* key) {
    cjose_err error{};
    const std::unique_ptr<cjose_jwe_t, ReleaseJwe> jwe{cjose_jwe_import(token.data(), token.size(), &error)};
    if (jwe == nullptr) return std::nullopt;
    std::size_t size = 0;
    const std::unique_ptr<std::uint8_t, ReleaseBytes> plain{cjose_jwe_decrypt(jwe.get(), key, &size, &error)};
    if (plain == nullptr) {
        ERR_clear_error();
        return std::nullopt;
    }
    return text_from(plain.get(), size);
}

/// Ed25519, which cjose lacks.
bool is_signed_by(EVP_PKEY* key, std::string_view signature, std::string_view text) {
    const std::unique_ptr<EVP_MD_CTX, ReleaseDigest> context{EVP_MD_CTX_new()};
    const bool good =
        context != nullptr && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key) == 1 &&
        EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()), signature.size(),
                         reinterpret_cast<const unsigned char*>(text.data()), text.size()) == 1;
    if (!good) ERR_clear_error();
    return good;
}

/// A token with three segments, held by cjose.
class Signed {
public:
    explicit Signed(std::string_view token) {
        cjose_err error{};
        jws_.reset(cjose_jws_import(token.data(), token.size(), &error));
    }

    /// cjose compares before it looks at the length of an HMAC and takes ECDSA signatures of any: check that first.
    [[nodiscard]] bool is_by(const cjose_jwk_t* key) const {
        cjose_err error{};
        if (jws_ != nullptr && cjose_jws_verify(jws_.get(), key, &error)) return true;
        ERR_clear_error();
        return false;
    }

    [[nodiscard]] std::string payload() const {
        cjose_err error{};
        std::uint8_t* bytes = nullptr;
        std::size_t size = 0;
        if (!cjose_jws_get_plaintext(jws_.get(), &bytes, &size, &error)) return {};
        return text_from(bytes, size);
    }

private:
    std::unique_ptr<cjose_jws_t, ReleaseJws> jws_;
};

/// What proved good, before its claims are read.
struct Proven {
    TokenKind kind = TokenKind::jwt;
    std::string payload;
    std::string key;
};

/// The moment that member `name` says. Returns false when it is there and is no number.
bool read_moment(const json_t* claims, const char* name, std::optional<double>& moment) {
    const json_t* const value = json_object_get(claims, name);
    if (value == nullptr) return true;
    if (!json_is_number(value)) return false;
    moment = std::clamp(json_number_value(value), -most_seconds, most_seconds);
    return true;
}

std::optional<Checked> check_issuer_and_audience(const json_t* claims, const Policy& policy) {
    if (!policy.issuer.empty() && text_member(claims, "iss") != std::string_view{policy.issuer}) {
        return refuse(Verdict::wrong_iss, "the token is of another issuer");
    }
    const auto holds = [](const std::vector<std::string>& allowed, std::string_view text) {
        return std::find(allowed.begin(), allowed.end(), text) != allowed.end();
    };
    if (!policy.audiences.empty()) {
        const json_t* const audience = json_object_get(claims, "aud");
        bool found = json_is_string(audience) && holds(policy.audiences, text_of(audience));
        const std::size_t count = json_array_size(audience);
        for (std::size_t i = 0; i < count && !found; ++i) {
            const json_t* const one = json_array_get(audience, i);
            found = json_is_string(one) && holds(policy.audiences, text_of(one));
        }
        if (!found) return refuse(Verdict::wrong_aud, "the token is for another audience");
    }
    if (!policy.parties.empty()) {
        const char* const name = json_object_get(claims, "azp") != nullptr ? "azp" : "client_id";
        const auto party = text_member(claims, name);
        if (!party || !holds(policy.parties, *party)) {
            return refuse(Verdict::wrong_aud, "the token was issued to another party");
        }
    }
    return std::nullopt;
}

std::optional<Checked> read_user(const json_t* claims, const std::string& name, std::string& user) {
    const json_t* const value = json_object_get(claims, name.c_str());
    if (value == nullptr) return refuse(Verdict::missing_claim, "the claim that names the user is missing");
    if (!json_is_string(value)) return refuse(Verdict::malformed, "the claim that names the user is no text");
    const std::string_view text = text_of(value);
    if (text.empty()) return refuse(Verdict::missing_claim, "the claim that names the user is empty");
    if (text.size() > most_user_bytes) return refuse(Verdict::too_large, "the name of the user is too long");
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
    if (std::any_of(text.begin(), text.end(), is_control)) {
        return refuse(Verdict::malformed, "the name of the user has control characters");
    }
    user = text;
    return std::nullopt;
}

/// Looks at the clock. Of a valid token and of an expired one the answer has the identity.
Checked judge_times(const json_t* claims, const Policy& policy, Identity identity, Seconds now) {
    std::optional<double> expires;
    std::optional<double> not_before;
    if (!read_moment(claims, "exp", expires)) return refuse(Verdict::malformed, "`exp` is no number");
    if (!read_moment(claims, "nbf", not_before)) return refuse(Verdict::malformed, "`nbf` is no number");
    if (!expires) return refuse(Verdict::missing_claim, "`exp` is missing: the token would never expire");
    const auto at = static_cast<double>(now);
    const auto leeway = static_cast<double>(policy.leeway);
    identity.expires = static_cast<Seconds>(*expires);
    if (not_before && at < *not_before - leeway) {
        return refuse(Verdict::not_yet_valid, "the token is not valid yet: see `nbf`");
    }
    if (at >= *expires + leeway) {
        return {Verdict::expired, "the token expired at " + std::to_string(identity.expires), std::move(identity)};
    }
    return {Verdict::valid, "the token is good", std::move(identity)};
}

/// The payload as one line: in valid JSON line breaks and tabs occur only between tokens.
void join_lines(std::string& json) {
    std::erase_if(json, [](char c) { return c == '\n' || c == '\r' || c == '\t'; });
}

/// Whether the claims of a room token open `room`.
Verdict covers(const json_t* claims, std::string_view room) {
    const json_t* const one = json_object_get(claims, "room");
    const json_t* const many = json_object_get(claims, "rooms");
    if (one == nullptr && many == nullptr) return Verdict::missing_claim;
    if ((one != nullptr && !json_is_string(one)) || (many != nullptr && !json_is_array(many)))
        return Verdict::malformed;
    bool found = one != nullptr && base::matches_glob(text_of(one), room);
    const std::size_t count = json_array_size(many);
    for (std::size_t i = 0; i < count; ++i) {
        const json_t* const pattern = json_array_get(many, i);
        if (!json_is_string(pattern)) return Verdict::malformed;
        found = found || base::matches_glob(text_of(pattern), room);
    }
    return found ? Verdict::valid : Verdict::wrong_aud;
}

bool opens_rooms(const json_t* claims) {
    return json_object_get(claims, "room") != nullptr || json_object_get(claims, "rooms") != nullptr;
}

struct SessionKey {
    TokenKind kind = TokenKind::nextauth_v4;
    std::string id;
    Jwk jwk;
};

struct SigningKey {
    std::string id;
    std::size_t bytes = 0;
    bool is_for_rooms_too = false;
    Jwk jwk;
};

using ById = std::unordered_map<std::string, SessionKey, base::KeyedHash, std::equal_to<>>;

/// A session key of these bytes, which it wipes.
std::optional<SessionKey> session_key(TokenKind kind, std::string bytes, Hash hash) {
    if (bytes.empty()) return std::nullopt;
    SessionKey key{kind, thumbprint(bytes, hash), symmetric_jwk(bytes)};
    wipe(bytes);
    if (key.jwk == nullptr) return std::nullopt;
    return key;
}

tl::unexpected<Error> no_key() { return fail(Errc::config, "cannot derive a key from a secret: OpenSSL refuses"); }

Result<std::vector<SigningKey>> signing_keys(const std::vector<std::string>& secrets, std::string_view use) {
    if (secrets.size() > most_secrets) {
        return fail(Errc::config, "cannot use secrets of " + std::string(use) + ": there are more than " +
                                      std::to_string(most_secrets));
    }
    std::vector<SigningKey> keys;
    for (const std::string& secret : secrets) {
        if (secret.size() < least_signing_secret_bytes) {
            return fail(Errc::config, "cannot use a secret of " + std::string(use) + ": it has " +
                                          std::to_string(secret.size()) + " bytes, and must have at least " +
                                          std::to_string(least_signing_secret_bytes));
        }
        keys.push_back({thumbprint(secret, Hash::sha256), secret.size(), false, symmetric_jwk(secret)});
        if (keys.back().jwk == nullptr) return no_key();
    }
    return keys;
}

}  // namespace

std::string_view to_string(Verdict verdict) noexcept {
    switch (verdict) {
        case Verdict::valid: return "valid";
        case Verdict::wrong_secret: return "wrong-secret";
        case Verdict::tampered: return "tampered";
        case Verdict::unknown_kid: return "unknown-kid";
        case Verdict::expired: return "expired";
        case Verdict::not_yet_valid: return "not-yet-valid";
        case Verdict::wrong_aud: return "wrong-aud";
        case Verdict::wrong_iss: return "wrong-iss";
        case Verdict::missing_claim: return "missing-claim";
        case Verdict::alg_none: return "alg-none";
        case Verdict::alg_not_allowed: return "alg-not-allowed";
        case Verdict::crit_unsupported: return "crit-unsupported";
        case Verdict::weak_key: return "weak-key";
        case Verdict::malformed: return "malformed";
        case Verdict::too_large: return "too-large";
        case Verdict::opaque: return "opaque";
    }
    return "malformed";
}

std::string_view to_string(TokenKind kind) noexcept {
    switch (kind) {
        case TokenKind::nextauth_v4: return "nextauth-v4";
        case TokenKind::authjs_v5: return "authjs-v5";
        case TokenKind::jwt: return "jwt";
        case TokenKind::room: return "room";
    }
    return "jwt";
}

struct Verifier::Parts {
    Policy policy;  ///< its secrets are wiped once the keys are made
    Jwks jwks;
    std::vector<SessionKey> v4;
    ById v5_cbc;
    ById v5_gcm;
    std::vector<const SessionKey*> first_cbc;  ///< of the first secret: what a v5 token without `kid` may be under
    std::vector<const SessionKey*> first_gcm;
    std::vector<SigningKey> hmac;
    std::vector<SigningKey> rooms;

    Parts() = default;
    Parts(const Parts&) = delete;
    Parts& operator=(const Parts&) = delete;
    ~Parts() { wipe_secrets(); }

    void wipe_secrets() noexcept {
        for (auto* const list : {&policy.secrets, &policy.jwt_secrets, &policy.room_secrets}) {
            std::for_each(list->begin(), list->end(), wipe);
        }
    }

    Result<void> check_policy() const;
    Result<void> derive();
    Result<void> derive_v5();

    [[nodiscard]] std::span<const PublicKey> public_keys() const {
        if (jwks.size() == 0) return {};
        return jwks.keys_->keys;
    }

    [[nodiscard]] Checked check_session(const Shape& shape, const Header& header, Seconds now) const;
    [[nodiscard]] Checked check_jwt(const Shape& shape, const Header& header, Seconds now) const;
    [[nodiscard]] Checked check_hmac(const Shape& shape, const Header& header, const Algorithm& algorithm,
                                     Seconds now) const;
    [[nodiscard]] Checked check_public(const Shape& shape, const Header& header, const Algorithm& algorithm,
                                       Seconds now) const;
    [[nodiscard]] const PublicKey* choose(const Header& header, const Algorithm& algorithm, Checked& refused) const;
    [[nodiscard]] Checked judge(Proven proven, bool may_be_of_room, Seconds now) const;
};

Result<void> Verifier::Parts::check_policy() const {
    if (policy.leeway < 0) return fail(Errc::config, "cannot use leeway: it is negative");
    if (policy.max_token_bytes == 0 || policy.max_token_bytes > most_token_bytes || policy.max_header_bytes == 0) {
        return fail(Errc::config, "cannot use limits of tokens: one is 0 or above 1 MiB");
    }
    if (policy.user_claim.empty()) return fail(Errc::config, "cannot use user claim: it is empty");
    if (policy.secrets.size() > most_secrets || policy.salts.size() > most_secrets) {
        return fail(Errc::config, "cannot use secrets of sessions: there are more than " +
                                      std::to_string(most_secrets) + " of them, or of cookie names");
    }
    const auto is_empty = [](const std::string& text) { return text.empty(); };
    if (std::any_of(policy.secrets.begin(), policy.secrets.end(), is_empty)) {
        return fail(Errc::config, "cannot use a secret of sessions: it is empty");
    }
    if (std::any_of(policy.salts.begin(), policy.salts.end(), is_empty)) {
        return fail(Errc::config, "cannot use a cookie name as salt: it is empty");
    }
    bool any_hmac = policy.jwt_algorithms.empty();
    bool any_public = policy.jwt_algorithms.empty();
    for (const std::string& name : policy.jwt_algorithms) {
        const Algorithm* const algorithm = algorithm_of(name);
        if (algorithm == nullptr) return fail(Errc::config, "cannot use algorithm: we know no `" + name + "`");
        (algorithm->type == KeyType::hmac ? any_hmac : any_public) = true;
    }
    if (!policy.jwt_secrets.empty() && !any_hmac) {
        return fail(Errc::config,
                    "cannot use secrets of JWTs: the algorithms allowed have none of HS256, HS384, HS512");
    }
    if (jwks.size() > 0 && !any_public) {
        return fail(Errc::config, "cannot use key set: the algorithms allowed are all of secrets");
    }
    return {};
}

Result<void> Verifier::Parts::derive_v5() {
    for (const std::string& secret : policy.secrets) {
        const bool is_first = &secret == &policy.secrets.front();
        for (const std::string& salt : policy.salts) {
            auto cbc = session_key(TokenKind::authjs_v5, authjs_v5_key(secret, salt, 64), Hash::sha512);
            auto gcm = session_key(TokenKind::authjs_v5, authjs_v5_key(secret, salt, 32), Hash::sha256);
            if (!cbc || !gcm) return no_key();
            const auto in_cbc = v5_cbc.emplace(std::string(cbc->id), std::move(*cbc)).first;
            const auto in_gcm = v5_gcm.emplace(std::string(gcm->id), std::move(*gcm)).first;
            if (!is_first) continue;
            first_cbc.push_back(&in_cbc->second);
            first_gcm.push_back(&in_gcm->second);
        }
    }
    return {};
}

Result<void> Verifier::Parts::derive() {
    if (auto good = check_policy(); !good) return good;
    if (policy.nextauth_v4) {
        for (const std::string& secret : policy.secrets) {
            auto key = session_key(TokenKind::nextauth_v4, nextauth_v4_key(secret), Hash::sha256);
            if (!key) return no_key();
            v4.push_back(std::move(*key));
        }
    }
    if (policy.authjs_v5) {
        if (auto good = derive_v5(); !good) return good;
    }
    auto signers = signing_keys(policy.jwt_secrets, "JWTs");
    if (!signers) return tl::unexpected(signers.error());
    hmac = std::move(*signers);
    auto openers = signing_keys(policy.room_secrets, "room tokens");
    if (!openers) return tl::unexpected(openers.error());
    rooms = std::move(*openers);
    for (SigningKey& key : hmac) {
        key.is_for_rooms_too =
            std::any_of(rooms.begin(), rooms.end(), [&](const SigningKey& other) { return other.id == key.id; });
    }
    wipe_secrets();
    return {};
}

Checked Verifier::Parts::check_session(const Shape& shape, const Header& header, Seconds now) const {
    const bool is_gcm = header.enc == "A256GCM";
    const bool is_cbc = header.enc == "A256CBC-HS512";
    if (header.alg != "dir")
        return refuse(Verdict::alg_not_allowed, "the key is not used directly: `alg` is not `dir`");
    if (!is_gcm && !is_cbc) return refuse(Verdict::alg_not_allowed, "`enc` is of no session token");
    if (v4.empty() && v5_cbc.empty()) return refuse(Verdict::alg_not_allowed, "no secret of sessions is configured");
    if (is_cbc && !policy.authjs_v5) return refuse(Verdict::alg_not_allowed, "tokens of Auth.js 5 are not taken");
    if (!shape.parts[1].empty()) return refuse(Verdict::malformed, "there is an encrypted key beside `dir`");
    const std::size_t cipher_bytes = decoded_size(shape.parts[3]);
    if (decoded_size(shape.parts[2]) != (is_gcm ? 12U : 16U)) {
        return refuse(Verdict::tampered, "the initialization vector has another length");
    }
    if (decoded_size(shape.parts[4]) != (is_gcm ? 16U : 32U))
        return refuse(Verdict::tampered, "the tag has another length");
    if (cipher_bytes == 0 || (is_cbc && cipher_bytes % 16 != 0)) {
        return refuse(Verdict::tampered, "the ciphertext has an impossible length");
    }

    if (header.kid) {
        const ById& keys = is_gcm ? v5_gcm : v5_cbc;
        const auto found = keys.find(std::string_view{*header.kid});
        if (found == keys.end()) return refuse(Verdict::wrong_secret, "`kid` is of no secret and cookie name of ours");
        auto payload = decrypt(shape.token, found->second.jwk.get());
        if (!payload) return refuse(Verdict::tampered, "the tag does not match");
        return judge({TokenKind::authjs_v5, std::move(*payload), found->second.id}, false, now);
    }
    if (is_gcm && !v4.empty()) {
        for (const SessionKey& key : v4) {
            if (auto payload = decrypt(shape.token, key.jwk.get())) {
                return judge({key.kind, std::move(*payload), key.id}, false, now);
            }
        }
    } else {
        for (const SessionKey* const key : is_gcm ? first_gcm : first_cbc) {
            if (auto payload = decrypt(shape.token, key->jwk.get())) {
                return judge({key->kind, std::move(*payload), key->id}, false, now);
            }
        }
    }
    return refuse(Verdict::wrong_secret, "the tag matches under no secret of ours, or the token was changed");
}

Checked Verifier::Parts::check_hmac(const Shape& shape, const Header& header, const Algorithm& algorithm,
                                    Seconds now) const {
    const auto names = [&](const auto& key) { return key.id == *header.kid; };
    const auto keys = public_keys();
    if (header.kid && std::any_of(keys.begin(), keys.end(), names)) {
        return refuse(Verdict::alg_not_allowed, "`kid` is of a public key, and `alg` of a secret");
    }
    // A list states what is wanted; without one a secret is for hashes that are no longer than it (RFC 7518, 3.2).
    const auto fits = [&](const SigningKey& key) {
        return !policy.jwt_algorithms.empty() || key.bytes >= algorithm.signature_bytes;
    };
    if (std::none_of(hmac.begin(), hmac.end(), fits)) {
        return refuse(Verdict::alg_not_allowed, "no secret is for this algorithm");
    }
    if (decoded_size(shape.parts[2]) != algorithm.signature_bytes) {
        return refuse(Verdict::tampered, "the signature has another length");
    }
    const bool is_named = header.kid && std::any_of(hmac.begin(), hmac.end(), names);
    const Signed token{shape.token};
    for (const SigningKey& key : hmac) {
        if (!fits(key) || (is_named && !names(key)) || !token.is_by(key.jwk.get())) continue;
        return judge({TokenKind::jwt, token.payload(), key.id}, key.is_for_rooms_too, now);
    }
    return refuse(Verdict::wrong_secret, "the signature matches under no secret of ours, or the token was changed");
}

/// The one key that is left by `kid`, type and algorithm; null with `refused` set.
const PublicKey* Verifier::Parts::choose(const Header& header, const Algorithm& algorithm, Checked& refused) const {
    const PublicKey* chosen = nullptr;
    bool other_algorithm = false;
    for (const PublicKey& key : public_keys()) {
        const bool is_meant = !header.kid || (key.kid == *header.kid && !key.kid.empty());
        if (!is_meant || key.type != algorithm.type) continue;
        if (!key.algorithm.empty() && key.algorithm != algorithm.name) {
            other_algorithm = true;
            continue;
        }
        if (chosen != nullptr) {
            refused = refuse(Verdict::unknown_kid, "more than one key of the set fits");
            return nullptr;
        }
        chosen = &key;
    }
    if (chosen == nullptr) {
        refused = header.kid && other_algorithm
                      ? refuse(Verdict::alg_not_allowed, "the key that `kid` names is for another algorithm")
                      : refuse(Verdict::unknown_kid, "no key of the set fits");
        return nullptr;
    }
    if (chosen->weak) {
        refused = refuse(Verdict::weak_key, "the key has fewer than 2048 bits");
        return nullptr;
    }
    return chosen;
}

Checked Verifier::Parts::check_public(const Shape& shape, const Header& header, const Algorithm& algorithm,
                                      Seconds now) const {
    Checked refused;
    const PublicKey* const key = choose(header, algorithm, refused);
    if (key == nullptr) return refused;
    const std::size_t want = algorithm.signature_bytes != 0 ? algorithm.signature_bytes : key->modulus_bytes;
    if (decoded_size(shape.parts[2]) != want) return refuse(Verdict::tampered, "the signature has another length");
    if (algorithm.type == KeyType::ed25519) {
        const auto signature = decode_base64url(shape.parts[2]);
        const std::string_view text = shape.token.substr(0, shape.parts[0].size() + 1 + shape.parts[1].size());
        if (!signature || !is_signed_by(key->pkey.get(), *signature, text)) {
            return refuse(Verdict::tampered, "the signature does not match");
        }
        return judge({TokenKind::jwt, decode_base64url(shape.parts[1]).value_or(""), key->id}, false, now);
    }
    const Signed token{shape.token};
    if (!token.is_by(key->jwk.get())) return refuse(Verdict::tampered, "the signature does not match");
    return judge({TokenKind::jwt, token.payload(), key->id}, false, now);
}

Checked Verifier::Parts::check_jwt(const Shape& shape, const Header& header, Seconds now) const {
    const Algorithm* const algorithm = algorithm_of(header.alg);
    const auto& allowed = policy.jwt_algorithms;
    if (algorithm == nullptr ||
        (!allowed.empty() && std::find(allowed.begin(), allowed.end(), header.alg) == allowed.end())) {
        return refuse(Verdict::alg_not_allowed, "`alg` is not among the algorithms allowed");
    }
    return algorithm->type == KeyType::hmac ? check_hmac(shape, header, *algorithm, now)
                                            : check_public(shape, header, *algorithm, now);
}

/// Reads the claims of a session or JWT whose protection held.
Checked Verifier::Parts::judge(Proven proven, bool may_be_of_room, Seconds now) const {
    Fault fault;
    const Object claims = parse_object(proven.payload, fault);
    if (claims == nullptr) return refuse(Verdict::malformed, "the payload " + std::string(fault));
    if (may_be_of_room && opens_rooms(claims.get())) {
        return refuse(Verdict::wrong_aud, "it is a room token, and does not say who somebody is");
    }
    if (proven.kind == TokenKind::jwt) {
        if (auto refused = check_issuer_and_audience(claims.get(), policy)) return *std::move(refused);
    }
    // A token without an end, or with one that is no number, is refused for that whatever else it lacks.
    const json_t* const expires = json_object_get(claims.get(), "exp");
    Identity identity{proven.kind, {}, 0, {}, std::move(proven.key)};
    if (json_is_number(expires)) {
        if (auto refused = read_user(claims.get(), policy.user_claim, identity.user)) return *std::move(refused);
    }
    join_lines(proven.payload);
    identity.claims = std::move(proven.payload);
    return judge_times(claims.get(), policy, std::move(identity), now);
}

Verifier::Verifier(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Verifier::Verifier(Verifier&&) noexcept = default;
Verifier& Verifier::operator=(Verifier&&) noexcept = default;
Verifier::~Verifier() = default;

Result<Verifier> Verifier::create(Policy policy, Jwks jwks) {
    auto parts = std::make_unique<Parts>();
    parts->policy = std::move(policy);
    parts->jwks = std::move(jwks);
    if (auto good = parts->derive(); !good) return tl::unexpected(good.error());
    return Verifier{std::move(parts)};
}

Checked Verifier::check(std::string_view token, Seconds now) const {
    Shape shape;
    if (auto refused = cut(token, parts_->policy, shape)) return *std::move(refused);
    Header header;
    if (auto refused = read_header(shape, parts_->policy, header)) return *std::move(refused);
    return shape.count == 5 ? parts_->check_session(shape, header, now) : parts_->check_jwt(shape, header, now);
}

Checked Verifier::check_room(std::string_view token, std::string_view user, std::string_view room, Seconds now) const {
    Shape shape;
    if (auto refused = cut(token, parts_->policy, shape)) return *std::move(refused);
    Header header;
    if (auto refused = read_header(shape, parts_->policy, header)) return *std::move(refused);
    if (shape.count != 3 || header.alg != "HS256" || parts_->rooms.empty()) {
        return refuse(Verdict::alg_not_allowed, parts_->rooms.empty() ? "no secret of room tokens is configured"
                                                                      : "a room token is signed with HS256");
    }
    if (decoded_size(shape.parts[2]) != 32) return refuse(Verdict::tampered, "the signature has another length");
    const Signed proof{token};
    const auto& keys = parts_->rooms;
    const auto key =
        std::find_if(keys.begin(), keys.end(), [&](const SigningKey& one) { return proof.is_by(one.jwk.get()); });
    if (key == keys.end()) {
        return refuse(Verdict::wrong_secret, "the signature matches under no secret of ours, or the token was changed");
    }

    std::string payload = proof.payload();
    Fault fault;
    const Object claims = parse_object(payload, fault);
    if (claims == nullptr) return refuse(Verdict::malformed, "the payload " + std::string(fault));
    Identity identity{TokenKind::room, {}, 0, {}, key->id};
    if (json_object_get(claims.get(), "sub") != nullptr) {
        if (auto refused = read_user(claims.get(), "sub", identity.user)) return *std::move(refused);
        if (identity.user != user) return refuse(Verdict::wrong_aud, "the room token is for another user");
    }
    switch (covers(claims.get(), room)) {
        case Verdict::valid: break;
        case Verdict::missing_claim: return refuse(Verdict::missing_claim, "the token has neither `room` nor `rooms`");
        case Verdict::malformed: return refuse(Verdict::malformed, "`room` is no text, or `rooms` no array of texts");
        default: return refuse(Verdict::wrong_aud, "the room token is for another room");
    }
    join_lines(payload);
    identity.claims = std::move(payload);
    return judge_times(claims.get(), parts_->policy, std::move(identity), now);
}

void Verifier::set_jwks(Jwks jwks) { parts_->jwks = std::move(jwks); }

const Policy& Verifier::policy() const noexcept { return parts_->policy; }

std::vector<std::string> Verifier::keys() const {
    std::vector<std::string> ids;
    for (const SessionKey& key : parts_->v4) ids.push_back(key.id);
    for (const auto& entry : parts_->v5_cbc) ids.push_back(entry.first);
    for (const auto& entry : parts_->v5_gcm) ids.push_back(entry.first);
    for (const SigningKey& key : parts_->hmac) ids.push_back(key.id);
    for (const SigningKey& key : parts_->rooms) ids.push_back(key.id);
    for (const PublicKey& key : parts_->public_keys()) {
        if (!key.weak) ids.push_back(key.id);
    }
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return ids;
}

}  // namespace sio::auth
