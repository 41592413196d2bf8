// Locks, counters and caches that park the green thread, never the kernel thread.
#pragma once

#include "rt/condition.h"        // IWYU pragma: export
#include "rt/local.h"            // IWYU pragma: export
#include "rt/mutex.h"            // IWYU pragma: export
#include "rt/once.h"             // IWYU pragma: export
#include "rt/pool.h"             // IWYU pragma: export
#include "rt/semaphore.h"        // IWYU pragma: export
#include "rt/sharded_counter.h"  // IWYU pragma: export
#include "rt/shared_mutex.h"     // IWYU pragma: export
#include "rt/wait_group.h"       // IWYU pragma: export
