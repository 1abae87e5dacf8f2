#include "daemon/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

#include "base/bytes.h"
#include "base/unique_fd.h"

namespace sio::daemon {
namespace {

void send(std::string_view state) noexcept {
    const char* const path = std::getenv("NOTIFY_SOCKET");
    if (path == nullptr || (path[0] != '/' && path[0] != '@')) return;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::size_t length = std::strlen(path);
    if (length >= sizeof(address.sun_path)) return;
    std::memcpy(address.sun_path, path, length);
    if (path[0] == '@') address.sun_path[0] = '\0';  // an abstract name
    const base::UniqueFd fd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!fd) return;
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
    // sockaddr_un is what sendto() takes for AF_UNIX; the cast is the socket API's own way.
    const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
    (void)::sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL, generic, size);
}

std::optional<std::uint64_t> number_in(const char* variable) noexcept {
    const char* const text = std::getenv(variable);
    return text == nullptr ? std::nullopt : base::parse_decimal(text);
}

}  // namespace

void notify_ready() noexcept { send("READY=1"); }

void notify_reloading() noexcept {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(now.tv_sec * 1'000'000 + now.tv_nsec / 1000));
}

void notify_stopping() noexcept { send("STOPPING=1"); }

void notify_status(std::string_view text) noexcept { send("STATUS=" + std::string(text.substr(0, text.find('\n')))); }

void notify_alive() noexcept { send("WATCHDOG=1"); }

std::optional<std::chrono::milliseconds> watchdog_interval() noexcept {
    const auto limit = number_in("WATCHDOG_USEC");
    if (!limit || *limit < 2000) return std::nullopt;
    const auto watched = number_in("WATCHDOG_PID");
    if (watched && *watched != static_cast<std::uint64_t>(::getpid())) return std::nullopt;
    return std::chrono::milliseconds(*limit / 2000);
}

}  // namespace sio::daemon
