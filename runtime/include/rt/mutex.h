// Mutual exclusion that parks the green thread, never the kernel thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace rt {

class context;

namespace detail {

/// How the mutexes at addresses that share a place are unlocked (mutex.cpp).
enum class unlocking : std::uint8_t { with_atomics, changing, with_stores };
inline constexpr std::size_t unlocking_places = 1024;
extern std::atomic<unlocking> unlocking_table[unlocking_places];
inline std::atomic<unlocking>& unlocking_of(const void* address) noexcept {
  auto word = reinterpret_cast<std::uintptr_t>(address);
  return unlocking_table[(word >> 4 ^ word >> 14) % unlocking_places];
}
/// Wakes whoever began to wait for the mutex at `address` while it was unlocked; there may be no mutex any more.
void wake_after_unlock(const void* address) noexcept;

}  // namespace detail

/// Mutual exclusion between green threads. Not recursive. Meets the standard's TimedLockable, so std::unique_lock and
/// std::scoped_lock work with it.
///
/// A running green thread may take a free mutex before one that was woken for it; a waiter that has waited for over 1
/// ms is handed the mutex next (as in Go), so nobody starves. unlock() may be called by another green thread than the
/// one that locked. Destroying a locked mutex is an error that is not detected; destroying one right after the last
/// user's lock() and unlock() is safe.
class mutex {
 public:
  constexpr mutex() noexcept = default;
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

  /// Blocks until the mutex is the caller's. Must be called on a green thread. Throws rt::cancelled (not locked then).
  void lock() {
    std::uint32_t free = 0;
    if (!state_.compare_exchange_strong(free, 1, std::memory_order_acquire)) lock_slow(INT64_MAX);  // pairs with unlock
  }
  /// As lock, until `within` ends. @throws rt::context_error then, also when it has ended before.
  void lock(const context& within);
  /// Takes the mutex if it is free. Never blocks.
  bool try_lock() noexcept;
  /// As lock, up to `length` from now: true if locked.
  bool try_lock_for(std::chrono::nanoseconds length);
  /// As lock, up to `deadline` (steady clock): true if locked.
  bool try_lock_until(std::chrono::steady_clock::time_point deadline);
  /// Gives the mutex up. Unlocking a mutex that nobody has locked is an rt::usage_error, which fails the task.
  void unlock() noexcept {
    std::atomic<detail::unlocking>& way = detail::unlocking_of(this);
    if (way.load(std::memory_order_relaxed) == detail::unlocking::with_stores &&
        state_.load(std::memory_order_relaxed) == 1) {
      state_.store(0, std::memory_order_release);  // pairs with lock
      // For the compiler; what the processor may reorder is dealt with in mutex.cpp. The mutex may be gone by now.
      std::atomic_signal_fence(std::memory_order_seq_cst);
      if (way.load(std::memory_order_relaxed) != detail::unlocking::with_stores) [[unlikely]]
        detail::wake_after_unlock(this);
      return;
    }
    std::uint32_t locked = 1;
    if (!state_.compare_exchange_strong(locked, 0, std::memory_order_release)) unlock_slow(locked);  // pairs with lock
  }

 private:
  friend void detail::wake_after_unlock(const void*) noexcept;

  bool lock_slow(std::int64_t deadline);
  void unlock_slow(std::uint32_t state) noexcept;

  std::atomic<std::uint32_t> state_{0};
};

}  // namespace rt
