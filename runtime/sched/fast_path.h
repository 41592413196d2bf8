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
inline __attribute__((always_inline)) void scheduler::observe_start(processor& p, green_thread& next) noexcept {
  bump(p.switches);
  bump(next.thread_switch, std::uint32_t{1});
  next.where.store(phase::running, std::memory_order_relaxed);
  group* owner = next.member_of.load(std::memory_order_relaxed);
  if (owner != p.running.get()) [[unlikely]]
    account(p, owner);
  if (next.ready_cycles != 0) [[unlikely]]
    observe_wait(p, next);
}

// Of wake-ups one in 64 is measured; of yields, which cost a few nanoseconds, as many when slices are long, and one in
// 1024 when they are short: the three reads of the cycle counter and the rest take about 100 ns.
//
// Not each 64th: green threads that take turns would be measured always or never, as the length of their round has it.
// The multiples of the golden ratio's fraction spread evenly over any regular choice of ticks (Knuth 6.4, Fibonacci
// hashing). `mask` has at most the 10 bits that the shift leaves.
inline void scheduler::note_queued(const processor& p, green_thread& one, std::uint32_t mask) noexcept {
  constexpr std::uint32_t golden_ratio = 0x9e3779b1;  // 2^32 / 1.618..., made odd
  std::uint32_t spread = p.tick.load(std::memory_order_relaxed) * golden_ratio >> 22;
  one.ready_cycles = (spread & mask) == 0 ? os::cycles() : 0;
}

inline bool is_throttled(const green_thread& one) noexcept {
  return one.member_of.load(std::memory_order_relaxed)->share.quota.throttled.load(std::memory_order_relaxed);
}

inline void scheduler::push_local(processor& p, green_thread& one) noexcept {
  if (!p.ring.push(&one)) [[unlikely]]
    push_overflowing(p, one);
}

inline void scheduler::make_ready(worker* self, green_thread& one) noexcept {
  if (self == nullptr) {
    one.where.store(phase::runnable, std::memory_order_relaxed);
    make_ready_outside(self, one);
    return;
  }
  os::critical_section section(*self);
  make_ready_within(*self, one);
}

inline void scheduler::make_ready_within(worker& self, green_thread& one) noexcept {
  one.where.store(phase::runnable, std::memory_order_relaxed);
  processor* mine = self.usable_proc();
  if (mine == nullptr) [[unlikely]] {
    make_ready_outside(&self, one);
    return;
  }
  processor& p = *mine;
  note_queued(p, one, 63);
  green_thread* before;
  if (p.plain) {
    before = p.runnext.load(std::memory_order_relaxed);
    p.runnext.store(&one, std::memory_order_relaxed);
    if (before != nullptr) push_local(p, *before);
    return;
  }
  if (p.by_weight) [[unlikely]] {
    make_ready_by_weight(self, one);
    return;
  }
  if (p.vain_wakes.load(std::memory_order_relaxed) == enough_vain_wakes &&
      p.runnext.load(std::memory_order_relaxed) == nullptr) {
    // Kept for the owner (invariant 3). Nobody else fills the place, so a store will do. Release: pairs with the thief.
    p.runnext.store(&one, std::memory_order_release);
    return;
  }
  before = p.runnext.exchange(&one, std::memory_order_seq_cst);  // the full fence of invariant 3
  if (before != nullptr) {
    push_local(p, *before);
    std::atomic_thread_fence(std::memory_order_seq_cst);  // invariant 3: this one was published after the exchange
  }
  if (idle_procs_.load(std::memory_order_seq_cst) == 0) [[likely]]
    return;
  bool woken = wake_for_work_slow();
  std::uint8_t vain = p.vain_wakes.load(std::memory_order_relaxed);
  if (woken && before == nullptr && vain < enough_vain_wakes) {
    p.vain_wakes.store(static_cast<std::uint8_t>(vain + 1), std::memory_order_relaxed);
  }
}

inline __attribute__((always_inline)) green_thread* scheduler::pick_local(processor& p) noexcept {
  std::uint32_t tick = p.tick.load(std::memory_order_relaxed) + 1;
  p.tick.store(tick, std::memory_order_relaxed);
  if (p.attention.load(std::memory_order_relaxed) != 0) [[unlikely]]
    return nullptr;
  if ((tick & p.check_mask) == 0) {
    std::uint64_t now = os::cycles();
    if (p.sample.is_open()) [[unlikely]]
      end_sample(p, now);
    if (now >= p.next_check) [[unlikely]]
      return nullptr;
  }
  green_thread* next = p.runnext.load(std::memory_order_relaxed);
  if (p.plain && next != nullptr && p.runnext_streak < most_runnext_in_a_row) {
    p.runnext.store(nullptr, std::memory_order_relaxed);  // the way of pick_queued, without a call
    ++p.runnext_streak;
    observe_start(p, *next);
  } else {
    next = pick_queued(p);
    if (p.by_weight && next != nullptr && is_throttled(*next)) [[unlikely]] {
      p.bound_next = next;  // the scheduler's loop puts it aside
      return nullptr;
    }
  }
  if (next != nullptr && next->bound != nullptr) [[unlikely]] {
    p.bound_next = next;  // its own M must run it: the scheduler's loop hands the P over
    return nullptr;
  }
  return next;
}

inline green_thread* scheduler::pick_queued(processor& p) noexcept {
  green_thread* next = p.runnext.load(std::memory_order_relaxed);
  bool mine = next != nullptr;
  if (mine) {
    if (p.runnext_streak >= most_runnext_in_a_row) [[unlikely]]
      return end_turn(p);
    if (p.alone.load(std::memory_order_relaxed)) {
      p.runnext.store(nullptr, std::memory_order_relaxed);
    } else {
      mine = p.runnext.compare_exchange_strong(next, nullptr, std::memory_order_acq_rel);  // against a thief
    }
    ++p.runnext_streak;
  }
  if (!mine) {
    p.runnext_streak = 0;
    next = p.ring.pop(p.alone.load(std::memory_order_relaxed));
    if (next == nullptr) return p.by_weight ? pick_by_weight(p) : nullptr;
  }
  observe_start(p, *next);
  return next;
}

inline __attribute__((always_inline)) void scheduler::finish_switch(worker& self) noexcept {
  green_thread* left = self.previous;
  if (left == nullptr) return;
  self.previous = nullptr;
  if (self.after == after_switch::park) [[likely]] {
    if (!park_word::settle(left->park)) [[unlikely]]
      make_ready_within(self, *left);  // its token came meanwhile
    return;
  }
  finish_other_switch(self, *left);
}

inline void scheduler::finish_other_switch(worker& self, green_thread& from) noexcept {
  green_thread* left = &from;
  switch (self.after) {
    case after_switch::nothing:
    case after_switch::park:
      break;
    case after_switch::requeue: {
      processor& p = *self.p;
      left->where.store(phase::runnable, std::memory_order_relaxed);
      note_queued(p, *left, p.check_mask << 4 | 63);
      if (p.plain) {
        push_local(p, *left);
      } else {
        requeue_shared(self, *left);
      }
      break;
    }
    case after_switch::requeue_global:
      left->where.store(phase::runnable, std::memory_order_relaxed);
      make_ready_outside(&self, *left);
      break;
    case after_switch::end:
      recycle(self, *left);
      break;
  }
}

}  // namespace rt::detail
