// A Lua script, and the name that Redis knows it by.
#pragma once

#include <string>
#include <string_view>

namespace sio::redis {

class Script {
public:
    /// `text` must live as long as the script: usually a literal.
    explicit Script(std::string_view text);

    [[nodiscard]] std::string_view text() const noexcept { return text_; }
    /// Its SHA-1 in lower-case hex, for EVALSHA.
    [[nodiscard]] const std::string& sha() const noexcept { return sha_; }

private:
    std::string_view text_;
    std::string sha_;
};

}  // namespace sio::redis
