// Waiting for a change of data that a mutex protects.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "rt/go.h"
#include "rt/wait_list.h"

namespace rt {

class context;

/// Waiting for a change of data that a mutex protects. May be destroyed as soon as all that wait have been notified, as
/// std::condition_variable may.
///
/// Lock is rt::mutex, rt::shared_mutex, or a std::unique_lock of one. All waits unlock `lock`, wait for a notification
/// and lock again. They end only when notified (no spurious wake-ups), but check the condition in a loop: another green
/// thread may have been faster. They throw rt::cancelled, with the lock held again.
class condition {
 public:
  constexpr condition() noexcept = default;
  condition(const condition&) = delete;
  condition& operator=(const condition&) = delete;

  /// Waits for a notification.
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
  /// As wait, up to `deadline` (steady clock): false if no notification came in time.
  template <class Lock>
  bool wait_until(Lock& lock, std::chrono::steady_clock::time_point deadline) {
    return wait_until_deadline(lock, deadline_at(deadline));
  }
  /// Waits until `predicate()` holds, up to `deadline`. Returns what it says in the end.
  template <class Lock, class Predicate>
    requires std::is_invocable_r_v<bool, Predicate>
  bool wait_until(Lock& lock, std::chrono::steady_clock::time_point deadline, Predicate predicate) {
    while (!predicate()) {
      if (!wait_until(lock, deadline)) return predicate();
    }
    return true;
  }
  /// As wait, until `within` ends. @throws rt::context_error then, with the lock held again.
  template <class Lock>
  void wait(const context& within, Lock& lock);
  /// Waits until `predicate()` holds or `within` ends. @throws rt::context_error
  template <class Lock, class Predicate>
    requires std::is_invocable_r_v<bool, Predicate>
  void wait(const context& within, Lock& lock, Predicate predicate);

  /// Wakes the green thread that has waited longest. Any thread may call it. Never blocks.
  void notify_one() noexcept;
  /// Wakes all that wait. Any thread may call it. Never blocks.
  void notify_all() noexcept;

 private:
  static std::int64_t deadline_in(std::chrono::nanoseconds length) noexcept;
  static std::int64_t deadline_at(std::chrono::steady_clock::time_point when) noexcept;
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

}  // namespace rt
