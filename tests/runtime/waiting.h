// Waiting until green threads wait.
#pragma once

#include <string_view>

#include "runtime/context/stack_pool.h"
#include "runtime/sched/green_thread.h"
#include "tests/runtime/in_runtime.h"

namespace rt_test {

/// How many green threads wait in `state` ("semacquire", "chan receive"). Looks at nothing but that, so that it can be
/// asked again and again while they come and go.
inline int count_waiting_in(std::string_view state) {
  int count = 0;
  rt::detail::stacks().for_each_slot([&](const rt::detail::stack_slot& slot) {
    const rt::detail::green_thread* one = rt::detail::descriptor_of(slot.base, slot.size, slot.index);
    if (one->where.load(std::memory_order_relaxed) != rt::detail::phase::waiting) return;
    if (state == rt::detail::to_text(one->waits_for.load(std::memory_order_relaxed))) ++count;
  });
  return count;
}

/// Whether, in the end, at least `count` green threads wait in `state`.
inline bool come_to_wait_in(std::string_view state, int count = 1) {
  return eventually([&] { return count_waiting_in(state) >= count; });
}

}  // namespace rt_test
