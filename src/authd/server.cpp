#include "authd/server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "base/log.h"
#include "net/listener.h"
#include "wire/admin.h"

namespace sio::authd {

class Server::Client final : public net::Handler, public base::Timer {
public:
    Client(Server& server, int fd, std::uint64_t number) : server_(server), fd_(fd), number_(number) {}

    [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
    bool is_greeted = false;
    bool is_gateway = false;
    std::size_t open = 0;

    void on_ready(std::uint32_t events) override {
        if ((events & EPOLLOUT) != 0) flush();
        read();
    }

    void send(std::string_view text) {
        if (is_closed_) return;
        if (out_.empty()) server_.unsent_.push_back(number_);
        out_ += text;
        if (out_.size() > max_backlog) {
            ++server_.stats_.cut_off;
            log::warn("authd", "peer_cut_off", {{"peer", number_}, {"reason", "it does not read"}});
            close();
        }
    }

    void flush() {
        if (is_closed_) return;
        std::size_t sent = 0;
        while (sent < out_.size()) {
            const ssize_t n = ::send(fd_.get(), out_.data() + sent, out_.size() - sent, MSG_NOSIGNAL);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) {
                if (errno != EAGAIN) {
                    close();
                    return;
                }
                break;
            }
            sent += static_cast<std::size_t>(n);
        }
        out_.erase(0, sent);
    }

    /// Closes once what has been said is written, as far as it goes.
    void close() {
        if (std::exchange(is_closed_, true)) return;
        disarm();
        server_.loop_.unwatch(fd_.get(), *this);
        server_.forget(*this);
        server_.loop_.dispose(this);
    }
    void say_and_close(std::string_view text) {
        send(text);
        flush();
        close();
    }

private:
    void expire(base::Millis) override { read(); }

    void read() {
        std::array<char, 65536> buffer;
        std::size_t taken = 0;
        while (!is_closed_) {
            if (taken >= max_read_per_turn) {
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
                std::string out;
                wire::append_admin_error(out, std::nullopt, wire::admin_error::too_large, "a line above 64 KiB");
                log::warn("authd", "peer_refused", {{"peer", number_}, {"reason", "a line above 64 KiB"}});
                say_and_close(out);
            }
        }
    }

    Server& server_;
    base::UniqueFd fd_;
    std::uint64_t number_;
    wire::LineSplitter lines_{max_line};
    std::string out_;
    bool is_closed_ = false;
};

Server::Server(net::Loop& loop, Host& host) : loop_(loop), host_(host) { loop_.add_turn_end(*this); }

Server::~Server() {
    stop_listening();
    loop_.remove_turn_end(*this);
    for (const auto& [number, client] : clients_) delete client;
}

Result<void> Server::listen(const std::string& path) {
    auto fd = net::listen_unix(path);
    if (!fd) return tl::unexpected(fd.error());
    listener_ = std::move(*fd);
    path_ = path;
    return loop_.watch(listener_.get(), *this);
}

void Server::stop_listening() {
    if (path_.empty()) return;
    loop_.unwatch(listener_.get(), *this);
    listener_.reset();
    unlink(path_.c_str());
    path_.clear();
}

void Server::on_ready(std::uint32_t) {
    for (;;) {
        const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            if (errno != EAGAIN) log::warn("authd", "accept_failed", {{"error", errno}});
            return;
        }
        auto* client = new Client(*this, fd, next_client_++);
        if (!loop_.watch(fd, *client)) {
            delete client;
            continue;
        }
        clients_.emplace(client->number(), client);
        ++stats_.connections;
        wire::AdminGreeting greeting;
        greeting.program = "sio-authd";
        greeting.version = SIO_VERSION;
        greeting.pid = getpid();
        client->send(wire::admin_server_greeting(greeting));
        log::debug("authd", "peer_connected", {{"peer", client->number()}});
    }
}

bool Server::end_turn() {
    const auto clients = std::exchange(unsent_, {});
    for (const std::uint64_t number : clients) {
        if (Client* const client = find(number)) client->flush();
    }
    return false;
}

Server::Client* Server::find(std::uint64_t client) const {
    const auto found = clients_.find(client);
    return found == clients_.end() ? nullptr : found->second;
}

void Server::forget(Client& client) {
    clients_.erase(client.number());
    log::debug("authd", "peer_gone", {{"peer", client.number()}});
    host_.on_gone(client.number());
}

void Server::take_line(Client& client, std::string_view line) {
    std::string out;
    if (!client.is_greeted) {
        const auto greeting = wire::parse_admin_greeting(line);
        if (!greeting) {
            const bool other = greeting.error().code == Errc::denied;
            wire::append_admin_error(out, std::nullopt,
                                     other ? wire::admin_error::unsupported : wire::admin_error::malformed,
                                     other ? "this daemon speaks version 1" : greeting.error().what);
            client.say_and_close(out);
            return;
        }
        client.is_greeted = true;
        return;
    }
    ++stats_.requests;
    const auto request = wire::parse_admin_request(line);
    if (!request) {
        ++stats_.refused;
        wire::append_admin_error(out, wire::admin_line_id(line), wire::admin_error::malformed, request.error().what);
        client.send(out);
        return;
    }
    if (client.open >= max_open) {
        ++stats_.refused;
        wire::append_admin_error(out, request->id, wire::admin_error::busy, "10,000 requests are open already");
        client.send(out);
        return;
    }
    auto command = parse_command(*request);
    if (!command) {
        ++stats_.refused;
        const bool unknown = command.error().code == Errc::not_found;
        wire::append_admin_error(out, request->id,
                                 unknown ? wire::admin_error::unknown_command : wire::admin_error::malformed,
                                 command.error().what);
        client.send(out);
        return;
    }
    if (const auto* const asked = std::get_if<Authenticate>(&*command);
        asked != nullptr && !asked->verify && !std::exchange(client.is_gateway, true)) {
        host_.on_gateway(client.number());
    }
    ++client.open;
    host_.on_request(client.number(), request->id, std::move(*command));
}

void Server::answer(std::uint64_t client, std::uint64_t id, std::string_view members) {
    Client* const found = find(client);
    if (found == nullptr) return;
    --found->open;
    std::string out;
    wire::append_admin_ok(out, id, members);
    found->send(out);
}

void Server::refuse(std::uint64_t client, std::uint64_t id, std::string_view code, std::string_view message) {
    Client* const found = find(client);
    if (found == nullptr) return;
    --found->open;
    std::string out;
    wire::append_admin_error(out, id, code, message);
    found->send(out);
}

void Server::close(std::uint64_t client) {
    if (Client* const found = find(client)) --found->open;
}

std::size_t Server::tell(std::string_view line) {
    // Writing may find that one does not read, and take it off the table.
    std::vector<std::uint64_t> gateways;
    for (const auto& [number, client] : clients_) {
        if (client->is_gateway) gateways.push_back(number);
    }
    for (const std::uint64_t number : gateways) tell(number, line);
    return gateways.size();
}

void Server::tell(std::uint64_t client, std::string_view line) {
    if (Client* const found = find(client)) found->send(line);
}

}  // namespace sio::authd
