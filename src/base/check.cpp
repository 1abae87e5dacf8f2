#include "base/check.h"

#include <cstdlib>
#include <string_view>

#include "base/log.h"

namespace sio::base {

void check_failed(const char* expression, const char* file, int line) noexcept {
    std::string_view place = file;
    if (const auto source = place.rfind("src/"); source != std::string_view::npos) place.remove_prefix(source);
    log::fatal("check", "invariant_broken", {{"expression", expression}, {"file", place}, {"line", line}});
    std::abort();
}

}  // namespace sio::base
