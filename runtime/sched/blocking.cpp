// rt::blocking: the P goes on without the kernel thread that is about to block.
#include "rt/blocking.h"

#include "runtime/os/clock.h"
#include "runtime/sched/fast_path.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

void scheduler::enter_blocking(worker& self) noexcept {
  totals_.blocking_now.fetch_add(1, std::memory_order_relaxed);
  green_thread& one = *self.current;
  one.waiting_since.store(self.p->coarse_now.load(std::memory_order_relaxed), std::memory_order_relaxed);
  one.where.store(phase::blocking, std::memory_order_relaxed);
  processor& p = *self.p;
  account(p, nullptr);
  self.p = nullptr;
  hand_off(p);
}

void scheduler::exit_blocking() noexcept {
  worker& self = *current_worker();
  totals_.blocking_now.fetch_sub(1, std::memory_order_relaxed);
  green_thread& one = *self.current;
  if (processor* p = take_idle_proc(); p != nullptr) {
    attach(self, *p);
    p->tick.store(p->tick.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    observe_start(*p, one);
    return;
  }
  // No P is free. The green thread queues up like any other; this M sleeps until it is handed one.
  leave_to_base(self, one, after_switch::requeue_global);
}

void blocking_enter() noexcept {
  worker* self = current_worker();
  if (self == nullptr || self->current == nullptr) return;
  if (self->blocking_depth++ == 0) the_scheduler()->enter_blocking(*self);
}

void blocking_exit() noexcept {
  worker* self = current_worker();
  if (self == nullptr || self->current == nullptr) return;
  if (--self->blocking_depth == 0) the_scheduler()->exit_blocking();
}

}  // namespace rt::detail
