#include "auth/cookies.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "base/bytes.h"

namespace sio::auth {
namespace {

/// Walks the pairs of a Cookie header, in order. A part without `=` is no pair.
class Pairs {
public:
    explicit Pairs(std::string_view header) noexcept : rest_(header) {}

    bool next() noexcept {
        while (!rest_.empty()) {
            const std::size_t end = rest_.find(';');
            const std::string_view part = rest_.substr(0, end);
            rest_ = end == std::string_view::npos ? std::string_view{} : rest_.substr(end + 1);
            const std::size_t equals = part.find('=');
            if (equals == std::string_view::npos) continue;
            name = base::trim(part.substr(0, equals));
            value = base::trim(part.substr(equals + 1));
            if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
                value = value.substr(1, value.size() - 2);
            }
            return true;
        }
        return false;
    }

    std::string_view name;
    std::string_view value;

private:
    std::string_view rest_;
};

/// The number of a chunk's cookie: what follows the base name is a dot and one to three digits as a number is written.
std::optional<std::uint64_t> chunk_number(std::string_view rest) noexcept {
    if (rest.size() < 2 || rest.size() > 4 || rest.front() != '.') return std::nullopt;
    const std::string_view digits = rest.substr(1);
    if (digits.size() > 1 && digits.front() == '0') return std::nullopt;
    return base::parse_decimal(digits);
}

std::string readable(std::string_view value) {
    if (value.find('%') == std::string_view::npos) return std::string(value);
    return base::percent_decode(value, false);
}

tl::unexpected<Error> too_long() {
    return fail(Errc::too_large,
                "cannot join session cookie: it has more than " + std::to_string(max_joined_bytes) + " bytes");
}

/// The cookie of this very name, or nothing.
Result<std::optional<SessionCookie>> cookie_named(std::string_view header, std::string_view base_name) {
    std::array<std::string_view, max_chunks> chunks{};
    std::size_t end = 0;  // one past the highest chunk seen
    bool too_many = false;
    for (Pairs pairs{header}; pairs.next();) {
        if (pairs.value.empty() || !pairs.name.starts_with(base_name)) continue;
        const std::string_view rest = pairs.name.substr(base_name.size());
        if (rest.empty()) {
            if (pairs.value.size() > max_joined_bytes) return too_long();
            return SessionCookie{std::string(base_name), readable(pairs.value)};
        }
        const auto number = chunk_number(rest);
        if (!number) continue;
        if (*number >= max_chunks) {
            too_many = true;
            continue;
        }
        const auto index = static_cast<std::size_t>(*number);
        if (chunks[index].empty()) chunks[index] = pairs.value;
        if (end <= index) end = index + 1;
    }
    if (too_many) {
        return fail(Errc::too_large,
                    "cannot join session cookie: it has more than " + std::to_string(max_chunks) + " chunks");
    }
    if (end == 0) return std::nullopt;
    std::size_t total = 0;
    for (std::size_t i = 0; i < end; ++i) {
        if (chunks[i].empty()) {
            return fail(Errc::malformed, "cannot join session cookie: chunk " + std::to_string(i) + " is missing");
        }
        total += chunks[i].size();
    }
    if (total > max_joined_bytes) return too_long();
    std::string joined;
    joined.reserve(total);
    for (std::size_t i = 0; i < end; ++i) joined.append(chunks[i]);
    return SessionCookie{std::string(base_name), readable(joined)};
}

}  // namespace

Result<std::optional<SessionCookie>> session_cookie(std::string_view header, std::span<const std::string> names) {
    for (const std::string& name : names) {
        if (name.empty()) continue;
        auto found = cookie_named(header, name);
        if (!found || found->has_value()) return found;
    }
    return std::nullopt;
}

Result<std::vector<SessionCookie>> session_cookies(std::string_view header, std::span<const std::string> names) {
    std::vector<SessionCookie> all;
    std::optional<Error> error;
    const auto add = [&](std::string_view name, std::string value) {
        const bool known = std::any_of(all.begin(), all.end(), [&](const auto& one) { return one.value == value; });
        if (!known && all.size() < max_session_cookies) all.push_back({std::string(name), std::move(value)});
    };
    for (const std::string& name : names) {
        if (name.empty()) continue;
        auto first = cookie_named(header, name);
        if (!first) {
            if (!error) error = std::move(first.error());
        } else if (*first) {
            add(name, std::move((*first)->value));
        }
        for (Pairs pairs{header}; pairs.next();) {
            if (pairs.name != name || pairs.value.empty() || pairs.value.size() > max_joined_bytes) continue;
            add(name, readable(pairs.value));
        }
    }
    if (all.empty() && error) return tl::unexpected(std::move(*error));
    return all;
}

}  // namespace sio::auth
