// Ms: starting, sleeping, waking, waiting in the poller, ending.
#include <cxxabi.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <system_error>

#include "runtime/os/clock.h"
#include "runtime/os/fatal.h"
#include "runtime/os/futex.h"
#include "runtime/os/thread.h"
#include "runtime/sched/fast_path.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/system_monitor.h"

namespace rt::detail {

void scheduler::attach(worker& self, processor& p) noexcept {
  self.p = &p;
  p.owner.store(&self, std::memory_order_relaxed);
  monitor_->nudge();
}

void scheduler::release_proc_locked(processor& p) noexcept {
  p.owner.store(nullptr, std::memory_order_relaxed);
  p.idle.store(true, std::memory_order_relaxed);
  p.idle_link = idle_first_;
  idle_first_ = &p;
  idle_procs_.fetch_add(1, std::memory_order_seq_cst);  // invariant 3: before the last look at the queues
}

processor* scheduler::take_idle_proc_locked() noexcept {
  processor* p = idle_first_;
  if (p == nullptr) return nullptr;
  idle_first_ = p->idle_link;
  p->idle_link = nullptr;
  p->idle.store(false, std::memory_order_relaxed);
  idle_procs_.fetch_sub(1, std::memory_order_seq_cst);
  return p;
}

processor* scheduler::take_idle_proc() noexcept {
  if (idle_procs_.load(std::memory_order_seq_cst) == 0) return nullptr;
  os::spin_guard guard(lock_);
  return take_idle_proc_locked();
}

void scheduler::wake_for_work_slow() noexcept {
  int none = 0;
  if (spinning_.load(std::memory_order_seq_cst) != 0) return;
  if (!spinning_.compare_exchange_strong(none, 1, std::memory_order_seq_cst)) return;
  processor* p = take_idle_proc();
  if (p == nullptr) {
    spinning_.fetch_sub(1, std::memory_order_seq_cst);
    return;
  }
  start_worker(*p, true);
}

void scheduler::start_worker(processor& p, bool spinning) noexcept {
  worker* sleeper = nullptr;
  {
    os::spin_guard guard(lock_);
    sleeper = idle_workers_;
    if (sleeper != nullptr) {
      idle_workers_ = sleeper->idle_link;
      --idle_worker_count_;
    }
  }
  if (sleeper != nullptr) {
    totals_.wakeups.fetch_add(1, std::memory_order_relaxed);
    sleeper->handed = &p;
    sleeper->handed_spinning = spinning;
    sleeper->wake.store(1, std::memory_order_release);  // pairs with sleep_until_handed
    os::futex_wake(sleeper->wake, 1);
    return;
  }
  auto* fresh = new (std::nothrow) worker;
  if (fresh != nullptr) {
    fresh->handed = &p;
    fresh->handed_spinning = spinning;
    fresh->random = os::cycles() | 1;
    {
      os::spin_guard guard(lock_);
      fresh->all_link = all_workers_;
      all_workers_ = fresh;
      ++worker_count_;
    }
    if (os::start_thread(fresh->thread, &thread_main, fresh)) {
      totals_.threads_created.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    os::spin_guard guard(lock_);
    worker** place = &all_workers_;
    while (*place != fresh) place = &(*place)->all_link;
    *place = fresh->all_link;
    --worker_count_;
    delete fresh;
  }
  // The system gives no thread now. The Ms that exist go on; the P waits for one of them.
  if (spinning) spinning_.fetch_sub(1, std::memory_order_seq_cst);
  os::spin_guard guard(lock_);
  if (worker_count_ == 0) os::fatal("the system refuses the first thread of the scheduler");
  release_proc_locked(p);
}

void* scheduler::thread_main(void* argument) noexcept {
  auto& self = *static_cast<worker*>(argument);
  os::set_worker_slot(&self);
  os::prepare_worker_thread("rt-worker");
  self.signal_stack = os::install_signal_stack();
  self.exception_globals = abi::__cxa_get_globals();
  os::thread_stack stack = os::current_thread_stack();
  self.base.sanitizer.stack_low = stack.low;
  self.base.sanitizer.stack_size = stack.size;
  self.base.sanitizer.adopt_thread();
  scheduler* the = the_scheduler();
  the->attach(self, *self.handed);
  self.handed = nullptr;
  self.spinning = self.handed_spinning;
  the->run_worker(self);
  os::remove_signal_stack(self.signal_stack);
  os::set_worker_slot(nullptr);
  return nullptr;
}

void scheduler::sleep_until_handed(worker& self) noexcept {
  {
    os::spin_guard guard(lock_);
    if (shutting_down_.load(std::memory_order_relaxed)) return;
    self.idle_link = idle_workers_;
    idle_workers_ = &self;
    ++idle_worker_count_;
  }
  while (self.wake.load(std::memory_order_acquire) == 0) os::futex_wait(self.wake, 0, -1);  // pairs with start_worker
  self.wake.store(0, std::memory_order_relaxed);
  processor* p = self.handed;
  self.handed = nullptr;
  if (p == nullptr) return;  // the end of the scheduler
  self.spinning = self.handed_spinning;
  attach(self, *p);
}

green_thread* scheduler::wait_for_work(worker& self) noexcept {
  processor& p = *self.p;
  account(p, nullptr);
  {
    os::spin_guard guard(lock_);
    if (stop_requested_.load(std::memory_order_relaxed) || shutting_down_.load(std::memory_order_relaxed) ||
        global_count_.load(std::memory_order_relaxed) != 0) {
      return nullptr;  // the caller looks again, with its P
    }
    release_proc_locked(p);
    self.p = nullptr;
  }
  bool was_spinning = self.spinning;
  if (was_spinning) {
    self.spinning = false;
    spinning_.fetch_sub(1, std::memory_order_seq_cst);
  }
  if (work_is_queued()) {
    if (processor* again = take_idle_proc(); again != nullptr) {
      if (again != &p) tell_poller_of_timers(p);  // this M will know the timers of the other one only
      attach(self, *again);
      if (was_spinning) {
        self.spinning = true;
        spinning_.fetch_add(1, std::memory_order_seq_cst);
      }
      return nullptr;
    }
  }
  if (!poll_turn_.exchange(true, std::memory_order_seq_cst)) return wait_in_poller(self);
  tell_poller_of_timers(p);  // somebody is there already
  sleep_until_handed(self);
  return nullptr;
}

// The timers of a P that was given up must be within the time of the M that waits in the poller. It may be computing
// that time (0), and have read the timers before the last one was added; the seq_cst fence pairs with the one in
// wait_in_poller: either it sees the timer, or the caller sees the 0.
void scheduler::tell_poller_of_timers(processor& p) noexcept {
  std::int64_t next = p.timers.next();
  if (next == INT64_MAX) return;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  std::int64_t until = poll_until_.load(std::memory_order_seq_cst);
  if (until == 0 || next < until) net_->wake();
}

green_thread* scheduler::wait_in_poller(worker& self) noexcept {
  poll_until_.store(0, std::memory_order_seq_cst);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  std::int64_t next = earliest_timer();
  std::int64_t timeout = -1;
  if (next != INT64_MAX) {
    std::int64_t now = os::nanotime();
    timeout = next > now ? next - now : 0;
  }
  if (shutting_down_.load(std::memory_order_seq_cst)) timeout = 0;  // shut_down sets it, then wakes the poller
  poll_until_.store(next, std::memory_order_seq_cst);
  ready_list ready;
  net_->wait(timeout, ready);
  last_poll_.store(os::nanotime(), std::memory_order_relaxed);
  poll_turn_.store(false, std::memory_order_seq_cst);
  processor* p = take_idle_proc();
  if (p == nullptr) {
    // All Ps are busy, so no timer is overdue for long: their owners look at them.
    make_ready(&self, ready);
    sleep_until_handed(self);
    return nullptr;
  }
  attach(self, *p);
  if (ready.first != nullptr) return take_list(self, ready);
  return nullptr;
}

void scheduler::hand_off(processor& p) noexcept {
  totals_.handoffs.fetch_add(1, std::memory_order_relaxed);
  bool stopping = false;
  bool idle = false;
  {
    os::spin_guard guard(lock_);
    if (stop_requested_.load(std::memory_order_relaxed)) {
      p.stopped = true;
      p.owner.store(nullptr, std::memory_order_relaxed);
      note_stopped_locked();
      stopping = true;
    } else if (p.ring.size() == 0 && p.runnext.load(std::memory_order_relaxed) == nullptr &&
               global_count_.load(std::memory_order_relaxed) == 0 && poll_turn_.load(std::memory_order_relaxed)) {
      release_proc_locked(p);
      idle = true;
    }
  }
  if (stopping) return;
  if (!idle) {
    start_worker(p, false);
    return;
  }
  // As in wait_for_work: whoever waits in the poller must know this P's timers; and work may have been queued while the
  // P was neither busy nor idle.
  std::int64_t next = p.timers.next();
  std::atomic_thread_fence(std::memory_order_seq_cst);
  std::int64_t until = poll_until_.load(std::memory_order_seq_cst);
  if (!poll_turn_.load(std::memory_order_seq_cst) || work_is_queued()) {
    wake_for_work();
  } else if (next != INT64_MAX && (until == 0 || next < until)) {
    net_->wake();
  }
}

void scheduler::start() {
  monitor_->start();
  processor* first = nullptr;
  {
    os::spin_guard guard(lock_);
    first = take_idle_proc_locked();
  }
  start_worker(*first, false);
}

bool scheduler::shut_down(std::int64_t deadline) noexcept {
  monitor_->stop();
  shutting_down_.store(true, std::memory_order_seq_cst);
  int count = proc_limit();
  for (int i = 0; i < count; ++i) procs_[i]->attention.fetch_or(attention::stop, std::memory_order_relaxed);
  worker* one = nullptr;
  {
    os::spin_guard guard(lock_);
    one = all_workers_;
    worker* sleeper = idle_workers_;
    idle_workers_ = nullptr;
    idle_worker_count_ = 0;
    while (sleeper != nullptr) {
      worker* next = sleeper->idle_link;  // read before the wake: the sleeper may be gone after it
      sleeper->handed = nullptr;
      sleeper->wake.store(1, std::memory_order_release);  // pairs with sleep_until_handed
      os::futex_wake(sleeper->wake, 1);
      sleeper = next;
    }
  }
  net_->wake();
  for (; one != nullptr; one = one->all_link) {
    std::int64_t left = deadline - os::nanotime();
    if (!os::join_thread(one->thread, left > 0 ? left : 0)) return false;
  }
  return true;
}

scheduler::thread_counts scheduler::count_threads() noexcept {
  thread_counts counts{};
  counts.spinning = spinning_.load(std::memory_order_relaxed);
  counts.polling = poll_turn_.load(std::memory_order_relaxed) ? 1 : 0;
  counts.blocked = static_cast<int>(totals_.blocking_now.load(std::memory_order_relaxed));
  os::spin_guard guard(lock_);
  counts.total = worker_count_;
  counts.idle = idle_worker_count_;
  return counts;
}

}  // namespace rt::detail
