// Bytes as text, for JSON: base64 of RFC 4648, with padding and without line breaks.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace rtd::protocol {

std::string to_base64(std::string_view bytes);

/// The bytes, or nothing when the text is not what to_base64 makes of any.
std::optional<std::string> from_base64(std::string_view text);

/// Whether from_base64 gives something; makes no copy.
bool is_base64(std::string_view text) noexcept;

}  // namespace rtd::protocol
