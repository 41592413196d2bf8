// Parking and unparking: the one way in which a green thread waits.
//
// Each green thread has a token (Go's and Java's "permit"). unpark() leaves the token or wakes the parked one; park()
// takes the token and returns at once if it is there, else leaves the CPU. So a wake-up that comes before the sleep is
// never lost, whatever the order, and any number of parties may unpark: the owner of a queue, a timer, a canceller.
// The price is that park() may return without reason (a token that came late for an earlier wait), so that
//
//     every park stands in a loop that checks what it waits for.
//
// The race by name: *wake before park*. The waker exchanges ACTIVE for NOTIFIED while the green thread is still on its
// way off the CPU. The M that leaves it does the transition ACTIVE -> PARKED only when the stack is at rest
// (finish_switch); it then finds the token and puts the green thread back into its queue. Nobody else may have run it
// meanwhile, because only the transition PARKED -> ACTIVE entitles to that, and it happens once.
//
// The race by name: *unpark of a dead one*. A timer or a canceller may hold the pointer of a green thread that has
// ended, and whose slot serves another one. Slots are never unmapped, so the word is always there; the other green
// thread wakes for nothing and goes on waiting.
//
// Rejected: a callback that runs after the switch and releases the lock of the wait (Go's gopark). It saves the
// exchange for waits with one waker, but cancellation and deadlines reach every wait here, and each would need the lock
// of whatever is waited for.
#pragma once

#include <cstdint>

#include "runtime/os/worker_slot.h"
#include "runtime/sched/cancel_domain.h"
#include "runtime/sched/obeyed_context.h"
#include "runtime/sched/processor.h"

namespace rt::detail {

/// The M of the calling kernel thread; null on foreign threads. Not valid any more after any call that may switch.
inline worker* current_worker() noexcept { return static_cast<worker*>(os::worker_slot()); }

/// The calling green thread; null outside.
inline green_thread* current_green_thread() noexcept {
  worker* self = current_worker();
  return self == nullptr ? nullptr : self->current;
}

/// The calling green thread, for calls that need one: ends the process with a report that names `what` outside green
/// threads and inside rt::blocking.
[[noreturn]] void refuse_caller(const char* what) noexcept;
inline green_thread* require_green_thread(const char* what) noexcept {
  worker* self = current_worker();
  if (self == nullptr || self->current == nullptr || self->blocking_depth != 0) [[unlikely]]
    refuse_caller(what);
  return self->current;
}

/// Parks the calling green thread until its token is there. May return without reason.
void park(wait_reason reason) noexcept;

/// As park, within a critical section that the caller has begun on `self`, in which it has a P (have_proc). Ends it.
void park_within(worker& self, wait_reason reason) noexcept;

/// As park, but returns at the latest at `deadline` (steady clock, ns; INT64_MAX for none).
void park_until(wait_reason reason, std::int64_t deadline) noexcept;

/// Wakes it, or leaves the token. Any thread may call it; never blocks.
void unpark(green_thread& one) noexcept;

/// The half of unpark that claims: true when `one` was parked, is now the caller's, and must be made ready (make_ready,
/// or a ready_list given to the scheduler).
bool claim_parked(green_thread& one) noexcept;
/// As claim_parked, but leaves no token behind when it is not parked, or was scanned for a collection.
inline bool claim_if_parked(green_thread& one) noexcept {
  std::uint32_t parked = park_word::parked;
  // Acquire pairs with finish_switch: its stack is at rest. Release pairs with the next exchange of the word.
  return one.park.load(std::memory_order_relaxed) == parked &&
         one.park.compare_exchange_strong(parked, park_word::active, std::memory_order_acq_rel,
                                          std::memory_order_relaxed);
}
/// Puts a claimed green thread into a run queue.
void make_ready(green_thread& one) noexcept;
/// The same within a critical section of `self`, the caller's M.
void make_ready_within(worker& self, green_thread& one) noexcept;

/// Whether an exception unwinds the stack of the calling flow: what a destructor threw now would end the process.
bool is_unwinding() noexcept;

/// Whether the calling green thread must give up its wait: cancelled, or a context that it obeys has ended, and neither
/// shielded from it nor unwinding. Once true it stays so until the context is no longer bound, a shield is raised or
/// an exception thrown.
inline bool cancellation_pending(const green_thread& self) noexcept {
  bool cancelled = self.domain->is_cancelled() && self.shield == 0;
  if (!cancelled && (self.obeyed == nullptr || ended_context(self.obeyed, self.shield) == nullptr)) return false;
  return !is_unwinding();
}
/// Whether cancellation_pending is worth asking: false for nearly every wait, and cheap.
inline bool cancellation_possible(const green_thread& self) noexcept {
  return self.obeyed != nullptr || self.domain->is_cancelled();
}
/// Throws rt::cancelled, or else the error of the context that has ended.
[[noreturn]] void throw_cancelled(const green_thread& self);
/// Throws so if cancellation is pending.
inline void throw_if_cancellation_pending(const green_thread& self) {
  if (cancellation_pending(self)) [[unlikely]]
    throw_cancelled(self);
}

/// The slow half of enter_with_proc: waits for a P. Returns the M that the caller is on then.
worker& regain_proc() noexcept;

/// Within a critical section of the calling green thread: sees to it that it has a P. Returns the M that it is on then.
inline worker& have_proc(worker& self) noexcept {
  if (self.lost_proc.load(std::memory_order_relaxed)) [[unlikely]]
    return regain_proc();
  return self;
}

/// Begins a critical section of the calling green thread (os::leave_critical ends it) in which it has a P. It may have
/// lost the one that it had (retake.cpp); then it waits for another, perhaps on another M.
inline worker& enter_with_proc() noexcept {
  worker* self = current_worker();
  os::enter_critical(*self);
  return have_proc(*self);
}

/// Moves the calling green thread to the end of its P's queue and runs others.
void yield_processor() noexcept;

/// Whether the green thread that runs on `p` should make way: it was asked to, or the order of a shuffled run says so.
inline bool should_make_way(processor& p) noexcept {
  std::uint32_t asked = p.attention.load(std::memory_order_relaxed);
  if (asked == 0) [[likely]]
    return false;
  // One in four: often enough to come between any two operations, seldom enough that a green thread also gets far.
  return asked != attention::shuffle || p.next_in_order() % 4 == 0;
}

/// Whether the calling green thread may have to make way, or has lost its P. A hint: read outside of a critical
/// section.
inline bool attention_wanted(const worker& self) noexcept {
  const processor* p = self.p;
  return p == nullptr || p->attention.load(std::memory_order_relaxed) != 0;
}
/// The slow half of poll_attention.
void make_way(worker& self) noexcept;

/// For every runtime call that could otherwise be repeated without end: makes way when asked to.
inline void poll_attention(worker* self) noexcept {
  if (self != nullptr && attention_wanted(*self)) [[unlikely]]
    make_way(*self);
}

/// In a handler: what it has caught has left the calling green thread, or a coroutine that this carries. It goes to the
/// scope or to the group; without either the process ends with a report.
void report_escaped_exception(green_thread& one) noexcept;

/// Destroys the values of rt::local that the calling green thread has. May park.
void end_values(green_thread& self) noexcept;

/// Ends the calling green thread.
[[noreturn]] void end_green_thread() noexcept;

}  // namespace rt::detail
