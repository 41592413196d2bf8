#include "daemon/host/heap_json.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <vector>

namespace rtd::host {

using nlohmann::json;

namespace {

json or_null(std::uint64_t value, std::uint64_t none = UINT64_MAX) { return value == none ? json() : json(value); }

// Of the last pauses, by nearest rank; all 0 without one.
json pause_quantiles(const rt::mem_stats& figures) {
  const std::size_t kept = std::min<std::size_t>(figures.num_gc, std::size(figures.pause_ns));
  std::vector<std::uint64_t> pauses;
  pauses.reserve(kept);
  for (std::size_t i = 0; i < kept; ++i) {
    pauses.push_back(
        figures.pause_ns[(figures.num_gc + std::size(figures.pause_ns) - 1 - i) % std::size(figures.pause_ns)]);
  }
  std::sort(pauses.begin(), pauses.end());
  json quantiles = json::array();
  for (std::size_t quarter = 0; quarter <= 4; ++quarter) {
    quantiles.push_back(pauses.empty() ? 0.0 : static_cast<double>(pauses[quarter * (pauses.size() - 1) / 4]) / 1e9);
  }
  return quantiles;
}

}  // namespace

json to_json(const rt::mem_stats& figures) {
  json sizes = json::array();
  for (const rt::mem_stats::size_figures& one : figures.by_size) {
    sizes.push_back(json::array({one.size, one.mallocs, one.frees}));
  }
  return {
      {"total_alloc", figures.total_alloc},
      {"mallocs", figures.mallocs},
      {"frees", figures.frees},
      {"heap_alloc", figures.heap_alloc},
      {"heap_sys", figures.heap_sys},
      {"heap_idle", figures.heap_idle},
      {"heap_inuse", figures.heap_inuse},
      {"heap_released", figures.heap_released},
      {"heap_objects", figures.heap_objects},
      {"stack_inuse", figures.stack_inuse},
      {"stack_sys", figures.stack_sys},
      {"mspan_inuse", figures.mspan_inuse},
      {"mspan_sys", figures.mspan_sys},
      {"mcache_inuse", figures.mcache_inuse},
      {"mcache_sys", figures.mcache_sys},
      {"buck_hash_sys", figures.buck_hash_sys},
      {"gc_sys", figures.gc_sys},
      {"other_sys", figures.other_sys},
      {"sys", figures.sys},
      {"lookups", figures.lookups},
      {"next_gc", or_null(figures.next_gc)},
      {"last_gc_seconds", static_cast<double>(figures.last_gc) / 1e9},
      {"pause_total_seconds", static_cast<double>(figures.pause_total_ns) / 1e9},
      {"pause_quantiles", pause_quantiles(figures)},
      {"num_gc", figures.num_gc},
      {"num_forced_gc", figures.num_forced_gc},
      {"gc_cpu_fraction", figures.gc_cpu_fraction},
      {"enable_gc", figures.enable_gc},
      {"debug_gc", figures.debug_gc},
      {"by_size", std::move(sizes)},
  };
}

json to_json(const rt::gc_stats& figures) {
  return {
      {"percent", figures.percent < 0 ? json() : json(figures.percent)},
      {"memory_limit", or_null(figures.memory_limit)},
      {"goal_bytes", or_null(figures.goal_bytes)},
      {"live_bytes", figures.live_bytes},
      {"scanned_stack_bytes", figures.scanned_stack_bytes},
      {"scanned_global_bytes", figures.scanned_global_bytes},
      {"table_bytes", figures.table_bytes},
      {"scavenged_bytes_total", figures.scavenged_bytes_total},
      {"scavenger_seconds_total", figures.scavenger_seconds_total},
      {"limit_failures_total", figures.limit_failures_total},
      {"memory_failures_total", figures.memory_failures_total},
      {"large_objects_total", figures.large_objects_total},
      {"large_objects_freed_total", figures.large_objects_freed_total},
      {"cycles_growth_total", figures.cycles_growth_total},
      {"cycles_forced_total", figures.cycles_forced_total},
      {"cycles_period_total", figures.cycles_period_total},
      {"cycles_task_limit_total", figures.cycles_task_limit_total},
      {"cycles_task_end_total", figures.cycles_task_end_total},
      {"is_marking", figures.is_marking},
      {"is_limited", figures.is_limited},
      {"background_seconds_total", figures.background_seconds_total},
      {"idle_seconds_total", figures.idle_seconds_total},
      {"assist_seconds_total", figures.assist_seconds_total},
      {"pause_seconds_total", figures.pause_seconds_total},
      {"marked_bytes_total", figures.marked_bytes_total},
      {"scanned_bytes_total", figures.scanned_bytes_total},
      {"stop_buckets", figures.stop_buckets},
      {"stop_seconds_sum", figures.stop_seconds_sum},
      {"begin_pause_buckets", figures.begin_pause_buckets},
      {"begin_pause_seconds_sum", figures.begin_pause_seconds_sum},
      {"end_pause_buckets", figures.end_pause_buckets},
      {"end_pause_seconds_sum", figures.end_pause_seconds_sum},
      {"total_pause_buckets", figures.total_pause_buckets},
      {"total_pause_seconds_sum", figures.total_pause_seconds_sum},
  };
}

json to_json(const rt::detail::owner_figures& figures, std::size_t soft_limit, std::size_t hard_limit) {
  return {
      {"allocated_bytes_total", figures.allocated_bytes},
      {"allocated_objects_total", figures.allocated_objects},
      {"freed_bytes_total", figures.freed_bytes},
      {"freed_objects_total", figures.freed_objects},
      {"live_bytes", figures.marked_bytes},
      {"objects", figures.live_objects()},
      {"in_use_bytes", figures.span_bytes},
      {"table_bytes", figures.table_bytes},
      {"soft_limit", or_null(soft_limit, SIZE_MAX)},
      {"hard_limit", or_null(hard_limit, SIZE_MAX)},
      {"limit_waits_total", figures.limit_waits},
      {"limit_failures_total", figures.limit_failures},
  };
}

}  // namespace rtd::host
