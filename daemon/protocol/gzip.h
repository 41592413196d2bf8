// Compression, of what goes to others: bodies of HTTP answers, profiles.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace rtd::protocol {

/// The body in gzip format, at zlib's fastest level: it is text, or repeats itself, and somebody waits for it. nullopt
/// when zlib fails, for want of memory or because the body is too large for it.
std::optional<std::string> gzip(std::string_view body);

}  // namespace rtd::protocol
