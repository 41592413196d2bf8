// What the scheduler keeps for each task: a group of green threads.
//
// A green thread inherits the group of its creator. Counters are split by P: only the owner of a P writes its shard, so
// a spawn or an end costs plain stores. Both counters only grow; reading all of `ended` before all of `created` and
// finding them equal proves that the group was empty at a moment in between.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>

#include "runtime/heap/task_heap.h"
#include "runtime/sched/attached.h"
#include "runtime/sched/cancel_domain.h"
#include "runtime/sched/connection_account.h"
#include "runtime/sched/coroutine_crew.h"
#include "runtime/sched/group_share.h"
#include "runtime/sched/housekeeper.h"
#include "runtime/sched/limits.h"

namespace rt::detail {

/// Most Ps that a runtime may have.
inline constexpr int most_procs = 256;

struct sharing_domain;
struct worker;

/// What deadlock_watch remembers of a group from look to look; only its thread uses it.
struct watch_notes {
  std::uint64_t activity = UINT64_MAX;        // at the last look
  std::uint64_t not_waiting_at = UINT64_MAX;  // the activity at which it had a green thread that may go on by itself
  std::uint64_t reported_at = UINT64_MAX;     // the activity at which its deadlock was reported
  bool moved = true;                          // since the look before
  // The picture that is being taken, and the one before.
  struct picture {
    std::uint64_t number = 0;  // of the picture
    bool all_wait = false;
    std::uint64_t green_threads = 0;
    std::uint64_t housekeepers = 0;
    std::uint64_t switches = 0;  // a sum over them that changes when any of them has run
    std::uint64_t timers = 0;    // armed so far in its domain
  } now, before;
};

struct group {
  /// `exception_hook` gets what leaves a green thread of the group (never rt::cancelled), on that green thread; it must
  /// not throw. Without one the process ends with a report.
  using exception_hook = void (*)(group&, std::exception_ptr) noexcept;
  /// Told when all green threads of the group wait for each other (deadlock_watch.h), once until they move again.
  /// Called on the system monitor's thread, with the group kept from being destroyed; must not wait for any green
  /// thread.
  using deadlock_hook = void (*)(group&) noexcept;

  explicit group(std::string group_name, std::size_t default_stack_size = 0, exception_hook hook = nullptr,
                 void* owner = nullptr);
  group(const group&) = delete;
  group& operator=(const group&) = delete;
  /// The group must be empty, but for housekeepers, which are ended. Waits while a deadlock hook runs.
  ~group();

  /// Whose objects its green threads may reach, and who is told of a deadlock (null: nobody). Before it has green
  /// threads; a group that this was not called for shares with all and is not reported.
  void watch(sharing_domain& whose, deadlock_hook hook) noexcept;
  // Relaxed: a look that comes before watch() sees a group that shares with all, and has no green threads yet.
  sharing_domain& sharing() const noexcept { return *sharing_.load(std::memory_order_relaxed); }
  deadlock_hook on_deadlock() const noexcept { return on_deadlock_.load(std::memory_order_relaxed); }

  /// Green threads that exist, without housekeepers; exact when it says 0, else right at about this moment.
  std::uint64_t live() const noexcept;
  std::uint64_t created() const noexcept;
  /// CPU time in seconds of the group's green threads, the slices that run at this moment included. Never less than
  /// what an earlier call returned. Any thread.
  double cpu_seconds() const noexcept;
  /// The same in cycles.
  std::uint64_t cycles() const noexcept;
  /// So many CPUs' worth of time at most; 0: any. Any thread, at any time while a runtime runs.
  void set_cpu_quota(double cpus) noexcept;
  throttling throttled() const noexcept;
  /// Of the waits in run queues that were measured (fast_path.h): how many, and how long in seconds altogether.
  struct queue_waits {
    std::uint64_t count;
    double seconds;
  };
  queue_waits waits() const noexcept;
  /// What part of the CPU it gets beside other groups (fair_queue.h). `weight` from least_weight to most_weight. At
  /// any time, from any thread; counts from the next decisions on.
  void set_share(std::uint32_t weight, share_class kind) noexcept;
  /// How many green threads it may have, housekeepers not counted; no_limit: any number. Any thread, at any time; those
  /// that it has too many stay.
  void set_green_thread_limit(std::uint64_t most) noexcept;
  /// Of a start on the P of this number, by its owner: whether admit_green_thread() has to be asked.
  bool is_look_due(int proc) const noexcept {
    const shard& mine = shards[static_cast<std::size_t>(proc)];
    return mine.created.load(std::memory_order_relaxed) >= mine.look_at.load(std::memory_order_relaxed);
  }
  /// The same of a start without a P.
  bool has_green_thread_limit() const noexcept {
    return green_threads.most.load(std::memory_order_relaxed) != no_limit;
  }
  /// Whether one more green thread may start now; counts those that may not. `self`: the caller's M.
  bool admit_green_thread(worker* self) noexcept;
  /// Parks (or sleeps) until live() <= `remaining` or `deadline` has passed (ns; on a green thread of runtime_now(),
  /// else of the steady clock): whether it is so. Looks again after 50 us, growing to 10 ms. Not ended by cancellation.
  bool wait_until_at_most(std::uint64_t remaining, std::int64_t deadline) const noexcept;
  /// The same until neither green threads nor housekeepers are left. The gate stays open: for the end of everything,
  /// when nobody starts one any more and what they have to do is to be done.
  bool wait_until_all_ended(std::int64_t deadline) const noexcept;
  /// Closes the gate of the housekeepers and waits until they have left, or are the default group's. Parks or sleeps;
  /// not ended by cancellation. Again it does nothing. What they have started meanwhile may still be there.
  void end_housekeepers() noexcept;

  /// Installs the group's root context unless it has one; the one that it has is returned. `fresh` is cancelled when
  /// the group's domain is.
  attached_context* install_context(attached_context& fresh) noexcept;
  void cancel_context() noexcept;
  /// Destroys the values of rt::task_local, when no other green thread of the group is left; whether there were any.
  /// Their destructors may have started green threads. On a green thread of the group; may park.
  bool destroy_values() noexcept;

  struct alignas(64) shard {
    std::atomic<std::uint64_t> created{0};
    std::atomic<std::uint64_t> ended{0};
    std::atomic<std::uint64_t> cycles{0};  // of os::cycles(), on this P (cpu_time.h)
    std::atomic<std::uint64_t> waits{0};   // measured waits in the run queue that ended on this P
    std::atomic<std::uint64_t> wait_nanoseconds{0};
    // What `created` is when the limit of green threads is to be looked at (green_thread_limit.cpp).
    std::atomic<std::uint64_t> look_at{UINT64_MAX};
  };

  const std::string name;
  void* const owner;             // the task layer's object, for rt::this_task
  const std::size_t stack_size;  // 0: the runtime's default
  const exception_hook on_exception;
  cancel_domain domain;
  group_share share;
  std::unique_ptr<shard[]> shards;  // most_procs of them; pages are committed by touch
  shard outside;                    // written by threads without a P, with atomic additions
  std::atomic<attached_context*> context{nullptr};
  std::atomic<attached_values*> values{nullptr};
  housekeeper_gate housekeepers;
  task_heap heap{
      this};  // its objects on the collected heap; ends before the gate, at which others may knock until then
  met_limits limits;
  green_thread_limit green_threads;
  const std::shared_ptr<connection_account> connections;  // whose sockets may outlive the group
  coroutine_crew crew{*this};
  watch_notes notes;

 private:
  void hand_over_waiting(group& heir) noexcept;
  void hand_over_if_waiting(green_thread& one, group& heir) noexcept;

  mutable std::atomic<std::uint64_t> reported_cycles_{0};  // the most that cpu_seconds has returned
  friend class group_registry;
  std::atomic<sharing_domain*> sharing_;
  std::atomic<deadlock_hook> on_deadlock_{nullptr};
  // Of the registry, guarded by its lock.
  group* next_ = nullptr;
  group* previous_ = nullptr;
  std::atomic<std::uint32_t> pins_{0};  // futex: looks of the registry's users at it
};

/// The group of the calling green thread; null outside green threads.
group* current_group() noexcept;

}  // namespace rt::detail
