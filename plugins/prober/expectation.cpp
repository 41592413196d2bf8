#include "plugins/prober/expectation.h"

#include <rt/task.h>

#include <charconv>

namespace prober {

namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw rt::bad_parameter("parameter \"expect_status\" " + what +
                          "; write codes (\"204\"), classes (\"2xx\") or ranges (\"200-399\"), from 100 to 599");
}

// A code of three digits, or 0.
int read_code(std::string_view text) {
  int code = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), code);
  bool well_formed = text.size() == 3 && error == std::errc() && end == text.data() + text.size();
  return well_formed && code >= 100 && code <= 599 ? code : 0;
}

std::pair<int, int> read_range(const std::string& text) {
  bool is_class =
      text.size() == 3 && text[0] >= '1' && text[0] <= '5' && (text.substr(1) == "xx" || text.substr(1) == "XX");
  if (is_class) return {(text[0] - '0') * 100, (text[0] - '0') * 100 + 99};
  std::size_t dash = text.find('-');
  int first = read_code(std::string_view(text).substr(0, dash));
  int last = dash == std::string::npos ? first : read_code(std::string_view(text).substr(dash + 1));
  if (first == 0 || last == 0 || last < first) refuse("has \"" + text + "\", which is no status code");
  return {first, last};
}

}  // namespace

status_set::status_set(const std::vector<std::string>& texts) {
  if (texts.empty()) refuse("is an empty list, which no answer could meet");
  for (const std::string& text : texts) {
    ranges_.push_back(read_range(text));
    text_ += (text_.empty() ? "" : ", ") + text;
  }
}

bool status_set::contains(int status) const noexcept {
  for (auto [first, last] : ranges_) {
    if (status >= first && status <= last) return true;
  }
  return false;
}

}  // namespace prober
