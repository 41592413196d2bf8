// The rules of a task's `schedule`. For workload_sections.cpp alone.
#pragma once

#include <optional>

#include "daemon/config/config.h"
#include "daemon/config/reader.h"

namespace rtd::config {

void read_schedule(const value& from, std::optional<schedule_settings>& to);

}  // namespace rtd::config
