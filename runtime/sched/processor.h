// P: the right to run green threads, with the queues and caches that its owner uses without locks. M: a kernel thread.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "runtime/sched/green_thread.h"
#include "runtime/sched/group.h"
#include "runtime/sched/run_queue.h"
#include "runtime/sched/timer_heap.h"

namespace rt::detail {

/// Adds to a counter that only its owner writes: a plain load and store, seen by readers of statistics.
template <class Number>
inline void bump(std::atomic<Number>& counter, Number amount = 1) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

/// Bits of processor::attention: why the owner should leave the fast path. Any thread sets them, the owner clears them.
namespace attention {
inline constexpr std::uint32_t stop = 1;     // the world is being stopped
inline constexpr std::uint32_t preempt = 2;  // the running green thread used up its slice
inline constexpr std::uint32_t timers = 4;   // a timer of this P is overdue
}  // namespace attention

/// The buckets of the run-queue wait histogram: upper bounds in ns are 1000 * 4^i, the last bucket is overflow.
inline constexpr int wait_buckets = 12;

struct worker;

struct alignas(64) processor {
  // Hot: read and written by the owner at every switch.
  std::atomic<std::uint32_t> attention{0};
  std::atomic<std::uint32_t> tick{0};  // one a scheduling decision; sysmon sees by it whether anything moves
  bool alone = false;                  // the only P: no thieves (run_queue.h)
  std::uint8_t runnext_streak = 0;
  std::uint32_t check_mask = 15;  // how often (tick & mask == 0) the cycle counter is looked at
  std::uint64_t next_check = 0;   // cycles: when to look at timers, poller and global queue in any case
  std::uint64_t last_check = 0;
  std::uint32_t last_check_tick = 0;
  std::atomic<green_thread*> runnext{nullptr};  // goes before the ring; the owner fills it, thieves may take it
  green_thread* free_first = nullptr;           // ended green threads of the default class
  std::uint32_t free_count = 0;
  std::uint64_t next_id = 0;  // ids are handed to Ps in batches
  std::uint64_t end_id = 0;
  group* accounted_group = nullptr;  // whose time runs, since accounted_cycles
  std::uint64_t accounted_cycles = 0;
  std::atomic<std::int64_t> coarse_now{0};  // ns; at most some tens of microseconds (or one slice) old
  std::atomic<worker*> owner{nullptr};

  run_queue ring;
  timer_heap timers;

  int id = 0;
  processor* idle_link = nullptr;  // guarded by the scheduler's lock
  std::atomic<bool> idle{false};
  bool stopped = false;  // by stop-the-world; guarded by the scheduler's lock
  // sysmon's notes
  std::uint32_t seen_tick = 0;
  std::int64_t seen_tick_at = 0;

  // Statistics; only the owner writes.
  alignas(64) std::atomic<std::uint64_t> switches{0};
  std::atomic<std::uint64_t> created{0};
  std::atomic<std::uint64_t> ended{0};
  std::atomic<std::uint64_t> steals{0};
  std::atomic<std::uint64_t> steal_failures{0};
  std::atomic<std::uint64_t> preemptions{0};
  std::atomic<std::uint64_t> busy_cycles{0};
  std::atomic<std::uint64_t> wait_histogram[wait_buckets]{};
  std::atomic<std::uint64_t> wait_nanoseconds{0};
};

/// What to do with the green thread that was just left; done by whatever runs next, when its stack is at rest.
enum class after_switch : std::uint8_t { nothing, park, requeue, requeue_global, end };

struct worker {
  green_thread* current = nullptr;  // null on the scheduler's stack
  processor* p = nullptr;
  green_thread* previous = nullptr;
  after_switch after = after_switch::nothing;
  bool spinning = false;
  bool has_poll_turn = false;         // this M is the one that blocks in the poller
  int blocking_depth = 0;             // nested rt::blocking
  void* exception_globals = nullptr;  // this thread's __cxa_eh_globals
  context base;                       // the scheduler's loop on the thread's own stack
  std::uint64_t random = 0;           // xorshift state
  std::atomic<std::uint32_t> wake{0};
  processor* handed = nullptr;  // the P that a waker gives
  bool handed_spinning = false;
  worker* idle_link = nullptr;
  worker* all_link = nullptr;
  pthread_t thread{};
  void* signal_stack = nullptr;

  std::uint32_t next_random() noexcept {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return static_cast<std::uint32_t>(random >> 16);
  }
};

}  // namespace rt::detail
