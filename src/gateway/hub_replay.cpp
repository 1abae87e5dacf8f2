// Sockets that are behind: those that have resumed and have missed something, and those whose queue was full. They get
// what the log has, from where they stand, at the pace of their client; what is recorded meanwhile comes the same way,
// and so in order. When they have reached the end they are served directly again.
#include <algorithm>

#include "base/log.h"
#include "gateway/hub_parts.h"

namespace sio::gateway {

using proto::CloseReason;

namespace {

constexpr std::size_t batch = 32;                 // packets looked up at once
constexpr std::size_t packets_per_turn = 512;     // that one client gets in one turn
constexpr std::size_t fetch_bytes = 128U << 10U;  // that one fetch should bring
constexpr std::size_t most_fetched = 64;          // events of one fetch
constexpr std::size_t first_fetch = 8;            // while their size is not known
constexpr std::size_t most_past = 32;             // rooms a socket has left that are remembered
constexpr Millis retry_interval = 100;            // of replays that wait for Redis

}  // namespace

std::vector<Stay> Hub::stays_of(const Id& sid, std::vector<Stay> rooms) {
    rooms.push_back({.room = {}, .is_everybody = true});
    rooms.push_back({.room = std::string(sid.view())});
    return rooms;
}

/// The rooms a socket is in, and those it has left lately.
std::vector<Stay> Hub::rooms_of(const Socket& socket) {
    std::vector<Stay> stays;
    const std::vector<Stay>& past = socket.extra().past;
    stays.reserve(socket.seats.size() + past.size() + 2);
    for (const Socket::Seat& seat : socket.seats) stays.push_back({.room = seat.room->name, .after = seat.since});
    stays.insert(stays.end(), past.begin(), past.end());
    return stays;
}

/// What went to a room until now was for the socket, and may not have reached its client.
void Hub::note_left(Socket& socket, const Socket::Seat& seat) {
    const Position now = position(*socket.nsp);
    if (socket.replay != nullptr) {
        for (Stay& stay : socket.replay->stays) {
            if (!stay.is_everybody && stay.is_open() && stay.room == seat.room->name) stay.through = now;
        }
    }
    if (now <= seat.since) return;
    std::vector<Stay>& past = socket.own_extra().past;
    if (past.size() >= most_past) {
        const Position floor = socket.nsp->log.floor(engine_->loop().now());
        std::erase_if(past, [&](const Stay& stay) { return stay.through <= floor; });
        if (past.size() >= most_past) past.erase(past.begin());
    }
    past.push_back({.room = seat.room->name, .after = seat.since, .through = now});
}

/// From now on the socket gets what the log has after `from`, and `older` before that.
void Hub::begin_replay(Socket& socket, Position from, std::vector<Position> older, HadEarly had) {
    socket.replay = std::make_unique<Replay>();
    socket.replay->at = from;
    socket.replay->older = std::move(older);
    socket.replay->had = std::move(had);
    // What was emitted early while it was away comes in order, later.
    socket.replay->waits_for_early = backbone_ != nullptr && backbone_->last_early(socket.nsp->name) != 0;
    socket.replay->stays = stays_of(socket.id, rooms_of(socket));
    ++behind_;
    engine_->outbox().set_behind(socket.slot, true);
}

/// A client whose queue is full reads on from the log, if it is one that may and the event is there.
bool Hub::fall_behind(Slot slot, const Encoder& encoder) {
    const auto found = namespaces_.find(encoder.nsp());
    if (!encoder.is_logged() || found == namespaces_.end()) return false;
    Socket* socket = socket_in(slot, *found->second);
    if (socket == nullptr || !socket->has_pid() || engine_->outbox().is_refused(slot)) return false;
    ++stats_.fell_behind;
    // All before this event it has been sent, and what was emitted early besides.
    const std::uint64_t early = backbone_ != nullptr ? backbone_->last_early(encoder.nsp()) : 0;
    begin_replay(*socket, encoder.position()->previous(), {},
                 early != 0 ? HadEarly{std::string(backbone_->process()), early} : HadEarly{});
    engine_->tell_of_room_later(slot);  // not now: a fan-out is under way
    return true;
}

/// Whether a socket of a client that is behind gets this event from the log.
bool Hub::is_left_to_replay(Slot slot, const Encoder& encoder, bool is_volatile) {
    const auto found = namespaces_.find(encoder.nsp());
    const Socket* socket = found == namespaces_.end() ? nullptr : socket_in(slot, *found->second);
    if (socket == nullptr || socket->replay == nullptr) return false;
    if (encoder.is_early()) {
        socket->replay->waits_for_early = true;
        return true;
    }
    // A volatile event is for those who are up to date; what is in no log comes when it comes.
    return is_volatile || encoder.is_logged();
}

// --- catching up ----------------------------------------------------------------------------------------------------

/// Puts what a socket has still to get into its queue, as much as its client takes now.
void Hub::catch_up(Socket& socket) {
    Outbox& outbox = engine_->outbox();
    const Slot slot = socket.slot;
    std::size_t most = packets_per_turn;
    while (socket.replay != nullptr && socket.replay->ticket == 0) {
        if (outbox.cost(slot) > outbox.room_bytes()) return outbox.want_room(slot);
        if (most == 0) {  // the rest in the next turn
            outbox.want_room(slot);
            engine_->tell_of_room_later(slot);
            return;
        }
        if (!send_missed(socket, most)) return;
    }
}

/// A step of catch_up(): some packets, or a fetch, or the end. False when there is nothing to be done just now.
bool Hub::send_missed(Socket& socket, std::size_t& most) {
    Replay& replay = *socket.replay;
    const std::size_t fetched = replay.fetched_bytes == 0
                                    ? first_fetch
                                    : std::clamp<std::size_t>(fetch_bytes / replay.fetched_bytes, 1, most_fetched);
    if (replay.older_done < replay.older.size()) {
        const auto first = replay.older.begin() + static_cast<std::ptrdiff_t>(replay.older_done);
        const auto left = replay.older.size() - replay.older_done;
        fetch_missed(socket, {first, first + static_cast<std::ptrdiff_t>(std::min(left, fetched))});
        return false;
    }
    missed_.clear();
    Position passed = replay.at;
    if (!socket.nsp->log.collect(socket.nsp->name, replay.stays, replay.at, std::min(batch, most), missed_, passed)) {
        look_back(socket);
        return false;
    }
    if (missed_.empty()) {
        if (passed > std::exchange(replay.at, passed)) return true;  // all of it was for others
        if (replay.waits_for_early && backbone_->last_early(socket.nsp->name) != 0) {
            wait_for_replay(socket);
            return false;
        }
        end_replay(socket);
        return false;
    }
    std::vector<Position> absent;
    for (const RecoveryLog::Missed& missed : missed_) {
        // Who has had events early needs to know whose they are, which the stream says.
        if (missed.packet == nullptr || replay.had.number != 0) {
            if (absent.size() == fetched) break;
            absent.push_back(missed.position);
            continue;
        }
        if (!absent.empty()) break;  // in order
        replay.at = missed.position;
        --most;
        const RecoveryLog::Packet& packet = *missed.packet;
        send_packet(socket, packet);
        if (engine_->outbox().cost(socket.slot) > engine_->outbox().room_bytes()) return true;
    }
    if (absent.empty()) {
        replay.at = passed;
        return true;
    }
    fetch_missed(socket, std::move(absent));
    return false;
}

void Hub::send_packet(Socket& socket, const RecoveryLog::Packet& packet) {
    ++stats_.replayed;
    ++stats_.deliveries;
    if (packet.more == nullptr || packet.more->attachments.empty()) {
        engine_->outbox().push_paced(socket.slot, &packet.frame, 1);
        return;
    }
    std::vector<FrameRef> frames{packet.frame};
    frames.insert(frames.end(), packet.more->attachments.begin(), packet.more->attachments.end());
    engine_->outbox().push_paced(socket.slot, frames.data(), frames.size());
}

/// The log has forgotten what comes next: the stream may still have it.
void Hub::look_back(Socket& socket) {
    if (backbone_ == nullptr) return lose_replay(socket);
    Replay& replay = *socket.replay;
    const std::uint64_t ticket = ++tickets_;
    replay.ticket = ticket;
    backbone_->look_back(socket.nsp->name, replay.stays, replay.at,
                         [this, slot = socket.slot, nsp = socket.nsp->name, ticket](ResumeResult result) {
                             Socket* waiting = replaying(slot, nsp, ticket);
                             if (waiting == nullptr) return;
                             if (!result.resumed) return lose_replay(*waiting);
                             waiting->replay->older = std::move(result.resumed->older);
                             waiting->replay->older_done = 0;
                             waiting->replay->at = result.resumed->from;
                             // Not now: the answer may have been known at once.
                             engine_->tell_of_room_later(slot);
                         });
}

/// The socket that has waited for this answer; null when it has left.
Socket* Hub::replaying(Slot slot, std::string_view nsp, std::uint64_t ticket) {
    const auto found = namespaces_.find(nsp);
    Socket* socket = found == namespaces_.end() || slot >= clients_.size() ? nullptr : socket_in(slot, *found->second);
    if (socket == nullptr || socket->replay == nullptr || socket->replay->ticket != ticket) return nullptr;
    socket->replay->ticket = 0;
    return socket;
}

void Hub::fetch_missed(Socket& socket, std::vector<Position> positions) {
    const std::uint64_t ticket = ++tickets_;
    socket.replay->ticket = ticket;
    backbone_->fetch(
        socket.nsp->name, std::move(positions),
        [this, slot = socket.slot, nsp = socket.nsp->name, ticket](std::optional<std::vector<FetchedEvent>> events) {
            take_fetched(slot, nsp, ticket, std::move(events));
        });
}

void Hub::take_fetched(Slot slot, const std::string& nsp, std::uint64_t ticket,
                       std::optional<std::vector<FetchedEvent>> events) {
    Socket* socket = replaying(slot, nsp, ticket);
    if (socket == nullptr) return;
    if (!events) return wait_for_replay(*socket);
    for (const FetchedEvent& event : *events) {
        if (!event.is_there) {
            // The index has it, and the stream has it no more.
            socket->nsp->log.lose_through(event.position, engine_->loop().now());
            return lose_replay(*socket);
        }
        send_fetched(*socket, event);
    }
    catch_up(*socket);
}

void Hub::send_fetched(Socket& socket, const FetchedEvent& event) {
    Replay& replay = *socket.replay;
    if (replay.older_done < replay.older.size()) {
        ++replay.older_done;
    } else {
        replay.at = event.position;
    }
    const auto was_in = [&](const std::string& room) {
        return std::ranges::any_of(replay.stays, [&](const Stay& stay) {
            return !stay.is_everybody && stay.room == room && stay.has(event.position);
        });
    };
    const bool is_for_it = event.rooms.empty() || std::ranges::any_of(event.rooms, was_in);
    if (!is_for_it || std::ranges::any_of(event.except, was_in) || replay.had.has(event.gateway, event.number)) return;
    const Event sent{event.name, event.arguments, event.attachments};
    Encoder encoder(socket.nsp->name, sent, std::nullopt, scratch_);
    encoder.set_position(event.position);
    const auto frames = encoder.logged_frames();
    replay.fetched_bytes = 1;
    for (const FrameRef& frame : frames) replay.fetched_bytes += frame->size();
    engine_->outbox().push_paced(socket.slot, frames.data(), frames.size());
    ++stats_.replayed;
    ++stats_.deliveries;
}

/// What is in memory goes into the queue at once, whatever the client takes: it is about to be disconnected.
void Hub::hurry(Socket& socket) {
    Replay& replay = *socket.replay;
    for (;;) {
        missed_.clear();
        Position passed = replay.at;
        if (!socket.nsp->log.collect(socket.nsp->name, replay.stays, replay.at, batch, missed_, passed)) return;
        for (const RecoveryLog::Missed& missed : missed_) {
            if (missed.packet == nullptr || replay.had.number != 0) return;
            send_packet(socket, *missed.packet);
        }
        if (passed == std::exchange(replay.at, passed)) return;
    }
}

// --- the end --------------------------------------------------------------------------------------------------------

void Hub::end_replay(Socket& socket) {
    --behind_;
    socket.replay.reset();
    const auto& sockets = clients_[socket.slot]->sockets;
    const bool is_behind = std::ranges::any_of(sockets, [](const auto& one) { return one->replay != nullptr; });
    engine_->outbox().set_behind(socket.slot, is_behind);
}

/// The log has not all of it any more. The client returns, and is told that it begins again.
void Hub::lose_replay(Socket& socket) {
    ++stats_.replays_ended;
    log::info(
        "gateway", "replay_lost",
        {{"sid", socket.id.view()},
         {"namespace", socket.nsp->name},
         {"at", socket.replay->at.text()},
         {"reason", "the client is so slow that recovery-bytes or the stream does not reach back to where it is"}});
    engine_->close(socket.slot, CloseReason::transport_error, Ending::cut);
}

/// Goes on when Redis does.
void Hub::wait_for_replay(Socket& socket) {
    if (std::exchange(socket.replay->waits, true)) return;
    waiting_.push_back({socket.nsp->name, socket.id});
    if (!replay_timer_->is_armed())
        engine_->loop().timers().arm(*replay_timer_, engine_->loop().now() + retry_interval);
}

void Hub::on_replay_timer() {
    for (const Waiting& one : std::exchange(waiting_, {})) {
        const auto found = namespaces_.find(one.nsp);
        Socket* socket = found == namespaces_.end() ? nullptr : find_socket(*found->second, one.sid);
        if (socket == nullptr || socket->replay == nullptr) continue;
        socket->replay->waits = false;
        catch_up(*socket);
    }
}

void Hub::on_room(Slot slot) {
    if (clients_[slot] == nullptr) return;
    std::vector<Id> behind;  // one may end the session
    for (const auto& socket : clients_[slot]->sockets) {
        if (socket->replay != nullptr && !socket->replay->waits) behind.push_back(socket->id);
    }
    for (const Id& id : behind) {
        if (clients_[slot] == nullptr) return;
        const auto& sockets = clients_[slot]->sockets;
        const auto found = std::ranges::find_if(sockets, [&](const auto& one) { return one->id == id; });
        if (found != sockets.end()) catch_up(**found);
    }
}

}  // namespace sio::gateway
