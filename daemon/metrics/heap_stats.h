// What a host says about its collected heap, checked as host_stats.h says.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "daemon/metrics/histogram.h"

namespace rtd::metrics {

/// Most size classes that a host may have.
inline constexpr std::size_t max_size_classes = 256;

/// One size class of the heap, all tasks together; totals since the host's start.
struct size_class_figures {
  std::uint64_t size = 0;  ///< bytes of a slot
  std::uint64_t allocated_objects_total = 0;
  std::uint64_t freed_objects_total = 0;
};

/// Figures of heap and collector; the fields mean what those of rt::mem_stats and rt::gc_stats mean. Times in seconds,
/// sizes in bytes; totals count since the host's start.
struct heap_figures {
  std::uint64_t alloc_bytes = 0, reserved_bytes = 0, idle_bytes = 0, in_use_bytes = 0, released_bytes = 0;
  std::uint64_t objects = 0;
  std::uint64_t allocated_bytes_total = 0, allocated_objects_total = 0, freed_objects_total = 0;
  std::uint64_t stack_in_use_bytes = 0, stack_reserved_bytes = 0;
  std::uint64_t span_table_in_use_bytes = 0, span_table_bytes = 0, cache_in_use_bytes = 0, cache_bytes = 0;
  std::uint64_t gc_table_bytes = 0, system_bytes = 0;
  std::uint64_t cycles_total = 0, forced_cycles_total = 0;
  std::vector<size_class_figures> size_classes;  ///< sizes growing
  double last_cycle_timestamp_seconds = 0;       ///< Unix time; 0: there was none
  double cpu_fraction = 0;
  double pause_total_seconds = 0;
  std::array<double, 5> pause_quantiles{};  ///< of the last pauses: least, quartiles, largest; seconds

  std::optional<std::uint64_t> percent;       ///< none: off
  std::optional<std::uint64_t> memory_limit;  ///< none: without limit
  std::optional<std::uint64_t> goal_bytes;    ///< none: without goal
  std::uint64_t live_bytes = 0, scanned_stack_bytes = 0, scanned_global_bytes = 0, metadata_bytes = 0;
  std::uint64_t scavenged_bytes_total = 0;
  std::uint64_t limit_failures_total = 0, memory_failures_total = 0;
  std::uint64_t large_objects_total = 0, large_objects_freed_total = 0;  ///< in no size class
  std::uint64_t cycles_growth_total = 0, cycles_period_total = 0, cycles_task_limit_total = 0,
                cycles_task_end_total = 0;
  std::uint64_t marked_bytes_total = 0, scanned_bytes_total = 0;
  double scavenger_seconds_total = 0;
  double background_seconds_total = 0, idle_seconds_total = 0, assist_seconds_total = 0, pause_seconds_total = 0;
  bool is_marking = false, is_limited = false;
  histogram_data stops, begin_pauses, end_pauses, total_pauses;

  /// Freed so far, of what was allocated.
  std::uint64_t freed_bytes_total() const noexcept {
    return allocated_bytes_total - (alloc_bytes < allocated_bytes_total ? alloc_bytes : allocated_bytes_total);
  }
  /// Backed by memory.
  std::uint64_t committed_bytes() const noexcept {
    return reserved_bytes - (released_bytes < reserved_bytes ? released_bytes : reserved_bytes);
  }
};

/// A task's memory on the collected heap.
struct task_heap_figures {
  std::uint64_t allocated_bytes_total = 0, allocated_objects_total = 0;  ///< in this run, as the other totals
  std::uint64_t freed_bytes_total = 0, freed_objects_total = 0;
  std::uint64_t live_bytes = 0;    ///< what the last collection found reachable
  std::uint64_t objects = 0;       ///< that are reachable or have not been swept
  std::uint64_t in_use_bytes = 0;  ///< pages, which is what its limits bound
  std::uint64_t table_bytes = 0;
  std::uint64_t limit_waits_total = 0, limit_failures_total = 0;
  std::optional<std::uint64_t> soft_limit, hard_limit;  ///< none: without limit
};

/// Read "heap" and "gc" of an answer, and "heap" of a task in it. @throws bad_answer (json_reader.h)
heap_figures read_heap(const nlohmann::json& answer, const std::vector<double>& bounds);
task_heap_figures read_task_heap(const nlohmann::json& object, const std::string& where);

/// As host_stats.h's: totals of `now` are no smaller than those of `before`.
void keep_monotonic(heap_figures& now, const heap_figures& before);
void keep_monotonic(task_heap_figures& now, const task_heap_figures& before);

/// For the answers of the control socket; what is off or has no limit is null.
nlohmann::json to_json(const heap_figures& figures);
nlohmann::json to_json(const task_heap_figures& figures);
/// [{"size", "allocated_objects_total", "freed_objects_total", "objects"}], those that were ever used.
nlohmann::json to_json(const std::vector<size_class_figures>& classes);

}  // namespace rtd::metrics
