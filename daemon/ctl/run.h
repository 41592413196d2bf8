// rtctl as a function: what main calls.
#pragma once

#include "daemon/ctl/console.h"

namespace rtd::ctl {

/// Runs the command line and returns the exit status. Blocks as long as the command does; not thread-safe.
int run(int argc, const char* const* argv, const streams& where);

}  // namespace rtd::ctl
