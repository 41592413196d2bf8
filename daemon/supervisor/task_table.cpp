#include "daemon/supervisor/task_table.h"

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <system_error>
#include <utility>

#include "daemon/protocol/error.h"
#include "daemon/protocol/text.h"
#include "daemon/supervisor/seconds_text.h"

namespace rtd::supervisor {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;
using protocol::error_kind;
using protocol::rpc_error;

constexpr std::chrono::seconds start_timeout{20};
constexpr std::size_t prune_from = 32;

double seconds(std::chrono::nanoseconds length) { return std::chrono::duration<double>(length).count(); }

// Waiters may do anything to the task and the table; so the lists are emptied before the first of them is called.
void call_all(std::initializer_list<task_waiters*> lists) {
  task_waiters waiters;
  for (auto* list : lists)
    for (auto& who : std::exchange(*list, {})) waiters.push_back(std::move(who));
  for (auto& who : waiters)
    if (!who.gone()) who.done();
}

// Clients that ask to wait and vanish must not make the list grow.
void add_waiter(task_waiters& to, task_waiter who) {
  if (to.size() >= prune_from) std::erase_if(to, [](const task_waiter& one) { return one.gone(); });
  to.push_back(std::move(who));
}

void release_all(managed_task& task) { call_all({&task.stop_waiters, &task.settled_waiters, &task.final_waiters}); }

// The rung of the ladder that a host's word for a state of a task stands for; empty for other states.
std::string rung_of(const std::string& state) {
  if (state == "draining") return "drain";
  if (state == "cancelling") return "cancel";
  return state == "unwinding" ? "unwind" : "";
}

// What the runtime knows: a batch task differs by its weight only.
const char* link_word(config::task_class scheduling) noexcept {
  return scheduling == config::task_class::latency ? "latency" : "normal";
}

// As the configuration has them, with what follows from other settings filled in.
json limits_for_host(const config::task_limit_settings& limits) {
  constexpr std::int64_t usual_burst = 10;  // seconds' worth of lines
  json result = config::to_json(limits);
  if (limits.log_burst == 0) result["log_burst"] = std::max<std::int64_t>(usual_burst * limits.log_rate, 1);
  return result;
}

}  // namespace

task_table::task_table(services with, surroundings around) : with_(with), around_(std::move(around)) {}

task_table::~task_table() { *alive_ = false; }

managed_task* task_table::find(std::string_view name) {
  const auto found = tasks_.find(name);
  return found == tasks_.end() ? nullptr : found->second.get();
}

managed_task& task_table::get(std::string_view name) {
  if (managed_task* task = find(name)) return *task;
  json data = json::object();
  for (const auto& [known, task] : tasks_)
    if (protocol::edit_distance(name, known) <= std::max<std::size_t>(1, name.size() / 3))
      data["hint"] = "did you mean \"" + known + "\"?";
  if (data.empty()) data["hint"] = "ps lists the tasks";
  throw rpc_error(error_kind::not_found, "there is no task \"" + std::string(name) + "\"", std::move(data));
}

managed_task& task_table::add(std::string name, config::task spec, bool configured, bool start_now) {
  if (managed_task* former = find(name)) {
    if (former->configured || !is_final(former->state))
      throw rpc_error(error_kind::already_exists, "there is a task \"" + name + "\" already",
                      {{"hint", former->configured ? "it stands in the configuration: task.start starts it"
                                                   : "stop it first, or choose another name"}});
    release_all(*former);
  }
  auto task = std::make_unique<managed_task>(with_.events_loop, name, std::move(spec), configured, [this] {
    around_.changed();
    reconsider_soon();
  });
  managed_task& added = *task;
  tasks_[name] = std::move(task);
  if (start_now) begin(added);
  forget_finished();
  return added;
}

void task_table::remove(const std::string& name, std::function<void()> done) {
  managed_task* task = find(name);
  if (task == nullptr) return done();
  task->remove_after_stop = true;
  const auto stopped_now = [this, name, done = std::move(done)] {
    // A configuration may have brought the name back while the task was stopping.
    if (const auto found = tasks_.find(name); found != tasks_.end() && found->second->remove_after_stop) {
      const auto former = std::move(found->second);
      tasks_.erase(found);
      around_.changed();
      release_all(*former);
    }
    done();
  };
  stop(*task, task->spec.stop_timeout, {stopped_now, {}});
}

// ---- starting ----

void task_table::start(managed_task& task) {
  task.wanted = true;
  task.remove_after_stop = false;
  switch (task.state) {
    case task_state::starting:
      if (task.held) start_required(task);
      return;
    case task_state::running:
      return;
    case task_state::stopping:
      task.start_after_stop = true;
      task.held_back = false;
      return;
    default:
      break;
  }
  task.delays.reset();
  launch(task);
  start_required(task);
}

void task_table::launch(managed_task& task) {
  task.backoff_timer.cancel();
  if (around_.daemon_stops()) return;
  ++task.run;
  task.rung.clear();
  task.stop_now = false;
  task.started = clock::now();
  managed_sandbox* sandbox = around_.find_sandbox(task.spec.sandbox);
  if (sandbox == nullptr) return refuse(task, "there is no sandbox \"" + task.spec.sandbox + "\"");
  if (!sandbox->is_up()) {
    task.enter(task_state::starting, "waits: " + sandbox->trouble());
    task.waits = sandbox->trouble();
    task.held = false;  // its turn is looked at when the sandbox is up
    return;
  }
  if (hold(task)) return;
  task.enter(task_state::starting, "is being started");
  const std::string path = around_.plugin_path(task.spec.plugin);
  if (path.empty()) return refuse(task, "there is no plugin \"" + task.spec.plugin + "\"");
  sandbox->load_plugin(task.spec.plugin, path, [this, name = task.name, run = task.run](const plugin_info& info) {
    managed_task* loaded_for = find(name);
    if (loaded_for == nullptr || loaded_for->run != run || loaded_for->state != task_state::starting) return;
    managed_sandbox* where = around_.find_sandbox(loaded_for->spec.sandbox);
    if (info.error_kind == "unavailable" || where == nullptr || !where->is_up()) return;  // sandbox_up() tries again
    if (!info.loaded) return refuse(*loaded_for, "plugin " + info.name + " is refused: " + info.error);
    if (!info.has_entry(loaded_for->spec.entry))
      return refuse(*loaded_for, "plugin " + info.name + " has no entry \"" + loaded_for->spec.entry +
                                     "\"; it has: " + info.entry_names());
    if (around_.daemon_stops() || hold(*loaded_for))
      return;  // what it requires may have ended while the plugin was loaded
    send_start(*loaded_for, *where);
  });
}

void task_table::send_share(const managed_task& task) {
  managed_sandbox* where = around_.find_sandbox(task.spec.sandbox);
  if (!task.in_host || where == nullptr) return;  // its next start tells
  where->request("task.share",
                 {{"id", task.name}, {"weight", task.spec.weight}, {"class", link_word(task.spec.scheduling)}},
                 start_timeout, [](const host_answer&) {});  // it may have ended meanwhile
}

void task_table::send_limits(const managed_task& task) {
  managed_sandbox* where = around_.find_sandbox(task.spec.sandbox);
  if (!task.in_host || where == nullptr) return;  // its next start tells
  where->request("task.limit", {{"id", task.name}, {"limits", limits_for_host(task.spec.limits)}}, start_timeout,
                 [](const host_answer&) {});  // it may have ended meanwhile
}

void task_table::send_start(managed_task& task, managed_sandbox& sandbox) {
  json params = json::object();
  for (const auto& [key, values] : task.spec.params) params[key] = values;
  if (const std::string problem = task.listeners.open(task.spec.listen); !problem.empty()) return refuse(task, problem);
  std::vector<sandbox::descriptor> listeners;
  try {
    listeners = task.listeners.copies();
  } catch (const std::system_error& error) {
    run_ended(task, "failed", error.what(), "error");
    return apply_policy(task, true, error.what());
  }
  task.in_host = true;
  sandbox.request(
      "task.start",
      {{"id", task.name},
       {"plugin", task.spec.plugin},
       {"entry", task.spec.entry},
       {"params", std::move(params)},
       {"stack_size", task.spec.stack_size},
       {"weight", task.spec.weight},
       {"class", link_word(task.spec.scheduling)},
       {"limits", limits_for_host(task.spec.limits)},
       {"on_deadlock", config::to_string(task.spec.on_deadlock)}},
      start_timeout,
      [this, name = task.name, run = task.run](const host_answer& answer) {
        managed_task* asked = find(name);
        if (asked == nullptr || asked->run != run || answer.good()) return;
        if (answer.error_kind == "unavailable") return;  // sandbox_down() decides
        if (asked->state != task_state::starting && asked->state != task_state::stopping) return;
        if (answer.error_kind == "timeout") {
          if (managed_sandbox* where = around_.find_sandbox(asked->spec.sandbox))
            where->kill("watchdog", "it did not start task " + name + " in time");
          return;
        }
        asked->in_host = false;
        if (asked->state == task_state::stopping) return stopped(*asked);
        // The host was short of memory or stacks: nobody has to change anything for another try to succeed.
        if (answer.error_kind == "start_failed" || answer.error_kind == "internal") {
          run_ended(*asked, "failed", answer.message, "error");
          return apply_policy(*asked, true, answer.message);
        }
        refuse(*asked, answer.message);
      },
      std::move(listeners));
}

// The task cannot be started, now or after any wait: somebody has to change something.
// It stays wanted: when its sandbox is started anew, by hand or by a reload, it is tried again.
void task_table::refuse(managed_task& task, const std::string& why) {
  task.last_exit = task_exit{"refused", why, std::chrono::system_clock::now()};
  task.enter(task_state::fatal, why);
  with_.events.add(log_level::error, "task_fatal", task.spec.sandbox, task.name,
                   "task " + task.name + " cannot be started: " + why);
  settle(task);
}

// ---- stopping ----

void task_table::stop(managed_task& task, std::chrono::nanoseconds grace, task_waiter who) {
  task.wanted = false;
  task.queued = false;
  task.start_after_stop = false;
  task.held_back = false;
  add_waiter(task.stop_waiters, std::move(who));
  if (is_final(task.state)) return settle_soon(task);
  if (task.state == task_state::stopping) return hurry(task, grace);
  if (task.in_host && stop_dependents(task, grace)) return;
  end(task, grace);
}

// Somebody wants a task to end that is being stopped already: the host shortens what is left.
void task_table::hurry(managed_task& task, std::chrono::nanoseconds grace) {
  managed_sandbox* sandbox = around_.find_sandbox(task.spec.sandbox);
  if (!task.stop_now || !task.in_host || task.rung.empty() || sandbox == nullptr) return;
  sandbox->request("task.stop", {{"id", task.name}, {"grace_seconds", seconds(grace)}}, start_timeout,
                   [](const host_answer&) {});  // it may have ended meanwhile
}

void task_table::end(managed_task& task, std::chrono::nanoseconds grace) {
  managed_sandbox* sandbox = around_.find_sandbox(task.spec.sandbox);
  if (!task.in_host || sandbox == nullptr || !sandbox->is_up()) {
    with_.events_loop.post([this, alive = alive_, name = task.name, run = task.run] {
      if (!*alive) return;
      if (managed_task* waiting = find(name);
          waiting != nullptr && waiting->run == run && !waiting->in_host && waiting->state == task_state::stopping)
        stopped(*waiting);
    });
    task.backoff_timer.cancel();
    task.enter(task_state::stopping, "is being stopped");
    task.in_host = false;
    return;
  }
  const std::chrono::nanoseconds drain = task.stop_now ? 0ns : task.spec.drain_timeout;
  const std::chrono::nanoseconds cancel = task.stop_now ? 0ns : task.spec.cancel_timeout;
  task.rung = drain > 0ns ? "drain" : cancel > 0ns ? "cancel" : "unwind";
  std::string ladder;
  if (drain > 0ns) ladder += seconds_text(drain) + " to drain, ";
  if (cancel > 0ns) ladder += seconds_text(cancel) + " after its context's end, ";
  task.enter(task_state::stopping, "is being stopped, with " + ladder + seconds_text(grace) + " to unwind");
  sandbox->request("task.stop",
                   {{"id", task.name},
                    {"drain_seconds", seconds(drain)},
                    {"cancel_seconds", seconds(cancel)},
                    {"grace_seconds", seconds(grace)}},
                   drain + cancel + grace + 10s, [this, name = task.name, run = task.run](const host_answer& answer) {
                     managed_task* asked = find(name);
                     if (asked == nullptr || asked->run != run || asked->state != task_state::stopping) return;
                     if (answer.good() || answer.error_kind == "unavailable") return;
                     // The host does not know the task: it ended in the same moment, or the host is confused. Its end
                     // event comes before this answer if there was one.
                     if (answer.error_kind != "timeout") stopped(*asked);
                   });
  // The host itself reports a task that does not end; this is for a host that does not even do that.
  task.stop_timer.start(drain + cancel + grace + 2s, [this, name = task.name, sandbox_name = task.spec.sandbox] {
    if (managed_sandbox* where = around_.find_sandbox(sandbox_name))
      where->kill("watchdog", "task " + name + " did not end in time after it was stopped");
  });
}

// The host has taken the next rung. The first one was known when it was told to stop.
void task_table::climbed(managed_task& task, const std::string& rung) {
  if (task.state != task_state::stopping || task.rung == rung) return;
  const std::string former = std::exchange(task.rung, rung);
  task.enter(task_state::stopping, "did not end by " + former + ": " + rung);
  with_.events.add(log_level::info, "task_stopping", task.spec.sandbox, task.name,
                   "task " + task.name + " did not end by " + former + ": " + rung, {{"rung", rung}});
}

void task_table::stopped(managed_task& task) {
  task.stop_timer.cancel();
  task.backoff_timer.cancel();
  task.in_host = false;
  // An empty one: it did not run.
  if (!task.rung.empty()) ++task.stops_total[task.rung];
  const std::string how = task.rung.empty() ? "is stopped" : "is stopped (" + task.rung + ")";
  task.enter(task_state::stopped, how);
  with_.events.add(log_level::info, "task_stopped", task.spec.sandbox, task.name, "task " + task.name + " " + how,
                   {{"rung", task.rung}});
  const bool held_back = std::exchange(task.held_back, false);
  if (!std::exchange(task.start_after_stop, false) || around_.daemon_stops()) return settle(task);
  task_waiters waiters = std::exchange(task.stop_waiters, {});
  // Starting would start what it requires, which nobody asked for: that has been given up.
  if (held_back)
    launch(task);
  else
    start(task);
  call_all({&waiters});
}

void task_table::restart(managed_task& task) {
  if (is_final(task.state)) return start(task);
  ++task.restarts;
  stop(task, task.spec.stop_timeout, {[] {}, {}});
  task.wanted = true;
  task.start_after_stop = true;
}

void task_table::when_settled(managed_task& task, task_waiter who) {
  add_waiter(task.settled_waiters, std::move(who));
  settle_soon(task);
}

void task_table::when_final(managed_task& task, task_waiter who) {
  add_waiter(task.final_waiters, std::move(who));
  settle_soon(task);
}

// For waiters whose state the task may have reached already: they are told from the loop, never from inside their call.
void task_table::settle_soon(managed_task& task) {
  with_.events_loop.post([this, alive = alive_, name = task.name] {
    if (!*alive) return;
    if (managed_task* there = find(name)) settle(*there);
  });
}

// Tells those who wait for the state that the task is in. They may remove it.
void task_table::settle(managed_task& task) {
  if (!is_settled(task.state)) return;
  if (!is_final(task.state)) return call_all({&task.settled_waiters});
  start_queued(task);
  release_all(task);
}

// ---- what hosts tell ----

// A copy: those who wait for a task may add and remove tasks.
std::vector<std::string> task_table::names_in(const managed_sandbox& sandbox) const {
  std::vector<std::string> names;
  for (const auto& [name, task] : tasks_)
    if (task->spec.sandbox == sandbox.name()) names.push_back(name);
  return names;
}

void task_table::sandbox_up(managed_sandbox& sandbox) {
  for (const auto& name : names_in(sandbox))
    if (managed_task* task = find(name); task != nullptr && task->wanted && !task->in_host) {
      const bool refused = task->state == task_state::fatal && task->last_exit && task->last_exit->reason == "refused";
      if (task->state == task_state::starting)
        launch(*task);
      else if (refused)
        begin(*task);
    }
}

void task_table::sandbox_down(managed_sandbox& sandbox, const host_end& end) {
  const std::string culprit = end.crash.is_null() ? std::string() : end.crash.value("task", "");
  for (const auto& name : names_in(sandbox)) {
    managed_task* const found = find(name);
    if (found == nullptr) continue;
    managed_task& task = *found;
    const bool was_in_host = std::exchange(task.in_host, false);
    // What it had used when the host last told it; the rest died with the host.
    const metrics::host_snapshot* const figures = sandbox.statistics();
    const metrics::host_task* const last = was_in_host && figures != nullptr ? figures->find_task(name) : nullptr;
    if (last != nullptr) task.cpu_seconds_of_ended_runs += last->cpu_seconds;
    if (task.state == task_state::stopping) {
      if (was_in_host) task.rung = "kill";
      stopped(task);
      continue;
    }
    if (!was_in_host) continue;
    task.stop_timer.cancel();
    ++task.run;
    // It stays wanted: a task that was to be kept is started with the next daemon.
    if (around_.daemon_stops()) {
      run_ended(task, "cancelled", "the daemon was stopped", "cancelled");
      task.enter(task_state::stopped, "is stopped with the daemon");
      settle(task);
      continue;
    }
    const std::string why = "its host " + end.describe();
    const bool planned = end.reason == "manual" || end.reason == "config";
    if (name == culprit && !planned) {
      run_ended(task, "crashed", why, "crashed");
      apply_policy(task, true, why);
    } else {
      task.last_exit = task_exit{"host", why, end.at};
      ++task.runs_total["cancelled"];
      if (task.spec.restart.policy == config::restart_policy::never && !planned) {
        apply_policy(task, true, why);
        continue;
      }
      ++task.restarts;
      if (task.spec.start_on_connection)
        await_connection(task, "waits for a connection: " + why);
      else
        task.enter(task_state::starting, "waits for its sandbox: " + why);
    }
  }
}

void task_table::task_told(managed_sandbox& sandbox, const task_event& event) {
  managed_task* task = find(event.task);
  // A host may say anything; only what fits to what it was asked for is heard.
  if (task == nullptr || task->spec.sandbox != sandbox.name() || !task->in_host) return;
  if (event.state == "running") {
    if (task->state != task_state::starting) return;
    task->started_at = std::chrono::system_clock::now();
    task->started = clock::now();
    task->enter(task_state::running, "runs");
    with_.events.add(log_level::info, "task_started", sandbox.name(), task->name, "task " + task->name + " runs");
    return settle(*task);
  }
  if (const std::string rung = rung_of(event.state); !rung.empty()) return climbed(*task, rung);
  if (event.state == "stuck") {
    task->last_exit = task_exit{"stuck", event.error, std::chrono::system_clock::now()};
    return sandbox.kill("watchdog", "task " + task->name + " did not end after it was stopped");
  }
  if (event.state == "deadlocked") return deadlocked(*task, sandbox, event.error);
  if (event.state == "limit") {
    with_.events.add(log_level::warn, "task_limit", sandbox.name(), task->name,
                     "task " + task->name + ": " + event.error, {{"limit", event.limit}});
    return;
  }
  if (event.state != "completed" && event.state != "failed" && event.state != "cancelled") return;
  task->in_host = false;
  task->cpu_seconds_of_ended_runs += event.cpu_seconds;
  sandbox.forget_figures_of(task->name);
  const bool stopping = task->state == task_state::stopping;
  const bool failed = event.state == "failed" || (event.state == "cancelled" && !stopping);
  const std::string error =
      event.state == "cancelled" && !stopping ? "the host cancelled it without being asked" : event.error;
  run_ended(*task, event.state, error, failed ? "error" : event.state == "cancelled" ? "cancelled" : "ok");
  if (stopping) return stopped(*task);
  if (!failed && task->spec.start_on_connection) return connections_served(*task, event.has_accepted);
  apply_policy(*task, failed, error);
}

// The host has failed the task already, if the policy wants that; the stop bounds how long the failure may take, since
// a green thread may be shielded from cancellation.
void task_table::deadlocked(managed_task& task, managed_sandbox& sandbox, const std::string& what) {
  ++task.deadlocks;
  with_.events.add(log_level::error, "task_deadlocked", sandbox.name(), task.name, "task " + task.name + ": " + what);
  if (task.spec.on_deadlock != config::deadlock_policy::fail || task.state != task_state::running) return;
  sandbox.request("task.stop", {{"id", task.name}, {"grace_seconds", seconds(task.spec.stop_timeout)}}, start_timeout,
                  [](const host_answer&) {});  // it may have ended meanwhile
}

void task_table::run_ended(managed_task& task, const std::string& reason, const std::string& error,
                           const std::string& status) {
  task.last_exit = task_exit{reason, error, std::chrono::system_clock::now()};
  ++task.runs_total[status];
}

void task_table::apply_policy(managed_task& task, bool failed, const std::string& why) {
  const auto policy = task.spec.restart.policy;
  const std::string what = failed ? "task " + task.name + " failed: " + why : "task " + task.name + " completed";
  with_.events.add(failed ? log_level::error : log_level::info, failed ? "task_failed" : "task_completed",
                   task.spec.sandbox, task.name, what);
  const bool again =
      policy == config::restart_policy::always || (policy == config::restart_policy::on_failure && failed);
  if (!again) {
    task.wanted = false;
    task.enter(failed ? task_state::failed : task_state::completed, failed ? why : "completed");
    return settle(task);
  }
  start_later(task, why);
}

// After the delay of the policy, unless its restarts are used up.
void task_table::start_later(managed_task& task, const std::string& why) {
  const auto delay = task.delays.next(clock::now(), clock::now() - task.started);
  if (!delay) {
    task.wanted = false;
    const std::string text = "was restarted " + std::to_string(task.spec.restart.max_restarts) + " times within " +
                             seconds_text(task.spec.restart.window) + "; last: " + why;
    task.enter(task_state::fatal, text);
    with_.events.add(
        log_level::error, "task_fatal", task.spec.sandbox, task.name,
        "task " + task.name + " is given up: it " + text + "; `rtctl task start " + task.name + "` starts it again",
        {{"restarts", task.restarts}});
    return settle(task);
  }
  ++task.restarts;
  task.enter(task_state::backoff, "starts again in " + seconds_text(*delay));
  const auto at =
      std::chrono::system_clock::now() + std::chrono::duration_cast<std::chrono::system_clock::duration>(*delay);
  with_.events.add(*delay < 1s ? log_level::debug : log_level::info, "task_backoff", task.spec.sandbox, task.name,
                   "task " + task.name + " starts again in " + seconds_text(*delay),
                   {{"delay_seconds", seconds(*delay)}, {"next_start_at", protocol::rfc3339(at)}});
  task.backoff_timer.start(*delay, [this, name = task.name] {
    managed_task* waiting = find(name);
    if (waiting == nullptr) return;
    if (waiting->spec.start_on_connection)
      await_connection(*waiting, "waits for a connection");
    else
      launch(*waiting);
  });
}

// ---- names ----

std::string task_table::free_name(const std::string& plugin, const std::string& entry) {
  // Entries are C++ identifiers, names of tasks are a little stricter.
  std::string stem = plugin + "-" + entry;
  for (char& c : stem) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  stem.resize(std::min<std::size_t>(stem.size(), protocol::max_name_bytes - 12));
  for (;;) {
    std::string name = stem + "-" + std::to_string(next_number_++);
    if (find(name) == nullptr) return name;
  }
}

void task_table::forget_finished() {
  std::vector<managed_task*> finished;
  for (const auto& [name, task] : tasks_)
    if (!task->configured && is_final(task->state) && task->final_waiters.empty() && task->stop_waiters.empty())
      finished.push_back(task.get());
  if (finished.size() <= finished_kept) return;
  const auto age = [](const managed_task* task) {
    return task->history.empty() ? std::chrono::system_clock::time_point{} : task->history.back().at;
  };
  std::ranges::sort(finished, {}, age);
  for (std::size_t i = 0; i + finished_kept < finished.size(); ++i) tasks_.erase(tasks_.find(finished[i]->name));
}

}  // namespace rtd::supervisor
