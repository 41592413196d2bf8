// What the scheduler needs from the network poller, which lives floors above and is registered at the start.
#pragma once

#include <cstdint>

namespace rt::detail {

struct green_thread;

/// Green threads that became ready, linked by green_thread::link.
struct ready_list {
  green_thread* first = nullptr;
  green_thread* last = nullptr;
  std::uint32_t count = 0;
  void push(green_thread& one) noexcept;
};

/// One instance for the process; an idle M sleeps in wait(), busy ones look in by wait(0).
class poller {
 public:
  virtual ~poller() = default;
  /// Waits for I/O up to `timeout` ns (negative: without end; 0: just looks), and adds the green threads that it
  /// claimed (by claim_parked, park.h) to `ready`. Several threads may be in it with timeout 0; one at a time with
  /// another.
  virtual void wait(std::int64_t timeout, ready_list& ready) noexcept = 0;
  /// Ends a wait() that blocks, now or the next one. Any thread may call it.
  virtual void wake() noexcept = 0;
  /// Whether a wait(0) could find anything at all; false spares the system call.
  virtual bool has_waiters() const noexcept = 0;
};

}  // namespace rt::detail
