// The inside of rt::detail::wait_list, which the public primitives carry: a lock word and a queue of waiters.
//
// Either the waker claims under the lock and tells outside of it (waiter.h), or it wakes under the lock, and whoever
// has been woken passes the lock before it returns to its caller, which may destroy the primitive.
#pragma once

#include "rt/sync.h"
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

  // All of these want the guard held.
  static bool empty(const wait_list& list) noexcept { return list.first_ == nullptr; }
  static void push(wait_list& list, waiter& one) noexcept {
    waiter_queue queue = load(list);
    queue.push(one);
    store(list, queue);
  }
  static waiter* pop(wait_list& list) noexcept {
    waiter_queue queue = load(list);
    waiter* one = queue.pop();
    store(list, queue);
    return one;
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

  /// Wakes one that was popped, under the guard. Nothing of `one` may be used afterwards.
  static void wake(waiter& one) noexcept {
    green_thread* owner = one.owner;
    one.outcome.store(wait_outcome::done, std::memory_order_release);  // pairs with await_outcome
    unpark(*owner);
  }

 private:
  static waiter_queue load(const wait_list& list) noexcept { return waiter_queue(list.first_, list.last_); }
  static void store(wait_list& list, const waiter_queue& queue) noexcept {
    list.first_ = queue.front();
    list.last_ = queue.back();
  }
};

}  // namespace rt::detail
