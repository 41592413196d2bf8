// A token bucket.
#pragma once

#include <algorithm>
#include <chrono>

namespace rtd::supervisor {

class rate_limit {
 public:
  using clock = std::chrono::steady_clock;

  /// Allows `per_second` units a second on average and `burst` at once.
  rate_limit(double per_second, double burst) : per_second_(per_second), burst_(burst), tokens_(burst) {}

  /// Takes `units` if they are there.
  bool take(double units, clock::time_point now) {
    refill(now);
    if (tokens_ < units) return false;
    tokens_ -= units;
    return true;
  }

  /// Takes `units` in any case, going into debt; returns how long to wait until the debt is paid (0: none).
  std::chrono::nanoseconds take_with_debt(double units, clock::time_point now) {
    refill(now);
    tokens_ -= units;
    if (tokens_ >= 0) return std::chrono::nanoseconds(0);
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(-tokens_ / per_second_));
  }

 private:
  void refill(clock::time_point now) {
    if (last_ != clock::time_point{})
      tokens_ = std::min(burst_, tokens_ + std::chrono::duration<double>(now - last_).count() * per_second_);
    last_ = now;
  }

  double per_second_;
  double burst_;
  double tokens_;
  clock::time_point last_{};
};

}  // namespace rtd::supervisor
