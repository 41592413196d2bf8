// Lengths of time as people write them: "100ms", "1.5s", "1m30s".
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace rtd::config {

/// Reads a length of time: one or more numbers, each with a unit (d, h, m, s, ms, us or µs, ns), largest unit first,
/// each unit at most once, without spaces; the last number may have a decimal fraction ("1.5s"). "0" needs no unit.
/// Nothing negative, nothing over 292 years, nothing below a nanosecond.
/// @return nothing when the text is no such thing; `error`, when given, then says why ("the unit is missing after 5").
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text, std::string* error = nullptr);

/// The shortest text that parse_duration reads back as the same length: "1m30s", "100ms", "0s". `length` >= 0.
std::string format_duration(std::chrono::nanoseconds length);

}  // namespace rtd::config
