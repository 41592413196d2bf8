#include "runtime/heap/large_object.h"

namespace rt::detail {

page_run take_large_pages(heap_state& heap, heap_owner& user, std::uint32_t count, shortage& why) noexcept {
  std::size_t bytes = std::size_t{count} << heap_page_shift;
  if (!user.charge(bytes)) {
    why = shortage::limit;
    return {};
  }
  page_run run = heap.pages.allocate(count);
  if (run.count == 0) {
    user.discharge(bytes);
    why = shortage::memory;
  }
  return run;
}

void* publish_large(heap_state& heap, heap_owner& user, const page_run& run, span_kind kind) noexcept {
  span& one = heap.make_span(user, run, size_class_count, kind);
  one.free_index.store(1, std::memory_order_release);  // pairs with is_allocated
  if (gc_marking.load(std::memory_order_relaxed)) one.try_mark(0);
  span_lists& lists = user.lists(large_lists);
  lists.allocated.fetch_add(1, std::memory_order_relaxed);
  user.count_large(one.bytes());
  os::spin_guard guard(lists.lock);
  lists.push(lists.full[heap.parity()], one);
  return one.begin();
}

}  // namespace rt::detail
