// The semaphore: a word with the units taken and "somebody waits", and the table of waiters.
//
// Invariants, under the bucket's lock: the bit is set exactly as long as a waiter of this semaphore stands in the
// queue; what the first waiter wants is not there. So whoever gives units back, or gives up as the first, serves those
// behind as far as the units go, in their order and never past one that does not fit.
#include "rt/semaphore.h"

#include <string>

#include "rt/chan.h"
#include "rt/context.h"
#include "rt/usage_error.h"
#include "runtime/sched/misuse.h"
#include "runtime/sync/wait_table.h"

namespace rt {

using detail::table_waiter;
using detail::wait_bucket;
using detail::wait_bucket_of;

// The units taken, doubled, stay within 64 bits.
static constexpr std::int64_t largest_size = std::int64_t{1} << 61;

semaphore::semaphore(std::int64_t size) : size_(size) {
  if (size < 0 || size > largest_size) {
    throw usage_error("rt::semaphore: a size of " + std::to_string(size) + "; give 0 to 2^61");
  }
}

void semaphore::check(std::int64_t units) const {
  if (units >= 0 && units <= size_) return;
  throw usage_error("rt::semaphore::acquire: " + std::to_string(units) + " units of a semaphore of size " +
                    std::to_string(size_) + "; ask for 0 to " + std::to_string(size_));
}

bool semaphore::take(std::int64_t units) noexcept {
  std::int64_t state = state_.load(std::memory_order_relaxed);
  while ((state & waited_for) == 0 && state / one_unit + units <= size_) {
    if (state_.compare_exchange_weak(state, state + units * one_unit, std::memory_order_acquire))
      return true;  // release
  }
  return false;
}

bool semaphore::try_acquire(std::int64_t units) {
  check(units);
  return take(units);
}

void semaphore::acquire(std::int64_t units) {
  check(units);
  if (!take(units)) wait_for_units(units, detail::no_deadline);
}

void semaphore::acquire(const context& within, std::int64_t units) {
  check(units);
  within.throw_if_ended();
  if (take(units)) return;
  context_scope obey(within);
  wait_for_units(units, detail::no_deadline);
}

bool semaphore::try_acquire_for(std::chrono::nanoseconds length, std::int64_t units) {
  check(units);
  return take(units) || wait_for_units(units, detail::deadline_after(length));
}

bool semaphore::try_acquire_until(std::chrono::steady_clock::time_point deadline, std::int64_t units) {
  check(units);
  return take(units) || wait_for_units(units, detail::deadline_at(deadline));
}

// Under the bucket's lock, when somebody waits, so that nobody else changes the word: serves those for whom the units
// are there, and stores the word, which is the last touch of the semaphore.
void semaphore::settle(std::int64_t taken, detail::claimed_waiters& served) noexcept {
  wait_bucket& bucket = wait_bucket_of(this);
  table_waiter* first = bucket.first(this);
  for (; first != nullptr && first->number <= size_ - taken; first = bucket.first(this)) {
    bucket.remove(*first);
    if (!first->claim()) continue;  // it gives up
    taken += first->number;
    served.add(*first);
  }
  state_.store(taken * one_unit | (first != nullptr ? waited_for : 0), std::memory_order_release);  // pairs with take
}

bool semaphore::wait_for_units(std::int64_t units, std::int64_t deadline) {
  detail::green_thread* self = detail::require_green_thread("rt::semaphore::acquire");
  detail::throw_if_cancellation_pending(*self);
  table_waiter mine;
  mine.owner = self;
  mine.address = this;
  mine.number = units;
  wait_bucket& bucket = wait_bucket_of(this);
  {
    os::spin_guard guard(bucket.lock);
    std::int64_t state = state_.load(std::memory_order_relaxed);
    while ((state & waited_for) == 0) {
      bool enough = state / one_unit + units <= size_;
      std::int64_t next = enough ? state + units * one_unit : state | waited_for;
      if (!state_.compare_exchange_weak(state, next, std::memory_order_acquire)) continue;  // pairs with release
      if (enough) return true;
      break;
    }
    bucket.push(mine);
  }
  if (await_outcome(mine, detail::wait_reason::semaphore_acquire, deadline)) return true;
  detail::claimed_waiters served;
  {
    os::spin_guard guard(bucket.lock);
    bucket.remove(mine);
    std::int64_t state = state_.load(std::memory_order_acquire);  // pairs with the releases before
    // Those behind one that wanted many may be content with fewer.
    if ((state & waited_for) != 0) settle(state / one_unit, served);
  }
  served.tell_all(detail::wait_outcome::done);
  detail::throw_if_cancellation_pending(*self);
  return false;
}

void semaphore::release(std::int64_t units) noexcept {
  std::int64_t state = state_.load(std::memory_order_relaxed);
  while (true) {
    if (units < 0 || units > state / one_unit) {
      detail::report_misuse("rt::semaphore::release: more units than are taken; give back what was acquired, once");
      return;
    }
    if ((state & waited_for) == 0) {
      if (state_.compare_exchange_weak(state, state - units * one_unit, std::memory_order_release))
        return;  // with take
      continue;
    }
    detail::claimed_waiters served;
    {
      os::spin_guard guard(wait_bucket_of(this).lock);
      state = state_.load(std::memory_order_acquire);  // pairs with the releases before
      if ((state & waited_for) == 0 || units > state / one_unit) continue;
      settle(state / one_unit - units, served);
    }
    served.tell_all(detail::wait_outcome::done);
    return;
  }
}

}  // namespace rt
