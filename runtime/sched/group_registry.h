// All groups that exist, for whoever looks at them from outside their green threads.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/sched/group.h"

namespace rt::detail {

/// Static: groups exist before and after the scheduler does.
class group_registry {
 public:
  static void add(group& one);
  /// Waits until nobody has it pinned.
  static void remove(group& one) noexcept;

  /// Keeps every group from being destroyed until it is given back, and appends them to `to`. @throws std::bad_alloc;
  /// nothing is pinned then.
  static void pin_all(std::vector<group*>& to);
  static void unpin(group& one) noexcept;

  /// The latest moment (steady clock, ns) at which a group that shares with the domain ended and that no group of the
  /// same name has followed: a task that has failed, say, and waits to be started again. INT64_MIN when there is none.
  /// Groups that share with all are no tasks and not meant.
  static std::int64_t last_end_without_successor(const sharing_domain& domain) noexcept;
  /// A group of this name has begun.
  static void note_successor(const group& one) noexcept;
};

}  // namespace rt::detail
