#include "gateway/api_request.h"

#include <algorithm>
#include <array>
#include <span>

#include "base/bytes.h"
#include "base/json.h"
#include "wire/admin.h"

namespace sio::gateway {

namespace {

using Fault = std::optional<ApiFault>;
using wire::admin_error::denied;
using wire::admin_error::malformed;
using wire::admin_error::too_large;

constexpr std::array<std::string_view, api_verb_count> names = {"emit", "join", "leave", "disconnect", "presence"};

constexpr std::array<std::string_view, 9> emit_members = {"nsp",   "to",   "users",       "sockets", "except",
                                                          "event", "args", "attachments", "volatile"};
constexpr std::array<std::string_view, 7> room_members = {"nsp", "to", "users", "sockets", "except", "all", "rooms"};
constexpr std::array<std::string_view, 7> disconnect_members = {"nsp",    "to",  "users", "sockets",
                                                                "except", "all", "how"};
constexpr std::array<std::string_view, 2> presence_members = {"users", "limit"};

std::span<const std::string_view> members_of(ApiVerb verb) {
    switch (verb) {
        case ApiVerb::emit: return emit_members;
        case ApiVerb::join:
        case ApiVerb::leave: return room_members;
        case ApiVerb::disconnect: return disconnect_members;
        case ApiVerb::presence: return presence_members;
    }
    return {};
}

ApiFault fault(std::string_view code, std::string message, std::string_view member = {}) {
    ApiFault out{std::string(code), std::move(message), std::nullopt, {}};
    if (member.empty()) return out;
    out.pointer = "/";
    for (const char c : member) {
        if (c == '~') {
            out.pointer += "~0";
        } else if (c == '/') {
            out.pointer += "~1";
        } else {
            out.pointer += c;
        }
    }
    return out;
}

/// A list of texts that selects: absent, or not empty.
Fault read_list(std::string_view object, std::string_view member, bool may_be_empty, std::vector<std::string>& out) {
    const auto raw = json::member(object, member);
    if (!raw) return {};
    auto texts = wire::parse_texts(object, member);
    if (!texts) return fault(malformed, std::string(member) + " must be an array of texts", member);
    if (texts->empty() && !may_be_empty) {
        return fault(malformed,
                     "an empty list selects nobody; leave " + std::string(member) + " out to select by others", member);
    }
    out = std::move(*texts);
    return {};
}

Fault read_boolean(std::string_view object, std::string_view member, bool& out) {
    const auto raw = json::member(object, member);
    if (!raw) return {};
    if (json::kind_of(*raw) != json::Kind::boolean) {
        return fault(malformed, std::string(member) + " must be true or false", member);
    }
    out = *raw == "true";
    return {};
}

Fault read_selection(std::string_view object, ApiItem& item) {
    if (const auto nsp = json::member(object, "nsp")) {
        if (json::kind_of(*nsp) != json::Kind::string) return fault(malformed, "nsp must be a text", "nsp");
        item.nsp = json::decode_string(*nsp);
        if (!item.nsp.starts_with('/')) return fault(malformed, "nsp must begin with /", "nsp");
    }
    if (auto wrong = read_list(object, "to", false, item.selection.rooms)) return wrong;
    if (auto wrong = read_list(object, "users", false, item.selection.users)) return wrong;
    if (auto wrong = read_list(object, "sockets", false, item.selection.sockets)) return wrong;
    return read_list(object, "except", true, item.selection.except);
}

/// To change everybody has to be said.
Fault read_all(std::string_view object, const ApiItem& item) {
    bool all = false;
    if (auto wrong = read_boolean(object, "all", all)) return wrong;
    const bool selects =
        !item.selection.rooms.empty() || !item.selection.users.empty() || !item.selection.sockets.empty();
    if (selects == all) {
        return fault(malformed,
                     all ? "all and a selection contradict one another"
                         : "select sockets by to, users or sockets, or say \"all\":true",
                     all ? "all" : "");
    }
    return {};
}

Fault read_emit(std::string_view object, ApiItem& item) {
    const auto event = json::member(object, "event");
    if (!event) return fault(malformed, "emit needs an event");
    if (json::kind_of(*event) != json::Kind::string) return fault(malformed, "event must be a text", "event");
    const std::string name = json::decode_string(*event);
    if (proto::is_reserved_event(name)) return fault(denied, name + " is a reserved event name", "event");
    item.event = *event;
    if (const auto args = json::member(object, "args"); args && json::kind_of(*args) != json::Kind::array) {
        return fault(malformed, "args must be an array", "args");
    }
    if (const auto list = json::member(object, "attachments"); list && json::kind_of(*list) != json::Kind::array) {
        return fault(malformed, "attachments must be an array", "attachments");
    }
    if (auto wrong = read_boolean(object, "volatile", item.is_volatile)) return wrong;
    auto arguments = parse_arguments(object);
    if (!arguments) return fault(to_string(arguments.error().code), arguments.error().what, "attachments");
    item.arguments = std::move(*arguments);
    return {};
}

Fault read_rooms(std::string_view object, ApiItem& item) {
    if (!json::member(object, "rooms")) return fault(malformed, "there are no rooms to join or leave");
    if (auto wrong = read_list(object, "rooms", true, item.rooms)) return wrong;
    if (item.rooms.empty()) return fault(malformed, "rooms must not be empty", "rooms");
    return {};
}

Fault read_how(std::string_view object, ApiItem& item) {
    const auto how = json::member(object, "how");
    if (!how || *how == "\"namespace\"") return {};
    if (*how == "\"client\"") {
        item.how = Disconnection::of_client;
    } else if (*how == "\"transport\"") {
        item.how = Disconnection::of_transport;
    } else {
        return fault(malformed, "how must be namespace, client or transport", "how");
    }
    return {};
}

/// `asked`: users that items before this one ask for.
Fault read_presence(std::string_view object, std::size_t& asked) {
    std::vector<std::string> users;
    if (auto wrong = read_list(object, "users", true, users)) return wrong;
    const auto limit = json::member(object, "limit");
    if (json::member(object, "users")) {
        if (limit) return fault(malformed, "users and limit contradict one another", "limit");
        asked += users.size();
    } else {
        const auto number = base::parse_decimal(limit.value_or("1000"), max_presence_users);
        if (!number) return fault(malformed, "limit must be a whole number up to 100000", "limit");
        asked += static_cast<std::size_t>(*number);
    }
    if (asked > max_presence_users) return fault(too_large, "more than 100000 users are asked for");
    return {};
}

Fault read_item(ApiVerb verb, std::string_view object, std::size_t& asked, ApiItem& item) {
    if (json::kind_of(object) != json::Kind::object) return fault(malformed, "a request is a JSON object");
    item.text = object;
    const auto known = members_of(verb);
    for (json::Walker member(object); member.next();) {
        const std::string name = json::decode_string(member.key());
        if (std::ranges::find(known, name) == known.end()) {
            return fault(malformed, "there is no such member of " + std::string(to_string(verb)), name);
        }
    }
    if (verb == ApiVerb::presence) return read_presence(object, asked);
    if (auto wrong = read_selection(object, item)) return wrong;
    if (verb == ApiVerb::emit) return read_emit(object, item);
    if (auto wrong = read_all(object, item)) return wrong;
    return verb == ApiVerb::disconnect ? read_how(object, item) : read_rooms(object, item);
}

}  // namespace

std::string_view to_string(ApiVerb verb) noexcept { return names[static_cast<std::size_t>(verb)]; }

std::optional<ApiVerb> api_verb(std::string_view name) noexcept {
    const auto* found = std::ranges::find(names, name);
    if (found == names.end()) return std::nullopt;
    return static_cast<ApiVerb>(found - names.begin());
}

std::variant<ApiRequest, ApiFault> parse_api_request(ApiVerb verb, std::string_view body) {
    if (!base::is_utf8(body)) return fault(malformed, "the body is not UTF-8");
    if (!json::is_valid(body)) return fault(malformed, "the body is not JSON");
    while (body.front() == ' ' || body.front() == '\t' || body.front() == '\n' || body.front() == '\r') {
        body.remove_prefix(1);
    }
    ApiRequest request;
    std::size_t asked = 0;
    if (json::kind_of(body) != json::Kind::array) {
        ApiItem item;
        if (auto wrong = read_item(verb, body, asked, item)) return std::move(*wrong);
        request.items.push_back(std::move(item));
        return request;
    }
    request.is_batch = true;
    for (json::Walker element(body); element.next();) {
        const std::size_t index = request.items.size();
        if (index == max_api_items) return fault(too_large, "a batch has at most 1000 items");
        ApiItem item;
        if (auto wrong = read_item(verb, element.value(), asked, item)) {
            wrong->index = index;
            wrong->pointer.insert(0, "/" + std::to_string(index));
            return std::move(*wrong);
        }
        request.items.push_back(std::move(item));
    }
    if (request.items.empty()) return fault(malformed, "a batch has at least one item");
    return request;
}

}  // namespace sio::gateway
