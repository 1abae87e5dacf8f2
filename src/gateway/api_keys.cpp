#include "gateway/api_keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "base/bytes.h"

namespace sio::gateway {

namespace {

bool is_name(std::string_view text) {
    return !text.empty() && text.size() <= ApiKeys::max_name_bytes && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
               c == '-';
    });
}

bool is_visible(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

}  // namespace

Digest digest_of(std::string_view text) {
    Digest digest{};
    unsigned size = 0;
    if (EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) std::abort();
    return digest;
}

std::string to_hex(const Digest& digest) { return base::to_hex(digest.data(), digest.size()); }

Result<ApiKeys> ApiKeys::parse(std::string_view text, std::string_view source) {
    ApiKeys keys;
    std::size_t number = 0;
    while (!text.empty()) {
        ++number;
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.ends_with('\r')) line.remove_suffix(1);
        line = base::trim(line);
        if (line.empty() || line.front() == '#') continue;
        const auto wrong = [&](const std::string& why) {
            return fail(Errc::config, std::string(source) + ":" + std::to_string(number) + ": " + why);
        };
        const std::size_t blank = std::min(line.find_first_of(" \t"), line.size());
        const std::string_view name = line.substr(0, blank);
        const std::string_view key = base::trim(line.substr(blank));
        if (!is_name(name) || key.empty()) {
            return wrong("a line is NAME KEY; a name has up to 64 letters, digits, '.', '_' and '-'");
        }
        if (!is_visible(key)) return wrong("a key is visible ASCII without blanks");
        if (key.size() < min_key_bytes || key.size() > max_key_bytes) {
            return wrong("the key of " + std::string(name) + " has less than " + std::to_string(min_key_bytes) +
                         " or more than " + std::to_string(max_key_bytes) + " characters");
        }
        const Digest digest = digest_of(key);
        if (std::ranges::any_of(keys.keys_, [&](const Key& known) { return known.digest == digest; })) {
            return wrong("the key of " + std::string(name) + " stands in another line, too");
        }
        if (keys.keys_.size() == max_keys) return wrong("more than " + std::to_string(max_keys) + " keys");
        keys.keys_.push_back({std::string(name), digest});
    }
    if (keys.keys_.empty()) return fail(Errc::config, std::string(source) + ": there is no key in it");
    return keys;
}

Result<ApiKeys> ApiKeys::read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) return fail(Errc::config, "cannot read the API keys in " + path);
    std::string text(max_file_bytes + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (text.size() > max_file_bytes) return fail(Errc::config, path + ": more than 1 MB of API keys");
    auto keys = parse(text, path);
    struct stat facts {};
    if (keys && stat(path.c_str(), &facts) == 0) keys->is_exposed_ = (facts.st_mode & (S_IRWXG | S_IRWXO)) != 0;
    return keys;
}

std::string_view ApiKeys::find(std::string_view key) const {
    const Digest digest = digest_of(key);
    std::string_view name;
    for (const Key& known : keys_) {
        if (CRYPTO_memcmp(known.digest.data(), digest.data(), digest.size()) == 0) name = known.name;
    }
    return name;
}

}  // namespace sio::gateway
