// The scheduler: Ms run Gs that they find through Ps.
//
// Finding work (find_runnable), after Go's order (runtime/proc.go):
//   1 a request to stop the world; 2 due timers of the own P; 3 every 61st decision the global queue; 4 runnext, the
//   own ring, and when tasks have weights of their own, the fair queue (fair_queue.h); 5 the global queue; 6 the
//   network poller, without waiting; 7 stealing: four passes over all Ps in random order, timers and runnext on the
//   last; 8 give the P up and look at everything again; 9 one M waits in the poller until the next timer, the others
//   sleep.
//
// A switch between two green threads of one P does not pass through find_runnable: it takes runnext or the head of the
// ring and jumps there directly (park.cpp). Every 16th decision looks at the cycle counter; when 20 us have passed (or
// at each decision, when slices are long) it does pass through it, so timers, sockets and the global queue are served
// however busy the P is.
//
// Invariants
//   1 A P is owned by one M, is in the idle list, waits for an M (more Ps have work than Ms are there), or is stopped.
//   2 A green thread is on a CPU, in exactly one queue, parked, or in rt::blocking. One that is bound to an M (it was
//     frozen there, or has locked it) is in a queue like any other; whoever takes it out hands its P to that M.
//   3 If work is queued and a P is idle, some M is spinning or about to wake: whoever queues work looks at the number
//     of spinning Ms *after* publishing it, and the last M to stop spinning looks at all queues *after* saying so. Both
//     sides have a full fence between the two (the exchange of runnext; the subtraction of spinning_).
//     A runnext alone may be an exception. It waits for its owner, which as a rule runs it at its next decision, while
//     an M that is woken for it needs some microseconds to come, finds nothing, and has taken the owner's cache lines
//     away. So a P counts the wake-ups for a runnext, less four for each that was stolen (vain_wakes); after
//     enough_vain_wakes its runnexts wake nobody. Should the green thread that runs there not give way then, the
//     monitor sees a runnext behind a decision that does not change, and wakes an M: some 20 us to 1 ms later than
//     else, once, because the theft makes the P wake again. For the same reason a thief leaves a runnext alone whose
//     owner makes decisions.
//   4 At most half of the busy Ps look for work at the same time.
//
// Rejected: a scheduler green thread (two switches instead of one); a lock-free global queue (it is touched for one
// decision in 61 and when a ring overflows); waking for every queued green thread (thundering; see invariant 3).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/os/signal.h"
#include "runtime/os/spin_lock.h"
#include "runtime/sched/fair_queue.h"
#include "runtime/sched/park.h"
#include "runtime/sched/poller.h"
#include "runtime/sched/processor.h"
#include "runtime/sched/wake_ahead.h"

namespace rt::detail {

class system_monitor;
class virtual_time;
struct stop_errand;
class worker_factory;

/// How many green threads may be frozen before others whose function is known to compute no longer begin: each keeps a
/// kernel thread. 128 cost 40 MiB of
/// address space and some 2 MiB of memory, and with slices of 10 ms each has its turn once in 1.3 s a P.
inline constexpr int most_frozen = 128;
/// How many may be frozen at all: those that had begun before may turn to computing, too.
inline constexpr int most_frozen_begun = 2 * most_frozen;

/// What rest_for_sleep begins with, in nanoseconds (retake.cpp). Under ThreadSanitizer, in whose code nothing can be
/// frozen, threads that are taken for asleep by mistake stay about for longer.
inline constexpr std::int64_t first_rest = under_thread_sanitizer ? 50'000'000 : 2'000'000;

class scheduler {
 public:
  /// `procs`: how many Ps; `stack_size`: the default slot size; `max_threads`: most Ms.
  /// `follow_cpus`: the number of Ps follows the CPUs that the process may use.
  scheduler(int procs, std::size_t stack_size, poller& net, bool follow_cpus, int max_threads);
  ~scheduler();
  scheduler(const scheduler&) = delete;
  scheduler& operator=(const scheduler&) = delete;

  /// Starts the first M and sysmon. @throws std::system_error
  void start();
  /// Ends all threads. False when some M did not come back before `deadline` (steady clock, ns); the scheduler must
  /// then not be destroyed.
  bool shut_down(std::int64_t deadline) noexcept;

  // --- before start() (shuffle.cpp) ----------------------------------------------------------------------------------
  /// Whatever the scheduler is free to choose is chosen by a sequence that follows from `seed`. With one P its owner
  /// may call it again, to begin the sequence anew.
  void shuffle(std::uint64_t seed) noexcept;
  bool is_shuffled() const noexcept { return shuffled_; }
  /// Time is `time`'s, which advances when all green threads wait; needs a single P. Nothing is preempted: slices end
  /// by the real clock, which has no say in a bubble.
  void use_virtual_time(virtual_time& time) noexcept { virtual_time_ = &time; }
  /// Null in normal runs.
  virtual_time* time() const noexcept { return virtual_time_; }
  /// Unparks green threads, in the order of their ids.
  static void unpark_in_order(std::vector<green_thread*>& found) noexcept;

  // --- called by green threads and Ms -------------------------------------------------------------------------------
  /// Puts a claimed green thread where `self` (null on foreign threads) runs it next.
  void make_ready(worker* self, green_thread& one) noexcept;
  /// The same within a critical section of `self`.
  void make_ready_within(worker& self, green_thread& one) noexcept;
  /// Puts a whole list into the queues and wakes Ms for it.
  void make_ready(worker* self, ready_list& list) noexcept;
  /// The end of the P's ring; half of a full ring moves to the global queue.
  void push_local(processor& p, green_thread& one) noexcept;
  void push_overflowing(processor& p, green_thread& one) noexcept;
  void push_global(green_thread& one) noexcept;
  void push_reported(green_thread& one) noexcept;
  /// What this P runs next when nothing else is due; null: ask find_runnable.
  green_thread* pick_local(processor& p) noexcept;
  /// The next one of runnext and the ring. Null says that both are empty: only then may the P be given up.
  green_thread* pick_queued(processor& p) noexcept;
  /// The same when runnext has gone before the ring as often as it may in one turn (turns.h).
  green_thread* end_turn(processor& p) noexcept;
  /// The same for a shuffled P: any of them.
  green_thread* pick_shuffled(processor& p) noexcept;
  /// An M's loop. Returns when the scheduler shuts down.
  void run_worker(worker& self) noexcept;
  /// Leaves the running green thread for the scheduler's loop, which does `after` for it.
  void leave_to_base(worker& self, green_thread& from, after_switch after) noexcept;
  /// rt::yield while weights are in use and the P has nothing of its own: returns when the caller runs again.
  void yield_by_weight(worker& self) noexcept;
  /// Completes the switch that `self` has just made (see after_switch).
  void finish_switch(worker& self) noexcept;
  void finish_other_switch(worker& self, green_thread& from) noexcept;
  /// Charges the time since the last call to the group that ran, and starts the clock for `next` (null: none).
  void account(processor& p, group* next) noexcept;
  /// Asks the green thread that runs on `p` to make way at its next runtime call. Any thread.
  void request_preempt(processor& p) noexcept;
  /// Arms a timer on the caller's P; where it has none (a foreign thread, rt::blocking) on the first one. Throws
  /// std::bad_alloc.
  void add_timer(timer_node& node);
  /// Somebody who does not own `p` has armed a timer there, or its owner gives it up.
  void tell_poller_of_timers(processor& p) noexcept;
  /// Wakes an M for queued work if a P is idle and nobody is looking (invariant 3).
  void wake_for_work() noexcept {
    if (idle_procs_.load(std::memory_order_seq_cst) != 0) [[unlikely]]
      static_cast<void>(wake_for_work_slow());
  }

  // --- spawning (spawn.cpp) ------------------------------------------------------------------------------------------
  /// Null with a reason; with a null one when it is the limit of `counted`, the group that it is for (null: none).
  green_thread* new_green_thread(worker* self, group* counted, std::size_t stack_size, const char** reason) noexcept;
  green_thread* new_counted_green_thread(worker* self, group& counted, std::size_t stack_size,
                                         const char** reason) noexcept;
  /// After the last switch away from a green thread that ended. The worker has a P.
  void recycle(worker& self, green_thread& one) noexcept;
  /// Gives the P's own ended green threads back to the pool; nobody uses the P.
  static void give_free_back(processor& p) noexcept;
  std::uint64_t take_ids(std::uint64_t count) noexcept { return next_id_.fetch_add(count, std::memory_order_relaxed); }

  // --- rt::blocking (blocking.cpp) -----------------------------------------------------------------------------------
  /// In a critical section.
  void enter_blocking(worker& self) noexcept;
  void exit_blocking(worker& self) noexcept;

  // --- losing a P and getting one back (retake.cpp), in a critical section
  // --------------------------------------------
  /// Returns when the green thread that `self` runs has a P, perhaps on another M.
  void regain(worker& self) noexcept;
  /// Whether the M that owns `p` moves; `note` holds what the same watcher saw before.
  motion look_at_owner(processor& p, owner_note& note) noexcept;
  /// Takes the P from an M that was seen to rest: it sleeps in the kernel, in a call that nobody announced. False when
  /// it is awake after all.
  bool retake(processor& p, const owner_note& note) noexcept;

  // --- freezing (preempt.cpp) ----------------------------------------------------------------------------------------
  /// In the handler of the preemption signal on `self`.
  void freeze(worker& self, const void* context) noexcept;
  /// Sends the signal to the owner of `p` if it still runs the decision `tick`. False when no M could take the P over;
  /// one is being made then.
  bool interrupt(processor& p, std::uint32_t tick) noexcept;
  /// On an M whose P was taken away, in a critical section: whether that was right.
  void judge_retake(worker& self) noexcept;
  void charge_outside(worker& self) noexcept;
  /// How long an M's CPU clock must stand still until it counts as asleep, in nanoseconds.
  std::int64_t rest_for_sleep() const noexcept { return rest_for_sleep_.load(std::memory_order_relaxed); }
  /// For Ms that lost their P in a system call, have come back and compute without one: each gets a P or is frozen.
  /// Whether any may do so soon, as seen at `now` (steady clock, ns).
  bool catch_strays(std::int64_t now) noexcept;

  // --- stopping the world (stop_the_world.cpp) -----------------------------------------------------------------------
  /// Stops all Ps but the caller's. The caller is a green thread, an outside thread, or an M on an errand. One stop at
  /// a time.
  void stop_the_world() noexcept;
  /// Returns when the last P was handed over, by the steady clock in nanoseconds.
  std::int64_t start_the_world() noexcept;
  /// For a collector, while the world is stopped: stops those that run without a P as well, so that no green thread
  /// runs any more. Returns how many could not be stopped: their threads block the signal, or cannot be interrupted
  /// just now.
  int hold_outsiders() noexcept;
  /// Lets them go. Before start_the_world.
  void release_outsiders() noexcept;
  /// While the world is stopped, for those whose kernel threads were stopped by a signal, or run without a P: calls
  /// `visit(green_thread&, bool registers_saved)`; false when it could not be held. It holds a lock meanwhile.
  template <class Visit>
  void for_each_interrupted(const Visit& visit) noexcept {
    os::spin_guard guard(lock_);
    for (worker* one = all_workers_; one != nullptr; one = one->all_link) {
      if (one->outside) {
        if (one->current != nullptr) visit(*one->current, one->held);
      } else if (one->current != nullptr && one->current->frozen) {
        visit(*one->current, true);
      }
    }
  }
  /// Does `errand`, for which the world has to be stopped, on an M that comes by with its P, or else on the calling
  /// thread, which is none of an M. Returns when it is done (stop_errand.cpp).
  void run_errand(stop_errand& errand) noexcept;
  /// Changes the number of Ps; the world is stopped meanwhile.
  void set_procs(int count) noexcept;
  system_monitor& monitor() noexcept { return *monitor_; }

  // --- looking -------------------------------------------------------------------------------------------------------
  fair_queue& shares() noexcept { return fair_; }
  /// cpu_quota.cpp; the monitor's.
  void enforce_quotas(std::int64_t now) noexcept;
  int proc_count() const noexcept { return proc_count_.load(std::memory_order_acquire); }
  processor& proc(int index) noexcept { return *procs_[index]; }
  std::size_t default_stack_size() const noexcept { return default_stack_size_; }
  int proc_limit() const noexcept { return static_cast<int>(procs_made_.load(std::memory_order_acquire)); }

  struct thread_counts {
    int total, idle, spinning, blocked, polling, frozen;
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
    std::atomic<std::uint64_t> retaken_now{0};  // Ms whose P was taken away in a system call
    std::atomic<std::uint64_t> retakes{0};
    std::atomic<std::uint64_t> retakes_mistaken{0};  // the M had not slept: it had waited for a CPU
    std::atomic<std::uint64_t> threads_ended{0};
    std::atomic<std::uint64_t> threads_refused{0};
    std::atomic<std::uint64_t> signals{0};  // preemption signals sent
    std::atomic<std::uint64_t> freezes{0};
    std::atomic<std::uint64_t> os_lock_parks{0};
  };
  totals& counters() noexcept { return totals_; }
  group& default_group() noexcept { return default_group_; }
  std::int64_t started_at() const noexcept { return started_at_; }
  std::uint64_t started_cycles() const noexcept { return started_cycles_; }
  /// What os::lock_wait_cycles() was at the start.
  std::uint64_t lock_wait_cycles_before() const noexcept { return lock_wait_cycles_before_; }

 private:
  friend class system_monitor;
  friend class worker_factory;

  green_thread* find_runnable(worker& self) noexcept;
  green_thread* check_due(worker& self, std::int64_t now) noexcept;
  green_thread* steal(worker& self, std::int64_t& now) noexcept;
  green_thread* take_global(processor& p, std::uint32_t most) noexcept;
  green_thread* take_list(worker& self, ready_list& list) noexcept;
  static void append(green_thread*& first, green_thread*& last, green_thread& one) noexcept;
  void push_frozen_locked(green_thread& one) noexcept RT_REQUIRES(lock_);
  green_thread* pop_frozen_locked() noexcept RT_REQUIRES(lock_);
  /// Moves a frozen one from the fair queue to the list of the frozen, for when no other M is to be had.
  void find_frozen_by_weight() noexcept;
  void lend_to_frozen() noexcept;
  bool try_interrupt(processor& p, std::uint32_t tick, bool& stuck) noexcept;
  bool must_be_held_back(const green_thread& one) noexcept;
  /// Puts aside those at the head of the global queue that must be held back.
  void hold_back_first_ones() noexcept;
  void push_held_back_locked(green_thread& one) noexcept RT_REQUIRES(lock_);
  void hold_back(green_thread& one) noexcept;
  void pass_to_own_thread(worker& self, green_thread& bound) noexcept;
  green_thread* wait_for_locked(worker& self) noexcept;
  /// Steps 8 and 9. Null: try again with whatever P the worker has now; a worker without P and green thread ends.
  green_thread* wait_for_work(worker& self) noexcept;
  green_thread* wait_in_poller(worker& self) noexcept;
  /// Waits for I/O, and not beyond `deadline` (INT64_MAX: none). Returns about then, to the microsecond, when the
  /// machine is idle.
  void poll_until(std::int64_t deadline, ready_list& ready) noexcept;
  bool work_is_queued() noexcept;
  /// The same, and whether a runnext waits behind a green thread that runs.
  bool work_can_be_shared() noexcept;
  /// A shuffled run's part of making a P.
  void shuffle_proc(processor& p) noexcept;
  /// In a bubble, by the M that has the only P and nothing to run: whether time has moved, so that there is now.
  bool advance_time(processor& p) noexcept;
  std::int64_t earliest_timer() noexcept;
  void observe_start(processor& p, green_thread& next) noexcept;
  static void observe_wait(processor& p, green_thread& next) noexcept;
  static void note_queued(const processor& p, green_thread& one, std::uint32_t mask) noexcept;
  static void end_sample(processor& p, std::uint64_t now) noexcept;

  // Sharing by weight (sharing.cpp).
  green_thread* pick_by_weight(processor& p) noexcept;
  green_thread* pick_first_class(processor& p) noexcept;
  void make_ready_by_weight(worker& self, green_thread& one) noexcept;
  void make_ready_outside(worker* self, green_thread& one) noexcept;
  void requeue_shared(worker& self, green_thread& one) noexcept;
  void push_by_weight(worker* self, green_thread& one) noexcept;
  void preempt_for_latency(worker* self) noexcept;
  void choose_sharing(processor& p) noexcept;
  std::uint64_t charge(processor& p, group* next, std::uint64_t now) noexcept;

  void attach(worker& self, processor& p) noexcept;
  void release_proc_locked(processor& p) noexcept RT_REQUIRES(lock_);
  processor* take_idle_proc_locked() noexcept RT_REQUIRES(lock_);
  processor* take_idle_proc() noexcept;
  void hand_off(processor& p) noexcept;
  /// Whether a P was taken and an M woken.
  bool wake_for_work_slow() noexcept;
  void start_worker(processor& p, bool spinning) noexcept;
  void push_waiting_locked(processor& p) noexcept RT_REQUIRES(lock_);
  processor* pop_waiting_locked() noexcept RT_REQUIRES(lock_);
  worker* pop_idle_worker_locked() noexcept RT_REQUIRES(lock_);
  bool take_idle_worker_locked(const worker& wanted) noexcept RT_REQUIRES(lock_);
  void hand(worker& to, processor& p, bool spinning) noexcept;
  /// True when a P was handed over; false when the M shall end.
  bool sleep_until_handed(worker& self) noexcept;
  /// The same for one that stands among the idle ones already.
  bool wait_until_handed(worker& self) noexcept;
  void push_idle_worker_locked(worker& self) noexcept RT_REQUIRES(lock_);
  bool take_errand(worker& self) noexcept;
  void wait_for_errand(const stop_errand& errand, std::int64_t until) noexcept;
  void request_stop() noexcept;
  void leave_world() noexcept;
  void wait_until_stopped() noexcept;
  bool hasten_stop() noexcept;
  bool hold_if_asked(worker& self, const void* context) noexcept;
  void stop_here(worker& self) noexcept;
  /// One P has stopped. True when it was the last: then tell_stopper follows, without the lock.
  [[nodiscard]] bool note_stopped_locked() noexcept RT_REQUIRES(lock_) { return --stop_waits_for_ == 0; }
  void tell_stopper() noexcept;
  static void* thread_main(void* argument) noexcept;
  void end_worker(worker& self) noexcept;

  const std::size_t default_stack_size_;
  poller* const net_;
  const std::int64_t started_at_;
  const std::uint64_t started_cycles_;
  const std::uint64_t lock_wait_cycles_before_;
  std::atomic<int> proc_count_{0};
  std::atomic<int> procs_made_{0};
  std::unique_ptr<processor> procs_[most_procs];

  alignas(64) os::spin_lock lock_{os::lock_rank::scheduler};
  green_thread* global_first_ RT_GUARDED_BY(lock_) = nullptr;
  green_thread* global_last_ RT_GUARDED_BY(lock_) = nullptr;
  green_thread* frozen_first_ RT_GUARDED_BY(lock_) = nullptr;  // wait for a P with their Ms
  green_thread* frozen_last_ RT_GUARDED_BY(lock_) = nullptr;
  green_thread* held_back_first_ RT_GUARDED_BY(lock_) = nullptr;  // too many are frozen (preempt.cpp)
  green_thread* held_back_last_ RT_GUARDED_BY(lock_) = nullptr;
  std::uint32_t global_turn_ RT_GUARDED_BY(lock_) = 0;
  std::atomic<std::uint64_t> global_count_{0};  // all three lists
  // How many leave the global list until the last one has that the poller reported while a ring was full. Written with
  // lock_ held; read without it, as a hint, so that relaxed will do.
  std::atomic<std::uint64_t> reported_{0};
  std::atomic<int> frozen_count_{0};  // in the list, stopped with their P, or just handed one
  // Functions whose green threads were frozen, found by a hash; a collision forgets the older one.
  static constexpr std::size_t known_computing = 256;
  std::atomic<void (*)(void*)> computing_[known_computing]{};
  static std::size_t computing_place(void (*entry)(void*)) noexcept {
    return (reinterpret_cast<std::uintptr_t>(entry) >> 4) % known_computing;
  }
  processor* idle_first_ RT_GUARDED_BY(lock_) = nullptr;
  worker* idle_workers_ RT_GUARDED_BY(lock_) = nullptr;
  worker* all_workers_ RT_GUARDED_BY(lock_) = nullptr;
  worker* ended_workers_ RT_GUARDED_BY(lock_) = nullptr;     // linked by idle_link; the factory joins them
  processor* waiting_first_ RT_GUARDED_BY(lock_) = nullptr;  // Ps that wait for an M, linked by idle_link
  int waiting_count_ RT_GUARDED_BY(lock_) = 0;
  int preparing_count_ RT_GUARDED_BY(lock_) = 0;  // Ms that were made and have not yet asked for a P
  const int max_threads_;
  bool can_retake_ = false;
  std::atomic<std::int64_t> rest_for_sleep_;
  int worker_count_ RT_GUARDED_BY(lock_) = 0;
  int idle_worker_count_ RT_GUARDED_BY(lock_) = 0;
  int stop_waits_for_ RT_GUARDED_BY(lock_) = 0;
  fair_queue fair_;
  std::atomic<std::uint32_t> preempt_turn_{0};  // where preempt_for_latency looks first

  alignas(64) std::atomic<int> idle_procs_{0};
  alignas(64) std::atomic<int> spinning_{0};
  std::atomic<bool> stop_requested_{false};
  std::atomic<std::uint32_t> stop_done_{0};     // futex (stop_the_world.cpp)
  std::atomic<std::uint32_t> world_busy_{0};    // futex: 1 while a stop is under way
  std::atomic<stop_errand*> errand_{nullptr};   // waits for an M (stop_errand.cpp)
  std::atomic<std::uint32_t> errands_done_{0};  // futex
  bool hold_requested_ RT_GUARDED_BY(lock_) = false;
  std::atomic<std::uint32_t> held_{0};  // futex: 1 while those without a P are held
  processor* stopper_proc_ = nullptr;   // the P of the green thread that stopped the world
  std::atomic<bool> shutting_down_{false};
  std::atomic<bool> poll_turn_{false};       // an M is in the poller with a timeout, or about to
  std::atomic<std::int64_t> poll_until_{0};  // until when; 0 while it is being computed
  std::atomic<std::int64_t> last_poll_{0};
  wake_ahead wake_ahead_;  // used by the M that has poll_turn_

  bool shuffled_ = false;  // this and the next two are set before any thread starts
  std::uint64_t shuffle_seed_ = 0;
  virtual_time* virtual_time_ = nullptr;

  std::atomic<std::uint64_t> next_id_{1};
  totals totals_;
  group default_group_;
  std::unique_ptr<system_monitor> monitor_;
  std::unique_ptr<worker_factory> factory_;
};

/// The running scheduler; null when no runtime runs.
extern std::atomic<scheduler*> scheduler_instance;
inline scheduler* the_scheduler() noexcept { return scheduler_instance.load(std::memory_order_relaxed); }
void set_the_scheduler(scheduler* instance) noexcept;

}  // namespace rt::detail
