// What --check-config --online tries of a bridge: Redis with all rights that it uses there, and Kafka with the topics
// of the routes, the group, and leave to write.
#pragma once

#include <chrono>
#include <vector>

#include "bridge/config.h"
#include "daemon/findings.h"
#include "daemon/redis_trial.h"

namespace sio::bridge {

/// The commands of a bridge, at the keys of `config`.
std::vector<daemon::RedisCommand> redis_commands(const Config& config);

/// Connects to what `config` names and tries our rights; `routes` are what its file says, null when that is wrong or
/// there is none. Faults are added with the code `unavailable`. Makes neither topics nor members of groups.
void try_online(const Config& config, const routes::Routes* routes, std::chrono::milliseconds limit,
                daemon::Findings& findings);

}  // namespace sio::bridge
