// What a host says about itself, checked. A host runs code of strangers, so its answer is hostile input: every field's
// type and range is checked, names and labels are checked against Prometheus' rules, and sizes have caps, so that no
// host can break the page, impersonate another sandbox, or make the supervisor hold much memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/metrics/heap_stats.h"
#include "daemon/metrics/histogram.h"
#include "daemon/metrics/limit_stats.h"

namespace rtd::metrics {

/// Most series that one task may export; as the runtime's own limit.
inline constexpr std::size_t max_series_per_task = 1000;
/// Most task series of a sandbox on the page.
inline constexpr std::size_t max_series_per_sandbox = 5000;
/// Most bytes that a sandbox's task series may take on the page (an estimate from above).
inline constexpr std::size_t max_task_metric_bytes = 8 * 1024 * 1024;
/// Most tasks in one answer.
inline constexpr std::size_t max_host_tasks = 100'000;

/// Figures of the scheduler, stacks, timers and poller; the fields mean what the runtime's statistics of the same names
/// mean. Times in seconds, sizes in bytes; totals count since the host's start.
struct runtime_figures {
  std::uint64_t procs = 0, idle_procs = 0;
  std::uint64_t threads = 0, threads_running = 0, threads_idle = 0, threads_blocked = 0, threads_spinning = 0;
  std::uint64_t threads_frozen = 0;
  std::uint64_t threads_created_total = 0, threads_ended_total = 0, threads_refused_total = 0;
  std::uint64_t green_threads = 0, runnable = 0, running = 0, waiting = 0, blocking = 0;
  std::uint64_t created_total = 0;
  std::uint64_t global_queue_length = 0;
  std::vector<std::uint64_t> local_queue_lengths;
  std::vector<double> busy_seconds_total;
  std::uint64_t switches_total = 0, steals_total = 0, steal_failures_total = 0, handoffs_total = 0;
  std::uint64_t preempt_requests_total = 0, preemptions_total = 0, wakeups_total = 0, stop_the_world_total = 0;
  std::uint64_t preempt_signals_total = 0, freezes_total = 0, retakes_total = 0;
  std::uint64_t os_lock_parks_total = 0;
  double mutex_wait_seconds_total = 0, runtime_lock_wait_seconds_total = 0;
  histogram_data run_queue_wait;
  histogram_data slice;
  std::string stack_guard;  ///< "guard_install" or "mprotect"
  std::uint64_t stacks_in_use = 0, stacks_cached = 0, stack_in_use_bytes = 0, stack_reserved_bytes = 0;
  std::uint64_t stack_limit = 0, stack_failures_total = 0;
  std::uint64_t timers = 0, timers_fired_total = 0;
  std::uint64_t net_descriptors = 0, net_waiting_readers = 0, net_waiting_writers = 0;
  std::uint64_t net_polls_total = 0, net_events_total = 0;
};

/// A task as its host sees it.
struct host_task {
  std::string id;
  std::string plugin;
  std::string entry;
  std::string state;
  std::uint64_t green_threads = 0;
  double cpu_seconds = 0;
  std::uint64_t queue_waits = 0;  ///< waits in run queues that were measured
  double queue_wait_seconds = 0;  ///< and how long they took together
  std::string status;             ///< free text of the task, control characters replaced, at most 200 bytes
  double started_at = 0;          ///< Unix time
  task_heap_figures heap;
  task_limit_figures limits;
};

enum class metric_type : std::uint8_t { counter, gauge, histogram };

/// One series of a task's metric.
struct task_series {
  std::vector<std::pair<std::string, std::string>> labels;  ///< sorted by name
  double value = 0;                                         ///< counter (finite, not negative) or gauge (may be NaN)
  histogram_data distribution;                              ///< histogram
};

/// One metric of one task.
struct task_metric {
  std::string task;
  std::string name;
  std::string help;
  metric_type type = metric_type::gauge;
  std::vector<task_series> series;
};

/// One answer of a host to "stats".
struct host_snapshot {
  runtime_figures runtime;
  heap_figures heap;
  std::vector<host_task> tasks;
  std::vector<task_metric> metrics;
  std::uint64_t logs_dropped_total = 0;
  std::uint64_t malloc_in_use_bytes = 0;
  std::uint64_t malloc_arena_bytes = 0;
  /// Series that were left out, by reason: name, reserved_name, label, value, duplicate, too_many_series, too_large.
  /// parse_host_stats counts those of its answer; keep_monotonic adds those of the answers before.
  std::map<std::string, std::uint64_t> series_dropped_total;

  /// The task with this id, or null.
  const host_task* find_task(std::string_view id) const noexcept;
};

/// Reads the result of "stats". A wrong structure (a field missing, of a wrong type, out of range) gives nullopt and a
/// reason in `error` that names the field; what a plugin may get wrong by itself (a metric's name, a label, a value
/// that is no number, too many series) only leaves that series out and counts it. Never throws for bad input.
std::optional<host_snapshot> parse_host_stats(const nlohmann::json& result, std::string& error);

/// Makes totals of `now` no smaller than those of `before`, an earlier answer of the *same* host process, so that a
/// figure read in the middle of an update never looks like a restart of the counter. Totals of a task are compared only
/// where it is the same run (started_at). Adds the dropped series of `before`.
void keep_monotonic(host_snapshot& now, const host_snapshot& before);

}  // namespace rtd::metrics
