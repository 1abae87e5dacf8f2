// Records that cannot become anything, to a topic of their own, with the reason.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/timer_wheel.h"
#include "kafka/producer.h"
#include "kafka/record.h"
#include "net/loop.h"

namespace sio::bridge {

/// Why, as the header `sio-error` and the metric's label say it.
enum class Poison : std::uint8_t {
    malformed,  ///< the value is not what the route declares
    no_value,   ///< a template finds nothing, or finds what it cannot use
    too_large,
};
inline constexpr std::size_t poison_kinds = 3;
std::string_view to_string(Poison kind) noexcept;

/// Tries for ever: a record is kept until Kafka has it. The number of those that wait is the caller's to bound.
class DeadLetters final : kafka::Producer::Sink {
public:
    struct Stats {
        std::uint64_t written = 0, retries = 0, cut = 0;
    };

    /// An empty `topic`: records are only logged. The loop and the producer outlive it.
    DeadLetters(net::Loop& loop, kafka::Producer& producer, std::string topic);
    ~DeadLetters() override;
    DeadLetters(const DeadLetters&) = delete;
    DeadLetters& operator=(const DeadLetters&) = delete;

    /// Takes a copy; returns the bytes it keeps. `done` is called in a later turn, when Kafka has it; not when it is
    /// destroyed before.
    std::uint64_t bury(const kafka::Record& record, Poison kind, std::string_view reason, std::function<void()> done);
    /// A record of the entry `entry` of the stream of events that Kafka will not have, with the word `kind` for why.
    /// One that is too large goes without its value, which stays in the stream.
    void bury_event(const kafka::Outgoing& record, std::string_view entry, std::string_view kind,
                    std::string_view reason, std::function<void()> done);
    /// So many wait already that no more should come: memory.
    [[nodiscard]] bool is_full() const noexcept {
        return letters_.size() >= max_waiting || bytes_ >= max_waiting_bytes;
    }
    /// Why letters cannot be written, from the first refusal until one is written; empty: they can.
    [[nodiscard]] const std::string& trouble() const noexcept { return trouble_; }

    /// Letters that wait, and their bytes.
    [[nodiscard]] std::size_t waiting() const noexcept { return letters_.size(); }
    [[nodiscard]] const Stats& stats() const noexcept { return stats_; }
    [[nodiscard]] const std::string& topic() const noexcept { return topic_; }

private:
    static constexpr std::size_t max_waiting = 1'000;
    static constexpr std::uint64_t max_waiting_bytes = std::uint64_t{16} << 20U;

    struct Letter {
        std::optional<std::string> key;
        std::optional<std::string> value;
        std::vector<std::pair<std::string, std::optional<std::string>>> headers;
        std::function<void()> done;
        std::uint64_t bytes = 0;
        bool is_open = false;  // with the producer
        bool is_cut = false;
    };
    struct Retry;

    void on_report(std::uint64_t tag, const Error* error) override;
    std::uint64_t add(Letter letter);
    void send(std::uint64_t tag, Letter& letter);
    void send_all();
    void failed(std::uint64_t tag, const Error& error);
    void complain(std::string_view why);

    net::Loop& loop_;
    kafka::Producer& producer_;
    std::string topic_;
    std::map<std::uint64_t, Letter> letters_;  // by age
    std::uint64_t next_ = 1;
    std::unique_ptr<Retry> retry_;
    std::uint64_t bytes_ = 0;  // of letters_
    std::string trouble_;
    Stats stats_;
};

}  // namespace sio::bridge
