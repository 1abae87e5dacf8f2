// sio-bridge: carries records of Kafka topics to Socket.IO clients, and events of clients to topics. See sio-bridge(8).
#include <signal.h>

#include <fstream>
#include <sstream>

#include "base/log.h"
#include "bridge/bridge.h"
#include "bridge/config.h"
#include "daemon/exit_code.h"
#include "daemon/judge.h"
#include "daemon/notify.h"
#include "net/loop.h"
#include "net/signals.h"
#include "routes/routes.h"

namespace {

using namespace sio;

/// Whether the routes file can be read and is right.
Result<void> check_routes(const bridge::Config& config) {
    if (config.routes.empty()) return {};
    if (auto readable = daemon::check_file("routes", config.routes); !readable) return readable;
    std::ifstream file(config.routes, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    const auto routes = routes::parse_routes(text.str(), config.routes);
    if (!routes) return tl::unexpected(routes.error());
    return bridge::check_topics(*routes, config);
}

}  // namespace

int main(int argc, char** argv) {
    constexpr std::string_view program = "sio-bridge";
    const auto check = [](daemon::Action /*action*/, const bridge::Config& judged, daemon::Findings& findings) {
        findings.check(check_routes(judged));
        findings.check(daemon::check_log_file(judged.log.file));
        if (judged.redis_endpoint) daemon::judge_redis(*judged.redis_endpoint, findings);
        daemon::warn_of_mode("key-file", judged.key_file, findings);
    };
    const auto started =
        bridge::start({argv + 1, static_cast<std::size_t>(argc - 1)}, daemon::process_environment, check);
    if (started.exit) return *started.exit;
    const bridge::Config& config = started.config;
    if (auto opened = daemon::open_log(config.log); !opened) return daemon::complain(program, opened.error());

    auto loop = net::Loop::create();
    if (!loop) return daemon::complain(program, loop.error());
    bridge::Bridge* running = nullptr;
    const net::Signals signals(*loop, {SIGTERM, SIGINT, SIGHUP}, [&](int number) { running->on_signal(number); });
    auto bridge = bridge::Bridge::create(*loop, config);
    if (!bridge) return daemon::complain(program, bridge.error());
    running = bridge->get();
    if (auto ready = running->start(); !ready) return daemon::complain(program, ready.error());
    daemon::notify_ready();  // nothing left to fail
    loop->run();
    log::info("bridge", "ended");
    return running->exit_code();
}
