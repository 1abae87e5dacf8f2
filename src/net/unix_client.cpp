#include "net/unix_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "net/socket_path.h"

namespace sio::net {

namespace {

constexpr std::size_t read_bytes = 65536;

Error connect_error(int error) {
    switch (error) {
        case ENOENT: return {Errc::not_found, "no such file"};
        case ENOTDIR: return {Errc::not_found, "a part of the path is no folder"};
        case EACCES:
        case EPERM: return {Errc::denied, "permission denied"};
        case ECONNREFUSED: return {Errc::unavailable, "nobody listens there"};
        case EAGAIN: return {Errc::unavailable, "too many clients are waiting"};
        default: return {Errc::io, std::strerror(error)};
    }
}

}  // namespace

Result<UnixClient> UnixClient::connect(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return fail(Errc::usage, "the path is longer than " + std::to_string(sizeof address.sun_path - 1) + " bytes");
    std::memcpy(address.sun_path, path.data(), path.size());

    const auto users = users_of_socket(path);
    if (!users && users.error().code == Errc::not_found) return fail(Errc::not_found, "no such file");
    if (!users) return tl::unexpected(users.error());
    base::UniqueFd fd{socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!fd) return fail(Errc::io, std::strerror(errno));
    // A Unix socket connects at once or not at all.
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return tl::unexpected<Error>(connect_error(errno));
    if (auto known = check_peer(fd.get(), *users); !known) return tl::unexpected(known.error());
    return UnixClient{std::move(fd)};
}

short UnixClient::events() const noexcept { return static_cast<short>(queued_bytes() > 0 ? POLLIN | POLLOUT : POLLIN); }

void UnixClient::queue(std::string_view bytes) {
    if (sent_ > 0 && sent_ >= out_.size() / 2) {
        out_.erase(0, sent_);
        sent_ = 0;
    }
    out_ += bytes;
}

Result<void> UnixClient::flush() {
    while (queued_bytes() > 0) {
        const ssize_t n = send(fd_.get(), out_.data() + sent_, queued_bytes(), MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN) return {};
            // The peer may have said why before it closed: that is still to be read.
            if (errno == EPIPE || errno == ECONNRESET) break;
            return fail(Errc::io, std::strerror(errno));
        }
        sent_ += static_cast<std::size_t>(n);
    }
    out_.clear();
    sent_ = 0;
    return {};
}

Result<std::string_view> UnixClient::on_ready(short revents) {
    if (auto flushed = flush(); !flushed) return tl::unexpected(flushed.error());
    if ((revents & (POLLIN | POLLHUP | POLLERR)) == 0) return std::string_view{};
    in_.resize(read_bytes);
    for (;;) {
        const ssize_t n = recv(fd_.get(), in_.data(), in_.size(), 0);
        if (n > 0) return std::string_view(in_).substr(0, static_cast<std::size_t>(n));
        if (n == 0) return fail(Errc::unavailable, "the connection was closed");
        if (errno == EINTR) continue;
        if (errno == EAGAIN) return std::string_view{};
        if (errno == ECONNRESET) return fail(Errc::unavailable, "the connection was closed");
        return fail(Errc::io, std::strerror(errno));
    }
}

}  // namespace sio::net
