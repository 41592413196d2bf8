// rt::blocking: the P goes on without the kernel thread that is about to block.
#include "rt/blocking.h"

#include "runtime/os/clock.h"
#include "runtime/sched/fast_path.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/virtual_time.h"

namespace rt::detail {

void scheduler::enter_blocking(worker& self) noexcept {
  totals_.blocking_now.fetch_add(1, std::memory_order_relaxed);
  green_thread& one = *self.current;
  one.waiting_since.store(self.p->coarse_now.load(std::memory_order_relaxed), std::memory_order_relaxed);
  one.where.store(phase::blocking, std::memory_order_relaxed);
  processor& p = *self.p;
  account(p, nullptr);
  self.lost_cpu_time = os::thread_cpu_time();
  if (virtual_time_ != nullptr) virtual_time_->begin_outside();
  hand_off(p);
}

void scheduler::exit_blocking(worker& self) noexcept {
  totals_.blocking_now.fetch_sub(1, std::memory_order_relaxed);
  charge_outside(self);
}

void blocking_enter() noexcept {
  worker* self = current_worker();
  if (self == nullptr || self->current == nullptr) return;
  if (self->blocking_depth != 0) {
    ++self->blocking_depth;
    return;
  }
  worker& mine = enter_with_proc();
  mine.blocking_depth = 1;
  the_scheduler()->enter_blocking(mine);
  os::leave_critical(mine);
}

void blocking_exit() noexcept {
  worker* self = current_worker();
  if (self == nullptr || self->current == nullptr) return;
  if (--self->blocking_depth != 0) return;
  the_scheduler()->exit_blocking(*self);
  os::leave_critical(enter_with_proc());
  if (virtual_time* time = the_scheduler()->time(); time != nullptr) time->end_outside();
}

}  // namespace rt::detail
