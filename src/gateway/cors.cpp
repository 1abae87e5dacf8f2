#include "gateway/cors.h"

#include <algorithm>

#include "base/bytes.h"

namespace sio::gateway {

namespace {

constexpr std::size_t max_origin = 1024;  // std::regex recurses per character: longer origins match no expression

void append_header(std::string& out, std::string_view name, std::string_view value) {
    out += name;
    out += ": ";
    out += value;
    out += "\r\n";
}

}  // namespace

Result<Cors> Cors::create(CorsOptions options) {
    Cors cors;
    for (const std::string& origin : options.origins) {
        if (origin == "*") {
            cors.any_ = true;
        } else if (origin == "true") {
            cors.mirror_ = true;
        } else if (origin.size() > 2 && origin.front() == '/' && origin.back() == '/') {
            try {
                cors.expressions_.emplace_back(origin.substr(1, origin.size() - 2), std::regex::ECMAScript);
            } catch (const std::regex_error& error) {
                return fail(Errc::config, "cannot use origin " + origin + ": " + error.what());
            }
        } else {
            cors.exact_.push_back(origin);
        }
    }
    cors.enabled_ = !options.origins.empty();
    cors.single_ = options.origins.size() == 1 && cors.exact_.size() == 1;
    cors.options_ = std::move(options);
    return cors;
}

bool Cors::matches(std::string_view origin) const {
    if (mirror_) return true;
    if (std::find(exact_.begin(), exact_.end(), origin) != exact_.end()) return true;
    return origin.size() <= max_origin &&
           std::any_of(expressions_.begin(), expressions_.end(), [origin](const std::regex& expression) {
               return std::regex_search(origin.begin(), origin.end(), expression);
           });
}

void Cors::append_origin(std::string& out, std::optional<std::string_view> origin, std::string_view more_vary) const {
    std::string vary;
    if (any_) {
        append_header(out, "Access-Control-Allow-Origin", "*");
    } else {
        if (single_) {
            append_header(out, "Access-Control-Allow-Origin", exact_.front());
        } else if (origin && matches(*origin)) {
            append_header(out, "Access-Control-Allow-Origin", *origin);
        }
        vary = "Origin";
    }
    if (!more_vary.empty()) {
        if (!vary.empty()) vary += ", ";
        vary += more_vary;
    }
    if (!vary.empty()) append_header(out, "Vary", vary);
    if (options_.credentials) append_header(out, "Access-Control-Allow-Credentials", "true");
}

void Cors::append(std::string& out, std::optional<std::string_view> origin) const {
    if (!enabled_) return;
    append_origin(out, origin, {});
    if (!options_.exposed_headers.empty()) {
        append_header(out, "Access-Control-Expose-Headers", options_.exposed_headers);
    }
}

void Cors::append_preflight(std::string& out, std::optional<std::string_view> origin,
                            std::optional<std::string_view> requested_headers) const {
    const bool mirrors_headers = options_.allowed_headers.empty();
    append_origin(out, origin, mirrors_headers ? "Access-Control-Request-Headers" : "");
    append_header(out, "Access-Control-Allow-Methods", options_.methods);
    if (!mirrors_headers) {
        append_header(out, "Access-Control-Allow-Headers", options_.allowed_headers);
    } else if (requested_headers && !requested_headers->empty()) {
        append_header(out, "Access-Control-Allow-Headers", *requested_headers);
    }
    if (!options_.max_age.empty()) append_header(out, "Access-Control-Max-Age", options_.max_age);
    if (!options_.exposed_headers.empty()) {
        append_header(out, "Access-Control-Expose-Headers", options_.exposed_headers);
    }
}

bool Cors::admits(std::optional<std::string_view> origin, std::string_view host) const {
    if (!origin || origin->empty() || any_) return true;
    std::string_view rest = *origin;
    const std::size_t scheme_end = rest.find("://");
    if (scheme_end == std::string_view::npos) return matches(rest);  // "null" and the like
    const std::string_view scheme = rest.substr(0, scheme_end);
    std::string_view authority = rest.substr(scheme_end + 3);
    const std::size_t path = authority.find_first_of("/?#");
    if (path != std::string_view::npos) {
        authority = authority.substr(0, path);
        rest = rest.substr(0, scheme_end + 3 + path);
    }
    const bool known = scheme == "http" || scheme == "https" || scheme == "ws" || scheme == "wss";
    if (known && base::equal_ignoring_case(authority, host)) return true;
    return matches(rest);
}

}  // namespace sio::gateway
