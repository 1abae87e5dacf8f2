#include "daemon/trials.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "daemon/options.h"

namespace sio::daemon {

std::size_t Trials::open(std::string what, std::function<std::string()> so_far) {
    trials_.push_back({std::move(what), std::move(so_far)});
    return trials_.size() - 1;
}

void Trials::close(std::size_t trial) { trials_[trial].is_open = false; }

bool Trials::is_any_open() const noexcept { return std::ranges::any_of(trials_, &Trial::is_open); }

void Trials::run() {
    const log::Level before = log::level();
    log::set_level(log::Level::fatal);
    net::Millis now = loop_.now();
    const net::Millis end = now + limit_.count();
    bool more = false;
    while (is_any_open() && now < end) {
        more = loop_.turn(more ? 0 : end - now);
        now = loop_.now();
    }
    log::set_level(before);
    for (const Trial& trial : trials_) {
        if (!trial.is_open) continue;
        const std::string why = trial.so_far ? trial.so_far() : std::string();
        fault(trial.what + ": not done within " + show_duration(limit_) + (why.empty() ? "" : ": " + why) +
              "; --online=TIME gives it longer");
    }
}

}  // namespace sio::daemon
