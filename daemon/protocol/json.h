// Parsing of JSON that an untrusted peer wrote.
//
// The parser itself keeps no recursion, and the limits are checked while it runs: a line of a million opening brackets
// costs its depth limit and nothing more, and a document that would unfold to many small values is given up in time.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace rtd::protocol {

struct json_limits {
  std::size_t max_bytes = 1U << 20U;
  std::size_t max_depth = 32;        // arrays and objects within each other; a bare number has depth 0
  std::size_t max_values = 200'000;  // scalars, arrays and objects together
};

/// What may come on the control socket, and what from a host.
inline constexpr json_limits control_limits{1U << 20U, 32, 200'000};
inline constexpr json_limits link_limits{8U << 20U, 16, 1'000'000};

struct json_result {
  std::optional<nlohmann::json> value;
  std::string error;  // empty when there is a value; says what is wrong and at which byte
  explicit operator bool() const noexcept { return value.has_value(); }
};

/// Parses exactly one document; anything but white space after it is an error, and so is a key that comes twice in one
/// object. Does not throw (but std::bad_alloc).
json_result parse_json(std::string_view text, const json_limits& limits);

/// `value` on one line of ASCII or UTF-8. Bytes in strings that are no UTF-8 become U+FFFD instead of an exception.
std::string to_line(const nlohmann::json& value);

}  // namespace rtd::protocol
