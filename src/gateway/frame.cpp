#include "gateway/frame.h"

#include <new>

namespace sio::gateway {

namespace {

std::uint64_t frames_alive = 0;
std::uint64_t bytes_alive = 0;

}  // namespace

FrameRef FrameRef::allocate(std::size_t header, std::size_t payload) {
    const std::size_t size = header + payload;
    auto* frame = new (::operator new(sizeof(Frame) + size)) Frame;
    frame->references_ = 1;
    frame->size_ = static_cast<std::uint32_t>(size);
    frame->header_ = static_cast<std::uint8_t>(header);
    frame->kind_ = Frame::Kind::text;
    frame->is_shared_ = frame->attachment_next_ = false;
    ++frames_alive;
    bytes_alive += size;
    return FrameRef(frame);
}

void FrameRef::destroy(Frame* frame) noexcept {
    --frames_alive;
    bytes_alive -= frame->size_;
    ::operator delete(frame);
}

FrameRef FrameRef::text(std::string_view prefix, std::string_view text, bool attachment_next) {
    char header[proto::ws_max_header];
    const std::size_t payload = prefix.size() + text.size();
    const std::size_t length = proto::write_ws_header(header, proto::WsOpcode::text, payload);
    FrameRef frame = allocate(length, payload);
    char* to = frame->data();
    std::memcpy(to, header, length);
    std::memcpy(to + length, prefix.data(), prefix.size());
    if (!text.empty()) std::memcpy(to + length + prefix.size(), text.data(), text.size());
    frame->attachment_next_ = attachment_next;
    return frame;
}

FrameRef FrameRef::binary(std::string_view bytes, bool attachment_next) {
    char header[proto::ws_max_header];
    const std::size_t length = proto::write_ws_header(header, proto::WsOpcode::binary, bytes.size());
    FrameRef frame = allocate(length, bytes.size());
    std::memcpy(frame->data(), header, length);
    if (!bytes.empty()) std::memcpy(frame->data() + length, bytes.data(), bytes.size());
    frame->kind_ = Frame::Kind::binary;
    frame->attachment_next_ = attachment_next;
    return frame;
}

FrameRef FrameRef::pong(std::string_view data) {
    char header[proto::ws_max_header];
    const std::size_t length = proto::write_ws_header(header, proto::WsOpcode::pong, data.size());
    FrameRef frame = allocate(length, data.size());
    std::memcpy(frame->data(), header, length);
    if (!data.empty()) std::memcpy(frame->data() + length, data.data(), data.size());
    frame->kind_ = Frame::Kind::pong;
    return frame;
}

std::uint64_t FrameRef::alive() noexcept { return frames_alive; }
std::uint64_t FrameRef::alive_bytes() noexcept { return bytes_alive; }

}  // namespace sio::gateway
