#include "daemon/metrics/task_metrics_reader.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "daemon/metrics/json_reader.h"
#include "daemon/metrics/names.h"
#include "daemon/protocol/text.h"

namespace rtd::metrics {

namespace {

using nlohmann::json;

constexpr std::size_t max_buckets = 128;
constexpr std::size_t max_labels = 16;
constexpr std::size_t max_help_bytes = 1024;
// What a line of the page has beyond names and labels: braces, quotes, the value; `sandbox`, `plugin` and `task`, whose
// values are at most 63 bytes each.
constexpr std::size_t line_overhead = 280;

metric_type to_type(const json& value, const std::string& where) {
  const std::string& text = to_text(value, where, 32);
  if (text == "counter") return metric_type::counter;
  if (text == "gauge") return metric_type::gauge;
  if (text == "histogram") return metric_type::histogram;
  throw bad_answer(where, "counter, gauge or histogram");
}

// nullopt when a label may not be used.
std::optional<std::vector<std::pair<std::string, std::string>>> to_labels(const json& object,
                                                                          const std::string& where) {
  if (!object.is_object()) throw bad_answer(where, "an object");
  if (object.size() > max_labels) return std::nullopt;
  std::vector<std::pair<std::string, std::string>> labels;
  for (const auto& [name, value] : object.items()) {
    if (!value.is_string()) throw bad_answer(where, "an object of strings");
    if (!is_label_name(name)) return std::nullopt;
    labels.emplace_back(name, protocol::clean_text(value.get_ref<const std::string&>(), max_label_value_bytes));
  }
  std::sort(labels.begin(), labels.end());
  return labels;
}

// JSON has no NaN and no infinity: whoever writes them writes null.
bool is_value(const json& value) { return value.is_null() || value.is_number(); }

bool is_count(const json& value) {
  return value.is_number_unsigned() || (value.is_number_integer() && value.get<std::int64_t>() >= 0);
}

// nullopt when the figures cannot be a histogram's.
std::optional<histogram_data> to_histogram(const json& series, const std::string& where) {
  const json& buckets = member(series, where, "buckets");
  if (!buckets.is_array()) throw bad_answer(where + ".buckets", "an array");
  const json& sum = member(series, where, "sum");
  const json& count = member(series, where, "count");
  if (!is_value(sum)) throw bad_answer(where + ".sum", "a number");
  if (!is_count(count)) throw bad_answer(where + ".count", "a whole number");
  if (sum.is_null() || !std::isfinite(sum.get<double>()) || buckets.size() > max_buckets) return std::nullopt;
  histogram_data data;
  data.sum = sum.get<double>();
  std::uint64_t before = 0;
  const auto count_up_to = [&](std::uint64_t cumulative) {
    data.counts.push_back(cumulative - before);
    before = cumulative;
  };
  for (const json& bucket : buckets) {
    if (!bucket.is_array() || bucket.size() != 2 || !is_value(bucket[0]) || !is_count(bucket[1])) {
      throw bad_answer(where + ".buckets", "an array of [bound, count]");
    }
    const auto cumulative = bucket[1].get<std::uint64_t>();
    const bool last = &bucket == &buckets.back();
    if (bucket[0].is_null()) {  // the bucket of +Inf, which the count repeats
      if (!last || cumulative < before) return std::nullopt;
      break;
    }
    const double bound = bucket[0].get<double>();
    const bool grows = data.bounds.empty() || bound > data.bounds.back();
    if (!std::isfinite(bound) || !grows || cumulative < before || cumulative > largest_count) return std::nullopt;
    data.bounds.push_back(bound);
    count_up_to(cumulative);
  }
  // The count is read after the buckets while others go on counting, so it may be ahead of them but not behind.
  const auto total = count.get<std::uint64_t>();
  if (total > largest_count) return std::nullopt;
  count_up_to(std::max(total, before));
  return data;
}

// nullopt when the value is none that the type can have.
std::optional<double> to_value(const json& series, metric_type type, const std::string& where) {
  const json& value = member(series, where, "value");
  if (!is_value(value)) throw bad_answer(where + ".value", "a number");
  if (type == metric_type::gauge) {
    return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
  }
  if (value.is_null() || !std::isfinite(value.get<double>()) || value.get<double>() < 0) return std::nullopt;
  return value.get<double>();
}

std::size_t page_bytes(const std::string& name, const task_series& series) {
  std::size_t line = line_overhead + name.size();
  for (const auto& [label, value] : series.labels) line += label.size() + 2 * value.size() + 4;  // escapes double
  const std::size_t lines = series.distribution.counts.empty() ? 1 : series.distribution.counts.size() + 2;
  return line * lines;
}

class metrics_reader {
 public:
  explicit metrics_reader(host_snapshot& into) : into_(into) {}

  void read(const json& item, const std::string& where) {
    task_metric metric;
    metric.task = to_text(member(item, where, "task"), where + ".task", protocol::max_name_bytes);
    to_text(member(item, where, "plugin"), where + ".plugin", protocol::max_name_bytes);
    metric.name = to_text(member(item, where, "name"), where + ".name", protocol::max_text_bytes);
    const std::string& help = to_text(member(item, where, "help"), where + ".help", protocol::max_text_bytes);
    metric.help = protocol::clean_text(help, max_help_bytes);
    if (metric.help.empty()) metric.help = "The plugin gives no description.";
    metric.type = to_type(member(item, where, "type"), where + ".type");
    const json& list = member(item, where, "series");
    if (!list.is_array()) throw bad_answer(where + ".series", "an array");

    const char* refused = nullptr;
    if (is_reserved_name(metric.name)) {
      refused = "reserved_name";
    } else if (!is_metric_name(metric.name, metric.type)) {
      refused = "name";
    } else if (!names_.emplace(metric.task, metric.name).second) {
      refused = "duplicate";
    }
    if (refused != nullptr) {
      drop(refused, list.size());
      return;
    }
    std::set<std::vector<std::pair<std::string, std::string>>> seen;
    for (std::size_t i = 0; i < list.size(); ++i) {
      read_series(list[i], where + ".series[" + std::to_string(i) + "]", metric, seen);
    }
    if (!metric.series.empty()) into_.metrics.push_back(std::move(metric));
  }

 private:
  void read_series(const json& item, const std::string& where, task_metric& metric,
                   std::set<std::vector<std::pair<std::string, std::string>>>& seen) {
    task_series series;
    auto labels = to_labels(member(item, where, "labels"), where + ".labels");
    if (!labels) return drop("label");
    series.labels = std::move(*labels);
    if (metric.type == metric_type::histogram) {
      auto distribution = to_histogram(item, where);
      if (!distribution) return drop("value");
      series.distribution = std::move(*distribution);
    } else {
      const std::optional<double> value = to_value(item, metric.type, where);
      if (!value) return drop("value");
      series.value = *value;
    }
    if (!seen.insert(series.labels).second) return drop("duplicate");
    std::size_t& of_task = of_task_[metric.task];
    if (of_task >= max_series_per_task || series_ >= max_series_per_sandbox) return drop("too_many_series");
    const std::size_t bytes = page_bytes(metric.name, series);
    if (bytes_ + bytes > max_task_metric_bytes) return drop("too_large");
    bytes_ += bytes;
    ++of_task;
    ++series_;
    metric.series.push_back(std::move(series));
  }

  void drop(const char* reason, std::size_t count = 1) {
    if (count > 0) into_.series_dropped_total[reason] += count;
  }

  host_snapshot& into_;
  std::set<std::pair<std::string, std::string>> names_;
  std::map<std::string, std::size_t> of_task_;
  std::size_t series_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace

void read_task_metrics(const json& list, host_snapshot& into) {
  metrics_reader reader(into);
  for (std::size_t i = 0; i < list.size(); ++i) reader.read(list[i], "metrics[" + std::to_string(i) + "]");
}

}  // namespace rtd::metrics
