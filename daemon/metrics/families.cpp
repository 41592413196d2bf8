// The list of all metrics of the daemon's own: the one place where a name, a type, a label or a help text is written.
#include "daemon/metrics/render.h"

namespace rtd::metrics {

namespace {

constexpr const char* c = "counter";
constexpr const char* g = "gauge";
constexpr const char* h = "histogram";

}  // namespace

const std::vector<family_description>& all_families() {
  static const std::vector<family_description> families = {
      // ---- the daemon
      {"rtd_build_info", g, "version, revision, compiler", "", "The running build; always 1."},
      {"rtd_config_generation", g, "", "", "Number of the configuration in force, counted from 1 at the start."},
      {"rtd_config_last_reload_successful", g, "", "", "1 when the last attempt to load the configuration succeeded."},
      {"rtd_config_last_reload_success_timestamp_seconds", g, "", "seconds",
       "Unix time of the last successful load of the configuration."},
      {"rtd_config_reloads_total", c, "result", "", "Reloads of the configuration: success or failure."},
      {"rtd_supervisor_loop_lag_seconds", h, "", "seconds",
       "How late the supervisor's event loop ran work that was due."},
      {"rtd_log_messages_total", c, "level, source", "",
       "Log lines written, by level and by source: supervisor, task, stdout or stderr of a host."},
      {"rtd_log_messages_dropped_total", c, "source", "", "Log lines dropped because they came faster than allowed."},
      {"rtd_metrics_collect_duration_seconds", h, "", "seconds",
       "Time to gather and write this page, waiting for hosts included; of earlier pages."},
      {"rtd_task_metric_conflicts_total", c, "", "",
       "Task metrics left out of a page because another task uses the name with another type or help text; counted "
       "once for each page."},
      // ---- control socket and HTTP
      {"rtd_control_connections", g, "", "", "Open connections on the control socket."},
      {"rtd_control_connections_total", c, "result", "", "Connections to the control socket by what became of them."},
      {"rtd_control_requests_total", c, "method, code", "",
       "Requests on the control socket; the code is ok or the kind of the error."},
      {"rtd_control_request_duration_seconds", h, "method", "seconds",
       "Time to answer a request on the control socket."},
      {"rtd_http_connections", g, "", "", "Open HTTP connections."},
      {"rtd_http_connections_total", c, "result", "",
       "HTTP connections by what became of them: accepted, of those rejected, evicted, timed_out."},
      {"rtd_http_requests_total", c, "handler, code", "", "HTTP requests by handler and status code."},
      {"rtd_http_request_duration_seconds", h, "handler", "seconds", "Time to answer an HTTP request."},
      // ---- sandboxes
      {"rtd_sandbox_info", g, "sandbox, version, abi", "", "The host's runtime version and plugin ABI; always 1."},
      {"rtd_sandbox_up", g, "sandbox", "", "1 when the sandbox's host answered for this page."},
      {"rtd_sandbox_state", g, "sandbox, state", "", "1 for the state that the sandbox is in, 0 for the others."},
      {"rtd_sandbox_layer_active", g, "sandbox, layer", "", "1 when this layer of confinement is in force."},
      {"rtd_sandbox_starts_total", c, "sandbox", "", "Hosts started."},
      {"rtd_sandbox_restarts_total", c, "sandbox, reason", "", "Ends of a host that led to a restart, by reason."},
      {"rtd_sandbox_restart_backoff_seconds", g, "sandbox", "seconds",
       "Time until the next start; 0 when none is due."},
      {"rtd_sandbox_start_time_seconds", g, "sandbox", "seconds", "Unix time of the start of the running host."},
      {"rtd_sandbox_last_heartbeat_timestamp_seconds", g, "sandbox", "seconds",
       "Unix time at which the host last answered."},
      {"rtd_sandbox_setup_duration_seconds", h, "sandbox", "seconds",
       "Time from the start of a host until it is ready."},
      {"rtd_sandbox_cpu_seconds_total", c, "sandbox, mode", "seconds",
       "CPU time of the running host, by user and system."},
      {"rtd_sandbox_resident_memory_bytes", g, "sandbox", "bytes", "Resident memory of the host."},
      {"rtd_sandbox_virtual_memory_bytes", g, "sandbox", "bytes", "Address space of the host."},
      {"rtd_sandbox_open_fds", g, "sandbox", "", "Open file descriptors of the host."},
      {"rtd_sandbox_max_fds", g, "sandbox", "", "Most file descriptors that the host may open."},
      {"rtd_sandbox_threads", g, "sandbox", "", "Kernel threads of the host, those of plugins included."},
      {"rtd_sandbox_malloc_in_use_bytes", g, "sandbox", "bytes", "Bytes that malloc has handed out in the host."},
      {"rtd_sandbox_malloc_arena_bytes", g, "sandbox", "bytes",
       "Bytes that malloc has taken from the system in the host."},
      {"rtd_sandbox_log_messages_dropped_total", c, "sandbox", "",
       "Log lines of tasks that the host dropped because the supervisor could not keep up."},
      // ---- scheduler
      {"rtd_sched_procs", g, "sandbox", "", "Processors (Ps): green threads that can run at the same moment."},
      {"rtd_sched_idle_procs", g, "sandbox", "", "Processors without work."},
      {"rtd_sched_threads", g, "sandbox, state", "",
       "Kernel threads of the scheduler that run a processor, sleep, or are blocked in a call."},
      {"rtd_sched_spinning_threads", g, "sandbox", "", "Kernel threads of the scheduler that look for work."},
      {"rtd_sched_threads_created_total", c, "sandbox", "", "Kernel threads that the scheduler has created."},
      {"rtd_sched_green_threads", g, "sandbox, state", "",
       "Green threads: runnable wait in a queue, running are on a processor, waiting are parked, blocking are in a "
       "call that blocks their kernel thread."},
      {"rtd_sched_green_threads_created_total", c, "sandbox", "", "Green threads started."},
      {"rtd_sched_run_queue_length", g, "sandbox, queue", "",
       "Green threads in the global run queue and in those of all processors together."},
      {"rtd_sched_latency_seconds", h, "sandbox", "seconds",
       "Time that green threads waited in a run queue before they ran."},
      {"rtd_sched_steals_total", c, "sandbox, result", "",
       "Searches of a processor for work in other processors' queues: success or failure."},
      {"rtd_sched_preempt_requests_total", c, "sandbox", "",
       "Green threads asked to make way because their slice was over."},
      {"rtd_sched_preemptions_total", c, "sandbox", "", "Green threads that made way when asked."},
      {"rtd_sched_handoffs_total", c, "sandbox", "",
       "Processors taken from a blocked kernel thread and given to another."},
      {"rtd_sched_context_switches_total", c, "sandbox", "", "Switches to a green thread."},
      {"rtd_sched_proc_busy_seconds_total", c, "sandbox, proc", "seconds",
       "Time during which a processor ran green threads."},
      {"rtd_sched_wakeups_total", c, "sandbox", "", "Sleeping kernel threads woken for work."},
      {"rtd_sched_stop_the_world_total", c, "sandbox", "", "Times all processors were stopped."},
      // ---- stacks, timers, network
      {"rtd_stacks", g, "sandbox, state", "", "Stacks of green threads that are in use or cached."},
      {"rtd_stack_in_use_bytes", g, "sandbox", "bytes",
       "Address space of the stacks in use; pages are resident once touched."},
      {"rtd_stack_reserved_bytes", g, "sandbox", "bytes", "Address space reserved for stacks."},
      {"rtd_stack_limit", g, "sandbox", "", "Most stacks that can exist; absent when nothing limits them."},
      {"rtd_stack_failures_total", c, "sandbox", "", "Green threads not started because no stack could be had."},
      {"rtd_stack_guard_info", g, "sandbox, kind", "", "How stacks are guarded: guard_install or mprotect; always 1."},
      {"rtd_timers_pending", g, "sandbox", "", "Timers that are set."},
      {"rtd_timers_fired_total", c, "sandbox", "", "Timers that have fired."},
      {"rtd_netpoll_registered_fds", g, "sandbox", "", "Sockets that the network poller watches."},
      {"rtd_netpoll_waiters", g, "sandbox, mode", "", "Green threads that wait for a socket, to read or to write."},
      {"rtd_netpoll_polls_total", c, "sandbox", "", "Times the poller asked the kernel for events."},
      {"rtd_netpoll_events_total", c, "sandbox", "", "Events that the kernel reported."},
      // ---- plugins and tasks
      {"rtd_plugin_info", g, "sandbox, plugin, version, abi", "", "A loaded plugin; always 1."},
      {"rtd_plugin_loads_total", c, "sandbox, plugin, result", "",
       "Attempts to load a plugin: success or the kind of the error."},
      {"rtd_task_state", g, "sandbox, plugin, task, state", "",
       "1 for the state that the task is in, 0 for the others; a number of tasks for task=\"_other\"."},
      {"rtd_task_green_threads", g, "sandbox, plugin, task", "", "Green threads of the task."},
      {"rtd_task_cpu_seconds_total", c, "sandbox, plugin, task", "seconds",
       "CPU time of the task's green threads in this run."},
      {"rtd_task_start_time_seconds", g, "sandbox, plugin, task", "seconds", "Unix time of the start of this run."},
      {"rtd_task_restarts_total", c, "sandbox, plugin, task", "", "Restarts of the task by its policy."},
      {"rtd_task_runs_total", c, "sandbox, plugin, task, status", "",
       "Ended runs: ok, error, cancelled, or crashed when their host died."},
      {"rtd_task_metric_series_dropped_total", c, "sandbox, reason", "",
       "Series of tasks left out because of their name, a label, a value or a limit; counted once for each answer of "
       "the host."},
      // ---- the supervisor's own process
      {"process_cpu_seconds_total", c, "", "seconds", "CPU time of the supervisor."},
      {"process_resident_memory_bytes", g, "", "bytes", "Resident memory of the supervisor."},
      {"process_virtual_memory_bytes", g, "", "bytes", "Address space of the supervisor."},
      {"process_virtual_memory_max_bytes", g, "", "bytes",
       "Most address space that the supervisor may use; absent when unlimited."},
      {"process_open_fds", g, "", "", "Open file descriptors of the supervisor."},
      {"process_max_fds", g, "", "", "Most file descriptors that the supervisor may open."},
      {"process_threads", g, "", "", "Kernel threads of the supervisor."},
      {"process_start_time_seconds", g, "", "seconds", "Unix time of the supervisor's start."},
      // ---- names of Go's client, so that dashboards for Go programs show sandboxes
      {"go_info", g, "sandbox, version", "", "The runtime's version, as Go programs tell theirs; always 1."},
      {"go_goroutines", g, "sandbox", "", "Green threads."},
      {"go_threads", g, "sandbox", "", "Kernel threads of the scheduler."},
      {"go_sched_gomaxprocs_threads", g, "sandbox", "", "Processors: green threads that can run at the same moment."},
      {"go_sched_goroutines_goroutines", g, "sandbox", "", "Green threads."},
      {"go_sched_goroutines_runnable_goroutines", g, "sandbox", "", "Green threads that wait in a run queue."},
      {"go_sched_goroutines_running_goroutines", g, "sandbox", "", "Green threads on a processor."},
      {"go_sched_goroutines_waiting_goroutines", g, "sandbox", "", "Green threads that are parked."},
      {"go_sched_goroutines_not_in_go_goroutines", g, "sandbox", "",
       "Green threads in a call that blocks their kernel thread."},
      {"go_sched_goroutines_created_goroutines_total", c, "sandbox", "", "Green threads started."},
      {"go_sched_threads_total_threads", g, "sandbox", "", "Kernel threads of the scheduler."},
      {"go_sched_latencies_seconds", h, "sandbox", "seconds",
       "Time that green threads waited in a run queue before they ran."},
  };
  return families;
}

}  // namespace rtd::metrics
