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

namespace rtd::supervisor {

enum class task_state : std::uint8_t { starting, running, stopping, stopped, completed, failed, backoff, fatal };
std::string_view to_string(task_state state) noexcept;

/// A state that the task leaves only when someone asks for it.
constexpr bool is_final(task_state state) noexcept {
  return state == task_state::stopped || state == task_state::completed || state == task_state::failed ||
         state == task_state::fatal;
}

/// How a run of the task ended.
struct task_exit {
  std::string reason;  // completed, failed, cancelled, crashed, host, stuck, refused
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

  managed_task(loop& on, std::string task_name, config::task what, bool from_config);

  /// Changes the state and writes it into the history.
  void enter(task_state next, std::string message);

  /// `ps`' row. `statistics` is what the host says about the task, or null.
  nlohmann::json to_json(const metrics::host_task* statistics) const;
  /// `task.inspect`'s answer but for the row.
  nlohmann::json details() const;
  metrics::task_figures figures() const;

  const std::string name;
  config::task spec;
  bool configured;

  task_state state = task_state::stopped;
  bool wanted = false;   // it should run whenever its sandbox is up
  bool in_host = false;  // task.start was sent to the present host, and no end was heard yet
  bool start_after_stop = false;
  bool remove_after_stop = false;
  std::uint64_t run = 0;  // grows with each start: answers about a former run are recognised by it
  std::uint64_t restarts = 0;
  std::optional<std::chrono::system_clock::time_point> started_at;  // of the present or last run
  clock::time_point started{};
  std::optional<task_exit> last_exit;
  std::deque<task_history_entry> history;
  metrics::count_map runs_total;
  double cpu_seconds_of_ended_runs = 0;
  backoff delays;
  timer backoff_timer;
  timer stop_timer;
  task_waiters settled_waiters;  // called once when it runs, or has reached a final state
  task_waiters stop_waiters;     // called once when it has stopped, even if only to start again
  task_waiters final_waiters;    // called once when it has reached a final state
};

}  // namespace rtd::supervisor
