#include "redis/endpoint.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/bytes.h"

namespace sio::redis {

namespace {

constexpr std::size_t max_url_bytes = 8192;
constexpr std::size_t max_sentinels = 64;
constexpr std::size_t max_host_bytes = 253;   // RFC 1035, as text
constexpr std::size_t max_socket_path = 107;  // bytes that fit a sockaddr_un
constexpr std::uint64_t max_database = 65535;
constexpr std::uint16_t sentinel_port = 26379;

tl::unexpected<Error> wrong(std::string what) { return fail(Errc::config, std::move(what)); }

std::string decode(std::string_view text) { return base::percent_decode(text, false); }

bool has_control(std::string_view text) {
    return std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

/// `host`, `host:port`, `[v6]:port`.
Result<HostPort> parse_host(std::string_view text, std::uint16_t port) {
    HostPort result;
    result.port = port;
    std::string_view host = text;
    std::optional<std::string_view> digits;
    if (text.starts_with('[')) {
        const std::size_t close = text.find(']');
        if (close == std::string_view::npos) return wrong("the host has a [ without its ]");
        host = text.substr(1, close - 1);
        const std::string_view rest = text.substr(close + 1);
        if (!rest.empty() && rest.front() != ':') return wrong("what follows the ] of the host is no port");
        if (!rest.empty()) digits = rest.substr(1);
    } else if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
        if (text.find(':', colon + 1) != std::string_view::npos) {
            return wrong("the host has more than one colon (an IPv6 address is written in [ ])");
        }
        host = text.substr(0, colon);
        digits = text.substr(colon + 1);
    }
    if (host.empty()) return wrong("the host is missing");
    if (host.size() > max_host_bytes) return wrong("the host is longer than 253 bytes");
    if (has_control(host) || host.find_first_of(" @/\\?#%") != std::string_view::npos) {
        return wrong("the host has a character that no host has");
    }
    if (digits) {
        const auto number = base::parse_decimal(*digits, 65535);
        if (!number || *number == 0) return wrong("the port is no number from 1 to 65535");
        result.port = static_cast<std::uint16_t>(*number);
    }
    result.host = host;
    return result;
}

Result<int> parse_database(std::string_view text) {
    const auto number = base::parse_decimal(text, max_database);
    if (!number) return wrong("the database is no number from 0 to 65535");
    return static_cast<int>(*number);
}

/// What stands before the `@`.
Result<void> parse_user(std::string_view text, Endpoint& to) {
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos) {
        return wrong("what stands before the @ is a user without a password (a password alone is written :password@)");
    }
    to.username = decode(text.substr(0, colon));
    to.password = decode(text.substr(colon + 1));
    if (!to.password.empty()) return {};
    if (!to.username.empty() && to.username != "default") {
        return wrong("the password is empty: give it, or leave out the user");
    }
    to.username.clear();
    to.warnings.emplace_back("the password is empty, so none is sent; leave out what stands before the @");
    return {};
}

/// What an option of another driver means here; empty: nothing.
struct Foreign {
    std::string_view key;
    std::string_view remedy;
};

/// Of ioredis, node-redis, redis-py, Celery, go-redis and Lettuce.
constexpr std::array foreign_options = {
    Foreign{"ssl_cert_reqs", "write tls_verify=yes or tls_verify=no"},
    Foreign{"ssl_check_hostname", "write tls_verify=yes or tls_verify=no"},
    Foreign{"ssl_ca_certs", "write tls_ca=FILE"},
    Foreign{"ssl_certfile", "write tls_cert=FILE"},
    Foreign{"ssl_keyfile", "write tls_key=FILE"},
    Foreign{"skip_verify", "write tls_verify=no"},
    Foreign{"ssl", "begin the URL with rediss:// for TLS"},
    Foreign{"tls", "begin the URL with rediss:// for TLS"},
    Foreign{"sentinelMasterId", "write redis+sentinel://host:port/master"},
    Foreign{"password", "write it before the @, as in redis://:password@host"},
    Foreign{"username", "write it before the @, as in redis://user:password@host"},
    Foreign{"keyPrefix", "keys have options of their own, such as redis-stream"},
    Foreign{"key_prefix", "keys have options of their own, such as redis-stream"},
    Foreign{"protocol", ""},
    Foreign{"client_name", ""},
    Foreign{"clientName", ""},
    Foreign{"connectionName", ""},
    Foreign{"connectTimeout", ""},
    Foreign{"connect_timeout", ""},
    Foreign{"commandTimeout", ""},
    Foreign{"socket_timeout", ""},
    Foreign{"socket_connect_timeout", ""},
    Foreign{"socket_keepalive", ""},
    Foreign{"timeout", ""},
    Foreign{"dial_timeout", ""},
    Foreign{"read_timeout", ""},
    Foreign{"write_timeout", ""},
    Foreign{"lazyConnect", ""},
    Foreign{"keepAlive", ""},
    Foreign{"enableReadyCheck", ""},
    Foreign{"enableOfflineQueue", ""},
    Foreign{"maxRetriesPerRequest", ""},
    Foreign{"max_retries", ""},
    Foreign{"retry_on_timeout", ""},
    Foreign{"health_check_interval", ""},
    Foreign{"decode_responses", ""},
    Foreign{"max_connections", ""},
    Foreign{"pool_size", ""},
    Foreign{"pool_timeout", ""},
    Foreign{"min_idle_conns", ""},
    Foreign{"allowUsernameInURI", ""},
};

Result<void> parse_option(std::string_view key, std::string value, Endpoint& to) {
    if (key == "db") {
        const auto database = parse_database(value);
        if (!database) return tl::unexpected<Error>(database.error());
        to.database = *database;
        return {};
    }
    if (key == "family") {
        if (value != "0" && value != "4" && value != "6") return wrong("option family is none of 0, 4 and 6");
        to.family = value.front() - '0';
        return {};
    }
    if (const auto* other = std::ranges::find(foreign_options, key, &Foreign::key); other != foreign_options.end()) {
        const std::string name = "option " + std::string(key) + " is another driver's";
        if (!other->remedy.empty()) return wrong(name + ": " + std::string(other->remedy));
        to.warnings.push_back(name + " and is ignored");
        return {};
    }
    if (key == "sentinel_user" || key == "sentinel_password") {
        if (to.sentinels.empty()) return wrong("option " + std::string(key) + " is for redis+sentinel:// only");
        (key == "sentinel_user" ? to.sentinel_username : to.sentinel_password) = std::move(value);
        return {};
    }
    std::string* text = nullptr;
    if (key == "tls_ca") text = &to.tls_ca_file;
    if (key == "tls_cert") text = &to.tls_cert_file;
    if (key == "tls_key") text = &to.tls_key_file;
    if (key == "tls_server_name") text = &to.tls_server_name;
    if (text == nullptr && key != "tls_verify") {
        // The key may be a piece of a password that should have been encoded.
        return wrong(
            "an option is none of db, family, tls_ca, tls_cert, tls_key, tls_server_name, tls_verify, sentinel_user, "
            "sentinel_password");
    }
    if (!to.tls) return wrong("option " + std::string(key) + " is for rediss:// and rediss+sentinel:// only");
    if (text != nullptr) {
        if (value.empty()) return wrong("option " + std::string(key) + " is empty");
        *text = std::move(value);
    } else if (value == "yes" || value == "no") {
        to.tls_verify = value == "yes";
    } else {
        return wrong("option tls_verify is neither yes nor no");
    }
    return {};
}

Result<void> parse_options(std::string_view query, Endpoint& to) {
    while (!query.empty()) {
        const std::string_view option = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(query.size(), option.size() + 1));
        if (option.empty()) continue;
        const std::size_t equals = option.find('=');
        if (equals == std::string_view::npos) return wrong("an option has no value");
        if (auto taken = parse_option(option.substr(0, equals), decode(option.substr(equals + 1)), to); !taken) {
            return taken;
        }
    }
    if (!to.tls_cert_file.empty() && to.tls_key_file.empty()) return wrong("option tls_cert needs tls_key");
    if (!to.tls_key_file.empty() && to.tls_cert_file.empty()) return wrong("option tls_key needs tls_cert");
    if (!to.sentinel_username.empty() && to.sentinel_password.empty()) {
        return wrong("option sentinel_user needs sentinel_password");
    }
    return {};
}

Result<void> parse_sentinels(std::string_view hosts, std::string_view path, Endpoint& to) {
    for (;;) {
        const std::size_t comma = hosts.find(',');
        auto host = parse_host(hosts.substr(0, comma), sentinel_port);
        if (!host) return wrong("sentinel " + std::to_string(to.sentinels.size() + 1) + ": " + host.error().what);
        if (to.sentinels.size() == max_sentinels) return wrong("more than 64 sentinels");
        to.sentinels.push_back(std::move(*host));
        if (comma == std::string_view::npos) break;
        hosts.remove_prefix(comma + 1);
    }
    const std::size_t slash = path.find('/');
    to.sentinel_master = decode(path.substr(0, slash));
    if (to.sentinel_master.empty()) return wrong("the master's name is missing (redis+sentinel://host:port/master)");
    if (slash == std::string_view::npos || slash + 1 == path.size()) return {};
    const auto database = parse_database(path.substr(slash + 1));
    if (!database) return tl::unexpected<Error>(database.error());
    to.database = *database;
    return {};
}

}  // namespace

std::string HostPort::to_string() const {
    const bool v6 = host.find(':') != std::string::npos;
    return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string Endpoint::to_string() const {
    std::string text = tls ? "tls " : "";
    if (!sentinels.empty()) {
        text += "sentinel " + sentinel_master;
    } else if (!socket_path.empty()) {
        text += "unix:" + socket_path;
    } else {
        text += HostPort{host, port}.to_string();
    }
    return text + "/" + std::to_string(database);
}

Result<Endpoint> parse_url(std::string_view url) {
    if (url.size() > max_url_bytes) return wrong("the URL is longer than 8192 bytes");
    if (has_control(url)) return wrong("the URL holds a control character");
    Endpoint to;
    bool sentinel = false;
    bool socket = false;
    const auto scheme = [&url](std::string_view name) {
        if (!url.starts_with(name)) return false;
        url.remove_prefix(name.size());
        return true;
    };
    if (scheme("rediss://")) {
        to.tls = true;
    } else if (scheme("redis+sentinel://")) {
        sentinel = true;
    } else if (scheme("rediss+sentinel://")) {
        to.tls = sentinel = true;
    } else if (scheme("unix://")) {
        socket = true;
    } else if (!scheme("redis://")) {
        return wrong("it begins with none of redis://, rediss://, unix://, redis+sentinel://, rediss+sentinel://");
    }

    std::string_view query;
    if (const std::size_t mark = url.find('?'); mark != std::string_view::npos) {
        query = url.substr(mark + 1);
        url = url.substr(0, mark);
    }
    // A password may hold a slash that was not encoded; the last @ ends it. A socket's path may hold an @ of its own.
    std::size_t at = url.rfind('@');
    if (socket) at = url.starts_with('/') ? std::string_view::npos : url.find("@/");
    if (at != std::string_view::npos) {
        if (auto user = parse_user(url.substr(0, at), to); !user) return tl::unexpected<Error>(user.error());
        url.remove_prefix(at + 1);
    }
    if (socket) {
        to.socket_path = decode(url);
        if (!to.socket_path.starts_with('/')) return wrong("the socket's path does not begin with a slash");
        if (to.socket_path.size() > max_socket_path) return wrong("the socket's path is longer than 107 bytes");
        if (has_control(to.socket_path)) return wrong("the socket's path holds a control character");
    } else {
        const std::size_t slash = url.find('/');
        const std::string_view hosts = url.substr(0, slash);
        const std::string_view path = slash == std::string_view::npos ? std::string_view{} : url.substr(slash + 1);
        if (sentinel) {
            if (auto parsed = parse_sentinels(hosts, path, to); !parsed) return tl::unexpected<Error>(parsed.error());
        } else {
            auto host = parse_host(hosts, to.port);
            if (!host) return tl::unexpected<Error>(host.error());
            to.host = std::move(host->host);
            to.port = host->port;
            if (!path.empty()) {
                const auto database = parse_database(path);
                if (!database) return tl::unexpected<Error>(database.error());
                to.database = *database;
            }
        }
    }
    if (auto options = parse_options(query, to); !options) return tl::unexpected<Error>(options.error());
    return to;
}

Result<void> check_host(std::string_view text) {
    if (text.find("://") != std::string_view::npos) {
        return wrong("it is a URL, not a host: give it as redis (REDIS_URL)");
    }
    const std::string_view inner =
        text.starts_with('[') && text.ends_with(']') ? text.substr(1, text.size() - 2) : text;
    if (inner.size() != text.size()) return wrong("an address of IPv6 is written without brackets here");
    if (std::ranges::count(text, ':') == 1) {
        return wrong("it has a port, which has an option of its own: redis-port (REDIS_PORT)");
    }
    if (text.size() > max_host_bytes) return wrong("the host is longer than 253 bytes");
    if (has_control(text) || text.find_first_of(" @/\\?#%,\"'") != std::string_view::npos) {
        return wrong("the host has a character that no host has");
    }
    return {};
}

}  // namespace sio::redis
