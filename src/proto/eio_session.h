// One Engine.IO v4 session as a state machine: heartbeat, upgrade and closing. It is told what arrives and what time
// it is, and says what is to be done; it owns no bytes, no descriptor and no clock.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/timer_wheel.h"
#include "proto/eio_packet.h"

namespace sio::proto {

using base::Millis;

/// Why a session ended, in the words Socket.IO servers use (wire-protocol 1.14 and 2.7).
enum class CloseReason : std::uint8_t {
    transport_close,
    transport_error,
    forced_close,
    ping_timeout,
    parse_error,
    server_shutting_down,
    forced_server_close,
};

std::string_view to_string(CloseReason reason) noexcept;

enum class EioTransport : std::uint8_t { polling, websocket };

struct EioTimes {
    Millis ping_interval = 25'000;
    Millis ping_timeout = 20'000;
    Millis upgrade_timeout = 10'000;
};

/// Drive it so: construct it when the handshake is answered; give each packet of the current transport to
/// on_packet(), those of a probing WebSocket to on_probe_packet(); call tick() when deadline() has come. Every return
/// value says what the owner must do now. After a `close` the owner closes and calls nothing more.
class EioSession {
public:
    /// `times` outlives the session.
    EioSession(EioTransport transport, const EioTimes& times, Millis now) noexcept;

    [[nodiscard]] EioTransport transport() const noexcept { return transport_; }
    [[nodiscard]] bool is_upgraded() const noexcept { return upgraded_; }
    [[nodiscard]] bool is_probing() const noexcept { return probe_ != Probe::none; }

    /// When tick() wants to be called next. Computed from the scheduled instant, not from a late callback.
    [[nodiscard]] Millis deadline() const noexcept;

    enum class Tick { nothing, send_ping, ping_timeout, abandon_probe, release_poll };
    /// One thing that is due at `now`; call again until `nothing`.
    Tick tick(Millis now) noexcept;

    enum class Action { ignore, deliver, close };
    struct Verdict {
        Action action;
        CloseReason reason = CloseReason::transport_error;  ///< for close
    };
    /// A packet on the current transport. `close` packets end the session with transport_close on both transports
    /// (Node waits for the peer on a WebSocket; Rust and PHP clients want it closed).
    Verdict on_packet(const EioPacket& packet, Millis now) noexcept;

    /// A WebSocket for this session arrived. False: it must be closed at once, the session is unaffected (it is
    /// already upgrading, already upgraded, or began on a WebSocket).
    bool begin_probe(Millis now) noexcept;

    enum class ProbeAction { reject, answer_probe, complete };
    /// A packet on the probing WebSocket. `answer_probe`: send `3probe` there and release a pending poll with `6`.
    /// `complete`: the WebSocket is the transport from now on.
    ProbeAction on_probe_packet(const EioPacket& packet, Millis now) noexcept;

    /// The probing WebSocket died or was rejected; polling continues.
    void end_probe(Millis now) noexcept;

    /// A poll was parked: it is released (Tick::release_poll) within poll_release while probing, and within
    /// poll_hold in any case, because some clients give up on a poll (Python after max(interval, timeout) + 5 s).
    void poll_parked(Millis now) noexcept;
    void poll_answered() noexcept { release_at_ = never; }

    static constexpr Millis poll_release = 100;  ///< how long a poll made during a probe may wait
    static constexpr Millis poll_hold = 20'000;  ///< how long any poll may wait

private:
    static constexpr Millis never = INT64_MAX;
    enum class Probe : std::uint8_t { none, waiting, answered };

    const EioTimes* times_;
    Millis ping_at_;          // when the next ping is due
    Millis pong_by_ = never;  // when the answer to the last one is due
    Millis probe_until_ = never;
    Millis release_at_ = never;
    EioTransport transport_;
    Probe probe_ = Probe::none;
    bool upgraded_ = false;
    bool extended_ = false;  // a packet other than a pong has restarted the timeout of this ping already
};

}  // namespace sio::proto
