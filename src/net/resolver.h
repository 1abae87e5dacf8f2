// Names to addresses without holding the loop up: getaddrinfo(3) has no other way than a thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "net/loop.h"

namespace sio::net {

/// Whether `host` is an IPv4 or IPv6 address, which needs no asking.
[[nodiscard]] bool is_numeric(const std::string& host) noexcept;

/// Asks for one name at a time. A thread that hangs in the system's resolver outlives this object; it then only drops
/// what it shares.
class Resolver final : Handler {
public:
    static constexpr std::size_t max_addresses = 16;

    /// Called on the loop with the addresses as text, in the system's order; at least one. Errors: `unavailable`, `io`.
    using Done = std::function<void(Result<std::vector<std::string>>)>;

    Resolver(Loop& loop, Done done);
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;
    ~Resolver() override;

    /// Begins. While a question is open the next one waits for it: no more than one thread, however long a name server
    /// is silent. Errors: `io` when no thread can be had.
    Result<void> ask(const std::string& host);
    /// The answer to what was asked is not wanted any more.
    void forget() noexcept { wanted_.clear(); }

private:
    struct Job;
    void on_ready(std::uint32_t events) override;
    Result<void> start(const std::string& host);

    Loop& loop_;
    Done done_;
    std::string wanted_;
    std::shared_ptr<Job> job_;  // shared with the thread, which may outlive us
};

}  // namespace sio::net
