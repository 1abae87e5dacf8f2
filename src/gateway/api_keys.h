// Who may use the HTTP API: a file with a line `NAME KEY` for each key. Several keys of one name are one user of it, so
// that a key can be replaced without a gap.
//
// Blank lines, and lines that begin with `#`, say nothing. A name has letters, digits, `.`, `_` and `-`. Keys are
// visible ASCII.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sio::gateway {

/// The SHA-256 of `text`.
using Digest = std::array<unsigned char, 32>;
Digest digest_of(std::string_view text);
/// In lower-case hex.
std::string to_hex(const Digest& digest);

class ApiKeys {
public:
    static constexpr std::size_t min_key_bytes = 16;
    static constexpr std::size_t max_key_bytes = 512;
    static constexpr std::size_t max_name_bytes = 64;
    static constexpr std::size_t max_keys = 1000;
    static constexpr std::size_t max_file_bytes = std::size_t{1} << 20U;

    /// `source` names the text in errors, which give the line and never a key. Errors: `config`; a text without a key
    /// is one.
    static Result<ApiKeys> parse(std::string_view text, std::string_view source);
    /// Errors: `config`, also for a file that cannot be read.
    static Result<ApiKeys> read(const std::string& path);

    /// The name this key stands for; empty when there is no such key. All keys are looked at whatever the answer, and
    /// each comparison takes the same time.
    [[nodiscard]] std::string_view find(std::string_view key) const;
    [[nodiscard]] std::size_t size() const noexcept { return keys_.size(); }

    /// Whether others than the owner of the file may read it.
    [[nodiscard]] bool is_exposed() const noexcept { return is_exposed_; }

private:
    struct Key {
        std::string name;
        Digest digest;
    };
    std::vector<Key> keys_;
    bool is_exposed_ = false;
};

}  // namespace sio::gateway
