// What every switch passes through, inline: choosing the next green thread of the own P, and completing a switch.
//
// Together they are some thirty instructions without a call, which is what makes a switch cost a few nanoseconds.
#pragma once

#include "runtime/os/clock.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

/// How many times in a row runnext may go before the ring, so that two green threads that wake each other do not starve
/// the others of their P.
inline constexpr std::uint8_t most_runnext_in_a_row = 64;

// What is noted about every green thread that begins a slice.
inline void scheduler::observe_start(processor& p, green_thread& next) noexcept {
  bump(p.switches);
  bump(next.thread_switch, std::uint32_t{1});
  next.where.store(phase::running, std::memory_order_relaxed);
  group* owner = next.member_of.load(std::memory_order_relaxed);
  if (owner != p.accounted_group) [[unlikely]]
    account(p, owner);
  if (next.ready_cycles != 0) [[unlikely]]
    observe_wait(p, next);
}

inline void scheduler::push_local(processor& p, green_thread& one) noexcept {
  if (!p.ring.push(&one)) [[unlikely]]
    push_overflowing(p, one);
}

inline void scheduler::make_ready(worker* self, green_thread& one) noexcept {
  one.where.store(phase::runnable, std::memory_order_relaxed);
  if (self == nullptr || self->p == nullptr) {
    one.ready_cycles = 0;
    push_global(one);
    wake_for_work();
    return;
  }
  processor& p = *self->p;
  // One in 64 waits in the run queue is measured (the two reads of the cycle counter cost more than a switch).
  one.ready_cycles = (p.tick.load(std::memory_order_relaxed) & 63) == 0 ? os::cycles() : 0;
  green_thread* before;
  if (p.alone) {
    before = p.runnext.load(std::memory_order_relaxed);
    p.runnext.store(&one, std::memory_order_relaxed);
    if (before != nullptr) push_local(p, *before);
    return;
  }
  before = p.runnext.exchange(&one, std::memory_order_seq_cst);  // the full fence of invariant 3
  if (before != nullptr) push_local(p, *before);
  wake_for_work();
}

inline green_thread* scheduler::pick_local(processor& p) noexcept {
  std::uint32_t tick = p.tick.load(std::memory_order_relaxed) + 1;
  p.tick.store(tick, std::memory_order_relaxed);
  if (p.attention.load(std::memory_order_relaxed) != 0) [[unlikely]]
    return nullptr;
  if ((tick & p.check_mask) == 0 && os::cycles() >= p.next_check) [[unlikely]]
    return nullptr;
  return pick_queued(p);
}

inline green_thread* scheduler::pick_queued(processor& p) noexcept {
  green_thread* next = p.runnext.load(std::memory_order_relaxed);
  if (next != nullptr && p.runnext_streak < most_runnext_in_a_row) {
    bool mine = true;
    if (p.alone) {
      p.runnext.store(nullptr, std::memory_order_relaxed);
    } else {
      mine = p.runnext.compare_exchange_strong(next, nullptr, std::memory_order_acq_rel);  // against a thief
    }
    if (mine) {
      ++p.runnext_streak;
      observe_start(p, *next);
      return next;
    }
  }
  p.runnext_streak = 0;
  next = p.ring.pop(p.alone);
  if (next == nullptr) {
    // Perhaps runnext was only kept back above.
    if (p.runnext.load(std::memory_order_relaxed) == nullptr) return nullptr;
    next = p.runnext.exchange(nullptr, std::memory_order_acq_rel);
    if (next == nullptr) return nullptr;  // a thief was faster
  }
  observe_start(p, *next);
  return next;
}

inline void scheduler::finish_switch(worker& self) noexcept {
  green_thread* left = self.previous;
  if (left == nullptr) return;
  self.previous = nullptr;
  switch (self.after) {
    case after_switch::nothing:
      break;
    case after_switch::park: {
      std::uint32_t active = park_word::active;
      // Release: whoever claims it sees its stack at rest. Acquire: with a token, it sees what the waker wrote.
      if (!left->park.compare_exchange_strong(active, park_word::parked, std::memory_order_acq_rel)) {
        left->park.exchange(park_word::active, std::memory_order_acq_rel);  // the token came meanwhile: take it
        make_ready(&self, *left);
      }
      break;
    }
    case after_switch::requeue:
      left->where.store(phase::runnable, std::memory_order_relaxed);
      push_local(*self.p, *left);
      // While it was between two queues, an idle M may have looked for work and found none.
      if (!self.p->alone && (self.p->tick.load(std::memory_order_relaxed) & 63) == 0) wake_for_work();
      break;
    case after_switch::requeue_global:
      left->where.store(phase::runnable, std::memory_order_relaxed);
      push_global(*left);
      wake_for_work();
      break;
    case after_switch::end:
      recycle(self, *left);
      break;
  }
}

}  // namespace rt::detail
