// net/socket_path.h, listen_unix() and UnixClient: what another user of the machine can and cannot put in the way. The
// other user is one without a name, so these tests need root; as another user only what needs no second one is tried.
#include "net/socket_path.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "net/listener.h"
#include "net/unix_client.h"

namespace {

using namespace sio;
namespace fs = std::filesystem;

constexpr uid_t stranger = 54'321;

/// A sticky folder that everybody may write, as /tmp is, in one of our own.
struct Place {
    Place() {
        char path[] = "/tmp/sio-paths-XXXXXX";
        cr_assert(mkdtemp(path) != nullptr);
        folder = path;
        cr_assert(chmod(path, 0755) == 0);
        shared = folder + "/tmp";
        cr_assert(mkdir(shared.c_str(), 0777) == 0 && chmod(shared.c_str(), 01777) == 0);
    }
    ~Place() {
        std::error_code ignored;
        fs::remove_all(folder, ignored);
        static_cast<void>(net::trust_users({}));
    }
    std::string folder;
    std::string shared;
};

bool is_root() { return geteuid() == 0; }

/// Does it as the other user, and returns whether it came to true.
bool as_stranger(const std::function<bool()>& what) {
    const pid_t child = fork();
    if (child == 0) {
        const bool is_other = setgid(stranger) == 0 && setuid(stranger) == 0;
        _exit(is_other && what() ? 0 : 1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::string listening(const std::string& path) {
    const auto fd = net::listen_unix(path);
    return fd ? "listens" : fd.error().what;
}

std::string connecting(const std::string& path) {
    const auto client = net::UnixClient::connect(path);
    return client ? "connects" : client.error().what;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

Test(socket_path, a_missing_folder_is_made_for_us_alone) {
    const Place place;
    const std::string path = place.shared + "/run/sio/a.sock";
    const auto fd = net::listen_unix(path);
    cr_assert(fd.has_value(), "%s", fd ? "" : fd.error().what.c_str());
    struct stat file {};
    for (const char* folder : {"/run", "/run/sio"}) {
        cr_expect(stat((place.shared + folder).c_str(), &file) == 0 && (file.st_mode & 07777U) == 0700);
    }
    cr_expect(stat(path.c_str(), &file) == 0 && (file.st_mode & 07777U) == 0600);
    cr_expect(connecting(path) == "connects");
}

Test(socket_path, a_socket_that_nobody_listens_on_is_replaced_and_any_other_file_stays) {
    const Place place;
    const std::string path = place.folder + "/a.sock";
    cr_expect(listening(path) == "listens");
    cr_expect(listening(path) == "listens", "the first is closed, and its file is there still");
    {
        const auto held = net::listen_unix(path);
        cr_expect(has(listening(path), "another process answers there"));
    }
    const std::string kept = place.folder + "/accounts.db";
    std::ofstream(kept) << "valuable";
    cr_expect(has(listening(kept), "is no socket, and it is left as it is"));
    fs::create_symlink(kept, place.folder + "/link.sock");
    cr_expect(has(listening(place.folder + "/link.sock"), "is no socket"));
    fs::create_symlink(path, place.folder + "/to.sock");
    cr_expect(has(listening(place.folder + "/to.sock"), "is no socket"));
    net::remove_socket(kept);
    net::remove_socket(place.folder + "/link.sock");
    std::string text;
    std::ifstream(kept) >> text;
    cr_expect(text == "valuable" && fs::is_symlink(place.folder + "/link.sock"));
    net::remove_socket(path);
    cr_expect(!fs::exists(path));
}

Test(socket_path, a_folder_that_others_can_write_is_none_for_sockets) {
    const Place place;
    const std::string open = place.folder + "/open";
    cr_assert(mkdir(open.c_str(), 0777) == 0 && chmod(open.c_str(), 0777) == 0);
    for (const std::string& path : {open + "/a.sock", open + "/below/a.sock"}) {
        const std::string told = listening(path);
        cr_expect(has(told, open + " (mode 0777): chmod go-w it"), "%s", told.c_str());
    }
    cr_expect(has(connecting(open + "/a.sock"), "mode 0777"));
    cr_assert(net::trust_users({"any"}).has_value());
    cr_expect(listening(open + "/a.sock") == "listens", "who guards it otherwise may say so");
    cr_assert(net::trust_users({}).has_value());
    cr_expect(listening(place.shared + "/a.sock") == "listens", "what is ours in a sticky folder stays ours");
    cr_expect(chmod(open.c_str(), 0755) == 0 && listening(open + "/a.sock") == "listens");
}

Test(socket_path, abstract_sockets_have_no_owner) {
    cr_expect(has(listening("@sio"), "an abstract socket has neither owner nor mode"));
    cr_expect(has(connecting("@sio"), "an abstract socket has neither owner nor mode"));
    cr_expect(!fs::exists("@sio"));
}

Test(socket_path, links_are_followed_where_only_trusted_users_make_them) {
    const Place place;
    cr_assert(mkdir((place.folder + "/real").c_str(), 0700) == 0);
    fs::create_directory_symlink("real", place.folder + "/link");
    fs::create_directory_symlink(place.folder + "/link/../link", place.folder + "/second");
    cr_expect(listening(place.folder + "/second/a.sock") == "listens");
    fs::create_directory_symlink("round", place.folder + "/round");
    cr_expect(has(listening(place.folder + "/round/a.sock"), "too many links"));
    if (!is_root()) return;
    fs::create_directory_symlink(place.folder + "/real", place.shared + "/theirs");
    cr_assert(lchown((place.shared + "/theirs").c_str(), stranger, stranger) == 0);
    cr_expect(has(listening(place.shared + "/theirs/a.sock"), "belongs to uid 54321"));
}

Test(socket_path, a_folder_that_another_user_has_made_in_tmp_is_refused_on_both_ends) {
    if (!is_root()) return;
    const Place place;
    const std::string folder = place.shared + "/sio-0";
    cr_assert(mkdir(folder.c_str(), 0755) == 0 && chown(folder.c_str(), stranger, stranger) == 0);
    const std::string path = folder + "/authd.sock";
    const std::string listener = listening(path);
    cr_expect(has(listener, folder + " belongs to uid 54321") && has(listener, "SIO_SOCKET_USERS"), "%s",
              listener.c_str());
    cr_expect(has(connecting(path), folder + " belongs to uid 54321"));
    // A socket of his, at the place where ours is looked for.
    const std::string bare = place.shared + "/authd.sock";
    cr_expect(as_stranger([&] { return listening(bare) == "listens"; }));
    cr_expect(has(listening(bare), bare + " belongs to uid 54321"));
    cr_expect(has(connecting(bare), bare + " belongs to uid 54321"));
    cr_assert(net::trust_users({"54321"}).has_value());
    cr_expect(connecting(bare) == "nobody listens there", "he is trusted now");
}

Test(socket_path, whoever_is_given_a_folder_is_trusted_with_the_sockets_in_it) {
    if (!is_root()) return;
    const Place place;
    const std::string given = place.folder + "/sio";
    cr_assert(mkdir(given.c_str(), 0700) == 0 && chown(given.c_str(), stranger, stranger) == 0);
    int ready[2];
    int over[2];
    cr_assert(pipe(ready) == 0 && pipe(over) == 0);
    const pid_t daemon = fork();
    if (daemon == 0) {
        close(over[1]);
        if (setgid(stranger) != 0 || setuid(stranger) != 0) _exit(1);
        const auto fd = net::listen_unix(given + "/a.sock");
        char byte = fd ? '+' : '-';
        if (write(ready[1], &byte, 1) != 1) _exit(1);
        _exit(read(over[0], &byte, 1) == 0 ? 0 : 1);  // until the test is over
    }
    close(over[0]);
    char byte = 0;
    cr_assert(read(ready[0], &byte, 1) == 1 && byte == '+');
    cr_expect(connecting(given + "/a.sock") == "connects", "root asks the daemon of another user");
    // The same process behind a path that he was not given: who listens is what counts.
    const std::string moved = place.folder + "/moved.sock";
    cr_assert(rename((given + "/a.sock").c_str(), moved.c_str()) == 0);
    cr_expect(has(connecting(moved), "the process there is of uid 54321"));
    close(over[1]);
    waitpid(daemon, nullptr, 0);
}

Test(socket_path, a_client_of_another_user_is_refused_though_the_file_would_let_him) {
    if (!is_root()) return;
    const Place place;
    const std::string path = place.folder + "/a.sock";
    auto fd = net::listen_unix(path);
    cr_assert(fd.has_value() && fcntl(fd->get(), F_SETFL, 0) == 0);
    const auto accepted = [&] { return base::UniqueFd(accept4(fd->get(), nullptr, nullptr, SOCK_CLOEXEC)); };
    cr_expect(!as_stranger([&] { return connecting(path) == "connects"; }), "mode 0600");
    cr_assert(chmod(path.c_str(), 0666) == 0);
    cr_expect(as_stranger([&] { return connecting(path) == "connects"; }));
    const auto known = net::check_client(accepted().get());
    cr_assert(!known.has_value());
    cr_expect(has(known.error().what, "of uid 54321"));
    cr_expect(connecting(path) == "connects" && net::check_client(accepted().get()).has_value(), "our own");
    cr_assert(net::trust_users({"54321"}).has_value());
    cr_expect(as_stranger([&] { return connecting(path) == "connects"; }) && net::check_client(accepted().get()));
    const auto wide = net::listen_unix(place.folder + "/b.sock");
    struct stat file {};
    cr_expect(stat((place.folder + "/b.sock").c_str(), &file) == 0 && (file.st_mode & 0777U) == 0666);
}

Test(socket_path, trusted_users_have_names_or_numbers) {
    cr_expect(net::trust_users({"root", "0", "4294967294"}).has_value());
    cr_expect(net::trusts_others());
    for (const char* wrong : {"nobody-of-that-name", "-1", "4294967295", ""}) {
        const auto named = net::trust_users({wrong});
        cr_assert(!named.has_value(), "'%s'", wrong);
        cr_expect(has(named.error().what, "is no user of this system"));
    }
    cr_expect(net::trust_users({}).has_value() && !net::trusts_others());
}
