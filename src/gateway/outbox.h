// What waits to be written to each client, and the one write per client and turn that empties it.
//
// The records of all sessions lie in one array of cache lines, so a fan-out touches one line per recipient: it appends
// a pointer and marks the record. The system calls come later, in flush(): direct answers first, then large fan-outs
// in slices, so that ten thousand deliveries hold up nobody's ping.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "gateway/frame.h"

namespace sio::gateway {

/// What happens to a client whose queue is full. Frames that belong together go together.
enum class QueuePolicy : std::uint8_t { disconnect, drop_newest, drop_oldest };

/// Counters of the delivery path; read by metrics.
struct OutboxStats {
    std::uint64_t frames_queued = 0;
    std::uint64_t frames_sent = 0;
    std::uint64_t bytes_sent = 0;
    std::uint64_t writes = 0;
    std::uint64_t writes_blocked = 0;  ///< the socket was full
    std::uint64_t frames_dropped = 0;  ///< by queue policy
    std::uint64_t frames_refused = 0;  ///< for clients whose queue was full, which are ended
    std::uint64_t queues_full = 0;
};

class Outbox {
public:
    using Slot = std::uint32_t;

    /// Told about a session whose socket failed (`error` is an errno) or whose queue is full under
    /// QueuePolicy::disconnect. Called from flush(), push() and their like; it may not call push() or flush() for that
    /// slot.
    class Owner {
    public:
        virtual ~Owner() = default;
        virtual void on_write_failed(Slot slot, int error) = 0;
        virtual void on_queue_full(Slot slot) = 0;
        /// A poll is waiting (set_poll_waiting()) and there is something for it: take_payload() and answer it.
        virtual void on_poll_ready(Slot slot) = 0;
        /// The queue of a client that is behind (want_room()) has room again. To be acted on later, not in the call.
        virtual void on_room(Slot slot) = 0;
        /// What waits for this one has grown by another `growth_step`. To be acted on later, not in the call.
        virtual void on_growth(Slot slot) = 0;
    };

    /// `queue_bytes`: how much may wait for one client, inclusive, at what it costs (Frame::cost()); a single message
    /// larger than that still passes when nothing else waits. Before a message is refused, what the socket takes now is
    /// written.
    Outbox(Owner& owner, std::size_t queue_bytes, QueuePolicy policy);
    ~Outbox();
    Outbox(const Outbox&) = delete;
    Outbox& operator=(const Outbox&) = delete;

    /// Makes the record of `slot` fresh: no descriptor (frames wait for polls).
    void open(Slot slot);
    /// Drops all that waits and forgets the descriptor.
    void close(Slot slot) noexcept;

    /// From now on frames go to this socket; what waits is flushed at the end of the turn, in order.
    void attach(Slot slot, int fd);
    void detach(Slot slot) noexcept;
    [[nodiscard]] bool is_attached(Slot slot) const noexcept { return records_[slot].fd >= 0; }

    /// Recipients that want recovery offsets get another variant of a broadcast.
    void set_wants_offset(Slot slot, bool wants) noexcept;
    /// Binary messages are to become `b<base64>` text on this client's WebSocket (its query has b64=1).
    void set_base64(Slot slot) noexcept { records_[slot].flags |= base64_flag; }
    [[nodiscard]] bool wants_offset(Slot slot) const noexcept {
        return (records_[slot].flags & wants_offset_flag) != 0;
    }

    /// A poll is parked for this slot, or not any more.
    void set_poll_waiting(Slot slot, bool waiting);

    /// Whether a volatile message may be sent now: the socket takes bytes, or a poll waits that has nothing yet.
    [[nodiscard]] bool is_writable(Slot slot) const noexcept {
        const Record& record = records_[slot];
        return record.fd >= 0 ? (record.flags & blocked_flag) == 0
                              : (record.flags & poll_flag) != 0 && record.count == 0;
    }
    [[nodiscard]] bool is_empty(Slot slot) const noexcept { return records_[slot].count == 0; }
    [[nodiscard]] std::size_t bytes(Slot slot) const noexcept { return records_[slot].bytes; }
    /// What waits, at what it costs.
    [[nodiscard]] std::size_t cost(Slot slot) const noexcept { return cost_of(records_[slot]); }
    /// The same without what is shared by many.
    [[nodiscard]] std::size_t own_cost(Slot slot) const noexcept { return own_costs_[slot]; }
    [[nodiscard]] std::size_t frames(Slot slot) const noexcept { return records_[slot].count; }

    /// Marks the recipients of one selection, so that each is chosen once: begin_marks() starts a selection, mark()
    /// is true the first time a slot is seen in it.
    void begin_marks() noexcept { ++mark_; }
    bool mark(Slot slot) noexcept { return std::exchange(records_[slot].mark, mark_) != mark_; }

    /// Appends a message: a frame, or a frame and its attachments. One write per turn sends all that came. False: it
    /// was not taken. Under QueuePolicy::disconnect nothing more is taken for this client then, so that what it has got
    /// has no gap, and the owner is told.
    bool push(Slot slot, const FrameRef* frames, std::size_t count);
    bool push(Slot slot, const FrameRef& frame) { return push(slot, &frame, 1); }
    /// The same for a caller that knows what to do when there is no room under QueuePolicy::disconnect: nothing has
    /// happened then.
    bool offer(Slot slot, const FrameRef* frames, std::size_t count);
    /// The same whatever waits: for what is paced by want_room().
    void push_paced(Slot slot, const FrameRef* frames, std::size_t count);
    /// A pong takes the place of one that has not been written yet. Source: RFC 6455, 5.5.3.
    void push_pong(Slot slot, const FrameRef& pong);
    /// Takes nothing more for this client, and tells the owner that its queue is full.
    void refuse(Slot slot);
    [[nodiscard]] bool is_refused(Slot slot) const noexcept { return (records_[slot].flags & refused_flag) != 0; }

    /// A client that is behind gets what is recorded from the log, not from fan-outs.
    void set_behind(Slot slot, bool is_behind) noexcept;
    [[nodiscard]] bool is_behind(Slot slot) const noexcept { return (records_[slot].flags & behind_flag) != 0; }
    /// on_room() is called once, when no more than room_bytes() wait.
    void want_room(Slot slot) noexcept { records_[slot].flags |= wants_room_flag; }
    [[nodiscard]] std::size_t room_bytes() const noexcept { return room_bytes_; }

    /// Between begin_bulk() and end_bulk(), pushes belong to a large fan-out and are flushed in slices.
    void begin_bulk();
    void end_bulk();

    /// Takes up to `most` packets from the front for a poll's answer, appended as a payload. Only while detached.
    /// Returns how many were taken.
    std::size_t take_payload(Slot slot, std::size_t most, std::string& payload);

    /// The socket can take more.
    void unblock(Slot slot);

    /// Removes all that waits and returns it as wire bytes (what is left of a half-written frame first).
    std::string take_wire(Slot slot);

    /// Writes. Returns whether slices of fan-outs are left for the next turn.
    bool flush();
    /// Whether flush() has nothing to do.
    [[nodiscard]] bool is_clean() const noexcept { return direct_.empty() && jobs_.empty(); }
    /// Writes what waits for this one now (before a close frame is sent another way).
    void flush_now(Slot slot);

    [[nodiscard]] const OutboxStats& stats() const noexcept { return stats_; }
    [[nodiscard]] std::uint64_t bytes_waiting() const noexcept { return bytes_waiting_; }

    static constexpr std::size_t bulk_slice = 256;      ///< recipients of fan-outs written per turn
    static constexpr std::size_t gather_bytes = 65536;  ///< small frames are joined in a buffer up to this
    static constexpr std::size_t max_segments = 64;     ///< larger ones are written with one sendmsg
    static constexpr std::size_t growth_step = std::size_t{64} << 10U;  ///< bytes

private:
    static constexpr std::uint32_t blocked_flag = 1;
    static constexpr std::uint32_t direct_flag = 2;  // in direct_
    static constexpr std::uint32_t bulk_flag = 4;    // in a job
    static constexpr std::uint32_t wants_offset_flag = 8;
    static constexpr std::uint32_t poll_flag = 16;  // a poll is parked
    static constexpr std::uint32_t base64_flag = 32;
    static constexpr std::uint32_t mid_message_flag = 64;  // the first frame is an attachment of one that has left
    static constexpr std::uint32_t refused_flag = 128;     // nothing more is taken
    static constexpr std::uint32_t behind_flag = 256;
    static constexpr std::uint32_t wants_room_flag = 512;
    static constexpr std::uint32_t inline_frames = 3;

    struct alignas(64) Record {
        int fd = -1;
        std::uint32_t flags = 0;
        std::uint32_t count = 0;  // frames that wait
        std::uint32_t head = 0;   // index of the first in the ring
        std::uint32_t capacity = inline_frames;
        std::uint32_t offset = 0;  // bytes of the first frame already written
        std::uint32_t bytes = 0;   // bytes that wait, offset included
        std::uint32_t mark = 0;
        Frame** ring = nullptr;  // null: `few` is the ring
        Frame* few[inline_frames] = {};

        Frame** frames() noexcept { return ring != nullptr ? ring : few; }
        Frame*& at(std::uint32_t i) noexcept {
            std::uint32_t index = head + i;
            if (index >= capacity) index -= capacity;
            return frames()[index];
        }
    };
    static_assert(sizeof(Record) == 64);

    struct Job {
        std::vector<Slot> slots;
        std::size_t next = 0;
    };

    static std::size_t cost_of(const Record& record) noexcept { return record.bytes + record.count * Frame::overhead; }
    Slot slot_of(const Record& record) const noexcept { return static_cast<Slot>(&record - records_.data()); }
    void grow(Record& record);
    void append(Record& record, const FrameRef& frame);
    void count_in(const Record& record, const Frame& frame) noexcept;
    void count_out(const Record& record, const Frame& frame) noexcept;
    void pop_front(Record& record) noexcept;
    void drop_all(Record& record) noexcept;
    bool drop_oldest_message(Record& record) noexcept;
    void make_dirty(Slot slot, Record& record);
    bool fits(Slot slot, Record& record, std::size_t size);
    void append_all(Slot slot, Record& record, const FrameRef* frames, std::size_t count);
    void tell_of_room(Slot slot, Record& record);
    void write(Slot slot);
    void write_some(Slot slot);

    Owner& owner_;
    std::size_t queue_bytes_;
    std::size_t room_bytes_;
    QueuePolicy policy_;
    std::vector<Record> records_;
    std::vector<std::uint32_t> own_costs_;  // by slot: bytes, of frames that are not shared
    std::vector<Slot> direct_;
    std::vector<Slot> writing_;
    std::deque<Job> jobs_;
    std::vector<Slot> spare_;  // memory of a finished job, for the next
    bool bulk_ = false;
    std::uint32_t mark_ = 0;
    std::uint64_t bytes_waiting_ = 0;
    OutboxStats stats_;
    std::vector<char> gather_;
};

}  // namespace sio::gateway
