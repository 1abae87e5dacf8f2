// What the configuration's files and variables hold: secrets, public keys, rules. Read at start and on each reload.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "auth/jwks.h"
#include "auth/verifier.h"
#include "authd/config.h"
#include "authd/digest.h"
#include "authd/rights.h"
#include "base/result.h"
#include "daemon/options.h"

namespace sio::authd {

inline constexpr std::size_t max_secrets = 16;               ///< of one file
inline constexpr std::size_t min_signing_secret_bytes = 32;  ///< of HMAC, its hash's length

/// A secret and where it is from (`FILE:LINE`, or a variable), which may be shown.
struct Secret {
    std::string text;
    std::string origin;
};

/// Reads a file of secrets, one a line; lines that are empty are skipped, and bytes are taken as they are but for a
/// carriage return at the end. Errors: `config`: it cannot be read, has none, or too many.
Result<std::vector<Secret>> read_secrets(const std::string& file);

/// The application's secrets, the newest first: of the file, else of the environment (AUTH_SECRET and NEXTAUTH_SECRET;
/// without AUTH_SECRET also AUTH_SECRET_3 to AUTH_SECRET_1), else of systemd's credential `auth_secret`. May be none.
/// Errors: `config`.
Result<std::vector<Secret>> application_secrets(const Config& config, const daemon::Environment& environment);

struct Material {
    auth::Policy policy;
    std::optional<auth::Jwks> jwks;  ///< of a file
    Rights rights;
    std::vector<std::string> warnings;
    /// Of all that says who somebody is, and of the rules: what differs has changed.
    Digest identity_digest;
    Digest rights_digest;
};

/// Errors: `config`; the sentence names the file, and the line of a secret that is too short for its use.
Result<Material> read_material(const Config& config, const daemon::Environment& environment);

/// Whether all of it can be used: what start and reload would say. Warnings are added for --check-config only: a daemon
/// that runs says them itself.
void check_material(const Config& config, const daemon::Environment& environment, daemon::Action action,
                    daemon::Findings& findings);

}  // namespace sio::authd
