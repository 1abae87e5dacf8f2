// Clients that may come back: what is kept of them in Redis while they are connected, and how they are given back.
// Source: cluster-wire 1.12.
#include <algorithm>

#include "base/json.h"
#include "base/log.h"
#include "cluster/names.h"
#include "gateway/cluster_parts.h"

namespace sio::gateway {

using redis::Reply;

namespace {

constexpr Millis refresh_margin = 40'000;  // a refresh comes each 30 s; with the window, less than the log keeps
constexpr Millis longest_return = 3'000;
constexpr std::string_view page_entries = "1000";
constexpr std::size_t max_missed = 100'000;       // entries looked at for one client
constexpr std::uint64_t smallest_count = 10'000;  // what a Node server leaves in a stream at least

}  // namespace

void Cluster::keep(Socket& socket) {
    if (std::exchange(socket.kept_dirty, true)) return;
    dirty_.push_back({socket.nsp->name, socket.id});
    // Written when this turn is over, so that the rooms of a connect make one command.
    loop_.timers().arm(*session_timer_, loop_.now());
}

void Cluster::flush_sessions() {
    std::vector<Dirty> dirty = std::exchange(dirty_, {});
    for (const Dirty& one : dirty) {
        const auto found = hub_.namespaces().find(one.nsp);
        Socket* socket = found == hub_.namespaces().end() ? nullptr : hub_.find_socket(*found->second, one.sid);
        if (socket == nullptr) continue;
        socket->kept_dirty = false;
        write_session(*socket, options_.session_window + refresh_margin);
    }
}

void Cluster::write_session(const Socket& socket, Millis lifetime) {
    if (!commands_.is_up() || socket.pid.empty()) return;
    cluster::StoredSession session;
    session.sid = socket.id.view();
    session.pid = socket.pid;
    session.rooms.emplace_back(socket.id.view());
    for (const Socket::Seat& seat : socket.seats) session.rooms.push_back(seat.room->name);
    if (session.rooms.size() > cluster::max_session_rooms) session.rooms.resize(cluster::max_session_rooms);
    if (socket.pass != nullptr) {
        // Invitations stay here, and a room by invitation cannot be asked about without one.
        for (const Pass::Granted& one : socket.pass->rooms) {
            if (one.token.empty() && session.granted.size() < session.rooms.size()) session.granted.push_back(one.room);
        }
    }
    if (!socket.data.empty()) session.data = socket.data;
    session.user = socket.user;
    session.since = socket.connected_at;
    session.node = options_.node;
    std::string key;
    std::string value;
    cluster::append_session_key(key, options_.session_prefix, socket.pid);
    cluster::append_session(value, session);
    commands_.send({"SET", key, value, "PX", std::to_string(lifetime)});
}

void Cluster::refresh_sessions() {
    last_refresh_ = loop_.now();
    for (const auto& [name, nsp] : hub_.namespaces()) {
        for (const auto& [secret, slot] : nsp->by_secret) {
            if (Socket* socket = hub_.socket_in(slot, *nsp)) keep(*socket);
        }
    }
}

void Cluster::release(const Socket& socket, bool recoverable) {
    if (recoverable) {
        write_session(socket, options_.session_window);
        return;
    }
    std::string key;
    cluster::append_session_key(key, options_.session_prefix, socket.pid);
    if (commands_.is_up()) commands_.send({"DEL", key});
}

// --- coming back ----------------------------------------------------------------------------------------------------

void Cluster::restore(Namespace& nsp, Comeback comeback, std::function<void(std::optional<Restored>)> done) {
    auto back = std::make_shared<Return>();
    back->nsp = nsp.name;
    back->comeback = std::move(comeback);
    back->done = std::move(done);
    back->until = loop_.now() + (live_ ? longest_return : 0);
    returns_.push_back(back);
    if (!live_) {
        loop_.timers().arm(*session_timer_, loop_.now());
        return;
    }
    if (back->comeback.saved) {
        back->has_session = true;
        loop_.timers().arm(*session_timer_, loop_.now());
        return;
    }
    std::string key;
    cluster::append_session_key(key, options_.session_prefix, back->comeback.pid);
    // Given back once: whoever asks second is too late.
    commands_.send({"MULTI"});
    commands_.send({"GET", key});
    commands_.send({"DEL", key});
    commands_.send({"EXEC"}, [this, back](const Reply* reply) { on_session(back, reply); });
}

void Cluster::on_session(const std::shared_ptr<Return>& back, const Reply* reply) {
    if (reply == nullptr || reply->items.size() != 2 || reply->items[0].is_nil()) {
        give_back(back, false);
        return;
    }
    auto session = cluster::decode_session(reply->items[0].text);
    if (!session || session->pid != back->comeback.pid) {
        give_back(back, false);
        return;
    }
    // If its old node still holds it (a cut it has not noticed), that is over now.
    const std::string taken = R"({"node":)" + json::quote(options_.node) + R"(,"nsp":)" + json::quote(back->nsp) +
                              R"(,"pid":)" + json::quote(back->comeback.pid) + '}';
    commands_.send({"PUBLISH", options_.session_prefix + "taken", taken});
    SavedSocket saved;
    saved.sid = Id::from(session->sid);
    saved.connected_at = session->since.value_or(Position{});
    saved.user = std::move(session->user);
    saved.granted = std::move(session->granted);
    saved.data = session->data_attachments.empty() ? std::move(session->data) : "{}";
    for (std::string& room : session->rooms) {
        if (room != session->sid) saved.rooms.push_back(std::move(room));
    }
    if (!back->comeback.offset) back->comeback.offset = session->since;
    back->comeback.saved = std::move(saved);
    back->has_session = true;
    proceed(back);
}

// The next step of a client that comes back; called again when more of the stream has been read.
void Cluster::proceed(const std::shared_ptr<Return>& back) {
    if (!back->has_session || back->is_reading || !back->done) return;
    const auto found = hub_.namespaces().find(back->nsp);
    if (found == hub_.namespaces().end() || !back->comeback.offset) {
        give_back(back, false);
        return;
    }
    Namespace& nsp = *found->second;
    const Position read = position(back->nsp);
    back->from = *back->comeback.offset;
    if (back->from > read) return;  // it knows more than this node has read: soon
    nsp.log.move_to(read);
    if (!back->is_known && back->from != back->comeback.saved->connected_at && !nsp.log.has(back->from)) {
        check_offset(back);
    } else if (nsp.log.covers(back->from, loop_.now())) {
        give_back(back, true);
    } else {
        read_missed(back);
    }
}

// A place that never was tells nothing of what its client has.
void Cluster::check_offset(const std::shared_ptr<Return>& back) {
    const Stream* stream = stream_of(back->nsp);
    if (stream == nullptr) {
        give_back(back, false);
        return;
    }
    back->is_reading = true;
    const std::string offset = back->from.text();
    commands_.send({"XRANGE", stream->key, offset, offset}, [back](const Reply* reply) {
        back->is_known = reply != nullptr && reply->is_array() && !reply->items.empty();
    });
    commands_.send({"XINFO", "STREAM", stream->key}, [this, back](const Reply* reply) {
        if (!back->done) return;
        // It may have been trimmed by now, with all that is as old.
        const auto first = reply == nullptr || reply->is_error()
                               ? std::nullopt
                               : Position::parse(text_field(*reply, "recorded-first-entry-id"));
        const bool is_trimmed =
            first && back->from < *first && number_field(*reply, "entries-added") > number_field(*reply, "length");
        if (!back->is_known && !is_trimmed) {
            give_back(back, false);
            return;
        }
        back->is_known = true;
        back->is_reading = false;
        proceed(back);
    });
}

// The log of this node does not reach back so far: Redis is asked for the part before it.
void Cluster::read_missed(const std::shared_ptr<Return>& back) {
    const Stream* stream = stream_of(back->nsp);
    if (stream == nullptr) {
        give_back(back, false);
        return;
    }
    const std::string key = stream->key;
    commands_.send({"XINFO", "STREAM", key}, [this, back, key](const Reply* reply) {
        if (!back->done) return;
        if (reply == nullptr || reply->is_error()) {
            give_back(back, false);
            return;
        }
        // Complete when nothing was ever trimmed, or nothing after that place, or only by age (our own trimming, whose
        // age is above the window): a Node server trims by count.
        const auto first = Position::parse(text_field(*reply, "recorded-first-entry-id"));
        const bool is_whole = number_field(*reply, "entries-added") == number_field(*reply, "length") ||
                              (first && *first <= back->from) || number_field(*reply, "length") < smallest_count;
        if (!is_whole) {
            give_back(back, false);
            return;
        }
        const auto page = std::make_shared<std::function<void()>>();
        const auto looked_at = std::make_shared<std::size_t>(0);
        *page = [this, back, key, page, looked_at] {
            const auto found = hub_.namespaces().find(back->nsp);
            if (found == hub_.namespaces().end()) {
                give_back(back, false);
                return;
            }
            const Position end = found->second->log.lost_through();
            commands_.send(
                {"XRANGE", key, back->from.next().text(), end.text(), "COUNT", page_entries},
                [this, back, page, looked_at, end](const Reply* entries) {
                    const auto again = std::exchange(*page, {});
                    if (!back->done) return;
                    if (entries == nullptr || !entries->is_array()) {
                        give_back(back, false);
                        return;
                    }
                    for (const Reply& entry : entries->items) {
                        const auto id = entry.items.size() == 2 ? Position::parse(entry.items[0].text) : std::nullopt;
                        if (!id) continue;
                        back->from = *id;
                        const Reply& fields = entry.items[1];
                        if (text_field(fields, "nsp") != back->nsp || text_field(fields, "type") != "3") continue;
                        const auto message = decoder_.stream_entry(text_field(fields, "uid"), back->nsp, "3",
                                                                   text_field(fields, "data"));
                        if (!message || (*message)->flags.is_volatile) continue;
                        back->missed.push_back({*id, (*message)->rooms.copy(), (*message)->except.copy(),
                                                std::string((*message)->event), std::string((*message)->arguments),
                                                (*message)->attachments});
                    }
                    *looked_at += entries->items.size();
                    if (entries->items.empty()) {
                        back->from = std::max(back->from, end);
                        give_back(back, true);
                    } else if (*looked_at > max_missed) {
                        give_back(back, false);
                    } else {
                        *page = again;
                        again();
                    }
                });
        };
        (*page)();
    });
}

void Cluster::give_back(const std::shared_ptr<Return>& back, bool found) {
    std::erase(returns_, back);
    const auto done = std::exchange(back->done, {});
    if (!done) return;
    if (!found || !back->comeback.saved) {
        ++stats_.sessions_lost;
        done(std::nullopt);
        return;
    }
    ++stats_.sessions_restored;
    done(Restored{std::move(*back->comeback.saved), std::move(back->missed), back->from});
}

}  // namespace sio::gateway
