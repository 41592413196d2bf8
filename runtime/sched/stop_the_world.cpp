// Stopping all Ps, and changing their number.
//
// The stopper takes the idle Ps itself and asks the others by their attention word; an M that sees the request gives
// its P up (stop_here) and sleeps. A green thread that makes no runtime call delays the stop until its next one.
#include <sched.h>

#include "runtime/os/clock.h"
#include "runtime/os/fatal.h"
#include "runtime/os/futex.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/system_monitor.h"

namespace rt::detail {

void scheduler::note_stopped_locked() noexcept {
  if (--stop_waits_for_ == 0) {
    stop_done_.store(1, std::memory_order_release);  // pairs with stop_the_world's wait
    os::futex_wake(stop_done_, 1);
  }
}

void scheduler::stop_here(worker& self) noexcept {
  processor& p = *self.p;
  account(p, nullptr);
  {
    os::spin_guard guard(lock_);
    if (!stop_requested_.load(std::memory_order_relaxed)) return;
    p.stopped = true;
    p.owner.store(nullptr, std::memory_order_relaxed);
    self.p = nullptr;
    note_stopped_locked();
  }
  if (self.spinning) {
    self.spinning = false;
    spinning_.fetch_sub(1, std::memory_order_seq_cst);
  }
  sleep_until_handed(self);
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
  totals_.stops.fetch_add(1, std::memory_order_relaxed);
  worker* self = current_worker();
  processor* mine = self == nullptr ? nullptr : self->p;
  bool wait = false;
  {
    os::spin_guard guard(lock_);
    stop_done_.store(0, std::memory_order_relaxed);
    stop_requested_.store(true, std::memory_order_seq_cst);
    stopper_proc_ = mine;
    stop_waits_for_ = proc_count() - (mine != nullptr ? 1 : 0);
    while (processor* idle = take_idle_proc_locked()) {
      idle->stopped = true;
      --stop_waits_for_;
    }
    int count = proc_count();
    for (int i = 0; i < count; ++i) {
      processor& one = *procs_[i];
      if (&one != mine && !one.stopped) one.attention.fetch_or(attention::stop, std::memory_order_relaxed);
    }
    wait = stop_waits_for_ != 0;
  }
  while (wait && stop_done_.load(std::memory_order_acquire) == 0) os::futex_wait(stop_done_, 0, -1);
}

void scheduler::start_the_world() noexcept {
  processor* to_start = nullptr;  // linked by idle_link
  {
    os::spin_guard guard(lock_);
    stop_requested_.store(false, std::memory_order_seq_cst);
    int made = proc_limit();
    int count = proc_count();
    for (int i = made - 1; i >= 0; --i) {
      processor& one = *procs_[i];
      one.attention.fetch_and(~attention::stop, std::memory_order_relaxed);
      if (!one.stopped) continue;
      one.stopped = false;
      if (i >= count) continue;
      bool has_work = one.ring.size() != 0 || one.runnext.load(std::memory_order_relaxed) != nullptr;
      if (has_work) {
        one.idle_link = to_start;
        to_start = &one;
      } else {
        release_proc_locked(one);
      }
    }
    stopper_proc_ = nullptr;
  }
  while (to_start != nullptr) {
    processor* one = to_start;
    to_start = one->idle_link;
    one->idle_link = nullptr;
    start_worker(*one, false);
  }
  world_busy_.store(0, std::memory_order_release);  // pairs with stop_the_world
  os::futex_wake(world_busy_, 1);
  // Somebody must look at the global queue, the poller and the timers of idle Ps: they may have changed owners.
  wake_for_work();
  net_->wake();
}

void scheduler::set_procs(int count) noexcept {
  if (count < 1) count = 1;
  if (count > most_procs) count = most_procs;
  stop_the_world();
  worker* self = current_worker();
  int before = proc_count();
  int made = proc_limit();
  for (int i = made; i < count; ++i) {
    procs_[i] = std::make_unique<processor>();
    procs_[i]->id = i;
    procs_[i]->coarse_now.store(os::nanotime(), std::memory_order_relaxed);
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
    while (green_thread* next = leaving.ring.pop(false)) push_global(*next);
    leaving.timers.move_to(procs_[0]->timers);
    account(leaving, nullptr);
  }
  if (self != nullptr && self->p != nullptr && self->p->id >= count) {
    // The caller's own P goes: it goes on with P 0, which is stopped and so belongs to nobody.
    processor& first = *procs_[0];
    {
      os::spin_guard guard(lock_);
      self->p->stopped = true;
      self->p->owner.store(nullptr, std::memory_order_relaxed);
      first.stopped = false;
    }
    attach(*self, first);
    account(first, self->current == nullptr ? nullptr : self->current->member_of.load(std::memory_order_relaxed));
  }
  for (int i = 0; i < proc_limit(); ++i) procs_[i]->alone = count == 1;
  proc_count_.store(count, std::memory_order_release);  // pairs with proc_count
  start_the_world();
}

}  // namespace rt::detail
