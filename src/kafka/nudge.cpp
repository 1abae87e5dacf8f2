#include "kafka/nudge.h"

#include <system_error>
#include <utility>

namespace sio::kafka {

namespace {

constexpr int patience_ms = 500;
constexpr std::int64_t time_of_end = -1;

}  // namespace

void Nudge::ask(const std::vector<Partition>& partitions) {
    const std::lock_guard lock(mutex_);
    if (is_asking_ || is_ending_ || partitions.empty()) return;
    if (!thread_.joinable()) {
        try {
            thread_ = std::thread([this] { run(); });
        } catch (const std::system_error&) {
            return;  // a second is lost now and then
        }
    }
    wanted_ = new_list(partitions.size());
    for (const Partition& partition : partitions) {
        rd_kafka_topic_partition_list_add(wanted_.get(), partition.topic.c_str(), partition.number)->offset =
            time_of_end;
    }
    is_asking_ = true;
    changed_.notify_one();
}

void Nudge::end() {
    {
        const std::lock_guard lock(mutex_);
        is_ending_ = true;
        changed_.notify_one();
    }
    if (thread_.joinable()) thread_.join();
}

void Nudge::run() {
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [this] { return is_ending_ || is_asking_; });
        if (is_ending_) return;
        const List list = std::move(wanted_);
        lock.unlock();
        // That something is answered is all; what, does not matter.
        static_cast<void>(rd_kafka_offsets_for_times(client_, list.get(), patience_ms));
        lock.lock();
        is_asking_ = false;
    }
}

}  // namespace sio::kafka
