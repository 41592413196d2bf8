// Stops that an M makes for a thread of the runtime that has no P: the collector's.
//
// Whoever stops the world must be on a CPU for as long as everything stands still, and so must each M that is to stop:
// it comes by itself, or takes a signal, only while it runs. A thread of its own that stops the world is one more than
// there are CPUs as soon as all Ps are busy. It has taken its CPU from an M, which then waits for one in order to stop;
// it gives the CPU back by sleeping, and gets it again at the next tick of the kernel's clock: stops of 4 ms, and of a
// multiple of that. So it leaves the stop to an M that runs, and sleeps until it is done. Then there are as many
// threads as Ps, and nobody is woken before the world goes on. An M that makes the stop with all other Ps idle waits
// for nobody at all.
//
// The M does so in the scheduler's loop: its green thread has made way, as it does for a stop, so that its stack is
// complete and may be looked at, and the work is done on the stack of the kernel thread. It comes there by the first
// call of the runtime after the P's attention word was set; nobody has stopped until then, so that this wait is no part
// of the pause. Should none come within `patience` (all compute, or sleep in the kernel), the thread does it by itself.
//
// The races by name. *Taken and withdrawn*: the one exchange of errand_ that finds it decides. *Another stop*: an M
// must not wait for the end of one, which waits for that M; it passes by, and the caller does it itself. *Attention
// cleared before it is seen*: an M clears the bits, then looks at errand_, which was set before the bits.
//
// Rejected: to hurry an M by a signal and let the handler do the work (the alternate stack is too small for it); a
// collector that holds a P while it marks, as Go's workers do (it would have to take one from a loop by a signal again
// and again, at each of its rests, for a stop that is no shorter).
#include "runtime/sched/stop_errand.h"

#include "runtime/os/clock.h"
#include "runtime/os/futex.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

namespace {

// How long the caller waits for an M, in nanoseconds: many times what lies between two calls of the runtime in code
// that is no loop of its own, and a small part of a cycle beside such loops.
constexpr std::int64_t patience = 300'000;

}  // namespace

void scheduler::run_errand(stop_errand& errand) noexcept {
  // In a bubble nothing may depend on which thread comes first.
  const int count = virtual_time_ == nullptr ? proc_count() : 0;
  auto any_runs = [&] {
    bool any = false;
    for (int i = 0; i < count; ++i) any |= procs_[i]->owner.load(std::memory_order_relaxed) != nullptr;
    return any;
  };
  stop_errand* none = nullptr;
  // Acquire and release: pairs with take_errand. Another caller's may wait there.
  if (any_runs() && errand_.compare_exchange_strong(none, &errand, std::memory_order_acq_rel)) {
    // Release: pairs with find_runnable.
    for (int i = 0; i < count; ++i) procs_[i]->attention.fetch_or(attention::errand, std::memory_order_release);
    // The last one may have become idle just before it could see the errand.
    if (any_runs()) wait_for_errand(errand, os::nanotime() + patience);
    stop_errand* mine = &errand;
    if (!errand_.compare_exchange_strong(mine, nullptr, std::memory_order_acq_rel)) {  // pairs with take_errand
      wait_for_errand(errand, INT64_MAX);
      return;
    }
  }
  errand.began = os::nanotime();
  stop_the_world();
  errand.work(errand);
  errand.started = start_the_world();
}

void scheduler::wait_for_errand(const stop_errand& errand, std::int64_t until) noexcept {
  while (true) {
    const std::uint32_t seen = errands_done_.load(std::memory_order_acquire);  // pairs with take_errand
    if (errand.done.load(std::memory_order_acquire)) return;                   // the same
    const std::int64_t left = until == INT64_MAX ? -1 : until - os::nanotime();
    if (until != INT64_MAX && left <= 0) return;
    os::futex_wait(errands_done_, seen, left);
  }
}

// In the loop of an M that has a P. Whether it has done one.
bool scheduler::take_errand(worker& self) noexcept {
  if (world_busy_.exchange(1, std::memory_order_acquire) != 0) return false;  // pairs with start_the_world
  // Acquire and release: pairs with run_errand.
  stop_errand* errand = errand_.exchange(nullptr, std::memory_order_acq_rel);
  if (errand == nullptr) {
    leave_world();
    return false;
  }
  errand->began = os::nanotime();
  request_stop();
  errand->work(*errand);
  const std::int64_t handed = start_the_world();
  self.p->made_way.store(nullptr, std::memory_order_relaxed);
  // Not the time of now: among those woken, one may have got the very CPU of this thread, which runs on beside others
  // like any M from here on. The world has gone on when all Ps were handed over.
  errand->started = handed;
  errand->done.store(true, std::memory_order_release);    // pairs with wait_for_errand; it may be gone after this
  errands_done_.fetch_add(1, std::memory_order_release);  // the same
  os::futex_wake(errands_done_, INT32_MAX);
  return true;
}

}  // namespace rt::detail
