// The rules of what a sandbox says of its collector, and a task of its memory. For workload_sections.cpp alone.
#pragma once

#include "daemon/config/config.h"
#include "daemon/config/reader.h"

namespace rtd::config {

/// Each fills its target as far as the document is right and reports the rest.
void read_gc(const value& from, gc_settings& to);
void read_task_limits(const value& from, task_limit_settings& to);

}  // namespace rtd::config
