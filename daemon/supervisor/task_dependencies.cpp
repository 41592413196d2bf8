// The part of the task table that keeps order between tasks: who waits for whom, and who ends before whom.
//
// Invariants:
//   1. A task begins to run only when everything that it requires runs, listens or has completed, and everything that
//   it is
//      after has at least been tried (`blocked_by`). The configuration has no circles, so somebody can always begin;
//      in the middle of a reload there may be one for a moment, in which nobody waits for more than the reload.
//   2. A task that is stopped ends after those that require it. They stay wanted: they wait, and start again with it.
//   3. What is required may go away for a while (back-off, a new host) without its dependents being stopped: they must
//      bear that as they bear a lost connection. It is when it is given up, or stopped, that they are held back.
//   4. Nothing here acts inside a change of another task: changes ask for a look at all (`reconsider_soon`), which
//      comes from the loop, once for however many changes.
// Rejected: stopping dependents whenever what they require restarts (systemd's BindsTo, Erlang's rest_for_one): one
// crash of a database would cut every connection of everything around it, which reconnect by themselves today.
#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "daemon/supervisor/task_table.h"

namespace rtd::supervisor {
namespace {

using namespace std::chrono_literals;

bool names(const std::vector<std::string>& list, const std::string& name) {
  return std::ranges::find(list, name) != list.end();
}

/// It runs, or its host was told to start or stop it.
bool is_active(const managed_task& task) { return task.in_host; }

/// Nobody will start it again without being asked to.
bool is_given_up(const managed_task& task) { return is_final(task.state) && task.state != task_state::completed; }

}  // namespace

std::string task_table::blocked_by(const managed_task& task) const {
  for (const auto& name : task.spec.required) {
    const auto found = tasks_.find(name);
    if (found == tasks_.end()) return "it requires " + name + ", which is gone";
    const managed_task& other = *found->second;
    // Whoever needs one that listens connects to it, which starts it.
    const bool is_there = other.state == task_state::running || other.state == task_state::listening;
    if (is_there || other.state == task_state::completed) continue;
    return "it requires " + name + ", which is " + std::string(to_string(other.state));
  }
  for (const auto& name : task.spec.after) {
    const auto found = tasks_.find(name);
    if (found == tasks_.end()) continue;
    const managed_task& other = *found->second;
    // A task that has failed was tried: `after` asks for no more.
    const bool comes = other.state == task_state::starting || other.state == task_state::stopping;
    if (other.wanted && comes) return "it comes after " + name + ", which is " + std::string(to_string(other.state));
  }
  return {};
}

bool task_table::hold(managed_task& task) {
  std::string why = blocked_by(task);
  task.held = !why.empty();
  if (task.held) task.enter(task_state::starting, "waits: " + why);
  task.waits = std::move(why);
  return task.held;
}

void task_table::start_required(const managed_task& task) {
  const std::vector<std::string> required = task.spec.required;  // starting may change everything
  for (const auto& name : required)
    if (managed_task* other = find(name); other != nullptr && is_given_up(*other)) begin(*other);
}

std::vector<std::string> task_table::active_dependents(const std::string& name) const {
  std::vector<std::string> result;
  for (const auto& [other, task] : tasks_)
    if (is_active(*task) && names(task->spec.required, name)) result.push_back(other);
  return result;
}

bool task_table::stop_dependents(managed_task& task, std::chrono::nanoseconds grace) {
  const std::vector<std::string> dependents = active_dependents(task.name);
  if (dependents.empty()) return false;
  std::string list;
  for (const auto& name : dependents) list += (list.empty() ? "" : ", ") + name;
  task.enter(task_state::stopping, "is stopped when these have ended, which require it: " + list);
  // Called when the last copy goes, which is when the last dependent has ended.
  const std::shared_ptr<void> all(nullptr, [this, alive = alive_, name = task.name, run = task.run, grace](void*) {
    if (!*alive) return;
    with_.events_loop.post([this, alive, name, run, grace] {
      if (!*alive) return;
      managed_task* waiting = find(name);
      // Its host may have died meanwhile, or it may have ended by itself.
      if (waiting != nullptr && waiting->run == run && waiting->state == task_state::stopping && waiting->in_host)
        end(*waiting, grace);
    });
  });
  for (const auto& name : dependents)
    if (managed_task* dependent = find(name)) hold_back(*dependent, [all] {});
  return true;
}

void task_table::hold_back(managed_task& task, std::function<void()> done) {
  const bool wanted = task.wanted;
  stop(task, task.spec.stop_timeout, {std::move(done), {}});
  task.wanted = wanted;
  task.start_after_stop = wanted;
  task.held_back = wanted;
}

void task_table::reconsider_soon() {
  if (std::exchange(reconsidering_, true)) return;
  with_.events_loop.post([this, alive = alive_] {
    if (!*alive) return;
    reconsidering_ = false;
    reconsider();
  });
}

void task_table::reconsider() {
  if (around_.daemon_stops()) return;
  std::vector<std::string> all;
  for (const auto& [name, task] : tasks_)
    if (!task->spec.after.empty() || !task->spec.required.empty() || task->held) all.push_back(name);
  for (const auto& name : all) {
    managed_task* task = find(name);
    if (task == nullptr) continue;
    if (task->held && task->state == task_state::starting && task->wanted) {
      if (const std::string why = blocked_by(*task); why.empty())
        launch(*task);
      else if (why != task->waits)
        hold(*task);
      continue;
    }
    if (task->state != task_state::running && !(task->state == task_state::starting && task->in_host)) continue;
    for (const auto& required : task->spec.required) {
      const managed_task* other = find(required);
      if (other != nullptr && !is_given_up(*other)) continue;
      std::string text = "task ";
      text += name;
      text += " is held back: it requires ";
      text += required;
      text += ", which is ";
      text += other == nullptr ? "gone" : to_string(other->state);
      with_.events.add(log_level::warn, "task_held", task->spec.sandbox, name, text);
      hold_back(*task, [] {});
      break;
    }
  }
}

// Wave by wave: those that nobody who still runs depends on.
void task_table::stop_in_order(std::function<void()> done) {
  std::set<std::string> ordered;
  std::set<std::string> needed;
  for (const auto& [name, task] : tasks_) {
    // A task that drains gets the time for it; the end of a host gives none.
    if (task->spec.drain_timeout > 0s || task->spec.cancel_timeout > 0s) ordered.insert(name);
    for (const auto* list : {&task->spec.required, &task->spec.after}) {
      if (!list->empty()) ordered.insert(name);
      ordered.insert(list->begin(), list->end());
      if (is_active(*task)) needed.insert(list->begin(), list->end());
    }
  }
  // The others end with their hosts, all at once.
  std::vector<std::string> wave;
  for (const auto& [name, task] : tasks_)
    if (is_active(*task) && ordered.contains(name) && !needed.contains(name)) wave.push_back(name);
  if (wave.empty()) return done();
  const std::shared_ptr<void> all(nullptr, [this, alive = alive_, done = std::move(done)](void*) {
    if (*alive)
      with_.events_loop.post([this, alive, done] {
        if (*alive) stop_in_order(done);
      });
  });
  for (const auto& name : wave) {
    managed_task& task = get(name);
    const bool wanted = task.wanted;
    stop(task, task.spec.stop_timeout, {[all] {}, {}});
    task.wanted = wanted;  // a task that is to be kept is
  }
}

}  // namespace rtd::supervisor
