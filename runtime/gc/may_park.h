// Who may be made to wait while it allocates.
#pragma once

#include "runtime/sched/scheduler.h"

namespace rt::detail {

/// Whether the caller may park, or make way for others: a green thread outside of rt::blocking that holds up nobody.
/// In a critical section it may not, for instance with a lock of the runtime held: whoever runs next on this thread
/// would run in its section, and it would end that of another thread.
inline bool may_park() noexcept {
  // Not in a section it may be on another thread after the first read; then the answer may be no, which does no harm.
  const worker* self = current_worker();
  return self != nullptr && self->current != nullptr && self->blocking_depth == 0 &&
         self->critical.load(std::memory_order_relaxed) == 0;
}

}  // namespace rt::detail
