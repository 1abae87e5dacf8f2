// A set of public keys (JWKS, RFC 7517) and how one is chosen for a token.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sio::auth {

/// Holds public keys only: a symmetric key (`kty` oct) in a set is refused, so that no token can have its HMAC checked
/// with a key everybody knows.
class Jwks {
public:
    static constexpr std::size_t max_bytes = 256U << 10U;  ///< of the text, inclusive
    static constexpr std::size_t max_keys = 64;            ///< inclusive

    Jwks();
    Jwks(Jwks&&) noexcept;
    Jwks& operator=(Jwks&&) noexcept;
    ~Jwks();

    /// Reads an object with `keys`. Left out and counted are keys of kinds we have no use for, those marked for
    /// encryption
    /// (`use`, `key_ops`, `alg`), and those that prove nothing or cost too much: points off their curve or of small
    /// order, RSA exponents that are even, 1 or above 8 bytes, moduli above 8192 bits. An RSA key under 2048 bits is
    /// kept as one that is too weak, so that its tokens can be told why. Private parts, if a set has any, are not read.
    /// Errors: `malformed` (the text is no key set, or has a symmetric key), `too_large`.
    static Result<Jwks> parse(std::string_view text);

    [[nodiscard]] std::size_t size() const noexcept;
    [[nodiscard]] std::size_t left_out() const noexcept;
    /// The `kid`s, of keys that have one.
    [[nodiscard]] std::vector<std::string> ids() const;

private:
    friend class Verifier;
    struct Keys;
    std::unique_ptr<Keys> keys_;
};

}  // namespace sio::auth
