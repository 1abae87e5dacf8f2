#include "daemon/wrapping.h"

#include <vector>

namespace sio::daemon {

namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\n'; }

class Unwrapping {
public:
    explicit Unwrapping(std::string_view text) : rest_(text) {}

    Unwrapped run() {
        trim();
        const char first = rest_.empty() ? '\0' : rest_.front();
        if (rest_.size() >= 2 && (first == '"' || first == '\'') && rest_.back() == first) {
            rest_ = rest_.substr(1, rest_.size() - 2);
            has_quotes_ = true;
            trim();
        }
        return {rest_, names()};
    }

private:
    void trim() {
        if (rest_.starts_with(byte_order_mark)) {
            rest_.remove_prefix(byte_order_mark.size());
            has_mark_ = true;
        }
        while (!rest_.empty() && see(rest_.front())) rest_.remove_prefix(1);
        while (!rest_.empty() && see(rest_.back())) rest_.remove_suffix(1);
    }

    bool see(char c) noexcept {
        has_return_ = has_return_ || c == '\r';
        has_blanks_ = has_blanks_ || is_blank(c);
        return c == '\r' || is_blank(c);
    }

    [[nodiscard]] std::string names() const {
        std::vector<std::string_view> names;
        if (has_mark_) names.emplace_back("a byte order mark");
        if (has_quotes_) names.emplace_back("quotes");
        if (has_blanks_) names.emplace_back("blanks");
        if (has_return_) names.emplace_back("a carriage return");
        std::string out;
        for (std::size_t i = 0; i < names.size(); ++i) {
            if (i > 0) out += i + 1 == names.size() ? " and " : ", ";
            out += names[i];
        }
        return out;
    }

    std::string_view rest_;
    bool has_mark_ = false;
    bool has_quotes_ = false;
    bool has_blanks_ = false;
    bool has_return_ = false;
};

}  // namespace

Unwrapped unwrap(std::string_view text) { return Unwrapping(text).run(); }

std::string secret_warning(std::string_view place, std::string_view secret) {
    const Unwrapped found = unwrap(secret);
    if (found.around.empty()) return {};
    return std::string(place) + ": there is something around the secret (" + found.around +
           "), which counts as a part of it; take it away unless it belongs there";
}

bool is_service_link(std::string_view variable, std::string_view value) noexcept {
    return variable.ends_with("_PORT") && (value.starts_with("tcp://") || value.starts_with("udp://"));
}

}  // namespace sio::daemon
