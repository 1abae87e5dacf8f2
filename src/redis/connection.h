// A connection to Redis that comes back by itself: commands in, replies to callbacks, on the event loop.
//
// It connects by TCP, TLS or a Unix socket, or asks sentinels for the master first; logs in; and is then `up`. What is
// sent in one turn of the loop leaves in one write. A server that does not answer for `silence` counts as lost, whether
// its host is gone or its process is frozen. After a loss it connects again, for ever, with growing pauses.
//
// Not supported: Redis Cluster (a MOVED reply ends the connection with a reason that says so), MONITOR, RESP3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/timer_wheel.h"
#include "base/unique_fd.h"
#include "net/loop.h"
#include "net/resolver.h"
#include "redis/endpoint.h"
#include "redis/resp.h"

namespace sio::redis {

using base::Millis;

class Tls;

struct ConnectionOptions {
    std::string name;               ///< for CLIENT SETNAME and logs; no blanks
    Millis connect_timeout = 2000;  ///< from the first packet to `up`
    Millis backoff_min = 50;        ///< the pause after a loss; doubled after each failure,
    Millis backoff_max = 1000;      ///< up to this, less a random part of up to a half
    Millis silence = 1500;          ///< an open command unanswered for so long: lost
    Millis refusal_shown = 60'000;  ///< after the last one; longer than any of our programs waits to try again
    std::size_t max_pending_bytes = std::size_t{64} << 20U;  ///< of commands that are not answered yet
    std::size_t max_reply_bytes = Reader::default_max_bytes;
};

/// The loop and the owner outlive it. Made and destroyed outside of a turn's end. Whatever it calls may call send(),
/// reconnect(), start() and stop() of it, and must not destroy it.
class Connection final : net::Handler, net::Loop::TurnEnd {
public:
    class Owner {
    public:
        virtual ~Owner() = default;
        /// Logged in, database selected; send() works.
        virtual void on_up(Connection& connection) = 0;
        /// A loss, or an attempt that failed (then it was not up before). Connects again by itself. `reason` is a
        /// sentence, Redis's own words where it gave some; it lives for the call. Commands that were open have had
        /// their null by now.
        virtual void on_down(Connection& connection, std::string_view reason) = 0;
        /// What comes unasked after a SUBSCRIBE, PSUBSCRIBE or SSUBSCRIBE: an array whose first item is `message`,
        /// `pmessage`, `smessage`, or the confirmation of a (un)subscription. Views live for the call.
        virtual void on_push(Connection& connection, const Reply& push) {
            static_cast<void>(connection);
            static_cast<void>(push);
        }
    };

    /// Called exactly once for each command that was taken: with its reply, which may be an error reply and lives for
    /// the call, or with null when the connection was lost (or stopped) before; whether Redis has carried the command
    /// out is unknown then.
    using Done = std::function<void(const Reply*)>;

    struct Stats {
        std::uint64_t connects = 0;  ///< times it was up
        std::uint64_t failures = 0;  ///< losses and failed attempts
        std::uint64_t commands = 0;  ///< of send(), without logins and pings
        std::uint64_t refused = 0;   ///< commands of which refusal() tells
        std::uint64_t bytes_in = 0;
        std::uint64_t bytes_out = 0;
    };

    Connection(net::Loop& loop, Endpoint endpoint, ConnectionOptions options, Owner& owner);
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    /// Closes without a callback: commands that are open get no answer any more.
    ~Connection() override;

    /// Begins to connect, from the next turn on. Nothing when it has been started.
    void start();
    /// Closes and stays closed until start(). Open commands get their null during the call; on_down is not called.
    void stop();
    /// Closes and connects again, as after a loss for the reason `why`. When it was up the owner hears on_down during
    /// the call; when it waits for its next attempt, the attempt is made at once.
    void reconnect(std::string_view why);

    [[nodiscard]] bool is_up() const noexcept { return stage_ == Stage::up; }

    /// Takes a command; it is written at the end of the turn, after those taken before it. False, and `done` is not
    /// called, when the connection is down or `max_pending_bytes` would be passed. The arguments are copied.
    ///
    /// `done` of a SUBSCRIBE, UNSUBSCRIBE and their like is called with the confirmation of their last channel; all
    /// confirmations are pushes as well. They must name their channels. A connection that has subscribed takes only
    /// these commands (and PING) until it is made anew.
    bool send(std::span<const std::string_view> args, Done done = {});
    bool send(std::initializer_list<std::string_view> args, Done done = {}) {
        return send(std::span<const std::string_view>(args.begin(), args.size()), std::move(done));
    }
    /// A command that may rightly stay unanswered for `patience` (XREAD BLOCK): it is lost after `patience` and
    /// `silence`. What is sent after it waits for it, and the server's freeze is not noticed sooner.
    bool send_blocking(std::span<const std::string_view> args, Millis patience, Done done);
    bool send_blocking(std::initializer_list<std::string_view> args, Millis patience, Done done) {
        return send_blocking(std::span<const std::string_view>(args.begin(), args.size()), patience, std::move(done));
    }

    /// Writes what was taken in this turn now, instead of at its end.
    void flush_now();

    /// Redis's number for this connection (CLIENT ID), 0 while down or when the user may not ask.
    [[nodiscard]] std::uint64_t client_id() const noexcept { return is_up() ? client_id_ : 0; }
    /// Why it is down: the reason of the last on_down, empty while it is up or has not failed yet.
    [[nodiscard]] const std::string& down_reason() const noexcept { return down_reason_; }
    /// What Redis has refused, in its words, for `refusal_shown` after the last time; empty: nothing. Counts are what
    /// the user has no right to, whoever asked (NOPERM, also from within a script), and every other error reply to a
    /// command that was sent without a `done`, as nobody else would tell of it. Each is logged once in that time.
    [[nodiscard]] std::string_view refusal() const noexcept {
        return refused_at_ && loop_.now() - *refused_at_ < options_.refusal_shown ? std::string_view(refusal_)
                                                                                  : std::string_view();
    }
    /// Makes a refusal of an error reply that a `done` has no use for. Of denials it has been made already.
    void note_refusal(const Reply& error);
    [[nodiscard]] const Endpoint& endpoint() const noexcept { return endpoint_; }
    [[nodiscard]] const ConnectionOptions& options() const noexcept { return options_; }
    [[nodiscard]] const Stats& stats() const noexcept { return stats_; }
    /// Commands that wait for their answer, and their bytes.
    [[nodiscard]] std::size_t pending() const noexcept { return open_.size() - open_head_; }
    [[nodiscard]] std::size_t pending_bytes() const noexcept { return open_bytes_; }

private:
    enum class Stage : std::uint8_t { stopped, waiting, resolving, connecting, securing, greeting, up };
    enum class Ask : std::uint8_t { command, subscription, ping, auth, select, set_name, client_id, role, sentinel };

    struct Open {
        Ask ask;
        std::uint32_t confirmations;  // that a subscription still waits for
        std::size_t bytes;
        Millis sent_at;
        Millis patience;
        Done done;
    };
    // Timers of which each calls one member.
    struct Alarm final : base::Timer {
        Alarm(Connection& of, void (Connection::*what)(Millis)) : connection(of), call(what) {}
        void expire(Millis now) override { (connection.*call)(now); }
        Connection& connection;
        void (Connection::*call)(Millis);
    };

    void on_ready(std::uint32_t events) override;
    bool end_turn() override;

    void on_alarm(Millis now);
    void on_resume(Millis now);
    void attempt();
    void connect_to(HostPort target);
    void on_resolved(Result<std::vector<std::string>> addresses);
    void try_addresses(std::string reason);
    void open_unix_socket();
    bool adopt_socket(base::UniqueFd fd);
    void on_connected();
    void go_on_securing();
    void greet();
    void come_up();
    void read(bool to_the_end);
    bool dispatch();
    bool take(const Reply& reply);
    bool take_push(const Reply& reply);
    bool take_greeting(Ask ask, const Reply& reply);
    bool take_master(const Reply& reply);
    bool finish(const Open& command, const Reply& reply);
    void keep_refusal(const Reply& error);
    Open pop();
    void put(Ask ask, std::span<const std::string_view> args, Millis patience = 0, std::uint32_t confirmations = 0,
             Done done = {});
    void put(Ask ask, std::initializer_list<std::string_view> args) {
        put(ask, std::span<const std::string_view>(args.begin(), args.size()));
    }
    bool accept(std::span<const std::string_view> args, Millis patience, Done done);
    void flush();
    void watch_silence();
    void close_socket() noexcept;
    void answer_open_with_null();
    void lose(std::string reason);
    void log_down(bool was_up, std::string_view reason);
    void run_next_turn() noexcept { loop_.timers().arm(resume_, loop_.now()); }
    [[nodiscard]] Millis silence_ends() const noexcept;
    [[nodiscard]] Millis next_pause() noexcept;
    [[nodiscard]] Millis ping_interval() const noexcept { return options_.silence / 3; }
    [[nodiscard]] std::string place() const;

    net::Loop& loop_;
    Endpoint endpoint_;
    ConnectionOptions options_;
    Owner& owner_;
    Stage stage_ = Stage::stopped;

    base::UniqueFd fd_;
    std::unique_ptr<Tls> tls_;
    std::unique_ptr<net::Resolver> resolver_;
    std::size_t sentinel_ = 0;         // the one asked next
    std::size_t sentinels_tried_ = 0;  // without success, one after the other
    bool asks_sentinel_ = false;       // the socket is a sentinel's
    HostPort target_;
    std::vector<std::string> addresses_;  // of the target, those not tried yet

    Reader reader_;
    std::string out_;
    std::size_t out_sent_ = 0;
    std::vector<Open> open_;  // from open_head_ on, in the order sent
    std::size_t open_head_ = 0;
    std::size_t open_bytes_ = 0;
    bool subscribed_ = false;
    bool write_blocked_ = false;  // until the socket is ready again
    bool more_to_read_ = false;   // in the next turn
    std::string trouble_;         // a write that failed: told in the next turn, outside of end_turn()
    std::uint64_t client_id_ = 0;
    std::uint64_t epoch_ = 0;       // of the socket: what a callback has closed is read no further
    std::uint64_t ended_turn_ = 0;  // the turn whose end_turn() has been here last

    Alarm alarm_{*this, &Connection::on_alarm};    // the next attempt, the end of its time, the watch over silence
    Alarm resume_{*this, &Connection::on_resume};  // what was left for the next turn
    Millis heard_at_ = 0;
    Millis began_at_ = 0;  // this attempt
    Millis up_at_ = 0;
    unsigned failed_attempts_ = 0;
    Millis logged_at_ = 0;
    std::uint64_t failures_not_logged_ = 0;
    bool down_logged_ = false;
    std::uint64_t random_;
    std::string down_reason_;
    std::string refusal_;
    std::optional<Millis> refused_at_;
    std::vector<std::string> refusals_logged_;
    Stats stats_;
};

}  // namespace sio::redis
