// Judges the gateway's configuration as a whole, with the files that it names.
#pragma once

#include "daemon/findings.h"
#include "daemon/options.h"
#include "gateway/config.h"

namespace sio::gateway {

/// Adds what would stop a start, and warnings of what an operator would regret or cannot work. `config` is complete.
/// Warnings that the gateway gives itself while it starts are added for --check-config only.
void judge(daemon::Action action, const Config& config, daemon::Findings& findings);

}  // namespace sio::gateway
