// The client's end of a Unix stream socket: bytes out of a queue, bytes in as they come, driven by poll(2).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace sio::net {

/// Drive it so: queue() what is to be sent, poll(2) fd() for events(), give what poll found to on_ready(). Nothing here
/// waits, so a peer that does not read while it writes cannot lock both up.
class UnixClient {
public:
    /// Connects to the socket at `path`.
    ///
    /// Errors: `not_found` when there is no such file; `denied` when this user may not open it, when others can put
    /// another socket in its place, or when who listens is not trusted (socket_path.h); `unavailable` when
    /// nobody listens there any more, or too many wait; `usage` when the path is longer than the system takes (107
    /// bytes); `io` for the rest. `what` is the reason only ("no such file"): the caller knows whom it wanted.
    static Result<UnixClient> connect(const std::string& path);

    [[nodiscard]] int fd() const noexcept { return fd_.get(); }
    /// What to poll for: POLLIN, and POLLOUT while something is queued.
    [[nodiscard]] short events() const noexcept;

    /// Adds bytes to what is sent when the socket takes them.
    void queue(std::string_view bytes);
    [[nodiscard]] std::size_t queued_bytes() const noexcept { return out_.size() - sent_; }

    /// Sends what the socket takes and reads once, at most 64 KiB. The view lives until the next call; it is empty when
    /// there was nothing to read. Errors: `unavailable` when the peer has closed, `io` for the rest.
    Result<std::string_view> on_ready(short revents);

private:
    explicit UnixClient(base::UniqueFd fd) : fd_(std::move(fd)) {}
    Result<void> flush();

    base::UniqueFd fd_;
    std::string out_;
    std::size_t sent_ = 0;  // of out_
    std::string in_;
};

}  // namespace sio::net
