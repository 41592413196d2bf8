// What a page says about plugins and tasks, and the metrics that tasks export.
#include <algorithm>
#include <array>
#include <unordered_map>

#include "daemon/metrics/render.h"
#include "daemon/metrics/sections.h"

namespace rtd::metrics {

namespace {

constexpr std::array<const char*, 9> task_states = {"starting", "running", "stopping", "stopped",  "completed",
                                                    "failed",   "backoff", "fatal",    "listening"};
constexpr std::array<const char*, 4> run_statuses = {"ok", "error", "cancelled", "crashed"};

constexpr std::array<const char*, 4> stop_rungs = {"drain", "cancel", "unwind", "kill"};

using host_task_index = std::unordered_map<std::string_view, const host_task*>;

host_task_index index_tasks(const sandbox_snapshot& sandbox) {
  host_task_index index;
  if (!sandbox.host) return index;
  for (const host_task& task : sandbox.host->tasks) index.emplace(task.id, &task);
  return index;
}

// What the page shows of one task, or of several under one name.
struct shown_task {
  std::array<std::uint64_t, task_states.size()> states{};
  std::uint64_t green_threads = 0;
  double cpu_seconds = 0;
  std::uint64_t queue_waits = 0;
  double queue_wait_seconds = 0;
  task_heap_figures heap;
  task_limit_figures limits;
  std::optional<double> started_at;
  std::optional<double> next_start;
  std::uint64_t restarts = 0;
  std::uint64_t deadlocks = 0;
  count_map runs;
  count_map stops;
  std::optional<count_map> overlaps;

  void add(const task_figures& task, const host_task* in_host) {
    for (std::size_t i = 0; i < task_states.size(); ++i) states[i] += task.state == task_states[i] ? 1 : 0;
    restarts += task.restarts_total;
    deadlocks += task.deadlocks_total;
    for (const auto& [status, count] : task.runs_total) runs[status] += count;
    for (const auto& [rung, count] : task.stops_total) stops[rung] += count;
    if (task.overlaps_total) {
      if (!overlaps) overlaps.emplace();
      for (const auto& [result, count] : *task.overlaps_total) (*overlaps)[result] += count;
    }
    cpu_seconds += task.cpu_seconds_of_ended_runs;
    next_start = task.next_start_timestamp_seconds;
    if (in_host == nullptr) return;
    green_threads += in_host->green_threads;
    cpu_seconds += in_host->cpu_seconds;
    queue_waits += in_host->queue_waits;
    queue_wait_seconds += in_host->queue_wait_seconds;
    heap.allocated_bytes_total += in_host->heap.allocated_bytes_total;
    heap.allocated_objects_total += in_host->heap.allocated_objects_total;
    heap.live_bytes += in_host->heap.live_bytes;
    heap.in_use_bytes += in_host->heap.in_use_bytes;
    heap.objects += in_host->heap.objects;
    heap.limit_waits_total += in_host->heap.limit_waits_total;
    heap.limit_failures_total += in_host->heap.limit_failures_total;
    heap.soft_limit = in_host->heap.soft_limit;
    heap.hard_limit = in_host->heap.hard_limit;
    limits.green_threads_limit = in_host->limits.green_threads_limit;
    limits.connections_limit = in_host->limits.connections_limit;
    limits.log_rate_limit = in_host->limits.log_rate_limit;
    limits.cpu_limit = in_host->limits.cpu_limit;
    add_to(limits, in_host->limits);
    started_at = in_host->started_at;
  }
};

void add_task(page& to, const label_list& labels, const shown_task& task) {
  const auto with = [&](const char* label, std::string value) {
    label_list more = labels;
    more.emplace_back(label, std::move(value));
    return more;
  };
  for (std::size_t i = 0; i < task_states.size(); ++i) {
    to.gauge("rtd_task_state", with("state", task_states[i]), task.states[i]);
  }
  to.gauge("rtd_task_green_threads", labels, task.green_threads);
  to.counter("rtd_task_cpu_seconds_total", labels, task.cpu_seconds);
  to.counter("rtd_task_queue_waits_total", labels, task.queue_waits);
  to.counter("rtd_task_queue_wait_seconds_total", labels, task.queue_wait_seconds);
  add_task_heap(to, labels, task.heap);
  add_task_limits(to, labels, task.limits);
  if (task.started_at) to.gauge("rtd_task_start_time_seconds", labels, *task.started_at);
  if (task.next_start) to.gauge("rtd_task_next_start_timestamp_seconds", labels, *task.next_start);
  to.counter("rtd_task_restarts_total", labels, task.restarts);
  to.counter("rtd_task_deadlocks_total", labels, task.deadlocks);
  if (task.overlaps) {
    count_map overlaps = *task.overlaps;
    for (const char* result : {"skipped", "queued"}) overlaps.emplace(result, 0);
    for (const auto& [result, count] : overlaps)
      to.counter("rtd_task_schedule_overlaps_total", with("result", result), count);
  }
  count_map stops = task.stops;
  for (const char* rung : stop_rungs) stops.emplace(rung, 0);
  for (const auto& [rung, count] : stops) to.counter("rtd_task_stops_total", with("rung", rung), count);
  count_map runs = task.runs;
  for (const char* status : run_statuses) runs.emplace(status, 0);
  for (const auto& [status, count] : runs) to.counter("rtd_task_runs_total", with("status", status), count);
}

// Puts the metrics of all tasks into families, the first user of a name deciding on type and help.
class task_families {
 public:
  void add(const std::string& sandbox, const std::string& plugin, const task_metric& metric) {
    prometheus::MetricFamily* const family = family_for(metric);
    if (family == nullptr) {
      ++conflicts_;
      return;
    }
    for (const task_series& series : metric.series) {
      prometheus::ClientMetric& added = family->metric.emplace_back();
      added.label = {{"sandbox", sandbox}, {"plugin", plugin}, {"task", metric.task}};
      for (const auto& [name, value] : series.labels) added.label.push_back({name, value});
      switch (metric.type) {
        case metric_type::counter:
          added.counter.value = series.value;
          break;
        case metric_type::gauge:
          added.gauge.value = series.value;
          break;
        case metric_type::histogram:
          added.histogram = to_prometheus(series.distribution);
          break;
      }
    }
  }

  std::uint64_t conflicts() const noexcept { return conflicts_; }
  std::vector<prometheus::MetricFamily>& families() noexcept { return families_; }

 private:
  // Null when the name is taken by a family of another type or help. The samples of a histogram bear other names than
  // the histogram itself, but no task's metric can have one of those: is_metric_name refuses their suffixes.
  prometheus::MetricFamily* family_for(const task_metric& metric) {
    const prometheus::MetricType type = metric.type == metric_type::counter ? prometheus::MetricType::Counter
                                        : metric.type == metric_type::gauge ? prometheus::MetricType::Gauge
                                                                            : prometheus::MetricType::Histogram;
    const auto [place, is_new] = places_.try_emplace(metric.name, families_.size());
    if (is_new) families_.push_back({metric.name, metric.help, type, {}});
    prometheus::MetricFamily& family = families_[place->second];
    return family.type == type && family.help == metric.help ? &family : nullptr;
  }

  std::unordered_map<std::string, std::size_t> places_;
  std::vector<prometheus::MetricFamily> families_;
  std::uint64_t conflicts_ = 0;
};

}  // namespace

void add_plugins_and_tasks(page& to, const sandbox_snapshot& sandbox) {
  for (const plugin_figures& plugin : sandbox.plugins) {
    if (plugin.loaded) {
      to.gauge("rtd_plugin_info",
               {{"sandbox", sandbox.name}, {"plugin", plugin.name}, {"version", plugin.version}, {"abi", plugin.abi}},
               1.0);
    }
    for (const std::string& version : plugin.versions_beside)
      to.gauge("rtd_plugin_info",
               {{"sandbox", sandbox.name}, {"plugin", plugin.name}, {"version", version}, {"abi", plugin.abi}}, 1.0);
    count_map loads = plugin.loads_total;
    loads.emplace("success", 0);
    for (const auto& [result, count] : loads) {
      to.counter("rtd_plugin_loads_total", {{"sandbox", sandbox.name}, {"plugin", plugin.name}, {"result", result}},
                 count);
    }
  }

  const host_task_index in_host = index_tasks(sandbox);
  const auto host_view = [&](const task_figures& task) -> const host_task* {
    const auto found = in_host.find(task.name);
    return found == in_host.end() ? nullptr : found->second;
  };
  const std::size_t by_name = std::min(sandbox.tasks.size(), max_tasks_by_name);
  for (std::size_t i = 0; i < by_name; ++i) {
    const task_figures& task = sandbox.tasks[i];
    shown_task shown;
    shown.add(task, host_view(task));
    add_task(to, {{"sandbox", sandbox.name}, {"plugin", task.plugin}, {"task", task.name}}, shown);
  }
  std::map<std::string, shown_task> others;  // by plugin
  for (std::size_t i = by_name; i < sandbox.tasks.size(); ++i) {
    others[sandbox.tasks[i].plugin].add(sandbox.tasks[i], host_view(sandbox.tasks[i]));
  }
  for (auto& [plugin, shown] : others) {
    shown.started_at.reset();
    shown.next_start.reset();
    shown.heap.soft_limit.reset();  // of one of them
    shown.heap.hard_limit.reset();
    shown.limits.green_threads_limit.reset();
    shown.limits.connections_limit.reset();
    shown.limits.log_rate_limit.reset();
    shown.limits.cpu_limit.reset();
    add_task(to, {{"sandbox", sandbox.name}, {"plugin", plugin}, {"task", "_other"}}, shown);
  }
}

std::uint64_t append_task_metrics(page& to, const std::vector<sandbox_snapshot>& sandboxes) {
  task_families families;
  for (const sandbox_snapshot& sandbox : sandboxes) {
    if (!sandbox.host) continue;
    // In the order of the supervisor's tasks, so that the owner of a name does not change from page to page. The plugin
    // is the one that the supervisor knows: a host's word is not taken for it.
    std::unordered_map<std::string_view, std::vector<const task_metric*>> by_task;
    for (const task_metric& metric : sandbox.host->metrics) by_task[metric.task].push_back(&metric);
    for (const task_figures& task : sandbox.tasks) {
      const auto found = by_task.find(task.name);
      if (found == by_task.end()) continue;
      for (const task_metric* metric : found->second) families.add(sandbox.name, task.plugin, *metric);
    }
  }
  for (prometheus::MetricFamily& family : families.families()) to.append(std::move(family));
  return families.conflicts();
}

}  // namespace rtd::metrics
