// Says in words what is wrong with a text that is no JSON.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/config/problem.h"

namespace rtd::config {

/// Where the parser stood when it gave up.
struct syntax_context {
  std::string_view text;
  std::size_t token = 0;            ///< byte offset of the token that it could not use; the text's size at its end
  std::size_t last_read = 0;        ///< byte offset of the last byte it read, inside or at the end of that token
  bool after_document = false;      ///< the document was complete before the token
  std::string_view parser_message;  ///< what the parser says itself
  char open = '\0';                 ///< '{' or '[' of the innermost container that is not closed, or NUL
  place open_at;                    ///< where that stands
};

/// The explanation: `offset` is where the reader should look.
struct syntax_explanation {
  std::size_t offset = 0;
  std::string message;
  std::string hint;
};

syntax_explanation explain_syntax_error(const syntax_context& context);

/// One of {}[],: which are tokens by themselves.
bool is_punctuation(char c) noexcept;

/// The byte offset just after the token that starts at `start`. Strings end at their closing quote, everything else
/// that is no punctuation at the next white space, punctuation or quote.
std::size_t token_end(std::string_view text, std::size_t start) noexcept;

/// The byte offset of the first byte at or after `start` that is no JSON white space.
std::size_t skip_space(std::string_view text, std::size_t start) noexcept;

}  // namespace rtd::config
