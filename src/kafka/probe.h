// Whether brokers can be reached, known within 1.2 s whatever became of them: librdkafka's own events do not tell. That
// one answers where we were told to begin is not enough: it names the others, and itself, by the addresses that they
// advertise, and all records go there.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "kafka/settings.h"
#include "net/loop.h"

namespace sio::kafka {

/// A thread of its own asks for metadata every 200 ms, for at most a second each time, and keeps a connection to each
/// broker by the address that it advertises. The loop outlives it.
class Probe final {
public:
    /// `changed` is called on the loop at the first answer and at every change, with the reason when it is bad.
    /// Errors: `config`, `io`.
    static Result<std::unique_ptr<Probe>> create(
        net::Loop& loop, const Settings& settings,
        std::function<void(bool reachable, const std::string& reason)> changed);
    ~Probe();
    Probe(const Probe&) = delete;
    Probe& operator=(const Probe&) = delete;

    [[nodiscard]] bool is_reachable() const noexcept;
    /// Why not; empty while it is reachable.
    [[nodiscard]] const std::string& reason() const noexcept;
    /// Brokers that are there, by the others' word, and that we have not reached for three seconds, by commas; empty
    /// while none can be reached.
    [[nodiscard]] const std::string& unreachable() const noexcept;
    /// The number of brokers the last good answer named.
    [[nodiscard]] int brokers() const noexcept;

private:
    struct Parts;
    explicit Probe(std::unique_ptr<Parts> parts);
    std::unique_ptr<Parts> parts_;
};

}  // namespace sio::kafka
