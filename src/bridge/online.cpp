#include "bridge/online.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/timer_wheel.h"
#include "cluster/names.h"
#include "daemon/trials.h"
#include "kafka/inspect.h"
#include "kafka/probe.h"
#include "kafka/producer.h"
#include "kafka/settings.h"
#include "routes/topics.h"

namespace sio::bridge {

namespace {

constexpr base::Millis look_interval = 20;
constexpr base::Millis refusal_patience = 1'000;  // for brokers to refuse us as a producer

struct Remedy {
    std::string_view word;
    std::string_view remedy;
};

constexpr std::array remedies = {
    Remedy{"uthentication", "see sasl-mechanism, sasl-username and sasl-password-file"},
    Remedy{"SASL", "see sasl-mechanism, sasl-username and sasl-password-file"},
    Remedy{"certificate", "name the authority with ca-file"},
    Remedy{"SSL", "security = ssl or sasl_ssl is for a listener with TLS, plaintext for one without"},
    Remedy{"onnection refused", "nobody listens there: is Kafka running, and is that its port?"},
    Remedy{"resolve", "no name server knows that host: see brokers (KAFKA_BROKERS)"},
    Remedy{"isconnected", "does its listener want TLS or a user (security, sasl-mechanism)?"},
    Remedy{"imed out", "a firewall may drop what we send, the address may be wrong, or it wants TLS (security)"},
};

std::string with_remedy(const std::string& reason) {
    if (reason.find("advertised.listeners") != std::string::npos) return reason;  // it has one
    for (const Remedy& one : remedies) {
        if (reason.find(one.word) != std::string::npos) return reason + ": " + std::string(one.remedy);
    }
    return reason;
}

/// Topics that the routes write to and name outright.
std::set<std::string> written_topics(const Config& config, const routes::Routes* routes) {
    std::set<std::string> names;
    if (!config.dead_letter_topic.empty()) names.insert(config.dead_letter_topic);
    if (config.events_stream.empty() || routes == nullptr) return names;
    const auto add = [&names](const routes::ActionList& list) {
        for (const routes::Action& action : list.actions) {
            const auto* publish = std::get_if<routes::Publish>(&action.verb);
            if (publish != nullptr && publish->topic.is_constant()) names.insert(publish->topic.tail);
        }
    };
    for (const auto& nsp : routes->namespaces()) {
        for (const auto* list : {&nsp->on_connect, &nsp->on_disconnect}) add(*list);
        for (const routes::EventRoute& event : nsp->events) add(event.list);
    }
    return names;
}

/// First whether brokers are reached by what they advertise, then what they say of topics, group and writing.
class KafkaTrial final : base::Timer {
public:
    KafkaTrial(net::Loop& loop, const Config& config, const routes::Routes* routes, std::chrono::milliseconds limit,
               daemon::Trials& trials)
        : loop_(loop),
          config_(config),
          routes_(routes),
          limit_(limit),
          trials_(trials),
          trial_(trials.open("kafka " + config.kafka.brokers)) {
        auto probe = kafka::Probe::create(loop, config.kafka, [this](bool is_reachable, const std::string& reason) {
            if (!std::exchange(is_probed_, true)) on_probe(is_reachable, reason);
        });
        if (!probe) {
            fault(probe.error().what);
            return;
        }
        probe_ = std::move(*probe);
    }

private:
    void fault(const std::string& what) {
        trials_.fault("kafka: " + what);
        trials_.close(trial_);
    }

    [[nodiscard]] bool consumes() const { return routes_ != nullptr && !routes_->topics().empty(); }
    [[nodiscard]] bool writes() const { return !config_.events_stream.empty() || !config_.dead_letter_topic.empty(); }

    void on_probe(bool is_reachable, const std::string& reason) {
        if (!is_reachable) return fault("cannot reach " + config_.kafka.brokers + ": " + with_remedy(reason));
        if (writes()) {
            kafka::ProducerOptions options;
            options.asks_at_once = true;
            auto producer = kafka::Producer::create(loop_, config_.kafka, options);
            if (!producer) return fault(producer.error().what);
            producer_ = std::move(*producer);
        }
        refusal_until_ = loop_.now() + (producer_ != nullptr ? refusal_patience : 0);
        kafka::inspect(loop_, config_.kafka, consumes() ? config_.group : "", limit_.count(),
                       [this](const Result<kafka::Inspection>& found) { on_inspected(found); });
        loop_.timers().arm(*this, loop_.now() + look_interval);
    }

    void on_inspected(const Result<kafka::Inspection>& found) {
        is_inspected_ = true;
        if (!found) return trials_.fault("kafka: " + with_remedy(found.error().what));
        if (!found->group_trouble.empty()) {
            trials_.fault("kafka: group " + config_.group + ": " + found->group_trouble +
                          ": let this user read the group, or give another with group");
        }
        if (consumes()) judge_consumed(*found);
        for (const std::string& name : written_topics(config_, routes_)) {
            if (found->topics.contains(name)) continue;
            trials_.warn("kafka: topic " + name +
                         " is not there, or this user may not describe it: create it, unless brokers make topics by "
                         "themselves (auto.create.topics.enable)");
        }
    }

    void judge_consumed(const kafka::Inspection& found) {
        for (const auto& topic : routes_->topics()) {
            if (topic->is_pattern) {
                const bool is_any = std::ranges::any_of(
                    found.topics, [&](const auto& one) { return routes_->topic(one.first) == topic.get(); });
                if (!is_any) trials_.warn("kafka: no topic is like " + topic->name + " of " + config_.routes);
                continue;
            }
            const auto known = found.topics.find(topic->name);
            if (known == found.topics.end()) {
                trials_.fault("kafka: topic " + topic->name + " of " + config_.routes +
                              " is not there, or this user may not describe it: create it, or let him read it");
            } else if (!known->second.empty()) {
                trials_.fault("kafka: topic " + topic->name + ": " + known->second);
            }
        }
    }

    void expire(base::Millis now) override {
        const bool is_refused = producer_ != nullptr && !producer_->trouble().empty();
        if (!is_inspected_ || (!is_refused && now < refusal_until_)) {
            return loop_.timers().arm(*this, now + look_interval);
        }
        if (is_refused) trials_.fault("kafka: this user may not write: " + producer_->trouble());
        trials_.close(trial_);
    }

    net::Loop& loop_;
    const Config& config_;
    const routes::Routes* routes_;
    std::chrono::milliseconds limit_;
    daemon::Trials& trials_;
    std::size_t trial_;
    std::unique_ptr<kafka::Probe> probe_;
    std::unique_ptr<kafka::Producer> producer_;
    bool is_probed_ = false;
    bool is_inspected_ = false;
    base::Millis refusal_until_ = 0;
};

struct Parts {
    std::optional<daemon::RedisTrial> redis;
    std::optional<KafkaTrial> kafka;
};

}  // namespace

std::vector<daemon::RedisCommand> redis_commands(const Config& config) {
    daemon::RedisCommands commands;
    commands.add({"TIME"}).add({"CLIENT", "ID"}).add({"SCRIPT", "LOAD", "return 1"}).add({"EVAL", "return 1", "0"});
    commands.add({"EVALSHA", std::string(40, '0'), "0"});
    commands.at("~sio:bridges").add({"HGETALL", "sio:bridges"}).add({"HDEL", "sio:bridges", ""});
    const std::string name = "sio:bridge-name:check#";
    commands.at("~sio:bridge-name:*").add({"GET", name}).add({"SET", name, "v", "x"}).add({"PTTL", name});
    commands.add({"DEL", name});
    if (!config.routes.empty()) {
        commands.at("~" + config.stream + "*");
        for (const std::string& key : cluster::streams_to_read(config.stream, config.stream_count)) {
            commands.add({"XADD", key, "x", "f", "v"}).add({"XTRIM", key, "MINID", "x"});
            commands.add({"XLEN", key}).add({"MEMORY", "USAGE", key}).add({"XRANGE", key, "0-1", "0-1"});
        }
        const std::string offsets = "sio:offsets:check";
        commands.at("~sio:offsets:*").add({"HGET", offsets, "f"}).add({"HSET", offsets, "f", "v", "odd"});
        // SADD alone cannot be made to fail; what it makes goes at once.
        const std::string replayed = "sio:replayed:check";
        commands.at("~sio:replayed:*").add({"SISMEMBER", replayed, "m"}).add({"SMISMEMBER", replayed, "m"});
        commands.add({"SADD", replayed, "m"}).add({"DEL", replayed});
    }
    if (!config.events_stream.empty()) {
        const std::string& key = config.events_stream;
        const std::string group = "sio-check";  // that nobody has made
        commands.at("~" + key + "*").add({"XGROUP", "CREATE", key, group, "x"}).add({"XACK", key, group, "0-1"});
        commands.add({"XREADGROUP", "GROUP", group, "c", "COUNT", "1", "STREAMS", key, ">"});
        commands.add({"XAUTOCLAIM", key, group, "c", "1", "0"});
    }
    return std::move(commands).all();
}

void try_online(const Config& config, const routes::Routes* routes, std::chrono::milliseconds limit,
                daemon::Findings& findings) {
    daemon::run_trials(limit, findings, [&](net::Loop& loop, daemon::Trials& trials) {
        auto parts = std::make_unique<Parts>();
        if (config.redis_endpoint) parts->redis.emplace(loop, *config.redis_endpoint, redis_commands(config), trials);
        // What its settings have wrong has been said.
        const bool is_usable = !config.kafka.brokers.empty() && kafka::check(config.kafka);
        if (is_usable) parts->kafka.emplace(loop, config, routes, limit, trials);
        return parts;
    });
}

}  // namespace sio::bridge
