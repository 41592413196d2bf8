// The rules of a sandbox's "isolation". For workload_sections.cpp alone.
#pragma once

#include "daemon/config/config.h"
#include "daemon/config/reader.h"

namespace rtd::config {

/// Fills its target as far as the document is right and reports the rest.
void read_isolation(const value& from, isolation_settings& to);

}  // namespace rtd::config
