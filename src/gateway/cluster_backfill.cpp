// Reading the stream backwards. A gateway that has started fills its logs from the stream once, newest entries first,
// so that clients which were away for a moment can resume after the first pages; it ends where nobody can have missed
// anything, where the stream begins, or where the budget is spent. What lies further back is read when somebody needs
// it: once for all who wait, and of it only where their events are.
#include <algorithm>

#include "base/log.h"
#include "gateway/cluster_parts.h"

namespace sio::gateway {

using redis::Reply;

namespace {

constexpr std::string_view page_size = "512";  // entries: about a millisecond of this loop
constexpr std::size_t page_entries = 512;
constexpr std::uint64_t smallest_count = 10'000;  // what a Node server leaves in a stream at least
constexpr std::size_t max_older = 250'000;        // events listed for one client
constexpr Millis sweep_gathers = 50;              // for others who come at the same time
constexpr Millis longest_sweep_pause = 1'000;     // between two
constexpr Millis sweep_share = 10;                // of the time one takes, so many more until the next

std::string before(Position position) { return "(" + position.text(); }

}  // namespace

/// Where the stream begins, by what XINFO has said of it: all that is after this place is in it, as far as trimming by
/// age goes, and but for what was dropped at a bound (note_dropped() tells of that). Our own trimming by age is above
/// what anybody can have missed; a Node server or an emitter trims by count.
Position Cluster::beginning(const Reply& info) {
    const auto first = Position::parse(text_field(info, "recorded-first-entry-id"));
    const std::uint64_t length = number_field(info, "length");
    if (number_field(info, "entries-added") == length || length < smallest_count || !first) return {};
    return first->previous();
}

// --- filling --------------------------------------------------------------------------------------------------------

void Cluster::begin_fill(std::size_t index) {
    Stream& stream = streams_[index];
    stream.fill_at = stream.last->next();
    stream.fill = hub_.keeps_logs() ? Fill::under_way : Fill::ended;
    fill_on(index);
}

/// Asks for the next page before what the log knows.
void Cluster::fill_on(std::size_t index) { ask_page(index, streams_[index].fill_at); }

void Cluster::ask_page(std::size_t index, Position end) {
    Stream& stream = streams_[index];
    if (stream.fill != Fill::under_way || stream.is_filling || !commands_.is_up()) return;
    stream.is_filling = commands_.send({"XREVRANGE", stream.key, before(end), "-", "COUNT", page_size},
                                       [this, index](const Reply* reply) {
                                           streams_[index].is_filling = false;
                                           if (reply != nullptr) take_page(index, *reply);
                                       });
}

void Cluster::take_page(std::size_t index, const Reply& reply) {
    Stream& stream = streams_[index];
    RecoveryLog& log = hub_.log(index);
    if (stream.fill != Fill::under_way) return;
    if (reply.is_error()) {
        log::error("redis", "stream_unreadable", {{"stream", stream.key}, {"reason", reply.text}});
        return end_fill(index, "refused");
    }
    const Millis oldest = loop_.now() - options_.session_window - recovery_slack;
    if (reply.items.size() == page_entries && reply.items.back().items.size() == 2) {
        // Redis looks for the next page while we work at this one.
        const auto last = Position::parse(reply.items.back().items[0].text);
        if (last && sent_at(*last) >= oldest) {
            ask_page(index, *last);
            commands_.flush_now();
        }
    }
    for (const Reply& entry : reply.items) {
        const auto id = entry.items.size() == 2 ? Position::parse(entry.items[0].text) : std::nullopt;
        if (!id) continue;
        const Millis sent = sent_at(*id);
        if (sent < oldest) {
            log.age_through(*id);
            log.know_after(*id);
            return end_fill(index, "window");
        }
        stream.fill_at = *id;
        ++stats_.entries_backfilled;
        ++stream.filled;
        prepend(index, *id, entry.items[1], sent);
    }
    if (reply.items.size() < page_entries) {
        log.know_after(stream.begins_after);
        return end_fill(index, "stream");
    }
    log.know_after(stream.fill_at.previous());
    if (log.is_full()) return end_fill(index, "recovery-bytes");
    wake_unread(stream, log.known_after());
    fill_on(index);
}

/// When an entry was written, on the clock of this loop.
Millis Cluster::sent_at(Position id) const noexcept {
    return std::min(loop_.now(), static_cast<Millis>(id.ms) - redis_ahead_);
}

void Cluster::prepend(std::size_t index, Position id, const Reply& fields, Millis sent) {
    const std::string_view nsp = text_field(fields, "nsp");
    if (text_field(fields, "type") != "3" || !hub_.serves(nsp)) return;
    const auto message = decoder_.stream_entry(text_field(fields, "uid"), nsp, "3", text_field(fields, "data"));
    if (!message || (*message)->has_request_id || (*message)->flags.is_volatile || (*message)->packet_has_id) return;
    selection_.rooms.assign((*message)->rooms.begin(), (*message)->rooms.end());
    selection_.except.assign((*message)->except.begin(), (*message)->except.end());
    hub_.prepend(index, nsp, selection_, {(*message)->event, (*message)->arguments, (*message)->attachments}, id, sent);
}

void Cluster::end_fill(std::size_t index, std::string_view by) {
    Stream& stream = streams_[index];
    hub_.log(index).lose_source_through(stream.dropped);
    stream.fill = Fill::ended;
    const RecoveryLog& log = hub_.log(index);
    log::info("redis", "log_filled",
              {{"stream", stream.key},
               {"entries", stream.filled},
               {"ended_by", by},
               {"after", log.known_after().text()},
               {"packets", log.packets()},
               {"bytes", log.content_bytes() + log.index_bytes()}});
    wake_unread(stream, {});
}

/// Those who wait for what the log knows by now go on; all of them when `known_after` is {0, 0}.
void Cluster::wake_unread(Stream& stream, Position known_after) {
    std::vector<std::shared_ptr<Resume>> ready;
    while (!stream.unread.empty()) {
        const auto last = std::prev(stream.unread.end());
        if (last->first < known_after) break;
        ready.push_back(std::move(last->second));
        stream.unread.erase(last);
    }
    for (const auto& resume : ready) advance(resume);
}

void Cluster::wake_ahead(Stream& stream) {
    std::vector<std::shared_ptr<Resume>> ready;
    while (!stream.ahead.empty() && stream.ahead.begin()->first <= *stream.last) {
        ready.push_back(std::move(stream.ahead.begin()->second));
        stream.ahead.erase(stream.ahead.begin());
    }
    for (const auto& resume : ready) advance(resume);
}

// --- reading further back -------------------------------------------------------------------------------------------

/// Sees to it that a reading begins for all that wait for one: soon, so that others can join, and not so often that it
/// takes more than a small part of the time.
void Cluster::want_sweep(Stream& stream) {
    if (stream.sweep != nullptr || stream.wants_sweep.empty()) return;
    const Millis at = std::max(loop_.now() + sweep_gathers, stream.next_sweep);
    if (!sweep_timer_->is_armed() || sweep_timer_->deadline() > at) loop_.timers().arm(*sweep_timer_, at);
}

void Cluster::on_sweep_timer() {
    for (Stream& stream : streams_) {
        if (stream.next_sweep <= loop_.now()) sweep(stream);
        want_sweep(stream);
    }
}

void Cluster::sweep(Stream& stream) {
    if (stream.sweep != nullptr || stream.wants_sweep.empty() || !commands_.is_up()) return;
    RecoveryLog& log = hub_.log(static_cast<std::size_t>(&stream - streams_.data()));
    auto sweep = std::make_unique<Sweep>();
    sweep->down_to = *stream.last;
    for (auto& resume : std::exchange(stream.wants_sweep, {})) {
        if (!resume->done) continue;
        resume->from = std::max(resume->from, log.floor(loop_.now()));
        resume->swept.clear();
        sweep->above = std::max(sweep->above, log.forgotten_through(resume->nsp, resume->stays));
        sweep->down_to = std::min(sweep->down_to, resume->from);
        for (const Stay& stay : resume->stays) {
            sweep->by_room[RecoveryLog::key_of(resume->nsp, stay)].push_back(resume.get());
        }
        sweep->members.push_back(std::move(resume));
    }
    if (sweep->members.empty()) return;
    ++stats_.sweeps;
    sweep->began = loop_.now();
    sweep->at = sweep->above.next();
    stream.sweep = std::move(sweep);
    ask_dropped(static_cast<std::size_t>(&stream - streams_.data()), commands_);
    commands_.send({"XINFO", "STREAM", stream.key}, [&stream](const Reply* reply) {
        if (reply != nullptr && !reply->is_error()) {
            stream.begins_after = std::max(beginning(*reply), stream.dropped);
        }
    });
    sweep_on(stream);
}

void Cluster::sweep_on(Stream& stream) {
    const std::size_t index = static_cast<std::size_t>(&stream - streams_.data());
    const bool is_asked = commands_.send(
        {"XREVRANGE", stream.key, before(stream.sweep->at), before(stream.sweep->down_to), "COUNT", page_size},
        [this, index](const Reply* reply) { take_sweep_page(streams_[index], reply); });
    if (!is_asked) take_sweep_page(stream, nullptr);
}

void Cluster::take_sweep_page(Stream& stream, const Reply* reply) {
    if (stream.sweep == nullptr) return;
    Sweep& sweep = *stream.sweep;
    if (reply == nullptr || reply->is_error()) {  // from the beginning, when Redis is back
        for (auto& member : sweep.members) stream.wants_sweep.push_back(std::move(member));
        stream.sweep.reset();
        return want_sweep(stream);
    }
    for (const Reply& entry : reply->items) {
        const auto id = entry.items.size() == 2 ? Position::parse(entry.items[0].text) : std::nullopt;
        if (!id) continue;
        sweep.at = *id;
        ++stats_.entries_swept;
        note_swept(sweep, *id, entry.items[1]);
    }
    if (reply->items.size() < page_entries) return end_sweep(stream);
    const bool is_wanted = std::ranges::any_of(sweep.members, [](const auto& one) { return one->done != nullptr; });
    if (is_wanted) {
        sweep_on(stream);
    } else {
        end_sweep(stream);
    }
}

/// An entry is noted for each member that was in one of its rooms.
void Cluster::note_swept(const Sweep& sweep, Position id, const Reply& fields) {
    const std::string_view nsp = text_field(fields, "nsp");
    if (text_field(fields, "type") != "3") return;
    const auto message = decoder_.stream_entry(text_field(fields, "uid"), nsp, "3", text_field(fields, "data"));
    if (!message || (*message)->has_request_id || (*message)->flags.is_volatile || (*message)->packet_has_id) return;
    const auto note = [&](const Stay& room) {
        const auto found = sweep.by_room.find(RecoveryLog::key_of(nsp, room));
        if (found == sweep.by_room.end()) return;
        for (Resume* resume : found->second) {
            const bool is_missed = id > resume->from && (resume->swept.empty() || resume->swept.back() != id);
            if (is_missed && resume->swept.size() <= max_older) resume->swept.push_back(id);
        }
    };
    if ((*message)->rooms.begin() == (*message)->rooms.end()) note({.room = {}, .is_everybody = true});
    for (const std::string& room : (*message)->rooms) note({.room = room});
}

void Cluster::end_sweep(Stream& stream) {
    const std::unique_ptr<Sweep> sweep = std::move(stream.sweep);
    const Millis took = loop_.now() - sweep->began;
    stream.next_sweep = loop_.now() + std::min(sweep_share * took, longest_sweep_pause);
    for (const auto& member : sweep->members) {
        if (!member->done) continue;
        if (member->from < stream.begins_after) {
            fail(member, ResumeFailure::trimmed);
            continue;
        }
        member->older.insert(member->older.end(), member->swept.rbegin(), member->swept.rend());
        member->swept.clear();
        member->from = sweep->above;
        if (member->older.size() > max_older) {
            fail(member, ResumeFailure::too_much);
        } else {
            advance(member);  // the index may have forgotten more meanwhile
        }
    }
    want_sweep(stream);  // for those who came meanwhile
}

// --- single events --------------------------------------------------------------------------------------------------

void Cluster::fetch(std::string_view nsp, std::vector<Position> positions,
                    std::function<void(std::optional<std::vector<FetchedEvent>>)> done) {
    const Stream* stream = stream_of(nsp);
    auto fetch = std::make_shared<Fetch>();
    fetch->done = std::move(done);
    fetch->events.resize(positions.size());
    for (std::size_t i = 0; i < positions.size(); ++i) {
        fetch->events[i].position = positions[i];
        const std::string id = positions[i].text();
        const bool is_sent = commands_.send({"XRANGE", stream->key, id, id}, [this, fetch, i](const Reply* reply) {
            take_fetched(*fetch, fetch->events[i], reply);
        });
        if (is_sent) {
            ++fetch->open;
            ++stats_.entries_fetched;
        } else {
            fetch->is_lost = true;
        }
    }
    if (fetch->open > 0) return;
    fetches_.push_back(fetch);  // told later, as all are
    loop_.timers().arm(*session_timer_, loop_.now());
}

void Cluster::take_fetched(Fetch& fetch, FetchedEvent& event, const Reply* reply) {
    if (reply == nullptr || reply->is_error()) fetch.is_lost = true;
    if (reply != nullptr && reply->is_array() && reply->items.size() == 1 && reply->items[0].items.size() == 2) {
        const Reply& fields = reply->items[0].items[1];
        const auto message = decoder_.stream_entry(text_field(fields, "uid"), text_field(fields, "nsp"), "3",
                                                   text_field(fields, "data"));
        if (message) {
            event.is_there = true;
            event.rooms = (*message)->rooms.copy();
            event.except = (*message)->except.copy();
            event.name = (*message)->event;
            event.arguments = (*message)->arguments;
            event.attachments = (*message)->attachments;
            event.gateway = text_field(fields, "node");
            event.number = number_field(fields, "n");
        }
    }
    if (--fetch.open > 0) return;
    const auto done = std::move(fetch.done);
    if (fetch.is_lost) {
        done(std::nullopt);
    } else {
        done(std::move(fetch.events));
    }
}

/// Fetches that could not even be sent.
void Cluster::tell_lost_fetches() {
    for (const auto& fetch : std::exchange(fetches_, {})) fetch->done(std::nullopt);
}

}  // namespace sio::gateway
