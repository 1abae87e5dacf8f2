// What a scraper reads: Prometheus text 0.0.4 in the making, and what the process uses.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace sio::daemon {

class Exposition {
public:
    /// The head of a metric; its samples follow. `kind`: `counter`, `gauge` or `histogram`.
    void family(std::string_view name, std::string_view kind, std::string_view help);
    /// `labels` with their braces, their values escaped.
    template <typename Number>
    requires std::integral<Number> || std::floating_point<Number>
    void sample(std::string_view name, Number value, std::string_view labels = {}) {
        append(name, static_cast<double>(value), labels);
    }
    /// A metric of one sample.
    void counter(std::string_view name, std::string_view help, std::uint64_t value) {
        family(name, "counter", help);
        sample(name, value);
    }
    template <typename Number>
    void gauge(std::string_view name, std::string_view help, Number value) {
        family(name, "gauge", help);
        sample(name, value);
    }
    [[nodiscard]] std::string take() { return std::exchange(out_, {}); }

private:
    void append(std::string_view name, double value, std::string_view labels);
    std::string out_;
};

struct Memory {
    std::uint64_t resident = 0;      ///< bytes
    std::uint64_t virtual_size = 0;  ///< bytes
};

/// Zeros where the system does not tell.
Memory memory_in_use();

}  // namespace sio::daemon
