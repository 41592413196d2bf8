// A host's answer and a snapshot in which every figure is present.
#pragma once

#include <nlohmann/json.hpp>

#include "daemon/metrics/snapshot.h"

namespace rtd::metrics::test {

/// An answer to "stats" that is right in every respect, with the metrics of one task.
inline nlohmann::json full_answer() {
  return nlohmann::json::parse(R"({
    "runtime": {
      "procs": 2, "idle_procs": 1, "threads": 9, "threads_running": 2, "threads_idle": 2, "threads_blocked": 1,
      "threads_spinning": 1, "threads_frozen": 4, "threads_created_total": 31, "threads_ended_total": 22,
      "threads_refused_total": 13, "green_threads": 100, "runnable": 3, "running": 2,
      "waiting": 94, "blocking": 1, "created_total": 5000, "global_queue_length": 1, "local_queue_lengths": [2, 0],
      "busy_seconds_total": [12.5, 7.25], "switches_total": 123456, "steals_total": 17, "steal_failures_total": 4,
      "handoffs_total": 3, "preempt_requests_total": 8, "preemptions_total": 7, "wakeups_total": 99,
      "preempt_signals_total": 26, "freezes_total": 25, "retakes_total": 14, "os_lock_parks_total": 6,
      "mutex_wait_seconds_total": 4.5, "runtime_lock_wait_seconds_total": 0.125,
      "stop_the_world_total": 2, "run_queue_wait_buckets": [10, 5, 1, 2], "run_queue_wait_seconds_sum": 0.75,
      "slice_buckets": [20, 9, 2, 1], "slice_seconds_sum": 1.25,
      "stack_guard": "guard_install", "stacks_in_use": 100, "stacks_cached": 20, "stack_in_use_bytes": 26214400,
      "stack_reserved_bytes": 1073741824, "stack_limit": 30000, "stack_failures_total": 1, "timers": 6,
      "timers_fired_total": 77, "net_descriptors": 11, "net_waiting_readers": 9, "net_waiting_writers": 1,
      "net_polls_total": 1000, "net_events_total": 2000},
    "duration_bounds": [0.000001, 0.001, 1.0],
    "tasks": [{"id": "greeter", "plugin": "hello", "entry": "serve", "state": "running", "green_threads": 40,
               "cpu_seconds": 1.5, "queue_waits": 8, "queue_wait_seconds": 0.125, "status": "40 clients", "started_at": 1700000000.25,
               "heap": {"allocated_bytes_total": 9000000, "allocated_objects_total": 81000, "freed_bytes_total": 7000000,
                        "freed_objects_total": 60000, "live_bytes": 1500000, "objects": 21000, "in_use_bytes": 2400000,
                        "table_bytes": 32768, "soft_limit": 4194304, "hard_limit": 8388608, "limit_waits_total": 15,
                        "limit_failures_total": 2},
               "limits": {"green_threads_limit": 1000, "green_threads_refused_total": 5, "connections": 38,
                          "connections_limit": 40, "connections_refused_total": 3, "accept_waits_total": 12,
                          "log_rate_limit": 100, "log_lines_dropped_total": 21, "cpu_limit": 0.5, "cpu_throttles_total": 9,
                          "cpu_throttled_seconds_total": 0.375}}],
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
    "malloc": {"in_use_bytes": 1000000, "arena_bytes": 2000000},
    "heap": {
      "total_alloc": 90000000, "mallocs": 810000, "frees": 600000, "heap_alloc": 20000000, "heap_sys": 33554432,
      "heap_idle": 8388608, "heap_inuse": 25165824, "heap_released": 4194304, "heap_objects": 210000,
      "stack_inuse": 26214400, "stack_sys": 31457280, "mspan_inuse": 70000, "mspan_sys": 81920, "mcache_inuse": 40000,
      "mcache_sys": 65536, "gc_sys": 500000, "sys": 65659168,
      "last_gc_seconds": 1700000004.5, "pause_total_seconds": 0.0625,
      "pause_quantiles": [0.0001, 0.0002, 0.0003, 0.0004, 0.0625], "num_gc": 42,
      "gc_cpu_fraction": 0.03125,
      "by_size": [[16, 500000, 400000], [24, 100000, 90000], [32768, 20, 10]]},
    "gc": {
      "percent": 100, "memory_limit": 483183820, "goal_bytes": 36000000, "live_bytes": 18000000,
      "scanned_stack_bytes": 64000, "scanned_global_bytes": 200000, "table_bytes": 647456,
      "scavenged_bytes_total": 5242880, "scavenger_seconds_total": 0.25, "limit_failures_total": 2,
      "memory_failures_total": 1, "large_objects_total": 9, "large_objects_freed_total": 7, "cycles_growth_total": 30,
      "cycles_forced_total": 5, "cycles_period_total": 3, "cycles_task_limit_total": 2, "cycles_task_end_total": 2,
      "is_marking": true, "is_limited": false, "background_seconds_total": 1.25, "idle_seconds_total": 0.5,
      "assist_seconds_total": 0.125, "pause_seconds_total": 0.0625, "marked_bytes_total": 700000000,
      "scanned_bytes_total": 600000000, "stop_buckets": [80, 3, 1, 0], "stop_seconds_sum": 0.015625,
      "begin_pause_buckets": [40, 2, 0, 0], "begin_pause_seconds_sum": 0.0078125, "end_pause_buckets": [30, 11, 1, 0],
      "end_pause_seconds_sum": 0.03125, "total_pause_buckets": [60, 22, 2, 0], "total_pause_seconds_sum": 0.0546875}})");
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
  snapshot.state = state_figures{{{"success", 3}}, 1700000004, 4096, 1};
  snapshot.loop_lag.observe(0.0001);
  snapshot.collect_duration.observe(0.003);
  snapshot.replacements_total = {{"hello", {{"replaced", 1}}}};
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
  sandbox.denied_calls_total = {{"ptrace", 2}};
  sandbox.group = group_figures{5, 6, 1.5, 0.25};
  sandbox.layers = {{"no_new_privs", true}, {"rlimits", false}};
  sandbox.process = process;
  sandbox.setup_duration.observe(0.02);
  std::string error;
  sandbox.host = parse_host_stats(full_answer(), error);
  sandbox.host->series_dropped_total["label"] = 2;
  sandbox.plugins = {{"hello", "1.0.0", "1", true, {{"success", 4}}, {"0.9.0"}},
                     {"broken", "", "", false, {{"plugin_not_elf", 1}}, {}}};
  sandbox.tasks = {{"greeter", "hello", "running", 2, 1, {{"ok", 1}, {"crashed", 2}}}};
  sandbox.tasks.front().overlaps_total = count_map{{"skipped", 2}};
  sandbox.tasks.front().next_start_timestamp_seconds = 1700000009;
  snapshot.sandboxes.push_back(std::move(sandbox));
  return snapshot;
}

}  // namespace rtd::metrics::test
