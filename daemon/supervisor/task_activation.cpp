// The part of the task table that starts tasks by connections.
//
// Invariants:
//   1. The supervisor only looks whether somebody stands in the queue of a listener; it accepts nobody. So no client is
//      lost between two runs, whoever dies, and what a client sends is never the supervisor's to read.
//   2. It looks only while the task is `listening`. Connections during a run cost it nothing.
//   3. However a run ends, the task listens again, at once or after a delay: who waits then starts the next run at
//   once.
//      The delay and the limit of restarts are those of the policy. They are for runs that failed, and for those that
//      ended without having accepted anybody: the client that started such a run may wait still, and would start one
//      after the other.
// Rejected: handing the accepted connection over, as inetd did (a run for each, and the supervisor in the middle of all
// traffic); counting what waits in the queue to see whether a run has taken anybody (the system does not tell it of a
// unix socket, and others come meanwhile), so the host tells whether the run has accepted.
#include <string>

#include "daemon/supervisor/task_table.h"

namespace rtd::supervisor {

void task_table::begin(managed_task& task) {
  if (!task.spec.start_on_connection) return start(task);
  if (task.state == task_state::listening) return;
  if (!is_final(task.state) && task.state != task_state::backoff) return start(task);
  task.wanted = true;
  task.remove_after_stop = false;
  task.backoff_timer.cancel();
  task.delays.reset();
  await_connection(task, "waits for a connection");
}

void task_table::await_connection(managed_task& task, const std::string& why) {
  if (around_.daemon_stops()) return;
  std::string problem = task.listeners.open(task.spec.listen);
  if (!problem.empty()) return refuse(task, problem);
  problem = task.listeners.wait(with_.events_loop, [this, name = task.name](const std::string& address) {
    if (managed_task* waiting = find(name)) connected(*waiting, address);
  });
  if (!problem.empty()) {
    run_ended(task, "failed", problem, "error");
    return apply_policy(task, true, problem);
  }
  task.enter(task_state::listening, why);
  settle(task);
}

void task_table::connected(managed_task& task, const std::string& address) {
  if (task.state != task_state::listening || around_.daemon_stops()) return;
  with_.events.add(log_level::info, "task_connected", task.spec.sandbox, task.name,
                   "task " + task.name + " is started: somebody connects to " + address, {{"address", address}});
  launch(task);
  start_required(task);
}

// A run has ended without a failure.
void task_table::connections_served(managed_task& task, bool has_accepted) {
  with_.events.add(log_level::info, "task_completed", task.spec.sandbox, task.name, "task " + task.name + " completed");
  if (!has_accepted) return start_later(task, "it ended without having accepted a connection");
  task.delays.reset();
  await_connection(task, "completed; waits for the next connection");
}

}  // namespace rtd::supervisor
