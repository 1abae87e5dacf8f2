#include "gateway/outbox.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>

#include "base/bytes.h"
#include "proto/eio_packet.h"

namespace sio::gateway {

namespace {

constexpr std::size_t most_room_bytes = std::size_t{128} << 10U;  // so much may wait when more is asked for

}  // namespace

Outbox::Outbox(Owner& owner, std::size_t queue_bytes, QueuePolicy policy)
    : owner_(owner),
      queue_bytes_(queue_bytes),
      room_bytes_(std::min(most_room_bytes, queue_bytes / 4)),
      policy_(policy),
      gather_(gather_bytes) {}

Outbox::~Outbox() {
    for (Record& record : records_) drop_all(record);
}

void Outbox::open(Slot slot) {
    if (slot >= records_.size()) {
        records_.resize(slot + 1);
        own_costs_.resize(slot + 1);
    }
    close(slot);
}

void Outbox::close(Slot slot) noexcept {
    Record& record = records_[slot];
    drop_all(record);
    // The slot may stand in a list of this turn still; writing nothing for it is harmless.
    record.flags &= direct_flag | bulk_flag;
    record.fd = -1;
}

void Outbox::attach(Slot slot, int fd) {
    Record& record = records_[slot];
    record.fd = fd;
    record.flags &= ~(blocked_flag | poll_flag);
    if (record.count > 0) make_dirty(slot, record);
}

void Outbox::detach(Slot slot) noexcept { records_[slot].fd = -1; }

void Outbox::set_wants_offset(Slot slot, bool wants) noexcept {
    if (wants) {
        records_[slot].flags |= wants_offset_flag;
    } else {
        records_[slot].flags &= ~wants_offset_flag;
    }
}

void Outbox::grow(Record& record) {
    const std::uint32_t capacity = record.capacity < 8 ? 16 : record.capacity * 2;
    auto** ring = static_cast<Frame**>(::operator new(sizeof(void*) * capacity));
    for (std::uint32_t i = 0; i < record.count; ++i) ring[i] = record.at(i);
    ::operator delete(record.ring);
    record.ring = ring;
    record.capacity = capacity;
    record.head = 0;
}

void Outbox::append(Record& record, const FrameRef& frame) {
    if ((record.flags & base64_flag) != 0 && frame->is_binary()) {
        std::string text;
        base::append_base64(text, frame->payload());
        append(record, FrameRef::text("b", text, frame->has_attachment_next()));
        return;
    }
    if (record.count == record.capacity) grow(record);
    FrameRef::retain(frame.get());
    record.at(record.count) = frame.get();
    ++record.count;
    record.bytes += frame->size();
    count_in(record, *frame.get());
}

void Outbox::count_in(const Record& record, const Frame& frame) noexcept {
    bytes_waiting_ += frame.size();
    if (!frame.is_shared()) own_costs_[slot_of(record)] += static_cast<std::uint32_t>(frame.cost());
}

void Outbox::count_out(const Record& record, const Frame& frame) noexcept {
    bytes_waiting_ -= frame.size();
    if (!frame.is_shared()) own_costs_[slot_of(record)] -= static_cast<std::uint32_t>(frame.cost());
}

void Outbox::pop_front(Record& record) noexcept {
    Frame* frame = record.at(0);
    record.bytes -= frame->size();
    count_out(record, *frame);
    if (frame->has_attachment_next()) {
        record.flags |= mid_message_flag;
    } else {
        record.flags &= ~mid_message_flag;
    }
    FrameRef::release(frame);
    --record.count;
    if (++record.head == record.capacity) record.head = 0;
}

void Outbox::drop_all(Record& record) noexcept {
    while (record.count > 0) pop_front(record);
    ::operator delete(record.ring);
    record.ring = nullptr;
    record.capacity = inline_frames;
    record.head = record.offset = 0;
}

bool Outbox::drop_oldest_message(Record& record) noexcept {
    // A message that is half written, with its attachments, must go out whole.
    std::uint32_t first = 0;
    if (record.offset > 0 || (record.flags & mid_message_flag) != 0) {
        while (first < record.count && record.at(first)->has_attachment_next()) ++first;
        ++first;
    }
    std::uint32_t end = first;
    while (end < record.count && record.at(end)->has_attachment_next()) ++end;
    if (end >= record.count) return false;
    ++end;
    for (std::uint32_t i = first; i < end; ++i) {
        Frame* frame = record.at(i);
        record.bytes -= frame->size();
        count_out(record, *frame);
        ++stats_.frames_dropped;
        FrameRef::release(frame);
    }
    const std::uint32_t gone = end - first;
    for (std::uint32_t i = first; i-- > 0;) record.at(i + gone) = record.at(i);
    record.head = (record.head + gone) % record.capacity;
    record.count -= gone;
    return true;
}

void Outbox::make_dirty(Slot slot, Record& record) {
    if ((record.flags & blocked_flag) != 0) return;
    if (bulk_) {
        if ((record.flags & (direct_flag | bulk_flag)) != 0) return;
        record.flags |= bulk_flag;
        jobs_.back().slots.push_back(slot);
    } else {
        if ((record.flags & direct_flag) != 0) return;
        record.flags |= direct_flag;
        direct_.push_back(slot);
    }
}

/// Whether `size` more bytes may wait. What the socket takes now is written first: a healthy client is not slow because
/// much was said to it in one turn.
bool Outbox::fits(Slot slot, Record& record, std::size_t size) {
    if (cost_of(record) + size <= queue_bytes_ || record.count == 0) return true;
    write(slot);
    return cost_of(record) + size <= queue_bytes_ || record.count == 0;
}

void Outbox::append_all(Slot slot, Record& record, const FrameRef* frames, std::size_t count) {
    const std::size_t before = cost_of(record) / growth_step;
    for (std::size_t i = 0; i < count; ++i) append(record, frames[i]);
    if (cost_of(record) / growth_step != before) owner_.on_growth(slot);
    stats_.frames_queued += count;
    if (record.fd >= 0 || (record.flags & poll_flag) != 0) make_dirty(slot, record);
}

bool Outbox::push(Slot slot, const FrameRef* frames, std::size_t count) {
    if (offer(slot, frames, count)) return true;
    if (policy_ == QueuePolicy::disconnect) refuse(slot);
    return false;
}

bool Outbox::offer(Slot slot, const FrameRef* frames, std::size_t count) {
    Record& record = records_[slot];
    if ((record.flags & refused_flag) != 0) {
        stats_.frames_refused += count;
        return false;
    }
    std::size_t size = 0;
    for (std::size_t i = 0; i < count; ++i) size += frames[i]->cost();
    if (!fits(slot, record, size)) {
        ++stats_.queues_full;
        if (policy_ == QueuePolicy::disconnect) return false;
        if (policy_ == QueuePolicy::drop_newest) {
            stats_.frames_dropped += count;
            return false;
        }
        while (cost_of(record) + size > queue_bytes_ && drop_oldest_message(record)) {
        }
    }
    append_all(slot, record, frames, count);
    return true;
}

void Outbox::push_paced(Slot slot, const FrameRef* frames, std::size_t count) {
    Record& record = records_[slot];
    if ((record.flags & refused_flag) == 0) append_all(slot, record, frames, count);
}

void Outbox::push_pong(Slot slot, const FrameRef& pong) {
    Record& record = records_[slot];
    const std::uint32_t untouched = record.count - (record.offset > 0 ? 1 : 0);
    if (untouched == 0 || !record.at(record.count - 1)->is_pong()) {
        push(slot, pong);
        return;
    }
    Frame*& last = record.at(record.count - 1);
    count_out(record, *last);
    record.bytes += pong->size() - last->size();
    FrameRef::release(last);
    FrameRef::retain(pong.get());
    last = pong.get();
    count_in(record, *last);
}

void Outbox::refuse(Slot slot) {
    Record& record = records_[slot];
    if ((record.flags & refused_flag) != 0) return;
    record.flags |= refused_flag;
    ++stats_.frames_refused;
    owner_.on_queue_full(slot);
}

void Outbox::set_behind(Slot slot, bool is_behind) noexcept {
    if (is_behind) {
        records_[slot].flags |= behind_flag;
    } else {
        records_[slot].flags &= ~(behind_flag | wants_room_flag);
    }
}

void Outbox::tell_of_room(Slot slot, Record& record) {
    if ((record.flags & wants_room_flag) == 0 || cost_of(record) > room_bytes_) return;
    record.flags &= ~wants_room_flag;
    owner_.on_room(slot);
}

void Outbox::begin_bulk() {
    bulk_ = true;
    jobs_.emplace_back();
    jobs_.back().slots = std::move(spare_);
    jobs_.back().slots.clear();
}

void Outbox::end_bulk() {
    bulk_ = false;
    if (jobs_.back().slots.empty()) {
        spare_ = std::move(jobs_.back().slots);
        jobs_.pop_back();
    }
}

std::size_t Outbox::take_payload(Slot slot, std::size_t most, std::string& payload) {
    Record& record = records_[slot];
    std::size_t taken = 0;
    while (record.count > 0 && taken < most) {
        const Frame& frame = *record.at(0);
        if (!frame.is_pong()) {
            if (taken > 0) payload += proto::EioPayload::separator;
            if (frame.is_binary()) {
                payload += 'b';
                base::append_base64(payload, frame.payload());
            } else {
                payload += frame.payload();
            }
            ++taken;
        }
        pop_front(record);
    }
    stats_.frames_sent += taken;
    if (record.count == 0) drop_all(record);
    tell_of_room(slot, record);
    return taken;
}

void Outbox::unblock(Slot slot) {
    Record& record = records_[slot];
    if ((record.flags & blocked_flag) == 0) return;
    record.flags &= ~blocked_flag;
    if (record.count > 0) make_dirty(slot, record);
}

void Outbox::set_poll_waiting(Slot slot, bool waiting) {
    Record& record = records_[slot];
    if (!waiting) {
        record.flags &= ~poll_flag;
        return;
    }
    record.flags |= poll_flag;
    if (record.count > 0) make_dirty(slot, record);
}

std::string Outbox::take_wire(Slot slot) {
    Record& record = records_[slot];
    std::string bytes;
    bytes.reserve(record.bytes);
    while (record.count > 0) {
        bytes += record.at(0)->wire().substr(record.offset);
        record.offset = 0;
        pop_front(record);
    }
    drop_all(record);
    return bytes;
}

void Outbox::flush_now(Slot slot) {
    Record& record = records_[slot];
    if (record.fd >= 0 && record.count > 0 && (record.flags & blocked_flag) == 0) write(slot);
}

void Outbox::write(Slot slot) {
    write_some(slot);
    tell_of_room(slot, records_[slot]);
}

void Outbox::write_some(Slot slot) {
    for (;;) {
        Record& record = records_[slot];
        if (record.count == 0 || (record.flags & blocked_flag) != 0) return;
        if (record.fd < 0) {
            if ((record.flags & poll_flag) != 0) owner_.on_poll_ready(slot);
            return;
        }
        ssize_t sent = 0;
        std::size_t wanted = 0;
        if (record.count == 1) {
            const std::string_view bytes = record.at(0)->wire().substr(record.offset);
            wanted = bytes.size();
            sent = ::send(record.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        } else {
            // Many small frames are joined: copying them costs less than a segment each. A large one goes by itself.
            std::size_t joined = 0;
            std::uint32_t i = 0;
            std::size_t offset = record.offset;
            for (; i < record.count; ++i) {
                const std::string_view bytes = record.at(i)->wire().substr(offset);
                if (joined + bytes.size() > gather_bytes) break;
                std::memcpy(gather_.data() + joined, bytes.data(), bytes.size());
                joined += bytes.size();
                offset = 0;
            }
            if (i > 1 || record.at(0)->size() <= gather_bytes / 2) {
                wanted = joined;
                sent = ::send(record.fd, gather_.data(), joined, MSG_NOSIGNAL);
            } else {
                std::array<iovec, max_segments> segments;
                std::uint32_t n = 0;
                offset = record.offset;
                for (; n < record.count && n < max_segments; ++n) {
                    const std::string_view bytes = record.at(n)->wire().substr(offset);
                    segments[n] = {const_cast<char*>(bytes.data()), bytes.size()};
                    wanted += bytes.size();
                    offset = 0;
                }
                msghdr message{};
                message.msg_iov = segments.data();
                message.msg_iovlen = n;
                sent = ::sendmsg(record.fd, &message, MSG_NOSIGNAL);
            }
        }
        ++stats_.writes;
        if (sent < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN) {
                ++stats_.writes_blocked;
                record.flags |= blocked_flag;
                return;
            }
            owner_.on_write_failed(slot, errno);
            return;
        }
        stats_.bytes_sent += static_cast<std::uint64_t>(sent);
        auto left = static_cast<std::size_t>(sent) + record.offset;
        record.offset = 0;
        while (record.count > 0 && left >= record.at(0)->size()) {
            left -= record.at(0)->size();
            pop_front(record);
            ++stats_.frames_sent;
        }
        record.offset = static_cast<std::uint32_t>(left);
        if (static_cast<std::size_t>(sent) < wanted) {  // the next edge comes when there is room
            ++stats_.writes_blocked;
            record.flags |= blocked_flag;
            return;
        }
        if (record.count == 0) {
            if (record.ring != nullptr) drop_all(record);
            record.head = 0;
            return;
        }
    }
}

bool Outbox::flush() {
    // Answering one may make another dirty (an owner that closes a session tells others): until nothing is left.
    while (!direct_.empty()) {
        writing_.swap(direct_);
        for (const Slot slot : writing_) {
            records_[slot].flags &= ~direct_flag;
            write(slot);
        }
        writing_.clear();
    }
    std::size_t left = bulk_slice;
    while (left > 0 && !jobs_.empty()) {
        // One job's slice a turn, and the jobs in turns, so that a second room need not wait for all of the first.
        const std::size_t job_count = jobs_.size();
        const std::size_t share = std::max<std::size_t>(left / job_count, 32);
        Job job = std::move(jobs_.front());
        jobs_.pop_front();
        const std::size_t end = std::min(job.slots.size(), job.next + std::min(share, left));
        left -= end - job.next;
        for (; job.next < end; ++job.next) {
            const Slot slot = job.slots[job.next];
            records_[slot].flags &= ~bulk_flag;
            write(slot);
        }
        if (job.next < job.slots.size()) {
            jobs_.push_back(std::move(job));
        } else if (spare_.capacity() < job.slots.capacity()) {
            spare_ = std::move(job.slots);
        }
    }
    return !jobs_.empty() || !direct_.empty();
}

}  // namespace sio::gateway
