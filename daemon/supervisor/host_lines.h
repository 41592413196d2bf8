// The lines that a host writes, on their way into the log: checked, and limited in number, so that a task that logs in
// a loop neither floods the operator's log nor keeps the supervisor busy. What is dropped is counted and reported.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "daemon/supervisor/io/timer.h"
#include "daemon/supervisor/rate_limit.h"
#include "daemon/supervisor/services.h"

namespace rtd::supervisor {

class host_lines {
 public:
  /// Lines a second on average, and at once.
  static constexpr double rate = 1000;
  static constexpr double burst = 5000;

  host_lines(services with, std::string sandbox);

  /// A "log" event of the link.
  void log_event(const nlohmann::json& event);
  /// A line of standard output or standard error, cleaned.
  void output(bool is_error, std::string line);

 private:
  bool admit(std::string_view source);
  void report_dropped();

  services with_;
  std::string sandbox_;
  rate_limit limit_{rate, burst};
  std::map<std::string, std::uint64_t> dropped_;  // by source, not yet reported
  timer report_timer_;
};

}  // namespace rtd::supervisor
