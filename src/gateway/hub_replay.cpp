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
constexpr std::size_t most_early_ranges = 16;     // times without Redis that a socket remembers
constexpr Millis retry_interval = 100;            // of replays that wait for Redis

}  // namespace

std::vector<RecoveryLog::Stay> Hub::stays_of(const Id& sid, std::span<const std::string> rooms) {
    std::vector<RecoveryLog::Stay> stays;
    stays.reserve(rooms.size() + 2);
    stays.push_back({.name = {}, .is_everybody = true});
    stays.push_back({.name = std::string(sid.view())});
    for (const std::string& room : rooms) stays.push_back({.name = room});
    return stays;
}

/// From now on the socket gets what the log has after `from`, and `older` before that.
void Hub::begin_replay(Socket& socket, Position from, std::vector<Position> older) {
    std::vector<std::string> rooms;
    rooms.reserve(socket.seats.size());
    for (const Socket::Seat& seat : socket.seats) rooms.push_back(seat.room->name);
    socket.replay = std::make_unique<Replay>();
    socket.replay->at = from;
    socket.replay->older = std::move(older);
    socket.replay->stays = stays_of(socket.id, rooms);
    ++behind_;
    engine_->outbox().set_behind(socket.slot, true);
}

/// A client whose queue is full reads on from the log, if it is one that may and the event is there.
bool Hub::fall_behind(Slot slot, const Encoder& encoder) {
    const auto found = namespaces_.find(encoder.nsp());
    if (!encoder.is_logged() || found == namespaces_.end()) return false;
    Socket* socket = socket_in(slot, *found->second);
    if (socket == nullptr || socket->pid.empty() || engine_->outbox().is_refused(slot)) return false;
    ++stats_.fell_behind;
    // All before this event it has been sent.
    begin_replay(*socket, encoder.position()->previous(), {});
    engine_->tell_of_room_later(slot);  // not now: a fan-out is under way
    return true;
}

/// Whether a socket of a client that is behind gets this event from the log.
bool Hub::is_left_to_replay(Slot slot, const Encoder& encoder, bool is_volatile) {
    const auto found = namespaces_.find(encoder.nsp());
    const Socket* socket = found == namespaces_.end() ? nullptr : socket_in(slot, *found->second);
    if (socket == nullptr || socket->replay == nullptr) return false;
    if (encoder.early().number != 0) {
        socket->replay->missed_early = true;
        return true;
    }
    // A volatile event is for those who are up to date; what is in no log comes when it comes.
    return is_volatile || encoder.is_logged();
}

void Hub::note_early(Slot slot, const Encoder& encoder) {
    const auto found = namespaces_.find(encoder.nsp());
    Socket* socket = found == namespaces_.end() ? nullptr : socket_in(slot, *found->second);
    if (socket == nullptr || socket->pid.empty()) return;
    const EarlyNumber& early = encoder.early();
    if (!socket->early.empty() && socket->early.back().last >= early.first && socket->early_goes_on) {
        socket->early.back().last = early.number;
        return;
    }
    if (socket->early.size() == most_early_ranges) socket->early.erase(socket->early.begin());
    socket->early.push_back({early.number, early.number});
    socket->early_goes_on = true;
}

void Hub::note_stay(Socket& socket, std::string_view room, bool joined) {
    const Position now = position(*socket.nsp);
    auto& stays = socket.replay->stays;
    if (joined) {
        stays.push_back({.name = std::string(room), .after = now});
        return;
    }
    for (RecoveryLog::Stay& stay : stays) {
        if (!stay.is_everybody && stay.name == room) stay.through = std::min(stay.through, now);
    }
}

// --- catching up ----------------------------------------------------------------------------------------------------

namespace {

bool has_had(const Socket& socket, std::uint64_t early) {
    return early != 0 && std::ranges::any_of(socket.early, [early](const EarlyRange& range) {
               return range.first <= early && early <= range.last;
           });
}

}  // namespace

/// Puts what a socket has still to get into its queue, as much as its client takes now.
void Hub::catch_up(Socket& socket) {
    Outbox& outbox = engine_->outbox();
    const Slot slot = socket.slot;
    std::size_t most = packets_per_turn;
    while (socket.replay != nullptr && socket.replay->ticket == 0) {
        if (outbox.bytes(slot) > outbox.room_bytes()) return outbox.want_room(slot);
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
        lose_replay(socket);
        return false;
    }
    if (missed_.empty()) {
        if (passed > std::exchange(replay.at, passed)) return true;  // all of it was for others
        if (replay.missed_early && !backbone_->is_settled()) {
            wait_for_replay(socket);
            return false;
        }
        end_replay(socket);
        return false;
    }
    std::vector<Position> absent;
    for (const RecoveryLog::Missed& missed : missed_) {
        if (missed.packet == nullptr) {
            if (absent.size() == fetched) break;
            absent.push_back(missed.position);
            continue;
        }
        if (!absent.empty()) break;  // in order
        replay.at = missed.position;
        --most;
        const RecoveryLog::Packet& packet = *missed.packet;
        if (packet.more != nullptr && has_had(socket, packet.more->early)) continue;
        send_packet(socket, packet);
        if (engine_->outbox().bytes(socket.slot) > engine_->outbox().room_bytes()) return true;
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
    const auto found = namespaces_.find(nsp);
    Socket* socket = found == namespaces_.end() ? nullptr : socket_in(slot, *found->second);
    if (socket == nullptr || socket->replay == nullptr || socket->replay->ticket != ticket) return;  // it has left
    socket->replay->ticket = 0;
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
        return std::ranges::any_of(replay.stays, [&](const RecoveryLog::Stay& stay) {
            return !stay.is_everybody && stay.name == room && stay.after < event.position &&
                   event.position <= stay.through;
        });
    };
    if (std::ranges::any_of(event.except, was_in) || has_had(socket, event.early)) return;
    const Event sent{event.name, event.arguments, event.attachments};
    Encoder encoder(socket.nsp->name, sent, std::nullopt, scratch_);
    encoder.set_position(event.position);
    const auto frames = encoder.frames(true);
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
            if (missed.packet == nullptr) return;
            const bool is_new = missed.packet->more == nullptr || !has_had(socket, missed.packet->more->early);
            if (is_new) send_packet(socket, *missed.packet);
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
