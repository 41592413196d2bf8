// status, version, rpc.discover, ps, log_level, shutdown.
#include <unistd.h>

#include <new>

#include "daemon/protocol/text.h"
#include "daemon/protocol/version.h"
#include "daemon/supervisor/daemon.h"
#include "daemon/supervisor/host_start.h"
#include "daemon/supervisor/methods.h"

namespace rtd::supervisor {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;
using protocol::error_kind;
using protocol::rpc_error;

// Tasks that `status` names; ps has them all.
constexpr std::size_t most_troubled = 20;

// Refreshes the figures of all hosts, or of one, then calls `done`.
void with_figures(daemon& of, const std::string& only, std::function<void()> done) {
  const auto all = when_all_done(std::move(done));
  for (const auto& [name, sandbox] : of.sandboxes())
    if (only.empty() || only == name) sandbox->refresh(managed_sandbox::figures_patience, [all](bool) {});
}

// The state file; null without one.
json state_of(const daemon& of) {
  const state_store* state = of.state();
  if (state == nullptr) return nullptr;
  const auto saved = state->figures().last_save_timestamp_seconds;
  return {{"file", state->file()},
          {"saved_at", saved ? json(protocol::rfc3339(*saved)) : json(nullptr)},
          {"problem", state->problem()}};
}

json status_of(daemon& of) {
  json sandboxes = json::array();
  std::uint64_t green_threads = 0;
  for (const auto& [name, sandbox] : of.sandboxes()) {
    sandboxes.push_back(sandbox->to_json());
    if (const auto* figures = sandbox->statistics()) green_threads += figures->runtime.green_threads;
  }
  json tasks = {{"total", of.tasks().all().size()}};
  for (const auto state :
       {task_state::starting, task_state::running, task_state::stopping, task_state::stopped, task_state::completed,
        task_state::failed, task_state::backoff, task_state::fatal, task_state::listening})
    tasks[std::string(to_string(state))] = 0;
  for (const auto& [name, task] : of.tasks().all()) {
    json& count = tasks[std::string(to_string(task->state))];
    count = count.get<std::uint64_t>() + 1;
  }
  // What somebody has to look at, or waits for its next try; started by hand or not.
  json troubled = json::array();
  for (const auto& [name, task] : of.tasks().all())
    if ((task->state == task_state::backoff || task->state == task_state::fatal) && troubled.size() < most_troubled)
      troubled.push_back(task_row(of, *task));
  json checks = json::array();
  bool ready = true;
  for (const auto& check : of.checks()) {
    ready = ready && check.ok;
    checks.push_back({{"name", check.name}, {"ok", check.ok}, {"detail", check.detail}});
  }
  return {{"version", protocol::version()},
          {"pid", ::getpid()},
          {"uptime_seconds", of.uptime_seconds()},
          {"ready", ready},
          {"config",
           {{"file", of.options().config_file},
            {"generation", of.generation()},
            {"loaded_at", protocol::rfc3339(of.loaded_at())},
            {"last_reload_ok", of.config_figures().last_reload_successful}}},
          {"sandboxes", std::move(sandboxes)},
          {"tasks", std::move(tasks)},
          {"troubled_tasks", std::move(troubled)},
          {"state", state_of(of)},
          {"http", of.http() != nullptr ? of.http()->address() : std::string()},
          {"green_threads", green_threads},
          {"checks", std::move(checks)}};
}

void set_level(daemon& of, const call_handle& made) {
  const auto level = log_level_from(made->text("level"));
  if (!level)
    throw rpc_error(error_kind::invalid_params, "\"" + protocol::clean_text(made->text("level"), 64) + "\" is no level",
                    {{"pointer", "/params/level"}, {"hint", "debug, info, warn or error"}});
  of.with().lines.set_level(*level);
  for (const auto& [name, sandbox] : of.sandboxes())
    sandbox->request("set", {{"log_level", to_string(*level)}}, 5s, [](const host_answer&) {});
  made->reply({{"level", to_string(*level)}});
}

}  // namespace

json task_row(daemon& of, const managed_task& task) {
  const auto sandbox = of.sandboxes().find(task.spec.sandbox);
  const metrics::host_snapshot* figures = sandbox == of.sandboxes().end() ? nullptr : sandbox->second->statistics();
  return task.to_json(figures != nullptr && task.in_host ? figures->find_task(task.name) : nullptr);
}

std::shared_ptr<void> when_all_done(std::function<void()> done) {
  return std::shared_ptr<void>(nullptr, [done = std::move(done)](void*) {
    try {
      done();
    } catch (const std::bad_alloc&) {
      // An answer too large for what memory there is. Its call, which goes with `done`, tells the client.
    }
  });
}

void register_methods(control_server& server, daemon& of) {
  register_daemon_methods(server, of);
  register_task_methods(server, of);
  register_sandbox_methods(server, of);
  register_heap_methods(server, of);
  register_plugin_methods(server, of);
  register_config_methods(server, of);
  register_log_methods(server, of);
}

void register_daemon_methods(control_server& server, daemon& of) {
  server.handle("status",
                [&of](const call_handle& made) { with_figures(of, {}, [&of, made] { made->reply(status_of(of)); }); });
  server.handle("ps", [&of](const call_handle& made) {
    const std::string only = made->text("sandbox");
    if (!only.empty()) of.sandbox(only);
    with_figures(of, only, [&of, made, only] {
      json rows = json::array();
      for (const auto& [name, task] : of.tasks().all())
        if (only.empty() || only == task->spec.sandbox) rows.push_back(task_row(of, *task));
      made->reply({{"tasks", std::move(rows)}});
    });
  });
  server.handle("version", [](const call_handle& made) {
    made->reply({{"version", protocol::version()},
                 {"protocol", protocol::control_protocol},
                 {"abi", plugin_abi},
                 {"compiler", protocol::compiler()}});
  });
  server.handle("rpc.discover", [](const call_handle& made) { made->reply(protocol::describe_methods()); });
  server.handle("log_level", [&of](const call_handle& made) { set_level(of, made); });
  server.handle("shutdown", [&of](const call_handle& made) {
    made->reply(json::object());
    of.with().events_loop.post([&of] {
      if (!of.stopping()) of.shut_down("told so on the control socket");
    });
  });
}

}  // namespace rtd::supervisor
