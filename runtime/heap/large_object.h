// Objects of more than 32 KiB: a span of its own for each.
//
// All of its pages name the span, so that a pointer anywhere into the object finds it. It lies in no cache; when it is
// found dead, its pages are free at once.
#pragma once

#include <cstdint>

#include "runtime/heap/heap_state.h"

namespace rt::detail {

/// Takes pages and charges them to `user`. `count` 0 in the result: there are none, and why.
page_run take_large_pages(heap_state& heap, heap_owner& user, std::uint32_t count, shortage& why) noexcept;
/// Makes the pages an object, which is marked while the collector marks. In a critical section with a P, or with
/// outside_lock.
void* publish_large(heap_state& heap, heap_owner& user, const page_run& run, span_kind kind) noexcept;

}  // namespace rt::detail
