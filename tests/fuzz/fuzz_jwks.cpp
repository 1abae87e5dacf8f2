// A key set that is read keeps its limits and never makes a token good that none of its keys signed.
#include <algorithm>
#include <string>

#include "auth/jwks.h"
#include "auth/verifier.h"
#include "base/bytes.h"
#include "base/json.h"
#include "check.h"

namespace {

using namespace sio;
using namespace sio::auth;

constexpr Seconds now = 1'767'312'000;
constexpr std::string_view claims = "eyJzdWIiOiI0MiIsImV4cCI6MTc2NzMxNTYwMH0";

/// Tokens whose signature is zeros, of the length that each algorithm demands.
void expect_no_forgery(const Verifier& verifier) {
    struct Case {
        std::string_view header;  // base64url of {"alg":"…"}
        std::size_t characters;   // of the signature
    };
    constexpr Case cases[] = {{"eyJhbGciOiJSUzI1NiJ9", 342}, {"eyJhbGciOiJQUzI1NiJ9", 342},
                              {"eyJhbGciOiJFUzI1NiJ9", 86},  {"eyJhbGciOiJFUzM4NCJ9", 128},
                              {"eyJhbGciOiJFUzUxMiJ9", 176}, {"eyJhbGciOiJFZERTQSJ9", 86}};
    for (const auto& [header, characters] : cases) {
        const std::string token = std::string(header) + "." + std::string(claims) + "." + std::string(characters, 'A');
        FUZZ_CHECK(verifier.check(token, now).verdict != Verdict::valid);
    }
    const std::string hmac = "eyJhbGciOiJIUzI1NiJ9." + std::string(claims) + "." + std::string(43, 'A');
    FUZZ_CHECK(verifier.check(hmac, now).verdict == Verdict::alg_not_allowed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size > 16'384) return 0;
    const std::string_view text = fuzz::as_text(data, size);
    auto set = Jwks::parse(text);
    if (!set) {
        FUZZ_CHECK(set.error().code == Errc::malformed || set.error().code == Errc::too_large);
        return 0;
    }
    FUZZ_CHECK(base::is_utf8(text) && json::is_valid(text));
    FUZZ_CHECK(set->size() + set->left_out() <= Jwks::max_keys);
    FUZZ_CHECK(set->ids().size() <= set->size());
    const auto again = Jwks::parse(std::string(text) + "\n");
    FUZZ_CHECK(again && again->size() == set->size() && again->ids() == set->ids());
    const std::size_t count = set->size();
    const auto verifier = Verifier::create({}, std::move(*set));
    FUZZ_CHECK(verifier.has_value());
    const auto keys = verifier->keys();
    FUZZ_CHECK(keys.size() <= count);
    FUZZ_CHECK(std::none_of(keys.begin(), keys.end(), [](const std::string& id) { return id.empty(); }));
    if (count > 0) expect_no_forgery(*verifier);
    return 0;
}
