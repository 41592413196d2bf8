// The lock of the runtime's own short sections.
//
// A section is a few dozen instructions, never blocks and never parks, so a waiter spins. Unlocking is a plain store,
// which makes an uncontended pair cost one atomic instruction instead of two. A waiter whose holder was put off its CPU
// gives up its own time slice, and sleeps in the end, so that the holder runs even under a real-time policy.
//
// Holding one is a critical section (os/critical_section.h): its holder is neither frozen nor loses its P.
//
// Locks have ranks. A thread that holds a lock may only take one of a higher rank; builds with RT_DEBUG_CHECKS check
// it.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/os/critical_section.h"

#if defined(__clang__)
#define RT_CAPABILITY(name) __attribute__((capability(name)))
#define RT_GUARDED_BY(lock) __attribute__((guarded_by(lock)))
#define RT_ACQUIRE(...) __attribute__((acquire_capability(__VA_ARGS__)))
#define RT_RELEASE(...) __attribute__((release_capability(__VA_ARGS__)))
#define RT_TRY_ACQUIRE(...) __attribute__((try_acquire_capability(__VA_ARGS__)))
#define RT_REQUIRES(...) __attribute__((requires_capability(__VA_ARGS__)))
#define RT_SCOPED_CAPABILITY __attribute__((scoped_lockable))
#define RT_NO_THREAD_SAFETY_ANALYSIS __attribute__((no_thread_safety_analysis))
#else
#define RT_CAPABILITY(name)
#define RT_GUARDED_BY(lock)
#define RT_ACQUIRE(...)
#define RT_RELEASE(...)
#define RT_TRY_ACQUIRE(...)
#define RT_REQUIRES(...)
#define RT_SCOPED_CAPABILITY
#define RT_NO_THREAD_SAFETY_ANALYSIS
#endif

namespace rt::os {

/// Ranks, lowest first: a thread takes locks in growing order only. Locks of one rank are not nested, but for the
/// channels of one select (in the order of their addresses), a domain and its children (from the root down), two
/// timer heaps while the world is stopped, and the lists of an ended owner of spans and those of its heir.
enum class lock_rank : std::uint8_t {
  world,        // stop-the-world requests
  timer_state,  // one rt::timer
  channel,      // one channel
  wait_list,    // one condition or wait group; a bucket of mutexes and their kin
  domain,       // one cancellation domain (a scope or a task); a parent before its child is the one permitted nesting
  context,      // one rt::context
  pools,        // the list of pools
  pool_shard,   // one shard of a pool
  poll,         // one poll descriptor, the table of descriptors
  coroutines,   // the coroutines of one task that can run
  timers,       // the timer heap of one P
  scheduler,    // the global queue and the idle lists
  stacks,       // the stack pool
  heap_owners,  // the list of the owners of spans
  heap_cache,   // the cache of an owner for threads without a P
  heap_lists,   // the spans of one owner and class that no cache has
  heap_pages,   // the free pages of the heap
  heap_tables,  // the heap's own memory
  none,         // never nested with another; not checked
};

/// How long threads have waited for locks of the runtime, in cycles (clock.h): an estimate, since one wait in eight is
/// measured. Any thread.
std::uint64_t lock_wait_cycles() noexcept;

/// The bare word of a lock, for places that cannot hold a spin_lock (public classes show only the word). No ranks.
void lock_word_slow(std::atomic<std::uint32_t>& word) noexcept;
/// For a caller that stands in a critical section already, or on a thread that is no M: nothing is counted.
inline void lock_word_inside(std::atomic<std::uint32_t>& word) noexcept {
  if (word.exchange(1, std::memory_order_acquire) != 0) [[unlikely]]
    lock_word_slow(word);
}
inline void unlock_word_inside(std::atomic<std::uint32_t>& word) noexcept {
  word.store(0, std::memory_order_release);  // pairs with the exchange in lock_word
}
/// For all others: the section lasts from the lock to the unlock.
inline void lock_word(std::atomic<std::uint32_t>& word) noexcept {
  enter_critical();
  lock_word_inside(word);
}
inline void unlock_word(std::atomic<std::uint32_t>& word) noexcept {
  unlock_word_inside(word);
  leave_critical();
}

class RT_CAPABILITY("spin_lock") spin_lock {
 public:
  constexpr explicit spin_lock(lock_rank rank) noexcept : rank_(rank) {}
  spin_lock(const spin_lock&) = delete;
  spin_lock& operator=(const spin_lock&) = delete;

  void lock() noexcept RT_ACQUIRE() {
    check_rank();
    lock_word(word_);
    note_locked();
  }
  bool try_lock() noexcept RT_TRY_ACQUIRE(true) {
    if (word_.load(std::memory_order_relaxed) != 0) return false;
    enter_critical();
    if (word_.exchange(1, std::memory_order_acquire) != 0) {
      leave_critical();
      return false;
    }
    note_locked();
    return true;
  }
  void unlock() noexcept RT_RELEASE() {
    note_unlocked();
    unlock_word(word_);
  }
  /// The same within a critical section that the caller has begun, and ends after unlock_inside: one count for all the
  /// locks of an operation.
  void lock_inside() noexcept RT_ACQUIRE() {
    check_rank();
    lock_word_inside(word_);
    note_locked();
  }
  void unlock_inside() noexcept RT_RELEASE() {
    note_unlocked();
    unlock_word_inside(word_);
  }
  /// Whether somebody holds it at this moment; for assertions.
  bool is_locked() const noexcept { return word_.load(std::memory_order_relaxed) != 0; }

 private:
#if RT_DEBUG_CHECKS
  void check_rank() noexcept;
  void note_locked() noexcept;
  void note_unlocked() noexcept;
#else
  void check_rank() noexcept {}
  void note_locked() noexcept {}
  void note_unlocked() noexcept {}
#endif

  std::atomic<std::uint32_t> word_{0};
  [[maybe_unused]] lock_rank rank_;
};

/// Holds a spin_lock for a block.
class RT_SCOPED_CAPABILITY spin_guard {
 public:
  explicit spin_guard(spin_lock& lock) noexcept RT_ACQUIRE(lock) : lock_(lock) { lock_.lock(); }
  ~spin_guard() RT_RELEASE() { lock_.unlock(); }
  spin_guard(const spin_guard&) = delete;
  spin_guard& operator=(const spin_guard&) = delete;

 private:
  spin_lock& lock_;
};

}  // namespace rt::os
