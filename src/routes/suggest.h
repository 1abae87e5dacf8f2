// "Did you mean …?" for words that are nearly right.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace sio::routes {

/// The candidate that is at most two typing errors away from `word`, or an empty view.
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

/// ` (did you mean "x"?)`, or nothing when no candidate is near.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace sio::routes
