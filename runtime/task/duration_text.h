// Lengths of time as text: "100ms", "1m30s", "1.5h".
#pragma once

#include <optional>
#include <string_view>

#include "rt/time.h"

namespace rt::detail {

/// Reads one or more numbers, each with a unit of ns, us, ms, s, m or h; "0" needs none. Numbers may have a fraction.
/// Nothing for other text, for a negative length, and for one beyond 292 years. Any thread; never throws.
std::optional<duration> parse_duration(std::string_view text) noexcept;

}  // namespace rt::detail
