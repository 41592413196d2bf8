// The time of a test bubble, and who keeps it from moving.
//
// The M that finds nothing to run asks to advance (scheduler::advance_time). Time jumps to the earliest timer when no
// green thread can be woken by anything but a timer: none is in rt::blocking, waits for the network, or for another
// part of the world that is counted by outside_wait. If there is no timer either, nothing will ever happen again:
// that is reported once. So it is when there are only tickers that nobody waits for: they would keep time going for
// ever.
//
// Invariant: a green thread that waits outside counts until it has a P again. The M that asks has the only P, so it
// never sees a moment at which a wake-up is on its way from outside and counted by nobody.
//
// Rejected: counting the green threads that run or are runnable, as a sum that parking and waking keep. It would put a
// write into each park of a normal run for the sake of tests.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/sched/clock.h"

namespace rt::detail {

class virtual_time {
 public:
  /// Called when all green threads wait and nothing can wake one, on the scheduler's stack of an M. May allocate; must
  /// not park.
  using deadlock_hook = void (*)(void* context) noexcept;

  virtual_time(std::int64_t start, deadlock_hook hook, void* context) noexcept : hook_(hook), context_(context) {
    virtual_now.store(start, std::memory_order_relaxed);  // the runtime has no thread yet
  }
  ~virtual_time() { virtual_now.store(0, std::memory_order_relaxed); }
  virtual_time(const virtual_time&) = delete;
  virtual_time& operator=(const virtual_time&) = delete;

  /// From now on time may move. Called by the first green thread: before, there is nothing that could be blocked.
  void open() noexcept { open_.store(true, std::memory_order_release); }  // pairs with stands_still
  bool stands_still() const noexcept {
    return !open_.load(std::memory_order_acquire) || outside_.load(std::memory_order_acquire) != 0;
  }

  void jump_to(std::int64_t when) noexcept {
    if (when > virtual_now.load(std::memory_order_relaxed)) virtual_now.store(when, std::memory_order_relaxed);
  }
  /// Whether nothing but tickers that wake nobody is left: every timer that was armed at some moment has fired since,
  /// and no green thread has run. `runs` counts the runs of green threads; `latest` gives the time of the last armed
  /// timer.
  template <class Latest>
  bool only_idle_tickers(std::uint64_t runs, std::int64_t earliest, const Latest& latest) noexcept {
    if (runs != seen_runs_) {
      seen_runs_ = runs;
      idle_jumps_ = 0;
      return false;
    }
    // Looking for the last one takes as long as there are timers, so it is done only when tickers are suspected.
    constexpr std::uint64_t many = 1000;
    if (++idle_jumps_ == many) all_fired_at_ = latest();
    return idle_jumps_ > many && earliest > all_fired_at_;
  }
  void report_deadlock() noexcept {
    if (!reported_) hook_(context_);
    reported_ = true;
  }

  /// A green thread begins to wait for the world outside; it calls the second when it has a P again.
  void begin_outside() noexcept { outside_.fetch_add(1, std::memory_order_acq_rel); }  // pairs with stands_still
  void end_outside() noexcept { outside_.fetch_sub(1, std::memory_order_acq_rel); }    // pairs with stands_still

 private:
  std::atomic<bool> open_{false};
  std::atomic<std::uint32_t> outside_{0};
  // These belong to whoever has the only P.
  bool reported_ = false;
  std::uint64_t seen_runs_ = 0;
  std::uint64_t idle_jumps_ = 0;
  std::int64_t all_fired_at_ = 0;
  const deadlock_hook hook_;
  void* const context_;
};

/// The bubble's time; null in normal runs.
virtual_time* the_virtual_time() noexcept;

/// Lives while a green thread waits for something that the runtime does not see, such as a helper thread.
class outside_wait {
 public:
  outside_wait() noexcept : time_(the_virtual_time()) {
    if (time_ != nullptr) time_->begin_outside();
  }
  ~outside_wait() {
    if (time_ != nullptr) time_->end_outside();
  }
  outside_wait(const outside_wait&) = delete;
  outside_wait& operator=(const outside_wait&) = delete;

 private:
  virtual_time* const time_;
};

}  // namespace rt::detail
