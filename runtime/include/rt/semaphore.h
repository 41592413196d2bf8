// A number of units that green threads take and give back.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace rt {

class context;
namespace detail {
class claimed_waiters;
}

/// A weighted semaphore: `size` units, of which callers take any number at once. First come, first served: while
/// somebody waits, newcomers queue behind, so a request for many units is not starved by those for few.
///
/// Blocking members must be called on a green thread and throw rt::cancelled (with nothing taken). May be destroyed
/// right after the last user's release.
class semaphore {
 public:
  /// @throws rt::usage_error when `size` is not within [0, 2^61].
  explicit semaphore(std::int64_t size);
  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;

  /// Takes `units`, waiting until they are there. Zero units wait for their turn and take nothing.
  /// @throws rt::usage_error when it is negative or more than the size, which could never be had.
  void acquire(std::int64_t units = 1);
  /// As acquire, until `within` ends. @throws rt::context_error then, also when it has ended before.
  void acquire(const context& within, std::int64_t units = 1);
  /// Takes them if they are there and nobody waits. Never blocks. @throws rt::usage_error as acquire
  bool try_acquire(std::int64_t units = 1);
  /// As acquire, up to `length` from now, or `deadline` (steady clock): true if taken.
  bool try_acquire_for(std::chrono::nanoseconds length, std::int64_t units = 1);
  bool try_acquire_until(std::chrono::steady_clock::time_point deadline, std::int64_t units = 1);
  /// Gives `units` back. More than are taken, or a negative number, is an rt::usage_error, which fails the task;
  /// nothing is given back then. Any thread may call it. Never blocks.
  void release(std::int64_t units = 1) noexcept;

  /// Units that are not taken at this moment.
  std::int64_t available() const noexcept { return size_ - state_.load(std::memory_order_relaxed) / one_unit; }
  std::int64_t size() const noexcept { return size_; }

 private:
  static constexpr std::int64_t waited_for = 1;  // somebody stands in the queue
  static constexpr std::int64_t one_unit = 2;    // the number of units taken has the bits above

  void check(std::int64_t units) const;
  bool take(std::int64_t units) noexcept;
  bool wait_for_units(std::int64_t units, std::int64_t deadline);
  void settle(std::int64_t taken, detail::claimed_waiters& served) noexcept;

  std::atomic<std::int64_t> state_{0};
  const std::int64_t size_;
};

}  // namespace rt
