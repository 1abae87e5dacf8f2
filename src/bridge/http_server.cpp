#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <unordered_set>
#include <utility>

#include "base/log.h"
#include "base/timer_wheel.h"
#include "base/unique_fd.h"
#include "bridge/listen_address.h"
#include "bridge/server.h"
#include "net/listener.h"
#include "proto/http_head.h"

namespace sio::bridge {

namespace {

constexpr std::size_t max_head_bytes = 8U << 10U;
constexpr std::size_t max_connections = 64;
constexpr std::size_t max_discarded = 64U << 10U;  // bytes that a client may send after our last answer
constexpr std::size_t max_requests = 100;          // of one connection, which then ends
constexpr base::Millis request_time = 10'000;      // for its first byte, and from that to the last of its answer

std::string_view phrase(int status) noexcept {
    switch (status) {
        case 200: return "OK";
        case 400: return "Bad Request";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 408: return "Request Timeout";
        case 413: return "Payload Too Large";
        case 431: return "Request Header Fields Too Large";
        case 501: return "Not Implemented";
        case 503: return "Service Unavailable";
        case 505: return "HTTP Version Not Supported";
        default: return "Unknown";
    }
}

struct Response {
    int status = 200;
    std::string_view type = "application/json";
    std::string_view headers = {};  ///< further ones, each with its CRLF
    std::string body = {};
};

Response refusal(int status) {
    return {status, "text/plain; charset=utf-8", status == 405 ? "Allow: GET, HEAD\r\n" : "",
            std::to_string(status) + " " + std::string(phrase(status)) + "\n"};
}

Response respond(ServerHost& host, const proto::HttpHead& head) {
    const std::string_view path = head.path;
    if (path != "/metrics" && path != "/health" && path != "/live" && path != "/ready") return refusal(404);
    if (head.method != "GET" && head.method != "HEAD") return refusal(405);
    if (path == "/metrics") return {200, "text/plain; version=0.0.4; charset=utf-8", {}, host.metrics_text()};
    if (path == "/live") return {200, "application/json", {}, R"({"status":"ok"})"};
    return {path == "/ready" && !host.is_ready() ? 503 : 200, "application/json", {}, host.health_json()};
}

}  // namespace

struct HttpServer::Parts final : net::Handler {
    class Connection;

    Parts(net::Loop& event_loop, ServerHost& server_host) : loop(event_loop), host(server_host) {}
    Parts(const Parts&) = delete;
    Parts& operator=(const Parts&) = delete;
    ~Parts() override;

    void on_ready(std::uint32_t events) override;

    net::Loop& loop;
    ServerHost& host;
    base::UniqueFd listener;
    std::unordered_set<Connection*> connections;
};

/// One request after the other: the next is looked at once the answer to the last is written.
class HttpServer::Parts::Connection final : public net::Handler, public base::Timer {
public:
    Connection(Parts& server, int fd) : server_(server), fd_(fd) { arm(); }

    void on_ready(std::uint32_t events) override {
        if ((events & EPOLLOUT) != 0) write();
        read();
    }

private:
    void expire(base::Millis) override {
        if (is_ending_ || !out_.empty() || in_.empty()) {
            close();
            return;
        }
        answer(refusal(408), false, true);
    }

    void arm() { server_.loop.timers().arm(*this, server_.loop.now() + request_time); }

    void close() {
        if (std::exchange(is_closed_, true)) return;
        disarm();
        server_.loop.unwatch(fd_.get(), *this);
        server_.connections.erase(this);
        server_.loop.dispose(this);
    }

    /// Reads while nothing waits to be written, so that a client that does not read costs one answer.
    void read() {
        while (!is_closed_ && out_.empty()) {
            if (take_head()) continue;
            if (is_closed_ || !out_.empty()) return;
            std::array<char, max_head_bytes> buffer;
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
            taken_ += static_cast<std::size_t>(n);
            if (is_ending_) {  // what comes after the last answer is not looked at
                if (taken_ > max_discarded) close();
                continue;
            }
            if (!std::exchange(has_begun_, true)) arm();
            if (taken_ > 2 * max_head_bytes) {
                answer(refusal(431), false, true);
                continue;
            }
            in_.append(buffer.data(), static_cast<std::size_t>(n));
        }
    }

    /// Answers the request at the front of what has been read. Whether there was a whole one.
    bool take_head() {
        if (is_ending_) return false;
        if (in_.starts_with("\r\n")) in_.erase(0, 2);
        const std::size_t length = proto::find_http_head(in_);
        if (length > max_head_bytes || (length == 0 && in_.size() > max_head_bytes)) {
            answer(refusal(431), false, true);
            return false;
        }
        if (length == 0) return false;
        proto::HttpHead head;
        const std::string text = in_.substr(0, length);
        in_.erase(0, length);
        if (const auto refused = proto::parse_http_head(text, head)) {
            log::debug("bridge", "http_refused", {{"status", refused->status}, {"reason", refused->reason}});
            answer(refusal(refused->status), false, true);
            return true;
        }
        // Nobody has a use for a body here; what follows the head would not be a request.
        const bool has_body = head.chunked || head.content_length > 0;
        const bool ends = has_body || head.has_upgrade || !head.keep_alive || ++requests_ >= max_requests;
        Response response = respond(server_.host, head);
        if (has_body && response.status != 404 && response.status != 405) response = refusal(413);
        answer(response, head.method == "HEAD", ends);
        return true;
    }

    void answer(const Response& response, bool is_head, bool ends) {
        is_ending_ = ends;
        has_begun_ = !in_.empty();
        taken_ = in_.size();
        out_ = "HTTP/1.1 " + std::to_string(response.status) + " " + std::string(phrase(response.status)) + "\r\n";
        out_ += "Content-Type: " + std::string(response.type) + "\r\n";
        out_ += "Content-Length: " + std::to_string(response.body.size()) + "\r\n";
        out_ += "Cache-Control: no-store\r\n";
        out_ += response.headers;
        out_ += ends ? "Connection: close\r\n\r\n" : "Connection: keep-alive\r\n\r\n";
        if (!is_head) out_ += response.body;
        write();
    }

    void write() {
        const std::size_t before = out_.size();
        if (!net::send_some(fd_.get(), out_)) return close();
        if (out_.size() == before) return;
        if (!out_.empty()) return;
        arm();
        // Closing with bytes unread would send a reset, which can overtake the answer: the peer closes, or the timer.
        if (is_ending_) shutdown(fd_.get(), SHUT_WR);
    }

    Parts& server_;
    base::UniqueFd fd_;
    std::string in_;
    std::string out_;
    std::size_t taken_ = 0;  // bytes since the last answer
    std::size_t requests_ = 0;
    bool has_begun_ = false;  // some of the next request is there
    bool is_ending_ = false;  // the answer under way, or written, is the last
    bool is_closed_ = false;
};

HttpServer::Parts::~Parts() {
    if (listener) loop.unwatch(listener.get(), *this);
    for (Connection* const connection : connections) delete connection;
}

void HttpServer::Parts::on_ready(std::uint32_t) {
    for (;;) {
        base::UniqueFd fd(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!fd) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            if (errno != EAGAIN) log::warn("bridge", "accept_failed", {{"error", errno}});
            return;
        }
        if (connections.size() >= max_connections) {
            log::debug("bridge", "http_refused", {{"reason", "64 connections are open"}});
            continue;
        }
        const int number = fd.get();
        auto* const connection = new Connection(*this, fd.release());
        if (!loop.watch(number, *connection)) {
            delete connection;
            continue;
        }
        connections.insert(connection);
    }
}

HttpServer::HttpServer(net::Loop& loop, ServerHost& host) : parts_(std::make_unique<Parts>(loop, host)) {}

HttpServer::~HttpServer() = default;

Result<void> HttpServer::listen(const std::string& address) {
    const auto where = parse_listen_address(address);
    if (!where) return tl::unexpected(where.error());
    auto fd = net::listen_tcp(where->host, where->port);
    if (!fd) return tl::unexpected(fd.error());
    parts_->listener = std::move(*fd);
    return parts_->loop.watch(parts_->listener.get(), *parts_);
}

}  // namespace sio::bridge
