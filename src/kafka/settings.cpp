#include "kafka/settings.h"

#include <algorithm>
#include <array>

#include "kafka/client.h"

namespace sio::kafka {

namespace {

/// A property our promises rest on; `instead` is what to do.
struct Ours {
    std::string_view name;
    std::string_view instead;
};

constexpr std::string_view offsets = "offsets are kept in Redis, with what became of the records";
constexpr std::string_view never_lost = "a record that a client's event became is never given up nor repeated";
constexpr std::array ours = {
    Ours{"bootstrap.servers", "give it as brokers"},
    Ours{"metadata.broker.list", "give them as brokers"},
    Ours{"client.id", "give it as client-id"},
    Ours{"group.id", "give it as group"},
    Ours{"group.instance.id", "give it as node"},
    Ours{"partition.assignment.strategy", "give it as assignor"},
    Ours{"session.timeout.ms", "give it as session-timeout"},
    Ours{"heartbeat.interval.ms", "it is a third of session-timeout"},
    Ours{"queued.max.messages.kbytes", "give it as read-ahead-bytes"},
    Ours{"queued.min.messages", "a lower value starves the consumer"},
    Ours{"enable.auto.commit", offsets},
    Ours{"auto.commit.enable", offsets},
    Ours{"enable.auto.offset.store", offsets},
    Ours{"auto.offset.reset", "from-beginning says where a new group begins"},
    Ours{"offset.store.method", offsets},
    Ours{"enable.partition.eof", "the end of a partition is no record"},
    Ours{"topic.blacklist", "the routes name the topics"},
    Ours{"allow.auto.create.topics", "a consumer makes no topics"},
    Ours{"enable.idempotence", never_lost},
    Ours{"enable.gapless.guarantee", never_lost},
    Ours{"acks", never_lost},
    Ours{"request.required.acks", never_lost},
    Ours{"message.timeout.ms", never_lost},
    Ours{"delivery.timeout.ms", never_lost},
    Ours{"retries", never_lost},
    Ours{"message.send.max.retries", never_lost},
    Ours{"queuing.strategy", "records of a key keep their order"},
    Ours{"transactional.id", "there are no transactions"},
    Ours{"partitioner", "keys go where Java clients put them (murmur2_random)"},
    Ours{"queue.buffering.max.kbytes", "give it as out-bytes"},
    Ours{"queue.buffering.max.messages", "give it as out-bytes"},
    Ours{"test.mock.num.brokers", "give it as embedded-broker"},
};

Result<void> check_names(const Properties& properties) {
    for (const auto& [name, value] : properties) {
        const auto found = std::ranges::find(ours, std::string_view(name), &Ours::name);
        if (found == ours.end()) continue;
        return fail(Errc::config, "cannot take the Kafka property " + name + ": it is not yours to set; " +
                                      std::string(found->instead));
    }
    return {};
}

bool asks_a_token_service(const Settings& settings) {
    const auto is_oidc = [](const auto& property) {
        return property.first == "sasl.oauthbearer.method" && property.second == "oidc";
    };
    return std::ranges::any_of(settings.properties, is_oidc) ||
           std::ranges::any_of(settings.consumer_properties, is_oidc) ||
           std::ranges::any_of(settings.producer_properties, is_oidc);
}

}  // namespace

Result<void> check(const Settings& settings) {
    for (const Properties* one : {&settings.properties, &settings.consumer_properties, &settings.producer_properties}) {
        if (auto done = check_names(*one); !done) return done;
    }
    Settings away = settings;
    away.brokers.clear();  // an instance that knows no broker connects to none
    for (const Kind kind : {Kind::consumer, Kind::producer}) {
        Properties more = {{"log_level", "0"}};
        if (kind == Kind::consumer) more.emplace_back("group.id", "check");
        if (kind == Kind::producer) more.emplace_back("enable.idempotence", "true");
        auto conf = make_conf(away, kind, more);
        if (!conf) return tl::unexpected(conf.error());
        if (asks_a_token_service(settings)) continue;
        // Whether the properties go together, and whether certificates can be read, only an instance tells.
        auto client = make_client(std::move(*conf), kind);
        if (!client) return tl::unexpected(client.error());
        Ending::begin(*client, false, nullptr)->wait_until_gone(ending_patience_ms);
    }
    return {};
}

bool is_topic_name(std::string_view name) noexcept {
    return !name.empty() && name.size() <= max_topic_bytes && name != "." && name != ".." &&
           std::ranges::all_of(name, [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                      c == '_' || c == '-';
           });
}

bool scram_fails_on_kafka_4() noexcept { return rd_kafka_version() < 0x02060100; }

std::string_view library_version() noexcept { return rd_kafka_version_str(); }

}  // namespace sio::kafka
