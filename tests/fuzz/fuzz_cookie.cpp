// Whatever a Cookie header holds, the session joined from it is within its limits and made of what is there.
#include <string>
#include <vector>

#include "auth/cookies.h"
#include "base/bytes.h"
#include "check.h"

namespace {

using namespace sio;
using namespace sio::auth;

const std::vector<std::string> names{"__Secure-s", "s"};

bool is_same(const Result<std::optional<SessionCookie>>& a, const Result<std::optional<SessionCookie>>& b) {
    if (!a || !b) return !a && !b && a.error().code == b.error().code;
    if (!*a || !*b) return !*a && !*b;
    return (*a)->name == (*b)->name && (*a)->value == (*b)->value;
}

/// Whether a value can be cut into cookies and comes back as it is.
bool is_plain(std::string_view value) {
    return !value.empty() && value.find_first_of("; \t\"%") == std::string_view::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size > 40'000) return 0;
    const std::string_view header = fuzz::as_text(data, size);
    const auto found = session_cookie(header, names);
    if (found && *found) {
        FUZZ_CHECK((*found)->name == names[0] || (*found)->name == names[1]);
        FUZZ_CHECK(!(*found)->value.empty() && (*found)->value.size() <= max_joined_bytes);
        FUZZ_CHECK(header.find((*found)->name) != std::string_view::npos);
    }
    FUZZ_CHECK(found || found.error().code == Errc::malformed || found.error().code == Errc::too_large);

    // Cookies of others around it change nothing, nor do names that only begin alike.
    const std::string with_others = "other=1; s-evil=2; s.x=3; " + std::string(header) + "; s.00=4; ss=5";
    FUZZ_CHECK(is_same(found, session_cookie(with_others, names)));

    // A value cut into chunks and given in any order is the value.
    if (is_plain(header) && size <= max_joined_bytes) {
        const std::size_t step = size / max_chunks + 1;
        std::string cut;
        for (std::size_t i = 0, at = 0; at < size; ++i, at += step) {
            const std::string one = "s." + std::to_string(i) + "=" + std::string(header.substr(at, step));
            cut = i % 2 == 0 ? cut + "; " + one : one + "; " + cut;
        }
        const auto joined = session_cookie(cut, names);
        FUZZ_CHECK(joined && *joined && (*joined)->value == header);
        const auto whole = session_cookie(cut + "; s=" + std::string(header), names);
        FUZZ_CHECK(whole && *whole && (*whole)->value == header);
    }
    return 0;
}
