// Judges the gateway's configuration as a whole, with the files that it names.
#pragma once

#include <cstddef>

#include "base/result.h"
#include "daemon/findings.h"
#include "daemon/options.h"
#include "gateway/config.h"

namespace sio::gateway {

/// Adds what would stop a start, and warnings of what an operator would regret or cannot work. `config` is complete.
/// Warnings that the gateway gives itself while it starts are added for --check-config only.
void judge(daemon::Action action, const Config& config, daemon::Findings& findings);

/// Most resident bytes of this process: memory-limit, else four fifths of what the system allows. Errors: `config` when
/// that leaves no room for clients beside what is resident now.
Result<std::size_t> memory_limit_of(const Config& config);

}  // namespace sio::gateway
