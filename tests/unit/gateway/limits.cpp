// gateway/limits.h: what is said of a limit names size, limit and remedy, and fits into a close frame.
#include "gateway/limits.h"

#include <criterion/criterion.h>

#include <limits>
#include <set>

namespace {

using namespace sio::gateway;

Test(limits, what_a_client_is_told_names_size_limit_and_option) {
    cr_expect(limit_text(Limit::message, 1'200'000, 1'000'000) ==
              "1200000 bytes of a message, of at most 1000000 (max-payload)");
    cr_expect(limit_text(Limit::attachments, 0, 10) == "too many attachments of a packet, of at most 10");
}

Test(limits, each_has_a_name_of_its_own_and_fits_into_a_close_frame) {
    constexpr std::uint64_t huge = std::numeric_limits<std::uint64_t>::max();
    constexpr std::size_t most_reason = 123;  // RFC 6455, 5.5
    std::set<std::string_view> names;
    for (std::size_t i = 0; i < limit_count; ++i) {
        const auto limit = static_cast<Limit>(i);
        cr_expect(!to_string(limit).empty() && names.insert(to_string(limit)).second);
        cr_expect(!option_of(limit).empty());
        cr_expect(limit_text(limit, huge, huge).size() <= most_reason, "%s", limit_text(limit, huge, huge).c_str());
    }
}

}  // namespace
