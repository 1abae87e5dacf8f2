#include "daemon/socket_options.h"

#include <string>

#include "net/socket_path.h"

namespace sio::daemon {

namespace {

std::vector<std::string>& names() {
    static std::vector<std::string> in_force;
    return in_force;
}

}  // namespace

void add_socket_options(std::vector<Option>& table, std::string_view group) {
    Option option = list({.group = std::string(group),
                          .name = "socket-users",
                          .value = "USER",
                          .help = "Other users, by name or number, whose processes may be at the other end of Unix "
                                  "sockets, beside root and our own; any turns the checks of users and folders off.",
                          .cost = "Each of them can do what sioctl can.",
                          .env = {"SIO_SOCKET_USERS"}},
                         names());
    option.set = [add = option.set](std::string_view given) -> Result<void> {
        if (auto added = add(given); !added) return added;
        return net::trust_users(names());
    };
    option.clear = [clear = option.clear] {
        clear();
        static_cast<void>(net::trust_users({}));
    };
    table.push_back(std::move(option));
}

}  // namespace sio::daemon
