// What a page says about a sandbox, its host's process and its runtime.
#include <numeric>

#include "daemon/metrics/sections.h"

namespace rtd::metrics {

namespace {

constexpr const char* sandbox_states[] = {"starting", "up", "backoff", "stopping", "down", "fatal"};
constexpr const char* restart_reasons[] = {"exit",     "signal", "oom",    "violation",
                                           "watchdog", "manual", "config", "protocol"};

void add_process(page& to, const std::string& sandbox, const process_figures& process) {
  to.counter("rtd_sandbox_cpu_seconds_total", {{"sandbox", sandbox}, {"mode", "user"}}, process.user_seconds);
  to.counter("rtd_sandbox_cpu_seconds_total", {{"sandbox", sandbox}, {"mode", "system"}}, process.system_seconds);
  to.gauge("rtd_sandbox_resident_memory_bytes", {{"sandbox", sandbox}}, process.resident_bytes);
  to.gauge("rtd_sandbox_virtual_memory_bytes", {{"sandbox", sandbox}}, process.virtual_bytes);
  to.gauge("rtd_sandbox_threads", {{"sandbox", sandbox}}, process.threads);
  if (process.open_files) to.gauge("rtd_sandbox_open_fds", {{"sandbox", sandbox}}, *process.open_files);
  if (process.max_files) to.gauge("rtd_sandbox_max_fds", {{"sandbox", sandbox}}, *process.max_files);
}

}  // namespace

void add_sandbox(page& to, const sandbox_snapshot& sandbox) {
  const label_list only{{"sandbox", sandbox.name}};
  const auto with = [&](const char* label, std::string value) {
    return label_list{{"sandbox", sandbox.name}, {label, std::move(value)}};
  };
  if (!sandbox.version.empty()) {
    to.gauge("rtd_sandbox_info", {{"sandbox", sandbox.name}, {"version", sandbox.version}, {"abi", sandbox.abi}}, 1.0);
  }
  to.gauge("rtd_sandbox_up", only, sandbox.up ? 1.0 : 0.0);
  for (const char* state : sandbox_states) {
    to.gauge("rtd_sandbox_state", with("state", state), sandbox.state == state ? 1.0 : 0.0);
  }
  for (const auto& [layer, active] : sandbox.layers) {
    to.gauge("rtd_sandbox_layer_active", with("layer", layer), active ? 1.0 : 0.0);
  }
  for (const auto& [call, count] : sandbox.denied_calls_total) {
    to.counter("rtd_sandbox_denied_syscalls_total", with("syscall", call), count);
  }
  if (sandbox.group) {
    to.counter("rtd_sandbox_group_threads_refused_total", only, sandbox.group->threads_refused_total);
    to.counter("rtd_sandbox_group_cpu_throttles_total", only, sandbox.group->cpu_throttles_total);
    to.counter("rtd_sandbox_group_cpu_throttled_seconds_total", only, sandbox.group->cpu_throttled_seconds_total);
    to.counter("rtd_sandbox_group_io_waited_seconds_total", only, sandbox.group->io_waited_seconds_total);
  }
  to.counter("rtd_sandbox_starts_total", only, sandbox.starts_total);
  count_map restarts = sandbox.restarts_total;
  for (const char* reason : restart_reasons) restarts.emplace(reason, 0);
  for (const auto& [reason, count] : restarts) to.counter("rtd_sandbox_restarts_total", with("reason", reason), count);
  to.gauge("rtd_sandbox_restart_backoff_seconds", only, sandbox.backoff_seconds);
  if (sandbox.start_time_seconds) to.gauge("rtd_sandbox_start_time_seconds", only, *sandbox.start_time_seconds);
  if (sandbox.last_heartbeat_timestamp_seconds) {
    to.gauge("rtd_sandbox_last_heartbeat_timestamp_seconds", only, *sandbox.last_heartbeat_timestamp_seconds);
  }
  to.histogram("rtd_sandbox_setup_duration_seconds", only, sandbox.setup_duration.data());
  if (sandbox.process) add_process(to, sandbox.name, *sandbox.process);
  if (!sandbox.host) return;
  to.gauge("rtd_sandbox_malloc_in_use_bytes", only, sandbox.host->malloc_in_use_bytes);
  to.gauge("rtd_sandbox_malloc_arena_bytes", only, sandbox.host->malloc_arena_bytes);
  to.counter("rtd_sandbox_log_messages_dropped_total", only, sandbox.host->logs_dropped_total);
  for (const auto& [reason, count] : sandbox.host->series_dropped_total) {
    to.counter("rtd_task_metric_series_dropped_total", with("reason", reason), count);
  }
}

void add_runtime(page& to, const std::string& sandbox, const runtime_figures& runtime) {
  const label_list only{{"sandbox", sandbox}};
  const auto with = [&](const char* label, std::string value) {
    return label_list{{"sandbox", sandbox}, {label, std::move(value)}};
  };
  to.gauge("rtd_sched_procs", only, runtime.procs);
  to.gauge("rtd_sched_idle_procs", only, runtime.idle_procs);
  to.gauge("rtd_sched_threads", with("state", "running"), runtime.threads_running);
  to.gauge("rtd_sched_threads", with("state", "idle"), runtime.threads_idle);
  to.gauge("rtd_sched_threads", with("state", "blocked"), runtime.threads_blocked);
  to.gauge("rtd_sched_threads", with("state", "frozen"), runtime.threads_frozen);
  to.gauge("rtd_sched_spinning_threads", only, runtime.threads_spinning);
  to.counter("rtd_sched_threads_created_total", only, runtime.threads_created_total);
  to.counter("rtd_sched_threads_ended_total", only, runtime.threads_ended_total);
  to.counter("rtd_sched_threads_refused_total", only, runtime.threads_refused_total);
  to.gauge("rtd_sched_green_threads", with("state", "runnable"), runtime.runnable);
  to.gauge("rtd_sched_green_threads", with("state", "running"), runtime.running);
  to.gauge("rtd_sched_green_threads", with("state", "waiting"), runtime.waiting);
  to.gauge("rtd_sched_green_threads", with("state", "blocking"), runtime.blocking);
  to.counter("rtd_sched_green_threads_created_total", only, runtime.created_total);
  to.gauge("rtd_sched_run_queue_length", with("queue", "global"), runtime.global_queue_length);
  to.gauge("rtd_sched_run_queue_length", with("queue", "local"),
           std::accumulate(runtime.local_queue_lengths.begin(), runtime.local_queue_lengths.end(), std::uint64_t{0}));
  to.histogram("rtd_sched_latency_seconds", only, runtime.run_queue_wait);
  to.histogram("rtd_sched_slice_seconds", only, runtime.slice);
  to.counter("rtd_sched_steals_total", with("result", "success"), runtime.steals_total);
  to.counter("rtd_sched_steals_total", with("result", "failure"), runtime.steal_failures_total);
  to.counter("rtd_sched_preempt_requests_total", only, runtime.preempt_requests_total);
  to.counter("rtd_sched_preemptions_total", only, runtime.preemptions_total);
  to.counter("rtd_sched_preempt_signals_total", only, runtime.preempt_signals_total);
  to.counter("rtd_sched_freezes_total", only, runtime.freezes_total);
  to.counter("rtd_sched_retakes_total", only, runtime.retakes_total);
  to.counter("rtd_sched_os_lock_parks_total", only, runtime.os_lock_parks_total);
  to.counter("rtd_sched_mutex_wait_seconds_total", only, runtime.mutex_wait_seconds_total);
  to.counter("rtd_sched_runtime_lock_wait_seconds_total", only, runtime.runtime_lock_wait_seconds_total);
  to.counter("rtd_sched_handoffs_total", only, runtime.handoffs_total);
  to.counter("rtd_sched_context_switches_total", only, runtime.switches_total);
  for (std::size_t proc = 0; proc < runtime.busy_seconds_total.size(); ++proc) {
    to.counter("rtd_sched_proc_busy_seconds_total", with("proc", std::to_string(proc)),
               runtime.busy_seconds_total[proc]);
  }
  to.counter("rtd_sched_wakeups_total", only, runtime.wakeups_total);
  to.counter("rtd_sched_stop_the_world_total", only, runtime.stop_the_world_total);

  to.gauge("rtd_stacks", with("state", "in_use"), runtime.stacks_in_use);
  to.gauge("rtd_stacks", with("state", "cached"), runtime.stacks_cached);
  to.gauge("rtd_stack_in_use_bytes", only, runtime.stack_in_use_bytes);
  to.gauge("rtd_stack_reserved_bytes", only, runtime.stack_reserved_bytes);
  if (runtime.stack_limit > 0) to.gauge("rtd_stack_limit", only, runtime.stack_limit);
  to.counter("rtd_stack_failures_total", only, runtime.stack_failures_total);
  to.gauge("rtd_stack_guard_info", with("kind", runtime.stack_guard), 1.0);
  to.gauge("rtd_timers_pending", only, runtime.timers);
  to.counter("rtd_timers_fired_total", only, runtime.timers_fired_total);
  to.gauge("rtd_netpoll_registered_fds", only, runtime.net_descriptors);
  to.gauge("rtd_netpoll_waiters", with("mode", "read"), runtime.net_waiting_readers);
  to.gauge("rtd_netpoll_waiters", with("mode", "write"), runtime.net_waiting_writers);
  to.counter("rtd_netpoll_polls_total", only, runtime.net_polls_total);
  to.counter("rtd_netpoll_events_total", only, runtime.net_events_total);
}

void add_go_names(page& to, const sandbox_snapshot& sandbox) {
  const label_list only{{"sandbox", sandbox.name}};
  const runtime_figures& runtime = sandbox.host->runtime;
  if (!sandbox.version.empty()) {
    to.gauge("go_info", {{"sandbox", sandbox.name}, {"version", "rtd" + sandbox.version}}, 1.0);
  }
  to.gauge("go_goroutines", only, runtime.green_threads);
  to.gauge("go_threads", only, runtime.threads);
  to.gauge("go_sched_gomaxprocs_threads", only, runtime.procs);
  to.gauge("go_sched_goroutines_goroutines", only, runtime.green_threads);
  to.gauge("go_sched_goroutines_runnable_goroutines", only, runtime.runnable);
  to.gauge("go_sched_goroutines_running_goroutines", only, runtime.running);
  to.gauge("go_sched_goroutines_waiting_goroutines", only, runtime.waiting);
  to.gauge("go_sched_goroutines_not_in_go_goroutines", only, runtime.blocking);
  to.counter("go_sched_goroutines_created_goroutines_total", only, runtime.created_total);
  to.gauge("go_sched_threads_total_threads", only, runtime.threads);
  to.histogram("go_sched_latencies_seconds", only, runtime.run_queue_wait);
  to.counter("go_sync_mutex_wait_total_seconds_total", only,
             runtime.mutex_wait_seconds_total + runtime.runtime_lock_wait_seconds_total);
  add_go_heap_names(to, sandbox.name, sandbox.host->heap);
}

}  // namespace rtd::metrics
