// This gateway as a member of a cluster that meets in Redis: other gateways, and Node servers that use
// @socket.io/redis-streams-adapter 0.3. Source: cluster-wire 1 to 3.
//
// Order. What is broadcast goes to the stream and is delivered when it is read back, here as everywhere, so all members
// deliver in one order and an offset names a place in it. While Redis is away events are delivered here at once,
// without an offset, and wait in a bounded spool; every entry carries a number of this process (field `n`, which Node
// ignores), so that after the return the stream itself says which of them it has, and none is sent or delivered twice.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/keyed_hash.h"
#include "cluster/message.h"
#include "cluster/session.h"
#include "cluster/stream_bounds.h"
#include "gateway/backbone.h"
#include "gateway/hop.h"
#include "gateway/hub.h"
#include "gateway/trace_ring.h"
#include "net/loop.h"
#include "redis/connection.h"
#include "redis/script.h"

namespace sio::gateway {

struct ClusterOptions {
    redis::Endpoint redis;
    std::string node;                  ///< this gateway's name in answers and logs
    bool owns_name = false;            ///< it was given: no two gateways may have it
    std::string stream = "socket.io";  ///< key, or its beginning when there are several
    std::uint32_t stream_count = 1;    ///< as `streamCount` of the Node servers
    std::string channel_prefix = "socket.io";
    std::string session_prefix = "sio:session:";
    Millis session_window = 120'000;       ///< how long a client may stay away
    Millis retention = 300'000;            ///< how long entries stay in the stream at least
    std::size_t spool_bytes = 64U << 20U;  ///< what may wait for Redis
    cluster::StreamBounds bounds = {};     ///< of all streams together
    Millis request_timeout = 5'000;        ///< for answers of other nodes
    Millis recovery_wait = 20'000;         ///< how long a client that returns may wait for what it missed
};

struct ClusterStats {
    std::uint64_t entries_read = 0;
    std::uint64_t entries_written = 0;
    std::uint64_t entries_malformed = 0;
    std::uint64_t entries_repeated = 0;  ///< sent again by a node that could not know; dropped
    std::uint64_t entries_missed = 0;    ///< trimmed from the stream before they were read
    std::uint64_t gaps = 0;              ///< times that happened
    std::uint64_t entries_dropped = 0;   ///< that this gateway had Redis drop, as the streams were full
    std::uint64_t stream_entries = 0;    ///< of all streams, as last measured
    std::uint64_t stream_bytes = 0;      ///< what they take in Redis, as last measured
    std::uint64_t streams_replaced = 0;  ///< times a stream was deleted or evicted, or another was in its place
    std::uint64_t spool_dropped = 0;     ///< events that waited for Redis and did not fit
    std::uint64_t requests_out = 0;
    std::uint64_t requests_in = 0;
    std::uint64_t requests_timed_out = 0;
    std::uint64_t requests_withheld = 0;  ///< because servers of the classic adapter would fail on them
    std::uint64_t requests_refused = 0;   ///< of others, because too many waited
    std::uint64_t counts_asked = 0;       ///< numbers that were asked for; one question has many of them
    std::uint64_t sessions_restored = 0;
    std::uint64_t sessions_lost = 0;       ///< asked for, and not to be had
    std::uint64_t entries_backfilled = 0;  ///< read once, to fill the logs
    std::uint64_t entries_swept = 0;       ///< read further back, for those who missed more
    std::uint64_t sweeps = 0;
    std::uint64_t entries_fetched = 0;  ///< one by one, of those whose content was not in memory
};

/// What other nodes answered.
struct ClusterAnswer {
    std::size_t expected = 0;  ///< nodes beside this one
    std::size_t received = 0;
    std::vector<std::string> nodes;  ///< uids of those that answered
    struct Value {
        std::string json;  ///< an array of sockets, or what one acknowledgement or server says
        std::vector<std::string> attachments;
    };
    std::vector<Value> values;
    std::uint64_t clients = 0;        ///< broadcast with acknowledgement: sockets it reached on other nodes
    std::vector<std::string> silent;  ///< names of the nodes that did not answer; empty for one that has no name
    std::string trouble;              ///< why nobody was asked
    [[nodiscard]] bool is_complete() const noexcept { return received >= expected; }
};

class Cluster final : public Backbone, public NodeDirectory, private redis::Connection::Owner {
public:
    Cluster(net::Loop& loop, Hub& hub, ClusterOptions options);
    ~Cluster() override;

    void start();

    /// Redis answers and everything it has is read.
    [[nodiscard]] bool is_live() const noexcept { return live_; }
    /// The same, and nothing that this gateway needs of Redis is refused.
    [[nodiscard]] bool is_ready() const noexcept { return live_ && refusal().empty(); }
    /// What Redis refuses, in its words; empty: nothing.
    [[nodiscard]] std::string_view refusal() const noexcept;
    /// How often it has refused something.
    [[nodiscard]] std::uint64_t refusals() const noexcept;
    /// How long ago a stream was found to be trimmed past this gateway, or to be gone, milliseconds; nothing: never.
    [[nodiscard]] std::optional<Millis> gap_age() const {
        return gap_at_ ? std::optional(loop_.now() - *gap_at_) : std::nullopt;
    }
    /// What happened then, in words.
    [[nodiscard]] const std::string& gap() const noexcept { return gap_; }
    /// Why it is not ready, for /ready.
    [[nodiscard]] std::string trouble() const;
    [[nodiscard]] const ClusterStats& stats() const noexcept { return stats_; }
    [[nodiscard]] std::size_t spooled() const noexcept { return own_count_; }
    /// Clients that wait to resume.
    [[nodiscard]] std::size_t resuming() const noexcept { return resumes_.size(); }
    /// Whether a log is still being filled from the stream.
    [[nodiscard]] bool is_filling() const noexcept;
    /// What sessions of this gateway are called and where other hosts reach it; before start().
    void set_home(std::string_view tag, const std::string& hop) {
        home_tag_ = tag;
        home_hop_ = hop;
    }
    [[nodiscard]] std::string hop_address(const Tag& tag) const override;
    struct NodeInfo {
        std::string name;
        std::string id;
        std::string hop;
        std::int64_t pid = 0;
        std::int64_t sockets = 0;
        Millis since = 0;  ///< wall clock of its start
        Millis heard_ago = 0;
        bool is_self = false;
    };
    /// The gateways of the cluster, by name. Node servers do not say who they are.
    [[nodiscard]] std::vector<NodeInfo> nodes() const;
    /// The name of the gateway with this uid in some namespace; the uid itself for a Node server.
    [[nodiscard]] std::string node_of(std::string_view uid) const;
    /// This process among the gateways: never used again.
    [[nodiscard]] const std::string& node_uid() const noexcept { return node_uid_; }
    /// Told, once, that another living gateway has this one's name, and that this one is to go.
    void on_name_in_use(std::function<void(const std::string&)> hook) { on_name_in_use_ = std::move(hook); }
    /// This gateway ends: another may have its name.
    void release_name() noexcept { has_released_name_ = true; }
    /// Told when the commands' connection is up, and when it is down again.
    void on_commands(std::function<void(bool)> hook) { on_commands_ = std::move(hook); }
    /// The fields of a stream entry that makes all nodes emit an event; its stream is `stream`.
    std::vector<std::string> entry(const std::string& nsp, const std::vector<std::string>& rooms,
                                   const std::vector<std::string>& except, const Event& event, std::string& stream);

    /// For what else needs Redis: commands are answered in the order sent.
    [[nodiscard]] redis::Connection& commands() noexcept { return commands_; }

    // --- Backbone ---
    [[nodiscard]] std::size_t stream_count() const noexcept override { return streams_.size(); }
    [[nodiscard]] std::size_t stream_of_namespace(std::string_view nsp) const override;
    [[nodiscard]] Position position(std::string_view nsp) const override;
    [[nodiscard]] bool is_starting() const noexcept override;
    void opened(Namespace& nsp) override;
    void closing(Namespace& nsp) override;
    std::optional<std::uint64_t> broadcast(const Namespace& nsp, const Selection& selection, const Event& event,
                                           bool is_volatile) override;
    /// The same for a namespace that need not be open here.
    std::optional<std::uint64_t> broadcast_in(const std::string& nsp, const Selection& selection, const Event& event,
                                              bool is_volatile);
    [[nodiscard]] std::string_view process() const noexcept override { return node_uid_; }
    [[nodiscard]] std::uint64_t last_early(std::string_view nsp) const override;
    void keep(Socket& socket) override;
    void flush() override;
    void release(const Socket& socket, bool recoverable) override;
    void resume(Namespace& nsp, ResumeRequest request, std::function<void(ResumeResult)> done) override;
    void fetch(std::string_view nsp, std::vector<Position> positions,
               std::function<void(std::optional<std::vector<FetchedEvent>>)> done) override;
    void look_back(std::string_view nsp, std::vector<Stay> stays, Position from,
                   std::function<void(ResumeResult)> done) override;

    // --- for the control socket ---
    enum class Change : std::uint8_t { join, leave, disconnect };
    /// Asks all nodes, this one included, to change sockets. `rooms` for join and leave; `close` for disconnect.
    void change(const std::string& nsp, Change what, const Selection& selection, std::vector<std::string> rooms,
                bool close);
    /// The sockets other nodes have. `done` once, with what came within `timeout`.
    void fetch_sockets(Namespace& nsp, const Selection& selection, Millis timeout,
                       std::function<void(ClusterAnswer)> done);
    /// How many sockets the other nodes have, as `clients` of the answer. What is asked in one turn travels in one
    /// question, and gateways are asked for numbers only. `done` once, perhaps during the call.
    void count_sockets(Namespace& nsp, const Selection& selection, Millis timeout,
                       std::function<void(ClusterAnswer)> done);
    /// Requests of other nodes that wait for their turn.
    [[nodiscard]] std::size_t requests_waiting() const noexcept { return incoming_.size(); }
    /// Asks the other nodes' sockets for acknowledgements.
    void ask(Namespace& nsp, const Selection& selection, const Event& event, Millis timeout,
             std::function<void(ClusterAnswer)> done);
    void server_side_emit(Namespace& nsp, const Event& event, std::optional<Millis> timeout,
                          std::function<void(ClusterAnswer)> done);
    /// What each gateway knows of an entry of the stream: `done` once, with a JSON array of one object for each (see
    /// `trace` in doc/protocol/admin.md). An empty `stream`: whichever has it.
    void trace(const std::string& stream, Position entry, Millis timeout, std::function<void(std::string)> done);
    /// The key of the stream that a namespace's entries are in.
    [[nodiscard]] std::string stream_key(std::string_view nsp) const;

    /// Who hears events that servers emit to servers. `answer`, when not null, is to be called once with one raw JSON
    /// value.
    using ServerEvent = std::function<void(const std::string& nsp, std::string_view event, std::string_view arguments,
                                           std::function<void(std::string)> answer)>;
    void on_server_event(ServerEvent handler) { server_event_ = std::move(handler); }

private:
    /// An entry that this node writes: kept until it has been read back.
    struct Own {
        std::uint64_t number = 0;
        cluster::Type type{};
        std::string nsp;
        std::vector<std::string> rooms;
        std::vector<std::string> except;
        bool is_volatile = false;
        std::string event;
        std::string arguments;
        std::vector<std::string> attachments;
        std::vector<std::string> joined_rooms;
        bool close = false;
        bool is_delivered = false;  ///< to this node's own sockets, because Redis was away
        std::size_t bytes = 0;
    };
    struct Request;   // to the other nodes
    struct Incoming;  // a request of another node, until it is answered
    struct Counting;  // numbers that the other nodes are asked for at once
    struct Later;
    struct Resume;  // a client that wants to resume
    struct Sweep;   // of the stream, backwards
    struct Fetch;   // of single events
    struct Stream;
    struct Tick;
    struct SessionTimer;
    struct SweepTimer;

    void on_up(redis::Connection& connection) override;
    void on_down(redis::Connection& connection, std::string_view reason) override;
    void on_push(redis::Connection& connection, const redis::Reply& push) override;

    // refusals: what Redis answers with an error is tried again with each tick, without a new connection
    enum class Need : std::uint8_t { subscribe, tails, end, read, write, count };
    void refused(Need need, const redis::Reply& reply);
    void granted(Need need) noexcept { refused_[static_cast<std::size_t>(need)].clear(); }
    [[nodiscard]] bool is_refused(Need need) const noexcept {
        return !refused_[static_cast<std::size_t>(need)].empty();
    }
    void try_again();
    void subscribe();
    void subscribe_to(std::string_view nsp, std::string_view uid);
    [[nodiscard]] bool is_connected() const noexcept {
        return commands_.is_up() && reader_.is_up() && subscriber_.is_up() && is_subscribed_;
    }

    // reading
    void find_tails();
    void take_tail(std::size_t stream, const redis::Reply* reply);
    void check_gap(std::size_t stream);
    struct Info;
    void check_info(std::size_t stream, const Info& info);
    void lose_stream(std::size_t stream, std::string_view how);
    void read_anew(std::size_t stream);
    void step_back(std::size_t stream, Position id);
    void read_on();
    void end_read();
    void take_entries(const redis::Reply& reply);
    void take_held();
    void take_read(std::size_t stream, Position id, const redis::Reply& fields);
    void take_entry(std::size_t stream, Position id, const redis::Reply& fields);
    void apply(const cluster::Message& message, std::optional<Position> id, bool is_done,
               TraceRing::Entry* traced = nullptr);
    void note(TraceRing::Entry& traced, const Namespace& nsp, const Reached& reached);
    [[nodiscard]] std::string trace_here(std::string_view stream, Position entry) const;
    [[nodiscard]] std::string trace_answer(std::string_view arguments) const;
    void catch_up();
    void go_live();
    void go_away();
    void on_tick();

    // writing
    void append(Own own);
    void write(Own& own);
    void write_again();
    void note_growth(Stream& stream, std::size_t entries, std::size_t bytes);
    void on_measured(std::size_t index, const redis::Reply& reply);
    void ask_dropped(std::size_t index, redis::Connection& connection);
    void note_dropped(std::size_t index, std::string_view first);
    void deliver_here(const Own& own);
    void publish(const std::string& channel, std::string_view uid, std::string_view nsp,
                 const cluster::Outgoing& message);

    // nodes
    [[nodiscard]] std::string nodes_channel() const;
    void say_hello(bool asks);
    void hear_node(std::string_view bytes);
    void hear_hello(std::string_view text);
    [[nodiscard]] bool holds_name() const noexcept;
    void contest_name(std::string_view hello, std::string_view id, Millis since);
    void forget_silent_nodes();
    struct Peer;
    [[nodiscard]] const Peer* peer_of(std::string_view uid) const;
    /// The names of `missing` nodes that `may_be` and are not among those that answered.
    [[nodiscard]] std::vector<std::string> silent_names(const std::vector<std::string>& answered, std::size_t missing,
                                                        const std::function<bool(const Peer&)>& may_be) const;
    [[nodiscard]] static bool has_namespace(const Peer& peer, std::string_view nsp);
    void look_for_classic_servers();

    // requests
    void on_request(const cluster::Message& message);
    void answer_requests();
    bool answer(Incoming& request);
    bool answer_counts(Incoming& request);
    bool answer_fetch(Incoming& request, Namespace& nsp);
    void answer_ask(const Incoming& request, Namespace& nsp);
    void answer_server_side_emit(const Incoming& request, const Namespace& nsp);
    void spend(std::size_t work) noexcept { work_left_ -= std::min(work, work_left_); }
    [[nodiscard]] std::string why_not_ask() const;
    void on_response(const cluster::Message& message);
    std::string begin_request(cluster::Type type, std::string_view nsp, Millis timeout,
                              std::function<void(ClusterAnswer)> done);
    void count_nodes(Namespace& nsp, const std::string& request_id, std::function<void()> then);
    void check_request(const std::string& id);
    void finish_request(const std::string& id);
    void on_classic(const cluster::ClassicRequest& request, std::string_view nsp);
    [[nodiscard]] static std::vector<std::string> selection_rooms(const Selection& selection);
    [[nodiscard]] static std::vector<std::string> selection_except(const Selection& selection);
    void describe(std::string& list, const Socket& socket);

    // numbers (cluster_counts.cpp)
    Counting& counting_for(const Namespace& nsp, Millis timeout);
    void send_counts();
    void send_count(Counting& counting);
    void ask_others(Counting& counting);
    void on_count_response(const cluster::Message& message);
    void check_count(Counting& counting);
    void give_up_count(Counting& counting);
    void finish_count(Counting& counting, std::string trouble);
    void fail_counts();

    // sessions (cluster_sessions.cpp)
    struct Dirty {  // a socket whose session is to be written
        std::string nsp;
        Id sid;
    };
    void on_session_timer();
    void load_scripts();
    void on_scripts_loaded();
    void miss_scripts();
    std::size_t write_sessions(std::deque<Dirty>& list, std::size_t most);
    [[nodiscard]] cluster::StoredSession stored(const Socket& socket) const;
    [[nodiscard]] std::string session_key(std::string_view pid) const;
    void write_session(const Socket& socket, Millis lifetime);
    void refresh_sessions();
    void lose_session(std::string_view nsp, std::string_view pid);
    void claim(const std::shared_ptr<Resume>& resume);
    void on_claimed(const std::shared_ptr<Resume>& resume, const redis::Reply* reply);
    void adopt_session(Resume& resume, const std::string& before, cluster::StoredSession session);
    [[nodiscard]] static std::vector<Stay> stays_of(const cluster::StoredSession& session);
    void claim_known(Resume& resume);
    bool send_claim(const std::string& pid, std::function<void(const redis::Reply*)> done);
    bool send_take(std::initializer_list<std::string_view> command, const std::string& pid,
                   std::function<void(const redis::Reply*)> done);
    void note_refusal(const redis::Reply* reply);
    [[nodiscard]] bool is_taking(std::string_view pid) const { return takes_.contains(pid); }
    void say_taken(std::string_view nsp, std::string_view pid);
    void on_taken(std::string_view text);
    void give_up_session(std::string_view nsp, const std::string& pid);

    // clients that resume (cluster_resume.cpp)
    void go_on_resuming();
    void begin(const std::shared_ptr<Resume>& resume);
    void advance(const std::shared_ptr<Resume>& resume);
    void check_offset(const std::shared_ptr<Resume>& resume, const Stream& stream);
    void check_end(const std::shared_ptr<Resume>& resume, Stream& stream);
    void succeed(const std::shared_ptr<Resume>& resume);
    void fail(const std::shared_ptr<Resume>& resume, ResumeFailure failure);
    void on_wait_over(Resume& resume);
    [[nodiscard]] std::uint64_t entries_read_back() const noexcept {
        return stats_.entries_backfilled + stats_.entries_swept;
    }
    void give_up(const Resume& resume);
    void finish(const std::shared_ptr<Resume>& resume, ResumeResult result);

    // reading back (cluster_backfill.cpp)
    static Position beginning(const redis::Reply& info);
    void begin_fill(std::size_t index);
    void fill_on(std::size_t index);
    void ask_page(std::size_t index, Position end);
    void take_page(std::size_t index, const redis::Reply& reply);
    void end_fill(std::size_t index, std::string_view by);
    [[nodiscard]] Millis sent_at(Position id) const noexcept;
    void prepend(std::size_t index, Position id, const redis::Reply& fields, Millis sent);
    void wake_unread(Stream& stream, Position known_after);
    void wake_ahead(Stream& stream);
    void want_sweep(Stream& stream);
    void on_sweep_timer();
    void sweep(Stream& stream);
    void sweep_on(Stream& stream);
    void take_sweep_page(Stream& stream, const redis::Reply* reply);
    void note_swept(const Sweep& sweep, Position id, const redis::Reply& fields);
    void end_sweep(Stream& stream);
    void take_fetched(Fetch& fetch, FetchedEvent& event, const redis::Reply* reply);
    void tell_lost_fetches();

    enum class Fill : std::uint8_t { not_begun, under_way, ended };
    struct Stream {
        std::string key;
        std::optional<Position> last;  ///< read through here
        std::uint64_t read = 0;        ///< entries of the stream up to `last`, trimmed ones included; see check_gap()
        bool is_counted = true;        ///< `read` is exact
        Position target;               ///< to be read before this node is live again
        // What tells it from another stream under its key, as it was when last asked for.
        std::optional<Position> first;  ///< its first entry
        std::uint64_t trimmed = 0;      ///< entries that are gone from it
        Position highest;               ///< of all that were read, of earlier streams too
        std::vector<Position> had;      ///< ascending: of what is read again, what was taken already
        // By stream, as only within one is what is read in the order in which it was written.
        StringMap<std::uint64_t> seen;  ///< the last number of each node that numbers its entries
        std::deque<Own> own;            ///< by number
        std::uint64_t last_early = 0;   ///< of them, the last that was delivered early; 0: none

        cluster::StreamGrowth growth;
        Position dropped;           ///< what lies at or before this went as the stream was full
        std::uint64_t entries = 0;  ///< as last measured
        std::uint64_t bytes = 0;

        Fill fill = Fill::not_begun;
        bool is_filling = false;   ///< a page is under way
        Position fill_at;          ///< the next page ends before this
        std::uint64_t filled = 0;  ///< entries
        Position begins_after;     ///< what lies at or before this is not in the stream any more
        std::unique_ptr<Sweep> sweep;
        Millis next_sweep = 0;  ///< not before
        std::vector<std::shared_ptr<Resume>> wants_sweep;
        std::multimap<Position, std::shared_ptr<Resume>> unread;  ///< wait for the log to know what is after this
        std::multimap<Position, std::shared_ptr<Resume>> ahead;   ///< wait for the stream to be read up to this
    };
    /// The oldest entry that has not been read back, of whichever stream; null when there is none.
    [[nodiscard]] Stream* stream_of_oldest();
    void forget_own(Stream& stream);
    [[nodiscard]] Stream* stream_of(std::string_view nsp);
    [[nodiscard]] const Stream* stream_of(std::string_view nsp) const;

    net::Loop& loop_;
    Hub& hub_;
    ClusterOptions options_;
    redis::Connection commands_;
    redis::Connection reader_;
    redis::Connection subscriber_;
    std::vector<Stream> streams_;
    std::unordered_map<std::string, std::size_t, base::KeyedHash> stream_index_;
    std::array<std::string, static_cast<std::size_t>(Need::count)> refused_;  // the words of Redis, by need
    bool is_subscribed_ = false;                                              // to all channels
    struct Held {  // an entry that was read, and waits for its turn
        std::size_t stream = 0;
        Position id;
        std::vector<std::string> words = {};
    };
    std::deque<Held> held_;
    bool tails_known_ = false;
    bool start_failed_ = false;  // Redis could not be reached at the start
    bool reading_ = false;
    bool live_ = false;
    bool catching_up_ = false;
    std::uint64_t last_client_id_ = 0;  // of commands_

    std::string node_uid_;         // of this process; its entries are numbered under it
    StringMap<std::string> uids_;  // of this node, by namespace
    TraceRing trace_;
    std::size_t own_count_ = 0;  // of all streams
    std::size_t own_bytes_ = 0;
    std::uint64_t next_number_ = 1;

    cluster::Decoder decoder_;
    Selection selection_;  // scratch
    std::string scratch_;
    std::unordered_map<std::string, std::unique_ptr<Request>, base::KeyedHash> requests_;
    std::vector<std::unique_ptr<Request>> finished_;
    std::size_t asks_waiting_ = 0;  // of clients here, for others
    std::deque<std::unique_ptr<Incoming>> incoming_;
    std::size_t incoming_bytes_ = 0;
    bool is_refusing_ = false;       // said so
    std::uint64_t worked_turn_ = 0;  // the turn that work_left_ is of
    std::size_t work_left_ = 0;
    std::vector<std::unique_ptr<Counting>> counting_;  // in the order asked
    std::size_t counts_waiting_ = 0;                   // callbacks in them
    std::size_t silent_others_ = 0;                    // nodes that are no gateways and did not answer,
    Millis silent_others_at_ = 0;                      // when that was found
    bool has_others_ = false;                          // there were such nodes when last seen
    struct Scripts {
        Scripts();
        redis::Script claim;
        redis::Script swap;
        redis::Script write;
        redis::Script remove;
        redis::Script trim;
    };
    Scripts scripts_;
    std::size_t scripts_loading_ = 0;
    bool are_scripts_missed_ = false;  // something was asked of Redis that it did not know
    std::string owner_text_;           // of this process, as it stands in a session
    std::unordered_multimap<std::string, std::shared_ptr<Resume>, base::KeyedHash, std::equal_to<>> resumes_;  // by pid
    StringMap<unsigned> takes_;                    // commands that make a session ours, sent and not answered, by pid
    std::vector<std::shared_ptr<Fetch>> fetches_;  // that could not be sent
    Millis away_since_ = 0;                        // the commands' connection, while it is down
    Millis redis_ahead_ = 0;                       // what the wall clock of Redis is ahead of the clock of this loop
    std::deque<Dirty> dirty_;                      // to be written before this turn ends
    std::deque<Dirty> stale_;                      // to be written again, a few in each turn
    std::unique_ptr<base::Timer> tick_;
    std::unique_ptr<base::Timer> session_timer_;
    std::unique_ptr<base::Timer> sweep_timer_;
    std::unique_ptr<base::Timer> incoming_timer_;
    std::unique_ptr<base::Timer> counting_timer_;
    std::unique_ptr<base::Timer> held_timer_;
    std::uint64_t ticks_ = 0;
    std::uint64_t gap_tick_ = 0;  // of the last check_gap()
    std::optional<Millis> gap_at_;
    std::optional<Millis> told_dropped_at_;
    std::string gap_;
    std::uint64_t reads_void_ = 0;  // times that what was being read was not to be taken any more
    bool classic_servers_ = false;  // share our channels
    Millis last_refresh_ = 0;
    ServerEvent server_event_;
    std::function<void(bool)> on_commands_;
    std::function<void(const std::string&)> on_name_in_use_;
    std::optional<Millis> asked_for_name_at_;                  // when the others were first asked who is there
    std::optional<std::pair<std::string, Millis>> objection_;  // whose, and when it was first heard
    bool has_released_name_ = false;
    struct Peer {
        std::string name;
        std::string tag;
        std::string hop;
        std::int64_t pid = 0;
        std::int64_t sockets = 0;
        Millis since = 0;
        Millis heard = 0;
        Millis missed = 0;            // when it did not answer, while not heard since
        bool counts = false;          // it answers count_sockets
        StringMap<std::string> uids;  // by namespace
    };
    std::unordered_map<std::string, Peer, base::KeyedHash> peers_;  // by their id
    std::deque<std::pair<std::string, Peer>> gone_;                 // by id too: silent, but Redis may still count them
    std::string home_tag_;
    std::string home_hop_;
    Millis started_ = 0;  // wall clock
    ClusterStats stats_;
};

}  // namespace sio::gateway
