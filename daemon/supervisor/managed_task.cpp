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
  }
  return "stopped";
}

managed_task::managed_task(loop& on, std::string task_name, config::task what, bool from_config)
    : name(std::move(task_name)),
      spec(std::move(what)),
      configured(from_config),
      delays(spec.restart),
      backoff_timer(on),
      stop_timer(on) {}

void managed_task::enter(task_state next, std::string message) {
  state = next;
  history.push_back({std::chrono::system_clock::now(), next, std::move(message)});
  if (history.size() > history_entries) history.pop_front();
}

json managed_task::to_json(const metrics::host_task* statistics) const {
  const bool runs = state == task_state::running || state == task_state::stopping;
  const auto seconds = [](auto length) { return std::chrono::duration<double>(length).count(); };
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
      {"status", statistics != nullptr ? statistics->status : std::string()},
      {"last_exit", std::move(exit)},
      {"configured", configured},
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
          {"stop_timeout_seconds", std::chrono::duration<double>(spec.stop_timeout).count()},
          {"autostart", spec.autostart},
          {"history", std::move(entries)}};
}

metrics::task_figures managed_task::figures() const {
  metrics::task_figures result;
  result.name = name;
  result.plugin = spec.plugin;
  result.state = to_string(state);
  result.restarts_total = restarts;
  result.runs_total = runs_total;
  result.cpu_seconds_of_ended_runs = cpu_seconds_of_ended_runs;
  return result;
}

}  // namespace rtd::supervisor
