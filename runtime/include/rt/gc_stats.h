// What the collector has done and is set to, for monitoring: what Go's runtime/metrics has beyond MemStats (rt/gc.h).
#pragma once

#include <cstdint>
#include <vector>

namespace rt {

/// Figures of the collector. Sizes in bytes, times in seconds; totals count since the process began. Histograms have
/// the bounds of sched_duration_bounds() (rt/runtime.h); their last bucket is overflow.
struct gc_stats {
  // Settings.
  int percent = 100;               ///< gc_off (-1): none
  std::uint64_t memory_limit = 0;  ///< no_memory_limit: none

  // The heap.
  std::uint64_t goal_bytes = 0;            ///< at which size of the heap the next cycle is to be over
  std::uint64_t live_bytes = 0;            ///< what the last cycle has found reachable; 0 before the first
  std::uint64_t scanned_stack_bytes = 0;   ///< of the last cycle
  std::uint64_t scanned_global_bytes = 0;  ///< of the last cycle
  std::uint64_t table_bytes = 0;           ///< descriptors, caches, page tables, queues and marks of heap and collector
  std::uint64_t scavenged_bytes_total = 0;  ///< given back to the system, in the background or on demand
  double scavenger_seconds_total = 0;       ///< CPU time for that, in the background
  std::uint64_t limit_failures_total = 0;   ///< allocations that a task's limit refused
  std::uint64_t memory_failures_total = 0;  ///< allocations for which the system had no memory

  std::uint64_t large_objects_total = 0;        ///< allocated so far, of more than 32 KiB: in no size class
  std::uint64_t large_objects_freed_total = 0;  ///< of them

  // Cycles, by cause.
  std::uint64_t cycles_growth_total = 0;      ///< the heap came near its goal, or its memory limit
  std::uint64_t cycles_forced_total = 0;      ///< rt::gc
  std::uint64_t cycles_period_total = 0;      ///< there was none for two minutes
  std::uint64_t cycles_task_limit_total = 0;  ///< a task came to a limit of its memory
  std::uint64_t cycles_task_end_total = 0;    ///< a task ended and left much behind
  bool is_marking = false;                    ///< a cycle is under way
  bool is_limited = false;                    ///< it takes as much of the CPU as it may, and the heap may pass its goal

  // Work. CPU time is of all Ps together.
  double background_seconds_total = 0;  ///< marking beside the program
  double idle_seconds_total = 0;        ///< marking in time that the program had no use for
  double assist_seconds_total = 0;      ///< marking by green threads that allocate
  double pause_seconds_total = 0;       ///< Ps times the time that everything stood still or was being stopped
  std::uint64_t marked_bytes_total = 0;
  std::uint64_t scanned_bytes_total = 0;

  // Stops, two in each cycle or more.
  std::vector<std::uint64_t> stop_buckets;  ///< until all green threads were stopped
  double stop_seconds_sum = 0;
  std::vector<std::uint64_t> begin_pause_buckets;  ///< how long they then stood still, at the begin of a cycle
  double begin_pause_seconds_sum = 0;
  std::vector<std::uint64_t> end_pause_buckets;  ///< the same, at its end
  double end_pause_seconds_sum = 0;
  std::vector<std::uint64_t> total_pause_buckets;  ///< both together, of all stops
  double total_pause_seconds_sum = 0;
};

/// Reads all of them. Stops nothing, so figures that change are each of a moment of the call. Any thread.
/// @throws std::bad_alloc
gc_stats read_gc_stats();

}  // namespace rt
