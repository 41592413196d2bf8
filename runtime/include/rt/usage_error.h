// The error of calls that are wrong in themselves.
#pragma once

#include <stdexcept>

namespace rt {

/// A call that is wrong whatever the state of the world: unlocking what is not locked, sending on a closed channel, a
/// negative wait group. The text names the call, what is wrong, and the remedy.
///
/// Calls that may throw throw it, so it fails the task unless it is caught. Those that may not, because destructors
/// call them (unlock, release, done), change nothing, fail the task with it and cancel the task's green threads, which
/// unwind at their next blocking call. In a plain program without a task the process ends with a report.
class usage_error : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

}  // namespace rt
