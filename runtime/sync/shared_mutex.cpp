// The shared mutex: a word with the writer, the number of readers and "somebody waits", and the table of waiters.
//
// Invariants, under the bucket's lock:
//   1 waited_for is set exactly as long as a waiter of this mutex stands in the queue.
//   2 When the mutex is free nobody waits; when readers are inside, the first waiter is a writer.
// So whoever finds the bit set joins the queue, and whoever leaves last, or gives up, admits those who may go in now.
//
// A mutex under many writers costs a wake-up and a switch at each unlock, as it is always handed over. Rejected:
// letting running green threads overtake (as rt::mutex does for 1 ms): a stream of readers would then hold a writer up
// for that time at each of its locks. Rejected: a counter of readers for each processor: a writer would have to visit
// all of them, and the mutex would no longer be a word that may be destroyed by whoever unlocks it last.
#include "rt/shared_mutex.h"

#include "rt/chan.h"
#include "rt/context.h"
#include "runtime/sched/misuse.h"
#include "runtime/sync/contention.h"
#include "runtime/sync/wait_table.h"

namespace rt {

using detail::table_waiter;
using detail::wait_bucket;
using detail::wait_bucket_of;

namespace {
// table_waiter::number
constexpr std::int64_t reads = 0;
constexpr std::int64_t writes = 1;
}  // namespace

bool shared_mutex::try_lock_for(std::chrono::nanoseconds length) {
  return try_lock() || wait_for_lock(true, detail::deadline_after(length));
}
bool shared_mutex::try_lock_until(std::chrono::steady_clock::time_point deadline) {
  return try_lock() || wait_for_lock(true, detail::deadline_at(deadline));
}
bool shared_mutex::try_lock_shared_for(std::chrono::nanoseconds length) {
  return try_lock_shared() || wait_for_lock(false, detail::deadline_after(length));
}
bool shared_mutex::try_lock_shared_until(std::chrono::steady_clock::time_point deadline) {
  return try_lock_shared() || wait_for_lock(false, detail::deadline_at(deadline));
}

void shared_mutex::lock(const context& within) {
  within.throw_if_ended();
  if (try_lock()) return;
  context_scope obey(within);
  lock();
}

void shared_mutex::lock_shared(const context& within) {
  within.throw_if_ended();
  if (try_lock_shared()) return;
  context_scope obey(within);
  lock_shared();
}

// Under the bucket's lock: goes in if that is possible, else makes sure that the bit is set.
bool shared_mutex::enter(bool writing) noexcept {
  std::uint64_t state = state_.load(std::memory_order_relaxed);
  while ((state & waited_for) == 0) {
    bool free = writing ? state == 0 : (state & is_written) == 0;
    std::uint64_t next = !free ? state | waited_for : writing ? is_written : state + one_reader;
    if (state_.compare_exchange_weak(state, next, std::memory_order_acquire)) return free;  // pairs with the unlocks
  }
  return false;
}

// Under the bucket's lock, when somebody waits or the caller is the writer, so that nobody else changes the word:
// `inside` is who stays inside. Lets in who may go in now, and stores the word, which is the last touch of the mutex.
void shared_mutex::settle(std::uint64_t inside, detail::claimed_waiters& admitted) noexcept {
  wait_bucket& bucket = wait_bucket_of(this);
  while (table_waiter* first = bucket.first(this)) {
    bool writer_first = first->number == writes;
    if (writer_first ? inside != 0 : (inside & is_written) != 0) break;
    // The writer alone, or all readers that wait.
    for (table_waiter* one = first; one != nullptr;) {
      table_waiter* next = writer_first ? nullptr : wait_bucket::after(*one);
      if (writer_first || one->number == reads) {
        bucket.remove(*one);
        if (one->claim()) {  // else it gives up
          inside += writer_first ? is_written : one_reader;
          admitted.add(*one);
        }
      }
      one = next;
    }
  }
  state_.store(inside | (bucket.first(this) != nullptr ? waited_for : 0), std::memory_order_release);  // with the locks
}

bool shared_mutex::wait_for_lock(bool writing, std::int64_t deadline) {
  detail::green_thread* self =
      detail::require_green_thread(writing ? "rt::shared_mutex::lock" : "rt::shared_mutex::lock_shared");
  detail::throw_if_cancellation_pending(*self);
  table_waiter mine;
  mine.owner = self;
  mine.address = this;
  mine.number = writing ? writes : reads;
  const std::uint64_t began = os::cycles();
  if (detail::profiles_mutexes()) mine.since = began;
  wait_bucket& bucket = wait_bucket_of(this);
  {
    os::spin_guard guard(bucket.lock);
    if (enter(writing)) return true;
    bucket.push(mine);
  }
  detail::wait_reason reason =
      writing ? detail::wait_reason::shared_mutex_lock : detail::wait_reason::shared_mutex_lock_shared;
  const bool told = await_outcome(mine, reason, deadline);
  detail::count_mutex_wait(began);
  if (told) return true;
  detail::claimed_waiters admitted;
  {
    os::spin_guard guard(bucket.lock);
    bucket.remove(mine);
    std::uint64_t state = state_.load(std::memory_order_acquire);  // pairs with the unlocks of who has left
    // The readers behind a writer that gives up may join those inside.
    if ((state & waited_for) != 0) settle(state & ~waited_for, admitted);
  }
  admitted.tell_all(detail::wait_outcome::done);
  detail::throw_if_cancellation_pending(*self);
  return false;
}

void shared_mutex::unlock() noexcept {
  std::uint64_t state = is_written;
  if (state_.compare_exchange_strong(state, 0, std::memory_order_release)) return;  // pairs with the locks
  if ((state & is_written) == 0) {
    detail::report_misuse(
        "rt::shared_mutex::unlock: it is not locked for writing; what lock_shared locks is unlocked by "
        "unlock_shared");
    return;
  }
  detail::claimed_waiters admitted;
  std::uint64_t waited = 0;
  const std::uint64_t now = detail::profiles_mutexes() ? os::cycles() : 0;
  {
    wait_bucket& bucket = wait_bucket_of(this);
    os::spin_guard guard(bucket.lock);
    if (now != 0) waited = bucket.charge(this, now);
    settle(0, admitted);
  }
  admitted.tell_all(detail::wait_outcome::done);
  detail::note_unlock(waited);
}

void shared_mutex::unlock_shared() noexcept {
  std::uint64_t state = state_.load(std::memory_order_relaxed);
  while (true) {
    if (state < one_reader) {
      detail::report_misuse(
          "rt::shared_mutex::unlock_shared: it is not locked for reading; what lock locks is unlocked "
          "by unlock");
      return;
    }
    if ((state & waited_for) == 0) {
      if (state_.compare_exchange_weak(state, state - one_reader, std::memory_order_release)) return;  // with the locks
      continue;
    }
    detail::claimed_waiters admitted;
    std::uint64_t waited = 0;
    const std::uint64_t now = detail::profiles_mutexes() ? os::cycles() : 0;
    {
      wait_bucket& bucket = wait_bucket_of(this);
      os::spin_guard guard(bucket.lock);
      state = state_.load(std::memory_order_acquire);  // pairs with the unlocks of the readers that left before
      if ((state & waited_for) == 0) continue;         // the last waiter has given up
      if (now != 0) waited = bucket.charge(this, now);
      settle((state & ~waited_for) - one_reader, admitted);
    }
    admitted.tell_all(detail::wait_outcome::done);
    detail::note_unlock(waited);
    return;
  }
}

}  // namespace rt
