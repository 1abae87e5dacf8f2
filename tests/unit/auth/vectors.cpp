// auth/verifier.h against the recorded tokens of the real packages, see tests/authd/auth-vectors.json.
#include <criterion/criterion.h>
#include <jansson.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "auth/cookies.h"
#include "auth/verifier.h"

namespace {

using namespace sio;
using namespace sio::auth;

struct Release {
    void operator()(json_t* value) const noexcept { json_decref(value); }
};
using Tree = std::unique_ptr<json_t, Release>;

Tree read_vectors() {
    const auto path = std::filesystem::path(__FILE__).parent_path() / "../../authd/auth-vectors.json";
    json_error_t error;
    Tree tree{json_load_file(path.c_str(), 0, &error)};
    cr_assert(tree != nullptr, "%s: %s", path.c_str(), error.text);
    return tree;
}

std::string text(const json_t* object, const char* name) {
    const json_t* const value = json_object_get(object, name);
    return json_is_string(value) ? std::string(json_string_value(value), json_string_length(value)) : "";
}

std::vector<std::string> texts(const json_t* object, const char* name) {
    std::vector<std::string> out;
    const json_t* const array = json_object_get(object, name);
    for (std::size_t i = 0; i < json_array_size(array); ++i)
        out.emplace_back(json_string_value(json_array_get(array, i)));
    return out;
}

Policy policy_of(const json_t* vector) {
    const std::string kind = text(vector, "kind");
    const json_t* const wanted = json_object_get(vector, "policy");
    Policy policy;
    policy.nextauth_v4 = kind == "nextauth-v4";
    policy.authjs_v5 = kind == "authjs-v5";
    (kind == "jws" ? policy.jwt_secrets : policy.secrets) = texts(vector, "secrets");
    if (policy.authjs_v5) policy.salts = {text(vector, "salt")};
    policy.jwt_algorithms = texts(wanted, "algorithms");
    policy.issuer = text(wanted, "issuer");
    if (const std::string audience = text(wanted, "audience"); !audience.empty()) policy.audiences = {audience};
    if (const json_t* const limit = json_object_get(wanted, "max_token_bytes")) {
        policy.max_token_bytes = static_cast<std::size_t>(json_integer_value(limit));
    }
    policy.leeway = json_integer_value(json_object_get(wanted, "clock_tolerance"));
    return policy;
}

std::string class_of(const json_t* classes, std::string_view verdict) {
    const char* name = nullptr;
    json_t* members = nullptr;
    json_object_foreach(const_cast<json_t*>(classes), name, members) {
        for (std::size_t i = 0; i < json_array_size(members); ++i) {
            if (json_string_value(json_array_get(members, i)) == verdict) return name;
        }
    }
    return "none";
}

/// Whether two trees are equal with numbers compared by value.
bool is_same(const json_t* a, const json_t* b) {
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
    if (json_typeof(a) != json_typeof(b)) return false;
    if (json_is_object(a)) {
        const char* name = nullptr;
        json_t* member = nullptr;
        json_object_foreach(const_cast<json_t*>(a), name, member) {
            const json_t* const other = json_object_get(b, name);
            if (other == nullptr || !is_same(member, other)) return false;
        }
        return json_object_size(a) == json_object_size(b);
    }
    if (json_is_array(a)) {
        for (std::size_t i = 0; i < json_array_size(a); ++i) {
            const json_t* const other = json_array_get(b, i);
            if (other == nullptr || !is_same(json_array_get(a, i), other)) return false;
        }
        return json_array_size(a) == json_array_size(b);
    }
    return json_equal(a, b) != 0;
}

Verifier verifier_of(const json_t* vector) {
    Jwks set;
    if (const json_t* const jwks = json_object_get(vector, "jwks")) {
        char* const dumped = json_dumps(jwks, 0);
        auto parsed = Jwks::parse(dumped);
        std::free(dumped);
        cr_assert(parsed.has_value(), "%s", parsed.error().what.c_str());
        set = std::move(*parsed);
    }
    auto verifier = Verifier::create(policy_of(vector), std::move(set));
    cr_assert(verifier.has_value(), "%s: %s", text(vector, "name").c_str(), verifier.error().what.c_str());
    return std::move(*verifier);
}

}  // namespace

Test(vectors, each_recorded_token_gets_its_verdict) {
    const Tree tree = read_vectors();
    const json_t* const classes = json_object_get(tree.get(), "verdict_classes");
    const json_t* const vectors = json_object_get(tree.get(), "vectors");
    cr_expect(json_array_size(vectors) == 127);
    std::size_t right_words = 0;
    for (std::size_t i = 0; i < json_array_size(vectors); ++i) {
        const json_t* const vector = json_array_get(vectors, i);
        const std::string name = text(vector, "name");
        const Verifier verifier = verifier_of(vector);
        const Seconds at = json_integer_value(json_object_get(vector, "verify_at"));
        const Checked checked = verifier.check(text(vector, "token"), at);
        const std::string_view got = to_string(checked.verdict);
        const std::string want = text(vector, "verdict");
        right_words += got == want ? 1U : 0U;
        cr_expect((got == "valid") == (want == "valid"), "%s: %s, not %s: %s", name.c_str(), got.data(), want.c_str(),
                  checked.detail.c_str());
        cr_expect(class_of(classes, got) == class_of(classes, want), "%s: %s is not of the class of %s", name.c_str(),
                  got.data(), want.c_str());
        if (want != "valid") continue;
        const Tree claims{json_loads(checked.identity.claims.c_str(), 0, nullptr)};
        const json_t* const wanted = json_object_get(vector, "claims");
        cr_expect(claims != nullptr && is_same(claims.get(), wanted), "%s: other claims", name.c_str());
        cr_expect(checked.identity.user == text(wanted, "sub"), "%s", name.c_str());
        const double expires = json_number_value(json_object_get(vector, "exp"));
        cr_expect(checked.identity.expires == static_cast<Seconds>(std::floor(expires)), "%s", name.c_str());
        const auto keys = verifier.keys();
        cr_expect(std::find(keys.begin(), keys.end(), checked.identity.key) != keys.end(), "%s: key", name.c_str());
    }
    cr_expect(right_words >= 123, "%zu of 127 have the very word", right_words);  // v4: changed, or another secret's
}

Test(vectors, each_recorded_cookie_header_joins_to_its_token) {
    const Tree tree = read_vectors();
    const json_t* const vectors = json_object_get(tree.get(), "vectors");
    int headers = 0;
    for (std::size_t i = 0; i < json_array_size(vectors); ++i) {
        const json_t* const vector = json_array_get(vectors, i);
        const std::string header = text(vector, "cookie_header");
        if (header.empty()) continue;
        ++headers;
        const std::vector<std::string> names{text(vector, "cookie_name")};
        const auto cookie = session_cookie(header, names);
        cr_assert(cookie && *cookie, "%s", text(vector, "name").c_str());
        cr_expect((*cookie)->value == text(vector, "token") && (*cookie)->name == names[0], "%s",
                  text(vector, "name").c_str());
    }
    cr_expect(headers == 8);
}
