// UniqueFd: the owner of one file descriptor.
#pragma once

#include <unistd.h>

#include <utility>

namespace sio::base {

/// Owns a file descriptor and closes it when it goes. Move-only; -1 is "none".
///
/// close(2) is called once and its result ignored: after an error the descriptor is gone on Linux all the same. Whoever
/// must know that written data reached the disk calls fsync(2) first.
class UniqueFd {
public:
    UniqueFd() noexcept = default;
    /// Takes ownership of `fd`; a negative value owns nothing.
    explicit UniqueFd(int fd) noexcept : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        if (this != &other) reset(other.release());
        return *this;
    }
    UniqueFd(const UniqueFd&) = delete;
    UniqueFd& operator=(const UniqueFd&) = delete;
    ~UniqueFd() { reset(); }

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }

    /// Gives up ownership: the caller closes.
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

    /// Closes what is owned and owns `fd` instead. `fd` must not be the descriptor owned already.
    void reset(int fd = -1) noexcept {
        if (fd_ >= 0) ::close(fd_);
        fd_ = fd;
    }

private:
    int fd_ = -1;
};

}  // namespace sio::base
