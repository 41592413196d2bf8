#include "runtime/heap/heap_figures.h"

#include <algorithm>

#include "runtime/heap/dead_objects.h"
#include "runtime/heap/heap_state.h"

namespace rt::detail {

std::uint32_t heap_pages_touched() noexcept { return the_heap().pages.grown(); }

std::uint64_t heap_span_bytes() noexcept {
  return the_heap().span_pages.load(std::memory_order_relaxed) << heap_page_shift;
}

heap_figures heap_state::sum_up(bool before_end_of_mark) noexcept {
  heap_figures sum;
  sum.tiny_objects = tiny_of_ended.load(std::memory_order_relaxed);
  for (heap_owner* owner = owners; owner != nullptr; owner = owner->next) {
    if (owner->has_ended) continue;
    owner_figures one = owner->figures();
    if (before_end_of_mark) owner->note_before_end_of_mark(one);
    sum.allocated_bytes += one.allocated_bytes;
    sum.allocated_objects += one.allocated_objects;
    sum.freed_bytes += one.freed_bytes;
    sum.freed_objects += one.freed_objects;
    for (const allocation_cache* cache = owner->first_cache(); cache != nullptr; cache = cache->next_of_owner) {
      sum.tiny_objects += cache->tiny_objects.load(std::memory_order_relaxed);
    }
  }
  // In this order, each of the differences is not negative.
  std::uint64_t released = (pages.released() + closed_pages.load(std::memory_order_relaxed)) << heap_page_shift;
  sum.span_bytes = heap_span_bytes();
  sum.heap_bytes = std::uint64_t{pages.grown()} << heap_page_shift;
  if (sum.span_bytes > sum.heap_bytes) sum.span_bytes = sum.heap_bytes;
  sum.idle_bytes = sum.heap_bytes - sum.span_bytes;
  sum.released_bytes = released < sum.idle_bytes ? released : sum.idle_bytes;
  sum.span_table_used = span_count.load(std::memory_order_relaxed) * sizeof(span);
  sum.span_table_bytes = sum.heap_bytes / heap_page_size * sizeof(span);
  sum.cache_used = owner_pool.used_bytes() + cache_pool.used_bytes();
  sum.cache_bytes = owner_pool.made_bytes() + cache_pool.made_bytes();
  sum.table_bytes = pages.table_bytes() + sizeof(heap_state) + dead_queue_bytes();
  sum.scavenged_bytes = gives_back.released_so_far();
  sum.scavenging_nanoseconds = gives_back.worked_so_far();
  sum.limit_failures = limit_failures.load(std::memory_order_relaxed);
  sum.memory_failures = memory_failures.load(std::memory_order_relaxed);
  return sum;
}

heap_figures read_heap_figures() noexcept {
  heap_state& heap = the_heap();
  os::spin_guard guard(heap.owners_lock);
  return heap.sum_up(false);
}

void read_class_figures(class_figures (&figures)[size_class_count + 1]) noexcept {
  heap_state& heap = the_heap();
  for (std::size_t i = 0; i <= size_class_count; ++i) figures[i] = {i == size_class_count ? 0 : size_of_class(i), 0, 0};
  os::spin_guard guard(heap.owners_lock);
  for (heap_owner* owner = heap.owners; owner != nullptr; owner = owner->next) {
    if (owner->has_ended) continue;
    for (std::size_t i = 0; i <= large_lists; ++i) {
      class_figures& one = figures[i == large_lists ? size_class_count : i / span_kind_count];
      std::uint64_t freed = owner->lists(i).freed.load(std::memory_order_acquire);
      one.freed += freed;
      one.allocated += std::max(freed, owner->allocated_objects(i));
    }
  }
}

}  // namespace rt::detail
