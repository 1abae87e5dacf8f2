#include "proto/eio_packet.h"

#include "base/json.h"

namespace sio::proto {

std::optional<EioPacket> decode_eio(std::string_view frame) noexcept {
    if (frame.empty()) return std::nullopt;
    const char first = frame.front();
    const std::string_view body = frame.substr(1);
    if (first == 'b') return EioPacket{EioType::message, true, body};
    if (first < '0' || first > '6') return std::nullopt;
    return EioPacket{static_cast<EioType>(first), false, body};
}

std::optional<std::string_view> EioPayload::next() noexcept {
    if (done_) return std::nullopt;
    const std::size_t end = rest_.find(separator);
    const std::string_view frame = rest_.substr(0, end);
    if (end == std::string_view::npos) {
        done_ = true;
    } else {
        rest_.remove_prefix(end + 1);
    }
    return frame;
}

void append_open_packet(std::string& out, const EioHandshake& handshake) {
    out.append("0{\"sid\":");
    json::append_string(out, handshake.sid);
    out.append(handshake.offers_websocket ? ",\"upgrades\":[\"websocket\"]" : ",\"upgrades\":[]");
    out.append(",\"pingInterval\":").append(std::to_string(handshake.ping_interval_ms));
    out.append(",\"pingTimeout\":").append(std::to_string(handshake.ping_timeout_ms));
    out.append(",\"maxPayload\":").append(std::to_string(handshake.max_payload));
    out.push_back('}');
}

}  // namespace sio::proto
