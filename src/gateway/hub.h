// The Socket.IO server: namespaces, rooms, events, acknowledgements and recovery over the engine's sessions.
//
// What a socket may do is somebody else's decision: a HubHandlers (the routes file in the gateway) is told of connects,
// events and disconnects and uses the hub's verbs.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "base/keyed_hash.h"
#include "base/log_throttle.h"
#include "base/slot_table.h"
#include "base/timer_wheel.h"
#include "gateway/backbone.h"
#include "gateway/config.h"
#include "gateway/engine.h"
#include "gateway/ids.h"
#include "gateway/recovery.h"
#include "proto/sio_packet.h"

namespace sio::gateway {

template <typename T>
using StringMap = std::unordered_map<std::string, T, base::KeyedHash, std::equal_to<>>;

class Hub;
class Passes;
struct Decision;
struct Namespace;

/// A named set of sockets; exists while it has members.
struct Room {
    std::string name;
    std::vector<Outbox::Slot> members;
};

/// What sio-authd has said of a socket, and what came of it.
struct Pass {
    std::string session;                  ///< names it without giving it away; empty for anonymous
    std::string kind;                     ///< of its token: "authjs-v5", "database", …
    std::string key;                      ///< which secret it was proved with
    std::string claims;                   ///< raw JSON object for questions about rooms, or empty
    std::optional<std::int64_t> expires;  ///< seconds since 1970; nothing: never
    bool renews = false;                  ///< the same credentials may be good for longer when it expires

    struct Granted {
        std::string room;
        std::string token;  ///< the room token it was shown, or empty
    };
    std::vector<Granted> rooms;  ///< that it is in because the daemon said so

    // Of Passes.
    std::optional<std::string> token;  ///< what it shows when it is asked again; nothing: its handshake's headers
    std::uint64_t number = 0;          ///< never used twice
    bool warned = false;               ///< of the end of its session
    bool asking = false;               ///< whether that has moved
    bool refreshing = false;           ///< its client has sent a new token that is looked at
    bool refreshed = false;            ///< at least once
    Millis granted_at = 0;             ///< wall clock
    Millis spared_until = 0;           ///< wall clock: it could not be told whether a new token is good
    std::unique_ptr<base::Timer> life;
};

/// What a socket that is behind has still to get. It reads the log at the pace of its client, and what is recorded
/// meanwhile with it, so that nothing waits for it in memory.
struct Replay {
    Position at;                    ///< it has all up to here, but for `older`
    std::vector<Position> older;    ///< ascending: from before what the log knows
    std::size_t older_done = 0;     ///< of `older`
    std::vector<Stay> stays;        ///< its rooms, and since when; its own id and everybody among them
    std::uint64_t ticket = 0;       ///< of the fetch under way; 0: none
    std::size_t fetched_bytes = 0;  ///< of the last event that was fetched, to size the next fetch
    HadEarly had;                   ///< events that its client has received already
    bool waits_for_early = false;   ///< something was emitted early that gets its place later
    bool waits = false;             ///< in Hub::waiting_
};

/// One client in one namespace.
struct Socket {
    struct Seat {
        Room* room;
        std::size_t index;  ///< in room->members
        Position since;     ///< it has joined after what lies there
    };

    Id id;
    Id secret;             ///< the random part of its pid; never shown to others. All zeros without recovery
    std::string pid_rest;  ///< what follows it in the pid: `.<offset at connect>`, nothing in those of Node servers
    Namespace* nsp = nullptr;
    Outbox::Slot slot = 0;
    std::string user;  ///< empty: anonymous
    std::string auth;  ///< the CONNECT payload, a JSON object; without its token where sio-authd judges it
    std::vector<Seat> seats;
    std::size_t room_bytes = 0;  ///< what the rooms it is in cost
    std::size_t index_in_namespace = 0;
    Position connected_at;  ///< where the log stood
    Millis connected_wall_clock = 0;
    bool recovered = false;
    bool is_known = false;      ///< on_connect() has told of it
    bool leaving = false;       ///< being removed: no verb disconnects it again
    bool is_taken = false;      ///< its client has come back elsewhere: what the cluster keeps of it is the other's
    bool kept_dirty = false;    ///< what the cluster keeps of it is out of date: the backbone's to use
    bool owns_session = false;  ///< the session in Redis is marked as ours: the backbone's to use
    std::unique_ptr<Replay> replay;  ///< null unless it is behind
    std::unique_ptr<Pass> pass;      ///< null unless sio-authd has let it in

    /// What most sockets have nothing of.
    struct Extra {
        std::string data;                  ///< what an application on another node keeps with it: raw JSON, or empty
        std::vector<Stay> past;            ///< rooms that it has left lately, where it may return for what it missed
        std::vector<std::uint64_t> asked;  ///< ids of acknowledgements it owes
    };
    [[nodiscard]] const Extra& extra() const noexcept;
    Extra& own_extra();

    [[nodiscard]] bool has_pid() const noexcept { return secret != Id{}; }
    /// By which its client may return; empty without recovery.
    [[nodiscard]] std::string pid() const;

private:
    std::unique_ptr<Extra> extra_;
};

struct Namespace {
    Namespace(std::string n, RecoveryLog& l, RecoveryBudget& budget, Millis window)
        : name(std::move(n)), log(l), saved(budget, window) {}

    std::string name;
    std::uint64_t serial = 0;  ///< tells its questions from those of other namespaces
    bool is_dynamic = false;   ///< matched a pattern: removed when its last socket is gone
    StringMap<std::unique_ptr<Room>> rooms;
    std::vector<Outbox::Slot> everyone;
    base::SlotTable by_id;         ///< its sockets, by Socket::id
    base::SlotTable by_secret;     ///< those of them that recovery knows, by Socket::secret
    std::size_t wants_offset = 0;  ///< sockets that may come back for what they miss
    std::uint64_t next_ack = 0;
    RecoveryLog& log;  ///< of its stream, which others may share
    SavedSockets saved;
    std::string uid;  ///< of this node in the cluster, for this namespace
};

/// What may become of a CONNECT.
struct Admission {
    enum class Kind { unknown, open, refused } kind = Kind::unknown;
    bool is_dynamic = false;
    std::string message;  ///< for refused
    std::string data;     ///< raw JSON, or empty
};

/// An event to send. Views last for the call.
struct Event {
    std::string_view name;       ///< raw JSON: the quoted name
    std::string_view arguments;  ///< raw JSON, comma-separated, without brackets; may be empty
    std::span<const std::string> attachments = {};
};

/// Which sockets of a namespace. Nothing named: all of them.
struct Selection {
    std::vector<std::string> rooms;  ///< rooms, users (each has a room of its id) and socket ids alike
    std::vector<std::string> users;
    std::vector<std::string> sockets;
    std::vector<std::string> except;
    const Socket* except_socket = nullptr;
};

/// Sockets of this gateway that an event was written to.
struct Reached {
    static constexpr std::size_t max_named = 8;
    std::uint64_t sockets = 0;
    std::size_t named = 0;                      ///< of `slots`
    std::array<Outbox::Slot, max_named> slots;  ///< the first of them
};

/// What came of asking for acknowledgements.
struct Answers {
    struct One {
        Id sid;
        std::string arguments;  ///< raw JSON array
        std::vector<std::string> attachments;
    };
    std::vector<One> answers;
    std::size_t silent = 0;  ///< sockets that did not answer in time, or left
};

class HubHandlers {
public:
    virtual ~HubHandlers() = default;
    /// Whether the namespace is served; with a session, whether this client is admitted. `auth` is its raw payload.
    virtual Admission admit(std::string_view nsp, const Session* session, std::string_view auth,
                            std::string_view user) = 0;
    virtual void on_connect(Socket& socket) = 0;
    /// `packet` is an event; its id, if any, is to be acknowledged with Hub::acknowledge().
    virtual void on_event(Socket& socket, const proto::SioPacket& packet) = 0;
    /// Rooms are still joined. `reason` as Socket.IO names it.
    virtual void on_disconnect(Socket& socket, std::string_view reason) = 0;
    /// A socket is in a room, not yet on_connect() when it comes with it; or is not any more, after on_disconnect()
    /// when it goes with it.
    virtual void on_join(const Socket& socket, std::string_view room) {
        static_cast<void>(socket);
        static_cast<void>(room);
    }
    virtual void on_leave(const Socket& socket, std::string_view room) {
        static_cast<void>(socket);
        static_cast<void>(room);
    }
    /// Whether this socket's user has sent too much: how long until he may send again; nothing when he may now.
    virtual std::optional<Millis> limited(const Socket& socket) = 0;
    /// Bytes that are kept for this socket elsewhere.
    [[nodiscard]] virtual std::size_t cost(const Socket& socket) const {
        static_cast<void>(socket);
        return 0;
    }
    /// Requests for paths that are not Engine.IO's.
    virtual bool on_http(const proto::HttpHead& head, HttpAnswer& answer) = 0;
};

struct HubOptions {
    RecoveryMode recovery = RecoveryMode::automatic;
    Millis recovery_window = 120'000;
    std::size_t recovery_bytes = 64U << 20U;
    Millis connect_timeout = 45'000;
    Millis attachment_timeout = 30'000;   ///< from an event to the last of its attachments
    std::uint32_t rate_limit = 100;       ///< events, CONNECTs and the like per connection and rate_window; 0: no limit
    std::size_t max_namespaces = 10'000;  ///< by patterns, in all
    std::size_t max_rooms = 1'000;        ///< of one socket, beside its own and its user's
    std::size_t max_joined = 64;          ///< namespaces of one connection, with those that wait for their answer
    std::size_t max_json_depth = json::default_depth;  ///< of what clients send
    Millis rate_window = 60'000;
    AuthMode auth = AuthMode::none;
    std::size_t max_payload = 1'000'000;
};

struct HubStats {
    std::uint64_t sockets_connected = 0;
    std::uint64_t sockets_refused = 0;
    std::uint64_t sockets_recovered = 0;
    std::uint64_t tokens_malformed = 0;  ///< tokens that were null, empty or no string
    std::uint64_t resumes_failed[static_cast<std::size_t>(ResumeFailure::count)] = {};  ///< clients that began again
    std::uint64_t fell_behind = 0;    ///< clients whose queue was full, and which read on from the log
    std::uint64_t replays_ended = 0;  ///< clients that were behind and for which the log had not all any more
    std::uint64_t replayed = 0;       ///< events that were sent from the log
    std::uint64_t events_in = 0;
    std::uint64_t events_limited = 0;      ///< and CONNECTs
    std::uint64_t namespaces_refused = 0;  ///< CONNECTs for one more namespace of a pattern
    std::uint64_t joins_refused = 0;       ///< for one more room
    std::uint64_t protocol_errors = 0;
    std::uint64_t broadcasts = 0;
    std::uint64_t deliveries = 0;
    std::uint64_t volatile_dropped = 0;
    std::uint64_t acks_timed_out = 0;
    std::uint64_t answers_dropped = 0;   ///< too large beside those of others
    std::uint64_t waiting_too_long = 0;  ///< CONNECTs whose client sent more than may wait for the answer
    std::uint64_t put_off = 0;           ///< CONNECTs that nobody could judge just then
};

class Hub final : public EngineApp {
public:
    Hub(HubOptions options, HubHandlers& handlers);
    ~Hub() override;

    /// The engine this hub serves; call once, before it runs.
    void start(Engine& engine);
    /// The cluster this gateway is in; call it before start(). Without: the gateway is alone.
    void set_backbone(Backbone& backbone) noexcept { backbone_ = &backbone; }
    /// Who says who a client is; without, options().auth does. It outlives the hub's last socket.
    void set_passes(Passes& passes) noexcept { passes_ = &passes; }

    [[nodiscard]] Engine& engine() noexcept { return *engine_; }
    [[nodiscard]] const HubOptions& options() const noexcept { return options_; }
    [[nodiscard]] const HubStats& stats() const noexcept { return stats_; }
    /// What one source of events may cause in one turn of the loop, or a little more: the rest waits for the next one.
    static constexpr std::uint64_t deliveries_per_turn = 16'384;
    /// Bytes of the answers to one question, beside what each client may take of as many again: its share of them.
    static constexpr std::size_t max_answer_bytes = std::size_t{16} << 20U;

    // --- finding ---
    [[nodiscard]] Namespace* find_namespace(std::string_view name);
    [[nodiscard]] Socket* find_socket(const Namespace& nsp, const Id& id);
    [[nodiscard]] Socket* socket_in(Outbox::Slot slot, const Namespace& nsp);
    [[nodiscard]] const StringMap<std::unique_ptr<Namespace>>& namespaces() const noexcept { return namespaces_; }
    [[nodiscard]] std::size_t socket_count() const noexcept { return socket_count_; }
    [[nodiscard]] std::size_t room_count() const noexcept;
    /// Bytes that recovery holds, and those it may.
    [[nodiscard]] const RecoveryBudget& recovery_budget() const noexcept { return budget_; }
    /// Sockets that read the log because they are behind.
    [[nodiscard]] std::size_t sockets_behind() const noexcept { return behind_; }
    /// Emits whose acknowledgements are still awaited.
    [[nodiscard]] std::size_t questions() const noexcept { return waits_.size(); }
    /// The sockets a selection names, each once. The result lives until the next call.
    const std::vector<Socket*>& select(Namespace& nsp, const Selection& selection);

    // --- verbs ---
    /// To sockets of all nodes, or of this one only. `from`: whose client has caused it, if one has; of what may be
    /// missed each address has a share.
    void emit(Namespace& nsp, const Selection& selection, const Event& event, bool is_volatile = false,
              bool is_local = false, const Socket* from = nullptr);
    /// How many sockets of this node a selection names.
    std::size_t count(Namespace& nsp, const Selection& selection);
    /// An event at its place in the order of the cluster. `is_done`: this node's sockets have had it already.
    Reached deliver(std::string_view nsp, const Selection& selection, const Event& event, bool is_volatile,
                    Position position, bool is_done);
    /// An event that gets its place later: to this node's sockets, at once.
    void emit_early(Namespace& nsp, const Selection& selection, const Event& event, bool is_volatile,
                    std::uint64_t number);
    /// A client has sent a token that cannot be one: counted, and told once a second at most.
    void tell_malformed_token(Slot slot, std::string_view nsp, std::string_view reason);
    /// Whether a client of that pid is connected here.
    [[nodiscard]] bool holds(const Namespace& nsp, std::string_view pid);
    /// A client of that pid has come back elsewhere: what is left of it here is over.
    void taken(Namespace& nsp, std::string_view pid);
    /// To one socket. Recoverable unless volatile. `from` as in emit().
    void emit_to(Socket& socket, const Event& event, bool is_volatile = false, const Socket* from = nullptr);
    /// To one socket, about itself: not recoverable, and at once whatever the state of the cluster.
    void tell(Socket& socket, const Event& event);
    /// Emits and collects the acknowledgements; `done` is called exactly once, when all answered or `timeout` passed.
    /// On this node only. Returns how many sockets were asked. `each`, when given, hears every answer as it comes, and
    /// none is kept for `done`; else they are up to max_answer_bytes, and a client whose answer is too large is silent.
    std::size_t ask(Namespace& nsp, const Selection& selection, const Event& event, Millis timeout,
                    std::function<void(Answers)> done, std::function<void(const Answers::One&)> each = {});
    void acknowledge(Socket& socket, std::uint64_t id, std::string_view arguments,
                     std::span<const std::string> attachments = {});
    /// Nothing when it is there already. False: it is in max_rooms rooms, and joins no more.
    bool join(Socket& socket, std::string_view room) { return join(socket, room, position(*socket.nsp)); }
    void leave(Socket& socket, std::string_view room);
    /// Leaves the namespace as a server does (`41`), or closes the connection too.
    void disconnect(Socket& socket, bool close_connection);
    /// Ends only the transport: the client comes back, and recovers.
    void drop_transport(Socket& socket);
    /// Ends the transport when nothing else is joined on it, so that the client comes back and is asked who it is; else
    /// as disconnect(). What was sent to it arrives. It does not recover.
    void send_back(Socket& socket);

    // --- reading the stream back, for the backbone ---
    /// Whether clients may resume at all; else no log is kept.
    [[nodiscard]] bool keeps_logs() const noexcept { return options_.recovery != RecoveryMode::off; }
    /// Whether a namespace is served here, open or not. Cheap.
    [[nodiscard]] bool serves(std::string_view nsp);
    /// What serves() knows is out of date.
    void forget_admissions() noexcept { admitted_.clear(); }
    [[nodiscard]] RecoveryLog& log(std::size_t stream) { return *logs_[stream]; }
    /// An event from before what the log of its stream knows, emitted at `sent`.
    void prepend(std::size_t stream, std::string_view nsp, const Selection& selection, const Event& event,
                 Position position, Millis sent);
    /// Where the events lie that a socket of these rooms was sent: its own id and everybody are added.
    [[nodiscard]] static std::vector<Stay> stays_of(const Id& sid, std::vector<Stay> rooms);
    /// The end of a stream is known for the first time. Who has connected before gets what was written since, by the
    /// times of the entries; `ahead`: milliseconds that their clock is ahead of ours.
    void place_sockets(std::size_t stream, Position end, Millis ahead);
    /// The stream begins again after `to`, which is before places that sockets stand at.
    void move_back(std::size_t stream, Position to);
    /// CONNECTs that have waited for the streams' ends go on.
    void release_held();

    /// Ends every session of one slot range step of a drain; returns whether sessions are left.
    std::size_t drain(std::size_t most);

    // --- EngineApp ---
    void on_open(Slot slot) override;
    void on_text(Slot slot, std::string_view text) override;
    void on_binary(Slot slot, std::string_view bytes) override;
    void on_close(Slot slot, proto::CloseReason reason) override;
    void on_upgrade(Slot slot) override;
    void on_room(Slot slot) override;
    [[nodiscard]] std::size_t cost(Slot slot) const override;
    void before_writes() override;
    bool on_http(const proto::HttpHead& head, HttpAnswer& answer) override;
    bool takes_sessions() override;

private:
    struct Client;   // what the hub keeps per session
    struct AckWait;  // a question under way
    struct Knock;    // a CONNECT that waits for its answer
    struct PurgeTimer;
    struct ReplayTimer;
    class Encoder;

    [[nodiscard]] Socket* find_secret(const Namespace& nsp, const Id& secret);
    void on_packet(Slot slot, const Result<std::optional<proto::SioPacket>>& packet);
    void dispatch(Socket& socket, const proto::SioPacket& packet);
    void connect(Slot slot, const proto::SioPacket& packet);
    void replace(Slot slot, std::string_view name);
    void authenticate(Slot slot, std::unique_ptr<Knock> knock);
    void decided(Slot slot, std::uint64_t ticket, Decision decision);
    void enter(Slot slot, std::unique_ptr<Knock> knock);
    void let_in(Slot slot, std::unique_ptr<Knock> knock, ResumeResult result);
    void finish_connect(Slot slot, Knock& knock, ResumeResult result);
    void check_resumed(const Namespace& nsp, const Knock& knock, ResumeResult& result);
    void begin_again(const Knock& knock, const ResumeResult& result);
    std::unique_ptr<Knock> take_knock(Slot slot, std::uint64_t ticket);
    Reached send_here(Namespace& nsp, const Selection& selection, Encoder& encoder, bool is_volatile);
    void place(Namespace& nsp, const Selection& selection, Encoder& encoder, bool is_volatile, const Socket* from);
    void record(RecoveryLog& log, const Selection& selection, Encoder& encoder, const net::Address& from = {});
    void set_early(Encoder& encoder, std::uint64_t number) const;
    RecoveryLog::Audience audience(std::string_view nsp, const Selection& selection);
    void refuse(Slot slot, std::string_view nsp, std::string_view message, std::string_view data);
    Socket& add_socket(Slot slot, Namespace& nsp, const Id& id);
    void tell_standing(Slot slot);
    void remove_socket(Socket& socket, std::string_view reason, bool recoverable);
    void place(Socket& socket, Position end, Millis ahead);
    static bool read_offset(std::string_view text, ResumeRequest& request);
    std::optional<ResumeRequest> resume_request(Namespace& nsp, std::string_view auth);
    ResumeResult resume_here(Namespace& nsp, ResumeRequest& request);
    void protocol_error(Slot slot, std::string_view reason);
    void over_limit(Slot slot, Limit limit, std::uint64_t size, std::uint64_t most);
    std::string tell_limit(Slot slot, Limit limit, std::uint64_t size, std::uint64_t most);
    bool tell_excess(Slot slot);
    void on_ack(Socket& socket, const proto::SioPacket& packet);
    void tell_dropped_answer(const Socket& socket, std::size_t bytes);
    Namespace& make_namespace(std::string_view name, bool is_dynamic);
    void settle(std::uint64_t key, Socket* leaving);
    void finish(std::uint64_t key);
    void leave_seat(Socket& socket, std::size_t seat);
    std::optional<Millis> limited(Socket& socket);
    std::optional<Millis> over_rate(Outbox::Slot slot);
    bool spend(Outbox::Slot slot);
    void drop_unused(bool with_saved);
    [[nodiscard]] bool client_wants_offset(const Session& session) const;
    template <typename Visit>
    void visit(Namespace& nsp, const Selection& selection, Visit&& each);
    bool push(Slot slot, Encoder& encoder, bool is_volatile);
    void purge();

    // --- sockets that are behind (hub_replay.cpp) ---
    bool join(Socket& socket, std::string_view room, Position since);
    bool may_join(const Socket& socket, std::string_view room);
    void note_left(Socket& socket, const Socket::Seat& seat);
    [[nodiscard]] static std::vector<Stay> rooms_of(const Socket& socket);
    void begin_replay(Socket& socket, Position from, std::vector<Position> older, HadEarly had = {});
    bool fall_behind(Slot slot, const Encoder& encoder);
    bool is_left_to_replay(Slot slot, const Encoder& encoder, bool is_volatile);
    void catch_up(Socket& socket);
    bool send_missed(Socket& socket, std::size_t& most);
    void send_packet(Socket& socket, const RecoveryLog::Packet& packet);
    void look_back(Socket& socket);
    Socket* replaying(Slot slot, std::string_view nsp, std::uint64_t ticket);
    void fetch_missed(Socket& socket, std::vector<Position> positions);
    void take_fetched(Slot slot, const std::string& nsp, std::uint64_t ticket,
                      std::optional<std::vector<FetchedEvent>> events);
    void send_fetched(Socket& socket, const FetchedEvent& event);
    void hurry(Socket& socket);
    void end_replay(Socket& socket);
    void lose_replay(Socket& socket);
    void wait_for_replay(Socket& socket);
    void on_replay_timer();
    [[nodiscard]] Position position(const Namespace& nsp) const;

    HubOptions options_;
    HubHandlers& handlers_;
    Backbone* backbone_ = nullptr;
    Passes* passes_ = nullptr;
    Engine* engine_ = nullptr;
    HubStats stats_;
    base::LogThrottle malformed_tokens_;
    base::LogThrottle joins_refused_;
    base::LogThrottle answers_dropped_;
    base::LogThrottle resumes_failed_[static_cast<std::size_t>(ResumeFailure::count)];
    RecoveryBudget budget_;
    std::uint64_t epoch_ =
        0;  ///< milliseconds: the time of the start, in which positions of a gateway alone are counted
    std::size_t behind_ = 0;  // sockets
    StringMap<std::unique_ptr<Namespace>> namespaces_;
    std::vector<std::unique_ptr<Client>> clients_;  // by slot
    std::vector<std::unique_ptr<Client>> buried_;   // of sessions that closed lately
    std::unordered_map<std::uint64_t, std::unique_ptr<AckWait>> waits_;
    std::vector<std::unique_ptr<AckWait>> finished_waits_;
    std::vector<Socket*> selected_;
    std::unique_ptr<PurgeTimer> purge_timer_;
    std::unique_ptr<ReplayTimer> replay_timer_;
    std::vector<std::unique_ptr<RecoveryLog>> logs_;  // by stream; one when this gateway is alone
    struct Waiting {
        std::string nsp;
        Id sid;
    };
    std::vector<Waiting> waiting_;  // sockets whose replay goes on when Redis does
    struct Held {
        Slot slot;
        std::uint64_t ticket;
    };
    std::vector<Held> held_;                   // CONNECTs that wait for the streams' ends
    StringMap<bool> admitted_;                 // namespaces that were asked about
    std::vector<RecoveryLog::Missed> missed_;  // scratch
    std::vector<std::string_view> rooms_;      // scratch
    std::vector<std::string_view> except_;     // scratch
    std::string scratch_;
    std::size_t socket_count_ = 0;
    std::size_t dynamic_namespaces_ = 0;
    std::uint64_t namespaces_made_ = 0;
    std::uint64_t tickets_ = 0;
};

}  // namespace sio::gateway
