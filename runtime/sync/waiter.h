// A green thread in a list of those who wait; it stands on the waiting green thread's own stack.
//
// Whoever wakes it takes it out of the list and sets `outcome` last, both under the list's lock; afterwards only the
// copied pointer of its owner is used, since the owner may have seen the outcome (any stale token wakes it) and have
// left the frame in which the waiter stands.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/os/clock.h"
#include "runtime/os/spin_lock.h"
#include "runtime/sched/park.h"

namespace rt::detail {

/// Shared by the waiters of one select: which case won. The winner is claimed by exchanging `undecided`.
struct select_state {
  static constexpr int undecided = -1;
  static constexpr int gave_up = -2;  // timed out or cancelled
  std::atomic<int> chosen{undecided};
};

enum class wait_outcome : std::uint8_t { pending, done, closed };

struct waiter {
  green_thread* owner = nullptr;
  waiter* next = nullptr;
  waiter* previous = nullptr;
  void* element = nullptr;
  select_state* select = nullptr;
  int select_index = 0;
  std::atomic<wait_outcome> outcome{wait_outcome::pending};
  bool queued = false;
};
static_assert(sizeof(waiter) <= 64, "rt::condition reserves 64 bytes for it");

/// A list of waiters, oldest first. Its owner's lock guards it.
class waiter_queue {
 public:
  waiter_queue() = default;
  waiter_queue(waiter* first, waiter* last) noexcept : first_(first), last_(last) {}

  bool empty() const noexcept { return first_ == nullptr; }
  waiter* front() const noexcept { return first_; }
  waiter* back() const noexcept { return last_; }
  void push(waiter& one) noexcept {
    one.previous = last_;
    one.next = nullptr;
    one.queued = true;
    if (last_ != nullptr) {
      last_->next = &one;
    } else {
      first_ = &one;
    }
    last_ = &one;
  }
  void push_front(waiter& one) noexcept {
    one.previous = nullptr;
    one.next = first_;
    one.queued = true;
    if (first_ != nullptr) {
      first_->previous = &one;
    } else {
      last_ = &one;
    }
    first_ = &one;
  }
  void remove(waiter& one) noexcept {
    if (!one.queued) return;
    if (one.previous != nullptr) {
      one.previous->next = one.next;
    } else {
      first_ = one.next;
    }
    if (one.next != nullptr) {
      one.next->previous = one.previous;
    } else {
      last_ = one.previous;
    }
    one.queued = false;
  }
  waiter* pop() noexcept {
    waiter* one = first_;
    if (one != nullptr) remove(*one);
    return one;
  }
  /// The oldest waiter that is still to be had: a select that has chosen another case is passed over.
  waiter* claim() noexcept {
    while (waiter* one = pop()) {
      if (one->select == nullptr) return one;
      int undecided = select_state::undecided;
      if (one->select->chosen.compare_exchange_strong(undecided, one->select_index, std::memory_order_acq_rel))
        return one;
    }
    return nullptr;
  }

 private:
  waiter* first_ = nullptr;
  waiter* last_ = nullptr;
};

/// Parks the calling green thread until its waiter's outcome is set, the deadline passes, or it is cancelled. True when
/// the outcome is set.
inline bool await_outcome(waiter& mine, wait_reason reason, std::int64_t deadline) noexcept {
  while (true) {
    if (mine.outcome.load(std::memory_order_acquire) != wait_outcome::pending) return true;  // pairs with the waker
    if (cancellation_pending(*mine.owner)) return false;
    if (deadline != INT64_MAX && os::nanotime() >= deadline) return false;
    park_until(reason, deadline);
  }
}

}  // namespace rt::detail
