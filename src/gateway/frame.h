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
    [[nodiscard]] bool is_binary() const noexcept { return binary_; }
    /// A WebSocket control frame (pong, close) that means nothing to a poll.
    [[nodiscard]] bool is_control() const noexcept { return control_; }
    /// The next frame in a queue belongs to this one: an attachment follows, and nothing may come between.
    [[nodiscard]] bool has_attachment_next() const noexcept { return attachment_next_; }

private:
    friend class FrameRef;
    char* data() noexcept { return reinterpret_cast<char*>(this + 1); }
    [[nodiscard]] const char* data() const noexcept { return reinterpret_cast<const char*>(this + 1); }

    std::uint32_t references_;
    std::uint32_t size_;
    std::uint8_t header_;
    bool binary_;
    bool control_;
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
    /// A WebSocket control frame, `wire` being all its bytes.
    static FrameRef control(std::string_view wire);

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
