#include "gateway/route_runner.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/json.h"
#include "base/log.h"
#include "gateway/authority.h"

namespace sio::gateway {

using routes::Answer;

namespace {

constexpr std::size_t most_shown = 200;  // bytes of an event's name in a log line

// What a list that waits still knows of its socket, which may be gone when it goes on.
struct Origin {
    std::string nsp;
    Id sid;
    std::optional<std::uint64_t> ack;
    std::string user;
    std::size_t bytes = 0;  // kept by the list
};

// Credentials are for the authentication alone: a template cannot pass them on.
std::optional<std::string> handshake_query(const Session* session, std::string_view name) {
    proto::HttpHead head;
    if (session == nullptr || name == "token" || proto::parse_http_head(session->head, head)) return std::nullopt;
    return proto::query_parameter(head.query, name);
}

std::optional<std::string> handshake_header(const Session* session, std::string_view name) {
    proto::HttpHead head;
    if (session == nullptr || name == "cookie" || name == "authorization" ||
        proto::parse_http_head(session->head, head)) {
        return std::nullopt;
    }
    return proto::header_text(head, name);
}

}  // namespace

/// What the routes can do to, and ask of, one socket.
class RouteRunner::SocketHost final : public routes::Host {
public:
    SocketHost(RouteRunner& runner, Namespace& nsp, const Id& sid, Socket* socket, std::optional<std::uint64_t> ack)
        : runner_(runner), nsp_(nsp), sid_(sid), socket_(socket), ack_(ack) {}

    [[nodiscard]] std::optional<std::string> query(std::string_view name) const override {
        return handshake_query(session(), name);
    }
    [[nodiscard]] std::optional<std::string> header(std::string_view name) const override {
        return handshake_header(session(), name);
    }
    [[nodiscard]] std::string rooms() const override {
        if (socket_ == nullptr) return "[]";
        std::string list = "[" + json::quote(sid_.view());
        for (const Socket::Seat& seat : socket_->seats) list += ',' + json::quote(seat.room->name);
        return list + ']';
    }
    [[nodiscard]] bool is_in(std::string_view room) const override {
        if (socket_ == nullptr) return false;
        return room == sid_.view() || std::any_of(socket_->seats.begin(), socket_->seats.end(),
                                                  [room](const Socket::Seat& seat) { return seat.room->name == room; });
    }

    Result<void> join(std::string_view room, std::optional<std::string_view> room_token) override {
        if (socket_ == nullptr) return {};
        if (!runner_.hub_->join(*socket_, room)) {
            return fail(Errc::denied, "the client is in as many rooms as max-rooms-per-socket allows");
        }
        if (room_token && socket_->pass != nullptr) remember(*socket_->pass, room, *room_token);
        return {};
    }
    void leave(std::string_view room) override {
        if (socket_ == nullptr) return;
        runner_.hub_->leave(*socket_, room);
        if (socket_->pass == nullptr) return;
        std::erase_if(socket_->pass->rooms, [room](const Pass::Granted& granted) { return granted.room == room; });
    }

    void emit(const routes::Message& message, const routes::Target& target) override {
        const Event event{message.event, message.args, message.attachments};
        if (target.audience == routes::Audience::self) {
            if (socket_ != nullptr) runner_.hub_->emit_to(*socket_, event, target.is_volatile, socket_);
            return;
        }
        Selection selection;
        selection.rooms.assign(target.rooms.begin(), target.rooms.end());
        selection.except.assign(target.except.begin(), target.except.end());
        if (target.audience == routes::Audience::others || target.audience == routes::Audience::others_in) {
            selection.except.emplace_back(sid_.view());
        }
        runner_.hub_->emit(nsp_, selection, event, target.is_volatile, target.is_local, socket_);
    }

    void ack(std::string_view args, std::span<const std::string> attachments) override {
        if (ack_ && socket_ != nullptr) runner_.hub_->acknowledge(*socket_, *ack_, args, attachments);
        ack_.reset();
    }

    void ask(const routes::Message& message, routes::Milliseconds timeout, std::unique_ptr<routes::Run> rest) override {
        if (!may_wait("ask", *rest)) return;
        Selection self;
        self.sockets.emplace_back(sid_.view());
        auto waiting = std::make_shared<std::unique_ptr<routes::Run>>(std::move(rest));
        runner_.hub_->ask(nsp_, self, {message.event, message.args, message.attachments}, timeout.count(),
                          [&runner = runner_, origin = origin(), waiting](Answers answers) {
                              Answer answer;
                              answer.outcome = Answer::Outcome::timed_out;
                              if (!answers.answers.empty()) {
                                  answer.outcome = Answer::Outcome::answered;
                                  answer.args = proto::ack_arguments(answers.answers.front().arguments);
                                  answer.attachments = answers.answers.front().attachments;
                              }
                              go_on(runner, origin, std::move(*waiting), answer);
                          });
    }

    void hand(std::string_view handler, const routes::Message& message, routes::Milliseconds timeout,
              std::unique_ptr<routes::Run> rest) override {
        if (!may_wait("hand", *rest)) return;
        auto waiting = std::make_shared<std::unique_ptr<routes::Run>>(std::move(rest));
        const auto done = [&runner = runner_, origin = origin(), waiting](const HandAnswer& given) {
            Answer answer;
            answer.outcome = given.error ? Answer::Outcome::failed : Answer::Outcome::answered;
            if (given.error) answer.reason = *given.error;
            answer.args = given.arguments;
            answer.attachments = given.attachments;
            go_on(runner, origin, std::move(*waiting), answer);
        };
        const bool taken =
            socket_ != nullptr && runner_.tap_->hand(*socket_, handler, message.event, message.args,
                                                     message.attachments, ack_.has_value(), timeout.count(), done);
        if (taken) return;
        Answer nobody;
        nobody.outcome = Answer::Outcome::nobody;
        go_on(runner_, origin(), std::move(*waiting), nobody);
    }

    void publish(const routes::Publication& publication, routes::Milliseconds timeout,
                 std::unique_ptr<routes::Run> rest) override {
        if (!may_wait("publish", *rest)) return;
        auto waiting = std::make_shared<std::unique_ptr<routes::Run>>(std::move(rest));
        std::optional<Outbound::Refusal> refused;
        if (runner_.outbound_ == nullptr) {
            refused = {Outbound::Outcome::unavailable, "this gateway has no stream of events"};
        } else {
            OutboundEntry entry;
            entry.kind = "event";
            entry.nsp = nsp_.name;
            entry.sid = sid_.view();
            entry.user = (*waiting)->user_id();
            entry.topic = publication.topic;
            entry.key = publication.key;
            entry.data = publication.value;
            entry.attachments = publication.attachments;
            entry.time = runner_.hub_->engine().loop().wall_clock();
            const auto done = [&runner = runner_, origin = origin(), waiting](Outbound::Outcome outcome,
                                                                              std::string_view reason) {
                Answer answer;
                answer.reason = reason;
                switch (outcome) {
                    case Outbound::Outcome::written: answer.outcome = Answer::Outcome::answered; break;
                    case Outbound::Outcome::unavailable: answer.outcome = Answer::Outcome::nobody; break;
                    case Outbound::Outcome::timed_out: answer.outcome = Answer::Outcome::timed_out; break;
                    case Outbound::Outcome::failed: answer.outcome = Answer::Outcome::failed; break;
                }
                go_on(runner, origin, std::move(*waiting), answer);
            };
            refused = runner_.outbound_->append(entry, timeout.count(), done);
        }
        if (!refused) return;
        Answer nobody;
        nobody.outcome =
            refused->outcome == Outbound::Outcome::failed ? Answer::Outcome::failed : Answer::Outcome::nobody;
        nobody.reason = refused->reason;
        go_on(runner_, origin(), std::move(*waiting), nobody);
    }

    [[nodiscard]] std::optional<routes::Grant> known(std::span<const std::string> rooms,
                                                     std::string_view room_token) override {
        using Kind = routes::Grant::Kind;
        if (runner_.authority_ == nullptr) return routes::Grant{Kind::denied, "this gateway has no sio-authd to ask"};
        if (socket_ == nullptr) return routes::Grant{Kind::unavailable, "the client is gone"};
        if (socket_->pass == nullptr) return routes::Grant{Kind::denied, "sio-authd has not let this client in"};
        for (const std::string& room : rooms) {
            const auto right = runner_.authority_->known(holder(), room);
            if (right == Right::granted) continue;
            // A token that comes now may open what was closed.
            if (right == Right::denied && room_token.empty()) return routes::Grant{Kind::denied, not_granted(room)};
            return std::nullopt;
        }
        return routes::Grant{Kind::granted, {}};
    }

    void authorize(std::span<const std::string> rooms, std::string_view room_token,
                   std::unique_ptr<routes::Run> rest) override {
        if (!may_wait("granted", *rest)) return;
        auto waiting = std::make_shared<std::unique_ptr<routes::Run>>(std::move(rest));
        // known() has seen that there is somebody to ask, and about whom.
        runner_.authority_->may_join(
            holder(), rooms, room_token,
            [&runner = runner_, origin = origin(), waiting](Right right, const std::string& room) {
                Answer answer;
                std::string reason;
                switch (right) {
                    case Right::granted: answer.outcome = Answer::Outcome::answered; break;
                    case Right::denied:
                        answer.outcome = Answer::Outcome::failed;
                        reason = not_granted(room);
                        break;
                    case Right::unavailable:
                        answer.outcome = Answer::Outcome::nobody;
                        reason = "whether the room " + json::quote(room) + " is granted cannot be told just now";
                        break;
                }
                answer.reason = reason;
                go_on(runner, origin, std::move(*waiting), answer);
            });
    }

    void schedule(routes::Milliseconds delay, std::unique_ptr<routes::Run> rest) override;

    void disconnect(routes::Disconnect::What what) override {
        if (socket_ == nullptr) return;
        Socket& leaving = *std::exchange(socket_, nullptr);
        switch (what) {
            case routes::Disconnect::What::nsp: runner_.hub_->disconnect(leaving, false); break;
            case routes::Disconnect::What::client: runner_.hub_->disconnect(leaving, true); break;
            case routes::Disconnect::What::transport: runner_.hub_->drop_transport(leaving); break;
        }
    }

    void stopped(std::string_view verb, std::string_view code, std::string_view reason) override {
        ++runner_.lists_stopped_;
        log::info("routes", "list_stopped",
                  {{"sid", sid_.view()}, {"namespace", nsp_.name}, {"verb", verb}, {"code", code}, {"reason", reason}});
    }

    /// Ends a wait that may_wait() has allowed; called once for each.
    static void go_on(RouteRunner& runner, const Origin& origin, std::unique_ptr<routes::Run> run,
                      const Answer& answer) {
        runner.end_wait(origin.sid, origin.user, origin.bytes);
        Namespace* nsp = runner.hub_->find_namespace(origin.nsp);
        if (nsp == nullptr) return;
        SocketHost host(runner, *nsp, origin.sid, runner.hub_->find_socket(*nsp, origin.sid), origin.ack);
        routes::Run::resume(std::move(run), host, runner.hub_->engine().loop().wall_clock(), answer);
    }

private:
    bool may_wait(std::string_view verb, const routes::Run& rest) {
        waiting_user_ = rest.user_id();
        waiting_bytes_ = rest.bytes_held();
        const std::string_view why = runner_.begin_wait(sid_, waiting_user_, waiting_bytes_);
        if (why.empty()) return true;
        ++runner_.lists_refused_;
        stopped(verb, "unavailable", why);
        ack(R"({"error":"unavailable","reason":)" + json::quote(why) + '}', {});
        return false;
    }
    static std::string not_granted(std::string_view room) {
        return "the room " + json::quote(room) + " is not granted";
    }
    /// Notes what is to be asked again when rights change.
    static void remember(Pass& pass, std::string_view room, std::string_view token) {
        const auto found =
            std::ranges::find_if(pass.rooms, [room](const Pass::Granted& granted) { return granted.room == room; });
        if (found == pass.rooms.end()) {
            pass.rooms.push_back({std::string(room), std::string(token)});
        } else {
            found->token = token;
        }
    }
    /// Of a socket that is here and has a pass.
    [[nodiscard]] Holder holder() const { return {socket_->user, socket_->pass->session, socket_->pass->claims}; }
    [[nodiscard]] Origin origin() const { return {nsp_.name, sid_, ack_, waiting_user_, waiting_bytes_}; }
    [[nodiscard]] const Session* session() const {
        return socket_ == nullptr ? nullptr : runner_.hub_->engine().session(socket_->slot);
    }

    RouteRunner& runner_;
    Namespace& nsp_;
    Id sid_;
    Socket* socket_;
    std::optional<std::uint64_t> ack_;
    std::string waiting_user_;  // of the list that may_wait() has let wait
    std::size_t waiting_bytes_ = 0;
};

/// Takes what on_online and on_offline emit; the file is checked to have nothing else there.
class RouteRunner::PresenceHost final : public routes::Host {
public:
    PresenceHost(std::string nsp, const PresenceEvent& tell) : nsp_(std::move(nsp)), tell_(tell) {}

    [[nodiscard]] std::optional<std::string> query(std::string_view) const override { return std::nullopt; }
    [[nodiscard]] std::optional<std::string> header(std::string_view) const override { return std::nullopt; }
    [[nodiscard]] std::string rooms() const override { return "[]"; }
    [[nodiscard]] bool is_in(std::string_view) const override { return false; }
    Result<void> join(std::string_view, std::optional<std::string_view>) override { return {}; }
    void leave(std::string_view) override {}
    void emit(const routes::Message& message, const routes::Target& target) override {
        Selection selection;
        selection.rooms.assign(target.rooms.begin(), target.rooms.end());
        selection.except.assign(target.except.begin(), target.except.end());
        tell_(nsp_, selection, {message.event, message.args, message.attachments});
    }
    void ack(std::string_view, std::span<const std::string>) override {}
    void ask(const routes::Message&, routes::Milliseconds, std::unique_ptr<routes::Run>) override {}
    void hand(std::string_view, const routes::Message&, routes::Milliseconds, std::unique_ptr<routes::Run>) override {}
    void publish(const routes::Publication&, routes::Milliseconds, std::unique_ptr<routes::Run>) override {}
    [[nodiscard]] std::optional<routes::Grant> known(std::span<const std::string>, std::string_view) override {
        return routes::Grant{routes::Grant::Kind::denied, "there is no client"};
    }
    void authorize(std::span<const std::string>, std::string_view, std::unique_ptr<routes::Run>) override {}
    void schedule(routes::Milliseconds, std::unique_ptr<routes::Run>) override {}
    void disconnect(routes::Disconnect::What) override {}
    void stopped(std::string_view verb, std::string_view code, std::string_view reason) override {
        log::warn("routes", "presence_list_stopped",
                  {{"namespace", nsp_}, {"verb", verb}, {"code", code}, {"reason", reason}});
    }

private:
    std::string nsp_;
    const PresenceEvent& tell_;
};

void RouteRunner::presence_events(std::string_view user, bool online, const PresenceEvent& tell) {
    for (const auto& nsp : routes_->namespaces()) {
        const routes::ActionList& list = online ? nsp->on_online : nsp->on_offline;
        if (list.empty()) continue;
        routes::Context context;
        context.nsp = nsp->name;
        context.user_id = user;
        context.now_ms = hub_->engine().loop().wall_clock();
        PresenceHost host(nsp->name, tell);
        routes::Run::start(routes_, list, context, host);
    }
}

struct RouteRunner::Delayed final : base::Timer {
    Delayed(RouteRunner& r, Origin o, std::unique_ptr<routes::Run> rest)
        : runner(r), origin(std::move(o)), run(std::move(rest)) {}

    RouteRunner& runner;
    Origin origin;
    std::unique_ptr<routes::Run> run;

private:
    void expire(Millis) override {
        auto& all = runner.delayed_;
        const auto self = std::find_if(all.begin(), all.end(), [this](const auto& one) { return one.get() == this; });
        const std::unique_ptr<Delayed> alive = std::move(*self);
        all.erase(self);
        SocketHost::go_on(runner, origin, std::move(run), {});
    }
};

void RouteRunner::SocketHost::schedule(routes::Milliseconds delay, std::unique_ptr<routes::Run> rest) {
    if (!may_wait("after", *rest)) return;
    runner_.delayed_.push_back(std::make_unique<Delayed>(runner_, origin(), std::move(rest)));
    net::Loop& loop = runner_.hub_->engine().loop();
    loop.timers().arm(*runner_.delayed_.back(), loop.now() + delay.count());
}

std::string_view RouteRunner::begin_wait(const Id& sid, const std::string& user, std::size_t bytes) {
    const auto of_socket = waiting_of_socket_.find(sid);
    const Share share = of_socket == waiting_of_socket_.end() ? Share{} : of_socket->second;
    if (share.lists > 0 && share.bytes + bytes > max_waiting_bytes) {
        return "the lists of this client that wait are too large";
    }
    const auto of_user = waiting_of_user_.find(user);
    const std::size_t lists_of_user = of_user == waiting_of_user_.end() ? 0 : of_user->second;
    const bool is_within_share = share.lists < share_of_socket && lists_of_user < share_of_user;
    if (lists_waiting_ >= (is_within_share ? max_waiting_in_shares : max_waiting)) {
        return "too many lists wait already";
    }
    ++lists_waiting_;
    if (!user.empty()) ++waiting_of_user_[user];
    waiting_of_socket_[sid] = {share.lists + 1, share.bytes + bytes};
    return {};
}

void RouteRunner::end_wait(const Id& sid, const std::string& user, std::size_t bytes) {
    --lists_waiting_;
    if (const auto of_socket = waiting_of_socket_.find(sid); of_socket != waiting_of_socket_.end()) {
        of_socket->second.bytes -= bytes;
        if (--of_socket->second.lists == 0) waiting_of_socket_.erase(of_socket);
    }
    if (const auto of_user = waiting_of_user_.find(user); of_user != waiting_of_user_.end()) {
        if (--of_user->second == 0) waiting_of_user_.erase(of_user);
    }
}

std::size_t RouteRunner::waiting_bytes(const Id& sid) const {
    const auto found = waiting_of_socket_.find(sid);
    return found == waiting_of_socket_.end() ? 0 : found->second.bytes;
}

RouteRunner::RouteRunner() = default;
RouteRunner::~RouteRunner() = default;

Admission RouteRunner::admit(std::string_view nsp, const Session* session, std::string_view auth,
                             std::string_view user) const {
    Admission admission;
    const routes::NamespaceRoutes* found = routes_->find(nsp);
    if (found == nullptr) return admission;
    admission.kind = Admission::Kind::open;
    admission.is_dynamic = found->is_pattern;
    if (session == nullptr || found->refuse.empty()) return admission;

    struct Handshake final : routes::Facts {
        const Session* session = nullptr;
        [[nodiscard]] std::optional<std::string> query(std::string_view name) const override {
            return handshake_query(session, name);
        }
        [[nodiscard]] std::optional<std::string> header(std::string_view name) const override {
            return handshake_header(session, name);
        }
        [[nodiscard]] std::string rooms() const override { return "[]"; }
        [[nodiscard]] bool is_in(std::string_view) const override { return false; }
    } facts;
    facts.session = session;
    const std::string address = session->address.to_string();
    routes::Context context;
    context.nsp = nsp;
    context.auth = auth;
    context.user_id = user;
    context.address = address;
    context.now_ms = hub_->engine().loop().wall_clock();
    context.facts = &facts;
    if (auto refused = routes::refusal(*found, context)) {
        admission.kind = Admission::Kind::refused;
        admission.message = std::move(refused->message);
        admission.data = std::move(refused->data);
    }
    return admission;
}

void RouteRunner::run(Socket& socket, const routes::ActionList& list, routes::Context& context,
                      std::optional<std::uint64_t> ack) {
    const Session* session = hub_->engine().session(socket.slot);
    context.socket_id = socket.id.view();
    context.nsp = socket.nsp->name;
    context.transport =
        session != nullptr && session->state.transport() == proto::EioTransport::polling ? "polling" : "websocket";
    context.recovered = socket.recovered;
    context.user_id = socket.user;
    context.auth = socket.auth;
    const std::string address = session != nullptr ? session->address.to_string() : std::string();
    context.address = address;
    context.now_ms = hub_->engine().loop().wall_clock();
    context.wants_ack = ack.has_value();
    SocketHost host(*this, *socket.nsp, socket.id, &socket, ack);
    routes::Run::start(routes_, list, context, host);
}

void RouteRunner::on_connect(Socket& socket) {
    tap_->on_lifecycle(socket, "connect", {});
    const routes::NamespaceRoutes* found = routes_->find(socket.nsp->name);
    if (found == nullptr || found->on_connect.empty()) return;
    routes::Context context;
    run(socket, found->on_connect, context, std::nullopt);
}

void RouteRunner::on_disconnect(Socket& socket, std::string_view reason) {
    tap_->on_lifecycle(socket, "disconnect", reason);
    const routes::NamespaceRoutes* found = routes_->find(socket.nsp->name);
    if (found == nullptr || found->on_disconnect.empty()) return;
    routes::Context context;
    context.reason = reason;
    run(socket, found->on_disconnect, context, std::nullopt);
}

void RouteRunner::on_event(Socket& socket, const proto::SioPacket& packet) {
    tap_->on_client_event(socket, packet);
    routes::Context context;
    context.event = proto::event_name_token(packet.json);
    context.args = proto::event_arguments(packet.json);
    if (packet.attachments != nullptr) context.attachments = *packet.attachments;
    const routes::NamespaceRoutes* found = routes_->find(socket.nsp->name);
    if (const routes::EventRoute* route = found != nullptr ? found->event(context.event) : nullptr) {
        run(socket, route->list, context, packet.id);
        return;
    }
    // Without a route an event goes to a handler of its name, if one waits.
    const std::string name =
        context.event.starts_with('"') ? json::decode_string(context.event) : std::string(context.event);
    if (!tap_->has_handler(socket.nsp->name, name)) {
        ++events_without_route_;
        if (const auto held_back = without_route_.pass(hub_->engine().loop().now())) {
            log::info("routes", "no_route",
                      {{"sid", socket.id.view()},
                       {"namespace", socket.nsp->name},
                       {"event", std::string_view(name).substr(0, most_shown)},
                       {"held_back", *held_back}});
        }
        return;
    }
    Origin origin{socket.nsp->name, socket.id, packet.id, socket.user, packet.json.size()};
    for (const std::string& attachment : context.attachments) origin.bytes += attachment.size();
    if (const std::string_view why = begin_wait(origin.sid, origin.user, origin.bytes); !why.empty()) {
        ++lists_refused_;
        if (!packet.id) return;
        hub_->acknowledge(socket, *packet.id, R"({"error":"unavailable","reason":)" + json::quote(why) + '}');
        return;
    }
    tap_->hand(socket, name, context.event, context.args, context.attachments, packet.id.has_value(),
               routes::default_timeout.count(), [this, origin](const HandAnswer& answer) {
                   end_wait(origin.sid, origin.user, origin.bytes);
                   Namespace* nsp = hub_->find_namespace(origin.nsp);
                   Socket* waiting = nsp != nullptr ? hub_->find_socket(*nsp, origin.sid) : nullptr;
                   if (waiting == nullptr || !origin.ack) return;
                   const std::string error = answer.error ? R"({"error":)" + json::quote(*answer.error) + '}' : "";
                   hub_->acknowledge(*waiting, *origin.ack, answer.error ? error : answer.arguments,
                                     answer.attachments);
               });
}

}  // namespace sio::gateway
