// What --check-config --online tries, all at once and within one time limit.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/findings.h"
#include "net/loop.h"

namespace sio::daemon {

/// The trials of one check. Each is opened, tells faults and warnings as they are found, and is closed; run() turns the
/// loop until all are, or the time is over. Log lines are not written meanwhile: what they would say is a finding.
class Trials {
public:
    /// The loop and the findings outlive it.
    Trials(net::Loop& loop, std::chrono::milliseconds limit, Findings& findings)
        : loop_(loop), limit_(limit), findings_(findings) {}

    /// Opens a trial of `what` ("redis 10.0.0.7:6379/0"). `so_far` is asked why it is not done when the time is over;
    /// it may say nothing. Returns its number.
    std::size_t open(std::string what, std::function<std::string()> so_far = {});
    /// Nothing when it is closed already.
    void close(std::size_t trial);

    /// What stops the program from doing its work; the sentence begins with what it is about, and ends with the remedy.
    void fault(std::string sentence) { findings_.add({Errc::unavailable, std::move(sentence)}); }
    /// What it does without.
    void warn(std::string sentence) { findings_.warn(std::move(sentence)); }

    /// Returns when all trials are closed, or the time is over; those that are open then are faults.
    void run();

private:
    struct Trial {
        std::string what;
        std::function<std::string()> so_far;
        bool is_open = true;
    };
    [[nodiscard]] bool is_any_open() const noexcept;

    net::Loop& loop_;
    std::chrono::milliseconds limit_;
    Findings& findings_;
    std::vector<Trial> trials_;
};

/// Makes a loop, has `begin` open trials on it, and runs them; what `begin` returns is kept until they have ended.
template <typename Begin>
void run_trials(std::chrono::milliseconds limit, Findings& findings, Begin begin) {
    auto loop = net::Loop::create();
    if (!findings.check(loop)) return;
    Trials trials(*loop, limit, findings);
    const auto parts = begin(*loop, trials);
    trials.run();
}

}  // namespace sio::daemon
