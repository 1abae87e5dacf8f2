#include "proto/eio_session.h"

#include <algorithm>

namespace sio::proto {

std::string_view to_string(CloseReason reason) noexcept {
    switch (reason) {
        case CloseReason::transport_close: return "transport close";
        case CloseReason::transport_error: return "transport error";
        case CloseReason::forced_close: return "forced close";
        case CloseReason::ping_timeout: return "ping timeout";
        case CloseReason::parse_error: return "parse error";
        case CloseReason::server_shutting_down: return "server shutting down";
        case CloseReason::forced_server_close: return "forced server close";
    }
    return "transport error";
}

EioSession::EioSession(EioTransport transport, const EioTimes& times, Millis now) noexcept
    : times_(&times), ping_at_(now + times.ping_interval), transport_(transport) {}

Millis EioSession::deadline() const noexcept { return std::min({ping_at_, pong_by_, probe_until_, release_at_}); }

EioSession::Tick EioSession::tick(Millis now) noexcept {
    if (pong_by_ <= now) return Tick::ping_timeout;
    if (ping_at_ <= now) {
        pong_by_ = ping_at_ + times_->ping_timeout;
        ping_at_ = never;
        extended_ = false;
        // Called so late that the answer is due as well: the client still gets the time it was promised.
        if (pong_by_ <= now) pong_by_ = now + times_->ping_timeout;
        return Tick::send_ping;
    }
    if (probe_until_ <= now) {
        end_probe(now);
        return Tick::abandon_probe;
    }
    if (release_at_ <= now) {
        release_at_ = never;
        return Tick::release_poll;
    }
    return Tick::nothing;
}

EioSession::Verdict EioSession::on_packet(const EioPacket& packet, Millis now) noexcept {
    if (packet.type != EioType::pong && pong_by_ != never && !extended_) {
        extended_ = true;
        pong_by_ = now + times_->ping_timeout;
    }
    switch (packet.type) {
        case EioType::message: return {Action::deliver};
        case EioType::pong:
            pong_by_ = never;
            ping_at_ = now + times_->ping_interval;
            return {Action::ignore};
        case EioType::ping: return {Action::close, CloseReason::transport_error};
        case EioType::close: return {Action::close, CloseReason::transport_close};
        case EioType::open:
        case EioType::upgrade:
        case EioType::noop: return {Action::ignore};
    }
    return {Action::ignore};
}

bool EioSession::begin_probe(Millis now) noexcept {
    if (probe_ != Probe::none || upgraded_ || transport_ == EioTransport::websocket) return false;
    probe_ = Probe::waiting;
    probe_until_ = now + times_->upgrade_timeout;
    return true;
}

EioSession::ProbeAction EioSession::on_probe_packet(const EioPacket& packet, Millis now) noexcept {
    if (packet.type == EioType::ping && packet.body == "probe") {
        probe_ = Probe::answered;
        return ProbeAction::answer_probe;
    }
    if (packet.type != EioType::upgrade) {
        end_probe(now);
        return ProbeAction::reject;
    }
    end_probe(now);
    transport_ = EioTransport::websocket;
    upgraded_ = true;
    // The pending ping, if any, was lost with the poll it waited for: its timeout is cancelled, the next one comes in
    // its time.
    if (pong_by_ != never) {
        pong_by_ = never;
        ping_at_ = now + times_->ping_interval;
    }
    return ProbeAction::complete;
}

void EioSession::end_probe(Millis) noexcept {
    probe_ = Probe::none;
    probe_until_ = never;
}

void EioSession::poll_parked(Millis now) noexcept {
    release_at_ = now + (probe_ == Probe::answered ? poll_release : poll_hold);
}

}  // namespace sio::proto
