#include "rt/chan.h"
#include "rt/sync.h"
#include "runtime/os/fatal.h"
#include "runtime/sync/chan_core.h"
#include "runtime/sync/wait_list.h"

namespace rt {

using detail::wait_list_access;

// The counter is kept doubled; its lowest bit says that somebody waits. So the add() that reaches zero knows from its
// one atomic operation whether it must touch the list: when it need not, that operation is its last touch, and a waiter
// that finds zero may destroy the wait group at once. While the bit is set nobody returns without passing the list's
// lock.

namespace {
constexpr std::int64_t somebody_waits = 1;
constexpr std::int64_t one_more = 2;
}  // namespace

void wait_group::add(std::int64_t count) noexcept {
  std::int64_t after = count_.fetch_add(count * one_more, std::memory_order_acq_rel) + count * one_more;
  if (after < 0) os::fatal("rt::wait_group: the counter became negative");
  if (after != somebody_waits) return;
  wait_list_access::guard guard(waiters_);
  // Somebody may have added again, or woken the waiters, before the lock was ours.
  std::int64_t zero_waited_for = somebody_waits;
  if (!count_.compare_exchange_strong(zero_waited_for, 0, std::memory_order_acq_rel)) return;
  while (detail::waiter* one = wait_list_access::pop(waiters_)) wait_list_access::wake(*one);
}

void wait_group::wait() { wait_until_deadline(detail::no_deadline); }

bool wait_group::wait_for(std::chrono::nanoseconds length) {
  return wait_until_deadline(detail::deadline_after(length));
}

bool wait_group::wait_until_deadline(std::int64_t deadline) {
  if (count_.load(std::memory_order_acquire) == 0) return true;  // pairs with add
  detail::green_thread* self = detail::require_green_thread("rt::wait_group::wait");
  detail::throw_if_cancellation_pending(*self);
  detail::waiter mine;
  mine.owner = self;
  {
    wait_list_access::guard guard(waiters_);
    std::int64_t count = count_.load(std::memory_order_acquire);
    while (true) {
      if (count == 0) return true;
      // With the bit set nothing is to be done, even at zero: the add() that reached it is about to take the lock and
      // wakes all it finds.
      if ((count & somebody_waits) != 0) break;
      if (count_.compare_exchange_weak(count, count | somebody_waits, std::memory_order_acq_rel)) break;
    }
    wait_list_access::push(waiters_, mine);
  }
  bool woken = await_outcome(mine, detail::wait_reason::wait_group_wait, deadline);
  {
    wait_list_access::guard guard(waiters_);
    if (!woken) woken = !wait_list_access::remove(waiters_, mine);
  }
  if (!woken) detail::throw_if_cancellation_pending(*self);
  return woken;
}

}  // namespace rt
