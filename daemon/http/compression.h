// Content negotiation: whether a response body is compressed.
#pragma once

#include <string_view>

namespace rtd::http {

/// Whether the client's Accept-Encoding (its values joined by commas) allows gzip and does not prefer plain text.
bool accepts_gzip(std::string_view accept_encoding);

}  // namespace rtd::http
