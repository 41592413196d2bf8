// A shuffled run: whatever the scheduler is free to choose is chosen by a random sequence of each P, from one seed.
//
// A shuffled P has attention::shuffle set for good, so every decision leaves the fast path and comes here, and every
// operation that would make way when asked to makes way now and then. Normal runs pay nothing: they look at the
// attention word anyway.
//
// With one P the sequence decides all: which of the runnable green threads goes next, where one makes way, which ready
// case a select takes. With a clock that only timers move (virtual_time.h) the same seed then gives the same run. With
// several Ps the kernel has a say as well, and a seed is only a good way to disturb a run in another manner.
#include <algorithm>
#include <vector>

#include "runtime/sched/fast_path.h"
#include "runtime/sched/scheduler.h"
#include "runtime/sched/virtual_time.h"

namespace rt::detail {

std::atomic<std::int64_t> virtual_now{0};

virtual_time* the_virtual_time() noexcept {
  scheduler* the = the_scheduler();
  return the == nullptr ? nullptr : the->time();
}

namespace {

// Spreads seeds that differ by one over the whole range (the finaliser of SplitMix64). Never 0: that says "not
// shuffled", and the generator could not leave it.
std::uint64_t spread(std::uint64_t seed) noexcept {
  seed += 0x9e3779b97f4a7c15;
  seed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9;
  seed = (seed ^ (seed >> 27)) * 0x94d049bb133111eb;
  seed ^= seed >> 31;
  return seed == 0 ? 1 : seed;
}

}  // namespace

void scheduler::shuffle(std::uint64_t seed) noexcept {
  shuffled_ = true;
  shuffle_seed_ = seed;
  for (int i = 0; i < proc_limit(); ++i) shuffle_proc(*procs_[i]);
}

void scheduler::shuffle_proc(processor& p) noexcept {
  if (!shuffled_) return;
  p.order.store(spread(spread(shuffle_seed_) + static_cast<std::uint64_t>(p.id)), std::memory_order_relaxed);
  p.attention.fetch_or(attention::shuffle, std::memory_order_relaxed);
}

// Any of the queued ones, each with the same chance: runnext has no privilege here.
green_thread* scheduler::pick_shuffled(processor& p) noexcept {
  green_thread* privileged = p.runnext.exchange(nullptr, std::memory_order_acq_rel);  // against a thief
  std::uint32_t queued = p.ring.size();
  std::uint32_t choices = queued + (privileged != nullptr ? 1 : 0);
  if (choices == 0) return nullptr;
  std::uint32_t chosen = p.next_in_order() % choices;
  if (chosen == queued) {
    observe_start(p, *privileged);
    return privileged;
  }
  if (privileged != nullptr) push_local(p, *privileged);
  for (; chosen != 0; --chosen) {
    green_thread* passed_over = p.ring.pop(p.alone);
    if (passed_over == nullptr) break;
    push_local(p, *passed_over);
  }
  green_thread* next = p.ring.pop(p.alone);
  if (next == nullptr) return nullptr;  // thieves were faster
  // While one was between two places, an idle M may have looked for work and not seen it (invariant 3).
  if (queued > 1) wake_for_work();
  observe_start(p, *next);
  return next;
}

bool scheduler::advance_time(processor& p) noexcept {
  virtual_time& time = *virtual_time_;
  if (time.stands_still() || net_->has_waiters() || global_count_.load(std::memory_order_seq_cst) != 0 ||
      stop_requested_.load(std::memory_order_relaxed) || shutting_down_.load(std::memory_order_relaxed)) {
    return false;
  }
  // The end, whatever timers somebody has kept.
  if (default_group_.live() == 0 && default_group_.housekeepers.count() == 0) return false;
  std::int64_t earliest = earliest_timer();
  std::uint64_t runs = p.switches.load(std::memory_order_relaxed);
  if (earliest == INT64_MAX || time.only_idle_tickers(runs, earliest, [&] { return p.timers.latest(); })) {
    time.report_deadlock();
    return false;
  }
  time.jump_to(earliest);
  return true;
}

void scheduler::unpark_in_order(std::vector<green_thread*>& found) noexcept {
  // The walk over stacks finds them in the order of their slots, which the runs before this one have mixed.
  std::sort(found.begin(), found.end(),
            [](const green_thread* left, const green_thread* right) { return left->id < right->id; });
  for (green_thread* one : found) unpark(*one);
}

}  // namespace rt::detail
