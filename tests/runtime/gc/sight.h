// Whether the collector sees registers.
#pragma once

#include <cstdint>

#include "runtime/context/sanitizer.h"
#include "runtime/sched/scheduler.h"

namespace rt_test {

/// A thread that gets no CPU for long loses its P, and is held by a signal for a collection; but not under
/// ThreadSanitizer (scheduler::hold_outsiders), where what it has in registers alone is not seen then. Tells whether
/// that may have happened since this was made.
class sight_of_registers {
 public:
  bool is_lost() const { return rt::detail::under_thread_sanitizer && retakes() != before_; }

 private:
  static std::uint64_t retakes() { return rt::detail::the_scheduler()->counters().retakes.load(); }

  std::uint64_t before_ = retakes();
};

}  // namespace rt_test
