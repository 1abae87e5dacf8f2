#include "gateway/engine.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/bytes.h"
#include "base/log.h"
#include "gateway/connection.h"

namespace sio::gateway {

using proto::CloseReason;

namespace {

constexpr std::size_t read_buffer_bytes = 16384;  // so many of the smallest frames take a millisecond or two
constexpr int accepts_per_turn = 64;
constexpr std::uint64_t work_of_greedy = 8'192;  // units a turn, of all that are read on
constexpr std::size_t rooms_per_turn = 64;       // clients that are behind and get more in one turn
constexpr Millis held_close_time = 30'000;       // how long a closed polling session waits to tell its client

}  // namespace

class Engine::Listener final : public net::Handler {
public:
    Listener(Engine& engine, int fd, HopGate* hop_gate) : gate(hop_gate), engine_(engine), fd_(fd) {}
    ~Listener() override { ::close(fd_); }
    void on_ready(std::uint32_t) override { engine_.accept_from(*this); }
    [[nodiscard]] int fd() const noexcept { return fd_; }
    HopGate* const gate;  ///< null: anybody may come in
    bool more = false;    ///< accepts_per_turn was reached; the backlog may hold more

private:
    Engine& engine_;
    int fd_;
};

Engine::Engine(net::Loop& loop, EngineOptions options, Cors cors, EngineApp& app)
    : loop_(loop),
      options_(std::move(options)),
      cors_(std::move(cors)),
      app_(app),
      outbox_(*this, options_.queue_bytes, options_.queue_policy),
      accounts_(options_.accounts),
      places_(options_.max_connections_per_address),
      read_buffer_(read_buffer_bytes),
      ping_(FrameRef::text("2", {})),
      noop_(FrameRef::text("6", {})),
      spare_fd_(open("/dev/null", O_RDONLY | O_CLOEXEC)) {
    loop_.add_turn_end(*this);
}

Engine::~Engine() {
    while (connections_ != nullptr) {
        Connection* connection = connections_;
        forget(*connection);
        delete connection;
    }
    if (spare_fd_ >= 0) ::close(spare_fd_);
}

// --- connections ----------------------------------------------------------------------------------------------------

Result<void> Engine::listen(int fd) { return add_listener(fd, nullptr); }

Result<void> Engine::listen_to_hops(int fd, HopGate& gate) { return add_listener(fd, &gate); }

Result<void> Engine::add_listener(int fd, HopGate* gate) {
    auto listener = std::make_unique<Listener>(*this, fd, gate);
    if (auto watched = loop_.watch(fd, *listener); !watched) return watched;
    listeners_.push_back(std::move(listener));
    return {};
}

void Engine::stop_listening() {
    for (auto& listener : listeners_) {
        loop_.unwatch(listener->fd(), *listener);
        loop_.dispose(listener.release());
    }
    listeners_.clear();
    accept_again_ = false;
}

bool Engine::admit(const net::Address& address) {
    std::size_t count = connection_count_;
    for (const Forwarder* forwarder : forwarders_) count += forwarder->descriptors();
    // A proxy's connections are those of its clients, who are known later.
    if (!places_.may_connect(address)) return false;
    return options_.max_connections == 0 || count < options_.max_connections || displace_connection(address);
}

void Engine::refuse(base::UniqueFd fd) {
    constexpr std::string_view full =
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    (void)!::send(fd.get(), full.data(), full.size(), MSG_NOSIGNAL);
}

void Engine::hold(const net::Address& address) {
    ++connection_count_;
    places_.add_connection(address);
}

Connection* Engine::add_connection(base::UniqueFd fd, const net::Address& address, PeerKind kind) {
    const bool is_proxy = kind == PeerKind::proxy_or_client && options_.proxies.contains(address);
    const net::Address counted = is_proxy ? net::Address{} : address;
    if (!admit(counted)) {
        tell_refused_connection(counted);
        refuse(std::move(fd));
        return nullptr;
    }
    auto* connection = new Connection(*this, fd.release(), address);
    connection->kind = kind;
    if (auto watched = loop_.watch(connection->fd, *connection); !watched) {
        log::error("gateway", "connection_lost", {{"reason", watched.error().what}});
        delete connection;
        return nullptr;
    }
    connection->next = connections_;
    if (connections_ != nullptr) connections_->previous = connection;
    connections_ = connection;
    hold(counted);
    connection->enter(places_, counted, loop_.now());
    connection->set_rank(Rank::bare, loop_.now());
    return connection;
}

void Engine::adopt(base::UniqueFd fd, const net::Address& address, std::string_view bytes, bool at_home,
                   PeerKind kind) {
    Connection* connection = add_connection(std::move(fd), address, kind);
    if (connection == nullptr) return;
    connection->at_home = at_home;
    connection->consume_http(bytes);
}

void Engine::accept_from(Listener& listener) {
    listener.more = false;
    for (int i = 0; i < accepts_per_turn; ++i) {
        sockaddr_storage peer{};
        socklen_t size = sizeof peer;
        const int fd = accept4(listener.fd(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EINTR || errno == ECONNABORTED) continue;
            if (errno == EMFILE || errno == ENFILE) {
                // Give up the spare descriptor for a moment, so that the caller is refused instead of left hanging.
                ++stats_.connections_refused;
                ::close(spare_fd_);
                const int refused = accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC);
                if (refused >= 0) ::close(refused);
                spare_fd_ = open("/dev/null", O_RDONLY | O_CLOEXEC);
                log::warn("gateway", "descriptors_exhausted", {{"connections", connection_count_}});
                if (refused >= 0) continue;
            }
            return;
        }
        // Whose request a hop brings is known when its head has been read; until then it counts for no address.
        const net::Address address =
            listener.gate != nullptr ? net::Address{} : net::Address::from(reinterpret_cast<const sockaddr*>(&peer));
        Connection* connection = add_connection(base::UniqueFd(fd), address, PeerKind::proxy_or_client);
        if (connection == nullptr) continue;
        if (listener.gate == nullptr) {
            const bool is_due = options_.proxy_protocol && options_.proxies.contains(address);
            connection->preface = is_due ? Connection::Preface::due : Connection::Preface::unwanted;
        }
        connection->gate = listener.gate;
        connection->at_home = listener.gate != nullptr;
        ++stats_.connections_accepted;
    }
    listener.more = true;
    accept_again_ = true;
}

void Engine::forget(Connection& connection) noexcept {
    if (connection.previous != nullptr) connection.previous->next = connection.next;
    if (connection.next != nullptr) connection.next->previous = connection.previous;
    if (connections_ == &connection) connections_ = connection.next;
    connection.previous = connection.next = nullptr;
    std::erase(unread_, &connection);
    const net::Address counted = connection.counted();
    connection.vacate();
    uncount(counted);
}

void Engine::close_idle_connections() {
    for (Connection* connection = connections_; connection != nullptr;) {
        Connection* next = connection->next;
        if (connection->is_idle()) connection->destroy();
        connection = next;
    }
}

bool Engine::end_turn() {
    if (accept_again_) {
        accept_again_ = false;
        for (auto& listener : listeners_) {
            if (listener->more) accept_from(*listener);
        }
    }
    read_on();
    app_.before_writes();
    const bool slices_left = outbox_.flush();
    tell_of_room();
    while (!failed_.empty()) {
        const auto [slot, too_slow] = failed_.back();
        failed_.pop_back();
        if (session(slot) == nullptr) continue;
        if (too_slow) {
            ++stats_.queue_overflows;
            if (const auto held_back = too_slow_log_.pass(loop_.now())) {
                log::info("gateway", "client_too_slow",
                          {{"sid", session(slot)->sid.view()},
                           {"address", session(slot)->address.to_string()},
                           {"queue_bytes", outbox_.bytes(slot)},
                           {"limit_bytes", options_.queue_bytes},
                           {"held_back", *held_back}});
            }
        }
        close(slot, CloseReason::transport_error, Ending::cut);
    }
    end_over_limits();
    compressed_ = 0;
    for (const auto& gone : buried_) free_slots_.push_back(gone->slot);
    buried_.clear();
    return slices_left || !unread_.empty() || !with_room_.empty() || accept_again_ || !outbox_.is_clean();
}

/// Those who had more than their share of a turn are read on, in turns: together they get no more than a few shares, so
/// that they are late for each other and not for others.
void Engine::read_on() {
    if (unread_.empty()) return;
    std::vector<Connection*> again;
    again.swap(unread_);
    const std::uint64_t enough = work_ + work_of_greedy;
    auto next = again.begin();
    for (; next != again.end() && work_ < enough; ++next) {
        (*next)->queued_unread = false;
        (*next)->read_input();
    }
    again.erase(again.begin(), next);
    std::erase_if(again, [](const Connection* one) { return one->mode == Connection::Mode::dead; });  // deleted soon
    unread_.insert(unread_.begin(), again.begin(), again.end());
}

void Engine::tell_of_room() {
    if (with_room_.empty()) return;
    const std::size_t now = std::min(with_room_.size(), rooms_per_turn);
    const std::vector<Slot> told(with_room_.begin(), with_room_.begin() + static_cast<std::ptrdiff_t>(now));
    with_room_.erase(with_room_.begin(), with_room_.begin() + static_cast<std::ptrdiff_t>(now));
    for (const Slot slot : told) {
        if (session(slot) != nullptr) app_.on_room(slot);
    }
}

void Engine::read_later(Connection& connection) {
    if (std::exchange(connection.queued_unread, true)) return;
    unread_.push_back(&connection);
}

// --- sessions -------------------------------------------------------------------------------------------------------

Session* Engine::session(Slot slot) noexcept {
    if (slot >= sessions_.size() || sessions_[slot] == nullptr || sessions_[slot]->closing) return nullptr;
    return sessions_[slot].get();
}

Session* Engine::find(std::string_view sid) noexcept {
    const Id id = Id::from(sid);
    const Slot slot = by_sid_.find(IdHash{}(id), [&](Slot one) { return sessions_[one]->sid == id; });
    return slot == base::SlotTable::none ? nullptr : sessions_[slot].get();
}

Session& Engine::open_session(const Connection& connection, proto::EioTransport transport) {
    Slot slot;
    if (free_slots_.empty()) {
        slot = static_cast<Slot>(sessions_.size());
        sessions_.emplace_back();
        generations_.push_back(0);
    } else {
        slot = free_slots_.back();
        free_slots_.pop_back();
    }
    if (++generations_[slot] == 0) generations_[slot] = 1;  // 0 means "none"
    sessions_[slot] =
        std::make_unique<Session>(*this, slot, ids_.next_session(), transport, options_.times, loop_.now());
    Session& session = *sessions_[slot];
    session.head = connection.exchange->text;
    session.opened_wall_clock = loop_.wall_clock();
    session.address = connection.address;
    session.enter(places_, connection.counted(), loop_.now());
    places_.add_session(session.counted());
    rank(session);
    by_sid_.insert(IdHash{}(session.sid), slot);
    outbox_.open(slot);
    ++session_count_;
    ++stats_.sessions_opened;
    arm(session);
    return session;
}

void Engine::arm(Session& session) {
    const Millis deadline = session.state.deadline();
    if (!session.is_armed() || session.deadline() != deadline) loop_.timers().arm(session, deadline);
}

void Session::expire(Millis now) { engine.tick(*this, now); }

void Engine::tick(Session& session, Millis now) {
    const Slot slot = session.slot;
    if (session.closing) {
        release(slot);
        return;
    }
    for (;;) {
        switch (session.state.tick(now)) {
            case proto::EioSession::Tick::nothing: arm(session); return;
            case proto::EioSession::Tick::send_ping: outbox_.push(slot, ping_); break;
            case proto::EioSession::Tick::ping_timeout: close(slot, CloseReason::ping_timeout, Ending::as_node); return;
            case proto::EioSession::Tick::abandon_probe:
                if (session.probe != nullptr) {
                    Connection* probe = std::exchange(session.probe, nullptr);
                    probe->close_websocket({}, proto::ws_close::none, {});
                }
                break;
            case proto::EioSession::Tick::release_poll:
                if (session.poll != nullptr && outbox_.is_empty(slot)) outbox_.push(slot, noop_);
                break;
        }
    }
}

void Engine::deliver(Slot slot, std::uint32_t generation, const proto::EioPacket& packet) {
    Session* to = session(slot);
    if (to == nullptr || generations_[slot] != generation) return;
    const auto verdict = to->state.on_packet(packet, loop_.now());
    switch (verdict.action) {
        case proto::EioSession::Action::ignore: arm(*to); return;
        case proto::EioSession::Action::close: {
            const bool polite = verdict.reason == CloseReason::transport_close;
            close(slot, verdict.reason,
                  polite && to->state.transport() == proto::EioTransport::polling ? Ending::noop : Ending::as_node);
            return;
        }
        case proto::EioSession::Action::deliver: break;
    }
    // Messages do not move the deadline but once per ping; the timer is looked at when it fires.
    if (to->deadline() > to->state.deadline()) arm(*to);
    ++stats_.messages_in;
    stats_.bytes_in += packet.body.size();
    if (!packet.base64) {
        app_.on_text(slot, packet.body);
        return;
    }
    if (const auto bytes = base::decode_base64(packet.body)) {
        app_.on_binary(slot, *bytes);
    } else {
        close(slot, CloseReason::parse_error, Ending::as_node);
    }
}

void Engine::on_socket_text(Connection& connection, std::string_view text) {
    const Slot slot = connection.slot;
    Session* owner = session(slot);
    if (owner == nullptr || generations_[slot] != connection.generation) return;
    const auto packet = proto::decode_eio(text);
    if (connection.is_probe) {
        using Action = proto::EioSession::ProbeAction;
        // An undecodable packet is as much another packet as any.
        const auto action = owner->state.on_probe_packet(
            packet.value_or(proto::EioPacket{proto::EioType::noop, false, {}}), loop_.now());
        switch (action) {
            case Action::answer_probe: {
                std::string pong;
                proto::append_ws_frame(pong, proto::WsOpcode::text, "3probe");
                // Who does not take the first answer needs no second one.
                if (!std::exchange(connection.probed, true) || !connection.has_output()) connection.write_raw(pong);
                if (owner->poll != nullptr && outbox_.is_empty(slot)) outbox_.push(slot, noop_);
                break;
            }
            case Action::reject:
                owner->probe = nullptr;
                connection.close_websocket({}, proto::ws_close::none, {});
                break;
            case Action::complete:
                owner->probe = nullptr;
                owner->socket = &connection;
                connection.is_probe = false;
                if (owner->base64) outbox_.set_base64(slot);
                if (owner->poll != nullptr) answer_poll(*owner, "1");
                if (!connection.has_output()) outbox_.attach(slot, connection.fd);
                ++stats_.upgrades;
                rank(*owner);
                app_.on_upgrade(slot);
                break;
        }
        if ((owner = session(slot)) != nullptr) arm(*owner);
        return;
    }
    if (!packet) {
        close(slot, CloseReason::parse_error, Ending::as_node);
        return;
    }
    deliver(slot, connection.generation, *packet);
}

void Engine::on_socket_binary(Connection& connection, std::string_view bytes) {
    const Slot slot = connection.slot;
    Session* owner = session(slot);
    if (owner == nullptr || generations_[slot] != connection.generation) return;
    if (connection.is_probe) {
        owner->state.end_probe(loop_.now());
        owner->probe = nullptr;
        connection.close_websocket({}, proto::ws_close::none, {});
        return;
    }
    (void)owner->state.on_packet({proto::EioType::message, false, {}}, loop_.now());
    ++stats_.messages_in;
    stats_.bytes_in += bytes.size();
    app_.on_binary(slot, bytes);
}

void Engine::on_socket_closed(Connection& connection, CloseReason reason, std::uint16_t code, std::string_view why) {
    Session* owner = session(connection.slot);
    if (owner != nullptr && generations_[connection.slot] == connection.generation && owner->socket == &connection) {
        // Our answer repeats the peer's code, as RFC 6455 asks; a violation is named by its code.
        close(connection.slot, reason, Ending::protocol, code, why);
        return;
    }
    if (owner != nullptr && owner->probe == &connection) {
        owner->probe = nullptr;
        owner->state.end_probe(loop_.now());
        arm(*owner);
    }
    connection.close_websocket({}, code, why);
}

void Engine::close(Slot slot, CloseReason reason, Ending ending, std::uint16_t code, std::string_view why) {
    Session* gone = session(slot);
    if (gone == nullptr) return;
    gone->closing = true;
    --session_count_;
    places_.remove_session(gone->counted());
    gone->vacate();
    for (Connection* one : {gone->socket, gone->poll, gone->post, gone->probe}) {
        if (one != nullptr) one->set_rank(Rank::bare, loop_.now());
    }
    by_sid_.erase(IdHash{}(gone->sid), slot);
    ++stats_.closed[static_cast<std::size_t>(reason)];
    log::debug("gateway", "session_closed", {{"sid", gone->sid.view()}, {"reason", proto::to_string(reason)}});
    app_.on_close(slot, reason);

    if (Connection* probe = std::exchange(gone->probe, nullptr)) {
        probe->close_websocket({}, proto::ws_close::none, {});
    }
    if (Connection* post = std::exchange(gone->post, nullptr)) post->generation = 0;
    bool held = false;
    if (Connection* socket = std::exchange(gone->socket, nullptr)) {
        outbox_.flush_now(slot);
        std::string rest = ending == Ending::cut ? std::string() : outbox_.take_wire(slot);
        outbox_.detach(slot);
        socket->generation = 0;
        switch (ending) {
            case Ending::cut: socket->destroy(); break;
            case Ending::come_back:
                socket->close_websocket(rest, proto::ws_close::service_restart, "service restart");
                break;
            case Ending::protocol: socket->close_websocket(rest, code, why); break;
            case Ending::as_node:
            case Ending::noop: socket->close_websocket(rest, proto::ws_close::none, {}); break;
        }
    } else if (gone->poll != nullptr) {
        Connection* poll = gone->poll;
        if (ending == Ending::come_back || ending == Ending::cut) {
            gone->poll = nullptr;
            outbox_.set_poll_waiting(slot, false);
            poll->generation = 0;
            if (ending == Ending::cut) {
                poll->destroy();
            } else {
                poll->close_after_reply = true;
                poll->reply(503, {}, {});
            }
        } else if (std::string last;
                   ending == Ending::as_node && outbox_.take_payload(slot, max_packets_per_poll, last) > 0) {
            // What was sent before the end goes first, the end with the next poll: in one answer JavaScript's client
            // sees the end before it looks at the rest.
            answer_poll(*gone, std::move(last));
            held = true;
        } else {
            answer_poll(*gone, ending == Ending::noop ? "6" : "1");
        }
    } else if (ending == Ending::as_node &&
               (reason == CloseReason::forced_close || reason == CloseReason::forced_server_close)) {
        held = true;  // nobody waits to be told
    }
    if (!held) {
        release(slot);
        return;
    }
    // The next poll is told, if it comes soon.
    by_sid_.insert(IdHash{}(gone->sid), slot);
    loop_.timers().arm(*gone, loop_.now() + held_close_time);
}

void Engine::release(Slot slot) {
    Session& gone = *sessions_[slot];
    if (Connection* poll = std::exchange(gone.poll, nullptr)) {
        poll->generation = 0;
        poll->destroy();
    }
    by_sid_.erase(IdHash{}(gone.sid), slot);
    gone.charge.clear();
    outbox_.close(slot);
    gone.disarm();
    buried_.push_back(std::move(sessions_[slot]));  // it may be in use further up the stack; its slot rests as long
}

void Engine::connection_ended(Connection& connection) {
    const std::uint32_t generation = std::exchange(connection.generation, 0);
    connection.holds_poll = false;
    if (const std::uint64_t number = std::exchange(connection.request, 0); requests_.erase(number) > 0) {
        service_->on_gone(number);
    }
    if (generation == 0 || generations_[connection.slot] != generation) return;
    Session* owner = sessions_[connection.slot].get();
    if (owner == nullptr) return;
    connection.set_rank(Rank::bare, loop_.now());
    if (owner->probe == &connection) {
        owner->probe = nullptr;
        owner->state.end_probe(loop_.now());
        arm(*owner);
        return;
    }
    const Slot slot = connection.slot;
    if (owner->socket == &connection) {
        owner->socket = nullptr;
        outbox_.detach(slot);
        close(slot, CloseReason::transport_close, Ending::cut);
    } else if (owner->poll == &connection || owner->post == &connection) {
        if (owner->poll == &connection) {
            owner->poll = nullptr;
            outbox_.set_poll_waiting(slot, false);
        }
        if (owner->post == &connection) owner->post = nullptr;
        close(slot, CloseReason::transport_error, Ending::as_node);
    }
}

// Both are closed at the end of the turn: a fan-out may be walking over them.
void Engine::on_write_failed(Slot slot, int) { failed_.push_back({slot, false}); }
void Engine::on_queue_full(Slot slot) { failed_.push_back({slot, true}); }

void Engine::on_poll_ready(Slot slot) {
    Session* owner = session(slot);
    if (owner == nullptr || owner->poll == nullptr) return;
    std::string payload;
    if (outbox_.take_payload(slot, max_packets_per_poll, payload) > 0) answer_poll(*owner, std::move(payload));
}

}  // namespace sio::gateway
