#include "daemon/config/problem.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "daemon/protocol/text.h"

namespace rtd::config {
namespace {

/// Longer than any line that is made of real names and paths.
constexpr std::size_t most_line_bytes = 32 * 1024;

}  // namespace

std::string format(const problem& what, std::string_view file) {
  std::string line(file);
  if (what.line > 0) line += ':' + std::to_string(what.line) + ':' + std::to_string(what.column);
  line += ": ";
  if (!what.pointer.empty()) line += what.pointer + ": ";
  line += what.message;
  if (!what.hint.empty()) line += " (" + what.hint + ')';
  return protocol::clean_text(line, most_line_bytes);
}

void problem_list::add(std::string pointer, place at, std::string message, std::string hint) {
  add(problem{std::move(pointer), at.line, at.column, std::move(message), std::move(hint)});
}

void problem_list::add_for_file(std::string message, std::string hint) {
  add(problem{{}, 0, 0, std::move(message), std::move(hint)});
}

void problem_list::add(problem what) {
  const std::size_t bytes = what.pointer.size() + what.message.size() + what.hint.size();
  if (problems_.size() >= most || bytes_ + bytes > most_bytes) {
    ++left_out_;
    return;
  }
  bytes_ += bytes;
  problems_.push_back(std::move(what));
}

std::vector<problem> problem_list::take() {
  std::stable_sort(problems_.begin(), problems_.end(), [](const problem& a, const problem& b) {
    return std::tie(a.line, a.column) < std::tie(b.line, b.column);
  });
  if (left_out_ > 0) {
    problems_.push_back(
        {{}, 0, 0, std::to_string(left_out_) + " further problems are not listed", "mend the ones above first"});
  }
  bytes_ = 0;
  left_out_ = 0;
  return std::exchange(problems_, {});
}

std::string child_pointer(std::string_view pointer, std::string_view key) {
  std::string result(pointer);
  result += '/';
  for (const char c : key) {
    if (c == '~') {
      result += "~0";
    } else if (c == '/') {
      result += "~1";
    } else {
      result += c;
    }
  }
  return result;
}

}  // namespace rtd::config
