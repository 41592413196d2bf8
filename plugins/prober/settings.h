// The task's parameters, read and checked.
#pragma once

#include <rt/task.h>

#include <vector>

#include "plugins/prober/expectation.h"
#include "plugins/prober/target.h"

namespace prober {

struct settings {
  std::vector<target> targets;
  rt::duration interval;  ///< from the start of a check to the start of the next one of the same target
  rt::duration timeout;   ///< of one check; at most the interval, so that checks of a target never overlap
  rt::duration jitter;    ///< the first check of each target comes at a random moment within this time
  expectation expected;
};

/// Targets that one task may have: each has up to seven series, and a task at most 1 000.
inline constexpr std::size_t most_targets = 140;

/// @throws rt::bad_parameter naming the parameter, its value and what it may be.
settings read_settings(const rt::task& self);

}  // namespace prober
