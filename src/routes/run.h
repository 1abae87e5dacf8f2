// Runs a list of actions against the gateway: conditions, rights, templates, and the waits in between.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "routes/context.h"
#include "routes/routes.h"

namespace sio::routes {

class Run;

/// An event ready to be encoded. Views last for the call.
struct Message {
    std::string_view event;                    ///< raw JSON token of the name
    std::string_view args;                     ///< raw JSON, comma-separated, without brackets; may be empty
    std::span<const std::string> attachments;  ///< in order of the placeholders in `args`
};

/// What leaves the gateway by the stream of events. Views last for the call.
struct Publication {
    std::string_view topic;
    std::optional<std::string_view> key = std::nullopt;
    std::string_view value;                         ///< raw JSON
    std::span<const std::string> attachments = {};  ///< in order of the placeholders in `value`
};

/// Whom an emit reaches. Views last for the call.
struct Target {
    Audience audience = Audience::self;
    std::span<const std::string> rooms = {};   ///< for Audience::rooms and others_in
    std::span<const std::string> except = {};  ///< rooms (a socket id is one) that get nothing
    bool is_volatile = false;
    bool is_local = false;
};

/// What is said of a socket's right to be in rooms.
struct Grant {
    enum class Kind : std::uint8_t {
        granted,
        denied,
        unavailable,  ///< it cannot be told just now
    } kind = Kind::unavailable;
    std::string reason;  ///< one sentence for the client
};

/// How a wait ended.
struct Answer {
    enum class Outcome {
        elapsed,   ///< the time of schedule() is over
        answered,  ///< `args` and `attachments` hold the answer; of authorize(): granted
        timed_out,
        nobody,  ///< no handler is waiting, the socket is gone, or there is nowhere to publish: `reason`; of
                 ///< authorize(): it cannot be told
        failed,  ///< the handler, or the stream, answered with an error: `reason`; of authorize(): denied
    } outcome = Outcome::elapsed;
    std::string_view args;  ///< raw JSON, comma-separated
    std::span<const std::string> attachments;
    std::string_view reason;
};

/// What a list does, done by the gateway for one socket. Run calls it; it may be made anew for each call and need not
/// outlive it. Emits, acks and leaves to a socket that is gone are dropped in silence.
///
/// A Run given to ask(), hand(), publish(), authorize() or schedule() is the rest of the list: keep it and call
/// Run::resume() once, later or as the last thing within the call; or drop it, and the list ends there.
class Host : public Facts {
public:
    /// `room_token` is there when a `granted` rule allowed the join: what was shown for it, empty when that was
    /// nothing. Errors (of any code) end the list and are told to a client that wants an acknowledgement.
    virtual Result<void> join(std::string_view room, std::optional<std::string_view> room_token) = 0;
    virtual void leave(std::string_view room) = 0;
    virtual void emit(const Message& message, const Target& target) = 0;

    /// Acknowledges the event. Called at most once for a list, and only if the client wants it.
    virtual void ack(std::string_view args, std::span<const std::string> attachments) = 0;

    /// Emits to the socket and awaits its acknowledgement.
    virtual void ask(const Message& message, Milliseconds timeout, std::unique_ptr<Run> rest) = 0;

    /// Gives the event to a process that waits for `handler`; `message.event` is the event's own name.
    virtual void hand(std::string_view handler, const Message& message, Milliseconds timeout,
                      std::unique_ptr<Run> rest) = 0;

    /// Appends to the stream of events; the answer has no arguments.
    virtual void publish(const Publication& publication, Milliseconds timeout, std::unique_ptr<Run> rest) = 0;

    /// What is known without asking of the socket's right to all of `rooms`; nothing: it has to be asked. `room_token`
    /// is empty when there is none. Called for one room at least.
    [[nodiscard]] virtual std::optional<Grant> known(std::span<const std::string> rooms,
                                                     std::string_view room_token) = 0;

    /// Asks for that right; the answer has no arguments. The list goes on with these rooms if it is `answered`, and
    /// ends for any other answer. Views last for the call.
    virtual void authorize(std::span<const std::string> rooms, std::string_view room_token,
                           std::unique_ptr<Run> rest) = 0;

    virtual void schedule(Milliseconds delay, std::unique_ptr<Run> rest) = 0;

    /// May end what the context's views point into: the list goes on with copies.
    virtual void disconnect(Disconnect::What what) = 0;

    /// A list that ended early, for the log and the counters. `code` is "denied", "unavailable", "timeout" or
    /// "failed".
    virtual void stopped(std::string_view verb, std::string_view code, std::string_view reason) = 0;
};

/// A list of actions in progress.
///
/// Actions run in order. The first that fails ends the list: if the client wants an acknowledgement and has none yet,
/// it gets `{"error":CODE,"reason":SENTENCE}`. When a list ends well without `ack`, the output of its last `hand` is
/// the acknowledgement; without `hand` there is none.
///
/// Without `ask`, `hand`, `publish`, `after` and rights that have to be asked for, a list runs on the caller's views
/// within start(). To wait, the list copies what it still needs and becomes an object that the host owns.
class Run {
public:
    /// Runs `list`, which belongs to `routes`; a list that waits shares `routes`, so that a reload does not disturb it.
    static void start(const std::shared_ptr<const Routes>& routes, const ActionList& list, const Context& context,
                      Host& host);

    /// Goes on after a wait. `now_ms` is Unix time.
    static void resume(std::unique_ptr<Run> run, Host& host, std::int64_t now_ms, const Answer& answer = {});

    ~Run();
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

    /// The socket and the namespace whose event this is.
    [[nodiscard]] std::string_view socket_id() const noexcept;
    [[nodiscard]] std::string_view nsp() const noexcept;
    /// Whose event it is; empty: anonymous.
    [[nodiscard]] std::string_view user_id() const noexcept;

    /// Bytes copied for the wait.
    [[nodiscard]] std::size_t bytes_held() const noexcept;

private:
    struct State;
    struct Waiting;
    explicit Run(std::unique_ptr<Waiting> waiting);
    std::unique_ptr<Waiting> waiting_;
};

}  // namespace sio::routes
