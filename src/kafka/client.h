// What the Kafka clients of this folder share: making a librdkafka instance, waking the loop, and ending an instance
// that may never end. Included within src/kafka only.
#pragma once

#include <librdkafka/rdkafka.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "kafka/record.h"
#include "kafka/settings.h"
#include "net/loop.h"

namespace sio::kafka {

enum class Kind { consumer, producer };

struct ConfDeleter {
    void operator()(rd_kafka_conf_t* conf) const noexcept { rd_kafka_conf_destroy(conf); }
};
using Conf = std::unique_ptr<rd_kafka_conf_t, ConfDeleter>;

struct ListDeleter {
    void operator()(rd_kafka_topic_partition_list_t* list) const noexcept {
        rd_kafka_topic_partition_list_destroy(list);
    }
};
using List = std::unique_ptr<rd_kafka_topic_partition_list_t, ListDeleter>;

struct MessageDeleter {
    void operator()(rd_kafka_message_t* message) const noexcept { rd_kafka_message_destroy(message); }
};
using Message = std::unique_ptr<rd_kafka_message_t, MessageDeleter>;

List new_list(std::size_t size);
/// With the offset of each set to its position.
List list_of(std::span<const Position> positions);
std::vector<Partition> partitions_of(const rd_kafka_topic_partition_list_t* list);

/// Defaults of ours, then the properties of `settings` for this kind, then `ours`, which win. Log lines go to base/log.
/// Errors: `config`, naming the property.
Result<Conf> make_conf(const Settings& settings, Kind kind, const Properties& ours);

/// Errors: `config` (properties that contradict one another, a certificate that cannot be read), `io`.
Result<rd_kafka_t*> make_client(Conf conf, Kind kind);

/// What librdkafka's code means to a caller.
Errc code_of(rd_kafka_resp_err_t code) noexcept;

/// An eventfd that librdkafka rings when a queue gets its first entry. The descriptor must outlive the instance.
Result<base::UniqueFd> make_bell();
/// Whether it had rung: a descriptor that is watched anew is ready to be written to.
bool clear_bell(int fd) noexcept;
/// Rings it ourselves: the loop calls again in its next turn, without waiting. (A timer may wait for a millisecond.)
void ring_bell(int fd) noexcept;

/// Has `queue` ring `bell`, or no more with -1.
void ring_for(rd_kafka_queue_t* queue, int bell) noexcept;

/// An instance being ended on a thread of its own, because librdkafka may never come back from it.
class Ending {
public:
    /// `leaves` is whether a consumer tells its group; `kept` (what the callbacks use, the bell) is held until the end.
    /// `first` is called before anything else, on that thread. An instance for which no thread can be had is given up.
    static std::shared_ptr<Ending> begin(rd_kafka_t* client, bool leaves, std::shared_ptr<void> kept,
                                         std::function<void()> first = {});

    /// Blocks until the consumer has left, or the instance is gone, or it takes too long.
    void wait_until_left(std::int64_t most_ms) noexcept;
    void wait_until_gone(std::int64_t most_ms) noexcept;

private:
    struct Shared;
    explicit Ending(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
    std::shared_ptr<Shared> shared_;
};

/// The longest that close() and a destructor block together, milliseconds.
inline constexpr std::int64_t ending_patience_ms = 1'000;

}  // namespace sio::kafka
