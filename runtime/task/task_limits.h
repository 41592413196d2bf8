// What a task may have, as its configuration says, and what became of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "runtime/sched/limits.h"

namespace rt::detail {

/// The limits of a task. All may be changed while it runs.
struct task_limits {
  /// Of its memory on the collected heap, in bytes of pages; SIZE_MAX: none (gc/task_limits.cpp).
  std::size_t heap_soft = SIZE_MAX;
  std::size_t heap_hard = SIZE_MAX;
  std::uint64_t green_threads = no_limit;  ///< that exist at a time (sched/green_thread_limit.cpp)
  std::uint64_t connections = no_limit;    ///< that are open at a time (sched/connection_account.h)
  std::uint64_t log_rate = 0;              ///< lines a second; 0: without limit
  std::uint64_t log_burst = 1;             ///< lines at once
  double cpus = 0;                         ///< CPUs' worth of time (sched/cpu_quota.cpp); 0: any
};

/// How a task stands to its limits. The totals count since its start.
struct task_limit_figures {
  std::uint64_t green_threads_limit = no_limit;
  std::uint64_t green_threads_refused = 0;  ///< starts that threw
  std::uint64_t connections = 0;            ///< open now
  std::uint64_t connections_limit = no_limit;
  std::uint64_t connections_refused = 0;  ///< dials that failed
  std::uint64_t accept_waits = 0;         ///< accepts that waited for a connection to be closed
  std::uint64_t log_rate = 0;             ///< lines a second; 0: without limit
  std::uint64_t log_lines_dropped = 0;
  double cpus = 0;  ///< CPUs' worth of time; 0: without limit
  double throttled_seconds = 0;
  std::uint64_t throttles = 0;  ///< times that it had used its CPU time, and waited
};

/// A limit that the task has met: which, and what that means, in words with the remedy.
struct met_limit {
  limit_kind kind;
  std::string text;
};
/// The limit's key below `limits` in the configuration.
const char* to_text(limit_kind kind) noexcept;

}  // namespace rt::detail
