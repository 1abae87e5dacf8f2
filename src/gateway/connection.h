// One TCP connection: HTTP requests one after the other, or a WebSocket.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/timer_wheel.h"
#include "gateway/engine.h"
#include "net/address.h"
#include "net/loop.h"
#include "proto/eio_packet.h"
#include "proto/http_head.h"
#include "proto/ws_frame.h"

namespace sio::gateway {

/// What an answer needs to remember of its request while it is put off (a held poll keeps nothing else).
struct ReplyContext {
    std::string cors;           ///< header lines of the answer
    std::string_view encoding;  ///< chosen of Accept-Encoding: gzip, deflate or identity
    bool keep_alive = true;
    bool head_only = false;     ///< the request was HEAD
    bool old_explorer = false;  ///< an Internet Explorer, which gets X-XSS-Protection: 0
};

/// A request that is being received or answered.
struct Exchange {
    std::string text;  ///< the head as it came; `head` points into it
    proto::HttpHead head;
    std::string body;
    std::uint64_t body_left = 0;
    std::size_t body_limit = 0;  ///< bytes
    proto::ChunkedDecoder chunks;
    ReplyContext reply;
    Outbox::Slot slot = 0;  ///< the session a POST is for
    std::uint32_t generation = 0;
    bool wants_body = false;                   ///< else it is read and dropped
    std::optional<proto::EioPayload> payload;  ///< the rest of a POST's body that is being delivered
    Forwarder* way = nullptr;                  ///< set when the session is another gateway's, whose tag is `goal`
    Tag goal;
};

class Connection final : public net::Handler, public Place, private base::Timer {
public:
    Connection(Engine& engine, int fd, const net::Address& address);
    ~Connection() override;

    void on_ready(std::uint32_t events) override;

    /// Reads what waits, up to this connection's share of a turn.
    void read_input();

    /// Answers the current request: one write. With `body` empty there is no Content-Type.
    void reply(int status, std::string_view content_type, std::string_view body, std::string_view more_headers = {});
    /// Answers a refused upgrade as Node does: plain text, Connection: close.
    void refuse_upgrade(std::string_view message, std::string_view more_headers = {}, int status = 400);
    /// Ends the connection after what is written, leaving the peer time to read it.
    void finish_and_close();
    /// Ends the connection now.
    void destroy();

    /// Gives the connection to the exchange's forwarder, as soon as earlier answers are on their way.
    void leave();

    /// Becomes a WebSocket: `response` is the 101.
    void become_websocket(std::string_view response);
    /// Frames that came in one read with the request; call it once a session is attached.
    void read_early_frames();
    /// Whether bytes of our own still wait, so that an outbox must not write yet.
    [[nodiscard]] bool has_output() const noexcept { return buffers_ != nullptr && !buffers_->out.empty(); }
    /// Sends bytes that are whole frames; only while no outbox writes to this descriptor.
    void write_raw(std::string_view bytes);
    /// Bytes that this connection holds, itself included.
    [[nodiscard]] std::size_t cost() const noexcept;
    /// Sends a close frame (behind `before`, the rest of the outbox), ends our side, waits a little for the peer.
    void close_websocket(std::string_view before, std::uint16_t code, std::string_view reason);

    enum class Mode : std::uint8_t {
        http,
        leaving,  ///< nothing is read any more; what is still to be written is, and then another gateway goes on
        websocket,
        lingering,
        dead
    };

    Engine& engine;
    int fd;
    net::Address address;  ///< of the client whose request is being served
    net::Address peer;     ///< who is at the other end: a proxy, perhaps
    PeerKind kind = PeerKind::proxy_or_client;
    /// What is to be read before the first request.
    enum class Preface : std::uint8_t {
        none,
        due,       ///< a head of the PROXY protocol
        unwanted,  ///< no such head; one that comes is told of
    };
    Preface preface = Preface::none;
    Mode mode = Mode::http;
    bool holds_poll = false;     ///< a GET, or a request of the service, is parked: nothing is parsed until its answer
    bool is_probe = false;       ///< the WebSocket of an upgrade under way
    bool probed = false;         ///< the probe has been answered
    bool queued_unread = false;  ///< in the engine's list of those to be read on
    bool close_after_reply = false;
    bool at_home = false;     ///< the next request stays here: it came by a hop, or its session's gateway is gone
    HopGate* gate = nullptr;  ///< came by a hop, which has to be proved
    Outbox::Slot slot = 0;    ///< the session this connection serves, while generation matches
    std::uint32_t generation = 0;
    std::uint64_t request = 0;  ///< the number of the service's request that is received or answered; 0: none
    Charge charge;
    std::unique_ptr<Exchange> exchange;
    std::unique_ptr<ReplyContext> parked;  ///< of a held poll
    Connection* previous = nullptr;
    Connection* next = nullptr;

    [[nodiscard]] bool is_idle() const noexcept {
        return mode == Mode::http && exchange == nullptr && !holds_poll && !has_input() && !has_output();
    }

private:
    friend class Engine;
    void expire(Millis now) override;
    void read_share_of_turn();
    void consume_http(std::string_view bytes);
    [[nodiscard]] bool may_parse() const noexcept {
        return mode == Mode::http && !holds_poll && !close_after_reply && !has_output() && !is_delivering();
    }
    [[nodiscard]] bool is_delivering() const noexcept { return exchange != nullptr && exchange->payload.has_value(); }
    [[nodiscard]] bool has_input() const noexcept { return buffers_ != nullptr && !buffers_->in.empty(); }
    [[nodiscard]] std::string_view input() const noexcept {
        return buffers_ == nullptr ? std::string_view() : std::string_view(buffers_->in).substr(buffers_->in_done);
    }
    /// Those of this connection, made when they are first needed.
    struct Buffers;
    Buffers& buffers();
    void drop_input() noexcept;
    void consume(std::size_t bytes) noexcept;
    void answer_ping(std::string_view data);
    void await_next_request();
    bool take_preface();
    void parse();
    bool parse_one();
    bool take_body();
    void consume_websocket(std::span<char> bytes);
    void request_done();
    void refuse(int status, std::string_view reason);
    void flush_out();
    void hand_over();

    /// What a WebSocket that keeps up has no use for.
    struct Buffers {
        std::string in;            ///< HTTP bytes,
        std::size_t in_done = 0;   ///< of which so many are parsed
        std::string out;           ///< bytes for the socket,
        std::size_t out_done = 0;  ///< of which so many are written
        std::string probe_pong;    ///< the newest, while something else is to be written first
    };
    proto::WsReader reader_;
    std::unique_ptr<Buffers> buffers_;  // null: nothing waits
    bool out_blocked_ = false;
    bool end_after_out_ = false;
    bool end_announced_ = false;
    bool parsing_ = false;
};

}  // namespace sio::gateway
