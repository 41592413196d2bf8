// From a snapshot to the text that Prometheus reads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/metrics/snapshot.h"

namespace rtd::metrics {

/// The Content-Type of the page. Prometheus 3 refuses a page without it.
inline constexpr const char* content_type = "text/plain; version=0.0.4; charset=utf-8";

/// Tasks of one sandbox that are shown by name; those beyond are summed up as task="_other".
inline constexpr std::size_t max_tasks_by_name = 1000;

struct render_report {
  std::uint64_t conflicts = 0;  ///< task metrics left out of this page because their name is taken
};

/// The page in Prometheus' text format 0.0.4. Takes some milliseconds for thousands of series; does no I/O.
///
/// Task metrics stand under their own names with the labels sandbox, plugin and task added. Those of tasks that the
/// snapshot does not have are left out. When two tasks use one name with different types or help texts the first one
/// in the snapshot keeps the name; `report` tells how many were left out, to be added to task_metric_conflicts_total
/// of the next snapshot (the page shows the sum of both).
std::string render(const daemon_snapshot& snapshot, render_report* report = nullptr);

/// One family of the daemon's own (not of tasks), for the documentation and the test of names.
struct family_description {
  std::string name;
  std::string type;    ///< counter, gauge, histogram, summary
  std::string labels;  ///< "sandbox, state"; empty for none
  std::string unit;    ///< seconds, bytes, or empty
  std::string help;
};

/// All families that a page can have, in the order of the page.
const std::vector<family_description>& all_families();

}  // namespace rtd::metrics
