// Sweeping: the slots that the collector has not marked become free.
//
// The heap has a generation, which the end of each marking raises by 2. A span whose generation is the heap's is swept;
// one that is 2 behind is not. Unswept spans lie in lists of their own (heap_owner.h) or in a cache. A span in a list
// is swept by whoever takes it out under the lists' lock; one in a cache by the cache, when it needs the next run or
// gives the span up. So a span is swept once, and nobody waits for anybody.
//
// An open run whose slots were marked when it was carved may be open when the marking ends. What it has handed out by
// the time of the sweep is in use, whatever the marks say of the rest.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/heap/span.h"

namespace rt::detail {

/// Sweeps a span that belongs to the caller and has no open run. What is left in use, in slots.
std::size_t sweep_span(span& one) noexcept;
/// Puts a swept span that belongs to the caller into the lists of its owner, or frees its pages when nothing is left.
void put_swept(span& one, std::size_t live) noexcept;
/// Takes an unswept span out of its list for the caller to sweep; false when it is not there any more.
bool take_unswept(span& one) noexcept;

/// The lowest free slots from free_index on: [first, end). first == end: there are none.
struct slot_range {
  std::size_t first;
  std::size_t end;
};
slot_range next_free_slots(const span& in, std::size_t most) noexcept;

}  // namespace rt::detail
