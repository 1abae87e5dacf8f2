// One encoded packet, shared by all its recipients: bytes ready for a WebSocket, with what a poll needs inside them.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include "proto/ws_frame.h"

namespace sio::gateway {

/// Reference-counted bytes `<WebSocket header><payload>` in one allocation. The count is not atomic: frames live on the
/// loop thread. A frame is immutable once made.
class Frame {
public:
    [[nodiscard]] std::string_view wire() const noexcept { return {data(), size_}; }
    /// Without the WebSocket header: an Engine.IO packet, or the raw bytes of a binary message.
    [[nodiscard]] std::string_view payload() const noexcept { return wire().substr(header_); }
    [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
    /// What it costs whoever holds it alone: the allocation, and its place in a queue.
    [[nodiscard]] std::size_t cost() const noexcept { return size_ + overhead; }
    static constexpr std::size_t overhead = 40;  ///< header, the allocator's share, and a pointer in a ring
    [[nodiscard]] bool is_binary() const noexcept { return kind_ == Kind::binary; }
    /// A pong, which means nothing to a poll.
    [[nodiscard]] bool is_pong() const noexcept { return kind_ == Kind::pong; }
    /// It went to so many that no one of them is to be charged for it.
    [[nodiscard]] bool is_shared() const noexcept { return is_shared_; }
    /// The next frame in a queue belongs to this one: an attachment follows, and nothing may come between.
    [[nodiscard]] bool has_attachment_next() const noexcept { return attachment_next_; }

private:
    friend class FrameRef;
    char* data() noexcept { return reinterpret_cast<char*>(this + 1); }
    [[nodiscard]] const char* data() const noexcept { return reinterpret_cast<const char*>(this + 1); }

    enum class Kind : std::uint8_t { text, binary, pong };

    std::uint32_t references_;
    std::uint32_t size_;
    std::uint8_t header_;
    Kind kind_;
    bool is_shared_;
    bool attachment_next_;
};

/// Owns one reference to a frame.
class FrameRef {
public:
    FrameRef() noexcept = default;
    FrameRef(const FrameRef& other) noexcept : frame_(other.frame_) { retain(frame_); }
    FrameRef(FrameRef&& other) noexcept : frame_(std::exchange(other.frame_, nullptr)) {}
    FrameRef& operator=(FrameRef other) noexcept {
        std::swap(frame_, other.frame_);
        return *this;
    }
    ~FrameRef() { release(frame_); }

    explicit operator bool() const noexcept { return frame_ != nullptr; }
    Frame* get() const noexcept { return frame_; }
    Frame* operator->() const noexcept { return frame_; }

    /// An Engine.IO packet of text: `prefix` and `text` one after the other, for instance "4" and a Socket.IO packet.
    static FrameRef text(std::string_view prefix, std::string_view text, bool attachment_next = false);
    /// A binary message.
    static FrameRef binary(std::string_view bytes, bool attachment_next = false);
    /// A WebSocket pong. `data` is that of the ping, at most 125 bytes.
    static FrameRef pong(std::string_view data);
    /// Before it is queued: see Frame::is_shared().
    void set_shared() noexcept { frame_->is_shared_ = true; }

    static void retain(Frame* frame) noexcept {
        if (frame != nullptr) ++frame->references_;
    }
    static void release(Frame* frame) noexcept {
        if (frame != nullptr && --frame->references_ == 0) destroy(frame);
    }
    /// Frames alive now, and their bytes; for metrics and for tests of leaks.
    static std::uint64_t alive() noexcept;
    static std::uint64_t alive_bytes() noexcept;

private:
    explicit FrameRef(Frame* frame) noexcept : frame_(frame) {}
    static FrameRef allocate(std::size_t header, std::size_t payload);
    static void destroy(Frame* frame) noexcept;
    Frame* frame_ = nullptr;
};

}  // namespace sio::gateway
