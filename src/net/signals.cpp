#include "net/signals.h"

#include <signal.h>
#include <sys/signalfd.h>

#include <utility>

namespace sio::net {

Signals::Signals(Loop& loop, std::initializer_list<int> signals, std::function<void(int)> receive)
    : receive_(std::move(receive)) {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : signals) sigaddset(&set, number);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    signal(SIGPIPE, SIG_IGN);
    fd_ = base::UniqueFd(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
    (void)loop.watch(fd_.get(), *this);
}

void Signals::on_ready(std::uint32_t) {
    signalfd_siginfo info{};
    while (read(fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
        receive_(static_cast<int>(info.ssi_signo));
    }
}

}  // namespace sio::net
