// Whether the bridges of this cluster reach Kafka: they say so every second in the hash `sio:bridges`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/timer_wheel.h"
#include "net/loop.h"
#include "redis/connection.h"

namespace sio::gateway {

using base::Millis;

class BridgeWatch final : private base::Timer {
public:
    static constexpr Millis interval = 1'000;
    static constexpr Millis silence = 3'000;  ///< a bridge that was not heard for so long is gone

    /// Gives a command to Redis, as redis::Connection::send() does.
    using Send = std::function<bool(std::span<const std::string_view> command, redis::Connection::Done done)>;

    BridgeWatch(net::Loop& loop, Send send);

    void start();

    /// Bridges that are there now; none while Redis is away.
    [[nodiscard]] std::size_t bridges() const noexcept { return bridges_; }
    /// Whether one of them reaches Kafka.
    [[nodiscard]] bool is_kafka_connected() const noexcept { return connected_ > 0; }
    /// Whether there has ever been one that this gateway, or Redis, knows of.
    [[nodiscard]] bool has_heard() const noexcept { return has_heard_; }

private:
    void expire(Millis now) override;
    void hear(const redis::Reply* reply);

    net::Loop& loop_;
    Send send_;
    std::size_t bridges_ = 0;
    std::size_t connected_ = 0;
    bool has_heard_ = false;
    // Shared with callbacks that the connection holds, which may outlive this object.
    std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sio::gateway
