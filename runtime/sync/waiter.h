// A green thread in a list of those who wait; it stands on the waiting green thread's own stack.
//
// Whoever wakes it takes it out of the list under the list's lock and sets `outcome` last; afterwards only the copied
// pointer of its owner is used, since the owner may have seen the outcome (any stale token wakes it) and have left the
// frame in which the waiter stands.
//
// The race by name: *told and gone*. A channel or a condition may be destroyed by either side as soon as it knows that
// the other one was served: it lies on a stack, and the other green thread has it by reference. So the teller tells
// when it has left the lock (claim, unlock, tell), and the told one touches nothing of it any more. A waiter that gives
// up must touch it, to leave the list; so claiming and giving up exclude each other by one exchange of `outcome` (for a
// select, of its `chosen`).
//
// A waiter whose green thread is parked needs no such exchange: the one that takes it off its park word, under the
// list's lock, has claimed it and woken it in one instruction. It does not run, so it cannot give up, and it stands in
// no other list. (That is not so for a select, whose other channels have locks of their own.) A token that a timer or a
// canceller leaves meanwhile wakes it once too often, later.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/os/spin_lock.h"
#include "runtime/sched/clock.h"
#include "runtime/sched/coroutine_record.h"
#include "runtime/sched/park.h"
#include "runtime/sync/contention.h"

namespace rt::detail {

/// Shared by the waiters of one select: which case won. The winner is claimed by exchanging `undecided`.
struct select_state {
  static constexpr int undecided = -1;
  static constexpr int gave_up = -2;  // timed out or cancelled
  std::atomic<int> chosen{undecided};
  coroutine_record* coroutine = nullptr;  // who waits, in place of a green thread (sync/coroutine.cpp)
};

enum class wait_outcome : std::uint8_t {
  pending,
  claimed,  // somebody is about to tell
  gave_up,  // timed out or cancelled
  done,
  closed,
};

struct waiter {
  green_thread* owner = nullptr;
  waiter* next = nullptr;
  waiter* previous = nullptr;
  void* element = nullptr;
  select_state* select = nullptr;
  int select_index = 0;
  std::atomic<wait_outcome> outcome{wait_outcome::pending};
  bool queued = false;
  bool taken = false;  // claimed while it was parked: to be made ready, not unparked

  /// Under the list's lock. True when the caller, and nobody else, is to tell it.
  bool claim() noexcept {
    if (select == nullptr && claim_if_parked(*owner)) {
      taken = true;
      return true;
    }
    if (select != nullptr) {
      int undecided = select_state::undecided;
      return select->chosen.compare_exchange_strong(undecided, select_index, std::memory_order_acq_rel);
    }
    wait_outcome is_pending = wait_outcome::pending;
    return outcome.compare_exchange_strong(is_pending, wait_outcome::claimed, std::memory_order_acq_rel);
  }
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
    if (one == nullptr) return nullptr;
    first_ = one->next;
    if (first_ != nullptr) {
      first_->previous = nullptr;
    } else {
      last_ = nullptr;
    }
    one->queued = false;
    return one;
  }
  /// The oldest waiter that is still to be had, for tell(): one that gave up and a select that has chosen another case
  /// are passed over.
  waiter* claim() noexcept {
    while (waiter* one = pop()) {
      if (one->claim()) return one;
    }
    return nullptr;
  }

 private:
  waiter* first_ = nullptr;
  waiter* last_ = nullptr;
};

/// Tells a claimed waiter and wakes it. Not under the list's lock; neither `one` nor the list may be used afterwards.
/// Within a critical section of `self`, the caller's M; null on a thread that is none.
inline void tell_within(worker* self, waiter& one, wait_outcome outcome) noexcept {
  green_thread* owner = one.owner;
  bool taken = one.taken;
  coroutine_record* coroutine = !taken && one.select != nullptr ? one.select->coroutine : nullptr;
  one.outcome.store(outcome, std::memory_order_release);  // pairs with is_told
  if (!taken) {
    if (coroutine != nullptr) {
      unpark(*coroutine);
    } else {
      unpark(*owner);
    }
  } else if (self != nullptr) {
    make_ready_within(*self, *owner);
  } else {
    make_ready(*owner);
  }
}
/// The same where the caller stands in no critical section.
inline void tell(waiter& one, wait_outcome outcome) noexcept { tell_within(nullptr, one, outcome); }

/// Claimed waiters, to be told one after the other when the list's lock has been given up.
class claimed_waiters {
 public:
  void add(waiter& one) noexcept {
    one.next = nullptr;
    *last_ = &one;
    last_ = &one.next;
  }
  void tell_all(wait_outcome outcome) noexcept { tell_all_within(nullptr, outcome); }
  /// As tell_within.
  void tell_all_within(worker* self, wait_outcome outcome) noexcept {
    while (first_ != nullptr) {
      waiter& one = *first_;
      first_ = one.next;
      tell_within(self, one, outcome);
    }
  }

 private:
  waiter* first_ = nullptr;  // linked by `next`, which a waiter outside of a list does not need
  waiter** last_ = &first_;
};

inline bool is_told(const waiter& one) noexcept {
  return one.outcome.load(std::memory_order_acquire) >= wait_outcome::done;  // pairs with the teller
}

/// Parks the calling green thread until its waiter is told (true), the deadline passes, or it is cancelled (false:
/// nobody claims it any more, and it is the caller's business to take it out of the list).
inline bool await_outcome(waiter& mine, wait_reason reason, std::int64_t deadline) noexcept {
  const std::uint64_t since = begin_block();
  bool told = true;
  while (!is_told(mine)) {
    if (cancellation_pending(*mine.owner) || (deadline != INT64_MAX && runtime_now() >= deadline)) {
      wait_outcome is_pending = wait_outcome::pending;
      told = !mine.outcome.compare_exchange_strong(is_pending, wait_outcome::gave_up, std::memory_order_acq_rel);
      while (told && !is_told(mine)) park(reason);  // the teller is on its way
      break;
    }
    if (deadline == INT64_MAX) {
      park(reason);
    } else {
      park_until(reason, deadline);
    }
  }
  note_block(since);
  return told;
}

/// The same within a critical section that the caller has begun on `self`. Ends it.
inline bool await_outcome_within(worker& self, waiter& mine, wait_reason reason, std::int64_t deadline) noexcept {
  if (deadline != INT64_MAX || cancellation_possible(*mine.owner) || profiles_blocks()) {
    os::leave_critical(self);
  } else {
    park_within(have_proc(self), reason);
    if (is_told(mine)) return true;
  }
  return await_outcome(mine, reason, deadline);
}

}  // namespace rt::detail
