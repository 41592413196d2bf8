// The inside of rt::detail::wait_list, which the public primitives carry: a lock word and a queue of waiters.
//
// The waker claims under the lock and tells outside of it (waiter.h): whoever has been told may destroy the primitive.
#pragma once

#include "rt/wait_list.h"
#include "runtime/sync/waiter.h"

namespace rt::detail {

struct wait_list_access {
  class guard {
   public:
    explicit guard(wait_list& list) noexcept : list_(list) { os::lock_word(list_.lock_); }
    ~guard() { os::unlock_word(list_.lock_); }
    guard(const guard&) = delete;
    guard& operator=(const guard&) = delete;

   private:
    wait_list& list_;
  };

  /// Within a critical section that the caller has begun (os/spin_lock.h).
  class guard_inside {
   public:
    explicit guard_inside(wait_list& list) noexcept : list_(list) { os::lock_word_inside(list_.lock_); }
    ~guard_inside() { os::unlock_word_inside(list_.lock_); }
    guard_inside(const guard_inside&) = delete;
    guard_inside& operator=(const guard_inside&) = delete;

   private:
    wait_list& list_;
  };

  /// Whether somebody holds the guard at this moment. Acquire: pairs with the end of the guard.
  static bool is_guarded(const wait_list& list) noexcept { return list.lock_.load(std::memory_order_acquire) != 0; }

  // All of these want the guard held.
  static bool empty(const wait_list& list) noexcept { return list.first_ == nullptr; }
  static void push(wait_list& list, waiter& one) noexcept {
    waiter_queue queue = load(list);
    queue.push(one);
    store(list, queue);
  }
  /// As waiter_queue::claim.
  static waiter* claim(wait_list& list) noexcept {
    waiter_queue queue = load(list);
    waiter* one = queue.claim();
    store(list, queue);
    return one;
  }
  /// False when it is no longer in the list: somebody has woken it.
  static bool remove(wait_list& list, waiter& one) noexcept {
    if (!one.queued) return false;
    waiter_queue queue = load(list);
    queue.remove(one);
    store(list, queue);
    return true;
  }

 private:
  static waiter_queue load(const wait_list& list) noexcept { return waiter_queue(list.first_, list.last_); }
  static void store(wait_list& list, const waiter_queue& queue) noexcept {
    list.first_ = queue.front();
    list.last_ = queue.back();
  }
};

}  // namespace rt::detail
