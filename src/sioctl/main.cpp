// sioctl: asks a sio gateway, and is a client of one. See sioctl(1).
#include <cstdio>

#include "sioctl/answer.h"
#include "sioctl/command_line.h"
#include "sioctl/control.h"

int main(int argc, char** argv) {
    using namespace sio::sioctl;
    if (const auto trusted = trust_socket_users(); !trusted) return finish(trusted.error());
    const auto invocation = parse_command_line(argc, argv);
    if (invocation) return invocation->command->run(*invocation);
    if (invocation.error().exit != exit_code::ok) return finish(invocation.error());
    std::fputs(invocation.error().what.c_str(), stdout);  // --help, --version
    return exit_code::ok;
}
