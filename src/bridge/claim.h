// A name among bridges, held by one process at a time: a key in Redis that lives as long as its holder renews it.
//
//     string  sio:bridge-name:NODE    "HOLDER STATE", ends by itself
//
// Kafka lets whoever comes last in by a name (group.instance.id) and turns out the one that works; so a bridge joins
// the group only when the name is its own. One that was killed leaves its claim for `Claim::lasts`, or until the next
// looks for its process on the same host and finds none. One that was frozen for longer finds its name taken when it
// wakes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/timer_wheel.h"
#include "net/loop.h"
#include "redis/connection.h"

namespace sio::bridge {

/// The loop, the connection and the owner outlive it.
class Claim final {
public:
    class Owner {
    public:
        virtual ~Owner() = default;
        /// The name is ours, for the first time or again.
        virtual void on_claimed() = 0;
        /// Another bridge that is alive has it. Nothing is asked any more.
        virtual void on_name_taken() = 0;
    };

    Claim(net::Loop& loop, std::string_view node, redis::Connection& commands, Owner& owner);
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

    /// Asks for the name, or renews it: when Redis is there, and once a second. `drains`: who waits for the name is
    /// told that it will be free.
    void renew(bool drains);
    void release();

    /// It is ours for sure: the time it was given for has not passed.
    [[nodiscard]] bool is_ours() const noexcept { return loop_.now() < ours_until_; }
    /// Another one has it, alive or not, as far as is known.
    [[nodiscard]] bool is_foreign() const noexcept { return !is_ours() && foreign_until_ > 0; }

    static constexpr base::Millis lasts = 5'000;

private:
    void on_answer(base::Millis asked_at, const redis::Reply* reply);
    void on_foreign(std::string_view holder, std::string_view state, base::Millis left);

    net::Loop& loop_;
    redis::Connection& commands_;
    Owner& owner_;
    std::string key_;
    std::string me_;
    std::string gone_;  // a holder whose process is not there any more
    std::string foreign_;
    base::Millis foreign_until_ = 0;
    base::Millis ours_until_ = 0;
    bool is_over_ = false;
    std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace sio::bridge
