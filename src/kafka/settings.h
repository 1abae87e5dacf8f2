// What every Kafka client of ours is told: where the brokers are, who we are, and librdkafka's own properties.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace sio::kafka {

using Properties = std::vector<std::pair<std::string, std::string>>;

/// Properties are librdkafka's, by its names (CONFIGURATION.md); later ones win.
struct Settings {
    std::string brokers;    ///< `host:port`, comma-separated
    std::string client_id;  ///< shown by the brokers' logs and metrics
    Properties properties;  ///< of consumers and producers: security.protocol, sasl.*, ssl.*, …
    Properties consumer_properties;
    Properties producer_properties;
};

/// Whether librdkafka knows the properties and takes their values, and none is among those that our promises rest on
/// (enable.auto.commit, enable.idempotence, acks, message.timeout.ms, partition.assignment.strategy and the like).
/// Opens no connection. Errors: `config`, naming the property, the reason and, where there is one, our option for it.
Result<void> check(const Settings& settings);

inline constexpr std::size_t max_topic_bytes = 249;  ///< of a topic's name, inclusive

/// Whether Kafka can have a topic of this name.
bool is_topic_name(std::string_view name) noexcept;

/// Whether the linked librdkafka is one that Kafka 4 refuses in SCRAM (before 2.6.1).
bool scram_fails_on_kafka_4() noexcept;

/// The version of the linked librdkafka, "2.0.2".
std::string_view library_version() noexcept;

}  // namespace sio::kafka
