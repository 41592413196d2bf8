// The parts that a page is put together from.
#pragma once

#include "daemon/metrics/page.h"
#include "daemon/metrics/snapshot.h"

namespace rtd::metrics {

void add_daemon(page& to, const daemon_snapshot& snapshot);
void add_supervisor_process(page& to, const process_figures& process);
void add_sandbox(page& to, const sandbox_snapshot& sandbox);
void add_runtime(page& to, const std::string& sandbox, const runtime_figures& runtime);
void add_heap(page& to, const std::string& sandbox, const heap_figures& heap);
void add_task_heap(page& to, const label_list& labels, const task_heap_figures& heap);
void add_task_limits(page& to, const label_list& labels, const task_limit_figures& figures);
void add_go_heap_names(page& to, const std::string& sandbox, const heap_figures& heap);
void add_go_names(page& to, const sandbox_snapshot& sandbox);
void add_plugins_and_tasks(page& to, const sandbox_snapshot& sandbox);

/// Appends the metrics that tasks export; returns how many were left out because their name is taken.
std::uint64_t append_task_metrics(page& to, const std::vector<sandbox_snapshot>& sandboxes);

}  // namespace rtd::metrics
