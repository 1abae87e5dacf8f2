#include "gateway/hub.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "gateway/authority.h"
#include "gateway/hub_parts.h"
#include "gateway/passes.h"

namespace sio::gateway {

using proto::CloseReason;
using proto::SioType;

namespace {

constexpr std::size_t bulk_threshold = 64;       // fan-outs to more recipients are written in slices
constexpr std::size_t max_nsp_bytes = 256;       // of a namespace's name
constexpr std::uint64_t far_over = 10;           // times the rate limit
constexpr std::size_t max_waiting_packets = 64;  // of a client whose CONNECT is not answered yet
constexpr std::size_t id_length = 20;
constexpr std::size_t max_pid_bytes = 100;
constexpr Millis clock_margin = 20;           // by which clocks of hosts that are compared may be wrong
constexpr std::size_t max_admitted = 10'000;  // namespaces that are not open, and whether they might be

// To so many sockets at least an event goes that is on no client's account: below, a few clients of one hostile address
// could share what nobody else gets.
constexpr std::size_t sharers = 8;

/// What a room costs when one socket has it alone: the room, its name as a key, and the list of its members.
std::size_t cost_of(const Room& room) noexcept {
    return sizeof(Room) + 2 * (sizeof(std::string) + room.name.size()) + 8 * sizeof(void*);
}

std::size_t cost_of(const Replay& replay) noexcept {
    std::size_t bytes = sizeof(Replay) + replay.older.capacity() * sizeof(Position);
    for (const Stay& stay : replay.stays) bytes += sizeof(Stay) + stay.room.capacity();
    return bytes;
}

constexpr std::uint64_t ack_key(const Namespace& nsp, std::uint64_t id) noexcept { return (nsp.serial << 40U) ^ id; }

}  // namespace

Hub::Hub(HubOptions options, HubHandlers& handlers) : options_(options), handlers_(handlers) {
    budget_.limit = options_.recovery_bytes;
}

Hub::~Hub() = default;

std::string_view to_string(ResumeFailure failure) noexcept {
    static constexpr std::array<std::string_view, static_cast<std::size_t>(ResumeFailure::count)> names = {
        "none",    "malformed", "unknown_session", "other_user",        "unknown_offset",
        "trimmed", "too_much",  "timeout",         "redis_unreachable", "session_in_use"};
    return names[static_cast<std::size_t>(failure)];
}

void Hub::start(Engine& engine) {
    engine_ = &engine;
    epoch_ = static_cast<std::uint64_t>(engine.loop().wall_clock());
    RecoveryLog::Options log;
    log.keep = options_.recovery_window + recovery_slack;
    log.has_source = backbone_ != nullptr;
    const Position start = backbone_ != nullptr ? Position{} : Position{epoch_, 0};
    for (std::size_t i = 0; i < (backbone_ != nullptr ? backbone_->stream_count() : 1); ++i) {
        logs_.push_back(std::make_unique<RecoveryLog>(budget_, log, start, engine.loop().now()));
    }
    replay_timer_ = std::make_unique<ReplayTimer>(*this);
    purge_timer_ = std::make_unique<PurgeTimer>(*this);
    engine.loop().timers().arm(*purge_timer_, engine.loop().now() + PurgeTimer::interval);
}

void Hub::purge() {
    const Millis now = engine_->loop().now();
    for (const auto& log : logs_) log->purge(now);
    budget_.saved.purge(now);
    drop_unused(false);
    finished_waits_.clear();
}

/// Drops namespaces of patterns that nobody is in. `with_saved`: also those where somebody may return.
void Hub::drop_unused(bool with_saved) {
    for (auto entry = namespaces_.begin(); entry != namespaces_.end();) {
        Namespace& nsp = *entry->second;
        const bool is_unused = nsp.is_dynamic && nsp.everyone.empty() && (with_saved || nsp.saved.count() == 0);
        if (is_unused) --dynamic_namespaces_;
        if (is_unused && backbone_ != nullptr) backbone_->closing(nsp);
        entry = is_unused ? namespaces_.erase(entry) : std::next(entry);
    }
}

// --- finding --------------------------------------------------------------------------------------------------------

Namespace* Hub::find_namespace(std::string_view name) {
    if (const auto found = namespaces_.find(name); found != namespaces_.end()) return found->second.get();
    const Admission admission = handlers_.admit(name, nullptr, {}, {});
    if (admission.kind != Admission::Kind::open || admission.is_dynamic) return nullptr;
    return &make_namespace(name, false);
}

Namespace& Hub::make_namespace(std::string_view name, bool is_dynamic) {
    const std::size_t stream = backbone_ != nullptr ? backbone_->stream_of_namespace(name) : 0;
    auto made = std::make_unique<Namespace>(std::string(name), *logs_[stream], budget_, options_.recovery_window);
    made->is_dynamic = is_dynamic;
    if (is_dynamic) ++dynamic_namespaces_;
    made->serial = ++namespaces_made_;
    Namespace& nsp = *namespaces_.emplace(std::string(name), std::move(made)).first->second;
    if (backbone_ != nullptr) backbone_->opened(nsp);
    return nsp;
}

bool Hub::serves(std::string_view nsp) {
    if (namespaces_.find(nsp) != namespaces_.end()) return true;
    if (const auto known = admitted_.find(nsp); known != admitted_.end()) return known->second;
    if (admitted_.size() >= max_admitted) admitted_.clear();
    const bool is_open = handlers_.admit(nsp, nullptr, {}, {}).kind == Admission::Kind::open;
    admitted_.emplace(nsp, is_open);
    return is_open;
}

/// Where in the order of its stream a namespace stands.
Position Hub::position(const Namespace& nsp) const {
    return backbone_ != nullptr ? backbone_->position(nsp.name) : nsp.log.position();
}

void Hub::place_sockets(std::size_t stream, Position end, Millis ahead) {
    for (const auto& [name, nsp] : namespaces_) {
        if (&nsp->log != logs_[stream].get()) continue;
        nsp->by_secret.each([&](Slot slot) {
            if (Socket* socket = socket_in(slot, *nsp)) place(*socket, end, ahead);
        });
    }
}

void Hub::move_back(std::size_t stream, Position to) {
    for (const auto& [name, nsp] : namespaces_) {
        if (&nsp->log != logs_[stream].get()) continue;
        nsp->by_secret.each([&](Slot slot) {
            Socket* socket = socket_in(slot, *nsp);
            if (socket == nullptr) return;
            for (Socket::Seat& seat : socket->seats) seat.since = std::min(seat.since, to);
            socket->connected_at = std::min(socket->connected_at, to);
            if (!socket->extra().past.empty()) socket->own_extra().past.clear();
            // What it had still to get is gone: it is closed, and hears so when it returns.
            if (socket->replay != nullptr) socket->replay->at = {};
        });
    }
}

/// A socket that stands at a time of our clock.
void Hub::place(Socket& socket, Position end, Millis ahead) {
    const auto moved = [&](Position position) {
        return Position{
            static_cast<std::uint64_t>(std::max<Millis>(0, static_cast<Millis>(position.ms) + ahead - clock_margin)),
            0};
    };
    for (Socket::Seat& seat : socket.seats) seat.since = moved(seat.since);
    const Position from = moved(socket.connected_at);
    if (from >= end || socket.replay != nullptr) return;
    const std::uint64_t early = backbone_->last_early(socket.nsp->name);
    begin_replay(socket, from, {}, early != 0 ? HadEarly{std::string(backbone_->process()), early} : HadEarly{});
    engine_->tell_of_room_later(socket.slot);
}

void Hub::release_held() {
    for (const Held& held : std::exchange(held_, {})) {
        auto knock = take_knock(held.slot, held.ticket);
        if (knock == nullptr) continue;
        enter(held.slot, std::move(knock));
        Client* client = clients_[held.slot].get();
        if (client == nullptr || !client->sockets.empty() || !client->knocks.empty()) continue;
        engine_->loop().timers().arm(*client, engine_->loop().now() + options_.connect_timeout);  // it was refused
    }
}

Socket* Hub::socket_in(Slot slot, const Namespace& nsp) {
    if (clients_[slot] == nullptr) return nullptr;
    for (const auto& socket : clients_[slot]->sockets) {
        if (socket->nsp == &nsp) return socket.get();
    }
    return nullptr;
}

Socket* Hub::find_socket(const Namespace& nsp, const Id& id) {
    const Slot slot = nsp.by_id.find(IdHash{}(id), [&](Slot one) {
        const Socket* socket = socket_in(one, nsp);
        return socket != nullptr && socket->id == id;
    });
    return slot == base::SlotTable::none ? nullptr : socket_in(slot, nsp);
}

/// The socket that recovery knows by this secret; null when it is not here.
Socket* Hub::find_secret(const Namespace& nsp, const Id& secret) {
    const Slot slot = nsp.by_secret.find(IdHash{}(secret), [&](Slot one) {
        const Socket* socket = socket_in(one, nsp);
        return socket != nullptr && socket->secret == secret;
    });
    return slot == base::SlotTable::none ? nullptr : socket_in(slot, nsp);
}

std::size_t Hub::room_count() const noexcept {
    std::size_t count = 0;
    for (const auto& [name, nsp] : namespaces_) count += nsp->rooms.size();
    return count;
}

const Socket::Extra& Socket::extra() const noexcept {
    static const Extra nothing;
    return extra_ == nullptr ? nothing : *extra_;
}

Socket::Extra& Socket::own_extra() {
    if (extra_ == nullptr) extra_ = std::make_unique<Extra>();
    return *extra_;
}

std::string Socket::pid() const {
    std::string pid;
    if (has_pid()) pid.append(secret.view()).append(pid_rest);
    return pid;
}

// Calls `each` with the slot of every selected socket, once.
template <typename Visit>
void Hub::visit(Namespace& nsp, const Selection& selection, Visit&& each) {
    Outbox& outbox = engine_->outbox();
    const bool everyone = selection.rooms.empty() && selection.users.empty() && selection.sockets.empty();
    const bool excludes = selection.except_socket != nullptr || !selection.except.empty();
    const auto for_room = [&](std::string_view name, auto&& act) {
        if (const auto room = nsp.rooms.find(name); room != nsp.rooms.end()) {
            for (const Slot slot : room->second->members) act(slot);
        }
        if (name.size() == id_length) {  // each socket is in a room of its own, which is not kept as one
            if (const Socket* own = find_socket(nsp, Id::from(name))) act(own->slot);
        }
    };
    if (everyone && !excludes) {
        for (const Slot slot : nsp.everyone) each(slot);
        return;
    }
    outbox.begin_marks();
    if (selection.except_socket != nullptr) outbox.mark(selection.except_socket->slot);
    for (const std::string& name : selection.except) for_room(name, [&](Slot slot) { outbox.mark(slot); });
    const auto once = [&](Slot slot) {
        if (outbox.mark(slot)) each(slot);
    };
    if (everyone) {
        for (const Slot slot : nsp.everyone) once(slot);
        return;
    }
    for (const std::string& name : selection.rooms) for_room(name, once);
    for (const std::string& id : selection.sockets) {
        if (const Socket* own = find_socket(nsp, Id::from(id))) once(own->slot);
    }
    for (const std::string& user : selection.users) {
        for_room(user, [&](Slot slot) {
            const Socket* socket = socket_in(slot, nsp);
            if (socket != nullptr && socket->user == user) once(slot);
        });
    }
}

const std::vector<Socket*>& Hub::select(Namespace& nsp, const Selection& selection) {
    selected_.clear();
    visit(nsp, selection, [&](Slot slot) {
        if (Socket* socket = socket_in(slot, nsp)) selected_.push_back(socket);
    });
    return selected_;
}

// --- verbs ----------------------------------------------------------------------------------------------------------

bool Hub::push(Slot slot, Encoder& encoder, bool is_volatile) {
    Outbox& outbox = engine_->outbox();
    if (is_volatile && !outbox.is_writable(slot)) {
        ++stats_.volatile_dropped;
        return false;
    }
    if (outbox.is_behind(slot) && is_left_to_replay(slot, encoder, is_volatile)) [[unlikely]] {
        if (is_volatile) ++stats_.volatile_dropped;
        return false;
    }
    const auto frames = encoder.frames(outbox.wants_offset(slot));
    if (!outbox.offer(slot, frames.data(), frames.size())) [[unlikely]] {
        if (!fall_behind(slot, encoder)) outbox.push(slot, frames.data(), frames.size());
        return false;
    }
    ++stats_.deliveries;
    return true;
}

/// The rooms of a packet, as views that live until the next call.
RecoveryLog::Audience Hub::audience(std::string_view nsp, const Selection& selection) {
    rooms_.clear();
    except_.clear();
    for (const auto* list : {&selection.rooms, &selection.users, &selection.sockets}) {
        rooms_.insert(rooms_.end(), list->begin(), list->end());
    }
    except_.assign(selection.except.begin(), selection.except.end());
    if (selection.except_socket != nullptr) except_.push_back(selection.except_socket->id.view());
    return {nsp, rooms_, except_};
}

void Hub::record(RecoveryLog& log, const Selection& selection, Encoder& encoder, const net::Address& from) {
    log.record(audience(encoder.nsp(), selection), *encoder.position(), encoder.logged_frames(), engine_->loop().now(),
               from);
    encoder.set_logged();
}

/// An event that gets its place later. Its offset is where the stream stands, and that number.
void Hub::set_early(Encoder& encoder, std::uint64_t number) const {
    if (number == 0) return;
    encoder.set_early();
    encoder.set_position(backbone_->position(encoder.nsp()));
    encoder.set_had(backbone_->process(), number);
}

void Hub::prepend(std::size_t stream, std::string_view nsp, const Selection& selection, const Event& event,
                  Position position, Millis sent) {
    RecoveryLog& log = *logs_[stream];
    Encoder encoder(nsp, event, std::nullopt, scratch_);
    encoder.set_position(position);
    const auto frames = log.wants_older_content() ? encoder.logged_frames() : std::span<const FrameRef>{};
    log.prepend(audience(nsp, selection), position, frames, sent);
}

Reached Hub::send_here(Namespace& nsp, const Selection& selection, Encoder& encoder, bool is_volatile) {
    Reached reached;
    const std::uint64_t before = stats_.deliveries;
    std::size_t candidates = nsp.everyone.size();
    if (selection.rooms.size() == 1) {
        const auto room = nsp.rooms.find(selection.rooms.front());
        candidates = room == nsp.rooms.end() ? 1 : room->second->members.size();
    }
    if (candidates > sharers) encoder.set_shared();
    const bool bulk = candidates > bulk_threshold;
    if (bulk) engine_->outbox().begin_bulk();
    visit(nsp, selection, [&](Slot slot) {
        if (push(slot, encoder, is_volatile) && reached.named < Reached::max_named)
            reached.slots[reached.named++] = slot;
    });
    if (bulk) engine_->outbox().end_bulk();
    reached.sockets = stats_.deliveries - before;
    return reached;
}

void Hub::emit(Namespace& nsp, const Selection& selection, const Event& event, bool is_volatile, bool is_local,
               const Socket* from) {
    ++stats_.broadcasts;
    Encoder encoder(nsp.name, event, std::nullopt, scratch_);
    if (backbone_ != nullptr && !is_local) {
        const auto early = backbone_->broadcast(nsp, selection, event, is_volatile);
        if (!early) return;
        set_early(encoder, *early);
    } else if (backbone_ == nullptr) {
        place(nsp, selection, encoder, is_volatile, from);
    }
    send_here(nsp, selection, encoder, is_volatile);
}

/// Gives an event of a gateway that is alone its place in the order.
void Hub::place(Namespace& nsp, const Selection& selection, Encoder& encoder, bool is_volatile, const Socket* from) {
    if (nsp.wants_offset == 0 && nsp.saved.count() == 0) return;
    if (is_volatile) {
        encoder.set_position(nsp.log.position());  // not kept, but the client's position stays good
        return;
    }
    encoder.set_position(nsp.log.advance());
    record(nsp.log, selection, encoder, from != nullptr ? engine_->address(from->slot) : net::Address{});
}

void Hub::emit_early(Namespace& nsp, const Selection& selection, const Event& event, bool is_volatile,
                     std::uint64_t number) {
    ++stats_.broadcasts;
    Encoder encoder(nsp.name, event, std::nullopt, scratch_);
    set_early(encoder, number);
    send_here(nsp, selection, encoder, is_volatile);
}

std::size_t Hub::count(Namespace& nsp, const Selection& selection) {
    std::size_t count = 0;
    visit(nsp, selection, [&](Slot) { ++count; });
    return count;
}

Reached Hub::deliver(std::string_view name, const Selection& selection, const Event& event, bool is_volatile,
                     Position position, bool is_done) {
    Encoder encoder(name, event, std::nullopt, scratch_);
    const auto found = namespaces_.find(name);
    if (!is_volatile && keeps_logs()) {
        encoder.set_position(position);
        RecoveryLog& log =
            found != namespaces_.end() ? found->second->log : *logs_[backbone_->stream_of_namespace(name)];
        record(log, selection, encoder);
        // Until all that was emitted early has been read back, an offset says that its client has had it.
        if (const std::uint64_t last = backbone_->last_early(name); last != 0)
            encoder.set_had(backbone_->process(), last);
    }
    if (is_done || found == namespaces_.end()) return {};
    return send_here(*found->second, selection, encoder, is_volatile);
}

bool Hub::holds(const Namespace& nsp, std::string_view pid) {
    return find_secret(nsp, Id::from(pid.substr(0, id_length))) != nullptr;
}

void Hub::taken(Namespace& nsp, std::string_view pid) {
    const Id secret = Id::from(pid.substr(0, id_length));
    if (Socket* socket = find_secret(nsp, secret)) {
        socket->is_taken = true;
        const Slot slot = socket->slot;
        remove_socket(*socket, "transport close", false);
        engine_->close(slot, CloseReason::transport_close, Ending::cut);
    }
    nsp.saved.take(secret, engine_->loop().now());
}

void Hub::emit_to(Socket& socket, const Event& event, bool is_volatile, const Socket* from) {
    Namespace& nsp = *socket.nsp;
    Encoder encoder(nsp.name, event, std::nullopt, scratch_);
    if (engine_->outbox().wants_offset(socket.slot)) {
        Selection self;
        self.rooms.emplace_back(socket.id.view());
        if (backbone_ == nullptr) {
            place(nsp, self, encoder, is_volatile, from);
        } else if (!is_volatile) {
            // By way of the cluster, as Node does it: only so it can be recovered anywhere.
            const auto early = backbone_->broadcast(nsp, self, event, false);
            if (!early) return;
            set_early(encoder, *early);
        }
    }
    push(socket.slot, encoder, is_volatile);
}

void Hub::tell(Socket& socket, const Event& event) {
    Encoder encoder(socket.nsp->name, event, std::nullopt, scratch_);
    const auto frames = encoder.frames(false);
    engine_->outbox().push(socket.slot, frames.data(), frames.size());
    ++stats_.deliveries;
}

std::size_t Hub::ask(Namespace& nsp, const Selection& selection, const Event& event, Millis timeout,
                     std::function<void(Answers)> done, std::function<void(const Answers::One&)> each) {
    // One id for all, as Node does; ids of a namespace never repeat while a question is open.
    const std::uint64_t id = nsp.next_ack++;
    const std::uint64_t key = ack_key(nsp, id);
    auto wait = std::make_unique<AckWait>(*this, key, nsp);
    wait->done = std::move(done);
    wait->each = std::move(each);
    Encoder encoder(nsp.name, event, id, scratch_);
    visit(nsp, selection, [&](Slot slot) {
        Socket* socket = socket_in(slot, nsp);
        if (socket == nullptr) return;
        const auto frames = encoder.frames(false);
        engine_->outbox().push(slot, frames.data(), frames.size());
        ++stats_.deliveries;
        socket->own_extra().asked.push_back(key);
        ++wait->waiting;
    });
    const std::size_t reached = wait->asked = wait->waiting;
    AckWait& armed = *wait;
    waits_.insert_or_assign(key, std::move(wait));
    // Nobody to wait for: answered at the next tick, never from inside this call.
    engine_->loop().timers().arm(armed, engine_->loop().now() + (reached == 0 ? 0 : timeout));
    return reached;
}

void Hub::finish(std::uint64_t key) {
    const auto found = waits_.find(key);
    if (found == waits_.end()) return;
    std::unique_ptr<AckWait> wait = std::move(found->second);
    waits_.erase(found);
    wait->disarm();
    wait->answers.silent += wait->waiting;
    auto done = std::move(wait->done);
    Answers answers = std::move(wait->answers);
    finished_waits_.push_back(std::move(wait));  // its expire() may be on the stack
    done(std::move(answers));
}

void Hub::settle(std::uint64_t key, Socket* leaving) {
    const auto found = waits_.find(key);
    if (found == waits_.end()) return;
    AckWait& wait = *found->second;
    --wait.waiting;
    if (leaving != nullptr) ++wait.answers.silent;
    if (wait.waiting == 0) finish(key);
}

void Hub::on_ack(Socket& socket, const proto::SioPacket& packet) {
    if (!packet.id) {
        spend(socket.slot);
        return;
    }
    const std::uint64_t key = ack_key(*socket.nsp, *packet.id);
    if (std::ranges::find(socket.extra().asked, key) == socket.extra().asked.end()) {  // unknown, late or repeated
        spend(socket.slot);
        return;
    }
    std::erase(socket.own_extra().asked, key);
    const auto found = waits_.find(key);
    if (found == waits_.end()) return;
    AckWait& wait = *found->second;
    std::size_t bytes = sizeof(Answers::One) + packet.json.size();
    if (packet.attachments != nullptr) {
        for (const std::string& one : *packet.attachments) bytes += sizeof(std::string) + one.size();
    }
    if (!wait.each && !wait.has_room(bytes)) {
        tell_dropped_answer(socket, bytes);
        settle(key, &socket);
        return;
    }
    Answers::One answer{socket.id, packet.json.empty() ? "[]" : std::string(packet.json), {}};
    if (packet.attachments != nullptr) answer.attachments = *packet.attachments;
    if (wait.each) {
        wait.each(answer);
    } else {
        wait.answers.answers.push_back(std::move(answer));
    }
    settle(key, nullptr);
}

void Hub::tell_dropped_answer(const Socket& socket, std::size_t bytes) {
    ++stats_.answers_dropped;
    const auto held_back = answers_dropped_.pass(engine_->loop().now());
    if (!held_back) return;
    log::warn("gateway", "answer_dropped",
              {{"sid", socket.id.view()},
               {"namespace", socket.nsp->name},
               {"bytes", bytes},
               {"limit_bytes", max_answer_bytes},
               {"remedy", "ask fewer clients at a time, or let them answer with less"},
               {"held_back", *held_back}});
}

void Hub::acknowledge(Socket& socket, std::uint64_t id, std::string_view arguments,
                      std::span<const std::string> attachments) {
    scratch_.clear();
    const bool binary = !attachments.empty();
    proto::append_sio_header(scratch_, binary ? SioType::binary_ack : SioType::ack, attachments.size(),
                             socket.nsp->name, id);
    scratch_ += '[';
    scratch_ += arguments;
    scratch_ += ']';
    std::array<FrameRef, 1 + proto::max_attachments> frames;
    frames[0] = FrameRef::text("4", scratch_, binary);
    for (std::size_t i = 0; i < attachments.size(); ++i) {
        frames[i + 1] = FrameRef::binary(attachments[i], i + 1 < attachments.size());
    }
    engine_->outbox().push(socket.slot, frames.data(), 1 + attachments.size());
}

/// Whether a socket may be in one room more. Its user's is his by right.
bool Hub::may_join(const Socket& socket, std::string_view name) {
    const std::size_t own = socket.user.empty() ? 0 : 1;
    if (socket.seats.size() < options_.max_rooms + own || name == socket.user) return true;
    ++stats_.joins_refused;
    if (const auto held_back = joins_refused_.pass(engine_->loop().now())) {
        const Session* session = engine_->session(socket.slot);
        log::warn("room", "join_refused",
                  {{"sid", socket.id.view()},
                   {"namespace", socket.nsp->name},
                   {"user", socket.user},
                   {"address", session != nullptr ? session->address.to_string() : std::string()},
                   {"room", name},
                   {"limit", options_.max_rooms},
                   {"remedy", "raise max-rooms-per-socket, or let clients leave rooms"},
                   {"held_back", *held_back}});
    }
    return false;
}

bool Hub::join(Socket& socket, std::string_view name, Position since) {
    if (name == socket.id.view()) return true;
    for (const Socket::Seat& seat : socket.seats) {
        if (seat.room->name == name) return true;
    }
    if (!may_join(socket, name)) return false;
    auto& rooms = socket.nsp->rooms;
    auto found = rooms.find(name);
    if (found == rooms.end()) {
        auto room = std::make_unique<Room>();
        room->name = name;
        found = rooms.emplace(room->name, std::move(room)).first;
    }
    Room& room = *found->second;
    socket.seats.push_back({&room, room.members.size(), since});
    room.members.push_back(socket.slot);
    socket.room_bytes += cost_of(room);
    if (socket.seats.size() == 1) tell_standing(socket.slot);
    if (socket.replay != nullptr) {
        Replay& replay = *socket.replay;
        const bool has_older = replay.older_done < replay.older.size();  // from before `at`, for rooms it was in then
        if (!has_older) std::erase_if(replay.stays, [&](const Stay& stay) { return stay.through <= replay.at; });
        replay.stays.push_back({.room = std::string(name), .after = since});
    }
    if (backbone_ != nullptr && socket.has_pid()) backbone_->keep(socket);
    log::debug("room", "join", {{"sid", socket.id.view()}, {"room", name}});
    handlers_.on_join(socket, room.name);
    return true;
}

void Hub::leave_seat(Socket& socket, std::size_t index) {
    const Socket::Seat seat = socket.seats[index];
    socket.seats[index] = socket.seats.back();
    socket.seats.pop_back();
    Room& room = *seat.room;
    socket.room_bytes -= cost_of(room);
    if (socket.seats.empty()) tell_standing(socket.slot);
    handlers_.on_leave(socket, room.name);
    const Slot moved = room.members.back();
    room.members[seat.index] = moved;
    room.members.pop_back();
    if (moved != socket.slot) {
        for (Socket::Seat& other : socket_in(moved, *socket.nsp)->seats) {
            if (other.room == &room) other.index = seat.index;
        }
    }
    if (room.members.empty()) {
        const auto found = socket.nsp->rooms.find(std::string_view(room.name));
        socket.nsp->rooms.erase(found);
    }
}

void Hub::leave(Socket& socket, std::string_view name) {
    for (std::size_t i = 0; i < socket.seats.size(); ++i) {
        if (socket.seats[i].room->name != name) continue;
        log::debug("room", "leave", {{"sid", socket.id.view()}, {"room", name}});
        if (socket.has_pid()) note_left(socket, socket.seats[i]);
        leave_seat(socket, i);
        if (socket.pass != nullptr)
            std::erase_if(socket.pass->rooms, [&](const auto& one) { return one.room == name; });
        if (backbone_ != nullptr && socket.has_pid()) backbone_->keep(socket);
        return;
    }
}

void Hub::disconnect(Socket& socket, bool close_connection) {
    if (socket.leaving) return;
    const Slot slot = socket.slot;
    const auto part = [&](Socket& leaving) {
        if (leaving.replay != nullptr) hurry(leaving);
        std::string text;
        proto::append_sio_header(text, SioType::disconnect, 0, leaving.nsp->name, std::nullopt);
        engine_->outbox().push(slot, FrameRef::text("4", text));
        clients_[slot]->leave(leaving.nsp->name);
        remove_socket(leaving, "server namespace disconnect", false);
    };
    if (!close_connection) {
        part(socket);
        return;
    }
    auto& sockets = clients_[slot]->sockets;
    while (!sockets.empty()) part(*sockets.back());
    engine_->close(slot, CloseReason::forced_close, Ending::as_node);
}

void Hub::drop_transport(Socket& socket) {
    if (socket.leaving) return;
    engine_->close(socket.slot, CloseReason::transport_close, Ending::come_back);
}

void Hub::send_back(Socket& socket) {
    if (socket.leaving) return;
    const Slot slot = socket.slot;
    if (clients_[slot]->sockets.size() > 1 || !clients_[slot]->knocks.empty()) {
        disconnect(socket, false);
        return;
    }
    if (socket.replay != nullptr) hurry(socket);
    remove_socket(socket, "transport close", false);
    const Session* session = engine_->session(slot);
    if (session == nullptr) return;
    // A poll that is answered 503 would lose what was said last.
    if (session->state.transport() == proto::EioTransport::polling) {
        engine_->close(slot, CloseReason::forced_server_close, Ending::as_node);
    } else {
        engine_->close(slot, CloseReason::transport_close, Ending::come_back);
    }
}

std::size_t Hub::drain(std::size_t most) {
    for (Slot slot = 0; slot < engine_->slot_end() && most > 0; ++slot) {
        if (engine_->session(slot) == nullptr) continue;
        engine_->close(slot, CloseReason::server_shutting_down, Ending::come_back);
        --most;
    }
    return engine_->session_count();
}

// --- what clients send ----------------------------------------------------------------------------------------------

bool Hub::client_wants_offset(const Session& session) const {
    if (options_.recovery == RecoveryMode::off) return false;
    if (options_.recovery == RecoveryMode::on) return true;
    proto::HttpHead head;
    if (proto::parse_http_head(session.head, head)) return false;
    if (const auto asked = proto::query_parameter(head.query, "recovery")) return *asked == "1";
    const std::string_view agent = head.header("user-agent").value_or("");
    const std::string_view offer = head.header("sec-websocket-extensions").value_or("");
    // JavaScript's client before 4.6 cannot resume, and nothing on the wire tells it from those that can; an argument
    // more does no harm to it. Others stumble over one.
    return agent.starts_with("Mozilla/") || agent == "node-XMLHttpRequest" || agent == "node" ||
           agent.starts_with("engine.io-go/") ||
           offer == "permessage-deflate; client_max_window_bits" ||  // JavaScript in Node, by WebSocket alone
           offer == "permessage-deflate; server_no_context_takeover; client_no_context_takeover";  // Go, zishang520
}

void Hub::on_open(Slot slot) {
    buried_.clear();  // nothing of theirs is on the stack of a handshake
    if (slot >= clients_.size()) clients_.resize(slot + 1);
    clients_[slot] = std::make_unique<Client>(*this, slot, options_.max_payload * (1 + proto::max_attachments),
                                              options_.max_json_depth);
    engine_->loop().timers().arm(*clients_[slot], engine_->loop().now() + options_.connect_timeout);
    engine_->outbox().set_wants_offset(slot, client_wants_offset(*engine_->session(slot)));
}

void Hub::on_text(Slot slot, std::string_view text) { on_packet(slot, clients_[slot]->decoder.text(text)); }

void Hub::on_binary(Slot slot, std::string_view bytes) {
    on_packet(slot, clients_[slot]->decoder.binary(bytes));
    if (clients_[slot] != nullptr) clients_[slot]->decoder.forget();
}

std::size_t Hub::cost(Slot slot) const {
    if (slot >= clients_.size() || clients_[slot] == nullptr) return 0;
    const Client& client = *clients_[slot];
    std::size_t bytes = sizeof(Client) + client.decoder.bytes_held();
    for (const std::string& name : client.left) bytes += sizeof(std::string) + name.capacity();
    for (const auto& knock : client.knocks) bytes += knock->cost();
    for (const auto& socket : client.sockets) {
        bytes += handlers_.cost(*socket);
        bytes += sizeof(Socket) + socket->auth.capacity() + socket->room_bytes;
        bytes += socket->seats.capacity() * sizeof(Socket::Seat);
        const Socket::Extra& extra = socket->extra();
        bytes += extra.data.capacity() + extra.asked.capacity() * sizeof(std::uint64_t);
        for (const Stay& stay : extra.past) bytes += sizeof(Stay) + stay.room.capacity();
        if (socket->replay != nullptr) bytes += cost_of(*socket->replay);
        if (socket->pass != nullptr) {
            bytes += sizeof(Pass) + socket->pass->claims.capacity();
            if (socket->pass->token) bytes += socket->pass->token->capacity();
        }
    }
    return bytes;
}

void Hub::on_upgrade(Slot) {}

// Before a client is told that it is connected or in a room, the cluster knows it.
void Hub::before_writes() {
    buried_.clear();  // nothing of theirs is on the stack any more
    if (backbone_ != nullptr) backbone_->flush();
}

bool Hub::on_http(const proto::HttpHead& head, HttpAnswer& answer) { return handlers_.on_http(head, answer); }

bool Hub::takes_sessions() { return passes_ == nullptr || passes_->can_ask(); }

void Hub::protocol_error(Slot slot, std::string_view reason) {
    ++stats_.protocol_errors;
    const Session* session = engine_->session(slot);
    log::debug("gateway", "protocol_error", {{"sid", session->sid.view()}, {"reason", reason}});
    const bool polling_unheard = session->state.transport() == proto::EioTransport::polling && session->poll == nullptr;
    engine_->close(slot, polling_unheard ? CloseReason::forced_server_close : CloseReason::forced_close,
                   Ending::as_node);
}

std::string Hub::tell_limit(Slot slot, Limit limit, std::uint64_t size, std::uint64_t most) {
    const Session* session = engine_->session(slot);
    return session == nullptr ? limit_text(limit, size, most)
                              : engine_->tell_limit(limit, session->address, session->sid.view(), size, most);
}

/// Ends a client that has passed a limit. By WebSocket it is told which; a poll has no words for it.
void Hub::over_limit(Slot slot, Limit limit, std::uint64_t size, std::uint64_t most) {
    const std::string why = tell_limit(slot, limit, size, most);
    const Session* session = engine_->session(slot);
    if (session == nullptr || session->state.transport() == proto::EioTransport::polling) {
        if (session != nullptr) protocol_error(slot, why);
        return;
    }
    ++stats_.protocol_errors;
    const bool is_size = limit == Limit::packet || limit == Limit::early_bytes;
    engine_->close(slot, CloseReason::forced_close, Ending::protocol,
                   is_size ? proto::ws_close::too_big : proto::ws_close::policy, why);
}

/// Whether the packet that was refused last had passed a limit; then its client has been ended for it.
bool Hub::tell_excess(Slot slot) {
    using Over = proto::SioDecoder::Over;
    const auto excess = clients_[slot]->decoder.excess();
    if (excess.over == Over::nothing) return false;
    const Limit limit = excess.over == Over::bytes   ? Limit::packet
                        : excess.over == Over::depth ? Limit::json_depth
                                                     : Limit::attachments;
    over_limit(slot, limit, excess.size, excess.most);
    return true;
}

void Hub::on_packet(Slot slot, const Result<std::optional<proto::SioPacket>>& decoded) {
    if (!decoded) {
        if (!tell_excess(slot)) protocol_error(slot, decoded.error().what);
        return;
    }
    if (!*decoded) {  // attachments are still to come
        Client& client = *clients_[slot];
        if (!client.is_armed()) {
            engine_->loop().timers().arm(client, engine_->loop().now() + options_.attachment_timeout);
        }
        return;
    }
    if (!clients_[slot]->sockets.empty()) clients_[slot]->disarm();
    const proto::SioPacket& packet = **decoded;
    if (packet.type == SioType::connect) {
        connect(slot, packet);
        return;
    }
    if (packet.type == SioType::connect_error) {
        protocol_error(slot, "a client sent CONNECT_ERROR");
        return;
    }
    Socket* socket = nullptr;
    for (const auto& joined : clients_[slot]->sockets) {
        if (joined->nsp->name == packet.nsp) socket = joined.get();
    }
    if (socket == nullptr) {
        auto& knocks = clients_[slot]->knocks;
        const auto found = std::ranges::find_if(knocks, [&](const auto& one) { return one->nsp == packet.nsp; });
        if (found != knocks.end()) {
            if (packet.type == SioType::disconnect) {
                if (!spend(slot)) return;
                clients_[slot]->leave(packet.nsp);
                const std::unique_ptr<Knock> gone = std::move(*found);
                knocks.erase(found);
                if (gone->pass != nullptr) passes_->unused(gone->pass->session);
                return;
            }
            Knock& knock = **found;
            knock.keep(packet);
            if (knock.packets.size() > max_waiting_packets) {
                ++stats_.waiting_too_long;
                over_limit(slot, Limit::early_packets, knock.packets.size(), max_waiting_packets);
            } else if (knock.bytes > options_.max_payload) {
                ++stats_.waiting_too_long;
                over_limit(slot, Limit::early_bytes, knock.bytes, options_.max_payload);
            }
            return;
        }
        const auto& left = clients_[slot]->left;
        if (std::find(left.begin(), left.end(), packet.nsp) != left.end()) {
            spend(slot);
            return;
        }
        protocol_error(slot, "a packet for a namespace that is not joined");
        return;
    }
    dispatch(*socket, packet);
}

void Hub::dispatch(Socket& socket, const proto::SioPacket& packet) {
    if (packet.type == SioType::disconnect) {
        if (spend(socket.slot)) remove_socket(socket, "client namespace disconnect", false);
    } else if (packet.is_ack()) {
        on_ack(socket, packet);
    } else {
        ++stats_.events_in;
        const Slot slot = socket.slot;
        if (packet.json.empty()) {  // `42` alone: Node tolerates it, and nobody is told
            spend(slot);
            return;
        }
        if (const auto wait = limited(socket)) {
            if (engine_->session(slot) == nullptr) return;
            ++stats_.events_limited;
            if (packet.id) {
                acknowledge(socket, *packet.id,
                            R"({"error":"rate limit exceeded","retryAfterMs":)" + std::to_string(*wait) + '}');
            }
            return;
        }
        if (socket.pass != nullptr && Passes::is_refresh(packet)) {
            passes_->refresh(socket, packet);
            return;
        }
        handlers_.on_event(socket, packet);
    }
}

std::optional<Millis> Hub::limited(Socket& socket) {
    const auto wait = over_rate(socket.slot);
    return wait || engine_->session(socket.slot) == nullptr ? wait : handlers_.limited(socket);
}

/// Counts a packet of a connection: all its namespaces share one window, whatever it joins and leaves. Nothing: it is
/// within the limit; else how long until the next window. Who is far over it is told nothing more: his connection ends.
std::optional<Millis> Hub::over_rate(Slot slot) {
    if (options_.rate_limit == 0) return std::nullopt;
    Client& client = *clients_[slot];
    const Millis now = engine_->loop().now();
    if (client.window_events == 0 || now - client.window_start >= options_.rate_window) {
        client.window_start = now;
        client.window_events = 0;
    }
    if (++client.window_events <= options_.rate_limit) return std::nullopt;
    const Millis wait = client.window_start + options_.rate_window - now;
    if (client.window_events > far_over * std::uint64_t{options_.rate_limit}) {
        over_limit(slot, Limit::rate, client.window_events, far_over * options_.rate_limit);
    }
    return wait;
}

/// Counts a packet that leads to nothing. False: its connection has ended.
bool Hub::spend(Slot slot) {
    static_cast<void>(over_rate(slot));
    return engine_->session(slot) != nullptr;
}

void Hub::refuse(Slot slot, std::string_view nsp, std::string_view message, std::string_view data) {
    ++stats_.sockets_refused;
    clients_[slot]->leave(nsp);
    std::string text;
    proto::append_sio_header(text, SioType::connect_error, 0, nsp, std::nullopt);
    text += R"({"message":)";
    json::append_string(text, message);
    if (!data.empty()) {
        text += R"(,"data":)";
        text += data;
    }
    text += '}';
    engine_->outbox().push(slot, FrameRef::text("4", text));
}

Socket& Hub::add_socket(Slot slot, Namespace& nsp, const Id& id) {
    Client& client = *clients_[slot];
    client.disarm();
    client.sockets.push_back(std::make_unique<Socket>());
    Socket& socket = *client.sockets.back();
    socket.id = id;
    socket.nsp = &nsp;
    socket.slot = slot;
    socket.index_in_namespace = nsp.everyone.size();
    socket.connected_wall_clock = engine_->loop().wall_clock();
    nsp.everyone.push_back(slot);
    nsp.by_id.insert(IdHash{}(id), slot);
    ++socket_count_;
    ++stats_.sockets_connected;
    return socket;
}

/// Tells the engine how much a client has joined: who has joined least makes room for others when places run short.
void Hub::tell_standing(Slot slot) {
    const auto& sockets = clients_[slot]->sockets;
    const bool is_member = std::ranges::any_of(
        sockets, [](const auto& socket) { return !socket->user.empty() || !socket->seats.empty(); });
    engine_->set_standing(slot, is_member         ? Standing::member
                                : sockets.empty() ? Standing::stranger
                                                  : Standing::onlooker);
}

/// `<ms>-<seq>`, or `<ms>-<seq>.<gateway>.<number>`.
bool Hub::read_offset(std::string_view text, ResumeRequest& request) {
    const std::size_t dot = std::min(text.find('.'), text.size());
    request.offset = Position::parse(text.substr(0, dot));
    if (!request.offset || dot == text.size()) return request.offset.has_value();
    const std::size_t second = text.find('.', dot + 1);
    if (second == std::string_view::npos) return false;
    const auto number = base::parse_decimal(text.substr(second + 1));
    if (!number) return false;
    request.had = {std::string(text.substr(dot + 1, second - dot - 1)), *number};
    return true;
}

/// What the client says it was. Nothing: it says nothing that could be true.
std::optional<ResumeRequest> Hub::resume_request(Namespace& nsp, std::string_view auth) {
    const auto string_member = [&](std::string_view name) -> std::optional<std::string> {
        const auto raw = json::member(auth, name);
        if (!raw || json::kind_of(*raw) != json::Kind::string) return std::nullopt;
        return json::decode_string(*raw);
    };
    ResumeRequest request;
    auto pid = string_member("pid");
    if (!pid || pid->size() < id_length || pid->size() > max_pid_bytes) return std::nullopt;
    request.pid = std::move(*pid);
    if (json::member(auth, "offset")) {
        const auto offset = string_member("offset");
        if (!offset || !read_offset(*offset, request)) return std::nullopt;
    } else if (request.pid.size() > id_length) {
        // It has received nothing, and stands where it was when it connected.
        request.offset = Position::parse(std::string_view(request.pid).substr(id_length + 1));
        if (!request.offset) return std::nullopt;
    }
    const Id secret = Id::from(std::string_view(request.pid).substr(0, id_length));
    // The old connection may not have been missed yet (its network just went away): it is over now.
    if (const Socket* live = find_secret(nsp, secret)) {
        engine_->close(live->slot, CloseReason::transport_close, Ending::cut);
    }
    request.saved = nsp.saved.take(secret, engine_->loop().now());
    // It connected before the end of the stream was known, which the saved socket has learned since.
    if (request.saved && request.offset == Position{}) request.offset = request.saved->connected_at;
    return request;
}

/// What can be told without asking anybody. What cannot be resumed is left in the request.
ResumeResult Hub::resume_here(Namespace& nsp, ResumeRequest& request) {
    if (!request.saved) return ResumeResult::failed(ResumeFailure::unknown_session);
    if (!request.offset) return ResumeResult::failed(ResumeFailure::malformed);
    const Position from = *request.offset;
    const auto stays = stays_of(request.saved->sid, request.saved->stays);
    // A place that never was tells nothing of what its client has. One that is older than the log may have been, alone.
    const bool is_place = nsp.log.has(nsp.name, stays, from) || from == request.saved->connected_at ||
                          from == position(nsp) || (backbone_ == nullptr && from.ms == epoch_);
    if (!is_place || from > position(nsp)) return ResumeResult::failed(ResumeFailure::unknown_offset);
    if (nsp.log.covers(nsp.name, stays, from, engine_->loop().now()) != RecoveryLog::Coverage::whole) {
        return ResumeResult::failed(ResumeFailure::trimmed);
    }
    return ResumeResult::of({std::move(*request.saved), {}, from, false});
}

/// A second CONNECT takes the place of the first. Its client left before that was answered, and says nothing of it: a
/// component that is mounted, unmounted and mounted again.
void Hub::replace(Slot slot, std::string_view name) {
    Client& client = *clients_[slot];
    const auto knock = std::ranges::find_if(client.knocks, [&](const auto& one) { return one->nsp == name; });
    const auto joined = std::ranges::find_if(client.sockets, [&](const auto& one) { return one->nsp->name == name; });
    if (knock != client.knocks.end()) {
        const std::unique_ptr<Knock> gone = std::move(*knock);
        client.knocks.erase(knock);
        if (gone->pass != nullptr) passes_->unused(gone->pass->session);
    } else if (joined != client.sockets.end()) {
        remove_socket(**joined, "client namespace disconnect", false);
    } else {
        return;
    }
    if (client.sockets.empty()) {
        engine_->loop().timers().arm(client, engine_->loop().now() + options_.connect_timeout);
    }
}

void Hub::connect(Slot slot, const proto::SioPacket& packet) {
    if (packet.nsp.size() > max_nsp_bytes) {
        if (!spend(slot)) return;
        tell_limit(slot, Limit::namespace_name, packet.nsp.size(), max_nsp_bytes);
        refuse(slot, packet.nsp, "Invalid namespace", {});
        return;
    }
    // The first one costs nothing: without it a connection is good for nothing.
    const bool is_first = !std::exchange(clients_[slot]->has_asked, true);
    if (const auto wait = is_first ? std::nullopt : over_rate(slot)) {
        if (engine_->session(slot) == nullptr) return;
        ++stats_.events_limited;
        refuse(slot, packet.nsp, "rate limit exceeded",
               R"({"code":"rate_limited","retryAfterMs":)" + std::to_string(*wait) + '}');
        return;
    }
    replace(slot, packet.nsp);
    Client& client = *clients_[slot];
    if (client.sockets.size() + client.knocks.size() >= options_.max_joined) {
        tell_limit(slot, Limit::connection_namespaces, options_.max_joined + 1, options_.max_joined);
        refuse(slot, packet.nsp, "Too many namespaces on one connection", {});
        return;
    }
    auto knock = std::make_unique<Knock>();
    knock->nsp = packet.nsp;
    knock->auth = packet.json.empty() ? "{}" : std::string(packet.json);
    if (passes_ != nullptr) {
        authenticate(slot, std::move(knock));
        return;
    }
    if (options_.auth == AuthMode::dev) {
        const auto token = json::member(knock->auth, "token");
        if (token && json::kind_of(*token) == json::Kind::string) knock->user = json::decode_string(*token);
    }
    enter(slot, std::move(knock));
}

void Hub::tell_malformed_token(Slot slot, std::string_view nsp, std::string_view reason) {
    ++stats_.tokens_malformed;
    const auto held_back = malformed_tokens_.pass(engine_->loop().now());
    if (!held_back) return;
    const Session* session = engine_->session(slot);
    log::info("auth", "token_malformed",
              {{"namespace", nsp},
               {"address", session != nullptr ? session->address.to_string() : std::string()},
               {"reason", reason},
               {"held_back", *held_back}});
}

// sio-authd is asked who this is. The token goes no further than to it.
void Hub::authenticate(Slot slot, std::unique_ptr<Knock> knock) {
    if (handlers_.admit(knock->nsp, nullptr, {}, {}).kind != Admission::Kind::open) {
        refuse(slot, knock->nsp, "Invalid namespace", {});
        return;
    }
    if (const auto token = json::member(knock->auth, "token")) {
        if (json::kind_of(*token) == json::Kind::string) knock->token = json::decode_string(*token);
        if (!knock->token || knock->token->empty()) {
            tell_malformed_token(slot, knock->nsp, knock->token ? "the token is empty" : "the token is no string");
            refuse(slot, knock->nsp, Passes::message("unauthorized"), Passes::data("unauthorized"));
            return;
        }
        knock->auth = Passes::without_token(knock->auth);
    }
    knock->ticket = ++tickets_;
    knock->asked_at = engine_->loop().now();
    const std::uint64_t ticket = knock->ticket;
    const Knock& asked = *knock;
    clients_[slot]->knocks.push_back(std::move(knock));
    passes_->ask(*engine_->session(slot), asked.token, {},
                 [this, slot, ticket](Decision decision) { decided(slot, ticket, std::move(decision)); });
}

std::unique_ptr<Hub::Knock> Hub::take_knock(Slot slot, std::uint64_t ticket) {
    if (clients_[slot] == nullptr) return nullptr;
    auto& knocks = clients_[slot]->knocks;
    const auto found = std::ranges::find_if(knocks, [&](const auto& one) { return one->ticket == ticket; });
    if (found == knocks.end()) return nullptr;  // its client has left, and another may have the slot
    std::unique_ptr<Knock> knock = std::move(*found);
    knocks.erase(found);
    return knock;
}

void Hub::decided(Slot slot, std::uint64_t ticket, Decision decision) {
    auto knock = take_knock(slot, ticket);
    if (knock == nullptr) {
        if (decision.kind == Decision::Kind::granted) passes_->unused(decision.session);
        return;
    }
    if (decision.kind == Decision::Kind::granted) {
        knock->user = decision.user;
        knock->decided_at = engine_->loop().now();
        knock->pass = passes_->make(std::move(decision), std::move(knock->token));
        enter(slot, std::move(knock));
        return;
    }
    const std::string address = engine_->session(slot)->address.to_string();
    const bool is_denied = decision.kind == Decision::Kind::denied;
    log::info("auth", is_denied ? "connect_denied" : "connect_put_off",
              {{"namespace", knock->nsp}, {"code", decision.code}, {"reason", decision.reason}, {"address", address}});
    if (is_denied) {
        refuse(slot, knock->nsp, Passes::message(decision.code), Passes::data(decision.code));
        return;
    }
    ++stats_.put_off;
    if (!clients_[slot]->sockets.empty()) {
        refuse(slot, knock->nsp, Passes::message("unavailable"), Passes::data("unavailable"));
    } else {
        // A refused CONNECT is for good, to its client. One that loses its connection tries again by itself.
        engine_->close(slot, CloseReason::transport_close, Ending::come_back);
    }
}

// It is known who this is: whether he is admitted, and whether he comes back.
void Hub::enter(Slot slot, std::unique_ptr<Knock> knock) {
    Session& session = *engine_->session(slot);
    const std::string_view given_up = knock->pass != nullptr ? std::string_view(knock->pass->session) : "";
    const Admission admission = handlers_.admit(knock->nsp, &session, knock->auth, knock->user);
    if (admission.kind != Admission::Kind::open) {
        const bool unknown = admission.kind == Admission::Kind::unknown;
        refuse(slot, knock->nsp, unknown ? "Invalid namespace" : admission.message, admission.data);
        if (passes_ != nullptr) passes_->unused(given_up);
        return;
    }
    const bool is_new = admission.is_dynamic && namespaces_.find(knock->nsp) == namespaces_.end();
    if (is_new && dynamic_namespaces_ >= options_.max_namespaces) drop_unused(true);
    if (is_new && dynamic_namespaces_ >= options_.max_namespaces) {
        ++stats_.namespaces_refused;
        tell_limit(slot, Limit::namespaces, dynamic_namespaces_ + 1, options_.max_namespaces);
        refuse(slot, knock->nsp, "Too many namespaces", {});
        if (passes_ != nullptr) passes_->unused(given_up);
        return;
    }
    if (backbone_ != nullptr && backbone_->is_starting()) {
        knock->ticket = ++tickets_;
        held_.push_back({slot, knock->ticket});
        clients_[slot]->disarm();
        clients_[slot]->knocks.push_back(std::move(knock));
        return;
    }
    knock->is_dynamic = admission.is_dynamic;
    knock->tries = engine_->outbox().wants_offset(slot) && json::member(knock->auth, "pid").has_value();
    if (!knock->tries) {
        let_in(slot, std::move(knock), {});
        return;
    }
    const auto found = namespaces_.find(knock->nsp);
    Namespace& nsp = found != namespaces_.end() ? *found->second : make_namespace(knock->nsp, admission.is_dynamic);
    auto request = resume_request(nsp, knock->auth);
    if (engine_->session(slot) == nullptr) {
        if (passes_ != nullptr) passes_->unused(given_up);
        return;
    }
    ResumeResult result = ResumeResult::failed(ResumeFailure::malformed);
    if (request) {
        knock->pid = request->pid;
        knock->had = request->had;
        result = resume_here(nsp, *request);
        if (!result.resumed && backbone_ != nullptr) {
            knock->ticket = ++tickets_;
            const std::uint64_t ticket = knock->ticket;
            clients_[slot]->disarm();
            clients_[slot]->knocks.push_back(std::move(knock));
            backbone_->resume(nsp, std::move(*request), [this, slot, ticket](ResumeResult elsewhere) {
                if (auto waiting = take_knock(slot, ticket)) let_in(slot, std::move(waiting), std::move(elsewhere));
            });
            return;
        }
    }
    let_in(slot, std::move(knock), std::move(result));
}

// Then what its client has sent meanwhile.
void Hub::let_in(Slot slot, std::unique_ptr<Knock> knock, ResumeResult result) {
    if (result.is_superseded) {
        if (knock->pass != nullptr) passes_->unused(knock->pass->session);
        engine_->close(slot, CloseReason::transport_close, Ending::cut);
        return;
    }
    if (knock->pass != nullptr && passes_->is_revoked(*knock->pass, knock->user, knock->decided_at)) {
        refuse(slot, knock->nsp, Passes::message("revoked"), Passes::data("revoked"));
        passes_->unused(knock->pass->session);
        Client& client = *clients_[slot];  // it has joined nothing again
        if (client.sockets.empty())
            engine_->loop().timers().arm(client, engine_->loop().now() + options_.connect_timeout);
        return;
    }
    finish_connect(slot, *knock, std::move(result));
    for (const Knock::Kept& kept : knock->packets) {
        if (clients_[slot] == nullptr) return;
        const auto nsp = namespaces_.find(knock->nsp);
        Socket* socket = nsp == namespaces_.end() ? nullptr : socket_in(slot, *nsp->second);
        if (socket == nullptr) return;
        dispatch(*socket, {kept.type, knock->nsp, kept.id, kept.json, kept.attachments ? &*kept.attachments : nullptr});
    }
}

/// Whether what was found may be resumed by this client.
void Hub::check_resumed(const Namespace& nsp, const Knock& knock, ResumeResult& result) {
    if (!result.resumed) return;
    const SavedSocket& saved = result.resumed->saved;
    // Where sio-authd says who is who, a session of which nobody says whose it was is nobody's.
    const bool is_same_user = saved.user ? *saved.user == knock.user : knock.pass == nullptr;
    // Its old id may be taken: by the socket it was, where that has not been missed yet.
    if (!is_same_user)
        result = ResumeResult::failed(ResumeFailure::other_user);
    else if (find_socket(nsp, saved.sid) != nullptr)
        result = ResumeResult::failed(ResumeFailure::session_in_use);
}

void Hub::finish_connect(Slot slot, Knock& knock, ResumeResult result) {
    Session& session = *engine_->session(slot);
    const auto found = namespaces_.find(knock.nsp);
    Namespace& nsp = found != namespaces_.end() ? *found->second : make_namespace(knock.nsp, knock.is_dynamic);
    check_resumed(nsp, knock, result);
    std::optional<Resumed>& resumed = result.resumed;
    const bool recovery = engine_->outbox().wants_offset(slot);
    Socket& socket = add_socket(slot, nsp, resumed ? resumed->saved.sid : engine_->ids().next());
    socket.auth = knock.auth;
    socket.user = knock.user;
    socket.pass = std::move(knock.pass);
    socket.recovered = resumed.has_value();
    if (recovery) {
        ++nsp.wants_offset;
        if (resumed) {
            socket.secret = Id::from(std::string_view(knock.pid).substr(0, id_length));
            socket.pid_rest = knock.pid.substr(id_length);
            socket.connected_at = resumed->saved.connected_at;
            if (!resumed->saved.data.empty()) socket.own_extra().data = std::move(resumed->saved.data);
            socket.owns_session = resumed->is_owner;
        } else {
            socket.secret = engine_->ids().next();
            socket.connected_at = position(nsp);
            socket.pid_rest = '.';
            socket.connected_at.append(socket.pid_rest);
        }
        nsp.by_secret.insert(IdHash{}(socket.secret), slot);
    }
    if (!socket.user.empty()) join(socket, socket.user);
    if (resumed) {
        ++stats_.sockets_recovered;
        for (const Stay& stay : resumed->saved.stays) {
            if (stay.is_open()) {
                join(socket, stay.room, stay.after);
            } else {
                socket.own_extra().past.push_back(stay);
            }
        }
        if (socket.pass != nullptr) {
            for (std::string& room : resumed->saved.granted) socket.pass->rooms.push_back({std::move(room), {}});
        }
    } else if (knock.tries) {
        begin_again(knock, result);
    }
    if (recovery && backbone_ != nullptr) backbone_->keep(socket);
    // Before what was missed: a client counts an event as received when it is connected, and keeps what comes before;
    // should it lose its connection again in the midst of that, it would hear the beginning twice.
    std::string text;
    proto::append_sio_header(text, SioType::connect, 0, knock.nsp, std::nullopt);
    text += R"({"sid":")";
    text += socket.id.view();
    if (recovery) {
        text += R"(","pid":")";
        text += socket.pid();
    }
    text += R"("})";
    engine_->outbox().push(slot, FrameRef::text("4", text));
    if (resumed) {
        begin_replay(socket, resumed->from, std::move(resumed->older), std::move(knock.had));
        catch_up(socket);
        if (clients_[slot] == nullptr) return;
    }
    log::debug("gateway", "socket_connected",
               {{"sid", socket.id.view()},
                {"namespace", knock.nsp},
                {"user", knock.user},
                {"recovered", socket.recovered},
                {"address", session.address.to_string()}});
    tell_standing(slot);
    socket.is_known = true;
    if (socket.pass != nullptr) passes_->admitted(socket, knock.asked_at, knock.decided_at);
    handlers_.on_connect(socket);
}

/// A client that wanted to resume cannot: it is told, by another id, and so is the operator.
void Hub::begin_again(const Knock& knock, const ResumeResult& result) {
    ++stats_.resumes_failed[static_cast<std::size_t>(result.failure)];
    // Many may return at once, for one reason.
    const auto held_back = resumes_failed_[static_cast<std::size_t>(result.failure)].pass(engine_->loop().now());
    if (!held_back) return;
    log::info("gateway", "resume_failed",
              {{"namespace", knock.nsp},
               {"user", knock.user},
               {"reason", to_string(result.failure)},
               {"detail", result.detail},
               {"held_back", *held_back}});
}

void Hub::remove_socket(Socket& socket, std::string_view reason, bool recoverable) {
    if (std::exchange(socket.leaving, true)) return;
    Namespace& nsp = *socket.nsp;
    const Slot slot = socket.slot;
    log::debug("gateway", "socket_disconnected", {{"sid", socket.id.view()}, {"reason", reason}});
    handlers_.on_disconnect(socket, reason);
    if (socket.pass != nullptr) passes_->left(socket, recoverable && socket.has_pid());
    if (socket.has_pid()) {
        --nsp.wants_offset;
        SIO_CHECK(nsp.by_secret.erase(IdHash{}(socket.secret), slot));
        if (backbone_ != nullptr && !socket.is_taken) backbone_->release(socket, recoverable);
        if (recoverable) {
            SavedSocket saved;
            saved.sid = socket.id;
            saved.connected_at = socket.connected_at;
            saved.user = socket.user;
            saved.data = socket.extra().data;
            saved.stays = rooms_of(socket);
            nsp.saved.save(socket.secret, std::move(saved), engine_->loop().now(), engine_->address(slot));
        }
    }
    if (socket.replay != nullptr) end_replay(socket);
    while (!socket.seats.empty()) leave_seat(socket, socket.seats.size() - 1);
    const Slot moved = nsp.everyone.back();
    nsp.everyone[socket.index_in_namespace] = moved;
    nsp.everyone.pop_back();
    if (moved != slot) socket_in(moved, nsp)->index_in_namespace = socket.index_in_namespace;
    SIO_CHECK(nsp.by_id.erase(IdHash{}(socket.id), slot));
    const std::vector<std::uint64_t> asked = socket.extra().asked;
    --socket_count_;
    std::erase_if(clients_[slot]->sockets, [&](const auto& owned) { return owned.get() == &socket; });
    tell_standing(slot);
    for (const std::uint64_t key : asked) settle(key, &socket);
}

void Hub::on_close(Slot slot, CloseReason reason) {
    auto& sockets = clients_[slot]->sockets;
    const bool recoverable = reason != CloseReason::parse_error;
    while (!sockets.empty()) remove_socket(*sockets.back(), proto::to_string(reason), recoverable);
    for (const auto& knock : clients_[slot]->knocks) {
        if (knock->pass != nullptr) passes_->unused(knock->pass->session);
    }
    clients_[slot]->disarm();
    buried_.push_back(std::move(clients_[slot]));  // its decoder's views may be in use further up the stack
}

}  // namespace sio::gateway
