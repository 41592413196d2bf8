// Completion of command lines: the shell scripts hand the words typed so far to `rtctl __complete`, which answers one
// candidate a line ("word<TAB>description") and last ":N", the sum of the directives below.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "daemon/ctl/command_line.h"

namespace rtd::ctl {

struct candidate {
  std::string word;
  std::string description;

  bool operator==(const candidate&) const = default;
};

inline constexpr int directive_no_space = 2;  ///< the shell adds no space after the word
inline constexpr int directive_no_files = 4;  ///< without candidates the shell offers nothing, not even files

struct completion {
  std::vector<candidate> candidates;
  int directives = directive_no_files;
};

/// What is asked of rtd while a line is completed.
struct live_query {
  value_source source = value_source::none;
  std::string socket;                  ///< as the line gives it, else the usual one
  std::vector<std::string> arguments;  ///< of the command, before the word that is completed
};

/// Names that rtd knows. Never throws: without rtd there are none.
using live_lookup = std::function<std::vector<candidate>(const live_query&)>;

/// @param words the words after "rtctl", the last one being the one to complete (maybe empty)
completion complete(const command_line& line, const std::vector<std::string>& words, const live_lookup& lookup);

/// Asks the rtd at the query's socket, for half a second at most.
std::vector<candidate> names_from_rtd(const live_query& query);

/// The answer to `rtctl __complete`.
std::string to_text(const completion& answer);

/// The script for bash, zsh or fish; empty for another shell.
std::string completion_script(const std::string& shell);

}  // namespace rtd::ctl
