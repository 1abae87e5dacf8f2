// Clients that want to resume: their session is claimed, and they are let in when the log has all that they missed.
// Until then they wait, with what they send; none of them reads the stream by itself. See cluster_backfill.cpp for who
// does.
#include <algorithm>

#include "base/log.h"
#include "gateway/cluster_parts.h"

namespace sio::gateway {

using redis::Reply;

void Cluster::resume(Namespace& nsp, ResumeRequest request, std::function<void(ResumeResult)> done) {
    // The same client again, by another connection: the first one is dead or a copy.
    const auto range = resumes_.equal_range(request.pid);
    std::vector<std::shared_ptr<Resume>> before;
    for (auto one = range.first; one != range.second; ++one) before.push_back(one->second);
    for (const auto& one : before) {
        if (one->nsp != nsp.name) continue;
        finish(one, ResumeResult::superseded());
    }
    auto resume = std::make_shared<Resume>(*this, nsp.name, std::move(request), std::move(done));
    resume->began = loop_.now();
    resume->read = entries_read_back();
    resumes_.emplace(resume->request.pid, resume);
    // Whoever returns while Redis has been unreachable for long is not kept waiting for it.
    const Millis until = loop_.now() + options_.recovery_wait;
    loop_.timers().arm(*resume, commands_.is_up() ? until : std::min(until, away_since_ + options_.recovery_wait));
    if (resume->request.saved) {
        claim_known(*resume);
        begin(resume);
    } else {
        resume->waits_for = "Redis";
        claim(resume);
    }
}

/// For a socket that is connected and so far behind that the log has forgotten what it needs.
void Cluster::look_back(std::string_view nsp, std::vector<Stay> stays, Position from,
                        std::function<void(ResumeResult)> done) {
    auto resume = std::make_shared<Resume>(*this, std::string(nsp), ResumeRequest{}, std::move(done));
    resume->request.saved.emplace();
    resume->stays = std::move(stays);
    resume->from = from;
    resume->is_known = true;
    resume->began = loop_.now();
    resume->read = entries_read_back();
    resumes_.emplace(resume->request.pid, resume);
    loop_.timers().arm(*resume, loop_.now() + options_.recovery_wait);
    advance(resume);
}

/// Redis is back: who could not ask for a session does so now, and who waits for the rest goes on.
void Cluster::go_on_resuming() {
    std::vector<std::shared_ptr<Resume>> all;
    all.reserve(resumes_.size());
    for (const auto& [pid, resume] : resumes_) all.push_back(resume);
    for (const auto& resume : all) {
        if (resume->request.saved) {
            advance(resume);
        } else {
            claim(resume);
        }
    }
}

/// Its session is known.
void Cluster::begin(const std::shared_ptr<Resume>& resume) {
    const SavedSocket& saved = *resume->request.saved;
    if (!resume->request.offset) return fail(resume, ResumeFailure::malformed);
    resume->from = *resume->request.offset;
    resume->stays = Hub::stays_of(saved.sid, saved.stays);
    advance(resume);
}

/// The next step; called again whenever what it waits for may have come.
void Cluster::advance(const std::shared_ptr<Resume>& resume) {
    if (!resume->done || resume->is_asking) return;
    const auto found = hub_.namespaces().find(resume->nsp);
    if (found == hub_.namespaces().end()) return fail(resume, ResumeFailure::unknown_session);
    Stream& stream = *stream_of(resume->nsp);
    if (!stream.last) {
        resume->waits_for = "the end of the stream";
        return;
    }
    if (resume->from > *stream.last) return check_end(resume, stream);
    RecoveryLog& log = found->second->log;
    if (!resume->is_known && resume->from != resume->request.saved->connected_at && resume->from != *stream.last &&
        !log.has(resume->nsp, resume->stays, resume->from)) {
        return check_offset(resume, stream);
    }
    resume->is_known = true;
    switch (log.covers(resume->nsp, resume->stays, resume->from, loop_.now())) {
        case RecoveryLog::Coverage::whole: return succeed(resume);
        case RecoveryLog::Coverage::not_read:
            if (stream.fill == Fill::under_way) {
                resume->waits_for = "the log to be filled from the stream";
                stream.unread.emplace(resume->from, resume);
                return;
            }
            break;
        case RecoveryLog::Coverage::forgotten: break;
    }
    if (std::max(resume->from, log.floor(loop_.now())) < stream.begins_after) {
        return fail(resume, ResumeFailure::trimmed);
    }
    resume->waits_for = "the stream to be read further back";
    stream.wants_sweep.push_back(resume);
    want_sweep(stream);
}

/// It knows more than this gateway has read. That will be here soon, or never was in this stream.
void Cluster::check_end(const std::shared_ptr<Resume>& resume, Stream& stream) {
    resume->waits_for = "the stream to be read as far as its client has";
    resume->is_asking = commands_.send({"XINFO", "STREAM", stream.key}, [this, resume, &stream](const Reply* reply) {
        resume->is_asking = false;
        if (!resume->done || reply == nullptr) return;  // asked again when Redis is back
        const auto end = reply->is_error()
                             ? Position{}
                             : Position::parse(text_field(*reply, "last-generated-id")).value_or(Position{});
        if (resume->from <= *stream.last) return advance(resume);
        if (resume->from <= end) {
            stream.ahead.emplace(resume->from, resume);
        } else if (resume->from == resume->request.saved->connected_at) {
            resume->from = *stream.last;  // it has connected by the clock, and nothing has come since
            advance(resume);
        } else {
            fail(resume, ResumeFailure::unknown_offset);
        }
    });
}

/// A place that never was tells nothing of what its client has.
void Cluster::check_offset(const std::shared_ptr<Resume>& resume, const Stream& stream) {
    resume->waits_for = "its place in the stream";
    const std::string offset = resume->from.text();
    commands_.send({"XRANGE", stream.key, offset, offset}, [resume](const Reply* reply) {
        resume->is_known = reply != nullptr && reply->is_array() && !reply->items.empty();
    });
    resume->is_asking = commands_.send({"XINFO", "STREAM", stream.key}, [this, resume](const Reply* reply) {
        resume->is_asking = false;
        if (!resume->done || reply == nullptr) return;  // asked again when Redis is back
        // It may have been trimmed by now, with all that is as old.
        const auto first =
            reply->is_error() ? std::nullopt : Position::parse(text_field(*reply, "recorded-first-entry-id"));
        const bool is_trimmed =
            first && resume->from < *first && number_field(*reply, "entries-added") > number_field(*reply, "length");
        if (!resume->is_known && !is_trimmed) return fail(resume, ResumeFailure::unknown_offset);
        resume->is_known = true;
        advance(resume);
    });
}

// --- the end --------------------------------------------------------------------------------------------------------

void Cluster::succeed(const std::shared_ptr<Resume>& resume) {
    ++stats_.sessions_restored;
    finish(resume, ResumeResult::of(
                       {std::move(*resume->request.saved), std::move(resume->older), resume->from, resume->is_owner}));
}

void Cluster::fail(const std::shared_ptr<Resume>& resume, ResumeFailure failure) {
    ++stats_.sessions_lost;
    std::string detail = "offset " + resume->from.text();
    if (const Stream* stream = stream_of(resume->nsp); stream != nullptr && stream->last) {
        const RecoveryLog& log = hub_.log(static_cast<std::size_t>(stream - streams_.data()));
        detail += ", the log knows what is after " + log.known_after().text() + ", the stream is read up to " +
                  stream->last->text();
    }
    detail += ", waited " + std::to_string(loop_.now() - resume->began) + " ms";
    if (!resume->waits_for.empty()) detail += " for " + resume->waits_for;
    finish(resume, ResumeResult::failed(failure, std::move(detail)));
}

/// It has waited for recovery_wait. While the stream is read back for those who wait, what it waits for comes nearer: it
/// goes on waiting, for as long as its session would be kept.
void Cluster::on_wait_over(Resume& resume) {
    const std::uint64_t before = std::exchange(resume.read, entries_read_back());
    if (!commands_.is_up() || resume.read == before || loop_.now() - resume.began >= options_.session_window) {
        return give_up(resume);
    }
    loop_.timers().arm(resume, loop_.now() + options_.recovery_wait);
}

/// Its time is over.
void Cluster::give_up(const Resume& resume) {
    const auto range = resumes_.equal_range(resume.request.pid);
    const auto found =
        std::find_if(range.first, range.second, [&](const auto& one) { return one.second.get() == &resume; });
    if (found == range.second) return;
    fail(found->second, commands_.is_up() ? ResumeFailure::timeout : ResumeFailure::redis_unreachable);
}

/// Calls `done`, once. A sweep that holds it finds it done.
void Cluster::finish(const std::shared_ptr<Resume>& resume, ResumeResult result) {
    const std::shared_ptr<Resume> holds = resume;
    const auto range = resumes_.equal_range(holds->request.pid);
    for (auto one = range.first; one != range.second; ++one) {
        if (one->second != holds) continue;
        resumes_.erase(one);
        break;
    }
    holds->disarm();
    if (Stream* stream = stream_of(holds->nsp)) {
        for (auto* waiting : {&stream->unread, &stream->ahead}) {
            const auto same = waiting->equal_range(holds->from);
            for (auto one = same.first; one != same.second; ++one) {
                if (one->second != holds) continue;
                waiting->erase(one);
                break;
            }
        }
    }
    if (const auto done = std::exchange(holds->done, {})) done(std::move(result));
}

}  // namespace sio::gateway
