#include "daemon/metrics/limit_stats.h"

#include <algorithm>

#include "daemon/metrics/json_reader.h"
#include "daemon/metrics/sections.h"

namespace rtd::metrics {

namespace {

using nlohmann::json;

// The names of a host's answer.
struct named_limit {
  const char* name;
  std::optional<std::uint64_t> task_limit_figures::*field;
};
constexpr named_limit limits[] = {
    {"green_threads_limit", &task_limit_figures::green_threads_limit},
    {"connections_limit", &task_limit_figures::connections_limit},
    {"log_rate_limit", &task_limit_figures::log_rate_limit},
};

struct named_total {
  const char* name;
  std::uint64_t task_limit_figures::*field;
};
constexpr named_total totals[] = {
    {"green_threads_refused_total", &task_limit_figures::green_threads_refused_total},
    {"connections_refused_total", &task_limit_figures::connections_refused_total},
    {"accept_waits_total", &task_limit_figures::accept_waits_total},
    {"log_lines_dropped_total", &task_limit_figures::log_lines_dropped_total},
    {"cpu_throttles_total", &task_limit_figures::cpu_throttles_total},
};

}  // namespace

task_limit_figures read_task_limits(const json& object, const std::string& where) {
  task_limit_figures figures;
  for (const named_limit& one : limits) {
    const json& value = member(object, where, one.name);
    if (!value.is_null()) figures.*one.field = to_count(value, where + "." + one.name);
  }
  figures.connections = to_count(member(object, where, "connections"), where + ".connections");
  for (const named_total& one : totals) {
    figures.*one.field = to_count(member(object, where, one.name), where + "." + one.name);
  }
  if (const json& cpus = member(object, where, "cpu_limit"); !cpus.is_null()) {
    figures.cpu_limit = to_number(cpus, where + ".cpu_limit", 0);
  }
  figures.cpu_throttled_seconds_total =
      to_number(member(object, where, "cpu_throttled_seconds_total"), where + ".cpu_throttled_seconds_total", 0);
  return figures;
}

void keep_monotonic(task_limit_figures& now, const task_limit_figures& before) {
  for (const named_total& one : totals) now.*one.field = std::max(now.*one.field, before.*one.field);
  now.cpu_throttled_seconds_total = std::max(now.cpu_throttled_seconds_total, before.cpu_throttled_seconds_total);
}

void add_to(task_limit_figures& sum, const task_limit_figures& one) {
  sum.connections += one.connections;
  for (const named_total& total : totals) sum.*total.field += one.*total.field;
  sum.cpu_throttled_seconds_total += one.cpu_throttled_seconds_total;
}

void add_task_limits(page& to, const label_list& labels, const task_limit_figures& figures) {
  if (figures.green_threads_limit) to.gauge("rtd_task_green_threads_limit", labels, *figures.green_threads_limit);
  to.counter("rtd_task_green_threads_refused_total", labels, figures.green_threads_refused_total);
  to.gauge("rtd_task_connections", labels, figures.connections);
  if (figures.connections_limit) to.gauge("rtd_task_connections_limit", labels, *figures.connections_limit);
  to.counter("rtd_task_connections_refused_total", labels, figures.connections_refused_total);
  to.counter("rtd_task_accept_waits_total", labels, figures.accept_waits_total);
  if (figures.log_rate_limit) to.gauge("rtd_task_log_rate_limit", labels, *figures.log_rate_limit);
  to.counter("rtd_task_log_lines_dropped_total", labels, figures.log_lines_dropped_total);
  if (figures.cpu_limit) to.gauge("rtd_task_cpu_limit", labels, *figures.cpu_limit);
  to.counter("rtd_task_cpu_throttles_total", labels, figures.cpu_throttles_total);
  to.counter("rtd_task_cpu_throttled_seconds_total", labels, figures.cpu_throttled_seconds_total);
}

}  // namespace rtd::metrics
