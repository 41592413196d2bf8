// The slow halves of allocation (rt/make.h): they tell the collector, find the cache, and give up with an exception.
#include <algorithm>
#include <cstdio>
#include <new>

#include "runtime/heap/cache_access.h"
#include "runtime/heap/heap_state.h"
#include "runtime/heap/large_object.h"
#include "runtime/heap/poison.h"
#include "runtime/heap/sampling.h"

namespace rt {

out_of_task_memory::out_of_task_memory(std::size_t limit, std::size_t used, std::size_t wanted) noexcept
    : limit_(limit) {
  std::snprintf(text_, sizeof text_,
                "the task has reached the limit of its memory on the collected heap: it has %zu of %zu bytes, and %zu "
                "more were wanted",
                used, limit, wanted);
}

namespace detail {

namespace {

void tell_collector(heap_state& heap, heap_owner& user, std::size_t bytes) {
  const collector_hooks* hooks = heap.hooks.load(std::memory_order_acquire);
  if (hooks != nullptr && hooks->before_refill != nullptr) hooks->before_refill(user, bytes);
}

std::size_t take_unreported(heap_state& heap, heap_owner& user) noexcept {
  cache_access access(heap, user);
  return access.cache() == nullptr ? 0 : access.cache()->take_unreported();
}

// Returns if it is worth trying again.
void give_up_unless_room(heap_state& heap, heap_owner& user, std::size_t bytes, shortage why, int attempt) {
  if (why != shortage::limit) {
    heap.memory_failures.fetch_add(1, std::memory_order_relaxed);
    throw std::bad_alloc();
  }
  const collector_hooks* hooks = heap.hooks.load(std::memory_order_acquire);
  if (hooks != nullptr && hooks->at_limit != nullptr && hooks->at_limit(user, bytes, attempt)) return;
  heap.limit_failures.fetch_add(1, std::memory_order_relaxed);
  user.count_limit_failure();
  throw out_of_task_memory(user.hard_limit(), user.span_bytes(), bytes);
}

struct taken_slot {
  char* begin;
  double sample;  // its weight; 0: it is none
};

template <class Take>
taken_slot take_or_give_up(std::size_t bytes, const Take& take) {
  heap_state& heap = the_heap();
  heap_owner& user = heap.current_owner();
  tell_collector(heap, user, take_unreported(heap, user));
  for (int attempt = 0;; ++attempt) {
    shortage why = shortage::memory;
    {
      cache_access access(heap, user);
      char* slot = access.cache() == nullptr ? nullptr : take(*access.cache(), why);
      if (slot != nullptr) return {slot, access.cache()->take_sample()};
    }
    give_up_unless_room(heap, user, bytes, why, attempt);
  }
}

void* tell_allocated(void* object, std::size_t size) noexcept {
  const collector_hooks* hooks = the_heap().hooks.load(std::memory_order_acquire);
  if (hooks != nullptr && hooks->allocated != nullptr) hooks->allocated(object, size);
  return object;
}

}  // namespace

// The hook is called from the functions that plugins call, each of them a frame of its own below the plugin's: what
// looks at the stack leaves out as many (observe/heap_profile.cpp).
void* allocate_slot(std::size_t index) {
  std::size_t bytes = std::size_t{class_shapes[index / span_kind_count].pages} << heap_page_shift;
  std::size_t size = size_of_class(index / span_kind_count);
  auto [slot, sample] =
      take_or_give_up(bytes, [&](allocation_cache& cache, shortage& why) { return cache.take(index, why); });
  if (sample != 0) [[unlikely]]
    on_sample.load(std::memory_order_acquire)(slot, size, sample);
  return tell_allocated(slot, size);
}

void* allocate_tiny(std::size_t size, std::size_t alignment) {
  auto [place, sample] = take_or_give_up(
      heap_page_size, [&](allocation_cache& cache, shortage& why) { return cache.share(size, alignment, why); });
  if (sample != 0) [[unlikely]]
    on_sample.load(std::memory_order_acquire)(place, size_of_class(0), sample);
  return tell_allocated(place, size);
}

void* allocate_large(std::size_t size, [[maybe_unused]] std::size_t alignment, span_kind kind) {
  heap_state& heap = the_heap();
  heap_owner& user = heap.current_owner();
  if (size > the_layout.size) throw std::bad_alloc();
  auto pages = static_cast<std::uint32_t>((size + heap_page_size - 1) >> heap_page_shift);
  std::size_t bytes = std::size_t{pages} << heap_page_shift;
  tell_collector(heap, user, bytes);
  for (int attempt = 0;; ++attempt) {
    shortage why = shortage::memory;
    page_run run = take_large_pages(heap, user, pages, why);
    if (run.count != 0) {
      // Zeroed while it belongs to nobody, so that the thread may be frozen in the middle of it.
      if (kind != span_kind::plain && !run.zero) fill_free(the_layout.address_of(run.first), 0, bytes);
      // With a cache at hand no marking begins or ends: the span is of one phase.
      void* object = nullptr;
      double sample = 0;
      {
        cache_access access(heap, user);
        object = publish_large(heap, user, run, kind);
        if (access.cache() != nullptr) sample = access.cache()->sample_large(bytes);
      }
      if (sample != 0) [[unlikely]]
        on_sample.load(std::memory_order_acquire)(object, bytes, sample);
      return tell_allocated(object, bytes);
    }
    give_up_unless_room(heap, user, bytes, why, attempt);
  }
}

void* allocate(std::size_t size, std::size_t alignment, span_kind kind) {
  std::size_t wanted = std::max<std::size_t>(size, 1);
  std::size_t size_class = size_class_of(wanted, alignment);
  void* object = size_class == size_class_count ? allocate_large(wanted, alignment, kind) : [&]() -> void* {
    std::size_t index = run_index(size_class, kind);
    char* taken =
        take_from_runs([&](allocation_runs& runs) { return take_slot(runs.of[index], size_of_class(size_class)); });
    return taken != nullptr ? taken : allocate_slot(index);
  }();
  open_to_use(object, size);
  return object;
}

}  // namespace detail
}  // namespace rt
