// The host's figures as they go over the link.
#pragma once

#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "rt/runtime.h"
#include "runtime/task/task_state.h"

namespace rtd::host {

/// What the metrics of all tasks together may take of one answer: bytes, estimated from above, and JSON values. Both
/// stay well below the link's limits; what goes beyond is left out, whole series at a time.
inline constexpr std::size_t most_metric_bytes = 5U << 20U;
inline constexpr std::size_t most_metric_values = 500'000;

/// Every field of the runtime's figures, under its C++ name.
nlohmann::json to_json(const rt::runtime_stats& figures);

/// A task's line of the list.
nlohmann::json to_json(const rt::detail::task_state& task);

/// The metrics of tasks, and how many of their series there was no room for. A value that is no finite number is
/// null: JSON has none.
struct metrics_json {
  nlohmann::json families = nlohmann::json::array();
  std::size_t left_out = 0;
};
metrics_json metrics_of(const std::vector<std::shared_ptr<rt::detail::task_state>>& tasks);

/// What malloc holds: {"in_use_bytes", "arena_bytes"}.
nlohmann::json malloc_json();

}  // namespace rtd::host
