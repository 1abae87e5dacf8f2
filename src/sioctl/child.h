// A command that is run with some input, for its output.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace sio::sioctl {

/// A running command in a process group of its own, with pipes at its standard input and output; standard error is
/// ours. Destroying it kills the group.
class Child {
public:
    /// The most that is kept of a command's output, bytes.
    static constexpr std::size_t max_output = std::size_t{8} * 1024 * 1024;

    /// Starts `command` (found in PATH). `variables` are added to the environment. Errors: `not_found` when there is no
    /// such command, `denied` when it may not be run, `io` for the rest; `what` is the reason only.
    static Result<Child> start(const std::vector<std::string>& command,
                               const std::vector<std::pair<std::string, std::string>>& variables, std::string input);

    Child(Child&& other) noexcept;
    Child& operator=(Child&& other) noexcept;
    ~Child();

    /// Poll for POLLOUT while not -1, then call feed().
    [[nodiscard]] int input_fd() const noexcept { return input_fd_.get(); }
    /// Poll for POLLIN while not -1, then call collect().
    [[nodiscard]] int output_fd() const noexcept { return output_fd_.get(); }
    void feed();
    void collect();

    /// Whether it has ended (asks the system; SIGCHLD says when to).
    bool has_ended();
    [[nodiscard]] bool too_much_output() const noexcept { return too_much_; }
    [[nodiscard]] const std::string& output() const noexcept { return output_; }
    /// How it ended: empty for exit status 0, else `exit status 3`, `killed by signal 9`.
    [[nodiscard]] std::string trouble() const;

    /// Sends a signal to the group.
    void signal(int number) const noexcept;

private:
    Child() = default;

    pid_t pid_ = -1;
    bool ended_ = false;
    bool too_much_ = false;
    int status_ = 0;
    base::UniqueFd input_fd_;
    base::UniqueFd output_fd_;
    std::string input_;
    std::size_t fed_ = 0;
    std::string output_;
};

}  // namespace sio::sioctl
