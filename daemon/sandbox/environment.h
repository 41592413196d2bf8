// The environment of a host.
#pragma once

#include <string>
#include <vector>

namespace rtd::sandbox {

/// "NAME=value" strings: a fixed PATH and LANG, and of the supervisor's own environment only what steers the runtime
/// and its checkers (RT_DEBUG, TZ, the sanitizers' options). Nothing else is for plugins to see: units and shells keep
/// tokens in there.
std::vector<std::string> host_environment();

}  // namespace rtd::sandbox
