#include "daemon/metrics/names.h"

#include <algorithm>
#include <array>

namespace rtd::metrics {

namespace {

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

bool is_metric_name(std::string_view name, metric_type type) noexcept {
  if (name.empty() || name.size() > max_metric_name_bytes || is_digit(name[0])) return false;
  if (!std::all_of(name.begin(), name.end(), [](char c) { return is_lower(c) || is_digit(c) || c == '_'; }))
    return false;
  for (const std::string_view suffix : {"_bucket", "_sum", "_count"}) {
    if (name.ends_with(suffix)) return false;
  }
  return name.ends_with("_total") == (type == metric_type::counter);
}

bool is_reserved_name(std::string_view name) noexcept {
  constexpr std::array<std::string_view, 5> prefixes = {"rtd_", "go_", "process_", "promhttp_", "scrape_"};
  return name == "up" || std::any_of(prefixes.begin(), prefixes.end(),
                                     [&](std::string_view prefix) { return name.starts_with(prefix); });
}

bool is_label_name(std::string_view name) noexcept {
  constexpr std::array<std::string_view, 5> taken = {"sandbox", "plugin", "task", "le", "quantile"};
  if (name.empty() || name.size() > max_metric_name_bytes || is_digit(name[0]) || name.starts_with("__")) return false;
  if (std::find(taken.begin(), taken.end(), name) != taken.end()) return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return is_lower(c) || is_upper(c) || is_digit(c) || c == '_'; });
}

}  // namespace rtd::metrics
