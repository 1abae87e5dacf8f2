// The names of channels and streams that the members of a cluster agree on. Source: cluster-wire 1.2 and 1.11.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sio::cluster {

/// `<prefix>#<nsp>#`: what everybody hears.
std::string public_channel(std::string_view prefix, std::string_view nsp);

/// `<prefix>#<nsp>#<uid>#`: what one member hears.
std::string private_channel(std::string_view prefix, std::string_view nsp, std::string_view uid);

/// Node's hash of a namespace: h = int32(h * 31 + c) over the UTF-16 units of the name.
std::int32_t namespace_hash(std::string_view nsp) noexcept;

/// The stream Node writes a namespace to: `name` alone when there is one stream, else `name-<hash % count>`. The
/// remainder has the sign of the hash, as in JavaScript: `socket.io--3` is what Node writes, though it reads no such
/// stream. `count` is at least 1.
std::string stream_for(std::string_view name, std::uint32_t count, std::string_view nsp);

/// Every stream a namespace can be written to: Node's own (`name-0` …) and, after them, the negative ones.
std::vector<std::string> streams_to_read(std::string_view name, std::uint32_t count);

/// What matches the classic adapter's broadcasts, to all of a namespace and to one room. Glob characters of a name
/// stand for themselves.
std::string classic_pattern(std::string_view prefix, std::string_view nsp);

/// The channel of the classic adapter's requests, and the pattern that matches it alone. Who subscribes the channel is
/// counted as a server and must answer; who subscribes the pattern is not.
std::string classic_request_channel(std::string_view prefix, std::string_view nsp);
std::string classic_request_pattern(std::string_view prefix, std::string_view nsp);

}  // namespace sio::cluster
