// Stopping all Ps, and changing their number.
//
// The stopper takes the Ps without M itself and asks the others by their attention word; an M that sees the request
// gives its P up (stop_here) and sleeps. After a moment those that have not come are hastened: one that computes is
// frozen by a signal (preempt.cpp) and gets its own P back at the start; one that sleeps in a call of the kernel loses
// its P (retake.cpp). It may wake while the world is stopped, and then runs the plugin's code until its next call of
// the runtime, as code in rt::blocking does: stopped are the Ps, and all that needs one.
//
// The time to stop is part of every pause, so the stopper does not sleep while those it waits for are on CPUs: it looks
// at their clocks twice, some microseconds apart, and sends the signal to those whose clock has moved. If none has,
// they wait for a CPU or in the kernel, and the stopper sleeps, which may be what gives them its own.
//
// The races by name. *Seeker that sleeps*: an M that looked for work when it stopped counts as one until it says
// otherwise. Did it say so after the stopper was told, the stopper could start the world in between, take it for one
// that looks, and wake nobody: all Ps would idle, and nobody wait for timers and the poller. So it says so before.
// *Wake under the lock*: were the stopper woken by the last one while that still holds the scheduler's
// lock, the kernel might give it the CPU of just that thread, and it would wait for the lock until the holder is back.
// So the last one lets the lock go first (tell_stopper). It is the last, and the stopper waits for it alone: what it
// writes then belongs to no later stop.
//
// At the start a P that has something to run goes to the M that stopped with it, if that one has not ended: its caches
// are warm, and its CPU is likely to be the same.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "runtime/heap/heap.h"
#include "runtime/os/clock.h"
#include "runtime/os/fatal.h"
#include "runtime/os/futex.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/system_monitor.h"

namespace rt::detail {

namespace {

// How long the stopper spins between the first and the second look at those that have not come, in nanoseconds: a call
// of the runtime takes less, and the clock of a thread that computes moves by it. Then twice as long each time: a
// signal takes some 5 us to arrive, and each one costs a thread that is in a critical section some 2 us more.
constexpr std::int64_t between_looks = 5'000;
// After so many looks (some 75 us), or where nobody whom it waits for is on a CPU, it sleeps between them and spins no
// more: they have just got a CPU if it was the stopper's. For how long at first, then twice as long each time, and at
// most, in nanoseconds.
constexpr int looks_awake = 4;
constexpr std::int64_t first_sleep = 10'000;
constexpr std::int64_t longest_sleep = 80'000;

// Values of stop_done_.
constexpr std::uint32_t not_stopped = 0;
constexpr std::uint32_t all_stopped = 1;
constexpr std::uint32_t stopper_sleeps = 2;

// For how long a thread that does not come to be held is waited for, in nanoseconds. It may wait for a CPU, however
// busy the machine is: its registers are wanted. What is not held after that waits for a disk, or blocks the signal;
// until it has been held once it is not waited for as long again.
constexpr std::int64_t hold_at_most = 2'000'000'000;
constexpr std::int64_t hold_deaf_at_most = 1'000'000;
// Between two signals, in nanoseconds: one takes some 5 us to arrive, and the thread as long to wake. For as long the
// caller spins, and looks each so often.
constexpr std::int64_t hold_pause = 20'000;
constexpr std::int64_t hold_look = 1'000;

void spin_until(std::int64_t when) noexcept {
  while (os::nanotime() < when) os::cpu_pause();
}

}  // namespace

void scheduler::tell_stopper() noexcept {
  // Acquire and release: pairs with wait_until_stopped.
  if (stop_done_.exchange(all_stopped, std::memory_order_acq_rel) == stopper_sleeps) os::futex_wake(stop_done_, 1);
}

void scheduler::stop_here(worker& self) noexcept {
  processor& p = *self.p;
  account(p, nullptr);
  bool last = false;
  bool waits = false;
  {
    os::spin_guard guard(lock_);
    if (!stop_requested_.load(std::memory_order_relaxed)) return;
    // Before the stopper can go on: at the start it wakes an M for work and timers unless one looks for work already.
    if (std::exchange(self.spinning, false)) spinning_.fetch_sub(1, std::memory_order_seq_cst);
    p.stopped = true;
    p.stopped_with = &self;
    p.owner.store(nullptr, std::memory_order_relaxed);
    self.p = nullptr;
    // Among the idle ones before the stopper is told, or the start would not find it and hand the P to another M. When
    // all ends the caller sees to it.
    waits = !shutting_down_.load(std::memory_order_relaxed);
    if (waits) push_idle_worker_locked(self);
    last = note_stopped_locked();
  }
  if (last) tell_stopper();
  if (waits) wait_until_handed(self);
}

void scheduler::stop_the_world() noexcept {
  while (world_busy_.exchange(1, std::memory_order_acquire) != 0) {  // pairs with start_the_world
    // Another stop is under way and waits for this green thread's P.
    if (current_green_thread() != nullptr) {
      yield_processor();
    } else {
      os::futex_wait(world_busy_, 1, 1'000'000);
    }
  }
  request_stop();
}

// By the one that has taken world_busy_.
void scheduler::request_stop() noexcept {
  totals_.stops.fetch_add(1, std::memory_order_relaxed);
  worker* self = current_worker();
  // A green thread, or an M on an errand.
  bool on_proc = self != nullptr && self->blocking_depth == 0 && (self->current != nullptr || self->p != nullptr);
  if (on_proc) self = &enter_with_proc();
  processor* mine = on_proc ? static_cast<processor*>(self->p) : nullptr;
  bool wait = false;
  {
    os::spin_guard guard(lock_);
    stopper_proc_ = mine;  // from here on it is neither taken away nor frozen
    stop_done_.store(not_stopped, std::memory_order_relaxed);
    stop_requested_.store(true, std::memory_order_seq_cst);
    stop_waits_for_ = proc_count() - (mine != nullptr ? 1 : 0);
    while (processor* idle = take_idle_proc_locked()) {
      idle->stopped = true;
      --stop_waits_for_;
    }
    while (processor* waiting = pop_waiting_locked()) {
      waiting->stopped = true;
      if (waiting->waits_spinning) spinning_.fetch_sub(1, std::memory_order_seq_cst);
      --stop_waits_for_;
    }
    int count = proc_count();
    for (int i = 0; i < count; ++i) {
      processor& one = *procs_[i];
      if (&one != mine) one.made_way.store(nullptr, std::memory_order_relaxed);  // before the request is seen
      if (&one != mine && !one.stopped) one.attention.fetch_or(attention::stop, std::memory_order_release);
    }
    wait = stop_waits_for_ != 0;
  }
  if (on_proc) os::leave_critical(*self);
  if (wait) wait_until_stopped();
}

void scheduler::wait_until_stopped() noexcept {
  int made = proc_count();
  for (int i = 0; i < made; ++i) procs_[i]->stop_note = {};
  auto stopped = [&] { return stop_done_.load(std::memory_order_acquire) == all_stopped; };  // pairs with tell_stopper
  hasten_stop();                                                                             // the first look
  for (int look = 0; look < looks_awake; ++look) {
    std::int64_t until = os::nanotime() + (between_looks << look);
    while (!stopped() && os::nanotime() < until) os::cpu_pause();
    if (stopped()) return;
    if (!hasten_stop()) break;
  }
  for (std::int64_t sleep = first_sleep;; sleep = std::min(2 * sleep, longest_sleep)) {
    std::uint32_t before = not_stopped;
    // Acquire: pairs with tell_stopper.
    if (!stop_done_.compare_exchange_strong(before, stopper_sleeps, std::memory_order_acq_rel)) return;
    os::futex_wait(stop_done_, stopper_sleeps, sleep);
    before = stopper_sleeps;
    if (!stop_done_.compare_exchange_strong(before, not_stopped, std::memory_order_acq_rel)) return;
    hasten_stop();
  }
}

// For the Ps that have not stopped by themselves. Whether one of their Ms is on a CPU, or may be.
bool scheduler::hasten_stop() noexcept {
  int count = proc_count();
  bool any_moves = false;
  for (int i = 0; i < count; ++i) {
    processor& one = *procs_[i];
    switch (look_at_owner(one, one.stop_note)) {
      case motion::unknown:
        any_moves |= one.owner.load(std::memory_order_relaxed) != nullptr;  // not stopped, and seen for the first time
        break;
      case motion::moving:
        interrupt(one, one.stop_note.tick);
        any_moves = true;
        break;
      case motion::resting:
        if (os::nanotime() - one.stop_note.since >= rest_for_sleep()) retake(one, one.stop_note);
        break;
    }
  }
  return any_moves;
}

int scheduler::hold_outsiders() noexcept {
  if (!can_retake_) return 0;  // a test bubble: there is no handler
  const std::int64_t began = os::nanotime();
  held_.store(1, std::memory_order_relaxed);  // read after the lock
  std::int64_t next_signals = began;
  while (true) {
    int missing = 0;
    int deaf = 0;
    const std::int64_t now = os::nanotime();
    const bool too_long = now - began > hold_at_most;
    const bool signals = now >= next_signals;
    {
      os::spin_guard guard(lock_);
      hold_requested_ = true;
      for (worker* one = all_workers_; one != nullptr; one = one->all_link) {
        if (one->held) one->deaf = false;
        if (!one->outside || one->held) continue;
        if (too_long) one->deaf = true;
        ++(one->deaf ? deaf : missing);
        // Under ThreadSanitizer a thread that sleeps in the C library cannot be stopped; it would only be disturbed.
        if (signals && !under_thread_sanitizer) os::send_preempt_signal(one->thread);
      }
    }
    if (signals)
      totals_.signals.fetch_add(static_cast<std::uint64_t>(missing) + static_cast<std::uint64_t>(deaf),
                                std::memory_order_relaxed);
    bool waits = missing != 0 || (deaf != 0 && now - began < hold_deaf_at_most);
    if (!waits || under_thread_sanitizer) return missing + deaf;
    if (signals) next_signals = now + hold_pause;
    if (now - began < hold_pause) {
      spin_until(now + hold_look);
    } else {
      os::futex_wait(held_, 1, hold_pause);  // they wait for a CPU: perhaps for this one
    }
  }
}

void scheduler::release_outsiders() noexcept {
  {
    os::spin_guard guard(lock_);
    hold_requested_ = false;
  }
  held_.store(0, std::memory_order_release);  // pairs with hold_if_asked
  os::futex_wake(held_, INT32_MAX);
}

// A section: in its midst Ps are in no list (wake_for_work_slow).
std::int64_t scheduler::start_the_world() noexcept {
  os::enter_critical();
  processor* to_start = nullptr;  // linked by idle_link
  {
    os::spin_guard guard(lock_);
    stop_requested_.store(false, std::memory_order_seq_cst);
    int made = proc_limit();
    int count = proc_count();
    for (int i = made - 1; i >= 0; --i) {
      processor& one = *procs_[i];
      one.attention.fetch_and(~attention::stop, std::memory_order_relaxed);
      worker* before = std::exchange(one.stopped_with, nullptr);
      if (!one.stopped) continue;
      one.stopped = false;
      worker* resident = std::exchange(one.resident, nullptr);
      if (i >= count) {
        if (resident != nullptr) push_frozen_locked(*resident->current);
        continue;
      }
      if (resident != nullptr) {
        one.resident = resident;  // gets it back below
        one.idle_link = to_start;
        to_start = &one;
        continue;
      }
      bool has_work = one.ring.size() != 0 || one.runnext.load(std::memory_order_relaxed) != nullptr;
      if (has_work) {
        if (before != nullptr && take_idle_worker_locked(*before)) one.resident = before;
        one.idle_link = to_start;
        to_start = &one;
      } else {
        release_proc_locked(one);
      }
    }
    stopper_proc_ = nullptr;
  }
  std::int64_t started = os::nanotime();
  std::int64_t used = 0;  // CPU time
  while (to_start != nullptr) {
    started = os::nanotime();
    used = os::thread_cpu_time();
    processor* one = to_start;
    to_start = one->idle_link;
    one->idle_link = nullptr;
    if (worker* resident = std::exchange(one->resident, nullptr); resident != nullptr) {
      hand(*resident, *one, false);
    } else {
      start_worker(*one, false);
    }
  }
  // The woken M may have got the very CPU of this thread: then the world goes on although this thread does not.
  if (used != 0) started += os::thread_cpu_time() - used;
  leave_world();
  // Somebody must look at the global queue, the poller and the timers of idle Ps: they may have changed owners.
  wake_for_work();
  net_->wake();
  os::leave_critical();
  return started;
}

void scheduler::leave_world() noexcept {
  world_busy_.store(0, std::memory_order_release);  // pairs with stop_the_world and take_errand
  os::futex_wake(world_busy_, 1);
}

void scheduler::set_procs(int count) noexcept {
  if (count < 1) count = 1;
  if (count > most_procs) count = most_procs;
  // Made before: nothing may wait for malloc's lock while the world is stopped, when a frozen thread may hold it.
  std::vector<std::unique_ptr<processor>> fresh;
  for (int i = proc_limit(); i < count; ++i) fresh.push_back(std::make_unique<processor>());
  stop_the_world();
  worker* self = current_worker();
  int before = proc_count();
  int made = proc_limit();
  for (int i = made; i < count; ++i) {
    procs_[i] = std::move(fresh.back());
    fresh.pop_back();
    procs_[i]->id = i;
    add_place(*procs_[i], static_cast<std::size_t>(i));
    procs_[i]->timers.set_place(i);
    procs_[i]->coarse_now.store(os::nanotime(), std::memory_order_relaxed);
    shuffle_proc(*procs_[i]);
  }
  if (count > made) procs_made_.store(count, std::memory_order_release);  // pairs with proc_limit
  {
    os::spin_guard guard(lock_);
    for (int i = before; i < count; ++i) procs_[i]->stopped = true;  // start_the_world lets them go
  }
  for (int i = count; i < before; ++i) {
    processor& leaving = *procs_[i];
    if (green_thread* next = leaving.runnext.exchange(nullptr, std::memory_order_acq_rel); next != nullptr) {
      push_global(*next);
    }
    if (green_thread* next = std::exchange(leaving.bound_next, nullptr); next != nullptr) push_global(*next);
    while (green_thread* next = leaving.ring.pop(false)) push_global(*next);
    leaving.timers.move_to(procs_[0]->timers);
    give_free_back(leaving);
    account(leaving, nullptr);
    empty_place(leaving);
  }
  if (stopper_proc_ != nullptr && stopper_proc_->id >= count) {
    // The caller's own P goes: it goes on with P 0, which is stopped and so belongs to nobody.
    processor& first = *procs_[0];
    {
      os::spin_guard guard(lock_);
      self->p->stopped = true;
      self->p->owner.store(nullptr, std::memory_order_relaxed);
      first.stopped = false;
      stopper_proc_ = &first;
      // Whoever was frozen with P 0 waits for any P now.
      if (worker* resident = std::exchange(first.resident, nullptr)) push_frozen_locked(*resident->current);
    }
    attach(*self, first);
    account(first, self->current == nullptr ? nullptr : self->current->member_of.load(std::memory_order_relaxed));
  }
  for (int i = 0; i < proc_limit(); ++i) {
    processor& one = *procs_[i];
    one.alone.store(count == 1, std::memory_order_relaxed);
    one.plain = count == 1 && !one.by_weight;
  }
  fair_.set_procs(count);
  proc_count_.store(count, std::memory_order_release);  // pairs with proc_count
  start_the_world();
}

}  // namespace rt::detail
