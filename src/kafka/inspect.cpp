#include "kafka/inspect.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

#include "kafka/client.h"
#include "kafka/errand.h"

namespace sio::kafka {

namespace {

/// Of a list of all topics, so that asking makes none.
Result<Inspection> ask_topics(rd_kafka_t* client, int patience_ms) {
    const struct rd_kafka_metadata* facts = nullptr;
    const auto code = rd_kafka_metadata(client, 1, nullptr, &facts, patience_ms);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return fail(code_of(code), std::string("cannot ask for topics: ") + rd_kafka_err2str(code));
    }
    Inspection found;
    for (const auto& topic : std::span(facts->topics, static_cast<std::size_t>(facts->topic_cnt))) {
        const bool is_well = topic.err == RD_KAFKA_RESP_ERR_NO_ERROR;
        found.topics.emplace(topic.topic, is_well ? "" : rd_kafka_err2str(topic.err));
    }
    rd_kafka_metadata_destroy(facts);
    return found;
}

/// Of any partition: whether we may ask is the group's right.
std::string ask_group(rd_kafka_t* client, const Inspection& found, int patience_ms) {
    if (found.topics.empty()) return {};
    const List list = new_list(1);
    rd_kafka_topic_partition_list_add(list.get(), found.topics.begin()->first.c_str(), 0);
    const auto code = rd_kafka_committed(client, list.get(), patience_ms);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
    // Who may not read a group is told no coordinator, and librdkafka asks on.
    if (code == RD_KAFKA_RESP_ERR__TIMED_OUT) {
        return "brokers name no coordinator of it within " + std::to_string(patience_ms) + " ms";
    }
    return rd_kafka_err2str(code);
}

}  // namespace

void inspect(net::Loop& loop, const Settings& settings, const std::string& group, std::int64_t patience_ms,
             std::function<void(Result<Inspection>)> done) {
    const int each = static_cast<int>(std::max<std::int64_t>(patience_ms / 2, 1));
    ask_apart<Inspection>(
        loop, patience_ms,
        [settings, group, each]() -> Result<Inspection> {
            auto conf = make_conf(settings, Kind::consumer,
                                  {{"group.id", group.empty() ? "sio-check" : group}, {"enable.auto.commit", "false"}});
            if (!conf) return tl::unexpected(conf.error());
            auto client = make_client(std::move(*conf), Kind::consumer);
            if (!client) return tl::unexpected(client.error());
            auto found = ask_topics(*client, each);
            if (found && !group.empty()) found->group_trouble = ask_group(*client, *found, each);
            Ending::begin(*client, false, nullptr);
            return found;
        },
        std::move(done));
}

Result<void> check_client(const Settings& settings) {
    Settings nowhere = settings;
    nowhere.brokers.clear();
    std::erase_if(nowhere.properties, [](const auto& one) {
        return one.first == "bootstrap.servers" || one.first == "metadata.broker.list";
    });
    auto conf = make_conf(nowhere, Kind::producer, {});
    if (!conf) return tl::unexpected(conf.error());
    auto client = make_client(std::move(*conf), Kind::producer);
    if (!client) return tl::unexpected(client.error());
    rd_kafka_destroy(*client);
    return {};
}

}  // namespace sio::kafka
