// Everything that one /metrics page shows, as plain data that the supervisor fills in at scrape.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/metrics/histogram.h"
#include "daemon/metrics/host_stats.h"
#include "daemon/metrics/process.h"

namespace rtd::metrics {

using count_map = std::map<std::string, std::uint64_t>;
using pair_count_map = std::map<std::pair<std::string, std::string>, std::uint64_t>;

struct build_figures {
  std::string version;   ///< "0.1.0"
  std::string revision;  ///< of the source, or "unknown"
  std::string compiler;  ///< "g++ 12.2.0"
};

struct config_figures {
  std::uint64_t generation = 0;
  bool last_reload_successful = true;
  double last_reload_success_timestamp_seconds = 0;  ///< Unix time; of the first load when there was no reload
  count_map reloads_total;                           ///< by result: success, failure
};

/// Requests that something answered: fill it with record().
struct request_figures {
  pair_count_map requests_total;              ///< by (handler or method, code)
  std::map<std::string, histogram> duration;  ///< by handler or method
  /// Counts one. `what` must come from a fixed set ("other" for the rest): it becomes a label.
  void record(const std::string& what, const std::string& code, double seconds);
};

struct control_figures {
  std::uint64_t connections = 0;
  count_map connections_total;  ///< by result: accepted, denied, limit, dropped_slow, …
  request_figures requests;     ///< by (method, "ok" or the error's kind)
};

/// The state file; of a daemon that keeps one.
struct state_figures {
  count_map saves_total;                                             ///< by result: success, failure
  std::optional<double> last_save_timestamp_seconds = std::nullopt;  ///< Unix time of the last good one
  std::uint64_t bytes = 0;                                           ///< of the file as it was saved last
  std::uint64_t set_aside_total = 0;                                 ///< files that could not be used at the start
};

struct http_figures {
  std::uint64_t connections = 0;
  count_map connections_total;  ///< by result: accepted, rejected, evicted, timed_out
  request_figures requests;     ///< by (handler, status code)
};

struct log_figures {
  pair_count_map messages_total;  ///< by (level, source): source is supervisor, task, stdout, stderr
  count_map dropped_total;        ///< by source
};

/// A plugin of a sandbox.
struct plugin_figures {
  std::string name;
  std::string version;  ///< empty while it is not loaded
  std::string abi;
  bool loaded = false;
  count_map loads_total;                  ///< by result: success, or the error's kind
  std::set<std::string> versions_beside;  ///< that are in memory as well, during a replacement or because of one
};

/// A task as the supervisor sees it. Green threads, CPU time and metrics are taken from the host's answer.
struct task_figures {
  std::string name;
  std::string plugin;
  std::string state;  ///< starting running stopping stopped completed failed backoff fatal
  std::uint64_t restarts_total = 0;
  std::uint64_t deadlocks_total = 0;
  count_map runs_total;  ///< ended runs by status: ok, error, cancelled, crashed
  double cpu_seconds_of_ended_runs = 0;
  std::optional<count_map> overlaps_total = std::nullopt;  ///< of a scheduled task: starts skipped and queued
  count_map stops_total = {};  ///< stops by the rung that ended them: drain, cancel, unwind, kill
  std::optional<double> next_start_timestamp_seconds =
      std::nullopt;  ///< Unix time; when it starts by itself the next time
};

/// What the control groups of a sandbox's hosts have counted.
struct group_figures {
  std::uint64_t threads_refused_total = 0;
  std::uint64_t cpu_throttles_total = 0;
  double cpu_throttled_seconds_total = 0;
  double io_waited_seconds_total = 0;
};

struct sandbox_snapshot {
  std::string name;
  std::string version;  ///< of the host's runtime; empty until a host has told it
  std::string abi;      ///< the plugin ABI of the host; empty until a host has told it
  std::string state;    ///< starting up backoff stopping down fatal
  bool up = false;      ///< the host answered when asked for this page
  std::uint64_t starts_total = 0;
  count_map restarts_total;                  ///< by reason: exit signal oom violation watchdog manual config protocol
  double backoff_seconds = 0;                ///< until the next start; 0 when none is waited for
  std::optional<double> start_time_seconds;  ///< Unix time, of the running host
  std::optional<double> last_heartbeat_timestamp_seconds;  ///< Unix time of the host's last sign of life
  count_map denied_calls_total;                            ///< system calls that the sandbox refused, by name
  std::optional<group_figures> group;                      ///< once a host had a control group of its own
  std::map<std::string, bool> layers;                      ///< confinement layers by name: active or not
  std::optional<process_figures> process;                  ///< of the running host
  std::optional<host_snapshot> host;                       ///< its last answer; drop it when the host ends
  histogram setup_duration{duration_bounds()};             ///< from fork to ready
  std::vector<plugin_figures> plugins;
  std::vector<task_figures> tasks;
};

struct daemon_snapshot {
  build_figures build;
  config_figures config;
  control_figures control;
  http_figures http;
  log_figures log;
  std::optional<state_figures> state;
  histogram loop_lag{latency_bounds()};          ///< how late the supervisor's loop runs what is due
  histogram collect_duration{latency_bounds()};  ///< of building earlier pages
  std::optional<process_figures> process;        ///< of the supervisor
  std::vector<sandbox_snapshot> sandboxes;
  std::map<std::string, count_map> replacements_total;  ///< by plugin, by result: replaced, failed
  std::uint64_t task_metric_conflicts_total = 0;        ///< of earlier pages, as render() reported them
  bool go_compat = true;                                ///< go_* names as well
};

}  // namespace rtd::metrics
