// What --check-config --online tries of sio-authd: the database with the statements that it runs there, Redis, and the
// server of the keys.
#pragma once

#include <chrono>

#include "authd/config.h"
#include "daemon/findings.h"
#include "daemon/options.h"

namespace sio::authd {

/// Connects to what `config` names and tries our rights. Faults are added with the code `unavailable`.
void try_online(const Config& config, const daemon::Environment& environment, std::chrono::milliseconds limit,
                daemon::Findings& findings);

}  // namespace sio::authd
