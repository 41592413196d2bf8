#include "daemon/host/task_table.h"

#include <algorithm>
#include <exception>

#include "daemon/host/request_error.h"

namespace rtd::host {

using rt::detail::task_phase;
using rt::detail::task_state;

namespace {

std::string list_of_entries(const loaded_plugin& plugin) {
  std::string text;
  for (const plugin_entry& one : plugin.entries) text += (text.empty() ? "" : ", ") + one.name;
  return text;
}

}  // namespace

void task_table::start(std::shared_ptr<const loaded_plugin> plugin, rt::detail::task_spec spec) {
  const plugin_entry* entry = plugin->find_entry(spec.entry);
  if (entry == nullptr) {
    throw request_error("no_such_entry", "plugin \"" + plugin->name + "\" has no entry \"" + spec.entry +
                                             "\"; it has " + list_of_entries(*plugin));
  }
  spec.plugin = plugin->name;
  spec.function = entry->function;
  std::string id = spec.id;
  std::lock_guard guard(lock_);
  if (closing_) throw request_error("shutting_down", "the host is ending and starts no tasks");
  if (tasks_.contains(id)) throw request_error("task_exists", "task \"" + id + "\" is running already");
  if (tasks_.size() >= most_tasks) {
    throw request_error("too_many_tasks", "the host has " + std::to_string(most_tasks) + " tasks already");
  }
  auto state = std::make_shared<task_state>(
      std::move(spec), log_,
      [this](task_state& task, task_phase phase, const std::string& error) { note_phase(task, phase, error); });
  // In the table first: the task may end before start() returns.
  auto place = tasks_.emplace(id, running_task{std::move(plugin), state, std::nullopt, false}).first;
  try {
    state->start();
  } catch (const std::exception& error) {
    tasks_.erase(place);
    throw request_error("start_failed", "task \"" + id + "\" cannot be started: " + error.what());
  }
}

void task_table::ask_to_end(running_task& task, clock::time_point deadline) noexcept {
  task.deadline = task.deadline ? std::min(*task.deadline, deadline) : deadline;
  task.state->stop();
}

void task_table::stop(std::string_view id, std::chrono::nanoseconds grace) {
  std::lock_guard guard(lock_);
  auto found = tasks_.find(id);
  if (found == tasks_.end()) throw request_error("no_such_task", "no task \"" + std::string(id) + "\" is running");
  ask_to_end(found->second, clock::now() + grace);
}

void task_table::stop_all(std::chrono::nanoseconds grace) {
  std::lock_guard guard(lock_);
  closing_ = true;
  clock::time_point deadline = clock::now() + grace;
  for (auto& [id, task] : tasks_) ask_to_end(task, deadline);
}

std::optional<task_table::clock::time_point> task_table::check_deadlines(clock::time_point now) {
  std::optional<clock::time_point> next;
  std::lock_guard guard(lock_);
  for (auto& [id, task] : tasks_) {
    if (!task.deadline || task.is_stuck) continue;
    if (*task.deadline > now) {
      next = next ? std::min(*next, *task.deadline) : *task.deadline;
    } else if (!is_final(task.state->phase())) {
      task.is_stuck = true;
      add_note(
          {nullptr,
           task_phase::draining,
           {id, "stuck",
            "it did not end in time; " + std::to_string(task.state->green_threads()) + " green threads are left"}});
    }
  }
  return next;
}

std::vector<std::shared_ptr<task_state>> task_table::list() const {
  std::vector<std::shared_ptr<task_state>> result;
  std::lock_guard guard(lock_);
  result.reserve(tasks_.size());
  for (const auto& [id, task] : tasks_) result.push_back(task.state);
  return result;
}

bool task_table::empty() const {
  std::lock_guard guard(lock_);
  return tasks_.empty();
}

void task_table::note_phase(task_state& task, task_phase phase, const std::string& error) noexcept {
  add_note({&task, phase, {task.identity().id, rt::detail::to_text(phase), error, 0}});
}

void task_table::add_note(raw_note note) {
  {
    rt::os::spin_guard guard(notes_lock_);
    notes_.push_back(std::move(note));
  }
  log_->wake();
}

std::vector<task_note> task_table::take_notes() {
  std::vector<raw_note> raw;
  {
    rt::os::spin_guard guard(notes_lock_);
    raw.swap(notes_);
  }
  std::vector<task_note> result;
  result.reserve(raw.size());
  for (raw_note& one : raw) {
    running_task ended;
    if (is_final(one.phase)) {
      std::lock_guard guard(lock_);
      auto found = tasks_.find(one.note.id);
      if (found != tasks_.end() && found->second.state.get() == one.task) {
        ended = std::move(found->second);
        tasks_.erase(found);
        one.note.cpu_seconds = ended.state->cpu_seconds();
      }
    }
    result.push_back(std::move(one.note));
    // `ended` goes here, outside the lock: the state first, then its hold on the plugin.
    ended.state.reset();
  }
  return result;
}

}  // namespace rtd::host
