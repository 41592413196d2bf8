// task.run, task.start, task.stop, task.restart, task.inspect, task.wait.
#include "daemon/protocol/text.h"
#include "daemon/supervisor/daemon.h"
#include "daemon/supervisor/methods.h"

namespace rtd::supervisor {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;
using protocol::error_kind;
using protocol::rpc_error;

// How long task.run, start and restart wait for the task to run before they answer with the state that it is in.
constexpr std::chrono::seconds settle_patience{10};

void refuse_while_stopping(const daemon& of) {
  if (of.stopping()) throw rpc_error(error_kind::invalid_state, "the daemon is stopping");
}

void reply_with_task(daemon& of, const call_handle& made, const std::string& name) {
  if (made->answered()) return;
  if (managed_task* task = of.tasks().find(name)) return made->reply({{"task", task_row(of, *task)}});
  made->fail(error_kind::not_found, "the task \"" + name + "\" is gone", "a reload may have removed it");
}

// The daemon promises to remember; so there must be something that it remembers with.
void refuse_keep_without_state(const daemon& of, const call_handle& made) {
  if (made->flag("keep", false) && of.state() == nullptr)
    throw rpc_error(error_kind::invalid_state, "the daemon cannot keep a task: it was started without --state-dir",
                    {{"pointer", "/params/keep"}, {"hint", "start rtd with --state-dir FOLDER"}});
}

// Of a task that is kept, or was until now: answers once the disk has what was changed, so that no crash undoes what
// was promised.
void reply_when_saved(daemon& of, const call_handle& made, const std::string& name, const std::string& what) {
  const managed_task* task = of.tasks().find(name);
  if (task == nullptr || of.state() == nullptr || !(task->keep || made->has("keep")))
    return reply_with_task(of, made, name);
  of.save_state([&of, made, name, what](const std::string& problem) {
    if (problem.empty()) return reply_with_task(of, made, name);
    made->fail(error_kind::unavailable,
               "task " + name + " " + what + ", but the state file does not say so: " + problem,
               "make room or mend the state folder; the next change saves it");
  });
}

// Answers when the task has settled, or as it stands when that takes long. A task that was refused (no such entry, a
// plugin that does not load) is an error.
void answer_when_settled(daemon& of, const call_handle& made, const std::string& name, bool forget_refused) {
  auto patience = std::make_shared<timer>(of.with().events_loop);
  const auto answer = [&of, made, name, forget_refused, patience] {
    patience->cancel();
    if (made->answered()) return;
    managed_task* task = of.tasks().find(name);
    if (task != nullptr && task->state == task_state::fatal && task->last_exit &&
        task->last_exit->reason == "refused") {
      const std::string why = task->last_exit->error;
      if (forget_refused) of.tasks().remove(name, [] {});
      return made->fail(error_kind::plugin_rejected, "task " + name + " cannot be started: " + why,
                        "plugin.list shows the plugins and their entries");
    }
    reply_when_saved(of, made, name, "is started");
  };
  patience->start(settle_patience, [&of, made, name] { reply_when_saved(of, made, name, "is started"); });
  of.tasks().when_settled(of.tasks().get(name), {answer, {}});
}

std::string choose_sandbox(daemon& of, const call_handle& made) {
  if (made->has("sandbox")) return of.sandbox(made->text("sandbox")).name();
  const auto& sandboxes = of.sandboxes();
  if (sandboxes.contains("default")) return "default";
  if (sandboxes.size() == 1) return sandboxes.begin()->first;
  throw rpc_error(error_kind::invalid_params, "there is no sandbox \"default\": say which one",
                  {{"pointer", "/params/sandbox"}, {"hint", "sandbox.list lists them"}});
}

// Checked by the very rules of the configuration: as a document with just this task in it.
config::task read_spec(daemon& of, const call_handle& made, const std::string& name, const std::string& sandbox) {
  const std::string plugin = made->text("plugin");
  const auto known = of.configuration().plugins.find(plugin);
  if (known == of.configuration().plugins.end()) {
    json data = {{"pointer", "/params/plugin"}, {"hint", "plugin.list lists the plugins"}};
    for (const auto& [other, settings] : of.configuration().plugins)
      if (protocol::edit_distance(plugin, other) <= std::max<std::size_t>(1, plugin.size() / 3))
        data["hint"] = "did you mean \"" + other + "\"?";
    throw rpc_error(error_kind::not_found, "there is no plugin \"" + plugin + "\" in the configuration",
                    std::move(data));
  }
  json restart = {{"policy", "on-failure"}, {"max_restarts", 5}, {"window", "60s"}};
  if (made->has("restart")) {
    const json& given = made->params()["restart"];
    if (given.is_string()) restart["policy"] = given;
    if (given.is_object()) restart = given;
  }
  json task = {{"plugin", plugin}, {"entry", made->text("entry")}, {"sandbox", sandbox}, {"restart", restart}};
  if (made->has("params")) task["params"] = made->params()["params"];
  for (const char* key : {"stack_size", "weight", "class"})
    if (made->has(key)) task[key] = made->params()[key];
  const json document = {{"plugins", {{plugin, {{"path", known->second.path}}}}},
                         {"sandboxes", {{sandbox, json::object()}}},
                         {"tasks", {{name, std::move(task)}}}};
  config::load_result loaded = config::load_text(document.dump(), "/");
  if (loaded.value) return loaded.value->tasks.at(name);
  const config::problem& first = loaded.problems.front();
  const std::string prefix = "/tasks/" + name;
  std::string pointer = first.pointer;
  if (pointer.starts_with(prefix)) pointer.replace(0, prefix.size(), "/params");
  throw rpc_error(error_kind::invalid_params, pointer + ": " + first.message,
                  {{"pointer", pointer}, {"hint", first.hint}});
}

void run_task(daemon& of, const call_handle& made) {
  refuse_while_stopping(of);
  refuse_keep_without_state(of, made);
  const std::string sandbox = choose_sandbox(of, made);
  const std::string name =
      made->has("name") ? made->text("name") : of.tasks().free_name(made->text("plugin"), made->text("entry"));
  config::task spec = read_spec(of, made, name, sandbox);
  of.tasks().add(name, std::move(spec), false, true).keep = made->flag("keep", false);
  answer_when_settled(of, made, name, true);
}

void wait_for_task(daemon& of, const call_handle& made) {
  const std::string name = of.tasks().get(made->text("name")).name;
  auto patience = std::make_shared<timer>(of.with().events_loop);
  const auto answer = [&of, made, name, patience] {
    patience->cancel();
    reply_with_task(of, made, name);
  };
  of.tasks().when_final(of.tasks().get(name), {answer, made->connection()});
  if (!made->has("timeout_seconds")) return;
  const auto limit = std::chrono::duration<double>(made->number("timeout_seconds", 0));
  patience->start(std::chrono::duration_cast<std::chrono::nanoseconds>(limit), [&of, made, name] {
    const managed_task* task = of.tasks().find(name);
    made->fail(error_kind::timeout,
               "task " + name + " is still " + std::string(task != nullptr ? to_string(task->state) : "there"));
  });
}

}  // namespace

void register_task_methods(control_server& server, daemon& of) {
  server.handle("task.run", [&of](const call_handle& made) { run_task(of, made); });
  server.handle("task.start", [&of](const call_handle& made) {
    refuse_while_stopping(of);
    refuse_keep_without_state(of, made);
    managed_task& task = of.tasks().get(made->text("name"));
    // One that runs may still be asked to be kept.
    if (task.state == task_state::running && !made->has("keep"))
      throw rpc_error(error_kind::invalid_state, "task " + task.name + " runs already",
                      {{"hint", "task.restart starts it anew"}});
    const std::string name = task.name;
    task.keep = made->flag("keep", task.keep);
    of.tasks().start(task);
    answer_when_settled(of, made, name, false);
  });
  server.handle("task.stop", [&of](const call_handle& made) {
    managed_task& task = of.tasks().get(made->text("name"));
    std::chrono::nanoseconds grace = task.spec.stop_timeout;
    task.stop_now = made->flag("now", task.stop_now);
    if (made->has("grace_seconds"))
      grace = std::chrono::duration_cast<std::chrono::nanoseconds>(
          std::chrono::duration<double>(made->number("grace_seconds", 0)));
    of.tasks().stop(task, grace,
                    {[&of, made, name = task.name] { reply_when_saved(of, made, name, "is stopped"); }, {}});
  });
  server.handle("task.restart", [&of](const call_handle& made) {
    refuse_while_stopping(of);
    managed_task& task = of.tasks().get(made->text("name"));
    const std::string name = task.name;
    of.tasks().restart(task);
    answer_when_settled(of, made, name, false);
  });
  server.handle("task.inspect", [&of](const call_handle& made) {
    managed_task& task = of.tasks().get(made->text("name"));
    json result = task.details();
    result["task"] = task_row(of, task);
    made->reply(result);
  });
  server.handle("task.wait", [&of](const call_handle& made) { wait_for_task(of, made); });
}

}  // namespace rtd::supervisor
