// Lengths of time, sizes and moments, as people read and write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rtd::ctl {

/// A length of time in the two largest units that matter: "0s", "45s", "2m30s", "3h12m", "4d3h", "120d".
std::string format_age(std::optional<double> seconds);

/// Processor time or the length of an operation, with its fraction: "420us", "12.3ms", "1.23s", "1m05s", "2h03m".
std::string format_seconds(std::optional<double> seconds);

/// A size: "0 B", "812 B", "64.2 KiB", "1.5 GiB".
std::string format_bytes(std::optional<double> bytes);

/// "12.5", for a column whose title has the percent sign; "-" without a value.
std::string format_percent(std::optional<double> percent);

/// Reads a length of time in seconds: "90s", "1m30s", "500ms", "1.5h", "2d", or a number alone, which means seconds.
/// Units: ns us ms s m h d. Nothing when it is none, or negative.
std::optional<double> parse_seconds(std::string_view text);

/// Reads a size in bytes: "512MiB", "16KiB", "1GiB". The units are B, KiB, MiB, GiB, TiB; a number alone is none.
std::optional<std::uint64_t> parse_bytes(std::string_view text);

/// Seconds since 1970 of an RFC 3339 time such as "2025-11-23T18:49:05.123Z".
std::optional<double> parse_time(std::string_view text);

/// An RFC 3339 time in the zone of this machine (TZ): "2025-11-23 19:49:05.123"; the text itself when it is no time.
std::string local_time(std::string_view rfc3339);

}  // namespace rtd::ctl
