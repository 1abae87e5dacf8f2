#include "routes/routes.h"

#include <algorithm>
#include <charconv>

#include "base/bytes.h"
#include "base/json.h"
#include "proto/sio_packet.h"
#include "routes/topics.h"

namespace sio::routes {
namespace {

/// Scalars as JavaScript's === sees them, the rest as written.
bool are_equal(std::string_view a, std::string_view b) {
    if (a == b) return true;
    const json::Kind kind = json::kind_of(a);
    if (kind != json::kind_of(b)) return false;
    if (kind == json::Kind::string) return json::decode_string(a) == json::decode_string(b);
    if (kind != json::Kind::number) return false;
    double left = 0;
    double right = 0;
    const auto parsed_left = std::from_chars(a.data(), a.data() + a.size(), left);
    const auto parsed_right = std::from_chars(b.data(), b.data() + b.size(), right);
    return parsed_left.ec == std::errc{} && parsed_right.ec == std::errc{} && !(left < right) && !(left > right);
}

bool is_attachment(std::string_view raw, std::span<const std::string> attachments) {
    if (attachments.empty() || json::kind_of(raw) != json::Kind::object) return false;
    const auto found = proto::find_placeholders(raw, attachments.size());
    return found && found->size() == 1 && (*found)[0].begin == 0 && (*found)[0].end == raw.size();
}

std::string_view name_of(json::Kind kind) noexcept {
    switch (kind) {
        case json::Kind::null: return "null";
        case json::Kind::boolean: return "boolean";
        case json::Kind::number: return "number";
        case json::Kind::string: return "string";
        case json::Kind::array: return "array";
        case json::Kind::object: return "object";
    }
    return "null";
}

Result<bool> holds(const Condition& condition, const Context& context) {
    std::string storage;
    switch (condition.kind) {
        case Condition::Kind::exists: {
            const auto raw = look_up(condition.left.pieces[0].reference, context, storage);
            return raw && *raw != "null";
        }
        case Condition::Kind::is: {
            const Reference& reference = condition.left.pieces[0].reference;
            const auto raw = look_up(reference, context, storage);
            if (!raw) return false;
            if (is_attachment(*raw, attachments_of(reference, context))) return condition.type == "binary";
            return condition.type == name_of(json::kind_of(*raw));
        }
        case Condition::Kind::equals: break;
    }
    Rendered left;
    Rendered right;
    if (auto done = render(condition.left, context, left); !done) return tl::unexpected<Error>(done.error());
    if (auto done = render(condition.right, context, right); !done) return tl::unexpected<Error>(done.error());
    return are_equal(left.json, right.json);
}

}  // namespace

std::string_view verb_of(const Action& action) noexcept {
    struct Name {
        std::string_view operator()(const Join&) const noexcept { return "join"; }
        std::string_view operator()(const Leave&) const noexcept { return "leave"; }
        std::string_view operator()(const Emit&) const noexcept { return "emit"; }
        std::string_view operator()(const Ask&) const noexcept { return "ask"; }
        std::string_view operator()(const Ack&) const noexcept { return "ack"; }
        std::string_view operator()(const Hand&) const noexcept { return "hand"; }
        std::string_view operator()(const Publish&) const noexcept { return "publish"; }
        std::string_view operator()(const Deny&) const noexcept { return "deny"; }
        std::string_view operator()(const Disconnect&) const noexcept { return "disconnect"; }
    };
    return std::visit(Name{}, action.verb);
}

const EventRoute* NamespaceRoutes::event(std::string_view name_token) const {
    if (events.empty()) return nullptr;
    const auto at = [&](std::string_view wanted) -> const EventRoute* {
        const auto found = by_name_.find(wanted);
        if (found != by_name_.end()) return &events[found->second];
        return rest_ ? &events[*rest_] : nullptr;
    };
    if (name_token.size() < 2 || name_token.front() != '"') return at(name_token);
    if (name_token.find('\\') != std::string_view::npos) return at(json::decode_string(name_token));
    return at(name_token.substr(1, name_token.size() - 2));
}

void NamespaceRoutes::index() {
    by_name_.clear();
    rest_.reset();
    for (std::size_t i = 0; i < events.size(); ++i) {
        if (events[i].name == "*") {
            rest_ = i;
        } else {
            by_name_.emplace(events[i].name, i);
        }
    }
}

Routes::Routes() {
    auto root = std::make_unique<NamespaceRoutes>();
    root->name.push_back('/');
    exact_.emplace(root->name, root.get());
    all_.push_back(std::move(root));
}

Routes::~Routes() = default;
Routes::Routes(Routes&&) noexcept = default;
Routes& Routes::operator=(Routes&&) noexcept = default;

const NamespaceRoutes* Routes::find(std::string_view nsp) const noexcept {
    if (const auto found = exact_.find(nsp); found != exact_.end()) return found->second;
    if (nsp.size() > max_pattern_bytes) return nullptr;
    const auto found = std::ranges::find_if(
        patterns_, [&](const NamespaceRoutes* candidate) { return base::matches_glob(candidate->name, nsp, "/"); });
    return found == patterns_.end() ? nullptr : *found;
}

std::size_t Routes::event_count() const noexcept {
    std::size_t count = 0;
    for (const auto& nsp : all_) count += nsp->events.size();
    return count;
}

const TopicRoute* Routes::topic(std::string_view name) const noexcept {
    // Kafka's names are short, and a file has few topics: no index is worth it, the caller keeps what it found.
    if (name.size() > max_topic_name_bytes) return nullptr;
    const TopicRoute* by_pattern = nullptr;
    for (const auto& route : topics_) {
        if (!route->is_pattern) {
            if (route->name == name) return route.get();
        } else if (by_pattern == nullptr && base::matches_glob(route->name, name)) {
            by_pattern = route.get();
        }
    }
    return by_pattern;
}

std::vector<std::string> Routes::subscription() const {
    std::vector<std::string> all;
    for (const auto& route : topics_) {
        if (!route->is_pattern) {
            all.push_back(route->name);
            continue;
        }
        std::string expression = "^";
        for (const char c : route->name) {
            if (c == '*') {
                expression += ".*";
            } else if (c == '.') {
                expression += "\\.";
            } else {
                expression += c;  // letters, digits, _ and -, which mean themselves
            }
        }
        all.push_back(expression + "$");
    }
    return all;
}

Result<bool> hold(const std::vector<Condition>& conditions, const Context& context) {
    for (const Condition& condition : conditions) {
        auto held = holds(condition, context);
        if (!held) return held;
        if (*held == condition.negated) return false;
    }
    return true;
}

std::optional<Refusal> refusal(const NamespaceRoutes& nsp, const Context& context) {
    for (const Refuse& refuse : nsp.refuse) {
        const auto applies = hold(refuse.when, context);
        if (!applies) return Refusal{applies.error().what, {}};
        if (!*applies) continue;
        Refusal result;
        Rendered message;
        Rendered data;
        if (auto done = render(refuse.message, context, message); !done) return Refusal{done.error().what, {}};
        if (refuse.has_data) {
            if (auto done = render(refuse.data, context, data); !done) return Refusal{done.error().what, {}};
        }
        const bool is_string = json::kind_of(message.json) == json::Kind::string;
        result.message = is_string ? json::decode_string(message.json) : std::move(message.json);
        result.data = std::move(data.json);
        return result;
    }
    return std::nullopt;
}

}  // namespace sio::routes
