// Cross-origin answers as Node's `cors` package gives them (wire-protocol 1.16), and the Origin check of WebSockets.
#pragma once

#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sio::gateway {

struct CorsOptions {
    std::vector<std::string> origins;  ///< exact, `*`, `true` (mirror) or `/regular expression/`; empty: CORS is off
    bool credentials = false;
    std::string methods = "GET,HEAD,PUT,PATCH,POST,DELETE";
    std::string allowed_headers;  ///< empty: what the browser asks for is mirrored
    std::string exposed_headers;
    std::string max_age;  ///< seconds; empty: not sent
};

class Cors {
public:
    /// Errors: `config` for an expression that does not compile.
    static Result<Cors> create(CorsOptions options);

    [[nodiscard]] bool is_enabled() const noexcept { return enabled_; }

    /// Appends the headers of an ordinary answer, each ended by CRLF.
    void append(std::string& out, std::optional<std::string_view> origin) const;

    /// Appends the headers of the answer to a preflight (OPTIONS).
    void append_preflight(std::string& out, std::optional<std::string_view> origin,
                          std::optional<std::string_view> requested_headers) const;

    /// Whether a WebSocket of this origin may connect: none is sent, it is the host's own (http, https, ws or wss,
    /// whatever path follows), or the list names it.
    [[nodiscard]] bool admits(std::optional<std::string_view> origin, std::string_view host) const;

private:
    [[nodiscard]] bool matches(std::string_view origin) const;
    void append_origin(std::string& out, std::optional<std::string_view> origin, std::string_view more_vary) const;

    CorsOptions options_;
    std::vector<std::regex> expressions_;
    std::vector<std::string> exact_;
    bool enabled_ = false;
    bool single_ = false;  // one origin, which is always named, as Node does with a string
    bool any_ = false;
    bool mirror_ = false;
};

}  // namespace sio::gateway
