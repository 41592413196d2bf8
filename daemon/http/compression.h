// Content negotiation and compression of response bodies.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace rtd::http {

/// Whether the client's Accept-Encoding (its values joined by commas) allows gzip and does not prefer plain text.
bool accepts_gzip(std::string_view accept_encoding);

/// The body in gzip format, at zlib's fastest level: pages are text, and the loop waits for it. nullopt when zlib
/// fails.
std::optional<std::string> gzip(std::string_view body);

}  // namespace rtd::http
