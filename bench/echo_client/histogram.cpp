#include "bench/echo_client/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>

namespace bench {

namespace {

constexpr int sub_bits = 6;
constexpr std::uint64_t sub_count = 1U << sub_bits;
constexpr std::size_t bucket_count = (64 - sub_bits + 1) * sub_count;

// Values below sub_count have a bucket each; above, the leading bit chooses a group and the six bits after it a bucket.
std::size_t bucket_of(std::uint64_t value) noexcept {
  if (value < sub_count) return static_cast<std::size_t>(value);
  const int shift = std::bit_width(value) - 1 - sub_bits;
  return static_cast<std::size_t>((static_cast<std::uint64_t>(shift) << sub_bits) + (value >> shift));
}

double middle_of(std::size_t bucket) noexcept {
  if (bucket < sub_count) return static_cast<double>(bucket);
  const int shift = static_cast<int>(bucket >> sub_bits) - 1;
  const std::uint64_t lead = sub_count + (bucket & (sub_count - 1));
  return std::ldexp(static_cast<double>(lead) + 0.5, shift);
}

}  // namespace

histogram::histogram() : buckets_(bucket_count) {}

void histogram::add(std::int64_t nanoseconds) noexcept {
  const std::int64_t value = std::max<std::int64_t>(nanoseconds, 0);
  ++buckets_[bucket_of(static_cast<std::uint64_t>(value))];
  ++count_;
  longest_ = std::max(longest_, value);
}

void histogram::merge(const histogram& other) noexcept {
  for (std::size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  longest_ = std::max(longest_, other.longest_);
}

double histogram::quantile(double share) const noexcept {
  if (count_ == 0) return 0;
  const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen >= std::max<std::uint64_t>(wanted, 1)) return middle_of(i);
  }
  return static_cast<double>(longest_);
}

}  // namespace bench
