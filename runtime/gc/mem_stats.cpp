// rt::read_mem_stats. Figures that others change meanwhile are read once, and what follows from them is computed, so
// that the identities hold.
#include <algorithm>

#include "rt/gc.h"
#include "runtime/context/stack_pool.h"
#include "runtime/gc/collector.h"
#include "runtime/heap/heap_figures.h"
#include "runtime/os/clock.h"

namespace rt {

mem_stats read_mem_stats() noexcept {
  const detail::collector& the = detail::the_collector();
  const detail::heap_figures heap = detail::read_heap_figures();
  const detail::stack_totals stacks = detail::stacks().totals();
  detail::collector::history history;
  the.read_history(history);

  mem_stats all;
  all.total_alloc = heap.allocated_bytes;
  all.mallocs = heap.allocated_objects + heap.tiny_objects;
  // Whatever is freed takes the small ones that share a slot along: they are counted as freed at once, as in Go.
  all.frees = std::min(heap.freed_objects + heap.tiny_objects, all.mallocs);
  all.heap_objects = all.mallocs - all.frees;
  all.heap_alloc = all.alloc = heap.allocated_bytes - std::min(heap.freed_bytes, heap.allocated_bytes);
  all.heap_inuse = heap.span_bytes;
  all.heap_idle = heap.idle_bytes;
  all.heap_sys = heap.span_bytes + heap.idle_bytes;
  all.heap_released = std::min(heap.released_bytes, heap.idle_bytes);
  all.stack_sys = stacks.carved_bytes;
  all.stack_inuse = stacks.carved_bytes - std::min(stacks.cached_bytes, stacks.carved_bytes);
  all.mspan_inuse = std::min(heap.span_table_used, heap.span_table_bytes);
  all.mspan_sys = heap.span_table_bytes;
  all.mcache_inuse = std::min(heap.cache_used, heap.cache_bytes);
  all.mcache_sys = heap.cache_bytes;
  all.gc_sys = heap.table_bytes + the.table_bytes();
  all.other_sys = detail::coroutines().bytes();
  all.sys =
      all.heap_sys + all.stack_sys + all.mspan_sys + all.mcache_sys + all.buck_hash_sys + all.gc_sys + all.other_sys;

  all.next_gc = the.goal();
  all.num_gc = static_cast<std::uint32_t>(history.cycles);
  all.num_forced_gc =
      static_cast<std::uint32_t>(history.by_cause[static_cast<std::size_t>(detail::cycle_cause::forced)]);
  all.pause_total_ns = static_cast<std::uint64_t>(history.paused);
  constexpr std::size_t kept = detail::collector::history::kept;
  static_assert(sizeof all.pause_ns / sizeof all.pause_ns[0] == kept);
  for (std::size_t i = 0; i < kept; ++i) {  // there the place of number n is n % kept
    all.pause_ns[(i + kept - 1) % kept] = static_cast<std::uint64_t>(history.pauses[i]);
    all.pause_end[(i + kept - 1) % kept] = static_cast<std::uint64_t>(history.pause_ends[i]);
  }
  if (history.cycles != 0) all.last_gc = static_cast<std::uint64_t>(history.pause_ends[history.cycles % kept]);
  std::int64_t since = the.first_begin() == 0 ? 0 : os::nanotime() - the.first_begin();
  int procs = std::max(the.last().procs, 1);
  if (since > 0) {
    all.gc_cpu_fraction = std::min(1.0, static_cast<double>(history.cpu) / (static_cast<double>(since) * procs));
  }
  all.enable_gc = the.percent() != detail::percent_off;

  detail::class_figures classes[detail::size_class_count + 1];
  detail::read_class_figures(classes);
  for (std::size_t i = 0; i < mem_stats::size_count; ++i) {
    all.by_size[i] = {static_cast<std::uint32_t>(classes[i].size), classes[i].allocated,
                      std::min(classes[i].freed, classes[i].allocated)};
  }
  return all;
}

}  // namespace rt
