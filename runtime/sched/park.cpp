#include "runtime/sched/park.h"

#include <cxxabi.h>

#include <exception>
#include <utility>

#include "rt/go.h"
#include "runtime/os/clock.h"
#include "runtime/os/fatal.h"
#include "runtime/sched/attached.h"
#include "runtime/sched/cancel_domain.h"
#include "runtime/sched/fast_path.h"
#include "runtime/sched/scan_list.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

std::atomic<os_lock_hook> on_park_with_os_lock{nullptr};
scan_list ran_since_scan;

namespace {

// The layout that the Itanium C++ ABI gives to what __cxa_get_globals returns: the stack of exceptions whose handlers
// are running, and the number of exceptions that are being thrown. It belongs to a flow of control, not to a thread.
struct exception_globals {
  void* caught;
  unsigned int uncaught;
};

inline void save_exceptions(worker& self, green_thread& from) noexcept {
  auto* globals = static_cast<exception_globals*>(self.exception_globals);
  if (globals->caught == nullptr && globals->uncaught == 0) [[likely]]
    return;
  from.caught_exceptions = globals->caught;
  from.uncaught_exceptions = globals->uncaught;
  globals->caught = nullptr;
  globals->uncaught = 0;
}

inline void restore_exceptions(worker& self, green_thread& to) noexcept {
  if (to.caught_exceptions == nullptr && to.uncaught_exceptions == 0) [[likely]]
    return;
  auto* globals = static_cast<exception_globals*>(self.exception_globals);
  globals->caught = to.caught_exceptions;
  globals->uncaught = to.uncaught_exceptions;
  to.caught_exceptions = nullptr;
  to.uncaught_exceptions = 0;
}

// Leaves the running green thread `from`; whatever runs next does `after` for it. Returns when it is resumed, perhaps
// on another M. Ends the critical section that the caller has begun (and no other: who runs next stands in its own).
inline __attribute__((always_inline)) void switch_inline(worker& self, green_thread& from,
                                                         after_switch after) noexcept {
  scheduler* the = the_scheduler();
  // An M that is locked to `from` runs nobody else: its loop gives the P away.
  green_thread* next = self.locked.load(std::memory_order_relaxed) == nullptr ? the->pick_local(*self.p) : nullptr;
  self.previous = &from;
  self.after = after;
  save_exceptions(self, from);
  self.current = next;
  if (next != nullptr) {
    switch_context(from.flow, next->flow, after == after_switch::end);
  } else {
    switch_context(from.flow, self.base, after == after_switch::end);
  }
  worker& resumed = *current_worker();
  restore_exceptions(resumed, from);
  the_scheduler()->finish_switch(resumed);
  os::leave_first_critical(resumed);
}

__attribute__((noinline)) void switch_away(worker& self, green_thread& from, after_switch after) noexcept {
  switch_inline(self, from, after);
}

// The same for one that holds locks of the system: it takes along what the M knows of them.
__attribute__((noinline)) void switch_away_with_os_locks(worker& self, green_thread& from,
                                                         after_switch after) noexcept {
  held_os_locks held = self.os_locks;
  if (after == after_switch::park) {
    the_scheduler()->counters().os_lock_parks.fetch_add(1, std::memory_order_relaxed);
    os_lock_hook hook = on_park_with_os_lock.load(std::memory_order_relaxed);
    if (hook != nullptr) hook(held, from.os_locks < held.size() ? from.os_locks : held.size());
  }
  switch_away(*current_worker(), from, after);
  current_worker()->os_locks = held;
}

inline void switch_away_with_all(worker& self, green_thread& from, after_switch after) noexcept {
  if (from.os_locks != 0) [[unlikely]] {
    switch_away_with_os_locks(self, from, after);
  } else {
    switch_away(self, from, after);
  }
}

}  // namespace

void park_within(worker& self, wait_reason reason) noexcept {
  green_thread* one = self.current;
  if (park_word::take_token(one->park)) {
    os::leave_critical(self);
    return;
  }
  one->waits_for.store(reason, std::memory_order_relaxed);
  one->waiting_since.store(self.p->coarse_now.load(std::memory_order_relaxed), std::memory_order_relaxed);
  one->where.store(phase::waiting, std::memory_order_relaxed);
  if (one->os_locks != 0) [[unlikely]] {
    switch_away_with_os_locks(self, *one, after_switch::park);
  } else {
    switch_inline(self, *one, after_switch::park);
  }
}

void scheduler::leave_to_base(worker& self, green_thread& from, after_switch after) noexcept {
  self.previous = &from;
  self.after = after;
  save_exceptions(self, from);
  if (self.lost_proc.load(std::memory_order_relaxed)) [[unlikely]] {
    // It has run without a P: a collector that looks for such ones holds the lock (for_each_interrupted).
    os::spin_guard guard(lock_);
    self.current = nullptr;
  } else {
    self.current = nullptr;
  }
  held_os_locks held = self.os_locks;
  switch_context(from.flow, self.base);
  worker& resumed = *current_worker();
  resumed.os_locks = held;
  restore_exceptions(resumed, from);
  finish_switch(resumed);
}

void report_escaped_exception(green_thread& one) noexcept {
  std::exception_ptr error = std::current_exception();
  group* owner = one.member_of.load(std::memory_order_relaxed);
  if (one.in_domain_list) {
    one.domain->fail(std::move(error));
  } else if (owner->on_exception != nullptr) {
    owner->on_exception(*owner, std::move(error));
  } else {
    const char* type = "unknown type";
    int status = 0;
    if (const std::type_info* info = abi::__cxa_current_exception_type(); info != nullptr) {
      const char* readable = abi::__cxa_demangle(info->name(), nullptr, nullptr, &status);
      type = readable != nullptr ? readable : info->name();
    }
    const char* text = "";
    try {
      std::rethrow_exception(std::current_exception());
    } catch (const std::exception& known) {
      text = known.what();
      os::fatal("an exception left green thread %lu: %s: %s",
                static_cast<unsigned long>(one.id.load(std::memory_order_relaxed)), type, text);
    } catch (...) {
      os::fatal("an exception left green thread %lu: %s",
                static_cast<unsigned long>(one.id.load(std::memory_order_relaxed)), type);
    }
  }
}

// The first function of every green thread.
extern "C" void rt_context_entry() {
  entered_fresh_context();
  worker* self = current_worker();
  green_thread* one = self->current;
  the_scheduler()->finish_switch(*self);
  os::leave_critical(*self);
  try {
    one->entry(one->closure);
  } catch (const cancelled&) {
    // Unwound to the end, as asked for.
  } catch (abi::__forced_unwind&) {
    throw;  // pthread_exit or pthread_cancel on an M: nothing can go on
  } catch (...) {
    report_escaped_exception(*one);
  }
  end_values(*one);
  end_green_thread();
}

void end_values(green_thread& self) noexcept {
  if (self.values == nullptr) return;
  self.values->destroy();
  std::exchange(self.values, nullptr)->release();
}

void end_green_thread() noexcept {
  worker& self = enter_with_proc();
  green_thread* one = self.current;
  if (one->in_domain_list) one->domain->leave(*one);
  switch_away(self, *one, after_switch::end);
  __builtin_unreachable();
}

void refuse_caller(const char* what) noexcept {
  if (current_green_thread() == nullptr) {
    os::fatal("%s was called outside a green thread; start one with rt::go or rt::run", what);
  }
  os::fatal("%s was called inside rt::blocking, where the caller has no processor", what);
}

void park(wait_reason reason) noexcept { park_within(enter_with_proc(), reason); }

void park_until(wait_reason reason, std::int64_t deadline) noexcept {
  if (deadline == INT64_MAX) {
    park(reason);
    return;
  }
  worker& self = enter_with_proc();
  timer_node node;
  node.when = deadline;
  node.first = self.current;
  node.ends_own_wait = true;
  // The callback may run after this function has returned, for a green thread that waits for something else or has
  // ended: an unpark too many (park.h).
  node.fire = [](void* first, std::uint64_t) noexcept { unpark(*static_cast<green_thread*>(first)); };
  green_thread* one = self.current;
  self.p->timers.add(node);
  one->timed_wait.store(true, std::memory_order_relaxed);  // the looks of deadlock_watch are ordered by the park
  park_within(self, reason);
  one->timed_wait.store(false, std::memory_order_relaxed);
  timer_heap::remove(node);
}

bool claim_parked(green_thread& one) noexcept {
  park_word::claim_result found = park_word::claim(one.park);
  if (found == park_word::claim_result::taken_scanned) [[unlikely]] {
    if (ran_since_scan.is_open()) ran_since_scan.add(one);
  }
  return found != park_word::claim_result::token_left;
}

void unpark(green_thread& one) noexcept {
  if (claim_parked(one)) the_scheduler()->make_ready(current_worker(), one);
}

void make_ready(green_thread& one) noexcept { the_scheduler()->make_ready(current_worker(), one); }

void make_ready_within(worker& self, green_thread& one) noexcept { the_scheduler()->make_ready_within(self, one); }

bool is_unwinding() noexcept { return std::uncaught_exceptions() != 0; }

void throw_cancelled(const green_thread& self) {
  if (self.domain->is_cancelled() && self.shield == 0) throw cancelled();
  const obeyed_context* ended = ended_context(self.obeyed, self.shield);
  ended->throw_end(*ended);
  __builtin_unreachable();
}

void yield_processor() noexcept {
  worker& self = enter_with_proc();
  processor& p = *self.p;
  std::uint32_t asked = p.attention.load(std::memory_order_relaxed);
  if ((asked & (attention::stop | attention::errand)) != 0) p.made_way.store(self.current, std::memory_order_relaxed);
  if ((asked & attention::preempt) != 0) {
    bump(p.preemptions);
    switch_away_with_all(self, *self.current, after_switch::requeue_global);
  } else if (p.by_weight && p.ring.size() == 0 && p.runnext.load(std::memory_order_relaxed) == nullptr) [[unlikely]] {
    the_scheduler()->yield_by_weight(self);
    os::leave_critical(*current_worker());
  } else {
    switch_away_with_all(self, *self.current, after_switch::requeue);
  }
}

void make_way(worker& self) noexcept {
  // In rt::blocking there is neither a P to give nor one to wait for.
  if (self.current == nullptr || self.blocking_depth != 0) return;
  worker& mine = enter_with_proc();
  bool asked = should_make_way(*mine.p);
  os::leave_critical(mine);
  if (asked) yield_processor();
}

worker& regain_proc() noexcept {
  the_scheduler()->regain(*current_worker());
  return *current_worker();
}

}  // namespace rt::detail

namespace rt {

void yield() {
  detail::worker* self = detail::current_worker();
  if (self == nullptr || self->current == nullptr || self->blocking_depth != 0) {
    sched_yield();
    return;
  }
  detail::throw_if_cancellation_pending(*self->current);
  detail::yield_processor();
}

void checkpoint() {
  detail::worker* self = detail::current_worker();
  if (self == nullptr || self->current == nullptr) return;
  detail::throw_if_cancellation_pending(*self->current);
  detail::poll_attention(self);
}

bool is_cancelled() noexcept {
  detail::green_thread* self = detail::current_green_thread();
  return self != nullptr && self->domain->is_cancelled();
}

cancellation_shield::cancellation_shield() noexcept {
  if (detail::green_thread* self = detail::current_green_thread(); self != nullptr) ++self->shield;
}

cancellation_shield::~cancellation_shield() {
  if (detail::green_thread* self = detail::current_green_thread(); self != nullptr) --self->shield;
}

}  // namespace rt
