// The 20-character identifiers of Engine.IO and Socket.IO (wire-protocol 1.22).
//
// The id of an Engine.IO session begins with the tag of the gateway that has it, so that any other gateway knows whom a
// request is for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/keyed_hash.h"

namespace sio::gateway {

/// Names a gateway process among those that share clients: 24 random bits in URL-safe base64, no '-' in front.
struct Tag {
    static constexpr std::size_t size = 4;
    std::array<char, size> text{};

    [[nodiscard]] std::string_view view() const noexcept { return {text.data(), text.size()}; }
    bool operator==(const Tag&) const noexcept = default;

    /// Whether these are the characters of a tag. They become part of file names.
    static bool is_tag(std::string_view view) noexcept;
    /// The tag at the start of a session's id, or nothing when the text cannot be such an id.
    static std::optional<Tag> of_session(std::string_view sid) noexcept;
};

/// Always 20 characters of URL-safe base64, no padding, no '-' in front. A socket's: 12 random bytes and a 24-bit
/// counter. A session's: a tag, 9 random bytes and the counter.
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
    // Ids come from clients and other members too, so that they may look random and be chosen.
    std::size_t operator()(const Id& id) const noexcept { return base::keyed_hash(id.text.data(), id.text.size()); }
};

/// Draws ids from the kernel's random source.
class IdSource {
public:
    IdSource() { draw_tag(); }

    /// An id for anything but a session.
    Id next();
    /// An id for a session: it begins with tag().
    Id next_session();

    [[nodiscard]] const Tag& tag() const noexcept { return tag_; }
    /// Takes another tag, because somebody has this one. Only while there are no sessions.
    void draw_tag();

private:
    const unsigned char* take();
    void refill();

    Tag tag_;

    std::array<unsigned char, 12 * 64> random_{};
    std::size_t used_ = sizeof random_;
    std::uint32_t counter_ = 0;
};

}  // namespace sio::gateway
