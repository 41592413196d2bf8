// The fair queue: the CPU shared between groups (tasks) by weight, and a class that goes first.
//
// While every group has the default weight and class, Ps use their rings, which share the CPU between green threads and
// know nothing of groups; nothing here is touched. As soon as one group has settings of its own, sharing by weight is
// in use for all of them: a green thread that becomes ready goes to the queue of its group, and a P that has run what
// it had takes from the group with the smallest virtual time.
//
// Virtual time is start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queuing", 1996) over groups: a group's
// grows by cycles * default_weight / weight as its green threads run, on whichever P, and `virtual_now_` is the
// largest at which a group was served. A group whose queue was empty starts at virtual_now_ if it lies behind: it gets
// no credit for having slept, and no debt either, since it ran last at a smaller one plus its own last slice.
//
// The latency class goes before everything while its budget lasts: budget_per_proc of time on a P for each P, which
// comes back at the rate of half of the Ps' time (of Ps, not of CPUs: while the kernel lets an M wait, others wait for
// its P). So a class that always wants to run gets half of the machine or what its weight says, whichever is more; and
// one that uses less waits only for the decision that follows its wake-up. That one comes soon: a P that runs something
// else is asked to make way (scheduler::preempt_for_latency).
//
// One queue serves all Ps, under one lock. What keeps Ps away from the lock:
//   - a green thread that wakes or starts another one of its group puts it into runnext, as ever: the group has the P
//     anyway, for at most 64 decisions or one slice (fast_path.h, scheduler::check_due);
//   - when slices are short, a P takes up to most_at_once green threads of the chosen group into its ring, where other
//     Ps can steal them, so the lock is taken once for some microseconds of work.
// A green thread that yields competes like those that wait: it keeps the P when its group is still first, or else waits
// before the choice is made (scheduler::yield_by_weight). Else two that yield would always be alone when they choose,
// and take turns whatever their weights.
//
// Invariants
//   1 A group is in a heap exactly if it has waiting green threads and is not throttled (cpu_quota.cpp): in `latency_`
//     or `normal_`, by its class. size() counts those of the heaps.
//   2 key <= virtual_time, so the top of a heap is the smallest as soon as its key is right (settle).
//   3 size() was raised before the lock was released; whoever pushes then looks for spinning Ms (scheduler.h, 3).
//   4 A group's weight and class change only under the lock, or while it has no green threads.
//
// Rejected
//   - A queue for each P. Weights are about the machine: two hogs of weight 1 on one P and two of weight 100 on the
//     other would get the same, so Ps would have to be balanced by weight, all the time, which takes more looks at
//     other Ps than one lock costs, and the shares would be right on average at best.
//   - All groups of the default weight as one entity of the fair queue. Its weight would be 100 times the number of
//     them that want to run, which nobody knows without counting at every park and wake-up; guessed too small, a task
//     of weight 200 gets two thirds of the CPU beside ten others.
//   - Always by weight. A switch inside of one P's ring costs 14 ns; through the lock it costs about three times that.
//   - Credit for sleepers, as old Linux gave it: two groups that sleep in turn starve a third one. The latency class
//     says openly who goes first, and has a budget.
//
// The race by name: *the last weight goes*. A foreign thread finds sharing by weight in use, and pushes after every P
// has gone back to its ring. Every P that passes through find_runnable looks at size() too, and moves what it finds to
// the global queue; the pusher wakes one if all are idle.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>

#include "runtime/os/spin_lock.h"
#include "runtime/sched/group.h"

namespace rt::detail {

/// A P as the monitor sees it when it looks at quotas (cpu_quota.cpp).
struct quota_watch {
  const group* running = nullptr;
  bool is_over = false;  // that one has used its quota
};

class fair_queue {
 public:
  /// Most green threads that a P takes with one look, when slices are shorter than a microsecond: some microseconds.
  static constexpr std::uint32_t most_at_once = 16;
  using batch = std::array<green_thread*, most_at_once>;

  /// Whether any group that exists has a weight, a class or a quota of its own.
  static bool in_use() noexcept { return special_groups_.load(std::memory_order_relaxed) != 0; }

  /// The number of Ps; the budget of the latency class grows with it.
  void set_procs(int count) noexcept { procs_.store(count, std::memory_order_relaxed); }

  /// Any thread. `one` is runnable and in no other queue. True when it is of the latency class and may go first.
  bool push(green_thread& one) noexcept;

  /// Takes at most `most` (1 to most_at_once) green threads of one group, the one whose turn it is. Returns how many.
  std::uint32_t take(batch& out, std::uint32_t most) noexcept;
  /// Takes one of the latency class, if there is one and the class may go first.
  green_thread* take_first_class() noexcept;
  /// Whether `share`, a group that runs, would be chosen again if it waited too.
  bool is_still_first(const group_share& share) noexcept;
  /// Takes any, oldest of some group, without regard to weights: to empty the queue.
  green_thread* take_any() noexcept;

  /// The latency class was on a P for `spent` cycles. Any thread.
  void charge_latency(std::uint64_t spent) noexcept { latency_spent_.fetch_add(spent, std::memory_order_relaxed); }

  /// How many wait. seq_cst: invariant 3 of scheduler.h.
  std::uint64_t size() const noexcept { return size_.load(std::memory_order_seq_cst); }
  std::uint64_t first_class_size() const noexcept { return latency_size_.load(std::memory_order_relaxed); }

  /// Changes weight and class of a group whose green threads may be anywhere. Any thread.
  void change(group_share& share, std::uint32_t weight, share_class kind) noexcept;
  /// Changes the quota of a group, in CPUs' worth of time; 0: none. Any thread.
  void set_quota(group& of, double cpus) noexcept;
  /// The same at the end of a group, after that of the scheduler.
  static void forget_quota(group_share& share) noexcept;
  bool has_quotas() const noexcept { return quota_count_.load(std::memory_order_relaxed) != 0; }
  /// Whether a group has used its quota.
  bool has_throttled() const noexcept { return throttled_.load(std::memory_order_relaxed) != 0; }
  /// True, and queued until its group has something left, when `one`, which was to run, is of one that is throttled.
  bool put_aside(green_thread& one) noexcept;
  /// Throttles who has used its quota, lets go who has something left; true if somebody was let go. The monitor's.
  bool enforce_quotas(std::int64_t now, std::span<quota_watch> procs) noexcept;
  /// How long until somebody may be let go, in nanoseconds; -1: nobody is throttled.
  std::int64_t time_to_next_period(std::int64_t now) noexcept;

  /// As change, for a group that has no green threads: at its beginning and its end.
  static void set_idle(group_share& share, std::uint32_t weight, share_class kind) noexcept;

 private:
  struct heap {
    group_share* top = nullptr;
    void push(group_share& one) noexcept;
    void pop() noexcept;
    void remove(group_share& one) noexcept;
    /// Moves the smallest to the top (invariant 2).
    void settle() noexcept;
  };

  static void count_special(bool before, bool after) noexcept;
  void enqueue_locked(group_share& share) noexcept RT_REQUIRES(lock_);
  void append_locked(group_share& share, green_thread& one) noexcept RT_REQUIRES(lock_);
  void throttle_locked(group_share& share, std::int64_t now) noexcept RT_REQUIRES(lock_);
  void end_throttling_locked(group_share& share, std::int64_t now) noexcept RT_REQUIRES(lock_);
  void refill_locked() noexcept RT_REQUIRES(lock_);
  /// The heap whose top is to be served; null when nobody waits.
  heap* choose_locked() noexcept RT_REQUIRES(lock_);
  green_thread* take_one_locked(heap& from) noexcept RT_REQUIRES(lock_);
  heap& heap_of(const group_share& share) noexcept RT_REQUIRES(lock_) {
    return share.kind.load(std::memory_order_relaxed) == share_class::latency ? latency_ : normal_;
  }

  static std::atomic<int> special_groups_;

  alignas(64) os::spin_lock lock_{os::lock_rank::scheduler};
  heap normal_ RT_GUARDED_BY(lock_);
  heap latency_ RT_GUARDED_BY(lock_);
  double virtual_now_ RT_GUARDED_BY(lock_) = 0;
  double budget_ RT_GUARDED_BY(lock_) = 0;  // cycles that the latency class may still use before the others
  std::uint64_t refilled_at_ RT_GUARDED_BY(lock_) = 0;
  std::atomic<std::uint64_t> size_{0};
  std::atomic<std::uint64_t> latency_size_{0};
  std::atomic<int> procs_{1};
  group_share* quotas_ RT_GUARDED_BY(lock_) = nullptr;  // those that have one
  std::int64_t period_end_ RT_GUARDED_BY(lock_) = 0;    // steady clock, ns
  std::atomic<int> quota_count_{0};
  std::atomic<int> throttled_{0};
  alignas(64) std::atomic<std::uint64_t> latency_spent_{0};
};

}  // namespace rt::detail
