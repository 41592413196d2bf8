// A collector that is told what is alive.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/heap/heap.h"
#include "runtime/sched/scheduler.h"

namespace rt_test {

/// Runs `act` with the world stopped, if a runtime runs.
template <class Act>
void with_world_stopped(const Act& act) {
  rt::detail::scheduler* the = rt::detail::the_scheduler();
  if (the != nullptr) the->stop_the_world();
  act();
  if (the != nullptr) the->start_the_world();
}

inline void finish_sweep() {
  while (rt::detail::sweep_some(1000)) {
  }
}

inline void begin_mark() {
  finish_sweep();
  rt::detail::set_heap_checks(true);
  with_world_stopped([] { rt::detail::begin_mark(); });
}
inline void end_mark() {
  with_world_stopped([] { rt::detail::end_mark(); });
}

/// Marks the object that `pointer` points into; false when it points into none.
inline bool mark(const void* pointer) {
  rt::detail::object_place place{};
  if (!rt::detail::find_object(reinterpret_cast<std::uintptr_t>(pointer), place)) return false;
  place.in->try_mark(place.index);
  return true;
}

/// Marks every object that there is; the world is stopped, or nothing is allocated.
inline void mark_all() {
  rt::detail::for_each_span([](rt::detail::span& one) {
    std::size_t handed_out = one.free_index;
    for (std::size_t word = 0; word * 64 < one.slot_count(); ++word) {
      std::uint64_t below = handed_out >= (word + 1) * 64 ? ~std::uint64_t{0}
                            : handed_out <= word * 64     ? 0
                                                          : (std::uint64_t{1} << (handed_out - word * 64)) - 1;
      one.marks[word] |= one.in_use[word] | below;
    }
  });
}

/// A whole cycle in which `live` survive and nothing else.
inline void collect(const std::vector<void*>& live) {
  begin_mark();
  for (void* one : live) mark(one);
  end_mark();
  finish_sweep();
}

/// Gives what caches hold back as well, and sweeps all: figures are exact then.
inline void settle() {
  finish_sweep();
  with_world_stopped([] {
    rt::detail::begin_mark();
    mark_all();
    rt::detail::end_mark();
  });
  finish_sweep();
}

}  // namespace rt_test
