// Whether what the heap knows of itself agrees: the entries of pages, spans, lists, owners and figures, each counted
// from what the others say. RT_DEBUG=gccheckheap asks it at the begin of each marking, where the whole heap is at rest:
// the world is stopped, everything is swept, and no cache has a span.
//
// What may stand in the midst of something then is a thread without a P, or a frozen one, that makes a large object:
// its pages are charged to the owner and are in no span yet. A task whose heap is being handed down has given away its
// figures before its spans, so what ended tasks have left is counted together with the orphans.
#pragma once

#include <cstddef>

#include "runtime/heap/heap_state.h"

namespace rt::detail {

/// The first contradiction in words, cut at the end of `text`; false when there is none. Calls no malloc. At the begin
/// of marking, when all caches are empty.
bool find_heap_fault(heap_state& heap, char* text, std::size_t size) noexcept
    RT_REQUIRES(heap.owners_lock, heap.outside_lock);

}  // namespace rt::detail
