// proto/eio_session.h: heartbeat, upgrade, polls and closing of one session. Time is an argument.
#include "proto/eio_session.h"

#include <criterion/criterion.h>

namespace {

using namespace sio::proto;
using Tick = EioSession::Tick;
using Action = EioSession::Action;
using ProbeAction = EioSession::ProbeAction;

constexpr EioTimes times{.ping_interval = 25'000, .ping_timeout = 20'000, .upgrade_timeout = 10'000};
constexpr Millis start = 1'000'000;

constexpr EioPacket packet(EioType type, std::string_view body = {}) { return {type, false, body}; }
constexpr EioPacket pong = packet(EioType::pong);
constexpr EioPacket message = packet(EioType::message, "hello");
constexpr EioPacket probe_ping = packet(EioType::ping, "probe");
constexpr EioPacket upgrade = packet(EioType::upgrade);

EioSession on_websocket() { return {EioTransport::websocket, times, start}; }
EioSession on_polling() { return {EioTransport::polling, times, start}; }

/// A session that has sent its first ping, on time.
EioSession pinged() {
    EioSession session = on_websocket();
    cr_assert(session.tick(start + 25'000) == Tick::send_ping);
    return session;
}

Test(eio_session, the_first_ping_comes_one_interval_after_the_handshake) {
    EioSession session = on_websocket();
    cr_assert(session.deadline() == start + 25'000);
    cr_assert(session.tick(start + 24'999) == Tick::nothing);
    cr_assert(session.tick(start + 25'000) == Tick::send_ping);
    cr_assert(session.tick(start + 25'000) == Tick::nothing, "one ping only");
    cr_assert(session.deadline() == start + 45'000);
}

Test(eio_session, an_unanswered_ping_ends_the_session_after_the_timeout_and_no_other_ping_is_sent) {
    EioSession session = pinged();
    cr_assert(session.tick(start + 44'999) == Tick::nothing);
    cr_assert(session.tick(start + 45'000) == Tick::ping_timeout);
    cr_assert(to_string(CloseReason::ping_timeout) == "ping timeout");
}

Test(eio_session, the_answer_time_counts_from_the_scheduled_instant_not_from_a_late_tick) {
    EioSession session = on_websocket();
    cr_assert(session.tick(start + 26'500) == Tick::send_ping);
    cr_assert(session.deadline() == start + 45'000);
}

Test(eio_session, a_tick_so_late_that_the_answer_is_due_too_still_gives_the_client_its_time) {
    EioSession session = on_websocket();
    const Millis late = start + 25'000 + 20'000 + 7;
    cr_assert(session.tick(late) == Tick::send_ping);
    cr_assert(session.tick(late) == Tick::nothing);
    cr_assert(session.deadline() == late + 20'000);
}

Test(eio_session, a_pong_schedules_the_next_ping_one_interval_after_it) {
    EioSession session = pinged();
    const auto verdict = session.on_packet(pong, start + 26'000);
    cr_assert(verdict.action == Action::ignore);
    cr_assert(session.deadline() == start + 26'000 + 25'000);
    cr_assert(session.tick(start + 45'000) == Tick::nothing, "the timeout is cancelled");
    cr_assert(session.tick(start + 51'000) == Tick::send_ping);
    cr_assert(session.deadline() == start + 51'000 + 20'000);
}

Test(eio_session, a_pong_nobody_asked_for_is_harmless_and_puts_the_ping_off) {
    EioSession session = on_websocket();
    cr_assert(session.on_packet(pong, start + 10'000).action == Action::ignore);
    cr_assert(session.deadline() == start + 35'000);
    cr_assert(session.tick(start + 25'000) == Tick::nothing);
    cr_assert(session.tick(start + 35'000) == Tick::send_ping);
}

Test(eio_session, another_packet_gives_more_time_to_answer_but_only_once_a_ping) {
    EioSession session = pinged();
    cr_assert(session.on_packet(message, start + 40'000).action == Action::deliver);
    cr_assert(session.deadline() == start + 60'000);
    cr_assert(session.on_packet(message, start + 50'000).action == Action::deliver);
    cr_assert(session.deadline() == start + 60'000, "a chatty client that answers no ping is gone all the same");
    cr_assert(session.tick(start + 60'000) == Tick::ping_timeout);
}

Test(eio_session, the_extension_is_granted_anew_for_each_ping) {
    EioSession session = pinged();
    session.on_packet(message, start + 30'000);
    session.on_packet(pong, start + 31'000);
    cr_assert(session.tick(start + 56'000) == Tick::send_ping);
    session.on_packet(message, start + 70'000);
    cr_assert(session.deadline() == start + 90'000);
    session.on_packet(message, start + 80'000);
    cr_assert(session.deadline() == start + 90'000);
}

Test(eio_session, packets_before_a_ping_is_sent_neither_extend_nor_delay_anything) {
    EioSession session = on_websocket();
    for (Millis at = 1000; at < 25'000; at += 1000) session.on_packet(message, start + at);
    cr_assert(session.deadline() == start + 25'000);
    cr_assert(session.tick(start + 25'000) == Tick::send_ping);
    session.on_packet(message, start + 30'000);
    cr_assert(session.deadline() == start + 50'000, "they used up no extension");
}

Test(eio_session, a_pong_never_uses_up_the_extension) {
    EioSession session = pinged();
    session.on_packet(pong, start + 26'000);
    session.on_packet(pong, start + 27'000);
    cr_assert(session.tick(start + 52'000) == Tick::send_ping);
    session.on_packet(message, start + 60'000);
    cr_assert(session.deadline() == start + 80'000);
}

Test(eio_session, a_ping_from_the_client_ends_the_session) {
    for (const std::string_view body : {"", "probe"}) {
        EioSession session = on_websocket();
        const auto verdict = session.on_packet(packet(EioType::ping, body), start + 1);
        cr_assert(verdict.action == Action::close && verdict.reason == CloseReason::transport_error);
    }
}

Test(eio_session, a_close_packet_ends_the_session_on_both_transports) {
    for (const EioTransport transport : {EioTransport::polling, EioTransport::websocket}) {
        EioSession session{transport, times, start};
        const auto verdict = session.on_packet(packet(EioType::close), start + 1);
        cr_assert(verdict.action == Action::close && verdict.reason == CloseReason::transport_close);
    }
}

Test(eio_session, open_upgrade_and_noop_on_the_transport_in_use_mean_nothing) {
    for (const EioType type : {EioType::open, EioType::upgrade, EioType::noop}) {
        EioSession session = on_polling();
        cr_assert(session.on_packet(packet(type), start + 1).action == Action::ignore);
        cr_assert(session.transport() == EioTransport::polling && !session.is_upgraded());
    }
}

Test(eio_session, messages_are_delivered_on_both_transports) {
    for (const EioTransport transport : {EioTransport::polling, EioTransport::websocket}) {
        EioSession session{transport, times, start};
        cr_assert(session.on_packet(message, start + 1).action == Action::deliver);
    }
}

Test(eio_session, an_upgrade_goes_through_probe_and_5) {
    EioSession session = on_polling();
    cr_assert(session.begin_probe(start + 100));
    cr_assert(session.is_probing());
    cr_assert(session.on_probe_packet(probe_ping, start + 110) == ProbeAction::answer_probe);
    cr_assert(session.is_probing() && session.transport() == EioTransport::polling, "until 5 polling is in use");
    cr_assert(session.on_packet(message, start + 115).action == Action::deliver, "a POST during the probe");
    cr_assert(session.on_probe_packet(upgrade, start + 120) == ProbeAction::complete);
    cr_assert(session.transport() == EioTransport::websocket && session.is_upgraded() && !session.is_probing());
    cr_assert(session.deadline() == start + 25'000, "the probe's time limit is gone, the heartbeat goes on");
}

Test(eio_session, a_probe_may_be_asked_for_twice) {
    EioSession session = on_polling();
    session.begin_probe(start);
    cr_assert(session.on_probe_packet(probe_ping, start + 1) == ProbeAction::answer_probe);
    cr_assert(session.on_probe_packet(probe_ping, start + 2) == ProbeAction::answer_probe);
    cr_assert(session.on_probe_packet(upgrade, start + 3) == ProbeAction::complete);
}

Test(eio_session, a_5_without_a_probe_completes_the_upgrade) {
    EioSession session = on_polling();
    session.begin_probe(start + 100);
    cr_assert(session.on_probe_packet(upgrade, start + 101) == ProbeAction::complete);
    cr_assert(session.transport() == EioTransport::websocket && session.is_upgraded());
}

Test(eio_session, a_probing_websocket_that_sends_anything_else_is_rejected_and_polling_goes_on) {
    for (const EioPacket& wrong :
         {message, pong, packet(EioType::ping), packet(EioType::ping, "Probe"), packet(EioType::ping, "probe2"),
          packet(EioType::open), packet(EioType::close), packet(EioType::noop)}) {
        EioSession session = on_polling();
        session.begin_probe(start + 1);
        cr_assert(session.on_probe_packet(wrong, start + 2) == ProbeAction::reject);
        cr_assert(!session.is_probing() && !session.is_upgraded());
        cr_assert(session.transport() == EioTransport::polling);
        cr_assert(session.deadline() == start + 25'000);
        cr_assert(session.begin_probe(start + 3), "the client may try again");
    }
}

Test(eio_session, a_second_websocket_is_refused_during_a_probe_after_an_upgrade_and_when_it_began_so) {
    EioSession probing = on_polling();
    cr_assert(probing.begin_probe(start + 1));
    cr_assert(!probing.begin_probe(start + 2));
    cr_assert(probing.is_probing(), "the first one is unaffected");
    cr_assert(probing.deadline() == start + 1 + 10'000, "and so is its time");
    probing.on_probe_packet(probe_ping, start + 3);
    cr_assert(!probing.begin_probe(start + 4));
    cr_assert(probing.on_probe_packet(upgrade, start + 5) == ProbeAction::complete);
    cr_assert(!probing.begin_probe(start + 6));
    cr_assert(!probing.is_probing());

    EioSession direct = on_websocket();
    cr_assert(!direct.begin_probe(start + 1));
    cr_assert(!direct.is_probing() && !direct.is_upgraded());
}

Test(eio_session, a_probe_that_takes_too_long_is_abandoned_and_polling_goes_on) {
    for (const bool answered : {false, true}) {
        EioSession session = on_polling();
        session.begin_probe(start + 500);
        if (answered) session.on_probe_packet(probe_ping, start + 600);
        cr_assert(session.deadline() == start + 10'500);
        cr_assert(session.tick(start + 10'499) == Tick::nothing);
        cr_assert(session.tick(start + 10'500) == Tick::abandon_probe);
        cr_assert(session.tick(start + 10'500) == Tick::nothing);
        cr_assert(!session.is_probing() && session.transport() == EioTransport::polling);
        cr_assert(session.deadline() == start + 25'000);
        cr_assert(session.begin_probe(start + 11'000));
    }
}

Test(eio_session, a_probing_websocket_that_dies_leaves_polling_as_it_was) {
    EioSession session = on_polling();
    session.begin_probe(start + 1);
    session.on_probe_packet(probe_ping, start + 2);
    session.end_probe(start + 3);
    cr_assert(!session.is_probing() && !session.is_upgraded());
    cr_assert(session.tick(start + 20'000) == Tick::nothing);
    cr_assert(session.deadline() == start + 25'000);
}

Test(eio_session, a_ping_that_was_pending_at_the_upgrade_no_longer_times_out) {
    EioSession session = on_polling();
    session.begin_probe(start + 24'990);
    cr_assert(session.tick(start + 25'000) == Tick::send_ping);
    cr_assert(session.on_probe_packet(upgrade, start + 25'010) == ProbeAction::complete);
    cr_assert(session.tick(start + 45'000) == Tick::nothing);
    cr_assert(session.deadline() == start + 25'010 + 25'000);
    cr_assert(session.tick(start + 50'010) == Tick::send_ping);
}

Test(eio_session, the_heartbeat_goes_on_during_a_probe) {
    EioSession session = on_polling();
    session.begin_probe(start + 24'000);
    cr_assert(session.tick(start + 25'000) == Tick::send_ping);
    cr_assert(session.on_packet(pong, start + 25'100).action == Action::ignore);
    cr_assert(session.is_probing());
    cr_assert(session.tick(start + 34'000) == Tick::abandon_probe);
    cr_assert(session.deadline() == start + 50'100);
}

Test(eio_session, a_poll_is_released_after_20_seconds) {
    EioSession session = on_polling();
    session.poll_parked(start + 1000);
    cr_assert(session.deadline() == start + 21'000);
    cr_assert(session.tick(start + 20'999) == Tick::nothing);
    cr_assert(session.tick(start + 21'000) == Tick::release_poll);
    cr_assert(session.tick(start + 21'000) == Tick::nothing, "once");
}

Test(eio_session, a_poll_made_after_the_probe_was_answered_is_released_after_100_ms) {
    EioSession session = on_polling();
    session.begin_probe(start);
    session.on_probe_packet(probe_ping, start + 10);
    session.poll_parked(start + 20);
    cr_assert(session.deadline() == start + 120);
    cr_assert(session.tick(start + 119) == Tick::nothing);
    cr_assert(session.tick(start + 120) == Tick::release_poll);
    session.poll_parked(start + 130);
    cr_assert(session.tick(start + 230) == Tick::release_poll, "and so is the next");
}

Test(eio_session, a_poll_made_before_the_probe_was_answered_or_after_it_ended_waits_as_usual) {
    EioSession session = on_polling();
    session.begin_probe(start);
    session.poll_parked(start + 20);
    cr_assert(session.tick(start + 9999) == Tick::nothing);
    session.poll_answered();
    session.on_probe_packet(probe_ping, start + 9999);
    session.end_probe(start + 9999);
    session.poll_parked(start + 10'000);
    cr_assert(session.tick(start + 24'999) == Tick::nothing);
    cr_assert(session.tick(start + 25'000) == Tick::send_ping);
    session.on_packet(pong, start + 25'001);
    cr_assert(session.tick(start + 30'000) == Tick::release_poll);
}

Test(eio_session, an_answered_poll_is_not_released) {
    EioSession session = on_polling();
    session.poll_parked(start + 10);
    session.poll_answered();
    cr_assert(session.deadline() == start + 25'000);
    cr_assert(session.tick(start + 20'010) == Tick::nothing);
}

Test(eio_session, what_is_due_at_once_comes_one_by_one_and_a_ping_timeout_comes_first) {
    EioSession session = on_polling();
    session.begin_probe(start + 15'000);
    session.poll_parked(start + 5000);
    const Millis at = start + 25'000;
    cr_assert(session.tick(at) == Tick::send_ping);
    cr_assert(session.tick(at) == Tick::abandon_probe);
    cr_assert(session.tick(at) == Tick::release_poll);
    cr_assert(session.tick(at) == Tick::nothing);

    EioSession dead = on_polling();
    cr_assert(dead.tick(start + 25'000) == Tick::send_ping);
    dead.poll_parked(start + 25'000);
    cr_assert(dead.tick(start + 45'000) == Tick::ping_timeout);
}

Test(eio_session, the_reasons_are_spelt_as_socket_io_servers_spell_them) {
    cr_assert(to_string(CloseReason::transport_close) == "transport close");
    cr_assert(to_string(CloseReason::transport_error) == "transport error");
    cr_assert(to_string(CloseReason::forced_close) == "forced close");
    cr_assert(to_string(CloseReason::parse_error) == "parse error");
    cr_assert(to_string(CloseReason::server_shutting_down) == "server shutting down");
    cr_assert(to_string(CloseReason::forced_server_close) == "forced server close");
}

}  // namespace
