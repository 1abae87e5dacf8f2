// What is kept in Redis of each client while it is connected, so that it can return to any gateway when this one is no
// more, and whose that is. Source: cluster-wire 1.12.
//
// A session's key is there from the connect on until its client can no longer return. Whoever asks for it last, in the
// order of Redis, owns it: the owner is replaced in one step (session_scripts.h), all others hear of it on the channel
// `taken`, and what they write afterwards is refused. So a second asker gets the session as the first did; the first,
// when it is alive, gives up its connection, which is dead or a copy; when it has died meanwhile, nothing is lost with
// it. Node servers take a session with GET and DEL, and may do so with ours.
#include <algorithm>

#include "base/check.h"
#include "base/json.h"
#include "base/log.h"
#include "gateway/cluster_parts.h"
#include "gateway/session_scripts.h"

namespace sio::gateway {

using redis::Reply;

namespace {

constexpr Millis refresh_margin = 40'000;       // a refresh comes each 30 s; with the window, less than the log keeps
constexpr std::size_t sessions_per_turn = 500;  // that are written
constexpr std::string_view next_turn = "1";

}  // namespace

Cluster::Scripts::Scripts()
    : claim(claim_session_script),
      swap(swap_session_script),
      write(write_session_script),
      remove(delete_session_script),
      trim(cluster::trim_text) {}

void Cluster::load_scripts() {
    if (scripts_loading_ > 0) return;
    for (const redis::Script* script :
         {&scripts_.claim, &scripts_.swap, &scripts_.write, &scripts_.remove, &scripts_.trim}) {
        const bool is_sent = commands_.send({"SCRIPT", "LOAD", script->text()}, [this](const Reply* reply) {
            --scripts_loading_;
            if (reply != nullptr && reply->is_error()) commands_.note_refusal(*reply);
            const bool is_loaded = reply != nullptr && !reply->is_error();
            if (is_loaded && scripts_loading_ == 0 && std::exchange(are_scripts_missed_, false)) on_scripts_loaded();
        });
        if (is_sent) ++scripts_loading_;
    }
}

/// Redis did not know a script (it has forgotten all, or was started again): what was asked with it is asked again. Not
/// before they are loaded: where that is refused, asking again would have no end.
void Cluster::on_scripts_loaded() {
    refresh_sessions();
    go_on_resuming();
}

/// Asks for the scripts to be loaded: at once, and when that fails with the ticks.
void Cluster::miss_scripts() {
    if (std::exchange(are_scripts_missed_, true)) return;
    load_scripts();
}

// --- writing --------------------------------------------------------------------------------------------------------

void Cluster::keep(Socket& socket) {
    if (std::exchange(socket.kept_dirty, true)) return;
    dirty_.push_back({socket.nsp->name, socket.id});
}

/// At the end of a turn, so that the rooms of a connect make one command; and before its clients are written to, so
/// that a session is in Redis, or on its way there, when its client knows of it.
void Cluster::flush() {
    if (dirty_.empty()) return;
    write_sessions(dirty_, sessions_per_turn);
    commands_.flush_now();
    if (!dirty_.empty()) loop_.timers().arm(*session_timer_, loop_.now());  // another turn comes at once
}

std::size_t Cluster::write_sessions(std::deque<Dirty>& list, std::size_t most) {
    std::size_t written = 0;
    for (; written < most && !list.empty(); ++written) {
        const Dirty one = std::move(list.front());
        list.pop_front();
        const auto found = hub_.namespaces().find(one.nsp);
        Socket* socket = found == hub_.namespaces().end() ? nullptr : hub_.find_socket(*found->second, one.sid);
        if (socket == nullptr) continue;
        socket->kept_dirty = false;
        write_session(*socket, options_.session_window + refresh_margin);
        socket->owns_session = socket->owns_session || commands_.is_up();
    }
    return written;
}

cluster::StoredSession Cluster::stored(const Socket& socket) const {
    cluster::StoredSession session;
    session.owner = node_uid_;
    session.sid = socket.id.view();
    session.pid = socket.pid();
    session.rooms.emplace_back(socket.id.view());
    for (const Socket::Seat& seat : socket.seats) session.rooms.push_back(seat.room->name);
    if (session.rooms.size() > cluster::max_session_rooms) session.rooms.resize(cluster::max_session_rooms);
    for (const Socket::Seat& seat : socket.seats) {
        if (seat.since > socket.connected_at && session.stays.size() < cluster::max_session_rooms / 2) {
            session.stays.push_back({seat.room->name, seat.since, std::nullopt});
        }
    }
    for (const Stay& stay : socket.extra().past) session.stays.push_back({stay.room, stay.after, stay.through});
    if (socket.pass != nullptr) {
        // Invitations stay here, and a room by invitation cannot be asked about without one.
        for (const Pass::Granted& one : socket.pass->rooms) {
            if (one.token.empty() && session.granted.size() < session.rooms.size()) session.granted.push_back(one.room);
        }
    }
    if (!socket.extra().data.empty()) session.data = socket.extra().data;
    session.user = socket.user;
    session.since = socket.connected_at;
    session.node = options_.node;
    session.nsp = socket.nsp->name;
    return session;
}

std::string Cluster::session_key(std::string_view pid) const {
    std::string key;
    cluster::append_session_key(key, options_.session_prefix, pid);
    return key;
}

void Cluster::write_session(const Socket& socket, Millis lifetime) {
    if (!commands_.is_up() || !socket.has_pid()) return;
    std::string pid = socket.pid();
    const std::string key = session_key(pid);
    std::string value;
    cluster::append_session(value, stored(socket));
    const std::string time = std::to_string(lifetime);
    if (!socket.owns_session) {  // it has just connected here: whoever had it has it no more
        const std::initializer_list<std::string_view> command = {"SET", key, value, "PX", time};
        socket.recovered ? send_take(command, pid, [this](const Reply* reply) { note_refusal(reply); })
                         : commands_.send(command);
        return;
    }
    commands_.send({"EVALSHA", scripts_.write.sha(), next_turn, key, value, time},
                   [this, nsp = socket.nsp->name, pid = std::move(pid)](const Reply* reply) {
                       if (reply == nullptr) return;
                       if (reply->is_error("NOSCRIPT")) {
                           miss_scripts();
                       } else if (reply->is_error()) {
                           commands_.note_refusal(*reply);
                       } else if (reply->to_integer() == 0 && !is_taking(pid)) {
                           lose_session(nsp, pid);
                       }
                   });
}

/// A client of ours has gone on to another server.
void Cluster::lose_session(std::string_view nsp, std::string_view pid) {
    const auto found = hub_.namespaces().find(nsp);
    if (found != hub_.namespaces().end()) hub_.taken(*found->second, pid);
}

/// Writes all sessions again, in the turns to come.
void Cluster::refresh_sessions() {
    last_refresh_ = loop_.now();
    stale_.clear();
    for (const auto& [name, nsp] : hub_.namespaces()) {
        nsp->by_secret.each([&](Outbox::Slot slot) {
            if (const Socket* socket = hub_.socket_in(slot, *nsp)) stale_.push_back({nsp->name, socket->id});
        });
    }
    if (!stale_.empty()) loop_.timers().arm(*session_timer_, loop_.now());
}

void Cluster::release(const Socket& socket, bool recoverable) {
    if (recoverable) {
        write_session(socket, options_.session_window);
        return;
    }
    const std::string mine = std::string(cluster::owner_mark) + owner_text_;
    if (commands_.is_up()) {
        commands_.send({"EVALSHA", scripts_.remove.sha(), next_turn, session_key(socket.pid()), mine},
                       [this](const Reply* reply) {
                           // The session ends by itself.
                           if (reply == nullptr || !reply->is_error()) return;
                           if (reply->is_error("NOSCRIPT")) return miss_scripts();
                           commands_.note_refusal(*reply);
                       });
    }
}

// --- claiming -------------------------------------------------------------------------------------------------------

/// The rooms of a session. One of which nothing more is said was joined when the client connected.
std::vector<Stay> Cluster::stays_of(const cluster::StoredSession& session) {
    StringMap<Position> joined;
    for (const cluster::StoredSession::Stay& one : session.stays) {
        if (!one.through) joined.emplace(one.room, one.after);
    }
    std::vector<Stay> stays;
    for (const std::string& room : session.rooms) {
        if (room == session.sid) continue;
        const auto after = joined.find(room);
        stays.push_back({.room = room, .after = after == joined.end() ? Position{} : after->second});
    }
    for (const cluster::StoredSession::Stay& one : session.stays) {
        if (one.through) stays.push_back({.room = one.room, .after = one.after, .through = *one.through});
    }
    return stays;
}

/// Asks for the session of a client that wants to resume, and makes it ours in the same step.
void Cluster::claim(const std::shared_ptr<Resume>& resume) {
    if (resume->is_asking || !commands_.is_up()) return;
    resume->waits_for = "its session";
    resume->is_asking = send_claim(resume->request.pid, [this, resume](const Reply* reply) {
        resume->is_asking = false;
        if (resume->done) on_claimed(resume, reply);
    });
}

bool Cluster::send_claim(const std::string& pid, std::function<void(const Reply*)> done) {
    const std::string window = std::to_string(options_.session_window);
    return send_take(
        {"EVALSHA", scripts_.claim.sha(), next_turn, session_key(pid), cluster::owner_mark, owner_text_, window}, pid,
        std::move(done));
}

/// Sends what makes a session ours. Redis answers in order: while this is not answered, an answer that the session is
/// another's is older than it, and whoever has returned here by it must not be ended for that (is_taking()).
bool Cluster::send_take(std::initializer_list<std::string_view> command, const std::string& pid,
                        std::function<void(const Reply*)> done) {
    const bool is_sent = commands_.send(command, [this, pid, done = std::move(done)](const Reply* reply) {
        const auto take = takes_.find(pid);
        SIO_CHECK(take != takes_.end());
        if (--take->second == 0) takes_.erase(take);
        if (done) done(reply);
    });
    if (is_sent) ++takes_[pid];
    return is_sent;
}

void Cluster::on_claimed(const std::shared_ptr<Resume>& resume, const Reply* reply) {
    if (reply == nullptr) return;  // asked again when Redis is back
    if (reply->is_error()) {
        resume->waits_for = "Redis, which refuses: " + std::string(reply->text);
        if (reply->is_error("NOSCRIPT")) return miss_scripts();
        commands_.note_refusal(*reply);
        return;
    }
    if (reply->is_nil()) return fail(resume, ResumeFailure::unknown_session);
    auto session = cluster::decode_session(reply->text);
    if (!session || session->pid != resume->request.pid || session->nsp.value_or(resume->nsp) != resume->nsp) {
        return fail(resume, ResumeFailure::unknown_session);
    }
    if (session->owner) {
        resume->is_owner = true;
    } else {
        adopt_session(*resume, std::string(reply->text), *session);
    }
    // If its old server still holds it (a cut it has not noticed), that is over now.
    say_taken(resume->nsp, resume->request.pid);
    SavedSocket saved;
    saved.sid = Id::from(session->sid);
    saved.connected_at = session->since.value_or(Position{});
    saved.user = std::move(session->user);
    saved.granted = std::move(session->granted);
    saved.data = session->data_attachments.empty() ? std::move(session->data) : "{}";
    saved.stays = stays_of(*session);
    if (!resume->request.offset || resume->request.offset == Position{}) resume->request.offset = session->since;
    resume->request.saved = std::move(saved);
    begin(resume);
}

/// A session that a Node server has written is written again with an owner; that it is there still is asked by Redis.
void Cluster::adopt_session(Resume& resume, const std::string& before, cluster::StoredSession session) {
    session.owner = node_uid_;
    std::string value;
    cluster::append_session(value, session);
    const std::string window = std::to_string(options_.session_window);
    resume.is_owner = commands_.send(
        {"EVALSHA", scripts_.swap.sha(), next_turn, session_key(resume.request.pid), before, value, window});
}

/// The session of a client that we know already becomes ours once more: if others have asked for it, we are the later.
void Cluster::claim_known(Resume& resume) {
    resume.is_owner = send_claim(resume.request.pid, [this](const Reply* reply) {
        if (reply != nullptr && reply->is_error("NOSCRIPT")) return miss_scripts();
        note_refusal(reply);
    });
}

/// Of a command whose answer has no other use. `reply` is null when Redis was lost first.
void Cluster::note_refusal(const Reply* reply) {
    if (reply != nullptr && reply->is_error()) commands_.note_refusal(*reply);
}

void Cluster::say_taken(std::string_view nsp, std::string_view pid) {
    commands_.send({"PUBLISH", options_.session_prefix + "taken",
                    R"({"node":)" + json::quote(options_.node) + R"(,"id":)" + json::quote(node_uid_) + R"(,"nsp":)" +
                        json::quote(nsp) + R"(,"pid":)" + json::quote(pid) + '}'});
}

/// `{"node","id","nsp","pid"}`: a client has gone on to another gateway. We may have been asked later than that one:
/// Redis knows whose the session is.
void Cluster::on_taken(std::string_view text) {
    if (!json::is_valid(text) || json::member(text, "id") == json::quote(node_uid_)) return;
    const auto nsp_text = json::member(text, "nsp");
    const auto pid_text = json::member(text, "pid");
    if (!nsp_text || !pid_text) return;
    const std::string nsp = json::decode_string(*nsp_text);
    const std::string pid = json::decode_string(*pid_text);
    const auto found = hub_.namespaces().find(nsp);
    const bool has_socket = found != hub_.namespaces().end() && hub_.holds(*found->second, pid);
    if (!has_socket && !resumes_.contains(pid)) return lose_session(nsp, pid);
    const bool is_asked = commands_.send({"GET", session_key(pid)}, [this, nsp, pid](const Reply* reply) {
        const bool is_ours = reply != nullptr && cluster::is_owned_by(reply->text, owner_text_);
        if (is_ours || is_taking(pid)) return say_taken(nsp, pid);
        give_up_session(nsp, pid);
    });
    if (!is_asked) give_up_session(nsp, pid);
}

/// Ends the socket that has a session which is another's now, and who waits for it.
void Cluster::give_up_session(std::string_view nsp, const std::string& pid) {
    lose_session(nsp, pid);
    const auto range = resumes_.equal_range(pid);
    std::vector<std::shared_ptr<Resume>> over;
    for (auto one = range.first; one != range.second; ++one) {
        if (one->second->nsp == nsp) over.push_back(one->second);
    }
    for (const auto& resume : over) finish(resume, ResumeResult::superseded());
}

}  // namespace sio::gateway
