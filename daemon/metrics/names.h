// Prometheus' rules for names and labels, as far as this daemon lets tasks use them.
#pragma once

#include <string_view>

#include "daemon/metrics/host_stats.h"

namespace rtd::metrics {

/// The longest name of a metric or label that is taken, in bytes.
inline constexpr std::size_t max_metric_name_bytes = 200;
/// The longest label value, in bytes; longer ones are cut.
inline constexpr std::size_t max_label_value_bytes = 1024;

/// Whether a task may give a metric of this type this name: [a-z_][a-z0-9_]*; counters and only they end in _total;
/// none ends in _bucket, _sum or _count, as samples of histograms do.
bool is_metric_name(std::string_view name, metric_type type) noexcept;

/// Whether the name belongs to the daemon's own metrics: rtd_, go_, process_, promhttp_, scrape_, up.
bool is_reserved_name(std::string_view name) noexcept;

/// Whether a task may use this label: [a-zA-Z_][a-zA-Z0-9_]*, not beginning with "__", and none of sandbox, plugin,
/// task, le, quantile, which the page adds itself.
bool is_label_name(std::string_view name) noexcept;

}  // namespace rtd::metrics
