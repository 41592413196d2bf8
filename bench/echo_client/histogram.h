// A histogram of durations with a relative error below one percent, in constant memory and a few nanoseconds a value.
#pragma once

#include <cstdint>
#include <vector>

namespace bench {

/// Counts nanoseconds in buckets: 64 to each power of two, so a bucket is at most 1/64 of its value wide.
class histogram {
 public:
  histogram();
  /// Counts one duration; a negative one counts as zero.
  void add(std::int64_t nanoseconds) noexcept;
  /// Adds all that another one has counted.
  void merge(const histogram& other) noexcept;
  /// Durations counted.
  std::uint64_t count() const noexcept { return count_; }
  /// The middle of the bucket in which the given share (0 to 1) of the durations is reached; 0 when there are none.
  double quantile(double share) const noexcept;
  /// The longest duration.
  std::int64_t longest() const noexcept { return longest_; }

 private:
  std::vector<std::uint64_t> buckets_;
  std::uint64_t count_ = 0;
  std::int64_t longest_ = 0;
};

}  // namespace bench
