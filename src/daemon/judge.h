// Judgements that all daemons pass on what a configuration names: origins, and files with secrets or certificates.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "daemon/findings.h"
#include "redis/endpoint.h"

namespace sio::daemon {

/// Whether `text` is an origin exactly as browsers send it: scheme, host in lower case, and the port unless it is the
/// scheme's own; or `null` or `file://`, as pages of no host have it. Errors: `malformed`, with what to write instead.
Result<void> check_origin(std::string_view text);

/// Whether only this host reaches what listens on the address `host`.
[[nodiscard]] bool is_of_this_host(std::string_view host) noexcept;

/// Whether the file can be read; nothing when the path is empty. Errors: `config`, that begin with `option`.
Result<void> check_file(std::string_view option, const std::string& path);

/// Whether every user of this host may read the file.
[[nodiscard]] bool is_world_readable(const std::string& path);

/// Warns when everybody on this host may read a file that holds a secret. `place` begins the sentence.
void warn_of_mode(std::string_view place, const std::string& path, Findings& findings);

/// Warns when the secret of `place` is shorter than 32 bytes.
void warn_of_length(std::string_view place, std::size_t bytes, Findings& findings);

/// Whether the log's file can be written. Errors: `io`, as opening it has.
Result<void> check_log_file(const std::string& path);

/// Whether a socket can be made at `path`: what is there already is a socket, and the nearest folder that is there can
/// be written to. Errors: `io`, that begin with `option`, as listening has.
Result<void> check_socket_path(std::string_view option, const std::string& path);

/// Whether the certificates and keys of a Redis can be used, and who may read the key.
void judge_redis(const redis::Endpoint& endpoint, Findings& findings);

}  // namespace sio::daemon
