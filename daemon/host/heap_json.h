// The figures of the collected heap and its collector as they go over the link.
#pragma once

#include <nlohmann/json.hpp>

#include "rt/gc.h"
#include "rt/gc_stats.h"
#include "runtime/heap/task_heap.h"

namespace rtd::host {

/// The fields of rt::mem_stats under their C++ names, but for the rings of pauses, of which "pause_quantiles" tells the
/// least, the quartiles and the largest in seconds. "by_size" has [size, mallocs, frees] for each class. What has no
/// limit is null.
nlohmann::json to_json(const rt::mem_stats& figures);

/// The fields of rt::gc_stats under their C++ names; what is off or has no limit is null.
nlohmann::json to_json(const rt::gc_stats& figures);

/// Of one task; a limit that it has not is null.
nlohmann::json to_json(const rt::detail::owner_figures& figures, std::size_t soft_limit, std::size_t hard_limit);

}  // namespace rtd::host
