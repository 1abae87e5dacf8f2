#include "net/socket_path.h"

#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <deque>
#include <filesystem>

#include "base/bytes.h"

namespace sio::net {

namespace {

constexpr int max_links = 16;

struct Trust {
    std::vector<uid_t> users;
    bool everybody = false;
};

Trust& trust() {
    static Trust of_this_process;
    return of_this_process;
}

std::vector<uid_t> trusted_users() {
    std::vector<uid_t> users{0, geteuid()};
    users.insert(users.end(), trust().users.begin(), trust().users.end());
    return users;
}

bool has(const std::vector<uid_t>& users, uid_t user) { return std::ranges::find(users, user) != users.end(); }

std::string name_of(uid_t user) {
    std::array<char, 4096> buffer{};
    passwd entry{};
    passwd* found = nullptr;
    const std::string number = "uid " + std::to_string(user);
    if (getpwuid_r(user, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) return number;
    return std::string(found->pw_name) + " (" + number + ')';
}

Result<uid_t> user_of(const std::string& name) {
    if (const auto number = base::parse_decimal(name, UINT32_MAX - 1)) return static_cast<uid_t>(*number);
    std::array<char, 4096> buffer{};
    passwd entry{};
    passwd* found = nullptr;
    if (getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) {
        return fail(Errc::malformed, "'" + name + "' is no user of this system: give a name, a number or any");
    }
    return found->pw_uid;
}

tl::unexpected<Error> unsafe(const std::string& what) {
    return fail(Errc::denied, what + ", or name the users you trust (socket-users, SIO_SOCKET_USERS)");
}

/// Whether others than its owner can change what a folder holds. A group that is root's or our own is no others.
bool is_open_to_others(const struct stat& folder) noexcept {
    const bool by_group = (folder.st_mode & S_IWGRP) != 0 && folder.st_gid != 0 && folder.st_gid != getegid();
    return by_group || (folder.st_mode & S_IWOTH) != 0;
}

std::string mode_of(const struct stat& file) {
    std::string text = "0000";
    for (unsigned i = 0; i < 4; ++i) text[3 - i] = static_cast<char>('0' + (file.st_mode >> (3 * i) & 7U));
    return text;
}

/// The parts of an absolute path, in front of `rest`.
void add_parts(const std::string& path, std::deque<std::string>& rest) {
    std::deque<std::string> parts;
    for (const auto& part : std::filesystem::path(path)) {
        if (part != "/" && part != "." && !part.empty()) parts.push_back(part.string());
    }
    rest.insert(rest.begin(), parts.begin(), parts.end());
}

Result<std::string> absolute(const std::string& path) {
    if (path.empty()) return fail(Errc::usage, "the path is empty");
    if (path[0] == '@') {
        return fail(Errc::denied, "an abstract socket has neither owner nor mode: give a path that begins with /");
    }
    if (path[0] == '/') return path;
    std::array<char, PATH_MAX> here{};
    if (getcwd(here.data(), here.size()) == nullptr) return fail(Errc::io, std::strerror(errno));
    return std::string(here.data()) + '/' + path;
}

/// Goes through the folders of `path` from the root on.
class Walk {
public:
    explicit Walk(const std::string& path) { add_parts(std::filesystem::path(path).parent_path().string(), rest_); }

    Result<void> go() {
        struct stat root {};
        if (lstat("/", &root) != 0) return fail(Errc::io, std::strerror(errno));
        if (auto entered = enter("/", root); !entered) return entered;
        while (!rest_.empty()) {
            const std::string part = std::move(rest_.front());
            rest_.pop_front();
            if (auto done = step(part); !done) return done;
        }
        return {};
    }
    /// The same for the socket itself, when it is there.
    Result<void> look_at(const std::string& socket) const {
        struct stat file {};
        if (lstat(socket.c_str(), &file) != 0) return {};
        if (is_open_ && !has(users_, file.st_uid)) {
            return unsafe(socket + " belongs to " + name_of(file.st_uid) + ": choose another path");
        }
        return {};
    }
    [[nodiscard]] const std::vector<uid_t>& users() const noexcept { return users_; }

private:
    Result<void> step(const std::string& part) {
        if (part == "..") {
            at_ = std::filesystem::path(at_).parent_path().string();
            struct stat up {};
            if (lstat(at_.c_str(), &up) != 0) return fail(Errc::io, std::strerror(errno));
            is_open_ = is_open_to_others(up);
            return {};
        }
        const std::string path = at_ == "/" ? at_ + part : at_ + '/' + part;
        struct stat file {};
        if (lstat(path.c_str(), &file) != 0) {
            if (errno == ENOENT) return fail(Errc::not_found, "there is no folder " + path);
            return fail(errno == EACCES ? Errc::denied : Errc::io, path + ": " + std::strerror(errno));
        }
        if (is_open_ && !has(users_, file.st_uid)) {
            return unsafe(path + " belongs to " + name_of(file.st_uid) +
                          ", who has made it where everybody may: remove it, choose another path");
        }
        if (S_ISLNK(file.st_mode)) return follow(path);
        if (!S_ISDIR(file.st_mode)) return fail(Errc::not_found, path + " is no folder");
        return enter(path, file);
    }
    Result<void> enter(const std::string& path, const struct stat& folder) {
        if (!has(users_, folder.st_uid)) users_.push_back(folder.st_uid);
        is_open_ = is_open_to_others(folder);
        if (is_open_ && (folder.st_mode & S_ISVTX) == 0) {
            return unsafe("others can put files of their own into " + path + " (mode " + mode_of(folder) +
                          "): chmod go-w it, choose another path");
        }
        at_ = path;
        return {};
    }
    Result<void> follow(const std::string& path) {
        if (++links_ > max_links) return fail(Errc::io, path + ": too many links");
        std::error_code error;
        const std::string target = std::filesystem::read_symlink(path, error).string();
        if (error) return fail(Errc::io, path + ": " + error.message());
        add_parts(target, rest_);
        if (!target.starts_with('/')) return {};
        at_ = "/";
        is_open_ = false;
        return {};
    }

    std::deque<std::string> rest_;
    std::string at_ = "/";
    bool is_open_ = false;  // everybody can make files in at_, which is sticky
    int links_ = 0;
    std::vector<uid_t> users_ = trusted_users();
};

}  // namespace

Result<void> trust_users(const std::vector<std::string>& names) {
    Trust named;
    for (const std::string& name : names) {
        if (name == "any") {
            named.everybody = true;
            continue;
        }
        const auto user = user_of(name);
        if (!user) return tl::unexpected(user.error());
        named.users.push_back(*user);
    }
    trust() = std::move(named);
    return {};
}

bool trusts_others() noexcept { return trust().everybody || !trust().users.empty(); }

Result<std::vector<uid_t>> users_of_socket(const std::string& path) {
    const auto full = absolute(path);
    if (!full) return tl::unexpected(full.error());
    if (trust().everybody) return trusted_users();
    Walk walk(*full);
    if (auto safe = walk.go(); !safe) return tl::unexpected(safe.error());
    if (auto safe = walk.look_at(*full); !safe) return tl::unexpected(safe.error());
    return walk.users();
}

Result<std::vector<uid_t>> prepare_socket_folder(const std::string& path) {
    const auto full = absolute(path);
    if (!full) return tl::unexpected(full.error());
    std::string at;
    for (const auto& part : std::filesystem::path(*full).parent_path()) {
        at = (std::filesystem::path(at) / part).string();
        if (mkdir(at.c_str(), 0700) != 0 && errno != EEXIST && errno != EISDIR && errno != EROFS) {
            // A folder that is there may be one that we cannot make: then the walk says what is wrong.
            struct stat file {};
            if (stat(at.c_str(), &file) != 0) return fail(Errc::io, "cannot make " + at + ": " + std::strerror(errno));
        }
    }
    return users_of_socket(*full);
}

Result<void> check_peer(int fd, const std::vector<uid_t>& users) {
    if (trust().everybody) return {};
    ucred peer{};
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return fail(Errc::io, std::strerror(errno));
    if (has(users, peer.uid)) return {};
    return unsafe("the process there is of " + name_of(peer.uid) + ": end it");
}

Result<void> check_client(int fd) { return check_peer(fd, trusted_users()); }

void remove_socket(const std::string& path) noexcept {
    struct stat file {};
    if (lstat(path.c_str(), &file) == 0 && S_ISSOCK(file.st_mode)) unlink(path.c_str());
}

}  // namespace sio::net
