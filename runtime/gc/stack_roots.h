// The stacks of green threads as roots.
//
// A stack is scanned from the saved stack pointer to its top, above which the descriptor lies; the closure of a green
// thread that has not begun lies below the top and above the pointer. All registers that live across a switch are on
// the stack (context.h); those of a green thread that was stopped by a signal are where the kernel has saved them.
//
// Deep ones are looked into in pieces. Beside others, whoever has claimed a parked stack asks after each piece whether
// a wake has come, gives the stack back if so, and goes on with the rest of it as with the stack of somebody who may
// run: what that finds needs not be marked in the last stop. In a stop the pieces are shared out among the team.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/gc/marker.h"
#include "runtime/sched/scheduler.h"

namespace rt::detail {

/// Scans the stacks of all parked green threads while others run, or its share of them: member `index` of `members`.
/// Those that are not parked go to ran_since_scan, and are looked at as far as that is possible while they may run.
/// Returns the bytes of stack.
std::uint64_t scan_parked_stacks(marker& into, std::size_t index, std::size_t members) noexcept;
/// Scans those of ran_since_scan that are parked now; the others stay in the list. Returns how many those are.
std::size_t scan_returned_stacks(marker& into) noexcept;

/// Where a stack that is at rest is used.
struct stack_extent {
  const char* low;
  const char* high;
  std::size_t bytes() const noexcept { return static_cast<std::size_t>(high - low); }
};
stack_extent extent_of(const green_thread& one) noexcept;

/// The deep stacks of a stop, in pieces that several markers take.
class deep_stacks {
 public:
  /// Where less is used of a stack, it is looked into at once, in bytes: some 50 us, about what waking a member takes.
  static constexpr std::size_t least = 64 * 1024;
  /// From so many bytes on it pays to wake members for them.
  static constexpr std::uint64_t worth_sharing = 2 * least;

  /// One marker, before the others: false when it is not deep, or there are too many.
  bool add(const stack_extent& one) noexcept;
  void clear() noexcept;
  std::uint64_t bytes() const noexcept { return bytes_; }
  /// Any number of markers at once: each takes pieces until all are taken.
  void scan_share(marker& into) noexcept;

 private:
  // So many stacks that all Ps of a large machine can have stood in one.
  static constexpr std::size_t most = 256;

  struct place {
    stack_extent used;
    std::size_t first_piece;
  };
  std::array<place, most> places_{};
  std::size_t count_ = 0;
  std::size_t pieces_ = 0;
  std::uint64_t bytes_ = 0;
  std::atomic<std::size_t> taken_{0};  // pieces
};

/// With the world stopped and those outside held: everything that may have changed since its scan. Deep stacks are left
/// to `deep`, to be looked into before the world goes on. `all` says that nothing has been scanned: all stacks are
/// then.
struct stack_counts {
  std::size_t stacks = 0;
  std::uint64_t bytes = 0;
};
stack_counts scan_stopped_stacks(marker& into, bool all, deep_stacks& deep) noexcept;
/// With the world stopped: those that were stopped by a signal, perhaps between the test of a write barrier and its
/// store. Deep stacks are left to `deep`.
void scan_interrupted(marker& into, deep_stacks& deep) noexcept;
/// With the world stopped: those that ran until they saw the request, until the steady clock shows `until` (ns). What
/// they hold now is likely to be what they hold at the end, and need not be marked in the last stop.
void scan_who_made_way(marker& into, std::int64_t until) noexcept;

}  // namespace rt::detail
