// What a body of the HTTP API asks for. No I/O: bytes in, items or the first fault out. See share/openapi.json.
//
// The members are those of the control socket (doc/protocol/admin.md), read more strictly, since a program that
// misspells one would reach everybody: unknown members are refused, lists that select are not empty, and to join,
// leave and disconnect everybody takes `"all":true`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gateway/hub.h"
#include "gateway/route_runner.h"
#include "gateway/verbs.h"

namespace sio::gateway {

enum class ApiVerb : std::uint8_t { emit, join, leave, disconnect, presence };
inline constexpr std::size_t api_verb_count = 5;

/// The last part of its path.
std::string_view to_string(ApiVerb verb) noexcept;
/// The verb of a path's last part.
std::optional<ApiVerb> api_verb(std::string_view name) noexcept;

inline constexpr std::size_t max_api_items = 1000;          ///< in a batch
inline constexpr std::size_t max_presence_users = 100'000;  ///< asked for, all items of a batch together

struct ApiItem {
    std::string_view text;  ///< the whole object; points into the body
    std::string nsp = "/";
    Selection selection;
    std::string_view event;  ///< emit: raw JSON, points into the body
    HandAnswer arguments;    ///< emit
    bool is_volatile = false;
    std::vector<std::string> rooms;  ///< join and leave
    Disconnection how = Disconnection::from_namespace;
};

struct ApiRequest {
    bool is_batch = false;
    std::vector<ApiItem> items;  ///< one, unless it is a batch
};

/// Why a body is refused.
struct ApiFault {
    std::string code;                  ///< as the control socket names it
    std::string message;               ///< one sentence
    std::optional<std::size_t> index;  ///< the item of a batch
    std::string pointer;               ///< JSON pointer into the body; empty: all of it
};

/// Reads a body. The request's views point into it. Faults: `malformed`, `too_large`, and `denied` for the name of an
/// event that is reserved. Nothing is looked up: whether a namespace exists is not asked here.
std::variant<ApiRequest, ApiFault> parse_api_request(ApiVerb verb, std::string_view body);

}  // namespace sio::gateway
