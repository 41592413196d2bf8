// Green threads that keep a kernel thread to themselves, for libraries and kernel state that belong to a thread.
//
// A locked green thread is bound to its M, and the M is reserved for it: when the green thread parks, the M gives its P
// away and sleeps; whoever takes the green thread out of a queue hands its P to that M, as for a frozen one. An M whose
// locked green thread has ended ends as well: what was done to its kernel state goes with it. Ms are made by a thread
// that never runs green threads (worker_factory.h), so they do not inherit such state either.
#include <utility>

#include "rt/go.h"
#include "runtime/os/futex.h"
#include "runtime/sched/fast_path.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

green_thread* scheduler::wait_for_locked(worker& self) noexcept {
  green_thread& one = *self.locked.load(std::memory_order_relaxed);
  bool ended = one.where.load(std::memory_order_relaxed) == phase::unused;
  if (processor* p = self.p; p != nullptr) hand_off(*p);
  if (ended) {
    self.locked.store(nullptr, std::memory_order_relaxed);
    return nullptr;
  }
  {
    // Under the lock shut_down wakes those that are reserved; one that came to be so later is not to sleep.
    os::spin_guard guard(lock_);
    if (shutting_down_.load(std::memory_order_relaxed)) return nullptr;
  }
  while (self.wake.load(std::memory_order_acquire) == 0) os::futex_wait(self.wake, 0, -1);  // pairs with hand
  self.wake.store(0, std::memory_order_relaxed);
  processor* p = std::exchange(self.handed, nullptr);
  if (p == nullptr) return nullptr;  // the end of the scheduler
  attach(self, *p);
  return &one;
}

}  // namespace rt::detail

namespace rt {

void lock_os_thread() {
  detail::require_green_thread("rt::lock_os_thread");
  detail::worker& self = detail::enter_with_proc();
  detail::green_thread& one = *self.current;
  if (one.thread_locks++ == 0) {
    one.bound = &self;
    self.locked.store(&one, std::memory_order_relaxed);
  }
  os::leave_critical(self);
}

void unlock_os_thread() noexcept {
  detail::worker* self = detail::current_worker();
  if (self == nullptr || self->current == nullptr || self->current->thread_locks == 0) return;
  os::critical_section section(*self);
  detail::green_thread& one = *self->current;
  if (--one.thread_locks == 0) {
    one.bound = nullptr;
    self->locked.store(nullptr, std::memory_order_relaxed);
  }
}

}  // namespace rt
