// The scheduler: Ms run Gs that they find through Ps.
//
// Finding work (find_runnable), after Go's order (runtime/proc.go):
//   1 a request to stop the world; 2 due timers of the own P; 3 every 61st decision the global queue; 4 runnext, the
//   own ring; 5 the global queue; 6 the network poller, without waiting; 7 stealing: four passes over all Ps in random
//   order, timers and runnext on the last; 8 give the P up and look at everything again; 9 one M waits in the poller
//   until the next timer, the others sleep.
//
// A switch between two green threads of one P does not pass through find_runnable: it takes runnext or the head of the
// ring and jumps there directly (park.cpp). Every 16th decision looks at the cycle counter; when 20 us have passed (or
// at each decision, when slices are long) it does pass through it, so timers, sockets and the global queue are served
// however busy the P is.
//
// Invariants
//   1 A P is owned by one M, is in the idle list, or is stopped.
//   2 A green thread is on a CPU, in exactly one queue, parked, or in rt::blocking.
//   3 If work is queued and a P is idle, some M is spinning or about to wake: whoever queues work looks at the number
//     of spinning Ms *after* publishing it, and the last M to stop spinning looks at all queues *after* saying so. Both
//     sides have a full fence between the two (the exchange of runnext; the subtraction of spinning_).
//   4 At most half of the busy Ps look for work at the same time.
//
// Rejected: a scheduler green thread (two switches instead of one); a lock-free global queue (it is touched for one
// decision in 61 and when a ring overflows); waking for every queued green thread (thundering; see invariant 3).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/os/spin_lock.h"
#include "runtime/sched/park.h"
#include "runtime/sched/poller.h"
#include "runtime/sched/processor.h"

namespace rt::detail {

class system_monitor;

class scheduler {
 public:
  /// `procs`: how many Ps; `stack_size`: the default slot size.
  /// `follow_cpus`: the number of Ps follows the CPUs that the process may use.
  scheduler(int procs, std::size_t stack_size, poller& net, bool follow_cpus);
  ~scheduler();
  scheduler(const scheduler&) = delete;
  scheduler& operator=(const scheduler&) = delete;

  /// Starts the first M and sysmon. @throws std::system_error
  void start();
  /// Ends all threads. False when some M did not come back before `deadline` (steady clock, ns); the scheduler must
  /// then not be destroyed.
  bool shut_down(std::int64_t deadline) noexcept;

  // --- called by green threads and Ms -------------------------------------------------------------------------------
  /// Puts a claimed green thread where `self` (null on foreign threads) runs it next.
  void make_ready(worker* self, green_thread& one) noexcept;
  /// Puts a whole list into the queues and wakes Ms for it.
  void make_ready(worker* self, ready_list& list) noexcept;
  /// The end of the P's ring; half of a full ring moves to the global queue.
  void push_local(processor& p, green_thread& one) noexcept;
  void push_overflowing(processor& p, green_thread& one) noexcept;
  void push_global(green_thread& one) noexcept;
  /// What this P runs next when nothing else is due; null: ask find_runnable.
  green_thread* pick_local(processor& p) noexcept;
  /// The next one of runnext and the ring. Null says that both are empty: only then may the P be given up.
  green_thread* pick_queued(processor& p) noexcept;
  /// An M's loop. Returns when the scheduler shuts down.
  void run_worker(worker& self) noexcept;
  /// Leaves the running green thread for the scheduler's loop, which does `after` for it.
  void leave_to_base(worker& self, green_thread& from, after_switch after) noexcept;
  /// Completes the switch that `self` has just made (see after_switch).
  void finish_switch(worker& self) noexcept;
  /// Charges the time since the last call to the group that ran, and starts the clock for `next` (null: none).
  static void account(processor& p, group* next) noexcept;
  /// Wakes an M for queued work if a P is idle and nobody is looking (invariant 3).
  void wake_for_work() noexcept {
    if (idle_procs_.load(std::memory_order_seq_cst) != 0) [[unlikely]]
      wake_for_work_slow();
  }

  // --- spawning (spawn.cpp) ------------------------------------------------------------------------------------------
  green_thread* new_green_thread(worker* self, std::size_t stack_size, const char** reason) noexcept;
  /// After the last switch away from a green thread that ended. The worker has a P.
  void recycle(worker& self, green_thread& one) noexcept;
  std::uint64_t take_ids(std::uint64_t count) noexcept { return next_id_.fetch_add(count, std::memory_order_relaxed); }

  // --- rt::blocking (blocking.cpp) -----------------------------------------------------------------------------------
  void enter_blocking(worker& self) noexcept;
  void exit_blocking() noexcept;

  // --- stopping the world (stop_the_world.cpp) -----------------------------------------------------------------------
  /// Stops all Ps but the caller's. The caller is a green thread or an outside thread. One stop at a time.
  void stop_the_world() noexcept;
  void start_the_world() noexcept;
  /// Changes the number of Ps; the world is stopped meanwhile.
  void set_procs(int count) noexcept;
  system_monitor& monitor() noexcept { return *monitor_; }

  // --- looking -------------------------------------------------------------------------------------------------------
  int proc_count() const noexcept { return proc_count_.load(std::memory_order_acquire); }
  processor& proc(int index) noexcept { return *procs_[index]; }
  std::size_t default_stack_size() const noexcept { return default_stack_size_; }
  int proc_limit() const noexcept { return static_cast<int>(procs_made_.load(std::memory_order_acquire)); }

  struct thread_counts {
    int total, idle, spinning, blocked, polling;
  };
  thread_counts count_threads() noexcept;
  int idle_proc_count() const noexcept { return idle_procs_.load(std::memory_order_relaxed); }
  std::uint64_t global_length() const noexcept { return global_count_.load(std::memory_order_relaxed); }
  struct totals {
    std::atomic<std::uint64_t> threads_created{0};
    std::atomic<std::uint64_t> handoffs{0};
    std::atomic<std::uint64_t> preempt_requests{0};
    std::atomic<std::uint64_t> wakeups{0};
    std::atomic<std::uint64_t> stops{0};
    std::atomic<std::uint64_t> created_outside{0};
    std::atomic<std::uint64_t> blocking_now{0};
  };
  totals& counters() noexcept { return totals_; }
  group& default_group() noexcept { return default_group_; }
  std::int64_t started_at() const noexcept { return started_at_; }
  std::uint64_t started_cycles() const noexcept { return started_cycles_; }

 private:
  friend class system_monitor;

  green_thread* find_runnable(worker& self) noexcept;
  green_thread* check_due(worker& self, std::int64_t now) noexcept;
  green_thread* steal(worker& self, std::int64_t& now) noexcept;
  green_thread* take_global(processor& p, std::uint32_t most) noexcept;
  green_thread* take_list(worker& self, ready_list& list) noexcept;
  /// Steps 8 and 9. Null: try again with whatever P the worker has now; a worker without P and green thread ends.
  green_thread* wait_for_work(worker& self) noexcept;
  green_thread* wait_in_poller(worker& self) noexcept;
  void tell_poller_of_timers(processor& p) noexcept;
  bool work_is_queued() noexcept;
  std::int64_t earliest_timer() noexcept;
  void observe_start(processor& p, green_thread& next) noexcept;
  static void observe_wait(processor& p, green_thread& next) noexcept;

  void attach(worker& self, processor& p) noexcept;
  void release_proc_locked(processor& p) noexcept RT_REQUIRES(lock_);
  processor* take_idle_proc_locked() noexcept RT_REQUIRES(lock_);
  processor* take_idle_proc() noexcept;
  void hand_off(processor& p) noexcept;
  void wake_for_work_slow() noexcept;
  void start_worker(processor& p, bool spinning) noexcept;
  void sleep_until_handed(worker& self) noexcept;
  void stop_here(worker& self) noexcept;
  void note_stopped_locked() noexcept RT_REQUIRES(lock_);
  static void* thread_main(void* argument) noexcept;

  const std::size_t default_stack_size_;
  poller* const net_;
  const std::int64_t started_at_;
  const std::uint64_t started_cycles_;
  std::atomic<int> proc_count_{0};
  std::atomic<int> procs_made_{0};
  std::unique_ptr<processor> procs_[most_procs];

  alignas(64) os::spin_lock lock_{os::lock_rank::scheduler};
  green_thread* global_first_ RT_GUARDED_BY(lock_) = nullptr;
  green_thread* global_last_ RT_GUARDED_BY(lock_) = nullptr;
  std::atomic<std::uint64_t> global_count_{0};
  processor* idle_first_ RT_GUARDED_BY(lock_) = nullptr;
  worker* idle_workers_ RT_GUARDED_BY(lock_) = nullptr;
  worker* all_workers_ RT_GUARDED_BY(lock_) = nullptr;
  int worker_count_ RT_GUARDED_BY(lock_) = 0;
  int idle_worker_count_ RT_GUARDED_BY(lock_) = 0;
  int stop_waits_for_ RT_GUARDED_BY(lock_) = 0;

  alignas(64) std::atomic<int> idle_procs_{0};
  alignas(64) std::atomic<int> spinning_{0};
  std::atomic<bool> stop_requested_{false};
  std::atomic<std::uint32_t> stop_done_{0};   // futex
  std::atomic<std::uint32_t> world_busy_{0};  // futex: 1 while a stop is under way
  processor* stopper_proc_ = nullptr;         // the P of the green thread that stopped the world
  std::atomic<bool> shutting_down_{false};
  std::atomic<bool> poll_turn_{false};       // an M is in the poller with a timeout, or about to
  std::atomic<std::int64_t> poll_until_{0};  // until when; 0 while it is being computed
  std::atomic<std::int64_t> last_poll_{0};

  std::atomic<std::uint64_t> next_id_{1};
  totals totals_;
  group default_group_;
  std::unique_ptr<system_monitor> monitor_;
};

/// The running scheduler; null when no runtime runs.
extern std::atomic<scheduler*> scheduler_instance;
inline scheduler* the_scheduler() noexcept { return scheduler_instance.load(std::memory_order_relaxed); }
void set_the_scheduler(scheduler* instance) noexcept;

}  // namespace rt::detail
