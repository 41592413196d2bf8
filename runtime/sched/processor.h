// P: the right to run green threads, with the queues and caches that its owner uses without locks. M: a kernel thread.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <type_traits>

#include "rt/make.h"
#include "runtime/heap/task_heap.h"
#include "runtime/os/critical_section.h"
#include "runtime/sched/cpu_time.h"
#include "runtime/sched/green_thread.h"
#include "runtime/sched/group.h"
#include "runtime/sched/os_locks.h"
#include "runtime/sched/run_queue.h"
#include "runtime/sched/slice_sample.h"
#include "runtime/sched/timer_heap.h"
#include "runtime/sched/turns.h"

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
inline constexpr std::uint32_t shuffle = 8;  // set for good in a shuffled run (shuffle.cpp): the owner keeps it
inline constexpr std::uint32_t errand = 16;  // somebody wants the world stopped (stop_errand.cpp)
}  // namespace attention

struct worker;

/// What was seen of the M that owns a P: whether its thread moves (retake.cpp).
struct owner_note {
  std::int64_t cpu_time = -1;  // what its CPU clock showed, ns; -1: not looked at yet
  std::int64_t since = 0;      // since when it has shown that; steady clock, ns
  std::uint64_t cycles = 0;    // the same moment, of os::cycles()
  std::uint32_t tick = 0;      // the decision that the P was at
};
enum class motion : std::uint8_t { unknown, moving, resting };
/// The next number of a xorshift sequence; the state is never 0.
inline std::uint32_t next_random(std::uint64_t& state) noexcept {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return static_cast<std::uint32_t>(state >> 16);
}

/// After so many wake-ups for runnexts that were then not stolen, a P's runnexts wake nobody (invariant 3 of
/// scheduler.h). Few enough that a pair that wakes each other is left alone within some microseconds; several, because
/// an M that was put off its CPU may come too late now and then.
inline constexpr std::uint8_t enough_vain_wakes = 16;

struct alignas(64) processor : proc_head {
  // Hot: read and written by the owner at every switch.
  std::atomic<std::uint32_t> attention{0};
  std::atomic<std::uint32_t> tick{0};  // one a scheduling decision; sysmon sees by it whether anything moves
  std::atomic<bool> alone{false};      // the only P: no thieves (run_queue.h); changes while the world is stopped
  bool by_weight = false;              // what becomes ready goes to the fair queue (fair_queue.h)
  bool plain = false;                  // alone and not by weight: what the fast path tests
  std::uint8_t runnext_streak = 0;
  // Wake-ups for a runnext, less four for each that was stolen. The owner counts up, a thief down; a step that is lost
  // when both do counts for little.
  std::atomic<std::uint8_t> vain_wakes{0};
  std::uint32_t check_mask = 15;  // how often (tick & mask == 0) the cycle counter is looked at
  std::uint64_t next_check = 0;   // cycles: when to look at timers, poller and global queue in any case
  slice_sample sample;
  std::uint64_t last_check = 0;
  std::uint32_t last_check_tick = 0;
  std::uint32_t last_global_tick = 0;           // when the global queue last had its turn
  std::atomic<green_thread*> runnext{nullptr};  // goes before the ring; the owner fills it, thieves may take it
  green_thread* free_first = nullptr;           // ended green threads of the default class
  std::uint32_t free_count = 0;
  std::uint64_t next_id = 0;  // ids are handed to Ps in batches
  std::uint64_t end_id = 0;
  running_group running;                    // whose time runs
  std::atomic<std::int64_t> coarse_now{0};  // ns; at most some tens of microseconds (or one slice) old
  std::atomic<worker*> owner{nullptr};
  // Chosen, but must run on an M of its own, or not now (cpu_quota.cpp): find_runnable passes it on.
  green_thread* bound_next = nullptr;

  // The state of this P's seeded sequence of choices; 0 when the run is not shuffled. Only its owner takes from it, but
  // for a select whose P is taken from it in between, which at worst repeats a number.
  std::atomic<std::uint64_t> order{0};
  std::atomic<bool> first_class{false};  // by weight: what runs was chosen as one of the latency class
  chain_turn chain;
  global_turn from_global;

  run_queue ring;
  timer_heap timers;

  int id = 0;
  processor* idle_link = nullptr;  // guarded by the scheduler's lock
  std::atomic<bool> idle{false};
  bool stopped = false;        // by stop-the-world; guarded by the scheduler's lock
  worker* resident = nullptr;  // the M that was frozen with it by a stop; guarded by the scheduler's lock
  // The M that gave it up for a stop; it may have ended since, so it is only compared. Guarded by the scheduler's lock.
  worker* stopped_with = nullptr;
  // While the world is stopped: who ran until it saw the request, or the errand. Written by the owner before it stops,
  // and a hint: that one may have gone on elsewhere before all had stopped, and have ended.
  std::atomic<green_thread*> made_way{nullptr};
  bool waits_spinning = false;  // waits for an M, which shall look for work; guarded by the scheduler's lock
  std::atomic<std::uint32_t> preempt_tick{0};  // the decision whose slice the preempt request is about
  bool may_swap = false;  // preempted without an M at hand: a frozen one gets the P; guarded by the scheduler's lock
  bool went_straight = false;  // from one frozen one to the next, the last time; guarded by the scheduler's lock
  // sysmon's notes
  std::uint32_t seen_tick = 0;
  std::int64_t seen_tick_at = 0;
  bool over_quota = false;  // what runs here is of a group that is throttled (cpu_quota.cpp)
  owner_note note;
  owner_note stop_note;  // of who stops the world

  // Statistics; only the owner writes.
  alignas(64) std::atomic<std::uint64_t> switches{0};
  std::atomic<std::uint64_t> created{0};
  std::atomic<std::uint64_t> ended{0};
  std::atomic<std::uint64_t> steals{0};
  std::atomic<std::uint64_t> steal_failures{0};
  std::atomic<std::uint64_t> preemptions{0};
  std::atomic<std::uint64_t> busy_cycles{0};
  // For mutexes, of green threads that then ran here (sync/contention.h).
  std::atomic<std::uint64_t> mutex_wait_cycles{0};
  duration_histogram waits;   // in the run queue: a sample (slice_sample.h)
  duration_histogram slices;  // on the CPU: of those whose wait was measured

  bool is_shuffled() const noexcept { return order.load(std::memory_order_relaxed) != 0; }
  /// Of a shuffled P: the next number of its sequence.
  std::uint32_t next_in_order() noexcept {
    std::uint64_t state = order.load(std::memory_order_relaxed);
    std::uint32_t number = rt::detail::next_random(state);
    order.store(state, std::memory_order_relaxed);
    return number;
  }
};

// rt/make.h finds the one by the other.
static_assert(std::is_base_of_v<proc_head, processor> && !std::is_polymorphic_v<processor>);
static_assert(most_procs <= static_cast<int>(heap_places));

/// What to do with the green thread that was just left; done by whatever runs next, when its stack is at rest.
enum class after_switch : std::uint8_t { nothing, park, requeue, requeue_global, end };

struct worker : os::worker_head {
  green_thread* current = nullptr;  // null on the scheduler's stack
  green_thread* previous = nullptr;
  after_switch after = after_switch::nothing;
  bool spinning = false;
  bool has_poll_turn = false;  // this M is the one that blocks in the poller
  int blocking_depth = 0;      // nested rt::blocking
  /// The one that this M is reserved for (lock_thread.cpp). Written by the M; relaxed: shut_down looks at all Ms.
  std::atomic<green_thread*> locked{nullptr};
  cpu_time_check cpu_time;
  void* exception_globals = nullptr;  // this thread's __cxa_eh_globals
  context base;                       // the scheduler's loop on the thread's own stack
  std::uint64_t random = 0;           // xorshift state
  std::atomic<std::uint32_t> wake{0};
  processor* handed = nullptr;  // the P that a waker gives
  bool handed_spinning = false;
  worker* idle_link = nullptr;  // guarded by the scheduler's lock, as all below but the two clocks
  worker* all_link = nullptr;
  // Runs a green thread without a P: in rt::blocking, or its P was taken away. Until it has a P again or the green
  // thread is in a queue.
  bool outside = false;
  bool held = false;                  // outside, and stopped in the signal's handler for the collector
  bool deaf = false;                  // it did not come to be held when it should have
  bool retaken = false;               // its P was taken away while it was in a system call; runs or sleeps without one
  std::int64_t retaken_cpu_time = 0;  // what its CPU clock showed when sysmon looked last
  std::int64_t lost_cpu_time = 0;     // the same, when its P was taken away or given up
  std::int64_t charged_by_monitor = 0;  // of its slice then, in nanoseconds
  std::int64_t seen_cpu_time = 0;       // the same, at its very last look
  std::int64_t moved_at = 0;            // when that last showed something new, or when its P was taken away; ns
  std::int64_t sleeps = 0;              // voluntary_sleeps() when it took its P; the M's own
  pthread_t thread{};
  clockid_t cpu_clock = 0;  // of the thread; set before it owns a P
  void* signal_stack = nullptr;
  held_os_locks os_locks{};  // of the green thread that runs on it

  /// The P that a green thread of this M may use, in a critical section; null when it has none.
  processor* usable_proc() const noexcept {
    return lost_proc.load(std::memory_order_relaxed) ? nullptr : static_cast<processor*>(p);
  }

  /// For the runtime's own choices: from the M's sequence, or in a shuffled run from its P's.
  std::uint32_t next_random() noexcept {
    processor* mine = p;
    return mine != nullptr && mine->is_shuffled() ? mine->next_in_order() : rt::detail::next_random(random);
  }
};

}  // namespace rt::detail
