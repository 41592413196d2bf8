// Sizes in bytes as people write them: "256KiB", "64MiB".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rtd::config {

/// Reads a size: a whole number with B, KiB, MiB, GiB or TiB (powers of 1024), without spaces. "0" needs no unit.
/// @return nothing when the text is no such thing or does not fit 63 bits; `error`, when given, then says why.
std::optional<std::uint64_t> parse_size(std::string_view text, std::string* error = nullptr);

/// The shortest text that parse_size reads back as the same size: "256KiB", "1000B", "0".
std::string format_size(std::uint64_t bytes);

}  // namespace rtd::config
