// What the parts of the heap share.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "runtime/heap/allocation_cache.h"
#include "runtime/heap/heap.h"
#include "runtime/heap/page_heap.h"
#include "runtime/heap/scavenger.h"
#include "runtime/heap/table_pool.h"

namespace rt::detail {

class heap_state {
 public:
  page_heap pages;
  struct alignas(64) place {
    page_cache cache;  // of the owner of the P
  } places[heap_places];

  table_pool<heap_owner> owner_pool;
  table_pool<allocation_cache> cache_pool;
  os::spin_lock owners_lock{os::lock_rank::heap_owners};
  heap_owner* owners RT_GUARDED_BY(owners_lock) = nullptr;
  heap_owner* no_task = nullptr;  // the orphans
  /// Held by threads without a P while they are in the heap, and by the beginning and the end of marking.
  os::spin_lock outside_lock{os::lock_rank::heap_cache};
  std::atomic<proc_head*> heads[heap_places] = {};  // the Ps that there are

  std::atomic<const collector_hooks*> hooks{nullptr};
  std::atomic<task_heap* (*)() noexcept> user_lookup{nullptr};
  std::atomic<bool> single_slots{false};
  std::atomic<bool> fill_dead{false};
  std::atomic<bool> checks_slots{false};
  std::atomic<bool> checks_itself{false};
  std::atomic<bool> reuses_nothing{false};
  std::atomic<std::uint64_t> closed_pages{0};  // so far, by it

  // Changes while the world is stopped.
  std::atomic<std::uint32_t> generation{2};
  std::atomic<std::uint32_t> swept_generation{2};     // of which sweeping is complete, but for spans that caches have
  std::atomic<std::uint32_t> sweep_page{UINT32_MAX};  // where sweep_some goes on
  std::atomic<std::uint32_t> sweepers{0};             // threads inside sweep_some

  std::atomic<std::uint64_t> span_pages{0};
  std::atomic<std::uint64_t> span_count{0};
  scavenger gives_back;
  std::atomic<std::uint64_t> tiny_of_ended{0};  // tiny objects of owners that are no more
  std::atomic<std::uint64_t> limit_failures{0};
  std::atomic<std::uint64_t> memory_failures{0};

  std::size_t parity() const noexcept { return generation.load(std::memory_order_relaxed) / 2 % 2; }
  bool is_stale(const span& one) const noexcept {
    return one.generation.load(std::memory_order_relaxed) != generation.load(std::memory_order_relaxed);
  }
  bool is_swept() const noexcept {
    return swept_generation.load(std::memory_order_relaxed) == generation.load(std::memory_order_relaxed);
  }
  /// All figures; `before_end_of_mark`: each owner notes what of its own the end of this marking will hide.
  heap_figures sum_up(bool before_end_of_mark) noexcept RT_REQUIRES(owners_lock);
  /// Whose green thread calls; the orphans for others. @throws std::bad_alloc
  heap_owner& current_owner();
  void add_owner(heap_owner& one) noexcept RT_REQUIRES(owners_lock);

  /// Makes the span of `run`, which the caller has and has charged.
  span& make_span(heap_owner& owner, const page_run& run, std::size_t size_class, span_kind kind) noexcept;
  /// Its pages become free, or are closed for good.
  void free_span(span& one) noexcept;
  /// Of the chunk of an arena: its memory becomes free now, its addresses with a later sweep. While no marking begins
  /// or ends.
  void give_up(span& one) noexcept;
  /// Nothing may touch a chunk that was given up. While nothing marks.
  void forbid(span& one) noexcept;
};

/// No P has a cache of `dead` as the current one any more.
void forget_caches(const heap_owner& dead) noexcept;

/// Makes the heap at the first call.
heap_state& the_heap() noexcept;

}  // namespace rt::detail
