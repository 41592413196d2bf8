// What the model has in the place of the operating system: a clock that threads of the execution move, locks that wait,
// a barrier on all threads, whole pages that go with the execution, and an end for the process that is a failure of the
// execution.
#pragma once

#include <cstdint>

namespace rt_model {

/// The steady clock of the execution, in ns; 0 at its beginning when the body says so.
void set_time(std::int64_t now);
/// While set, os::process_barrier does nothing: for tests that show what it is for. False at the start.
extern bool leave_out_barriers;

}  // namespace rt_model
