// The system calls that a sandbox refused: checked, counted, kept for those who ask.
#pragma once

#include <cstdint>
#include <deque>
#include <nlohmann/json.hpp>
#include <string>

#include "daemon/metrics/snapshot.h"
#include "daemon/supervisor/rate_limit.h"
#include "daemon/supervisor/services.h"

namespace rtd::supervisor {

class violations {
 public:
  /// The last so many are kept.
  static constexpr std::size_t most_kept = 16;
  /// Distinct calls that are counted apart: more than the kernel has would be a host's invention.
  static constexpr std::size_t most_calls = 512;
  /// Events a second, and at once; what is beyond is only counted.
  static constexpr double event_rate = 2;
  static constexpr double event_burst = 20;

  violations(services with, std::string sandbox) : with_(with), sandbox_(std::move(sandbox)) {}

  /// Takes a host's report. Returns it in words: `ptrace(0x0, 0x0, …) in task probe, plugin test: main+0x4 (x.so)`.
  std::string take(const nlohmann::json& event);
  /// Takes the news that so many were not reported one by one.
  void take_lost(const nlohmann::json& event);

  std::uint64_t total() const noexcept { return total_; }
  /// By the call's name.
  const metrics::count_map& by_call() const noexcept { return by_call_; }
  /// The last ones, oldest first, as `sandbox.list` shows them.
  nlohmann::json to_json() const { return nlohmann::json(last_); }

 private:
  services with_;
  std::string sandbox_;
  std::uint64_t total_ = 0;
  metrics::count_map by_call_;
  std::deque<nlohmann::json> last_;
  rate_limit events_{event_rate, event_burst};
};

}  // namespace rtd::supervisor
