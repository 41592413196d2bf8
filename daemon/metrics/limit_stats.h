// How a task stands to its limits, as its host says, checked as host_stats.h says.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace rtd::metrics {

/// The limits of its heap are in task_heap_figures. Totals are of this run.
struct task_limit_figures {
  std::optional<std::uint64_t> green_threads_limit, connections_limit, log_rate_limit;  ///< none: without limit
  std::optional<double> cpu_limit;  ///< CPUs' worth of time; none: without limit
  std::uint64_t connections = 0;    ///< open now
  std::uint64_t green_threads_refused_total = 0, connections_refused_total = 0, accept_waits_total = 0,
                log_lines_dropped_total = 0, cpu_throttles_total = 0;
  double cpu_throttled_seconds_total = 0;
};

/// Reads "limits" of a task in an answer. @throws bad_answer (json_reader.h)
task_limit_figures read_task_limits(const nlohmann::json& object, const std::string& where);

/// As host_stats.h's: totals of `now` are no smaller than those of `before`.
void keep_monotonic(task_limit_figures& now, const task_limit_figures& before);

/// Adds the counts of another task: for those that are shown under one name, which then has no limits.
void add_to(task_limit_figures& sum, const task_limit_figures& one);

}  // namespace rtd::metrics
