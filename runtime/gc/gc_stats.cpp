#include "rt/gc_stats.h"

#include <algorithm>

#include "runtime/gc/collector.h"
#include "runtime/heap/heap_figures.h"

namespace rt {

namespace {

constexpr double in_seconds = 1e-9;

void add_histogram(const detail::duration_histogram& from, std::vector<std::uint64_t>& counts, double& sum) {
  // The sum before the counts: what is added meanwhile is then missing in the former, and a mean is never too large.
  sum = static_cast<double>(from.nanoseconds.load(std::memory_order_relaxed)) * in_seconds;
  counts.clear();
  for (const std::atomic<std::uint64_t>& one : from.counts) counts.push_back(one.load(std::memory_order_relaxed));
}

}  // namespace

gc_stats read_gc_stats() {
  const detail::collector& the = detail::the_collector();
  const detail::heap_figures heap = detail::read_heap_figures();
  detail::collector::history history;
  the.read_history(history);
  const detail::cycle_report last = the.last();

  gc_stats all;
  all.percent = the.percent();
  all.memory_limit = the.memory_limit();
  all.goal_bytes = the.goal();
  all.live_bytes = last.marked;
  all.scanned_stack_bytes = last.stack_bytes;
  all.scanned_global_bytes = last.global_bytes;
  all.table_bytes = heap.span_table_bytes + heap.cache_bytes + heap.table_bytes + the.table_bytes();
  all.scavenged_bytes_total = heap.scavenged_bytes;
  all.scavenger_seconds_total = static_cast<double>(heap.scavenging_nanoseconds) * in_seconds;
  all.limit_failures_total = heap.limit_failures;
  all.memory_failures_total = heap.memory_failures;

  detail::class_figures classes[detail::size_class_count + 1];
  detail::read_class_figures(classes);
  const detail::class_figures& large = classes[detail::size_class_count];
  all.large_objects_total = large.allocated;
  all.large_objects_freed_total = std::min(large.freed, large.allocated);

  const auto count = [&](detail::cycle_cause cause) { return history.by_cause[static_cast<std::size_t>(cause)]; };
  all.cycles_growth_total = count(detail::cycle_cause::growth);
  all.cycles_forced_total = count(detail::cycle_cause::forced);
  all.cycles_period_total = count(detail::cycle_cause::period);
  all.cycles_task_limit_total = count(detail::cycle_cause::task_limit);
  all.cycles_task_end_total = count(detail::cycle_cause::task_end);
  all.is_marking = the.is_marking();
  all.is_limited = the.is_limited();

  const auto seconds = [](std::int64_t nanoseconds) {
    return static_cast<double>(std::max<std::int64_t>(nanoseconds, 0)) * in_seconds;
  };
  all.background_seconds_total = seconds(history.cpu - history.assist_time - history.idle_cpu);
  all.idle_seconds_total = seconds(history.idle_cpu);
  all.assist_seconds_total = seconds(history.assist_time);
  all.pause_seconds_total = seconds(history.stopped_cpu);
  all.marked_bytes_total = history.marked;
  all.scanned_bytes_total = history.scanned;

  const detail::collector::stop_figures& stops = the.stops();
  add_histogram(stops.stopping, all.stop_buckets, all.stop_seconds_sum);
  add_histogram(stops.begin, all.begin_pause_buckets, all.begin_pause_seconds_sum);
  add_histogram(stops.end, all.end_pause_buckets, all.end_pause_seconds_sum);
  add_histogram(stops.total, all.total_pause_buckets, all.total_pause_seconds_sum);
  return all;
}

}  // namespace rt
