// Whatever arrives in whatever order, one session keeps its rules: what ticks say is due then and not before, nothing
// due is left behind, a transport changes once and one way, and a client that answers no ping is gone in bounded time.
//
// Byte 0: bit 0 the transport, bits 1-2 the times. Then calls, two bytes each: the call and how much time has passed.
#include "proto/eio_session.h"

#include <algorithm>

#include "check.h"

namespace {

using namespace sio;
using namespace sio::proto;
using Tick = EioSession::Tick;
using Action = EioSession::Action;
using ProbeAction = EioSession::ProbeAction;

constexpr EioTimes choices[] = {{25'000, 20'000, 10'000}, {300, 200, 1000}, {1, 1, 1}, {50, 90'000, 100}};
constexpr EioType types[] = {EioType::open,    EioType::close,   EioType::ping, EioType::pong,
                             EioType::message, EioType::upgrade, EioType::noop};
constexpr std::string_view bodies[] = {"", "probe", "hello", "prob"};

/// The session, and what its owner knows of it without asking.
struct Play {
    EioSession session;
    EioTimes times;
    Millis now;
    bool probing = false;
    bool upgraded = false;
    bool parked = false;
    Millis parked_at = 0;
    bool pinged = false;   // a ping waits for its answer
    Millis pinged_at = 0;  // when it was sent
    Millis answer_by = 0;  // the latest time it can be waited for
    bool extended = false;
    bool closed = false;

    void check_rules() const {
        const bool websocket = session.transport() == EioTransport::websocket;
        FUZZ_CHECK(session.is_probing() == probing);
        FUZZ_CHECK(session.is_upgraded() == upgraded);
        FUZZ_CHECK(!probing || !websocket);
        FUZZ_CHECK(!upgraded || websocket);
        // The heartbeat always runs: the session wants to be called within what one round of it may take.
        FUZZ_CHECK(session.deadline() <= now + std::max(times.ping_interval, times.ping_timeout));
        if (parked) FUZZ_CHECK(session.deadline() <= parked_at + EioSession::poll_hold);
        if (pinged) FUZZ_CHECK(session.deadline() <= answer_by);
    }

    /// Does all that is due; afterwards nothing is.
    void run_ticks() {
        for (int count = 0;; ++count) {
            FUZZ_CHECK(count < 8);
            const Millis due = session.deadline();
            const Tick tick = session.tick(now);
            FUZZ_CHECK((tick == Tick::nothing) == (due > now));
            switch (tick) {
                case Tick::nothing: return;
                case Tick::send_ping:
                    FUZZ_CHECK(!pinged);
                    pinged = true;
                    pinged_at = now;
                    answer_by = now + times.ping_timeout;
                    extended = false;
                    break;
                case Tick::ping_timeout:
                    // The timeout counts from when the ping was due, which is not after it was sent.
                    FUZZ_CHECK(pinged && now > pinged_at);
                    closed = true;
                    return;
                case Tick::abandon_probe:
                    FUZZ_CHECK(probing);
                    probing = false;
                    break;
                case Tick::release_poll:
                    FUZZ_CHECK(parked && now >= parked_at + EioSession::poll_release);
                    parked = false;
                    break;
            }
        }
    }

    void packet(const EioPacket& packet) {
        const auto verdict = session.on_packet(packet, now);
        if (packet.type == EioType::pong) {
            pinged = false;
        } else if (pinged && !extended) {
            extended = true;
            answer_by = now + times.ping_timeout;
        }
        FUZZ_CHECK((verdict.action == Action::deliver) == (packet.type == EioType::message));
        closed = verdict.action == Action::close;
        FUZZ_CHECK(closed == (packet.type == EioType::ping || packet.type == EioType::close));
        if (!closed) return;
        FUZZ_CHECK(verdict.reason ==
                   (packet.type == EioType::ping ? CloseReason::transport_error : CloseReason::transport_close));
    }

    void probe_packet(const EioPacket& packet) {
        if (!probing) return;
        switch (session.on_probe_packet(packet, now)) {
            case ProbeAction::answer_probe: FUZZ_CHECK(packet.type == EioType::ping && packet.body == "probe"); break;
            case ProbeAction::complete:
                FUZZ_CHECK(packet.type == EioType::upgrade);
                probing = false;
                upgraded = true;
                pinged = false;
                break;
            case ProbeAction::reject:
                FUZZ_CHECK(packet.type != EioType::upgrade);
                probing = false;
                break;
        }
    }

    void call(std::uint8_t what) {
        const EioPacket arrived{types[(what >> 3U) % 7U], false, bodies[what >> 6U]};
        switch (what & 7U) {
            case 0: return packet(arrived);
            case 1: return probe_packet(arrived);
            case 2: {
                const bool may = !probing && session.transport() == EioTransport::polling;
                FUZZ_CHECK(session.begin_probe(now) == may);
                probing = probing || may;
                return;
            }
            case 3:
                session.end_probe(now);
                probing = false;
                return;
            case 4:
                session.poll_parked(now);
                parked = true;
                parked_at = now;
                FUZZ_CHECK(session.deadline() <= now + EioSession::poll_hold);
                return;
            case 5:
                session.poll_answered();
                parked = false;
                return;
            default: return;  // only time passes
        }
    }
};

/// From here on nothing arrives: the session must end, in the time of one round of the heartbeat.
void check_silence_ends_it(Play& play) {
    const Millis latest = play.now + play.times.ping_interval + play.times.ping_timeout;
    for (int step = 0; !play.closed; ++step) {
        FUZZ_CHECK(step < 16);
        const Millis due = play.session.deadline();
        FUZZ_CHECK(due > play.now && due <= latest);
        play.now = due;
        play.run_ticks();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0 || size > 4096) return 0;
    const EioTimes& times = choices[data[0] >> 1U & 3U];
    const auto transport = (data[0] & 1U) != 0 ? EioTransport::websocket : EioTransport::polling;
    constexpr Millis start = 1'000'000;
    Play play{EioSession{transport, times, start}, times, start};
    for (std::size_t i = 1; i + 1 < size && !play.closed; i += 2) {
        // 0 to 7 units of 1 ms, 20 ms, … 200 s: the time of most bytes is short, that of some is long.
        constexpr Millis units[] = {0, 1, 7, 20, 100, 1000, 10'000, 60'000};
        play.now += units[data[i + 1] & 7U] * (data[i + 1] >> 3U & 7U);
        if ((data[i + 1] & 0x80U) != 0) play.now = std::max(play.now, play.session.deadline() - 1);
        if ((data[i + 1] & 0x40U) != 0) play.run_ticks();
        if (play.closed) break;
        play.call(data[i]);
        if (play.closed) break;
        if ((data[i + 1] & 0x40U) != 0) play.check_rules();
    }
    if (play.closed) return 0;
    play.run_ticks();
    if (!play.closed) {
        play.check_rules();
        check_silence_ends_it(play);
    }
    return 0;
}
