// A host that answers from what a test put into it, a loop that is turned by hand, and a peer of its sockets.
#pragma once

#include <criterion/criterion.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "bridge/server.h"
#include "net/loop.h"

namespace sio::bridge::test {

class FakeHost final : public ServerHost {
public:
    std::vector<std::string> calls;
    std::vector<Answer> open;  // answers that a test gives later
    bool keeps_open = false;
    bool ready = true;
    std::string metrics = "sio_bridge_x 1\n";
    std::optional<Error> error;
    std::string members = "\"a\":1";
    ProduceRequest produced;

    void on_health(Answer answer) override { take("health", std::move(answer)); }
    void on_partitions(Answer answer) override { take("partitions", std::move(answer)); }
    void on_produce(ProduceRequest request, Answer answer) override {
        produced = std::move(request);
        take("produce " + produced.topic, std::move(answer));
    }
    void on_trace(RecordName record, Answer answer) override {
        take("trace " + record.topic + "/" + std::to_string(record.partition) + "/" + std::to_string(record.offset),
             std::move(answer));
    }
    void on_dlq_list(std::size_t limit, Answer answer) override {
        take("dlq_list " + std::to_string(limit), std::move(answer));
    }
    void on_dlq_replay(std::vector<std::pair<std::int32_t, std::int64_t>> records, bool again, Answer answer) override {
        std::string call = "dlq_replay";
        for (const auto& [partition, offset] : records) {
            call += " " + std::to_string(partition) + "/" + std::to_string(offset);
        }
        take(call + (again ? " again" : ""), std::move(answer));
    }
    void on_reload(Answer answer) override { take("reload", std::move(answer)); }
    std::string metrics_text() override { return metrics; }
    std::string health_json() override { return "{\"status\":\"ok\"}"; }
    bool is_ready() override { return ready; }

private:
    void take(std::string call, Answer answer) {
        calls.push_back(std::move(call));
        if (keeps_open)
            open.push_back(std::move(answer));
        else if (error)
            answer(tl::unexpected(*error));
        else
            answer(members);
    }
};

/// Turns a loop for a while. The loop's clock is the real one.
class Turner final : net::Loop::TurnEnd, base::Timer {
public:
    explicit Turner(net::Loop& loop) : loop_(loop) { loop_.add_turn_end(*this); }
    Turner(const Turner&) = delete;
    Turner& operator=(const Turner&) = delete;
    ~Turner() override { loop_.remove_turn_end(*this); }

    /// Until `done` says so; whether it did within `wait` milliseconds.
    bool until(std::function<bool()> done, base::Millis wait = 2000) {
        done_ = std::move(done);
        is_done_ = false;
        const auto begin = std::chrono::steady_clock::now();
        const auto passed = [&] { return std::chrono::steady_clock::now() - begin > std::chrono::milliseconds(wait); };
        while (!is_done_ && !passed()) {
            loop_.timers().arm(*this, loop_.now() + 5);
            loop_.run();
        }
        return is_done_ || done_();
    }
    void run(base::Millis wait) {
        until([] { return false; }, wait);
    }

private:
    bool end_turn() override {
        if (!done_ || !done_()) return false;
        is_done_ = true;
        loop_.stop();
        return false;
    }
    void expire(base::Millis) override { loop_.stop(); }

    net::Loop& loop_;
    std::function<bool()> done_;
    bool is_done_ = false;
};

/// The other end of a connection, never blocking.
class Peer {
public:
    Peer() = default;
    explicit Peer(int fd) : fd_(fd) {}

    void say(std::string_view text) {
        cr_assert(::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
    }
    /// All that has come so far.
    const std::string& heard() {
        char buffer[65536];
        for (;;) {
            const ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
            if (n > 0) {
                heard_.append(buffer, static_cast<std::size_t>(n));
                continue;
            }
            if (n == 0 || errno != EAGAIN) is_closed_ = true;
            return heard_;
        }
    }
    bool is_closed() {
        heard();
        return is_closed_;
    }
    void clear() { heard_.clear(); }
    void shut() { fd_.reset(); }
    [[nodiscard]] int fd() const { return fd_.get(); }

private:
    base::UniqueFd fd_;
    std::string heard_;
    bool is_closed_ = false;
};

}  // namespace sio::bridge::test
