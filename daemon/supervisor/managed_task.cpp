#include "daemon/supervisor/managed_task.h"

#include <algorithm>
#include <utility>

#include "daemon/protocol/text.h"

namespace rtd::supervisor {

using nlohmann::json;

std::string_view to_string(task_state state) noexcept {
  switch (state) {
    case task_state::starting:
      return "starting";
    case task_state::running:
      return "running";
    case task_state::stopping:
      return "stopping";
    case task_state::stopped:
      return "stopped";
    case task_state::completed:
      return "completed";
    case task_state::failed:
      return "failed";
    case task_state::backoff:
      return "backoff";
    case task_state::fatal:
      return "fatal";
    case task_state::listening:
      return "listening";
  }
  return "stopped";
}

managed_task::managed_task(loop& on, std::string task_name, config::task what, bool from_config,
                           std::function<void()> changed)
    : name(std::move(task_name)),
      spec(std::move(what)),
      configured(from_config),
      delays(spec.restart),
      backoff_timer(on),
      stop_timer(on),
      schedule_timer(on),
      changed_(std::move(changed)) {}

void managed_task::enter(task_state next, std::string message) {
  state = next;
  history.push_back({std::chrono::system_clock::now(), next, std::move(message)});
  if (history.size() > history_entries) history.pop_front();
  if (next != task_state::starting) held = false;
  if (next != task_state::listening) listeners.stop_waiting();
  waits.clear();
  if (changed_) changed_();
}

std::optional<std::chrono::system_clock::time_point> managed_task::next_start() const {
  if (!backoff_timer.running()) return queued ? std::nullopt : planned;
  const auto left = std::max(std::chrono::nanoseconds(0), backoff_timer.due() - clock::now());
  return std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::system_clock::duration>(left);
}

json managed_task::to_json(const metrics::host_task* statistics) const {
  const bool runs = state == task_state::running || state == task_state::stopping;
  const auto seconds = [](auto length) { return std::chrono::duration<double>(length).count(); };
  const auto next = next_start();
  json exit = nullptr;
  if (last_exit)
    exit = {{"reason", last_exit->reason}, {"error", last_exit->error}, {"at", protocol::rfc3339(last_exit->at)}};
  return {
      {"name", name},
      {"sandbox", spec.sandbox},
      {"plugin", spec.plugin},
      {"entry", spec.entry},
      {"state", to_string(state)},
      {"restarts", restarts},
      {"started_at", started_at ? json(protocol::rfc3339(*started_at)) : json(nullptr)},
      {"age_seconds", runs && started_at ? seconds(clock::now() - started) : 0.0},
      {"cpu_seconds", cpu_seconds_of_ended_runs + (statistics != nullptr ? statistics->cpu_seconds : 0.0)},
      {"green_threads", statistics != nullptr ? statistics->green_threads : 0},
      {"heap_bytes", statistics != nullptr ? statistics->heap.in_use_bytes : 0},
      {"heap_live_bytes", statistics != nullptr ? statistics->heap.live_bytes : 0},
      {"heap_allocated_bytes", statistics != nullptr ? statistics->heap.allocated_bytes_total : 0},
      {"status", statistics != nullptr ? statistics->status : std::string()},
      {"last_exit", std::move(exit)},
      {"configured", configured},
      {"keep", keep},
      {"waits", waits},
      {"scheduled", spec.schedule.has_value()},
      {"next_start_at", next ? json(protocol::rfc3339(*next)) : json(nullptr)},
      {"backoff_seconds", backoff_timer.running() ? std::max(0.0, seconds(backoff_timer.due() - clock::now())) : 0.0}};
}

json managed_task::details() const {
  json entries = json::array();
  for (const auto& entry : history)
    entries.push_back(
        {{"time", protocol::rfc3339(entry.at)}, {"state", to_string(entry.state)}, {"message", entry.message}});
  return {{"params", config::params_to_json(spec.params)},
          {"restart", config::to_json(spec.restart)},
          {"stack_size", spec.stack_size},
          {"weight", spec.weight},
          {"class", config::to_string(spec.scheduling)},
          {"drain_timeout_seconds", std::chrono::duration<double>(spec.drain_timeout).count()},
          {"cancel_timeout_seconds", std::chrono::duration<double>(spec.cancel_timeout).count()},
          {"last_stop", rung},
          {"stop_timeout_seconds", std::chrono::duration<double>(spec.stop_timeout).count()},
          {"autostart", spec.autostart},
          {"schedule", config::to_json(spec.schedule)},
          {"on_deadlock", config::to_string(spec.on_deadlock)},
          {"after", spec.after},
          {"requires", spec.required},
          {"limits", config::to_json(spec.limits)},
          {"listen", spec.listen},
          {"start_on_connection", spec.start_on_connection},
          {"history", std::move(entries)}};
}

metrics::task_figures managed_task::figures() const {
  metrics::task_figures result;
  result.name = name;
  result.plugin = spec.plugin;
  result.state = to_string(state);
  result.restarts_total = restarts;
  result.deadlocks_total = deadlocks;
  result.runs_total = runs_total;
  result.stops_total = stops_total;
  if (spec.schedule) result.overlaps_total = overlaps_total;
  result.cpu_seconds_of_ended_runs = cpu_seconds_of_ended_runs;
  if (const auto next = next_start())
    result.next_start_timestamp_seconds = std::chrono::duration<double>(next->time_since_epoch()).count();
  return result;
}

}  // namespace rtd::supervisor
