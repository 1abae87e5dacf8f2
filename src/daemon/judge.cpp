#include "daemon/judge.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "base/unique_fd.h"
#include "redis/tls.h"

namespace sio::daemon {

namespace {

constexpr std::size_t max_origin_bytes = 512;
constexpr std::size_t least_secret_bytes = 32;

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return out;
}

/// `host` or `host:port` of an origin. Errors: what is wrong, without the origin.
Result<void> check_authority(std::string_view scheme, std::string_view authority) {
    const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : 0;
    if (bracket == std::string_view::npos) return fail(Errc::malformed, "has a [ without its ]");
    const std::size_t colon = authority.find(':', bracket);
    if (authority.substr(0, colon).empty()) return fail(Errc::malformed, "has no host");
    if (colon == std::string_view::npos) return {};
    const std::string_view digits = authority.substr(colon + 1);
    const auto port = base::parse_decimal(digits, 65535);
    if (!port || *port == 0) return fail(Errc::malformed, "has a port that is no number from 1 to 65535");
    const bool is_own = (scheme == "https" && *port == 443) || (scheme == "http" && *port == 80);
    if (is_own) return fail(Errc::malformed, "names the port that browsers leave out: leave it out");
    return {};
}

}  // namespace

Result<void> check_origin(std::string_view text) {
    const auto wrong = [text](const std::string& what) {
        return fail(Errc::malformed, "'" + std::string(text) + "' " + what);
    };
    if (text == "null" || text == "file://") return {};  // of sandboxed pages and of apps' files
    if (text.size() > max_origin_bytes) return fail(Errc::malformed, "an origin is longer than 512 bytes");
    if (text.find('@') != std::string_view::npos) {
        return fail(Errc::malformed, "an origin with an @ in it: browsers send neither user nor password");
    }
    if (!std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; })) {
        return wrong("is not like https://example.org: browsers send it in ASCII, names of other scripts as xn--…");
    }
    const std::size_t colon = text.find("://");
    if (colon == std::string_view::npos || colon == 0) {
        return wrong("is not like https://example.org: the scheme is missing");
    }
    const std::string_view rest = text.substr(colon + 3);
    if (const std::size_t end = rest.find_first_of("/?#"); end != std::string_view::npos) {
        return wrong("is not like https://example.org, without a path: write '" +
                     std::string(text.substr(0, colon + 3 + end)) + "'");
    }
    if (text.find('*') != std::string_view::npos) {
        return wrong("is not like https://example.org: a * stands for nothing in it");
    }
    if (lower(text) != text) return wrong("is not as browsers send it: write '" + lower(text) + "'");
    if (rest.find_first_of(",\\\"'<>") != std::string_view::npos) return wrong("is not like https://example.org");
    if (const auto fine = check_authority(text.substr(0, colon), rest); !fine) return wrong(fine.error().what);
    return {};
}

bool is_of_this_host(std::string_view host) noexcept {
    return host.starts_with("127.") || host == "::1" || host.starts_with("::ffff:127.");
}

Result<void> check_file(std::string_view option, const std::string& path) {
    if (path.empty()) return {};
    const auto wrong = [&](const char* reason) {
        return fail(Errc::config, std::string(option) + ": cannot read " + path + ": " + reason);
    };
    const base::UniqueFd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (!file) return wrong(std::strerror(errno));
    struct stat about {};
    if (::fstat(file.get(), &about) == 0 && S_ISDIR(about.st_mode)) return wrong(std::strerror(EISDIR));
    return {};
}

bool is_world_readable(const std::string& path) {
    struct stat about {};
    return ::stat(path.c_str(), &about) == 0 && S_ISREG(about.st_mode) && (about.st_mode & S_IROTH) != 0;
}

void warn_of_mode(std::string_view place, const std::string& path, Findings& findings) {
    if (path.empty() || !is_world_readable(path)) return;
    findings.warn(std::string(place) + ": everybody on this host can read " + path + ": chmod 640 " + path +
                  ", and give it to our group");
}

void warn_of_length(std::string_view place, std::size_t bytes, Findings& findings) {
    if (bytes >= least_secret_bytes) return;
    findings.warn(std::string(place) + ": the secret has " + std::to_string(bytes) +
                  " bytes and may be guessed: 32 or more, such as openssl rand -base64 48 makes");
}

Result<void> check_log_file(const std::string& path) {
    if (path.empty()) return {};
    const std::size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    const bool is_there = ::access(path.c_str(), F_OK) == 0;
    if (::access(is_there ? path.c_str() : folder.c_str(), W_OK) == 0) return {};
    return fail(Errc::io, "log-file: cannot write " + path + ": " + std::strerror(errno));
}

Result<void> check_socket_path(std::string_view option, const std::string& path) {
    const auto wrong = [option](const std::string& what) { return fail(Errc::io, std::string(option) + ": " + what); };
    struct stat about {};
    if (::stat(path.c_str(), &about) == 0 && !S_ISSOCK(about.st_mode)) {
        return wrong(path + " is there already, and no socket: name another path, or remove it");
    }
    // Folders that are missing are made.
    std::string folder = path;
    int reason = ENOENT;
    do {
        const std::size_t slash = folder.rfind('/');
        folder = slash == std::string::npos ? "." : slash == 0 ? "/" : folder.substr(0, slash);
        reason = ::stat(folder.c_str(), &about) == 0 ? 0 : errno;
    } while (reason == ENOENT && folder.size() > 1);
    if (reason == 0 && !S_ISDIR(about.st_mode)) reason = ENOTDIR;
    if (reason == 0 && ::access(folder.c_str(), W_OK | X_OK) != 0) reason = errno;
    if (reason == 0) return {};
    return wrong("cannot make a socket in " + folder + ": " + std::strerror(reason) +
                 ": name a folder that this user may write to");
}

void judge_redis(const redis::Endpoint& endpoint, Findings& findings) {
    if (!endpoint.tls) return;
    const auto tls = redis::Tls::create(endpoint, endpoint.host, -1);
    if (!tls) findings.add({Errc::config, "redis: " + tls.error().what});
    warn_of_mode("redis: tls_key", endpoint.tls_key_file, findings);
    if (!endpoint.tls_verify) {
        findings.warn("redis: tls_verify=no believes any server: name its certificates with tls_ca=FILE instead");
    }
}

}  // namespace sio::daemon
