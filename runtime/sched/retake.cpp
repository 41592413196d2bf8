// Ps of Ms that sleep in the kernel in a call that nobody announced.
//
// A plugin calls sleep(10), flock, or read on a pipe, without rt::blocking. Its M sleeps with its P. The monitor sees
// that the P makes no decisions and that the thread's CPU clock stands still, and takes the P away, without the M's
// doing and without a signal, which would end the call (EINTR). When the call returns the M goes on in the plugin's
// code, without a P, until its next call of the runtime that needs one: that waits for one (regain). If it keeps
// computing it is a stray: more threads compute than there are Ps, and its time is charged to nobody yet. The monitor
// sends it the signal, and the handler (preempt.cpp) takes an idle P for it, if there is one, and lets it go on; else
// it is frozen and queues up like any other. The handler does so itself, on the M and outside of its critical sections,
// so that the M never finds a P that it did not know of in the middle of one; regain, which is a critical section, and
// whoever else may take the idle P are kept apart by the scheduler's lock. While a stray moves, or was retaken less
// than most_rest ago, the monitor stays awake for it. Later it sleeps if all Ps are idle: one that comes back then from
// a call that was long keeps nobody waiting, and is looked at when the next P is taken.
//
// What must not happen: the P is taken while its M is in the middle of using it. The M counts its critical sections
// with plain stores and reads `lost_proc` *after* counting; the monitor sets `lost_proc` *before* it reads the count,
// with a barrier on all threads in between (the asymmetric form of Dekker's algorithm). So either the monitor sees the
// count and leaves the P where it is, or the M sees that it may have none. Such an M waits for the scheduler's lock,
// under which the monitor decides, before it believes it. Within a section the answer does not change. *Undone retake
// against hand-off*: an M that gives its P up itself says so under the same lock, where it also ceases to be its owner,
// or the monitor that finds it in a section would take `lost_proc` back and leave an M without P that believes in one.
#include <utility>

#include "runtime/os/barrier.h"
#include "runtime/os/clock.h"
#include "runtime/os/signal.h"
#include "runtime/os/thread.h"
#include "runtime/sched/fast_path.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

namespace {

// What an M whose P was taken away may compute after its return before it must queue up for a P, in nanoseconds of CPU
// time: most calls are followed by one of the runtime much sooner.
constexpr std::int64_t stray_after = 200'000;
// Bounds of rest_for_sleep, in nanoseconds. The kernel lets a thread wait for a CPU for 3 ms and more as soon as there
// is one more than CPUs; over a fifth of a second it does so only on machines that are of no use anyway.
constexpr std::int64_t least_rest = first_rest;
constexpr std::int64_t most_rest = 200'000'000;

}  // namespace

motion scheduler::look_at_owner(processor& p, owner_note& note) noexcept {
  std::uint32_t tick = p.tick.load(std::memory_order_relaxed);
  clockid_t clock = 0;
  {
    os::spin_guard guard(lock_);
    worker* owner = p.owner.load(std::memory_order_relaxed);
    if (owner == nullptr) return motion::unknown;
    clock = owner->cpu_clock;
  }
  std::int64_t cpu_time = os::thread_cpu_time(clock);
  bool first = note.cpu_time < 0 || note.tick != tick;
  // The look itself costs the watched thread nothing; a timer tick of the kernel in its sleep neither.
  bool moved = first || cpu_time != note.cpu_time;
  // Nobody is held there who runs without a P, and what he has in his registers is seen by no collection
  // (hold_outsiders): who only waits for a CPU keeps his.
  if (!moved && under_thread_sanitizer && os::is_runnable(clock)) return motion::moving;
  if (moved) note = {cpu_time, os::nanotime(), os::cycles(), tick};
  return first ? motion::unknown : moved ? motion::moving : motion::resting;
}

bool scheduler::retake(processor& p, const owner_note& note) noexcept {
  if (!can_retake_) return false;
  bool stopping = false;
  bool last = false;
  {
    os::spin_guard guard(lock_);
    worker* owner = p.owner.load(std::memory_order_relaxed);
    if (owner == nullptr || p.tick.load(std::memory_order_relaxed) != note.tick || &p == stopper_proc_) return false;
    owner->lost_proc.store(true, std::memory_order_relaxed);
    os::process_barrier();
    // Acquire: pairs with leave_critical; what the M did to its P is seen by whoever gets it next. It may have another
    // P by now, for a bound green thread.
    if (owner->critical.load(std::memory_order_acquire) != 0 || owner->p != &p) {
      owner->lost_proc.store(false, std::memory_order_relaxed);
      return false;
    }
    owner->p = nullptr;
    green_thread& one = *owner->current;
    owner->moved_at = os::nanotime();
    one.waiting_since.store(owner->moved_at, std::memory_order_relaxed);
    one.where.store(phase::blocking, std::memory_order_relaxed);
    owner->retaken = true;
    owner->outside = true;
    owner->lost_cpu_time = os::thread_cpu_time(owner->cpu_clock);
    owner->retaken_cpu_time = owner->seen_cpu_time = owner->lost_cpu_time;
    p.owner.store(nullptr, std::memory_order_relaxed);
    totals_.retaken_now.fetch_add(1, std::memory_order_relaxed);
    totals_.retakes.fetch_add(1, std::memory_order_relaxed);
    stopping = stop_requested_.load(std::memory_order_relaxed);
    std::uint64_t charged = charge(p, nullptr, note.cycles);  // what followed, its M slept in the kernel
    owner->charged_by_monitor = static_cast<std::int64_t>(static_cast<double>(charged) / os::cycles_per_nanosecond());
    if (stopping) {
      p.stopped = true;
      last = note_stopped_locked();
    }
  }
  if (last) tell_stopper();
  if (!stopping) hand_off(p);
  return true;
}

// What it computed without a P is its group's CPU time all the same.
void scheduler::charge_outside(worker& self) noexcept {
  std::int64_t used = os::thread_cpu_time() - self.lost_cpu_time;
  if (used > 0) {
    auto cycles = static_cast<std::uint64_t>(static_cast<double>(used) * os::cycles_per_nanosecond());
    self.current->member_of.load(std::memory_order_relaxed)
        ->outside.cycles.fetch_add(cycles, std::memory_order_relaxed);
  }
  self.cpu_time.leave_out(used + std::exchange(self.charged_by_monitor, 0));
}

// An M that was taken for asleep while it waited for a CPU has not slept since it took its P: the machine has more to
// do than CPUs, and more patience is needed. Each M that did sleep gives a little of that patience back.
void scheduler::judge_retake(worker& self) noexcept {
  charge_outside(self);
  std::int64_t rest = rest_for_sleep_.load(std::memory_order_relaxed);
  if (os::voluntary_sleeps() == self.sleeps) {
    totals_.retakes_mistaken.fetch_add(1, std::memory_order_relaxed);
    rest = rest * 2 < most_rest ? rest * 2 : most_rest;
  } else {
    rest = rest - rest / 8 > least_rest ? rest - rest / 8 : least_rest;
  }
  rest_for_sleep_.store(rest, std::memory_order_relaxed);  // a lost update costs a step of many
}

bool scheduler::catch_strays(std::int64_t now) noexcept {
  if (totals_.retaken_now.load(std::memory_order_relaxed) == 0) return false;
  bool any_moves = false;
  os::spin_guard guard(lock_);
  for (worker* one = all_workers_; one != nullptr; one = one->all_link) {
    if (!one->retaken) continue;
    std::int64_t cpu_time = os::thread_cpu_time(one->cpu_clock);
    // One that has not moved since the last look may sleep in its next call, which a signal would end.
    bool moves = cpu_time != std::exchange(one->seen_cpu_time, cpu_time);
    if (moves) one->moved_at = now;
    any_moves |= now - one->moved_at < most_rest;
    if (!moves || cpu_time - one->retaken_cpu_time < stray_after) continue;
    one->retaken_cpu_time = cpu_time;  // the next signal, should this one find it in a critical section, as much later
    totals_.signals.fetch_add(1, std::memory_order_relaxed);
    os::send_preempt_signal(one->thread);
  }
  return any_moves;
}

void scheduler::regain(worker& self) noexcept {
  processor* free = nullptr;
  {
    // A retake that is under way is decided under the lock.
    os::spin_guard guard(lock_);
    if (!self.lost_proc.load(std::memory_order_relaxed)) return;
    if (self.retaken) {
      self.retaken = false;
      totals_.retaken_now.fetch_sub(1, std::memory_order_relaxed);
      judge_retake(self);
    }
    free = take_idle_proc_locked();
    if (free != nullptr) self.outside = false;
  }
  green_thread& one = *self.current;
  if (free != nullptr) {
    attach(self, *free);
    observe_start(*free, one);
    return;
  }
  // No P is free. The green thread queues up like any other; this M sleeps until it is handed one.
  leave_to_base(self, one, after_switch::requeue_global);
}

}  // namespace rt::detail
