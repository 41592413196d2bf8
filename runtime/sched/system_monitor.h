// The system monitor (Go's sysmon): a thread without a P that watches those who have one.
//
// While something runs it looks every 20 us to 10 ms (growing while it finds nothing to do): a green thread that has
// used up its slice of 10 ms while others wait is asked to make way, and sent a signal if it does not (preempt.cpp); a
// P whose M sleeps in the kernel is taken away (retake.cpp); a P whose timers are overdue gets help from an idle one or
// a request to look; a poller that nobody has looked at for 10 ms is looked at. Once a second it reads how many CPUs
// the process may use, when the number of Ps follows that; every other second it gives the memory of unused stacks
// back, and that of the heap whenever it is due, and once a second it looks for tasks that are deadlocked. When all Ps
// are idle it does this until the spike of memory is forgotten and all are looked at, and then sleeps without end, so
// an idle runtime causes no wake-ups; the first M that takes a P wakes it.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "runtime/sched/deadlock_watch.h"

namespace rt::detail {

class scheduler;
struct processor;

class system_monitor {
 public:
  system_monitor(scheduler& watched, bool follow_cpus) noexcept
      : scheduler_(watched), deadlocks_(watched), follow_cpus_(follow_cpus) {}
  system_monitor(const system_monitor&) = delete;
  system_monitor& operator=(const system_monitor&) = delete;

  /// @throws std::system_error when the thread cannot be started.
  void start();
  void stop() noexcept;
  /// Called by an M that has taken a P. One load when the monitor is awake.
  void nudge() noexcept {
    if (asleep_.load(std::memory_order_seq_cst) != 0) [[unlikely]]
      wake();
  }
  /// The number of Ps was set by hand: it no longer follows the CPUs.
  void stop_following_cpus() noexcept { follow_cpus_.store(false, std::memory_order_relaxed); }

 private:
  static void* thread_main(void* argument) noexcept;
  void run() noexcept;
  void wake() noexcept;
  bool look(std::int64_t now) noexcept;
  enum class verdict : std::uint8_t { fine, acted, asked };
  verdict look_at(processor& p, std::int64_t now) noexcept;
  verdict help_timers(processor& p, std::int64_t now) noexcept;
  bool somebody_waits(processor& p, std::int64_t now) noexcept;
  void release_memory(std::int64_t now) noexcept;
  std::int64_t time_to_release(std::int64_t now) const noexcept;
  void interrupt_if_asked(processor& p) noexcept;

  scheduler& scheduler_;
  deadlock_watch deadlocks_;
  std::atomic<bool> follow_cpus_;
  std::atomic<std::uint32_t> asleep_{0};  // futex: 1 while it sleeps without end
  std::atomic<std::uint32_t> stopping_{0};
  std::int64_t cpus_read_at_ = 0;
  std::int64_t stacks_released_at_ = 0;
  bool stacks_left_ = true;       // there may be unused stacks that have memory
  std::int64_t scavenge_at_ = 0;  // when the heap may have memory to give back; INT64_MAX: not until more is freed
  bool strays_ = false;           // at the last look Ms computed without a P, or might do so soon
  bool stuck_ = false;            // at the last look somebody waited behind a P that makes no decisions
  pthread_t thread_{};
  bool started_ = false;
};

}  // namespace rt::detail
