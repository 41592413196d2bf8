// One task: what it is, how it stands, what happened to it. task_table.h makes it live.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/config.h"
#include "daemon/metrics/snapshot.h"
#include "daemon/supervisor/backoff.h"
#include "daemon/supervisor/io/timer.h"
#include "daemon/supervisor/task_listeners.h"

namespace rtd::supervisor {

enum class task_state : std::uint8_t {
  starting,
  running,
  stopping,
  stopped,
  completed,
  failed,
  backoff,
  fatal,
  listening,  // no run; the next connection to one of its listeners starts one
};
std::string_view to_string(task_state state) noexcept;

/// A state that the task leaves only when someone asks for it.
constexpr bool is_final(task_state state) noexcept {
  return state == task_state::stopped || state == task_state::completed || state == task_state::failed ||
         state == task_state::fatal;
}

/// It is where its start was to lead, or will not get there.
constexpr bool is_settled(task_state state) noexcept {
  return state == task_state::running || state == task_state::listening || is_final(state);
}

/// How a run of the task ended.
struct task_exit {
  std::string reason;  // completed, failed, cancelled, crashed, host, stuck, refused, daemon
  std::string error;
  std::chrono::system_clock::time_point at{};
};

struct task_history_entry {
  std::chrono::system_clock::time_point at{};
  task_state state;
  std::string message;
};

/// Somebody who waits for the task to reach a state. `of` is the connection that asked, if one did: when it is gone
/// nobody waits any more.
struct task_waiter {
  std::function<void()> done;
  std::optional<std::weak_ptr<void>> of;
  bool gone() const { return of && of->expired(); }
};
using task_waiters = std::vector<task_waiter>;

class managed_task {
 public:
  static constexpr std::size_t history_entries = 50;

  /// `changed` is called after each change that the state file is to have.
  managed_task(loop& on, std::string task_name, config::task what, bool from_config,
               std::function<void()> changed = nullptr);

  /// Changes the state and writes it into the history.
  void enter(task_state next, std::string message);

  /// `ps`' row. `statistics` is what the host says about the task, or null.
  nlohmann::json to_json(const metrics::host_task* statistics) const;
  /// `task.inspect`'s answer but for the row.
  nlohmann::json details() const;
  metrics::task_figures figures() const;
  /// When it starts by itself the next time; nothing when nothing is planned.
  std::optional<std::chrono::system_clock::time_point> next_start() const;

  const std::string name;
  config::task spec;
  bool configured;

  task_state state = task_state::stopped;
  bool wanted = false;     // it should run whenever its sandbox is up
  bool keep = false;       // it is started again with the daemon, if it is wanted then
  bool in_host = false;    // task.start was sent to the present host, and no end was heard yet
  std::string rung;        // of the stop that is under way or ended it: drain, cancel, unwind, kill; empty: none
  bool held = false;       // it waits for its turn (task_dependencies.cpp)
  std::string waits;       // what it waits for while it is `starting`, in words
  bool stop_now = false;   // the stop leaves out draining and cancelling
  bool held_back = false;  // it is being stopped because of what it requires, and will wait for that
  bool start_after_stop = false;
  bool remove_after_stop = false;
  std::uint64_t run = 0;  // grows with each start: answers about a former run are recognised by it
  std::uint64_t restarts = 0;
  std::uint64_t deadlocks = 0;                                      // as its hosts told
  metrics::count_map stops_total;                                   // by the rung that ended it
  std::optional<std::chrono::system_clock::time_point> started_at;  // of the present or last run
  clock::time_point started{};
  std::optional<task_exit> last_exit;
  std::deque<task_history_entry> history;
  metrics::count_map runs_total;
  double cpu_seconds_of_ended_runs = 0;
  std::optional<std::chrono::system_clock::time_point> planned;         // the next start by the schedule
  std::optional<std::chrono::system_clock::time_point> last_scheduled;  // the last one
  bool queued = false;                                                  // one more start when this run has ended
  metrics::count_map overlaps_total;  // scheduled starts during a run: skipped, queued
  task_listeners listeners;
  backoff delays;
  timer backoff_timer;
  timer stop_timer;
  timer schedule_timer;
  task_waiters settled_waiters;  // called once when is_settled
  task_waiters stop_waiters;     // called once when it has stopped, even if only to start again
  task_waiters final_waiters;    // called once when it has reached a final state

 private:
  std::function<void()> changed_;
};

}  // namespace rtd::supervisor
