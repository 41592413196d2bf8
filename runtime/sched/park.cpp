#include "runtime/sched/park.h"

#include <cxxabi.h>

#include "rt/go.h"
#include "runtime/os/clock.h"
#include "runtime/os/fatal.h"
#include "runtime/sched/cancel_domain.h"
#include "runtime/sched/fast_path.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

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
// on another M.
__attribute__((noinline)) void switch_away(worker& self, green_thread& from, after_switch after) noexcept {
  scheduler* the = the_scheduler();
  green_thread* next = the->pick_local(*self.p);
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
}

}  // namespace

void scheduler::leave_to_base(worker& self, green_thread& from, after_switch after) noexcept {
  self.previous = &from;
  self.after = after;
  save_exceptions(self, from);
  self.current = nullptr;
  switch_context(from.flow, self.base);
  worker& resumed = *current_worker();
  restore_exceptions(resumed, from);
  finish_switch(resumed);
}

// The first function of every green thread.
extern "C" void rt_context_entry() {
  entered_fresh_context();
  worker* self = current_worker();
  green_thread* one = self->current;
  the_scheduler()->finish_switch(*self);
  try {
    one->entry(one->closure);
  } catch (const cancelled&) {
    // Unwound to the end, as asked for.
  } catch (abi::__forced_unwind&) {
    throw;  // pthread_exit or pthread_cancel on an M: nothing can go on
  } catch (...) {
    std::exception_ptr error = std::current_exception();
    group* owner = one->member_of.load(std::memory_order_relaxed);
    if (one->in_domain_list) {
      one->domain->fail(std::move(error));
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
        os::fatal("an exception left green thread %lu: %s: %s", static_cast<unsigned long>(one->id), type, text);
      } catch (...) {
        os::fatal("an exception left green thread %lu: %s", static_cast<unsigned long>(one->id), type);
      }
    }
  }
  end_green_thread();
}

void end_green_thread() noexcept {
  worker* self = current_worker();
  green_thread* one = self->current;
  if (one->in_domain_list) one->domain->leave(*one);
  self = current_worker();
  switch_away(*self, *one, after_switch::end);
  __builtin_unreachable();
}

green_thread* require_green_thread(const char* what) noexcept {
  worker* self = current_worker();
  if (self == nullptr || self->current == nullptr) {
    os::fatal("%s was called outside a green thread; start one with rt::go or rt::run", what);
  }
  if (self->blocking_depth != 0) [[unlikely]] {
    os::fatal("%s was called inside rt::blocking, where the caller has no processor", what);
  }
  return self->current;
}

void park(wait_reason reason) noexcept {
  worker* self = current_worker();
  green_thread* one = self->current;
  if (one->park.load(std::memory_order_relaxed) == park_word::notified) {
    one->park.exchange(park_word::active, std::memory_order_acq_rel);  // pairs with unpark's compare-exchange
    return;
  }
  one->waits_for.store(reason, std::memory_order_relaxed);
  one->waiting_since.store(self->p->coarse_now.load(std::memory_order_relaxed), std::memory_order_relaxed);
  one->where.store(phase::waiting, std::memory_order_relaxed);
  switch_away(*self, *one, after_switch::park);
}

void park_until(wait_reason reason, std::int64_t deadline) noexcept {
  if (deadline == INT64_MAX) {
    park(reason);
    return;
  }
  worker* self = current_worker();
  green_thread* one = self->current;
  timer_node node;
  node.when = deadline;
  node.first = one;
  // The callback may run after this function has returned, for a green thread that waits for something else or has
  // ended: an unpark too many (park.h).
  node.fire = [](void* first, std::uint64_t) noexcept { unpark(*static_cast<green_thread*>(first)); };
  self->p->timers.add(node);
  park(reason);
  timer_heap::remove(node);
}

bool claim_parked(green_thread& one) noexcept {
  std::uint32_t word = one.park.load(std::memory_order_relaxed);
  while (true) {
    bool parked = word == park_word::parked;
    // One that has the token already gets it again: the exchange orders what the caller wrote before with its taker.
    std::uint32_t next = parked ? park_word::active : park_word::notified;
    if (one.park.compare_exchange_weak(word, next, std::memory_order_acq_rel)) return parked;
  }
}

void unpark(green_thread& one) noexcept {
  if (claim_parked(one)) the_scheduler()->make_ready(current_worker(), one);
}

void make_ready(green_thread& one) noexcept { the_scheduler()->make_ready(current_worker(), one); }

void throw_cancelled() { throw cancelled(); }

void yield_processor() noexcept {
  worker* self = current_worker();
  processor& p = *self->p;
  std::uint32_t asked = p.attention.load(std::memory_order_relaxed);
  if ((asked & attention::preempt) != 0) {
    bump(p.preemptions);
    switch_away(*self, *self->current, after_switch::requeue_global);
  } else {
    switch_away(*self, *self->current, after_switch::requeue);
  }
}

}  // namespace rt::detail

namespace rt {

void yield() {
  detail::worker* self = detail::current_worker();
  if (self == nullptr || self->current == nullptr || self->p == nullptr) {
    sched_yield();
    return;
  }
  detail::throw_if_cancellation_pending(*self->current);
  detail::yield_processor();
}

void checkpoint() {
  detail::worker* self = detail::current_worker();
  if (self == nullptr || self->current == nullptr || self->p == nullptr) return;
  detail::throw_if_cancellation_pending(*self->current);
  if (self->p->attention.load(std::memory_order_relaxed) != 0) [[unlikely]]
    detail::yield_processor();
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
