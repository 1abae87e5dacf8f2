// The control socket's server side: doc/protocol/admin.md.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/unique_fd.h"
#include "gateway/cluster.h"
#include "gateway/presence.h"
#include "gateway/route_runner.h"
#include "net/loop.h"
#include "wire/admin.h"

namespace sio::gateway {

/// What commands ask of the program around the hub.
class AdminHost {
public:
    virtual ~AdminHost() = default;
    /// The members of `health`, raw JSON without braces.
    virtual std::string health() = 0;
    /// The object of GET /metrics, raw JSON.
    virtual std::string metrics() = 0;
    /// The routes in force, raw JSON object.
    virtual std::string routes() = 0;
    virtual Result<void> reload_routes() = 0;
};

class AdminServer final : public EventTap, private net::Handler {
public:
    AdminServer(net::Loop& loop, Hub& hub, AdminHost& host, std::string node);
    ~AdminServer() override;

    void set_presence(Presence& presence) noexcept { presence_ = &presence; }
    void set_cluster(Cluster& cluster) noexcept { cluster_ = &cluster; }
    /// An event that another server has emitted to servers: goes to those who listen, and to a handler of its name.
    /// `answer`, when there is one, is called once with one JSON value.
    void on_server_event(const std::string& nsp, std::string_view event, std::string_view arguments,
                         const std::function<void(std::string)>& answer);

    /// Listens at `path`. Errors: `io`.
    Result<void> listen(const std::string& path);
    /// Removes the socket file; connections go on.
    void stop_listening();

    void on_client_event(const Socket& socket, const proto::SioPacket& packet) override;
    void on_lifecycle(const Socket& socket, std::string_view event, std::string_view reason) override;
    [[nodiscard]] bool has_handler(std::string_view nsp, std::string_view event) const override;
    bool hand(const Socket& socket, std::string_view handler, std::string_view name, std::string_view arguments,
              std::span<const std::string> attachments, bool wants_ack, Millis timeout,
              std::function<void(HandAnswer)> done) override;

    /// Unread bytes one client may have; beyond them a stream loses lines and is told, and a handler is given no
    /// events, but for those of sockets that have none waiting, up to four times as much.
    static constexpr std::size_t max_backlog = 4U << 20U;
    static constexpr std::size_t max_backlog_in_shares = 4 * max_backlog;
    /// Events that wait for a handler's answer at a time. Whose they are is bounded where they come from.
    static constexpr std::size_t max_calls = RouteRunner::max_waiting_in_shares;
    /// Emits of ours that wait for acknowledgements at a time, whatever routes ask.
    static constexpr std::size_t max_emits = 10'000;
    [[nodiscard]] std::size_t calls_waiting() const noexcept { return calls_.size(); }
    /// Events that were not handed over because of these limits.
    [[nodiscard]] std::uint64_t calls_refused() const noexcept { return calls_refused_; }

private:
    class Client;
    struct Call;

    void on_ready(std::uint32_t events) override;
    void handle_line(Client& client, std::string_view line);
    void dispatch(Client& client, const wire::AdminRequest& request);
    void emit(Client& client, const wire::AdminRequest& request);
    void server_emit(Client& client, const wire::AdminRequest& request);
    void refuse_with(Client& client, std::uint64_t id, std::string_view code, std::string_view why);
    /// The name and the arguments of the event a request is to emit; nothing when it was refused.
    std::optional<std::string_view> event_of(Client& client, const wire::AdminRequest& request, HandAnswer& arguments);
    void trace(Client& client, const wire::AdminRequest& request);
    void rooms(Client& client, const wire::AdminRequest& request);
    void sockets(Client& client, const wire::AdminRequest& request);
    void change(Client& client, const wire::AdminRequest& request);
    void answer(const wire::AdminRequest& request, Client& client);
    void forget(Client& client);
    void finish_call(std::uint64_t call, HandAnswer answer);
    void reached(std::uint64_t client, std::uint64_t id, std::size_t count, const ClusterAnswer& others,
                 const std::string& more = {});
    /// The member `nodes` of an answer: this one, those that answered, and one for each that did not.
    [[nodiscard]] std::string nodes(const ClusterAnswer& others = {}) const;
    /// Calls `done` with the sockets other nodes have; at once when there are none.
    void gather(Namespace& nsp, const Selection& selection, Millis timeout, std::function<void(ClusterAnswer)> done);
    /// The same for how many these are.
    void gather_count(Namespace& nsp, const Selection& selection, Millis timeout,
                      std::function<void(ClusterAnswer)> done);
    [[nodiscard]] std::string node_list() const;
    void send_to(std::uint64_t client, std::uint64_t id, const std::string& members);
    Namespace* selected(Client& client, const wire::AdminRequest& request, Selection& selection);

    net::Loop& loop_;
    Hub& hub_;
    AdminHost& host_;
    Cluster* cluster_ = nullptr;
    Presence* presence_ = nullptr;
    std::string node_;
    std::string path_;
    base::UniqueFd listener_;
    std::unordered_map<std::uint64_t, Client*> clients_;
    std::unordered_map<std::uint64_t, std::unique_ptr<Call>> calls_;
    std::vector<std::unique_ptr<Call>> finished_calls_;
    std::unordered_map<Id, std::size_t, IdHash> calls_of_socket_;
    std::size_t emits_waiting_ = 0;
    std::uint64_t next_client_ = 1;
    std::uint64_t next_call_ = 1;
    std::uint64_t calls_refused_ = 0;
    std::size_t listeners_ = 0;
    std::size_t handlers_ = 0;
};

}  // namespace sio::gateway
