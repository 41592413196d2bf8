#include "runtime/os/spin_lock.h"

#include <sched.h>
#include <unistd.h>

#include <ctime>

#include "runtime/os/clock.h"
#include "runtime/os/fatal.h"

namespace rt::os {

namespace {

// One wait in so many is measured and counts for all (Go's number): most are as short as the two reads of the clock.
constexpr std::uint32_t measured_of = 8;

// On a line of its own.
struct alignas(64) {
  std::atomic<std::uint64_t> cycles{0};
} lock_waits;

__thread std::uint32_t waits_of_thread;

void lock_word_waiting(std::atomic<std::uint32_t>& word) noexcept {
  // The pauses grow from 4 to 256 (about 10 ns to 5 us here). Backing off this far lets the holder's core keep the
  // cache line for many operations in a row, which is worth more than a prompt hand-over: two cores that exchange a
  // line at every operation pay its transfer (50 to 100 ns) each time.
  constexpr int first_pauses = 4;
  constexpr int most_pauses = 256;
  constexpr int spins_before_yield = 40;
  constexpr int yields_before_sleep = 100;
  int pauses = first_pauses;
  for (int round = 0;; ++round) {
    for (int i = 0; i < pauses; ++i) cpu_pause();
    if (word.load(std::memory_order_relaxed) == 0 && word.exchange(1, std::memory_order_acquire) == 0) return;
    if (pauses < most_pauses) {
      pauses *= 2;
    } else if (round > spins_before_yield + yields_before_sleep) {
      timespec length{0, 50'000};  // the holder is off its CPU for long: 50 us
      nanosleep(&length, nullptr);
    } else if (round > spins_before_yield) {
      sched_yield();
    }
  }
}

}  // namespace

std::uint64_t lock_wait_cycles() noexcept { return lock_waits.cycles.load(std::memory_order_relaxed); }

void lock_word_slow(std::atomic<std::uint32_t>& word) noexcept {
  if (++waits_of_thread % measured_of != 0) {
    lock_word_waiting(word);
    return;
  }
  std::uint64_t before = cycles();
  lock_word_waiting(word);
  std::uint64_t after = cycles();
  // Under the lock; cores may differ by some cycles.
  if (after > before) lock_waits.cycles.fetch_add((after - before) * measured_of, std::memory_order_relaxed);
}

#if RT_DEBUG_CHECKS

namespace {

// Held locks of this kernel thread. A section never switches green threads, so the thread that locks also unlocks;
// noinline accessors keep the address from being reused across a switch.
constexpr int most_held = 70;  // a select of 64 channels and a few more
struct held_locks {
  const spin_lock* lock[most_held];
  lock_rank rank[most_held];
  int count;
};
__thread held_locks held_by_thread;

__attribute__((noinline)) held_locks& held() noexcept {
  asm volatile("" ::: "memory");
  return held_by_thread;
}

}  // namespace

void spin_lock::check_rank() noexcept {
  if (rank_ == lock_rank::none) return;
  held_locks& mine = held();
  if (mine.count == 0) return;
  lock_rank top = mine.rank[mine.count - 1];
  bool nested_kind = top == rank_ && (rank_ == lock_rank::channel || rank_ == lock_rank::domain ||
                                      rank_ == lock_rank::timers || rank_ == lock_rank::heap_lists);
  if (top != lock_rank::none && top >= rank_ && !nested_kind) {
    fatal("a lock of rank %d was taken while one of rank %d was held", static_cast<int>(rank_), static_cast<int>(top));
  }
}

void spin_lock::note_locked() noexcept {
  held_locks& mine = held();
  if (mine.count >= most_held) fatal("a thread holds more than %d locks", most_held);
  mine.lock[mine.count] = this;
  mine.rank[mine.count] = rank_;
  ++mine.count;
}

void spin_lock::note_unlocked() noexcept {
  held_locks& mine = held();
  for (int i = mine.count - 1; i >= 0; --i) {
    if (mine.lock[i] != this) continue;
    for (int j = i; j + 1 < mine.count; ++j) {
      mine.lock[j] = mine.lock[j + 1];
      mine.rank[j] = mine.rank[j + 1];
    }
    --mine.count;
    return;
  }
  fatal("a lock of rank %d was unlocked by a thread that does not hold it", static_cast<int>(rank_));
}

#endif

}  // namespace rt::os
