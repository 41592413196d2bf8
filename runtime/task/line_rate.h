// How many lines a task may log: so many a second on average, and so many at once.
//
// A bucket of tokens, kept as one number: the time at which the bucket will be full again (the generic cell rate
// algorithm of ATM, ITU-T I.371). Each line moves that time on by the interval between two lines; a line that would
// move it further into the future than a whole bucket is one too many. So a writer costs one exchange, whatever the
// number of writers, and nobody ever waits.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace rt::detail {

class line_rate {
 public:
  /// `per_second` lines on average and at most `burst` at once; 0: without limit. Any thread, at any time.
  void set(std::uint64_t per_second, std::uint64_t burst) noexcept {
    constexpr std::int64_t second = 1'000'000'000;
    const std::int64_t interval =
        per_second == 0 ? 0 : std::max<std::int64_t>(second / static_cast<std::int64_t>(per_second), 1);
    per_second_.store(per_second, std::memory_order_relaxed);
    burst_.store(std::max<std::uint64_t>(burst, 1), std::memory_order_relaxed);
    interval_.store(interval, std::memory_order_relaxed);
  }
  std::uint64_t per_second() const noexcept { return per_second_.load(std::memory_order_relaxed); }
  std::uint64_t burst() const noexcept { return burst_.load(std::memory_order_relaxed); }

  /// Whether a line may be written at `now` (steady clock, ns), which then counts. Any thread.
  bool admit(std::int64_t now) noexcept {
    const std::int64_t interval = interval_.load(std::memory_order_relaxed);
    if (interval == 0) return true;
    const auto burst = static_cast<std::int64_t>(burst_.load(std::memory_order_relaxed));
    std::int64_t full_at = full_at_.load(std::memory_order_relaxed);
    while (true) {
      const std::int64_t next = std::max(full_at, now) + interval;
      if (next - now > burst * interval) return false;
      // Relaxed: nothing but the number itself is shared.
      if (full_at_.compare_exchange_weak(full_at, next, std::memory_order_relaxed)) return true;
    }
  }

 private:
  std::atomic<std::int64_t> interval_{0};  // ns between two lines; 0: there is no limit
  std::atomic<std::uint64_t> per_second_{0};
  std::atomic<std::uint64_t> burst_{1};
  std::atomic<std::int64_t> full_at_{0};
};

}  // namespace rt::detail
