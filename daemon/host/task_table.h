// The tasks of this host: starting, stopping, and telling the supervisor how they end.
//
// Green threads report through callbacks that may neither block nor wait for a lock that somebody holds over a write;
// so they only leave a note here, and the reporting thread (log_drain.h) takes the notes and sends them. It takes the
// notes before it takes the log lines: whatever a task logged before it ended is sent before its end is.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/host/plugin_loader.h"
#include "runtime/os/spin_lock.h"
#include "runtime/task/log_queue.h"
#include "runtime/task/task_state.h"

namespace rtd::host {

/// What happened to a task.
struct task_note {
  std::string id;
  // "running", "deadlocked", "limit", "draining", "cancelling", "unwinding", "stuck", "completed", "failed",
  // "cancelled"
  std::string state;
  std::string error;
  double cpu_seconds = 0;     // of the run, when it has ended
  std::string limit{};        // of "limit": which one
  bool has_accepted = false;  // any connection, when it has ended
};

/// How a task is stopped, and how long each rung of the ladder may take before the next: it is asked to finish; its
/// root context ends; its green threads unwind. A rung of no time is left out, but for the last. What comes after it
/// is the supervisor's to do: the end of the host.
struct stop_ladder {
  std::chrono::nanoseconds drain{0};
  std::chrono::nanoseconds cancel{0};
  std::chrono::nanoseconds unwind{0};
};

class task_table {
 public:
  using clock = std::chrono::steady_clock;
  static constexpr std::size_t most_tasks = 4096;  // their list must fit into one frame

  explicit task_table(std::shared_ptr<rt::detail::log_queue> log) : log_(std::move(log)) {}
  task_table(const task_table&) = delete;
  task_table& operator=(const task_table&) = delete;

  /// Starts a task of a plugin. @throws request_error no_such_entry, task_exists, too_many_tasks, shutting_down,
  /// start_failed (no stack for its first green thread).
  void start(std::shared_ptr<const loaded_plugin> plugin, rt::detail::task_spec spec);

  /// Stops a task by the ladder; each rung is noted as it is taken, and "stuck", once, when the last one's time is
  /// over. A later call can only shorten what is left. @throws request_error no_such_task
  void stop(std::string_view id, const stop_ladder& ladder);

  /// Changes a task's part of the CPU. @throws request_error no_such_task
  void set_share(std::string_view id, std::uint32_t weight, rt::detail::share_class scheduling);

  /// Changes a task's limits. @throws request_error no_such_task
  void set_limits(std::string_view id, const rt::detail::task_limits& limits);

  /// Stops all tasks and starts none any more.
  void stop_all(std::chrono::nanoseconds grace);

  /// Notes the tasks whose grace is over. Returns when to look again; nothing when no task is being stopped.
  std::optional<clock::time_point> check_deadlines(clock::time_point now);

  std::vector<std::shared_ptr<rt::detail::task_state>> list() const;
  bool empty() const;

  /// Has the tasks log how many of their lines were dropped, and adds to `notes` the limits that they have met. Returns
  /// when to look again although nothing was told. The reporting thread's, before it takes log lines.
  std::optional<clock::time_point> look_at_limits(std::vector<task_note>& notes);

  /// The notes since the last call, oldest first. Tasks that have ended are out of the table before their end is handed
  /// out, so that a start with the same id succeeds as soon as the supervisor has heard of the end. May wait some
  /// microseconds for the last green thread of such a task. The reporting thread's.
  std::vector<task_note> take_notes();

 private:
  enum class stop_rung : std::uint8_t { none, drain, cancel, unwind, stuck };
  struct running_task {
    // The plugin must outlive the state, whose parameters and callbacks do not, but whose green threads do run it.
    std::shared_ptr<const loaded_plugin> plugin;
    std::shared_ptr<rt::detail::task_state> state;
    stop_ladder ladder;
    stop_rung rung = stop_rung::none;
    std::optional<clock::time_point> deadline;  // of the rung
  };
  struct raw_note {
    const rt::detail::task_state* task;  // null: the id stands in the note
    rt::detail::task_phase phase;
    task_note note;
  };

  static void add_met_limits(rt::detail::task_state& task, std::vector<task_note>& notes);
  void note_phase(rt::detail::task_state& task, rt::detail::task_phase phase, const std::string& error) noexcept;
  void add_note(raw_note note);
  void stop_locked(const std::string& id, running_task& task, const stop_ladder& ladder, clock::time_point now);
  void climb(const std::string& id, running_task& task, clock::time_point now);

  std::shared_ptr<rt::detail::log_queue> log_;
  mutable std::mutex lock_;  // never taken by a green thread
  std::map<std::string, running_task, std::less<>> tasks_;
  bool closing_ = false;
  std::atomic<bool> limit_met_{false};          // a task has
  std::optional<clock::time_point> drops_due_;  // the reporting thread's, as look_at_limits
  rt::os::spin_lock notes_lock_{rt::os::lock_rank::none};
  std::vector<raw_note> notes_ RT_GUARDED_BY(notes_lock_);
};

}  // namespace rtd::host
