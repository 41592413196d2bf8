// Histograms with fixed buckets for the supervisor's own figures.
#pragma once

#include <cstdint>
#include <vector>

namespace rtd::metrics {

/// What a histogram has counted.
struct histogram_data {
  std::vector<double> bounds;         ///< upper bounds, growing, without +Inf
  std::vector<std::uint64_t> counts;  ///< of each bucket alone, one more than bounds: the last is what exceeds them all
  double sum = 0;

  /// Number of observations.
  std::uint64_t count() const noexcept;
};

/// Counts observations. Not thread-safe: it belongs to the supervisor's loop.
class histogram {
 public:
  /// @throws std::invalid_argument when bounds are not finite and strictly growing.
  explicit histogram(std::vector<double> bounds);
  /// Counts a value. A value that is not a number is ignored.
  void observe(double value) noexcept;
  const histogram_data& data() const noexcept { return data_; }

 private:
  histogram_data data_;
};

/// 1 us to 4 s in 12 steps: loop lag, collection, requests.
std::vector<double> latency_bounds();
/// 5 ms to 300 s in 14 steps: starts of sandboxes.
std::vector<double> duration_bounds();

}  // namespace rtd::metrics
