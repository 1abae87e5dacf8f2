// sio-bridge: carries records of Kafka topics to Socket.IO clients, and events of clients to topics. See sio-bridge(8).
#include <signal.h>

#include <chrono>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

#include "base/log.h"
#include "bridge/bridge.h"
#include "bridge/config.h"
#include "bridge/listen_address.h"
#include "bridge/online.h"
#include "daemon/exit_code.h"
#include "daemon/judge.h"
#include "daemon/notify.h"
#include "kafka/inspect.h"
#include "kafka/settings.h"
#include "net/loop.h"
#include "net/signals.h"
#include "routes/routes.h"

namespace {

using namespace sio;

/// What the routes file says; nothing when there is none.
Result<std::optional<routes::Routes>> read_routes(const bridge::Config& config) {
    if (config.routes.empty()) return std::nullopt;
    if (auto readable = daemon::check_file("routes", config.routes); !readable) {
        return tl::unexpected(readable.error());
    }
    std::ifstream file(config.routes, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    auto routes = routes::parse_routes(text.str(), config.routes);
    if (!routes) return tl::unexpected(routes.error());
    if (auto usable = bridge::check_topics(*routes, config); !usable) return tl::unexpected(usable.error());
    return std::move(*routes);
}

void judge_files(daemon::Action action, const bridge::Config& config, daemon::Findings& findings) {
    const auto routes = read_routes(config);
    if (findings.check(routes) && *routes && action == daemon::Action::check_config) {
        for (const std::string& warning : (*routes)->warnings()) findings.warn(warning);
    }
    findings.check(daemon::check_log_file(config.log.file));
    findings.check(daemon::check_socket_path("control", config.control));
    if (const auto address = bridge::parse_listen_address(config.listen);
        address && !daemon::is_of_this_host(address->host)) {
        findings.warn("listen: whoever reaches " + config.listen +
                      " reads metrics and health there: let no strangers reach it, or give 127.0.0.1:PORT");
    }
    if (config.redis_endpoint) daemon::judge_redis(*config.redis_endpoint, findings);
    bool is_readable = true;
    for (const auto& [option, path] : {std::pair{"ca-file", &config.ca_file}, std::pair{"cert-file", &config.cert_file},
                                       std::pair{"key-file", &config.key_file}}) {
        is_readable = findings.check(daemon::check_file(option, *path)) && is_readable;
    }
    daemon::warn_of_mode("key-file", config.key_file, findings);
    // Else it is said already.
    if (is_readable && kafka::check(config.kafka)) findings.check(kafka::check_client(config.kafka));
}

void judge_online(const bridge::Config& config, std::chrono::milliseconds limit, daemon::Findings& findings) {
    const auto routes = read_routes(config);
    bridge::try_online(config, routes && *routes ? &**routes : nullptr, limit, findings);
}

}  // namespace

int main(int argc, char** argv) {
    constexpr std::string_view program = "sio-bridge";
    const auto started = bridge::start({argv + 1, static_cast<std::size_t>(argc - 1)}, daemon::process_environment,
                                       {.files = judge_files, .online = judge_online});
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
