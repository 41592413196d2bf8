// What every part of the supervisor needs. The objects outlive all parts.
#pragma once

#include "daemon/supervisor/event_log.h"
#include "daemon/supervisor/io/loop.h"
#include "daemon/supervisor/log.h"

namespace rtd::supervisor {

struct services {
  loop& events_loop;
  log& lines;
  event_log& events;
};

}  // namespace rtd::supervisor
