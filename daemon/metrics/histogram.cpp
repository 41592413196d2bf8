#include "daemon/metrics/histogram.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace rtd::metrics {

std::uint64_t histogram_data::count() const noexcept {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

histogram::histogram(std::vector<double> bounds) {
  const bool grows = std::adjacent_find(bounds.begin(), bounds.end(), std::greater_equal<>()) == bounds.end();
  if (!grows || !std::all_of(bounds.begin(), bounds.end(), [](double bound) { return std::isfinite(bound); })) {
    throw std::invalid_argument("the bounds of a histogram must be finite and grow");
  }
  data_.counts.assign(bounds.size() + 1, 0);
  data_.bounds = std::move(bounds);
}

void histogram::observe(double value) noexcept {
  if (std::isnan(value)) return;
  const auto bucket = std::lower_bound(data_.bounds.begin(), data_.bounds.end(), value) - data_.bounds.begin();
  ++data_.counts[static_cast<std::size_t>(bucket)];
  data_.sum += value;
}

std::vector<double> latency_bounds() {
  return {1e-6, 4e-6, 1.6e-5, 6.4e-5, 2.5e-4, 1e-3, 4e-3, 1.6e-2, 6.4e-2, 0.25, 1, 4};
}

std::vector<double> duration_bounds() { return {5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300}; }

}  // namespace rtd::metrics
