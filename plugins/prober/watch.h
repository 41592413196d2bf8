// Watching a target: checks on a schedule, metrics, and a line in the log when its state changes.
#pragma once

#include <rt/sync.h>
#include <rt/task.h>

#include <cstddef>
#include <cstdint>
#include <map>

#include "plugins/prober/probe.h"
#include "plugins/prober/settings.h"

namespace prober {

/// What all targets of a task have in common: the status that `rtctl ps` shows, and failures by reason. Its members may
/// be called from any green thread of the task.
class board {
 public:
  board(const rt::task& self, std::size_t targets);

  /// A target has its first state (`was_known` false) or another one. May park.
  void changed(bool was_known, bool up);
  /// A check failed.
  void failed(failure reason) const { failures_.at(reason).add(); }

 private:
  void show();

  const rt::task& task_;
  const std::size_t targets_;
  std::map<failure, rt::counter> failures_;
  rt::mutex mutex_;  // held over set_status, so that an older status never comes after a newer one
  std::size_t unknown_;
  std::size_t down_ = 0;
};

/// Checks one target again and again, the first time after `delay`, until it is cancelled.
void watch(const rt::task& self, board& all, const settings& how, const target& what, rt::duration delay);

}  // namespace prober
