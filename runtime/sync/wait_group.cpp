#include "rt/wait_group.h"

#include "rt/chan.h"
#include "rt/context.h"
#include "runtime/sched/misuse.h"
#include "runtime/sync/chan_core.h"
#include "runtime/sync/wait_list.h"

namespace rt {

using detail::wait_list_access;

// The counter is kept doubled; its lowest bit says that somebody waits. So the add() that reaches zero knows from its
// one atomic operation whether it must touch the list: when it need not, that operation is its last touch, and a waiter
// that finds zero may destroy the wait group at once. While the bit is set, the add() that reaches zero claims all who
// wait under the list's lock and tells them when it has left it: whoever has been told may destroy the wait group.
//
// The races by name. *Zero from within*: the bit outlives a waiter that has run out of time. Who waits anew then may
// see the zero while the add() that made it is still under the lock, and must not destroy the lock: it waits until that
// one has left it (is_done). The lock was taken before the zero was stored, so whoever sees the one sees the other.

namespace {
constexpr std::int64_t somebody_waits = 1;
constexpr std::int64_t one_more = 2;
constexpr std::int64_t most_at_once = std::int64_t{1} << 40;  // far from where the counter would overflow
}  // namespace

void wait_group::add(std::int64_t count) noexcept {
  if (count > most_at_once || count < -most_at_once) {
    detail::report_misuse("rt::wait_group::add: more than 2^40 at once");
    return;
  }
  std::int64_t after = count_.fetch_add(count * one_more, std::memory_order_acq_rel) + count * one_more;
  if (after < 0) [[unlikely]] {
    after = count_.fetch_sub(count * one_more, std::memory_order_acq_rel) - count * one_more;
    detail::report_misuse("rt::wait_group: the counter became negative; call done() once for each add(1)");
  }
  if (after == somebody_waits) wake_waiters();
}

// One critical section for the lock and the wake-ups.
void wait_group::wake_waiters() noexcept {
  detail::worker* self = detail::current_worker();
  if (self != nullptr) os::enter_critical(*self);
  detail::claimed_waiters claimed;
  {
    wait_list_access::guard_inside guard(waiters_);
    // Somebody may have added again, or woken the waiters, before the lock was ours.
    std::int64_t zero_waited_for = somebody_waits;
    if (count_.compare_exchange_strong(zero_waited_for, 0, std::memory_order_acq_rel)) {
      while (detail::waiter* one = wait_list_access::claim(waiters_)) claimed.add(*one);
    }
  }
  claimed.tell_all_within(self, detail::wait_outcome::done);
  if (self != nullptr) os::leave_critical(*self);
}

bool wait_group::is_done() noexcept {
  if (count_.load(std::memory_order_acquire) != 0) return false;  // pairs with add and wake_waiters
  if (wait_list_access::is_guarded(waiters_)) wait_list_access::guard until_it_has_left(waiters_);
  return true;
}

void wait_group::wait() { wait_until_deadline(detail::no_deadline); }

bool wait_group::wait_for(std::chrono::nanoseconds length) {
  return wait_until_deadline(detail::deadline_after(length));
}

bool wait_group::wait_until(std::chrono::steady_clock::time_point deadline) {
  return wait_until_deadline(detail::deadline_at(deadline));
}

void wait_group::wait(const context& within) {
  within.throw_if_ended();
  context_scope obey(within);
  wait();
}

bool wait_group::wait_until_deadline(std::int64_t deadline) {
  if (is_done()) return true;
  detail::green_thread* self = detail::require_green_thread("rt::wait_group::wait");
  detail::throw_if_cancellation_pending(*self);
  detail::waiter mine;
  mine.owner = self;
  detail::worker& here = *detail::current_worker();
  os::enter_first_critical(here);
  std::int64_t count;
  {
    wait_list_access::guard_inside guard(waiters_);
    count = count_.load(std::memory_order_acquire);
    // With the bit set nothing is to be done, even at zero: the add() that reached it is about to take the lock and
    // wakes all it finds.
    while (count != 0 && (count & somebody_waits) == 0) {
      if (count_.compare_exchange_weak(count, count | somebody_waits, std::memory_order_acq_rel)) break;
    }
    if (count != 0) wait_list_access::push(waiters_, mine);
  }
  if (count == 0) {
    os::leave_first_critical(here);
    return true;
  }
  if (await_outcome_within(here, mine, detail::wait_reason::wait_group_wait, deadline)) return true;
  {
    wait_list_access::guard guard(waiters_);
    wait_list_access::remove(waiters_, mine);
    // Nobody waits any more. At zero somebody is about to take the lock, and to look at the bit.
    count = count_.load(std::memory_order_relaxed);
    while (wait_list_access::empty(waiters_) && count > somebody_waits && (count & somebody_waits) != 0) {
      if (count_.compare_exchange_weak(count, count & ~somebody_waits, std::memory_order_acq_rel)) break;
    }
  }
  detail::throw_if_cancellation_pending(*self);
  return false;
}

}  // namespace rt
