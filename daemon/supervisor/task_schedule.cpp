// The part of the task table that starts tasks by the clock.
//
// Invariants:
//   1. Of a scheduled task at most one start is planned, and it is the first one that its schedule has from now on;
//   what
//      passed while the daemon was not there is not made up for. (An interval goes from start to start, and a start
//      that is overdue comes at once, the first one too.)
//   2. A scheduled start never stops or doubles a run: it is left out, counted and told, or queued.
//   3. The clock may be set at any moment, and the machine may sleep. So no timer is trusted for longer than
//      `longest_look`; whether the time has come is asked of the clock on the wall.
#include <algorithm>

#include "daemon/protocol/text.h"
#include "daemon/supervisor/task_table.h"

namespace rtd::supervisor {
namespace {

using std::chrono::system_clock;

constexpr std::chrono::seconds longest_look{30};

}  // namespace

void task_table::plan(managed_task& task) {
  task.schedule_timer.cancel();
  task.planned.reset();
  if (!task.spec.schedule || !task.spec.autostart || around_.daemon_stops()) {
    task.queued = false;
    return;
  }
  const config::schedule_settings& schedule = *task.spec.schedule;
  const auto now = system_clock::now();
  if (schedule.when) {
    task.planned = config::next_time(*schedule.when, now, schedule.zone);
  } else {
    const auto every = std::chrono::duration_cast<system_clock::duration>(schedule.every);
    // A last start that lies ahead: the clock was set back.
    const bool known = task.last_scheduled && *task.last_scheduled <= now;
    task.planned = known ? std::max(now, *task.last_scheduled + every) : now;
  }
  if (task.planned) look_at_clock(task);
}

void task_table::look_at_clock(managed_task& task) {
  const auto left = *task.planned - system_clock::now();
  const auto wait = std::clamp<std::chrono::nanoseconds>(left, std::chrono::nanoseconds(0), longest_look);
  task.schedule_timer.start(wait, [this, name = task.name] {
    managed_task* due = find(name);
    if (around_.daemon_stops() || due == nullptr || !due->planned || !due->spec.schedule) return;
    const auto now = system_clock::now();
    if (now >= *due->planned) return scheduled_start(*due);
    // Not yet; and when the clock was set back, the planned time may not be the next one any more.
    const config::schedule_settings& schedule = *due->spec.schedule;
    if (schedule.when) due->planned = config::next_time(*schedule.when, now, schedule.zone);
    if (due->planned) look_at_clock(*due);
  });
}

void task_table::scheduled_start(managed_task& task) {
  const auto planned = *task.planned;
  task.last_scheduled = system_clock::now();
  plan(task);
  if (is_final(task.state)) {
    with_.events.add(log_level::debug, "task_scheduled", task.spec.sandbox, task.name,
                     "task " + task.name + " is started by its schedule", {{"planned_at", protocol::rfc3339(planned)}});
    return start(task);
  }
  const bool queue = task.spec.schedule->overlap == config::overlap_policy::queue;
  ++task.overlaps_total[queue && !task.queued ? "queued" : "skipped"];
  with_.events.add(log_level::warn, "task_overlap", task.spec.sandbox, task.name,
                   "task " + task.name + " was to be started by its schedule and is " +
                       std::string(to_string(task.state)) + ": " +
                       (!queue        ? "the start is left out"
                        : task.queued ? "one start is queued already"
                                      : "it is started when this run has ended"),
                   {{"planned_at", protocol::rfc3339(planned)}});
  task.queued = queue;
}

// The run that a queued start waited for is over. From the loop: whoever ended it has not finished with it.
void task_table::start_queued(managed_task& task) {
  if (!task.queued || !is_final(task.state)) return;
  task.queued = false;
  with_.events_loop.post([this, alive = alive_, name = task.name] {
    if (!*alive || around_.daemon_stops()) return;
    if (managed_task* next = find(name); next != nullptr && is_final(next->state)) start(*next);
  });
}

}  // namespace rtd::supervisor
