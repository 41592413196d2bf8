// All of the runtime's public face.
#pragma once

#include "rt/arena.h"        // IWYU pragma: export
#include "rt/blocking.h"     // IWYU pragma: export
#include "rt/chan.h"         // IWYU pragma: export
#include "rt/cleanup.h"      // IWYU pragma: export
#include "rt/context.h"      // IWYU pragma: export
#include "rt/coroutine.h"    // IWYU pragma: export
#include "rt/gc.h"           // IWYU pragma: export
#include "rt/gc_stats.h"     // IWYU pragma: export
#include "rt/go.h"           // IWYU pragma: export
#include "rt/make.h"         // IWYU pragma: export
#include "rt/map.h"          // IWYU pragma: export
#include "rt/metrics.h"      // IWYU pragma: export
#include "rt/net.h"          // IWYU pragma: export
#include "rt/plugin.h"       // IWYU pragma: export
#include "rt/profile.h"      // IWYU pragma: export
#include "rt/ref.h"          // IWYU pragma: export
#include "rt/runtime.h"      // IWYU pragma: export
#include "rt/select.h"       // IWYU pragma: export
#include "rt/string.h"       // IWYU pragma: export
#include "rt/sync.h"         // IWYU pragma: export
#include "rt/task.h"         // IWYU pragma: export
#include "rt/time.h"         // IWYU pragma: export
#include "rt/usage_error.h"  // IWYU pragma: export
#include "rt/vector.h"       // IWYU pragma: export
#include "rt/weak.h"         // IWYU pragma: export
