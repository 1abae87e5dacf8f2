// sio-authd: tells gateways who a client is, and which rooms he may join. See sio-authd(8).
#include <signal.h>

#include "authd/authd.h"
#include "authd/config.h"
#include "authd/material.h"
#include "authd/online.h"
#include "base/log.h"
#include "daemon/exit_code.h"
#include "daemon/notify.h"
#include "net/loop.h"
#include "net/signals.h"

int main(int argc, char** argv) {
    using namespace sio;
    constexpr std::string_view program = "sio-authd";
    const auto judge_files = [](daemon::Action action, const authd::Config& judged, daemon::Findings& findings) {
        authd::check_material(judged, daemon::process_environment, action, findings);
    };
    const auto judge_online = [](const authd::Config& judged, auto limit, daemon::Findings& findings) {
        authd::try_online(judged, daemon::process_environment, limit, findings);
    };
    const auto started = authd::start({argv + 1, static_cast<std::size_t>(argc - 1)}, daemon::process_environment,
                                      {.files = judge_files, .online = judge_online});
    if (started.exit) return *started.exit;
    const authd::Config& config = started.config;
    if (auto opened = daemon::open_log(config.log); !opened) return daemon::complain(program, opened.error());

    auto loop = net::Loop::create();
    if (!loop) return daemon::complain(program, loop.error());
    authd::Authd* running = nullptr;
    const net::Signals signals(*loop, {SIGTERM, SIGINT, SIGHUP}, [&](int number) { running->on_signal(number); });
    auto authd = authd::Authd::create(*loop, config, daemon::process_environment);
    if (!authd) return daemon::complain(program, authd.error());
    running = authd->get();
    if (auto ready = running->start(); !ready) return daemon::complain(program, ready.error());
    daemon::notify_ready();  // nothing left to fail
    loop->run();
    log::info("authd", "ended");
    return daemon::exit_ok;
}
