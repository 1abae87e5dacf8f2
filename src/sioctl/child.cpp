#include "sioctl/child.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace sio::sioctl {

namespace {

struct Pipe {
    base::UniqueFd read;
    base::UniqueFd write;
};

Result<Pipe> make_pipe() {
    std::array<int, 2> fds{};
    if (pipe2(fds.data(), O_CLOEXEC) != 0) return fail(Errc::io, std::strerror(errno));
    return Pipe{base::UniqueFd{fds[0]}, base::UniqueFd{fds[1]}};
}

/// The environment with `variables` in the place of their namesakes.
std::vector<std::string> environment_with(const std::vector<std::pair<std::string, std::string>>& variables) {
    std::vector<std::string> environment;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text = *entry;
        bool replaced = false;
        for (const auto& [name, value] : variables)
            replaced = replaced || (text.starts_with(name) && text.substr(name.size()).starts_with('='));
        if (!replaced) environment.emplace_back(text);
    }
    for (const auto& [name, value] : variables) environment.push_back(name + "=" + value);
    return environment;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
    std::vector<char*> pointers;
    pointers.reserve(texts.size() + 1);
    for (std::string& text : texts) pointers.push_back(text.data());
    pointers.push_back(nullptr);
    return pointers;
}

}  // namespace

Result<Child> Child::start(const std::vector<std::string>& command,
                           const std::vector<std::pair<std::string, std::string>>& variables, std::string input) {
    auto in = make_pipe();
    auto out = make_pipe();
    if (!in) return tl::unexpected(in.error());
    if (!out) return tl::unexpected(out.error());

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in->read.get(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out->write.get(), STDOUT_FILENO);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigemptyset(&none);
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);

    std::vector<std::string> words = command;
    std::vector<std::string> environment = environment_with(variables);
    Child child;
    const int error = posix_spawnp(&child.pid_, words.front().c_str(), &actions, &attributes, pointers_to(words).data(),
                                   pointers_to(environment).data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        child.pid_ = -1;
        return fail(error == ENOENT   ? Errc::not_found
                    : error == EACCES ? Errc::denied
                                      : Errc::io,
                    std::strerror(error));
    }
    child.input_fd_ = std::move(in->write);
    child.output_fd_ = std::move(out->read);
    fcntl(child.input_fd_.get(), F_SETFL, O_NONBLOCK);
    fcntl(child.output_fd_.get(), F_SETFL, O_NONBLOCK);
    child.input_ = std::move(input);
    return child;
}

Child::Child(Child&& other) noexcept { *this = std::move(other); }

Child& Child::operator=(Child&& other) noexcept {
    std::swap(pid_, other.pid_);
    std::swap(ended_, other.ended_);
    std::swap(too_much_, other.too_much_);
    std::swap(status_, other.status_);
    std::swap(input_fd_, other.input_fd_);
    std::swap(output_fd_, other.output_fd_);
    std::swap(input_, other.input_);
    std::swap(fed_, other.fed_);
    std::swap(output_, other.output_);
    return *this;
}

Child::~Child() {
    if (pid_ < 0 || ended_) return;
    signal(SIGKILL);
    while (waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
    }
}

void Child::feed() {
    while (fed_ < input_.size()) {
        const ssize_t n = ::write(input_fd_.get(), input_.data() + fed_, input_.size() - fed_);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN) return;
            break;  // a command need not read its input
        }
        fed_ += static_cast<std::size_t>(n);
    }
    input_fd_.reset();
}

void Child::collect() {
    std::array<char, 65536> buffer;
    while (output_fd_) {
        const ssize_t n = ::read(output_fd_.get(), buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) return output_fd_.reset();
        if (output_.size() + static_cast<std::size_t>(n) > max_output) {
            too_much_ = true;
            return output_fd_.reset();
        }
        output_.append(buffer.data(), static_cast<std::size_t>(n));
    }
}

bool Child::has_ended() {
    if (!ended_ && pid_ > 0 && waitpid(pid_, &status_, WNOHANG) == pid_) {
        ended_ = true;
        collect();  // what it wrote last is in the pipe
    }
    return ended_;
}

std::string Child::trouble() const {
    if (WIFSIGNALED(status_)) return "killed by signal " + std::to_string(WTERMSIG(status_));
    if (WIFEXITED(status_) && WEXITSTATUS(status_) == 0) return {};
    return "exit status " + std::to_string(WEXITSTATUS(status_));
}

void Child::signal(int number) const noexcept {
    if (pid_ > 0 && !ended_) ::kill(-pid_, number);
}

}  // namespace sio::sioctl
