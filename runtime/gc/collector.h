// The collector: when it runs, and what it does in which order. See collector.cpp.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "rt/ref.h"
#include "runtime/gc/barrier_check.h"
#include "runtime/gc/mark_team.h"
#include "runtime/gc/pacer.h"
#include "runtime/gc/roots.h"
#include "runtime/gc/stack_roots.h"
#include "runtime/heap/heap.h"
#include "runtime/os/debug_options.h"
#include "runtime/os/spin_lock.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/slice_sample.h"

namespace rt::detail {

class stopped_search;

/// From which size on, in bytes of pages, what ended tasks have left behind causes a cycle at once, after which free
/// pages go back to the system: a quarter of the least heap.
inline constexpr std::size_t much_left_behind = 1 << 20;
/// A task's limit causes cycles so that the collector has nothing to do for three times as long as the last one took.
inline constexpr std::int64_t rest_after_task_limit = 3;

/// Why a cycle was begun: the heap has grown, rt::gc was called, it was long ago, a task has come to a limit of its
/// memory, or a task has ended and left much behind.
enum class cycle_cause : std::uint8_t { growth, forced, period, task_limit, task_end };
inline constexpr std::size_t cycle_cause_count = 5;

/// What is known of a cycle when it is over. Times in nanoseconds.
struct cycle_report {
  std::uint64_t number = 0;
  cycle_cause cause = cycle_cause::growth;
  std::int64_t began_at = 0;  // steady clock
  std::int64_t ended_at = 0;  // of marking
  // The two stops: until all were stopped, and what was done then. With the last one count those before it that found
  // too much to do.
  std::int64_t first_stopping = 0;
  std::int64_t first_pause = 0;
  std::int64_t last_stopping = 0;
  std::int64_t last_pause = 0;
  std::int64_t background_cpu = 0;
  std::int64_t idle_cpu = 0;  // of it, what was beyond its share, while Ps had nothing to do
  std::int64_t assist_time = 0;
  std::uint64_t live_before = 0;  // bytes, when it began
  std::uint64_t heap_at_end = 0;  // bytes allocated and not freed when marking ended
  std::uint64_t marked = 0;       // bytes found reachable, those allocated meanwhile among them
  std::uint64_t goal = 0;
  std::uint64_t scanned = 0;  // bytes of objects and roots that were looked into
  std::uint64_t stack_bytes = 0;
  std::uint64_t global_bytes = 0;
  std::uint64_t left_behind = 0;  // bytes of pages, by tasks that had ended before it began
  std::uint32_t attempts = 0;     // stops that found too much to do
  int procs = 0;
};

class collector {
 public:
  constexpr collector() noexcept = default;
  collector(const collector&) = delete;
  collector& operator=(const collector&) = delete;

  // by rt::run

  /// A scheduler is there. `host_stack` is what the calling thread, which only waits meanwhile, has used of its stack.
  void begin_run(root_range host_stack, const os::debug_options& options) noexcept;
  /// No green thread allocates any more. Waits for the end of a cycle that is under way.
  void end_run() noexcept;

  // by whoever wants a cycle

  /// A whole cycle that begins after the call, sweeping included. Parks a green thread, blocks others. Without a
  /// scheduler nothing happens.
  void collect(cycle_cause cause) noexcept;
  /// Asks for a cycle if none is under way; does not wait.
  void request(cycle_cause cause) noexcept;

  /// A whole cycle in whose last stop `one` looks at everything (stopped_search.h). Blocks; not on green threads.
  /// False when another search waits for its cycle, or no scheduler runs.
  bool search(stopped_search& one) noexcept;

  // settings

  /// As rt::set_gc_percent and rt::set_memory_limit; they return the old value.
  int set_percent(int percent) noexcept;
  std::uint64_t set_memory_limit(std::uint64_t bytes) noexcept;

  // by the heap

  void before_refill(heap_owner& user, std::size_t bytes) noexcept;
  bool at_limit(heap_owner& user, int attempt) noexcept;
  void task_ended(std::size_t bytes) noexcept;
  void barrier(const void* old_value, const void* new_value) noexcept;

  /// Whether a cycle of this collector marks (gc_marking may have been set by a test of the heap).
  bool is_marking() const noexcept { return marks_.load(std::memory_order_relaxed); }
  /// How many cycles are over.
  std::uint64_t completed() const noexcept { return completed_.load(std::memory_order_acquire); }
  /// The last cycle that is over.
  cycle_report last() const noexcept;
  /// So far, and of the last cycles.
  struct history {
    static constexpr std::size_t kept = 256;
    std::uint64_t cycles = 0;
    std::uint64_t by_cause[cycle_cause_count] = {};
    std::int64_t paused = 0;             // ns, in all
    std::int64_t cpu = 0;                // ns of CPU time: marking, helping
    std::int64_t assist_time = 0;        // ns, of it
    std::int64_t idle_cpu = 0;           // ns, of it, while Ps had nothing to do
    std::int64_t stopped_cpu = 0;        // ns that Ps stood still, all of them together
    std::uint64_t marked = 0;            // bytes
    std::uint64_t scanned = 0;           // bytes
    std::int64_t pauses[kept] = {};      // ns, of the cycle whose number is the place, modulo kept
    std::int64_t pause_ends[kept] = {};  // the time of day, ns since 1970
  };
  void read_history(history& into) const noexcept;
  /// Of stops, so far. The collector's thread alone writes.
  struct stop_figures {
    duration_histogram stopping;  // until all had stopped
    duration_histogram begin;     // how long everything then stood still, at the begin of cycles
    duration_histogram end;       // the same, at the end, or in the midst of one that was not over
    duration_histogram total;     // stopping and standing
  };
  const stop_figures& stops() const noexcept { return stops_; }
  std::uint64_t memory_limit() const noexcept;
  /// Whether marking takes as much CPU time as it may, so that nobody helps.
  bool is_limited() const noexcept { return is_limited_.load(std::memory_order_relaxed); }
  /// At what size of the heap the next cycle is to be over.
  std::uint64_t goal() const noexcept { return goal_.load(std::memory_order_relaxed); }
  int percent() const noexcept;
  /// Steady clock, ns: when the first run began.
  std::int64_t first_begin() const noexcept { return first_begin_; }
  /// Bytes that the collector has from the system.
  std::uint64_t table_bytes() const noexcept;

 private:
  /// Where those that run on a P, or without one, mark what their barriers find.
  struct alignas(64) place {
    os::spin_lock lock{os::lock_rank::none};
    marker own;
    std::int64_t credit = 0;  // bytes that were looked into beyond what is owed; the owner of the P
    explicit place(mark_pool& pool) noexcept : own(pool) {}
  };
  struct waiter;  // a green thread in collect()
  enum class thread_state : std::uint8_t { none, starting, running };

  bool ensure_thread() noexcept;
  static void* thread_main(void* argument) noexcept;
  void serve() noexcept;
  void tell_waiters() noexcept;
  // assist.cpp
  void assist(std::size_t bytes) noexcept;
  bool help(std::uint64_t wanted, std::uint64_t& done) noexcept;
  void revise() noexcept;
  void update_limiter(std::int64_t now) noexcept RT_REQUIRES(pace_lock_);
  void set_allowance() noexcept;
  static void rest_a_little() noexcept;
  // task_limits.cpp
  void slow_down(heap_owner& user, std::size_t bytes) noexcept;
  void wait_for_turn() noexcept;
  void flush_places() noexcept;
  // cycle.cpp
  void run_cycle(cycle_cause cause) noexcept;
  void begin_marking(cycle_report& report) noexcept;
  void mark_beside_others() noexcept;
  void wait_for_helpers() noexcept;
  bool try_to_end_marking(bool at_all_costs, cycle_report& report) noexcept;
  bool scan_deep_stacks(int members) noexcept;
  void mark_in_the_stop(cycle_report& report) noexcept;
  void open_books(cycle_report& report) noexcept;
  void start_cycle(cycle_report& report) noexcept;
  void foresee_end(cycle_report& report) noexcept;
  void note_marked(cycle_report& report) noexcept;
  void note_end(cycle_report& report) noexcept;
  void end_marking(cycle_report& report) noexcept;
  void sweep_all() noexcept;
  void note_stop(bool at_begin, std::int64_t stopping, std::int64_t standing) noexcept;

  mark_pool pool_;
  mark_team* team_ = nullptr;
  place* places_ = nullptr;
  root_range host_stack_{nullptr, nullptr};
  os::debug_options options_;
  root_ranges data_;  // where a stop must not look for them
  deep_stacks deep_stacks_;
  barrier_check barrier_check_;

  mutable os::spin_lock lock_{os::lock_rank::none};
  waiter* waiters_ RT_GUARDED_BY(lock_) = nullptr;
  cycle_report last_ RT_GUARDED_BY(lock_);

  std::atomic<thread_state> thread_state_{thread_state::none};
  std::atomic<bool> accepts_{false};  // a scheduler runs, and is not about to end
  std::atomic<bool> ending_{false};
  pthread_t thread_{};
  std::atomic<std::uint32_t> wanted_{0};     // futex: one more with each request
  std::atomic<std::uint32_t> causes_{0};     // of requests that no cycle has answered: bits by cycle_cause
  std::atomic<std::uint32_t> turns_{0};      // futex: one more when a cycle is complete
  std::atomic<std::uint64_t> started_{0};    // cycles
  std::atomic<std::uint64_t> completed_{0};  // cycles, sweeping included
  std::uint32_t served_ = 0;                 // of wanted_; the collector's thread alone
  std::int64_t last_end_ = 0;                // steady clock, ns; the same
  std::uint64_t last_stack_bytes_ = 0;       // the same
  bool roots_seen_ = false;                  // in this cycle; the same
  stopped_search* search_now_ = nullptr;     // to be made in this cycle; the same
  std::atomic<stopped_search*> search_{nullptr};

  // The pacer, and what it was told of the cycle that is under way.
  mutable os::spin_lock pace_lock_{os::lock_rank::none};
  pacer pace_;  // changed under the lock
  cpu_limiter limiter_ RT_GUARDED_BY(pace_lock_);
  std::uint64_t told_allocated_ RT_GUARDED_BY(pace_lock_) = 0;
  std::uint64_t told_scanned_ RT_GUARDED_BY(pace_lock_) = 0;
  std::int64_t told_cpu_ RT_GUARDED_BY(pace_lock_) = 0;
  std::int64_t told_at_ RT_GUARDED_BY(pace_lock_) = 0;
  history history_ RT_GUARDED_BY(lock_);
  stop_figures stops_;
  std::atomic<std::uint64_t> left_behind_{0};     // bytes of pages, by tasks that have ended since the last cycle
  std::atomic<std::int64_t> task_limit_turn_{0};  // steady clock, ns: when a task's limit may cause the next cycle
  std::atomic<bool> is_limited_{false};
  std::atomic<std::uint64_t> goal_{least_heap};
  std::atomic<std::uint64_t> most_allowed_{2 * least_heap};  // as allowed_, beyond which those that allocate rest
  // Of the cycle that is under way.
  std::atomic<std::uint64_t> allocated_marking_{0};  // bytes handed to caches
  std::atomic<std::uint64_t> claimed_{0};            // of what the team has looked into: by those that owed it
  std::atomic<std::uint32_t> helpers_{0};            // futex: green threads that look into objects just now
  std::atomic<bool> lacks_work_{false};              // the team has nothing: they share what they have
  std::atomic<std::uint64_t> helped_scanned_{0};
  std::atomic<std::uint64_t> helped_marked_{0};
  std::atomic<std::int64_t> assist_time_{0};  // ns
  std::atomic<std::uint64_t> stack_bytes_{0};
  std::atomic<std::uint64_t> global_bytes_{0};
  std::uint64_t team_scanned_before_ = 0;
  std::int64_t all_assist_time_ RT_GUARDED_BY(pace_lock_) = 0;  // ns, of all cycles but this one
  std::int64_t first_begin_ = 0;

  // Since the last cycle, and how much until the next.
  alignas(64) std::atomic<std::uint64_t> allocated_since_{0};
  std::atomic<std::uint64_t> allowed_{least_heap};
  std::atomic<bool> asked_{false};
  std::atomic<bool> marks_{false};  // changes while the world is stopped
  std::atomic<std::uint64_t> stressed_{0};
};

collector& the_collector() noexcept;

}  // namespace rt::detail
