// sio-gateway: puts events on browsers' screens over Socket.IO. See sio-gateway(8).
#include <signal.h>

#include <cstdio>

#include "base/heap.h"
#include "base/log.h"
#include "daemon/exit_code.h"
#include "daemon/notify.h"
#include "gateway/config.h"
#include "gateway/gateway.h"
#include "gateway/judge.h"
#include "gateway/online.h"
#include "net/loop.h"
#include "net/signals.h"

int main(int argc, char** argv) {
    using namespace sio;
    base::heap::return_memory_early();
    const auto started = gateway::start({argv + 1, static_cast<std::size_t>(argc - 1)}, daemon::process_environment,
                                        {.files = gateway::judge, .online = gateway::try_online});
    if (started.exit) return *started.exit;
    const gateway::Config& config = started.config;
    if (auto opened = daemon::open_log(config.log); !opened) return daemon::complain("sio-gateway", opened.error());
    for (const std::string& warning : config.warnings) log::warn("gateway", "config_warning", {{"what", warning}});

    auto loop = net::Loop::create();
    if (!loop) return daemon::complain("sio-gateway", loop.error());
    auto cors = gateway::Cors::create(config.cors);
    if (!cors) return daemon::complain("sio-gateway", cors.error());

    gateway::Gateway gateway(*loop, config, std::move(*cors));
    const net::Signals signals(*loop, {SIGTERM, SIGINT, SIGHUP}, [&](int number) { gateway.on_signal(number); });
    if (auto ready = gateway.start(); !ready) return daemon::complain("sio-gateway", ready.error());
    if (config.demo) {
        std::printf(
            "\n  Open      http://localhost:%u/?user=alice\n"
            "  Then type bin/sioctl emit notification '{\"message\":\"hello\"}' --to alice\n\n",
            gateway.port());
        std::fflush(stdout);
    }
    daemon::notify_ready();  // nothing left to fail
    loop->run();
    log::info("gateway", "ended");
    return gateway.exit_code();
}
