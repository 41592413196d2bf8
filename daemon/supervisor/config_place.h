// Line and column of a thing in the configuration file, for problems that only show when the thing is tried.
#pragma once

#include <string>

#include "daemon/config/problem.h"

namespace rtd::supervisor {

/// Fills in line and column from the problem's pointer, as far as the file has that place.
void place_problem(config::problem& problem, const std::string& file);

}  // namespace rtd::supervisor
