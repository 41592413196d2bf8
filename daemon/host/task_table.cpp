#include "daemon/host/task_table.h"

#include <algorithm>
#include <exception>

#include "daemon/host/request_error.h"

namespace rtd::host {

using rt::detail::task_phase;
using rt::detail::task_state;
using namespace std::chrono_literals;

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
      [this](task_state& task, task_phase phase, const std::string& error) { note_phase(task, phase, error); },
      [this](task_state& task, const std::string& what) {
        add_note({nullptr, task_phase::running, {task.identity().id, "deadlocked", what, 0}});
      },
      [this] {
        limit_met_.store(true, std::memory_order_release);  // pairs with look_at_limits
        log_->wake();
      });
  // In the table first: the task may end before start() returns.
  auto place = tasks_.emplace(id, running_task{std::move(plugin), state, {}, stop_rung::none, std::nullopt}).first;
  try {
    state->start();
  } catch (const std::exception& error) {
    tasks_.erase(place);
    throw request_error("start_failed", "task \"" + id + "\" cannot be started: " + error.what());
  }
}

// The next rung that has time, or the one after the last.
void task_table::climb(const std::string& id, running_task& task, clock::time_point now) {
  const auto take = [&](stop_rung rung, const char* state, std::chrono::nanoseconds time) {
    task.rung = rung;
    task.deadline = now + time;
    add_note({nullptr, task_phase::running, {id, state, {}, 0}});
  };
  if (task.rung == stop_rung::none && task.ladder.drain.count() > 0) {
    take(stop_rung::drain, "draining", task.ladder.drain);
    return task.state->drain();
  }
  if (task.rung < stop_rung::cancel && task.ladder.cancel.count() > 0) {
    take(stop_rung::cancel, "cancelling", task.ladder.cancel);
    return task.state->cancel_context();
  }
  if (task.rung < stop_rung::unwind) {
    take(stop_rung::unwind, "unwinding", task.ladder.unwind);
    return task.state->stop();
  }
  task.rung = stop_rung::stuck;
  task.deadline.reset();
  add_note({nullptr,
            task_phase::draining,
            {id, "stuck",
             "it did not end in time; " + std::to_string(task.state->green_threads()) + " green threads are left"}});
}

void task_table::stop_locked(const std::string& id, running_task& task, const stop_ladder& ladder,
                             clock::time_point now) {
  if (task.rung == stop_rung::none) {
    task.ladder = ladder;
    return climb(id, task, now);
  }
  task.ladder.drain = std::min(task.ladder.drain, ladder.drain);
  task.ladder.cancel = std::min(task.ladder.cancel, ladder.cancel);
  task.ladder.unwind = std::min(task.ladder.unwind, ladder.unwind);
  if (task.rung == stop_rung::stuck) return;
  const std::chrono::nanoseconds time = task.rung == stop_rung::drain    ? task.ladder.drain
                                        : task.rung == stop_rung::cancel ? task.ladder.cancel
                                                                         : task.ladder.unwind;
  task.deadline = std::min(*task.deadline, now + time);
  // At once, not at the next tick: whoever hurries has waited already.
  if (task.rung < stop_rung::unwind && *task.deadline <= now) climb(id, task, now);
}

void task_table::stop(std::string_view id, const stop_ladder& ladder) {
  std::lock_guard guard(lock_);
  auto found = tasks_.find(id);
  if (found == tasks_.end()) throw request_error("no_such_task", "no task \"" + std::string(id) + "\" is running");
  stop_locked(found->first, found->second, ladder, clock::now());
}

void task_table::set_share(std::string_view id, std::uint32_t weight, rt::detail::share_class scheduling) {
  std::lock_guard guard(lock_);
  auto found = tasks_.find(id);
  if (found == tasks_.end()) throw request_error("no_such_task", "no task \"" + std::string(id) + "\" is running");
  found->second.state->set_share(weight, scheduling);
}

void task_table::set_limits(std::string_view id, const rt::detail::task_limits& limits) {
  std::lock_guard guard(lock_);
  auto found = tasks_.find(id);
  if (found == tasks_.end()) throw request_error("no_such_task", "no task \"" + std::string(id) + "\" is running");
  found->second.state->set_limits(limits);
}

void task_table::stop_all(std::chrono::nanoseconds grace) {
  std::lock_guard guard(lock_);
  closing_ = true;
  const clock::time_point now = clock::now();
  for (auto& [id, task] : tasks_) stop_locked(id, task, {0ns, 0ns, grace}, now);
}

std::optional<task_table::clock::time_point> task_table::check_deadlines(clock::time_point now) {
  std::optional<clock::time_point> next;
  std::lock_guard guard(lock_);
  for (auto& [id, task] : tasks_) {
    while (task.deadline && *task.deadline <= now && !is_final(task.state->phase())) climb(id, task, now);
    if (task.deadline && *task.deadline > now) next = next ? std::min(*next, *task.deadline) : *task.deadline;
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

void task_table::add_met_limits(task_state& task, std::vector<task_note>& notes) {
  for (const rt::detail::met_limit& one : task.take_met_limits()) {
    notes.push_back({task.identity().id, "limit", one.text, 0, rt::detail::to_text(one.kind)});
  }
}

std::optional<task_table::clock::time_point> task_table::look_at_limits(std::vector<task_note>& notes) {
  const bool is_due = drops_due_ && *drops_due_ <= clock::now();
  if (!limit_met_.exchange(false, std::memory_order_acquire) && !is_due) return drops_due_;
  drops_due_.reset();
  std::int64_t next = INT64_MAX;
  for (const auto& task : list()) {
    add_met_limits(*task, notes);
    next = std::min(next, task->report_drops(false));
  }
  if (next != INT64_MAX) drops_due_ = clock::time_point(std::chrono::nanoseconds(next));
  return drops_due_;
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
      // What is still to be told of it comes before its end.
      std::lock_guard guard(lock_);
      auto found = tasks_.find(one.note.id);
      if (found != tasks_.end() && found->second.state.get() == one.task) {
        ended = std::move(found->second);
        tasks_.erase(found);
        add_met_limits(*ended.state, result);
        ended.state->report_drops(true);
        one.note.cpu_seconds = ended.state->cpu_seconds();
        one.note.has_accepted = ended.state->has_accepted();
      }
    }
    result.push_back(std::move(one.note));
    // `ended` goes here, outside the lock: the state first, then its hold on the plugin.
    ended.state.reset();
  }
  return result;
}

}  // namespace rtd::host
