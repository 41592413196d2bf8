// The metrics of one task: families by name, series by labels.
//
// Updates go to the cells alone, with relaxed atomics. The lock is taken to find or make a series and to list them;
// nothing under it parks, so that the page is built whatever the green threads do.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "rt/metrics.h"
#include "runtime/os/spin_lock.h"

namespace rt::detail {

enum class metric_type : std::uint8_t { counter, gauge, histogram };
const char* to_text(metric_type type) noexcept;

/// The memory of one series.
struct metric_cell {
  explicit metric_cell(std::vector<double> upper_bounds);

  /// Adds `amount` to `target`, atomically.
  static void add(std::atomic<double>& target, double amount) noexcept;

  std::atomic<double> value{0};  // counter, gauge; of a histogram the sum
  const std::vector<double> bounds;
  const std::unique_ptr<std::atomic<std::uint64_t>[]> buckets;  // one for each bound, and the overflow
};

struct metric_series {
  metric_labels labels;  // sorted by name
  std::shared_ptr<metric_cell> cell;
};

struct metric_family {
  std::string name;
  std::string help;
  metric_type type = metric_type::gauge;
  std::vector<std::shared_ptr<const metric_series>> series;
};

class metric_registry {
 public:
  static constexpr std::size_t most_series = 1000;
  static constexpr std::size_t most_buckets = 64;
  static constexpr std::size_t most_labels = 16;
  static constexpr std::size_t most_name_bytes = 128;
  static constexpr std::size_t most_value_bytes = 256;
  static constexpr std::size_t most_help_bytes = 1024;

  metric_registry() = default;
  metric_registry(const metric_registry&) = delete;
  metric_registry& operator=(const metric_registry&) = delete;

  /// The cell of the series, made at the first call. Never parks. Any thread. @throws std::invalid_argument as
  /// rt::task::counter says, with a message that names the metric and what is wrong.
  std::shared_ptr<metric_cell> cell(metric_type type, std::string_view name, std::string_view help,
                                    std::vector<double> bounds, metric_labels labels);

  /// All families by name, each with its series by labels. Any thread.
  std::vector<metric_family> families() const;

 private:
  using series_pointer = std::shared_ptr<const metric_series>;
  struct by_labels {
    using is_transparent = void;
    bool operator()(const series_pointer& a, const series_pointer& b) const { return a->labels < b->labels; }
    bool operator()(const series_pointer& a, const metric_labels& b) const { return a->labels < b; }
    bool operator()(const metric_labels& a, const series_pointer& b) const { return a < b->labels; }
  };
  struct family {
    metric_type type;
    std::string help;
    std::vector<double> bounds;
    std::set<series_pointer, by_labels> series;
  };

  mutable os::spin_lock lock_{os::lock_rank::none};
  std::map<std::string, family, std::less<>> families_;
  std::size_t series_count_ = 0;
};

}  // namespace rt::detail
