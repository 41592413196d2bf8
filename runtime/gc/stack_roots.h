// The stacks of green threads as roots.
//
// A stack is scanned from the saved stack pointer to its top, above which the descriptor lies; the closure of a green
// thread that has not begun lies below the top and above the pointer. All registers that live across a switch are on
// the stack (context.h); those of a green thread that was stopped by a signal are where the kernel has saved them.
#pragma once

#include "runtime/gc/marker.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

/// Scans the stacks of all parked green threads while others run, or its share of them: member `index` of `members`.
/// Those that are not parked go to ran_since_scan, and are looked at as far as that is possible while they may run.
/// Returns the bytes of stack.
std::uint64_t scan_parked_stacks(marker& into, std::size_t index, std::size_t members) noexcept;
/// Scans those of ran_since_scan that are parked now; the others stay in the list. Returns how many those are.
std::size_t scan_returned_stacks(marker& into) noexcept;

/// With the world stopped and those outside held: everything that may have changed since its scan.
/// `all` says that nothing has been scanned: all stacks are then.
struct stack_counts {
  std::size_t stacks = 0;
  std::uint64_t bytes = 0;
};
stack_counts scan_stopped_stacks(marker& into, bool all) noexcept;
/// With the world stopped: those that were stopped by a signal, perhaps between the test of a write barrier and its
/// store.
void scan_interrupted(marker& into) noexcept;
/// With the world stopped: those that ran until they saw the request, until the steady clock shows `until` (ns). What
/// they hold now is likely to be what they hold at the end, and need not be marked in the last stop.
void scan_who_made_way(marker& into, std::int64_t until) noexcept;

/// Where a stack that is at rest is used.
struct stack_extent {
  const char* low;
  const char* high;
};
stack_extent extent_of(const green_thread& one) noexcept;

}  // namespace rt::detail
