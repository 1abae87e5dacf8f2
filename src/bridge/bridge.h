// sio-bridge as a whole: Kafka on one side, Redis on the other, and those who ask how it goes.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/timer_wheel.h"
#include "bridge/claim.h"
#include "bridge/config.h"
#include "bridge/dead_letters.h"
#include "bridge/inlet.h"
#include "bridge/outlet.h"
#include "bridge/ring.h"
#include "bridge/server.h"
#include "kafka/consumer.h"
#include "kafka/dev_broker.h"
#include "kafka/probe.h"
#include "kafka/producer.h"
#include "net/loop.h"
#include "redis/connection.h"
#include "routes/topics.h"

namespace sio::bridge {

struct Replay;

class Bridge final : ServerHost, Inlet::Owner, Claim::Owner, redis::Connection::Owner, kafka::Producer::Sink {
public:
    /// Reads the routes file and makes the Kafka clients. Errors: `config`, `io`.
    static Result<std::unique_ptr<Bridge>> create(net::Loop& loop, const Config& config);
    ~Bridge() override;
    Bridge(const Bridge&) = delete;
    Bridge& operator=(const Bridge&) = delete;

    /// Listens, and begins to connect. Errors: `config`, `io`.
    Result<void> start();
    void on_signal(int number);
    /// What main() ends with once the loop has stopped.
    [[nodiscard]] int exit_code() const noexcept { return exit_code_; }

private:
    struct Tick;

    Bridge(net::Loop& loop, const Config& config);

    // ServerHost
    void on_health(Answer answer) override;
    void on_partitions(Answer answer) override;
    void on_produce(ProduceRequest request, Answer answer) override;
    void on_trace(RecordName record, Answer answer) override;
    void on_dlq_list(std::size_t limit, Answer answer) override;
    void on_dlq_replay(std::vector<std::pair<std::int32_t, std::int64_t>> records, bool again, Answer answer) override;
    void on_reload(Answer answer) override;
    std::string metrics_text() override;
    std::string health_json() override;
    bool is_ready() override;
    // Inlet::Owner
    void on_inlet_lost(const Error& error) override;
    bool may_join() const override { return claim_.is_ours(); }
    // Claim::Owner
    void on_claimed() override;
    void on_name_taken() override;
    // redis::Connection::Owner
    void on_up(redis::Connection& connection) override;
    void on_down(redis::Connection& connection, std::string_view reason) override;
    // kafka::Producer::Sink
    void on_report(std::uint64_t tag, const Error* error) override;

    Result<std::shared_ptr<const routes::Routes>> read_routes() const;
    Result<void> reload();
    void on_tick();
    void tell_unreachable();
    void on_probe(bool reachable, const std::string& reason);
    void say_alive(std::string_view how = {});
    void end_for_name(std::string_view reason);
    void drain();
    void end_if_drained();
    void go_on_replaying(const std::shared_ptr<Replay>& replay);
    void replay_next(const std::shared_ptr<Replay>& replay);
    [[nodiscard]] std::string health_members() const;
    [[nodiscard]] std::string checks() const;
    [[nodiscard]] bool is_well() const;
    [[nodiscard]] std::string_view redis_refusal() const;

    net::Loop& loop_;
    Config config_;
    base::Millis started_;
    std::unique_ptr<kafka::DevBroker> dev_broker_;
    redis::Connection commands_;
    Claim claim_;
    std::unique_ptr<kafka::Producer> producer_;
    std::unique_ptr<kafka::Probe> probe_;
    std::unique_ptr<DeadLetters> dead_letters_;
    TraceRing ring_;
    std::unique_ptr<Inlet> inlet_;
    std::unique_ptr<Outlet> outlet_;
    ControlServer control_;
    HttpServer http_;

    std::unordered_map<std::uint64_t, Answer> products_;
    std::uint64_t next_product_ = 1;
    bool has_begun_ = false;  // the name was ours once
    bool is_draining_ = false;
    base::Millis drain_until_ = 0;
    std::string told_status_;
    std::string told_unreachable_;
    int exit_code_ = 0;
    std::unique_ptr<Tick> tick_;
    std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sio::bridge
