// All tasks, and what makes them go: starting them when their sandbox is up, hearing how they end, starting them again
// by their policy, stopping them.
//
// Invariants:
//   1. A task that is `wanted` is started whenever its sandbox comes up, so a host's death brings all of them back.
//   2. A host's death counts against a task's max_restarts only when the crash report names the task; the others are
//      the victims. A victim with policy "never" fails instead: what must not run twice must not run twice.
//   3. Tasks keep the order of `after` and `requires` (task_dependencies.cpp has the rules).
//   4. Scheduled tasks are started by the clock (task_schedule.cpp has the rules).
//   5. A task that starts by connection is `listening` while it has no run, and nobody accepts but its runs
//      (task_activation.cpp has the rules).
//   6. Whoever waits for a task is told exactly once, when the task has got there or is removed; unless the connection
//      that asked is gone.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/supervisor/managed_sandbox.h"
#include "daemon/supervisor/managed_task.h"
#include "daemon/supervisor/services.h"

namespace rtd::supervisor {

class task_table {
 public:
  /// Finished tasks that were started by hand and are still listed; the oldest ones are forgotten.
  static constexpr std::size_t finished_kept = 200;

  /// What the table needs of the daemon.
  struct surroundings {
    std::function<managed_sandbox*(const std::string& sandbox)> find_sandbox;
    std::function<std::string(const std::string& plugin)> plugin_path;  // empty: there is no such plugin
    std::function<void()> changed;                                      // the state file is to be written anew
    std::function<bool()> daemon_stops;                                 // all hosts are being ended for good
  };

  task_table(services with, surroundings around);
  ~task_table();
  task_table(const task_table&) = delete;
  task_table& operator=(const task_table&) = delete;

  /// The task of that name, or null. @throws protocol::rpc_error (not_found) with "did you mean".
  managed_task* find(std::string_view name);
  managed_task& get(std::string_view name);
  const std::map<std::string, std::unique_ptr<managed_task>, std::less<>>& all() const noexcept { return tasks_; }

  /// Adds a task; it begins when `start`. Replaces a finished one of the same name.
  /// @throws protocol::rpc_error (already_exists).
  managed_task& add(std::string name, config::task spec, bool configured, bool start);
  /// Removes a task, stopping it first. `done` is called when it is gone.
  void remove(const std::string& name, std::function<void()> done);

  /// Starts a task that is not running. A start that follows a failure waits for nothing.
  void start(managed_task& task);
  /// Starts it as the daemon's start or a reload does: at once, or with the first connection.
  void begin(managed_task& task);
  /// Stops it. `done` is called when it has stopped (or had ended before).
  void stop(managed_task& task, std::chrono::nanoseconds grace, task_waiter who);
  void restart(managed_task& task);
  /// Calls `done` when the task runs or has ended for good: at once, if it has already.
  void when_settled(managed_task& task, task_waiter who);
  /// Tells the host of a running task its weight and class, which have changed.
  void send_share(const managed_task& task);
  /// The same of the limits of its memory.
  void send_limits(const managed_task& task);

  /// Calls `done` when the task has ended for good.
  void when_final(managed_task& task, task_waiter who);

  /// Plans the next start of a task by its schedule, or none: when it was added, and when its settings changed.
  void plan(managed_task& task);
  /// Lets tasks start whose time has come by their order, and holds those back that may not run: after changes of the
  /// order itself. The table does it after changes of states.
  void reconsider_soon();
  /// Ends the tasks that have an order between them, each before those that it depends on, and starts none any more;
  /// `done` is told then. For the daemon's end.
  void stop_in_order(std::function<void()> done);

  // What happens to sandboxes.
  void sandbox_up(managed_sandbox& sandbox);
  void sandbox_down(managed_sandbox& sandbox, const host_end& end);
  void task_told(managed_sandbox& sandbox, const task_event& event);

  /// A name for a task started by hand: PLUGIN-ENTRY-N.
  std::string free_name(const std::string& plugin, const std::string& entry);

 private:
  void launch(managed_task& task);
  void end(managed_task& task, std::chrono::nanoseconds grace);
  void hurry(managed_task& task, std::chrono::nanoseconds grace);
  void climbed(managed_task& task, const std::string& rung);

  // Order (task_dependencies.cpp).
  std::string blocked_by(const managed_task& task) const;  // empty: it may run
  bool hold(managed_task& task);
  void start_required(const managed_task& task);
  std::vector<std::string> active_dependents(const std::string& name) const;
  bool stop_dependents(managed_task& task, std::chrono::nanoseconds grace);
  void hold_back(managed_task& task, std::function<void()> done);
  void reconsider();

  // Schedules (task_schedule.cpp).
  void look_at_clock(managed_task& task);
  void scheduled_start(managed_task& task);
  void start_queued(managed_task& task);

  // Starts by connection (task_activation.cpp).
  void await_connection(managed_task& task, const std::string& why);
  void connected(managed_task& task, const std::string& address);
  void connections_served(managed_task& task, bool has_accepted);

  void send_start(managed_task& task, managed_sandbox& sandbox);
  void refuse(managed_task& task, const std::string& why);
  void deadlocked(managed_task& task, managed_sandbox& sandbox, const std::string& what);
  void run_ended(managed_task& task, const std::string& reason, const std::string& error, const std::string& status);
  void apply_policy(managed_task& task, bool failed, const std::string& why);
  void start_later(managed_task& task, const std::string& why);
  void stopped(managed_task& task);
  void settle(managed_task& task);
  void settle_soon(managed_task& task);
  std::vector<std::string> names_in(const managed_sandbox& sandbox) const;
  void forget_finished();

  services with_;
  surroundings around_;
  std::map<std::string, std::unique_ptr<managed_task>, std::less<>> tasks_;
  std::uint64_t next_number_ = 1;
  bool reconsidering_ = false;  // a look at all tasks is on its way
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace rtd::supervisor
