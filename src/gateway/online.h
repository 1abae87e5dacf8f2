// What --check-config --online tries of a gateway: Redis with all rights that it uses there, and sio-authd.
#pragma once

#include <chrono>

#include "daemon/findings.h"
#include "daemon/redis_trial.h"
#include "gateway/config.h"
#include "routes/routes.h"

namespace sio::gateway {

/// The commands of a gateway, at the keys and channels of `config` and of the namespaces that `routes` name.
std::vector<daemon::RedisCommand> redis_commands(const Config& config, const routes::Routes& routes);

/// Connects to what `config` names and tries our rights. Faults are added with the code `unavailable`.
void try_online(const Config& config, std::chrono::milliseconds limit, daemon::Findings& findings);

}  // namespace sio::gateway
