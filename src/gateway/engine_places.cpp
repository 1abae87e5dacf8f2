// What the engine does when places run short: who would be missed least goes, so that others get in.
#include <algorithm>
#include <array>
#include <utility>

#include "base/heap.h"
#include "base/log.h"
#include "gateway/connection.h"
#include "gateway/engine.h"

namespace sio::gateway {

using proto::CloseReason;

namespace {

// A place is left to those for so long who come from the same address as the newcomer, or from one without a crowd.
constexpr Millis bare_grace = 1'000;       // to send a request
constexpr Millis stranger_grace = 200;     // to join something
constexpr Millis absent_grace = 500;       // from one poll to the next
constexpr std::size_t crowd = 16;          // places of one rank
constexpr std::size_t onlookers_max = 4;   // an address may have one part in so many of all places with those
constexpr std::size_t modest_part = 1024;  // of the memory limit: an address with less is let in when that is short
constexpr std::size_t for_memory = 2;      // strangers that go for one session while memory is short

Millis grace_of(Rank rank) noexcept {
    return rank == Rank::bare ? bare_grace : rank == Rank::stranger ? stranger_grace : absent_grace;
}

}  // namespace

std::string_view to_string(NoSession why) noexcept {
    static constexpr std::array<std::string_view, static_cast<std::size_t>(NoSession::count)> names = {
        "draining", "full", "memory", "address"};
    return names[static_cast<std::size_t>(why)];
}

void Engine::set_standing(Slot slot, Standing standing) {
    Session* ranked = session(slot);
    if (ranked == nullptr || std::exchange(ranked->standing, standing) == standing) return;
    rank(*ranked);
}

/// A session has got or lost a connection or its standing.
void Engine::rank(Session& session) {
    if (session.closing) return;
    const bool is_stranger = session.standing == Standing::stranger;
    const std::array<Connection*, 3> connections = {session.socket, session.poll, session.post};
    const bool is_here = std::ranges::any_of(connections, [](const Connection* one) { return one != nullptr; });
    const Rank rank = is_stranger                              ? Rank::stranger
                      : !is_here                               ? Rank::absent
                      : session.standing == Standing::onlooker ? Rank::onlooker
                                                               : Rank::none;
    session.set_rank(rank, loop_.now());
    for (Connection* one : connections) {
        if (one != nullptr) one->set_rank(is_stranger ? Rank::bare : Rank::none, loop_.now());
    }
}

/// It is known whose connection this is.
void Engine::set_counted(Connection& connection, const net::Address& address) {
    hold(address);
    uncount(connection.counted());
    connection.enter(places_, address, loop_.now());
}

/// Whether an address holds so little that it has no part in what makes memory short. It may come in all the same: what
/// it takes goes from the most expensive clients when memory is spent.
bool Engine::is_modest(const net::Address& address) const noexcept {
    const std::size_t in_use = base::heap::bytes_in_use();
    return accounts_.pressure(in_use) != Accounts::Pressure::critical && !base::heap::is_spent() &&
           address != net::Address{} && accounts_.of(address) < accounts_.limits().memory / modest_part;
}

/// Makes room for another session of this address where there is none. Nothing: there is a place.
std::optional<NoSession> Engine::find_place(const net::Address& address) {
    if (refusing_) return NoSession::draining;
    if (!places_.may_open(address) && !displace_own_session(address)) return NoSession::address;
    if (is_memory_short()) {
        std::size_t gone = 0;
        while (gone < for_memory && send_away(places_.first_to_go(Rank::stranger), address)) ++gone;
        if (gone == 0 && !is_modest(address)) return NoSession::memory;
    }
    const bool is_full = options_.max_connections != 0 && session_count_ >= options_.max_connections;
    return is_full && !displace_session(address) ? std::optional(NoSession::full) : std::nullopt;
}

bool Engine::may_displace(const Places::Candidate& candidate, const net::Address& newcomer) const noexcept {
    if (candidate.place == nullptr) return false;
    const Rank rank = candidate.place->rank();
    if (rank == Rank::onlooker) {
        return candidate.address != newcomer && candidate.of_address > options_.max_connections / onlookers_max;
    }
    const bool is_crowd = candidate.address != newcomer && candidate.of_address > crowd;
    return is_crowd || candidate.place->age(loop_.now()) >= grace_of(rank);
}

/// Ends a connection, or a session with its connection, at once.
bool Engine::displace_connection(const net::Address& newcomer) {
    for (const Rank rank : {Rank::bare, Rank::onlooker}) {
        const auto candidate = places_.first_to_go(rank);
        if (!may_displace(candidate, newcomer)) continue;
        tell_displaced(candidate);
        if (rank == Rank::onlooker) {
            cut(static_cast<Session&>(*candidate.place));
            return true;
        }
        auto& connection = static_cast<Connection&>(*candidate.place);
        Session* owner = connection.generation != 0 ? session(connection.slot) : nullptr;
        if (owner != nullptr && owner->socket == &connection) {
            cut(*owner);
        } else {
            connection.destroy();
        }
        return true;
    }
    return false;
}

bool Engine::displace_session(const net::Address& newcomer) {
    for (const Rank rank : {Rank::stranger, Rank::absent, Rank::onlooker}) {
        if (send_away(places_.first_to_go(rank), newcomer)) return true;
    }
    return false;
}

bool Engine::displace_own_session(const net::Address& newcomer) {
    return send_away(places_.first_of(newcomer, Rank::stranger), newcomer) ||
           send_away(places_.first_of(newcomer, Rank::absent), newcomer);
}

/// Ends a session whose client may come back; its connection may take a moment longer.
bool Engine::send_away(const Places::Candidate& candidate, const net::Address& newcomer) {
    if (!may_displace(candidate, newcomer)) return false;
    tell_displaced(candidate);
    close(static_cast<Session&>(*candidate.place).slot, CloseReason::transport_error, Ending::come_back);
    return true;
}

void Engine::cut(Session& session) {
    const Slot slot = session.slot;
    if (session.socket != nullptr && outbox_.is_empty(slot) && !session.socket->has_output()) {
        Connection* socket = std::exchange(session.socket, nullptr);
        outbox_.detach(slot);
        socket->generation = 0;
        socket->close_websocket({}, proto::ws_close::try_again_later, "others need the place");
        socket->destroy();
    }
    close(slot, CloseReason::transport_error, Ending::cut);
}

void Engine::tell_displaced(const Places::Candidate& candidate) {
    const Rank rank = candidate.place->rank();
    ++stats_.displaced[static_cast<std::size_t>(rank)];
    const auto held_back = displaced_log_.pass(loop_.now());
    if (!held_back) return;
    log::warn("gateway", "place_given_to_others",
              {{"rank", to_string(rank)},
               {"address", candidate.address.to_string()},
               {"of_address", candidate.of_address},
               {"connections", connection_count_},
               {"sessions", session_count_},
               {"limit", options_.max_connections},
               {"remedy", "set max-connections-per-address, or raise max-connections, descriptors or memory-limit"},
               {"held_back", *held_back}});
}

std::string Engine::tell_limit(Limit limit, const net::Address& address, std::string_view sid, std::uint64_t size,
                               std::uint64_t most) {
    ++stats_.limits_passed[static_cast<std::size_t>(limit)];
    const auto held_back = limit_logs_[static_cast<std::size_t>(limit)].pass(loop_.now());
    std::string text = limit_text(limit, size, most);
    if (!held_back) return text;
    log::warn("gateway", "limit_passed",
              {{"limit", to_string(limit)},
               {"option", option_of(limit)},
               {"size", size},
               {"most", most},
               {"address", address.to_string()},
               {"sid", sid},
               {"told", text},
               {"held_back", *held_back}});
    return text;
}

std::string Engine::tell_large_message(const Connection& connection, std::uint64_t size) {
    const Session* owner = connection.generation != 0 ? session(connection.slot) : nullptr;
    return tell_limit(Limit::message, connection.address, owner != nullptr ? owner->sid.view() : std::string_view(),
                      size, options_.max_payload);
}

/// A connection that is one too many, of its address or of all.
void Engine::tell_refused_connection(const net::Address& address) {
    ++stats_.connections_refused;
    const bool is_of_address = !places_.may_connect(address);
    const std::size_t most = is_of_address ? options_.max_connections_per_address : options_.max_connections;
    tell_limit(is_of_address ? Limit::address_connections : Limit::connections, address, {}, most + 1, most);
}

void Engine::tell_no_session(NoSession why, const net::Address& address) {
    ++stats_.sessions_refused[static_cast<std::size_t>(why)];
    const auto held_back = no_session_log_[static_cast<std::size_t>(why)].pass(loop_.now());
    if (!held_back || why == NoSession::draining) return;
    log::warn(
        "gateway", "session_refused",
        {{"reason", to_string(why)},
         {"address", address.to_string()},
         {"sessions", session_count_},
         {"limit", why == NoSession::address ? options_.max_connections_per_address : options_.max_connections},
         {"remedy", why == NoSession::address  ? "raise max-connections-per-address if many clients share an address"
                    : why == NoSession::memory ? "raise memory-limit, or lower max-connections or client-bytes"
                                               : "raise max-connections and the descriptor limit"},
         {"held_back", *held_back}});
}

}  // namespace sio::gateway
