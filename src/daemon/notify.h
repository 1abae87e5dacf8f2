// What a daemon tells its supervisor (sd_notify(3)), without libsystemd: one datagram to $NOTIFY_SOCKET.
//
// All of it is silence when nobody asked (NOTIFY_SOCKET unset), and never blocks nor fails the caller.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace sio::daemon {

/// Nothing is left to fail: requests are answered from now on.
void notify_ready() noexcept;

/// The routes or the log file are being read anew; follow it with notify_ready().
void notify_reloading() noexcept;

/// We drain and end.
void notify_stopping() noexcept;

/// One line for `systemctl status`; anything after a line feed is left out.
void notify_status(std::string_view text) noexcept;

/// We are alive; wanted at least once per watchdog_interval().
void notify_alive() noexcept;

/// Half of what WATCHDOG_USEC allows between two signs of life; nothing when no watchdog watches this process.
std::optional<std::chrono::milliseconds> watchdog_interval() noexcept;

}  // namespace sio::daemon
