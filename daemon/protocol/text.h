// Text that came from somewhere untrusted, made safe to log, to print on a terminal and to use as a label.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

namespace rtd::protocol {

/// The longest log message or status text that is kept, in bytes.
inline constexpr std::size_t max_text_bytes = 8192;

/// The longest name (of a sandbox, plugin, task or entry), in bytes.
inline constexpr std::size_t max_name_bytes = 63;

/// `raw` as valid UTF-8 without anything that steers a terminal: control characters become \n, \r, \x1b and so on (tabs
/// stay), bytes that are no UTF-8 become U+FFFD, marks that reverse the reading direction become \u202e and so on. The
/// result has at most `max_bytes` bytes; a longer one is cut between characters and ends in "…".
std::string clean_text(std::string_view raw, std::size_t max_bytes = max_text_bytes);

/// True when `text` is valid UTF-8 (no overlong forms, no surrogates, nothing past U+10FFFF).
bool is_utf8(std::string_view text) noexcept;

/// True for [a-z][a-z0-9_-]* of at most max_name_bytes: the names of sandboxes, plugins and tasks.
bool is_name(std::string_view text) noexcept;

/// True for a C identifier of at most max_name_bytes: the names of entries.
bool is_identifier(std::string_view text) noexcept;

/// The time as RFC 3339 in UTC with milliseconds: "2025-11-23T18:49:05.123Z".
std::string rfc3339(std::chrono::system_clock::time_point when);

/// The same for seconds since 1970, as the supervisor-host link carries times. Values that are no time (not finite,
/// before 1970, after 9999) give "1970-01-01T00:00:00.000Z".
std::string rfc3339(double unix_seconds);

/// The number of edits (insert, delete, replace, swap of neighbours) between two short texts.
std::size_t edit_distance(std::string_view left, std::string_view right);

}  // namespace rtd::protocol
