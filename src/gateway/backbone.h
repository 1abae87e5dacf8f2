// What the hub asks of the cluster it is in. A gateway alone has none.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/recovery.h"

namespace sio::gateway {

struct Event;
struct Namespace;
struct Selection;
struct Socket;

/// Events that a gateway numbers, up to a number, those after a position: a client was sent them before they had a
/// place in the stream. It says so in its offset: `<ms>-<seq>.<gateway>.<number>`.
struct HadEarly {
    std::string gateway;       ///< its process, see Backbone::broadcast()
    std::uint64_t number = 0;  ///< 0: none
    [[nodiscard]] bool has(std::string_view by, std::uint64_t n) const noexcept {
        return number != 0 && n != 0 && n <= number && by == gateway;
    }
};

/// What a client wants to resume, and what is known of it already.
struct ResumeRequest {
    std::string pid;
    std::optional<Position> offset;    ///< of the last event it has received; nothing when it has received none
    HadEarly had;                      ///< events after that which it has received all the same
    std::optional<SavedSocket> saved;  ///< known here already; else the cluster is asked
};

/// Why a client that wanted to resume begins again. The names are those of the metric's label.
enum class ResumeFailure : std::uint8_t {
    none,
    malformed,          ///< its pid or its offset makes no sense
    unknown_session,    ///< nobody has kept its session, or not for so long
    other_user,         ///< it was somebody else's
    unknown_offset,     ///< its offset was never a place in the stream
    trimmed,            ///< what it missed is neither in memory nor in the stream any more
    too_much,           ///< it missed more than may be listed for one client
    timeout,            ///< it could not be told within recovery-wait
    redis_unreachable,  ///< Redis could not be asked within recovery-wait
    session_in_use,     ///< its id belongs to a socket that is still connected
    count
};
std::string_view to_string(ResumeFailure failure) noexcept;

/// A socket as it was, and what it has missed since: `older`, then what the log has after `from`.
struct Resumed {
    SavedSocket saved;
    std::vector<Position> older;  ///< ascending; all at or before `from`
    Position from;
    bool is_owner = false;  ///< the session in Redis is marked as this gateway's already
};

struct ResumeResult {
    std::optional<Resumed> resumed;
    ResumeFailure failure = ResumeFailure::none;
    std::string detail;          ///< the numbers of a failure, in words
    bool is_superseded = false;  ///< its client has gone on to another gateway: this connection is over

    static ResumeResult of(Resumed resumed) {
        ResumeResult result;
        result.resumed.emplace(std::move(resumed));
        return result;
    }
    static ResumeResult failed(ResumeFailure why, std::string detail = {}) {
        ResumeResult result;
        result.failure = why;
        result.detail = std::move(detail);
        return result;
    }
    static ResumeResult superseded() {
        ResumeResult result;
        result.is_superseded = true;
        return result;
    }
};

/// An event that was fetched from the stream.
struct FetchedEvent {
    Position position;
    bool is_there = false;  ///< else the stream has it no more, and the rest says nothing
    std::vector<std::string> rooms;
    std::vector<std::string> except;
    std::string name;       ///< raw JSON token
    std::string arguments;  ///< raw JSON, comma-separated
    std::vector<std::string> attachments;
    std::string gateway;  ///< the process that has numbered it, or empty
    std::uint64_t number = 0;
};

class Backbone {
public:
    virtual ~Backbone() = default;

    /// How many streams there are, and in which of them the events of a namespace are: each has a log of its own.
    [[nodiscard]] virtual std::size_t stream_count() const noexcept = 0;
    [[nodiscard]] virtual std::size_t stream_of_namespace(std::string_view nsp) const = 0;
    /// How far this node has read the stream of a namespace. While its end is not known, the time.
    [[nodiscard]] virtual Position position(std::string_view nsp) const = 0;
    /// Whether the end of the streams will be known in a moment: who connects now waits for Hub::release_held(), so
    /// that it misses nothing that is written after it has joined a room.
    [[nodiscard]] virtual bool is_starting() const noexcept = 0;

    /// A namespace is served from now on, or not any more.
    virtual void opened(Namespace& nsp) = 0;
    virtual void closing(Namespace& nsp) = 0;

    /// Sends an event to all nodes. Nothing: this one gets it back, in the order of all, by Hub::deliver(). A number:
    /// the cluster cannot be reached just now, and the event is to be delivered here by Hub::emit_early(); the others
    /// get it later, and Hub::deliver() says that it is done here. 0: nobody gets it later.
    virtual std::optional<std::uint64_t> broadcast(const Namespace& nsp, const Selection& selection, const Event& event,
                                                   bool is_volatile) = 0;
    /// The name of this process in offsets, and the number of the last event that was emitted early and has not been
    /// read back from the stream of a namespace; 0: there is none.
    [[nodiscard]] virtual std::string_view process() const noexcept = 0;
    [[nodiscard]] virtual std::uint64_t last_early(std::string_view nsp) const = 0;

    /// A socket that may return has joined, or its rooms have changed: what other nodes need to give it back is kept
    /// while it is connected, so that the end of this process costs it nothing.
    virtual void keep(Socket& socket) = 0;
    /// What is kept is on its way to the others when this returns: before any client hears of what it stands for.
    virtual void flush() = 0;
    /// It has left: for the recovery window, or for good.
    virtual void release(const Socket& socket, bool recoverable) = 0;
    /// Looks for a socket that a client wants to resume. `done` is called once, later.
    virtual void resume(Namespace& nsp, ResumeRequest request, std::function<void(ResumeResult)> done) = 0;
    /// Fetches events of the stream. `done` is called once, later, with one for each position, in their order; with
    /// nothing when Redis could not be asked.
    virtual void fetch(std::string_view nsp, std::vector<Position> positions,
                       std::function<void(std::optional<std::vector<FetchedEvent>>)> done) = 0;
    /// Finds what went to rooms after `from` and is not in the log any more. `done` is called once, with `older` and
    /// `from` alone of Resumed.
    virtual void look_back(std::string_view nsp, std::vector<Stay> stays, Position from,
                           std::function<void(ResumeResult)> done) = 0;
};

}  // namespace sio::gateway
