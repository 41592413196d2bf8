// Many readers or one writer.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace rt {

class context;
namespace detail {
class claimed_waiters;
}

/// Any number of readers (lock_shared) or one writer (lock). Meets the standard's SharedTimedMutex, so
/// std::shared_lock, std::unique_lock and std::scoped_lock work with it.
///
/// Fair: once somebody waits, newcomers queue behind. A writer that waits holds new readers back, and when a writer
/// leaves for a reader, all readers that wait go in together; so a reader waits for one writer at most and a writer
/// for one batch of readers and the writers before it. Hence a green thread that reads must not lock for reading again:
/// a writer between the two would block both for ever.
///
/// Without waiters each call is one atomic instruction. May be destroyed right after the last user's unlock.
class shared_mutex {
 public:
  constexpr shared_mutex() noexcept = default;
  shared_mutex(const shared_mutex&) = delete;
  shared_mutex& operator=(const shared_mutex&) = delete;

  /// Blocks until the caller is the only one. Must be called on a green thread. Throws rt::cancelled (not locked then).
  void lock() {
    std::uint64_t free = 0;
    if (!state_.compare_exchange_strong(free, is_written, std::memory_order_acquire)) {  // pairs with the unlocks
      wait_for_lock(true, INT64_MAX);
    }
  }
  /// As lock, until `within` ends. @throws rt::context_error then, also when it has ended before.
  void lock(const context& within);
  /// Locks for writing if nobody is inside. Never blocks.
  bool try_lock() noexcept {
    std::uint64_t free = 0;
    return state_.compare_exchange_strong(free, is_written, std::memory_order_acquire);  // pairs with the unlocks
  }
  /// As lock, up to `length` from now, or `deadline` (steady clock): true if locked.
  bool try_lock_for(std::chrono::nanoseconds length);
  bool try_lock_until(std::chrono::steady_clock::time_point deadline);
  /// Ends the writing. Without a writer it is an rt::usage_error, which fails the task.
  void unlock() noexcept;

  /// Blocks until no writer is inside or waits. Must be called on a green thread. Throws rt::cancelled (not locked
  /// then).
  void lock_shared() {
    if (!try_lock_shared()) wait_for_lock(false, INT64_MAX);
  }
  /// As lock_shared, until `within` ends. @throws rt::context_error then, also when it has ended before.
  void lock_shared(const context& within);
  /// Locks for reading if no writer is inside or waits. Never blocks.
  bool try_lock_shared() noexcept {
    std::uint64_t state = state_.load(std::memory_order_relaxed);
    while ((state & (is_written | waited_for)) == 0) {
      if (state_.compare_exchange_weak(state, state + one_reader, std::memory_order_acquire)) return true;  // as above
    }
    return false;
  }
  /// As lock_shared, up to `length` from now, or `deadline` (steady clock): true if locked.
  bool try_lock_shared_for(std::chrono::nanoseconds length);
  bool try_lock_shared_until(std::chrono::steady_clock::time_point deadline);
  /// Ends the reading. Without a reader it is an rt::usage_error, which fails the task.
  void unlock_shared() noexcept;

 private:
  static constexpr std::uint64_t is_written = 1;
  static constexpr std::uint64_t waited_for = 2;  // somebody stands in the queue
  static constexpr std::uint64_t one_reader = 4;  // the number of readers has the bits above

  bool wait_for_lock(bool writing, std::int64_t deadline);
  bool enter(bool writing) noexcept;
  void settle(std::uint64_t inside, detail::claimed_waiters& admitted) noexcept;

  std::atomic<std::uint64_t> state_{0};
};

}  // namespace rt
