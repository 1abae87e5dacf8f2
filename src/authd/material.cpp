#include "authd/material.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "auth/cookies.h"
#include "daemon/judge.h"
#include "daemon/wrapping.h"

namespace sio::authd {

namespace {

constexpr std::size_t max_secret_file_bytes = 64U << 10U;

/// The text of a file of at most `most` bytes. Errors: `config`.
Result<std::string> read_text(const std::string& file, std::size_t most) {
    errno = 0;
    std::ifstream in(file, std::ios::binary);
    if (!in) return fail(Errc::config, "cannot read " + file + ": " + std::strerror(errno == 0 ? EIO : errno));
    std::string text(most + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (in.bad()) return fail(Errc::config, "cannot read " + file);
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (text.size() > most) {
        return fail(Errc::config, "cannot read " + file + ": it has more than " + std::to_string(most) + " bytes");
    }
    return text;
}

bool is_public(const std::string& file) {
    struct stat about {};
    return stat(file.c_str(), &about) == 0 && S_ISREG(about.st_mode) && (about.st_mode & S_IROTH) != 0;
}

Result<std::vector<std::string>> signing_secrets(const std::vector<Secret>& secrets, std::string_view use) {
    std::vector<std::string> texts;
    for (const Secret& secret : secrets) {
        if (secret.text.size() < min_signing_secret_bytes) {
            return fail(Errc::config, secret.origin + ": a secret of " + std::string(use) + " needs " +
                                          std::to_string(min_signing_secret_bytes) + " bytes or more; this one has " +
                                          std::to_string(secret.text.size()));
        }
        texts.push_back(secret.text);
    }
    return texts;
}

void append_part(std::string& out, std::string_view part) {
    out += std::to_string(part.size());
    out += ':';
    out += part;
}

}  // namespace

Result<std::vector<Secret>> read_secrets(const std::string& file) {
    const auto text = read_text(file, max_secret_file_bytes);
    if (!text) return tl::unexpected(text.error());
    std::vector<Secret> secrets;
    std::size_t number = 0;
    for (std::size_t at = 0; at < text->size();) {
        const std::size_t end = std::min(text->find('\n', at), text->size());
        std::string_view line(text->data() + at, end - at);
        at = end + 1;
        ++number;
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
        secrets.push_back({std::string(line), file + ":" + std::to_string(number)});
        if (secrets.size() > max_secrets) {
            return fail(Errc::config, secrets.back().origin + ": there are more than 16 secrets");
        }
    }
    if (secrets.empty()) return fail(Errc::config, "cannot use " + file + ": there is no secret in it");
    return secrets;
}

Result<std::vector<Secret>> application_secrets(const Config& config, const daemon::Environment& environment) {
    if (!config.secret_file.empty()) return read_secrets(config.secret_file);
    std::vector<Secret> secrets;
    const auto take = [&](const std::string& variable) {
        auto value = environment(variable);
        if (!value || value->empty()) return;
        const bool is_there = std::ranges::find(secrets, *value, &Secret::text) != secrets.end();
        if (!is_there) secrets.push_back({std::move(*value), variable});
    };
    take("AUTH_SECRET");
    if (secrets.empty()) {
        for (const auto* variable : {"AUTH_SECRET_3", "AUTH_SECRET_2", "AUTH_SECRET_1"}) take(variable);
    }
    take("NEXTAUTH_SECRET");
    if (!secrets.empty()) return secrets;
    if (const auto folder = environment("CREDENTIALS_DIRECTORY"); folder && !folder->empty()) {
        const std::string file = *folder + "/auth_secret";
        struct stat about {};
        if (stat(file.c_str(), &about) == 0) return read_secrets(file);
    }
    return secrets;
}

namespace {

/// `are_secrets_wrong`: that there are none is somebody else's fault, and said.
Result<void> read_rights(const Config& config, const std::vector<Secret>& secrets, bool are_secrets_wrong,
                         Material& out) {
    const auto text = read_text(config.rights, max_rights_bytes);
    if (!text) return tl::unexpected(text.error());
    auto rights = Rights::parse(*text, config.rights);
    if (!rights) return tl::unexpected(rights.error());
    out.rights = std::move(*rights);
    out.rights_digest = sha256(*text);
    if (out.rights.has(Right::Kind::sql) && config.database.empty()) {
        return fail(Errc::config, config.rights + ": rules with sql ask for --database or DATABASE_URL");
    }
    if (!out.rights.has(Right::Kind::room_token) || are_secrets_wrong) return {};
    if (secrets.empty()) {
        return fail(Errc::config, config.rights + ": rules with room_token ask for the application's secret");
    }
    auto texts = signing_secrets(secrets, "room tokens");
    if (!texts) return tl::unexpected(texts.error());
    out.policy.room_secrets = std::move(*texts);
    return {};
}

Result<void> read_key_set(const Config& config, std::string& identity, Material& out) {
    const auto text = read_text(config.jwks, auth::Jwks::max_bytes);
    if (!text) return tl::unexpected(text.error());
    auto jwks = auth::Jwks::parse(*text);
    if (!jwks) return fail(Errc::config, config.jwks + ": " + jwks.error().what);
    if (jwks->size() == 0) out.warnings.push_back(config.jwks + ": there is no key in it that we have a use for");
    out.jwks = std::move(*jwks);
    append_part(identity, *text);
    return {};
}

}  // namespace

Result<Material> read_material(const Config& config, const daemon::Environment& environment) {
    Material out;
    daemon::Findings findings;
    auto secrets = application_secrets(config, environment);
    if (!findings.check(secrets)) secrets = std::vector<Secret>{};
    if (!config.rights.empty()) findings.check(read_rights(config, *secrets, findings.has_mistakes(), out));

    auth::Policy& policy = out.policy;
    const auto warn_of = [&out](const Secret& secret) {
        auto warning = daemon::secret_warning(secret.origin, secret.text);
        if (!warning.empty()) out.warnings.push_back(std::move(warning));
    };
    for (const Secret& secret : *secrets) {
        warn_of(secret);
        policy.secrets.push_back(secret.text);
        if (secret.text.size() < min_signing_secret_bytes) {
            out.warnings.push_back(secret.origin + ": the secret has fewer than 32 bytes and may be guessed");
        }
    }
    // Tokens of Auth.js 5 are bound to the cookie's name, and it may have been told to keep that of NextAuth 4.
    policy.salts = config.cookie_names;
    policy.nextauth_v4 = config.nextauth_v4;
    policy.authjs_v5 = config.authjs_v5;
    if (!config.jwt_secret_file.empty()) {
        auto lines = read_secrets(config.jwt_secret_file);
        if (!findings.check(lines)) lines = std::vector<Secret>{};
        for (const Secret& secret : *lines) warn_of(secret);
        auto texts = signing_secrets(*lines, "signed tokens");
        if (findings.check(texts)) policy.jwt_secrets = std::move(*texts);
    }
    policy.jwt_algorithms = config.jwt_algorithms;
    policy.issuer = config.jwt_issuer;
    policy.audiences = config.jwt_audiences;
    policy.parties = config.jwt_parties;
    policy.user_claim = config.user_claim;
    policy.leeway = config.leeway.count() / 1000;
    policy.max_token_bytes = config.max_token_bytes;

    std::string identity;
    for (const auto* list : {&policy.secrets, &policy.jwt_secrets}) {
        append_part(identity, std::to_string(list->size()));
        for (const std::string& text : *list) append_part(identity, text);
    }
    if (!config.jwks.empty() && !config.has_jwks_url()) {
        findings.check(read_key_set(config, identity, out));
    }
    out.identity_digest = sha256(identity);

    for (const std::string& file : {config.secret_file, config.jwt_secret_file}) {
        if (!file.empty() && is_public(file))
            out.warnings.push_back(file + ": everybody on this host can read it: chmod 640 " + file);
    }
    if (policy.secrets.empty() && policy.jwt_secrets.empty() && config.jwks.empty() &&
        !config.has_database_sessions() && !config.anonymous) {
        if (!findings.has_mistakes()) {
            findings.add({Errc::config,
                          "there is nothing to know anybody by: give secret-file or AUTH_SECRET, jwt-secret-file, jwks "
                          "or database-schema"});
        }
    }
    if (auto judged = findings.result(); !judged) return tl::unexpected(judged.error());
    return out;
}

void check_material(const Config& config, const daemon::Environment& environment, daemon::Action action,
                    daemon::Findings& findings) {
    if (config.redis_endpoint) daemon::judge_redis(*config.redis_endpoint, findings);
    findings.check(daemon::check_file("jwks-ca", config.jwks_ca));
    findings.check(daemon::check_log_file(config.log.file));
    findings.check(daemon::check_socket_path("control", config.control));
    auto material = read_material(config, environment);
    if (!findings.check(material)) return;
    // A daemon that runs says these itself, each time it reads the files.
    if (action == daemon::Action::check_config) {
        for (const std::string& warning : material->warnings) findings.warn(warning);
    }
    findings.check(
        auth::Verifier::create(std::move(material->policy), std::move(material->jwks).value_or(auth::Jwks())));
}

}  // namespace sio::authd
