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
green_thread* require_green_thread(const char* what) noexcept;

/// Parks the calling green thread until its token is there. May return without reason.
void park(wait_reason reason) noexcept;

/// As park, but returns at the latest at `deadline` (steady clock, ns; INT64_MAX for none).
void park_until(wait_reason reason, std::int64_t deadline) noexcept;

/// Wakes it, or leaves the token. Any thread may call it; never blocks.
void unpark(green_thread& one) noexcept;

/// The half of unpark that claims: true when `one` was parked, is now the caller's, and must be made ready (make_ready,
/// or a ready_list given to the scheduler).
bool claim_parked(green_thread& one) noexcept;
/// Puts a claimed green thread into a run queue.
void make_ready(green_thread& one) noexcept;

/// Whether the calling green thread must give up its wait: cancelled, and not shielded.
inline bool cancellation_pending(const green_thread& self) noexcept {
  return self.domain->is_cancelled() && self.shield == 0;
}
[[noreturn]] void throw_cancelled();
/// Throws rt::cancelled if so.
inline void throw_if_cancellation_pending(const green_thread& self) {
  if (cancellation_pending(self)) [[unlikely]]
    throw_cancelled();
}

/// Moves the calling green thread to the end of its P's queue and runs others.
void yield_processor() noexcept;

/// For every runtime call that could otherwise be repeated without end: makes way when asked to.
inline void poll_attention(worker* self) noexcept {
  if (self != nullptr && self->p != nullptr && self->p->attention.load(std::memory_order_relaxed) != 0) [[unlikely]] {
    yield_processor();
  }
}

/// Ends the calling green thread.
[[noreturn]] void end_green_thread() noexcept;

}  // namespace rt::detail
