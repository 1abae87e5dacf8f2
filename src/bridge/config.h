// What sio-bridge can be told: one struct, one table of options. See sio-bridge(8).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "daemon/common.h"
#include "daemon/options.h"
#include "daemon/redis_options.h"
#include "daemon/start.h"
#include "kafka/settings.h"
#include "redis/endpoint.h"
#include "routes/routes.h"

namespace sio::bridge {

/// The configuration in force. Times and sizes are inclusive limits. Members stand in the order of the table.
struct Config {
    std::string control;  ///< path of the socket; after load() never empty
    std::string node;     ///< this bridge among others, over restarts; after load() never empty (the host's name)
    std::string listen = "127.0.0.1:3002";  ///< for /metrics, /health, /live and /ready; `off`

    // Kafka
    std::string brokers;  ///< KAFKA_BROKERS; required unless embedded_broker
    bool embedded_broker = false;
    std::string client_id = "sio-bridge";  ///< KAFKA_CLIENT_ID
    std::string security;                  ///< plaintext, ssl, sasl_plaintext, sasl_ssl; empty: from the others
    std::string ca_file, cert_file, key_file;
    std::string sasl_mechanism;  ///< PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER
    std::string sasl_username;
    std::string sasl_password_file;
    kafka::Properties properties;           ///< `kafka.NAME`
    kafka::Properties consumer_properties;  ///< `kafka.consumer.NAME`
    kafka::Properties producer_properties;  ///< `kafka.producer.NAME`
    kafka::Settings kafka;                  ///< after load() only: what the above come to

    // In: topics to the cluster
    std::string routes;  ///< the file whose `topics` say what becomes of records; empty: nothing is consumed
    std::string group = "sio";
    std::string assignor = "range";
    std::chrono::milliseconds session_timeout{6'000};
    bool from_beginning = false;                         ///< where a group that is new begins
    std::string dead_letter_topic = "sio.dead-letters";  ///< empty: such records are only counted and logged
    std::size_t max_record_bytes = 1U << 20U;            ///< of a record's value; larger ones are dead letters
    std::size_t in_flight_bytes = 8U << 20U;             ///< read from Kafka and not in Redis yet; reading stops there

    std::size_t read_ahead_bytes = 32U << 20U;  ///< fetched before we read it

    // Out: events of clients to topics
    std::string events_stream = "sio:events";  ///< empty: nothing goes out
    std::string events_group = "sio-bridge";
    std::string lifecycle_topic = "sio.lifecycle";  ///< empty: lifecycle entries are passed over
    std::size_t out_bytes = 16U << 20U;             ///< with Kafka and not reported yet

    // Redis
    daemon::RedisConfig redis;
    std::optional<redis::Endpoint> redis_endpoint;  ///< after load() never empty
    std::string stream = "socket.io";               ///< as the gateways have it, with the two that follow
    std::uint32_t stream_count = 1;
    std::chrono::milliseconds retention{300'000};
    std::size_t stream_bytes = 512U << 20U;  ///< what the streams may take in Redis, in all; the oldest entries go
    std::size_t stream_entries = 5'000'000;

    // Operation
    std::chrono::milliseconds drain{10'000};  ///< for what is in flight at SIGTERM
    daemon::LogConfig log;

    std::vector<std::string> warnings;  ///< what an operator should know and does not stop us; after load()
};

/// The table that binds the options to `config`, which outlives it.
std::vector<daemon::Option> options_of(Config& config);

using Start = daemon::Start<Config>;

/// Reads arguments (without the program's name), environment and file, and answers --help and its like on stdout.
/// Errors are told on stderr. `judge` may look at what the configuration names, see daemon::Judge.
Start start(std::span<const char* const> arguments, const daemon::Environment& environment,
            const daemon::Judge<Config>& judge);

/// The part of start() that prints nothing and looks at no file but the configuration's own and the password file.
/// Errors: those of daemon::load(); `config` when options contradict one another, or kafka::check() refuses.
Result<daemon::Action> load_config(Config& config, std::span<daemon::Option> options,
                                   std::span<const char* const> arguments, const daemon::Environment& environment);

/// Whether a bridge with this configuration can consume what `routes` name. Errors: `config`, with file and place: the
/// topic of dead letters is among them, which would feed on itself, and is left out of what is subscribed.
Result<void> check_topics(const routes::Routes& routes, const Config& config);

/// Where the daemon listens unless told otherwise: `bridge.sock` beside the gateway's control socket.
std::string default_socket_path();

}  // namespace sio::bridge
