#include "daemon/line_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include "base/log.h"
#include "net/listener.h"
#include "net/socket_path.h"

namespace sio::daemon {

class LineServer::Client final : public net::Handler, public base::Timer {
public:
    Client(LineServer& server, int fd, std::uint64_t number)
        : server_(server), fd_(fd), number_(number), lines_(server.options_.max_line) {}

    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
    bool is_greeted = false;

    void on_ready(std::uint32_t events) override {
        if ((events & EPOLLOUT) != 0) flush();
        read();
    }

    void send(std::string_view text) {
        if (is_closed_) return;
        if (out_.empty()) server_.unsent_.push_back(number_);
        out_ += text;
        if (out_.size() > server_.options_.max_backlog) {
            ++server_.stats_.cut_off;
            log::warn(server_.options_.component, "peer_cut_off", {{"peer", number_}, {"reason", "it does not read"}});
            close();
        }
    }

    void flush() {
        if (!is_closed_ && !net::send_some(fd_.get(), out_)) close();
    }

    /// Closes once what has been said is written, as far as it goes.
    void say_and_close(std::string_view text) {
        send(text);
        flush();
        close();
    }

private:
    void expire(base::Millis) override { read(); }

    void close() {
        if (std::exchange(is_closed_, true)) return;
        disarm();
        server_.loop_.unwatch(fd_.get(), *this);
        server_.forget(*this);
        server_.loop_.dispose(this);
    }

    void read() {
        std::array<char, 65536> buffer;
        std::size_t taken = 0;
        while (!is_closed_) {
            if (taken >= server_.options_.max_read_per_turn) {
                server_.loop_.timers().arm(*this, server_.loop_.now());  // the rest in the next turn
                return;
            }
            const ssize_t n = recv(fd_.get(), buffer.data(), buffer.size(), 0);
            if (n < 0) {
                if (errno == EINTR) continue;
                if (errno != EAGAIN) close();
                return;
            }
            if (n == 0) {
                close();
                return;
            }
            taken += static_cast<std::size_t>(n);
            lines_.feed({buffer.data(), static_cast<std::size_t>(n)});
            while (!is_closed_) {
                const auto line = lines_.next();
                if (!line) break;
                server_.take_line(*this, *line);
            }
            if (!is_closed_ && lines_.too_long()) {
                const std::string reason = "a line above " + std::to_string(server_.options_.max_line >> 10U) + " KiB";
                std::string out;
                wire::append_admin_error(out, std::nullopt, wire::admin_error::too_large, reason);
                log::warn(server_.options_.component, "peer_refused", {{"peer", number_}, {"reason", reason}});
                say_and_close(out);
            }
        }
    }

    LineServer& server_;
    base::UniqueFd fd_;
    std::uint64_t number_;
    wire::LineSplitter lines_;
    std::string out_;
    bool is_closed_ = false;
};

LineServer::LineServer(net::Loop& loop, Owner& owner, Options options)
    : loop_(loop), owner_(owner), options_(std::move(options)) {
    options_.greeting.pid = getpid();
    loop_.add_turn_end(*this);
}

LineServer::~LineServer() {
    stop_listening();
    loop_.remove_turn_end(*this);
    for (const auto& [number, client] : clients_) delete client;
}

Result<void> LineServer::listen(const std::string& path) {
    auto fd = net::listen_unix(path);
    if (!fd) return tl::unexpected(fd.error());
    listener_ = std::move(*fd);
    path_ = path;
    return loop_.watch(listener_.get(), *this);
}

void LineServer::stop_listening() {
    if (path_.empty()) return;
    loop_.unwatch(listener_.get(), *this);
    listener_.reset();
    net::remove_socket(path_);
    path_.clear();
}

void LineServer::on_ready(std::uint32_t) {
    for (;;) {
        const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            if (errno != EAGAIN) log::warn(options_.component, "accept_failed", {{"error", errno}});
            return;
        }
        if (const auto known = net::check_client(fd); !known) {
            log::warn(options_.component, "peer_refused", {{"path", path_}, {"reason", known.error().what}});
            close(fd);
            continue;
        }
        auto* client = new Client(*this, fd, next_client_++);
        if (!loop_.watch(fd, *client)) {
            delete client;
            continue;
        }
        const bool is_full = clients_.size() >= options_.max_clients;
        clients_.emplace(client->number(), client);
        ++stats_.connections;
        log::debug(options_.component, "peer_connected", {{"peer", client->number()}});
        client->send(wire::admin_server_greeting(options_.greeting));
        if (is_full) {
            std::string out;
            wire::append_admin_error(out, std::nullopt, wire::admin_error::busy, "too many are connected already");
            client->say_and_close(out);
        }
    }
}

bool LineServer::end_turn() {
    const auto clients = std::exchange(unsent_, {});
    for (const std::uint64_t number : clients) {
        if (Client* const client = find(number)) client->flush();
    }
    return false;
}

LineServer::Client* LineServer::find(std::uint64_t client) const {
    const auto found = clients_.find(client);
    return found == clients_.end() ? nullptr : found->second;
}

void LineServer::forget(Client& client) {
    clients_.erase(client.number());
    log::debug(options_.component, "peer_gone", {{"peer", client.number()}});
    owner_.on_gone(client.number());
}

void LineServer::take_line(Client& client, std::string_view line) {
    if (client.is_greeted) {
        owner_.on_line(client.number(), line);
        return;
    }
    const auto greeting = wire::parse_admin_greeting(line);
    if (greeting) {
        client.is_greeted = true;
        return;
    }
    const bool other = greeting.error().code == Errc::denied;
    std::string out;
    wire::append_admin_error(out, std::nullopt, other ? wire::admin_error::unsupported : wire::admin_error::malformed,
                             other ? "this daemon speaks version 1" : greeting.error().what);
    client.say_and_close(out);
}

void LineServer::send(std::uint64_t client, std::string_view text) {
    if (Client* const found = find(client)) found->send(text);
}

}  // namespace sio::daemon
