// The thread that makes Ms, and buries them.
//
// Ms are never made by the thread that needs one. That thread may be the system monitor, a signal handler, or an M in
// the middle of a plugin's malloc whose lock a frozen thread holds: making a thread allocates, and so might wait for
// the very thread that the new M is to free. And it may have changed its own kernel state (a namespace, a priority: see
// rt::lock_os_thread), which a thread of its making would inherit. This thread runs no green thread and has nothing to
// lose by waiting.
//
// It sleeps without end while nothing is asked of it.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

namespace rt::detail {

class scheduler;

class worker_factory {
 public:
  explicit worker_factory(scheduler& client) noexcept : scheduler_(client) {}
  worker_factory(const worker_factory&) = delete;
  worker_factory& operator=(const worker_factory&) = delete;

  /// @throws std::system_error when the thread cannot be started.
  void start();
  /// Ends the thread. No M is made afterwards.
  void stop() noexcept;

  /// Asks it to look for Ps that wait for an M, and for Ms that have ended. Async-signal-safe.
  void nudge() noexcept;
  /// Joins Ms that have ended. For the factory's thread, and for the end of the scheduler when that has stopped.
  void bury_ended() noexcept;
  /// As nudge; and there shall be an idle M even if no P waits for one now. True when that was wanted before and has
  /// not been looked at yet.
  bool want_spare() noexcept {
    bool before = spare_wanted_.exchange(true, std::memory_order_relaxed);  // ordered by the exchange in nudge
    nudge();
    return before;
  }

 private:
  static void* thread_main(void* argument) noexcept;
  void run() noexcept;
  bool make_wanted() noexcept;

  scheduler& scheduler_;
  std::atomic<std::uint32_t> asked_{0};  // futex: 1 when there is something to look at
  std::atomic<bool> spare_wanted_{false};
  std::atomic<bool> stopping_{false};
  pthread_t thread_{};
  bool started_ = false;
};

}  // namespace rt::detail
