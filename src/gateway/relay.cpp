#include "gateway/relay.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/keyed_hash.h"
#include "base/log.h"
#include "net/socket_path.h"

namespace sio::gateway {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view suffix = ".relay";
constexpr std::string_view magic = "SIO";
constexpr char version_of_peers = 1;    // the address is that of the other end: a proxy's, perhaps
constexpr char version_of_clients = 2;  // it is the client's, as the PROXY protocol has said
constexpr int messages_per_turn = 128;  // of one source
constexpr std::size_t chunk = 65536;
constexpr Millis retry_time = 20;

bool address_of(const std::string& path, sockaddr_un& address) {
    address = {};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return false;
    std::memcpy(address.sun_path, path.data(), path.size());
    return true;
}

/// Who runs the other end; only its user's descriptors, and only to its user's processes.
bool is_same_user(int fd) {
    ucred peer{};
    socklen_t size = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

/// A connection to the socket at `path`, or none, errno saying why.
base::UniqueFd connect_to(const std::string& path) {
    sockaddr_un address{};
    if (!address_of(path, address)) {
        errno = ENAMETOOLONG;
        return {};
    }
    base::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) return {};
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        const int reason = errno;
        fd.reset();
        errno = reason;
        return {};
    }
    if (!is_same_user(fd.get())) {
        errno = EPERM;
        return {};
    }
    return fd;
}

}  // namespace

void append_relay_header(std::string& out, const net::Address& address, PeerKind kind, std::size_t length) {
    out += magic;
    out += kind == PeerKind::client ? version_of_clients : version_of_peers;
    for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(length >> shift & 0xFFU);
    out.append(reinterpret_cast<const char*>(address.bytes.data()), address.bytes.size());
}

Result<RelayHeader> parse_relay_header(std::string_view header, std::size_t max_bytes) {
    if (header.size() != Relay::header_bytes || !header.starts_with(magic) ||
        (header[3] != version_of_peers && header[3] != version_of_clients)) {
        return fail(Errc::malformed, "cannot read a relay message: it is of another version");
    }
    RelayHeader result;
    if (header[3] == version_of_clients) result.kind = PeerKind::client;
    for (std::size_t i = 4; i < 12; ++i) result.length = result.length << 8U | static_cast<unsigned char>(header[i]);
    if (result.length > max_bytes) return fail(Errc::too_large, "cannot take a relay message: it is too large");
    std::memcpy(result.address.bytes.data(), header.data() + 12, result.address.bytes.size());
    return result;
}

// --- sending --------------------------------------------------------------------------------------------------------

class Relay::Peer final : public net::Handler, private base::Timer {
public:
    Peer(Relay& relay, const Tag& tag, base::UniqueFd fd) : relay_(relay), tag_(tag), fd_(std::move(fd)) {}

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    [[nodiscard]] const Tag& tag() const noexcept { return tag_; }
    [[nodiscard]] std::size_t waiting() const noexcept { return queue_.size(); }
    [[nodiscard]] bool is_full() const noexcept { return queue_.size() >= max_waiting || bytes_ >= max_waiting_bytes; }

    void push(Handover handover) {
        Message message{std::move(handover.fd), handover.peer, handover.kind, {}, 0};
        message.wire.reserve(header_bytes + handover.bytes.size());
        append_relay_header(message.wire, handover.peer, handover.kind, handover.bytes.size());
        message.wire += handover.bytes;
        bytes_ += message.wire.size();
        queue_.push_back(std::move(message));
    }

    /// Sends what the socket takes; false when the other end is gone.
    bool flush() {
        while (!queue_.empty()) {
            Message& message = queue_.front();
            const ssize_t n = send_some(message);
            if (n < 0) {
                if (errno == EINTR) continue;
                // Too many descriptors are on their way: no event tells when there are fewer.
                if (errno == ETOOMANYREFS || errno == ENOBUFS || errno == ENOMEM) {
                    relay_.loop_.timers().arm(*this, relay_.loop_.now() + retry_time);
                    return true;
                }
                return errno == EAGAIN;
            }
            message.fd.reset();  // it travels with the first byte
            message.sent += static_cast<std::size_t>(n);
            if (message.sent < message.wire.size()) continue;
            bytes_ -= message.wire.size();
            queue_.pop_front();
            ++relay_.stats_.out;
        }
        return true;
    }

    /// Takes out what has not been sent. A descriptor whose message was begun is lost with the receiver.
    std::vector<Handover> take_back() {
        std::vector<Handover> back;
        for (Message& message : queue_) {
            ++relay_.stats_.failures;
            if (!message.fd) continue;
            back.push_back({std::move(message.fd), message.address, tag_, message.wire.substr(header_bytes),
                            message.address, message.kind});
        }
        queue_.clear();
        return back;
    }

    void on_ready(std::uint32_t events) override {
        if ((events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0 || !flush()) relay_.drop(*this);
    }

private:
    struct Message {
        base::UniqueFd fd;
        net::Address address;
        PeerKind kind;
        std::string wire;
        std::size_t sent = 0;
    };

    ssize_t send_some(Message& message) const {
        iovec part{message.wire.data() + message.sent, message.wire.size() - message.sent};
        msghdr header{};
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
        if (message.fd) {
            header.msg_control = control;
            header.msg_controllen = sizeof control;
            cmsghdr* rights = CMSG_FIRSTHDR(&header);
            rights->cmsg_level = SOL_SOCKET;
            rights->cmsg_type = SCM_RIGHTS;
            rights->cmsg_len = CMSG_LEN(sizeof(int));
            const int fd = message.fd.get();
            std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
        }
        return sendmsg(fd_.get(), &header, MSG_NOSIGNAL);
    }

    void expire(Millis) override {
        if (!flush()) relay_.drop(*this);
    }

    Relay& relay_;
    Tag tag_;
    base::UniqueFd fd_;
    std::deque<Message> queue_;
    std::size_t bytes_ = 0;  // of queue_
};

// --- receiving ------------------------------------------------------------------------------------------------------

class Relay::Source final : public net::Handler, private base::Timer {
public:
    Source(Relay& relay, base::UniqueFd fd) : relay_(relay), fd_(std::move(fd)) {}
    ~Source() override {
        for (const int fd : descriptors_) {
            if (fd >= 0) ::close(fd);
        }
    }

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    void on_ready(std::uint32_t) override { read(); }

private:
    void read() {
        for (int i = 0; i < messages_per_turn; ++i) {
            switch (read_once()) {
                case Read::some: break;
                case Read::nothing: return;
                case Read::end: relay_.drop(*this); return;
            }
        }
        relay_.loop_.timers().arm(*this, relay_.loop_.now());
    }

    enum class Read : std::uint8_t { some, nothing, end };

    // One recvmsg gives at most one message's descriptor: the kernel joins no two that carry some.
    Read read_once() {
        buffer_.resize(chunk);
        iovec part{buffer_.data(), buffer_.size()};
        alignas(cmsghdr) char control[CMSG_SPACE(4 * sizeof(int))];
        msghdr header{};
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        const ssize_t n = recvmsg(fd_.get(), &header, MSG_CMSG_CLOEXEC);
        if (n < 0) return errno == EINTR ? Read::some : errno == EAGAIN ? Read::nothing : Read::end;
        std::size_t got = 0;
        for (cmsghdr* one = CMSG_FIRSTHDR(&header); one != nullptr; one = CMSG_NXTHDR(&header, one)) {
            if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_RIGHTS) continue;
            for (std::size_t at = CMSG_LEN(0); at + sizeof(int) <= one->cmsg_len; at += sizeof(int)) {
                int fd = -1;
                std::memcpy(&fd, reinterpret_cast<const char*>(one) + at, sizeof fd);
                descriptors_.push_back(fd);
                ++got;
            }
        }
        // No descriptor was free here: the message comes without, and the client is lost.
        if ((header.msg_flags & MSG_CTRUNC) != 0 && got == 0) descriptors_.push_back(-1);
        if (n == 0) return Read::end;
        in_.append(buffer_.data(), static_cast<std::size_t>(n));
        return decode() ? Read::some : Read::end;
    }

    bool decode() {
        std::size_t at = 0;
        while (in_.size() - at >= header_bytes) {
            const auto header = parse_relay_header(std::string_view(in_).substr(at, header_bytes), max_message);
            if (!header) {
                log::warn("gateway", "relay_refused", {{"reason", header.error().what}});
                return false;
            }
            if (in_.size() - at - header_bytes < header->length) break;
            if (descriptors_.empty()) {
                log::warn("gateway", "relay_refused", {{"reason", "a message without a descriptor"}});
                return false;
            }
            base::UniqueFd fd(descriptors_.front());
            descriptors_.pop_front();
            const std::string_view bytes = std::string_view(in_).substr(at + header_bytes, header->length);
            at += header_bytes + header->length;
            if (!fd) {
                ++relay_.stats_.failures;
                continue;
            }
            ++relay_.stats_.in;
            // A later request of it may be for another gateway again.
            relay_.engine_.adopt(std::move(fd), header->address, bytes, false, header->kind);
        }
        in_.erase(0, at);
        if (in_.empty() && in_.capacity() > chunk) in_ = std::string();
        return true;
    }

    void expire(Millis) override { read(); }

    Relay& relay_;
    base::UniqueFd fd_;
    std::string in_;
    std::string buffer_;
    std::deque<int> descriptors_;  // of messages that are not complete; -1: lost
};

class Relay::Listener final : public net::Handler {
public:
    Listener(Relay& relay, base::UniqueFd fd) : relay_(relay), fd_(std::move(fd)) {}
    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    void on_ready(std::uint32_t) override { relay_.accept_all(); }

private:
    Relay& relay_;
    base::UniqueFd fd_;
};

// --- the relay ------------------------------------------------------------------------------------------------------

std::size_t Relay::TagHash::operator()(const Tag& tag) const noexcept { return base::KeyedHash{}(tag.view()); }

Relay::Relay(net::Loop& loop, Engine& engine) : loop_(loop), engine_(engine) {}

Relay::~Relay() {
    if (listener_ != nullptr) {
        loop_.unwatch(listener_->fd(), *listener_);
        net::remove_socket(own_path_);
    }
    for (auto& [tag, peer] : peers_) loop_.unwatch(peer->fd(), *peer);
    for (auto& source : sources_) loop_.unwatch(source->fd(), *source);
}

std::string Relay::path_of(std::string_view tag) const {
    std::string path = folder_;
    path += '/';
    path += tag;
    path += suffix;
    return path;
}

// A socket in the folder is complete when it appears there, so that one nobody answers on is a dead process's.
void Relay::sweep() const {
    std::error_code error;
    for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
        const std::string name = at->path().filename().string();
        if (!name.ends_with(suffix) || !Tag::is_tag(std::string_view(name).substr(0, name.size() - suffix.size()))) {
            continue;
        }
        if (!connect_to(at->path().string()) && errno == ECONNREFUSED) net::remove_socket(at->path().string());
    }
}

Result<base::UniqueFd> Relay::listen() {
    const std::string first = folder_ + "/." + std::to_string(getpid()) + ".new";
    sockaddr_un address{};
    if (!address_of(first, address) || path_of("TAGS").size() >= sizeof address.sun_path) {
        return fail(Errc::usage, "cannot listen in '" + folder_ + "': the path of a socket has at most 107 bytes");
    }
    base::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const auto lost = [&] {
        const std::string reason = std::strerror(errno);
        net::remove_socket(first);
        return fail(Errc::io, "cannot listen in '" + folder_ + "': " + reason);
    };
    net::remove_socket(first);
    const mode_t before = umask(0177);
    const bool bound = fd && bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    const int reason = errno;
    umask(before);
    errno = reason;
    if (!bound || ::listen(fd.get(), 512) != 0) return lost();
    for (int i = 0; i < 16; ++i) {
        own_path_ = path_of(engine_.ids().tag().view());
        if (renameat2(AT_FDCWD, first.c_str(), AT_FDCWD, own_path_.c_str(), RENAME_NOREPLACE) == 0) return fd;
        if (errno != EEXIST) break;
        engine_.ids().draw_tag();
    }
    return lost();
}

Result<void> Relay::start(const std::string& folder) {
    folder_ = folder;
    if (auto safe = net::prepare_socket_folder(path_of("TAGS")); !safe) {
        return fail(Errc::io, "cannot listen in '" + folder_ + "': " + safe.error().what);
    }
    sweep();
    auto fd = listen();
    if (!fd) return tl::unexpected(fd.error());
    listener_ = std::make_unique<Listener>(*this, std::move(*fd));
    if (auto watched = loop_.watch(listener_->fd(), *listener_); !watched) return watched;
    engine_.add_forwarder(*this);
    return {};
}

void Relay::accept_all() {
    for (;;) {
        base::UniqueFd fd(accept4(listener_->fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!fd) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            return;
        }
        if (!is_same_user(fd.get()) || sources_.size() >= max_peers) {
            log::warn("gateway", "relay_refused", {{"reason", "another user, or too many gateways"}});
            continue;
        }
        auto source = std::make_unique<Source>(*this, std::move(fd));
        if (loop_.watch(source->fd(), *source)) sources_.push_back(std::move(source));
    }
}

Forwarder::Reach Relay::reach(const Tag& tag) {
    if (const auto known = peers_.find(tag); known != peers_.end()) {
        if (!known->second->is_full()) return Reach::open;
        ++stats_.full;
        return Reach::full;
    }
    const std::string path = path_of(tag.view());
    base::UniqueFd fd = connect_to(path);
    if (!fd) {
        if (errno == ECONNREFUSED) net::remove_socket(path);  // its process is gone
        if (errno != EAGAIN && errno != EMFILE && errno != ENFILE) return Reach::unknown;
        ++stats_.full;
        return Reach::full;
    }
    auto peer = std::make_unique<Peer>(*this, tag, std::move(fd));
    if (!loop_.watch(peer->fd(), *peer)) return Reach::full;
    peers_.emplace(tag, std::move(peer));
    return Reach::open;
}

void Relay::take(Handover handover) {
    if (reach(handover.tag) == Reach::unknown) {
        ++stats_.failures;
        keep_here(std::move(handover));
        return;
    }
    const auto known = peers_.find(handover.tag);
    if (known == peers_.end()) {
        Engine::refuse(std::move(handover.fd));
        return;
    }
    Peer& peer = *known->second;
    peer.push(std::move(handover));
    if (peer.waiting() == 1 && !peer.flush()) drop(peer);
}

// The session's gateway is gone, and its sessions with it: the client is told so here.
void Relay::keep_here(Handover handover) {
    engine_.adopt(std::move(handover.fd), handover.peer, handover.bytes, true, handover.kind);
}

std::size_t Relay::descriptors() const noexcept {
    std::size_t count = 0;
    for (const auto& [tag, peer] : peers_) count += peer->waiting();
    return count;
}

void Relay::drop(Peer& peer) {
    const auto known = peers_.find(peer.tag());
    if (known == peers_.end() || known->second.get() != &peer) return;
    loop_.unwatch(peer.fd(), peer);
    std::vector<Handover> back = peer.take_back();
    loop_.dispose(known->second.release());
    peers_.erase(known);
    for (Handover& one : back) keep_here(std::move(one));
}

void Relay::drop(Source& source) {
    loop_.unwatch(source.fd(), source);
    const auto at = std::find_if(sources_.begin(), sources_.end(), [&](const auto& s) { return s.get() == &source; });
    if (at == sources_.end()) return;
    loop_.dispose(at->release());
    sources_.erase(at);
}

}  // namespace sio::gateway
