#include "net/resolver.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace sio::net {

namespace {

Result<std::vector<std::string>> look_up(const std::string& host) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG;
    addrinfo* found = nullptr;
    if (const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found); error != 0) {
        return fail(Errc::unavailable, "cannot resolve " + host + ": " + gai_strerror(error));
    }
    std::vector<std::string> addresses;
    for (const addrinfo* one = found; one != nullptr && addresses.size() < Resolver::max_addresses;
         one = one->ai_next) {
        std::array<char, NI_MAXHOST> text;
        if (getnameinfo(one->ai_addr, one->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) != 0) {
            continue;
        }
        addresses.emplace_back(text.data());
    }
    freeaddrinfo(found);
    if (addresses.empty()) return fail(Errc::unavailable, "cannot resolve " + host + ": it has no address");
    return addresses;
}

}  // namespace

struct Resolver::Job {
    std::string host;
    base::UniqueFd ready;  // an eventfd
    std::mutex mutex;      // of answer
    Result<std::vector<std::string>> answer = std::vector<std::string>{};
};

bool is_numeric(const std::string& host) noexcept {
    in6_addr address;
    return inet_pton(AF_INET, host.c_str(), &address) == 1 || inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

Resolver::Resolver(Loop& loop, Done done) : loop_(loop), done_(std::move(done)) {}

Resolver::~Resolver() {
    if (job_) loop_.unwatch(job_->ready.get(), *this);
}

Result<void> Resolver::ask(const std::string& host) {
    wanted_ = host;
    if (job_) return {};
    return start(host);
}

Result<void> Resolver::start(const std::string& host) {
    auto job = std::make_shared<Job>();
    job->host = host;
    job->ready = base::UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!job->ready) return fail(Errc::io, std::string("cannot create an event descriptor: ") + std::strerror(errno));
    if (auto watched = loop_.watch(job->ready.get(), *this); !watched) return watched;
    try {
        std::thread([job] {
            auto answer = look_up(job->host);
            const std::lock_guard lock(job->mutex);
            job->answer = std::move(answer);
            const std::uint64_t one = 1;
            static_cast<void>(!::write(job->ready.get(), &one, sizeof one));
        }).detach();
    } catch (const std::system_error& error) {
        loop_.unwatch(job->ready.get(), *this);
        return fail(Errc::io, std::string("cannot start a thread: ") + error.what());
    }
    job_ = std::move(job);
    return {};
}

void Resolver::on_ready(std::uint32_t) {
    std::uint64_t count = 0;
    if (::read(job_->ready.get(), &count, sizeof count) != sizeof count) return;
    const auto job = std::exchange(job_, nullptr);
    loop_.unwatch(job->ready.get(), *this);
    Result<std::vector<std::string>> answer = std::vector<std::string>{};
    {
        const std::lock_guard lock(job->mutex);
        answer = std::move(job->answer);
    }
    if (wanted_.empty()) return;
    if (wanted_ != job->host) {
        // Another name was asked for while this one was on its way.
        if (auto started = start(wanted_); !started) done_(tl::unexpected<Error>(started.error()));
        return;
    }
    wanted_.clear();
    done_(std::move(answer));
}

}  // namespace sio::net
