// daemon/notify.h, exit_code.h and limits.h: what a supervisor sees of us.
#include "daemon/notify.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "base/unique_fd.h"
#include "daemon/exit_code.h"
#include "daemon/limits.h"

namespace {

using namespace sio;
using namespace sio::daemon;

/// A supervisor's end of NOTIFY_SOCKET. `abstract`: a name without a file.
class Supervisor {
public:
    explicit Supervisor(bool abstract) : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        char folder[] = "/tmp/sio-notify-XXXXXX";
        folder_ = mkdtemp(folder);
        path_ = folder_ + "/socket";
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path + (abstract ? 1 : 0), path_.data(), path_.size());
        const auto size = offsetof(sockaddr_un, sun_path) + path_.size() + (abstract ? 1U : 0U);
        cr_assert(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size)) == 0);
        setenv("NOTIFY_SOCKET", ((abstract ? "@" : "") + path_).c_str(), 1);
    }
    ~Supervisor() {
        unlink(path_.c_str());
        rmdir(folder_.c_str());
    }
    Supervisor(const Supervisor&) = delete;
    Supervisor& operator=(const Supervisor&) = delete;

    [[nodiscard]] std::string heard() const {
        char text[512];
        const ssize_t size = ::recv(fd_.get(), text, sizeof(text), MSG_DONTWAIT);
        return size < 0 ? "" : std::string(text, static_cast<std::size_t>(size));
    }

private:
    base::UniqueFd fd_;
    std::string folder_;
    std::string path_;
};

}  // namespace

Test(notify, the_supervisor_hears_each_step) {
    for (const bool abstract : {false, true}) {
        const Supervisor supervisor(abstract);
        notify_ready();
        cr_expect(supervisor.heard() == "READY=1");
        notify_status("5 clients\nREADY=1");
        cr_expect(supervisor.heard() == "STATUS=5 clients");
        notify_reloading();
        cr_expect(supervisor.heard().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        notify_alive();
        cr_expect(supervisor.heard() == "WATCHDOG=1");
        notify_stopping();
        cr_expect(supervisor.heard() == "STOPPING=1");
    }
}

Test(notify, nobody_to_tell_is_no_failure) {
    unsetenv("NOTIFY_SOCKET");
    notify_ready();
    setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
    notify_ready();
    setenv("NOTIFY_SOCKET", std::string(300, 'x').insert(0, "/").c_str(), 1);
    notify_ready();
    setenv("NOTIFY_SOCKET", "relative", 1);
    notify_ready();
}

Test(notify, the_watchdog_is_fed_twice_in_its_time) {
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    cr_expect(!watchdog_interval());
    setenv("WATCHDOG_USEC", "30000000", 1);
    cr_expect(watchdog_interval() == std::chrono::milliseconds(15000));
    setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
    cr_expect(watchdog_interval().has_value());
    setenv("WATCHDOG_PID", "1", 1);
    cr_expect(!watchdog_interval(), "another process is meant");
    unsetenv("WATCHDOG_PID");
    setenv("WATCHDOG_USEC", "soon", 1);
    cr_expect(!watchdog_interval());
}

Test(exit_code, tells_a_supervisor_whether_starting_again_helps) {
    cr_expect(exit_code_of(Errc::usage) == 64);
    cr_expect(exit_code_of(Errc::config) == 78);
    cr_expect(exit_code_of(Errc::io) == 69);
    cr_expect(exit_code_of(Errc::unavailable) == 69);
}

Test(limits, descriptors_are_raised_to_what_is_allowed) {
    const std::size_t first = raise_descriptor_limit();
    cr_expect(first >= 256);
    cr_expect(raise_descriptor_limit() == first);
}
