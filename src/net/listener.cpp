#include "net/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "net/socket_path.h"

namespace sio::net {

namespace {

constexpr int backlog = 4096;  // capped by net.core.somaxconn

tl::unexpected<Error> system_error(const std::string& what) {
    return fail(Errc::io, what + ": " + std::strerror(errno));
}

}  // namespace

Result<base::UniqueFd> listen_tcp(const std::string& host, std::uint16_t port, bool share) {
    sockaddr_in v4{};
    sockaddr_in6 v6{};
    const sockaddr* address = nullptr;
    socklen_t size = 0;
    if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
        v4.sin_family = AF_INET;
        v4.sin_port = htons(port);
        address = reinterpret_cast<const sockaddr*>(&v4);
        size = sizeof v4;
    } else if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(port);
        address = reinterpret_cast<const sockaddr*>(&v6);
        size = sizeof v6;
    } else {
        return fail(Errc::usage, "cannot listen on '" + host + "': not an IP address");
    }
    const std::string where = host + " port " + std::to_string(port);
    base::UniqueFd fd(socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (fd.get() < 0) return system_error("cannot make a socket for " + where);
    const int on = 1;
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (share) setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // accepted sockets inherit it
    if (address->sa_family == AF_INET6) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd.get(), address, size) != 0 || listen(fd.get(), backlog) != 0) {
        return system_error("cannot listen on " + where);
    }
    return fd;
}

Result<base::UniqueFd> listen_unix(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) {
        return fail(Errc::usage, "cannot listen on '" + path + "': a socket path has 1 to 107 bytes");
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    const auto* raw = reinterpret_cast<const sockaddr*>(&address);
    if (auto safe = prepare_socket_folder(path); !safe) {
        return fail(safe.error().code == Errc::usage ? Errc::usage : Errc::io,
                    "cannot listen on " + path + ": " + safe.error().what);
    }
    struct stat before_us {};
    if (lstat(path.c_str(), &before_us) == 0 && !S_ISSOCK(before_us.st_mode)) {
        return fail(Errc::io, "cannot listen on " + path +
                                  ": there is a file that is no socket, and it is left as it is (move it away, or "
                                  "choose another path)");
    }
    base::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (fd.get() < 0) return system_error("cannot make a socket for " + path);
    base::UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(probe.get(), raw, sizeof address) == 0) {
        return fail(Errc::io,
                    "cannot listen on " + path + ": another process answers there (choose another --control)");
    }
    if (errno == ECONNREFUSED) remove_socket(path);
    // Others reach it only where they are trusted by name; check_client() sees who they are.
    const mode_t before = umask(trusts_others() ? 0111 : 0177);
    const int bound = bind(fd.get(), raw, sizeof address);
    const int bind_errno = errno;
    umask(before);
    errno = bind_errno;
    if (bound != 0 || listen(fd.get(), 64) != 0) return system_error("cannot listen on " + path);
    return fd;
}

std::uint16_t local_port(int fd) noexcept {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
    if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
    if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port);
    return 0;
}

bool send_some(int fd, std::string& pending) noexcept {
    std::size_t sent = 0;
    bool is_whole = true;
    while (sent < pending.size()) {
        const ssize_t n = ::send(fd, pending.data() + sent, pending.size() - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            is_whole = errno == EAGAIN;
            break;
        }
        sent += static_cast<std::size_t>(n);
    }
    pending.erase(0, sent);
    return is_whole;
}

}  // namespace sio::net
