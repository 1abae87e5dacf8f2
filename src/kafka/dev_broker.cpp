#include "kafka/dev_broker.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>  // in this order

#include <algorithm>
#include <vector>

#include "kafka/client.h"

namespace sio::kafka {

namespace {

constexpr std::int32_t only_broker = 1;
constexpr std::int16_t produce_request = 0;  // the protocol's number
constexpr std::size_t max_failures = 1'000;

Result<void> outcome(rd_kafka_resp_err_t code, const std::string& what) {
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
    return fail(Errc::io, what + ": " + rd_kafka_err2str(code));
}

}  // namespace

struct DevBroker::Parts {
    rd_kafka_t* client = nullptr;
    rd_kafka_mock_cluster_t* cluster = nullptr;  // the client's
    std::string brokers;
};

DevBroker::DevBroker(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Result<std::unique_ptr<DevBroker>> DevBroker::create() {
    Settings settings;
    settings.client_id = "dev-broker";
    auto conf = make_conf(settings, Kind::producer, {{"log_level", "3"}, {"test.mock.num.brokers", "1"}});
    if (!conf) return tl::unexpected(conf.error());
    auto client = make_client(std::move(*conf), Kind::producer);
    if (!client) return tl::unexpected(client.error());
    std::unique_ptr<DevBroker> broker(new DevBroker(std::make_unique<Parts>()));
    broker->parts_->client = *client;
    broker->parts_->cluster = rd_kafka_handle_mock_cluster(*client);
    if (broker->parts_->cluster == nullptr) return fail(Errc::io, "cannot start the broker for trying out");
    broker->parts_->brokers = rd_kafka_mock_cluster_bootstraps(broker->parts_->cluster);
    return broker;
}

DevBroker::~DevBroker() {
    // The cluster ends with its client; one that waits for a group's timer needs some seconds.
    if (parts_->client != nullptr) Ending::begin(parts_->client, false, nullptr)->wait_until_gone(ending_patience_ms);
}

const std::string& DevBroker::brokers() const noexcept { return parts_->brokers; }

Result<void> DevBroker::set_down(bool down) {
    if (down) {
        return outcome(rd_kafka_mock_broker_set_down(parts_->cluster, only_broker), "cannot take the broker down");
    }
    return outcome(rd_kafka_mock_broker_set_up(parts_->cluster, only_broker), "cannot bring the broker up");
}

void DevBroker::fail_next_produce(int error_code, std::size_t times) {
    const std::vector<rd_kafka_resp_err_t> codes(std::min(times, max_failures),
                                                 static_cast<rd_kafka_resp_err_t>(error_code));
    rd_kafka_mock_push_request_errors_array(parts_->cluster, produce_request, codes.size(), codes.data());
}

Result<void> DevBroker::create_topic(const std::string& name, int partitions) {
    return outcome(rd_kafka_mock_topic_create(parts_->cluster, name.c_str(), partitions, 1),
                   "cannot create topic " + name);
}

}  // namespace sio::kafka
