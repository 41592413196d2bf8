#include "daemon/metrics/host_stats.h"

#include <algorithm>
#include <set>
#include <string>
#include <unordered_map>

#include "daemon/metrics/json_reader.h"
#include "daemon/metrics/task_metrics_reader.h"
#include "daemon/protocol/text.h"

namespace rtd::metrics {

namespace {

using nlohmann::json;

constexpr std::size_t max_procs = 1024;
constexpr std::size_t max_bounds = 64;
constexpr std::size_t max_metrics = 100'000;
constexpr std::size_t max_status_bytes = 200;

using count_field = std::uint64_t runtime_figures::*;

struct named_count {
  const char* name;
  count_field field;
  bool is_total = false;
};

// The names are those of the runtime's own statistics.
constexpr named_count runtime_counts[] = {
    {"procs", &runtime_figures::procs},
    {"idle_procs", &runtime_figures::idle_procs},
    {"threads", &runtime_figures::threads},
    {"threads_running", &runtime_figures::threads_running},
    {"threads_idle", &runtime_figures::threads_idle},
    {"threads_blocked", &runtime_figures::threads_blocked},
    {"threads_spinning", &runtime_figures::threads_spinning},
    {"threads_frozen", &runtime_figures::threads_frozen},
    {"threads_created_total", &runtime_figures::threads_created_total, true},
    {"threads_ended_total", &runtime_figures::threads_ended_total, true},
    {"threads_refused_total", &runtime_figures::threads_refused_total, true},
    {"green_threads", &runtime_figures::green_threads},
    {"runnable", &runtime_figures::runnable},
    {"running", &runtime_figures::running},
    {"waiting", &runtime_figures::waiting},
    {"blocking", &runtime_figures::blocking},
    {"created_total", &runtime_figures::created_total, true},
    {"global_queue_length", &runtime_figures::global_queue_length},
    {"switches_total", &runtime_figures::switches_total, true},
    {"steals_total", &runtime_figures::steals_total, true},
    {"steal_failures_total", &runtime_figures::steal_failures_total, true},
    {"handoffs_total", &runtime_figures::handoffs_total, true},
    {"preempt_requests_total", &runtime_figures::preempt_requests_total, true},
    {"preemptions_total", &runtime_figures::preemptions_total, true},
    {"preempt_signals_total", &runtime_figures::preempt_signals_total, true},
    {"freezes_total", &runtime_figures::freezes_total, true},
    {"retakes_total", &runtime_figures::retakes_total, true},
    {"os_lock_parks_total", &runtime_figures::os_lock_parks_total, true},
    {"wakeups_total", &runtime_figures::wakeups_total, true},
    {"stop_the_world_total", &runtime_figures::stop_the_world_total, true},
    {"stacks_in_use", &runtime_figures::stacks_in_use},
    {"stacks_cached", &runtime_figures::stacks_cached},
    {"stack_in_use_bytes", &runtime_figures::stack_in_use_bytes},
    {"stack_reserved_bytes", &runtime_figures::stack_reserved_bytes},
    {"stack_limit", &runtime_figures::stack_limit},
    {"stack_failures_total", &runtime_figures::stack_failures_total, true},
    {"timers", &runtime_figures::timers},
    {"timers_fired_total", &runtime_figures::timers_fired_total, true},
    {"net_descriptors", &runtime_figures::net_descriptors},
    {"net_waiting_readers", &runtime_figures::net_waiting_readers},
    {"net_waiting_writers", &runtime_figures::net_waiting_writers},
    {"net_polls_total", &runtime_figures::net_polls_total, true},
    {"net_events_total", &runtime_figures::net_events_total, true},
};

// Totals all.
struct named_seconds {
  const char* name;
  double runtime_figures::*field;
};
constexpr named_seconds runtime_seconds[] = {
    {"mutex_wait_seconds_total", &runtime_figures::mutex_wait_seconds_total},
    {"runtime_lock_wait_seconds_total", &runtime_figures::runtime_lock_wait_seconds_total},
};

std::vector<std::uint64_t> counts_of(const json& list, const std::string& where) {
  std::vector<std::uint64_t> counts;
  for (const json& value : list) counts.push_back(to_count(value, where));
  return counts;
}

// The buckets and the sum of one histogram of the scheduler.
histogram_data read_durations(const json& object, const std::string& where, const std::string& name,
                              const std::vector<double>& bounds) {
  histogram_data result;
  result.bounds = bounds;
  const std::string buckets = name + "_buckets";
  result.counts = counts_of(array_member(object, where, buckets.c_str(), max_bounds + 1), where + "." + buckets);
  if (result.counts.size() != bounds.size() + 1)
    throw bad_answer(where + "." + buckets, "one longer than duration_bounds");
  const std::string sum = name + "_seconds_sum";
  result.sum = to_number(member(object, where, sum.c_str()), where + "." + sum, 0);
  return result;
}

std::vector<double> read_bounds(const json& result) {
  std::vector<double> bounds;
  for (const json& bound : array_member(result, "the answer", "duration_bounds", max_bounds)) {
    bounds.push_back(to_number(bound, "duration_bounds"));
    const bool grows = bounds.size() < 2 || bounds[bounds.size() - 2] < bounds.back();
    if (!grows) throw bad_answer("duration_bounds", "a growing list");
  }
  return bounds;
}

runtime_figures read_runtime(const json& result, const std::vector<double>& bounds) {
  const std::string where = "runtime";
  const json& object = member(result, "the answer", "runtime");
  runtime_figures figures;
  for (const named_count& one : runtime_counts) {
    figures.*one.field = to_count(member(object, where, one.name), where + "." + one.name);
  }
  figures.local_queue_lengths =
      counts_of(array_member(object, where, "local_queue_lengths", max_procs), where + ".local_queue_lengths");
  for (const json& value : array_member(object, where, "busy_seconds_total", max_procs)) {
    figures.busy_seconds_total.push_back(to_number(value, where + ".busy_seconds_total", 0));
  }
  for (const named_seconds& one : runtime_seconds) {
    figures.*one.field = to_number(member(object, where, one.name), where + "." + one.name, 0);
  }
  figures.stack_guard = to_text(member(object, where, "stack_guard"), where + ".stack_guard", 32);
  if (figures.stack_guard != "guard_install" && figures.stack_guard != "mprotect") {
    throw bad_answer(where + ".stack_guard", "guard_install or mprotect");
  }
  figures.run_queue_wait = read_durations(object, where, "run_queue_wait", bounds);
  figures.slice = read_durations(object, where, "slice", bounds);
  return figures;
}

host_task read_task(const json& object, const std::string& where) {
  const auto text = [&](const char* name, std::size_t most = protocol::max_name_bytes) -> const std::string& {
    return to_text(member(object, where, name), where + "." + name, most);
  };
  host_task task;
  task.id = text("id");
  if (!protocol::is_name(task.id)) throw bad_answer(where + ".id", "a name");
  task.plugin = protocol::clean_text(text("plugin"));
  task.entry = protocol::clean_text(text("entry"));
  task.state = protocol::clean_text(text("state"));
  task.green_threads = to_count(member(object, where, "green_threads"), where + ".green_threads");
  task.cpu_seconds = to_number(member(object, where, "cpu_seconds"), where + ".cpu_seconds", 0);
  task.queue_waits = to_count(member(object, where, "queue_waits"), where + ".queue_waits");
  task.queue_wait_seconds = to_number(member(object, where, "queue_wait_seconds"), where + ".queue_wait_seconds", 0);
  task.status = protocol::clean_text(text("status", protocol::max_text_bytes), max_status_bytes);
  task.heap = read_task_heap(member(object, where, "heap"), where + ".heap");
  task.limits = read_task_limits(member(object, where, "limits"), where + ".limits");
  task.started_at = to_number(member(object, where, "started_at"), where + ".started_at", 0);
  return task;
}

host_snapshot read_answer(const json& result) {
  host_snapshot snapshot;
  const std::vector<double> bounds = read_bounds(result);
  snapshot.runtime = read_runtime(result, bounds);
  snapshot.heap = read_heap(result, bounds);
  const json& tasks = array_member(result, "the answer", "tasks", max_host_tasks);
  std::set<std::string_view> ids;
  snapshot.tasks.reserve(tasks.size());
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const std::string where = "tasks[" + std::to_string(i) + "]";
    snapshot.tasks.push_back(read_task(tasks[i], where));
    if (!ids.insert(snapshot.tasks.back().id).second) throw bad_answer(where + ".id", "different from those before");
  }
  read_task_metrics(array_member(result, "the answer", "metrics", max_metrics), snapshot);
  // Series that the host itself left out, because its answer has a limit as well.
  if (const auto left_out = result.find("metrics_left_out"); left_out != result.end()) {
    const std::uint64_t count = to_count(*left_out, "metrics_left_out");
    if (count > 0) snapshot.series_dropped_total["too_large"] += count;
  }
  snapshot.logs_dropped_total = to_count(member(result, "the answer", "logs_dropped_total"), "logs_dropped_total");
  const json& memory = member(result, "the answer", "malloc");
  snapshot.malloc_in_use_bytes = to_count(member(memory, "malloc", "in_use_bytes"), "malloc.in_use_bytes");
  snapshot.malloc_arena_bytes = to_count(member(memory, "malloc", "arena_bytes"), "malloc.arena_bytes");
  return snapshot;
}

// ---- keeping totals from going back

template <typename Number>
void at_least(Number& now, const Number& before) {
  now = std::max(now, before);
}

template <typename Number>
void at_least(std::vector<Number>& now, const std::vector<Number>& before) {
  for (std::size_t i = 0; i < std::min(now.size(), before.size()); ++i) at_least(now[i], before[i]);
}

void at_least(histogram_data& now, const histogram_data& before) {
  if (now.bounds != before.bounds) return;
  at_least(now.counts, before.counts);
  at_least(now.sum, before.sum);
}

void keep_series_monotonic(task_metric& now, const task_metric& before) {
  std::map<std::vector<std::pair<std::string, std::string>>, const task_series*> known;
  for (const task_series& series : before.series) known.emplace(series.labels, &series);
  for (task_series& series : now.series) {
    const auto found = known.find(series.labels);
    if (found == known.end()) continue;
    if (now.type == metric_type::counter) at_least(series.value, found->second->value);
    // The sum of a task's histogram may fall: it may observe negative values.
    if (now.type != metric_type::histogram || series.distribution.bounds != found->second->distribution.bounds)
      continue;
    at_least(series.distribution.counts, found->second->distribution.counts);
  }
}

}  // namespace

const host_task* host_snapshot::find_task(std::string_view id) const noexcept {
  const auto found = std::find_if(tasks.begin(), tasks.end(), [&](const host_task& task) { return task.id == id; });
  return found == tasks.end() ? nullptr : &*found;
}

std::optional<host_snapshot> parse_host_stats(const json& result, std::string& error) {
  try {
    return read_answer(result);
  } catch (const bad_answer& failure) {
    error = failure.what();
  } catch (const json::exception& failure) {
    error = failure.what();
  }
  return std::nullopt;
}

void keep_monotonic(host_snapshot& now, const host_snapshot& before) {
  for (const named_count& one : runtime_counts) {
    if (one.is_total) at_least(now.runtime.*one.field, before.runtime.*one.field);
  }
  for (const named_seconds& one : runtime_seconds) at_least(now.runtime.*one.field, before.runtime.*one.field);
  at_least(now.runtime.busy_seconds_total, before.runtime.busy_seconds_total);
  at_least(now.runtime.run_queue_wait, before.runtime.run_queue_wait);
  at_least(now.runtime.slice, before.runtime.slice);
  keep_monotonic(now.heap, before.heap);
  at_least(now.logs_dropped_total, before.logs_dropped_total);
  for (const auto& [reason, count] : before.series_dropped_total) now.series_dropped_total[reason] += count;

  std::unordered_map<std::string_view, const host_task*> tasks_before;
  for (const host_task& task : before.tasks) tasks_before.emplace(task.id, &task);
  std::set<std::string_view> same_run;
  for (host_task& task : now.tasks) {
    const auto found = tasks_before.find(task.id);
    if (found == tasks_before.end() || found->second->started_at != task.started_at) continue;
    same_run.insert(task.id);
    at_least(task.cpu_seconds, found->second->cpu_seconds);
    at_least(task.queue_waits, found->second->queue_waits);
    at_least(task.queue_wait_seconds, found->second->queue_wait_seconds);
    keep_monotonic(task.heap, found->second->heap);
    keep_monotonic(task.limits, found->second->limits);
  }
  std::map<std::pair<std::string_view, std::string_view>, const task_metric*> metrics_before;
  for (const task_metric& metric : before.metrics) metrics_before[{metric.task, metric.name}] = &metric;
  for (task_metric& metric : now.metrics) {
    const auto found = metrics_before.find({metric.task, metric.name});
    if (found == metrics_before.end() || found->second->type != metric.type || !same_run.contains(metric.task))
      continue;
    keep_series_monotonic(metric, *found->second);
  }
}

}  // namespace rtd::metrics
