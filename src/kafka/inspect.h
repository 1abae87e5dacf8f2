// What brokers tell who is about to start: which topics there are, and whether our group may be read for. Nothing is
// made by it, neither topics nor members of the group.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "base/result.h"
#include "kafka/settings.h"
#include "net/loop.h"

namespace sio::kafka {

struct Inspection {
    /// All topics that we may describe, each with what is wrong with it; empty: nothing.
    std::map<std::string, std::string, std::less<>> topics;
    std::string group_trouble;  ///< why offsets of the group cannot be asked for; empty: they can
};

/// `done` is called once, on the loop; an empty `group` is not asked about. Errors: `config`; `unavailable`, when no
/// broker answers within `patience_ms`, in librdkafka's words.
void inspect(net::Loop& loop, const Settings& settings, const std::string& group, std::int64_t patience_ms,
             std::function<void(Result<Inspection>)> done);

/// Whether librdkafka makes clients of the settings: certificates and keys are read for it. Connects to nobody. Errors:
/// `config`, `io`.
Result<void> check_client(const Settings& settings);

}  // namespace sio::kafka
