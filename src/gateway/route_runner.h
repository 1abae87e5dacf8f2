// Runs the routes: what a socket's connect, events and disconnect lead to.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/log_throttle.h"
#include "gateway/hub.h"
#include "gateway/outbound.h"
#include "routes/run.h"

namespace sio::gateway {

/// What came back from whoever an event was handed to.
struct HandAnswer {
    std::optional<std::string> error;
    std::string arguments;  ///< raw JSON, comma-separated
    std::vector<std::string> attachments;
};

/// Where events go that leave the process by the control socket.
class EventTap {
public:
    virtual ~EventTap() = default;
    /// Somebody may be listening to everything that happens; must cost nothing when nobody is.
    virtual void on_client_event(const Socket& socket, const proto::SioPacket& packet) = 0;
    virtual void on_lifecycle(const Socket& socket, std::string_view event, std::string_view reason) = 0;
    /// Whether a handler of this name waits.
    [[nodiscard]] virtual bool has_handler(std::string_view nsp, std::string_view handler) const = 0;
    /// Gives an event (`name` is its raw token) to a waiting handler of the name `handler`; `done` is called exactly
    /// once. False (and no call) when none waits.
    virtual bool hand(const Socket& socket, std::string_view handler, std::string_view name, std::string_view arguments,
                      std::span<const std::string> attachments, bool wants_ack, Millis timeout,
                      std::function<void(HandAnswer)> done) = 0;
};

class Authority;

class RouteRunner {
public:
    RouteRunner();
    ~RouteRunner();
    RouteRunner(const RouteRunner&) = delete;
    RouteRunner& operator=(const RouteRunner&) = delete;

    void start(Hub& hub, EventTap& tap) {
        hub_ = &hub;
        tap_ = &tap;
    }
    /// Where `publish` goes; without, it is unavailable. `outbound` outlives the last event.
    void set_outbound(Outbound& outbound) noexcept { outbound_ = &outbound; }
    /// Who is asked about `granted`; without, that rule denies. `authority` outlives the last event.
    void set_authority(Authority& authority) noexcept { authority_ = &authority; }
    void set_routes(std::shared_ptr<const routes::Routes> routes) { routes_ = std::move(routes); }
    [[nodiscard]] const routes::Routes& routes() const noexcept { return *routes_; }

    /// Whether a namespace is served, and, when `session` is given, this client admitted to it.
    [[nodiscard]] Admission admit(std::string_view nsp, const Session* session, std::string_view auth,
                                  std::string_view user) const;
    void on_connect(Socket& socket);
    void on_event(Socket& socket, const proto::SioPacket& packet);
    void on_disconnect(Socket& socket, std::string_view reason);

    /// What the routes have to say when a user comes online or goes offline: each emit, given to `tell`.
    using PresenceEvent = std::function<void(const std::string& nsp, const Selection& selection, const Event& event)>;
    void presence_events(std::string_view user, bool online, const PresenceEvent& tell);

    /// Lists that wait at a time, for a delay, a right, a client's answer or a handler's, and events that a handler has
    /// without a list; the next is stopped: `unavailable`.
    static constexpr std::size_t max_waiting = 10'000;
    /// So many may wait of each socket, and of each user, whatever others have waiting, up to max_waiting_in_shares.
    static constexpr std::size_t share_of_socket = 100;
    static constexpr std::size_t share_of_user = 1'000;
    static constexpr std::size_t max_waiting_in_shares = 50'000;
    /// Bytes that those of one socket keep of their events.
    static constexpr std::size_t max_waiting_bytes = std::size_t{8} << 20U;
    /// Bytes that the lists of this socket that wait keep.
    [[nodiscard]] std::size_t waiting_bytes(const Id& sid) const;
    [[nodiscard]] std::size_t lists_waiting() const noexcept { return lists_waiting_; }
    [[nodiscard]] std::uint64_t lists_stopped() const noexcept { return lists_stopped_; }
    /// Of the stopped, those that could not wait.
    [[nodiscard]] std::uint64_t lists_refused() const noexcept { return lists_refused_; }
    /// Client events that no route and no handler wanted.
    [[nodiscard]] std::uint64_t events_without_route() const noexcept { return events_without_route_; }

private:
    class SocketHost;
    class PresenceHost;
    struct Delayed;

    struct Share {
        std::size_t lists = 0;
        std::size_t bytes = 0;
    };
    /// Why a list may not wait; nothing: it is counted, until it goes on.
    std::string_view begin_wait(const Id& sid, const std::string& user, std::size_t bytes);
    void end_wait(const Id& sid, const std::string& user, std::size_t bytes);

    void run(Socket& socket, const routes::ActionList& list, routes::Context& context,
             std::optional<std::uint64_t> ack);

    Hub* hub_ = nullptr;
    EventTap* tap_ = nullptr;
    Outbound* outbound_ = nullptr;
    Authority* authority_ = nullptr;
    std::shared_ptr<const routes::Routes> routes_ = std::make_shared<const routes::Routes>();
    std::vector<std::unique_ptr<Delayed>> delayed_;
    std::size_t lists_waiting_ = 0;
    std::unordered_map<Id, Share, IdHash> waiting_of_socket_;
    StringMap<std::size_t> waiting_of_user_;
    std::uint64_t lists_stopped_ = 0;
    std::uint64_t lists_refused_ = 0;
    std::uint64_t events_without_route_ = 0;
    base::LogThrottle without_route_;
};

}  // namespace sio::gateway
