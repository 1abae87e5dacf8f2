// The gateway: engine, hub, routes and control socket put together, with the operator's endpoints and the drain.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "gateway/admin_server.h"
#include "gateway/api.h"
#include "gateway/authority.h"
#include "gateway/bridge_watch.h"
#include "gateway/bundle.h"
#include "gateway/cluster.h"
#include "gateway/config.h"
#include "gateway/hop.h"
#include "gateway/hub.h"
#include "gateway/outbound.h"
#include "gateway/passes.h"
#include "gateway/presence.h"
#include "gateway/relay.h"
#include "gateway/route_runner.h"
#include "gateway/user_limits.h"
#include "net/loop.h"
#include "net/signals.h"

namespace sio::gateway {

class Gateway final : public HubHandlers, private AdminHost, private Presence::Owner, private Api::Owner {
public:
    /// `config` outlives it.
    Gateway(net::Loop& loop, const Config& config, Cors cors);
    ~Gateway() override;

    /// Says where the gateways of other hosts are; before start(), and only for hop-listen. `directory` outlives it.
    void set_directory(const NodeDirectory& directory) noexcept { directory_ = &directory; }
    /// Where they reach this one, and the tag of its sessions; for the directories of others, after start().
    [[nodiscard]] const std::string& hop_address() const noexcept { return hops_.address(); }
    [[nodiscard]] const Tag& tag() noexcept { return engine_.ids().tag(); }

    /// Loads the routes, opens the control socket and the ports. Errors: `config` for the routes file, `io` or `usage`
    /// for what cannot be listened on.
    Result<void> start();

    /// SIGTERM and SIGINT: drain, a second one leaves at once. SIGHUP: log and routes anew.
    void on_signal(int number);

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    /// With what the process ends when the loop has stopped.
    [[nodiscard]] int exit_code() const noexcept { return exit_code_; }

    Admission admit(std::string_view nsp, const Session* session, std::string_view auth,
                    std::string_view user) override;
    void on_connect(Socket& socket) override {
        presence_->socket_opened(socket.user);
        if (user_limits_ != nullptr) user_limits_->expect(socket.user);
        if (outbound_ != nullptr) outbound_->connected(socket);
        runner_.on_connect(socket);
    }
    void on_event(Socket& socket, const proto::SioPacket& packet) override { runner_.on_event(socket, packet); }
    void on_disconnect(Socket& socket, std::string_view reason) override {
        if (outbound_ != nullptr) outbound_->disconnected(socket, reason);
        runner_.on_disconnect(socket, reason);
        presence_->socket_closed(socket.user);
    }
    void on_join(const Socket& socket, std::string_view room) override {
        if (outbound_ != nullptr) outbound_->joined(socket, room);
    }
    void on_leave(const Socket& socket, std::string_view room) override {
        if (outbound_ != nullptr) outbound_->left(socket, room);
    }
    std::optional<Millis> limited(const Socket& socket) override {
        return user_limits_ == nullptr ? std::nullopt : user_limits_->take(socket.user);
    }    [[nodiscard]] std::size_t cost(const Socket& socket) const override { return runner_.waiting_bytes(socket.id); }
    bool on_http(const proto::HttpHead& head, HttpAnswer& answer) override;

private:
    struct DrainTimer;

    // --- Presence::Owner ---
    std::vector<Presence::Entry> render(std::string_view user, bool online) override;
    void announce(std::string_view user, bool online, bool published) override;

    // --- Api::Owner ---
    bool serves(std::string_view nsp) override {
        return runner_.admit(nsp, nullptr, {}, {}).kind == Admission::Kind::open;
    }

    [[nodiscard]] bool is_ready() const {
        return (cluster_ == nullptr || cluster_->is_ready()) && (authority_ == nullptr || authority_->is_ready()) &&
               !engine_.is_memory_short();
    }
    std::string health() override;
    std::string metrics() override;
    std::string routes() override;
    Result<void> reload_routes() override;
    Result<void> limit_memory();
    std::string prometheus();
    Presence::Send telling(const Presence::Send& send);

    void leave_name(const std::string& why);
    void begin_drain();
    void drain_step();

    net::Loop& loop_;
    const Config& config_;
    RouteRunner runner_;
    Hub hub_;
    Engine engine_;
    std::unique_ptr<Cluster> cluster_;  ///< none: this gateway is alone
    std::unique_ptr<Passes> passes_;    ///< none: no daemon says who somebody is
    std::unique_ptr<Authority> authority_;
    std::unique_ptr<Presence> presence_;
    std::unique_ptr<UserLimits> user_limits_;  ///< none: users are not limited
    std::unique_ptr<Outbound> outbound_;       ///< none: nothing leaves by a stream of events
    std::unique_ptr<BridgeWatch> bridges_;     ///< none: this gateway is alone
    std::unique_ptr<Api> api_;                 ///< none: there is no API
    Relay relay_;
    Hops hops_;
    const NodeDirectory* directory_ = nullptr;
    AdminServer admin_;
    Bundle bundle_;
    std::string demo_page_;
    std::string demo_tokens_;  ///< JSON; `null`: there is no such file
    std::unique_ptr<DrainTimer> drain_timer_;
    Millis started_ = 0;
    Millis routes_loaded_ = 0;
    std::size_t memory_limit_ = 0;  // bytes
    Millis drain_until_ = 0;
    double drain_per_tick_ = 0;  ///< sessions to end each tick
    double drain_due_ = 0;
    std::uint16_t port_ = 0;
    bool draining_ = false;
    int exit_code_ = 0;
};

}  // namespace sio::gateway
