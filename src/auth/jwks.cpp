#include "auth/jwks.h"

#include <openssl/err.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <iterator>
#include <optional>

#include "auth/base64url.h"
#include "auth/keys.h"
#include "auth/object.h"

namespace sio::auth {
namespace {

constexpr std::size_t least_modulus_bits = 2048;
constexpr std::size_t most_modulus_bits = 8192;  // what one check may cost
constexpr std::size_t most_exponent_bytes = 8;

/// A member in base64url, decoded.
std::optional<std::string> bytes_member(const json_t* object, const char* name) {
    const auto text = text_member(object, name);
    if (!text || text->empty()) return std::nullopt;
    return decode_base64url(*text);
}

/// A positive whole number, big-endian, without leading zeros.
std::optional<std::string> number_member(const json_t* object, const char* name) {
    auto bytes = bytes_member(object, name);
    if (!bytes) return std::nullopt;
    bytes->erase(0, bytes->find_first_not_of('\0'));
    if (bytes->empty()) return std::nullopt;
    return bytes;
}

std::uint8_t* mutable_bytes(std::string& text) { return reinterpret_cast<std::uint8_t*>(text.data()); }

bool read_rsa(const json_t* object, PublicKey& key) {
    auto modulus = number_member(object, "n");
    auto exponent = number_member(object, "e");
    if (!modulus || !exponent) return false;
    const auto first = static_cast<unsigned char>(modulus->front());
    const std::size_t bits = modulus->size() * 8 - static_cast<std::size_t>(std::countl_zero(first));
    if (bits > most_modulus_bits) return false;
    // With an exponent of 1 every text is its own signature; an even one has no inverse.
    const bool odd = (static_cast<unsigned char>(exponent->back()) & 1U) != 0;
    if (!odd || *exponent == "\x01" || exponent->size() > most_exponent_bytes) return false;
    if (key.kid.empty()) {
        key.id = hash_text(Hash::sha256,
                           R"({"e":")" + base64url(*exponent) + R"(","kty":"RSA","n":")" + base64url(*modulus) + "\"}");
    }
    key.type = KeyType::rsa;
    key.modulus_bytes = modulus->size();
    key.weak = bits < least_modulus_bits;
    if (key.weak) return true;
    cjose_jwk_rsa_keyspec spec{};
    spec.n = mutable_bytes(*modulus);
    spec.nlen = modulus->size();
    spec.e = mutable_bytes(*exponent);
    spec.elen = exponent->size();
    cjose_err error{};
    key.jwk.reset(cjose_jwk_create_RSA_spec(&spec, &error));
    return key.jwk != nullptr;
}

bool read_ec(const json_t* object, PublicKey& key) {
    struct Curve {
        std::string_view name;
        KeyType type;
        cjose_jwk_ec_curve curve;
        std::size_t bytes;
    };
    constexpr Curve curves[] = {{"P-256", KeyType::p256, CJOSE_JWK_EC_P_256, 32},
                                {"P-384", KeyType::p384, CJOSE_JWK_EC_P_384, 48},
                                {"P-521", KeyType::p521, CJOSE_JWK_EC_P_521, 66}};
    const auto name = text_member(object, "crv");
    auto x = bytes_member(object, "x");
    auto y = bytes_member(object, "y");
    if (!name || !x || !y) return false;
    for (const Curve& curve : curves) {
        if (curve.name != *name) continue;
        if (x->size() != curve.bytes || y->size() != curve.bytes) return false;
        if (key.kid.empty()) {
            key.id = hash_text(Hash::sha256, R"({"crv":")" + std::string(curve.name) + R"(","kty":"EC","x":")" +
                                                 base64url(*x) + R"(","y":")" + base64url(*y) + "\"}");
        }
        key.type = curve.type;
        cjose_jwk_ec_keyspec spec{};
        spec.crv = curve.curve;
        spec.x = mutable_bytes(*x);
        spec.xlen = x->size();
        spec.y = mutable_bytes(*y);
        spec.ylen = y->size();
        cjose_err error{};
        key.jwk.reset(cjose_jwk_create_EC_spec(&spec, &error));  // refuses a point off the curve
        return key.jwk != nullptr;
    }
    return false;
}

/// Whether an Ed25519 point is one of the few of small order, the non-canonical spellings included: under such a key
/// signatures can be made up. The top bit of the last byte is a sign and does not count.
bool is_of_small_order(std::string_view point) {
    constexpr std::string_view points[] = {
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU", "xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o",
        "7P_______________________________________38", "7f_______________________________________38",
        "7v_______________________________________38",
    };
    std::string unsigned_point{point};
    unsigned_point.back() = static_cast<char>(static_cast<unsigned char>(unsigned_point.back()) & 0x7FU);
    return std::find(std::begin(points), std::end(points), base64url(unsigned_point)) != std::end(points);
}

bool read_okp(const json_t* object, PublicKey& key) {
    auto x = bytes_member(object, "x");
    if (text_member(object, "crv") != "Ed25519" || !x || x->size() != 32 || is_of_small_order(*x)) return false;
    if (key.kid.empty()) {
        key.id = hash_text(Hash::sha256, R"({"crv":"Ed25519","kty":"OKP","x":")" + base64url(*x) + "\"}");
    }
    key.type = KeyType::ed25519;
    key.pkey.reset(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, mutable_bytes(*x), x->size()));
    return key.pkey != nullptr;
}

/// Whether the set says nothing against checking signatures with this key.
bool is_for_checking(const json_t* object) {
    const json_t* const use = json_object_get(object, "use");
    if (use != nullptr && text_member(object, "use") != "sig") return false;
    const json_t* const operations = json_object_get(object, "key_ops");
    if (operations == nullptr) return true;
    const std::size_t count = json_array_size(operations);
    for (std::size_t i = 0; i < count; ++i) {
        const json_t* const operation = json_array_get(operations, i);
        if (json_is_string(operation) && text_of(operation) == "verify") return true;
    }
    return false;
}

/// The key, or nothing when we have no use for it.
std::optional<PublicKey> read_key(const json_t* object, std::string_view type) {
    if (!is_for_checking(object)) return std::nullopt;
    PublicKey key;
    if (json_object_get(object, "kid") != nullptr) {
        const auto kid = text_member(object, "kid");
        if (!kid || kid->empty()) return std::nullopt;
        key.kid = *kid;
        key.id = *kid;
    }
    const bool read = type == "RSA"   ? read_rsa(object, key)
                      : type == "EC"  ? read_ec(object, key)
                      : type == "OKP" ? read_okp(object, key)
                                      : false;
    if (!read) return std::nullopt;
    if (json_object_get(object, "alg") != nullptr) {
        const auto name = text_member(object, "alg");
        const Algorithm* const algorithm = name ? algorithm_of(*name) : nullptr;
        if (algorithm == nullptr || algorithm->type != key.type) return std::nullopt;
        key.algorithm = *name;
    }
    return key;
}

}  // namespace

Jwks::Jwks() : keys_(std::make_unique<Keys>()) {}
Jwks::Jwks(Jwks&&) noexcept = default;
Jwks& Jwks::operator=(Jwks&&) noexcept = default;
Jwks::~Jwks() = default;

Result<Jwks> Jwks::parse(std::string_view text) {
    if (text.size() > max_bytes) {
        return fail(Errc::too_large, "cannot read key set: it has more than " + std::to_string(max_bytes) + " bytes");
    }
    Fault fault;
    const Object object = parse_object(text, fault);
    if (object == nullptr) return fail(Errc::malformed, "cannot read key set: it " + std::string(fault));
    const json_t* const list = json_object_get(object.get(), "keys");
    if (!json_is_array(list)) return fail(Errc::malformed, "cannot read key set: it has no array `keys`");
    const std::size_t count = json_array_size(list);
    if (count > max_keys) {
        return fail(Errc::too_large, "cannot read key set: it has more than " + std::to_string(max_keys) + " keys");
    }
    Jwks set;
    for (std::size_t i = 0; i < count; ++i) {
        const json_t* const entry = json_array_get(list, i);
        if (!json_is_object(entry)) {
            return fail(Errc::malformed, "cannot read key set: keys[" + std::to_string(i) + "] is no object");
        }
        const auto type = text_member(entry, "kty");
        if (type == "oct") {
            return fail(Errc::malformed, "cannot read key set: keys[" + std::to_string(i) +
                                             "] is symmetric: a secret has no place among public keys");
        }
        auto key = type ? read_key(entry, *type) : std::nullopt;
        if (key) {
            set.keys_->keys.push_back(std::move(*key));
        } else {
            ++set.keys_->left_out;
        }
    }
    ERR_clear_error();
    return set;
}

std::size_t Jwks::size() const noexcept { return keys_ == nullptr ? 0 : keys_->keys.size(); }

std::size_t Jwks::left_out() const noexcept { return keys_ == nullptr ? 0 : keys_->left_out; }

std::vector<std::string> Jwks::ids() const {
    std::vector<std::string> ids;
    if (keys_ == nullptr) return ids;
    for (const PublicKey& key : keys_->keys) {
        if (!key.kid.empty()) ids.push_back(key.kid);
    }
    return ids;
}

}  // namespace sio::auth
