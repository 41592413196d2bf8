// How the coroutines of a task run: a crew of carriers.
//
// A carrier is a green thread with a stack, a housekeeper of the task (housekeeper.h). It takes a coroutine from the
// queue of those that can run and resumes it. The coroutine runs on the carrier's stack until it waits by co_await,
// which leaves the carrier to the next one, or has ended. What it calls may also block as all code of a green thread
// may, on a mutex or a socket for instance: then it keeps its carrier for so long. So nothing is forbidden in a
// coroutine, and only what waits by co_await waits without a stack.
//
// A coroutine parks by the word of its record, with park_word's protocol: the carrier is to it what an M is to a green
// thread. A wake may come too early, or for nothing; so whoever takes a coroutine up asks first whether its wait is
// over (is_over), as every park of a green thread stands in a loop.
//
// Invariants, under the lock
//   1 `looking_` counts the carriers that are on their way to take(), or idle in it. Whoever takes a coroutine up and
//     finds that nobody else is looking starts one more carrier first. So a coroutine that keeps its carrier, by
//     blocking or by computing, keeps no other one from running; only when the system has no stack for one more it may.
//   2 Who puts a coroutine into the queue wakes an idle carrier, unless one that is awake has yet to look at the queue.
//     Who takes a coroutine up and leaves others in the queue does so, too. So a burst wakes one after the other as far
//     as they find something, and not one for each coroutine.
//   3 A wake starts nothing and allocates nothing: it may come from anybody.
//   4 Carriers are there while coroutines are (`alive_`), and leave with the last one: a task without coroutines has no
//     green thread for them, and nothing to end.
//
// The race by name: *left and gone*. As soon as the word of a record is settled, somebody may wake the coroutine,
// another carrier run it to its end and its frame be collected. So what leaves touches neither afterwards; its carrier
// sees by its own descriptor that it has left (green_thread::carried).
//
// Coroutines count as green threads of their task, for its end, its limit and its deadlocks, from start to end; the
// carriers, as housekeepers, do not.
//
// Rejected: a stack for each wake (a spawn may fail, a wake may not); resuming on the stack of whoever wakes (a send
// would run its receiver, however long that computes, and a timer's function is no green thread); transfer from
// coroutine to coroutine by returning a handle from await_suspend (without optimisation compilers make that a call, and
// the stack grows with each one).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/os/spin_lock.h"
#include "runtime/sched/coroutine_record.h"

namespace rt::detail {

struct group;

class coroutine_crew {
 public:
  explicit coroutine_crew(group& of) noexcept : group_(of) {}
  coroutine_crew(const coroutine_crew&) = delete;
  coroutine_crew& operator=(const coroutine_crew&) = delete;

  group& of() const noexcept { return group_; }
  /// Starts a coroutine, which is the crew's from then on. Any thread. May make way.
  /// @throws as rt::go; then nothing has started.
  void start(coroutine_frame& outermost, const char* name);
  /// A coroutine that was claimed (park_word.h) can run. Any thread.
  void make_ready(coroutine_record& one) noexcept;

  /// The coroutine that the caller carries begins to wait, until is_over(wait, carrier). False: it is over already.
  /// True: it has left; the caller returns to its carrier at once (*left and gone*).
  static bool leave_until(coroutine_record& one, wait_reason reason, bool timed,
                          bool (*is_over)(void*, const green_thread&) noexcept, void* wait) noexcept;
  /// It leaves, to be taken up after those that can run already.
  static void leave_for_others(coroutine_record& one) noexcept;

 private:
  struct idle_carrier {
    green_thread* carrier;
    idle_carrier* next = nullptr;
    idle_carrier* previous = nullptr;
    bool is_listed = false;
  };
  struct taken {
    coroutine_record* one = nullptr;  // null: the carrier is to leave
    bool carrier_is_due = false;      // invariant 1
    green_thread* to_wake = nullptr;  // invariant 2
  };

  void carry() noexcept;
  taken take(green_thread& self) noexcept;
  void run(green_thread& self, coroutine_record& one) noexcept;
  void end(green_thread& self, coroutine_record& one) noexcept;
  /// Counted as looking already. @throws std::system_error
  void start_carrier();
  void look_again() noexcept;
  static bool leave(coroutine_record& one) noexcept;
  void list(idle_carrier& one) noexcept RT_REQUIRES(lock_);
  void take_off(idle_carrier& one) noexcept RT_REQUIRES(lock_);
  void enqueue(coroutine_record& one) noexcept RT_REQUIRES(lock_);
  green_thread* idle_one() noexcept RT_REQUIRES(lock_);
  green_thread* idle_one_unless_awake() noexcept RT_REQUIRES(lock_) {
    return looking_ == idle_count_ ? idle_one() : nullptr;
  }

  group& group_;
  os::spin_lock lock_{os::lock_rank::coroutines};
  coroutine_record* first_ RT_GUARDED_BY(lock_) = nullptr;  // that can run
  coroutine_record* last_ RT_GUARDED_BY(lock_) = nullptr;
  idle_carrier* idle_ RT_GUARDED_BY(lock_) = nullptr;
  std::uint32_t idle_count_ RT_GUARDED_BY(lock_) = 0;
  std::uint32_t looking_ RT_GUARDED_BY(lock_) = 0;
  std::uint64_t alive_ RT_GUARDED_BY(lock_) = 0;
};

// In spawn.cpp: a coroutine counts as a green thread of its group.

/// @throws rt::out_of_green_threads at the group's limit
void admit_coroutine(group& of);
/// Returns its id.
std::uint64_t count_coroutine(group& of) noexcept;
/// Afterwards the group may end, but for its housekeepers.
void count_ended_coroutine(group& of) noexcept;

}  // namespace rt::detail
