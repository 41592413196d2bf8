// The mutex: a word, and a table of waiters beside it.
//
// The waiters of all mutexes stand in a table beside them (wait_table.h), so that unlock() touches the mutex for the
// last time in the very instruction that unlocks it: whoever gets the mutex next may destroy it at once.
//
// unlock() wakes the first waiter and leaves the mutex free meanwhile; a running green thread may take it before the
// woken one does. That keeps the mutex busy instead of idle for the length of a wake-up (handed over at each unlock, it
// would cost a wake-up and a switch each time). A waiter that has waited for over 1 ms is handed the mutex (Go's
// numbers and rule), so nobody starves.
//
// A mutex that nobody has waited for is unlocked with a plain store. What could go wrong is *the lost bit*: between the
// unlocker's look at the word and its store somebody sets "waited for", which the store overwrites, and is never woken.
// So the unlocker looks at a second word after the store, which is not part of the mutex (unlocking_table): are stores
// still the way here? The first who waits for a mutex at that place changes this, then has a barrier pass through all
// threads (os/barrier.h), and only then sets its bit. An unlocker either has stored by then, and the one who waits
// finds the mutex free; or it sees the change after its store, and looks into the table for somebody to wake. From then
// on mutexes at this place are unlocked with atomic instructions: the barrier costs some microseconds, which contended
// mutexes shall not pay again and again. Only an address in the table says that the mutex is alive, so only then it is
// touched.
#include "rt/mutex.h"

#include "rt/chan.h"
#include "rt/context.h"
#include "runtime/os/barrier.h"
#include "runtime/os/clock.h"
#include "runtime/sched/clock.h"
#include "runtime/sched/misuse.h"
#include "runtime/sync/contention.h"
#include "runtime/sync/plain_unlock.h"
#include "runtime/sync/wait_table.h"

namespace rt {

namespace detail {

namespace {
constexpr std::uint32_t is_locked = 1;
constexpr std::uint32_t waited_for = 2;  // there may be waiters in the table; changes under the bucket's lock

// Before anybody waits for the mutex at `address`.
void end_plain_unlock(const void* address) noexcept {
  std::atomic<unlocking>& way = unlocking_of(address);
  // Acquire: pairs with the store below; the barrier of the one who made the change has passed.
  if (way.load(std::memory_order_acquire) == unlocking::with_atomics) return;
  way.store(unlocking::changing, std::memory_order_relaxed);
  os::process_barrier();
  way.store(unlocking::with_atomics, std::memory_order_release);
}
}  // namespace

std::atomic<unlocking> unlocking_table[unlocking_places];  // with atomics, until allow_plain_unlock

void allow_plain_unlock() noexcept {
  // Once: a place that was contended stays as it is, and at this moment no other thread waits or unlocks.
  static std::atomic<bool> allowed{false};
  if (!os::prepare_process_barrier() || allowed.exchange(true, std::memory_order_relaxed)) return;
  for (std::atomic<unlocking>& one : unlocking_table) one.store(unlocking::with_stores, std::memory_order_relaxed);
}

void wake_after_unlock(const void* address) noexcept {
  wait_bucket& mine = wait_bucket_of(address);
  table_waiter* woken = nullptr;
  std::uint64_t waited = 0;
  const std::uint64_t now = profiles_mutexes() ? os::cycles() : 0;
  {
    os::spin_guard guard(mine.lock);
    // Another primitive may stand at the address by now.
    if (const table_waiter* first = mine.first(address); first == nullptr || !first->of_mutex) return;
    if (now != 0) waited = mine.charge(address, now);
    woken = mine.claim_first(address);
    if (const table_waiter* next = mine.first(address); next != nullptr) {
      auto& alive = *static_cast<mutex*>(const_cast<void*>(address));  // somebody waits for it
      alive.state_.fetch_or(waited_for, std::memory_order_relaxed);    // in case the store took it away
    }
  }
  if (woken != nullptr) tell(*woken, wait_outcome::closed);  // as in unlock_slow
  note_unlock(waited);
}

}  // namespace detail

namespace {

// Waited longer than this, in nanoseconds, a waiter is handed the mutex.
constexpr std::int64_t starving = 1'000'000;
// Looks at a locked mutex before parking, while other Ps run: about 0.5 us (Go spins four times 30 pauses as well).
constexpr int spin_rounds = 4;
constexpr int pauses_in_round = 30;

// Good to some tens of microseconds, which is enough to know who has waited for a millisecond.
std::int64_t coarse_time() noexcept {
  detail::worker* self = detail::current_worker();
  const detail::processor* p = self == nullptr ? nullptr : static_cast<const detail::processor*>(self->p);
  return p != nullptr ? p->coarse_now.load(std::memory_order_relaxed) : detail::runtime_now();
}

bool others_may_unlock() noexcept {
  detail::worker* self = detail::current_worker();
  const detail::processor* p = self == nullptr ? nullptr : static_cast<const detail::processor*>(self->p);
  return p != nullptr && !p->alone.load(std::memory_order_relaxed);
}

}  // namespace

using detail::is_locked;
using detail::waited_for;

bool mutex::try_lock() noexcept {
  std::uint32_t state = state_.load(std::memory_order_relaxed);
  while ((state & is_locked) == 0) {
    if (state_.compare_exchange_weak(state, state | is_locked, std::memory_order_acquire)) return true;  // with unlock
  }
  return false;
}

bool mutex::try_lock_for(std::chrono::nanoseconds length) {
  return try_lock() || lock_slow(detail::deadline_after(length));
}

bool mutex::try_lock_until(std::chrono::steady_clock::time_point deadline) {
  return try_lock() || lock_slow(detail::deadline_at(deadline));
}

void mutex::lock(const context& within) {
  within.throw_if_ended();
  if (try_lock()) return;
  context_scope obey(within);
  lock();
}

bool mutex::lock_slow(std::int64_t deadline) {
  if (others_may_unlock()) {
    for (int round = 0; round < spin_rounds; ++round) {
      for (int i = 0; i < pauses_in_round; ++i) os::cpu_pause();
      if (try_lock()) return true;
    }
  }
  detail::green_thread* self = detail::require_green_thread("rt::mutex::lock");
  detail::throw_if_cancellation_pending(*self);
  detail::end_plain_unlock(this);
  detail::wait_bucket& mine = detail::wait_bucket_of(this);
  std::int64_t since = coarse_time();
  for (bool woken_before = false;; woken_before = true) {
    detail::table_waiter entry;
    entry.owner = self;
    entry.address = this;
    entry.number = since;
    entry.of_mutex = true;
    const std::uint64_t began = os::cycles();
    if (detail::profiles_mutexes()) entry.since = began;
    {
      os::spin_guard guard(mine.lock);
      std::uint32_t state = state_.load(std::memory_order_relaxed);
      while (true) {
        if ((state & is_locked) == 0) {
          if (state_.compare_exchange_weak(state, state | is_locked, std::memory_order_acquire)) return true;
        } else if ((state & waited_for) != 0 ||
                   state_.compare_exchange_weak(state, state | waited_for, std::memory_order_relaxed)) {
          break;
        }
      }
      if (woken_before) {
        mine.push_front(entry);  // it keeps its place before those who came later
      } else {
        mine.push(entry);
      }
    }
    bool told = await_outcome(entry, detail::wait_reason::mutex_lock, deadline);
    detail::count_mutex_wait(began);
    if (!told) {
      os::spin_guard guard(mine.lock);
      mine.remove(entry);
      // Nobody else may be left to be woken. The mutex is alive: the caller is in one of its members.
      if (mine.first(this) == nullptr) state_.fetch_and(~waited_for, std::memory_order_relaxed);
      break;
    }
    if (entry.outcome.load(std::memory_order_relaxed) == detail::wait_outcome::done) return true;  // handed over
    if (try_lock()) return true;
  }
  detail::throw_if_cancellation_pending(*self);
  return false;
}

void mutex::unlock_slow(std::uint32_t state) noexcept {
  if ((state & is_locked) == 0) {
    detail::report_misuse("rt::mutex::unlock: the mutex is not locked; unlock once for each lock");
    return;
  }
  detail::wait_bucket& mine = detail::wait_bucket_of(this);
  detail::table_waiter* woken = nullptr;
  bool hand_over = false;
  std::uint64_t waited = 0;
  const std::uint64_t now = detail::profiles_mutexes() ? os::cycles() : 0;
  {
    os::spin_guard guard(mine.lock);
    if (now != 0) waited = mine.charge(this, now);
    woken = mine.claim_first(this);
    std::uint32_t left = mine.first(this) != nullptr ? waited_for : 0;
    hand_over = woken != nullptr && coarse_time() - woken->number > starving;
    state_.store(hand_over ? left | is_locked : left, std::memory_order_release);  // pairs with lock
  }
  // `closed` stands for "woken, try yourself".
  if (woken != nullptr) tell(*woken, hand_over ? detail::wait_outcome::done : detail::wait_outcome::closed);
  detail::note_unlock(waited);
}

}  // namespace rt
