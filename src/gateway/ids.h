// The 20-character identifiers of Engine.IO and Socket.IO (wire-protocol 1.22).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace sio::gateway {

/// 12 random bytes and a 24-bit counter in URL-safe base64: always 20 characters, no padding, no '-' in front.
struct Id {
    std::array<char, 20> text{};

    [[nodiscard]] std::string_view view() const noexcept { return {text.data(), text.size()}; }
    bool operator==(const Id&) const noexcept = default;

    /// Reads an id somebody sent; a text of another length gives an id that equals none.
    static Id from(std::string_view view) noexcept {
        Id id;
        if (view.size() == id.text.size()) std::memcpy(id.text.data(), view.data(), view.size());
        return id;
    }
};

struct IdHash {
    std::size_t operator()(const Id& id) const noexcept {  // the first characters are random already
        std::size_t value;
        std::memcpy(&value, id.text.data(), sizeof value);
        return value * 0x9E3779B97F4A7C15ULL;
    }
};

/// Draws ids from the kernel's random source.
class IdSource {
public:
    Id next();

private:
    void refill();

    std::array<unsigned char, 12 * 64> random_{};
    std::size_t used_ = sizeof random_;
    std::uint32_t counter_ = 0;
};

}  // namespace sio::gateway
