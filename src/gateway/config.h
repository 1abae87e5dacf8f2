// What the gateway can be told: one struct, one table of options, each with its default, bounds and what a larger value
// costs. See sio-gateway(8).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/log.h"
#include "base/result.h"
#include "daemon/common.h"
#include "daemon/options.h"
#include "daemon/redis_options.h"
#include "daemon/start.h"
#include "gateway/cors.h"
#include "gateway/outbox.h"
#include "redis/endpoint.h"

namespace sio::gateway {

struct EngineOptions;

/// Who a socket is. `dev`: the token of the handshake is the user id, without any proof. `authd`: sio-authd says it.
enum class AuthMode : std::uint8_t { none, dev, authd };

/// Connection state recovery. `automatic`: only to clients that an offset does no harm to.
enum class RecoveryMode : std::uint8_t { off, automatic, on };

/// At most `events` events in each span of `per`.
struct RateLimit {
    std::uint32_t events = 100;
    std::chrono::milliseconds per{60'000};
    bool operator==(const RateLimit&) const = default;
};

/// The configuration in force. Times and sizes are inclusive limits. Members stand in the order of the table.
struct Config {
    // Listening
    std::vector<std::string> hosts{"0.0.0.0", "::"};
    std::uint16_t port = 3001;         ///< 0: any free one
    bool share_port = false;           ///< several gateways of one user may listen on the same port
    std::string path = "/socket.io/";  ///< begins and ends with a slash
    std::string trust_proxy = "off";   ///< whose word about a client's address counts; see parse_trusted_proxies()
    bool proxy_protocol = false;       ///< those proxies begin each connection with the PROXY protocol
    std::string relay_dir;             ///< where the gateways of this host meet; empty: nowhere
    std::string hop_listen;            ///< `ADDRESS:PORT` where gateways of other hosts pass clients on; empty: nowhere
    std::string hop_secret_file;       ///< what they share to prove it

    // Protocol
    bool polling = true;
    bool websocket = true;
    bool upgrades = true;
    std::chrono::milliseconds ping_interval{25'000};
    std::chrono::milliseconds ping_timeout{20'000};
    std::chrono::milliseconds upgrade_timeout{10'000};
    std::chrono::milliseconds connect_timeout{45'000};
    std::size_t max_payload = 1'000'000;                           ///< bytes of one message or POST body
    std::optional<std::size_t> http_compression_threshold = 1024;  ///< bytes; nothing: never compress
    std::string cookie;                                            ///< `name; attributes`; empty: none
    RecoveryMode recovery = RecoveryMode::automatic;
    std::chrono::milliseconds recovery_window{120'000};
    std::size_t recovery_bytes = 64U << 20U;          ///< of missed packets and of sockets that left, in all
    std::chrono::milliseconds recovery_wait{20'000};  ///< for what a client that returns has missed

    // Cross-origin
    CorsOptions cors;
    std::optional<bool> websocket_origin_check;  ///< nothing: on when origins are listed; after load() never nothing

    // Redis
    daemon::RedisConfig redis;                        ///< it makes this gateway a member of a cluster
    std::optional<redis::Endpoint> redis_endpoint;    ///< after load() only: what the above come to
    std::chrono::milliseconds presence_grace{5'000};  ///< how long a user may be nowhere before he is offline
    std::string node;                                 ///< this gateway's name; empty: host and process id
    std::string redis_stream = "socket.io";
    std::uint16_t redis_stream_count = 1;
    std::string redis_channel_prefix = "socket.io";
    std::string redis_session_prefix = "sio:session:";
    std::chrono::milliseconds redis_retention{300'000};  ///< of entries in the stream
    std::size_t redis_stream_bytes = 512U << 20U;        ///< what the streams may take in Redis, in all
    std::size_t redis_stream_entries = 5'000'000;        ///< in all; the oldest go
    std::size_t redis_spool_bytes = 64U << 20U;          ///< of events that wait while Redis is away

    // Outbound events
    std::string events_stream = "sio:events";  ///< key; empty: off
    std::chrono::milliseconds events_retention{86'400'000};
    std::size_t events_bytes = 256U << 20U;  ///< what it may take in Redis; then publishing is refused
    std::size_t events_entries = 1'000'000;
    std::size_t publish_bytes = 1U << 20U;  ///< of one value, with its key and attachments
    bool events_lifecycle = false;          ///< connects, disconnects, joins, leaves and rooms, too

    // HTTP API
    std::string api_keys_file;  ///< a line `NAME KEY` for each; empty: there is no API
    std::size_t api_max_body = std::size_t{1} << 20U;
    std::uint32_t api_rate = 0;  ///< requests per second and name; 0: no limit

    // Application
    std::string routes;  ///< file; empty: events go nowhere but to `sioctl listen` and `handle`
    AuthMode auth = AuthMode::none;
    std::string authd;                               ///< path of sio-authd's socket; after load() never empty
    std::chrono::milliseconds authd_timeout{5'000};  ///< how long an answer of it may take
    std::chrono::milliseconds auth_warning{60'000};  ///< before the end of a session
    std::chrono::milliseconds auth_grace{15'000};    ///< after it
    bool auth_query = false;                         ///< whether `?token=` is a credential
    bool serve_client = true;
    std::string client_dir;  ///< empty: there is no bundle to serve
    bool demo = false;
    std::string demo_dir;  ///< with `demo`: the folder of index.html; after load() never empty then

    // Limits
    std::optional<RateLimit> rate_limit = RateLimit{};  ///< per connection
    /// Per user, all tabs and gateways together. Unless it is set: ten times the rate_limit in force, or off with it.
    std::optional<RateLimit> user_rate_limit = RateLimit{1'000, std::chrono::milliseconds{60'000}};
    std::size_t max_connections = 0;              ///< 0: the descriptor limit less a reserve
    std::size_t max_connections_per_address = 0;  ///< 0: no limit
    std::size_t queue_bytes = 4U << 20U;          ///< unsent bytes per client
    QueuePolicy queue_policy = QueuePolicy::disconnect;
    std::size_t max_namespaces = 10'000;  ///< by patterns, in all
    std::size_t max_namespaces_per_connection = 64;
    std::size_t max_rooms_per_socket = 1'000;          ///< beside its own and its user's
    std::size_t max_json_depth = json::default_depth;  ///< of what clients send
    std::size_t client_bytes = 0;   ///< all that is held for one client; 0: queue_bytes and twelve times max_payload
    std::size_t address_bytes = 0;  ///< for all clients of an address; 0: three times client_bytes
    std::size_t memory_limit = 0;   ///< resident bytes of the process; 0: four fifths of what the system allows
    std::size_t max_header_bytes = 16U << 10U;
    std::chrono::milliseconds header_timeout{10'000};
    std::chrono::milliseconds body_timeout{30'000};
    std::chrono::milliseconds handshake_timeout{10'000};
    std::chrono::milliseconds idle_timeout{75'000};

    // Operation
    std::string control;  ///< path of the control socket; after load() never empty
    std::chrono::milliseconds drain_deadline{10'000};
    std::uint32_t drain_rate = 0;  ///< clients per second; 0: evenly within the deadline
    daemon::LogConfig log;

    // From NODE_ENV, which has neither flag nor key
    bool production = false;

    /// What an operator should know and does not stop us; after load().
    std::vector<std::string> warnings;
};

/// The table that binds the options to `config`, which outlives it.
std::vector<daemon::Option> options_of(Config& config);

using Start = daemon::Start<Config>;

/// Reads arguments (without the program's name), environment and file; completes and checks what they say together; and
/// answers --help and its like on stdout. Errors are told on stderr. `judge` may look at what the
/// configuration names, see daemon::Judge.
Start start(std::span<const char* const> arguments, const daemon::Environment& environment,
            const daemon::Judge<Config>& judge = {});

/// The part of start() that prints nothing and looks at no file but the configuration's own and, for defaults, beside
/// the program. `options` is the table of `config`.
///
/// Errors: those of daemon::load(); `config` when options contradict one another, an origin's expression does not
/// compile, `--auth dev` is asked for while NODE_ENV is `production`, or a folder that was named is not there.
Result<daemon::Action> load_config(Config& config, std::span<daemon::Option> options,
                                   std::span<const char* const> arguments, const daemon::Environment& environment);

/// What memory-limit comes to, in bytes: as it says, or four fifths of what the system allows.
std::size_t memory_for_all(const Config& config);

/// What the engine needs of it.
EngineOptions engine_options(const Config& config);

}  // namespace sio::gateway
