// Fetches a key set by HTTP without holding the loop up: libcurl in a thread of its own.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "net/loop.h"

namespace sio::authd {

/// One fetch at a time. Redirects are not followed: a key set lies where its operator says. A thread that hangs
/// outlives this object; it then only drops what it shares.
class KeyFetcher final : net::Handler {
public:
    static constexpr long timeout_ms = 5'000;  ///< of the whole transfer

    /// Called on the loop with the text of the answer. Errors: `unavailable`, libcurl's words or the status;
    /// `too_large`.
    using Done = std::function<void(Result<std::string>)>;

    /// `ca_file` may be empty: the system's certificates. `max_bytes` of the answer.
    KeyFetcher(net::Loop& loop, std::string url, std::string ca_file, std::size_t max_bytes, Done done);
    KeyFetcher(const KeyFetcher&) = delete;
    KeyFetcher& operator=(const KeyFetcher&) = delete;
    ~KeyFetcher() override;

    /// Begins, unless a fetch is under way. Errors: `io` when no thread can be had.
    Result<void> fetch();
    [[nodiscard]] bool is_busy() const noexcept { return job_ != nullptr; }

private:
    struct Job;
    static void run(Job& job);
    void on_ready(std::uint32_t events) override;

    net::Loop& loop_;
    std::string url_;
    std::string ca_file_;
    std::size_t max_bytes_;
    Done done_;
    std::shared_ptr<Job> job_;  // shared with the thread, which may outlive us
};

}  // namespace sio::authd
