// Where a Redis is and how to be let in, as one URL says it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sio::redis {

struct HostPort {
    std::string host;  ///< a name or an address; IPv6 without brackets
    std::uint16_t port = 6379;
    bool operator==(const HostPort&) const = default;
    /// `host:port`, `[v6]:port`.
    [[nodiscard]] std::string to_string() const;
};

struct Endpoint {
    std::string host = "127.0.0.1";
    std::uint16_t port = 6379;
    std::string socket_path;  ///< a Unix socket instead of host and port; at most 107 bytes
    std::string username;     ///< of an ACL; empty is the default user
    std::string password;     ///< empty: no AUTH
    int database = 0;

    bool tls = false;             ///< of the Redis and of the sentinels
    bool tls_verify = true;       ///< the certificate's chain and its name
    std::string tls_ca_file;      ///< PEM; empty is the system's
    std::string tls_cert_file;    ///< PEM, our own certificate, for a server that asks for one
    std::string tls_key_file;     ///< PEM
    std::string tls_server_name;  ///< checked and sent instead of the host

    std::vector<HostPort> sentinels;  ///< not empty: ask these where the master is, instead of host and port
    std::string sentinel_master;      ///< the name that they know the master by
    std::string sentinel_username;
    std::string sentinel_password;

    int family = 0;  ///< 4 or 6: of a name's addresses only those of IPv4 or IPv6; 0: all

    std::vector<std::string> warnings;  ///< what of the URL counts for nothing, a sentence each

    /// For logs: `127.0.0.1:6379/0`, `unix:/run/redis.sock/0`, `tls host:6379/0`, `sentinel mymaster/0`; no secret.
    [[nodiscard]] std::string to_string() const;
};

/// Reads one of
///
///     redis://[[user]:password@]host[:port][/database][?options]        rediss:// the same with TLS
///     unix://[[user]:password@]/path/of/socket[?options]
///     redis+sentinel://[[user]:password@]host[:port][,host[:port]…]/master[/database][?options]
///                                                                        rediss+sentinel:// the same with TLS
///
/// Options are `db`, `family` (4, 6 or 0, as ioredis has it), and with TLS `tls_ca`, `tls_cert`, `tls_key`,
/// `tls_server_name`, `tls_verify` (`yes` or `no`), and with sentinels `sentinel_user`, `sentinel_password`. User,
/// password, path and options are percent-decoded. A sentinel's port is 26379 unless it is given. An empty password of
/// nobody, or of `default`, is none. Options of other drivers that mean nothing here are ignored with a warning; those
/// that mean something are refused with the remedy.
///
/// Errors: `config`, whose `what` is the reason only, naming the part that is wrong. A password is in none of them.
Result<Endpoint> parse_url(std::string_view url);

/// Whether `text` is a host by itself: a name or an address, neither a URL nor with a port. Errors: `config`, as above.
Result<void> check_host(std::string_view text);

}  // namespace sio::redis
