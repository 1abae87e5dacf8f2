// One question, one answer, printed: what most commands share.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sioctl/command_line.h"
#include "sioctl/control.h"
#include "sioctl/exit_code.h"
#include "sioctl/output.h"
#include "wire/admin.h"

namespace sio::sioctl {

/// Says on standard error why a command ends, and gives the exit code.
int finish(const Failure& failure);

/// Asks the gateway one question within `--timeout` (10 s unless given) and gives the whole answer.
Outcome<std::string> ask_gateway(const Invocation& invocation, std::string_view cmd, const wire::ObjectWriter& members);

/// The same of sio-authd.
Outcome<std::string> ask_authd(const Invocation& invocation, std::string_view cmd, const wire::ObjectWriter& members);

/// The same of sio-bridge, within `--timeout` or else `wait`.
Outcome<std::string> ask_bridge(const Invocation& invocation, std::string_view cmd, const wire::ObjectWriter& members,
                                std::chrono::milliseconds wait);

/// Who did not answer, in words that go behind "from", for instance `node two`; empty when all did.
std::vector<std::string> silent_in(std::string_view answer);

/// Complains about each node that did not answer. The exit code: `partial` when there is one, else `ok`.
int silent_nodes(std::string_view answer);

/// Adds how long the gateway may wait for other nodes: less than `--timeout`, when that was given.
void say_node_timeout(const Invocation& invocation, std::chrono::milliseconds wait, wire::ObjectWriter& members);

/// The answer's own members: all but `id` and `ok`, as an object.
std::string without_frame(std::string_view answer);

/// The text of a member, raw; `null` when it is absent.
std::string_view raw_member(std::string_view object, std::string_view key);

/// A whole-number member; 0 when it is absent.
std::uint64_t count_member(std::string_view object, std::string_view key);

/// The text a member stands for; empty when it is absent or no text.
std::string text_member(std::string_view object, std::string_view key);

/// A length of time for people: `850 ms`, `12 s`, `3 min`, `2 h 5 min`, `4 d 1 h`.
std::string shown_time(std::uint64_t ms);

/// Seconds since 1970 that a JSON number stands for, fractions cut off; nothing when it is none, or not between 1970
/// and the year 9999.
std::optional<std::int64_t> moment(std::string_view json);

/// Such a moment for people: `2026-01-31T12:00:00Z (in 2 h 5 min)`; what it is written as when it is none.
std::string shown_moment(std::string_view json);

}  // namespace sio::sioctl
