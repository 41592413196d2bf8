// Reads the metrics that tasks export out of a host's answer, within the limits of the page.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "daemon/metrics/host_stats.h"

namespace rtd::metrics {

/// Appends the metrics of `list` to `into.metrics` and counts in `into.series_dropped_total` what cannot be shown.
/// @throws bad_answer for a wrong structure.
void read_task_metrics(const nlohmann::json& list, host_snapshot& into);

}  // namespace rtd::metrics
