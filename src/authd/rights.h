// The rights file: who may be in which room. See sio-authd(8). Pure: what SQL says is asked by whoever runs the rules.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "authd/request.h"
#include "base/result.h"

namespace sio::authd {

inline constexpr std::size_t max_rights_bytes = 1U << 20U;
inline constexpr std::size_t max_rights = 256;
inline constexpr std::size_t max_sql_bytes = 16U << 10U;
inline constexpr std::size_t max_parameters = 16;

/// A room's name with parts: `course_{id}`, `team_{team}_{channel}`, `lobby_*`.
///
/// A part matches one character or more, none of which is the one that follows the part in the pattern; at the end it
/// takes what is left. `*` matches any run of characters, the shortest that lets the rest match. So a room matches in
/// one way only, and no part can swallow the text that ends it.
class RoomPattern {
public:
    /// Errors: `malformed`, a sentence: a brace without its other, a part without a name, twice the same part, two
    /// parts (or a part and a `*`) without a character between them.
    static Result<RoomPattern> compile(std::string_view pattern);

    using Parts = std::vector<std::pair<std::string_view, std::string_view>>;  ///< names and what they matched
    /// The parts of `room`; nothing when it does not match. Views point into the pattern and into `room`.
    [[nodiscard]] std::optional<Parts> match(std::string_view room) const;

    [[nodiscard]] bool has_part(std::string_view name) const noexcept;

private:
    struct Piece {
        enum class Kind : std::uint8_t { literal, part, any } kind = Kind::literal;
        std::string text;  // of a literal; the name of a part
    };
    std::vector<Piece> pieces_;
};

/// What a parameter or an element of `in` stands for.
struct Operand {
    enum class Kind : std::uint8_t { text, user, room, part, claim } kind = Kind::text;
    std::string name;  ///< of a part or a claim; the text itself
};

struct Right {
    enum class Kind : std::uint8_t { sql, claim, own, room_token } kind = Kind::own;
    std::string name;
    RoomPattern room;
    std::optional<std::chrono::milliseconds> ttl;
    std::string sql;                  ///< of sql
    std::string statement;            ///< of sql: its name in the pool
    std::vector<Operand> parameters;  ///< of sql
    std::string claim;                ///< of claim
    std::vector<Operand> in;          ///< of claim: texts or parts of the room
};
/// "sql", "claim", "own", "room_token".
std::string_view to_string(Right::Kind kind) noexcept;

class Rights {
public:
    /// Reads the file's text. `file` is what messages call it. Errors: `config`; the sentence has all that is wrong, a
    /// line each, with file, line and JSON pointer.
    static Result<Rights> parse(std::string_view text, std::string_view file);

    [[nodiscard]] const std::vector<Right>& all() const noexcept { return rights_; }
    /// The claims that rules look at, each once.
    [[nodiscard]] const std::vector<std::string>& claims() const noexcept { return claims_; }
    [[nodiscard]] bool has(Right::Kind kind) const noexcept;

private:
    friend class RightsLoader;
    std::vector<Right> rights_;
    std::vector<std::string> claims_;
};

/// What one rule says. `ask`: its SQL must be asked with `parameters`.
struct RuleAnswer {
    enum class Kind : std::uint8_t { granted, silent, unavailable, ask } kind = Kind::silent;
    std::vector<std::optional<std::string>> parameters;
    bool applies = false;  ///< the room is one of the rule's
};

/// What `right` says by itself. `room_token` says whether the request's token is good for this user and room, and is
/// asked only by rules of that kind.
RuleAnswer evaluate(const Right& right, const MayJoin& request, const std::function<bool()>& room_token);

}  // namespace sio::authd
