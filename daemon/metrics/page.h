// The page under construction: families in their order, samples added one by one, text at the end.
#pragma once

#include <prometheus/metric_family.h>

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "daemon/metrics/histogram.h"

namespace rtd::metrics {

using label_list = std::vector<std::pair<std::string, std::string>>;

class page {
 public:
  /// A page whose families are those of all_families(), without samples.
  page();

  /// Add a sample to a family of the list. Values of labels are made valid UTF-8 and cut at 1 KiB.
  /// @throws std::logic_error when the list has no such family of that type.
  void counter(std::string_view family, const label_list& labels, double value);
  void counter(std::string_view family, const label_list& labels, std::uint64_t value);
  void gauge(std::string_view family, const label_list& labels, double value);
  void gauge(std::string_view family, const label_list& labels, std::uint64_t value);
  void histogram(std::string_view family, const label_list& labels, const histogram_data& data);

  /// `quantiles`: pairs of quantile and value.
  void summary(std::string_view family, const label_list& labels,
               const std::vector<std::pair<double, double>>& quantiles, double sum, std::uint64_t count);

  /// Adds a family that is not in the list, after those of the list.
  void append(prometheus::MetricFamily family) { families_.push_back(std::move(family)); }

  /// The text. Families without samples are left out.
  std::string text();

 private:
  prometheus::ClientMetric& add(std::string_view family, prometheus::MetricType type, const label_list& labels);

  std::vector<prometheus::MetricFamily> families_;
  std::unordered_map<std::string_view, std::size_t> places_;
};

/// The figures in the form that the serializer wants.
prometheus::ClientMetric::Histogram to_prometheus(const histogram_data& data);

/// The families as text: the serializer of prometheus-cpp, with what it leaves undone (escapes in HELP, "NaN").
std::string to_text(std::vector<prometheus::MetricFamily> families);

}  // namespace rtd::metrics
