// What the files of Hub share among themselves.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/hub.h"

namespace sio::gateway {

/// A CONNECT that is looked into; what its client sends meanwhile waits with it.
struct Hub::Knock {
    std::uint64_t ticket = 0;
    std::string nsp;
    bool is_dynamic = false;
    std::string auth;
    std::string user;
    bool tries = false;  ///< it wants to be recovered
    std::string pid;
    HadEarly had;
    std::optional<std::string> token;  ///< of its payload, where sio-authd is asked
    std::unique_ptr<Pass> pass;        ///< what it has said
    Millis asked_at = 0;
    Millis decided_at = 0;

    struct Kept {
        proto::SioType type;
        std::optional<std::uint64_t> id;
        std::string json;
        std::optional<std::vector<std::string>> attachments;
    };
    std::vector<Kept> packets;
    std::size_t bytes = 0;

    /// Bytes that it holds, itself included.
    [[nodiscard]] std::size_t cost() const noexcept {
        return sizeof(Knock) + nsp.capacity() + auth.capacity() + user.capacity() + pid.capacity() +
               (token ? token->capacity() : 0) + packets.capacity() * sizeof(Kept) + bytes;
    }

    void keep(const proto::SioPacket& packet) {
        Kept kept{packet.type, packet.id, std::string(packet.json), {}};
        bytes += kept.json.capacity();
        if (packet.attachments != nullptr) {
            kept.attachments = *packet.attachments;
            for (const std::string& one : *kept.attachments) bytes += sizeof(std::string) + one.capacity();
        }
        packets.push_back(std::move(kept));
    }
};

/// Closes a session that has joined nothing when connect_timeout has passed, and one whose attachments do not come.
struct Hub::Client final : base::Timer {
    Client(Hub& owner, Slot number, std::size_t max_bytes, std::size_t max_depth)
        : hub(owner), slot(number), decoder(max_bytes, max_depth) {}

    Hub& hub;
    Slot slot;
    proto::SioDecoder decoder;
    std::vector<std::unique_ptr<Socket>> sockets;
    std::vector<std::unique_ptr<Knock>> knocks;
    Millis window_start = 0;  ///< of the rate limit, over all namespaces and CONNECTs
    std::uint32_t window_events = 0;
    bool has_asked = false;  ///< has sent a CONNECT

    /// Namespaces whose CONNECT was refused, or that the server has left: what was on its way to them is dropped
    /// instead of ending the connection. The last few are remembered.
    std::vector<std::string> left;

    void leave(std::string_view nsp) {
        std::erase(left, nsp);
        if (left.size() == max_left) left.erase(left.begin());
        left.emplace_back(nsp);
    }

private:
    static constexpr std::size_t max_left = 8;
    void expire(Millis) override {
        if (!sockets.empty() && decoder.is_waiting()) {
            const Millis most = hub.options_.attachment_timeout;
            hub.over_limit(slot, Limit::attachment_time, 0, static_cast<std::uint64_t>(most));
        } else {
            hub.engine_->close(slot, proto::CloseReason::forced_server_close, Ending::as_node);
        }
    }
};

struct Hub::AckWait final : base::Timer {
    AckWait(Hub& owner, std::uint64_t k, Namespace& n) : hub(owner), key(k), nsp(n) {}

    Hub& hub;
    std::uint64_t key;
    Namespace& nsp;
    std::size_t waiting = 0;
    std::size_t asked = 0;         // sockets
    std::size_t answer_bytes = 0;  // of answers larger than a share
    Answers answers;
    std::function<void(Answers)> done;
    std::function<void(const Answers::One&)> each;

    /// Whether an answer of so many bytes is kept: it is no larger than what each of those asked may take, or there is
    /// room among those that are.
    bool has_room(std::size_t bytes) noexcept {
        if (bytes <= max_answer_bytes / asked) return true;
        if (answer_bytes + bytes > max_answer_bytes) return false;
        answer_bytes += bytes;
        return true;
    }

private:
    void expire(Millis) override {
        hub.stats_.acks_timed_out += waiting;
        hub.finish(key);
    }
};

struct Hub::PurgeTimer final : base::Timer {
    explicit PurgeTimer(Hub& owner) : hub(owner) {}
    Hub& hub;
    static constexpr Millis interval = 5'000;

private:
    void expire(Millis now) override {
        hub.purge();
        hub.engine_->loop().timers().arm(*this, now + interval);
    }
};

struct Hub::ReplayTimer final : base::Timer {
    explicit ReplayTimer(Hub& owner) : hub(owner) {}
    Hub& hub;

private:
    void expire(Millis) override { hub.on_replay_timer(); }
};

/// Encodes one event as often as it must be: as it is, with its offset as last argument, and in uncertain times with an
/// offset that says more. Attachments are shared.
class Hub::Encoder {
public:
    Encoder(std::string_view nsp, const Event& event, std::optional<std::uint64_t> ack, std::string& scratch)
        : nsp_(nsp), event_(event), ack_(ack), scratch_(scratch) {}

    [[nodiscard]] std::string_view nsp() const noexcept { return nsp_; }
    void set_position(Position position) { position_ = position; }
    [[nodiscard]] std::optional<Position> position() const noexcept { return position_; }
    /// The log has it: a socket that is behind gets it from there.
    void set_logged() noexcept { is_logged_ = true; }
    [[nodiscard]] bool is_logged() const noexcept { return is_logged_; }
    /// It goes to many, and is not to be on the account of each.
    void set_shared() noexcept {
        is_shared_ = true;
        for (FrameRef& head : heads_) {
            if (head) head.set_shared();
        }
        for (FrameRef& attachment : attachments_) attachment.set_shared();
    }
    /// It has no place yet, and the log will have it.
    void set_early() noexcept { is_early_ = true; }
    [[nodiscard]] bool is_early() const noexcept { return is_early_; }
    /// What the offset of those says who are sent it now, beside the position. The view outlives the encoder.
    void set_had(std::string_view gateway, std::uint64_t number) noexcept {
        gateway_ = gateway;
        number_ = number;
    }

    /// For those who are sent it now.
    std::span<const FrameRef> frames(bool with_offset) {
        if (!with_offset || !position_) return variant(without);
        return variant(number_ == 0 ? with_position : with_had);
    }
    /// For the log.
    std::span<const FrameRef> logged_frames() { return variant(with_position); }

private:
    enum Offset : std::uint8_t { without, with_position, with_had, offsets };

    std::span<const FrameRef> variant(Offset offset) {
        FrameRef& head = heads_[offset];
        if (!head) head = encode(offset);
        const std::size_t attachments = event_.attachments.size();
        if (attachments == 0) return {&head, 1};
        std::vector<FrameRef>& frames = with_attachments_[offset];
        if (frames.empty()) {
            frames.push_back(head);
            for (std::size_t i = 0; i < attachments; ++i) {
                if (attachments_.size() == i) {
                    attachments_.push_back(FrameRef::binary(event_.attachments[i], i + 1 < attachments));
                    if (is_shared_) attachments_.back().set_shared();
                }
                frames.push_back(attachments_[i]);
            }
        }
        return frames;
    }
    FrameRef encode(Offset offset) {
        const std::size_t attachments = event_.attachments.size();
        scratch_.clear();
        proto::append_sio_header(scratch_, attachments > 0 ? proto::SioType::binary_event : proto::SioType::event,
                                 attachments, nsp_, ack_);
        scratch_ += '[';
        scratch_ += event_.name;
        if (!event_.arguments.empty()) {
            scratch_ += ',';
            scratch_ += event_.arguments;
        }
        if (offset != without) {
            scratch_ += ",\"";
            position_->append(scratch_);
            if (offset == with_had) {
                scratch_ += '.';
                scratch_ += gateway_;
                scratch_ += '.';
                scratch_ += std::to_string(number_);
            }
            scratch_ += '"';
        }
        scratch_ += ']';
        FrameRef frame = FrameRef::text("4", scratch_, attachments > 0);
        if (is_shared_) frame.set_shared();
        return frame;
    }

    std::string_view nsp_;
    const Event& event_;
    std::optional<std::uint64_t> ack_;
    std::string& scratch_;
    std::optional<Position> position_;
    bool is_logged_ = false;
    bool is_early_ = false;
    bool is_shared_ = false;
    std::string_view gateway_;
    std::uint64_t number_ = 0;
    std::array<FrameRef, offsets> heads_;
    std::array<std::vector<FrameRef>, offsets> with_attachments_;
    std::vector<FrameRef> attachments_;
};

}  // namespace sio::gateway
