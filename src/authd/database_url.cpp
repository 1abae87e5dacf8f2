#include "authd/database_url.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "pg/target.h"

namespace sio::authd {

namespace {

/// A parameter of another driver. Without a remedy it changes nothing here.
struct Foreign {
    std::string_view name;
    std::string_view remedy;
};

constexpr std::array refused = {
    Foreign{"sslidentity", "write sslcert=FILE and sslkey=FILE"},
    Foreign{"currentSchema", "write schema=NAME"},
    Foreign{"search_path", "write schema=NAME"},
    Foreign{"ssl_mode", "write sslmode=…"},
    Foreign{"ssl-mode", "write sslmode=…"},
    Foreign{"sslMode", "write sslmode=…"},
    Foreign{"ssl_ca", "write sslrootcert=FILE"},
    Foreign{"sslca", "write sslrootcert=FILE"},
    Foreign{"ssl_cert", "write sslcert=FILE"},
    Foreign{"ssl_key", "write sslkey=FILE"},
    Foreign{"socket", "write host=FOLDER"},
    Foreign{"database", "write it as the path: postgresql://host/NAME"},
    Foreign{"username", "write it before the @: postgresql://NAME@host"},
};

constexpr std::string_view own_pool = "database-connections says how many connections there are";
constexpr std::string_view own_time = "database-timeout says how long an answer may take";
constexpr std::string_view nothing;

/// The remedy of these is what to know instead.
constexpr std::array ignored = {
    Foreign{"connection_limit", own_pool},
    Foreign{"pool_size", own_pool},
    Foreign{"max_connections", own_pool},
    Foreign{"pool_max_conns", own_pool},
    Foreign{"pool_min_conns", own_pool},
    Foreign{"pool_timeout", own_time},
    Foreign{"socket_timeout", own_time},
    Foreign{"socketTimeout", own_time},
    Foreign{"statement_timeout", own_time},
    Foreign{"query_timeout", own_time},
    Foreign{"pgbouncer", "notifications do not pass a pooler of transactions: name the database itself where you can"},
    Foreign{"pool_mode", "notifications do not pass a pooler of transactions: name the database itself where you can"},
    Foreign{"pool_max_conn_lifetime", nothing},
    Foreign{"pool_max_conn_idle_time", nothing},
    Foreign{"pool_health_check_period", nothing},
    Foreign{"max_idle_connection_lifetime", nothing},
    Foreign{"idle_timeout", nothing},
    Foreign{"single_use_connections", nothing},
    Foreign{"statement_cache_size", nothing},
    Foreign{"statement_cache_capacity", nothing},
    Foreign{"default_query_exec_mode", nothing},
    Foreign{"prepared_statements", nothing},
    Foreign{"prepareThreshold", nothing},
    Foreign{"binary_parameters", nothing},
    Foreign{"simple_protocol", nothing},
    Foreign{"relationMode", nothing},
    Foreign{"uselibpqcompat", nothing},
    Foreign{"supa", nothing},
    Foreign{"workaround", nothing},
    Foreign{"serverVersion", nothing},
    Foreign{"charset", nothing},
    Foreign{"encoding", nothing},
    Foreign{"timezone", nothing},
    Foreign{"TimeZone", nothing},
    Foreign{"tcpKeepAlive", nothing},
    Foreign{"ApplicationName", nothing},
};

template <std::size_t N>
const Foreign* find(const std::array<Foreign, N>& table, std::string_view name) {
    const auto found = std::ranges::find(table, name, &Foreign::name);
    return found == table.end() ? nullptr : &*found;
}

tl::unexpected<Error> wrong(const std::string& what) { return fail(Errc::config, what); }

/// The URL with a scheme that libpq knows. Errors: what to write instead.
Result<std::string> with_scheme(std::string_view given, std::vector<std::string>& warnings) {
    const std::size_t colon = given.find(':');
    const std::string_view scheme = given.substr(0, colon);
    const bool is_scheme =
        colon != std::string_view::npos && !scheme.empty() && std::ranges::all_of(scheme, [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '.' ||
                   c == '-';
        });
    if (!is_scheme || scheme == "postgres" || scheme == "postgresql") return std::string(given);
    const std::string_view rest = given.substr(colon + 1);
    const std::string named = "it begins with " + std::string(scheme) + ":, ";
    if (scheme == "prisma" || scheme == "prisma+postgres") {
        return wrong(named + "an address that only Prisma speaks to: give the database's own, postgresql://…");
    }
    if (scheme == "jdbc" && rest.starts_with("postgresql://")) {
        warnings.emplace_back("jdbc: before the URL is taken off; write it without");
        return std::string(rest);
    }
    if (scheme.starts_with("postgres+") || scheme.starts_with("postgresql+") ||
        base::equal_ignoring_case(scheme, "postgres") || base::equal_ignoring_case(scheme, "postgresql")) {
        warnings.push_back("the scheme " + std::string(scheme) + " is taken for postgresql; write that");
        return "postgresql:" + std::string(rest);
    }
    return wrong(named + "which is no PostgreSQL: give a URL that begins with postgresql://");
}

class Parameters {
public:
    explicit Parameters(DatabaseUrl& out) : out_(out) {}

    /// What libpq is to have of one parameter; nothing when it is ignored.
    Result<std::optional<std::string>> take(std::string_view word) {
        const std::size_t equals = std::min(word.find('='), word.size());
        const std::string name = base::percent_decode(word.substr(0, equals), false);
        const std::string value = base::percent_decode(word.substr(std::min(equals + 1, word.size())), false);
        if (name == "schema") {
            out_.schema = value;
            return std::nullopt;
        }
        if (name == "ssl") return take_ssl(value);
        if (name == "sslmode") return take_mode(word, value);
        if (name == "sslaccept") return take_accept(value);
        if (const Foreign* one = find(refused, name)) {
            return wrong("parameter " + name + " is another driver's: " + std::string(one->remedy));
        }
        if (const Foreign* one = find(ignored, name)) {
            out_.warnings.push_back("parameter " + name + " is another driver's and is ignored" +
                                    (one->remedy.empty() ? "" : ": " + std::string(one->remedy)));
            return std::nullopt;
        }
        if (!pg::is_parameter(name)) {
            return wrong("parameter " + name +
                         " is not known to libpq: leave it out for this program, or write what "
                         "libpq has for it (a ? in a password is written %3F)");
        }
        return std::string(word);
    }

private:
    using Word = Result<std::optional<std::string>>;

    Word take_ssl(std::string_view value) {
        const bool is_on = value == "true" || value == "1" || value == "require";
        if (!is_on && value != "false" && value != "0" && value != "disable") {
            return wrong("parameter ssl is another driver's: write sslmode=disable, require, verify-ca or verify-full");
        }
        const std::string mode = is_on ? "sslmode=require" : "sslmode=disable";
        out_.warnings.push_back("parameter ssl is taken for " + mode + "; write that");
        return mode;
    }

    Word take_mode(std::string_view word, std::string_view value) {
        if (value == "no-verify") {
            out_.warnings.emplace_back(
                "sslmode=no-verify is taken for sslmode=require, TLS without a look at the "
                "server's certificate; verify-full looks at it");
            return "sslmode=require";
        }
        for (const std::string_view mode : {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}) {
            if (value == mode) return std::string(word);
        }
        return wrong("parameter sslmode is none of disable, allow, prefer, require, verify-ca and verify-full");
    }

    Word take_accept(std::string_view value) {
        if (value == "accept_invalid_certs") {
            out_.warnings.emplace_back(
                "parameter sslaccept is another driver's and is ignored: sslmode says what is "
                "looked at");
            return std::nullopt;
        }
        return wrong(
            "parameter sslaccept is another driver's: write sslmode=verify-full, or sslmode=require without "
            "a look at the certificate");
    }

    DatabaseUrl& out_;
};

}  // namespace

Result<DatabaseUrl> read_database_url(std::string_view given) {
    DatabaseUrl out;
    auto url = with_scheme(given, out.warnings);
    if (!url) return tl::unexpected(url.error());
    const std::size_t mark = url->find('?');
    const bool is_url = url->starts_with("postgres://") || url->starts_with("postgresql://");
    if (!is_url || mark == std::string::npos) {
        out.url = std::move(*url);
        return out;
    }
    const std::string_view query = std::string_view(*url).substr(mark + 1);
    // What follows such a mark is the rest of a password, and no parameter to be named.
    if (query.find('@') != std::string_view::npos) {
        return wrong("there is an @ after its ?: both are percent-encoded in a password, %40 and %3F");
    }
    out.url = url->substr(0, mark);
    char before = '?';
    Parameters parameters(out);
    for (std::string_view rest = query; !rest.empty();) {
        const std::size_t end = std::min(rest.find('&'), rest.size());
        const std::string_view word = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        if (word.empty()) continue;
        const auto taken = parameters.take(word);
        if (!taken) return tl::unexpected(taken.error());
        if (!*taken) continue;
        out.url += std::exchange(before, '&');
        out.url += **taken;
    }
    return out;
}

}  // namespace sio::authd
