#include "gateway/connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"
#include "gateway/http_text.h"

namespace sio::gateway {

namespace {

constexpr std::uint64_t share_of_turn = 2'048;  // units of work that one connection may bring in a turn
constexpr std::uint64_t request_work = 8;       // units of work: a request beside its bytes
constexpr std::size_t hop_field_room = 256;     // for what a hop adds to a head
constexpr Millis linger_time = 2'000;           // how long a peer may take to notice the end

}  // namespace

Connection::Connection(Engine& owner, int descriptor, const net::Address& remote)
    : engine(owner),
      fd(descriptor),
      address(remote),
      peer(remote),
      reader_(proto::WsReader::Role::server, owner.options().max_payload) {
    engine.loop().timers().arm(*this, engine.loop().now() + engine.options().handshake_timeout);
}

Connection::~Connection() {
    if (fd >= 0) close(fd);
}

void Connection::destroy() {
    if (mode == Mode::dead) return;
    mode = Mode::dead;
    disarm();
    charge.clear();
    engine.loop().unwatch(fd, *this);
    engine.connection_ended(*this);
    engine.forget(*this);
    // The descriptor is closed at once: its number may be reused, but never within this handler's remaining events.
    close(fd);
    fd = -1;
    engine.loop().dispose(this);
}

void Connection::expire(Millis) {
    if (mode == Mode::lingering) {
        destroy();
        return;
    }
    ++engine.stats_.timeouts;
    if (mode == Mode::leaving || (mode == Mode::http && has_output())) {  // nobody takes the answer
        destroy();
        return;
    }
    log::debug("http", "timeout", {{"address", address.to_string()}, {"idle", !has_input() && !exchange}});
    if (preface == Preface::due && has_input()) {
        engine.refuse_proxy_head(*this, ProxyFault::malformed, "it did not arrive in time");
        return;
    }
    if (exchange != nullptr || has_input()) {
        refuse(408, "the request did not arrive in time");
        return;
    }
    destroy();  // kept, and not used again
}

void Connection::on_ready(std::uint32_t events) {
    if (mode == Mode::dead) return;
    if ((events & EPOLLOUT) != 0) {
        if (out_blocked_) {
            out_blocked_ = false;
            flush_out();
            if (mode == Mode::dead) return;
        }
        if (mode == Mode::websocket && !is_probe) engine.outbox().unblock(slot);
    }
    if ((events & EPOLLERR) != 0) {
        destroy();
        return;
    }
    if ((events & (EPOLLRDHUP | EPOLLHUP)) != 0) {
        end_announced_ = true;
        if (holds_poll) {  // gone, or half closed, which is the same to a client that waits for an answer
            destroy();
            return;
        }
    }
    // Who has brought more than his share in this turn is read on in the next, however often he writes.
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) != 0 && !queued_unread) read_input();
}

void Connection::read_input() {
    if (mode == Mode::dead) return;
    if (engine.must_wait()) {
        engine.read_later(*this);
        return;
    }
    if (is_delivering() && !engine.deliver_post(*this)) return;
    read_share_of_turn();
    if (mode != Mode::dead) engine.recount(*this);
}

void Connection::read_share_of_turn() {
    engine.share_ends_ = engine.work_ + share_of_turn;
    if (mode == Mode::http) parse();  // what has been pipelined behind an answer
    while (mode != Mode::dead && mode != Mode::leaving) {
        if (engine.work_ >= engine.share_ends_) {
            engine.read_later(*this);
            return;
        }
        if (is_delivering()) return;  // read on when all of it is delivered
        // Somebody who pipelines behind an answer that waits is read no further than a head's worth.
        if (mode == Mode::http && !may_parse() && input().size() >= engine.options().max_header_bytes) return;
        auto& buffer = engine.read_buffer_;
        const ssize_t n = recv(fd, buffer.data(), buffer.size(), 0);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN) return;
            destroy();
            return;
        }
        if (n == 0) {
            destroy();
            return;
        }
        const auto length = static_cast<std::size_t>(n);
        const bool more = length == buffer.size();
        engine.work_ += length / Engine::bytes_per_work;
        if (mode == Mode::websocket) {
            consume_websocket({buffer.data(), length});
        } else if (mode == Mode::http) {
            consume_http({buffer.data(), length});
        }
        // A short read has emptied the socket. What comes later is an edge of its own, the end of the stream too,
        // unless it was announced with these bytes.
        if (!more && !end_announced_) return;
    }
}

// --- WebSocket ------------------------------------------------------------------------------------------------------

void Connection::consume_websocket(std::span<char> bytes) {
    while (mode == Mode::websocket) {
        const proto::WsEvent event = reader_.next(bytes);
        ++engine.work_;
        switch (event.kind) {
            case proto::WsEvent::Kind::need_more: return;
            case proto::WsEvent::Kind::text: engine.on_socket_text(*this, event.data); break;
            case proto::WsEvent::Kind::binary: engine.on_socket_binary(*this, event.data); break;
            case proto::WsEvent::Kind::ping: answer_ping(event.data); break;
            case proto::WsEvent::Kind::pong: break;
            case proto::WsEvent::Kind::close:
                engine.on_socket_closed(*this, proto::CloseReason::transport_close, event.close_code);
                return;
            case proto::WsEvent::Kind::error:
                engine.on_socket_closed(
                    *this, proto::CloseReason::transport_error, event.close_code,
                    event.close_code == proto::ws_close::too_big ? engine.tell_large_message(*this, event.size) : "");
                return;
        }
    }
}

// The newest ping alone has to be answered. Source: RFC 6455, 5.5.3.
void Connection::answer_ping(std::string_view data) {
    if (!is_probe) {
        engine.outbox().push_pong(slot, FrameRef::pong(data));
        return;
    }
    std::string pong;
    proto::append_ws_frame(pong, proto::WsOpcode::pong, data);
    if (has_output()) {
        buffers_->probe_pong = std::move(pong);
    } else {
        write_raw(pong);
    }
}

void Connection::become_websocket(std::string_view response) {
    mode = Mode::websocket;
    disarm();
    exchange.reset();
    write_raw(response);
}

void Connection::read_early_frames() {
    std::string early(input());
    drop_input();
    if (!early.empty()) consume_websocket({early.data(), early.size()});
}

void Connection::close_websocket(std::string_view before, std::uint16_t code, std::string_view reason) {
    if (mode != Mode::websocket) return;
    std::string bytes(before);
    proto::append_ws_close(bytes, code, reason);
    is_probe = false;
    mode = Mode::lingering;
    write_raw(bytes);
    if (mode != Mode::dead) finish_and_close();
}

// --- HTTP -----------------------------------------------------------------------------------------------------------

void Connection::consume_http(std::string_view bytes) {
    if (preface != Preface::none) {
        buffers().in.append(bytes);
        if (!take_preface() || !has_input()) return;
        engine.loop().timers().arm(*this, engine.loop().now() + engine.options().header_timeout);
        parse();
        return;
    }
    if (!has_input() && exchange == nullptr && !holds_poll) {  // the first bytes of a request
        engine.loop().timers().arm(*this, engine.loop().now() + engine.options().header_timeout);
    }
    Buffers& kept = buffers();
    if (kept.in_done >= kept.in.size() / 2) {  // what is parsed makes room, each byte moved once at most
        kept.in.erase(0, kept.in_done);
        kept.in_done = 0;
    }
    kept.in.append(bytes);
    parse();
}

/// Reads what stands before the first request. False: more of it is to come, or the connection is refused. The time is
/// that of the handshake, from the connection's start.
bool Connection::take_preface() {
    if (preface == Preface::unwanted) {
        preface = Preface::none;
        if (!proto::begins_with_proxy_head(input())) return true;
        if (engine.options().proxy_protocol) {
            engine.refuse_proxy_head(*this, ProxyFault::untrusted, "trust-proxy does not name the sender");
        } else {
            engine.refuse_proxy_head(*this, ProxyFault::off, "proxy-protocol is off");
        }
        return false;
    }
    const proto::ProxyHead head = proto::parse_proxy_head(input());
    switch (head.state) {
        case proto::ProxyHead::State::more: return false;
        case proto::ProxyHead::State::missing:
            engine.refuse_proxy_head(*this, ProxyFault::missing, "the connection begins with something else");
            return false;
        case proto::ProxyHead::State::malformed:
            engine.refuse_proxy_head(*this, ProxyFault::malformed, head.reason);
            return false;
        case proto::ProxyHead::State::complete: break;
    }
    preface = Preface::none;
    consume(head.length);
    return engine.take_proxy_head(*this, head);
}

void Connection::consume(std::size_t bytes) noexcept {
    if (bytes == 0) return;
    buffers_->in_done += bytes;
    if (buffers_->in_done < buffers_->in.size()) return;
    buffers_->in.clear();
    buffers_->in_done = 0;
}

void Connection::parse() {
    if (parsing_ || preface != Preface::none) return;
    parsing_ = true;
    while (may_parse()) {
        if (engine.work_ >= engine.share_ends_ && has_input()) {
            engine.read_later(*this);
            break;
        }
        if (!parse_one()) break;
    }
    parsing_ = false;
    if (mode == Mode::http && !has_input()) drop_input();
}

// Takes one step; false when more bytes are needed.
bool Connection::parse_one() {
    if (exchange != nullptr) return take_body();
    std::size_t blank = 0;
    while (input().substr(blank).starts_with("\r\n")) blank += 2;
    consume(blank);
    if (!has_input()) return false;
    const std::size_t limit = engine.options().max_header_bytes + (gate != nullptr ? hop_field_room : 0);
    const std::size_t length = proto::find_http_head(input().substr(0, limit + 1));
    if (length > limit || (length == 0 && input().size() > limit)) {
        refuse(431, engine.tell_limit(Limit::head, address, {}, length, engine.options().max_header_bytes));
        return false;
    }
    if (length == 0) return false;
    exchange = std::make_unique<Exchange>();
    exchange->text = input().substr(0, length);
    consume(length);
    if (const auto refusal = proto::parse_http_head(exchange->text, exchange->head)) {
        if (refusal->status == 431) {
            refuse(431, engine.tell_limit(Limit::header_lines, address, {}, 0, proto::HttpHead::max_headers));
        } else if (refusal->status == 413) {
            refuse(413, engine.tell_limit(Limit::body, address, {}, 0, engine.options().max_payload));
        } else {
            refuse(refusal->status, refusal->reason);
        }
        return false;
    }
    const proto::HttpHead& head = exchange->head;
    ++engine.stats_.requests;
    engine.work_ += request_work;
    exchange->reply.keep_alive = head.keep_alive;
    exchange->reply.head_only = head.method == "HEAD";
    exchange->body_left = head.content_length;
    exchange->body_limit = engine.options().max_payload;
    const std::string_view agent = head.header("user-agent").value_or("");
    exchange->reply.old_explorer =
        agent.find(";MSIE") != std::string_view::npos || agent.find("Trident/") != std::string_view::npos;
    if (head.chunked || head.content_length > 0) {
        engine.loop().timers().arm(*this, engine.loop().now() + engine.options().body_timeout);
    } else {
        disarm();
    }
    engine.route(*this);
    if (mode != Mode::http || exchange == nullptr) return mode == Mode::http;
    if (head.expect_continue && exchange->wants_body && exchange->body_left <= exchange->body_limit) {
        write_raw("HTTP/1.1 100 Continue\r\n\r\n");
    }
    return mode == Mode::http;
}

bool Connection::take_body() {
    Exchange& x = *exchange;
    const std::size_t limit = x.body_limit;
    if (x.head.chunked) {
        std::string_view rest = input();
        const auto state = x.chunks.feed(rest, x.body, limit);
        consume(input().size() - rest.size());
        if (!x.wants_body) x.body.clear();
        if (state == proto::ChunkedDecoder::State::more) return false;
        if (state == proto::ChunkedDecoder::State::error) {
            if (x.chunks.too_large()) {
                engine.refuse_body(*this);
            } else {
                refuse(400, "the chunked body is malformed");
            }
            return false;
        }
    } else {
        if (x.body_left > limit) {
            engine.refuse_body(*this);
            return false;
        }
        const std::size_t take = std::min<std::size_t>(input().size(), x.body_left);
        if (x.wants_body) x.body.append(input().substr(0, take));
        consume(take);
        x.body_left -= take;
        if (x.body_left > 0) return false;
    }
    engine.finish_request(*this);
    return mode == Mode::http && !holds_poll;
}

void Connection::refuse(int status, std::string_view reason) {
    ++engine.stats_.requests_refused;
    log::debug("http", "request_refused", {{"address", address.to_string()}, {"status", status}, {"reason", reason}});
    close_after_reply = true;
    if (exchange == nullptr) exchange = std::make_unique<Exchange>();
    exchange->reply.cors.clear();
    const bool tells = status == 413 || status == 431;
    reply(status, tells ? "text/plain; charset=UTF-8" : "", tells ? reason : "");
}

void Connection::reply(int status, std::string_view content_type, std::string_view body,
                       std::string_view more_headers) {
    const ReplyContext& context = parked != nullptr ? *parked : exchange->reply;
    const bool keep = context.keep_alive && !close_after_reply;
    std::string text;
    text.reserve(256 + context.cors.size() + more_headers.size() + body.size());
    append_status_line(text, status);
    text += context.cors;
    if (!content_type.empty()) {
        text += "Content-Type: ";
        text += content_type;
        text += "\r\n";
    }
    if (status != 204 && status != 304) {
        text += "Content-Length: ";
        text += std::to_string(body.size());
        text += "\r\n";
    }
    if (context.old_explorer && status == 200) text += "X-XSS-Protection: 0\r\n";
    text += more_headers;
    append_date(text, engine.loop().wall_clock());
    text += keep ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
    if (!context.head_only) text += body;
    engine.work_ += text.size() / Engine::bytes_per_work;
    parked.reset();
    holds_poll = false;
    if (!keep) close_after_reply = true;
    write_raw(text);
    if (mode != Mode::dead) request_done();
}

void Connection::request_done() {
    exchange.reset();
    if (close_after_reply) {
        finish_and_close();
        return;
    }
    if (!has_output()) {
        await_next_request();
    } else {
        engine.loop().timers().arm(*this, engine.loop().now() + engine.options().body_timeout);
    }
}

// The answer is on its way whole.
void Connection::await_next_request() {
    engine.release_client(*this);
    engine.loop().timers().arm(
        *this, engine.loop().now() + (has_input() ? engine.options().header_timeout : engine.options().idle_timeout));
    // What was pipelined behind it waits for the end of the turn: the answer may have been given in the midst of a
    // fan-out, and a request may lead to anything.
    if (!parsing_ && has_input()) engine.read_later(*this);
}

void Connection::refuse_upgrade(std::string_view message, std::string_view more_headers, int status) {
    std::string text;
    append_status_line(text, status);
    text += "Connection: close\r\nContent-type: text/html\r\nContent-Length: ";
    text += std::to_string(message.size());
    text += "\r\n";
    text += more_headers;
    text += "\r\n";
    text += message;
    write_raw(text);
    if (mode != Mode::dead) finish_and_close();
}

// --- writing and ending ---------------------------------------------------------------------------------------------

void Connection::write_raw(std::string_view bytes) {
    if (!has_output()) {
        const ssize_t n = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            destroy();
            return;
        }
        if (n > 0) bytes.remove_prefix(static_cast<std::size_t>(n));
        if (bytes.empty()) return;
        out_blocked_ = true;
    }
    buffers().out.append(bytes);
}

void Connection::flush_out() {
    while (has_output()) {
        const auto rest = std::string_view(buffers_->out).substr(buffers_->out_done);
        const ssize_t n = send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN) {
                out_blocked_ = true;
                return;
            }
            destroy();
            return;
        }
        buffers_->out_done += static_cast<std::size_t>(n);
        if ((end_after_out_ && close_after_reply) || (mode == Mode::http && exchange == nullptr)) {
            engine.loop().timers().arm(*this, engine.loop().now() + engine.options().body_timeout);
        }
        if (static_cast<std::size_t>(n) < rest.size()) continue;
        buffers_->out = std::exchange(buffers_->probe_pong, {});
        buffers_->out_done = 0;
    }
    if (!has_input()) buffers_.reset();
    if (mode == Mode::leaving) {
        hand_over();
    } else if (end_after_out_) {
        shutdown(fd, SHUT_WR);
        engine.loop().timers().arm(*this, engine.loop().now() + linger_time);
    } else if (mode == Mode::websocket && !is_probe && generation != 0) {
        engine.outbox().attach(slot, fd);
    } else if (mode == Mode::http) {
        if (exchange == nullptr) await_next_request();
        engine.read_later(*this);  // it may have been read no further
    }
}

Connection::Buffers& Connection::buffers() {
    if (buffers_ == nullptr) buffers_ = std::make_unique<Buffers>();
    return *buffers_;
}

void Connection::drop_input() noexcept {
    if (buffers_ == nullptr) return;
    if (!has_output()) {
        buffers_.reset();
        return;
    }
    buffers_->in = std::string();
    buffers_->in_done = 0;
}

std::size_t Connection::cost() const noexcept {
    std::size_t bytes = sizeof(Connection);
    if (buffers_ != nullptr) {
        bytes += sizeof(Buffers) + buffers_->in.capacity() + buffers_->out.capacity() + buffers_->probe_pong.capacity();
    }
    bytes += reader_.bytes_held();
    if (exchange != nullptr) {
        bytes += sizeof(Exchange) + exchange->text.capacity() + exchange->body.capacity();
        bytes += exchange->reply.cors.capacity();
    }
    if (parked != nullptr) bytes += sizeof(ReplyContext) + parked->cors.capacity();
    return bytes;
}

void Connection::finish_and_close() {
    if (mode == Mode::dead) return;
    engine.connection_ended(*this);
    mode = Mode::lingering;
    exchange.reset();
    parked.reset();
    drop_input();
    end_after_out_ = true;
    if (!has_output()) shutdown(fd, SHUT_WR);
    // A slow reader may take its time for an answer, as long as it takes something of it.
    const bool patient = has_output() && close_after_reply;
    engine.loop().timers().arm(*this, engine.loop().now() + (patient ? engine.options().body_timeout : linger_time));
}

// --- leaving for another gateway ------------------------------------------------------------------------------------

void Connection::leave() {
    mode = Mode::leaving;
    if (!has_output()) {
        hand_over();
    } else {
        engine.loop().timers().arm(*this, engine.loop().now() + engine.options().body_timeout);
    }
}

// The descriptor stays open in the process that goes on, so it is taken out of our loop by hand, and never shut down.
void Connection::hand_over() {
    disarm();
    charge.clear();
    mode = Mode::dead;
    engine.loop().unwatch(fd, *this);
    engine.forget(*this);
    Handover handover{
        base::UniqueFd(std::exchange(fd, -1)), address, exchange->goal, std::move(exchange->text), peer, kind};
    handover.bytes += input();
    engine.loop().dispose(this);
    exchange->way->take(std::move(handover));
}

}  // namespace sio::gateway
