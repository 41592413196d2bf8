// The clock of everything that waits: deadlines, sleeps, timers.
//
// It is the steady clock, except in a test bubble (rt/test.h), whose time stands still while anything runs and jumps to
// the next timer when all green threads wait. There is one runtime in a process at a time, so one word tells.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/os/clock.h"

namespace rt::detail {

/// The time of the test bubble that runs, in nanoseconds; 0 outside of bubbles. Written by the M that has the bubble's
/// only P.
extern std::atomic<std::int64_t> virtual_now;

/// Nanoseconds on the clock that deadlines are compared with. Outside of bubbles os::nanotime() for a load and a
/// branch more.
inline std::int64_t runtime_now() noexcept {
  // Relaxed: it orders nothing. A green thread sees its own bubble's time, since its P went from M to M under a lock.
  std::int64_t now = virtual_now.load(std::memory_order_relaxed);
  return now == 0 ? os::nanotime() : now;
}

}  // namespace rt::detail
