#include "daemon/supervisor/backoff.h"

#include <algorithm>
#include <cmath>

namespace rtd::supervisor {

std::optional<std::chrono::nanoseconds> backoff::next(clock::time_point now, std::chrono::nanoseconds ran) {
  if (ran >= settings_.stable_after) row_ = 0;
  while (!restarts_.empty() && now - restarts_.front() >= settings_.window) restarts_.pop_front();
  const auto most = static_cast<std::size_t>(settings_.max_restarts);
  if (most > 0 && restarts_.size() >= most) return std::nullopt;
  if (most > 0) restarts_.push_back(now);
  const double initial = static_cast<double>(settings_.initial_delay.count());
  const double longest = static_cast<double>(settings_.max_delay.count());
  const double doubled = std::min(longest, initial * std::pow(2.0, static_cast<double>(std::min(row_, 62U))));
  ++row_;
  const double jitter = std::uniform_real_distribution<double>(0.8, 1.2)(random_);
  return std::chrono::nanoseconds(static_cast<std::int64_t>(std::min(longest, doubled * jitter)));
}

void backoff::reset() {
  restarts_.clear();
  row_ = 0;
}

}  // namespace rtd::supervisor
