// What an HTTP target must answer to count as up.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace prober {

/// A set of status codes, written as codes ("204"), classes ("2xx") and ranges ("200-399").
class status_set {
 public:
  /// @throws rt::bad_parameter naming the parameter "expect_status", the text and what to write; also for no text at
  /// all.
  explicit status_set(const std::vector<std::string>& texts);

  bool contains(int status) const noexcept;
  /// As it was written: "2xx, 304".
  const std::string& text() const noexcept { return text_; }

 private:
  std::vector<std::pair<int, int>> ranges_;  // first and last
  std::string text_;
};

struct expectation {
  status_set statuses;
  std::string body_text;  ///< must stand in the body; empty: any body will do
};

}  // namespace prober
