// UTF-8 text: checking it, counting lines and columns in it, quoting parts of it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/config/problem.h"

namespace rtd::config {

/// One character of a UTF-8 text. `length` is the number of bytes it takes, at least 1. Bytes that are no UTF-8 come
/// one by one with `valid` false and the byte in `code`.
struct character {
  char32_t code = 0;
  std::size_t length = 1;
  bool valid = false;
};

/// The character at byte `offset`, which must lie inside the text. Refuses overlong forms and surrogates.
character decode(std::string_view text, std::size_t offset) noexcept;

/// The byte offset of the first byte that is not UTF-8; nothing when all is well.
std::optional<std::size_t> first_invalid_utf8(std::string_view text) noexcept;

/// Counts lines and columns while it moves forward through a text, so that finding all places of a document takes one
/// walk. A line ends with '\n'; bytes that are no UTF-8 count as one column each.
class place_counter {
 public:
  explicit place_counter(std::string_view text) noexcept : text_(text) {}
  /// The place of the byte at `offset`, which must not lie before the offset asked for last. Offsets past the end give
  /// the place just after the last character.
  place advance_to(std::size_t offset) noexcept;

 private:
  std::string_view text_;
  std::size_t offset_ = 0;
  place at_;
};

/// The text in double quotes for a message: quotes and backslashes escaped, safe for terminals, cut after about
/// `most_bytes`.
std::string in_quotes(std::string_view text, std::size_t most_bytes = 80);

}  // namespace rtd::config
