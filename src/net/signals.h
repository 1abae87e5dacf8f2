// Signals as a readable descriptor.
#pragma once

#include <functional>
#include <initializer_list>

#include "base/unique_fd.h"
#include "net/loop.h"

namespace sio::net {

/// Blocks the given signals for the process (make it before any thread) and hands them to `receive` on the loop.
class Signals final : public Handler {
public:
    Signals(Loop& loop, std::initializer_list<int> signals, std::function<void(int)> receive);
    void on_ready(std::uint32_t events) override;

private:
    std::function<void(int)> receive_;
    base::UniqueFd fd_;
};

}  // namespace sio::net
