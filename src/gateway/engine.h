// The Engine.IO server: sessions over long polling and WebSocket, on the loop's descriptors.
//
// It speaks for the sessions (proto::EioSession decides, the engine does), owns the outbox, and hands messages to an
// EngineApp: the Socket.IO hub in the gateway, an echo in the conformance tests.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/log_throttle.h"
#include "base/slot_table.h"
#include "base/unique_fd.h"
#include "gateway/accounts.h"
#include "gateway/client_address.h"
#include "gateway/cors.h"
#include "gateway/http_service.h"
#include "gateway/ids.h"
#include "gateway/limits.h"
#include "gateway/outbox.h"
#include "gateway/places.h"
#include "net/address.h"
#include "net/loop.h"
#include "proto/eio_session.h"
#include "proto/http_head.h"
#include "proto/proxy_head.h"

namespace sio::gateway {

using base::Millis;

struct EngineOptions {
    std::string path = "/engine.io/";
    proto::EioTimes times;
    std::size_t max_payload = 1'000'000;  ///< bytes of a POST body or a WebSocket message, inclusive
    bool polling = true;
    bool websocket = true;
    bool upgrades = true;  ///< whether a polling session is told of WebSocket
    std::string cookie;    ///< `name; attributes` set on the polling handshake; empty: none
    std::optional<std::size_t> compression_threshold = 1024;  ///< bytes of a poll's answer; nothing: never
    std::size_t queue_bytes = 4U << 20U;
    QueuePolicy queue_policy = QueuePolicy::disconnect;
    std::size_t max_connections = 0;              ///< of TCP, and as many sessions; 0: what descriptors allow
    std::size_t max_connections_per_address = 0;  ///< of TCP, and as many sessions; 0: no such limit
    AccountLimits accounts;
    std::size_t max_header_bytes = 16384;
    Millis handshake_timeout = 10'000;  ///< from a connection's start to the first byte of a request
    Millis header_timeout = 10'000;     ///< for a whole request head, from its first byte
    Millis body_timeout = 30'000;       ///< for a whole request body
    Millis idle_timeout = 75'000;       ///< between requests of a kept connection
    bool websocket_origin_check = false;
    TrustedProxies proxies;       ///< who says whose request it is that comes from them
    bool proxy_protocol = false;  ///< whether their connections begin with a head of the PROXY protocol
};

/// Packets a poll's answer holds at most. Python's client refuses more and loses the connection.
inline constexpr std::size_t max_packets_per_poll = 16;

/// How a session's end looks to its client.
enum class Ending : std::uint8_t {
    as_node,    ///< WebSocket: a close frame without code; a poll: `1`
    noop,       ///< a pending poll is released with `6` (the client itself closed by POST)
    come_back,  ///< WebSocket: 1012 and the end of TCP; a poll: 503. Every known client reconnects within a second
    cut,        ///< the TCP connection just ends
    protocol,   ///< WebSocket: the close code of the violation
};

/// Why no session is opened.
enum class NoSession : std::uint8_t { draining, full, memory, address, count };

/// `draining`, `full`, `memory` or `address`.
[[nodiscard]] std::string_view to_string(NoSession why) noexcept;

/// How much a session has joined, as its app says.
enum class Standing : std::uint8_t { stranger, onlooker, member };

/// Why a connection was refused for how it begins, where the PROXY protocol is or could be spoken.
enum class ProxyFault : std::uint8_t {
    missing,    ///< of a trusted proxy, and without a head
    malformed,  ///< with a broken one, or one that did not come in time
    untrusted,  ///< with a head of somebody who may not say who the client is
    off,        ///< with a head, and nobody is to send one
    count
};

/// `missing`, `malformed`, `untrusted` or `off`.
[[nodiscard]] std::string_view to_string(ProxyFault fault) noexcept;

/// What is known of whose connection another process hands over.
enum class PeerKind : std::uint8_t {
    proxy_or_client,  ///< a trusted proxy's requests say whose they are
    client,           ///< the client, whatever its requests say
};

struct EngineStats {
    std::uint64_t connections_accepted = 0;
    std::uint64_t connections_refused = 0;  ///< over a cap, or no descriptor left
    std::uint64_t sessions_refused[static_cast<std::size_t>(NoSession::count)] = {};
    std::uint64_t displaced[rank_count] = {};  ///< connections and sessions that went to make room for others
    std::uint64_t sessions_opened = 0;
    std::uint64_t upgrades = 0;
    std::uint64_t requests = 0;
    std::uint64_t requests_refused = 0;  ///< malformed or over a limit
    std::uint64_t timeouts = 0;          ///< header, body and idle
    std::uint64_t messages_in = 0;
    std::uint64_t bytes_in = 0;
    std::uint64_t closed[8] = {};  ///< sessions by CloseReason
    std::uint64_t queue_overflows = 0;
    std::uint64_t origins_refused = 0;
    std::uint64_t proxy_heads = 0;  ///< of the PROXY protocol that were read
    std::uint64_t proxy_faults[static_cast<std::size_t>(ProxyFault::count)] = {};
    std::uint64_t handshakes_put_off = 0;  ///< answered 503: the app takes no sessions just now
    std::uint64_t limits_passed[limit_count] = {};
    std::uint64_t over_limit[static_cast<std::size_t>(Account::count)] = {};  ///< clients ended for what they held
};

/// What an app answers to a request that is not Engine.IO's.
struct HttpAnswer {
    int status = 404;
    std::string content_type;
    std::string headers;  ///< more header lines, each ended by CRLF
    std::string body;
};

/// A connection on its way to the gateway that has the session it asks for.
struct Handover {
    base::UniqueFd fd;
    net::Address address;  ///< the client's
    Tag tag;               ///< of the gateway that has the session
    std::string bytes;     ///< the request's head, and what has been read behind it
    net::Address peer;     ///< who is at the other end: a proxy, perhaps
    PeerKind kind = PeerKind::proxy_or_client;
};

/// A way to another gateway. The engine asks them in turn about a request for a session that it does not have.
class Forwarder {
public:
    enum class Reach : std::uint8_t {
        unknown,  ///< no such gateway this way
        full,     ///< too much waits for it already: 503
        open,     ///< take() may be called
    };
    virtual ~Forwarder() = default;
    virtual Reach reach(const Tag& tag) = 0;
    /// Takes a connection over, whatever has become of its goal since reach(): from now on it is the forwarder's to
    /// answer.
    virtual void take(Handover handover) = 0;
    /// Descriptors that it holds beyond those of the engine's connections; they count as connections.
    [[nodiscard]] virtual std::size_t descriptors() const noexcept { return 0; }
};

/// Who may come in from another gateway's hop.
class HopGate {
public:
    virtual ~HopGate() = default;
    /// The address of the client for whom this request was passed on; nothing when it does not prove that a gateway of
    /// ours did it.
    virtual std::optional<net::Address> admit(const proto::HttpHead& head) = 0;
};

class Connection;
class Engine;

/// What the engine's owner does with sessions. Slots are small numbers, reused after on_close().
class EngineApp {
public:
    using Slot = Outbox::Slot;
    virtual ~EngineApp() = default;
    virtual void on_open(Slot slot) = 0;
    /// A message; the views last for the call. The app may close the session in it.
    virtual void on_text(Slot slot, std::string_view text) = 0;
    virtual void on_binary(Slot slot, std::string_view bytes) = 0;
    /// The session is gone: nothing may be sent to it any more.
    virtual void on_close(Slot slot, proto::CloseReason reason) = 0;
    virtual void on_upgrade(Slot slot) = 0;
    /// Bytes that the app holds because of this client, allocation included.
    [[nodiscard]] virtual std::size_t cost(Slot slot) const {
        static_cast<void>(slot);
        return 0;
    }
    /// The queue of a client that is behind has room again (Outbox::want_room()).
    virtual void on_room(Slot slot) { static_cast<void>(slot); }
    /// The turn is over but for what is written to clients.
    virtual void before_writes() {}
    /// A request for another path (or a file below the engine's). False: 404.
    virtual bool on_http(const proto::HttpHead& head, HttpAnswer& answer) = 0;
    /// Whether new sessions may be opened just now; else their clients are told to try again.
    virtual bool takes_sessions() { return true; }
};

/// One Engine.IO session. Lives in the engine; apps see it by slot.
struct Session final : base::Timer, Place {
    Session(Engine& owner, Outbox::Slot number, const Id& id, proto::EioTransport transport,
            const proto::EioTimes& times, Millis now)
        : engine(owner), slot(number), sid(id), state(transport, times, now) {}

    Engine& engine;
    Outbox::Slot slot;
    Id sid;
    proto::EioSession state;
    Connection* poll = nullptr;    ///< holds a pending GET
    Connection* post = nullptr;    ///< is receiving a POST
    Connection* socket = nullptr;  ///< the WebSocket that is the transport
    Connection* probe = nullptr;   ///< the WebSocket of an upgrade under way
    bool base64 = false;           ///< the WebSocket's query asked for text instead of binary
    bool closing = false;          ///< ended for the app; the next poll is told
    std::string head;              ///< the request head of the handshake
    net::Address address;
    Standing standing = Standing::stranger;
    Millis opened_wall_clock = 0;
    Charge charge;

private:
    void expire(Millis now) override;
};

class Engine final : private Outbox::Owner, private net::Loop::TurnEnd {
public:
    using Slot = Outbox::Slot;

    Engine(net::Loop& loop, EngineOptions options, Cors cors, EngineApp& app);
    ~Engine() override;
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    /// Takes a listening, non-blocking socket (and closes it when told to stop listening). Errors: `io`.
    Result<void> listen(int fd);
    /// The same for requests that other gateways pass on, and for nothing else: `gate`, which outlives its last
    /// turn, is asked about each. Its connections are ended after one answer. Errors: `io`.
    Result<void> listen_to_hops(int fd, HopGate& gate);
    void stop_listening();

    /// Who is asked about each request before anything else is looked at. It outlives the engine's last turn.
    void set_service(HttpService& service) noexcept { service_ = &service; }
    /// Answers a request of the service; nothing when its connection is gone.
    void answer(std::uint64_t number, const HttpAnswer& answer);

    /// Adds a way to other gateways, to be asked after those added before. It outlives the engine's last turn.
    void add_forwarder(Forwarder& forwarder) { forwarders_.push_back(&forwarder); }
    /// Takes a connection that another gateway accepted, with the request that was read from it. One more than
    /// max-connections gets 503. `at_home`: a session of this first request that is not here is unknown, whatever its
    /// tag says. `address` is of whoever is at the other end, or of the client for PeerKind::client.
    void adopt(base::UniqueFd fd, const net::Address& address, std::string_view bytes, bool at_home,
               PeerKind kind = PeerKind::proxy_or_client);
    /// Answers 503 to a connection that cannot be served, and closes it.
    static void refuse(base::UniqueFd fd);
    /// A forwarder keeps a client's connection: it counts as one of ours, until let_go().
    void hold(const net::Address& address);
    void let_go(const net::Address& address) noexcept { uncount(address); }

    [[nodiscard]] Outbox& outbox() noexcept { return outbox_; }
    [[nodiscard]] net::Loop& loop() noexcept { return loop_; }
    [[nodiscard]] const EngineOptions& options() const noexcept { return options_; }
    [[nodiscard]] const EngineStats& stats() const noexcept { return stats_; }
    [[nodiscard]] IdSource& ids() noexcept { return ids_; }

    /// The session in a slot; null once it is closed.
    [[nodiscard]] Session* session(Slot slot) noexcept;
    /// The address of the client in a slot, until the app's on_close() has returned.
    [[nodiscard]] const net::Address& address(Slot slot) const { return sessions_[slot]->address; }
    [[nodiscard]] std::size_t session_count() const noexcept { return session_count_; }
    [[nodiscard]] std::size_t connection_count() const noexcept { return connection_count_; }
    /// Slots ever used: an upper bound for iteration.
    [[nodiscard]] Slot slot_end() const noexcept { return static_cast<Slot>(sessions_.size()); }

    [[nodiscard]] const Accounts& accounts() const noexcept { return accounts_; }
    [[nodiscard]] const Places& places() const noexcept { return places_; }
    /// The app says how much a client has joined: who has joined least goes first when places run short.
    void set_standing(Slot slot, Standing standing);
    /// What the app holds of this client has changed.
    void recount(Slot slot);
    /// The ceiling: bytes of the allocator that all may hold together; 0: none.
    void limit_memory(std::size_t bytes);
    /// Whether memory is short: no new sessions are taken.
    [[nodiscard]] bool is_memory_short() const noexcept { return memory_is_short_; }

    /// Ends a session. The app's on_close() is called before this returns. `close_code` and `why` are for
    /// Ending::protocol.
    void close(Slot slot, proto::CloseReason reason, Ending ending, std::uint16_t close_code = proto::ws_close::none,
               std::string_view why = {});
    /// A client has passed a limit: that is counted, and told once a second at most. Returns what the client is told.
    std::string tell_limit(Limit limit, const net::Address& address, std::string_view sid, std::uint64_t size,
                           std::uint64_t most);

    /// Calls the app's on_room() in the next turn.
    void tell_of_room_later(Slot slot) { with_room_.push_back(slot); }

    /// New sessions are answered 503 from now on.
    void refuse_new_sessions() noexcept { refusing_ = true; }
    /// Ends idle HTTP connections, so that a drained process can leave.
    void close_idle_connections();

private:
    friend class Connection;
    friend struct Session;
    class Listener;

    // What Connection asks (engine_http.cpp).
    void route(Connection& connection);
    void finish_request(Connection& connection);
    void abandon_post(Connection& connection);
    void read_later(Connection& connection);
    void connection_ended(Connection& connection);
    void on_socket_text(Connection& connection, std::string_view text);
    void on_socket_binary(Connection& connection, std::string_view bytes);
    void on_socket_closed(Connection& connection, proto::CloseReason reason, std::uint16_t code,
                          std::string_view why = {});
    std::string tell_large_message(const Connection& connection, std::uint64_t size);
    void tell_refused_connection(const net::Address& address);
    // What clients hold (engine_accounts.cpp).
    struct Holder {
        std::size_t bytes;
        Slot slot;
        Connection* connection;  // of no session; null: the session in `slot`
    };
    void recount(Connection& connection);
    void recount(Session& session);
    [[nodiscard]] std::size_t cost(const Session& session, bool own) const;
    [[nodiscard]] std::size_t whole_cost(const Session& session) const;
    [[nodiscard]] bool must_wait() const noexcept;
    static constexpr std::size_t ends_per_turn = 64;
    std::span<const Holder> costliest(const net::Address* address, std::array<Holder, ends_per_turn>& out);
    void end_over_limits();
    void relieve_share(const net::Address& address);
    void relieve_memory();
    void tell_memory_short(std::size_t in_use);
    void end(const Holder& holder, Account account);
    void end_over_limit(Session& session, Account account, std::size_t held);
    void tell_over_limit(Account account, std::size_t held, const net::Address& address, std::string_view sid);
    bool admit(const net::Address& address);
    // Who goes when places run short (engine_places.cpp).
    void rank(Session& session);
    void set_counted(Connection& connection, const net::Address& address);
    std::optional<NoSession> find_place(const net::Address& address);
    [[nodiscard]] bool is_modest(const net::Address& address) const noexcept;
    bool displace_connection(const net::Address& newcomer);
    bool displace_session(const net::Address& newcomer);
    bool displace_own_session(const net::Address& newcomer);
    bool send_away(const Places::Candidate& candidate, const net::Address& newcomer);
    [[nodiscard]] bool may_displace(const Places::Candidate& candidate, const net::Address& newcomer) const noexcept;
    void tell_displaced(const Places::Candidate& candidate);
    void cut(Session& session);
    void tell_no_session(NoSession why, const net::Address& address);
    Connection* add_connection(base::UniqueFd fd, const net::Address& address, PeerKind kind);
    Result<void> add_listener(int fd, HopGate* gate);
    bool leaves(Connection& connection);
    bool is_for_service(Connection& connection);
    void hand_to_service(Connection& connection);
    void refuse_body(Connection& connection);
    bool enter_by_hop(Connection& connection);
    bool identify(Connection& connection);
    bool count_for(Connection& connection, const net::Address& address);
    void release_client(Connection& connection);
    bool take_proxy_head(Connection& connection, const proto::ProxyHead& head);
    void refuse_proxy_head(Connection& connection, ProxyFault fault, std::string_view reason);
    [[nodiscard]] bool is_ours(std::string_view path) const noexcept;
    void uncount(const net::Address& address) noexcept {
        --connection_count_;
        places_.remove_connection(address);
    }
    void forget(Connection& connection) noexcept;
    void accept_from(Listener& listener);

    void route_engine(Connection& connection);
    void route_upgrade(Connection& connection);
    void answer_error(Connection& connection, int code);
    void answer_app(Connection& connection);
    void handshake(Connection& connection);
    void poll(Connection& connection, Session& session);
    void begin_post(Connection& connection, Session& session);
    void finish_post(Connection& connection);
    bool deliver_post(Connection& connection);
    void answer_poll(Session& session, std::string payload);
    void accept_websocket(Connection& connection);

    Session& open_session(const Connection& connection, proto::EioTransport transport);
    void deliver(Slot slot, std::uint32_t generation, const proto::EioPacket& packet);
    void arm(Session& session);
    void tick(Session& session, Millis now);
    void release(Slot slot);
    [[nodiscard]] Session* find(std::string_view sid) noexcept;
    bool refuses_session(Connection& connection, bool upgrade);
    bool put_off(Connection& connection, bool upgrade);

    void on_write_failed(Slot slot, int error) override;
    void on_queue_full(Slot slot) override;
    void on_poll_ready(Slot slot) override;
    void on_room(Slot slot) override { with_room_.push_back(slot); }
    void on_growth(Slot slot) override { grown_.push_back(slot); }
    void tell_of_room();
    void read_on();
    bool end_turn() override;

    net::Loop& loop_;
    EngineOptions options_;
    Cors cors_;
    EngineApp& app_;
    Outbox outbox_;
    IdSource ids_;
    EngineStats stats_;
    Accounts accounts_;  // before all that is charged
    Places places_;      // before all that has one
    std::vector<std::unique_ptr<Session>> sessions_;
    std::vector<std::uint32_t> generations_;
    std::vector<Slot> free_slots_;
    std::vector<std::unique_ptr<Session>> buried_;  // closed in this turn
    struct Failed {
        Slot slot;
        bool too_slow;  // else its socket failed
    };
    std::vector<Failed> failed_;
    base::SlotTable by_sid_;
    std::vector<std::unique_ptr<Listener>> listeners_;
    std::vector<Forwarder*> forwarders_;
    HttpService* service_ = nullptr;
    std::unordered_map<std::uint64_t, Connection*> requests_;  // of the service, that are not answered yet
    std::uint64_t next_request_ = 1;
    std::vector<Connection*> unread_;  // to be read on in the next turn
    std::vector<Slot> with_room_;      // whose app wants to be told
    std::vector<Slot> grown_;          // whose queue is longer, in this turn
    std::vector<Slot> over_limit_;     // that hold more than one client may
    std::vector<net::Address> over_share_;
    // What has been done for clients, in units of a small message or of so many bytes: a turn is bounded by it.
    static constexpr std::size_t bytes_per_work = 128;
    std::uint64_t work_ = 0;
    std::uint64_t share_ends_ = 0;  // the work with which the connection that is being read has had its share
    std::size_t compressed_ = 0;    // bytes of answers to polls, in this turn
    bool memory_is_short_ = false;
    bool nothing_to_end_ = false;  // and that not because of clients
    base::LogThrottle over_limit_log_;
    std::array<base::LogThrottle, static_cast<std::size_t>(ProxyFault::count)> proxy_logs_;
    base::LogThrottle memory_log_{60'000};
    base::LogThrottle displaced_log_;
    base::LogThrottle too_slow_log_;
    base::LogThrottle limit_logs_[limit_count];
    base::LogThrottle no_session_log_[static_cast<std::size_t>(NoSession::count)];
    bool memory_told_ = false;
    Connection* connections_ = nullptr;  // all of them, linked
    std::size_t session_count_ = 0;
    std::size_t connection_count_ = 0;
    std::vector<char> read_buffer_;
    FrameRef ping_;
    FrameRef noop_;
    int spare_fd_ = -1;  // given up for a moment to refuse a connection when descriptors run out
    bool refusing_ = false;
    bool accept_again_ = false;
};

}  // namespace sio::gateway
