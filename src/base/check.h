// What must hold, looked at in every build: a broken invariant ends the program where it is found instead of going on
// with what it has broken.
#pragma once

namespace sio::base {

/// Logs the expression and its place, and aborts.
[[noreturn]] void check_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace sio::base

/// For what is our own fault when it is false, such as an entry that somebody has counted and that is not there. Not
/// for what strangers or operators can cause: that is a Result. The expression is evaluated once.
#define SIO_CHECK(expression) \
    (static_cast<bool>(expression) ? static_cast<void>(0) : ::sio::base::check_failed(#expression, __FILE__, __LINE__))
