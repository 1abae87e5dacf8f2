#include "authd/config.h"

#include <sys/un.h>

#include <algorithm>
#include <array>
#include <utility>

#include "authd/database_url.h"
#include "daemon/common.h"
#include "daemon/exit_code.h"
#include "daemon/judge.h"
#include "daemon/socket_options.h"
#include "pg/pool.h"
#include "pg/target.h"
#include "wire/admin.h"

namespace sio::authd {
namespace {

using namespace std::chrono_literals;
using daemon::Option;

constexpr std::string_view program = "sio-authd";
constexpr std::string_view about =
    "Tells gateways who a client is, by the sessions of the web application, and which rooms he may join. See "
    "sio-authd(8).";
constexpr auto longest = 24h;

/// A table or a column: what quote_identifier() can quote.
Option identifier(Option option, std::string& target) {
    option.value = "NAME";
    option.set = [&target](std::string_view given) -> Result<void> {
        if (!given.empty()) {
            if (const auto quoted = pg::quote_identifier(given); !quoted) {
                return fail(Errc::malformed, quoted.error().what);
            }
        }
        target = given;
        return {};
    };
    option.show = [&target]() -> std::vector<std::string> { return {target}; };
    return option;
}

bool is_loopback_url(std::string_view url) noexcept {
    constexpr std::string_view scheme = "http://";
    if (!url.starts_with(scheme)) return false;
    const std::string_view rest = url.substr(scheme.size());
    for (const std::string_view host : {"localhost", "127.0.0.1", "[::1]"}) {
        if (!rest.starts_with(host)) continue;
        const std::string_view after = rest.substr(host.size());
        if (after.empty() || after.front() == ':' || after.front() == '/') return after.find('@') == std::string::npos;
    }
    return false;
}

/// The origins that count. A variable shared with the gateway may hold what only CORS understands.
void check_origins(Config& config, std::span<const Option> options, daemon::Findings& findings) {
    const auto option = std::ranges::find(options, "origin", &Option::name);
    const bool is_shared = option != options.end() && option->source == "SOCKET_IO_CORS_ORIGIN";
    std::vector<std::string> exact;
    for (std::string& origin : config.origins) {
        if (is_origin(origin)) {
            exact.push_back(std::move(origin));
        } else if (is_shared) {
            findings.warn("SOCKET_IO_CORS_ORIGIN: '" + origin +
                          "' is no exact origin; cookies of its pages are refused");
        } else {
            const auto why = daemon::check_origin(origin);
            findings.add({Errc::config,
                          "origin: " + (why ? "'" + origin + "' is not like https://example.org" : why.error().what)});
        }
    }
    config.origins = std::move(exact);
}

void check_database(const Config& config, daemon::Findings& findings) {
    const auto wrong = [&](std::string what) { findings.add({Errc::config, std::move(what)}); };
    const std::array names = {&config.sessions_table, &config.users_table,    &config.token_column,
                              &config.user_column,    &config.expires_column, &config.user_id_column};
    const bool named = std::ranges::any_of(names, [](const std::string* name) { return !name->empty(); });
    if (!config.session_query.empty() && (named || config.schema != Schema::none)) {
        wrong("session-query stands alone: leave out database-schema and the names of tables");
    } else if (named && config.schema == Schema::none) {
        wrong("names of tables and columns ask for a database-schema that they differ from");
    }
    if (!config.session_query.empty() && config.session_query.find("$1") == std::string::npos) {
        wrong("session-query: there is no $1 for the token in it");
    }
    if (config.database.empty()) {
        if (config.has_database_sessions()) wrong("sessions in a database ask for --database or DATABASE_URL");
        return;
    }
    const auto url = read_database_url(config.database);
    if (!url) return wrong("database: " + url.error().what);
    for (const std::string& warning : url->warnings) findings.warn("database: " + warning);
    if (const auto target = pg::Target::parse(url->url, std::string(program)); !target) {
        wrong("database: " + target.error().what);
    }
}

void complete(Config& config, std::span<const Option> options, daemon::Findings& findings) {
    const auto wrong = [&](std::string what) { findings.add({Errc::config, std::move(what)}); };
    if (config.control.empty()) config.control = default_socket_path();
    if (config.control.size() >= sizeof(sockaddr_un::sun_path)) {
        wrong("control: '" + config.control + "' is longer than the path of a socket may be");
    }
    for (const std::string& name : config.cookie_names) {
        if (name.empty() || name.find_first_of(" \t=,;\"") != std::string::npos) {
            wrong("cookie-name: '" + name + "' is no name of a cookie");
        }
    }
    check_origins(config, options, findings);
    check_database(config, findings);
    if (config.jwks.starts_with("http://") && !is_loopback_url(config.jwks)) {
        wrong("jwks: keys come over https, or over http from this host only");
    } else if (config.jwks.find("://") != std::string::npos && !config.has_jwks_url()) {
        wrong("jwks: '" + config.jwks + "' is neither a file nor an https URL");
    }
    if (!config.jwks.empty() && config.jwt_audiences.empty() && config.jwt_parties.empty()) {
        findings.warn(
            "jwks without jwt-audience or jwt-party: any application of the same issuer can log its users in here");
    }
    if (config.user_claim.empty()) wrong("user-claim: users must be named by some claim");
    daemon::settle_redis(config.redis, config.redis_endpoint, findings);
}

}  // namespace

std::string default_socket_path() {
    std::string path = wire::default_control_path();
    return path.substr(0, path.rfind('/') + 1) + "authd.sock";
}

bool is_origin(std::string_view text) noexcept {
    return text != "null" && text != "file://" && daemon::check_origin(text).has_value();
}

std::vector<Option> options_of(Config& c) {
    using daemon::bytes;
    using daemon::choice;
    using daemon::duration;
    using daemon::number;
    std::vector<Option> table;
    std::string group;
    const auto add = [&](Option option) {
        option.group = group;
        table.push_back(std::move(option));
    };

    group = "Listening";
    add(daemon::text({.name = "control",
                      .value = "PATH",
                      .help = "Socket that gateways and sioctl talk to; empty: /run/sio/authd.sock for root, else "
                              "sio/authd.sock in XDG_RUNTIME_DIR, else /tmp/sio-UID/authd.sock.",
                      .env = {"SIO_AUTHD"}},
                     c.control));
    daemon::add_socket_options(table, group);

    group = "Sessions of Auth.js and NextAuth";
    add(daemon::text(
        {.name = "secret-file",
         .value = "FILE",
         .help = "File with the application's secrets, one a line, the newest first; empty: AUTH_SECRET and "
                 "NEXTAUTH_SECRET of the environment, else the credential auth_secret of systemd."},
        c.secret_file));
    add(daemon::list({.name = "cookie-name",
                      .value = "NAME",
                      .help = "Name of the session cookie, in the order they are looked for; tokens of Auth.js 5 are "
                              "bound to it."},
                     c.cookie_names));
    add(daemon::on_off({.name = "nextauth-v4", .help = "Take session tokens of NextAuth 4."}, c.nextauth_v4));
    add(daemon::on_off({.name = "authjs-v5", .help = "Take session tokens of Auth.js 5."}, c.authjs_v5));

    group = "Signed tokens";
    add(daemon::text({.name = "jwt-secret-file",
                      .value = "FILE",
                      .help = "File with secrets of HMAC signatures, one a line, 32 bytes or more each."},
                     c.jwt_secret_file));
    add(daemon::text(
        {.name = "jwks",
         .value = "FILE|URL",
         .help = "Public keys as a JSON Web Key Set: a file, or an https URL that is asked again for keys not "
                 "seen yet; http is for this host only."},
        c.jwks));
    add(daemon::text({.name = "jwks-ca",
                      .value = "FILE",
                      .help = "Certificates that vouch for the server of the URL; empty: the system's."},
                     c.jwks_ca));
    add(daemon::list({.name = "jwt-algorithm",
                      .value = "ALG",
                      .help = "Algorithm that is taken, such as RS256; none given: those that the keys are for."},
                     c.jwt_algorithms));
    add(daemon::text({.name = "jwt-issuer", .value = "ISS", .help = "Issuer that a token must have; empty: any."},
                     c.jwt_issuer));
    add(daemon::list({.name = "jwt-audience",
                      .value = "AUD",
                      .help = "Audience of which a token must have one; none given: not looked at.",
                      .keep_commas = true},
                     c.jwt_audiences));
    add(daemon::list(
        {.name = "jwt-party",
         .value = "ID",
         .help = "Client of the issuer (azp or client_id) that a token may be for; none given: not looked at.",
         .keep_commas = true},
        c.jwt_parties));
    add(daemon::text({.name = "user-claim", .value = "CLAIM", .help = "Claim of a signed token that names the user."},
                     c.user_claim));

    group = "All tokens";
    add(daemon::text(
        {.name = "session-claim",
         .value = "CLAIM",
         .help = "Claim that stays the same while a session is renewed, by which it can be revoked; empty: "
                 "the token itself."},
        c.session_claim));
    add(duration({.name = "leeway",
                  .help = "How far clocks may be apart: a token counts so much longer and earlier.",
                  .cost = "A larger value lets tokens live longer than they say."},
                 c.leeway, 0ms, 10min));
    add(bytes(
        {.name = "max-token-bytes", .help = "Longest token.", .cost = "A larger value lets strangers cost more work."},
        c.max_token_bytes, 256, 48U << 10U));
    add(number({.name = "failure-burst",
                .help = "Failed attempts one address may have at once.",
                .cost = "A larger value lets strangers cost more work."},
               c.failure_burst, 1, 1'000'000));
    add(number({.name = "failure-rate",
                .help = "Failed attempts one address may have each second after that; beyond it what "
                        "needs a look-up is put off. 0 sets no limit; addresses of this host have none.",
                .cost = "A larger value lets strangers cost more work."},
               c.failure_rate, 0, 1'000'000));

    group = "What may be shown";
    add(daemon::list({.name = "origin",
                      .value = "ORIGIN",
                      .help = "Origin whose pages may use the session cookie, exactly as browsers send it, such as "
                              "https://example.org.",
                      .env = {"SOCKET_IO_CORS_ORIGIN"}},
                     c.origins));
    add(daemon::on_off({.name = "query-token", .help = "Take a token out of the URL, which others may log."},
                       c.query_token));
    add(daemon::on_off({.name = "anonymous", .help = "Let in, without a user, who shows nothing."}, c.anonymous));

    group = "Database";
    auto database = daemon::secret(
        {.name = "database",
         .value = "URL",
         .help = "PostgreSQL of the application, as libpq takes it; better by its variable, where no list of "
                 "processes shows a password.",
         .env = {"DATABASE_URL"}},
        c.database);
    database.is_verbatim = false;  // a secret stands within, not at the ends
    database.holds_secret = [](std::string_view given) {
        return given.find('@') != std::string_view::npos || given.find("password") != std::string_view::npos;
    };
    add(std::move(database));
    add(choice({.name = "database-schema", .help = "Whose tables hold the sessions; none: they are not looked up."},
               c.schema, {{"none", Schema::none}, {"pg-adapter", Schema::pg_adapter}, {"prisma", Schema::prisma}}));
    add(identifier({.name = "sessions-table", .help = "Another name of the table of sessions."}, c.sessions_table));
    add(identifier({.name = "users-table", .help = "Another name of the table of users."}, c.users_table));
    add(identifier({.name = "token-column", .help = "Another name of the session's token."}, c.token_column));
    add(identifier({.name = "user-column", .help = "Another name of the session's user."}, c.user_column));
    add(identifier({.name = "expires-column", .help = "Another name of the session's end."}, c.expires_column));
    add(identifier({.name = "user-id-column", .help = "Another name of the user's id."}, c.user_id_column));
    add(daemon::text(
        {.name = "session-query",
         .value = "SQL",
         .help = "Query instead of a schema: $1 is the token; columns are the user's id, the end in seconds "
                 "since 1970, and, if there is a third, claims as a JSON object."},
        c.session_query));
    add(number({.name = "database-connections",
                .help = "Connections to the database.",
                .cost = "A larger value costs the database memory."},
               c.database_connections, 1, 64));
    add(duration({.name = "database-timeout",
                  .help = "How long an answer of the database may take.",
                  .cost = "A larger value notices a frozen database later."},
                 c.database_timeout, 50ms, 60s));
    add(duration(
        {.name = "session-poll",
         .help = "How often the sessions of open sockets are looked up; less often when that takes more than a "
                 "tenth of the time. 0: never.",
         .cost = "A larger value closes sockets of deleted sessions later."},
        c.session_poll, 0ms, longest));

    group = "Rights";
    add(daemon::text({.name = "rights",
                      .value = "FILE",
                      .help = "Who may join which room; read again on SIGHUP. Empty: nobody any."},
                     c.rights));
    add(duration(
        {.name = "rights-ttl",
         .help = "How long an answer about a room may be kept, here and by gateways, unless its rule says else.",
         .cost = "A larger value saves the database questions and lets changes count later."},
        c.rights_ttl, 0ms, longest));

    group = "Revocations";
    daemon::add_redis_options(
        table, group, c.redis,
        "Redis that keeps revocations and tells them to other daemons: redis://, rediss:// (TLS), "
        "unix:// or redis+sentinel://; without, they last until the daemon ends.");
    add(duration({.name = "revocation-ttl",
                  .help = "How long a revocation lasts unless it says else, and at most; no shorter than tokens live.",
                  .cost = "A larger value costs memory for each revocation."},
                 c.revocation_ttl, 1s, 8784h));

    group = "Operation";
    daemon::add_log_options(table, group, c.log, "sio:*,-sio:pg");
    return table;
}

namespace {

daemon::Loaded settle(Config& config, std::span<Option> options, std::span<const char* const> arguments,
                      const daemon::Environment& environment, daemon::Findings& findings) {
    daemon::Loaded loaded = daemon::read(options, arguments, environment, findings);
    if (daemon::wants_config(loaded.action)) complete(config, options, findings);
    return loaded;
}

}  // namespace

Result<daemon::Action> load_config(Config& config, std::span<Option> options, std::span<const char* const> arguments,
                                   const daemon::Environment& environment) {
    return daemon::settled(config, options, arguments, environment, settle);
}

Start start(std::span<const char* const> arguments, const daemon::Environment& environment,
            const daemon::Judge<Config>& judge) {
    return daemon::start<Config>({program, about, SIO_VERSION}, arguments, environment, options_of, settle, judge);
}

}  // namespace sio::authd
