// The mutex: a word, and a table of waiters beside it.
//
// The waiters of all mutexes stand in lists of a table, found by the mutex's address (the idea of WebKit's parking
// lot), so that unlock() touches the mutex for the last time in the very instruction that unlocks it: whoever gets the
// mutex next may destroy it at once.
//
// unlock() wakes the first waiter and leaves the mutex free meanwhile; a running green thread may take it before the
// woken one does. That keeps the mutex busy instead of idle for the length of a wake-up (handed over at each unlock, it
// would cost a wake-up and a switch each time). A waiter that has waited for over 1 ms is handed the mutex (Go's
// numbers and rule), so nobody starves.
#include <array>

#include "rt/chan.h"
#include "rt/sync.h"
#include "runtime/os/clock.h"
#include "runtime/os/fatal.h"
#include "runtime/sync/waiter.h"

namespace rt {

namespace {

using detail::waiter;

constexpr std::uint32_t is_locked = 1;
constexpr std::uint32_t waited_for = 2;  // there may be waiters in the table; changes under the bucket's lock

// Waited longer than this, in nanoseconds, a waiter is handed the mutex.
constexpr std::int64_t starving = 1'000'000;
// Looks at a locked mutex before parking, while other Ps run: about 0.5 us (Go spins four times 30 pauses as well).
constexpr int spin_rounds = 4;
constexpr int pauses_in_round = 30;

struct mutex_waiter : waiter {
  const void* address = nullptr;
  std::int64_t since = 0;
};

struct alignas(64) bucket {
  os::spin_lock lock{os::lock_rank::wait_list};
  detail::waiter_queue queue;

  /// The first waiter of the mutex, taken out; `more` tells whether others of it are left.
  mutex_waiter* take_first(const void* address, bool& more) noexcept {
    mutex_waiter* found = nullptr;
    more = false;
    for (waiter* one = queue.front(); one != nullptr; one = one->next) {
      auto* candidate = static_cast<mutex_waiter*>(one);
      if (candidate->address != address) continue;
      if (found != nullptr) {
        more = true;
        break;
      }
      found = candidate;
    }
    if (found != nullptr) queue.remove(*found);
    return found;
  }
  bool has(const void* address) const noexcept {
    for (waiter* one = queue.front(); one != nullptr; one = one->next) {
      if (static_cast<mutex_waiter*>(one)->address == address) return true;
    }
    return false;
  }
};

// 256: collisions cost a walk over a stranger's waiters, not correctness. A waiter's frame outlives its entry, so the
// table is empty whenever no green thread waits.
constexpr std::size_t bucket_count = 256;

bucket& bucket_of(const void* address) noexcept {
  static std::array<bucket, bucket_count> table;
  auto word = reinterpret_cast<std::uintptr_t>(address);
  return table[(word >> 4 ^ word >> 12) % bucket_count];
}

// Good to some tens of microseconds, which is enough to know who has waited for a millisecond.
std::int64_t coarse_time() noexcept {
  detail::worker* self = detail::current_worker();
  return self != nullptr && self->p != nullptr ? self->p->coarse_now.load(std::memory_order_relaxed) : os::nanotime();
}

bool others_may_unlock() noexcept {
  detail::worker* self = detail::current_worker();
  return self != nullptr && self->p != nullptr && !self->p->alone;
}

}  // namespace

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

bool mutex::lock_slow(std::int64_t deadline) {
  if (others_may_unlock()) {
    for (int round = 0; round < spin_rounds; ++round) {
      for (int i = 0; i < pauses_in_round; ++i) os::cpu_pause();
      if (try_lock()) return true;
    }
  }
  detail::green_thread* self = detail::require_green_thread("rt::mutex::lock");
  detail::throw_if_cancellation_pending(*self);
  bucket& mine = bucket_of(this);
  std::int64_t since = coarse_time();
  for (bool woken_before = false;; woken_before = true) {
    mutex_waiter entry;
    entry.owner = self;
    entry.address = this;
    entry.since = since;
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
        mine.queue.push_front(entry);  // it keeps its place before those who came later
      } else {
        mine.queue.push(entry);
      }
    }
    if (!await_outcome(entry, detail::wait_reason::mutex_lock, deadline)) {
      os::spin_guard guard(mine.lock);
      if (entry.queued) {
        mine.queue.remove(entry);
        // Nobody else may be left to be woken. The mutex is alive: the caller is in one of its members.
        if (!mine.has(this)) state_.fetch_and(~waited_for, std::memory_order_relaxed);
        break;
      }
    }
    if (entry.outcome.load(std::memory_order_acquire) == detail::wait_outcome::done) return true;  // handed over
    if (try_lock()) return true;
  }
  detail::throw_if_cancellation_pending(*self);
  return false;
}

void mutex::unlock_slow(std::uint32_t state) noexcept {
  if ((state & is_locked) == 0) os::fatal("rt::mutex::unlock: the mutex is not locked");
  bucket& mine = bucket_of(this);
  detail::green_thread* woken = nullptr;
  {
    os::spin_guard guard(mine.lock);
    bool more = false;
    mutex_waiter* first = mine.take_first(this, more);
    std::uint32_t left = more ? waited_for : 0;
    if (first == nullptr) {
      state_.store(0, std::memory_order_release);  // the last waiter gave up; pairs with lock
      return;
    }
    woken = first->owner;
    bool hand_over = coarse_time() - first->since > starving;
    // The state before the outcome: the woken one may destroy the mutex as soon as it has it.
    state_.store(hand_over ? left | is_locked : left, std::memory_order_release);  // pairs with lock
    // `closed` stands for "woken, try yourself".
    first->outcome.store(hand_over ? detail::wait_outcome::done : detail::wait_outcome::closed,
                         std::memory_order_release);
  }
  unpark(*woken);
}

}  // namespace rt
