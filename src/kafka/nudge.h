// Wakes the threads of librdkafka that talk to the leaders of some partitions. Included within src/kafka only.
//
// A thread of librdkafka 2.0.2 that found the consumer's queue full looks again when something comes from its broker,
// or after a second: a consumer that drains 8 MB in less would wait for the rest of it. Any answer of the broker does,
// and the cheapest question to the leaders in particular is that for the ends of their partitions.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "kafka/client.h"

namespace sio::kafka {

/// A thread that asks. end() it before the client ends.
class Nudge {
public:
    explicit Nudge(rd_kafka_t* client) : client_(client) {}
    Nudge(const Nudge&) = delete;
    Nudge& operator=(const Nudge&) = delete;

    /// Never waits; does nothing while the last question is under way.
    void ask(const std::vector<Partition>& partitions);
    /// Waits for the question under way, half a second at most. From any thread, once.
    void end();

private:
    void run();

    rd_kafka_t* client_;
    std::thread thread_;
    std::mutex mutex_;  // of what follows
    std::condition_variable changed_;
    List wanted_;
    bool is_asking_ = false;
    bool is_ending_ = false;
};

}  // namespace sio::kafka
