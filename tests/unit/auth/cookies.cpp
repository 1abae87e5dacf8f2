// auth/cookies.h: which cookie is the session, and how its chunks are joined.
#include "auth/cookies.h"

#include <criterion/criterion.h>

#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace sio;
using namespace sio::auth;

const std::vector<std::string> names{"__Secure-s", "s"};

/// "name=value", "none", or the code of the refusal.
std::string found(std::string_view header) {
    const auto cookie = session_cookie(header, names);
    if (!cookie) return std::string(to_string(cookie.error().code));
    return *cookie ? (*cookie)->name + "=" + (*cookie)->value : "none";
}

std::string chunks(std::size_t count, std::size_t bytes) {
    std::string header;
    for (std::size_t i = 0; i < count; ++i) {
        header += "s." + std::to_string(i) + "=" + std::string(bytes, 'x') + "; ";
    }
    return header;
}

}  // namespace

Test(cookies, finds_the_exact_name_among_others) {
    struct Case {
        std::string_view header;
        std::string_view want;
    };
    constexpr Case cases[] = {
        {"", "none"},
        {";;; ;", "none"},
        {"s", "none"},
        {"=x", "none"},
        {"s=", "none"},
        {"s=\"\"", "none"},
        {"a=1; s=token; b=2", "s=token"},
        {"a=1;s=token", "s=token"},
        {"s=a=b", "s=a=b"},
        {" s = token ", "s=token"},
        {"s=\"token\"", "s=token"},
        {"s=first; s=second", "s=first"},
        {"s=; s=second", "s=second"},
        {"S=token", "none"},
        {"xs=token", "none"},
        {"s=plain; __Secure-s=secure", "__Secure-s=secure"},
        {"__Secure-s=; s=plain", "s=plain"},
        {"s=a%20b%2", "s=a b%2"},
        {"s=a+b", "s=a+b"},
    };
    for (const auto& [header, want] : cases) {
        cr_expect(found(header) == want, "%s: %s", std::string(header).c_str(), found(header).c_str());
    }
}

Test(cookies, joins_chunks_by_their_number_whatever_the_order) {
    struct Case {
        std::string_view header;
        std::string_view want;
    };
    constexpr Case cases[] = {
        {"s.0=a", "s=a"},
        {"s.1=b; s.0=a", "s=ab"},
        {"s.10=k; s.2=c; s.3=d; s.4=e; s.5=f; s.6=g; s.7=h; s.8=i; s.9=j; s.1=b; s.0=a", "s=abcdefghijk"},
        {"s.0=a; s.0=x; s.1=b", "s=ab"},
        {"s.0=a; s.1=", "s=a"},
        {"s.0=a; __Secure-s.0=b", "__Secure-s=b"},
        {"s.0=%41; s.1=%4", "s=A%4"},
    };
    for (const auto& [header, want] : cases) {
        cr_expect(found(header) == want, "%s: %s", std::string(header).c_str(), found(header).c_str());
    }
}

Test(cookies, refuses_chunks_with_a_gap) {
    cr_expect(found("s.1=b") == "malformed");
    cr_expect(found("s.0=a; s.2=c") == "malformed");
    cr_expect(found("s.0=; s.1=b") == "malformed");
    cr_expect(found("__Secure-s.1=b; s=plain") == "malformed", "the first name that is there decides");
}

Test(cookies, prefers_the_whole_cookie_to_stale_chunks) {
    cr_expect(found("s.0=stale; s=whole; s.1=stale") == "s=whole");
    cr_expect(found("s.3=stale; s=whole") == "s=whole");
    cr_expect(found("s.99=stale; s=whole") == "s=whole");
}

Test(cookies, takes_nothing_that_merely_begins_with_the_name) {
    constexpr std::string_view strangers =
        "s-evil=1; s.=1; s.x=1; s.0x=1; s.-1=1; s.+0=1; s.00=1; s.01=1; s.0.0=1; s.0000=1; s. 0=1; s0=1; ss=1";
    cr_expect(found(strangers) == "none");
    cr_expect(found(std::string(strangers) + "; s.0=a") == "s=a");
    cr_expect(found(std::string(strangers) + "; s=whole") == "s=whole");
}

Test(cookies, keeps_its_limits) {
    cr_expect(found(chunks(max_chunks, 1)) == "s=" + std::string(max_chunks, 'x'));
    cr_expect(found(chunks(max_chunks + 1, 1)) == "too_large");
    cr_expect(found("s.0=a; s.999=b") == "too_large");
    cr_expect(found(chunks(max_chunks, max_joined_bytes / max_chunks)).size() == max_joined_bytes + 2);
    cr_expect(found(chunks(max_chunks, max_joined_bytes / max_chunks + 1)) == "too_large");
    cr_expect(found("s=" + std::string(max_joined_bytes, 'x')).size() == max_joined_bytes + 2);
    cr_expect(found("s=" + std::string(max_joined_bytes + 1, 'x')) == "too_large");
}

Test(cookies, finds_all_that_may_be_the_session) {
    const auto all = [](std::string_view header) {
        const auto cookies = session_cookies(header, names);
        if (!cookies) return std::string(to_string(cookies.error().code));
        std::string out;
        for (const SessionCookie& cookie : *cookies) out += cookie.name + "=" + cookie.value + " ";
        return out;
    };
    cr_expect(all("a=1") == "");
    cr_expect(all("s=one; __Secure-s=two; s=three; s=one") == "__Secure-s=two s=one s=three ");
    cr_expect(all("s.0=a; s.1=b; __Secure-s=two") == "__Secure-s=two s=ab ");
    cr_expect(all("__Secure-s.1=gap; s=good") == "s=good ", "what is broken is not in the way");
    cr_expect(all("s.1=gap") == "malformed");
    std::string many;
    for (std::size_t i = 0; i < 3 * max_session_cookies; ++i) many += "s=" + std::to_string(i) + ";";
    cr_expect(session_cookies(many, names)->size() == max_session_cookies);
}

Test(cookies, knows_the_names_of_both_packages) {
    const std::vector<std::string> defaults(std::begin(default_cookie_names), std::end(default_cookie_names));
    for (const std::string& name : defaults) {
        const auto cookie = session_cookie("a=b; " + name + "=token", defaults);
        cr_assert(cookie && *cookie);
        cr_expect((*cookie)->name == name && (*cookie)->value == "token");
    }
    cr_expect(!session_cookie("s=token", {})->has_value());
}
