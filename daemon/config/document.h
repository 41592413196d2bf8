// A JSON text as a tree in which every key and every value knows its place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/problem.h"

namespace rtd::config {

/// Larger texts are refused unread; no configuration comes near.
inline constexpr std::size_t most_text_bytes = 4 * 1024 * 1024;
/// Objects and arrays inside each other.
inline constexpr std::size_t most_depth = 32;
/// Values of all kinds in one document. Bounds the memory that a hostile text of few bytes can ask for.
inline constexpr std::size_t most_values = 100'000;
inline constexpr std::size_t most_key_bytes = 128;

enum class node_kind : std::uint8_t { null, boolean, integer, real, string, array, object };

struct member;

/// One value.
struct node {
  node_kind kind = node_kind::null;
  place at;  ///< of the value's first character
  bool boolean = false;
  std::int64_t integer = 0;     ///< kept at the nearest 64-bit value where the text has a larger one
  std::string text;             ///< a string's value; a number as it was written
  std::vector<node> items;      ///< of an array
  std::vector<member> members;  ///< of an object, in the order of the text, without later members of the same key
};

/// One key of an object with its value.
struct member {
  std::string name;
  place at;  ///< of the key's opening quote
  node value;
};

/// Parses strict JSON (RFC 8259) in UTF-8; a byte order mark in front is skipped. Parsing is nlohmann::json's; places
/// come from a walk through the same text that keeps step with it.
///
/// Whatever breaks off the reading (syntax, invalid UTF-8, NUL, comments, depth, size, number of values) is one
/// problem, and there is no document. Duplicate keys and over-long keys are problems too, but reading goes on: the
/// first of the duplicates stays in the tree, over-long ones are left out. Does not throw for any text.
std::optional<node> parse_document(std::string_view text, problem_list& problems);

/// What a value is, for messages: `the number 5`, `the string "abc"`, `null`, `an object`.
std::string describe(const node& value);

}  // namespace rtd::config
