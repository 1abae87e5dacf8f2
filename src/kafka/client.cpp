#include "kafka/client.h"

#include <sys/eventfd.h>
#include <syslog.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "base/log.h"

namespace sio::kafka {

namespace {

/// librdkafka tells every failed attempt to connect at level `error`; that a broker is away, the probe tells once. And
/// what is fatal to an instance is told by whoever has it, with what can be done.
log::Level log_level_of(int level, std::string_view facility) noexcept {
    if (facility == "FAIL" || facility == "FATAL" || facility == "ERROR" || facility == "CONFWARN" ||
        facility == "AUTOCREATE" || level >= LOG_NOTICE) {
        return log::Level::debug;
    }
    if (level <= LOG_CRIT) return log::Level::error;
    return level == LOG_ERR ? log::Level::warn : log::Level::info;
}

/// On any thread.
void on_log(const rd_kafka_t* client, int level, const char* facility, const char* text) {
    log::line(log_level_of(level, facility), "kafka", "librdkafka",
              {{"what", text}, {"facility", facility}, {"client", client != nullptr ? rd_kafka_name(client) : "-"}});
}

Result<void> set(rd_kafka_conf_t* conf, const std::string& name, const std::string& value) {
    std::array<char, 512> reason{};
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), reason.data(), reason.size()) == RD_KAFKA_CONF_OK) {
        return {};
    }
    return fail(Errc::config, "cannot set the Kafka property " + name + ": " + reason.data());
}

const Properties& defaults_of(Kind kind) {
    static const Properties both = {
        {"reconnect.backoff.ms", "50"},
        {"reconnect.backoff.max.ms", "500"},
        {"socket.timeout.ms", "10000"},
        {"socket.keepalive.enable", "true"},
        {"topic.metadata.refresh.interval.ms", "5000"},
        {"log.connection.close", "false"},
    };
    static const Properties consumer = [] {
        Properties all = both;
        all.emplace_back("fetch.wait.max.ms", "100");
        all.emplace_back("max.poll.interval.ms", "300000");
        return all;
    }();
    static const Properties producer = [] {
        Properties all = both;
        all.emplace_back("topic.metadata.propagation.max.ms", "5000");  // then a topic counts as not there
        return all;
    }();
    return kind == Kind::consumer ? consumer : producer;
}

}  // namespace

List new_list(std::size_t size) { return List(rd_kafka_topic_partition_list_new(static_cast<int>(size))); }

List list_of(std::span<const Position> positions) {
    List list = new_list(positions.size());
    for (const Position& position : positions) {
        rd_kafka_topic_partition_list_add(list.get(), position.partition.topic.c_str(), position.partition.number)
            ->offset = position.next;
    }
    return list;
}

std::vector<Partition> partitions_of(const rd_kafka_topic_partition_list_t* list) {
    std::vector<Partition> partitions;
    if (list == nullptr) return partitions;
    const std::span all(list->elems, static_cast<std::size_t>(list->cnt));
    partitions.reserve(all.size());
    for (const auto& one : all) partitions.push_back({one.topic, one.partition});
    return partitions;
}

Result<Conf> make_conf(const Settings& settings, Kind kind, const Properties& ours) {
    Conf conf(rd_kafka_conf_new());
    const Properties who = {{"bootstrap.servers", settings.brokers}, {"client.id", settings.client_id}};
    const Properties& special = kind == Kind::consumer ? settings.consumer_properties : settings.producer_properties;
    const std::array<const Properties*, 5> layers = {&defaults_of(kind), &settings.properties, &special, &who, &ours};
    for (const Properties* layer : layers) {
        for (const auto& [name, value] : *layer) {
            if (layer == &who && value.empty()) continue;
            if (auto done = set(conf.get(), name, value); !done) return tl::unexpected(done.error());
        }
    }
    rd_kafka_conf_set_log_cb(conf.get(), on_log);
    // A token is renewed by a thread of librdkafka's, whether or not anybody polls.
    rd_kafka_conf_enable_sasl_queue(conf.get(), 1);
    return conf;
}

Result<rd_kafka_t*> make_client(Conf conf, Kind kind) {
    std::array<char, 512> reason{};
    rd_kafka_t* const client = rd_kafka_new(kind == Kind::consumer ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, conf.get(),
                                            reason.data(), reason.size());
    if (client == nullptr) {
        const auto code = rd_kafka_last_error();
        const bool is_system = code == RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE;
        return fail(is_system ? Errc::io : Errc::config, std::string("cannot make a Kafka client: ") + reason.data());
    }
    static_cast<void>(conf.release());
    // Without OAUTHBEARER there is nothing to renew, and it says so.
    if (rd_kafka_error_t* const error = rd_kafka_sasl_background_callbacks_enable(client); error != nullptr) {
        rd_kafka_error_destroy(error);
    }
    return client;
}

Errc code_of(rd_kafka_resp_err_t code) noexcept {
    switch (code) {
        case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
        case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION: return Errc::not_found;
        case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
        case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE: return Errc::too_large;
        case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
        case RD_KAFKA_RESP_ERR__AUTHENTICATION: return Errc::denied;
        case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
        case RD_KAFKA_RESP_ERR_INVALID_RECORD:
        case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
        case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
        case RD_KAFKA_RESP_ERR__INVALID_ARG: return Errc::malformed;
        default: return Errc::unavailable;
    }
}

Result<base::UniqueFd> make_bell() {
    base::UniqueFd bell(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!bell) return fail(Errc::io, std::string("cannot create an event descriptor: ") + std::strerror(errno));
    return bell;
}

bool clear_bell(int fd) noexcept {
    std::uint64_t count = 0;
    return ::read(fd, &count, sizeof count) == sizeof count;
}

void ring_bell(int fd) noexcept {
    const std::uint64_t one = 1;
    static_cast<void>(!::write(fd, &one, sizeof one));
}

void ring_for(rd_kafka_queue_t* queue, int bell) noexcept {
    const std::uint64_t one = 1;
    rd_kafka_queue_io_event_enable(queue, bell, &one, sizeof one);
}

// --- Ending ---------------------------------------------------------------------------------------------------------

struct Ending::Shared {
    std::mutex mutex;
    std::condition_variable changed;
    bool has_left = false;
    bool is_gone = false;

    void tell(bool Shared::*what) {
        const std::lock_guard lock(mutex);
        this->*what = true;
        changed.notify_all();
    }
    void wait_for(bool Shared::*what, std::int64_t most_ms) {
        std::unique_lock lock(mutex);
        changed.wait_for(lock, std::chrono::milliseconds(most_ms), [&] { return this->*what; });
    }
};

std::shared_ptr<Ending> Ending::begin(rd_kafka_t* client, bool leaves, std::shared_ptr<void> kept,
                                      std::function<void()> first) {
    auto shared = std::make_shared<Shared>();
    try {
        std::thread([client, leaves, shared, kept = std::move(kept), first = std::move(first)]() mutable {
            if (first) first();
            if (leaves) rd_kafka_consumer_close(client);
            shared->tell(&Shared::has_left);
            rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
            kept.reset();
            shared->tell(&Shared::is_gone);
        }).detach();
    } catch (const std::system_error& error) {
        log::error("kafka", "client_given_up", {{"reason", error.what()}});
        shared->has_left = shared->is_gone = true;
    }
    return std::shared_ptr<Ending>(new Ending(std::move(shared)));
}

void Ending::wait_until_left(std::int64_t most_ms) noexcept { shared_->wait_for(&Shared::has_left, most_ms); }
void Ending::wait_until_gone(std::int64_t most_ms) noexcept { shared_->wait_for(&Shared::is_gone, most_ms); }

}  // namespace sio::kafka
