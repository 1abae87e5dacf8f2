// Signals as a readable descriptor.
#pragma once

#include <initializer_list>
#include <optional>

#include "base/unique_fd.h"

namespace sio::sioctl {

/// Blocks the signals given and makes a descriptor of them that poll(2) finds readable. Make it before anything is
/// started; children unblock them for themselves (child.cpp does).
class Interrupt {
public:
    explicit Interrupt(std::initializer_list<int> signals);

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    /// The next signal that came, or nothing.
    std::optional<int> next() noexcept;

private:
    base::UniqueFd fd_;
};

}  // namespace sio::sioctl
