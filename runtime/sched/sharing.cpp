// How Ps use the fair queue: what goes in, what comes out, who makes way (fair_queue.h says why).
#include "runtime/sched/fast_path.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

void scheduler::request_preempt(processor& p) noexcept {
  p.attention.fetch_or(attention::preempt, std::memory_order_relaxed);
  totals_.preempt_requests.fetch_add(1, std::memory_order_relaxed);
}

// Whenever a P passes through find_runnable while weights are in use, or were.
void scheduler::choose_sharing(processor& p) noexcept {
  p.by_weight = fair_queue::in_use();
  p.plain = p.alone.load(std::memory_order_relaxed) && !p.by_weight;
  if (p.by_weight) return;
  p.first_class.store(false, std::memory_order_relaxed);
  bool any = false;
  while (green_thread* one = fair_.take_any()) {
    push_global(*one);
    any = true;
  }
  if (any) wake_for_work();
}

// The P has run all that it had: the turn of the group with the least virtual time.
green_thread* scheduler::pick_by_weight(processor& p) noexcept {
  // What is in runnext has had 64 decisions or a slice; now it competes.
  green_thread* kept = p.runnext.exchange(nullptr, std::memory_order_acq_rel);
  if (kept != nullptr) fair_.push(*kept);
  std::uint64_t now = os::cycles();
  charge(p, p.running.get(), now);  // the choice needs to know what was used until now
  fair_queue::batch batch;
  std::uint32_t count = fair_.take(batch, p.check_mask == 0 ? 1 : fair_queue::most_at_once);
  if (count == 0) return nullptr;
  for (std::uint32_t i = 1; i < count; ++i) push_local(p, *batch[i]);
  // While they were between two queues, an idle M may have looked for work and found none; and what was in runnext is
  // work for others only now.
  if (count > 1) std::atomic_thread_fence(std::memory_order_seq_cst);  // invariant 3: publish, then look for spinners
  if (count > 1 || kept != nullptr) wake_for_work();
  green_thread* next = batch[0];
  group& owner = *next->member_of.load(std::memory_order_relaxed);
  if (&owner != p.running.get()) charge(p, &owner, now);
  p.first_class.store(owner.share.kind.load(std::memory_order_relaxed) == share_class::latency,
                      std::memory_order_relaxed);
  observe_start(p, *next);
  return next;
}

green_thread* scheduler::pick_first_class(processor& p) noexcept {
  if (!p.by_weight) return nullptr;
  green_thread* next = fair_.take_first_class();
  if (next != nullptr) p.first_class.store(true, std::memory_order_relaxed);
  return next;
}

void scheduler::yield_by_weight(worker& self) noexcept {
  processor& p = *self.p;
  std::uint64_t now = os::cycles();
  charge(p, p.running.get(), now);
  p.tick.store(p.tick.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  // Through the loop at least as often as any P: timers and the poller are served there.
  if (now < p.next_check && p.attention.load(std::memory_order_relaxed) == 0 &&
      fair_.is_still_first(self.current->member_of.load(std::memory_order_relaxed)->share)) {
    return;
  }
  leave_to_base(self, *self.current, after_switch::requeue);
}

void scheduler::make_ready_by_weight(worker& self, green_thread& one) noexcept {
  green_thread* pushed = &one;
  if (self.current != nullptr &&
      self.current->member_of.load(std::memory_order_relaxed) == one.member_of.load(std::memory_order_relaxed)) {
    pushed = self.p->runnext.exchange(&one, std::memory_order_seq_cst);  // the full fence of invariant 3
    if (pushed == nullptr) {
      wake_for_work();
      return;
    }
  }
  push_by_weight(&self, *pushed);
}

// By a thread without a P, or a green thread that was asked to make way.
void scheduler::make_ready_outside(worker* self, green_thread& one) noexcept {
  std::uint64_t now = os::cycles();
  one.ready_cycles = ((now >> 6) & 63) == 0 ? now : 0;  // one in 64, as in note_queued
  if (fair_queue::in_use()) {
    push_by_weight(self, one);
    return;
  }
  push_global(one);
  wake_for_work();
}

// A green thread that yielded, on a P that is not the only one or that shares by weight.
void scheduler::requeue_shared(worker& self, green_thread& one) noexcept {
  processor& p = *self.p;
  if (p.by_weight) {
    push_by_weight(&self, one);
    return;
  }
  push_local(p, one);
  // While it was between two queues, an idle M may have looked for work and found none.
  if ((p.tick.load(std::memory_order_relaxed) & 63) == 0) wake_for_work();
}

void scheduler::push_by_weight(worker* self, green_thread& one) noexcept {
  bool first_class = fair_.push(one);
  wake_for_work();
  if (first_class && idle_procs_.load(std::memory_order_relaxed) == 0) preempt_for_latency(self);
}

// One of the latency class waits and all Ps are busy: one that runs something else makes way. The own one is best,
// since its green thread is inside a runtime call; and if none runs there, the P is about to choose anyway. There is no
// grace period for what has just begun to run: making way costs less than finding out for how long it has run.
void scheduler::preempt_for_latency(worker* self) noexcept {
  if (self != nullptr && self->usable_proc() != nullptr) {
    if (self->current == nullptr) return;
    if (!self->p->first_class.load(std::memory_order_relaxed)) {
      request_preempt(*self->p);
      return;
    }
  }
  auto count = static_cast<std::uint32_t>(proc_count());
  std::uint32_t start = preempt_turn_.fetch_add(1, std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < count; ++i) {
    processor& p = *procs_[(start + i) % count];
    if (p.first_class.load(std::memory_order_relaxed)) continue;
    // One that has been asked already will serve another one of the class.
    if ((p.attention.load(std::memory_order_relaxed) & attention::preempt) != 0) continue;
    request_preempt(p);
    return;
  }
}

}  // namespace rt::detail
