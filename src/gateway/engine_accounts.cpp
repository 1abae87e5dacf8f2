// What the engine does about clients that hold too much, and when memory is short for all.
#include <algorithm>

#include "base/heap.h"
#include "base/log.h"
#include "gateway/connection.h"
#include "gateway/engine.h"

namespace sio::gateway {

using proto::CloseReason;

namespace {

constexpr std::size_t worth_ending = std::size_t{4} << 10U;   // bytes: who holds less is not why memory is short
constexpr std::size_t reserve_bytes = std::size_t{8} << 20U;  // for what is under way when the system has no more

}  // namespace

/// What a session holds without its connections. `own`: without what many share.
std::size_t Engine::cost(const Session& session, bool own) const {
    const Slot slot = session.slot;
    std::size_t bytes = sizeof(Session) + session.head.capacity();
    bytes += own ? outbox_.own_cost(slot) : outbox_.cost(slot);
    return session.closing ? bytes : bytes + app_.cost(slot);
}

/// All that one client holds.
std::size_t Engine::whole_cost(const Session& session) const {
    std::size_t bytes = cost(session, false);
    for (const Connection* one : {session.socket, session.poll, session.post, session.probe}) {
        if (one != nullptr) bytes += one->cost();
    }
    return bytes;
}

void Engine::recount(Slot slot) {
    if (Session* counted = session(slot)) recount(*counted);
}

void Engine::recount(Session& session) {
    session.charge.set(accounts_, session.address, cost(session, true));
    if (whole_cost(session) > accounts_.limits().client) over_limit_.push_back(session.slot);
    if (accounts_.is_over(session.address)) over_share_.push_back(session.address);
}

void Engine::recount(Connection& connection) {
    Session* owner = connection.generation != 0 && generations_[connection.slot] == connection.generation
                         ? sessions_[connection.slot].get()
                         : nullptr;
    const net::Address& address = owner != nullptr ? owner->address : connection.counted();
    connection.charge.set(accounts_, address, connection.cost());
    if (owner != nullptr) {
        recount(*owner);
    } else if (accounts_.is_over(address)) {
        over_share_.push_back(address);
    }
}

void Engine::end_over_limits() {
    for (std::size_t i = 0; i < grown_.size(); ++i) recount(grown_[i]);
    grown_.clear();
    for (std::size_t i = 0; i < over_limit_.size(); ++i) {
        Session* over = session(over_limit_[i]);
        if (over == nullptr) continue;
        const std::size_t held = whole_cost(*over);
        if (held > accounts_.limits().client) end_over_limit(*over, Account::client, held);
    }
    over_limit_.clear();
    for (std::size_t i = 0; i < over_share_.size(); ++i) relieve_share(net::Address(over_share_[i]));
    over_share_.clear();
    relieve_memory();
}

/// The most expensive first, so many that a turn may end: of all, or of `address`. Allocates nothing: memory is short.
std::span<const Engine::Holder> Engine::costliest(const net::Address* address, std::array<Holder, ends_per_turn>& out) {
    std::size_t count = 0;
    const auto cheaper = [](const Holder& a, const Holder& b) { return a.bytes > b.bytes; };  // the cheapest on top
    const auto note = [&](const Holder& holder) {
        if (count == out.size()) {
            if (holder.bytes <= out.front().bytes) return;
            std::pop_heap(out.begin(), out.end(), cheaper);
            --count;
        }
        out[count++] = holder;
        std::push_heap(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(count), cheaper);
    };
    for (const auto& session : sessions_) {
        if (session == nullptr || (address != nullptr && session->address != *address)) continue;
        note({whole_cost(*session), session->slot, nullptr});
    }
    for (Connection* one = connections_; one != nullptr; one = one->next) {
        if (one->generation != 0 || (address != nullptr && one->counted() != *address)) continue;
        note({one->cost(), 0, one});
    }
    std::sort_heap(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(count), cheaper);
    return {out.data(), count};
}

void Engine::end(const Holder& holder, Account account) {
    if (holder.connection == nullptr) {
        if (Session* over = session(holder.slot)) {
            end_over_limit(*over, account, holder.bytes);
        } else if (sessions_[holder.slot] != nullptr) {
            release(holder.slot);  // closed already, and waiting to tell its client
        }
        return;
    }
    tell_over_limit(account, holder.bytes, holder.connection->address, {});
    holder.connection->destroy();
}

void Engine::relieve_share(const net::Address& address) {
    if (!accounts_.is_over(address)) return;
    for (const auto& session : sessions_) {  // what they hold may be less by now
        if (session != nullptr && session->address == address) {
            session->charge.set(accounts_, address, cost(*session, true));
        }
    }
    std::array<Holder, ends_per_turn> most;
    for (const Holder& holder : costliest(&address, most)) {
        if (!accounts_.is_over(address)) return;
        end(holder, Account::address);
    }
}

void Engine::relieve_memory() {
    const std::size_t in_use = base::heap::bytes_in_use();
    const auto pressure = base::heap::is_spent() ? Accounts::Pressure::critical : accounts_.pressure(in_use);
    if (pressure == Accounts::Pressure::none) {
        if (accounts_.excess(in_use) > 0 || !std::exchange(memory_is_short_, false)) return;
        nothing_to_end_ = false;
        base::heap::keep_reserve(reserve_bytes);
        if (std::exchange(memory_told_, false)) {
            log::info("gateway", "memory_suffices", {{"in_use", in_use}, {"limit", accounts_.limits().memory}});
        }
        return;
    }
    if (!std::exchange(memory_is_short_, true)) tell_memory_short(in_use);
    if (pressure != Accounts::Pressure::critical) return;
    std::size_t freed = 0;
    const std::size_t goal = std::max(accounts_.excess(in_use), base::heap::is_spent() ? reserve_bytes : 0);
    std::array<Holder, ends_per_turn> most;
    for (const Holder& holder : costliest(nullptr, most)) {
        if (freed >= goal || holder.bytes < worth_ending) break;
        end(holder, Account::memory);
        freed += holder.bytes;
    }
    // Many that are cheap: those that have joined nothing go.
    for (std::size_t n = 0; n < ends_per_turn && freed < goal; ++n) {
        const Places::Candidate stranger = places_.first_to_go(Rank::stranger);
        if (stranger.place == nullptr) break;
        const auto& session = static_cast<const Session&>(*stranger.place);
        freed += whole_cost(session);
        tell_displaced(stranger);
        close(session.slot, CloseReason::transport_error, Ending::come_back);
    }
    nothing_to_end_ = freed == 0;
    if (base::heap::is_spent()) base::heap::keep_reserve(reserve_bytes);
}

void Engine::tell_memory_short(std::size_t in_use) {
    const auto held_back = memory_log_.pass(loop_.now());
    if (!held_back) return;
    memory_told_ = true;
    log::warn("gateway", "memory_short",
              {{"in_use", in_use},
               {"limit", accounts_.limits().memory},
               {"of_clients", accounts_.total()},
               {"remedy", "raise memory-limit, or lower max-connections, client-bytes or recovery-bytes"},
               {"held_back", *held_back}});
}

/// Whether reading on could take memory that is needed to end those who have too much of it.
bool Engine::must_wait() const noexcept {
    if (nothing_to_end_) return false;
    return base::heap::is_spent() || accounts_.pressure(base::heap::bytes_in_use()) == Accounts::Pressure::critical;
}

void Engine::limit_memory(std::size_t bytes) {
    accounts_.limit_memory(bytes);
    if (bytes != 0) base::heap::keep_reserve(reserve_bytes);
}

void Engine::tell_over_limit(Account account, std::size_t held, const net::Address& address, std::string_view sid) {
    ++stats_.over_limit[static_cast<std::size_t>(account)];
    const auto held_back = over_limit_log_.pass(loop_.now());
    if (!held_back) return;
    const AccountLimits& limits = accounts_.limits();
    const std::size_t limit = account == Account::client    ? limits.client
                              : account == Account::address ? limits.address
                                                            : limits.memory;
    log::warn("gateway", "client_over_limit",
              {{"sid", sid},
               {"address", address.to_string()},
               {"limit", to_string(account)},
               {"limit_bytes", limit},
               {"held_bytes", held},
               {"held_back", *held_back}});
}

void Engine::end_over_limit(Session& session, Account account, std::size_t held) {
    tell_over_limit(account, held, session.address, session.sid.view());
    const Slot slot = session.slot;
    if (session.socket != nullptr && outbox_.is_empty(slot) && !session.socket->has_output()) {
        Connection* socket = std::exchange(session.socket, nullptr);
        outbox_.detach(slot);
        socket->generation = 0;
        socket->close_websocket({}, proto::ws_close::policy, to_string(account));
    }
    close(slot, CloseReason::transport_error, Ending::cut);
}

}  // namespace sio::gateway
