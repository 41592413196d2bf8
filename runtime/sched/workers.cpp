// Ms: starting, sleeping, waking, waiting in the poller, ending.
#include <cxxabi.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <system_error>
#include <utility>

#include "runtime/os/barrier.h"
#include "runtime/os/clock.h"
#include "runtime/os/fatal.h"
#include "runtime/os/futex.h"
#include "runtime/os/signal.h"
#include "runtime/os/thread.h"
#include "runtime/os/thread_census.h"
#include "runtime/sched/fast_path.h"
#include "runtime/sched/preempt.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/system_monitor.h"
#include "runtime/sched/worker_factory.h"

namespace rt::detail {

namespace {

// An M that has had nothing to do for this long ends, but for one: a spike of blocking calls leaves no threads behind,
// and a burst every second or so finds its threads alive. In nanoseconds.
constexpr std::int64_t idle_thread_life = 10'000'000'000;
constexpr int idle_threads_kept = 1;

}  // namespace

void scheduler::attach(worker& self, processor& p) noexcept {
  self.p = &p;
  self.lost_proc.store(false, std::memory_order_relaxed);
  p.running.run_on(self.cpu_clock);
  p.owner.store(&self, std::memory_order_relaxed);
  p.tick.store(p.tick.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);  // a slice of its own
  self.sleeps = os::voluntary_sleeps();
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

// A section: whoever calls it as a green thread would else be frozen with a P in its hands, in no list, for which a
// stop waits while the frozen one waits for the end of that stop.
bool scheduler::wake_for_work_slow() noexcept {
  int none = 0;
  if (spinning_.load(std::memory_order_seq_cst) != 0) return false;
  os::enter_critical();
  bool woken = false;
  if (spinning_.compare_exchange_strong(none, 1, std::memory_order_seq_cst)) {
    if (processor* p = take_idle_proc(); p != nullptr) {
      start_worker(*p, true);
      woken = true;
    } else {
      spinning_.fetch_sub(1, std::memory_order_seq_cst);
    }
  }
  os::leave_critical();
  return woken;
}

void scheduler::push_waiting_locked(processor& p) noexcept {
  p.idle_link = waiting_first_;
  waiting_first_ = &p;
  ++waiting_count_;
}

processor* scheduler::pop_waiting_locked() noexcept {
  processor* p = waiting_first_;
  if (p == nullptr) return nullptr;
  waiting_first_ = p->idle_link;
  p->idle_link = nullptr;
  --waiting_count_;
  return p;
}

worker* scheduler::pop_idle_worker_locked() noexcept {
  worker* sleeper = idle_workers_;
  if (sleeper == nullptr) return nullptr;
  idle_workers_ = sleeper->idle_link;
  --idle_worker_count_;
  return sleeper;
}

// Takes this one out of the idle Ms, if it is one of them; `wanted` may have ended.
bool scheduler::take_idle_worker_locked(const worker& wanted) noexcept {
  worker** place = &idle_workers_;
  while (*place != nullptr && *place != &wanted) place = &(*place)->idle_link;
  if (*place == nullptr) return false;
  *place = wanted.idle_link;
  --idle_worker_count_;
  return true;
}

// Gives a P to an M that waits for one: idle, frozen, or reserved for a green thread. The caller stands in a section,
// if it is a green thread that can be frozen (wake_for_work_slow).
void scheduler::hand(worker& to, processor& p, bool spinning) noexcept {
#if RT_DEBUG_CHECKS
  if (worker* self = current_worker();
      self != nullptr && self->current != nullptr && self->critical.load(std::memory_order_relaxed) == 0) {
    os::fatal("a green thread hands a processor over outside of a critical section");
  }
#endif
  totals_.wakeups.fetch_add(1, std::memory_order_relaxed);
  to.handed = &p;
  to.handed_spinning = spinning;
  to.wake.store(1, std::memory_order_release);  // pairs with the loops that wait for it
  os::futex_wake(to.wake, 1);
}

void scheduler::start_worker(processor& p, bool spinning) noexcept {
  worker* sleeper = nullptr;
  bool stops = false;
  bool last = false;
  p.owner.store(nullptr, std::memory_order_relaxed);
  {
    os::spin_guard guard(lock_);
    stops = stop_requested_.load(std::memory_order_relaxed);
    if (stops) {  // it would have to stop at once, and there may be no M
      if (spinning) spinning_.fetch_sub(1, std::memory_order_seq_cst);
      p.stopped = true;
      last = note_stopped_locked();
    } else {
      sleeper = pop_idle_worker_locked();
    }
    if (sleeper == nullptr && !stops) {
      // No M is made here (worker_factory.h), and the factory may be stuck behind a lock that a frozen thread holds.
      if (green_thread* frozen = pop_frozen_locked(); frozen != nullptr) {
        sleeper = frozen->bound;
        if (spinning) spinning_.fetch_sub(1, std::memory_order_seq_cst);
        spinning = false;
        factory_->want_spare();
      }
    }
    if (sleeper == nullptr && !stops) {
      // The first M that becomes idle takes it, or one that the factory makes.
      p.waits_spinning = spinning;
      push_waiting_locked(p);
      if (worker_count_ >= max_threads_) totals_.threads_refused.fetch_add(1, std::memory_order_relaxed);
    }
  }
  if (last) tell_stopper();
  if (stops) return;
  if (sleeper != nullptr) {
    hand(*sleeper, p, spinning);
    return;
  }
  factory_->nudge();
  if (fair_queue::in_use()) lend_to_frozen();
}

// With weights in use the frozen ones stand in the fair queue.
void scheduler::lend_to_frozen() noexcept {
  find_frozen_by_weight();
  worker* heir = nullptr;
  processor* p = nullptr;
  {
    os::spin_guard guard(lock_);
    p = waiting_first_;
    if (p == nullptr || p->waits_spinning) return;
    green_thread* frozen = pop_frozen_locked();
    if (frozen == nullptr) return;
    heir = frozen->bound;
    pop_waiting_locked();
  }
  hand(*heir, *p, false);
}

void* scheduler::thread_main(void* argument) noexcept {
  auto& self = *static_cast<worker*>(argument);
  os::own_thread counted;
  os::set_worker_slot(&self);
  os::prepare_worker_thread("rt-worker");
  self.signal_stack = os::install_signal_stack();
  self.exception_globals = abi::__cxa_get_globals();
  pthread_getcpuclockid(pthread_self(), &self.cpu_clock);
  os::thread_stack stack = os::current_thread_stack();
  self.base.sanitizer.stack_low = stack.low;
  self.base.sanitizer.stack_size = stack.size;
  self.base.sanitizer.adopt_thread();
  scheduler* the = the_scheduler();
  {
    os::spin_guard guard(the->lock_);
    if (self.thread == pthread_t{}) self.thread = pthread_self();  // unless the factory was faster
    --the->preparing_count_;
  }
  // What went before may have waited for malloc's lock; only now is it to be trusted with a P.
  the->run_worker(self);
  os::remove_signal_stack(self.signal_stack);
  os::set_worker_slot(nullptr);
  the->end_worker(self);
  return nullptr;
}

// The last words of an M that ends before the scheduler does. Nothing of it is used afterwards but for the join.
void scheduler::end_worker(worker& self) noexcept {
  {
    os::spin_guard guard(lock_);
    if (shutting_down_.load(std::memory_order_relaxed)) return;  // shut_down joins it
    worker** place = &all_workers_;
    while (*place != &self) place = &(*place)->all_link;
    *place = self.all_link;
    --worker_count_;
    self.idle_link = ended_workers_;
    ended_workers_ = &self;
  }
  factory_->nudge();
}

void scheduler::push_idle_worker_locked(worker& self) noexcept {
  self.idle_link = idle_workers_;
  idle_workers_ = &self;
  ++idle_worker_count_;
}

bool scheduler::sleep_until_handed(worker& self) noexcept {
  {
    os::spin_guard guard(lock_);
    self.outside = false;  // what it ran is in a queue now
    if (shutting_down_.load(std::memory_order_relaxed)) return false;
    if (processor* waiting = pop_waiting_locked(); waiting != nullptr) {
      self.spinning = waiting->waits_spinning;
      self.p = waiting;
    } else {
      push_idle_worker_locked(self);
    }
  }
  if (self.p != nullptr) {
    attach(self, *self.p);
    return true;
  }
  return wait_until_handed(self);
}

bool scheduler::wait_until_handed(worker& self) noexcept {
  bool for_ever = false;
  while (self.wake.load(std::memory_order_acquire) == 0) {  // pairs with hand
    if (os::futex_wait(self.wake, 0, for_ever ? -1 : idle_thread_life)) continue;
    os::spin_guard guard(lock_);
    for_ever = idle_worker_count_ <= idle_threads_kept;
    if (for_ever) continue;
    if (!take_idle_worker_locked(self)) continue;  // it was taken out just now: the P is on its way
    return false;
  }
  self.wake.store(0, std::memory_order_relaxed);
  processor* p = std::exchange(self.handed, nullptr);
  if (p == nullptr) return false;  // the end of the scheduler
  self.spinning = self.handed_spinning;
  attach(self, *p);
  return true;
}

green_thread* scheduler::wait_for_work(worker& self) noexcept {
  processor& p = *self.p;
  account(p, nullptr);
  {
    os::spin_guard guard(lock_);
    if (stop_requested_.load(std::memory_order_relaxed) || shutting_down_.load(std::memory_order_relaxed) ||
        global_count_.load(std::memory_order_relaxed) != 0 || errand_.load(std::memory_order_relaxed) != nullptr) {
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

void scheduler::add_timer(timer_node& node) {
  if (worker* self = current_worker(); self != nullptr) {
    os::critical_section section(*self);
    if (processor* p = self->usable_proc(); p != nullptr) {
      p->timers.add(node);  // its owner looks at its timers before it idles
      return;
    }
  }
  proc(0).timers.add(node);
  tell_poller_of_timers(proc(0));
}

green_thread* scheduler::wait_in_poller(worker& self) noexcept {
  poll_until_.store(0, std::memory_order_seq_cst);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  std::int64_t next = earliest_timer();
  if (virtual_time_ != nullptr) next = INT64_MAX;                // a bubble's time does not pass by itself
  if (shutting_down_.load(std::memory_order_seq_cst)) next = 0;  // shut_down sets it, then wakes the poller
  poll_until_.store(next, std::memory_order_seq_cst);
  ready_list ready;
  poll_until(next, ready);
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
  if (!p->alone.load(std::memory_order_relaxed) && next != INT64_MAX) {
    // It goes to fire timers. It counts as one that looks for work meanwhile, so that the first that it wakes does not
    // wake another M as well; if there is more, that is seen when it has found some (run_worker).
    self.spinning = true;
    spinning_.fetch_add(1, std::memory_order_seq_cst);
  }
  return nullptr;
}

void scheduler::poll_until(std::int64_t deadline, ready_list& ready) noexcept {
  if (deadline == INT64_MAX) {
    net_->wait(-1, ready);
    return;
  }
  std::int64_t asked = deadline - wake_ahead_.lead();
  std::int64_t now = os::nanotime();
  bool sleeps = asked > now;
  net_->wait(sleeps ? asked - now : 0, ready);
  if (ready.first != nullptr) return;
  now = os::nanotime();
  if (now < asked) return;  // woken for something else
  if (sleeps) wake_ahead_.observe(asked, now);
  while (now < deadline) {
    os::cpu_pause();
    now = os::nanotime();
  }
}

void scheduler::hand_off(processor& p) noexcept {
  totals_.handoffs.fetch_add(1, std::memory_order_relaxed);
  bool stopping = false;
  bool last = false;
  bool idle = false;
  {
    os::spin_guard guard(lock_);
    if (worker* owner = p.owner.load(std::memory_order_relaxed); owner != nullptr) {
      owner->p = nullptr;
      owner->outside = owner->current != nullptr;               // else it is the loop of a reserved M
      owner->lost_proc.store(true, std::memory_order_relaxed);  // under the lock, or a retake might take it back
      p.owner.store(nullptr, std::memory_order_relaxed);
    }
    if (stop_requested_.load(std::memory_order_relaxed)) {
      p.stopped = true;
      last = note_stopped_locked();
      stopping = true;
    } else if (p.ring.size() == 0 && p.runnext.load(std::memory_order_relaxed) == nullptr &&
               global_count_.load(std::memory_order_relaxed) == 0 && fair_.size() == 0 &&
               poll_turn_.load(std::memory_order_relaxed)) {
      release_proc_locked(p);
      idle = true;
    }
  }
  if (last) tell_stopper();
  if (stopping) return;
  if (!idle) {
    start_worker(p, false);
    return;
  }
  // As in wait_for_work: whoever waits in the poller must know this P's timers; and work may have been queued while the
  // P was neither busy nor idle. The one does not stand for the other: an M that is woken for work, or looks for it
  // already, may find some before it has looked at the timers of an idle P.
  tell_poller_of_timers(p);
  if (!poll_turn_.load(std::memory_order_seq_cst) || work_is_queued()) wake_for_work();
}

void scheduler::start() {
  factory_->start();
  if (virtual_time_ == nullptr) {
    // A bubble has no preemption: nothing in it may depend on real time.
    can_retake_ = os::prepare_process_barrier();
    if (!os::install_preempt_handler(&on_preempt_signal)) os::fatal("the system refuses a handler of signal SIGURG");
    monitor_->start();
  }
  processor* first = nullptr;
  {
    os::spin_guard guard(lock_);
    first = take_idle_proc_locked();
  }
  start_worker(*first, false);
}

bool scheduler::shut_down(std::int64_t deadline) noexcept {
  monitor_->stop();
  factory_->stop();
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
    for (worker* reserved = all_workers_; reserved != nullptr; reserved = reserved->all_link) {
      if (reserved->locked.load(std::memory_order_relaxed) == nullptr) continue;
      reserved->wake.store(1, std::memory_order_release);  // pairs with wait_for_locked
      os::futex_wake(reserved->wake, 1);
    }
  }
  net_->wake();
  for (; one != nullptr; one = one->all_link) {
    std::int64_t left = deadline - os::nanotime();
    if (!os::join_thread(one->thread, left > 0 ? left : 0)) return false;
  }
  factory_->bury_ended();
  if (virtual_time_ == nullptr) os::remove_preempt_handler();
  return true;
}

scheduler::thread_counts scheduler::count_threads() noexcept {
  thread_counts counts{};
  counts.spinning = spinning_.load(std::memory_order_relaxed);
  counts.polling = poll_turn_.load(std::memory_order_relaxed) ? 1 : 0;
  counts.blocked = static_cast<int>(totals_.blocking_now.load(std::memory_order_relaxed) +
                                    totals_.retaken_now.load(std::memory_order_relaxed));
  os::spin_guard guard(lock_);
  counts.total = worker_count_;
  counts.idle = idle_worker_count_;
  counts.frozen = frozen_count_.load(std::memory_order_relaxed);
  return counts;
}

}  // namespace rt::detail
