#include "daemon/supervisor/reload.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "daemon/config/endpoint.h"
#include "daemon/supervisor/config_place.h"
#include "daemon/supervisor/daemon.h"

namespace rtd::supervisor {
namespace {

using nlohmann::json;
using protocol::error_kind;
using protocol::rpc_error;

constexpr std::chrono::seconds settle_patience{10};

bool needs_restart(const config::part_changes& part, const std::string& name) {
  const auto found = part.changed.find(name);
  return found != part.changed.end() && found->second.how == config::effect::restart;
}

bool is_added(const config::part_changes& part, const std::string& name) {
  return std::ranges::find(part.added, name) != part.added.end();
}

}  // namespace

reload_operation::reload_operation(daemon& of, bool wait, answer answered, std::function<void(bool)> ended)
    : daemon_(of),
      wait_(wait),
      answered_(std::move(answered)),
      ended_(std::move(ended)),
      settle_deadline_(of.with().events_loop) {}

reload_operation::~reload_operation() { *alive_ = false; }

std::function<void()> reload_operation::join(std::function<void()> then) {
  struct shared {
    explicit shared(std::function<void()> action) : then(std::move(action)) {}
    ~shared() { then(); }
    std::function<void()> then;
  };
  auto last = std::make_shared<shared>([this, alive = alive_, then = std::move(then)] {
    if (!*alive) return;
    daemon_.with().events_loop.post([alive, then] {
      if (*alive) then();
    });
  });
  return [last] {};
}

// ---- deciding ----

void reload_operation::begin() {
  config::load_result loaded = daemon_.load_configuration();
  if (!loaded.value) {
    problems_ = std::move(loaded.problems);
    return reject();
  }
  next_ = std::move(*loaded.value);
  plan();
}

void reload_operation::plan() {
  changes_ = config::diff(daemon_.configuration(), next_);
  // A plugin that was installed anew under its old name is another plugin.
  for (const auto& [sandbox_name, sandbox] : daemon_.sandboxes())
    for (const auto& [name, info] : sandbox->plugins()) {
      const auto kept = next_.plugins.find(name);
      if (kept == next_.plugins.end() || kept->second.path != info.path) continue;
      try {
        if (check_plugin_file(info.path, ::geteuid()) != info.identity) replaced_files_.insert(name);
      } catch (const rpc_error&) {
        // The file is gone or not to be trusted. A running plugin goes on with what it has mapped; one that was refused
        // for this stays refused.
        if (info.loaded) replaced_files_.insert(name);
      }
    }
  for (const auto& name : replaced_files_) {
    changes_.plugins.changed[name] = {config::effect::restart, {"file"}};
    std::erase(changes_.plugins.unchanged, name);
    for (const auto& [task_name, task] : next_.tasks)
      if (task.plugin == name && daemon_.configuration().tasks.contains(task_name)) {
        auto& change = changes_.tasks.changed[task_name];
        change.how = config::effect::restart;
        if (std::ranges::find(change.fields, "plugin") == change.fields.end()) change.fields.push_back("plugin");
        std::erase(changes_.tasks.unchanged, task_name);
      }
  }
  plan_trials();
}

void reload_operation::plan_trials() {
  for (const auto& [name, settings] : next_.sandboxes) {
    const bool new_host = is_added(changes_.sandboxes, name) || needs_restart(changes_.sandboxes, name);
    const auto found = daemon_.sandboxes().find(name);
    std::map<std::string, std::string> to_try;
    for (const auto& [plugin, path] : daemon::plugins_of(next_, name)) {
      // What was refused before and has not changed is no news, and no reason to refuse the rest.
      const plugin_info* known = nullptr;
      if (found != daemon_.sandboxes().end())
        if (const auto tried = found->second->plugins().find(plugin); tried != found->second->plugins().end())
          known = &tried->second;
      const bool same = known != nullptr && known->path == path && !replaced_files_.contains(plugin);
      if (!same || (new_host && known->loaded)) to_try[plugin] = path;
    }
    if (new_host || !to_try.empty()) trials_.push_back({name, std::move(to_try)});
  }
  std::ranges::reverse(trials_);
  next_trial();
}

void reload_operation::next_trial() {
  if (trials_.empty()) return check_entries();
  trial_plan plan = std::move(trials_.back());
  trials_.pop_back();
  trial_ = std::make_unique<host_trial>(
      daemon_.with(), plan.sandbox, next_.sandboxes.at(plan.sandbox), daemon::host_binary(next_), plan.plugins,
      [this, plan](const host_trial::outcome& outcome) { trial_done(plan, outcome); });
}

void reload_operation::trial_done(const trial_plan& plan, const host_trial::outcome& outcome) {
  const trial_plan done = plan;  // the trial that holds the original goes now
  const host_trial::outcome result = outcome;
  trial_.reset();
  for (const auto& [plugin, info] : result.plugins)
    if (!info.loaded)
      add_problem("/plugins/" + plugin, "plugin " + plugin + " (" + info.path + ") is refused: " + info.error);
  if (!result.error.empty()) add_problem("/sandboxes/" + done.sandbox, "sandbox " + done.sandbox + ": " + result.error);
  tried_[done.sandbox] = result.plugins;
  next_trial();
}

void reload_operation::check_entries() {
  for (const auto& [name, task] : next_.tasks) {
    if (!is_added(changes_.tasks, name) && !needs_restart(changes_.tasks, name)) continue;
    const plugin_info* info = nullptr;
    if (const auto& tried = tried_[task.sandbox]; tried.contains(task.plugin)) {
      info = &tried.at(task.plugin);
    } else if (const auto found = daemon_.sandboxes().find(task.sandbox); found != daemon_.sandboxes().end()) {
      const auto& plugins = found->second->plugins();
      if (const auto known = plugins.find(task.plugin); known != plugins.end()) info = &known->second;
    }
    if (info != nullptr && info->loaded && !info->has_entry(task.entry))
      add_problem("/tasks/" + name + "/entry", "plugin " + task.plugin + " has no entry \"" + task.entry + "\"",
                  "it has: " + info->entry_names());
  }
  if (!problems_.empty()) return reject();
  open_doors();
}

void reload_operation::open_doors() {
  http_front* const present = daemon_.http();
  bool present_closed = false;
  std::string pointer = "/http/listen";
  try {
    if (changes_.http) {
      daemon_.options().passed.check_metrics_stays();
      const auto& old_address = daemon_.configuration().http.listen;
      // Two listeners of one port may shut each other out, even at different addresses.
      present_closed = present != nullptr && next_.http.listen && old_address &&
                       old_address->port == next_.http.listen->port && old_address->port != 0;
      if (present_closed) present->close_listeners();
      http_ = daemon_.make_http(next_.http);
    }
    pointer = "/control/socket";
    if (changes_.control) daemon_.control().configure(next_.control);
  } catch (const std::exception& error) {
    add_problem(pointer, error.what());
    http_.reset();
    try {
      if (present_closed) present->listen(config::format_endpoint(*daemon_.configuration().http.listen));
    } catch (const std::exception& lost) {
      daemon_.with().lines.error(std::string("http: the former address is lost: ") + lost.what());
    }
    return reject();
  }
  commit();
}

void reload_operation::reject() {
  for (auto& problem : problems_)
    if (problem.line == 0) place_problem(problem, daemon_.options().config_file);
  json list = json::array();
  for (const auto& problem : problems_) {
    list.push_back({{"pointer", problem.pointer},
                    {"line", problem.line},
                    {"column", problem.column},
                    {"message", problem.message},
                    {"hint", problem.hint}});
    daemon_.with().lines.error("config: " + config::format(problem, daemon_.options().config_file));
  }
  const auto& first = problems_.front();
  const std::string text = config::format(first, daemon_.options().config_file);
  const std::string count = std::to_string(problems_.size()) + (problems_.size() == 1 ? " problem" : " problems");
  daemon_.with().events.add(log_level::error, "config_rejected", {}, {},
                            "the configuration is refused and nothing changed: " + count + ", the first: " + text,
                            {{"problems", list}});
  const rpc_error error(error_kind::invalid_config, count + "; nothing changed. " + text,
                        {{"pointer", first.pointer},
                         {"line", first.line},
                         {"column", first.column},
                         {"hint", first.hint},
                         {"file", daemon_.options().config_file},
                         {"problems", list}});
  if (const auto tell = std::exchange(answered_, nullptr)) tell(nullptr, &error);
  ended_(false);
}

void reload_operation::add_problem(const std::string& pointer, std::string message, std::string hint) {
  config::problem problem;
  problem.pointer = pointer;
  problem.message = std::move(message);
  problem.hint = std::move(hint);
  problems_.push_back(std::move(problem));
}

// ---- carrying out ----

json reload_operation::success() const {
  return {{"generation", daemon_.generation()}, {"changes", config::to_json(changes_)}};
}

void reload_operation::commit() {
  daemon_.adopt(next_);
  if (changes_.http) daemon_.replace_http(std::move(http_));
  daemon_.with().events.add(log_level::info, "config_reloaded", {}, {},
                            "configuration generation " + std::to_string(daemon_.generation()) + " is in force",
                            success());
  if (!wait_)
    if (const auto tell = std::exchange(answered_, nullptr)) {
      const json result = success();
      tell(&result, nullptr);
    }
  stop_what_went();
}

void reload_operation::stop_what_went() {
  task_table& tasks = daemon_.tasks();
  const auto done = join([this] { change_sandboxes(); });
  // First, so that no task is held back for one that it does not require any more.
  for (const auto& [name, change] : changes_.tasks.changed)
    if (managed_task* task = tasks.find(name)) {
      task->spec.after = next_.tasks.at(name).after;
      task->spec.required = next_.tasks.at(name).required;
    }
  tasks.reconsider_soon();
  for (const auto& name : changes_.tasks.removed) tasks.remove(name, done);
  for (const auto& [name, change] : changes_.tasks.changed)
    if (managed_task* task = tasks.find(name); task != nullptr && change.how == config::effect::restart) {
      // `wanted` is overwritten by the stop; the configuration says what it is to be.
      tasks.stop(*task, task->spec.stop_timeout, {done, {}});
    }
  // Tasks started by hand whose ground goes away.
  std::vector<managed_task*> groundless;
  for (const auto& [name, task] : tasks.all()) {
    if (task->configured || is_final(task->state)) continue;
    if (!next_.sandboxes.contains(task->spec.sandbox) || !next_.plugins.contains(task->spec.plugin) ||
        changes_.plugins.changed.contains(task->spec.plugin))
      groundless.push_back(task.get());
  }
  for (managed_task* task : groundless) tasks.stop(*task, task->spec.stop_timeout, {done, {}});
}

void reload_operation::change_sandboxes() {
  auto& sandboxes = daemon_.sandboxes();
  const auto done = join([this] { change_plugins(); });
  for (const auto& name : changes_.sandboxes.removed) {
    const auto found = sandboxes.find(name);
    if (found == sandboxes.end()) continue;
    found->second->stop([this, alive = alive_, name, done] {
      if (!*alive) return;
      // The sandbox is in the middle of the call that led here.
      daemon_.with().events_loop.post([this, alive, name, done] {
        if (*alive) daemon_.sandboxes().erase(name);
      });
    });
  }
  for (const auto& [name, sandbox] : sandboxes) {
    const auto settings = next_.sandboxes.find(name);
    if (settings == next_.sandboxes.end()) continue;
    sandbox->configure(settings->second, daemon::host_binary(next_));
    if (needs_restart(changes_.sandboxes, name)) {
      sandbox->set_plugins(daemon::plugins_of(next_, name));
      sandbox->restart("config", "its configuration changed");
    }
  }
  for (const auto& name : changes_.sandboxes.added) daemon_.make_sandbox(name).start();
}

void reload_operation::change_plugins() {
  const auto done = join([this] { start_what_is_new(); });
  for (const auto& [name, sandbox] : daemon_.sandboxes()) {
    const auto wanted = daemon::plugins_of(next_, name);
    std::vector<std::string> to_unload;
    for (const auto& [plugin, info] : sandbox->plugins()) {
      const auto kept = next_.plugins.find(plugin);
      if (kept == next_.plugins.end() || kept->second.path != info.path || replaced_files_.contains(plugin))
        to_unload.push_back(plugin);
    }
    // The restarts above load the new files by themselves.
    if (needs_restart(changes_.sandboxes, name)) continue;
    const bool others = std::ranges::any_of(wanted, [&, &known = sandbox->plugins()](const auto& one) {
      const auto found = known.find(one.first);
      return found == known.end() || found->second.path != one.second;
    });
    if (sandbox->is_sealed() && (others || !to_unload.empty())) {
      sandbox->set_plugins(wanted);
      sandbox->restart("config", "its plugins changed, and it is sealed");
      continue;
    }
    const auto load_new = join([this, name = name, wanted, done] {
      const auto found = daemon_.sandboxes().find(name);
      if (found == daemon_.sandboxes().end()) return;
      managed_sandbox& where = *found->second;
      where.set_plugins(wanted);
      if (where.is_up())
        for (const auto& [plugin, path] : wanted) where.load_plugin(plugin, path, [done](const plugin_info&) {});
    });
    for (const auto& plugin : to_unload)
      sandbox->unload_plugin(
          plugin, [this, alive = alive_, name = name, plugin, load_new](bool gone, const std::string& why) {
            if (gone || !*alive) return;
            // Code that cannot be unloaded can only be replaced together with its process.
            const auto found = daemon_.sandboxes().find(name);
            if (found != daemon_.sandboxes().end()) {
              found->second->set_plugins(daemon::plugins_of(next_, name));
              found->second->restart("config", "plugin " + plugin + " could not be unloaded: " + why);
            }
          });
  }
}

void reload_operation::start_what_is_new() {
  task_table& tasks = daemon_.tasks();
  // A task may wait for its sandbox for long; that is its state to show, and no reason to hold the reload.
  settle_deadline_.start(settle_patience, [this] { finish(); });
  const auto done = join([this] {
    if (settle_deadline_.running()) finish();
  });
  for (const auto& [name, change] : changes_.tasks.changed) {
    managed_task* task = tasks.find(name);
    if (task == nullptr) continue;
    const config::task former = std::exchange(task->spec, next_.tasks.at(name));
    task->delays.configure(task->spec.restart);
    const bool restarted = change.how == config::effect::restart;
    if (former.weight != task->spec.weight || former.scheduling != task->spec.scheduling) tasks.send_share(*task);
    if (former.limits != task->spec.limits) tasks.send_limits(*task);
    tasks.plan(*task);
    if (task->spec.autostart && !task->spec.schedule && (restarted || !former.autostart || former.schedule)) {
      tasks.begin(*task);
      tasks.when_settled(*task, {done, {}});
    }
  }
  for (const auto& name : changes_.tasks.added) {
    // A task started by hand may have the name; the configuration goes first.
    if (managed_task* there = tasks.find(name); there != nullptr && !is_final(there->state)) {
      tasks.remove(name, [this, alive = alive_, name, done] {
        if (*alive && daemon_.tasks().find(name) == nullptr) add_task(name, done);
      });
      continue;
    }
    add_task(name, done);
  }
}

void reload_operation::add_task(const std::string& name, const std::function<void()>& done) {
  const config::task& spec = next_.tasks.at(name);
  const bool start = spec.autostart && !spec.schedule;
  managed_task& task = daemon_.tasks().add(name, spec, true, start);
  daemon_.tasks().plan(task);
  if (start) daemon_.tasks().when_settled(task, {done, {}});
}

void reload_operation::finish() {
  settle_deadline_.cancel();
  if (const auto tell = std::exchange(answered_, nullptr)) {
    const json result = success();
    tell(&result, nullptr);
  }
  ended_(true);
}

}  // namespace rtd::supervisor
