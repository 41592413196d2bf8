// Locks and counters that park the green thread, never the kernel thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "rt/go.h"

namespace rt {

namespace detail {

struct waiter;

/// First come, first served list of parked green threads, with a small lock of its own. Internal to the primitives.
class wait_list {
 public:
  constexpr wait_list() noexcept = default;
  wait_list(const wait_list&) = delete;
  wait_list& operator=(const wait_list&) = delete;

 private:
  friend struct wait_list_access;
  std::atomic<std::uint32_t> lock_{0};
  waiter* first_ = nullptr;
  waiter* last_ = nullptr;
};

}  // namespace detail

/// Mutual exclusion between green threads. Not recursive. Meets the standard's TimedLockable-like needs (lock,
/// try_lock, unlock), so std::unique_lock and std::scoped_lock work with it.
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
  /// Takes the mutex if it is free. Never blocks.
  bool try_lock() noexcept;
  /// As lock, up to `length` from now: true if locked.
  bool try_lock_for(std::chrono::nanoseconds length);
  /// Gives the mutex up. Unlocking a mutex that nobody has locked ends the process with a report.
  void unlock() noexcept {
    std::uint32_t locked = 1;
    if (!state_.compare_exchange_strong(locked, 0, std::memory_order_release)) unlock_slow(locked);  // pairs with lock
  }

 private:
  bool lock_slow(std::int64_t deadline);
  void unlock_slow(std::uint32_t state) noexcept;

  std::atomic<std::uint32_t> state_{0};
};

/// Waiting for a change of data that a mutex protects. May be destroyed as soon as all that wait have been notified, as
/// std::condition_variable may.
class condition {
 public:
  constexpr condition() noexcept = default;
  condition(const condition&) = delete;
  condition& operator=(const condition&) = delete;

  /// Unlocks `lock`, waits for a notification, locks again. Lock is rt::mutex or std::unique_lock<rt::mutex>. Wakes
  /// only when notified (no spurious wake-ups), but check the condition in a loop: another green thread may have been
  /// faster. Throws rt::cancelled, with the lock held again.
  template <class Lock>
  void wait(Lock& lock) {
    wait_until_deadline(lock, INT64_MAX);
  }
  /// Waits until `predicate()` holds.
  template <class Lock, class Predicate>
    requires std::is_invocable_r_v<bool, Predicate>
  void wait(Lock& lock, Predicate predicate) {
    while (!predicate()) wait(lock);
  }
  /// As wait, up to `length` from now: false if no notification came in time.
  template <class Lock>
  bool wait_for(Lock& lock, std::chrono::nanoseconds length) {
    return wait_until_deadline(lock, deadline_in(length));
  }
  /// Wakes the green thread that has waited longest. Any thread may call it. Never blocks.
  void notify_one() noexcept;
  /// Wakes all that wait. Any thread may call it. Never blocks.
  void notify_all() noexcept;

 private:
  static std::int64_t deadline_in(std::chrono::nanoseconds length) noexcept;
  void enlist(void* node) noexcept;
  bool await(void* node, std::int64_t deadline) noexcept;  // true: notified, false: timed out or cancelled
  static void throw_if_cancelled();

  template <class Lock>
  bool wait_until_deadline(Lock& lock, std::int64_t deadline) {
    alignas(std::max_align_t) unsigned char node[64];
    enlist(node);
    lock.unlock();
    bool notified = await(node, deadline);
    {
      cancellation_shield shield;  // the caller's lock is always held again, cancelled or not
      lock.lock();
    }
    if (!notified) throw_if_cancelled();
    return notified;
  }

  detail::wait_list waiters_;
};

/// Waits for a number of things to be done.
class wait_group {
 public:
  constexpr wait_group() noexcept = default;
  wait_group(const wait_group&) = delete;
  wait_group& operator=(const wait_group&) = delete;

  /// Adds `count` (which may be negative) to the counter; at zero all waiters go on. A negative counter ends the
  /// process with a report. Any thread may call it. Never blocks.
  void add(std::int64_t count = 1) noexcept;
  /// add(-1).
  void done() noexcept { add(-1); }
  /// Blocks until the counter is zero; returns at once when it is. Throws rt::cancelled.
  void wait();
  /// As wait, up to `length` from now: false if the counter was not zero in time.
  bool wait_for(std::chrono::nanoseconds length);
  /// add(1), and `function(arguments...)` on a new green thread with done() at its end, however it ends. The wait group
  /// must outlive the green thread.
  template <class Function, class... Arguments>
  void go(Function&& function, Arguments&&... arguments) {
    add(1);
    try {
      rt::go([this, function = std::decay_t<Function>(std::forward<Function>(function)),
              arguments = std::tuple<std::decay_t<Arguments>...>(std::forward<Arguments>(arguments)...)]() mutable {
        struct done_at_end {
          wait_group* group;
          ~done_at_end() { group->done(); }
        } at_end{this};
        std::apply(std::move(function), std::move(arguments));
      });
    } catch (...) {
      done();
      throw;
    }
  }

 private:
  bool wait_until_deadline(std::int64_t deadline);

  std::atomic<std::int64_t> count_{0};
  detail::wait_list waiters_;
};

}  // namespace rt
