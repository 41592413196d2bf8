// Where the current kernel thread keeps its M (sched/processor.h); see rt/worker_head.h.
#pragma once

#include "rt/worker_head.h"

namespace rt::os {

/// Sets what worker_slot() returns; once at the start of an M's thread and once at its end, never by a green thread.
void set_worker_slot(worker_head* worker) noexcept;

}  // namespace rt::os
