// What a page says about a sandbox's collected heap, and about a task's part of it.
#include <algorithm>

#include "daemon/metrics/sections.h"

namespace rtd::metrics {

namespace {

// Upper bounds in bytes: powers of four from 16 B to 64 KiB. Size classes end at 32 KiB; beyond are large objects.
histogram_data allocation_sizes(const heap_figures& heap) {
  histogram_data result;
  for (double bound = 16; bound <= 65536; bound *= 4) result.bounds.push_back(bound);
  result.counts.assign(result.bounds.size() + 1, 0);
  for (const size_class_figures& one : heap.size_classes) {
    const auto place = std::lower_bound(result.bounds.begin(), result.bounds.end(), static_cast<double>(one.size));
    result.counts[static_cast<std::size_t>(place - result.bounds.begin())] += one.allocated_objects_total;
  }
  result.counts.back() += heap.large_objects_total;
  result.sum = static_cast<double>(heap.allocated_bytes_total);
  return result;
}

void add_collector(page& to, const std::string& sandbox, const heap_figures& heap) {
  const label_list only{{"sandbox", sandbox}};
  const auto with = [&](const char* label, const char* value) {
    return label_list{{"sandbox", sandbox}, {label, value}};
  };
  const auto cycles = [&](const char* trigger, std::uint64_t count) {
    to.counter("rtd_gc_cycles_total", with("trigger", trigger), count);
  };
  cycles("heap", heap.cycles_growth_total);
  cycles("forced", heap.forced_cycles_total);
  cycles("time", heap.cycles_period_total);
  cycles("task_limit", heap.cycles_task_limit_total);
  cycles("task_end", heap.cycles_task_end_total);
  to.histogram("rtd_gc_stop_latency_seconds", only, heap.stops);
  to.histogram("rtd_gc_pause_seconds", with("phase", "begin"), heap.begin_pauses);
  to.histogram("rtd_gc_pause_seconds", with("phase", "end"), heap.end_pauses);
  to.counter("rtd_gc_cpu_seconds_total", with("kind", "dedicated"), heap.background_seconds_total);
  to.counter("rtd_gc_cpu_seconds_total", with("kind", "assist"), heap.assist_seconds_total);
  to.counter("rtd_gc_cpu_seconds_total", with("kind", "idle"), heap.idle_seconds_total);
  to.counter("rtd_gc_cpu_seconds_total", with("kind", "pause"), heap.pause_seconds_total);
  to.gauge("rtd_gc_cpu_ratio", only, heap.cpu_fraction);
  to.gauge("rtd_gc_limited", only, heap.is_limited ? 1.0 : 0.0);
  to.gauge("rtd_gc_phase", with("phase", "idle"), heap.is_marking ? 0.0 : 1.0);
  to.gauge("rtd_gc_phase", with("phase", "mark"), heap.is_marking ? 1.0 : 0.0);
  if (heap.last_cycle_timestamp_seconds > 0) {
    to.gauge("rtd_gc_last_cycle_timestamp_seconds", only, heap.last_cycle_timestamp_seconds);
  }
  if (heap.percent) to.gauge("rtd_gc_growth_ratio", only, static_cast<double>(*heap.percent) / 100);
  to.counter("rtd_gc_marked_bytes_total", only, heap.marked_bytes_total);
  to.counter("rtd_gc_scanned_bytes_total", only, heap.scanned_bytes_total);
  to.gauge("rtd_gc_root_bytes", with("root", "stacks"), heap.scanned_stack_bytes);
  to.gauge("rtd_gc_root_bytes", with("root", "globals"), heap.scanned_global_bytes);
}

}  // namespace

void add_heap(page& to, const std::string& sandbox, const heap_figures& heap) {
  const label_list only{{"sandbox", sandbox}};
  to.gauge("rtd_heap_alloc_bytes", only, heap.alloc_bytes);
  to.gauge("rtd_heap_live_bytes", only, heap.live_bytes);
  if (heap.goal_bytes) to.gauge("rtd_heap_goal_bytes", only, *heap.goal_bytes);
  if (heap.memory_limit) to.gauge("rtd_heap_limit_bytes", only, *heap.memory_limit);
  to.gauge("rtd_heap_committed_bytes", only, heap.committed_bytes());
  to.gauge("rtd_heap_reserved_bytes", only, heap.reserved_bytes);
  to.gauge("rtd_heap_in_use_bytes", only, heap.in_use_bytes);
  to.gauge("rtd_heap_idle_bytes", only, heap.idle_bytes);
  to.gauge("rtd_heap_released_bytes", only, heap.released_bytes);
  to.gauge("rtd_heap_metadata_bytes", only, heap.metadata_bytes);
  to.gauge("rtd_heap_objects", only, heap.objects);
  to.counter("rtd_heap_allocated_bytes_total", only, heap.allocated_bytes_total);
  to.counter("rtd_heap_allocated_objects_total", only, heap.allocated_objects_total);
  to.counter("rtd_heap_freed_bytes_total", only, heap.freed_bytes_total());
  to.counter("rtd_heap_freed_objects_total", only, heap.freed_objects_total);
  to.histogram("rtd_heap_allocation_size_bytes", only, allocation_sizes(heap));
  to.counter("rtd_heap_alloc_failures_total", {{"sandbox", sandbox}, {"reason", "task_limit"}},
             heap.limit_failures_total);
  to.counter("rtd_heap_alloc_failures_total", {{"sandbox", sandbox}, {"reason", "no_memory"}},
             heap.memory_failures_total);
  to.counter("rtd_heap_scavenged_bytes_total", only, heap.scavenged_bytes_total);
  to.counter("rtd_heap_scavenger_cpu_seconds_total", only, heap.scavenger_seconds_total);
  add_collector(to, sandbox, heap);
}

void add_task_heap(page& to, const label_list& labels, const task_heap_figures& heap) {
  const auto limit = [&](const char* kind, const std::optional<std::uint64_t>& bytes) {
    if (!bytes) return;
    label_list more = labels;
    more.emplace_back("limit", kind);
    to.gauge("rtd_task_heap_limit_bytes", more, *bytes);
  };
  to.counter("rtd_task_allocated_bytes_total", labels, heap.allocated_bytes_total);
  to.counter("rtd_task_allocated_objects_total", labels, heap.allocated_objects_total);
  to.gauge("rtd_task_heap_live_bytes", labels, heap.live_bytes);
  to.gauge("rtd_task_heap_in_use_bytes", labels, heap.in_use_bytes);
  to.gauge("rtd_task_heap_objects", labels, heap.objects);
  limit("soft", heap.soft_limit);
  limit("hard", heap.hard_limit);
  to.counter("rtd_task_heap_limit_waits_total", labels, heap.limit_waits_total);
  to.counter("rtd_task_heap_limit_failures_total", labels, heap.limit_failures_total);
}

void add_go_heap_names(page& to, const std::string& sandbox, const heap_figures& heap) {
  const label_list only{{"sandbox", sandbox}};
  to.gauge("go_memstats_alloc_bytes", only, heap.alloc_bytes);
  to.counter("go_memstats_alloc_bytes_total", only, heap.allocated_bytes_total);
  to.gauge("go_memstats_sys_bytes", only, heap.system_bytes);
  to.counter("go_memstats_mallocs_total", only, heap.allocated_objects_total);
  to.counter("go_memstats_frees_total", only, heap.freed_objects_total);
  to.gauge("go_memstats_heap_alloc_bytes", only, heap.alloc_bytes);
  to.gauge("go_memstats_heap_sys_bytes", only, heap.reserved_bytes);
  to.gauge("go_memstats_heap_idle_bytes", only, heap.idle_bytes);
  to.gauge("go_memstats_heap_inuse_bytes", only, heap.in_use_bytes);
  to.gauge("go_memstats_heap_released_bytes", only, heap.released_bytes);
  to.gauge("go_memstats_heap_objects", only, heap.objects);
  to.gauge("go_memstats_stack_inuse_bytes", only, heap.stack_in_use_bytes);
  to.gauge("go_memstats_stack_sys_bytes", only, heap.stack_reserved_bytes);
  to.gauge("go_memstats_mspan_inuse_bytes", only, heap.span_table_in_use_bytes);
  to.gauge("go_memstats_mspan_sys_bytes", only, heap.span_table_bytes);
  to.gauge("go_memstats_mcache_inuse_bytes", only, heap.cache_in_use_bytes);
  to.gauge("go_memstats_mcache_sys_bytes", only, heap.cache_bytes);
  to.gauge("go_memstats_gc_sys_bytes", only, heap.gc_table_bytes);
  if (heap.goal_bytes) to.gauge("go_memstats_next_gc_bytes", only, *heap.goal_bytes);
  to.gauge("go_memstats_last_gc_time_seconds", only, heap.last_cycle_timestamp_seconds);
  to.gauge("go_gc_gogc_percent", only, heap.percent ? static_cast<double>(*heap.percent) : -1.0);
  if (heap.memory_limit) to.gauge("go_gc_gomemlimit_bytes", only, *heap.memory_limit);
  to.summary("go_gc_duration_seconds", only,
             {{0, heap.pause_quantiles[0]},
              {0.25, heap.pause_quantiles[1]},
              {0.5, heap.pause_quantiles[2]},
              {0.75, heap.pause_quantiles[3]},
              {1, heap.pause_quantiles[4]}},
             heap.pause_total_seconds, heap.cycles_total);
  to.histogram("go_sched_pauses_stopping_gc_seconds", only, heap.stops);
  to.histogram("go_sched_pauses_total_gc_seconds", only, heap.total_pauses);
}

}  // namespace rtd::metrics
