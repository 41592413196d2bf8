#include "daemon/host/stats_json.h"

#include <malloc.h>

#include <chrono>
#include <cmath>

#include "daemon/host/heap_json.h"
#include "runtime/heap/heap_owner.h"

namespace rtd::host {

using nlohmann::json;

namespace {

double unix_seconds(std::chrono::system_clock::time_point time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

// One series, or null when it is a histogram whose sum has overflowed. A gauge that is no finite number becomes null.
json series_json(const rt::detail::metric_family& family, const rt::detail::metric_series& series) {
  json labels = json::object();
  for (const auto& [name, value] : series.labels) labels[name] = value;
  const rt::detail::metric_cell& cell = *series.cell;
  double value = cell.value.load(std::memory_order_relaxed);
  if (family.type != rt::detail::metric_type::histogram) return {{"labels", std::move(labels)}, {"value", value}};
  if (!std::isfinite(value)) return nullptr;
  json buckets = json::array();
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < cell.bounds.size(); ++i) {
    count += cell.buckets[i].load(std::memory_order_relaxed);
    buckets.push_back(json::array({cell.bounds[i], count}));
  }
  count += cell.buckets[cell.bounds.size()].load(std::memory_order_relaxed);
  return {{"labels", std::move(labels)}, {"buckets", std::move(buckets)}, {"sum", value}, {"count", count}};
}

struct size_estimate {
  std::size_t bytes;
  std::size_t values;
};

// Texts may double when they are escaped; a number has at most 25 characters.
size_estimate estimate(const rt::detail::metric_series& series) {
  constexpr std::size_t frame_bytes = 100;
  constexpr std::size_t bucket_bytes = 60;
  size_estimate sum{frame_bytes, 6};
  for (const auto& [name, value] : series.labels) {
    sum.bytes += 2 * (name.size() + value.size()) + 6;
    sum.values += 1;
  }
  sum.bytes += series.cell->bounds.size() * bucket_bytes;
  sum.values += series.cell->bounds.size() * 3;
  return sum;
}

json limits_json(const rt::detail::task_limit_figures& figures) {
  const auto or_null = [](std::uint64_t limit) { return limit == rt::detail::no_limit ? json() : json(limit); };
  return {
      {"green_threads_limit", or_null(figures.green_threads_limit)},
      {"green_threads_refused_total", figures.green_threads_refused},
      {"connections", figures.connections},
      {"connections_limit", or_null(figures.connections_limit)},
      {"connections_refused_total", figures.connections_refused},
      {"accept_waits_total", figures.accept_waits},
      {"log_rate_limit", figures.log_rate == 0 ? json() : json(figures.log_rate)},
      {"log_lines_dropped_total", figures.log_lines_dropped},
      {"cpu_limit", figures.cpus <= 0 ? json() : json(figures.cpus)},
      {"cpu_throttles_total", figures.throttles},
      {"cpu_throttled_seconds_total", figures.throttled_seconds},
  };
}

}  // namespace

json to_json(const rt::runtime_stats& figures) {
  return {
      {"procs", figures.procs},
      {"idle_procs", figures.idle_procs},
      {"threads", figures.threads},
      {"threads_running", figures.threads_running},
      {"threads_idle", figures.threads_idle},
      {"threads_blocked", figures.threads_blocked},
      {"threads_spinning", figures.threads_spinning},
      {"threads_frozen", figures.threads_frozen},
      {"threads_created_total", figures.threads_created_total},
      {"threads_ended_total", figures.threads_ended_total},
      {"threads_refused_total", figures.threads_refused_total},
      {"green_threads", figures.green_threads},
      {"runnable", figures.runnable},
      {"running", figures.running},
      {"waiting", figures.waiting},
      {"blocking", figures.blocking},
      {"created_total", figures.created_total},
      {"global_queue_length", figures.global_queue_length},
      {"local_queue_lengths", figures.local_queue_lengths},
      {"busy_seconds_total", figures.busy_seconds_total},
      {"switches_total", figures.switches_total},
      {"steals_total", figures.steals_total},
      {"steal_failures_total", figures.steal_failures_total},
      {"handoffs_total", figures.handoffs_total},
      {"preempt_requests_total", figures.preempt_requests_total},
      {"preemptions_total", figures.preemptions_total},
      {"preempt_signals_total", figures.preempt_signals_total},
      {"freezes_total", figures.freezes_total},
      {"retakes_total", figures.retakes_total},
      {"os_lock_parks_total", figures.os_lock_parks_total},
      {"mutex_wait_seconds_total", figures.mutex_wait_seconds_total},
      {"runtime_lock_wait_seconds_total", figures.runtime_lock_wait_seconds_total},
      {"wakeups_total", figures.wakeups_total},
      {"stop_the_world_total", figures.stop_the_world_total},
      {"run_queue_wait_buckets", figures.run_queue_wait_buckets},
      {"run_queue_wait_seconds_sum", figures.run_queue_wait_seconds_sum},
      {"slice_buckets", figures.slice_buckets},
      {"slice_seconds_sum", figures.slice_seconds_sum},
      {"stack_guard", figures.stack_guard == rt::guard_kind::guard_install ? "guard_install" : "mprotect"},
      {"stacks_in_use", figures.stacks_in_use},
      {"stacks_cached", figures.stacks_cached},
      {"stack_in_use_bytes", figures.stack_in_use_bytes},
      {"stack_reserved_bytes", figures.stack_reserved_bytes},
      {"stack_limit", figures.stack_limit},
      {"stack_failures_total", figures.stack_failures_total},
      {"timers", figures.timers},
      {"timers_fired_total", figures.timers_fired_total},
      {"net_descriptors", figures.net_descriptors},
      {"net_waiting_readers", figures.net_waiting_readers},
      {"net_waiting_writers", figures.net_waiting_writers},
      {"net_polls_total", figures.net_polls_total},
      {"net_events_total", figures.net_events_total},
  };
}

json to_json(const rt::detail::task_state& task) {
  const rt::detail::group::queue_waits waits = task.waits();
  const rt::detail::heap_owner* heap = task.heap().get();
  return {
      {"id", task.identity().id},
      {"plugin", task.identity().plugin},
      {"entry", task.identity().entry},
      {"state", rt::detail::to_text(task.phase())},
      {"green_threads", task.green_threads()},
      {"cpu_seconds", task.cpu_seconds()},
      {"queue_waits", waits.count},
      {"queue_wait_seconds", waits.seconds},
      {"heap", to_json(task.heap().figures(), heap == nullptr ? SIZE_MAX : heap->soft_limit(),
                       heap == nullptr ? SIZE_MAX : heap->hard_limit())},
      {"limits", limits_json(task.limit_figures())},
      {"status", task.status()},
      {"started_at", unix_seconds(task.started_at())},
  };
}

metrics_json metrics_of(const std::vector<std::shared_ptr<rt::detail::task_state>>& tasks) {
  metrics_json result;
  size_estimate used{0, 0};
  for (const auto& task : tasks) {
    for (const rt::detail::metric_family& family : task->metrics().families()) {
      json series = json::array();
      used.bytes += 200 + 2 * family.help.size();
      used.values += 6;
      for (const auto& one : family.series) {
        size_estimate needed = estimate(*one);
        if (used.bytes + needed.bytes > most_metric_bytes || used.values + needed.values > most_metric_values) {
          ++result.left_out;
          continue;
        }
        json made = series_json(family, *one);
        if (made.is_null()) continue;
        used.bytes += needed.bytes;
        used.values += needed.values;
        series.push_back(std::move(made));
      }
      if (series.empty()) continue;
      result.families.push_back({{"task", task->identity().id},
                                 {"plugin", task->identity().plugin},
                                 {"name", family.name},
                                 {"help", family.help},
                                 {"type", rt::detail::to_text(family.type)},
                                 {"series", std::move(series)}});
    }
  }
  return result;
}

json malloc_json() {
  struct mallinfo2 figures = mallinfo2();
  return {{"in_use_bytes", figures.uordblks + figures.hblkhd}, {"arena_bytes", figures.arena + figures.hblkhd}};
}

}  // namespace rtd::host
