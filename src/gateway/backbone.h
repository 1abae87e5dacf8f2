// What the hub asks of the cluster it is in. A gateway alone has none.
#pragma once

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

/// What a client that came back from another node has missed.
struct MissedEvent {
    Position position;
    std::vector<std::string> rooms;
    std::vector<std::string> except;
    std::string name;       ///< raw JSON token
    std::string arguments;  ///< raw JSON, comma-separated
    std::vector<std::string> attachments;
};

/// What a client comes back with, and what is known of it already.
struct Comeback {
    std::string pid;
    std::optional<Position> offset;    ///< of the last event it has received; nothing when it has received none
    std::optional<SavedSocket> saved;  ///< known here already; else the cluster is asked
};

/// A socket as it was, and what it has missed since: first `missed`, then what the namespace's log has after `from`.
struct Restored {
    SavedSocket saved;
    std::vector<MissedEvent> missed;
    Position from;
};

class Backbone {
public:
    virtual ~Backbone() = default;

    /// How far this node has read the stream of a namespace: where its log begins when it is made now.
    [[nodiscard]] virtual Position position(std::string_view nsp) const = 0;

    /// A namespace is served from now on, or not any more.
    virtual void opened(Namespace& nsp) = 0;
    virtual void closing(Namespace& nsp) = 0;

    /// Sends an event to all nodes. This one gets it back, in the order of all, by Hub::deliver(). False: the cluster
    /// cannot be reached just now, and the event is to be delivered here alone (it is sent to the others later).
    virtual bool broadcast(const Namespace& nsp, const Selection& selection, const Event& event, bool is_volatile) = 0;

    /// A socket that may come back has joined, or its rooms have changed: what other nodes need to give it back is kept
    /// while it is connected, so that the end of this process costs it nothing.
    virtual void keep(Socket& socket) = 0;
    /// It has left: for the recovery window, or for good.
    virtual void release(const Socket& socket, bool recoverable) = 0;
    /// Looks for a socket that comes back. `done` is called once, later; with nothing when it cannot be recovered.
    virtual void restore(Namespace& nsp, Comeback comeback, std::function<void(std::optional<Restored>)> done) = 0;
};

}  // namespace sio::gateway
