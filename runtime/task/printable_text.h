// Text of plugins, made fit for terminals, logs and JSON.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace rt::detail {

/// `text` as valid UTF-8 without control characters: tab, newline and carriage return become "\t", "\n", "\r"; other
/// control characters, the C1 controls that some terminals obey, and bytes that are no UTF-8 become "\xNN". The result
/// has at most `most_bytes` bytes; a longer one is cut at a character and ends in "…". Any thread. @throws
/// std::bad_alloc
std::string printable_text(std::string_view text, std::size_t most_bytes);

}  // namespace rt::detail
