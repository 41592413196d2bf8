// The order between tasks: `after` and `requires`.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "daemon/config/config.h"

namespace rtd::config {

/// Circles in which tasks wait for each other, each as its names in the order of the references, the alphabetically
/// first one in front. Not every circle, but one at least for each task that can never start for its own sake: circles
/// that share no task are all there. Names of tasks that do not exist are passed over.
std::vector<std::vector<std::string>> cycles_of(const std::map<std::string, task>& tasks);

}  // namespace rtd::config
