// A host's answer and a snapshot in which every figure is present.
#pragma once

#include <nlohmann/json.hpp>

#include "daemon/metrics/snapshot.h"

namespace rtd::metrics::test {

/// An answer to "stats" that is right in every respect, with the metrics of one task.
inline nlohmann::json full_answer() {
  return nlohmann::json::parse(R"({
    "runtime": {
      "procs": 2, "idle_procs": 1, "threads": 5, "threads_running": 2, "threads_idle": 2, "threads_blocked": 1,
      "threads_spinning": 1, "threads_created_total": 9, "green_threads": 100, "runnable": 3, "running": 2,
      "waiting": 94, "blocking": 1, "created_total": 5000, "global_queue_length": 1, "local_queue_lengths": [2, 0],
      "busy_seconds_total": [12.5, 7.25], "switches_total": 123456, "steals_total": 17, "steal_failures_total": 4,
      "handoffs_total": 3, "preempt_requests_total": 8, "preemptions_total": 7, "wakeups_total": 99,
      "stop_the_world_total": 2, "run_queue_wait_buckets": [10, 5, 1, 2], "run_queue_wait_seconds_sum": 0.75,
      "stack_guard": "guard_install", "stacks_in_use": 100, "stacks_cached": 20, "stack_in_use_bytes": 26214400,
      "stack_reserved_bytes": 1073741824, "stack_limit": 30000, "stack_failures_total": 1, "timers": 6,
      "timers_fired_total": 77, "net_descriptors": 11, "net_waiting_readers": 9, "net_waiting_writers": 1,
      "net_polls_total": 1000, "net_events_total": 2000},
    "wait_bounds": [0.000001, 0.001, 1.0],
    "tasks": [{"id": "greeter", "plugin": "hello", "entry": "serve", "state": "running", "green_threads": 40,
               "cpu_seconds": 1.5, "status": "40 clients", "started_at": 1700000000.25}],
    "metrics": [
      {"task": "greeter", "plugin": "hello", "name": "hello_greetings_total", "help": "Greetings sent.",
       "type": "counter", "series": [{"labels": {"family": "ipv4"}, "value": 12},
                                      {"labels": {"family": "ipv6"}, "value": 3}]},
      {"task": "greeter", "plugin": "hello", "name": "hello_clients", "help": "Connected clients.", "type": "gauge",
       "series": [{"labels": {}, "value": 40}]},
      {"task": "greeter", "plugin": "hello", "name": "hello_delay_seconds", "help": "Time to greet.",
       "type": "histogram",
       "series": [{"labels": {}, "buckets": [[0.1, 4], [1, 9]], "sum": 3.5, "count": 10}]}],
    "logs_dropped_total": 5,
    "malloc": {"in_use_bytes": 1000000, "arena_bytes": 2000000}})");
}

/// A snapshot in which every family of the page has a sample.
inline daemon_snapshot full_snapshot() {
  daemon_snapshot snapshot;
  snapshot.build = {"0.1.0", "abc123", "g++ 12.2.0"};
  snapshot.config = {3, false, 1700000001.5, {{"success", 2}, {"failure", 1}}};
  snapshot.control.connections = 2;
  snapshot.control.connections_total = {{"accepted", 9}, {"denied", 1}};
  snapshot.control.requests.record("status", "ok", 0.0005);
  snapshot.control.requests.record("task.run", "permission_denied", 0.001);
  snapshot.http.connections = 1;
  snapshot.http.connections_total = {{"accepted", 5}};
  snapshot.http.requests.record("/metrics", "200", 0.002);
  snapshot.log.messages_total = {{{"info", "supervisor"}, 7}, {{"warn", "task"}, 1}};
  snapshot.log.dropped_total = {{"task", 2}};
  snapshot.loop_lag.observe(0.0001);
  snapshot.collect_duration.observe(0.003);
  process_figures process;
  process.user_seconds = 1.25;
  process.system_seconds = 0.5;
  process.threads = 3;
  process.resident_bytes = 10485760;
  process.virtual_bytes = 104857600;
  process.start_time_seconds = 1700000000;
  process.open_files = 17;
  process.max_files = 1024;
  process.max_virtual_bytes = 1099511627776;
  snapshot.process = process;

  sandbox_snapshot sandbox;
  sandbox.name = "default";
  sandbox.version = "0.1.0";
  sandbox.abi = "1";
  sandbox.state = "up";
  sandbox.up = true;
  sandbox.starts_total = 4;
  sandbox.restarts_total = {{"signal", 3}};
  sandbox.backoff_seconds = 0;
  sandbox.start_time_seconds = 1700000002;
  sandbox.last_heartbeat_timestamp_seconds = 1700000003;
  sandbox.layers = {{"no_new_privs", true}, {"rlimits", false}};
  sandbox.process = process;
  sandbox.setup_duration.observe(0.02);
  std::string error;
  sandbox.host = parse_host_stats(full_answer(), error);
  sandbox.host->series_dropped_total["label"] = 2;
  sandbox.plugins = {{"hello", "1.0.0", "1", true, {{"success", 4}}},
                     {"broken", "", "", false, {{"plugin_not_elf", 1}}}};
  sandbox.tasks = {{"greeter", "hello", "running", 2, {{"ok", 1}, {"crashed", 2}}}};
  snapshot.sandboxes.push_back(std::move(sandbox));
  return snapshot;
}

}  // namespace rtd::metrics::test
