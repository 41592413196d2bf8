// The answer to "heap.why".
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "daemon/host/task_table.h"

namespace rtd::host {

/// The path of references to the object at the address (hexadecimal digits): {"object", "root", "steps",
/// "steps_left_out", "objects_looked_at"}, or {"problem"} when there is none. Makes a collection, in the last stop of
/// which everything that is reachable is looked at. Blocks.
nlohmann::json explain_object(const std::string& address, const task_table& tasks);

}  // namespace rtd::host
