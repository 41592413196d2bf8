// What is wrong with a configuration, and where.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace rtd::config {

/// A place in a text, counted from 1. Columns count characters (UTF-8 code points), as editors show them.
struct place {
  int line = 1;
  int column = 1;

  bool operator==(const place&) const = default;
};

/// One mistake in a configuration.
struct problem {
  std::string pointer;  ///< JSON pointer (RFC 6901) of the value or key; empty for the whole document
  int line = 0;         ///< from 1; 0 when the file itself is the problem (it cannot be read, say)
  int column = 0;       ///< from 1, in characters; 0 together with line
  std::string message;  ///< what is wrong, with the offending value
  std::string hint;     ///< the remedy; may be empty

  bool operator==(const problem&) const = default;
};

/// One line for people, without a line end: `FILE:LINE:COLUMN: POINTER: MESSAGE (HINT)`. Parts that the problem lacks
/// are left out. Characters that a terminal would obey are escaped.
std::string format(const problem& what, std::string_view file);

/// The problems of one document in the making. It keeps at most a few hundred, because the text may come from a
/// stranger who wants the daemon to build an enormous answer; the rest is counted.
class problem_list {
 public:
  static constexpr std::size_t most = 500;
  static constexpr std::size_t most_bytes = 512 * 1024;

  void add(std::string pointer, place at, std::string message, std::string hint = {});
  /// A problem of the file as a whole.
  void add_for_file(std::string message, std::string hint = {});

  bool empty() const noexcept { return problems_.empty(); }
  /// True once further problems are only counted; then it is not worth while to look for good hints.
  bool full() const noexcept { return left_out_ > 0; }
  /// Moves the problems out, sorted by place; the last one says how many were left out, if any were.
  std::vector<problem> take();

 private:
  void add(problem what);

  std::vector<problem> problems_;
  std::size_t bytes_ = 0;
  std::size_t left_out_ = 0;
};

/// `pointer` lengthened by one key, escaped as RFC 6901 wants it.
std::string child_pointer(std::string_view pointer, std::string_view key);

}  // namespace rtd::config
