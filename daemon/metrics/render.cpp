#include "daemon/metrics/render.h"

#include "daemon/metrics/sections.h"

namespace rtd::metrics {

namespace {

// Series that exist from the start, so that the first increase is not lost to rate().
count_map with_zeroes(const count_map& counts, std::initializer_list<const char*> names) {
  count_map all = counts;
  for (const char* name : names) all.emplace(name, 0);
  return all;
}

}  // namespace

void add_daemon(page& to, const daemon_snapshot& snapshot) {
  const build_figures& build = snapshot.build;
  to.gauge("rtd_build_info", {{"version", build.version}, {"revision", build.revision}, {"compiler", build.compiler}},
           1.0);

  const config_figures& config = snapshot.config;
  to.gauge("rtd_config_generation", {}, config.generation);
  to.gauge("rtd_config_last_reload_successful", {}, config.last_reload_successful ? 1.0 : 0.0);
  to.gauge("rtd_config_last_reload_success_timestamp_seconds", {}, config.last_reload_success_timestamp_seconds);
  for (const auto& [result, count] : with_zeroes(config.reloads_total, {"success", "failure"})) {
    to.counter("rtd_config_reloads_total", {{"result", result}}, count);
  }
  for (const auto& [plugin, results] : snapshot.replacements_total)
    for (const auto& [result, count] : with_zeroes(results, {"replaced", "failed"}))
      to.counter("rtd_plugin_replacements_total", {{"plugin", plugin}, {"result", result}}, count);

  to.histogram("rtd_supervisor_loop_lag_seconds", {}, snapshot.loop_lag.data());
  to.histogram("rtd_metrics_collect_duration_seconds", {}, snapshot.collect_duration.data());
  for (const auto& [key, count] : snapshot.log.messages_total) {
    to.counter("rtd_log_messages_total", {{"level", key.first}, {"source", key.second}}, count);
  }
  for (const auto& [source, count] : with_zeroes(snapshot.log.dropped_total, {"task", "stdout", "stderr"})) {
    to.counter("rtd_log_messages_dropped_total", {{"source", source}}, count);
  }

  if (snapshot.state) {
    for (const auto& [result, count] : with_zeroes(snapshot.state->saves_total, {"success", "failure"})) {
      to.counter("rtd_state_saves_total", {{"result", result}}, count);
    }
    if (snapshot.state->last_save_timestamp_seconds) {
      to.gauge("rtd_state_last_save_timestamp_seconds", {}, *snapshot.state->last_save_timestamp_seconds);
    }
    to.gauge("rtd_state_size_bytes", {}, snapshot.state->bytes);
    to.counter("rtd_state_set_aside_total", {}, snapshot.state->set_aside_total);
  }

  const control_figures& control = snapshot.control;
  to.gauge("rtd_control_connections", {}, control.connections);
  for (const auto& [result, count] : with_zeroes(control.connections_total, {"accepted"})) {
    to.counter("rtd_control_connections_total", {{"result", result}}, count);
  }
  for (const auto& [key, count] : control.requests.requests_total) {
    to.counter("rtd_control_requests_total", {{"method", key.first}, {"code", key.second}}, count);
  }
  for (const auto& [method, duration] : control.requests.duration) {
    to.histogram("rtd_control_request_duration_seconds", {{"method", method}}, duration.data());
  }

  const http_figures& http = snapshot.http;
  to.gauge("rtd_http_connections", {}, http.connections);
  for (const auto& [result, count] :
       with_zeroes(http.connections_total, {"accepted", "rejected", "evicted", "timed_out"})) {
    to.counter("rtd_http_connections_total", {{"result", result}}, count);
  }
  for (const auto& [key, count] : http.requests.requests_total) {
    to.counter("rtd_http_requests_total", {{"handler", key.first}, {"code", key.second}}, count);
  }
  for (const auto& [handler, duration] : http.requests.duration) {
    to.histogram("rtd_http_request_duration_seconds", {{"handler", handler}}, duration.data());
  }
}

void add_supervisor_process(page& to, const process_figures& process) {
  to.counter("process_cpu_seconds_total", {}, process.user_seconds + process.system_seconds);
  to.gauge("process_resident_memory_bytes", {}, process.resident_bytes);
  to.gauge("process_virtual_memory_bytes", {}, process.virtual_bytes);
  to.gauge("process_threads", {}, process.threads);
  to.gauge("process_start_time_seconds", {}, process.start_time_seconds);
  if (process.max_virtual_bytes) to.gauge("process_virtual_memory_max_bytes", {}, *process.max_virtual_bytes);
  if (process.open_files) to.gauge("process_open_fds", {}, *process.open_files);
  if (process.max_files) to.gauge("process_max_fds", {}, *process.max_files);
}

void request_figures::record(const std::string& what, const std::string& code, double seconds) {
  ++requests_total[{what, code}];
  auto found = duration.find(what);
  if (found == duration.end()) found = duration.emplace(what, histogram(latency_bounds())).first;
  found->second.observe(seconds);
}

std::string render(const daemon_snapshot& snapshot, render_report* report) {
  page built;
  add_daemon(built, snapshot);
  if (snapshot.process) add_supervisor_process(built, *snapshot.process);
  for (const sandbox_snapshot& sandbox : snapshot.sandboxes) {
    add_sandbox(built, sandbox);
    if (sandbox.host) add_runtime(built, sandbox.name, sandbox.host->runtime);
    if (sandbox.host) add_heap(built, sandbox.name, sandbox.host->heap);
    if (sandbox.host && snapshot.go_compat) add_go_names(built, sandbox);
    add_plugins_and_tasks(built, sandbox);
  }
  const std::uint64_t conflicts = append_task_metrics(built, snapshot.sandboxes);
  built.counter("rtd_task_metric_conflicts_total", {}, snapshot.task_metric_conflicts_total + conflicts);
  if (report != nullptr) report->conflicts = conflicts;
  return built.text();
}

}  // namespace rtd::metrics
