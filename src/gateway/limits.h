// The limits whose passing refuses what a client asks, or ends it: one table of what each is called, where an operator
// raises it, and what its client is told.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sio::gateway {

enum class Limit : std::uint8_t {
    message,                ///< of a WebSocket
    body,                   ///< of a POST
    api_body,               ///< of a request to the HTTP API
    head,                   ///< of a request
    header_lines,           ///< of a request
    connections,            ///< in all
    address_connections,    ///< of one address
    packet,                 ///< with its attachments
    attachments,            ///< of a packet
    attachment_time,        ///< from an event to the last of its attachments
    json_depth,             ///< of a packet
    early_packets,          ///< before their CONNECT was answered
    early_bytes,            ///< of these
    rate,                   ///< far over it
    connection_namespaces,  ///< of one connection
    namespaces,             ///< by patterns, in all
    namespace_name,         ///< in bytes
    count
};
inline constexpr std::size_t limit_count = static_cast<std::size_t>(Limit::count);

/// What stands for a limit in metrics and logs: `message`, `header-lines`, …
[[nodiscard]] std::string_view to_string(Limit limit) noexcept;

/// What sets it: the name of an option, or `fixed`.
[[nodiscard]] std::string_view option_of(Limit limit) noexcept;

/// What a client is told, no longer than a close frame's reason may be: `1200000 bytes of a message, of at most 1000000
/// (max-payload)`. `size` 0: it is not known.
[[nodiscard]] std::string limit_text(Limit limit, std::uint64_t size, std::uint64_t most);

}  // namespace sio::gateway
