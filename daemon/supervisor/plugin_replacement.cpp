#include "daemon/supervisor/plugin_replacement.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "daemon/supervisor/daemon.h"

namespace rtd::supervisor {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;
using protocol::error_kind;
using protocol::rpc_error;

// Between two looks at what has to come up.
constexpr std::chrono::milliseconds look_interval{20};
// Whether there is something of it to stop. One that listens starts from whichever version is in force by then.
bool has_run(const managed_task& task) { return !is_final(task.state) && task.state != task_state::listening; }

// For how long a new host or a task may be on its way up.
constexpr std::chrono::seconds start_patience{30};

}  // namespace

plugin_replacement::plugin_replacement(daemon& of, replacement_request what, answer answered,
                                       std::function<void()> ended)
    : daemon_(of),
      request_(std::move(what)),
      answered_(std::move(answered)),
      ended_(std::move(ended)),
      timer_(of.with().events_loop) {}

plugin_replacement::~plugin_replacement() { *alive_ = false; }

std::function<void()> plugin_replacement::join(std::function<void()> then) {
  // Called when the last copy goes: by then all the actions that hold one are over.
  const std::shared_ptr<void> last(nullptr, [this, alive = alive_, then = std::move(then)](void*) {
    if (!*alive) return;
    daemon_.with().events_loop.post([alive, then] {
      if (*alive) then();
    });
  });
  return [last] {};
}

managed_sandbox* plugin_replacement::sandbox_of(const site& one) const {
  const auto found = daemon_.sandboxes().find(one.sandbox);
  return found == daemon_.sandboxes().end() ? nullptr : found->second.get();
}

bool plugin_replacement::concerns(const site& one, const managed_task& task) const {
  return task.spec.sandbox == one.sandbox && (!one.in_place || task.spec.plugin == request_.plugin);
}

// ---- try ----

void plugin_replacement::begin() {
  const auto known = daemon_.configuration().plugins.find(request_.plugin);
  if (known == daemon_.configuration().plugins.end())
    throw rpc_error(error_kind::not_found, "there is no plugin \"" + request_.plugin + "\" in the configuration");
  former_path_ = known->second.path;
  if (request_.path.empty()) request_.path = former_path_;
  if (request_.path.front() != '/')
    throw rpc_error(error_kind::invalid_params, "\"path\" must be absolute", {{"pointer", "/params/path"}});
  const file_identity identity = check_plugin_file(request_.path, ::geteuid());
  for (const auto& [name, sandbox] : daemon_.sandboxes()) {
    const auto loaded = sandbox->plugins().find(request_.plugin);
    if (!sandbox->is_up() || loaded == sandbox->plugins().end() || !loaded->second.loaded) continue;
    if (loaded->second.identity == identity)
      throw rpc_error(error_kind::invalid_state, request_.path + " is the version that runs",
                      {{"hint", "name another file, or move the new version into the place of this one"}});
    site one;
    one.sandbox = name;
    one.in_place = sandbox->can_load(request_.path);
    one.host = sandbox->pid();
    one.former_version = loaded->second;
    sites_.push_back(std::move(one));
  }
  if (sites_.empty())
    throw rpc_error(error_kind::invalid_state, "plugin \"" + request_.plugin + "\" is loaded in no sandbox",
                    {{"hint", "config.reload loads what the configuration names"}});
  daemon_.with().events.add(log_level::info, "plugin_replacing", {}, {},
                            "plugin " + request_.plugin + " " + sites_.front().former_version.version +
                                " is to be replaced by " + request_.path,
                            {{"plugin", request_.plugin}, {"path", request_.path}});
  next_trial();
}

void plugin_replacement::next_trial() {
  while (tried_ < sites_.size() && !sites_[tried_].in_place) ++tried_;
  if (tried_ == sites_.size()) return load_all();
  const std::string& name = sites_[tried_].sandbox;
  const managed_sandbox* where = sandbox_of(sites_[tried_]);
  if (where == nullptr) return fail("sandbox " + name + " is gone");
  trial_ = std::make_unique<host_trial>(
      daemon_.with(), name, where->settings(), daemon::host_binary(daemon_.configuration()),
      std::map<std::string, std::string>{{request_.plugin, request_.path}}, [this](const host_trial::outcome& outcome) {
        std::string problem = outcome.error;
        if (const auto found = outcome.plugins.find(request_.plugin); found != outcome.plugins.end())
          if (!found->second.loaded) problem = found->second.error;
        // The trial is in the middle of the call that led here.
        daemon_.with().events_loop.post([this, alive = alive_, problem] {
          if (!*alive) return;
          trial_.reset();
          if (!problem.empty()) return fail("it is refused: " + problem);
          ++tried_;
          next_trial();
        });
      });
}

void plugin_replacement::load_all() {
  const auto done = join([this] { look_at_new_hosts(); });
  step_deadline_ = clock::now() + start_patience;
  for (site& one : sites_) {
    if (one.in_place) {
      load_in_place(one, done);
      continue;
    }
    auto plugins = daemon::plugins_of(daemon_.configuration(), one.sandbox);
    plugins[request_.plugin] = request_.path;
    one.next = daemon_.new_sandbox(one.sandbox, std::move(plugins));
    one.next->start();
  }
}

void plugin_replacement::load_in_place(site& one, const std::function<void()>& done) {
  managed_sandbox* where = sandbox_of(one);
  if (where == nullptr || where->pid() != one.host) {
    failure_ = "the host of sandbox " + one.sandbox + " has ended";
    return;
  }
  where->load_beside(request_.plugin, request_.path, [this, alive = alive_, &one, done](const plugin_info& info) {
    if (!*alive) return;
    if (info.loaded)
      one.next_version = info;
    else if (failure_.empty())
      failure_ = "it is refused in sandbox " + one.sandbox + ": " + info.error;
  });
}

void plugin_replacement::look_at_new_hosts() {
  bool all_up = true;
  for (site& one : sites_) {
    if (one.next == nullptr) continue;
    const auto& plugins = one.next->plugins();
    const auto found = plugins.find(request_.plugin);
    if (found != plugins.end() && !found->second.loaded && failure_.empty())
      failure_ = "it is refused in sandbox " + one.sandbox + ": " + found->second.error;
    else if (one.next->restarts() > 0 || one.next->state() == sandbox_state::fatal ||
             one.next->state() == sandbox_state::down)
      failure_ = "a new host does not come up: " + one.next->trouble();
    else if (one.next->is_up() && found != plugins.end())
      one.next_version = found->second;
    else
      all_up = false;
  }
  if (!failure_.empty()) return fail(failure_);
  if (all_up) return loaded();
  if (clock::now() >= step_deadline_) return fail("a new host does not come up");
  timer_.start(look_interval, [this] { look_at_new_hosts(); });
}

void plugin_replacement::loaded() {
  for (const site& one : sites_)
    for (const auto& [name, task] : daemon_.tasks().all())
      if (task->spec.sandbox == one.sandbox && task->spec.plugin == request_.plugin && task->wanted &&
          !one.next_version.has_entry(task->spec.entry))
        return fail("it has no entry \"" + task->spec.entry + "\", which task " + name +
                    " runs; it has: " + one.next_version.entry_names());
  quiesce();
}

// ---- quiesce, switch ----

void plugin_replacement::stop_tasks(const std::function<void()>& done) {
  for (const std::string& name : tasks_) {
    managed_task* task = daemon_.tasks().find(name);
    if (task == nullptr || !has_run(*task)) continue;
    daemon_.tasks().stop(*task, task->spec.stop_timeout, {done, {}});
    task->wanted = true;  // a task that is to be kept is
  }
}

void plugin_replacement::quiesce() {
  step_ = step::quiescing;
  const auto done = join([this] { switch_over(); });
  std::vector<std::string> leaving;  // that somebody stops already, and that are not started again
  for (const site& one : sites_)
    for (const auto& [name, task] : daemon_.tasks().all()) {
      if (!concerns(one, *task) || !has_run(*task)) continue;
      if (!task->wanted)
        leaving.push_back(name);
      else if (std::ranges::find(tasks_, name) == tasks_.end())
        tasks_.push_back(name);
    }
  for (const std::string& name : leaving)
    if (managed_task* task = daemon_.tasks().find(name))
      daemon_.tasks().stop(*task, task->spec.stop_timeout, {done, {}});
  stop_tasks(done);
}

// Whether a task was started in a host that is about to be left, after those that ran there were stopped.
bool plugin_replacement::is_busy() const {
  return std::ranges::any_of(sites_, [&](const site& one) {
    return std::ranges::any_of(daemon_.tasks().all(), [&](const auto& entry) {
      return concerns(one, *entry.second) && entry.second->in_host;
    });
  });
}

void plugin_replacement::switch_over() {
  if (is_busy()) return quiesce();
  step_ = step::switching;
  const auto done = join([this] {
    if (!failure_.empty()) return go_back();
    watch();
  });
  for (site& one : sites_) {
    managed_sandbox* where = sandbox_of(one);
    if (where == nullptr || (one.in_place && (where->pid() != one.host || !where->is_up()))) {
      failure_ = "the host of sandbox " + one.sandbox + " has ended";
      continue;
    }
    if (!one.in_place) {
      if (!one.next->is_up()) {
        failure_ = one.next->trouble();
        continue;
      }
      one.former = daemon_.replace_sandbox(one.sandbox, std::move(one.next));
      one.switched = true;
      continue;
    }
    where->use_version(one.next_version, [this, alive = alive_, &one, done](bool good, const std::string& problem) {
      if (!*alive) return;
      one.switched = good;
      if (!good && failure_.empty()) failure_ = problem;
    });
  }
  daemon_.set_plugin_path(request_.plugin, request_.path);
}

// ---- watch ----

void plugin_replacement::watch() {
  step_ = step::watching;
  step_deadline_ = clock::now() + start_patience;
  settled_.reset();
  restarts_.clear();
  for (const std::string& name : tasks_) {
    managed_task* task = daemon_.tasks().find(name);
    restarts_.push_back(task == nullptr ? 0 : task->restarts);
    if (task != nullptr && is_final(task->state)) daemon_.tasks().start(*task);
  }
  look_at_tasks();
}

void plugin_replacement::look_at_tasks() {
  if (step_ != step::watching) return;
  bool all_settled = true;
  for (std::size_t i = 0; i < tasks_.size() && failure_.empty(); ++i) {
    const managed_task* task = daemon_.tasks().find(tasks_[i]);
    if (task == nullptr) continue;
    const bool given_up = task->state == task_state::failed || task->state == task_state::fatal ||
                          task->state == task_state::backoff || task->restarts > restarts_[i];
    if (given_up)
      failure_ = "task " + tasks_[i] + " does not run with it: " +
                 (task->last_exit ? task->last_exit->error : std::string(to_string(task->state)));
    all_settled = all_settled && task->state != task_state::starting;
  }
  if (!failure_.empty()) return go_back();
  const auto now = clock::now();
  if (!all_settled)
    settled_.reset();
  else if (!settled_)
    settled_ = now;
  if (settled_ && now - *settled_ >= request_.watch) return commit();
  if (!settled_ && now >= step_deadline_) {
    failure_ = "its tasks do not come up";
    return go_back();
  }
  timer_.start(look_interval, [this] { look_at_tasks(); });
}

void plugin_replacement::host_ended(const std::string& sandbox) {
  const auto at = std::ranges::find_if(sites_, [&](const site& one) { return one.sandbox == sandbox; });
  if (at == sites_.end() || !at->switched || (step_ != step::watching && step_ != step::switching)) return;
  // At once, before the next host is told what to load.
  daemon_.set_plugin_path(request_.plugin, former_path_);
  const managed_sandbox* where = sandbox_of(*at);
  if (failure_.empty()) failure_ = "its host ended: " + (where == nullptr ? sandbox : where->trouble());
  if (step_ == step::watching)
    timer_.start(0ns, [this] { go_back(); });  // the sandbox is in the middle of the call that led here
}

// ---- the end, good or bad ----

void plugin_replacement::commit() {
  step_ = step::committing;
  const auto done = join([this] { finish(nullptr); });
  for (site& one : sites_) {
    managed_sandbox* where = sandbox_of(one);
    if (where != nullptr) where->set_plugins(daemon::plugins_of(daemon_.configuration(), one.sandbox));
    if (!one.in_place) {
      one.unloaded = true;
      daemon_.dismiss_sandbox(std::move(one.former));
      continue;
    }
    if (where == nullptr || where->pid() != one.host) continue;
    where->unload_version(request_.plugin, one.former_version.number,
                          [alive = alive_, &one, done](bool good, const std::string& problem) {
                            if (!*alive) return;
                            one.unloaded = good;
                            one.kept_because = problem;
                          });
  }
}

// Nothing has been switched: what was loaded goes, and tasks that were stopped are started again.
void plugin_replacement::fail(const std::string& why) {
  failure_ = why;
  go_back();
}

void plugin_replacement::go_back() {
  if (step_ == step::going_back || step_ == step::over) return;
  step_ = step::going_back;
  timer_.cancel();
  stop_tasks(join([this] { start_again(); }));
}

void plugin_replacement::start_again() {
  daemon_.set_plugin_path(request_.plugin, former_path_);
  const auto done = join([this] {
    for (const std::string& name : tasks_)
      if (managed_task* task = daemon_.tasks().find(name); task != nullptr && task->state != task_state::listening)
        daemon_.tasks().start(*task);
    step_deadline_ = clock::now() + start_patience;
    wait_for_old_tasks();
  });
  for (site& one : sites_) {
    if (one.next != nullptr) daemon_.dismiss_sandbox(std::move(one.next));
    if (one.former != nullptr) daemon_.dismiss_sandbox(daemon_.replace_sandbox(one.sandbox, std::move(one.former)));
    managed_sandbox* where = sandbox_of(one);
    if (!one.in_place || where == nullptr) continue;
    if (where->pid() != one.host || !where->is_up()) {
      // A host that is not there any more, and the one that follows loads the old version.
      where->set_plugins(daemon::plugins_of(daemon_.configuration(), one.sandbox));
      if (where->state() == sandbox_state::down || where->state() == sandbox_state::fatal)
        where->restart("manual", "the former version of plugin " + request_.plugin + " is back");
      continue;
    }
    const auto unload_new = [this, alive = alive_, &one, done](bool, const std::string&) {
      managed_sandbox* there = *alive ? sandbox_of(one) : nullptr;
      if (there == nullptr || one.next_version.number == 0) return;
      // If it cannot be unloaded it stays beside the one that runs: plugin.list shows why.
      there->unload_version(request_.plugin, one.next_version.number, [done](bool, const std::string&) {});
    };
    if (one.switched)
      where->use_version(one.former_version, unload_new);
    else
      unload_new(true, {});
  }
}

void plugin_replacement::wait_for_old_tasks() {
  bool all_settled = true;
  for (const std::string& name : tasks_)
    if (const managed_task* task = daemon_.tasks().find(name)) all_settled = all_settled && is_settled(task->state);
  if (!all_settled && clock::now() < step_deadline_)
    return timer_.start(look_interval, [this] { wait_for_old_tasks(); });
  const std::string text = "plugin " + request_.plugin + " is not replaced by " + request_.path + ": " + failure_;
  const rpc_error error(error_kind::plugin_rejected,
                        text + "; version " + sites_.front().former_version.version + " goes on",
                        {{"plugin", request_.plugin}, {"path", request_.path}, {"reason", failure_}});
  finish(&error);
}

json plugin_replacement::result() const {
  json sites = json::array();
  for (const site& one : sites_)
    sites.push_back({{"sandbox", one.sandbox},
                     {"in_place", one.in_place},
                     {"former_version", one.former_version.version},
                     {"version", one.next_version.version},
                     {"unloaded", one.unloaded},
                     {"kept_because", one.kept_because}});
  return {{"plugin", request_.plugin}, {"path", request_.path}, {"sandboxes", std::move(sites)}, {"tasks", tasks_}};
}

void plugin_replacement::finish(const rpc_error* error) {
  step_ = step::over;
  if (error != nullptr) {
    daemon_.with().events.add(log_level::error, "plugin_replace_failed", {}, {}, error->what(),
                              {{"plugin", request_.plugin}, {"path", request_.path}});
  } else {
    daemon_.with().events.add(log_level::info, "plugin_replaced", {}, {},
                              "plugin " + request_.plugin + " " + sites_.front().former_version.version +
                                  " is replaced by " + sites_.front().next_version.version,
                              result());
  }
  daemon_.count_replacement(request_.plugin, error == nullptr);
  if (const auto tell = std::exchange(answered_, nullptr)) {
    const json answered = result();
    tell(error == nullptr ? &answered : nullptr, error);
  }
  ended_();
}

}  // namespace rtd::supervisor
