// What sio-authd can be told: one struct, one table of options. See sio-authd(8).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "daemon/common.h"
#include "daemon/options.h"
#include "daemon/redis_options.h"
#include "daemon/start.h"
#include "redis/endpoint.h"

namespace sio::authd {

/// Whose tables hold the sessions.
enum class Schema : std::uint8_t { none, pg_adapter, prisma };

/// The configuration in force. Times and sizes are inclusive limits. Members stand in the order of the table.
struct Config {
    std::string control;  ///< path of the socket; after load() never empty

    // Sessions of Auth.js and NextAuth
    std::string secret_file;
    std::vector<std::string> cookie_names{"__Secure-authjs.session-token", "authjs.session-token",
                                          "__Secure-next-auth.session-token", "next-auth.session-token"};
    bool nextauth_v4 = true;
    bool authjs_v5 = true;

    // Signed tokens
    std::string jwt_secret_file;
    std::string jwks;  ///< a file or a URL; empty: no public keys
    std::string jwks_ca;
    std::vector<std::string> jwt_algorithms;
    std::string jwt_issuer;
    std::vector<std::string> jwt_audiences;
    std::vector<std::string> jwt_parties;
    std::string user_claim = "sub";

    // All tokens
    std::string session_claim;
    std::chrono::milliseconds leeway{15'000};
    std::size_t max_token_bytes = 16U << 10U;
    std::uint32_t failure_burst = 20;  ///< of one address
    std::uint32_t failure_rate = 5;    ///< of one address per second; 0: no limit

    // Who may show what
    std::vector<std::string> origins;
    bool query_token = false;
    bool anonymous = false;

    // Database
    std::string database;  ///< URL; shown to nobody
    Schema schema = Schema::none;
    std::string sessions_table;  ///< empty, as the five that follow: the schema's own
    std::string users_table;
    std::string token_column;
    std::string user_column;
    std::string expires_column;
    std::string user_id_column;
    std::string session_query;  ///< instead of all these
    std::size_t database_connections = 4;
    std::chrono::milliseconds database_timeout{1'500};
    std::chrono::milliseconds session_poll{500};

    // Rights
    std::string rights;
    std::chrono::milliseconds rights_ttl{10'000};

    // Revocations
    daemon::RedisConfig redis;
    std::optional<redis::Endpoint> redis_endpoint;  ///< after load() only: what the above come to
    std::chrono::milliseconds revocation_ttl{2'592'000'000};

    // Operation
    daemon::LogConfig log;

    /// What an operator should know and does not stop us; after load().
    std::vector<std::string> warnings;

    /// Sessions are looked up in the database.
    [[nodiscard]] bool has_database_sessions() const noexcept {
        return schema != Schema::none || !session_query.empty();
    }
    /// The key set is fetched.
    [[nodiscard]] bool has_jwks_url() const noexcept {
        return jwks.starts_with("https://") || jwks.starts_with("http://");
    }
};

/// The table that binds the options to `config`, which outlives it.
std::vector<daemon::Option> options_of(Config& config);

using Start = daemon::Start<Config>;

/// Reads arguments (without the program's name), environment and file, and answers --help and its like on stdout.
/// Errors are told on stderr. `judge` may look at what the configuration names, see daemon::Judge.
Start start(std::span<const char* const> arguments, const daemon::Environment& environment,
            const daemon::Judge<Config>& judge);

/// The part of start() that prints nothing and looks at no file but the configuration's own. Errors: those of
/// daemon::load(); `config` when options contradict one another.
Result<daemon::Action> load_config(Config& config, std::span<daemon::Option> options,
                                   std::span<const char* const> arguments, const daemon::Environment& environment);

/// Where the daemon listens unless told otherwise: `authd.sock` beside the gateway's control socket.
std::string default_socket_path();

/// Whether `text` is an origin as browsers send it: scheme, host and, unless it is the scheme's own, port.
bool is_origin(std::string_view text) noexcept;

}  // namespace sio::authd
