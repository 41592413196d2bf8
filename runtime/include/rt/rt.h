// All of the runtime's public face.
#pragma once

#include "rt/blocking.h"  // IWYU pragma: export
#include "rt/chan.h"      // IWYU pragma: export
#include "rt/go.h"        // IWYU pragma: export
#include "rt/metrics.h"   // IWYU pragma: export
#include "rt/net.h"       // IWYU pragma: export
#include "rt/plugin.h"    // IWYU pragma: export
#include "rt/runtime.h"   // IWYU pragma: export
#include "rt/select.h"    // IWYU pragma: export
#include "rt/sync.h"      // IWYU pragma: export
#include "rt/task.h"      // IWYU pragma: export
#include "rt/time.h"      // IWYU pragma: export
