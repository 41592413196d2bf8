// Finding tasks that will never go on: all green threads of a group are parked, and nobody is left to wake one.
//
// A wake-up comes from a green thread, a timer, the kernel (a socket, a look-up) or a kernel thread that the runtime
// did not start. A group is dead when for each of these it is certain that none will come:
//
//   1 Each of its green threads is parked without a deadline, in a wait between green threads (a channel, a select, a
//     mutex, a condition, a wait group, a scope; not a socket, a sleep, or a name that is looked up), and none is in
//     rt::blocking. So the kernel wakes none of them. Housekeepers (housekeeper.h) count as its green threads here, but
//     for those that have nothing to do; that a collection may start one whose destructor wakes somebody is no hope.
//   2 The same holds for every other group that may share objects with it (sharing_domain.h). So no green thread wakes
//     one: those of these groups are parked, all others cannot reach what its green threads wait for.
//   3 No timer of these domains is armed, and none is being fired.
//   4 The process has no kernel thread but the runtime's (os/thread_census.h).
//   5 No group of these domains has ended in the last five minutes that no group of the same name has followed: a task
//     that waits for its restart comes back and may be the one that wakes.
//
// All five must hold at one moment. Two pictures are taken, at least a second apart, without stopping anything. A green
// thread that is parked in both, and has not been resumed in between (green_thread::thread_switch), was parked all the
// while from the first look at it to the second; the second between the pictures belongs to all of these intervals, so
// at that moment all were parked at once. The counts of armed timers only grow, so when they are the same in both
// pictures and none was pending, none was armed in between. From such a moment on, by induction over the wake-ups,
// there is no first one.
//
// The race by name: *a timer that has left its heap and has not done its work yet*. Its callback runs on an M that owns
// a P and is not running a green thread. At the second picture each P must be idle or have left a green thread since
// the first one; either way a callback that was under way at the first picture is over, and its effect is in the
// second. The race by name: *claimed but not yet resumed*. Whoever claims a parked green thread changes its park word
// first; it must be `parked` in both pictures.
//
// What it costs: nothing on any path of a green thread but one store in waits with deadlines. A look first compares
// each group's counters (green threads begun and ended, CPU time) with those of the last one; only when a group has not
// moved and points 2 to 5 hold are the stacks walked. While something runs there is a look every second and a pair of
// pictures at most every 10 s. When the last P becomes idle, there are looks after 1 s and 2 s, and then no more until
// something has run: an idle runtime is idle.
//
// Rejected. Reporting a group whose channels nobody outside has used so far (a flag in each channel): the first use may
// be yet to come, through a global. Counting handles: a reference to a handle is none. Finding the objects that no one
// else can reach by scanning memory: malloc does not tell what is inside of what; it needs the collector's heap.
// Stopping the world for one exact picture: it waits for a green thread that computes, two pictures do not. Asking at
// the moment at which the last P becomes idle, as Go does: a task's deadlock among busy tasks is the case that
// operators have. What is not seen: a group is not judged while a foreign thread lives that will never call, or a task
// of the same plugin sleeps that will never send. That is the price of never reporting a task that would have gone on.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/sched/group.h"

namespace rt::detail {

class scheduler;

/// Used by the system monitor's thread alone.
class deadlock_watch {
 public:
  explicit deadlock_watch(scheduler& watched) noexcept : scheduler_(watched) {}
  deadlock_watch(const deadlock_watch&) = delete;
  deadlock_watch& operator=(const deadlock_watch&) = delete;

  /// While something runs, at any pace: looks when it is time.
  void look_if_due(std::int64_t now) noexcept {
    if (now >= next_look_) look(now, false);
  }
  /// All Ps are idle: in how many ns look() is to be called if they still are. Negative: not at all.
  std::int64_t time_to_idle_look(std::int64_t now) const noexcept;
  void look(std::int64_t now, bool all_idle) noexcept;

 private:
  std::uint64_t activity() const noexcept;
  bool may_be_dead(const group& one, std::int64_t now) noexcept;
  bool others_may_be_dead(const group& one) const noexcept;
  void take_picture();
  bool processors_moved_on() noexcept;
  bool is_dead(const group& one) const noexcept;

  scheduler& scheduler_;
  std::vector<group*> groups_;        // pinned while a look lasts
  std::vector<std::uint32_t> ticks_;  // of the Ps at the picture before
  bool all_idle_ = false;
  std::uint64_t picture_ = 0;  // its number
  std::int64_t picture_at_ = 0;
  std::int64_t next_look_ = 0;
  std::int64_t next_picture_ = 0;           // while something runs
  bool confirming_ = false;                 // the next picture is the second one of two
  std::int64_t patience_ends_ = INT64_MAX;  // when an ended group no longer stands in the way
  std::uint64_t settled_at_ = UINT64_MAX;   // the activity at which all there is was judged
};

}  // namespace rt::detail
