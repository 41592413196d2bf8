#include "runtime/task/metric_registry.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "runtime/task/printable_text.h"

namespace rt::detail {

namespace {

[[noreturn]] void refuse(std::string_view name, const std::string& why) {
  throw std::invalid_argument("metric \"" + printable_text(name, metric_registry::most_name_bytes) + "\": " + why);
}

bool is_lower_or_underscore(char c) noexcept { return (c >= 'a' && c <= 'z') || c == '_'; }
bool is_upper(char c) noexcept { return c >= 'A' && c <= 'Z'; }
bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

void check_name(std::string_view name, metric_type type) {
  if (name.empty() || name.size() > metric_registry::most_name_bytes) {
    refuse(name, "a name has 1 to " + std::to_string(metric_registry::most_name_bytes) + " characters");
  }
  if (!is_lower_or_underscore(name[0]) ||
      !std::all_of(name.begin(), name.end(), [](char c) { return is_lower_or_underscore(c) || is_digit(c); })) {
    refuse(name, "a name consists of a-z, 0-9 and _, and does not begin with a digit");
  }
  if (name == "up") refuse(name, "is Prometheus' own; begin with the plugin's name");
  for (std::string_view prefix : {"rtd_", "go_", "process_", "promhttp_", "scrape_"}) {
    if (name.starts_with(prefix)) {
      refuse(name, "names that begin with " + std::string(prefix) + " are taken; begin with the plugin's name");
    }
  }
  bool is_total = name.ends_with("_total");
  if (type == metric_type::counter && !is_total) refuse(name, "a counter's name ends in _total");
  if (type != metric_type::counter && is_total) refuse(name, "only a counter's name ends in _total");
  for (std::string_view suffix : {"_bucket", "_sum", "_count"}) {
    if (name.ends_with(suffix))
      refuse(name, "a name that ends in " + std::string(suffix) + " looks like a histogram's");
  }
}

void check_labels(std::string_view name, metric_labels& labels) {
  if (labels.size() > metric_registry::most_labels) {
    refuse(name, std::to_string(labels.size()) + " labels, more than " + std::to_string(metric_registry::most_labels));
  }
  for (auto& [label, value] : labels) {
    bool well_formed = !label.empty() && label.size() <= metric_registry::most_name_bytes && !is_digit(label[0]) &&
                       std::all_of(label.begin(), label.end(),
                                   [](char c) { return is_lower_or_underscore(c) || is_upper(c) || is_digit(c); });
    if (!well_formed || label.starts_with("__")) {
      refuse(name, "label \"" + printable_text(label, metric_registry::most_name_bytes) +
                       "\": a label's name consists of letters, digits and _, and begins with neither a digit nor __");
    }
    for (std::string_view reserved : {"sandbox", "plugin", "task", "le", "quantile"}) {
      if (label == reserved)
        refuse(name, "label \"" + label + "\" is set by the daemon or means something to Prometheus");
    }
    value = printable_text(value, metric_registry::most_value_bytes);
  }
  std::sort(labels.begin(), labels.end());
  for (std::size_t i = 1; i < labels.size(); ++i) {
    if (labels[i].first == labels[i - 1].first) refuse(name, "label \"" + labels[i].first + "\" is given twice");
  }
}

void check_bounds(std::string_view name, std::vector<double>& bounds) {
  if (!bounds.empty() && bounds.back() == HUGE_VAL) bounds.pop_back();  // +Inf is always there
  if (bounds.size() > metric_registry::most_buckets) {
    refuse(name,
           std::to_string(bounds.size()) + " buckets, more than " + std::to_string(metric_registry::most_buckets));
  }
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    if (!std::isfinite(bounds[i])) refuse(name, "a bucket's bound is not finite");
    if (i > 0 && bounds[i] <= bounds[i - 1]) refuse(name, "the buckets' bounds do not grow");
  }
}

}  // namespace

const char* to_text(metric_type type) noexcept {
  switch (type) {
    case metric_type::counter:
      return "counter";
    case metric_type::gauge:
      return "gauge";
    case metric_type::histogram:
      return "histogram";
  }
  return "gauge";
}

metric_cell::metric_cell(std::vector<double> upper_bounds)
    : bounds(std::move(upper_bounds)), buckets(new std::atomic<std::uint64_t>[bounds.size() + 1]()) {}

void metric_cell::add(std::atomic<double>& target, double amount) noexcept {
  double before = target.load(std::memory_order_relaxed);
  while (!target.compare_exchange_weak(before, before + amount, std::memory_order_relaxed)) {
  }
}

std::shared_ptr<metric_cell> metric_registry::cell(metric_type type, std::string_view name, std::string_view help,
                                                   std::vector<double> bounds, metric_labels labels) {
  check_name(name, type);
  check_labels(name, labels);
  if (type == metric_type::histogram) check_bounds(name, bounds);
  std::string clean_help = printable_text(help, most_help_bytes);

  os::spin_guard guard(lock_);
  auto found = families_.find(name);
  if (found != families_.end()) {
    const family& known = found->second;
    if (known.type != type) {
      refuse(name, std::string("is a ") + to_text(known.type) + " already and cannot be a " + to_text(type));
    }
    if (known.bounds != bounds) refuse(name, "was made with other buckets before");
    auto series = known.series.find(labels);
    if (series != known.series.end()) return (*series)->cell;
  }
  if (series_count_ >= most_series) {
    refuse(name, "the task has " + std::to_string(most_series) +
                     " series already; a label with many values (an address, a user) does not belong into a metric");
  }
  auto made = std::make_shared<metric_cell>(bounds);
  auto series = std::make_shared<const metric_series>(metric_series{std::move(labels), made});
  if (found == families_.end()) {
    family fresh{type, std::move(clean_help), std::move(bounds), {}};
    found = families_.emplace(std::string(name), std::move(fresh)).first;
  }
  found->second.series.insert(std::move(series));
  ++series_count_;
  return made;
}

std::vector<metric_family> metric_registry::families() const {
  std::vector<metric_family> result;
  os::spin_guard guard(lock_);
  result.reserve(families_.size());
  for (const auto& [name, known] : families_) {
    result.push_back({name, known.help, known.type, {known.series.begin(), known.series.end()}});
  }
  return result;
}

}  // namespace rt::detail

namespace rt {

void counter::add(double amount) const noexcept {
  if (amount > 0 && std::isfinite(amount)) detail::metric_cell::add(cell_->value, amount);
}

double counter::value() const noexcept { return cell_->value.load(std::memory_order_relaxed); }

void gauge::set(double value) const noexcept { cell_->value.store(value, std::memory_order_relaxed); }

void gauge::add(double amount) const noexcept { detail::metric_cell::add(cell_->value, amount); }

double gauge::value() const noexcept { return cell_->value.load(std::memory_order_relaxed); }

void histogram::observe(double value) const noexcept {
  if (!std::isfinite(value)) return;
  const std::vector<double>& bounds = cell_->bounds;
  auto bucket = static_cast<std::size_t>(std::lower_bound(bounds.begin(), bounds.end(), value) - bounds.begin());
  cell_->buckets[bucket].fetch_add(1, std::memory_order_relaxed);
  detail::metric_cell::add(cell_->value, value);
}

}  // namespace rt
